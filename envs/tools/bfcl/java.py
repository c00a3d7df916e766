"""Java source text as values, as BFCL's Java categories convert arguments before they are compared.

What does not look like the wanted type stays text. The conversions are narrow (no nested collections, commas inside
strings split them), and deliberately so here: the verdict must be the leaderboard's.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["java_value"]

_WHOLE = re.compile(r"-?\d+$")
_LONG = re.compile(r"-?\d+[lL]$")
_FLOAT = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?[fF]$")
_DOUBLE = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?$")
_ARRAY = re.compile(r"new\s+\w+\[\]\s*\{(.*?)\}")
_AS_LIST = re.compile(r"new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)")
_ADDED = re.compile(r"new\s+ArrayList<\w*>\(\)\s*\{\{\s*(.+?)\s*\}\}", re.DOTALL)
_EMPTY_LIST = re.compile(r"new\s+ArrayList<\w*>\(\)")
_ADD = re.compile(r"add\((.+?)\)")
_MAP_BEGIN = re.compile(r"new\s+HashMap<.*?>\s*\(\)\s*\{\s*\{?\s*", re.DOTALL)
_EMPTY_MAP = re.compile(r"new\s+HashMap<.*?>\s*\(\)", re.DOTALL)
_PUT = re.compile(r"put\(\"(.*?)\",\s*(.*?)\)")
_MAX_CHARS = 2_000  # of a collection; its patterns take time quadratic in it


def java_value(text: str, kind: str, inner: str | None = None) -> Any:
    """The value that a Java expression stands for, where a parameter has this type.

    Args:
        text: Java source of one argument.
        kind: BFCL's name of the type: `integer`, `long`, `ArrayList`, ...
        inner: Its name of the type of the elements, for arrays and lists.

    Returns:
        The value; the text itself where it is none of that type.

    Raises:
        ValueError: BFCL has no conversion for the type, or the number has more digits than are read.
    """
    match kind:
        case "byte" | "short" | "integer":
            return int(text) if _WHOLE.match(text) else text
        case "float":
            return float(text.rstrip("\n")[:-1]) if _FLOAT.match(text) else text
        case "double":
            return float(text) if _DOUBLE.match(text) else text
        case "long":
            return int(text.rstrip("\n")[:-1]) if _LONG.match(text) else text
        case "boolean":
            return text == "true" if text in ("true", "false") else text
        case "String" | "any" | "char":
            return text
        case "Array" | "ArrayList" | "HashMap":
            if len(text) > _MAX_CHARS:
                return text
            return _array(text, inner) if kind == "Array" else _list(text, inner) if kind == "ArrayList" else _map(text)
    raise ValueError(f"BFCL converts no value of the Java type {kind!r}.")


def _array(text: str, inner: str | None) -> Any:
    found = _ARRAY.search(text)
    if found is None:
        return text
    return [_element(item, inner) for item in map(str.strip, found[1].split(",")) if item]


def _list(text: str, inner: str | None) -> Any:
    found = _AS_LIST.search(text)
    if found is not None:
        return [_unquoted(item.strip(), inner) for item in found[1].split(",")]
    found = _ADDED.search(text) if "}}" in text else None
    if found is not None:
        return [_unquoted(item.strip(), inner) for item in _ADD.findall(found[1])]
    return [] if _EMPTY_LIST.search(text) else text


def _unquoted(text: str, inner: str | None) -> Any:
    return text[1:-1] if inner in ("char", "String") else _element(text, inner)


def _element(text: str, inner: str | None) -> Any:
    return java_value(text, inner) if inner else _plain(text)


def _map(text: str) -> Any:
    begin = _MAP_BEGIN.search(text)
    end = -1 if begin is None else text.find("}", begin.end())
    if begin is not None and end >= 0:
        puts = text[begin.end() : end].rstrip()
        return {key: _plain(value.strip()) for key, value in _PUT.findall(puts)}
    return {} if _EMPTY_MAP.search(text) else text


def _plain(text: str) -> Any:
    """A value by its looks alone."""
    if text in ("true", "false"):
        return text == "true"
    if text.startswith('"') and text.endswith('"'):
        return text[1:-1]
    if _LONG.match(text):
        return int(text.rstrip("\n")[:-1])
    if _FLOAT.match(text):
        return float(text.rstrip("\n")[:-1])
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
