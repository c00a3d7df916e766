"""What the eight applications share: public attributes are the state that is judged, public methods are the tools."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

__all__ = ["Api", "Result"]

Result = dict[str, Any]


class Api:
    """One application, loaded with a case's scenario.

    A subclass has the name, the methods and the public attributes of the application that the benchmark publishes, so
    that results, Python's own messages about wrong arguments, and states agree with the official ones. Arguments come
    from a model and may be of any type; what goes wrong raises an ordinary exception, which the world words.

    Args:
        scenario: The application's part of the case's `initial_config`. What it holds becomes the application's own.
        long_context: Whether results carry the long texts and lists of the category `multi_turn_long_context`.
    """

    _default_seed = 0

    def __init__(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        self._seed = scenario.get("random_seed", self._default_seed)
        self._draws: list[tuple[str, float, float]] = []
        self._load(scenario, long_context)

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        """Sets the public attributes, without changing the scenario."""

    def __getstate__(self) -> dict[str, Any]:
        # Draws are few, and drawing them again costs less than storing a generator with its thousands of bits.
        return {name: value for name, value in vars(self).items() if name != "_generator"}

    def _drawn(self, kind: str, low: float, high: float) -> Any:
        """The next number of `random.Random(seed)`, by `randint` or `uniform`."""
        generator: random.Random | None = vars(self).get("_generator")
        if generator is None:
            self._generator = generator = random.Random(self._seed)
            for before in self._draws:
                getattr(generator, before[0])(*before[1:])
        self._draws.append((kind, low, high))
        return getattr(generator, kind)(low, high)

    @classmethod
    def _tool_names(cls) -> tuple[str, ...]:
        return tuple(name for name, value in vars(cls).items() if callable(value) and not name.startswith("_"))

    def _state(self) -> dict[str, Any]:
        """The public attributes, as they are (not copies)."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def _same(self, other: Api) -> bool:
        """Whether the public attributes are equal."""
        theirs = vars(other)
        return all(value == theirs[name] for name, value in vars(self).items() if name[0] != "_")
