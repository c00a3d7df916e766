"""Drawing from a numpy generator by two of its methods only, so that streams stay the same over its versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

__all__ = ["Draw"]

T = TypeVar("T")


class Draw:
    """Choices from a generator.

    Args:
        rng: All randomness.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def whole(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self._rng.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self._rng.random() < probability)

    def one(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self._rng.random() * len(items))]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """So many different items (all, where there are fewer), in random order."""
        left = list(items)
        taken = []
        for _ in range(min(count, len(left))):
            place = int(self._rng.random() * len(left))
            left[place], left[-1] = left[-1], left[place]
            taken.append(left.pop())
        return taken

    def weighted(self, items: Sequence[tuple[T, int]]) -> T:
        """One of the items, each with its weight."""
        mark = self._rng.random() * sum(weight for _, weight in items)
        for item, weight in items:
            mark -= weight
            if mark < 0:
                return item
        return items[-1][0]

    def digits(self, count: int) -> str:
        """So many digits."""
        return "".join(str(self.whole(0, 9)) for _ in range(count))
