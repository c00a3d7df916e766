"""The experiment of a claim: pilot runs, tuning with equal care, paired runs by seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from palaestra.errors import ConfigError
from palaestra.harness.reproduce.arms import ARMS, Arm, Arms, shorter, with_start
from palaestra.harness.reproduce.claim import Claim
from palaestra.harness.reproduce.jobs import Job, run_jobs
from palaestra.harness.reproduce.pairs import Pair, find_pairs, read_pair
from palaestra.harness.training.recipe import Recipe

__all__ = ["FIRST_PILOT", "SCALES", "Experiment", "Scale", "finished_experiment", "run_experiment"]

FIRST_PILOT = 1000
"""Seeds of pilot runs begin here; no other run has them."""

_GRID = (1 / 3, 1.0, 3.0)

RunJobs = Callable[[Sequence[Job]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is run.

    Attributes:
        name: For the report.
        seeds: Paired runs.
        pilots: Paired pilot runs, whose seeds are used for nothing else.
        tune: Whether the learning rate of either arm is chosen from a grid by its pilot runs.
        short: Whether runs are shortened to a few steps, which shows that everything works and nothing else.
        pilot_steps: Of a pilot run, where it is to be shorter than the others; None for as many.
    """

    name: str
    seeds: int
    pilots: int
    tune: bool
    short: bool = False
    pilot_steps: int | None = None

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.pilots < 0 or self.seeds > FIRST_PILOT:
            raise ConfigError(
                f"{self.seeds} seeds and {self.pilots} pilots: at least 1 seed (at most {FIRST_PILOT}) and 0 pilots."
            )
        if self.tune and not self.pilots:
            raise ConfigError("Tuning needs pilot runs: --pilots 2 or more.")
        if self.pilot_steps is not None and self.pilot_steps < 1:
            raise ConfigError(f"A pilot run has at least one step; {self.pilot_steps} were asked for.")


SCALES: Mapping[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale("smoke", seeds=2, pilots=0, tune=False, short=True),
        Scale("default", seeds=5, pilots=2, tune=False),
        Scale("full", seeds=10, pilots=3, tune=True),
    )
}


@dataclass(frozen=True, slots=True)
class Experiment:
    """What was run, and what came of it.

    Attributes:
        scale: `smoke`, `default`, `full`, or `runs` for runs that were given.
        pairs: By seed.
        pilots: By pilot seed, at the learning rates that were chosen; on the tasks for tuning.
        tuning: For each arm and learning rate, the mean outcome of its pilots; empty where nothing was tuned.
        rates: The learning rate of each arm.
        differences: Where the arms differ beside credit and advantage.
        held_out: Which tasks decide, by split.
        commands: Which did the runs.
        notes: What a reader should know.
    """

    scale: Literal["smoke", "default", "full", "runs"] | str
    pairs: Sequence[Pair]
    pilots: Sequence[Pair] = ()
    tuning: Mapping[Arm, Mapping[str, float]] = field(default_factory=dict)
    rates: Mapping[Arm, float] = field(default_factory=dict)
    differences: Sequence[str] = ()
    held_out: str = ""
    commands: Sequence[str] = ()
    notes: Sequence[str] = ()


def run_experiment(
    claim: Claim,
    arms: Arms,
    out: Path,
    scale: Scale,
    *,
    held_out: str = "test",
    grid: Sequence[float] = (),
    at_once: int = 2,
    tell: Callable[[str], None] = lambda text: None,
    on_pilots: Callable[[Experiment], None] = lambda experiment: None,
    run: RunJobs | None = None,
) -> Experiment:
    """Does what is left to do of an experiment, and reads it.

    Args:
        claim: What is tested.
        arms: Its recipes.
        out: Folder of everything: `warm-start/`, `pilots/`, `runs/`, `recipes/`, `logs/`. Claims that share it train
            their common baseline once: a run is known by its recipe, learning rate and seed.
        scale: How much.
        held_out: The split that decides; pilots are judged on the recipes' own split, so that nothing is tuned on it.
        grid: Learning rates to tune over, for both arms; by default each arm's own times 1/3, 1 and 3.
        at_once: Runs at the same time.
        tell: Is told how it goes.
        on_pilots: Is told of the pilots, before the other runs begin.
        run: What does jobs; by default `run_jobs`.

    Raises:
        PalaestraError: A run cannot be done, or somebody interrupted.
    """
    todo: RunJobs = run or (lambda jobs: run_jobs(jobs, out, at_once=at_once, tell=tell))
    if scale.short:
        arms = Arms(shorter(arms.method), shorter(arms.baseline))
    commands: list[str] = []
    arms = _warm_started(arms, out, todo, commands)
    recipe_split = arms.method.evaluation.split
    rates: dict[Arm, tuple[float, ...]] = {
        arm: tuple(grid) or tuple(float(f"{arms.of(arm).learner.lr * f:.3g}") for f in _GRID) for arm in ARMS
    }
    if not scale.tune:
        rates = {arm: (arms.of(arm).learner.lr,) for arm in ARMS}
    seeds = range(FIRST_PILOT, FIRST_PILOT + scale.pilots)
    steps = arms.method.train.steps
    pilot_steps = min(scale.pilot_steps or steps, steps)
    pilots = {
        (arm, lr, seed): _job("pilots", out, arms.of(arm).with_train(steps=pilot_steps), seed, lr, None)
        for seed in seeds
        for arm in ARMS
        for lr in rates[arm]
    }
    commands += todo(list(pilots.values())) if pilots else []
    chosen, tuning = _chosen(pilots, rates, seeds)
    found = [
        read_pair(pilots["method", chosen["method"], seed].folder, pilots["baseline", chosen["baseline"], seed].folder)
        for seed in seeds
    ]
    experiment = Experiment(
        scale.name,
        (),
        found,
        tuning if scale.tune else {},
        chosen,
        arms.differences,
        held_out,
        notes=[
            *_notes(scale, arms, held_out, recipe_split),
            *([f"Pilot runs had {pilot_steps} steps, the others {steps}."] if found and pilot_steps < steps else ()),
            *(_at_edge(rates, chosen) if scale.tune else ()),
        ],
    )
    if found:
        on_pilots(experiment)
    jobs: dict[tuple[Arm, int], Job] = {
        (arm, seed): _job("runs", out, arms.of(arm), seed, chosen[arm], held_out)
        for seed in range(scale.seeds)
        for arm in ARMS
    }
    commands += todo(list(jobs.values()))
    pairs = [read_pair(jobs["method", seed].folder, jobs["baseline", seed].folder) for seed in range(scale.seeds)]
    return dataclasses.replace(experiment, pairs=pairs, commands=commands)


