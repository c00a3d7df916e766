"""States of the office as values: saved, compared, and compared up to the names of what is new."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from palaestra.envs.tools.desk.founding import found_office
from palaestra.envs.tools.desk.office import OfficeBase
from palaestra.envs.tools.desk.records import RECORDS
from palaestra.envs.tools.desk.tables import TableState
from palaestra.errors import ConfigError

__all__ = ["Change", "Difference", "WorldState", "changes", "differences"]

# Which key an agent chose is no part of the outcome.
_TECHNICAL = frozenset({"receipts"})


class WorldState:
    """A saved state of the office. Immutable, so copies are the thing itself; equal where all tables are.

    Args:
        base: What the state started from.
        user: Who acts.
        tables: In the order of `RECORDS`.
    """

    __slots__ = ("base", "tables", "user")

    def __init__(self, base: OfficeBase, user: str, tables: tuple[TableState, ...]) -> None:
        self.base, self.user, self.tables = base, user, tables

    def __copy__(self) -> WorldState:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> WorldState:
        return self

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return _again, (self.base.seed, self.user, self.tables)

    def layers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """For each table its name and what differs from the base: records by id, None for deleted ones."""
        for name, state in zip(RECORDS, self.tables, strict=True):
            if state.layer:
                rows = self.base.tables[name].rows
                differing = {id_: record for id_, record in state.layer.items() if rows.get(id_) != record}
                if differing:
                    yield name, differing

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WorldState):
            return NotImplemented
        made = [[state.made for state in one.tables] for one in (self, other)]
        return (
            (self.base.seed, self.user) == (other.base.seed, other.user)
            and made[0] == made[1]
            and dict(self.layers()) == dict(other.layers())
        )

    def __hash__(self) -> int:
        return hash(self.digest())

    def digest(self) -> str:
        """SHA-256 of the exact state: equal states have equal digests, in every process."""
        own = [self.user, [state.made for state in self.tables]]
        own.append([[name, sorted(layer.items())] for name, layer in self.layers()])
        return _sha(_base_digest(self.base) + _sha(own))


def _again(seed: int, user: str, tables: tuple[TableState, ...]) -> WorldState:
    return WorldState(found_office(seed), user, tables)


def _sha(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()


@lru_cache(maxsize=8)
def _base_digest(base: OfficeBase) -> str:
    return _sha([base.seed, base.now, [[name, list(base.tables[name].rows.values())] for name in RECORDS]])


@dataclass(frozen=True, slots=True)
class Change:
    """One record that is not what it was.

    Attributes:
        table: Its table.
        id: Its id.
        kind: What happened to it.
        before: The record before; None where it was created.
        after: The record after; None where it was deleted.
    """

    table: str
    id: str
    kind: Literal["created", "changed", "deleted"]
    before: Any
    after: Any

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that differ; all of them where the record was created or deleted."""
        names: tuple[str, ...] = RECORDS[self.table][0]._fields
        if self.before is None or self.after is None:
            return names
        return tuple(n for n, a, b in zip(names, self.before, self.after, strict=True) if a != b)


def changes(before: WorldState, after: WorldState) -> tuple[Change, ...]:
    """The records that differ between two states of one base, ids of new records taken as they are.

    Raises:
        ConfigError: The states have different bases.
    """
    _same_base(before, after)
    found = []
    for name, old, new in zip(RECORDS, before.tables, after.tables, strict=True):
        rows = after.base.tables[name].rows
        for id_ in sorted({*old.layer, *new.layer}, key=lambda id_: (len(id_), id_)):
            was, now = (state.layer.get(id_, rows.get(id_)) for state in (old, new))
            if was != now:
                kind: Literal["created", "changed", "deleted"]
                kind = "created" if was is None else "deleted" if now is None else "changed"
                found.append(Change(name, id_, kind, was, now))
    return tuple(found)


class Difference(NamedTuple):
    """A record in which two outcomes differ.

    Attributes:
        table: Its table.
        id: Its id in the state that has it; for new records ids say nothing.
        here: The record in the one state; None where it has none like it.
        there: The record in the other.
    """

    table: str
    id: str
    here: Any
    there: Any


