from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from palaestra.blobs import BlobRef, FolderBlobs, MemoryBlobs
from palaestra.episodes import Completion, Episode, EpisodeError, ImagePart, TextPart, ToolCall, ToolResult, Turn
from palaestra.errors import RecordError
from palaestra.records import (
    SCHEMA_VERSION,
    LazySequence,
    decode_episode,
    decode_value,
    dump_line,
    encode_episode,
    encode_value,
    migrate,
)
from palaestra.rollouts import ArrayColumns, ArrayTurns
from palaestra.tasks import Task

any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
keys = any_text | st.sampled_from(["$tuple", "$array", "$", ""])
arrays = npst.arrays(
    npst.boolean_dtypes()
    | npst.integer_dtypes(endianness="<")
    | npst.unsigned_integer_dtypes(endianness="<")
    | npst.floating_dtypes(endianness="<", sizes=(16, 32, 64))
    | npst.complex_number_dtypes(endianness="<", sizes=(64, 128))
    | npst.unicode_string_dtypes(endianness="<", max_len=5)
    | npst.datetime64_dtypes(endianness="<"),
    npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
).filter(lambda array: array.ndim or array.dtype.kind != "U")  # a NumPy string scalar is a str, and reads back as one
parts = any_text.map(TextPart)
results = st.builds(ToolResult, st.lists(parts, max_size=2).map(tuple), st.booleans())
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | any_text
    | st.binary(max_size=20)
    | arrays
    | arrays.filter(lambda a: a.size and a.dtype.kind != "U").map(lambda a: a.ravel()[0])
    | parts
    | results
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.builds(
            ToolCall,
            any_text,
            st.dictionaries(keys, inner, max_size=2),
            st.none() | results,
            st.sampled_from(["ok", "error", "rejected"]),
            data=st.dictionaries(keys, inner, max_size=2),
        )
    ),
    max_leaves=6,
)


def same(a: Any, b: Any) -> bool:
    """Equal to the bit and of one type; a zero-dimensional array reads back as a NumPy scalar."""
    if isinstance(a, np.ndarray | np.generic):
        return (
            isinstance(b, np.ndarray | np.generic)
            and a.dtype == b.dtype
            and np.shape(a) == np.shape(b)
            and np.asarray(a).tobytes() == np.asarray(b).tobytes()
        )
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, ImagePart):
        return a.media_type == b.media_type and a.read() == b.read()
    if isinstance(a, ToolResult):
        return a.is_error == b.is_error and same(a.content, b.content)
    if isinstance(a, ToolCall | Completion | Turn):
        names = [name for name in type(a).__slots__ if name != "seconds"]
        return all(same(getattr(a, name), getattr(b, name)) for name in names)
    return bool(a == b)


def through_json(data: Any) -> Any:
    line = dump_line({"value": data})
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and line.isascii()
    return json.loads(line)["value"]


@given(values)
def test_any_value_comes_back_exactly(value):
    blobs = MemoryBlobs()
    assert same(decode_value(through_json(encode_value(value, blobs)), blobs), value)


def test_what_is_large_becomes_a_blob():
    blobs = MemoryBlobs()
    for value in (np.arange(10_000.0), b"x" * 10_000, ImagePart(b"png"), ImagePart(b"x" * 10_000, "image/jpeg")):
        encoded = through_json(encode_value(value, blobs))
        assert len(dump_line({"value": encoded})) < 200
        assert same(decode_value(encoded, blobs), value)
    other = np.asfortranarray(np.arange(12.0).reshape(3, 4))[:, ::2]
    assert same(decode_value(encode_value(other, blobs), blobs), np.ascontiguousarray(other))
    big = np.arange(4, dtype=">i4")
    np.testing.assert_array_equal(decode_value(encode_value(big, blobs), blobs), big)


