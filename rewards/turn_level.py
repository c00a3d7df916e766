"""Advantages turn by turn: normalise, then accumulate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from palaestra.errors import ConfigError
from palaestra.rewards.base import CreditBatch
from palaestra.rewards.grouping import dense, group_counts, moments, positions

__all__ = ["TurnLevel", "TurnMode", "turn_level_advantages"]

TurnMode = Literal["joint", "separate"]


def turn_level_advantages(
    values: NDArray[np.float64],
    groups: NDArray[np.int64],
    lengths: NDArray[np.int64],
    valid: NDArray[np.bool_],
    mode: TurnMode = "joint",
    gamma: float = 1.0,
) -> NDArray[np.float64]:
    """Turn rewards normalised over a group's turns, then summed over what follows; see `TurnLevel`.

    Args:
        values: float64 (B, T), the reward of each turn, NaN where it is not known; never looked at beyond `lengths`
            and in episodes that are not valid.
        groups: int64 (B,), equal for rollouts of one task.
        lengths: int64 (B,), how many turns each has.
        valid: bool (B,).
        mode: `joint`, or `separate`: every episode's last turn in one set, all others in another.
        gamma: Discount by turn, in [0, 1].

    Returns:
        float64 (B, T); 0 where there is no turn, in episodes that are not valid and in groups with fewer than two
        valid members. A turn without a reward has the sum of what follows it.
    """
    turn = np.arange(values.shape[1])[None, :]
    there = (turn < lengths[:, None]) & valid[:, None]
    known = there & np.isfinite(values)
    rows = np.nonzero(known)[0]
    last = (turn == lengths[:, None] - 1)[known] if mode == "separate" else np.zeros(len(rows), bool)
    rewards = np.asarray(values, np.float64)[known]
    count, mean, variance = moments(rewards, dense(groups[rows], last.astype(np.int64)))
    divisor = np.where(count <= 1, 1.0, np.sqrt(variance + 1e-8) + 1e-6)
    normalised = np.zeros(values.shape)
    normalised[known] = (rewards - mean) / divisor

    out = np.zeros(values.shape)
    following = np.zeros(len(values))
    for t in range(values.shape[1] - 1, -1, -1):
        following = normalised[:, t] + gamma * following
        out[:, t] = following
    members = np.zeros(len(values), np.int64)
    members[valid] = moments(np.zeros(int(valid.sum())), dense(groups[valid]))[0]
    return np.where(there & (members >= 2)[:, None], out, 0.0)


class TurnLevel:
    """The advantage of IGPO: each turn has its own.

        A_{i,t}  = (r_{i,t} - mean(S)) / std(S)
        A~_{i,t} = sum_{k >= t} gamma^(k - t) A_{i,k}

    Symbols: r_{i,t} is the reward of turn t of rollout i. In mode `joint`, S holds the rewards of all turns of all
    rollouts of a task; in mode `separate`, those of the last turns (the outcomes) are one set and all others (the
    information gains) another. Every token of turn t gets A~_{i,t}. First normalise, then accumulate: the other order
    telescopes information gains into a bonus for the end point.

    Source: "Information Gain-based Policy Optimization" (IGPO, 2025); the paper has `joint`, the authors' scripts
    `separate`. As in their code the deviation is that of the population, sqrt(var + 1e-8) + 1e-6, and 1 where a set
    has at most one element. (Their code takes a gain of exactly 0 for a missing one and therefore writes 1e-10 in its
    place; here what is missing is NaN and 0 is 0.)

    Edge cases:
        - A turn whose reward is NaN is in no set and adds nothing; it still gets what follows it.
        - An episode without any known gain is in the set by its outcome only.
        - A group with fewer than two valid members gives 0, also in mode `joint`, where one rollout's turns would
          otherwise be compared with each other.
        - In mode `separate`, constant factors on gains or outcomes are divided out again.

    Args:
        mode: `joint` or `separate`.
        gamma: Discount by turn, in [0, 1].
        name: Its name in reports.

    Raises:
        ConfigError: A value outside its range.
    """

    def __init__(self, mode: TurnMode = "joint", gamma: float = 1.0, name: str = "turn-level") -> None:
        if mode not in get_args(TurnMode):
            raise ConfigError(f"mode is {mode!r}; choose 'joint' or 'separate'.")
        if not 0 <= gamma <= 1:
            raise ConfigError(f"gamma is {gamma}; it is a discount and must lie in [0, 1].")
        self.mode: TurnMode = mode
        self.gamma, self.name = gamma, name

    def __call__(self, batch: CreditBatch) -> NDArray[np.float64]:
        """See `Advantage.__call__`. Where positions are tokens, those of a turn are summed first and then share."""
        values, lengths = _by_turn(batch)
        advantages = turn_level_advantages(values, batch.groups, lengths, batch.valid, self.mode, self.gamma)
        there = positions(batch) & (batch.turn_of_token >= 0)
        rows, columns = np.nonzero(there)
        out = np.zeros(batch.values.shape)
        out[there] = advantages[rows, batch.turn_of_token[rows, columns]]
        return out

    def metrics(self, batch: CreditBatch) -> Mapping[str, float]:
        """See `group_counts`; also `unknown_turns`: turns of valid episodes that have no reward."""
        values, lengths = _by_turn(batch)
        there = (np.arange(values.shape[1])[None, :] < lengths[:, None]) & batch.valid[:, None]
        return {**group_counts(batch), "unknown_turns": float((there & np.isnan(values)).sum())}


def _by_turn(batch: CreditBatch) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Values (B, T) summed by turn, NaN for turns without a position or with an unknown value; and turns (B,)."""
    turns = np.where(positions(batch), batch.turn_of_token, -1)
    lengths = turns.max(axis=1, initial=-1) + 1
    shape = (len(turns), int(lengths.max(initial=0)))
    sums, counts = np.zeros(shape), np.zeros(shape)
    rows, columns = np.nonzero(turns >= 0)
    where = (rows, turns[rows, columns])
    np.add.at(sums, where, batch.values[rows, columns])
    np.add.at(counts, where, 1)
    return np.where(counts > 0, sums, np.nan), lengths
