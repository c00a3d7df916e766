"""Tasks: frozen data, and the split that follows from a task's group."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from palaestra.errors import ConfigError, UnknownNameError

__all__ = ["SPLITS", "Split", "Task", "TaskSet", "split_of"]

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

T = TypeVar("T")


def split_of(group: str, *, val: float = 0.1, test: float = 0.2, salt: str = "palaestra-1") -> Split:
    """The split of every task in a group, from a hash of the group's name alone.

    Near-duplicates share a group (a country, a package, a template), so they never straddle a split, and adding
    tasks never moves an old one.

    Args:
        group: Name of the group.
        val: Share of groups in `val`, in [0, 1].
        test: Share of groups in `test`, in [0, 1].
        salt: Changes the whole assignment.

    Returns:
        `train`, `val` or `test`.

    Raises:
        ConfigError: The shares are negative or sum to more than 1.
    """
    if val < 0 or test < 0 or val + test > 1:
        raise ConfigError(f"The shares val={val} and test={test} must be at least 0 and sum to at most 1.")
    digest = hashlib.sha256(f"{salt}\x00{group}".encode("utf-8", "surrogatepass")).digest()
    point = int.from_bytes(digest[:8], "big") / 2**64
    return "test" if point < test else "val" if point < test + val else "train"


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do, as data.

    Attributes:
        id: Unique in its task set, stable between versions of the data.
        group: Near-duplicates share it; the split is a function of it.
        prompt: What the agent is asked, in words.
        split: `train`, `val` or `test`.
        truth: What only verifiers and credit may see (`answers`, `gold_passages`, ...). Never shown to an agent.
        metadata: What anyone may see (`kind`, `hops`, `difficulty`, ...).
    """

    id: str
    group: str
    prompt: str
    split: Split
    truth: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __deepcopy__(self, memo: object) -> Task:
        return self  # frozen; saved states hold it

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the six fields."""
        return {
            "id": self.id,
            "group": self.group,
            "prompt": self.prompt,
            "split": self.split,
            "truth": dict(self.truth),
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Task:
        """The inverse of `to_json`; lists become tuples, so that the data stays frozen."""
        return cls(
            id=data["id"],
            group=data["group"],
            prompt=data["prompt"],
            split=data["split"],
            truth={key: _freeze(value) for key, value in data["truth"].items()},
            metadata={key: _freeze(value) for key, value in data["metadata"].items()},
        )


def _freeze(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _freeze(item) for key, item in value.items()}
    return tuple(_freeze(item) for item in value) if isinstance(value, list) else value


class TaskSet(Sequence[Task]):
    """Tasks in a fixed order, found by position, id or split.

    Args:
        tasks: The tasks; ids must be unique.

    Raises:
        ConfigError: Two tasks share an id.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = tuple(tasks)
        by_id = {task.id: task for task in self._tasks}
        if len(by_id) != len(self._tasks):
            seen: set[str] = set()
            twice = next(task.id for task in self._tasks if task.id in seen or seen.add(task.id))  # type: ignore[func-returns-value]
            raise ConfigError(f"Two tasks have the id '{twice}'; ids must be unique.")
        self._by_id = by_id
        self._known: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks)

    def __getitem__(self, index: Any) -> Any:
        return self._tasks[index]

    def __deepcopy__(self, memo: object) -> TaskSet:
        return self  # frozen; Gymnasium copies an environment's arguments whenever its spec is looked at

    def get(self, task_id: str) -> Task:
        """The task with this id.

        Raises:
            UnknownNameError: There is none; the nearest id is suggested.
        """
        try:
            return self._by_id[task_id]
        except (KeyError, TypeError):
            raise UnknownNameError("task", str(task_id), self._by_id) from None

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` gives, computed once in the life of this task set, which never changes.

        Args:
            key: Names it, and whatever it depends on beside the tasks.
            compute: Without arguments.
        """
        if key not in self._known:
            self._known[key] = compute()
        found: T = self._known[key]
        return found

    def where(self, *, split: str = "all", **metadata: Any) -> TaskSet:
        """The tasks of one split (`all` for every one) whose metadata have the given values.

        A tuple or list of values accepts any of them: `where(split="train", kind=("bridge", "count"))`.

        Raises:
            UnknownNameError: There is no such split.
        """
        if split != "all" and split not in SPLITS:
            raise UnknownNameError("split", split, (*SPLITS, "all"))
        wanted = {key: tuple(value) if isinstance(value, tuple | list) else (value,) for key, value in metadata.items()}

        def chosen() -> TaskSet:
            return TaskSet(
                task
                for task in self._tasks
                if (split == "all" or task.split == split)
                and all(task.metadata.get(key) in values for key, values in wanted.items())
            )

        try:
            return self.once(("where", split, *sorted(wanted.items())), chosen)
        except TypeError:  # values that cannot be hashed or ordered
            return chosen()