def test_a_blob_of_another_store_moves_into_this_one(tmp_path):
    elsewhere, here = MemoryBlobs(), FolderBlobs(tmp_path)
    ref = elsewhere.put(b"picture", "image/png")
    for value in (ref, ImagePart(ref)):
        back = decode_value(encode_value(value, here), here)
        assert back.read() == b"picture"
    loose = BlobRef(ref.sha256, ref.size, ref.media_type)
    assert decode_value(encode_value(loose, here), here).read() == b"picture"


class Strange:
    pass


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Strange(), r"test_records.Strange cannot be recorded"),
        ({1: "a"}, "needs string keys, got 1 of type int"),
        ({"a": [Strange()]}, "cannot be recorded"),
        (np.array([Strange()]), "dtype object cannot be recorded"),
        (np.zeros(2, [("a", "i4"), ("b", "f4")]), "cannot be recorded; use a list, a tuple, or a mapping"),
        ({1, 2}, "set cannot be recorded"),
    ],
)
def test_what_cannot_be_recorded(value, message):
    with pytest.raises(RecordError, match=message):
        encode_value(value, MemoryBlobs())


# Episodes -----------------------------------------------------------------------------------------------------------


def completion(n: int, blobs: MemoryBlobs) -> Completion:
    return Completion(
        np.arange(n, dtype=np.int32),
        np.linspace(-3, 0, n, dtype=np.float32),
        np.arange(5, dtype=np.int32),
        7,
        images=(blobs.put(b"image", "image/png"),),
        finish_reason="length",
        temperature=0.7,
        top_p=0.9,
        policy_version=4,
        model="small",
        text="abc\ud800",
    )


def full_episode(**changes: Any) -> Episode:
    blobs = MemoryBlobs()
    call = ToolCall(
        "search",
        {"query": "q", "$odd": (1, 2)},
        ToolResult((TextPart("found"), ImagePart(b"png", "image/png")), False),
        "ok",
        1.25,
        {"passages": ("a", "b")},
    )
    turns = [
        Turn(
            0,
            "<search>q</search>",
            (call,),
            0.5,
            {"env": 0.5},
            completion=completion(3, blobs),
        ),
        Turn(1, np.float32(2), (), math.nan, {"x": math.inf}, True, False, {"a": np.arange(3)}),
    ]
    fields: dict[str, Any] = {
        "episode_id": "e1",
        "group_id": "g1",
        "env_id": "palaestra/Test-v0",
        "env_kwargs": {"top_k": 3},
        "task": Task("t", "g", "What?", "test", {"answers": ("a",)}, {"hops": 2}),
        "seed": 2**63,
        "attempt": 1,
        "agent_id": "agent_0",
        "world_id": "w1",
        "world_size": 2,
        "status": "terminated",
        "observations": ["first", {"text": "x", "image": np.zeros((40, 40, 3), np.uint8)}, ""],
        "turns": turns,
        "outcome": 0.75,
        "info": {"status": "running"},
        "privileged": {"answers": ("a",)},
    }
    return Episode(**(fields | changes))


def assert_same_episode(a: Episode, b: Episode) -> None:
    for name in Episode.__slots__:
        if name not in ("turns", "observations"):
            assert same(getattr(a, name), getattr(b, name)), name
    assert len(a.turns) == len(b.turns) and all(map(same, a.turns, b.turns))
    assert len(a.observations) == len(b.observations)
    assert all(same(one, other) for one, other in zip(a.observations, b.observations, strict=True))


@pytest.mark.parametrize(
    "episode",
    [
        full_episode(),
        full_episode(status="failed", outcome=None, error=EpisodeError("down", "infrastructure", True, "why")),
        full_episode(turns=[], observations=["only"], task=None, outcome=None, status="truncated"),
    ],
)
def test_episodes_come_back(episode, tmp_path):
    blobs = FolderBlobs(tmp_path)
    record = json.loads(dump_line(encode_episode(episode, blobs)))
    back = decode_episode(record, blobs)
    assert_same_episode(episode, back)
    assert dump_line(encode_episode(back, blobs)) == dump_line(record)


