"""The table that ends a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from palaestra.harness.run_folder import Run

__all__ = ["kinds_table", "summary_table"]

_MOST_KINDS = 60


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


def kinds_table(runs: Sequence[Run]) -> Table | None:
    """One row a kind of task: each agent's mean outcome over its valid episodes, and how many these are.

    None where there are no tasks of several kinds, as an environment of language says by `task.metadata["kind"]`.
    """
    from rich.table import Table

    from palaestra import registration

    if not runs or registration.card(runs[0].env_id).interface != "text":
        return None
    found = [_outcomes_by_kind(run) for run in runs]
    kinds = sorted({kind for outcomes in found for kind in outcomes})
    if not 1 < len(kinds) <= _MOST_KINDS:
        return None
    table = Table(title="outcome by kind of task (episodes)", title_justify="left")
    table.add_column("kind")
    for run in runs:
        table.add_column(run.agent, justify="right")
    for kind in kinds:
        cells = [outcomes.get(kind, []) for outcomes in found]
        table.add_row(kind, *(f"{sum(cell) / len(cell):.3f} ({len(cell)})" if cell else "-" for cell in cells))
    return table


def _outcomes_by_kind(run: Run) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for episode in run.episodes():
        kind = None if episode.task is None else episode.task.metadata.get("kind")
        if kind is not None and episode.outcome is not None:
            found.setdefault(str(kind), []).append(float(episode.outcome))
    return found


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
