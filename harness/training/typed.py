"""Typed tables: frozen dataclasses from TOML and back, with errors that name key, value, what is accepted, and line."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from palaestra.errors import ConfigError, DataError, PalaestraError, nearest

__all__ = ["Source", "from_table", "read_source", "to_table", "write_toml"]

T = TypeVar("T")
_MISSING = dataclasses.MISSING


@dataclass(slots=True)
class Source:
    """A table and where its keys were written.

    Attributes:
        data: The table.
        path: The file; None where there is none.
        text: What the file holds.
        given: Keys ("learner.lr") that were set beside the file, and how they were written.
    """

    data: dict[str, Any]
    path: Path | None = None
    text: str = ""
    given: dict[str, str] = field(default_factory=dict)

    def override(self, pairs: Sequence[str]) -> None:
        """Sets keys as on a command line, `learner.lr=1e-4`: TOML values, and texts without their quotes.

        Raises:
            ConfigError: A pair has no "=", or goes through something that is not a table.
        """
        for pair in pairs:
            key, equals, text = pair.partition("=")
            names = [name.strip() for name in key.split(".")]
            if not equals or not all(names):
                raise ConfigError(f"'--set {pair}' sets nothing; write --set SECTION.KEY=VALUE, as in learner.lr=1e-4.")
            table: Any = self.data
            for name in names[:-1]:
                table = table.setdefault(name, {})
                if not isinstance(table, dict):
                    raise ConfigError(f"'--set {pair}': '{name}' is no table, so nothing can be set in it.")
            table[names[-1]] = _value(text.strip())
            self.given[".".join(names)] = pair

    def error(self, keys: Sequence[str], problem: str) -> PalaestraError:
        """An error about one key, or about the section that it stands in."""
        name = ".".join(keys)
        for given, pair in self.given.items():
            if given == name or given.startswith(f"{name}."):
                return ConfigError(f"--set {pair}: {problem}")
        if self.path is None:
            return ConfigError(f"{name}: {problem}" if name else problem)
        return DataError(self.path, problem, line=self._line(keys), field=name or None)

    def _line(self, keys: Sequence[str]) -> int | None:
        """Where a key is written; None where that cannot be told (tables within lines)."""
        section, wanted = "", ".".join(keys)
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := re.match(r"\s*\[([\w.\s-]+)\]", line):
                section = re.sub(r"\s", "", header[1])
                if section == wanted:
                    return number
            elif key := re.match(r"\s*([\w.-]+)\s*=", line):
                name = f"{section}.{key[1]}" if section else key[1]
                if name == wanted:
                    return number
        return self._line(keys[:-1]) if len(keys) > 1 else None


def read_source(path: str | Path) -> Source:
    """Reads a TOML file.

    Raises:
        DataError: It cannot be read, or is not TOML; the line is named.
    """
    place = Path(path)
    try:
        text = place.read_text(encoding="utf-8")
        return Source(tomllib.loads(text), place, text)
    except UnicodeDecodeError as error:
        raise DataError(place, "it is not UTF-8 text; a recipe is a TOML file.") from error
    except OSError as error:
        raise DataError(place, f"it cannot be read ({error.strerror}).") from error
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        raise DataError(place, f"it is not TOML: {error}", line=int(found[1]) if found else None) from error


def from_table(cls: type[T], data: Any, source: Source, keys: tuple[str, ...] = ()) -> T:
    """A dataclass from a table; nested dataclasses from the tables within.

    Args:
        cls: The dataclass; fields of `int`, `float`, `bool`, `str`, `Literal`, tuples, mappings (of anything, or of
            dataclasses), dataclasses, and any of these or None. Where None is accepted, it is written "none".
        data: The table.
        source: For messages.
        keys: Where the table stands.

    Raises:
        PalaestraError: An unknown key (the nearest is named), a value of another type, a missing key, or what the
            class itself refuses.
    """
    if not isinstance(data, Mapping):
        raise source.error(keys, f"it must be a table, [{'.'.join(keys)}], got {_shown(data)}.")
    fields = {item.name: item for item in dataclasses.fields(cls) if item.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in fields:
            where = f"[{'.'.join(keys)}]" if keys else "a recipe"
            raise source.error((*keys, key), f"there is no '{key}' in {where}. {nearest(key, fields)}".rstrip())
        values[key] = _converted(hints[key], value, source, (*keys, key))
    for name, item in fields.items():
        if name not in values and item.default is _MISSING and item.default_factory is _MISSING:
            raise source.error(keys, f"'{name}' is missing" + (f" in [{'.'.join(keys)}]." if keys else "."))
    try:
        return cls(**values)
    except ConfigError as error:
        raise source.error(keys, str(error)) from error


def to_table(value: Any) -> dict[str, Any]:
    """The inverse of `from_table`: plain data, every default written out, None as "none"."""
    table = {}
    for item in dataclasses.fields(value):
        if item.init:
            found = getattr(value, item.name)
            if dataclasses.is_dataclass(found):
                table[item.name] = to_table(found)
            elif found is not None or item.default is not None:
                table[item.name] = _plain(found)
    return table


def write_toml(table: Mapping[str, Any]) -> str:
    """A table as TOML: what is no table first, then the tables.

    Raises:
        ConfigError: TOML has no word for a value.
    """
    lines: list[str] = []
    _write(table, (), lines)
    return "\n".join(lines).strip() + "\n"


def _write(table: Mapping[str, Any], keys: tuple[str, ...], lines: list[str]) -> None:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if keys and plain:
        lines += ["", f"[{'.'.join(map(_key, keys))}]"]
    lines += [f"{_key(key)} = {_toml(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            _write(value, (*keys, key), lines)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value) if math.isfinite(value) else str(value)
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case Mapping():
            return "{ " + ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(_toml, value)) + "]"
    raise ConfigError(f"A recipe cannot hold {_shown(value)}; use texts, numbers, truth values, lists and tables.")


def _plain(value: Any) -> Any:
    if value is None:
        return "none"
    if dataclasses.is_dataclass(value):
        return to_table(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _converted(kind: Any, value: Any, source: Source, keys: tuple[str, ...]) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return from_table(kind, value, source, keys)
    if typing.get_origin(kind) is Mapping and isinstance(value, Mapping):
        member = typing.get_args(kind)[1]
        if isinstance(member, type) and dataclasses.is_dataclass(member):
            return {name: from_table(member, part, source, (*keys, name)) for name, part in value.items()}
    fits, found = _fitting(kind, value)
    if not fits:
        raise source.error(keys, f"it must be {_words(kind)}, got {_shown(value)}.")
    return found


def _fitting(kind: Any, value: Any) -> tuple[bool, Any]:
    """Whether a value is of a type, and the value as that type."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        if type(None) in inner and value == "none" and str not in inner:
            return True, None
        return next((found for part in inner if (found := _fitting(part, value))[0]), (False, None))
    if origin is Literal:
        return value in inner, value
    if origin is tuple:
        members = [inner[0]] * len(value) if isinstance(value, list) and inner[-1] is Ellipsis else list(inner)
        if not isinstance(value, list) or len(members) != len(value):
            return False, None
        pairs = [_fitting(member, item) for member, item in zip(members, value, strict=True)]
        return all(fits for fits, _ in pairs), tuple(item for _, item in pairs)
    if kind is Any:
        return True, value
    if origin is not None:
        return isinstance(value, Mapping), value
    if kind is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        return fits, float(value) if fits else None
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    return isinstance(value, kind), value


def _words(kind: Any) -> str:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join('"none"' if part is type(None) else _words(part) for part in inner)
    if origin is Literal:
        return " or ".join(f'"{part}"' for part in inner)
    if origin is tuple:
        return f"a list of {_words(inner[0]).split(' ', 1)[-1]}s"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(kind, "a table")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the text "{value if len(value) <= 60 else value[:57] + "..."}"'
    return str(value) if len(str(value)) <= 60 else f"{str(value)[:57]}..."
