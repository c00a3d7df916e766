"""Who watches a training run; the command line draws it, tests and notebooks need not."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Listener"]


class Listener:
    """Is told how training goes; these methods do nothing."""

    def note(self, text: str) -> None:
        """One line for a person."""

    def phase(self, name: str, total: int) -> None:
        """Something with `total` parts begins; the one before is over."""

    def advance(self, **figures: float) -> None:
        """One part of it is done. May be called from any thread."""

    def step(self, row: Mapping[str, float], steps: int) -> None:
        """A row of metrics was written; `steps` is how many there will be."""
