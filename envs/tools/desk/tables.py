"""Tables over a base that many worlds share: a world writes to a layer of its own, the base is never touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

__all__ = ["BaseTable", "Table", "TableState"]

R = TypeVar("R", bound=Any)
Keys = Callable[[Any], Iterable[str]]

_ABSENT: Any = object()


class BaseTable(Generic[R]):
    """The records at the start, with their indexes; read only.

    Args:
        name: The table's name.
        prefix: Of the ids of its records.
        records: The records, in the order of their ids.
        indexes: For each index the function that gives a record's keys in it.
        words: Gives the text of a record in which `search` looks; None where nothing is searched.
    """

    __slots__ = ("by", "count", "folded", "indexes", "name", "prefix", "rows", "words")

    def __init__(
        self,
        name: str,
        prefix: str,
        records: Sequence[R],
        indexes: Mapping[str, Keys],
        words: Callable[[R], str] | None = None,
    ) -> None:
        self.name, self.prefix, self.words = name, prefix, words
        self.indexes = MappingProxyType(dict(indexes))
        self.rows: Mapping[str, R] = MappingProxyType({record.id: record for record in records})
        if len(self.rows) != len(records):
            raise ValueError(f"Two records of '{name}' have the same id.")
        self.count = len(records)
        self.by: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
            {index: _indexed(records, keys) for index, keys in indexes.items()}
        )
        self.folded = MappingProxyType({} if words is None else {r.id: words(r).casefold() for r in records})


def _indexed(records: Iterable[Any], keys: Keys) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for record in records:
        for key in set(keys(record)):
            found.setdefault(key, []).append(record.id)
    return MappingProxyType({key: tuple(ids) for key, ids in found.items()})


def _place(record: Any) -> tuple[int, str]:
    return len(record.id), record.id


class TableState(NamedTuple):
    """What a world has changed in a table: records by id, None for deleted ones, and how many it has made.

    The mapping is never changed once it is here.
    """

    layer: Mapping[str, Any]
    made: int


class Table(Generic[R]):
    """One world's view of a table.

    The layer is copied when it is first written to after a snapshot, so that taking and restoring one costs the same
    however much has changed.

    Args:
        base: What it starts from.
        journal: Where each write notes how to undo it; shared by the tables of a world.
    """

    __slots__ = ("_base", "_journal", "_layer", "_made", "_own")

    def __init__(self, base: BaseTable[R], journal: list[tuple[Any, str, Any, int]]) -> None:
        self._base, self._journal = base, journal
        self._layer: dict[str, Any] = {}
        self._made, self._own = 0, True

    @property
    def base(self) -> BaseTable[R]:
        """What it started from."""
        return self._base

    def get(self, id_: str) -> R | None:
        """The record with this id, or None."""
        record: R | None = self._layer.get(id_, _ABSENT)
        return self._base.rows.get(id_) if record is _ABSENT else record

    def __getitem__(self, id_: str) -> R:
        """The record with an id that is known to exist."""
        record = self.get(id_)
        if record is None:
            raise KeyError(id_)
        return record

    def __iter__(self) -> Iterator[R]:
        """All records: those of the base in their order, then new ones as they were made."""
        rows, layer = self._base.rows, self._layer
        if not layer:
            yield from rows.values()
            return
        for id_, record in rows.items():
            record = layer.get(id_, record)
            if record is not None:
                yield record
        for id_, record in layer.items():
            if record is not None and id_ not in rows:
                yield record

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def where(self, index: str, key: str) -> list[R]:
        """The records that have this key in an index, in the order of `__iter__`."""
        rows, layer = self._base.rows, self._layer
        ids = self._base.by[index].get(key, ())
        if not layer:
            return [rows[id_] for id_ in ids]
        keys = self._base.indexes[index]
        found = [rows[id_] for id_ in ids if id_ not in layer]
        extra = [record for record in layer.values() if record is not None and key in keys(record)]
        return sorted(found + extra, key=_place) if extra else found

    def search(self, records: Iterable[R], query: str) -> list[R]:
        """Those of the records in whose text every word of the query occurs, without regard to case."""
        words = query.casefold().split()
        folded, layer, text_of = self._base.folded, self._layer, self._base.words
        assert text_of is not None
        found = []
        for record in records:
            text = text_of(record).casefold() if record.id in layer else folded[record.id]
            for word in words:
                if word not in text:
                    break
            else:
                found.append(record)
        return found

    def new_id(self) -> str:
        """The id that the next new record gets."""
        return f"{self._base.prefix}-{self._base.count + self._made + 1:04}"

    def add(self, record: R) -> R:
        """Adds a new record, whose id is `new_id()`."""
        self._write(record.id, record)
        self._made += 1
        return record

    def put(self, record: R) -> R:
        """Writes a record in the place of the one with its id."""
        self._write(record.id, record)
        return record

    def remove(self, id_: str) -> None:
        """Deletes a record."""
        self._write(id_, None)

    def _write(self, id_: str, record: R | None) -> None:
        if not self._own:
            self._layer, self._own = dict(self._layer), True
        self._journal.append((self, id_, self._layer.get(id_, _ABSENT), self._made))
        self._layer[id_] = record

    def undo(self, id_: str, before: Any, made: int) -> None:
        """Takes a write back, by what it noted in the journal."""
        if before is _ABSENT:
            del self._layer[id_]
        else:
            self._layer[id_] = before
        self._made = made

    def save(self) -> TableState:
        """The state, in constant time."""
        self._own = False
        return TableState(self._layer, self._made)

    def load(self, state: TableState) -> None:
        """The inverse of `save`, in constant time."""
        self._layer, self._made, self._own = state.layer, state.made, False  # type: ignore[assignment]
