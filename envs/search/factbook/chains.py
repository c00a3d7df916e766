"""Questions along a chain of facts: `lookup` (one fact) and `bridge` (two to four)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from palaestra.envs.search.factbook.asking import ASK
from palaestra.envs.search.factbook.drafts import (
    RELATIONS,
    Describer,
    Draft,
    Noun,
    fact_step,
    follow,
    leaks,
    named,
    names_answer,
    related,
)
from palaestra.envs.search.factbook.drafts import border_step as _border_step
from palaestra.envs.search.factbook.english import DESCRIBE, STORY, last_slot, pick, sentence
from palaestra.envs.search.factbook.facts import Fact
from palaestra.envs.search.factbook.names import fold, normalise, with_article
from palaestra.envs.search.factbook.world import World

__all__ = ["answers_of", "bridges", "lookups"]

_WHO = ("export partners", "import partners", "independent from")  # attributes whose value is a country
_SAME_FIELD: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {  # what is too close to the fact by which a country was described
        "capital": ("time zone",),
        "currency code": ("currency",),
        "highest point": ("peak height",),
        "independence": ("independent from",),
    }
)


def answers_of(world: World, fact: Fact) -> tuple[str, ...]:
    """The answer a fact gives and its aliases, without any that is another entry's value of the same attribute."""
    if fact.attribute in _WHO:
        code = world.codes.get(fact.answer)
        if code is None:
            return (fact.answer,)
        return (world.names[code], *world.aliases[code])
    kept = {normalise(fact.answer): fact.answer}
    for alias in (fold(fact.answer), *fact.aliases, *map(fold, fact.aliases)):
        key = normalise(alias)
        if key and (fact.number is not None or key not in world.taken[fact.attribute]):
            kept.setdefault(key, alias)
    return tuple(kept.values())


def _rank(*key: object) -> bytes:
    return hashlib.sha256(repr(key).encode()).digest()


def _ask(world: World, noun: Noun, attribute: str) -> Draft | None:
    """The question for an attribute of the country a phrase stands for."""
    fact = world.fact(noun.code, attribute)
    if fact is None or not fact.answer or fact.number == 0:
        return None
    answers = answers_of(world, fact)
    form = ("value", attribute, noun.form)
    prompt = _prompt(noun, attribute, fact.year)
    kind = "bridge" if noun.steps else "lookup"
    told = fact.number is None and leaks(world, answers[0], (noun.code,))
    if names_answer(prompt, answers) or (kind == "lookup" and told) or leaks(world, prompt, noun.hidden):
        return None
    if attribute in _WHO and (
        world.codes.get(fact.answer) in noun.named or world.codes.get(fact.answer) in noun.hidden
    ):
        return None
    steps = (*noun.steps, fact_step(world, fact))
    return Draft(kind, attribute, form, prompt, answers, steps, noun.code, noun.hidden)


def _prompt(noun: Noun, attribute: str, year: int | None) -> str:
    """The question in words; a chain of two or more relations is told step by step every other time."""
    options = last_slot(ASK[attribute]) if noun.steps else ASK[attribute]
    ask = pick(options, noun.form, attribute)
    if len(noun.told) < 3 or pick(("nested", "told"), noun.form) == "nested":
        return sentence(ask.format(x=noun.text, year=year))
    start, *via = noun.told
    told = pick(STORY, noun.form, "story")
    last = ask.format(x="that last country" if len(via) > 1 else "that country", year=year)
    return told.format(start=start, via=", and then ".join(via), ask=sentence(last))


def _border(world: World, one: str, other: str) -> Draft | None:
    length = world.borders.lengths.get((one, other))
    if length is None or world.border_passage(one) is None:
        return None
    form = ("border", ("entry", world.names[one]), ("entry", world.names[other]))
    text = pick(ASK["border"], form).format(x=with_article(world.names[one]), y=with_article(world.names[other]))
    plain = length.replace(",", "")
    written = [f"{figure}{unit}" for figure in (length, plain) for unit in (" km", "", " kilometers", " kilometres")]
    step = _border_step(world, one, f"{world.names[other]} {length} km")
    also = world.border_passage(other)
    if also is not None:
        step = type(step)(step.sentence, step.query, (*step.passages, also))
    return Draft("lookup", "border", form, sentence(text), tuple(dict.fromkeys(written)), (step,), min(one, other))


def lookups(world: World) -> Iterator[Draft]:
    """Questions for one fact about a named country, in a stable mixed order."""
    keys = [(code, key) for code in world.places for key in ASK if key != "border"]
    keys += [pair for pair in world.borders.lengths if pair[0] < pair[1] and set(pair) <= set(world.states)]
    for one, other in sorted(keys, key=lambda key: _rank("lookup", key)):
        draft = _ask(world, named(world, one), other) if other in ASK else _border(world, one, other)
        if draft is not None:
            yield draft


def bridges(world: World, describer: Describer, hops: int) -> Iterator[Draft]:
    """Questions along chains of `hops` facts, in a stable mixed order.

    A chain begins with a named country, or with one described by a fact of its own, goes along relations, and ends
    with a fact about the last country.
    """
    paths: list[tuple[str, str, tuple[str, ...]]] = []
    for start in ("", *DESCRIBE):
        for code in world.states:
            if start and describer.value(code, start) is None:
                continue
            for relations in _relations(world, code, hops - 1 - bool(start)):
                paths.append((start, code, relations))
    asked = sorted(key for key in ASK if key != "border")
    keys = []
    for path in paths:
        rank = _rank("bridge", path)
        for n in range(4):  # four questions a chain are plenty to choose from
            keys.append(
                (rank[4 * n : 4 * n + 4], path, asked[int.from_bytes(rank[16 + 2 * n : 18 + 2 * n]) % len(asked)])
            )
    for _, (start, code, relations), key in sorted(keys):
        noun: Noun | None = describer.noun(code, start) if start else named(world, code)
        for relation in relations:
            noun = related(world, noun, relation) if noun else None
        if noun is None or key == start or (not relations and key in _SAME_FIELD.get(start, ())):
            continue
        draft = _ask(world, noun, key)
        if draft is not None:
            yield draft


def _relations(world: World, code: str, length: int) -> Iterator[tuple[str, ...]]:
    """The chains of relations of a length that lead from a country through different countries."""
    stack: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((), (code,))]
    while stack:
        chain, seen = stack.pop()
        if len(chain) == length:
            yield chain
            continue
        for relation in RELATIONS:
            other = follow(world, seen[-1], relation)
            if other is not None and other not in seen:
                stack.append(((*chain, relation), (*seen, other)))
