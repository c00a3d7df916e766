"""Episodic count bonus."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from palaestra.errors import ConfigError, UnknownNameError
from palaestra.rewards.base import Transition
from palaestra.rollouts import Rollout, tree_map

__all__ = ["CountForm", "EpisodicCount", "KeyFunction"]

CountForm = Literal["first", "inverse-sqrt"]
KeyFunction = Callable[[Any], Hashable]


class EpisodicCount:
    """A bonus for coming to where this episode has not been, or not often.

        first:         b_t = 1[N_e(k(s_{t+1})) = 1]
        inverse-sqrt:  b_t = N_e(k(s_{t+1}))^(-1/2)

    Symbols: s_{t+1} is what truly followed the action (the final observation at an episode's end); k is the key, which
    says what counts as the same place; N_e(k) is how often this episode has been there, this time included. The first
    observation of an episode counts as a visit and pays nothing.

    Source: the episodic terms compared by Henaff, Jiang and Raileanu (2023, "A Study of Global and Episodic Bonuses for
    Exploration in Contextual MDPs"); `first` is the one of NovelD (Zhang et al. 2021), with b in {0, 1}. They are
    multiplied with, or added to, a global bonus there, and clipped together with the environment's reward; that is left
    to whoever composes.

    Edge cases:
        - The key decides everything. The whole observation is the right key only where observations repeat exactly;
          with clocks, noise or pixels in it every step is new and the bonus is a constant. Keys made of messages
          reward whatever talks most.
        - Floating-point keys count as equal only bit by bit, with -0.0 equal to 0.0.
        - Steps that are not valid change no count and get 0.

    Args:
        key: What is counted: None for the whole observation, the name of an entry of a `Dict` observation, or a
            function from one slot's observation to something hashable (picklable, where workers are used).
        form: `first` or `inverse-sqrt`.
        name: Its name in terms and reports.

    Raises:
        ConfigError: The form is unknown, or the key is of another type.
    """

    scope: ClassVar[Literal["episodic"]] = "episodic"
    requires: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, key: str | KeyFunction | None = None, form: CountForm = "first", name: str = "count") -> None:
        if form not in ("first", "inverse-sqrt"):
            raise ConfigError(f"form is {form!r}; choose 'first' or 'inverse-sqrt'.")
        if not (key is None or isinstance(key, str) or callable(key)):
            raise ConfigError(f"key is {key!r}; give None, the name of an entry, or a function of the observation.")
        self.key, self.form, self.name = key, form, name
        self.version = 0
        self._counts: dict[int, Counter[Hashable]] = {}

    def reset(self, slots: NDArray[np.int64], episode_ids: Sequence[Any], observations: Any) -> None:
        """Forgets what these slots have seen, and counts their first observations."""
        for i, slot in enumerate(slots.tolist()):
            self._counts[slot] = Counter([self._key_of(observations, i)])

    def __call__(self, transition: Transition) -> NDArray[np.float64]:
        """See the class; float64 (N,), in [0, 1]."""
        bonus = np.zeros(len(transition.slot))
        for i in np.flatnonzero(transition.valid).tolist():
            slot = int(transition.slot[i])
            if slot not in self._counts:
                raise ConfigError(f"The reward '{self.name}' was asked about slot {slot} before it was reset there.")
            counts = self._counts[slot]
            key = self._key_of(transition.next_observation, i)
            counts[key] += 1
            bonus[i] = float(counts[key] == 1) if self.form == "first" else counts[key] ** -0.5
        return bonus

    def _key_of(self, columns: Any, i: int) -> Hashable:
        if callable(self.key):
            return self.key(tree_map(lambda column: column[i], columns))
        if self.key is not None:
            if not isinstance(columns, Mapping):
                raise ConfigError(f"key is '{self.key}', but the observation is no Dict with named entries.")
            if self.key not in columns:
                raise UnknownNameError("entry of the observation", self.key, map(str, columns))
            columns = columns[self.key]
        return _digest(tree_map(lambda column: column[i], columns))

    def update(self, batch: Rollout) -> Mapping[str, float]:
        """There is nothing to learn."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The counts of the running episodes."""
        return {"counts": {slot: dict(counts) for slot, counts in self._counts.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._counts = {slot: Counter(counts) for slot, counts in state["counts"].items()}


def _digest(value: Any) -> Hashable:
    """A short stand-in for an observation: equal for equal ones, and 16 bytes however large they are."""
    if isinstance(value, Mapping):
        return tuple((key, _digest(value[key])) for key in sorted(value))
    if isinstance(value, tuple):
        return tuple(_digest(item) for item in value)
    if isinstance(value, str):
        return hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    array = np.ascontiguousarray(value)
    if array.dtype.kind == "f":
        array = array + 0.0  # -0.0 becomes 0.0
    if array.dtype.hasobject:
        raise ConfigError(
            f"A {type(value).__name__} cannot be counted as it is; give key= a function that makes it hashable."
        )
    return hashlib.blake2b(array.tobytes(), digest_size=16).digest()
