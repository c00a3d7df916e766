"""The policies that prove a verifiable environment: it can be solved, and not without doing the task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import Problems
from palaestra.harness.check.world import World, play
from palaestra.tasks import Task

__all__ = ["check_policies"]

REQUIRED = ("oracle", "prior", "cheat", "saboteur")
_SAMPLE = 300  # tasks for echo, cheat and saboteur; oracle, null and prior play them all
_EPISODES = 100  # of an environment without a task set


@dataclass(slots=True)
class _Tally:
    """What one policy reached, by kind of task."""

    outcomes: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)
    above: list[str] = field(default_factory=list)
    played: int = 0

    @property
    def mean(self) -> float:
        """Over the valid episodes of all kinds."""
        values = [value for kind in self.outcomes.values() for value in kind]
        return float(np.mean(values)) if values else 0.0


def check_policies(subject: Subject) -> str:
    """Plays every task of every split with oracle, null and prior, and a sample with echo, cheat and saboteur.

    Raises:
        CheckFailed: A policy is missing, the oracle fails somewhere, or another does better than it may.
    """
    subject.require(subject.card.kind == "verifiable", "a control environment has no verifier; see `reference`")
    problems = Problems()
    bounds = dict(subject.card.bounds or {})
    with subject.make_lean(**subject.all_splits()) as world:
        missing = [name for name in REQUIRED if name not in world.policy_names]
        problems.require(
            not missing,
            f"the environment ships the policies {', '.join(REQUIRED)}",
            f"missing: {', '.join(missing)}",
            "add them to shipped_policies",
        )
        every = _cases(world)
        rng = np.random.default_rng([subject.seed, 7])
        picked = sorted(rng.choice(len(every), min(_SAMPLE, len(every)), replace=False))
        sample = [every[index] for index in picked]
        tallies: dict[str, _Tally] = {}
        for name in ("oracle", "null", "prior", "echo", "cheat", "saboteur"):
            if name in world.policy_names:
                cases = every if name in ("oracle", "null", "prior") else sample
                tallies[name] = _tally(subject, world, name, cases)
        if "prior" in tallies:
            _stated(bounds, tallies["prior"], problems)
        _judge(tallies, bounds, problems)
        if "saboteur" in tallies:
            same = _tally(subject, world, "null", sample)
            _saboteur(tallies["saboteur"], same, problems)
    said = ", ".join(f"{name} {tally.mean:.3f} ({tally.played})" for name, tally in tallies.items())
    return problems.finish(f"mean outcome (tasks): {said}")


def _stated(bounds: Mapping[str, float], prior: _Tally, problems: Problems) -> None:
    kinds = ", ".join(f"{kind} {np.mean(values):.3f}" for kind, values in sorted(prior.outcomes.items()))
    problems.require(
        0.0 <= bounds.get("prior", -1.0) < 1.0,
        "the card states what a closed-book guess may reach: bounds={'prior': x} with 0 <= x < 1",
        f"bounds={dict(bounds)!r}; the prior reached {prior.mean:.3f} on {prior.played} tasks ({kinds})",
        "state the bound in the card; 'prior:KIND' bounds one kind of task",
    )


def _cases(world: World) -> Sequence[Task | None]:
    tasks = getattr(world.raw, "tasks", None)
    return list(tasks) if tasks is not None else [None] * _EPISODES


def _tally(subject: Subject, world: World, name: str, cases: Sequence[Task | None]) -> _Tally:
    tally = _Tally()
    for number, task in enumerate(cases):
        options: dict[str, Any] | None = None if task is None else {"task_id": task.id}
        trace = play(world, name, subject.seed + number, options=options, record=False)
        label = f"seed {subject.seed + number}" if task is None else f"task {task.id!r}"
        tally.played += 1
        if trace.failed:
            errors = [info["error"] for info in trace.infos.values() if "error" in info]
            tally.failed.append(f"{label}: {errors}")
            continue
        outcome = trace.outcome
        if outcome is None:
            tally.unjudged.append(f"{label}: ended={trace.ended} after {trace.turns} turns")
            continue
        kind = "all" if task is None else str(task.metadata.get("kind", "all"))
        tally.outcomes[kind].append(outcome)
        if outcome < 1.0:
            tally.below.append(f"{label}: {outcome}")
        if outcome > 0.0:
            tally.above.append(f"{label}: {outcome}")
    return tally


def _judge(tallies: Mapping[str, _Tally], bounds: Mapping[str, float], problems: Problems) -> None:
    for name, tally in tallies.items():
        problems.require(
            not tally.unjudged,
            f"{name}: every episode ends with info['outcome']",
            f"{len(tally.unjudged)} of {tally.played} did not; {_some(tally.unjudged)}",
            "the episode does not end under this policy, or its end is not judged (judge on truncation too)",
        )
        if name != "saboteur":
            problems.require(
                not tally.failed,
                f"{name}: no episode fails",
                f"{len(tally.failed)} of {tally.played} failed; {_some(tally.failed)}",
                "an exception in _step; only what no action can cause may end an episode as failed",
            )
    if "oracle" in tallies:
        tally = tallies["oracle"]
        problems.require(
            not tally.below,
            "the oracle reaches 1.0 on every task",
            f"mean {tally.mean:.4f}; below 1.0 on {len(tally.below)} of {tally.played}: {_some(tally.below)}",
            "the ground truth of these tasks is wrong, the verifier too strict, or the horizon too short for them",
        )
    nobody = tallies["null"].mean if "null" in tallies else 0.0
    limits = {"null": 0.0, "echo": 0.0, "cheat": nobody, "saboteur": 0.0}
    for name, usual in limits.items():
        if name in tallies:
            tally, limit = tallies[name], bounds.get(name, usual)
            problems.require(
                tally.mean <= limit,
                f"{name}: mean outcome at most {limit:g}",
                f"{tally.mean:.4f} on {tally.played} tasks; above 0 on {_some(tally.above)}",
                "the verifier accepts an answer that does not come from doing the task; see what it said on these",
            )
    if "prior" in tallies and "prior" in bounds:
        prior = tallies["prior"]
        _bounded("over all tasks", prior.mean, bounds["prior"], prior.played, problems)
        for kind, values in sorted(prior.outcomes.items()):
            limit = bounds.get(f"prior:{kind}", bounds["prior"])
            _bounded(f"on tasks of kind {kind!r}", float(np.mean(values)), limit, len(values), problems)


def _bounded(where: str, mean: float, limit: float, count: int, problems: Problems) -> None:
    problems.require(
        mean <= limit,
        f"the prior's mean outcome {where} is at most the card's bound {limit:g}",
        f"{mean:.4f} on {count} tasks",
        "answers of this kind can be guessed: drop lopsided tasks, correct for chance, or ask for the evidence too",
    )


def _saboteur(tally: _Tally, null: _Tally, problems: Problems) -> None:
    problems.require(
        len(tally.failed) <= len(null.failed),
        "the saboteur's episodes fail no more often than the null policy's on the same tasks",
        f"{len(tally.failed)} of {tally.played} failed, {len(null.failed)} of the null's; {_some(tally.failed)}",
        "an action can raise out of a tool or exhaust it: catch it there and make it a ToolError or an outcome of 0",
    )


def _some(lines: Sequence[str], count: int = 3) -> str:
    return "; ".join(lines[:count]) + ("; ..." if len(lines) > count else "")
