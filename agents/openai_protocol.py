"""Reading what a chat-completions server sends back: answers, and errors by what to do about them."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np

__all__ = [
    "Answer",
    "ContextOverflow",
    "QuotaSpent",
    "Rejected",
    "Retry",
    "close_tag",
    "full_jitter",
    "read_answer",
    "read_error",
    "retry_after",
]

# What servers say of a dialogue that is too long: OpenAI and vLLM, SGLang, llama.cpp.
_OVERFLOW = (
    "context_length_exceeded",
    "maximum context length",
    "model's context length",
    "context window",
    "exceeds the available context",
)


class Retry(Exception):
    """May succeed when tried again.

    Args:
        kind: As in `ModelUnavailable`.
        message: What happened.
        after: Seconds that the server asks to wait.
    """

    def __init__(self, kind: str, message: str, after: float | None) -> None:
        super().__init__(message)
        self.kind, self.after = kind, after


class Rejected(Exception):
    """The server will not answer this request however often it is asked."""


class ContextOverflow(Rejected):
    """The dialogue is longer than the model's context."""


class QuotaSpent(Rejected):
    """The account has no money left."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A turn as a server gave it.

    Attributes:
        text: What the model said.
        finish_reason: The server's word.
        tokens_in: Tokens of the prompt.
        tokens_out: Tokens of the answer.
        prompt_ids: The prompt's token ids, where given.
        token_ids: The answer's token ids, where given.
        logprobs: One a token of the answer, where given.
        model: The model that answered.
        stop_reason: The stop string that ended the answer, where the server says so.
    """

    text: str
    finish_reason: str
    tokens_in: int = 0
    tokens_out: int = 0
    prompt_ids: tuple[int, ...] = ()
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    model: str = ""
    stop_reason: str | None = None


def read_answer(content: bytes, messages: Sequence[Mapping[str, Any]]) -> Answer:
    """Reads a body of status 200.

    Args:
        content: The body.
        messages: What was asked, for a rough count (four bytes a token) where the server does not count.

    Raises:
        Retry: It is no chat completion.
    """
    try:
        body = json.loads(content)
        choice = body["choices"][0]
        text = choice["message"].get("content") or ""
        if not isinstance(text, str):
            raise TypeError("content is not a text")
        usage = body.get("usage") or {}
        scores = (choice.get("logprobs") or {}).get("content") or ()
        asked = sum(len(str(message.get("content") or "").encode("utf-8", "replace")) for message in messages)
        said = len(text.encode("utf-8", "replace"))
        return Answer(
            text=text,
            finish_reason=str(choice.get("finish_reason") or "stop"),
            tokens_in=int(usage.get("prompt_tokens", math.ceil(asked / 4))),
            tokens_out=int(usage.get("completion_tokens", math.ceil(said / 4))),
            prompt_ids=tuple(map(int, body.get("prompt_token_ids") or choice.get("prompt_token_ids") or ())),
            token_ids=tuple(map(int, choice.get("token_ids") or ())),
            logprobs=tuple(float(score["logprob"]) for score in scores),
            model=str(body.get("model") or ""),
            stop_reason=choice.get("stop_reason") if isinstance(choice.get("stop_reason"), str) else None,
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        shown = content[:200].decode("utf-8", "replace")
        raise Retry("model_garbage", f"no chat completion ({type(error).__name__}: {error}): {shown!r}", None) from None


def read_error(status: int, text: str, after: float | None) -> Retry | Rejected:
    """What to do about a body of another status than 200."""
    message = code = ""
    try:
        error = json.loads(text)
        error = error.get("error", error)
        message, code = (str(error.get("message") or ""), str(error.get("code") or "")) if error else ("", "")
    except (ValueError, AttributeError):
        pass
    shown = f"status {status}: {(message or text)[:500]}"
    folded = f"{code} {message}".casefold()
    if status == 429 and "insufficient_quota" in folded:
        return QuotaSpent(shown)
    if status in (408, 409, 429) or status >= 500:
        return Retry("model_overloaded" if status == 429 else "model_server_error", shown, after)
    if any(word in folded for word in _OVERFLOW):
        return ContextOverflow(shown)
    return Rejected(shown)


def retry_after(header: str | None) -> float | None:
    """Seconds to wait according to a `Retry-After` header: a number of seconds or a date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def full_jitter(rng: np.random.Generator, attempt: int, scale: float, longest: float) -> float:
    """Seconds to pause after the n-th attempt, uniform in [0, min(longest, scale * 2^n)]."""
    return float(rng.uniform(0, min(longest, scale * 2**attempt)))


def close_tag(answer: Answer, stop: Sequence[str]) -> Answer:
    """The answer up to its first stop string, which is put back where the server left it out.

    A server that does not say which string stopped it leaves a tag open: of the closing tags among the stop strings,
    the one whose opening tag came last is meant.
    """
    ends = [answer.text.index(string) + len(string) for string in stop if string in answer.text]
    if ends:
        return dataclasses.replace(answer, text=answer.text[: min(ends)])
    if answer.finish_reason != "stop":
        return answer
    if answer.stop_reason in stop:
        return dataclasses.replace(answer, text=answer.text + str(answer.stop_reason))
    opened = {string: answer.text.rfind("<" + string[2:]) for string in stop if string.startswith("</")}
    last = max(opened, key=lambda string: opened[string], default=None)
    if last is None or opened[last] < 0:
        return answer
    return dataclasses.replace(answer, text=answer.text + last)
