"""Finding bracketed rows in hostile text, in linear time.

BFCL finds lists of lists, and of objects, by regular expressions: an opening bracket, a row, commas and further rows,
a closing bracket, where a row is whatever stands between its own brackets, other rows included. A text of a few hundred
characters that lacks its end keeps such an expression busy for years. Here each bracket is looked at once; what is
found is the same.
"""

from __future__ import annotations

import bisect
import re

__all__ = ["find_rows"]

_SPACE = re.compile(r"\s*")


def find_rows(
    text: str,
    opening: re.Pattern[str],
    close_row: str,
    next_row: re.Pattern[str],
    closing: str,
    *,
    across_lines: bool,
    anywhere: bool,
) -> str | None:
    """The first stretch of text made of an opening, rows with commas between them, and a closing.

    Args:
        text: The text.
        opening: Matches the beginning, that of the first row included.
        close_row: The character that ends a row.
        next_row: Matches the comma between two rows and the beginning of the second.
        closing: The character that ends the whole.
        across_lines: Whether a row may hold line breaks.
        anywhere: Whether the stretch may begin anywhere, or only where the text does.

    Returns:
        The stretch that the regular expression finds; None where there is none.
    """
    places: list[int] = []  # ends of rows from which the whole comes to its end, negated to be in order
    ends: list[int] = []  # and where that is

    def end_of(start: int) -> int | None:
        """Where the whole ends, from within a row: by the nearest end of the row that leads there."""
        index = bisect.bisect_right(places, -start) - 1
        if index < 0 or (not across_lines and "\n" in text[start : -places[index]]):
            return None
        return ends[index]

    place = text.rfind(close_row)
    while place >= 0:
        space = _SPACE.match(text, place + 1)
        behind = place + 1 if space is None else space.end()
        following = next_row.match(text, behind)
        end = end_of(following.end()) if following else behind + 1 if text[behind : behind + 1] == closing else None
        if end is not None:
            places.append(-place)
            ends.append(end)
        place = text.rfind(close_row, 0, place)
    for begin in opening.finditer(text) if anywhere else filter(None, (opening.match(text),)):
        end = end_of(begin.end())
        if end is not None:
            return text[begin.start() : end]
    return None
