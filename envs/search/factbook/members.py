"""Sets that the text lists whole, and what questions about them share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

from palaestra.envs.search.factbook.drafts import (
    Describer,
    Draft,
    Noun,
    Step,
    border_step,
    fact_step,
    leaks,
    names_answer,
)
from palaestra.envs.search.factbook.english import DESCRIBE, listed
from palaestra.envs.search.factbook.facts import Fact
from palaestra.envs.search.factbook.world import World

__all__ = [
    "MOST_FACTS",
    "all_neighbors",
    "all_partners",
    "country_answers",
    "described",
    "entry",
    "fine",
    "in_turn",
    "mixed",
    "neighbors_of",
    "partners_of",
]

MOST_FACTS = 6
"""No question needs more facts than this."""
_Item = TypeVar("_Item")


def mixed(items: Iterable[_Item], salt: str) -> list[_Item]:
    """The items in an order that is mixed and yet always the same; another salt gives another order."""
    return sorted(items, key=lambda item: hashlib.sha256(repr((salt, item)).encode()).digest())


def neighbors_of(world: World, code: str) -> tuple[str, ...]:
    """The neighbors of a country where the list is whole, readable in one passage, and of states only."""
    others = world.borders.complete.get(code, ())
    whole = code in world.states and world.border_passage(code) is not None and set(others) <= set(world.states)
    return others if whole else ()


def partners_of(world: World, code: str) -> tuple[Fact, tuple[str, ...]] | None:
    """A country's five largest export partners, where all are states."""
    fact = world.fact(code, "export partners")
    if fact is None or code not in world.states:
        return None
    codes = [world.codes.get(name, "") for name in fact.items]
    return (fact, tuple(codes)) if set(codes) <= set(world.states) and len(set(codes)) == 5 else None


def country_answers(world: World, code: str) -> tuple[str, ...]:
    """The names of a country as answers, its own first."""
    return (world.names[code], *world.aliases[code])


def all_neighbors(world: World, code: str) -> Step:
    """The step of reading all neighbors of a country."""
    return border_step(world, code, listed([world.names[other] for other in neighbors_of(world, code)], "and"))


def all_partners(world: World, fact: Fact) -> Step:
    """The step of reading the five largest partners."""
    return fact_step(world, fact, ", ".join(fact.items))


def entry(world: World, code: str) -> tuple[str, str]:
    """The form that stands for a named entry."""
    return ("entry", world.names[code])


def fine(world: World, draft: Draft) -> bool:
    """Whether a question neither contains its answer nor names what must be found."""
    return not names_answer(draft.prompt, draft.answers) and not leaks(world, draft.prompt, draft.hidden)


def in_turn(*sources: Iterator[Draft]) -> Iterator[Draft]:
    """One draft of each source in turn, until all are used up."""
    alive = list(sources)
    while alive:
        for source in tuple(alive):
            draft = next(source, None)
            if draft is None:
                alive.remove(source)
            else:
                yield draft


def described(describer: Describer, code: str, salt: str) -> Noun | None:
    """A phrase for a country by one of its facts, chosen by the salt."""
    nouns = (describer.noun(code, key) for key in mixed(DESCRIBE, f"describe {code} {salt}"))
    return next((noun for noun in nouns if noun is not None), None)
