"""The Factbook's entries as passages: cleaned, grouped, cut, and remembered by field."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palaestra.envs.search.factbook.names import slug
from palaestra.envs.search.factbook.source import Entry
from palaestra.envs.search.passages import Passage

__all__ = ["Corpus", "Path", "clean", "cut"]

Path = tuple[str, ...]
"""Section, field and, where there is one, subfield."""

_FULL = 115  # words: a passage is closed before it would grow beyond this ...
_SMALL = 45  # ... unless it is still this short ...
_MOST = 150  # ... and would stay within this


@dataclass(frozen=True, slots=True)
class Corpus:
    """The passages and where each field stands in them.

    Attributes:
        passages: In the order of the entries and of their fields.
        text: Code of the entry and path of the field -> the field's cleaned text.
        place: The same keys -> id of the passage that holds the field whole. Fields cut in pieces are absent.
    """

    passages: tuple[Passage, ...]
    text: Mapping[tuple[str, Path], str]
    place: Mapping[tuple[str, Path], str]


@dataclass(frozen=True, slots=True)
class _Line:
    path: Path
    heading: str  # the field whose subfield this is, else ""
    label: str
    text: str

    def render(self) -> str:
        return ("- " if self.heading else "") + (f"{self.label}: {self.text}" if self.label else self.text)


def clean(raw: str) -> str:
    """The text of a field on one line, without tags, entities or odd spaces.

    A line break becomes a semicolon where the sentence before it has no end of its own.
    """
    text = re.sub(r"(?i)(\s|&nbsp;)*(<br\s*/?>|</?p>)((\s|&nbsp;)|<br\s*/?>|</?p>)*", "\x00", raw)
    text = html.unescape(re.sub(r"</?[a-zA-Z][^<>]*>", "", text))
    text = re.sub(r"[\u200b\u200e\u200f\ufeff]", "", text)
    text = re.sub(r"[^\S\x00]+", " ", text).strip(" \x00")
    text = re.sub(r"([.;:,!?][\"”’')]?) ?\x00 ?", r"\1 ", text)
    return re.sub(r" ?\x00 ?", "; ", text)


def _lines(section: str, field: str, value: Any) -> Iterator[_Line]:
    """The lines of one field, in order.

    A label that its text repeats is said once ("agricultural land: arable land" / "arable land: 2.6%").
    """
    items = value.items() if isinstance(value, Mapping) else [("text", value)]
    for key, item in items:
        text = clean(item if isinstance(item, str) else item.get("text", ""))
        key = " ".join(key.split())
        if not text:
            continue
        if key == "text":
            yield _Line((section, field), "", field, text)
        elif key == "note":
            yield _Line((section, field, "note"), field, "", text if text.startswith("note") else f"note: {text}")
        else:
            tail = key.rsplit(": ", 1)[-1]
            if text.lower().startswith(f"{tail.lower()}: "):
                text = text[len(tail) + 2 :]
            yield _Line((section, field, key), field, key, text)


def _words(text: str) -> int:
    return len(text.split())


def _pieces(text: str) -> list[str]:
    """A long text in pieces of about `_FULL` words, cut after sentences, else after semicolons, else after commas."""
    for pattern in (r"(?<=[.!?]) (?=[A-Z\"“(])", r"(?<=;) ", r"(?<=,) "):
        parts = re.split(pattern, text)
        if max(map(_words, parts)) <= _FULL:
            break
    count = max(1, -(-_words(text) // _FULL))
    aim = _words(text) / count  # equal pieces read better than full ones and a rest
    pieces = [""]
    for part in parts:
        if pieces[-1] and _words(pieces[-1]) + _words(part) / 2 > aim:
            pieces.append("")
        pieces[-1] = f"{pieces[-1]} {part}".strip()
    return pieces


def _blocks(section: str, field: str, value: Any) -> Iterator[list[_Line]]:
    """The lines of a field in blocks that fit a passage; a cut line carries its part's number in its label."""
    block: list[_Line] = []
    for line in _lines(section, field, value):
        if _words(line.render()) <= _MOST:
            cuts = [line]
        else:
            pieces = _pieces(line.text)
            cuts = [
                _Line((*line.path, f"part {n}"), line.heading, f"{line.label or 'note'} (part {n})", piece)
                for n, piece in enumerate(pieces, 1)
            ]
        for cut_line in cuts:
            if block and sum(_words(old.render()) for old in (*block, cut_line)) > _FULL:
                yield block
                block = []
            block.append(cut_line)
    if block:
        yield block


def _text(lines: Sequence[_Line]) -> str:
    shown, field = [], ""
    for line in lines:
        if line.heading and line.path[1] != field:
            shown.append(f"{line.heading}:")
        field = line.path[1]
        shown.append(line.render())
    return "\n".join(shown)


def _title(entry: Entry, section: str, lines: Sequence[_Line]) -> str:
    fields = list(dict.fromkeys(line.path[1] for line in lines))
    shown = ", ".join(fields) if len(fields) <= 4 else f"{fields[0]} to {fields[-1]}"
    return f"{entry.name}: {section}, {shown}"


def _head(entry: Entry, section: str) -> str:
    """The first line of a passage; it names the entry.

    Fields do not repeat whose they are, so that without it a neighbor's passage with the same labels is as good a
    match for a query. Measured with BM25 and the questions' own queries: all gold passages are among the first three
    for 98 % of the questions, for 53 % without the line.
    """
    return f"Entry: {entry.name}. Section: {section} of {entry.name}."


def cut(entries: Sequence[Entry]) -> Corpus:
    """Cuts the entries into passages of about 45 to 150 words.

    Neighbouring small fields of a section share a passage; a field longer than that is cut at sentences. A field
    that repeats an earlier one of its entry word for word (the Factbook prints "Climate" under both Geography and
    Environment) is left out, so that every fact has one place.
    """
    passages: list[Passage] = []
    text: dict[tuple[str, Path], str] = {}
    place: dict[tuple[str, Path], str] = {}
    for entry in entries:
        seen: dict[str, Any] = {}
        count = 0
        for section, fields in entry.data.items():
            groups: list[list[_Line]] = [[]]
            for field, value in fields.items():
                name = " ".join(field.split())
                if seen.get(name) == value:
                    continue
                seen.setdefault(name, value)
                for block in _blocks(section, name, value):
                    size = sum(_words(line.render()) for line in groups[-1])
                    grown = size + sum(_words(line.render()) for line in block)
                    if size and not (grown <= _FULL or (size < _SMALL and grown <= _MOST)):
                        groups.append([])
                    groups[-1].extend(block)
            for lines in filter(None, groups):
                count += 1
                text_of_lines = f"{_head(entry, section)}\n{_text(lines)}"
                passage = Passage(f"{slug(entry.name)}-{count:03d}", _title(entry, section, lines), text_of_lines)
                passages.append(passage)
                for line in lines:
                    text[entry.code, line.path] = line.text
                    place[entry.code, line.path] = passage.id
    return Corpus(tuple(passages), text, place)
