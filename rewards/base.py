"""The four kinds of reward design, and what they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Episode, ToolCall
from palaestra.models import Judge, Scorer
from palaestra.rollouts import Rollout

__all__ = ["Advantage", "Credit", "CreditBatch", "CreditResult", "Models", "StepReward", "Transform", "Transition"]


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """One step of N slots, as a step reward sees it.

    Attributes:
        slot: int64 (N,).
        episode_id: (N,), which episode each slot is in.
        valid: bool (N,); the others get 0 and change no state.
        observation: (N, ...), or a sequence of N.
        action: (N, ...), or a sequence of N.
        next_observation: What truly followed, the final observation at an episode's end; never the autoreset one.
        reward: float64 (N,), the environment's own.
        terminated: bool (N,).
        truncated: bool (N,).
        calls: Tool calls of each slot, for text environments.
        privileged: Ground truth of each slot, where the environment gives any.
    """

    slot: NDArray[np.int64]
    episode_id: Sequence[Any] | NDArray[Any]
    valid: NDArray[np.bool_]
    observation: Any
    action: Any
    next_observation: Any
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    calls: Sequence[tuple[ToolCall, ...]] | None = None
    privileged: Sequence[Mapping[str, Any]] | None = None


class StepReward(Protocol):
    """Rewards while acting, over N slots at once.

    `scope` says what it remembers: `stateless`, `episodic` (within an episode), or `learned` (across episodes; it
    lives once, beside the learner, and an instance inside an asynchronous worker is an error). `version` counts
    updates and is recorded with every step that it scores.
    """

    name: str
    scope: Literal["stateless", "episodic", "learned"]
    version: int

    def reset(self, slots: NDArray[np.int64], episode_ids: Sequence[Any], observations: Any) -> None:
        """New episodes begin in these slots."""
        ...

    def __call__(self, transition: Transition) -> NDArray[np.float64]:
        """The reward of each slot, float64 (N,). Nothing is learned here."""
        ...

    def update(self, batch: Rollout) -> Mapping[str, float]:
        """Learns from a batch and returns metrics; `learned` rewards only."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        ...


@dataclass(frozen=True, slots=True)
class Models:
    """What a credit may ask. None where there is none; `requires` is checked before the first rollout."""

    scorer: Scorer | None = None
    judge: Judge | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CreditResult:
    """What a credit says of a list of episodes.

    Attributes:
        values: One array an episode, float64: (1,) at level `episode`, (T,) at `turn`, one value a sampled token at
            `token`. None where it does not apply (a failed episode, no ground truth).
        level: The level of all values.
        metrics: For logs.
    """

    values: Sequence[NDArray[np.float64] | None]
    level: Literal["episode", "turn", "token"]
    metrics: Mapping[str, float] = field(default_factory=dict)


class Credit(Protocol):
    """Rewards afterwards, with the whole episode in view.

    `requires` is a subset of `scorer`, `judge`, `answers`, `calls`, `hidden`.
    """

    name: str
    requires: frozenset[str]

    def __call__(self, episodes: Sequence[Episode], models: Models) -> CreditResult:
        """Values for each episode; failed ones get None."""
        ...


class Transform(Protocol):
    """Numbers to numbers: clipping, squashing, ensembles. NaN stands for "does not apply" and stays NaN."""

    name: str

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Same shape in and out."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CreditBatch:
    """What an advantage is computed from: B episodes of up to L positions (turns or tokens).

    Attributes:
        groups: int64 (B,), rollouts of one task share a number.
        valid: bool (B,); the others enter no mean, no deviation, no count, and get 0.
        lengths: int64 (B,), how many positions each has.
        turn_of_token: int64 (B, L), the turn of each position, -1 where it has none.
        strata: int64 (B,), for stratified designs; zeros otherwise.
        values: float64 (B, L), the rewards on their positions, 0 elsewhere.
        last_value: float64 (B,), value of what follows the last position, for bootstrapping.
        env_ids: int64 (B,), which environment each is from, for scales kept per task.
        rewards: float64 (B,), the summed reward of each episode.
    """

    groups: NDArray[np.int64]
    valid: NDArray[np.bool_]
    lengths: NDArray[np.int64]
    turn_of_token: NDArray[np.int64]
    strata: NDArray[np.int64]
    values: NDArray[np.float64]
    last_value: NDArray[np.float64]
    env_ids: NDArray[np.int64]
    rewards: NDArray[np.float64]


class Advantage(Protocol):
    """From credited batches to advantages."""

    name: str

    def __call__(self, batch: CreditBatch) -> NDArray[np.float64]:
        """Advantages, float64 (B, L), 0 where there is no position or the episode is not valid."""
        ...
