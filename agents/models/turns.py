"""What the engine knows of a conversation and of the turn that is being sampled for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from palaestra.agents.models.engine import GenerationRequest, GenerationResult
from palaestra.agents.models.kv_pool import Lease

__all__ = ["Conversation", "Decoder", "Turn"]


@dataclass(frozen=True, slots=True)
class Decoder:
    """How sampled tokens become text and where a turn ends.

    Attributes:
        decode: Text of token ids; special tokens among them give no text.
        end_ids: Tokens with which the model itself ends a turn.
        special_ids: Tokens without text.
    """

    decode: Callable[[Sequence[int]], str]
    end_ids: Collection[int]
    special_ids: Collection[int]


@dataclass(slots=True, eq=False)
class Turn:
    """A turn under way.

    Attributes:
        request: What was asked for.
        future: Where the result goes.
        budget: Most tokens to sample, the room in the window considered.
        prefix_len: Tokens of the conversation before this turn's context.
        rng: This turn's own draws.
        ids: Sampled so far.
        logprobs: Of `ids`.
    """

    request: GenerationRequest
    future: Future[GenerationResult]
    budget: int
    prefix_len: int
    rng: np.random.Generator
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    _visible: list[int] = field(default_factory=list)

    def add(self, token: int, logprob: float, decoder: Decoder, version: int) -> GenerationResult | None:
        """Takes the next token; gives the result where it was the last."""
        self.ids.append(token)
        self.logprobs.append(logprob)
        if token in decoder.end_ids:
            return self._result(decoder.decode(self._visible), "stop", version)
        if token not in decoder.special_ids:
            self._visible.append(token)
            if self.request.stop and (end := self._stop_end(decoder)) is not None:
                return self._result(decoder.decode(self._visible)[:end], "stop", version)
        if len(self.ids) >= self.budget:
            return self._result(decoder.decode(self._visible), "length", version)
        return None

    def end(self, reason: str, decoder: Decoder, version: int) -> GenerationResult:
        """What there is so far, as the result of a turn that something else ended."""
        return self._result(decoder.decode(self._visible), reason, version)

    def overflow(self, version: int) -> GenerationResult:
        """The result of a turn for which the window has no room."""
        return self._result("", "context_overflow", version)

    def _stop_end(self, decoder: Decoder) -> int | None:
        """Where the first stop string ends in the text, if the last token completed one."""
        # Every visible token is at least one byte, so a stop string of m bytes lies within the last m tokens.
        reach = max(len(stop.encode()) for stop in self.request.stop)
        tail = decoder.decode(self._visible[-reach:])
        if not any(stop in tail for stop in self.request.stop):
            return None
        text = decoder.decode(self._visible)
        return min((text.index(stop) + len(stop) for stop in self.request.stop if stop in text), default=None)

    def _result(self, text: str, reason: str, version: int) -> GenerationResult:
        ids, logprobs = np.array(self.ids, np.int32), np.array(self.logprobs, np.float32)
        return GenerationResult(ids, logprobs, text, reason, self.prefix_len, version)


@dataclass(slots=True, eq=False)
class Conversation:
    """All tokens of an episode so far, and the slot that holds their keys and values.

    Attributes:
        ids: Context and samples in order. They only ever grow.
        lease: The slot; None, or one that was evicted, where the tokens must be run again.
        turn: The turn under way.
    """

    ids: list[int] = field(default_factory=list)
    lease: Lease | None = None
    turn: Turn | None = None
    _keys: list[bytes] = field(default_factory=list)

    def block_key(self, index: int, size: int) -> bytes:
        """Names the tokens up to the end of this whole block: equal for conversations that begin alike."""
        while len(self._keys) <= index:
            at = len(self._keys)
            block = np.array(self.ids[at * size : (at + 1) * size], "<i4").tobytes()
            self._keys.append(hashlib.sha256((self._keys[-1] if self._keys else b"") + block).digest())
        return self._keys[index]
