"""The parts questions are put together from: the facts they need, phrases for countries, and drafts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from palaestra.envs.search.factbook.english import DESCRIBE, RELATE, RELATE_NAMED, RELATE_ON, pick
from palaestra.envs.search.factbook.facts import ATTRIBUTES, Fact, search_words
from palaestra.envs.search.factbook.names import normalise, plain, with_article
from palaestra.envs.search.factbook.world import BORDERS, World

__all__ = ["RELATIONS", "Describer", "Draft", "Form", "Noun", "Step", "follow", "leaks", "named", "related"]

Form = tuple[Any, ...]
"""A question as a nested tuple of strings and numbers; `proof` says what each word means."""

RELATIONS = ("longest", "only neighbor", "export partner", "import partner", "ruler")

LONGEST_GAP = 0.05
"""A longest border must exceed the next one by this share."""


@dataclass(frozen=True, slots=True)
class Step:
    """One fact that answering needs.

    Attributes:
        sentence: The fact in a sentence.
        query: A search query that should find it.
        passages: Ids of the passages any of which holds it.
    """

    sentence: str
    query: str
    passages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Noun:
    """A phrase that stands for one country.

    Attributes:
        text: The phrase as it stands in a sentence.
        form: Its meaning.
        code: The country.
        steps: The facts needed to find the country.
        hidden: Countries that must be found and so must not be named.
        named: Countries that the phrase names.
        told: The same country as the end of a story: how each step of the way is put ("its sole land neighbor").
    """

    text: str
    form: Form
    code: str
    steps: tuple[Step, ...] = ()
    hidden: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A question before it is chosen.

    Attributes:
        kind: `lookup`, `bridge`, `comparison`, `intersection`, `superlative` or `count`.
        relation: What is asked, in a word or two ("capital", "area +").
        form: Its meaning.
        prompt: The question.
        answers: The answer as the text has it, then its aliases.
        steps: The facts it needs, in the order in which they can be found.
        group: The entry that decides the split.
        hidden: Countries that must be found.
        candidates: Names among which the question lets one choose.
    """

    kind: str
    relation: str
    form: Form
    prompt: str
    answers: tuple[str, ...]
    steps: tuple[Step, ...]
    group: str
    hidden: frozenset[str] = frozenset()
    candidates: tuple[str, ...] = ()


def fact_step(world: World, fact: Fact, said: str | None = None) -> Step:
    """The step of reading one fact."""
    name, label = world.names[fact.code], ATTRIBUTES[fact.attribute].label
    dated = f" ({fact.year})" if fact.year else ""
    return Step(
        f"{name}: {label}: {said or fact.answer}{dated}.",
        f"{name}: {ATTRIBUTES[fact.attribute].query} of {name}",
        (fact.passage,),
    )


def border_step(world: World, code: str, said: str) -> Step:
    """The step of reading the list of a country's neighbors.

    Raises:
        KeyError: No passage holds the list whole; callers ask `World.border_passage` first.
    """
    passage = world.border_passage(code)
    if passage is None:
        raise KeyError(code)
    return Step(
        f"{world.names[code]}: border countries: {said}.",
        f"{world.names[code]}: {search_words(BORDERS)} of {world.names[code]}",
        (passage,),
    )


def named(world: World, code: str) -> Noun:
    """A country by its name."""
    return Noun(with_article(world.names[code]), ("entry", world.names[code]), code, named=frozenset({code}))


_VALUES: Mapping[str, str] = {"currency code": "currency"}  # described by a value that another attribute carries


