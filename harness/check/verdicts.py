"""How a check says what it found."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

__all__ = ["CheckFailed", "CheckSkipped", "Problems", "describe_exception", "printable", "shorten"]

_SHOWN = 8  # problems listed in one detail


def printable(text: str) -> str:
    """The text with what no terminal should see (control characters, lone surrogates) as backslash escapes."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text
    )


def shorten(value: Any, limit: int = 300) -> str:
    """The value's `repr`, cut in its middle to at most `limit` characters."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) <= limit:
        return text
    half = (limit - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def describe_exception(error: BaseException) -> str:
    """The exception and the line it came from, in one sentence."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return f"{type(error).__name__}: {shorten(str(error), 500)}"
    last = frames[-1]
    place = f"{Path(last.filename).name}, line {last.lineno}, in {last.name}"
    return f"{type(error).__name__}: {shorten(str(error), 500)} ({place})"


class CheckFailed(Exception):
    """The environment breaks the check's rule.

    Args:
        expected: What should be.
        seen: What was.
        cause: The likely cause, and what to do.
    """

    def __init__(self, expected: str, seen: str, cause: str) -> None:
        super().__init__(f"Expected: {expected}\nSeen: {seen}\nLikely cause: {cause}")


class CheckSkipped(Exception):
    """The check does not apply to this environment; the message says why."""


class Problems:
    """Collects what is wrong, so that one check names everything it found."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, expected: str, seen: str, cause: str) -> None:
        """Notes one problem; see `CheckFailed`."""
        text = str(CheckFailed(expected, seen, cause))
        if text not in self._found:
            self._found.append(text)

    def require(self, fine: bool, expected: str, seen: str, cause: str) -> None:
        """Notes a problem unless all is fine."""
        if not fine:
            self.add(expected, seen, cause)

    def include(self, failure: CheckFailed) -> None:
        """Notes what another part of the check raised."""
        self._found.append(str(failure))

    def finish(self, detail: str) -> str:
        """The detail of a passed check.

        Raises:
            CheckFailed: Something was noted.
        """
        if not self._found:
            return detail
        rest = len(self._found) - _SHOWN
        shown = "\n\n".join(self._found[:_SHOWN]) + (f"\n\n... and {rest} more." if rest > 0 else "")
        failure = CheckFailed("", "", "")
        failure.args = (shown,)
        raise failure
