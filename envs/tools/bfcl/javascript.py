"""JavaScript source text as values, as BFCL's JavaScript category converts arguments before they are compared.

What does not look like the wanted type stays text; like in `java`, the narrowness is the leaderboard's.
"""

from __future__ import annotations

import re
from typing import Any

from palaestra.envs.tools.bfcl.rows import find_rows

__all__ = ["javascript_value"]

_WHOLE = re.compile(r"-?\d+$")
_FLOAT = re.compile(r"-?\d+(\.\d+)?$")
_BIG = re.compile(r"-?\d+n$")
_LIST = re.compile(r"\[(.*?)\]|\bnew\s+Array\((.*?)\)")
_INNER_LIST = re.compile(r"\[(.*?)\]")
_TABLE_BEGINS = ((re.compile(r"\[\s*\["), "]"), (re.compile(r"new\s+Array\(\s*\["), ")"))
_NEXT_ROW = re.compile(r",\s*\[")
_OBJECT = re.compile(r"\{(.*?)\}")
_PAIR = re.compile(r"([^:]+):\s*(.*?)(?:,\s*(?=[^,]+:)|$)")
_MAX_CHARS = 2_000  # of a collection; its patterns take time quadratic in it


def javascript_value(text: str, kind: str, inner: str | None = None) -> Any:
    """The value that a JavaScript expression stands for, where a parameter has this type.

    Args:
        text: JavaScript source of one argument.
        kind: BFCL's name of the type: `String`, `integer`, `array`, ...
        inner: Its name of the type of the elements, for arrays.

    Returns:
        The value; the text itself where it is none of that type.

    Raises:
        ValueError: BFCL has no conversion for the type, or the number has more digits than are read.
    """
    match kind:
        case "String":
            return text[1:-1] if _quoted(text) else text
        case "integer":
            return int(text) if _WHOLE.match(text) else text
        case "float":
            return float(text) if _FLOAT.match(text) else text
        case "Bigint":
            return int(text.rstrip("\n")[:-1]) if _BIG.match(text) else text
        case "Boolean":
            return text == "true" if text in ("true", "false") else text
        case "any":
            return text
        case "dict" | "array":
            text = text.strip()
            if len(text) > _MAX_CHARS:
                return text
            return _object(text) if kind == "dict" else _array(text, inner)
    raise ValueError(f"BFCL converts no value of the JavaScript type {kind!r}.")


def _quoted(text: str) -> bool:
    return any(text.startswith(quote) and text.endswith(quote) for quote in ('"', "'"))


def _array(text: str, inner: str | None) -> Any:
    table = _table(text)
    if table is not None:
        rows = _INNER_LIST.findall(table)
        rows[0] = rows[0].strip().removeprefix("[")
        return [[_plain(item) for item in row.strip().split(",")] for row in rows]
    found = _LIST.match(text)
    if found is None:
        return text
    content = (found[1] if found[1] is not None else found[2]).strip()
    items = [item.strip() for item in content.split(",")] if content else []
    try:
        return [javascript_value(item, inner) if inner else _plain(item) for item in items]
    except ValueError:
        return text


def _table(text: str) -> str | None:
    """The list of lists that the text begins with; no row spans lines."""
    for opening, closing in _TABLE_BEGINS:
        if opening.match(text):
            return find_rows(text, opening, "]", _NEXT_ROW, closing, across_lines=False, anywhere=False)
    return None


def _object(text: str) -> Any:
    if text == "{}":
        return {}
    found = _OBJECT.match(text)
    if found is None:
        return text
    values: dict[str, Any] = {}
    for key, value in _PAIR.findall(found[1]):
        value = value.strip()
        if value.startswith("[") and value.endswith("]"):
            read = _array(value, None)
        elif value.startswith("{") and value.endswith("}"):
            read = _object(value)
        else:
            read = _plain(value.strip("'\""))
        values[key.strip().strip("'\"")] = read
    return values


def _plain(text: str) -> Any:
    """A value by its looks alone."""
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    if _quoted(text):
        return text[1:-1]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
