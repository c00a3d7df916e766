"""A quick yes to arguments that meet their schema; everything else is left to the full validator.

Most calls are well formed. For schemas of the plain kind that tools have, a function made once from the schema says
yes in about a microsecond. A no says nothing: the full validator then decides, and words what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Accepts", "compile_schema"]

Accepts = Callable[[Any], bool]
"""True only where the value meets the schema."""

_SAID_ELSEWHERE = frozenset({"$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated",
                             "readOnly", "writeOnly", "format"})  # fmt: skip
_BY_KIND: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "string": frozenset({"enum", "minLength", "maxLength", "pattern"}),
    "integer": frozenset({"minimum", "maximum"}),
    "number": frozenset({"minimum", "maximum"}),
    "boolean": frozenset(),
}


def compile_schema(schema: Any, *, closed: bool = False) -> Accepts | None:
    """Makes the quick check of a schema.

    Args:
        schema: A JSON Schema, draft 2020-12, in which integers are whole numbers written as such.
        closed: Whether properties that an object does not name are refused where it does not say.

    Returns:
        None where the schema says something that is not among the plain keywords: no quick check is possible.
    """
    if not isinstance(schema, Mapping):
        return None
    kind = schema.get("type")
    if not isinstance(kind, str) or kind not in _BY_KIND:
        return None
    if not set(schema) - _SAID_ELSEWHERE <= {"type", *_BY_KIND[kind]}:
        return None
    match kind:
        case "object":
            return _object(schema, closed)
        case "array":
            return _array(schema)
        case "string":
            return _string(schema)
        case "boolean":
            return lambda value: value is True or value is False
    return _number(schema, (int,) if kind == "integer" else (int, float))


def _object(schema: Mapping[str, Any], closed: bool) -> Accepts | None:
    more = schema.get("additionalProperties", not closed)
    if not isinstance(more, bool):
        return None
    parts: dict[str, Accepts] = {}
    for name, part in schema.get("properties", {}).items():
        made = compile_schema(part)
        if made is None:
            return None
        parts[name] = made
    required = tuple(schema.get("required", ()))

    def accepts(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for name in required:
            if name not in value:
                return False
        for name, item in value.items():
            check = parts.get(name)
            if check is None:
                if not more:
                    return False
            elif not check(item):
                return False
        return True

    return accepts


def _array(schema: Mapping[str, Any]) -> Accepts | None:
    check = compile_schema(schema["items"]) if "items" in schema else None
    if check is None:
        return None
    low, high = schema.get("minItems", 0), schema.get("maxItems", float("inf"))

    def accepts(value: Any) -> bool:
        return type(value) is list and low <= len(value) <= high and all(map(check, value))

    return accepts


def _string(schema: Mapping[str, Any]) -> Accepts:
    words = schema.get("enum")
    low, high = schema.get("minLength", 0), schema.get("maxLength", float("inf"))
    pattern = re.compile(schema["pattern"]) if "pattern" in schema else None
    if words is not None:
        # Values that are no strings may be listed; the full validator knows about them.
        known = frozenset(word for word in words if isinstance(word, str))
        if pattern is None and not low and high == float("inf"):
            return lambda value: type(value) is str and value in known
        return lambda value: (
            type(value) is str
            and value in known
            and low <= len(value) <= high
            and bool(not pattern or pattern.search(value))
        )
    if pattern is None:
        return lambda value: type(value) is str and low <= len(value) <= high
    return lambda value: type(value) is str and low <= len(value) <= high and pattern.search(value) is not None


def _number(schema: Mapping[str, Any], kinds: tuple[type, ...]) -> Accepts:
    low, high = schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))
    # The type itself, not `isinstance`: true and false are no numbers. NaN fails both comparisons.
    return lambda value: type(value) in kinds and low <= value <= high
