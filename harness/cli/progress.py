"""Progress while a run goes on: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import click

from palaestra.harness.cli.common import progress_bars
from palaestra.harness.runner import Finished

__all__ = ["Progress"]

_QUIET = 15.0  # seconds between plain lines
_REDRAW = 0.1  # seconds between drawings of bars that do not tick


class _Tally:
    """One agent's figures so far."""

    def __init__(self) -> None:
        self.done = self.total = self.failed = self.judged = 0
        self.outcomes = self.returns = 0.0
        self.valid = 0

    def add(self, episodes: Sequence[Finished]) -> None:
        for episode in episodes:
            if not episode.valid:
                self.failed += 1
                continue
            self.valid += 1
            self.returns += episode.episode_return
            if episode.outcome is not None:
                self.judged += 1
                self.outcomes += episode.outcome

    @property
    def text(self) -> str:
        if self.judged:
            figure = f"outcome {self.outcomes / self.judged:.3f}"
        elif self.valid:
            figure = f"return {self.returns / self.valid:.3f}"
        else:
            figure = ""
        return ", ".join(part for part in (figure, f"{self.failed} failed" if self.failed else "") if part)


class Progress:
    """One line an agent: worlds done, mean outcome so far, failures.

    Args:
        agents: Their names, in the order in which they play.
        ticking: Whether clocks go on between worlds. That takes a thread, beside which no worker can be forked.
    """

    def __init__(self, agents: Sequence[str], *, ticking: bool = True) -> None:
        self._agents, self._ticking = agents, ticking
        self._lock = threading.Lock()
        self._tallies = {agent: _Tally() for agent in agents}
        self._told = 0.0
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._bars = progress_bars(ticking=self._ticking)
            for agent in self._agents:
                self._tasks[agent] = self._bars.add_task(agent, start=False, total=None, figures="")
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def start(self, agent: str, done: int, total: int) -> None:
        """The agent begins; some worlds may already be there from an earlier session."""
        tally = self._tallies[agent]
        tally.done, tally.total = done, total
        if self._bars is not None:
            self._bars.update(self._tasks[agent], completed=done, total=total)
            self._bars.start_task(self._tasks[agent])
        else:
            there = f", {done} already there" if done else ""
            click.echo(f"{agent}: {total} to play{there}", err=True)
            self._told = time.monotonic()

    def add(self, agent: str, episodes: Sequence[Finished]) -> None:
        """A world of this agent is recorded."""
        with self._lock:
            tally = self._tallies[agent]
            tally.add(episodes)
            if episodes[0].attempt == 0 or episodes[0].valid:
                tally.done = min(tally.total, tally.done + 1)
            if self._bars is not None:
                self._bars.update(self._tasks[agent], completed=tally.done, figures=tally.text)
                if not self._ticking and (tally.done == tally.total or time.monotonic() - self._told > _REDRAW):
                    self._told = time.monotonic()
                    self._bars.refresh()
            elif tally.done == tally.total or time.monotonic() - self._told > _QUIET:
                self._told = time.monotonic()
                click.echo(f"{agent}: {tally.done}/{tally.total}, {tally.text}", err=True)
