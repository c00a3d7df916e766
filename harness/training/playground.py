"""One environment of a training run: its ground, its share of every step, and who plays there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from palaestra.episodes import Episode
from palaestra.harness.training.collect import Collector
from palaestra.harness.training.ground import Ground
from palaestra.harness.training.listener import Listener
from palaestra.harness.training.sampler import TaskSampler
from palaestra.harness.training.step import check_episodes, telling_groups
from palaestra.rewards.base import Credit, CreditResult, Models

__all__ = ["Playground", "Round", "credit_of", "play"]


@dataclass(frozen=True, slots=True)
class Round:
    """What was played in one environment for a step.

    Attributes:
        played: Every episode.
        kept: Those to learn from.
        rounds: How often groups were drawn.
        groups: How many groups are kept.
    """

    played: Sequence[Episode]
    kept: Sequence[Episode]
    rounds: int
    groups: int


@dataclass(frozen=True, slots=True)
class Playground:
    """One environment of a training run.

    Attributes:
        name: In metrics and folders; "" for the recipe's own environment.
        ground: The environment.
        groups: Groups a step.
        sampler: Which tasks come next.
        collector: Who plays them.
        models: What a credit may ask here.
    """

    name: str
    ground: Ground
    groups: int
    sampler: TaskSampler
    collector: Collector
    models: Models


def play(place: Playground, step: int, group_size: int, rounds: int, listener: Listener, policy: Any) -> Round:
    """Plays a step's groups.

    Args:
        place: Where.
        step: Which update they are for.
        group_size: Episodes of each task.
        rounds: How often groups may be drawn until enough of them tell something (DAPO's dynamic sampling); 0 to draw
            once and keep all.
        listener: Is told how it goes.
        policy: The model, to say what is wrong with it.

    Raises:
        PalaestraError: Nothing can be learned from them; see `check_episodes`.
    """
    every: list[Episode] = []
    groups: list[list[Episode]] = []
    drawn = 0
    while drawn < max(1, rounds) and len(groups) < place.groups:
        requests = place.sampler.draw(place.groups, group_size, step)
        listener.phase(f"step {step}" + f", {place.name}" * bool(place.name), len(requests))
        episodes = place.collector.collect(requests, lambda played: listener.advance())
        check_episodes(episodes, policy, step)
        every += episodes
        groups += telling_groups(episodes)
        drawn += 1
    kept = groups[: place.groups]
    return Round(every, [e for group in kept for e in group] if rounds else every, drawn, len(kept))


def credit_of(credit: Credit, rounds: Sequence[tuple[Sequence[Episode], Models]]) -> CreditResult:
    """What a credit says of the episodes of several environments, each asked with what is there.

    Args:
        credit: The credit.
        rounds: Episodes and what may be asked, by environment.

    Returns:
        The values in the order of the episodes; metrics are means over episodes.
    """
    return _joined([credit(episodes, models) for episodes, models in rounds if episodes or len(rounds) == 1])


def _joined(results: Sequence[CreditResult]) -> CreditResult:
    if len(results) == 1:
        return results[0]
    values = [value for result in results for value in result.values]
    terms = {
        name: _joined([result.terms.get(name) or _silent(result) for result in results])
        for name in dict.fromkeys(name for result in results for name in result.terms)
    }
    return CreditResult(values, results[0].level, terms, _mean_metrics(results))


def _silent(result: CreditResult) -> CreditResult:
    return CreditResult([None] * len(result.values), result.level)


def _mean_metrics(results: Sequence[CreditResult]) -> Mapping[str, float]:
    names = dict.fromkeys(name for result in results for name in result.metrics)
    found = {}
    for name in names:
        having = [result for result in results if name in result.metrics]
        weights = [len(result.values) for result in having]
        found[name] = float(np.average([result.metrics[name] for result in having], weights=weights))
    return found
