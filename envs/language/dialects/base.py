"""What every dialect is, and the strict JSON that two of them share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from palaestra.envs.language.tools import Tool

__all__ = ["CallRequest", "Dialect", "DialectError", "call_from_json", "strict_json"]

_MAX_DEPTH = 64


class DialectError(Exception):
    """The utterance is malformed. The message, for the agent, says what was wrong and what is accepted."""


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call as it was asked for; whether the tool exists and takes these arguments is not yet known."""

    name: str
    arguments: Mapping[str, Any]


class Dialect(Protocol):
    """Between utterances and calls. Dialects hold no state and can be shared."""

    name: str

    def stop(self, tools: Sequence[Tool]) -> tuple[str, ...]:
        """Strings at which an utterance is complete; models stop there."""
        ...

    def parse(self, text: str, tools: Sequence[Tool]) -> tuple[CallRequest, ...]:
        """The calls in an utterance, at least one.

        Raises:
            DialectError: It is malformed.
        """
        ...

    def render(self, call: CallRequest, tools: Sequence[Tool]) -> str:
        """An utterance that parses into this one call.

        Raises:
            ValueError: The dialect has no words for it (a closing tag inside the text of `tags`).
        """
        ...

    def answer(self, text: str, tools: Sequence[Tool]) -> tuple[str, tuple[int, int]]:
        """An utterance that gives this final answer, and the [start, end) of the answer's characters in it.

        Raises:
            ValueError: The dialect has no words for it.
        """
        ...

    def wrap(self, text: str) -> str:
        """A tool's result, marked as such."""
        ...

    def instructions(self, tools: Sequence[Tool]) -> str:
        """How to speak, for the prompt."""
        ...


def strict_json(text: str) -> Any:
    """JSON as the standard has it: no duplicate keys, no NaN or Infinity, no numbers beyond a float, bounded depth.

    Raises:
        DialectError: It is not that; the message names the place or the key.
    """

    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    raise DialectError(f"The key {key[:80]!r} stands twice in one JSON object; give it once.")
                seen.add(key)
        return found

    def no_constant(name: str) -> Any:
        raise DialectError(f"{name} is not JSON; give a number, or null.")

    def finite(number: str) -> float:
        value = float(number)
        if value in (float("inf"), float("-inf")):
            raise DialectError(f"The number {number[:40]} is too large.")
        return value

    try:
        data = json.loads(text, object_pairs_hook=no_duplicates, parse_constant=no_constant, parse_float=finite)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DialectError(f"This is not valid JSON: {error.msg} at {place}.") from None
    except RecursionError:
        raise DialectError("The JSON is nested too deeply.") from None
    except ValueError as error:
        # Python refuses integers of thousands of digits.
        raise DialectError(f"A number in the JSON cannot be read: {str(error)[:120]}") from None
    level, depth = [data], 0
    while level:
        depth += 1
        if depth > _MAX_DEPTH:
            raise DialectError(f"The JSON is nested too deeply; at most {_MAX_DEPTH} levels are read.")
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return data


def call_from_json(data: Any, example: str) -> CallRequest:
    """The call that a JSON object with `name` and `arguments` asks for.

    Raises:
        DialectError: It is another value, lacks a key, or has one too many.
    """
    if not isinstance(data, dict):
        raise DialectError(f"A call is a JSON object, got {_kind(data)}. Write {example}.")
    extra = sorted(set(data) - {"name", "arguments"})
    if extra:
        raise DialectError(
            f"A call has the keys 'name' and 'arguments' only, got also {extra[0][:80]!r}. Write {example}."
        )
    if not isinstance(data.get("name"), str):
        problem = "lacks the key 'name'" if "name" not in data else f"has {_kind(data['name'])} as 'name'"
        raise DialectError(f"The call {problem}; it must be a string. Write {example}.")
    arguments = data.get("arguments", {})
    if not isinstance(arguments, dict):
        raise DialectError(f"'arguments' must be a JSON object, got {_kind(arguments)}. Write {example}.")
    return CallRequest(data["name"], arguments)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "a list"
    return "an object"
