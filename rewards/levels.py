"""Moving values between the levels of credit: an episode, its turns, its sampled tokens."""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Episode
from palaestra.errors import ConfigError
from palaestra.rewards.base import CreditLevel

__all__ = ["LEVELS", "lift", "tokens_of_turns"]

LEVELS: tuple[CreditLevel, ...] = get_args(CreditLevel)


def tokens_of_turns(episode: Episode) -> NDArray[np.int64]:
    """How many tokens were sampled in each turn, int64 (T,)."""
    samples = [turn.completion for turn in episode.turns]
    return np.array([0 if sample is None else len(sample.token_ids) for sample in samples], np.int64)


def lift(values: NDArray[np.float64], level: CreditLevel, to: CreditLevel, episode: Episode) -> NDArray[np.float64]:
    """The same values at a finer level: an episode's on its last turn, a turn's on its last sampled token.

    The sum stays the same, which is why a value that finds no place is an error; NaN, which is not known, needs none.

    Args:
        values: One array of a `CreditResult`.
        level: Its level.
        to: The level wanted, the same or a finer one.
        episode: The episode that it belongs to.

    Raises:
        ConfigError: `to` is coarser, the values do not fit the episode, or one of them has no turn or token to land on.
    """
    if LEVELS.index(to) < LEVELS.index(level):
        raise ConfigError(f"Values at level '{level}' cannot be placed at the coarser level '{to}'; sum them instead.")
    tokens = tokens_of_turns(episode)
    expected = {"episode": 1, "turn": len(tokens), "token": int(tokens.sum())}[level]
    if values.shape != (expected,):
        raise ConfigError(
            f"Episode {episode.episode_id} has {expected} value(s) at level '{level}', got shape {values.shape}."
        )
    if level == to:
        return values
    if level == "episode":
        placed = np.zeros(len(tokens))
        if len(tokens):
            placed[-1] = values[0]
        elif values[0]:
            raise ConfigError(f"Episode {episode.episode_id} has no turn on which its value {values[0]} could land.")
        return lift(placed, "turn", to, episode)
    silent = np.flatnonzero((tokens == 0) & (np.nan_to_num(values) != 0))
    if len(silent):
        raise ConfigError(
            f"Turn {silent[0]} of episode {episode.episode_id} has no sampled token on which its value could land; "
            "token-level credit needs an agent that records token ids."
        )
    placed = np.zeros(int(tokens.sum()))
    spoken = tokens > 0
    placed[np.cumsum(tokens)[spoken] - 1] = values[spoken]
    return placed
