"""Judging a server's state by calls: what a task expects, and whether it is so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from palaestra.envs.language.tools import ToolOutput
from palaestra.episodes import TextPart

__all__ = ["holds", "json_equal"]


def holds(check: Mapping[str, Any], output: ToolOutput, is_error: bool) -> bool:
    """Whether a call gave what a check expects.

    Args:
        check: With `text` (the whole text, white space at both ends aside), `contains` (part of the text), `equals`
            (the JSON value at `path`, by default the whole, of the structured result, else of the text read as JSON)
            and `is_error`; all that are given must hold. Unless `is_error` is given, the call must not be an error.
        output: What the call gave.
        is_error: Whether the tool said that it could not do it.
    """
    if is_error != check.get("is_error", False):
        return False
    text = "\n".join(part.text for part in output.content if isinstance(part, TextPart))
    if "text" in check and text.strip() != check["text"].strip():
        return False
    if "contains" in check and check["contains"] not in text:
        return False
    return "equals" not in check or _found_equal(check, output, text)


def _found_equal(check: Mapping[str, Any], output: ToolOutput, text: str) -> bool:
    value: Any
    if "structured" in output.data:
        value = output.data["structured"]
    else:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
    for step in check.get("path", "").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return False
    return json_equal(value, check["equals"])


def json_equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal: 1 is 1.0 but not true, objects have no order."""
    if isinstance(left, dict) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(json_equal(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(json_equal, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
