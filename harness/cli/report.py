"""`palaestra report`."""

from __future__ import annotations

from pathlib import Path

import click

from palaestra.harness.cli.common import console


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--out", type=click.Path(path_type=Path), help="A folder, or a .html file.  [default: the first RUN]")
def command(runs: tuple[Path, ...], out: Path | None) -> None:
    r"""Write the report of recorded runs: one self-contained page, and the figures as JSON.

    A RUN is a run folder, or a folder of run folders. A training run's report shows its curves; each training run gets
    a page of its own.

    \b
    Examples:
      palaestra report runs/20260101-120000-FactbookSearch-v0
      palaestra report runs/oracle runs/smollm2 --out comparison.html
      palaestra report runs/igpo-0
    """
    from palaestra.harness.cli.summary import summary_table
    from palaestra.harness.report import write_report
    from palaestra.harness.run_folder import find_runs, is_training

    trained = [path for path in runs if is_training(path)]
    if trained:
        _trainings(runs, trained, out)
        return
    found = find_runs(runs)
    console().print(summary_table(found))
    click.echo(f"Report: {write_report(found, out or runs[0])}")


def _trainings(runs: tuple[Path, ...], trained: list[Path], out: Path | None) -> None:
    from palaestra.harness.report.training import write_training_report

    if len(trained) < len(runs) or (out is not None and len(runs) > 1):
        raise click.UsageError("Training runs have a page each: give them without other runs and without --out.")
    for path in trained:
        click.echo(f"Report: {write_training_report(path, out)}")
