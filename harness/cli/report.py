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

    A RUN is a run folder, or a folder of run folders.

    \b
    Examples:
      palaestra report runs/20260101-120000-FactbookSearch-v0
      palaestra report runs/oracle runs/smollm2 --out comparison.html
    """
    from palaestra.harness.cli.summary import summary_table
    from palaestra.harness.report import write_report
    from palaestra.harness.run_folder import find_runs

    found = find_runs(runs)
    console().print(summary_table(found))
    click.echo(f"Report: {write_report(found, out or runs[0])}")
