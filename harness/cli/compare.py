"""`palaestra compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from palaestra.harness.cli.common import console

if TYPE_CHECKING:
    from rich.table import Table

    from palaestra.harness.compare import Contrast, Figures
    from palaestra.harness.report.statistics import Interval


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--at", type=int, metavar="STEP", help="Which step's evaluation of training runs.  [default: the last]")
@click.option("--out", type=click.Path(path_type=Path), help="A folder, or a .html file.  [default: comparison.html "
              "beside the first RUN]")  # fmt: skip
def command(runs: tuple[Path, ...], at: int | None, out: Path | None) -> None:
    r"""Compare training runs, or ordinary runs: which method is better, and can it be told?

    A RUN is a run folder, or a folder of run folders. Training runs of one recipe are its seeds; ordinary runs are
    told apart by their agents. All must have been evaluated on the same environment and split.

    For each method: the mean and the interquartile mean with intervals over seeds (over tasks where there is one seed),
    and the gain over its own step 0. For each pair: the difference on the same tasks, twice. Over tasks it says whether
    these very policies differ; over seeds (at least two each, five are better) whether the methods do.

    \b
    Examples:
      palaestra compare runs/igpo-* runs/outcome-*
      palaestra compare runs/igpo-* runs/outcome-* --at 100 --out igpo.html
      palaestra compare runs/oracle runs/smollm2
    """
    from palaestra.harness.compare import compare, find_samples
    from palaestra.harness.report.comparison import write_comparison

    figures = compare(find_samples(runs, at))
    for table in _tables(figures):
        console().print(table)
    for note in figures.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(f"Comparison: {write_comparison(figures, out or runs[0].resolve().parent)}")


def _tables(figures: Figures) -> list[Table]:
    from rich.table import Table

    methods = Table(title=figures.environment, title_justify="left")
    methods.add_column("method")
    for column in ("seeds", "step", "tasks", "mean", "95% interval", "iqm", "95% interval", "failed"):
        methods.add_column(column, justify="right")
    for method in figures.methods:
        methods.add_row(
            method.name,
            str(len(method.seeds)),
            str(method.step),
            str(method.tasks),
            f"{method.mean:.3f}",
            _span(method.mean_interval),
            f"{method.iqm:.3f}",
            _span(method.iqm_interval),
            str(method.failed),
        )
    rows = [(f"{method.name} minus its start", method.gain) for method in figures.methods if method.gain is not None]
    rows += [(f"{one.first} minus {one.second}", one.contrast) for one in figures.comparisons]
    if not rows:
        return [methods]
    contrasts = Table(title="differences on the same tasks", title_justify="left")
    contrasts.add_column("")
    for column in ("mean", "95% over tasks", "p", "95% over seeds", "p"):
        contrasts.add_column(column, justify="right")
    for name, contrast in rows:
        contrasts.add_row(name, *_cells(contrast))
    return [methods, contrasts]


def _cells(contrast: Contrast) -> list[str]:
    tasks, seeds = contrast.tasks, contrast.seeds
    return [
        f"{tasks.mean:+.3f}",
        _span(tasks.interval, "+"),
        f"{contrast.p_tasks:.3f}",
        _span(None if seeds is None else seeds.interval, "+"),
        "-" if seeds is None else f"{seeds.p:.3f}" + ("" if contrast.paired else " (Welch)"),
    ]


def _span(interval: Interval | None, sign: str = "") -> str:
    return "-" if interval is None else f"{interval.low:{sign}.3f} to {interval.high:{sign}.3f}"
