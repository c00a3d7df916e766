"""One step of training: what is learned from a batch of episodes, and what is measured of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palaestra.agents.learners.batch import groups_without_spread
from palaestra.episodes import Episode
from palaestra.errors import PalaestraError
from palaestra.rewards.base import CreditBatch, CreditResult

__all__ = [
    "batch_metrics",
    "check_episodes",
    "episode_metrics",
    "in_groups",
    "least_group",
    "prefixed",
    "telling_groups",
]


def telling_groups(episodes: Sequence[Episode]) -> list[list[Episode]]:
    """The groups from whose outcomes something can be learned: at least two valid episodes, not all equal."""
    groups = np.array([episode.group_id for episode in episodes])
    outcomes = np.array([np.nan if episode.outcome is None else episode.outcome for episode in episodes])
    known = np.array([episode.valid and episode.outcome is not None for episode in episodes], bool)
    flat = groups_without_spread(outcomes, groups, known)
    kept: dict[str, list[Episode]] = {}
    for episode, dull in zip(episodes, flat, strict=True):
        if not dull:
            kept.setdefault(episode.group_id, []).append(episode)
    return list(kept.values())


def check_episodes(episodes: Sequence[Episode], model: Any, step: int) -> None:
    """Refuses a step from which nothing can be learned because the policy or everything else is broken.

    Raises:
        PalaestraError: The weights are not finite, or every episode failed.
    """
    errors = [episode.error for episode in episodes if episode.error is not None]
    if any(error.kind == "model_nan" for error in errors):
        from palaestra.agents.learners.optimizer import broken_weights

        where = broken_weights(model)
        what = f"the weights {where} are not finite numbers" if where else "its logits are not finite numbers"
        raise PalaestraError(
            f"Step {step}: the policy is broken, {what}. Lower learner.lr, or use a wider model.dtype."
        )
    if episodes and len(errors) == len(episodes):
        kinds = ", ".join(f"{kind} ({count})" for kind, count in Counter(error.kind for error in errors).most_common())
        raise PalaestraError(f"Step {step}: all {len(errors)} episodes failed: {kinds}. The first: {errors[0].message}")


def episode_metrics(episodes: Sequence[Episode]) -> dict[str, float]:
    """What the episodes were like; means are over the valid ones, failures are counted apart."""
    valid = [episode for episode in episodes if episode.valid]
    samples = [[turn.completion for turn in episode.turns if turn.completion is not None] for episode in valid]
    outcomes = [episode.outcome for episode in valid if episode.outcome is not None]
    calls = Counter(call.status for episode in valid for turn in episode.turns for call in turn.calls)
    found = {
        "episodes": len(episodes),
        "failed": len(episodes) - len(valid),
        "truncated": sum(episode.status == "truncated" for episode in valid),
        "overflowed": sum(any(s.finish_reason == "context_overflow" for s in row) for row in samples),
        "cut_turns": sum(sample.finish_reason == "length" for row in samples for sample in row),
        "outcome": _mean(outcomes),
        "turns": _mean([len(episode.turns) for episode in valid]),
        "tokens": _mean([sum(len(sample.token_ids) for sample in row) for row in samples]),
    }
    for status in ("ok", "error", "rejected"):
        found[f"calls_{status}"] = calls[status] / max(1, len(valid))
    for kind, count in Counter(episode.error.kind for episode in episodes if episode.error is not None).items():
        found[f"failed/{kind}"] = count
    return {f"train/{name}": float(value) for name, value in found.items()}


def least_group(advantage: Any) -> int:
    """How many valid episodes of a task a design compares at least; 2 where it does not say."""
    return int(getattr(advantage, "least_group", 2))


def in_groups(batch: CreditBatch, least: int) -> NDArray[np.bool_]:
    """Which episodes are valid and have enough others of their task beside them, bool (B,).

    A group that failures have made too small is dropped whole: its last member has nothing to be compared with, and
    would still count among the tokens that the loss is divided by.
    """
    _, place, counts = np.unique(batch.groups[batch.valid], return_inverse=True, return_counts=True)
    kept = batch.valid.copy()
    kept[batch.valid] = counts[place] >= least
    return kept


def batch_metrics(
    credit: CreditResult, batch: CreditBatch, advantages: NDArray[np.float64], names: Mapping[str, float]
) -> dict[str, float]:
    """What the credit said, and what the advantage made of it."""
    known = batch.rewards[batch.valid]
    there = (np.arange(batch.values.shape[1]) < batch.lengths[:, None]) & batch.valid[:, None]
    found = {"train/reward": _mean(known), "train/reward_std": float(np.std(known)) if len(known) else float("nan")}
    found |= {f"credit/{name}": value for name, value in credit.metrics.items()}
    for name, part in credit.terms.items():
        sums = [float(np.nansum(values)) for values in part.values if values is not None]
        found[f"credit/term/{name}"] = _mean(sums)
    found |= {f"advantage/{name}": value for name, value in names.items()}
    found["advantage/size"] = _mean(np.abs(advantages[there]))
    return found


def prefixed(prefix: str, values: Mapping[str, float]) -> dict[str, float]:
    """The values under `prefix/name`."""
    return {f"{prefix}/{name}": float(value) for name, value in values.items()}


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
