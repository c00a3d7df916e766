"""A punishment for episodes that come near the end of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palaestra.episodes import Episode
from palaestra.errors import ConfigError
from palaestra.rewards.base import CreditResult, Models

__all__ = ["Overlong", "overlong_penalty"]


def overlong_penalty(lengths: ArrayLike, max_length: int, buffer: int) -> NDArray[np.float64]:
    """DAPO's soft overlong punishment, to be added to the rewards.

        0                                 where length <= max_length - buffer
        (max_length - buffer - length) / buffer    in between, linear
        -1                                where length > max_length

    Args:
        lengths: Sampled tokens of each rollout, any shape.
        max_length: The most tokens that a rollout may sample.
        buffer: Over how many of the last tokens the penalty grows; in [1, max_length].

    Returns:
        float64, the shape of `lengths`, in [-1, 0].

    Raises:
        ConfigError: A value outside its range.
    """
    if not 1 <= buffer <= max_length:
        raise ConfigError(f"The buffer of the overlong penalty is {buffer}; it must lie in [1, {max_length}].")
    overshoot: Any = np.asarray(lengths, np.float64) - (max_length - buffer)
    penalty: NDArray[np.float64] = -np.clip(overshoot / buffer, 0.0, 1.0)
    return penalty + 0.0  # no -0.0


class Overlong:
    """DAPO's soft overlong punishment, a term to be added to the outcome.

        R(episode) = overlong_penalty(sampled tokens of all turns), in [-1, 0]

    In a recipe:

        [credit]
        name = "weighted-sum"
        options = { terms = [["outcome", 1.0], [{ reward = "overlong", max_length = 512, buffer = 128 }, 1.0]] }

    Source: DAPO (Yu et al. 2025, arXiv 2503.14476, section 3.4). There a response is one turn; here the tokens that an
    episode's turns sampled are counted together, and what tools said is not.

    Edge cases:
        - An episode that cannot say what it sampled (a remote model, a scripted policy) gets None.
        - A failed episode gets None.

    Args:
        max_length: The most tokens that an episode may sample; the default and the next are the paper's.
        buffer: Over how many of the last tokens the penalty grows; in [1, max_length].
        name: Its name in terms and reports.

    Raises:
        ConfigError: A value outside its range.
    """

    requires: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, max_length: int = 20_480, buffer: int = 4_096, name: str = "overlong") -> None:
        overlong_penalty(0, max_length, buffer)
        self.max_length, self.buffer, self.name = max_length, buffer, name

    def __call__(self, episodes: Sequence[Episode], models: Models | None = None) -> CreditResult:
        """One value an episode, at level `episode`."""
        values: list[NDArray[np.float64] | None] = []
        for episode in episodes:
            sampled = [turn.completion.token_ids for turn in episode.turns if turn.completion is not None]
            known = episode.valid and len(sampled) == len(episode.turns) and all(ids is not None for ids in sampled)
            length = sum(len(ids) for ids in sampled if ids is not None)
            values.append(np.atleast_1d(overlong_penalty(length, self.max_length, self.buffer)) if known else None)
        found = [float(value[0]) for value in values if value is not None]
        share = float(np.mean([value < 0 for value in found])) if found else 0.0
        return CreditResult(values, "episode", metrics={f"{self.name}/share": share})
