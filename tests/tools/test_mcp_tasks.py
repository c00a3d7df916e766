"""Files of tasks, and what their checks mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.language.tools import ToolOutput
from palaestra.envs.tools.mcp.task_files import load_tasks
from palaestra.envs.tools.mcp.verifier import holds, json_equal
from palaestra.episodes import TextPart
from palaestra.errors import ConfigError, DataError

GOOD = {"id": "a", "group": "g", "prompt": "Do it.", "answers": ["x"]}


def load(tmp_path: Path, *lines: Any) -> Any:
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    return load_tasks(path)


def test_all_fields(tmp_path: Path) -> None:
    check = {"name": "look", "arguments": {"at": [1]}, "equals": {"n": 1}, "path": "/items/0"}
    gold = [{"name": "put", "arguments": {"n": 1}}, [{"name": "put"}, {"name": "put", "arguments": {}}]]
    setup = [{"name": "clear", "arguments": {}}]
    full = {**GOOD, "id": "b", "split": "val", "checks": [check], "gold_calls": gold, "setup": setup}
    full["metadata"] = {"kind": "put", "tags": ["x"]}
    found = load(tmp_path, "\ufeff".encode() + json.dumps(GOOD).encode(), b"", b"  \r", full)
    a, b = found.tasks
    assert (a.id, a.group, a.prompt, a.truth) == ("a", "g", "Do it.", {"answers": ("x",)})
    assert (b.split, b.metadata) == ("val", {"kind": "put", "tags": ("x",)})
    assert b.truth["checks"] == (check,)
    put = {"name": "put", "arguments": {}}
    assert b.truth["gold_calls"] == (({"name": "put", "arguments": {"n": 1}},), (put, put))
    assert [call.name for call in found.setups["b"]] == ["clear"]
    assert found.lines == {"a": 1, "b": 4}


def test_splits_follow_groups(tmp_path: Path) -> None:
    found = load(tmp_path, *({**GOOD, "id": f"{n}", "group": f"g{n // 2}"} for n in range(100)))
    assert {task.split for task in found.tasks} == {"train", "val", "test"}
    assert all(first.split == second.split for first, second in zip(found.tasks[::2], found.tasks[1::2], strict=True))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "line 2: Not JSON"),
        (b"[1]", r"line 2: A task is a JSON object, got \[1\]"),
        (b"\xff", "line 2: The line is not UTF-8"),
        (b'{"id": "\\ud800"}', "half of a surrogate pair"),
        (b"[" * 100_000, "line 2: Not JSON"),
        (b'{"id": NaN}', "NaN is not JSON"),
        (b'{"id": 1e999}', "line 2: Not JSON"),
        (b'{"id": "b", "id": "c"}', "a key stands twice"),
        ({**GOOD, "id": ""}, "line 2, field 'id': Must be a text"),
        ({**GOOD, "id": 7}, "line 2, field 'id': Must be a text, got 7"),
        ({key: value for key, value in GOOD.items() if key != "prompt"}, "field 'prompt': The field is missing"),
        ({key: value for key, value in GOOD.items() if key != "group"}, "field 'group': The field is missing"),
        (GOOD, "line 2, field 'id': The id 'a' is already that of line 1"),
        ({**GOOD, "answer": "x"}, "field 'answer': There is no such field. Did you mean 'answers'"),
        ({**GOOD, "split": "dev"}, "field 'split': Must be one of train, val, test"),
        ({**GOOD, "metadata": []}, "field 'metadata': Must be an object"),
        ({**GOOD, "answers": [1]}, "field 'answers': Must be a text or a list of texts"),
        ({**GOOD, "answers": [" "]}, "field 'answers'"),
        ({**GOOD, "answers": []}, "needs 'answers' or 'checks'"),
        ({**GOOD, "checks": {}}, "field 'checks': Must be a list"),
        ({**GOOD, "checks": ["look"]}, "field 'checks': A call is an object"),
        ({**GOOD, "checks": [{"name": "look"}]}, "A check expects something: give one of text, contains"),
        ({**GOOD, "checks": [{"name": "look", "equal": 1}]}, "no key 'equal'. Did you mean 'equals'"),
        ({**GOOD, "checks": [{"name": "look", "contains": 1}]}, "'contains' must be a text"),
        ({**GOOD, "checks": [{"name": "look", "is_error": 1}]}, "'is_error' must be true or false"),
        ({**GOOD, "checks": [{"name": "look", "equals": 1, "path": "n"}]}, "'path' is a JSON pointer"),
        ({**GOOD, "checks": [{"name": "look", "text": "1", "path": "/n"}]}, "goes with 'equals'"),
        ({**GOOD, "setup": [{"arguments": {}}]}, "field 'setup': A call's 'name'"),
        ({**GOOD, "setup": [{"name": "x", "arguments": []}]}, "'arguments' must be an object"),
        ({**GOOD, "gold_calls": [[{"name": "x", "args": {}}]]}, "no key 'args'"),
    ],
)
def test_mistakes_name_line_and_field(tmp_path: Path, line: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(tmp_path, GOOD, line)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        load_tasks(tmp_path / "nothing.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        load_tasks(tmp_path)
    with pytest.raises(DataError, match="no tasks in it"):
        load(tmp_path, b"")
    with pytest.raises(ConfigError, match="give the path"):
        load_tasks([GOOD])  # type: ignore[arg-type]


def output(text: str, *structured: Any) -> ToolOutput:
    return ToolOutput((TextPart(text),), {"structured": structured[0]} if structured else {})


@pytest.mark.parametrize(
    ("check", "given", "is_error", "expected"),
    [
        ({"text": "five"}, output(" five\n"), False, True),
        ({"text": "five"}, output("five."), False, False),
        ({"contains": "iv"}, output("five"), False, True),
        ({"contains": "IV"}, output("five"), False, False),
        ({"contains": "five"}, output("five"), True, False),
        ({"contains": "five", "is_error": True}, output("five"), True, True),
        ({"is_error": True}, output(""), False, False),
        ({"is_error": False}, output(""), False, True),
        ({"equals": 5}, output("5"), False, True),
        ({"equals": 5}, output("five", 5), False, True),
        ({"equals": 5}, output("5", 6), False, False),  # the structured result is what counts
        ({"equals": "five"}, output("five"), False, True),  # text that is no JSON is a text
        ({"equals": 1}, output("x", True), False, False),
        ({"equals": 1}, output("x", 1.0), False, True),
        ({"equals": None}, output("null"), False, True),
        ({"equals": {"b": [1], "a": 2}}, output("x", {"a": 2, "b": [1]}), False, True),
        ({"equals": {"a": 2}}, output("x", {"a": 2, "b": [1]}), False, False),
        ({"equals": 7, "path": "/a/1/b~1c~0d"}, output("x", {"a": [0, {"b/c~d": 7}]}), False, True),
        ({"equals": 7, "path": "/a/-1"}, output("x", {"a": [0, 7]}), False, False),
        ({"equals": 7, "path": "/a/b"}, output("7"), False, False),
        ({"equals": 7, "path": "/a/9"}, output("x", {"a": [7]}), False, False),
        ({"equals": 7, "path": "/"}, output("x", {"": 7}), False, True),
        ({"equals": 5, "text": "6"}, output("5"), False, False),  # all must hold
    ],
)
def test_checks(check: dict[str, Any], given: ToolOutput, is_error: bool, expected: bool) -> None:
    assert holds(check, given, is_error) is expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


def told_apart(value: Any) -> Any:
    """The value in a form whose `==` is equality of JSON."""
    match value:
        case bool() | None:
            return ("literal", str(value))
        case int() | float():
            return ("number", float(value))
        case dict():
            return ("object", frozenset((key, told_apart(item)) for key, item in value.items()))
        case list():
            return ("list", tuple(map(told_apart, value)))
    return ("text", value)


@given(JSON, JSON)
def test_equality_is_that_of_json(left: Any, right: Any) -> None:
    assert json_equal(left, right) is (told_apart(left) == told_apart(right))
    assert json_equal(left, json.loads(json.dumps(left)))
