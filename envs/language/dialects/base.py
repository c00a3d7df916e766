"""What every dialect is, and the strict JSON that two of them share."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from palaestra.envs.language.tools import Tool

__all__ = ["CallRequest", "Dialect", "DialectError", "call_from_json", "strict_json", "write_json"]

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

        Args:
            text: The utterance, without lone surrogates.
            tools: The tools that can be called.

        Raises:
            DialectError: It is malformed.
        """
        ...

    def render(self, call: CallRequest, tools: Sequence[Tool]) -> str:
        """An utterance that parses into this one call.

        Raises:
            ValueError: The dialect has no words for it (NaN in JSON, a closing tag inside the text of `tags`).
        """
        ...

    def calls(self, calls: Sequence[CallRequest], tools: Sequence[Tool]) -> tuple[str, tuple[int, int]]:
        """An utterance that parses into these calls, and the [start, end) of the calls' characters in it.

        Between start and end stands all that tells these calls from others: names, arguments, and what divides them.

        Args:
            calls: At least one.
            tools: The tools that can be called.

        Raises:
            ValueError: The dialect has no words for one of them, or for so many in a turn.
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


def strict_json(text: str, example: str) -> Any:
    """JSON as the standard has it, and within bounds: what comes out can be handled and written again anywhere.

    Refused are duplicate keys, NaN and Infinity, numbers beyond the range of a float (integers, too), halves of
    surrogate pairs, and more than 64 levels of nesting.

    Args:
        text: The JSON.
        example: What is accepted, for the message.

    Raises:
        DialectError: It is not that; the message names the place, the key or the value.
    """
    try:
        return _strict(text)
    except DialectError as error:
        raise DialectError(f"{error} Write {example}.") from None


def write_json(value: Any) -> str:
    """JSON that `strict_json` reads back into the same value; `<` is escaped in closing tags, so it can stand in tags.

    Raises:
        ValueError: It holds NaN, Infinity, or half of a surrogate pair.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    text.encode()  # a UnicodeEncodeError is a ValueError
    return text.replace("</", "\\u003c/")


def _strict(text: str) -> Any:
    try:
        data = json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_within_float,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        what = error.msg.removesuffix(" at").removesuffix(":")
        raise DialectError(f"This is not valid JSON: {what} at {place}.") from None
    except RecursionError:
        raise DialectError(f"The JSON is nested too deeply; at most {_MAX_DEPTH} levels are read.") from None
    _check_depth(data)
    if "\\u" in text or not text.isascii():
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise DialectError("The JSON holds half of a surrogate pair; write the whole character.") from None
    return data


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise DialectError(f"The key {key[:80]!r} stands twice in one JSON object; give it once.")
            seen.add(key)
    return found


def _no_constant(name: str) -> Any:
    raise DialectError(f"{name} is not JSON; give a number, or null.")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise DialectError(f"The number {_clip(number, 40)} is too large; numbers go up to 1.7e308.")
    return value


def _within_float(number: str) -> int:
    # Judged by its length first: to read an integer takes time quadratic in its digits.
    if len(number) > 310 or math.isinf(float(number)):
        raise DialectError(f"The number {_clip(number, 40)} is too large; numbers go up to 1.7e308.")
    return int(number)


def _check_depth(data: Any) -> None:
    level, depth = [data], 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        if depth > _MAX_DEPTH:
            raise DialectError(f"The JSON is nested too deeply; at most {_MAX_DEPTH} levels are read.")
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."


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
