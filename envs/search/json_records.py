"""JSON objects from files, with errors that say where a field is wrong."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palaestra.envs.search.corpus import well_formed
from palaestra.errors import DataError

__all__ = ["Record", "Source", "read_records"]

Source = str | os.PathLike[str] | Iterable[Mapping[str, Any]]
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON object of a file, and where it stands.

    Attributes:
        place: The file.
        number: Which object of the file it is, from 1.
        line: Its line, or for an iterable its number.
        fields: The object.
    """

    place: object
    number: int
    line: int
    fields: Mapping[str, Any]

    def error(self, problem: str, field: str | None = None) -> DataError:
        """The error that names file, line and field."""
        return DataError(self.place, problem, line=self.line, field=field)

    def get(self, field: str, kind: type | tuple[type, ...], wanted: str, *others: str) -> Any:
        """The value of the first of these fields that is there."""
        for name in (field, *others):
            if name in self.fields:
                value = self.fields[name]
                if not isinstance(value, kind):
                    raise self.error(f"Must be {wanted}, not {type(value).__name__}.", name)
                return value
        raise self.error("The field is missing.", field)

    def text(self, field: str) -> str:
        """A string that is not empty, in one line."""
        value = " ".join(well_formed(self.get(field, str, "a string")).split())
        if not value:
            raise self.error("Must not be empty.", field)
        return value

    def optional(self, field: str, name: str) -> dict[str, str]:
        """The string in this field under another name, if it is there."""
        return {} if self.fields.get(field) is None else {name: self.text(field)}

    def strings(self, field: str, *, may_be_empty: bool = False) -> tuple[str, ...]:
        """A string or a list of strings, without repetitions."""
        value = self.get(field, (str, list, tuple), "a string or a list of strings")
        items = [value] if isinstance(value, str) else list(value)
        for item in items:
            if not isinstance(item, str):
                raise self.error(f"Must hold strings, not {type(item).__name__}.", field)
            if not item.strip():
                raise self.error("An answer must not be empty.", field)
        if not items and not may_be_empty:
            raise self.error("There must be at least one answer.", field)
        return tuple(dict.fromkeys(well_formed(item).strip() for item in items))

    def rows(self, field: str, columns: tuple[str, str]) -> list[tuple[Any, Any]]:
        """A list of pairs, or the two columns of such a list as an object."""
        value = self.get(field, (list, Mapping), "a list of pairs")
        if isinstance(value, Mapping):
            parts = [value.get(column) for column in columns]
            if not all(isinstance(part, list) for part in parts) or len(parts[0]) != len(parts[1]):  # type: ignore[arg-type]
                raise self.error(f"As an object it needs the lists {columns[0]} and {columns[1]}, equally long.", field)
            value = list(zip(*parts, strict=True))
        for row in value:
            if not isinstance(row, list | tuple) or len(row) != 2 or not isinstance(row[0], str):
                raise self.error(f"Must hold pairs of {columns[0]} and {columns[1]}.", field)
        return [(row[0], row[1]) for row in value]


def read_records(source: Source) -> Iterator[Record]:
    """The JSON objects of a JSON list or of JSON lines, packed (`.gz`) or not, or of an iterable.

    Raises:
        DataError: The file is missing or is not a list or lines of JSON objects.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        text = _read(path)
        items = _list_items(path, text) if text.lstrip()[:1] == "[" else _line_items(path, text)
        for number, (line, item) in enumerate(items, 1):
            if not isinstance(item, dict):
                raise DataError(path, f"A question must be a JSON object, not {type(item).__name__}.", line=line)
            yield Record(path, number, line, item)
        return
    for number, item in enumerate(source, 1):
        if not isinstance(item, Mapping):
            raise DataError("the questions given", f"Must be mappings, not {type(item).__name__}.", line=number)
        yield Record("the questions given", number, number, item)


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(path, f"The question file cannot be read: {reason}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(path, "The question file is not UTF-8.", line=line) from None


def _line_items(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(io.StringIO(text, newline="\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(path, f"Not JSON ({error}). Each line must be one object.", line=number) from None


def _list_items(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    """The items of a JSON list one by one: the whole would take several times the memory, and not know its lines."""
    decode = json.JSONDecoder().raw_decode
    position, counted, line = _skip(text, text.index("[") + 1), 0, 1
    while not text.startswith("]", position):
        line, counted = line + text.count("\n", counted, position), position
        try:
            item, position = decode(text, position)
        except (ValueError, RecursionError) as error:
            raise DataError(path, f"Not JSON ({error}).", line=line) from None
        yield line, item
        position = _skip(text, position)
        if text.startswith(",", position):
            position = _skip(text, position + 1)
        elif not text.startswith("]", position):
            line += text.count("\n", counted, position)
            raise DataError(path, "The JSON list breaks off: a comma or the closing bracket is missing.", line=line)
    if _skip(text, position + 1) < len(text):
        line += text.count("\n", counted, position)
        raise DataError(path, "There is more text after the JSON list.", line=line)


def _skip(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position
