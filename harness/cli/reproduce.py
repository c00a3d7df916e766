"""`palaestra reproduce`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from palaestra.harness.reproduce.claim import Claim
    from palaestra.harness.reproduce.experiment import Experiment


# fmt: off
@click.command("reproduce")
@click.argument("claim", metavar="CLAIM")
@click.option("--out", type=click.Path(path_type=Path),
              help="Where everything goes.  [default: claims/CLAIM, with -smoke, -full or -control where asked for]")
@click.option("--training", type=click.Path(path_type=Path), metavar="DIR",
              help="Where the training runs go. Claims with one DIR train their common baseline once.  [default: OUT]")
@click.option("--control", "control_only", is_flag=True, help="The positive control alone: seconds, no training.")
@click.option("--smoke", is_flag=True, help="Two seeds of a few steps: shows that everything works, decides nothing.")
@click.option("--full", is_flag=True, help="Ten seeds, three pilots, learning rates tuned for both arms; for hours.")
@click.option("--runs", multiple=True, type=click.Path(path_type=Path), metavar="PATH",
              help="Judge finished training runs (or folders of them) and train nothing; repeatable.")
@click.option("--seeds", type=int, metavar="N", help="Paired runs.  [default: 5; 2 by --smoke, 10 by --full]")
@click.option("--pilots", type=int, metavar="N",
              help="Paired pilot runs, for power and tuning; their seeds are used for nothing else.  "
              "[default: 2; 0 by --smoke, 3 by --full]")
@click.option("--pilot-steps", type=int, metavar="N",
              help="Steps of a pilot run, where time is short.  [default: as many as a run's]")
@click.option("--tune", is_flag=True, help="Choose both arms' learning rates from grids of one size, by the pilots.")
@click.option("--lr-grid", metavar="A,B,C",
              help="The grid, for both arms, e.g. 1e-4,3e-4,1e-3.  [default: the recipe's own times 1/3, 1, 3]")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, metavar="N",
              help="Runs at a time, each with one thread. On a GPU, 1.")
@click.option("--recipes", type=click.Path(path_type=Path), default=Path("recipes"), show_default=True,
              help="Folder of the claims' recipes.")
@click.option("--on", type=click.Path(path_type=Path), metavar="RECIPE",
              help="Take all but credit and advantage of both arms from this recipe: another model, task or length.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE",
              help="Another value for a key of both recipes; repeatable.")
@click.option("--held-out", default="test", show_default=True, type=click.Choice(["test", "val"]),
              help="The split that decides. Pilots are judged on the recipes' own.")
def command(
    claim: str,
    out: Path | None,
    training: Path | None,
    control_only: bool,
    smoke: bool,
    full: bool,
    runs: tuple[Path, ...],
    seeds: int | None,
    pilots: int | None,
    pilot_steps: int | None,
    tune: bool,
    lr_grid: str | None,
    jobs: int,
    recipes: Path,
    on: Path | None,
    overrides: tuple[str, ...],
    held_out: str,
) -> int:
    r"""Test a paper's claim: igpo, stratified, spa, or toolrl.

    First the positive control: a small environment in which the effect is provable, and must be found. If it is not,
    nothing is trained. Then pilot runs, which say how many seeds are needed. Then method and baseline with the same
    seeds, the same start and the same held-out tasks, and a verdict by a rule that was written before: confirmed, not
    confirmed, or undecided.

    OUT gets claim.html, claim.md and claim.json, and the training runs in pilots/ and runs/, or these go to DIR.
    Whatever is finished is not repeated: an interrupted experiment goes on by the same command.

    \b
    Examples:
      palaestra reproduce igpo --control
      palaestra reproduce stratified --smoke
      palaestra reproduce igpo --full --jobs 2
      palaestra reproduce spa --seeds 8 --tune --lr-grid 1e-4,3e-4,1e-3
      palaestra reproduce igpo --tune --training claims/training
      palaestra reproduce stratified --tune --training claims/training
      palaestra reproduce igpo --runs runs/igpo --runs runs/outcome
      palaestra reproduce igpo --on recipes/search-igpo-smollm2.toml --jobs 1
    """
    from palaestra.harness.reproduce.claims import find_claim, run_control
    from palaestra.harness.reproduce.report import write_claim
    from palaestra.harness.reproduce.result import result_of

    if sum((smoke, full, control_only, bool(runs))) > 1:
        raise click.UsageError("--control, --smoke, --full and --runs exclude one another; give one of them.")
    found = find_claim(claim)
    kind = "-smoke" * smoke + "-full" * full + "-control" * control_only
    folder = out or Path("claims") / f"{found.name}{kind}"
    asked = shlex.join(["palaestra", *sys.argv[1:]])

    # Whatever is wrong with what was asked is said before anything runs.
    experiment, train = None, None
    if runs:
        from palaestra.harness.reproduce.experiment import finished_experiment

        experiment = finished_experiment(found, runs)
    elif not control_only:
        train = _training(found, training or folder, (smoke, full), seeds, pilots, pilot_steps, tune, lr_grid, jobs,
                          recipes, on, overrides, held_out)
    _tell(f"{found.title}: {found.sentence}")
    control = run_control(found)
    for check in control.checks:
        _tell(f"  {'passed' if check.passed else 'FAILED'}  {check.what}: {check.value:.3g}")
    if train is not None and control.passed:
        experiment = train()
    elif train is not None:
        _tell("The positive control failed, so nothing is trained.")
    result = result_of(found, control, experiment)
    page = write_claim(result, folder, asked)
    if experiment is not None:
        click.echo(f"{found.name}: {result.judgement.verdict}. {result.judgement.why}")
    else:
        click.echo(f"{found.name}: the positive control {'passed' if control.passed else 'failed'}.")
    click.echo(f"Report: {page}")
    return 0 if control.passed else 3


# fmt: on
def _training(
    claim: Claim,
    folder: Path,
    kind: tuple[bool, bool],
    seeds: int | None,
    pilots: int | None,
    pilot_steps: int | None,
    tune: bool,
    lr_grid: str | None,
    jobs: int,
    recipes: Path,
    on: Path | None,
    overrides: tuple[str, ...],
    held_out: str,
) -> Callable[[], Experiment]:
    from dataclasses import replace

    from palaestra.harness.reproduce.arms import load_arms
    from palaestra.harness.reproduce.experiment import SCALES, run_experiment
    from palaestra.harness.reproduce.jobs import Stopped
    from palaestra.harness.reproduce.report import power_words
    from palaestra.harness.reproduce.result import power_of

    grid = _grid(lr_grid)
    scale = SCALES["smoke" if kind[0] else "full" if kind[1] else "default"]
    scale = replace(
        scale,
        seeds=scale.seeds if seeds is None else seeds,
        pilots=scale.pilots if pilots is None else pilots,
        tune=scale.tune or tune or lr_grid is not None,
        pilot_steps=pilot_steps,
    )

    arms = load_arms(claim, recipes, on=on, overrides=overrides)

    def on_pilots(experiment: Experiment) -> None:
        power = power_of(experiment.pilots, (), claim.smallest, scale.seeds)
        _tell("Power: not known from these pilots." if power is None else power_words(power, claim.smallest))

    def train() -> Experiment:
        try:
            return run_experiment(
                claim,
                arms,
                folder,
                scale,
                held_out=held_out,
                grid=grid,
                at_once=jobs,
                tell=_tell,
                on_pilots=on_pilots,
            )
        except Stopped as error:
            _tell(str(error))
            raise click.Abort from error

    return train


def _grid(text: str | None) -> tuple[float, ...]:
    try:
        rates = tuple(float(part) for part in text.split(",")) if text is not None else ()
    except ValueError:
        rates = (0.0,)
    if any(not 0 < rate < 1 for rate in rates) or len(set(rates)) < len(rates):
        raise click.UsageError(
            f"--lr-grid {text} is no grid; write different rates in (0, 1), as in --lr-grid 1e-4,3e-4,1e-3."
        )
    return rates


def _tell(text: str) -> None:
    click.echo(text, err=True)
