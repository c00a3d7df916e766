"""What generates text for agents: the protocol, its requests and its results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from palaestra.errors import ConfigError

if TYPE_CHECKING:
    import torch

__all__ = ["GenerationRequest", "GenerationResult", "RolloutEngine"]


@dataclass(frozen=True, slots=True, eq=False)
class GenerationRequest:
    """One turn to sample.

    Attributes:
        conversation: Which conversation goes on; a name not seen before begins one.
        context_ids: int32 (c,), what is new since that conversation's last sample; at least one token.
        seed: Of this turn's draws; equal seeds on equal contexts draw equal tokens.
        temperature: 0 is greedy.
        top_p: Nucleus bound in (0, 1].
        max_new_tokens: At least 1.
        stop: Strings; the token that completes one is the last.

    Raises:
        ConfigError: A value outside its range.
    """

    conversation: str
    context_ids: NDArray[np.int32]
    seed: int
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.context_ids) == 0:
            raise ConfigError("A turn needs at least one new token of context.")
        if not 0 <= self.temperature < float("inf"):
            raise ConfigError(f"temperature must be 0 (greedy) or a positive number, got {self.temperature}.")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must lie in (0, 1], got {self.top_p}.")
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}.")
        if self.seed < 0:
            raise ConfigError(f"A seed is 0 or larger, got {self.seed}.")


@dataclass(frozen=True, slots=True, eq=False)
class GenerationResult:
    """A sampled turn.

    Attributes:
        token_ids: int32 (n,), as sampled, the one that stopped the turn included.
        logprobs: float32 (n,), at the request's temperature before top-p (at 1 where greedy).
        text: The tokens as text: without the model's own end tokens, cut right after a stop string.
        finish_reason: `stop` (an end token or a stop string), `length`, or `context_overflow`: too little of the
            context window was left to say anything; nothing was sampled and the conversation is as it was before.
        prefix_len: Tokens of the conversation that stood before `context_ids`.
        policy_version: Which weights sampled it, from the first token to the last.
    """

    token_ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    text: str
    finish_reason: str
    prefix_len: int
    policy_version: int


class RolloutEngine(Protocol):
    """Samples turns of many conversations at once and remembers each conversation's tokens between its turns."""

    @property
    def version(self) -> int:
        """Which weights answer; what the last `load_weights` said."""
        ...

    def submit(self, request: GenerationRequest) -> Future[GenerationResult]:
        """Queues a turn; a conversation has at most one turn under way.

        The future raises `ModelUnavailable` where the model broke; cancelling it stops the turn. Either way the
        conversation is forgotten.
        """
        ...

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """Samples these turns and waits for all of them.

        Raises:
            ModelUnavailable: One of them broke.
        """
        ...

    def release(self, conversation: str) -> None:
        """The conversation is over; unknown names are no error."""
        ...

    def load_weights(self, named_tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """Takes new weights once the turns that have begun are over, so that no turn mixes two policies.

        Turns that were submitted but have not begun are sampled with the new ones.

        Args:
            named_tensors: Names as in the model's `state_dict`; those left out stay as they are.
            version: What `version` says from then on.

        Raises:
            ConfigError: A name or shape that the model does not have; nothing is changed.
        """
        ...

    def metrics(self) -> Mapping[str, Any]:
        """Counters since the start, for reports."""
        ...

    def close(self) -> None:
        """Ends its threads and frees its memory; turns under way fail. May be called twice."""
        ...
