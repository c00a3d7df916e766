"""Counts, means and variances of members of groups, for advantages."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from palaestra.rewards.base import CreditBatch

__all__ = ["dense", "group_counts", "moments", "positions"]


def dense(*labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers 0, 1, ... in place of labels, each (n,): equal exactly where all of the labels are equal."""
    if not len(labels[0]):
        return np.zeros(0, np.int64)
    index: NDArray[np.int64] = np.unique(np.stack(labels), axis=1, return_inverse=True)[1]
    return index.reshape(-1)


def moments(
    values: NDArray[np.float64], index: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Of the group that each value is in: its size, its mean, and its population variance; each (n,).

    Equal values have just that value as their mean, and no variance.

    Args:
        values: float64 (n,).
        index: int64 (n,), the group of each, as `dense` numbers them.
    """
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
    count = np.bincount(index)
    # Relative to one of them: ten times 0.1 is summed to less than 1.
    one = values[np.unique(index, return_index=True)[1]][index]
    mean = one + (np.bincount(index, weights=values - one) / count)[index]
    variance = np.bincount(index, weights=(values - mean) ** 2) / count
    return count[index], mean, variance[index]


def positions(batch: CreditBatch) -> NDArray[np.bool_]:
    """Where a batch has a turn or token, bool (B, L)."""
    there: NDArray[np.bool_] = np.arange(batch.values.shape[1])[None, :] < batch.lengths[:, None]
    return there


def group_counts(batch: CreditBatch) -> Mapping[str, float]:
    """`groups`, `groups_too_small` (fewer than two valid members), `groups_without_spread`, `masked` episodes."""
    names = np.unique(batch.groups)
    too_small = without_spread = 0
    for group in names:
        rewards = batch.rewards[(batch.groups == group) & batch.valid]
        too_small += len(rewards) < 2
        without_spread += len(rewards) >= 2 and bool(np.ptp(rewards) == 0)
    return {
        "groups": float(len(names)),
        "groups_too_small": float(too_small),
        "groups_without_spread": float(without_spread),
        "masked": float((~batch.valid).sum()),
    }
