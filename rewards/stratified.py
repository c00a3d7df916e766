"""Advantages within strata of a group: rollouts are compared with those of the same shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import CallStatus, Episode
from palaestra.errors import ConfigError
from palaestra.rewards.base import CreditBatch
from palaestra.rewards.grouping import dense, group_counts, moments, positions

__all__ = ["Stratified", "strata_by_calls", "stratified_normalized"]


def stratified_normalized(
    rewards: NDArray[np.float64],
    groups: NDArray[np.int64],
    strata: NDArray[np.int64],
    valid: NDArray[np.bool_],
    *,
    alpha: float = 0.5,
    eps: float = 1e-4,
) -> NDArray[np.float64]:
    """Alpha (R - m_k) / (s_k + eps) + (1 - alpha) (R - m) / (s + eps); see `Stratified`.

    Args:
        rewards: float64 (B,); those of episodes that are not valid are never looked at and may be NaN.
        groups: int64 (B,), equal for rollouts of one task.
        strata: int64 (B,), equal for those that are comparable; the same number in two groups means nothing.
        valid: bool (B,).
        alpha: Share of the stratified part, in [0, 1].
        eps: Added to the standard deviations.

    Returns:
        float64 (B,); 0 for episodes that are not valid and for groups with fewer than two valid members.
    """
    out = np.zeros(len(rewards))
    kept = np.asarray(rewards, np.float64)[valid]
    count, mean, variance = moments(kept, dense(groups[valid]))
    _, mean_k, variance_k = moments(kept, dense(groups[valid], strata[valid]))
    within = (kept - mean_k) / (np.sqrt(variance_k) + eps)
    overall = (kept - mean) / (np.sqrt(variance) + eps)
    out[valid] = np.where(count >= 2, alpha * within + (1 - alpha) * overall, 0.0)
    return out


def strata_by_calls(episode: Episode) -> Hashable:
    """How many of an episode's tool calls went well, went wrong, and were rejected: (ok, error, rejected)."""
    found = Counter(call.status for turn in episode.turns for call in turn.calls)
    return tuple(found[status] for status in get_args(CallStatus))


class Stratified:
    """The advantage of Stratified GRPO: stratified advantage normalisation, blended with that of the whole group.

        A_SAN = (R - m_k) / (s_k + eps)
        A_GN  = (R - m) / (s + eps)
        A     = alpha A_SAN + (1 - alpha) A_GN

    Symbols: R is an episode's summed reward; m and s are mean and standard deviation over the valid rollouts of its
    task, m_k and s_k over those of them in its stratum k. Within a stratum, A_SAN has mean 0 and variance 1 (up to
    eps), hence also over the group. Since R - m = (R - m_k) + (m_k - m), it lacks the second term, the bias across
    strata: a rollout is not credited for having the number of calls that happened to go well this time.

    Source: "Stratified GRPO: Handling Structural Heterogeneity in Reinforcement Learning of LLM Search Agents" (2025).

    Choices: standard deviations are those of the population (1/n), with which the variances are exactly 1; the paper's
    alpha is not known to us, and the default is to be swept. Strata there are numbers of search calls; here also their
    status, or anything.

    Edge cases:
        - A stratum of one, or of equal rewards, has A_SAN = 0, so the blend leaves (1 - alpha) A_GN.
        - A_SAN alone says nothing about which *number* of calls is best; only the blend keeps that. With many strata in
          a small group, little is left but the blend: see `singletons` in the metrics.
        - A group with fewer than two valid members gives 0.

    Args:
        alpha: Share of A_SAN, in [0, 1]; 0 is A_GN alone.
        eps: Added to the standard deviations, above 0.
        strata: `calls` for `strata_by_calls`, or a function of the episode; `credit_batch` is to be given it.
        name: Its name in reports.

    Raises:
        ConfigError: A value outside its range.
    """

    def __init__(
        self,
        alpha: float = 0.5,
        eps: float = 1e-4,
        strata: Literal["calls"] | Callable[[Episode], Hashable] = "calls",
        name: str = "stratified",
    ) -> None:
        if not 0 <= alpha <= 1:
            raise ConfigError(f"alpha is {alpha}; it is a share and must lie in [0, 1].")
        if not eps > 0:
            raise ConfigError(f"eps is {eps}; it must be above 0, or strata of equal rewards divide by 0.")
        if strata != "calls" and not callable(strata):
            raise ConfigError(f"strata is {strata!r}; give 'calls' or a function of the episode.")
        self.alpha, self.eps, self.name = alpha, eps, name
        self.strata: Callable[[Episode], Hashable] = strata if callable(strata) else strata_by_calls

    def __call__(self, batch: CreditBatch) -> NDArray[np.float64]:
        """See `Advantage.__call__`."""
        advantage = stratified_normalized(
            batch.rewards, batch.groups, batch.strata, batch.valid, alpha=self.alpha, eps=self.eps
        )
        return np.where(positions(batch), advantage[:, None], 0.0)

    def metrics(self, batch: CreditBatch) -> Mapping[str, float]:
        """See `group_counts`; also `strata` a group, and `singletons`: the share of episodes alone in their stratum."""
        count, _, _ = moments(
            np.zeros(int(batch.valid.sum())), dense(batch.groups[batch.valid], batch.strata[batch.valid])
        )
        groups = len(np.unique(batch.groups[batch.valid]))
        return {
            **group_counts(batch),
            "strata": float((1 / count).sum() / groups) if groups else 0.0,
            "singletons": float((count == 1).mean()) if len(count) else 0.0,
        }
