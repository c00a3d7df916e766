"""Finished training runs as pairs: method and baseline with one seed, one start, one set of held-out tasks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from palaestra.errors import ConfigError, RecordError
from palaestra.harness.compare import Sample, find_samples
from palaestra.harness.manifest import differences
from palaestra.harness.reproduce.arms import ARMS, Arm, arm_of
from palaestra.harness.reproduce.claim import Claim
from palaestra.harness.run_folder import is_training
from palaestra.harness.training.recipe import without

__all__ = ["Pair", "find_pairs", "read_pair"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs that differ in the reward alone.

    Attributes:
        seed: Of both.
        method: The method's mean outcome on the tasks that both have, after training.
        baseline: The baseline's.
        start: That of the policy that both began with; None where it was not measured.
        tasks: How many tasks both have.
        failed: Episodes of the two evaluations that failed; they are in no mean.
        step: After how many updates.
        curves: (step, mean outcome) of all evaluations, by arm.
        folders: The training runs, by arm.
    """

    seed: int
    method: float
    baseline: float
    start: float | None
    tasks: int
    failed: int
    step: int
    curves: dict[Arm, list[tuple[float, float]]]
    folders: dict[Arm, str]

    @property
    def difference(self) -> float:
        """Method minus baseline."""
        return self.method - self.baseline


def read_pair(method: Path, baseline: Path) -> Pair:
    """Reads two training runs at their last evaluation.

    Raises:
        RecordError: One has no evaluation, or cannot be read.
        ConfigError: They do not make a pair: other seeds, starts, lengths, or held-out tasks.
    """
    samples: dict[Arm, Sample] = {}
    for arm, folder in zip(ARMS, (method, baseline), strict=True):
        (samples[arm],) = find_samples([folder])
    ours, theirs = samples["method"], samples["baseline"]
    both = f"{method} and {baseline} are no pair"
    if ours.seed != theirs.seed:
        raise ConfigError(f"{both}: their seeds are {ours.seed} and {theirs.seed}.")
    if ours.step != theirs.step:
        raise ConfigError(f"{both}: they were evaluated after {ours.step} and {theirs.step} steps. Finish both alike.")
    other = list(differences(dict(theirs.asked), dict(ours.asked)))
    if other:
        raise ConfigError(f"{both}: they were evaluated on other tasks ({'; '.join(other)}).")
    shared = sorted(ours.outcomes.keys() & theirs.outcomes.keys())
    every = max(len(ours.outcomes), len(theirs.outcomes))
    # Failed episodes may cost a task on one side; other tasks are another experiment.
    if len(shared) < max(1, every // 2):
        raise ConfigError(f"{both}: of {every} held-out tasks they share {len(shared)}. Use one evaluation.seed.")
    if (first := _start(method)) != (second := _start(baseline)) and None not in (first, second):
        raise ConfigError(f"{both}: they began with different weights (start/). Use one warm_start for both.")
    began = [ours.start[task] for task in shared if task in ours.start] if ours.start is not None else []
    return Pair(
        ours.seed,
        float(np.mean([ours.outcomes[task] for task in shared])),
        float(np.mean([theirs.outcomes[task] for task in shared])),
        float(np.mean(began)) if began else None,
        len(shared),
        ours.failed + theirs.failed,
        ours.step,
        {arm: list(samples[arm].curve) for arm in ARMS},
        {"method": str(method), "baseline": str(baseline)},
    )


def find_pairs(claim: Claim, paths: Sequence[str | os.PathLike[str]]) -> tuple[list[Pair], list[str], dict[Arm, Any]]:
    """Pairs among finished training runs.

    Args:
        claim: Says which credit and advantage make which arm.
        paths: Training runs, or folders of them.

    Returns:
        The pairs by seed; what a reader should know; and the recipe of each arm as its first run recorded it.

    Raises:
        ConfigError: Two runs of one arm have the same seed, runs of one arm differ in more than the seed, or there is
            no pair.
        RecordError: There is no training run at a path.
    """
    arms: dict[Arm, dict[int, Path]] = {arm: {} for arm in ARMS}
    recipes: dict[Arm, Any] = {}
    notes: list[str] = []
    for folder in _trainings(paths):
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        recipe = manifest["recipe"]
        arm = arm_of(claim, recipe["credit"]["name"], recipe["advantage"]["name"])
        if arm is None:
            notes.append(
                f"{folder} is neither arm: {recipe['credit']['name']} with {recipe['advantage']['name']}. Left out."
            )
            continue
        if manifest["status"] != "finished":
            notes.append(f"{folder} is not finished ({manifest['status']}). Left out.")
            continue
        seed = int(manifest["seed"])
        if seed in arms[arm]:
            raise ConfigError(f"{arms[arm][seed]} and {folder} are both the {arm} with seed {seed}. Give one of them.")
        arms[arm][seed] = folder
        first = recipes.setdefault(arm, recipe)
        changed = list(differences(_comparable(first), _comparable(recipe)))
        if changed:
            raise ConfigError(
                f"{folder} is no further seed of the {arm}, for it differs from the first run in: {'; '.join(changed)}."
            )
    shared = sorted(arms["method"].keys() & arms["baseline"].keys())
    for arm in ARMS:
        alone = sorted(arms[arm].keys() - set(shared))
        if alone:
            notes.append(f"The {arm} has seeds that the other arm lacks: {', '.join(map(str, alone))}. Left out.")
    if not shared:
        raise ConfigError(
            f"Among {', '.join(map(str, paths))} is no seed with both arms of '{claim.name}': credit "
            f"{' with '.join(claim.design)}, and credit {' with '.join(claim.baseline_design)}."
        )
    other = list(differences(_fair(recipes["baseline"]), _fair(recipes["method"])))
    if other:
        raise ConfigError(
            f"Method and baseline differ in more than reward and learner (baseline first): {'; '.join(other)}."
        )
    return [read_pair(arms["method"][seed], arms["baseline"][seed]) for seed in shared], notes, recipes


def _trainings(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, paths):
        here = [path] if is_training(path) else sorted(child for child in path.glob("*") if is_training(child))
        if not here:
            raise RecordError(f"{path} holds no training run, nor does a folder directly below.")
        found += here
    return list(dict.fromkeys(found))


def _comparable(recipe: dict[str, Any]) -> dict[str, Any]:
    """What runs of one arm have in common."""
    return without(recipe, "name", "description", "train.seed", "train.keep", "train.checkpoint_every")


def _fair(recipe: dict[str, Any]) -> dict[str, Any]:
    """What the two arms have in common."""
    return without(_comparable(recipe), "credit", "advantage", "learner")


def _start(folder: Path) -> str | None:
    """A digest of the weights that a run began with; None where they are not kept."""
    files = sorted((folder / "start").glob("*.safetensors"))
    if not files:
        return None
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
