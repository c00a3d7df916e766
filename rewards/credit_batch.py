"""From credited episodes to the arrays that advantages are computed from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Episode
from palaestra.errors import ConfigError
from palaestra.rewards.base import CreditBatch, CreditLevel, CreditResult
from palaestra.rewards.levels import lift, tokens_of_turns

__all__ = ["credit_batch"]


def credit_batch(
    episodes: Sequence[Episode],
    result: CreditResult,
    *,
    strata: Callable[[Episode], Hashable] | None = None,
) -> CreditBatch:
    """Lays out what a credit says of a list of episodes.

    Positions are turns for credits of level `episode` (an episode's value is on its last turn) and `turn`, sampled
    tokens for level `token`. Failed episodes and those without a value are not valid: they keep their row, so that row
    i is episode i, and their reward is NaN.

    Args:
        episodes: B of them.
        result: What the credit said of them, in the same order.
        strata: What makes episodes of a group comparable, for stratified designs; an advantage that needs it has it as
            its attribute `strata`. Failed episodes are not asked.

    Returns:
        The batch. `env_ids` are digests of the environments' ids, so they are the same in every batch and process.

    Raises:
        ConfigError: The result is of another number of episodes, or a value does not fit its episode.
    """
    if len(result.values) != len(episodes):
        raise ConfigError(f"The credit has {len(result.values)} values for {len(episodes)} episodes.")
    level: CreditLevel = "token" if result.level == "token" else "turn"
    turns = [_turns_of_positions(episode, level) for episode in episodes]
    lengths = np.array([len(row) for row in turns], np.int64)
    shape = (len(episodes), int(lengths.max(initial=0)))
    values, turn_of_token = np.zeros(shape), np.full(shape, -1, np.int64)
    rewards = np.full(len(episodes), np.nan)
    labels: dict[Hashable, int] = {}
    strata_ids = np.zeros(len(episodes), np.int64)
    for row, (episode, given) in enumerate(zip(episodes, result.values, strict=True)):
        turn_of_token[row, : lengths[row]] = turns[row]
        if given is None or not episode.valid:
            continue
        rewards[row] = np.nansum(given)
        if len(episode.turns):  # without turns there is nothing to learn from; its reward counts all the same
            values[row, : lengths[row]] = lift(given, result.level, level, episode)
        if strata is not None:
            strata_ids[row] = labels.setdefault(strata(episode), len(labels))
    groups: dict[str, int] = {}
    return CreditBatch(
        groups=np.array([groups.setdefault(episode.group_id, len(groups)) for episode in episodes], np.int64),
        valid=~np.isnan(rewards),
        lengths=lengths,
        turn_of_token=turn_of_token,
        strata=strata_ids,
        values=values,
        last_value=np.zeros(len(episodes)),
        env_ids=np.array([_digest(episode.env_id) for episode in episodes], np.int64),
        rewards=rewards,
    )


def _turns_of_positions(episode: Episode, level: CreditLevel) -> NDArray[np.int64]:
    turns = np.arange(len(episode.turns), dtype=np.int64)
    return np.repeat(turns, tokens_of_turns(episode)) if level == "token" else turns


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
