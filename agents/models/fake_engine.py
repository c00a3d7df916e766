"""A rollout engine without a model, for tests of what stands above it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np

from palaestra.agents.models.engine import GenerationRequest, GenerationResult
from palaestra.errors import ModelUnavailable

if TYPE_CHECKING:
    import torch

__all__ = ["FakeEngine"]


class FakeEngine:
    """Draws tokens from a hash of everything before them and of the seed; answers at once.

    Its tokens are bytes: an id is a byte's value, and text is their UTF-8.

    Args:
        context_window: Most tokens of a conversation.
        reply: What to say, as a function of the request and the conversation's ids; by default hashed letters.
        fail: Whether a request breaks with `ModelUnavailable`.
    """

    def __init__(
        self,
        *,
        context_window: int = 1024,
        reply: Callable[[GenerationRequest, Sequence[int]], str] | None = None,
        fail: Callable[[GenerationRequest], bool] = lambda request: False,
    ) -> None:
        self.window, self.reply, self.fail = context_window, reply or self._letters, fail
        self.conversations: dict[str, list[int]] = {}
        self.requests: list[GenerationRequest] = []
        self.closed = False
        self._version = 0

    @staticmethod
    def _letters(request: GenerationRequest, ids: Sequence[int]) -> str:
        digest = hashlib.sha256(f"{request.seed}:{list(ids)}".encode()).hexdigest()
        return digest[: request.max_new_tokens]

    @property
    def version(self) -> int:
        """See `RolloutEngine.version`."""
        return self._version

    def submit(self, request: GenerationRequest) -> Future[GenerationResult]:
        """See `RolloutEngine.submit`."""
        future: Future[GenerationResult] = Future()
        self.requests.append(request)
        if self.closed or self.fail(request):
            self.conversations.pop(request.conversation, None)
            future.set_exception(ModelUnavailable("model_error", "The fake was told to break."))
            return future
        ids = self.conversations.setdefault(request.conversation, [])
        prefix = len(ids)
        budget = min(request.max_new_tokens, self.window - prefix - len(request.context_ids))
        if budget < min(8, request.max_new_tokens):
            nothing = np.array([], np.int32), np.array([], np.float32)
            future.set_result(GenerationResult(*nothing, "", "context_overflow", prefix, self._version))
            return future
        ids.extend(request.context_ids.tolist())
        sampled = list(self.reply(request, ids).encode())[:budget]
        text = bytes(sampled).decode("utf-8", "ignore")
        ids.extend(sampled)
        logprobs = np.array([-(token % 7) / 7 - 0.1 for token in sampled], np.float32)
        reason = "length" if len(sampled) == budget else "stop"
        future.set_result(GenerationResult(np.array(sampled, np.int32), logprobs, text, reason, prefix, self._version))
        return future

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """See `RolloutEngine.generate`."""
        return [future.result() for future in [self.submit(request) for request in requests]]

    def release(self, conversation: str) -> None:
        """See `RolloutEngine.release`."""
        self.conversations.pop(conversation, None)

    def load_weights(self, named_tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """See `RolloutEngine.load_weights`."""
        self._version = version

    def metrics(self) -> Mapping[str, Any]:
        """See `RolloutEngine.metrics`."""
        return {"turns": len(self.requests)}

    def close(self) -> None:
        """See `RolloutEngine.close`."""
        self.closed = True
