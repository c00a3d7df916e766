"""Comparing runs: methods by their seeds and tasks, differences with intervals and tests."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from palaestra.errors import ConfigError, RecordError
from palaestra.harness.manifest import differences
from palaestra.harness.report.paired_tests import TTest, sign_flip_test, t_test, welch_test
from palaestra.harness.report.statistics import (
    Difference,
    Interval,
    bootstrap_interval,
    interquartile_mean,
    mean_interval,
    paired_difference,
    weighted_interquartile_mean,
)
from palaestra.harness.run_folder import Run, is_training
from palaestra.harness.training.metrics import read_metrics
from palaestra.harness.training.recipe import without

__all__ = ["Comparison", "Contrast", "Figures", "Method", "Sample", "compare", "find_samples"]

_MAX_COMPARED = 5  # methods that are all compared with each other; above, each with the first


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a method: a training run at one of its evaluations, or an ordinary run.

    Attributes:
        method: Of which method.
        folder: The run that was read.
        seed: Of the run.
        step: Of the evaluation; 0 for ordinary runs.
        outcomes: Mean outcome by task, over the valid episodes of it.
        episodes: Of the run, failed ones included.
        failed: Those that failed.
        start: Outcomes by task at step 0; None for ordinary runs.
        curve: (step, mean outcome) of all evaluations.
        asked: What was evaluated: environment, split; runs are compared only where it is the same.
    """

    method: str
    folder: Path
    seed: int
    step: int
    outcomes: Mapping[str, float]
    episodes: int
    failed: int
    start: Mapping[str, float] | None
    curve: Sequence[tuple[float, float]]
    asked: Mapping[str, Any]

    @property
    def mean(self) -> float:
        """Over tasks."""
        return float(np.mean(list(self.outcomes.values())))


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two sets of outcomes, the first minus the second.

    Attributes:
        tasks: The mean difference over the tasks that both have, averaged over seeds first; its interval is for other
            tasks and these seeds.
        p_tasks: By flipping the signs of the tasks' differences.
        seeds: The same over seeds; its interval is for other seeds and these tasks. None with fewer than two, or
            where they do not differ.
        paired: Whether `seeds` is over pairs of equal seeds.
    """

    tasks: Difference
    p_tasks: float
    seeds: TTest | None
    paired: bool


@dataclass(frozen=True, slots=True)
class Method:
    """A method's figures.

    Attributes:
        name: Its label.
        seeds: Seeds of its runs.
        step: Of the evaluations; the largest, where they differ.
        tasks: Different tasks.
        episodes: In all runs.
        failed: Those that failed, which are in no mean.
        mean: Of outcomes over seeds and tasks.
        mean_interval: Student's t over seeds, cut at 0 and 1; over tasks where there is one seed or they are equal.
        iqm: The interquartile mean of the same. Of outcomes that are 0 or 1 it is 0 where the mean is below a quarter.
        iqm_interval: Bootstrap over seeds, or over tasks where there is one seed.
        by_seed: Mean over tasks, by seed.
        gain: The last evaluation minus step 0; None for ordinary runs.
        curves: For each run its (step, mean outcome).
    """

    name: str
    seeds: Sequence[int]
    step: int
    tasks: int
    episodes: int
    failed: int
    mean: float
    mean_interval: Interval | None
    iqm: float
    iqm_interval: Interval | None
    by_seed: Mapping[str, float]
    gain: Contrast | None
    curves: Sequence[Sequence[tuple[float, float]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Comparison:
    """First minus second."""

    first: str
    second: str
    contrast: Contrast


@dataclass(frozen=True, slots=True)
class Figures:
    """All numbers of a comparison.

    Attributes:
        environment: What all runs were evaluated on.
        methods: In the order in which they were given.
        comparisons: Between methods.
        notes: What a reader should know.
    """

    environment: str
    methods: Sequence[Method]
    comparisons: Sequence[Comparison]
    notes: Sequence[str]


def find_samples(paths: Sequence[str | os.PathLike[str]], at: int | None = None) -> list[Sample]:
    """Reads training runs and ordinary runs, at or directly below each path.

    Training runs that differ only in their seed (and in how long they went on) are one method, called by their recipe;
    methods of one name are told apart by what else differs. Ordinary runs are a method by their agent.

    Args:
        paths: Run folders.
        at: Which step's evaluation of training runs; by default the last.

    Raises:
        RecordError: There is no run at one of them, or not that evaluation.
    """
    folders: list[Path] = []
    for path in map(Path, paths):
        own = (path / "manifest.json").is_file()
        below = [path] if own else sorted(child.parent for child in path.glob("*/manifest.json"))
        if not below:
            raise RecordError(f"{path} holds no run: there is no manifest.json in it, nor in a folder directly below.")
        folders += below
    trained = [folder for folder in dict.fromkeys(folders) if is_training(folder)]
    names = _names({folder: _manifest(folder) for folder in trained})
    return [
        _trained(folder, names[folder], at) if folder in names else _ordinary(folder)
        for folder in dict.fromkeys(folders)
    ]


def compare(samples: Sequence[Sample]) -> Figures:
    """All figures, the same for the same runs: the resampling has a seed of its own.

    Raises:
        ConfigError: The runs cannot be compared: other environments or splits, or no task in common.
    """
    if not samples:
        raise ConfigError("A comparison needs at least one run.")
    _check(samples)
    rng = np.random.default_rng(0)
    grouped: dict[str, list[Sample]] = {}
    for sample in samples:
        grouped.setdefault(sample.method, []).append(sample)
    notes = []
    for name, members in grouped.items():
        seeds = [member.seed for member in members]
        if len(set(seeds)) < len(seeds):
            raise ConfigError(f"Two runs of '{name}' have the same seed ({seeds}); they would count as independent.")
        if len({member.step for member in members}) > 1:
            steps = ", ".join(str(member.step) for member in members)
            notes.append(f"The runs of {name} were evaluated at different steps ({steps}); choose one by --at.")
        if len(members) < 2 and members[0].curve:  # what was not trained varies by its tasks alone
            notes.append(f"{name} has one seed: what training varies by is not in its intervals.")
    methods = [_method(name, members, rng) for name, members in grouped.items()]
    found = []
    every = len(grouped) <= _MAX_COMPARED
    for first, second in combinations(grouped, 2):
        if every or first == next(iter(grouped)):
            # The later one is usually the one whose gain is asked for.
            found.append(Comparison(second, first, _contrast(_scores(grouped[second]), _scores(grouped[first]), rng)))
    return Figures(str(samples[0].asked["environment"]), methods, found, notes)


# Reading -------------------------------------------------------------------------------------------------------


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{folder / 'manifest.json'} cannot be read: {error}") from error
    return found


def _names(manifests: Mapping[Path, Mapping[str, Any]]) -> dict[Path, str]:
    """A label for each training run, equal for those that differ only in their seed."""

    def what(manifest: Mapping[str, Any]) -> dict[str, Any]:
        free = [f"train.{name}" for name in ("seed", "steps", "keep", "checkpoint_every")]
        return without(manifest["recipe"], "description", *free)

    firsts: dict[str, list[dict[str, Any]]] = {}
    names = {}
    for folder, manifest in manifests.items():
        name, recipe = str(manifest.get("name") or folder.name), what(manifest)
        known = firsts.setdefault(name, [])
        if recipe not in known:
            known.append(recipe)
        if known.index(recipe):
            changed = [re.sub(r": was .*, is ", "=", text) for text in differences(known[0], recipe)]
            name = f"{name} ({', '.join(changed)})"
        names[folder] = name
    return names


def _trained(folder: Path, name: str, at: int | None) -> Sample:
    manifest = _manifest(folder)
    places = folder / "eval"
    steps = sorted(int(place.name.removeprefix("step-")) for place in places.glob("step-*"))
    rows = [row for row in read_metrics(folder) if "eval/outcome" in row]
    steps = [step for step in steps if any(row["step"] == step for row in rows)]  # one under way is not in the metrics
    if not steps or (at is not None and at not in steps):
        asked = "no evaluation" if at is None else f"no evaluation at step {at}"
        there = f" It has: {', '.join(map(str, steps))}." if steps else ""
        raise RecordError(f"{folder} has {asked}.{there}")
    step = steps[-1] if at is None else at
    run = Run(places / f"step-{step}")
    outcomes, failed = _outcomes(run)
    return Sample(
        method=name,
        folder=run.path,
        seed=int(manifest["seed"]),
        step=step,
        outcomes=outcomes,
        episodes=len(run),
        failed=failed,
        start=_outcomes(Run(places / f"step-{steps[0]}"))[0] if steps[0] == 0 else None,
        curve=[(float(row["step"]), float(row["eval/outcome"])) for row in rows],
        asked=_asked(run),
    )


def _ordinary(folder: Path) -> Sample:
    run = Run(folder)
    outcomes, failed = _outcomes(run)
    seed = int(run.manifest["seed"])
    return Sample(run.agent, folder, seed, 0, outcomes, len(run), failed, None, [], _asked(run))


def _asked(run: Run) -> dict[str, Any]:
    env = run.manifest["env"]
    return {"environment": env["id"], "kwargs": env["kwargs"], "split": run.manifest["requests"]["split"]}


def _outcomes(run: Run) -> tuple[dict[str, float], int]:
    found: dict[str, list[float]] = {}
    for entry in run.entries:
        if entry.outcome is not None:
            # Without tasks, what is repeated is the start state, whose number comes last.
            task = entry.world_id if entry.world_id.startswith(f"{_bare(run)}#") else entry.world_id.rpartition("#")[0]
            found.setdefault(task, []).append(entry.outcome)
    return {task: float(np.mean(values)) for task, values in found.items()}, sum(
        entry.status == "failed" for entry in run.entries
    )


def _bare(run: Run) -> str:
    return run.env_id.rpartition("/")[2].lower()


def _check(samples: Sequence[Sample]) -> None:
    first = samples[0]
    for sample in samples:
        if not sample.outcomes:
            raise ConfigError(f"{sample.folder} has no valid episode with an outcome, so there is nothing to compare.")
        found = list(differences(dict(first.asked), dict(sample.asked)))
        if found:
            raise ConfigError(
                f"{sample.folder} was not evaluated on what {first.folder} was: {'; '.join(found)}. Compare runs on "
                "the same environment, options and split."
            )
        if not first.outcomes.keys() & sample.outcomes.keys():
            raise ConfigError(
                f"{sample.folder} and {first.folder} have no task in common. Evaluate with the same evaluation.seed."
            )


# Figures -------------------------------------------------------------------------------------------------------

_Scores = Mapping[int, Mapping[str, float]]
"""By seed and task."""


def _scores(members: Sequence[Sample]) -> _Scores:
    return {member.seed: member.outcomes for member in members}


def _method(name: str, members: Sequence[Sample], rng: np.random.Generator) -> Method:
    values = [value for member in members for value in member.outcomes.values()]
    seeds = [member.seed for member in members for _ in member.outcomes]
    tasks = [task for member in members for task in member.outcomes]
    several = len(members) > 1
    if several and min(values) < max(values):
        interval = bootstrap_interval(values, rng, statistic=weighted_interquartile_mean, groups=seeds)
    else:
        interval = mean_interval(values, rng, interquartile=True, groups=tasks)
    over_seeds = t_test([member.mean for member in members])  # a bootstrap of a few seeds is too narrow
    over_tasks = mean_interval(values, np.random.default_rng(0), groups=tasks)
    starts = {member.seed: member.start for member in members if member.start is not None and member.step > 0}
    gain = _contrast(_scores(members), starts, rng) if len(starts) == len(members) else None
    return Method(
        name=name,
        seeds=[member.seed for member in members],
        step=max(member.step for member in members),
        tasks=len(set(tasks)),
        episodes=sum(member.episodes for member in members),
        failed=sum(member.failed for member in members),
        mean=float(np.mean([member.mean for member in members])),
        mean_interval=over_tasks if over_seeds is None else _cut(over_seeds.interval),
        iqm=interquartile_mean(values),
        iqm_interval=interval,
        by_seed={str(member.seed): member.mean for member in members},
        gain=gain,
        curves=[member.curve for member in members if member.curve],
    )


def _cut(interval: Interval) -> Interval:
    return replace(interval, low=max(0.0, interval.low), high=min(1.0, interval.high))


def _contrast(first: _Scores, second: _Scores, rng: np.random.Generator) -> Contrast:
    """First minus second, over the tasks that all runs of both have."""
    ours, theirs = _by_task(first), _by_task(second)
    shared = [task for task in ours if task in theirs]
    deltas = [ours[task] - theirs[task] for task in shared]
    over = paired_difference(
        [ours[task] for task in shared], shared, [theirs[task] for task in shared], shared, rng, unit_range=True
    )
    if over is None:
        raise ConfigError("Two methods have no task that all of their runs have done, so they cannot be compared.")
    one = {seed: float(np.mean([found[task] for task in shared])) for seed, found in first.items()}
    two = {seed: float(np.mean([found[task] for task in shared])) for seed, found in second.items()}
    paired = one.keys() == two.keys()
    seeds = t_test([one[seed] - two[seed] for seed in one]) if paired else welch_test([*one.values()], [*two.values()])
    return Contrast(over, sign_flip_test(deltas, rng), seeds, paired)


def _by_task(scores: _Scores) -> dict[str, float]:
    """Means over seeds of the tasks that all seeds have."""
    runs = list(scores.values())
    return {task: float(np.mean([run[task] for run in runs])) for task in runs[0] if all(task in run for run in runs)}
