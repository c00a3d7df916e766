"""The quick check of arguments: it never says yes where the full validator says no, and mostly spares asking it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaestra.envs.language.accepting import compile_schema
from palaestra.envs.language.tools import Tool, _make_validator

NAMES = st.sampled_from(["a", "b", "c"])
BOUND = st.integers(-3, 3)


def strings() -> st.SearchStrategy[dict[str, Any]]:
    plain = st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.integers(0, 2),
            "maxLength": st.integers(0, 3),
            "pattern": st.sampled_from(["a", "^b+$", "[0-9]"]),
            "enum": st.lists(st.sampled_from(["a", "bb", "", 1, None]), min_size=1, max_size=3),
            "format": st.just("date"),
        },
    )
    return plain


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    numbers = st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])}, optional={"minimum": BOUND, "maximum": BOUND}
    )
    leaves = strings() | numbers | st.just({"type": "boolean", "description": "Whether."})
    odd = st.sampled_from([{}, {"type": ["string", "null"]}, {"type": "integer", "multipleOf": 2}, {"const": 1}])
    return st.recursive(
        leaves | odd,
        lambda inner: (
            st.fixed_dictionaries(
                {"type": st.just("array")},
                optional={"items": inner, "minItems": st.integers(0, 2), "maxItems": st.integers(0, 2)},
            )
            | objects(inner)
        ),
        max_leaves=4,
    )


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"type": st.just("object")},
        optional={
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "required": st.lists(NAMES, unique=True, max_size=2),
            "additionalProperties": st.booleans() | st.just({"type": "string"}),
        },
    )


VALUES = st.recursive(
    st.none() | st.booleans() | BOUND | st.floats() | st.just(10**400) | st.sampled_from(["", "a", "bb", "7", "é" * 4]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


@given(objects(schemas()), st.dictionaries(NAMES, VALUES, max_size=3))
@example({"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": True})
@example(
    {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "boolean"}, "maxItems": 1}}},
    {"a": [True] * 2},
)
@example(
    {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "boolean"}, "minItems": 2}}},
    {"a": [True]},
)
@example({"type": "object", "properties": {"a": {"type": "string", "maxLength": 1}}}, {"a": "bb"})
@example({"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": 3.0})
@example({"type": "object", "properties": {"a": {"type": "string", "enum": [1, "a"]}}}, {"a": 1})
def test_a_yes_is_the_full_validators_yes(schema: dict[str, Any], arguments: dict[str, Any]) -> None:
    accepts = compile_schema(schema, closed=True)
    if accepts is not None and accepts(arguments):
        assert _make_validator(schema).is_valid(arguments)


@given(objects(strings() | st.just({"type": "boolean"})), st.dictionaries(NAMES, VALUES, max_size=3))
def test_of_plain_schemas_a_no_is_the_full_validators_no(schema: dict[str, Any], arguments: dict[str, Any]) -> None:
    if isinstance(schema.get("additionalProperties"), dict):
        return
    accepts = compile_schema(schema, closed=True)
    assert accepts is not None
    if not accepts(arguments):
        assert not _make_validator(schema).is_valid(arguments)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"type": ["object"]},
        {"type": "object", "minProperties": 1},
        {"type": "object", "allOf": []},
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}]}}},
        {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True, "items": {"type": "string"}}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
    ],
)
def test_what_is_not_plain_is_left_to_the_full_validator(schema: Any) -> None:
    assert compile_schema(schema) is None


def test_tools_ask_both() -> None:
    tool = Tool("t", "", {"type": "object", "properties": {"a": {"type": "string", "pattern": "a"}}}, lambda a: a)
    assert tool.problem({"a": "bab"}) is None
    assert "does not match" in str(tool.problem({"a": "b"}))
