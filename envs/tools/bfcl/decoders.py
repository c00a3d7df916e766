"""From what a model said to calls: every return format of BFCL, read as the leaderboard reads it by default."""

from __future__ import annotations

import ast
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from typing import Any

from palaestra.envs.tools.bfcl.calls import CallSyntaxError, bracketed, quietly, read_calls
from palaestra.envs.tools.bfcl.rows import find_rows
from palaestra.envs.tools.bfcl.source_languages import read_java_call, read_javascript_call

__all__ = ["RETURN_FORMATS", "decode_output"]

_OBJECTS = re.compile(r"\[\s*{")
_NEXT_OBJECT = re.compile(r",\s*{")
_OPEN_TAG, _CLOSE_TAG = "<TOOLCALL>", "</TOOLCALL>"
_REFUSED = (ValueError, TypeError, KeyError, SyntaxError, MemoryError, RecursionError, AttributeError)


def decode_output(text: str, return_format: str = "python", *, tagged: bool = False) -> Any:
    """The calls in what a model said.

    Args:
        text: The whole utterance.
        return_format: One of `RETURN_FORMATS`.
        tagged: Whether the calls must stand between `<TOOLCALL>` and `</TOOLCALL>`.

    Returns:
        Mostly a list of `{name: {argument: value}}`. Some malformed texts decode to something else, which no verdict
        accepts, and some to an empty list.

    Raises:
        CallSyntaxError: It cannot be decoded.
        MissingExtraError: The format is Java or JavaScript, and their grammars are not installed.
    """
    text = bracketed(text)
    if tagged:
        begin = text.find(_OPEN_TAG)
        end = text.find(_CLOSE_TAG, begin + len(_OPEN_TAG))
        if begin < 0 or end < 0:
            raise CallSyntaxError(f"The calls must stand between {_OPEN_TAG} and {_CLOSE_TAG}.")
        text = text[begin + len(_OPEN_TAG) : end].strip()
    return _READERS[return_format](text)


def _read_json(text: str) -> Any:
    begin, end = text.find("["), text.rfind("]")
    if 0 <= begin < end:
        text = text[begin : end + 1]
    found = find_rows(text, _OBJECTS, "}", _NEXT_OBJECT, "]", across_lines=True, anywhere=True)
    try:
        data = json.loads(text if found is None else found)
    except json.JSONDecodeError:
        return []
    except _REFUSED as error:
        raise _refused(error) from None
    try:
        return [{item["function"]: item["parameters"]} for item in data if isinstance(item, dict)]
    except _REFUSED as error:
        raise _refused(error) from None


def _read_xml(text: str, concise: bool) -> Any:
    begin = text.find("<functions>")
    end = text.find("</functions>", begin)
    if begin < 0 or end < 0:
        raise CallSyntaxError("The calls must stand between <functions> and </functions>.")
    try:
        root = ElementTree.fromstring(text[begin : end + len("</functions>")])
        return [
            {function.attrib["name"]: dict(_parameter(item, concise) for item in _parameters(function, concise))}
            for function in root.findall("function")
        ]
    except _REFUSED as error:
        raise _refused(error) from None


def _parameters(function: ElementTree.Element, concise: bool) -> list[ElementTree.Element]:
    box = None if concise else function.find("params")
    return (function if box is None else box).findall("param")


def _parameter(item: ElementTree.Element, concise: bool) -> tuple[Any, Any]:
    kind = item.attrib.get("type", "string")
    if concise:
        return item.attrib["name"], _typed((item.text or "").strip(), kind)
    return item.attrib.get("name"), _typed(item.attrib.get("value", ""), kind)


def _typed(text: str, kind: str) -> Any:
    match kind:
        case "integer":
            return int(text)
        case "float":
            return float(text)
        case "boolean":
            return text.lower() == "true"
        case "null":
            return None
        case "array" | "tuple" | "object" | "dict":
            return quietly(lambda: ast.literal_eval(text))
    return text


def _refused(error: Exception) -> CallSyntaxError:
    return CallSyntaxError(f"{type(error).__name__}: {error}"[:300])


_READERS: Mapping[str, Callable[[str], Any]] = {
    "python": read_calls,
    # The brackets around the call are BFCL's own and no part of these languages.
    "java": lambda text: read_java_call(text[1:-1]) or {},
    "javascript": lambda text: read_javascript_call(text[1:-1]),
    "json": _read_json,
    "verbose_xml": lambda text: _read_xml(text, concise=False),
    "concise_xml": lambda text: _read_xml(text, concise=True),
}

RETURN_FORMATS = tuple(_READERS)
"""The formats in which calls may be written."""
