"""Tables over a shared base: the same as plain copies, and nothing is seen from one world to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.tools.desk.tables import BaseTable, Table


class Note(NamedTuple):
    id: str
    owner: str
    text: str


BASE = [Note(f"N-{number:04}", "ab"[number % 2], f"Text {number}") for number in range(1, 6)]


def base() -> BaseTable[Note]:
    return BaseTable("notes", "N", BASE, {"owner": lambda note: (note.owner,)}, lambda note: note.text)


class Naive:
    """What a table should do, done by copying everything."""

    def __init__(self) -> None:
        self.rows = {note.id: note for note in BASE}
        self.made = 0

    def records(self) -> list[Note]:
        return list(self.rows.values())


IDS = st.sampled_from([f"N-{number:04}" for number in range(1, 9)])
NOTES = st.tuples(st.sampled_from("ab"), st.sampled_from(["Text", "other TEXT", "x"]))
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), NOTES),
        st.tuples(st.just("put"), IDS, NOTES),
        st.tuples(st.just("remove"), IDS),
        st.tuples(st.just("save")),
        st.tuples(st.just("load"), st.integers(0, 5)),
        st.tuples(st.just("call"), st.lists(st.tuples(IDS, NOTES), max_size=3), st.booleans()),
    ),
    max_size=25,
)


@given(OPERATIONS)
def test_a_table_does_what_plain_copies_do(operations: Sequence[tuple[Any, ...]]) -> None:
    journal: list[Any] = []
    table: Table[Note] = Table(base(), journal)
    naive = Naive()
    saved: list[tuple[Any, dict[str, Note], int]] = []
    for operation in operations:
        match operation:
            case ("add", (owner, text)):
                note = Note(table.new_id(), owner, text)
                assert note.id == f"N-{len(BASE) + naive.made + 1:04}"
                naive.rows[table.add(note).id] = note
                naive.made += 1
            case ("put", id_, (owner, text)) if id_ in naive.rows:
                naive.rows[id_] = table.put(Note(id_, owner, text))
            case ("remove", id_) if id_ in naive.rows:
                table.remove(id_)
                del naive.rows[id_]
            case ("save",):
                saved.append((table.save(), dict(naive.rows), naive.made))
            case ("load", place) if place < len(saved):
                state, rows, made = saved[place]
                table.load(state)
                naive.rows, naive.made = dict(rows), made
            case ("call", writes, fails):
                journal.clear()
                rows, made = dict(naive.rows), naive.made
                for id_, (owner, text) in writes:
                    if id_ in naive.rows:
                        naive.rows[id_] = table.put(Note(id_, owner, text))
                new = table.add(Note(table.new_id(), "a", "made"))
                naive.rows[new.id] = new
                naive.made += 1
                if fails:
                    for one, id_, before, count in reversed(journal):
                        one.undo(id_, before, count)
                    naive.rows, naive.made = rows, made
        assert list(table) == sorted(naive.records())
        assert len(table) == len(naive.rows)
        for owner in "abc":
            assert table.where("owner", owner) == sorted(note for note in naive.records() if note.owner == owner)
        hits = [note for note in naive.records() if "te" in note.text.casefold() and "xt" in note.text.casefold()]
        assert sorted(table.search(table, "TE xt")) == sorted(hits)
        assert {id_: table.get(id_) for id_ in ("N-0001", "N-0006", "N-9999")} == {
            id_: naive.rows.get(id_) for id_ in ("N-0001", "N-0006", "N-9999")
        }


def test_tables_of_one_base_share_nothing_they_write() -> None:
    shared = base()
    one: Table[Note] = Table(shared, [])
    other: Table[Note] = Table(shared, [])
    state = one.save()
    other.load(state)
    one.put(Note("N-0001", "a", "one"))
    other.put(Note("N-0001", "b", "other"))
    other.remove("N-0002")
    assert one["N-0001"].text == "one"
    assert other["N-0001"].text == "other"
    assert one.get("N-0002") == BASE[1]
    assert state.layer == {}
    assert list(shared.rows.values()) == BASE
    with pytest.raises(TypeError):
        shared.rows["N-0001"] = BASE[1]  # type: ignore[index]
    with pytest.raises(KeyError):
        other["N-0002"]


def test_two_records_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="same id"):
        BaseTable("notes", "N", [BASE[0], BASE[0]], {})
