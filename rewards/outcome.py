"""The verifier's outcome, as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Episode
from palaestra.rewards.base import CreditResult, Models

__all__ = ["Outcome"]


class Outcome:
    """Credit for what the verifier says of the state at an episode's end, and for nothing else.

        R(episode) = outcome(episode), in [0, 1]

    This is the sparse reward of Search-R1 (Jin et al. 2025, arXiv 2503.09516, section 3.4) and of most work on
    verifiable rewards: no format, no length, no process.

    Edge cases:
        - A failed episode has no outcome: None, never 0.
        - A truncated episode is judged by the state in which it was cut off.
        - An environment without a verifier has no outcomes. `requires` refuses it before the first rollout, for to use
          its return instead would change what the number means; the reward `env` gives that return. A valid
          episode that reaches this credit without an outcome all the same gets None and is counted.

    Args:
        name: Its name in terms and reports.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"outcome"})

    def __init__(self, name: str = "outcome") -> None:
        self.name = name

    def __call__(self, episodes: Sequence[Episode], models: Models | None = None) -> CreditResult:
        """One value an episode, at level `episode`."""
        values: list[NDArray[np.float64] | None] = [
            None if episode.outcome is None else np.array([episode.outcome], np.float64) for episode in episodes
        ]
        without = sum(episode.valid and episode.outcome is None for episode in episodes)
        return CreditResult(values, "episode", metrics={f"{self.name}/without_outcome": float(without)})
