"""Runs, records, reports, checks and the command line (floor 3).

`run(...)` rolls out an agent and records every episode; `Run.open(path)` reads a recorded run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palaestra.plugins import load_object

if __name__ != "palaestra.harness":
    raise ImportError("import palaestra.harness, not harness")

if TYPE_CHECKING:
    from palaestra.harness.api import run
    from palaestra.harness.run_folder import Run
    from palaestra.harness.runner import Limits

__all__ = ["Limits", "Run", "run"]

# Imported when first used, so that the command line starts quickly.
_LAZY = {
    "Limits": "palaestra.harness.runner:Limits",
    "Run": "palaestra.harness.run_folder:Run",
    "run": "palaestra.harness.api:run",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return load_object(_LAZY[name])
    raise AttributeError(f"module 'palaestra.harness' has no attribute '{name}'")
