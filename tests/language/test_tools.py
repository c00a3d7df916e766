"""Tools: what their schemas accept, what the agent is told, and whose fault a failure is."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.language.sampling import sample_schema
from palaestra.envs.language.tools import Tool, ToolOutput, answer_tool
from palaestra.episodes import TextPart
from palaestra.errors import ConfigError, EpisodeFailure, ToolError

BOOK = {
    "type": "object",
    "properties": {
        "room": {"type": "integer", "minimum": 1, "maximum": 9},
        "guests": {"type": "array", "items": {"type": "string", "maxLength": 8}, "maxItems": 2},
        "board": {"enum": ["none", "half", "full"]},
        "price": {"type": "number", "multipleOf": 0.01},
    },
    "required": ["room"],
}


def tool(parameters: Any = BOOK, run: Any = lambda **arguments: "done", **options: Any) -> Tool:
    return Tool("book", "Books a room.", parameters, run, **options)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "'room' is a required property"),
        ({"room": "3"}, "In the field 'room': '3' is not of type 'integer'"),
        ({"room": True}, "In the field 'room': True is not of type 'integer'"),
        ({"room": 3.0}, "In the field 'room': 3.0 is not of type 'integer'"),
        ({"room": None}, "In the field 'room': None"),
        ({"room": 10**308}, "In the field 'room': "),
        ({"room": 0}, "less than the minimum of 1"),
        ({"room": 3, "guests": "Ann"}, "In the field 'guests': 'Ann' is not of type 'array'"),
        ({"room": 3, "guests": ["Ann", 5]}, "In the field 'guests.1': 5 is not of type 'string'"),
        ({"room": 3, "guests": ["Christopher"]}, "In the field 'guests.0': 'Christopher' is too long"),
        ({"room": 3, "guests": ["b" * 100_000]}, "bbb' is too long"),
        ({"room": 3, "board": "all"}, "In the field 'board': 'all' is not one of ['none', 'half', 'full']"),
        ({"room": 3, "price": 10**308}, "In the field 'price': 1000"),
        ({"room": 3, "rom": 4}, "'rom' was unexpected"),
        ({"room": 3, "guests": [{"a": "b" * 100_000}]}, "In the field 'guests.0': {'a': 'bbb"),
        ({"room": 3, "x" * 100_000: "y" * 100_000}, "properties are not allowed ('xxx"),
    ],
)
def test_a_problem_names_the_field_and_what_is_accepted(arguments: dict[str, Any], named: str) -> None:
    problem = tool().problem(arguments)
    assert problem is not None
    assert named in problem
    assert "'book' accepts {" in problem
    assert '"minimum": 1' in problem
    assert "required: room." in problem
    assert len(problem) < 1500


@pytest.mark.parametrize("arguments", [{"room": 3}, {"room": 9, "guests": ["Ann"], "board": "half", "price": 0.25}])
def test_good_arguments_have_no_problem(arguments: dict[str, Any]) -> None:
    assert tool().problem(arguments) is None


def test_a_schema_that_says_so_is_open() -> None:
    assert tool({**BOOK, "additionalProperties": True}).problem({"room": 3, "rom": 4}) is None
    assert tool({"type": "object", "patternProperties": {"^x": {}}}).problem({"xy": 3}) is None
    assert tool({"type": "object", "allOf": [{"properties": {"a": {}}}]}).problem({"a": 3}) is None
    assert "'b' was unexpected" in str(tool({"type": "object", "allOf": [{"properties": {"a": {}}}]}).problem({"b": 3}))


def test_a_number_too_long_to_be_written_is_a_problem_not_a_crash() -> None:
    assert tool().problem({"room": 10**5000}) == "The arguments of 'book' hold a number with too many digits."


def test_arguments_too_deep_for_a_recursive_schema_are_a_problem_not_a_crash() -> None:
    nested = tool({"type": "object", "properties": {"a": {"$ref": "#"}}})
    value: dict[str, Any] = {}
    for _ in range(sys.getrecursionlimit()):
        value = {"a": value}
    assert "too deeply" in str(nested.problem(value))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"parameters": {"type": "strin"}}, "no JSON Schema"),
        ({"parameters": {"type": "string"}}, "of type 'object'"),
        ({"parameters": {}}, "of type 'object'"),
        ({"primary": "room"}, "must be a string"),
        ({"primary": "floor"}, "must be a string"),
        (
            {
                "primary": "a",
                "parameters": {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["b"]},
            },
            "no other may be required",
        ),
        ({"timeout": 0}, "above 0"),
        ({"timeout": float("nan")}, "above 0"),
    ],
)
def test_a_tool_that_cannot_work_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        tool(**options)


@pytest.mark.parametrize("name", ["", "a b", "a<b", "sé", "a/b", "a\n"])
def test_names_fit_into_tags(name: str) -> None:
    with pytest.raises(ConfigError, match="letters, digits"):
        Tool(name, "", {"type": "object"}, lambda: "")


def test_a_text_becomes_a_part_and_an_output_stays() -> None:
    given_ = ToolOutput((TextPart("a"), TextPart("b")), {"n": 1}, np.zeros((1, 1, 3), np.uint8))
    assert tool(run=lambda room: f"room {room}").call({"room": 3}).content == (TextPart("room 3"),)
    assert tool(run=lambda room: given_).call({"room": 3}) is given_


def test_another_result_is_the_authors_mistake_and_says_so() -> None:
    with pytest.raises(TypeError, match="'book' gave NoneType; it must give a str or a ToolOutput"):
        tool(run=lambda room: None).call({"room": 3})


@pytest.mark.parametrize("timeout", [None, 30.0])
@pytest.mark.parametrize("error", [ToolError("no such room"), EpisodeFailure("desk_down", "gone"), KeyError("x")])
def test_what_a_tool_raises_is_passed_on(error: Exception, timeout: float | None) -> None:
    def run(room: int) -> str:
        raise error

    with pytest.raises(type(error)) as caught:
        tool(run=run, timeout=timeout).call({"room": 3})
    assert caught.value is error


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_a_tool_cannot_end_the_process(timeout: float | None) -> None:
    with pytest.raises(RuntimeError, match="'book' tried to exit the process"):
        tool(run=lambda room: sys.exit(3), timeout=timeout).call({"room": 3})


@pytest.mark.parametrize(("whose", "error"), [("tool_error", ToolError), ("failure", EpisodeFailure)])
def test_a_time_out_is_whose_the_tool_says(whose: Any, error: type[Exception]) -> None:
    release = threading.Event()
    slow = tool(run=lambda room: str(release.wait(60)), timeout=0.05, on_timeout=whose)
    try:
        with pytest.raises(error, match=r"'book' gave no answer within 0\.05 s"):
            slow.call({"room": 3})
    finally:
        release.set()


def test_a_tool_within_its_time_gives_its_result() -> None:
    assert tool(run=lambda room: "done", timeout=60.0).call({"room": 3}).content == (TextPart("done"),)


def test_the_openai_schema() -> None:
    assert answer_tool(lambda answer: "").openai == {
        "type": "function",
        "function": {
            "name": "answer",
            "description": "Gives your final answer.",
            "parameters": {
                "type": "object",
                "properties": {"answer": {"type": "string", "description": "The answer itself, in a few words."}},
                "required": ["answer"],
                "additionalProperties": False,
            },
        },
    }


# Sampling -----------------------------------------------------------------------------------------------------------


def _bounded(kind: str, numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    def build(low: Any, width: Any, which: str) -> dict[str, Any]:
        schema = {"type": kind, "minimum": low, "maximum": low + width}
        return {key: value for key, value in schema.items() if key in ("type", *which.split())}

    return st.builds(
        build, numbers, st.integers(0, 5000), st.sampled_from(["", "minimum", "maximum", "minimum maximum"])
    )


LEAVES = (
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "string", "minLength": 9, "maxLength": 9},
            {"type": "string", "maxLength": 0},
            {"type": "boolean"},
            {"type": "null"},
            {"type": ["string", "null"]},
            {"enum": ["a", 2, None]},
            {"const": {"a": 1}},
            {},
        ]
    )
    | _bounded("integer", st.integers(-(10**6), 10**6))
    | _bounded("number", st.floats(-1e6, 1e6))
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 3))
        | st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner)
        | st.builds(
            lambda parts, needed: {"type": "object", "properties": parts, "required": sorted(parts)[:needed]},
            st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
            st.integers(0, 3),
        )
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from("pqr"), SCHEMAS, max_size=3), st.integers(0, 2**32))
def test_samples_meet_their_schema_and_follow_the_seed(parts: dict[str, Any], seed: int) -> None:
    schema = {"type": "object", "properties": parts, "required": sorted(parts)[:1]}
    drawn = sample_schema(schema, np.random.default_rng(seed))
    assert tool(schema).problem(drawn) is None
    assert drawn == sample_schema(schema, np.random.default_rng(seed))
