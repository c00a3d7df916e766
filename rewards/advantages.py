"""Advantages relative to a group of rollouts of one task."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from palaestra.errors import ConfigError
from palaestra.rewards.base import CreditBatch
from palaestra.rewards.grouping import dense, group_counts, moments, positions

__all__ = ["GroupNormalized", "group_normalized"]


def group_normalized(
    rewards: NDArray[np.float64],
    groups: NDArray[np.int64],
    valid: NDArray[np.bool_],
    *,
    eps: float = 1e-4,
    scale: bool = True,
) -> NDArray[np.float64]:
    """(R_i - mean) / (std + eps), over the valid members of each group.

    Args:
        rewards: float64 (B,); those of episodes that are not valid are never looked at and may be NaN.
        groups: int64 (B,), equal for rollouts of one task.
        valid: bool (B,).
        eps: Added to the standard deviation.
        scale: Whether to divide by it; without, this is the advantage of Dr. GRPO.

    Returns:
        float64 (B,); 0 for episodes that are not valid and for groups with fewer than two valid members.
    """
    out = np.zeros(len(rewards))
    kept = np.asarray(rewards, np.float64)[valid]
    count, mean, variance = moments(kept, dense(groups[valid]))
    advantage = kept - mean
    if scale:
        # Sample deviation (n - 1), as TRL computes it; groups of one have none and get 0 below.
        advantage = advantage / (np.sqrt(variance * count / np.maximum(count - 1, 1)) + eps)
    out[valid] = np.where(count >= 2, advantage, 0.0)
    return out


class GroupNormalized:
    """The advantage of GRPO: one number an episode, on all of its positions.

        A_i = (R_i - mean(R)) / (std(R) + eps)

    Mean and standard deviation are over the *valid* rollouts of the same task, so failed episodes are as if they had
    never been; R_i is the summed reward of an episode. The deviation is the sample one (n - 1) and eps is 1e-4, as in
    TRL's `GRPOTrainer` (`scale_rewards="group"`); the paper does not say which deviation it means.

    Source: Shao et al. 2024, "DeepSeekMath" (arXiv 2402.03300), section 4.1.2. With `scale=False`: Liu et al. 2025,
    "Understanding R1-Zero-like Training" (arXiv 2503.20783), whose losses also divide by a constant length.

    Edge cases:
        - A group with fewer than two valid members says nothing: advantage 0, and counted as `groups_too_small`.
        - A group of equal rewards gives 0, and is counted as `groups_without_spread`.

    Args:
        eps: Added to the standard deviation, above 0.
        scale: Whether to divide by the standard deviation.
        name: Its name in reports.

    Raises:
        ConfigError: `eps` is not above 0.
    """

    def __init__(self, eps: float = 1e-4, scale: bool = True, name: str = "group-normalized") -> None:
        if not eps > 0:
            raise ConfigError(f"eps is {eps}; it must be above 0, or groups of equal rewards divide by 0.")
        self.eps, self.scale, self.name = eps, scale, name

    def __call__(self, batch: CreditBatch) -> NDArray[np.float64]:
        """See `Advantage.__call__`."""
        advantage = group_normalized(batch.rewards, batch.groups, batch.valid, eps=self.eps, scale=self.scale)
        return np.where(positions(batch), advantage[:, None], 0.0)

    def metrics(self, batch: CreditBatch) -> Mapping[str, float]:
        """See `group_counts`."""
        return group_counts(batch)
