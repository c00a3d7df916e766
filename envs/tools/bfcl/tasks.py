"""BFCL's cases as tasks, category by category, and which of them are covered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from palaestra.envs.tools.bfcl.agentic import AGENTIC, MEMORY, WEB_SEARCH, AgenticCase, agentic_cases
from palaestra.envs.tools.bfcl.cases import LIVE, NON_LIVE, Case, load_cases
from palaestra.envs.tools.bfcl.conversation import AnyCase
from palaestra.envs.tools.bfcl.data import release_prefix
from palaestra.envs.tools.bfcl.gold import gold_calls
from palaestra.envs.tools.bfcl.multi_turn.cases import CATEGORIES as MULTI_TURN
from palaestra.envs.tools.bfcl.multi_turn.cases import MultiTurnCase, multi_turn_cases
from palaestra.errors import UnknownNameError
from palaestra.tasks import Task, TaskSet, split_of

__all__ = [
    "COLLECTIONS",
    "COVERED",
    "UNCOVERED",
    "UNWINNABLE",
    "chosen_categories",
    "coverage",
    "coverage_table",
    "load_tasks",
]

COVERED = (*NON_LIVE, *LIVE, *MULTI_TURN, *AGENTIC, "format_sensitivity")
"""The categories that are there."""

UNCOVERED: Mapping[str, str] = {
    "memory_vector": "its results are similarities by an embedding model and an index that differ in the last digits",
}
"""The release's other categories, and why they are not."""

_NOTES: Mapping[str, str] = {
    **dict.fromkeys(MEMORY, "long episodes: the conversations before the question are part of each"),
    **dict.fromkeys(WEB_SEARCH, "needs search=...; without the web, scores are not the leaderboard's"),
}

COLLECTIONS: Mapping[str, tuple[str, ...]] = {
    "scoring": (*NON_LIVE, *LIVE, *MULTI_TURN),
    "single_turn": (*NON_LIVE, *LIVE),
    "non_live": NON_LIVE,
    "live": LIVE,
    "multi_turn": MULTI_TURN,
    "memory": MEMORY,
    "web_search": WEB_SEARCH,
    "agentic": AGENTIC,
    "all": (*NON_LIVE, *LIVE, *MULTI_TURN, *MEMORY, "format_sensitivity"),
}
"""Names for several categories."""

UNWINNABLE = frozenset(
    {
        "simple_java_36",  # a list of type `any` is read as texts, the answer holds a number
        "simple_java_65",  # likewise a boolean
        "live_simple_106-63-0",  # arguments must be given for which no value is accepted
        "live_simple_112-68-0",  # likewise
        "live_multiple_862-181-3",  # the answer has an argument that the function does not know
        "live_multiple_964-207-0",  # likewise
        # A list of objects inside the JSON ends what is read as the list of calls.
        *(f"format_sensitivity_{number}" for number in range(110, 116)),
    }
)
"""Cases that no output can win under the official checker; those of format sensitivity by the first part of the id."""


def chosen_categories(categories: str | Iterable[str]) -> tuple[str, ...]:
    """Categories by their names or those of collections, in the release's order.

    Raises:
        UnknownNameError: There is no such category here; one that is known but not covered says why.
    """
    names = (categories,) if isinstance(categories, str) else tuple(categories)
    chosen: set[str] = set()
    for name in names:
        if name in UNCOVERED:
            raise UnknownNameError(f"covered category ({UNCOVERED[name]})", name, (*COLLECTIONS, *COVERED))
        if name not in COLLECTIONS and name not in COVERED:
            raise UnknownNameError("category of BFCL", str(name), (*COLLECTIONS, *COVERED))
        chosen.update(COLLECTIONS.get(name, (name,)))
    return tuple(name for name in COVERED if name in chosen)


@lru_cache(maxsize=32)
def _category(category: str, release: str, dotless: bool) -> Mapping[str, tuple[Task, AnyCase]]:
    """Tasks and cases of a category by id. Kept: environments come and go, and reading takes a second."""
    if category in MULTI_TURN:
        release_prefix(release)
        return {case.id: (_multi_turn_task(case), case) for case in multi_turn_cases(category).values()}
    if category in AGENTIC:
        return {case.id: (_agentic_task(case), case) for case in agentic_cases(category, release).values()}
    return {case.id: (_task(case, dotless), case) for case in load_cases(category, release)}


