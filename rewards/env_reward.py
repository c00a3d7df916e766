"""The environment's own reward, as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Episode
from palaestra.rewards.base import CreditResult, Models

__all__ = ["EnvReward"]


class EnvReward:
    """Credit for what the environment itself paid, turn by turn.

        r_t = the environment's reward of turn t

    Where a step reward was put around the environment (`palaestra.with_reward`), the environment's part is the term
    `env`, and only that is taken. Failed episodes get None.

    Args:
        name: Its name in terms and reports.
    """

    requires: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, name: str = "env") -> None:
        self.name = name

    def __call__(self, episodes: Sequence[Episode], models: Models | None = None) -> CreditResult:
        """T values an episode, at level `turn`."""
        values: list[NDArray[np.float64] | None] = [
            np.array([turn.terms.get("env", turn.reward) for turn in episode.turns], np.float64)
            if episode.valid
            else None
            for episode in episodes
        ]
        return CreditResult(values, "turn")
