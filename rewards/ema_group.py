"""Group advantages with a scale per task that is remembered across batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palaestra.errors import ConfigError
from palaestra.rewards.base import CreditBatch
from palaestra.rewards.grouping import dense, group_counts, moments, positions

__all__ = ["EmaGroupNormalized", "RewardScale", "ema_group_normalized"]


@dataclass(frozen=True, slots=True)
class RewardScale:
    """Mean and variance of a task's rewards, older batches weighing less: m1 and m2 - m1^2, corrected for the start.

    They are moved as mean and variance, since m2 - m1^2 loses all digits where rewards hardly differ.

    Attributes:
        mean: m1.
        variance: m2 - m1^2.
        updates: How many batches are in them.
    """

    mean: float = 0.0
    variance: float = 0.0
    updates: int = 0

    def updated(self, rewards: NDArray[np.float64], decay: float) -> RewardScale:
        """With one more batch of rewards (n,)."""
        updates = self.updates + 1
        weight = (1 - decay) / (1 - decay**updates)
        step = float(rewards.mean()) - self.mean
        spread = weight * float(rewards.var()) + weight * (1 - weight) * step**2
        return RewardScale(self.mean + weight * step, (1 - weight) * self.variance + spread, updates)


def ema_group_normalized(
    rewards: NDArray[np.float64],
    groups: NDArray[np.int64],
    valid: NDArray[np.bool_],
    env_ids: NDArray[np.int64],
    scales: Mapping[int, RewardScale],
    *,
    decay: float = 0.95,
    eps: float = 1e-4,
) -> tuple[NDArray[np.float64], dict[int, RewardScale]]:
    """(R_i - group mean) / (sigma_task + eps); see `EmaGroupNormalized`.

    Args:
        rewards: float64 (B,); those of episodes that are not valid are never looked at and may be NaN.
        groups: int64 (B,), equal for rollouts of one task.
        valid: bool (B,).
        env_ids: int64 (B,), which scale each belongs to.
        scales: By env id, before this batch.
        decay: Of the moving averages, in [0, 1).
        eps: Added to the deviation.

    Returns:
        Advantages, float64 (B,), 0 for episodes that are not valid and for groups with fewer than two valid members;
        and the scales with this batch in them, which are those that the advantages were divided by.
    """
    new = dict(scales)
    deviation = np.zeros(len(rewards))
    for env_id in np.unique(env_ids[valid]).tolist():
        mine = valid & (env_ids == env_id)
        new[env_id] = new.get(env_id, RewardScale()).updated(np.asarray(rewards, np.float64)[mine], decay)
        deviation[mine] = np.sqrt(new[env_id].variance)
    out = np.zeros(len(rewards))
    kept = np.asarray(rewards, np.float64)[valid]
    count, mean, _ = moments(kept, dense(groups[valid]))
    out[valid] = np.where(count >= 2, (kept - mean) / (deviation[valid] + eps), 0.0)
    return out, new


class EmaGroupNormalized:
    """The advantage of EMA-GRPO: the group's mean, and a scale per task that moves slowly.

        A_i       = (R_i - mean(R)) / (sigma_task + eps)
        sigma^2   = m2 - m1^2
        m1       <- decay m1 + (1 - decay) E[R],    m2 <- decay m2 + (1 - decay) E[R^2]

    Where a batch mixes tasks of different reward scale, a group's own deviation gives every group the same weight,
    however little its rollouts differ, and none at all gives large rewards the most; this gives each task unit scale
    and leaves the differences between its groups.

    Source: OneThinker (2025). The paper's decay is not known to us (sweep 0.9 to 0.99); the start at 0 is corrected
    for by dividing the averages by 1 - decay^n. A task is an environment id; the expectations are over the valid
    episodes of a batch, and the batch is in its own scale.

    Edge cases:
        - Calling it is what updates it: once a batch, by whoever trains. `metrics` changes nothing.
        - A batch without valid episodes of a task leaves that task's scale as it is.
        - A group with fewer than two valid members gives 0; its valid member is in the scale.

    Args:
        decay: Of the moving averages, in [0, 1).
        eps: Added to the deviation, above 0.
        name: Its name in reports.

    Raises:
        ConfigError: A value outside its range.
    """

    def __init__(self, decay: float = 0.95, eps: float = 1e-4, name: str = "ema-group") -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"decay is {decay}; it must lie in [0, 1), for instance 0.95.")
        if not eps > 0:
            raise ConfigError(f"eps is {eps}; it must be above 0, or tasks of equal rewards divide by 0.")
        self.decay, self.eps, self.name = decay, eps, name
        self.scales: dict[int, RewardScale] = {}

    def __call__(self, batch: CreditBatch) -> NDArray[np.float64]:
        """See `Advantage.__call__`; takes the batch into its scales."""
        advantage, self.scales = ema_group_normalized(
            batch.rewards, batch.groups, batch.valid, batch.env_ids, self.scales, decay=self.decay, eps=self.eps
        )
        return np.where(positions(batch), advantage[:, None], 0.0)

    def metrics(self, batch: CreditBatch) -> Mapping[str, float]:
        """See `group_counts`; also `scale`, the mean of the deviations of all tasks seen so far."""
        deviations = [np.sqrt(scale.variance) for scale in self.scales.values()]
        return {**group_counts(batch), "scale": float(np.mean(deviations)) if deviations else 0.0}

    def state_dict(self) -> dict[str, Any]:
        """The moving averages by env id."""
        return {"scales": {str(key): [s.mean, s.variance, s.updates] for key, s in self.scales.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.scales = {
            int(key): RewardScale(mean, variance, int(n)) for key, (mean, variance, n) in state["scales"].items()
        }
