"""What a run is asked to play, and the part of its manifest that a resumed run must have in common with it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palaestra import registration
from palaestra.agents.base import Agent, ArrayPolicy
from palaestra.errors import ConfigError
from palaestra.harness import manifest as manifests
from palaestra.harness.runner import Limits
from palaestra.harness.schedule import Request, choose_tasks, make_requests, seed_of
from palaestra.harness.scoring import Rewards, truth_of
from palaestra.harness.worlds import World
from palaestra.registration import EnvCard
from palaestra.tasks import TaskSet

__all__ = ["Plan", "asked_of", "kwargs_of", "requests_of"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to play, apart from who plays.

    Attributes:
        env_id: The environment, optionally as "module:id".
        env_kwargs: For its constructor.
        split: Which tasks: `train`, `val`, `test` or `all`; None leaves it to the environment.
        tasks: Exactly these tasks, by id; empty for `episodes` of the split's.
        episodes: How many tasks, or episodes where there are no tasks; None for all tasks of the split.
        samples: How often each.
        seed: Everything random follows from it.
        rewards: `NAME`, `NAME:WEIGHT`, or pairs of a reward and its weight; empty for the environment's own.
    """

    env_id: str
    env_kwargs: Mapping[str, Any]
    split: str | None = None
    tasks: tuple[str, ...] = ()
    episodes: int | None = 20
    samples: int = 1
    seed: int = 0
    rewards: tuple[Any, ...] = ()


def kwargs_of(plan: Plan, card: EnvCard) -> dict[str, Any]:
    """What the environment is made with: the plan's keywords, and its split where the environment takes one."""
    kwargs = dict(plan.env_kwargs)
    if plan.split is not None and _takes_split(card):
        kwargs["split"] = plan.split
    return kwargs


def _takes_split(card: EnvCard) -> bool:
    return "split" in inspect.signature(registration.entry_class(card)).parameters


def requests_of(
    plan: Plan, card: EnvCard, probe: World, kwargs: Mapping[str, Any]
) -> tuple[list[Request], Mapping[str, Any]]:
    """The requests, and what ground truth there is among their tasks.

    Raises:
        UnknownNameError: There is no such task or split.
        ConfigError: There is nothing to play.
    """
    tasks: TaskSet | None = probe.tasks()
    if tasks is None:
        if plan.tasks or plan.split is not None:
            raise ConfigError(f"{card.id} has no tasks, so neither --task nor --split applies.")
        return make_requests(card.id, None, plan.seed, plan.samples, plan.episodes or 20), {}
    if plan.split is not None and "split" not in kwargs:
        tasks = tasks.where(split=plan.split)
    chosen = choose_tasks(tasks, plan.seed, plan.episodes, plan.tasks)
    if not chosen:
        raise ConfigError(f"{card.id} has no task in the split '{plan.split}'.")
    return make_requests(card.id, chosen, plan.seed, plan.samples, 1), truth_of(chosen)


def asked_of(
    plan: Plan,
    card: EnvCard,
    kwargs: Mapping[str, Any],
    agent: Agent | ArrayPolicy,
    rewards: Rewards,
    limits: Limits,
    requests: Sequence[Request],
) -> dict[str, Any]:
    """What a resumed run must have in common with the one that it resumes."""
    worlds = [request.world_id for request in requests]
    described = agent.describe() if hasattr(agent, "describe") else {}
    return {
        "env": {"id": card.id, "kwargs": manifests.redact(kwargs)},
        "agent": manifests.redact({**described, "name": agent.name}),
        "rewards": manifests.redact(rewards.describe()),
        "seed": plan.seed,
        "requests": {
            "worlds": len(worlds),
            "episodes": plan.episodes,
            "samples": plan.samples,
            "split": plan.split,
            "tasks": list(plan.tasks),
            "digest": f"{seed_of(*worlds):08x}",
        },
        "max_turns": limits.turns,
    }
