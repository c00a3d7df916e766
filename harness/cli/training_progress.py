"""Progress while a model is trained: bars in a terminal, a line a step elsewhere."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import click

from palaestra.harness.cli.common import progress_bars
from palaestra.harness.training.listener import Listener

__all__ = ["TrainingProgress"]

_FIGURES = (
    ("train/outcome", "outcome"),
    ("train/reward", "reward"),
    ("learner/kl", "kl"),
    ("learner/entropy", "entropy"),
    ("train/turns", "turns"),
)
_OUTCOME = re.compile(r"eval(-[^/]+)?/outcome")
_QUIET = 15.0  # seconds between plain lines about the parts of something long


class TrainingProgress(Listener):
    """Draws how training goes.

    Args:
        steps: How many steps there will be.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._lock = threading.Lock()
        self._bars: Any = None
        self._main: Any = None
        self._part: Any = None
        self._name, self._done, self._total, self._told = "", 0, 0, 0.0

    def __enter__(self) -> TrainingProgress:
        if sys.stderr.isatty():
            self._bars = progress_bars()
            self._main = self._bars.add_task("training", total=self._steps, figures="")
            self._part = self._bars.add_task("", total=None, figures="", visible=False)
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def note(self, text: str) -> None:
        """See `Listener.note`."""
        if self._bars is not None:
            self._bars.console.print(text)
        else:
            click.echo(text, err=True)

    def phase(self, name: str, total: int) -> None:
        """See `Listener.phase`."""
        with self._lock:
            long = not name.startswith("step ")
            self._name, self._done, self._total, self._told = name, 0, total, time.monotonic()
            if self._bars is not None:
                self._bars.reset(self._part, description=name, total=total or None, visible=True, figures="")
            elif long:
                click.echo(f"{name}: {total} to do", err=True)

    def advance(self, **figures: float) -> None:
        """See `Listener.advance`."""
        with self._lock:
            self._done += 1
            shown = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
            if self._bars is not None:
                self._bars.update(self._part, advance=1, figures=shown)
            elif time.monotonic() - self._told > _QUIET:
                self._told = time.monotonic()
                click.echo(f"{self._name}: {self._done}/{self._total}  {shown}".rstrip(), err=True)

    def step(self, row: Mapping[str, float], steps: int) -> None:
        """See `Listener.step`."""
        number = int(row["step"])
        parts = [f"{label} {row[name]:.3f}" for name, label in _FIGURES if name in row]
        if row.get("train/failed"):
            parts.append(f"{row['train/failed']:.0f} failed")
        if "learner/nothing_to_learn" in row:
            parts.append("nothing to learn")
        measured = [_held_out(row, name.removesuffix("/outcome")) for name in row if _OUTCOME.fullmatch(name)]
        held_out = "  ".join(measured)
        if self._bars is not None:
            self._bars.update(self._main, completed=number, total=steps, figures="  ".join(parts))
            if held_out:
                self._bars.console.print(f"step {number}: {held_out}")
        else:
            click.echo("  ".join([f"step {number}/{steps}", *parts, *filter(None, [held_out])]), err=True)


def _held_out(row: Mapping[str, float], place: str) -> str:
    text = f"held-out outcome{place.removeprefix('eval').replace('-', ' of ', 1)} {row[f'{place}/outcome']:.3f}"
    if f"{place}/outcome_low" in row:
        text += f" [{row[f'{place}/outcome_low']:.3f}, {row[f'{place}/outcome_high']:.3f}]"
    return text
