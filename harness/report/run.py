"""What a report is made from: one agent's run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palaestra.episodes import Episode
from palaestra.harness.run_folder import Run

__all__ = ["ReportRun"]


@dataclass(frozen=True, slots=True)
class ReportRun:
    """One agent's run, as a report reads it.

    Attributes:
        name: The agent, as written on the command line.
        manifest: What was run: environment, versions, seed, machine.
        episodes: Its episodes, the last attempt of each. Gone through twice: once for the figures, and once more for
            the transcripts that are shown; they need not be in memory.
        timings: Wall time of worlds in seconds, by world id.
    """

    name: str
    manifest: Mapping[str, Any]
    episodes: Iterable[Episode]
    timings: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str | Path) -> ReportRun:
        """The run in a folder; its episodes are read as they are needed.

        Raises:
            RecordError: There is no run in it, or it is damaged.
        """
        return cls.of(Run.open(path))

    @classmethod
    def of(cls, run: Run) -> ReportRun:
        """An opened run folder, as a report reads it."""
        # Later lines are later attempts.
        seconds = {line["world_id"]: float(line["seconds"]) for line in run.timings() if "seconds" in line}
        return cls(run.agent, {**run.manifest, "digest": run.digest()}, _Stored(run), seconds)


class _Stored:
    """A run folder's episodes, read anew at each pass."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __iter__(self) -> Iterator[Episode]:
        return self._run.episodes()
