"""Moments (`YYYY-MM-DDTHH:MM`) and days (`YYYY-MM-DD`) as text that sorts, and what can be computed with them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from palaestra.errors import ToolError

__all__ = ["day_of", "later_day", "minutes_between", "parse_day", "parse_moment", "shift", "weekday", "working_days"]

_MOMENT = re.compile(r"(20[0-9]{2}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(?::00)?", re.ASCII)
_DAY = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", re.ASCII)


def parse_moment(value: str, field: str) -> str:
    """The moment that a text says, in the one form that the tables hold.

    Raises:
        ToolError: It says none between the years 2000 and 2099.
    """
    match = _MOMENT.fullmatch(value)
    if match:
        moment = f"{match[1]}T{match[2]}"
        try:
            datetime.fromisoformat(moment)
        except ValueError:
            pass
        else:
            return moment
    raise ToolError(
        f"In the field '{field}': {value!r} is no moment. Write local time as YYYY-MM-DDTHH:MM, such as "
        "2026-03-09T14:30, without an offset."
    )


def parse_day(value: str, field: str) -> str:
    """The day that a text says.

    Raises:
        ToolError: It says none between the years 2000 and 2099.
    """
    if _DAY.fullmatch(value):
        try:
            date.fromisoformat(value)
        except ValueError:
            pass
        else:
            return value
    raise ToolError(f"In the field '{field}': {value!r} is no day. Write YYYY-MM-DD, such as 2026-03-09.")


def shift(moment: str, minutes: int) -> str:
    """The moment so many minutes later, or earlier where `minutes` is below 0."""
    return (datetime.fromisoformat(moment) + timedelta(minutes=minutes)).isoformat(timespec="minutes")


def minutes_between(start: str, end: str) -> int:
    """Minutes from one moment to another."""
    return int((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() // 60)


def day_of(moment: str) -> str:
    """The day of a moment."""
    return moment[:10]


def later_day(day: str, days: int) -> str:
    """The day so many days later, or earlier where `days` is below 0."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def weekday(day: str) -> int:
    """0 for Monday to 6 for Sunday."""
    return date.fromisoformat(day[:10]).weekday()


def working_days(first: str, last: str) -> int:
    """How many days from Monday to Friday there are from one day to another, both included."""
    start = date.fromisoformat(first)
    whole, rest = divmod((date.fromisoformat(last) - start).days + 1, 7)
    return whole * 5 + sum((start.weekday() + offset) % 7 < 5 for offset in range(rest))
