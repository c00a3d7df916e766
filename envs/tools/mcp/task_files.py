"""Tasks for a server's tools, one JSON object a line.

    {"id": "t1", "prompt": "How much is on Ada's account?", "group": "ada", "answers": ["12.50"]}
    {"id": "t2", "prompt": "Pay Bo 5 from Ada's account.", "group": "ada",
     "setup": [{"name": "open_account", "arguments": {"owner": "ada", "amount": 12.5}}],
     "checks": [{"name": "balance", "arguments": {"owner": "ada"}, "equals": 7.5, "path": "/balance"}],
     "gold_calls": [[{"name": "pay", "arguments": {"from": "ada", "to": "bo", "amount": 5}}]]}

`docs/mcp.md` says what each field means.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palaestra.errors import ConfigError, DataError, nearest
from palaestra.tasks import SPLITS, Task, TaskSet, split_of

__all__ = ["McpTasks", "SetupCall", "load_tasks"]

_FIELDS = ("id", "prompt", "group", "split", "answers", "checks", "setup", "gold_calls", "metadata")
_CALL_FIELDS = ("name", "arguments")
_EXPECTATIONS = ("text", "contains", "equals", "is_error")


@dataclass(frozen=True, slots=True)
class SetupCall:
    """A call that is made before the agent's first turn.

    Attributes:
        name: The tool, as the server calls it.
        arguments: By name.
    """

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class McpTasks:
    """The tasks of a file.

    Attributes:
        tasks: The tasks; `truth` has `answers`, `checks` and `gold_calls`, as far as the file does.
        setups: What to call before each task, by the task's id. No agent is shown it.
        lines: The line of each task in the file, by the task's id.
        path: The file, for messages.
    """

    tasks: TaskSet
    setups: Mapping[str, tuple[SetupCall, ...]]
    lines: Mapping[str, int]
    path: str

    def __deepcopy__(self, memo: object) -> McpTasks:
        return self  # frozen; Gymnasium copies an environment's arguments whenever its spec is looked at


@dataclass(frozen=True, slots=True)
class _Line:
    path: str
    number: int
    fields: Mapping[str, Any]

    def wrong(self, problem: str, field: str | None = None) -> DataError:
        return DataError(self.path, problem, line=self.number, field=field)

    def text(self, field: str) -> str:
        value = self.fields.get(field)
        if not isinstance(value, str) or not value.strip():
            missing = "The field is missing." if field not in self.fields else f"Must be a text, got {_shown(value)}."
            raise self.wrong(missing, field)
        return value

    def list(self, field: str) -> list[Any]:
        value = self.fields.get(field, [])
        if not isinstance(value, list):
            raise self.wrong(f"Must be a list, got {_shown(value)}.", field)
        return value


def load_tasks(path: str | os.PathLike[str]) -> McpTasks:
    """Reads a file of tasks.

    Args:
        path: A file in UTF-8; empty lines are skipped.

    Raises:
        DataError: It cannot be read, or a line is not a task; the message names line and field.
        ConfigError: What was given is no path.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"tasks is {path!r}; give the path of a JSONL file.")
    tasks: list[Task] = []
    setups: dict[str, tuple[SetupCall, ...]] = {}
    lines: dict[str, int] = {}
    for line in _lines(Path(path)):
        task = _task(line)
        setup = [_call(line, "setup", item) for item in line.list("setup")]
        if task.id in lines:
            raise line.wrong(f"The id '{task.id}' is already that of line {lines[task.id]}; ids must be unique.", "id")
        tasks.append(task)
        lines[task.id] = line.number
        setups[task.id] = tuple(SetupCall(call["name"], call["arguments"]) for call in setup)
    if not tasks:
        raise DataError(path, "There are no tasks in it; each line is one JSON object.")
    return McpTasks(TaskSet(tasks), setups, lines, str(path))


