"""How tasks are written: a template plays the gold calls in a world of its own and says what was asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date as Day
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from palaestra.envs.tools.desk.said import Demand
from palaestra.envs.tools.desk.user import Fact
from palaestra.envs.tools.desk.world import World
from palaestra.errors import ToolError

__all__ = [
    "KINDS",
    "REASONS",
    "Draft",
    "Kind",
    "Sketch",
    "Skip",
    "Template",
    "euros",
    "listed",
    "spoken_day",
    "spoken_money",
]

Kind = Literal["single", "parallel", "lookup", "chain", "conditional", "aggregate", "ask", "refuse"]
KINDS: tuple[Kind, ...] = get_args(Kind)
REASONS: Mapping[str, str] = {
    "not_allowed": "this person has no right to it, or it is forbidden whatever the amount and the time",
    "not_found": "what the request speaks of does not exist",
    "not_available": "somebody is busy, or something is taken or out of stock",
    "over_limit": "it exceeds a balance, budget, allowance, number or limit",
    "wrong_state": "it is too late, or the state that something is in excludes it",
}

T = TypeVar("T")
Call = tuple[str, Mapping[str, Any]]


class Skip(Exception):
    """This draw makes no good task; another one may."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One task, before it has been proven.

    Attributes:
        user: Id of the person for whom the agent acts.
        prompt: The request.
        turns: The gold calls, a tuple for each turn; those of one turn may run in parallel.
        results: What each of them gave, in the same order.
        says: What the final answer must hold.
        answer: A final answer that does.
        facts: What the request leaves out and the user knows.
        reasons: Accepted reasons to decline; empty where the task is to be done.
        texts: Texts that are the agent's to word: `table.field` and what they must hold.
        tried: Tools of calls that the rules refuse.
    """

    user: str
    prompt: str
    turns: tuple[tuple[Call, ...], ...]
    results: tuple[Mapping[str, Any], ...]
    says: tuple[Demand, ...] = ()
    answer: str = ""
    facts: tuple[Fact, ...] = ()
    reasons: tuple[str, ...] = ()
    texts: tuple[tuple[str, tuple[Demand, ...]], ...] = ()
    tried: tuple[str, ...] = ()


class Sketch:
    """What a template works with: a world in which its gold calls are played, and all randomness.

    Args:
        world: Fresh; the template's to change.
        rng: All randomness.
        number: How many tasks the template has made; the next one is worded in another way.
    """

    def __init__(self, world: World, rng: np.random.Generator, number: int = 0) -> None:
        self.world, self.rng, self.number = world, rng, number
        self.calendar = int(rng.integers(4))  # the one way in which the user of this task writes dates
        self._turns: list[tuple[Call, ...]] = []
        self._results: list[Mapping[str, Any]] = []
        self._facts: list[Fact] = []
        self._tried: list[str] = []

    # Choosing --------------------------------------------------------------------------------------------------

    def pick(self, choices: Iterable[T]) -> T:
        """One of them; where there is none, there is no task."""
        some = list(choices)
        if not some:
            raise Skip
        return some[int(self.rng.integers(len(some)))]

    def some(self, choices: Iterable[T], least: int, most: int | None = None) -> list[T]:
        """Between `least` and `most` of them, in random order."""
        given = list(choices)
        most = least if most is None else most
        if len(given) < least:
            raise Skip
        count = int(self.rng.integers(least, min(most, len(given)) + 1))
        return [given[int(index)] for index in self.rng.permutation(len(given))[:count]]

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def need(self, condition: object) -> None:
        """There is no task unless this holds."""
        if not condition:
            raise Skip

    def act_for(self, person: str) -> None:
        """Whose assistant the agent is."""
        self.world.act_for(person)

    # Gold calls ------------------------------------------------------------------------------------------------

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """A turn with one call; its result."""
        return self.calls((tool, arguments))[0]

    def calls(self, *calls: Call) -> list[dict[str, Any]]:
        """A turn with several calls; their results."""
        results = []
        for tool, arguments in calls:
            output = self.world.call(tool, arguments)
            results.append(json.loads("".join(getattr(part, "text", "") for part in output.content)))
        self._turns.append(tuple((tool, dict(arguments)) for tool, arguments in calls))
        self._results += results
        return results

    def ask(self, question: str, *facts: Fact) -> None:
        """A turn in which the user is asked for these facts."""
        facts = tuple(replace(item, reply=_sentence(item.reply)) for item in facts)
        self._facts += facts
        self._turns.append((("ask_user", {"question": question}),))
        self._results.append({"user": " ".join(item.reply for item in facts)})

    def made(self, table: str) -> str:
        """Id of the newest record in a table, made by the gold calls."""
        return max((one.id for one in self.world.changes() if one.table == table and one.kind == "created"), key=_place)

    def refused(self, tool: str, **arguments: Any) -> str:
        """Tries a call that the rules must refuse, and so does not count among the gold calls; why they do."""
        try:
            self.world.call(tool, arguments)
        except ToolError as error:
            self._tried.append(tool)
            return str(error)
        raise Skip

    def decline(self, reasons: Sequence[str], *wordings: str) -> Draft:
        """The draft of a task that must be declined for one of these reasons; the first is the gold one."""
        self._turns.append((("decline", {"reason": reasons[0]}),))
        self._results.append({})
        return self.task(*wordings, reasons=reasons)

    def settle(
        self, fine: bool, tool: str, arguments: Mapping[str, Any], reasons: Sequence[str], *wordings: str
    ) -> Draft:
        """The draft of a task that asks for a call which the rules allow, or refuse: the wording gives nothing away."""
        if fine:
            self.call(tool, **arguments)
            return self.task(*wordings)
        self.refused(tool, **arguments)
        return self.decline(reasons, *wordings)

    def task(
        self,
        *wordings: str,
        says: Sequence[Demand] = (),
        answer: str = "",
        reasons: Sequence[str] = (),
        texts: Sequence[tuple[str, tuple[Demand, ...]]] = (),
    ) -> Draft:
        """The draft.

        Args:
            *wordings: Ways to word the request, used in turn.
            says: See `Draft`.
            answer: See `Draft`.
            reasons: See `Draft`.
            texts: See `Draft`.
        """
        prompt = wordings[self.number % len(wordings)]
        return Draft(
            user=self.world.user,
            prompt=_sentence(prompt),
            turns=tuple(self._turns),
            results=tuple(self._results),
            says=tuple(says),
            answer=answer,
            facts=tuple(self._facts),
            reasons=tuple(reasons),
            texts=tuple(texts),
            tried=tuple(self._tried),
        )


@dataclass(frozen=True, slots=True)
class Template:
    """A way to make tasks that are near-duplicates of each other.

    Attributes:
        name: The group of its tasks, which decides their split.
        kind: One of `KINDS`.
        make: Writes one draft.
        count: How many tasks are made of it at most.
    """

    name: str
    kind: Kind
    make: Callable[[Sketch], Draft]
    count: int = field(default=9)


def _sentence(text: str) -> str:
    """Begun with a capital, unless by an address; and nothing is `on tomorrow`."""
    text = re.sub(r"\bon (?=today\b|tomorrow\b)", "", text, flags=re.IGNORECASE)
    return text if "@" in text.split(maxsplit=1)[0] else text[:1].upper() + text[1:]


def _place(id_: str) -> tuple[int, str]:
    return len(id_), id_


# Words -----------------------------------------------------------------------------------------------------------


def spoken_day(sketch: Sketch, day: str) -> str:
    """A day as somebody would say it: `2026-03-12`, `12 March`, `Thursday 12 March`, `tomorrow`."""
    value = Day.fromisoformat(day[:10])
    ahead = (value - Day.fromisoformat(sketch.world.now[:10])).days
    month = value.strftime("%B")
    if ahead in (0, 1) and sketch.calendar:
        return "tomorrow" if ahead else "today"
    return (
        value.isoformat(),
        f"{value.day} {month} {value.year}",
        f"{value.strftime('%A')}, {value.day} {month} {value.year}",
        f"{month} {value.day}, {value.year}",
    )[sketch.calendar]


def euros(cents: int) -> int | float:
    """An amount as a call gives it: a whole number where it is one."""
    return cents // 100 if cents % 100 == 0 else cents / 100


def spoken_money(cents: int) -> str:
    """An amount as somebody would say it: `1,250 euros`, `80.50 euros`."""
    return f"{cents // 100:,} euros" if cents % 100 == 0 else f"{cents / 100:,.2f} euros"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
