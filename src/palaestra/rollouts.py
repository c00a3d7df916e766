"""Arrays of steps: what array agents record and learners read.

Many thousands of steps a second cannot each be an object, so they are columns. A `Rollout` is T steps of N slots; an
episode cut out of it (`palaestra.cutting`) keeps its turns as columns too (`ArrayTurns`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Turn

__all__ = ["ArrayColumns", "ArrayTurns", "Rollout", "tree_map"]


def tree_map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Applies a function to the arrays of nested dictionaries and tuples of the same structure."""
    if isinstance(tree, Mapping):
        return {key: tree_map(function, tree[key], *(other[key] for other in rest)) for key in tree}
    if isinstance(tree, tuple):
        return tuple(tree_map(function, *items) for items in zip(tree, *rest, strict=True))
    return function(tree, *rest)


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """T steps of N slots.

    A slot plays one episode after another. Under `NEXT_STEP` autoreset the step after an episode's end only resets:
    its row belongs to no episode, its action was ignored and its reward is 0. The rows of an episode that failed are
    not `valid`; what an earlier rollout gave of it was given before anybody could know.

    Attributes:
        observations: (T + 1, N, ...), or a nested dictionary or tuple of such: what was seen before each step, and
            after the last. At `t + 1` after an end stands what the policy saw next: the reset observation under
            `SAME_STEP` and `DISABLED`, the final one under `NEXT_STEP`.
        actions: (T, N, ...).
        rewards: float64 (T, N).
        terms: Parts of the reward by name, each float64 (T, N).
        terminated: bool (T, N).
        truncated: bool (T, N).
        valid: bool (T, N); only valid rows may be learned from.
        final_at: int64 (E, 2), the (t, n) at which an episode ended.
        final_observations: (E, ...), the true last observation of each of those episodes.
        slot: int64 (N,), which slots these are.
        episode_id: int64 (T, N), counts the episodes of a slot from 0; -1 in rows that belong to no episode.
        final_infos: Info of the last step of each episode in `final_at`; empty where nobody kept it. A failed one has
            `status` "failed" and an `error`.
        extras: What the policy recorded beside its actions (log-probabilities, values), each (T, N, ...).
    """

    observations: Any
    actions: Any
    rewards: NDArray[np.float64]
    terms: Mapping[str, NDArray[np.float64]]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    final_at: NDArray[np.int64]
    final_observations: Any
    slot: NDArray[np.int64]
    episode_id: NDArray[np.int64]
    final_infos: Sequence[Mapping[str, Any]] = ()
    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.rewards.shape
        columns = {"terminated": self.terminated, "truncated": self.truncated, "valid": self.valid, **self.terms}
        for name, column in {**columns, "episode_id": self.episode_id}.items():
            if column.shape != shape:
                raise ValueError(f"A rollout's {name} has shape {column.shape}; its rewards have {shape}.")

    @property
    def steps(self) -> int:
        """T."""
        return int(self.rewards.shape[0])

    @property
    def slots(self) -> int:
        """N."""
        return int(self.rewards.shape[1])

    def next_observations(self) -> Any:
        """(T, N, ...): what truly followed each step, the final observation where an episode ended."""

        def true_next(seen: NDArray[Any], final: NDArray[Any]) -> NDArray[Any]:
            after = seen[1:].copy()
            if len(self.final_at):
                after[self.final_at[:, 0], self.final_at[:, 1]] = final
            return after

        return tree_map(true_next, self.observations, self.final_observations)


class ArrayColumns(Sequence[Any]):
    """The observations of one episode, as columns: nested dictionaries or tuples of arrays.

    Args:
        columns: Each array (T + 1, ...).
    """

    def __init__(self, columns: Any) -> None:
        self.columns = columns
        self._length = len(_first(columns))

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> ArrayColumns: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return ArrayColumns(tree_map(lambda column: column[index], self.columns))
        t = range(self._length)[index]
        return tree_map(lambda column: column[t], self.columns)


def _first(tree: Any) -> Any:
    """Any array of nested dictionaries and tuples."""
    while isinstance(tree, Mapping | tuple):
        tree = next(iter(tree.values() if isinstance(tree, Mapping) else tree))
    return tree


class ArrayTurns(Sequence[Turn]):
    """The turns of one episode, as columns.

    Args:
        actions: (T, ...).
        rewards: float64 (T,).
        terminated: bool (T,).
        truncated: bool (T,).
        terms: Parts of the reward by name, each float64 (T,).
        infos: Info by step, only where there was something beside the status.
    """

    def __init__(
        self,
        actions: NDArray[Any],
        rewards: NDArray[np.float64],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        terms: Mapping[str, NDArray[np.float64]] | None = None,
        infos: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> None:
        self.actions, self.rewards = actions, rewards
        self.terminated, self.truncated = terminated, truncated
        self.terms = dict(terms or {})
        self.infos = dict(infos or {})

    def __len__(self) -> int:
        return len(self.rewards)

    @overload
    def __getitem__(self, index: int) -> Turn: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Turn]: ...
    def __getitem__(self, index: int | slice) -> Turn | Sequence[Turn]:
        if isinstance(index, slice):
            return [self[t] for t in range(*index.indices(len(self)))]
        t = range(len(self))[index]
        return Turn(
            t=t,
            action=tree_map(lambda column: column[t], self.actions),
            reward=float(self.rewards[t]),
            terms={name: float(column[t]) for name, column in self.terms.items()},
            terminated=bool(self.terminated[t]),
            truncated=bool(self.truncated[t]),
            info=self.infos.get(t, {}),
        )

    def columns(self) -> dict[str, Any]:
        """The columns as one mapping, for records."""
        return {
            "actions": self.actions,
            "rewards": self.rewards,
            "terminated": self.terminated,
            "truncated": self.truncated,
            "terms": self.terms,
            "infos": {str(t): info for t, info in self.infos.items()},
        }

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> ArrayTurns:
        """The inverse of `columns`."""
        return cls(
            actions=columns["actions"],
            rewards=columns["rewards"],
            terminated=columns["terminated"],
            truncated=columns["truncated"],
            terms=columns["terms"],
            infos={int(t): info for t, info in columns["infos"].items()},
        )
