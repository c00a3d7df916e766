"""The table that ends a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from palaestra.harness.run_folder import Run

__all__ = ["summary_table"]


def summary_table(runs: Sequence[Run]) -> Table:
    """One row an agent: mean outcome over valid episodes with its interval, the bound with failures as 0, counts."""
    from rich.table import Table

    table = Table(title=runs[0].env_id if runs else None, title_justify="left")
    table.add_column("agent")
    for column in ("episodes", "outcome", "95% interval", "failed", "failures as 0"):
        table.add_column(column, justify="right")
    for run in runs:
        table.add_row(run.agent, *_figures(run))
    return table


def _figures(run: Run) -> tuple[str, ...]:
    import numpy as np

    from palaestra.harness.report.statistics import mean_interval

    valid = [entry for entry in run.entries if entry.outcome is not None]
    failed = sum(entry.status == "failed" for entry in run.entries)
    count = str(len(run.entries))
    if not valid:
        return count, "-", "-", str(failed), "-"
    outcomes = [float(entry.outcome) for entry in valid if entry.outcome is not None]
    groups = [entry.episode_id.rpartition("#")[0] for entry in valid]
    interval = mean_interval(outcomes, np.random.default_rng(0), groups=groups)
    shown = "-" if interval is None else f"{interval.low:.3f} to {interval.high:.3f}"
    mean = sum(outcomes) / len(outcomes)
    bound = sum(outcomes) / (len(outcomes) + failed)
    return count, f"{mean:.3f}", shown, str(failed), f"{bound:.3f}"
