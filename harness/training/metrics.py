"""Metrics of a training run: one JSON line a step, and TensorBoard where it is installed.

`metrics.jsonl` holds what follows from recipe and seed alone, so that two equal runs have equal files; what the clock
says is in `timings.jsonl`. Values that are not finite are left out of a row, and counted in `not_finite`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palaestra.errors import RecordError
from palaestra.records import dump_line

__all__ = ["MetricsWriter", "read_metrics"]


def read_metrics(folder: str | Path, name: str = "metrics.jsonl") -> list[dict[str, float]]:
    """The rows of a training run, by step; a torn last line is no row.

    Raises:
        RecordError: The file is damaged elsewhere than in its last line.
    """
    path = Path(folder) / name
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    rows = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise RecordError(f"{path}, line {number} is not JSON ({error}); restore it from a copy.") from error
    return rows


class MetricsWriter:
    """Appends rows.

    Args:
        folder: Of the training run.
        after: Rows of later steps are dropped first: a resumed run makes them anew. None keeps no row at all.

    Attributes:
        note: Why there is no TensorBoard; "" where there is one.
    """

    def __init__(self, folder: Path, after: int | None) -> None:
        self._files = []
        for name in ("metrics.jsonl", "timings.jsonl"):
            kept = [] if after is None else [row for row in read_metrics(folder, name) if row["step"] <= after]
            draft = folder / f".{name}"
            draft.write_bytes(b"".join(map(dump_line, kept)))
            os.replace(draft, folder / name)
            self._files.append((folder / name).open("ab"))
        self.note = ""
        self._board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.note = (
                "TensorBoard is not installed; metrics.jsonl has it all. For curves: pip install 'palaestra[train]'"
            )
        else:
            make: Any = SummaryWriter
            self._board = make(str(folder / "tensorboard"), purge_step=None if after is None else after + 1)

    def write(self, step: int, values: Mapping[str, float], timings: Mapping[str, float]) -> dict[str, float]:
        """Writes a step's row, and returns it."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        row = {"step": step, **finite}
        if lost := len(values) - len(finite):
            row["not_finite"] = lost
        for file, data in zip(self._files, (row, {"step": step, **timings}), strict=True):
            file.write(dump_line(data))
            file.flush()
            os.fsync(file.fileno())
        if self._board is not None:
            for name, value in {**finite, **{f"time/{name}": value for name, value in timings.items()}}.items():
                self._board.add_scalar(name, value, step)
            self._board.flush()
        return row

    def close(self) -> None:
        """May be called twice."""
        for file in self._files:
            file.close()
        if self._board is not None:
            self._board.close()
            self._board = None