def differences(
    here: WorldState,
    there: WorldState,
    ignore: Collection[str] = (),
    views: Mapping[str, Callable[[Any], Any]] | None = None,
) -> tuple[Difference, ...]:
    """In what two outcomes differ, whatever the way to them.

    New records are compared by content: in what order they were made, and so which ids they got, does not matter, not
    where other records refer to them either. Idempotence keys do not count.

    Args:
        here: A state.
        there: Another state of the same base.
        ignore: Fields not to look at, `table.field` (`mails.body`).
        views: For fields, `table.field`, what is compared instead of their value (a normalised text).

    Raises:
        ConfigError: The states have different bases, or there is no such field.
    """
    _same_base(here, there)
    lenses = _lenses({**(views or {}), **dict.fromkeys(ignore, _blank)})
    ours, theirs = _outcome(here, lenses), _outcome(there, lenses)
    found = []
    for table in RECORDS:
        mine, other = ours.get(table, {}), theirs.get(table, {})
        if not (mine or other):
            continue
        rows = here.base.tables[table].rows
        for id_ in sorted({id_ for id_ in (*mine, *other) if id_ in rows}):
            plain = _said(rows[id_], lenses.get(table, {}), {}, str)
            a, b = (side[id_][0] if id_ in side else plain for side in (mine, other))
            if a != b:
                records = (side[id_][1] if id_ in side else rows[id_] for side in (mine, other))
                found.append(Difference(table, id_, *records))
        found += _unmatched(table, rows, mine, other)
    return tuple(found)


_Outcome = dict[str, tuple[Any, Any]]  # id -> (what is compared, the record)


def _unmatched(table: str, rows: Mapping[str, Any], mine: _Outcome, other: _Outcome) -> Iterator[Difference]:
    """The new records that the other side has no like of, as often as it has too few."""
    sides = [{id_: pair for id_, pair in side.items() if id_ not in rows} for side in (mine, other)]
    for side, against, is_here in ((sides[0], sides[1], True), (sides[1], sides[0], False)):
        left = Counter(key for key, _ in against.values())
        for id_, (key, record) in side.items():
            if left[key]:
                left[key] -= 1
            else:
                yield Difference(table, id_, record, None) if is_here else Difference(table, id_, None, record)


def _same_base(one: WorldState, other: WorldState) -> None:
    if one.base.seed != other.base.seed:
        raise ConfigError(
            f"States of different offices cannot be compared: seeds {one.base.seed} and {other.base.seed}."
        )


_Lenses = Mapping[int, Callable[[Any], Any]]  # by the place of a field, what is seen of its value


def _lenses(views: Mapping[str, Callable[[Any], Any]]) -> dict[str, dict[int, Callable[[Any], Any]]]:
    lenses: dict[str, dict[int, Callable[[Any], Any]]] = {}
    for path, view in views.items():
        table, _, field = path.partition(".")
        if table not in RECORDS or field not in RECORDS[table][0]._fields:
            raise ConfigError(f"There is no field '{path}' to compare by; write 'table.field', such as 'mails.body'.")
        lenses.setdefault(table, {})[RECORDS[table][0]._fields.index(field)] = view
    return lenses


def _blank(value: Any) -> None:
    """Nothing is seen."""


def _said(record: Any, lenses: _Lenses, named: Mapping[str, tuple[str, Any]], label: Callable[[str], str]) -> Any:
    """What of a record is compared: fields through their lenses, new ids replaced, sets in one order."""

    def say(value: Any) -> Any:
        if isinstance(value, str):
            return label(value) if value in named else value
        return tuple(map(say, value)) if isinstance(value, tuple) else value

    held = (lenses[place](value) if place in lenses else say(value) for place, value in enumerate(record))
    return tuple(tuple(sorted(value, key=repr)) if isinstance(value, tuple) else value for value in held)


def _outcome(state: WorldState, lenses: Mapping[str, _Lenses]) -> dict[str, _Outcome]:
    """By table what has changed against the base, new ids replaced by what their records hold."""
    layers = {name: layer for name, layer in state.layers() if name not in _TECHNICAL}
    new = {
        id_: (name, record)
        for name, layer in layers.items()
        for id_, record in layer.items()
        if id_ not in state.base.tables[name].rows
    }
    labels: dict[str, str] = {}

    def label(id_: str) -> str:
        if id_ not in labels:
            labels[id_] = "new:itself"  # a thread is named after its first mail
            table, record = new[id_]
            held = (table, _said(record, {**lenses.get(table, {}), 0: _blank}, new, label))
            labels[id_] = "new:" + hashlib.sha256(repr(held).encode("utf-8", "surrogatepass")).hexdigest()
        return labels[id_]

    found: dict[str, _Outcome] = {}
    for name, layer in layers.items():
        own = lenses.get(name, {})
        found[name] = {
            id_: (label(id_) if id_ in new else record and _said(record, own, new, label), record)
            for id_, record in layer.items()
        }
    return found
