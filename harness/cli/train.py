"""`palaestra train`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from palaestra.harness.cli.common import new_folder
from palaestra.harness.schedule import slug

if TYPE_CHECKING:
    from palaestra.harness.training.recipe import Recipe


@click.command("train")
@click.argument("recipe", type=click.Path(path_type=Path), metavar="RECIPE")
@click.option("--out", type=click.Path(path_type=Path), help="Where to record.  [default: runs/TIME-NAME-SEED]")
@click.option("--seed", type=int, metavar="N", help="Everything random follows from it; wins over the recipe.")
@click.option("--steps", type=int, metavar="N", help="How many updates; wins over the recipe. With --resume a finished "
              "run goes on.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Another value for a key of the "
              "recipe, as in --set learner.lr=1e-4; repeatable.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the run in --out, from its newest checkpoint.")
@click.option("--report/--no-report", default=True, help="Whether to write report.html.", show_default=True)
def command(
    recipe: Path,
    out: Path | None,
    seed: int | None,
    steps: int | None,
    overrides: tuple[str, ...],
    resume: bool,
    report: bool,
) -> int:
    r"""Train a language model by a recipe, a TOML file that names environment, model, credit, advantage and learner.

    The run folder gets a line of metrics a step (metrics.jsonl, and TensorBoard where it is installed), checkpoints,
    evaluations on held-out tasks as ordinary runs (eval/step-N, at step 0 too), and the trained policy (model/), which
    plays as transformers:OUT/model. A RECIPE may also be a run folder, to go on with that run.

    Ctrl-C ends after the current step with a checkpoint. A killed run goes on with --resume; where the recipe has
    rollout.deterministic = true, its numbers are those of a run that was never killed.

    \b
    Examples:
      palaestra train recipes/search-igpo-small.toml
      palaestra train recipes/search-igpo-small.toml --seed 1 --out runs/igpo-1
      palaestra train recipes/search-igpo-small.toml --set learner.lr=1e-4 --set rollout.group_size=16
      palaestra train runs/igpo-1 --resume --steps 400
      palaestra compare runs/igpo-* runs/outcome-*
    """
    from palaestra.harness.cli.training_progress import TrainingProgress
    from palaestra.harness.training.loop import train

    if (recipe / "recipe.toml").is_file():
        if out is not None and out.resolve() != recipe.resolve():
            raise click.UsageError(f"{recipe} is a run folder, so its run goes on in it; leave --out away.")
        if not resume:
            raise click.UsageError(f"{recipe} is a run folder. Go on with its run by --resume.")
        recipe, out = recipe / "recipe.toml", recipe
    if resume and out is None:
        raise click.UsageError("--resume needs --out: the folder of the run to go on with.")
    asked = _recipe(recipe, overrides, seed, steps)
    folder = out or new_folder(f"{slug(asked.name)}-{asked.train.seed}")
    with TrainingProgress(asked.train.steps) as progress:
        ended = train(asked, folder, resume=resume, listener=progress)
    click.echo(f"{asked.name}: {ended.status} after step {ended.step} of {asked.train.steps}: {folder}")
    if report and ended.rows:
        from palaestra.harness.report.training import write_training_report

        click.echo(f"Report: {write_training_report(folder)}")
    if ended.status != "finished":
        # Its recipe.toml has all that was asked, --seed, --steps and --set, too.
        click.echo(f"Go on with:\n  {shlex.join(['palaestra', 'train', str(folder), '--resume'])}", err=True)
        return 130
    return 0


def _recipe(path: Path, overrides: tuple[str, ...], seed: int | None, steps: int | None) -> Recipe:
    from palaestra.harness.training.recipe import load_recipe

    extra = [f"train.{name}={value}" for name, value in (("seed", seed), ("steps", steps)) if value is not None]
    return load_recipe(path, (*overrides, *extra))
