"""`palaestra score`."""

from __future__ import annotations

from pathlib import Path

import click

from palaestra.harness.cli.common import console


@click.command("score")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--reward", "rewards", multiple=True, required=True, metavar="NAME[:WEIGHT]", help="Repeatable.")
@click.option("--out", type=click.Path(path_type=Path), help="The scores file, for one RUN.  [default: RUN/scores/...]")
def command(runs: tuple[Path, ...], rewards: tuple[str, ...], out: Path | None) -> None:
    r"""Score recorded runs by other rewards. The runs stay as they are; the scores go to a new file.

    \b
    Examples:
      palaestra score runs/smollm2 --reward format
      palaestra score runs/smollm2 --reward outcome --reward format:0.2 --out scores.jsonl
    """
    from rich.table import Table

    from palaestra.harness.rescore import rescore
    from palaestra.harness.run_folder import find_runs

    found = find_runs(runs)
    if out is not None and len(found) > 1:
        raise click.UsageError("--out names one file, and there are several runs.")
    results = {run.path: rescore(run, rewards, out=out) for run in found}
    table = Table("", *(run.agent for run in found))
    for name in next(iter(results.values())).means:
        table.add_row(f"mean {name}", *(f"{result.means.get(name, 0.0):.3f}" for result in results.values()))
    for name in ("scored", "unscored", "failed"):
        table.add_row(f"episodes {name}", *(str(getattr(result, name)) for result in results.values()))
    console().print(table)
    for result in results.values():
        click.echo(result.path)