@given(
    st.lists(st.tuples(values, values, st.floats(), st.dictionaries(keys, st.floats(), max_size=2)), max_size=3),
    st.dictionaries(keys, values, max_size=2),
    st.none() | st.floats(0, 1),
)
def test_episodes_of_any_content_come_back(turns, info, outcome):
    steps = [Turn(t, action, (), reward, terms, info=info) for t, (action, _, reward, terms) in enumerate(turns)]
    episode = full_episode(
        turns=steps,
        observations=["", *(seen for _, seen, _, _ in turns)],
        info=info,
        privileged=info,
        outcome=outcome,
    )
    blobs = MemoryBlobs()
    assert_same_episode(episode, decode_episode(json.loads(dump_line(encode_episode(episode, blobs))), blobs))


def column_turns(steps: int) -> ArrayTurns:
    rng = np.random.default_rng(0)
    return ArrayTurns(
        actions={"a": rng.integers(0, 4, steps), "b": rng.normal(size=(steps, 2)).astype(np.float32)},
        rewards=rng.normal(size=steps),
        terminated=np.arange(steps) == steps - 1,
        truncated=np.zeros(steps, bool),
        terms={"env": rng.normal(size=steps)},
        infos={3: {"status": "running", "n": 1}},
    )


@pytest.mark.parametrize("nested", [False, True])
def test_ten_thousand_steps_are_a_few_blobs(nested, tmp_path):
    seen: Any = np.random.default_rng(1).integers(0, 255, (10_001, 4), np.uint8)
    if nested:
        seen = ArrayColumns({"image": seen, "pair": (seen[:, :1].astype(float), seen[:, 1])})
    episode = full_episode(turns=column_turns(10_000), observations=seen)
    blobs = FolderBlobs(tmp_path)
    line = dump_line(encode_episode(episode, blobs))
    assert len(line) < 5000
    assert sum(path.is_file() for path in tmp_path.rglob("*")) < 12
    back = decode_episode(json.loads(line), blobs)
    assert len(back.observations) == 10_001
    for t in (0, 3, 9_999, -1):
        assert same(back.turns[t], episode.turns[t])
        assert same(back.observations[t], episode.observations[t])
    assert back.turns[3].info == {"status": "running", "n": 1}
    assert dump_line(encode_episode(back, blobs)) == line


def test_observations_are_read_when_they_are_asked_for(tmp_path):
    blobs = FolderBlobs(tmp_path)
    record = encode_episode(full_episode(), blobs)
    (damaged,) = (path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size == 4800)
    damaged.write_bytes(b"")
    back = decode_episode(record, blobs)
    assert back.observations[0] == "first" and list(back.observations[::2]) == ["first", ""]
    with pytest.raises(RecordError, match="is damaged"):
        back.observations[1]


def test_wall_time_is_not_in_the_record():
    blobs = MemoryBlobs()
    fast, slow = (full_episode(turns=[Turn(0, "", (ToolCall("t", {}, None, "ok", s),))]) for s in (0.1, 9.0))
    assert dump_line(encode_episode(fast, blobs)) == dump_line(encode_episode(slow, blobs))


def test_the_same_bytes_in_another_process(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_records import full_episode;"
        "from palaestra.records import dump_line, encode_episode; from palaestra.blobs import MemoryBlobs;"
        "sys.stdout.buffer.write(dump_line(encode_episode(full_episode(), MemoryBlobs())))"
    )
    here = dump_line(encode_episode(full_episode(), MemoryBlobs()))
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        assert done.stdout == here


# Versions and damage ------------------------------------------------------------------------------------------------