@lru_cache(maxsize=32)
def load_tasks(
    categories: tuple[str, ...], release: str, dotless: bool, winnable_only: bool
) -> tuple[TaskSet, Mapping[str, AnyCase]]:
    """The tasks of some categories, and the case behind each by its id.

    Args:
        categories: From `chosen_categories`.
        release: `v4`.
        dotless: Whether functions' names are to be written with `_` for `.`.
        winnable_only: Whether to leave out those in `UNWINNABLE`.

    Raises:
        DataError: The package's files are not what they should be.
        MissingExtraError: The package is not installed.
        UnknownNameError: There is no such release.
    """
    found = {
        key: pair
        for category in categories
        for key, pair in _category(category, release, dotless).items()
        if not winnable_only or key.partition(":")[0] not in UNWINNABLE
    }
    return TaskSet(task for task, _ in found.values()), {key: case for key, (_, case) in found.items()}


def _task(case: Case, dotless: bool) -> Task:
    gold = gold_calls(case, dotless=dotless)
    wanted = "no call" if "irrelevance" in case.category else "a call" if case.answers is None else "the calls"
    truth: dict[str, Any] = {"gold_calls": (gold,) if gold else (), "wanted": wanted}
    if case.answers is not None:
        truth["gold_alternatives"] = case.answers
    metadata: dict[str, Any] = {"kind": case.category, "language": case.language}
    if case.category == "format_sensitivity":
        metadata |= {"format": case.format.name, "source": case.source}
    said = "\n\n".join(message["content"] for message in case.messages if message["role"] == "user")
    return _made(case.id, _group(function["name"] for function in case.functions), said, truth, metadata)


def _multi_turn_task(case: MultiTurnCase) -> Task:
    turns = tuple(tuple({"name": call.name, "arguments": dict(call.kwargs)} for call in turn) for turn in case.gold)
    truth = {
        "gold_calls": tuple(turn for turn in turns if turn),
        "gold_turns": tuple(len(turn) for turn in turns),
        "wanted": "the state and results of the reference calls",
    }
    metadata = {"kind": case.category, "language": "python", "turns": len(case.turns)}
    said = "\n\n".join(message["content"] for message in case.turns[0] if message["role"] == "user")
    # The four categories vary the same conversations.
    return _made(case.id, f"multi_turn {case.id.rpartition('_')[2]}", said, truth, metadata)


def _agentic_task(case: AgenticCase) -> Task:
    truth = {"gold_calls": (), "answers": case.answers, "wanted": "an answer in which one of the accepted ones stands"}
    metadata = {"kind": case.category, "language": "python", "turns": case.turns}
    # The questions about the same conversations are together, and so are those of several categories.
    group = f"memory {case.scenario}" if case.scenario else f"web_search {case.id.rpartition('_')[2]}"
    return _made(case.id, group, case.question, truth, metadata)


def _made(key: str, group: str, prompt: str, truth: Mapping[str, Any], metadata: Mapping[str, Any]) -> Task:
    return Task(key, group, prompt, split_of(group), truth, metadata)


def _group(names: Iterable[str]) -> str:
    """Cases with the same functions are variants of each other."""
    together = " ".join(sorted(names))
    return (
        together if len(together) <= 120 else f"{together[:100]} {hashlib.sha256(together.encode()).hexdigest()[:16]}"
    )


def coverage(release: str = "v4") -> Iterator[tuple[str, int, int, str]]:
    """What of the release is covered: category, published cases, winnable cases, and what is to be said of it.

    Raises:
        MissingExtraError: The package is not installed.
        UnknownNameError: There is no such release.
    """
    for category in COVERED:
        published = _category(category, release, False)
        lost = sum(key.partition(":")[0] in UNWINNABLE for key in published)
        yield (
            category,
            len(published),
            len(published) - lost,
            f"{lost} cannot be won" if lost else _NOTES.get(category, ""),
        )
    for category, reason in UNCOVERED.items():
        yield category, 0, 0, f"not covered: {reason}"


def coverage_table(rows: Sequence[tuple[str, int, int, str]]) -> str:
    """The coverage for a person; no overall score can be had of a part."""
    lines = [f"{'category':24}{'cases':>7}{'winnable':>10}"]
    lines += [f"{name:24}{cases:7}{winnable:10}  {note}".rstrip() for name, cases, winnable, note in rows]
    lines.append("Scores are of single categories; BFCL's overall score needs all of them.")
    return "\n".join(lines)


if __name__ == "__main__":
    print(coverage_table(list(coverage())))