class Describer:
    """Phrases for countries by a fact that is theirs alone.

    Args:
        world: The facts.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._owners: dict[tuple[str, str], set[str]] = {}
        self._texts: dict[str, list[tuple[str, str]]] = {}
        for key in DESCRIBE:
            path = ATTRIBUTES[_VALUES.get(key, key)].path
            self._texts[key] = [
                (code, f" {plain(text)} ") for (code, where), text in world.corpus.text.items() if where == path
            ]
        self._known: dict[tuple[str, str], str | None] = {}

    def value(self, code: str, key: str) -> str | None:
        """The value by which the country can be described: no other entry's field so much as contains it."""
        if (code, key) not in self._known:
            self._known[code, key] = self._value(code, key)
        return self._known[code, key]

    def _value(self, code: str, key: str) -> str | None:
        fact = self._world.fact(code, _VALUES.get(key, key))
        if fact is None:
            return None
        if key == "currency code":
            values: tuple[str, ...] = fact.items
        elif key == "former names":
            values = fact.items
        else:
            values = (fact.answer,)
        for value in values:
            needle = f" {plain(value)} "
            if len(needle) > 2 and not any(needle in text for other, text in self._texts[key] if other != code):
                return value
        return None

    def noun(self, code: str, key: str) -> Noun | None:
        """The phrase, or None where the fact is missing or not the country's alone."""
        value = self.value(code, key)
        fact = self._world.fact(code, _VALUES.get(key, key))
        if value is None or fact is None:
            return None
        text = pick(DESCRIBE[key], code, key).format(v=value)
        name, label = self._world.names[code], ATTRIBUTES[fact.attribute].label
        step = Step(f"{name}: {label}: {value}.", f"{label} {value}", (fact.passage,))
        return Noun(text, ("the", key, value), code, (step,), frozenset({code}))


def follow(world: World, code: str, relation: str) -> str | None:
    """The country to which a relation leads, where that is beyond doubt."""
    borders = world.borders
    if relation in ("longest", "only neighbor"):
        others = borders.complete.get(code, ())
        if world.border_passage(code) is None or not all(other in world.states for other in others):
            return None
        if relation == "only neighbor":
            return others[0] if len(others) == 1 else None
        if len(others) < 2 or not all((code, other) in borders.lengths for other in others):
            return None
        ranked = sorted(others, key=lambda other: -borders.km(code, other))
        clear = borders.km(code, ranked[0]) >= (1 + LONGEST_GAP) * borders.km(code, ranked[1])
        return ranked[0] if clear else None
    attribute = {"export partner": "export partners", "import partner": "import partners", "ruler": "independent from"}
    fact = world.fact(code, attribute[relation])
    other = world.codes.get(fact.answer) if fact and fact.answer else None
    return other if other in world.states else None


def related(world: World, noun: Noun, relation: str) -> Noun | None:
    """The country that stands in a relation to another."""
    code = follow(world, noun.code, relation)
    if code is None:
        return None
    year = ""
    if relation in ("longest", "only neighbor"):
        length = world.borders.lengths.get((noun.code, code), "")
        step = border_step(world, noun.code, world.names[code] + (f" {length} km" if relation == "longest" else ""))
    else:
        keys = {"export partner": "export partners", "import partner": "import partners", "ruler": "independent from"}
        fact = world.facts[noun.code, keys[relation]]
        step = fact_step(world, fact)
        year = str(fact.year or "")
    options = RELATE[relation] if noun.steps else RELATE[relation] + RELATE_NAMED[relation]
    text = pick(options, noun.form, relation).format(x=noun.text, year=year)
    on = pick(RELATE_ON[relation], noun.form, relation).format(year=year)
    told = (*(noun.told or (noun.text,)), on)
    return Noun(text, (relation, noun.form), code, (*noun.steps, step), noun.hidden | {code}, noun.named, told)


def leaks(world: World, text: str, codes: Iterable[str]) -> bool:
    """Whether a text gives one of the countries away."""
    words = {word[:5] for word in plain(text).split()}
    return any(words & world.stems[code] for code in codes)


def names_answer(prompt: str, answers: Iterable[str]) -> bool:
    """Whether the question contains one of its answers (of four letters or more, or the first) as whole words."""
    asked = f" {normalise(prompt)} "
    return any(
        f" {normalise(answer)} " in asked for n, answer in enumerate(answers) if n == 0 or len(normalise(answer)) >= 4
    )
