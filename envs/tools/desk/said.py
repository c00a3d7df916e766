"""What has to be said: values that a text must hold, read whatever way they are written.

A demand is plain data, so that it can stand in a task's truth:

    {"kind": "amount", "value": "1240.50"}          1240.5, 1,240.50, EUR 1240.50
    {"kind": "count", "value": "3"}                 3, three
    {"kind": "date", "value": "2025-05-12"}         2025-05-12, 12 May 2025, May 12th
    {"kind": "time", "value": "14:30"}              14:30, 2:30 pm
    {"kind": "id", "value": "ord-0017"}             in any case
    {"kind": "text", "value": "Anna Weber"}         after SQuAD's normalisation, as whole words

A text that lists everything holds the right value, too, so beside it only so many others of its kind may stand
(`OTHERS`) that the request did not mention: none for a count. A text may name `rivals`, none of which may be said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from palaestra.answers import normalize_answer

__all__ = ["OTHERS", "Demand", "amount", "count", "date", "identifier", "missing_from", "name", "time"]

Demand = Mapping[str, Any]
"""One value that has to be said: `kind`, `value`, and for texts `rivals`."""

OTHERS: Mapping[str, int] = {"amount": 2, "count": 0, "date": 2, "time": 2, "id": 2}
"""How many other values of its kind may stand beside the right ones."""

_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_WORDS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]
_MONTH = "|".join(f"{month}|{month[:3]}" for month in _MONTHS)
_ISO = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})(?:t(?=\d)|\b)")  # alone, or before a time of day
_DAY_FIRST = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({_MONTH})\b\.?,?(?: (\d{{4}}))?")
_MONTH_FIRST = re.compile(rf"\b({_MONTH})\b\.? (\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? (\d{{4}}))?")
_TIME = re.compile(r"\b(\d{1,2}):(\d{2})(?::\d{2})?(?: ?([ap])\.?m\b\.?)?")
_HOUR = re.compile(r"\b(\d{1,2}) ?([ap])\.?m\b\.?")
_ID = re.compile(r"\b[a-z]{1,8}-[0-9]{1,8}\b")
_CURRENCY = re.compile(r"(?:eur|euros?)(?=[\d\s-]|$)|(?<=[\d\s])(?:eur|euros?)\b|[€$£]")
_NUMBER = re.compile(r"(?<![\w.,])-?(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.\d{1,6})?(?![\w])")
_COUNT_WORD = re.compile(rf"\b({'|'.join(_WORDS)})\b")


def amount(value: Decimal | float | int) -> Demand:
    """An amount of money, to the cent."""
    return {"kind": "amount", "value": f"{Decimal(str(value)):.2f}"}


def count(value: int) -> Demand:
    """A whole number."""
    return {"kind": "count", "value": str(value)}


def date(value: str) -> Demand:
    """A date, given as `YYYY-MM-DD`; a year that is not said is taken to be right."""
    return {"kind": "date", "value": value[:10]}


def time(value: str) -> Demand:
    """A time of day, given as `HH:MM`."""
    return {"kind": "time", "value": value}


def identifier(value: str) -> Demand:
    """An id of the world's."""
    return {"kind": "id", "value": value}


def name(value: str, rivals: Sequence[str] = ()) -> Demand:
    """A name or phrase.

    Args:
        value: It.
        rivals: What must not be said beside it.
    """
    return {"kind": "text", "value": value, "rivals": tuple(rival for rival in rivals if rival != value)}


def missing_from(text: str, demands: Sequence[Demand], prompt: str = "") -> tuple[Demand, ...]:
    """The demands that a text does not meet.

    Args:
        text: What was said.
        demands: What had to be.
        prompt: The request; values that it mentions may be repeated.

    Returns:
        Those whose value is absent, or beside which more others of the kind stand than `OTHERS` allows.
    """
    said, asked = _values(text), _values(prompt)
    wanted: dict[str, set[str]] = {}
    for demand in demands:
        wanted.setdefault(str(demand.get("kind")), set()).add(_normal(demand))
    return tuple(demand for demand in demands if not _met(demand, text, said, asked, wanted))


def _met(
    demand: Demand,
    text: str,
    said: Mapping[str, set[str]],
    asked: Mapping[str, set[str]],
    wanted: Mapping[str, set[str]],
) -> bool:
    kind, value = str(demand.get("kind")), _normal(demand)
    if kind == "text":
        words = f" {_phrase(text)} "
        rivals = {_phrase(str(rival)) for rival in demand.get("rivals", ())} - wanted["text"] - {""}
        found = bool(value) and f" {value} " in words
        for mine in wanted["text"]:  # a rival may be a part of what has to be said
            words = words.replace(f" {mine} ", " ; ") if mine else words
        return found and not any(f" {rival} " in words for rival in rivals)
    if kind not in OTHERS:
        return False
    others_said = {
        other
        for other in said[kind]
        if not any(_same(kind, other, mine) for mine in wanted[kind])
        and not any(_same(kind, other, theirs) for theirs in asked[kind])
    }
    return any(_same(kind, value, other) for other in said[kind]) and len(others_said) <= OTHERS[kind]


def _normal(demand: Demand) -> str:
    value = str(demand.get("value", ""))
    return _phrase(value) if demand.get("kind") == "text" else value.lower()


def _phrase(text: str) -> str:
    """A text after SQuAD's normalisation, in which `in_progress` is two words."""
    return normalize_answer(text.replace("_", " "))


def _same(kind: str, one: str, other: str) -> bool:
    """Whether two values are one: dates without a year fit any year."""
    if kind == "date" and (one.startswith("?") or other.startswith("?")):
        return one[-5:] == other[-5:]
    return one == other


def _values(text: str) -> dict[str, set[str]]:
    """All values in a text, by kind. What was read as a date, time or id is not read again as a number."""
    rest = " ".join(text.lower().split())
    found: dict[str, set[str]] = {kind: set() for kind in OTHERS}

    def take(pattern: re.Pattern[str], kind: str, read: Any) -> None:
        nonlocal rest

        def one(match: re.Match[str]) -> str:
            value = read(match)
            if value is None:
                return match.group()
            found[kind].add(value)
            return " ; "

        rest = pattern.sub(one, rest)

    take(_ISO, "date", lambda match: _date(match[1], int(match[2]), match[3]))
    take(_ID, "id", lambda match: match.group())
    take(_DAY_FIRST, "date", lambda match: _date(match[3], _month(match[2]), match[1]))
    take(_MONTH_FIRST, "date", lambda match: _date(match[3], _month(match[1]), match[2]))
    take(_TIME, "time", lambda match: _time(int(match[1]), match[2], match[3]))
    take(_HOUR, "time", lambda match: _time(int(match[1]), "00", match[2]))
    rest = _CURRENCY.sub(" ", rest)
    for match in _NUMBER.finditer(rest):
        value = Decimal(match.group().replace(",", ""))
        found["amount"].add(f"{value:.2f}")
        if value == value.to_integral_value():
            found["count"].add(str(int(value)))
    found["count"] |= {str(_WORDS.index(match.group())) for match in _COUNT_WORD.finditer(rest)}
    return found


def _month(word: str) -> int:
    return next(number for number, month in enumerate(_MONTHS, 1) if month.startswith(word))


def _date(year: str | None, month: int, day: str) -> str | None:
    if not (1 <= month <= 12 and 1 <= int(day) <= 31):
        return None
    return f"{year or '????'}-{month:02d}-{int(day):02d}"


def _time(hour: int, minute: str, half: str | None) -> str | None:
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    return f"{hour:02d}:{minute}" if hour <= 23 and int(minute) <= 59 else None