def test_the_path_of_versions():
    migrations = {1: lambda r: {**r, "two": True}, 2: lambda r: {key: r[key] for key in r if key != "old"}}
    old = {"schema_version": 1, "old": 1}
    assert migrate(old, migrations, 3) == {"schema_version": 3, "two": True}
    assert old == {"schema_version": 1, "old": 1}  # what was read is left alone
    assert migrate({"schema_version": 3, "old": 1}, migrations, 3) == {"schema_version": 3, "old": 1}
    with pytest.raises(RecordError, match=r"schema version 4, this palaestra reads up to 3\. Upgrade"):
        migrate({"schema_version": 4}, migrations, 3)
    with pytest.raises(RecordError, match="no migration from schema version 0 to 1"):
        migrate({"schema_version": 0}, migrations, 3)
    for bad in (None, "1", True, 1.0):
        with pytest.raises(RecordError, match="an integer up to 3 is needed"):
            migrate({"schema_version": bad}, migrations, 3)
    with pytest.raises(RecordError, match="is None; an integer"):
        migrate({}, migrations, 3)
    with pytest.raises(RecordError, match="A record is a JSON object, got a list"):
        migrate([1], migrations, 3)  # type: ignore[arg-type]


def test_a_record_of_a_newer_palaestra_is_refused():
    record = encode_episode(full_episode(), MemoryBlobs())
    with pytest.raises(RecordError, match="Upgrade palaestra"):
        decode_episode({**record, "schema_version": SCHEMA_VERSION + 1}, MemoryBlobs())


@pytest.mark.parametrize("name", sorted(set(encode_episode(full_episode(), MemoryBlobs())) - {"schema_version"}))
def test_a_record_that_lacks_a_field(name):
    blobs = MemoryBlobs()
    record = encode_episode(full_episode(), blobs)
    del record[name]
    with pytest.raises(RecordError, match=f"cannot be read: KeyError: '{name}'"):
        decode_episode(record, blobs)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["$tuple", "$map", "$array", "$bytes", "$blob", "$image", "$result", "$call", "$float", "$text"]
            ),
            inner,
            min_size=1,
            max_size=1,
        )
    ),
    max_leaves=6,
)


@given(json_values)
def test_damaged_values_are_record_errors(data):
    with contextlib.suppress(RecordError):
        decode_value(data, MemoryBlobs())


@given(st.data())
def test_damaged_episodes_are_record_errors(data):
    blobs = MemoryBlobs()
    record = json.loads(dump_line(encode_episode(full_episode(), blobs)))
    place: Any = record
    while True:  # walk to a random place, and put something else there
        steps = list(place) if isinstance(place, dict) else range(len(place))
        step = data.draw(st.sampled_from(list(steps)))
        if not isinstance(place[step], dict | list) or not place[step] or data.draw(st.booleans()):
            break
        place = place[step]
    place[step] = data.draw(json_values)
    with contextlib.suppress(RecordError):
        list(decode_episode(record, blobs).observations)


def test_unknown_kinds_are_named():
    with pytest.raises(RecordError, match=r"unknown kind '\$quaternion'"):
        decode_value({"$quaternion": []}, MemoryBlobs())
    lazy = LazySequence([{"$array": []}], lambda item: decode_value(item, MemoryBlobs()))
    with pytest.raises(RecordError, match="cannot be read: IndexError"):
        lazy[0]


def test_episodes_refuse_what_contradicts_itself():
    for changes, message in [
        ({"status": "failed"}, "Exactly the failed episodes carry an error"),
        ({"error": EpisodeError("x", "infrastructure", True)}, "Exactly the failed episodes carry an error"),
        ({"status": "failed", "error": EpisodeError("x", "infrastructure", True)}, "its score is unknown, not 0"),
        ({"outcome": 1.5}, r"lies in \[0, 1\], got 1.5"),
        ({"outcome": math.nan}, r"lies in \[0, 1\], got nan"),
    ]:
        with pytest.raises(ValueError, match=message):
            full_episode(**changes)
    assert math.isnan(full_episode().episode_return) and full_episode().valid
