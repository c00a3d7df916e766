"""Untrusted text made fit to be read: what agents, tools and retrieved pages said.

Escaping for HTML is the template's (autoescape). Here is what escaping does not do: characters that cannot be seen or
that turn a line around become visible, and what is long is folded, what is very long is cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Passage", "fold", "jsonable", "plain", "readable"]

_FOLD_CHARS, _FOLD_LINES = 900, 12
_KEEP_HEAD, _KEEP_TAIL = 6_000, 1_500

# Controls but tab and line feed; direction marks and overrides; surrogates; noncharacters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class Passage:
    """A text as the page shows it.

    Attributes:
        head: The text, or its beginning where it was cut.
        tail: Its end where it was cut, else "".
        omitted: How many characters were left out between the two.
        characters: Length of the whole.
        folded: Whether it is long enough to start folded.
        first_line: What a fold shows while it is closed.
    """

    head: str
    tail: str
    omitted: int
    characters: int
    folded: bool
    first_line: str


def readable(text: str) -> str:
    """The text with every character that is not seen, or that reorders others, written out.

    C0 controls become their pictures (U+2400 to U+2421), others `[U+202E]`. The result can be encoded as UTF-8.
    """

    def show(match: re.Match[str]) -> str:
        code = ord(match[0])
        if code < 0x20:
            return chr(0x2400 + code)
        return "\u2421" if code == 0x7F else f"[U+{code:04X}]"

    return _UNSEEN.sub(show, text.replace("\r\n", "\n"))


def fold(text: str) -> Passage:
    """The text made readable, cut where it is very long, marked to be folded where it is long."""
    length = len(text)
    head, tail = text, ""
    if length > _KEEP_HEAD + _KEEP_TAIL:
        head, tail = text[:_KEEP_HEAD], text[-_KEEP_TAIL:]
    folded = length > _FOLD_CHARS or text.count("\n", 0, _FOLD_CHARS) >= _FOLD_LINES
    opening = " ".join(readable(text[:400]).split())
    first_line = opening if len(opening) <= 140 else opening[:139] + "…"
    return Passage(readable(head), readable(tail), length - len(head) - len(tail), length, folded, first_line)


def plain(value: Any) -> str:
    """Any value of a record as text: strings as they are, arrays by shape and first items, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(jsonable(value), ensure_ascii=False)


def jsonable(value: Any) -> Any:
    """Any value of a record or manifest as data for JSON: arrays become lists or a description, NaN its name."""
    match value:
        case None | bool() | int() | str():
            return value
        case float() if not isinstance(value, np.floating):
            return value if np.isfinite(value) else repr(value)
        case np.generic():
            return jsonable(value.item())
        case np.ndarray() if value.size <= 16:
            return jsonable(value.tolist())
        case np.ndarray():
            items = value.flat[:6].tolist()
            first = ", ".join(f"{item:.4g}" if isinstance(item, float) else str(item) for item in items)
            return f"{value.dtype} {value.shape}: {first}, ..."
        case Mapping():
            return {str(key): jsonable(item) for key, item in value.items()}
        case bytes():
            return f"{len(value)} bytes"
        case Sequence():
            return [jsonable(item) for item in value]
    return str(value)
