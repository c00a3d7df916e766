"""The completions endpoint with token ids: what is posted, and what comes back."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palaestra.agents.models.engine import GenerationRequest
from palaestra.agents.openai_protocol import Retry
from palaestra.errors import ModelUnavailable

__all__ = ["LOGPROBS", "Sample", "ServedModel", "completion_body", "read_model", "read_sample"]


LOGPROBS: Mapping[str, str] = {
    "raw": "of the model itself, at temperature 1",
    "tempered": "at the sampling temperature, before top-p",
    "processed": "at the sampling temperature, after top-p",
}
"""What servers mean by log-probabilities. vLLM gives `raw` ones unless it is started with `--logprobs-mode
processed_logprobs`; SGLang gives `tempered` ones unless `SGLANG_RETURN_ORIGINAL_LOGPROB` is set, and so does
palaestra's own server."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What a server says of a model.

    Attributes:
        window: Most tokens of a context; None where it does not say.
        owner: The server's software ("vllm", "sglang", "palaestra"); "" where it does not say.
    """

    window: int | None = None
    owner: str = ""

    @property
    def logprobs(self) -> str:
        """What it usually means by log-probabilities: one of `LOGPROBS`."""
        return "tempered" if self.owner in ("sglang", "palaestra") else "raw"


@dataclass(frozen=True, slots=True)
class Sample:
    """What a server sampled; one log-probability a token.

    Attributes:
        ids: Token ids.
        logprobs: Of each, finite.
        text: The server's own text of them.
        finish_reason: `stop` or `length`.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    finish_reason: str


def completion_body(
    model: str, prompt: Sequence[int], request: GenerationRequest, max_tokens: int, end_ids: Collection[int]
) -> dict[str, Any]:
    """What to post.

    Servers fill in what is left out from the model's own generation settings, so whatever would change the
    distribution is said: nothing but temperature and top-p does.
    """
    body: dict[str, Any] = {
        "model": model,
        "prompt": list(prompt),
        "max_tokens": max_tokens,
        "seed": request.seed % 2**31,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logprobs": 0,  # the sampled token's alone
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,  # older vLLM: the ids stand among the log-probabilities
        "skip_special_tokens": True,
    }
    if request.stop:
        # vLLM's and SGLang's words for: leave the stop string where it is.
        body |= {"stop": list(request.stop), "include_stop_str_in_output": True, "no_stop_trim": True}
    if end_ids:
        body["stop_token_ids"] = sorted(map(int, end_ids))
    return body


def read_sample(content: bytes, prompt: Sequence[int], max_tokens: int) -> Sample:
    """Reads and checks a body of status 200.

    Args:
        content: The body.
        prompt: The ids that were sent.
        max_tokens: What was asked for.

    Raises:
        Retry: It is no completion, or one that cannot be: counts that do not fit, numbers that are none.
        ModelUnavailable: This server will never give what is needed.
    """
    try:
        choice = json.loads(content)["choices"][0]
        text, reason = choice["text"], choice.get("finish_reason")
        scores = choice.get("logprobs") or {}
        logprobs, words = scores.get("token_logprobs"), scores.get("tokens") or []
        given, read = choice.get("token_ids"), choice.get("prompt_token_ids")
        named = [int(word[9:]) for word in words if isinstance(word, str) and word.startswith("token_id:")]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        shown = content[:200].decode("utf-8", "replace")
        raise Retry("model_garbage", f"no completion ({type(error).__name__}: {error}): {shown!r}", None) from None
    ids = given if given is not None else named
    if given is None and not named:
        raise ModelUnavailable(
            "model_no_token_ids",
            "The server gives no token ids. vLLM does from 0.10.2 on, SGLang from mid-2026 on, and so does palaestra's "
            "own server (palaestra serve model); ask any other one as openai:MODEL@URL, which needs none.",
            retryable=False,
        )
    if logprobs is None:
        raise ModelUnavailable("model_no_logprobs", "The server gives no log-probabilities.", retryable=False)
    if read is not None and read != list(prompt):
        raise ModelUnavailable(
            "model_prompt_changed",
            f"The server read other tokens than the {len(prompt)} that were sent, so what it samples does not belong "
            "to them.",
            retryable=False,
        )
    trouble = _trouble(ids, named, logprobs, text, reason, max_tokens)
    if trouble:
        raise Retry("model_garbage", trouble, None)
    return Sample(tuple(ids), tuple(map(float, logprobs)), text, reason)


def _trouble(ids: Any, named: Sequence[int], logprobs: Any, text: Any, reason: Any, max_tokens: int) -> str:
    """What is wrong with a sample; "" where nothing is."""
    if not isinstance(ids, list) or not all(type(token) is int and 0 <= token < 2**31 for token in ids):
        return f"token ids that are none: {str(ids)[:100]}"
    if not isinstance(logprobs, list) or len(logprobs) != len(ids):
        count = len(logprobs) if isinstance(logprobs, list) else "no list of"
        return f"{len(ids)} token ids with {count} log-probabilities"
    if named and named != ids:
        return "log-probabilities of other tokens than the token ids"
    if not 1 <= len(ids) <= max_tokens:
        return f"{len(ids)} tokens where 1 to {max_tokens} were asked for"
    if unsound := [score for score in logprobs if not _sound(score)]:
        return f"log-probabilities that are none: {str(unsound[:3])[:100]}"
    if not isinstance(text, str):
        return "no text"
    if reason not in ("stop", "length"):
        return f"a turn that ended for the reason {reason!r}"
    return ""


def _sound(score: Any) -> bool:
    return type(score) in (int, float) and math.isfinite(score) and score <= 1e-3


def read_model(content: bytes, model: str) -> ServedModel:
    """Reads the list of served models; what it does not say, or cannot be read, is unknown."""
    try:
        entries: list[Mapping[str, Any]] = json.loads(content)["data"]
        entry = next(entry for entry in entries if entry["id"] == model)
        window = entry.get("max_model_len")
        return ServedModel(
            window if type(window) is int and window > 0 else None, str(entry.get("owned_by") or "").lower()
        )
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration, RecursionError):
        return ServedModel()