def _lines(path: Path) -> Iterator[_Line]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(path, f"The file of tasks cannot be read: {error.strerror or error}.") from error
    for number, data in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not data.strip():
            continue
        try:
            fields = json.loads(data.decode(), parse_constant=_refuse, object_pairs_hook=_once)
            json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeError:
            raise DataError(path, "The line is not UTF-8, or holds half of a surrogate pair.", line=number) from None
        except (ValueError, RecursionError) as error:
            raise DataError(path, f"Not JSON ({error}). Each line must be one object.", line=number) from None
        if not isinstance(fields, dict):
            raise DataError(path, f"A task is a JSON object, got {_shown(fields)}.", line=number)
        yield _Line(str(path), number, fields)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _task(line: _Line) -> Task:
    for field in line.fields:
        if field not in _FIELDS:
            raise line.wrong(f"There is no such field. {nearest(field, _FIELDS)}", field)
    group = line.text("group")
    split = line.fields.get("split")
    if split is not None and split not in SPLITS:
        raise line.wrong(f"Must be one of {', '.join(SPLITS)}, got {_shown(split)}.", "split")
    metadata = line.fields.get("metadata", {})
    if not isinstance(metadata, dict):
        raise line.wrong(f"Must be an object, got {_shown(metadata)}.", "metadata")
    truth: dict[str, Any] = {}
    if answers := _answers(line):
        truth["answers"] = answers
    if checks := tuple(_check(line, item) for item in line.list("checks")):
        truth["checks"] = checks
    if not truth:
        raise line.wrong("A task needs 'answers' or 'checks', or nothing could be judged.")
    if turns := line.list("gold_calls"):
        truth["gold_calls"] = tuple(
            tuple(_call(line, "gold_calls", call) for call in (turn if isinstance(turn, list) else [turn]))
            for turn in turns
        )
    return Task(line.text("id"), group, line.text("prompt"), split or split_of(group), truth, _frozen(metadata))


def _answers(line: _Line) -> tuple[str, ...]:
    value = line.fields.get("answers", [])
    answers = [value] if isinstance(value, str) else value
    if not isinstance(answers, list) or not all(isinstance(item, str) and item.strip() for item in answers):
        raise line.wrong(f"Must be a text or a list of texts, got {_shown(value)}.", "answers")
    return tuple(answers)


def _call(line: _Line, field: str, item: Any, more: tuple[str, ...] = ()) -> dict[str, Any]:
    accepted = (*_CALL_FIELDS, *more)
    if not isinstance(item, dict):
        raise line.wrong(f"A call is an object with 'name' and 'arguments', got {_shown(item)}.", field)
    for key in item:
        if key not in accepted:
            raise line.wrong(f"A call here has no key '{key}'. {nearest(key, accepted)}", field)
    name, arguments = item.get("name"), item.get("arguments", {})
    if not isinstance(name, str) or not name:
        raise line.wrong(f"A call's 'name' must be the name of a tool, got {_shown(name)}.", field)
    if not isinstance(arguments, dict):
        raise line.wrong(f"A call's 'arguments' must be an object, got {_shown(arguments)}.", field)
    return {"name": name, "arguments": arguments}


def _check(line: _Line, item: Any) -> dict[str, Any]:
    check = _call(line, "checks", item, (*_EXPECTATIONS, "path"))
    given = {key: item[key] for key in (*_EXPECTATIONS, "path") if key in item}
    if not given.keys() & set(_EXPECTATIONS):
        raise line.wrong(f"A check expects something: give one of {', '.join(_EXPECTATIONS)}.", "checks")
    for key, kind in {"text": str, "contains": str, "path": str, "is_error": bool}.items():
        if key in given and not isinstance(given[key], kind):
            word = "true or false" if kind is bool else "a text"
            raise line.wrong(f"A check's '{key}' must be {word}, got {_shown(given[key])}.", "checks")
    path = given.get("path", "")
    if path and (not path.startswith("/") or "equals" not in given):
        problem = "A check's 'path' is a JSON pointer such as '/items/0/price', and goes with 'equals'"
        raise line.wrong(f"{problem}; got {_shown(path)}.", "checks")
    return {**check, **given}


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
