"""ToolRL's output format: a thought, calls and a response between tags."""

from __future__ import annotations

import json
from collections.abc import Set
from typing import Any, Literal

from palaestra.rewards.toolrl_calls import Call

__all__ = ["Field", "fields_of", "format_reward", "length_reward", "length_target", "parse_calls", "thought_words"]

Field = Literal["tool_call", "response"]
_TAGS = ("think", "tool_call", "response")


def fields_of(text: str) -> frozenset[Field] | None:
    """Which fields follow the thought in a text of ToolRL's format; None for any other text.

    The format is one of these, each tag exactly once, white space around the whole ignored::

        <think>...</think>

        <think>...</think>
        <tool_call>
        one JSON object a line
        </tool_call>

        <think>...</think>
        <response>...</response>

        <think>...</think>
        <tool_call>
        one JSON object a line
        </tool_call>
        <response>...</response>

    Whether the JSON can be read is not looked at. A tag of a field that the text does not have may stand inside another
    field, as in a thought about `<response>`.

    Departure from the authors' code: there, the tags of the thought may occur several times.
    """
    rest = text.strip()
    found: list[str] = []
    for tag in _TAGS:
        between = "\n" if found else ""
        if not rest.startswith(f"{between}<{tag}>"):
            continue
        # In the whole text: whatever stands inside a field before counts, too.
        if text.count(f"<{tag}>") != 1 or text.count(f"</{tag}>") != 1:
            return None
        content, closed, rest = rest[len(between) + len(tag) + 2 :].partition(f"</{tag}>")
        if not closed or (tag == "tool_call" and not (len(content) >= 2 and content[0] == content[-1] == "\n")):
            return None
        found.append(tag)
    if rest or found[:1] != ["think"]:
        return None
    named: dict[str, Field] = {"tool_call": "tool_call", "response": "response"}
    return frozenset(named[tag] for tag in found[1:])


def format_reward(text: str, fields: Set[Field], scale: tuple[float, float] = (0.0, 1.0)) -> float:
    """ToolRL's format reward: `scale[1]` where the text has a thought and exactly these fields, else `scale[0]`.

    Args:
        text: What was said.
        fields: Those of the reference.
        scale: (low, high).
    """
    return scale[1] if fields_of(text) == fields else scale[0]


def parse_calls(text: str) -> tuple[Call, ...] | None:
    """The calls between the tags `tool_call`, one JSON object a line; None where they cannot be read.

    The format around them is not looked at: what counts is what stands between the first opening tag and the next tag
    of either kind. An object has `name` and `parameters` (or `arguments`); others of its keys are ignored.

    Departures from the authors' code: it reads an object without parameters wherever it does not look at them, and NaN
    and keys that stand twice; here they are not read. And other keys of an object keep it there from being equal to the
    reference's.
    """
    _, opened, rest = text.partition("<tool_call>")
    if not opened or "</tool_call>" not in text:
        return None
    lines = rest.partition("</tool_call>")[0].partition("<tool_call>")[0].strip().split("\n")
    try:
        return tuple(_call(json.loads(line, object_pairs_hook=_once, parse_constant=_refuse)) for line in lines)
    except (ValueError, RecursionError):
        return None


def thought_words(text: str) -> int:
    """How many words, divided by white space, the last thought has; 0 without a pair of its tags."""
    if "<think>" not in text or "</think>" not in text:
        return 0
    return len(text.rpartition("<think>")[2].partition("</think>")[0].split())


def length_target(step: int, dynamic: bool = False, steps: int = 105) -> float:
    """How many words a thought needs for the whole length reward: 512, or from 384 to 640 over training.

    Departure from the authors' code, in which the target grows on behind the last step.
    """
    return 384 + (640 - 384) * min(1.0, step / steps) if dynamic else 512.0


def length_reward(words: int, target: float) -> float:
    """ToolRL's length reward: min(1, words / target). The authors' code rounds it to two decimals."""
    return min(1.0, words / target)


def _call(data: Any) -> Call:
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        raise ValueError("A call is a JSON object with a name.")
    given = data["parameters"] if "parameters" in data else data.get("arguments")
    if not isinstance(given, dict):
        raise ValueError("A call has an object of parameters.")
    return Call(data["name"], given)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("A key stands twice.")
    return found


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON.")
