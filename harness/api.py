"""`run`: one agent on one environment, recorded in a run folder."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from palaestra import registration
from palaestra.agents.base import Agent
from palaestra.episodes import Episode
from palaestra.errors import ConfigError, RecordError
from palaestra.harness import manifest as manifests
from palaestra.harness.run_folder import Entry, Run, RunWriter
from palaestra.harness.runner import Limits, Runner, Stop
from palaestra.harness.schedule import Request, choose_tasks, make_requests, seed_of
from palaestra.harness.scoring import Rewards, SlotScoring
from palaestra.harness.worlds import World, world_of
from palaestra.registration import EnvCard
from palaestra.rewards.base import Models
from palaestra.tasks import TaskSet

__all__ = ["Plan", "run"]

OnWorld = Callable[[Sequence[Episode]], None]


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


def run(
    env_id: str,
    agent: Agent | str,
    out: str | Path,
    *,
    env_kwargs: Mapping[str, Any] | None = None,
    split: str | None = None,
    tasks: Sequence[str] = (),
    episodes: int | None = 20,
    samples: int = 1,
    seed: int = 0,
    rewards: Sequence[Any] = (),
    models: Models | None = None,
    concurrency: int = 1,
    limits: Limits | None = None,
    resume: bool = False,
    retry_failed: bool = False,
    on_start: Callable[[int, int], None] | None = None,
    on_world: OnWorld | None = None,
) -> Run:
    """Rolls out an agent on an environment and records every episode.

    Args:
        env_id: The environment, optionally as "module:id".
        agent: Who plays, or its name as on the command line.
        out: The run folder.
        env_kwargs: For the environment's constructor.
        split: Which tasks: `train`, `val`, `test` or `all`; None leaves it to the environment.
        tasks: Exactly these tasks, by id.
        episodes: How many tasks, or episodes where there are no tasks; None for all tasks of the split.
        samples: How often each.
        seed: Everything random follows from it.
        rewards: `NAME`, `NAME:WEIGHT`, or pairs of a reward and its weight; empty for the environment's own.
        models: What rewards may ask.
        concurrency: How many worlds are played at once.
        limits: Deadlines, retries and budgets.
        resume: Whether to go on with the run in `out`.
        retry_failed: When resuming, whether to play failed episodes again.
        on_start: Called once with the number of worlds already done, and of all.
        on_world: Called with the episodes of each world when they are recorded, from the thread that played it.

    Returns:
        The run; `manifest["status"]` says how it ended: `finished`, or `budget`, `disk` or `interrupted`.

    Raises:
        PalaestraError: What was asked cannot be done; the message says why.
    """
    plan = Plan(env_id, dict(env_kwargs or {}), split, tuple(tasks), episodes, samples, seed, tuple(rewards))
    limits = limits or Limits()
    with ExitStack() as stack:
        player = _player(agent, stack)
        card = registration.card(plan.env_id)
        _check_concurrency(card, concurrency)
        # One world stays open beside the slots': it lists the tasks, and keeps alive what instances share.
        kwargs = _with_split(plan, card)
        probe = world_of(registration.make(plan.env_id, **kwargs))
        stack.callback(probe.close)
        requests, truth = _requests(plan, card, probe, kwargs)
        scoring = Rewards.of(plan.rewards, models)
        scoring.check(card, truth)
        asked = _asked(plan, card, kwargs, player, scoring, limits, requests)
        writer = stack.enter_context(closing(RunWriter(out)))
        todo = _open(writer, asked, requests, limits, resume, retry_failed)
        manifest = _manifest(asked, todo.before, card, concurrency, limits)
        writer.begin(manifest)
        if on_start is not None:
            on_start(len(requests) - len(todo.requests), len(requests))

        def record(episodes: Sequence[Episode], timing: Mapping[str, Any]) -> None:
            writer.append(episodes, timing)
            if on_world is not None:
                on_world(episodes)

        runner = Runner(
            lambda: world_of(registration.make(plan.env_id, **kwargs)),
            player,
            todo.requests,
            record,
            slots=concurrency,
            env_id=card.id,
            env_kwargs=manifests.redact(kwargs),
            run_seed=plan.seed,
            limits=limits,
            make_scoring=(lambda world: SlotScoring(scoring, world)) if scoring else None,
        )
        stop = Stop("failed", "The run ended by an error.")
        try:
            stop = runner.run()
        finally:
            writer.begin(_ended(manifest, writer.path, stop))
    return Run(out)


def _player(agent: Agent | str, stack: ExitStack) -> Agent:
    if not isinstance(agent, str):
        return agent
    from palaestra.agents.registry import make_agent

    made: Agent = make_agent(agent)
    stack.callback(made.close)
    return made


def _check_concurrency(card: EnvCard, concurrency: int) -> None:
    if concurrency < 1:
        raise ConfigError(f"concurrency is {concurrency}; it must be at least 1.")
    if card.concurrency == "process" and concurrency > 1:
        raise ConfigError(
            f"{card.id} can run only once in a process, got concurrency={concurrency}. Use --concurrency 1, and start "
            "several runs with different seeds side by side."
        )


def _with_split(plan: Plan, card: EnvCard) -> dict[str, Any]:
    kwargs = dict(plan.env_kwargs)
    if plan.split is not None and _takes_split(card):
        kwargs["split"] = plan.split
    return kwargs


def _takes_split(card: EnvCard) -> bool:
    return "split" in inspect.signature(registration.entry_class(card)).parameters


def _requests(
    plan: Plan, card: EnvCard, probe: World, kwargs: Mapping[str, Any]
) -> tuple[list[Request], Mapping[str, Any]]:
    """The requests, and the ground truth of one task."""
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
    return make_requests(card.id, chosen, plan.seed, plan.samples, 1), chosen[0].truth


def _asked(
    plan: Plan,
    card: EnvCard,
    kwargs: Mapping[str, Any],
    agent: Agent,
    rewards: Rewards,
    limits: Limits,
    requests: Sequence[Request],
) -> dict[str, Any]:
    """What a resumed run must have in common with the one that it resumes."""
    worlds = [request.world_id for request in requests]
    return {
        "env": {"id": card.id, "kwargs": manifests.redact(kwargs)},
        "agent": manifests.redact({**agent.describe(), "name": agent.name}),
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


@dataclass(frozen=True, slots=True)
class _Todo:
    """What is left to play, and what the folder already holds."""

    requests: list[Request]
    before: Mapping[str, Any] | None = None


def _open(
    writer: RunWriter,
    asked: Mapping[str, Any],
    requests: list[Request],
    limits: Limits,
    resume: bool,
    retry_failed: bool,
) -> _Todo:
    out = writer.path
    if not (out / "manifest.json").exists():
        if (out / "episodes.jsonl").exists() and (out / "episodes.jsonl").stat().st_size:
            raise RecordError(f"{out} holds episodes but no manifest.json, so it cannot be told what run they are of.")
        return _Todo(requests)
    if not resume:
        raise ConfigError(f"{out} already holds a run. Go on with it by --resume, or choose another folder with --out.")
    existing = Run(out)
    manifests.refuse_differences({key: existing.manifest.get(key) for key in asked}, asked)
    worlds: dict[str, list[Entry]] = {}
    for entry in existing.entries:
        worlds.setdefault(entry.world_id, []).append(entry)
    left = list(_left(requests, worlds, limits, retry_failed))
    if existing.torn:
        writer.drop_after(existing.good_size)
        warnings.warn(existing.torn, stacklevel=3)
    return _Todo(left, existing.manifest)


def _left(
    requests: Sequence[Request], worlds: Mapping[str, Sequence[Entry]], limits: Limits, retry_failed: bool
) -> Iterator[Request]:
    for request in requests:
        entries = worlds.get(request.world_id)
        if not entries:
            yield request
            continue
        attempt, error = entries[0].attempt, entries[0].error
        if error is not None and (retry_failed or (error["retryable"] and limits.may_retry(attempt))):
            yield replace(request, attempt=attempt + 1)


def _manifest(
    asked: Mapping[str, Any], before: Mapping[str, Any] | None, card: EnvCard, concurrency: int, limits: Limits
) -> dict[str, Any]:
    session = {
        "started": manifests.now(),
        "machine": manifests.machine(),
        "packages": manifests.packages(),
        "concurrency": concurrency,
        "limits": manifests.redact(limits),
    }
    sessions = [*(before or {}).get("sessions", []), session]
    return {**asked, "schema": 1, "card": manifests.redact(card), "sessions": sessions, "status": "running"}


def _ended(manifest: Mapping[str, Any], path: Path, stop: Stop) -> dict[str, Any]:
    sessions = [dict(session) for session in manifest["sessions"]]
    sessions[-1]["ended"] = manifests.now()
    found = Run(path)
    counts: dict[str, int] = {}
    for entry in found.entries:
        counts[entry.status] = counts.get(entry.status, 0) + 1
    return {
        **manifest,
        "sessions": sessions,
        "status": stop.reason,
        "message": stop.message,
        "counts": counts,
        "digest": found.digest(),
    }