def finished_experiment(claim: Claim, paths: Sequence[str | Path]) -> Experiment:
    """An experiment of runs that were done elsewhere, by `palaestra train`.

    Runs whose seed is that of a pilot are pilots.

    Raises:
        PalaestraError: The runs are no pairs; see `find_pairs`.
    """
    pairs, notes, recipes = find_pairs(claim, paths)
    from palaestra.harness.manifest import differences

    learner = [recipes[arm]["learner"] for arm in ("baseline", "method")]
    return Experiment(
        "runs",
        [pair for pair in pairs if pair.seed < FIRST_PILOT],
        [pair for pair in pairs if pair.seed >= FIRST_PILOT],
        rates={arm: float(recipes[arm]["learner"]["lr"]) for arm in ARMS},
        differences=[f"learner.{text}" for text in differences(*learner)],
        held_out=str(recipes["method"]["evaluation"]["split"]),
        commands=[
            f"palaestra train {pair.folders[arm]}/recipe.toml --out {pair.folders[arm]}"
            for pair in pairs
            for arm in ARMS
        ],
        notes=[*notes, "These runs were given by --runs: how their learning rates were chosen is not known here."],
    )


def _warm_started(arms: Arms, out: Path, todo: RunJobs, commands: list[str]) -> Arms:
    """Both arms, beginning with one warm-started policy that is made once."""
    recipe = arms.baseline
    if recipe.model.name != "small" and not recipe.warm_start.episodes and not recipe.warm_start.runs:
        return arms
    place = out / "warm-start"
    warm = dataclasses.replace(recipe, evaluation=dataclasses.replace(recipe.evaluation, episodes=0))
    commands += todo([Job("warm-start", place, warm.with_train(steps=0, seed=0))])
    return Arms(*(with_start(arms.of(arm), place / "start") for arm in ARMS))


def _job(kind: str, out: Path, recipe: Recipe, seed: int, lr: float, split: Any) -> Job:
    learner = dataclasses.replace(recipe.learner, lr=lr)
    evaluation = recipe.evaluation if split is None else dataclasses.replace(recipe.evaluation, split=split)
    asked = dataclasses.replace(recipe, learner=learner, evaluation=evaluation).with_train(seed=seed)
    name = f"{recipe.name}-lr{lr:g}-seed{seed}"
    return Job(f"{kind}-{name}", out / kind / name, asked)


def _chosen(
    pilots: Mapping[tuple[Arm, float, int], Job], rates: Mapping[Arm, Sequence[float]], seeds: Sequence[int]
) -> tuple[dict[Arm, float], dict[Arm, dict[str, float]]]:
    """The learning rate with the best mean outcome of its pilots, by arm, and all those means."""
    chosen: dict[Arm, float] = {}
    tuning: dict[Arm, dict[str, float]] = {}
    for arm in ARMS:
        means = {lr: [_end(pilots[arm, lr, seed].folder) for seed in seeds] for lr in rates[arm]}
        tuning[arm] = {f"{lr:g}": float(np.mean(ends)) for lr, ends in means.items() if ends}
        chosen[arm] = max(means, key=lambda lr: float(np.mean(means[lr]))) if seeds else rates[arm][0]
    return chosen, tuning


def _end(folder: Path) -> float:
    from palaestra.harness.compare import find_samples

    return find_samples([folder])[0].mean


def _notes(scale: Scale, arms: Arms, held_out: str, split: str) -> list[str]:
    notes = []
    if scale.short:
        notes.append("A smoke run: everything happens, for a few steps. Its figures say nothing about the claim.")
    if not scale.tune:
        notes.append(
            "Learning rates are those of the recipes (method "
            f"{arms.method.learner.lr:g}, baseline {arms.baseline.learner.lr:g}); --tune chooses both from a grid."
        )
    if scale.pilots and held_out == split:
        notes.append(f"Pilots and the other runs were judged on the same split, {split}.")
    return notes


def _at_edge(rates: Mapping[Arm, Sequence[float]], chosen: Mapping[Arm, float]) -> list[str]:
    return [
        f"The best learning rate of the {arm}, {chosen[arm]:g}, is at the edge of its grid; a wider one (--lr-grid) "
        "may be fairer to it."
        for arm in ARMS
        if chosen[arm] in (min(rates[arm]), max(rates[arm]))
    ]
