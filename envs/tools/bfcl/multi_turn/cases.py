"""The cases of the four multi-turn categories, read from the installed package."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from palaestra.envs.tools.bfcl.calls import Call, parse_call
from palaestra.envs.tools.bfcl.data import read_rows, release_prefix
from palaestra.envs.tools.bfcl.multi_turn.apis import APIS
from palaestra.errors import UnknownNameError

__all__ = ["CATEGORIES", "MultiTurnCase", "bound", "multi_turn_cases"]

CATEGORIES = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")

_DOCS = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "TwitterAPI": "posting_api",
    "VehicleControlAPI": "vehicle_control",
}

Doc = dict[str, Any]


@dataclass(frozen=True, eq=False)
class MultiTurnCase:
    """One conversation.

    Attributes:
        id: As published, e.g. "multi_turn_miss_func_17".
        category: One of `CATEGORIES`.
        turns: Per turn what the user says, as messages with role and content; empty where functions arrive instead.
        functions: Docs of the functions that are there from the start, as published.
        held_out: Per turn the docs of the functions that arrive with it.
        classes: Names of the applications, in the order in which they are set up.
        config: The applications' scenarios by name. Read only.
        gold_texts: Per turn the reference calls as published.
        gold: The same calls with every argument under its name.
    """

    id: str
    category: str
    turns: tuple[tuple[Mapping[str, str], ...], ...]
    functions: tuple[Doc, ...]
    held_out: Mapping[int, tuple[Doc, ...]]
    classes: tuple[str, ...]
    config: Mapping[str, Any]
    gold_texts: tuple[tuple[str, ...], ...]
    gold: tuple[tuple[Call, ...], ...]

    @property
    def long_context(self) -> bool:
        """Whether results carry long texts and lists."""
        return self.category == "multi_turn_long_context"


@lru_cache(maxsize=len(_DOCS))
def _docs(name: str) -> tuple[Doc, ...]:
    return tuple(read_rows(f"multi_turn_func_doc/{_DOCS[name]}.json"))


def bound(text: str) -> Call:
    """A reference call with its positional arguments under their names.

    Args:
        text: As published, e.g. `cd('document')`.

    Raises:
        CallSyntaxError: It is not a call with literal arguments.
        KeyError: No application has this function.
    """
    call = parse_call(text)
    if not call.args:
        return call
    method = next(vars(api)[call.name] for api in APIS.values() if call.name in api._tool_names())
    names = list(inspect.signature(method).parameters)[1:]
    return Call(call.name, (), {**dict(zip(names, call.args, strict=False)), **call.kwargs})


def _case(row: dict[str, Any], gold: list[list[str]]) -> MultiTurnCase:
    docs = [doc for name in row["involved_classes"] for doc in _docs(name)]
    held_out: dict[int, tuple[Doc, ...]] = {}
    for turn, names in row.get("missed_function", {}).items():
        missing = tuple(next(doc for doc in docs if doc["name"] == name) for name in names)
        docs = [doc for doc in docs if doc not in missing]
        held_out[int(turn)] = missing
    return MultiTurnCase(
        id=row["id"],
        category=row["id"].rsplit("_", 1)[0],
        turns=tuple(tuple(messages) for messages in row["question"]),
        functions=tuple(docs),
        held_out=held_out,
        classes=tuple(row["involved_classes"]),
        config=row["initial_config"],
        gold_texts=tuple(tuple(turn) for turn in gold),
        gold=tuple(tuple(bound(text) for text in turn) for turn in gold),
    )


@lru_cache(maxsize=len(CATEGORIES))
def multi_turn_cases(category: str, release: str = "v4") -> Mapping[str, MultiTurnCase]:
    """All cases of a category by id, in the published order.

    Args:
        category: One of `CATEGORIES`.
        release: Of the benchmark.

    Raises:
        UnknownNameError: There is no such category or release.
        MissingExtraError: The package `bfcl-eval` is not installed.
        DataError: Its files are not what they should be.
    """
    if category not in CATEGORIES:
        raise UnknownNameError("multi-turn category of BFCL", category, CATEGORIES)
    file = f"{release_prefix(release)}_{category}.json"
    answers = {row["id"]: row["ground_truth"] for row in read_rows(f"possible_answer/{file}")}
    return {row["id"]: _case(row, answers[row["id"]]) for row in read_rows(file)}
