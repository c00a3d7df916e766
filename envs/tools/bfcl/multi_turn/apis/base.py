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
        scenario: The application's part of the case's `initial_config`, owned by the application from now on.
        long_context: Whether results carry the long texts and lists of the category `multi_turn_long_context`.
    """

    _default_seed = 0

    def __init__(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        self._seed = scenario.get("random_seed", self._default_seed)
        self._generator: random.Random | None = None
        self._load(scenario, long_context)

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        """Sets the public attributes."""

    @property
    def _random(self) -> random.Random:
        # Made when first needed: most episodes draw nothing, and seeding costs more than a call.
        if self._generator is None:
            self._generator = random.Random(self._seed)
        return self._generator

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
