"""What clients of palaestra's model server ask for: bodies in OpenAI's protocol, read strictly.

What would change the distribution, and is not done here, is refused rather than left out silently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from palaestra.agents.chat import Message, message_text
from palaestra.errors import nearest

__all__ = ["Asked", "BadRequest", "read_chat", "read_completion"]

_NEUTRAL: Mapping[str, tuple[Any, ...]] = {  # fields that are only known so far as they do nothing
    "n": (1,),
    "best_of": (1,),
    "stream": (False,),
    "echo": (False,),
    "suffix": ("",),
    "top_k": (-1, 0),
    "min_p": (0,),
    "repetition_penalty": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "min_tokens": (0,),
    "ignore_eos": (False,),
    "skip_special_tokens": (True,),
    "top_logprobs": (0,),
    "tools": ([],),
    "response_format": ({"type": "text"},),
}
_IGNORED = frozenset(
    ("user", "metadata", "store", "service_tier", "request_id", "priority", "stream_options", "cache_salt",
     "safety_identifier", "prompt_cache_key", "tool_choice", "parallel_tool_calls")
)  # fmt: skip
_SAMPLING = (
    "model",
    "temperature",
    "top_p",
    "max_tokens",
    "seed",
    "stop",
    "stop_token_ids",
    "logprobs",
    "return_token_ids",
    "return_tokens_as_token_ids",
    "include_stop_str_in_output",
    "no_stop_trim",
)


class BadRequest(Exception):
    """The client's mistake.

    Args:
        message: What was given, what is accepted.
        param: The field.
        code: OpenAI's word for it, where there is one.
        status: HTTP status.
    """

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param, self.code, self.status = param, code, status


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing to sample.

    Attributes:
        prompt: Text or token ids; "" for a dialogue.
        messages: The dialogue.
        model: The name that was asked for; "" for any.
        max_tokens: None for as many as fit.
        seed: None for any.
        temperature: 0 is greedy.
        top_p: Nucleus bound.
        stop: Stop strings.
        stop_token_ids: Tokens that are to end it.
        keep_stop: Whether the text keeps its stop string.
        logprobs: Whether log-probabilities are wanted.
        token_ids: Whether token ids are wanted.
        named_ids: Whether tokens are to be named `token_id:N` among the log-probabilities.
    """

    prompt: str | list[int]
    messages: list[Message]
    model: str
    max_tokens: int | None
    seed: int | None
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    stop_token_ids: frozenset[int]
    keep_stop: bool
    logprobs: bool
    token_ids: bool
    named_ids: bool


def read_completion(data: bytes | bytearray) -> Asked:
    """Reads what is posted to `/v1/completions`.

    Raises:
        BadRequest: It cannot be done.
    """
    body = _body(data, (*_SAMPLING, "prompt"))
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], list | str):
        prompt = prompt[0]
    if not isinstance(prompt, str) and not (
        isinstance(prompt, list) and prompt and all(type(token) is int for token in prompt)
    ):
        raise BadRequest("'prompt' must be a text or a list of token ids; one in a request.", "prompt")
    logprobs = _number(body, "logprobs", None, int)
    if logprobs not in (None, 0):
        raise BadRequest(
            f"'logprobs' is {logprobs}; only 0 is known here: the log-probability of the sampled token.", "logprobs"
        )
    limit = _number(body, "max_tokens", 16, int)
    return _asked(body, prompt, [], limit, logprobs is not None)


def read_chat(data: bytes | bytearray) -> Asked:
    """Reads what is posted to `/v1/chat/completions`.

    Raises:
        BadRequest: It cannot be done.
    """
    body = _body(data, (*_SAMPLING, "messages", "max_completion_tokens"))
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("'messages' must be a list of at least one message.", "messages")
    limit = _number(body, "max_completion_tokens", None, int)
    limit = _number(body, "max_tokens", None, int) if limit is None else limit
    return _asked(body, "", [_message(message) for message in messages], limit, _flag(body, "logprobs"))


def _asked(
    body: Mapping[str, Any], prompt: str | list[int], messages: list[Message], limit: int | None, logprobs: bool
) -> Asked:
    if limit is not None and limit < 1:
        raise BadRequest(f"'max_tokens' must be at least 1, got {limit}.", "max_tokens")
    stop = body.get("stop") or []
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or not all(isinstance(string, str) and string for string in stop):
        raise BadRequest("'stop' must be a text or a list of texts, none of them empty.", "stop")
    ends = body.get("stop_token_ids") or []
    if not isinstance(ends, list) or not all(type(token) is int for token in ends):
        raise BadRequest("'stop_token_ids' must be a list of token ids.", "stop_token_ids")
    model = body.get("model") or ""
    if not isinstance(model, str):
        raise BadRequest("'model' must be a text.", "model")
    return Asked(
        prompt=prompt,
        messages=messages,
        model=model,
        max_tokens=limit,
        seed=_number(body, "seed", None, int),
        temperature=_number(body, "temperature", 1.0, int, float),
        top_p=_number(body, "top_p", 1.0, int, float),
        stop=tuple(stop),
        stop_token_ids=frozenset(ends),
        keep_stop=_flag(body, "include_stop_str_in_output") or _flag(body, "no_stop_trim"),
        logprobs=logprobs,
        token_ids=_flag(body, "return_token_ids"),
        named_ids=_flag(body, "return_tokens_as_token_ids"),
    )


def _body(data: bytes | bytearray, known: tuple[str, ...]) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The request is not JSON ({error}).") from None
    if not isinstance(body, dict):
        raise BadRequest(f"The request must be a JSON object, not {type(body).__name__}.")
    for name, value in body.items():
        if name in known or name in _IGNORED or value is None:
            continue
        if name not in _NEUTRAL:
            raise BadRequest(f"There is no field '{name}'. {nearest(name, known)}".rstrip(), name)
        if value not in _NEUTRAL[name]:
            accepted = " or ".join(map(json.dumps, _NEUTRAL[name]))
            raise BadRequest(f"'{name}' is not supported here: leave it out, or at {accepted}.", name)
    return body


def _number(body: Mapping[str, Any], name: str, default: Any, *kinds: type) -> Any:
    value = body.get(name)
    if value is None:
        return default
    if type(value) not in kinds:
        raise BadRequest(f"'{name}' must be a {'number' if float in kinds else 'whole number'}, got {value!r}.", name)
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"'{name}' must be true or false, got {value!r}.", name)
    return bool(value)


def _message(message: Any) -> Message:
    roles = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
    role = message.get("role") if isinstance(message, dict) else None
    if role not in roles:
        raise BadRequest(f"A message needs a 'role', one of {', '.join(roles)}; got {role!r}.", "messages")
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    if not (content is None or isinstance(content, str | list)) or not all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str) for part in parts
    ):
        raise BadRequest("A message's 'content' must be a text, or a list of parts of the type 'text'.", "messages")
    return roles[role], message_text(message)
