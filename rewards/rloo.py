"""Leave-one-out advantages."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from palaestra.rewards.base import CreditBatch
from palaestra.rewards.grouping import dense, group_counts, moments, positions

__all__ = ["LeaveOneOut", "rloo"]


def rloo(rewards: NDArray[np.float64], groups: NDArray[np.int64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """R_i - mean of the other valid members' rewards in its group.

    Args:
        rewards: float64 (B,); those of episodes that are not valid are never looked at and may be NaN.
        groups: int64 (B,), equal for rollouts of one task.
        valid: bool (B,).

    Returns:
        float64 (B,); 0 for episodes that are not valid and for groups with fewer than two valid members.
    """
    out = np.zeros(len(rewards))
    kept = np.asarray(rewards, np.float64)[valid]
    count, mean, _ = moments(kept, dense(groups[valid]))
    # R_i - (n m - R_i) / (n - 1) = (R_i - m) n / (n - 1)
    out[valid] = np.where(count >= 2, (kept - mean) * count / np.maximum(count - 1, 1), 0.0)
    return out


class LeaveOneOut:
    """The advantage of RLOO: what an episode has more than the others of its group have on average.

        A_i = R_i - (1 / (n - 1)) sum_{j != i} R_j

    The baseline does not depend on the episode itself, so the gradient is unbiased without a learned value.

    Source: Kool et al. 2019, "Buy 4 REINFORCE Samples, Get a Baseline for Free!"; Ahmadian et al. 2024, "Back to
    Basics" (arXiv 2402.14740).

    Edge cases:
        - With one member the baseline is undefined. Here the group gives 0 and is counted as `groups_too_small`, since
          a group can shrink to one by failures and the update must be the one without them; that a group has at least
          two members to begin with is for whoever sets the group's size to check.

    Args:
        name: Its name in reports.
    """

    def __init__(self, name: str = "rloo") -> None:
        self.name = name

    def __call__(self, batch: CreditBatch) -> NDArray[np.float64]:
        """See `Advantage.__call__`."""
        advantage = rloo(batch.rewards, batch.groups, batch.valid)
        return np.where(positions(batch), advantage[:, None], 0.0)

    def metrics(self, batch: CreditBatch) -> Mapping[str, float]:
        """See `group_counts`."""
        return group_counts(batch)
