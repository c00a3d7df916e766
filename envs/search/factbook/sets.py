"""Questions about sets that the text lists whole: `intersection`, `superlative`, `count`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import TypeVar

from palaestra.envs.search.factbook.chains import answers_of
from palaestra.envs.search.factbook.comparisons import words
from palaestra.envs.search.factbook.drafts import (
    LONGEST_GAP,
    Describer,
    Draft,
    Noun,
    Step,
    border_step,
    fact_step,
    leaks,
    named,
    names_answer,
)
from palaestra.envs.search.factbook.english import ASK, DESCRIBE, last_slot, listed, pick, sentence
from palaestra.envs.search.factbook.facts import Fact
from palaestra.envs.search.factbook.measures import MEASURES, ranked
from palaestra.envs.search.factbook.names import normalise, with_article
from palaestra.envs.search.factbook.properties import properties
from palaestra.envs.search.factbook.world import World

__all__ = ["MOST_FACTS", "counts", "intersections", "superlatives"]

MOST_FACTS = 6
"""No question needs more facts than this."""

_Item = TypeVar("_Item")

_BOTH = (
    "Which country borders {all}?",
    "Which country has land borders with {all}?",
    "{All} all have a land border with one country. Which one?",
    "Name the only country that shares a land border with {all}.",
    "Which country is a neighbor of {all}?",
)
_NEIGHBOR_WITH = (
    "Which neighbor of {x} {has}?",
    "Which country that borders {x} {has}?",
    "Only one of the countries that border {x} {has}. Which one?",
    "Name the country that shares a land border with {x} and {has}.",
    "Among the neighbors of {x}, which one {has}?",
)
_PARTNER_NEIGHBOR = (
    "Which of the five largest export partners of {x} in {year} also borders it?",
    "Only one of the top five export partners of {x} in {year} has a land border with it. Which one?",
    "Which neighbor of {x} was among its five largest export partners in {year}?",
    "Name the country that borders {x} and was one of its top five export partners in {year}.",
)
_PARTNER_BOTH = (
    "Which country was among the top five export partners of both {x} and {y} in {year}?",
    "In {year}, which country was one of the five largest export partners of {x} as well as of {y}?",
    "Name the country that was one of the five largest export partners in {year} of {x} and also of {y}.",
    "{X} and {y} shared one of their top five export partners in {year}. Which country was it?",
)
_SUPERLATIVE = (
    "Among the countries that border {x}, which had the {est} {noun}{when}?",
    "Which of the neighbors of {x} had the {est} {noun}{when}?",
    "Of all countries that share a land border with {x}, which one had the {est} {noun}{when}?",
    "Which country bordering {x} had the {est} {noun}{when}?",
    "Take the countries that border {x}: which of them had the {est} {noun}{when}?",
)
_SUPERLATIVE_NOUN = (
    "the neighbor of {x} that had the {est} {noun}{when}",
    "the country that, among those bordering {x}, had the {est} {noun}{when}",
    "whichever country bordering {x} had the {est} {noun}{when}",
)
_PARTNER_SUPERLATIVE = (
    "Among the five largest export partners of {x} in {year}, which had the {est} {noun}{when}?",
    "Which of the top five export partners of {x} in {year} had the {est} {noun}{when}?",
    "Of the five countries that took the most exports from {x} in {year}, which had the {est} {noun}{when}?",
    "Take the top five export partners of {x} in {year}: which of them had the {est} {noun}{when}?",
)
_BORDER_SUPERLATIVE = (
    "With which country does {x} share its {est} land border?",
    "Which neighbor has the {est} land border with {x}?",
    "The {est} land border of {x} is with which country?",
    "Across the {est} land border of {x} lies which country?",
)
_COUNT = (
    "How many countries border {x}?",
    "With how many countries does {x} share a land border?",
    "How many land neighbors does {x} have?",
    "What is the number of countries that border {x}?",
    "How many different countries share a land border with {x}?",
)
_COUNT_WITH = (
    "How many of the countries that border {x} {have}?",
    "Of the neighbors of {x}, how many {have}?",
    "How many neighbors of {x} {have}?",
    "Among the countries bordering {x}, how many {have}?",
    "Count the countries that share a land border with {x} and {have}. How many are there?",
)
_COUNT_BOTH = (
    "How many countries border both {x} and {y}?",
    "How many countries have a land border with {x} and also with {y}?",
    "What is the number of countries that are neighbors of both {x} and {y}?",
    "{X} and {y} have how many land neighbors in common?",
)
_COUNT_PARTNERS = (
    "How many of the five largest export partners of {x} in {year} border it?",
    "Of the top five export partners of {x} in {year}, how many share a land border with it?",
    "How many neighbors of {x} were among its five largest export partners in {year}?",
    "How many countries that border {x} were also among its top five export partners in {year}?",
)
_COUNT_SHARED = (
    "How many countries were among the top five export partners of both {x} and {y} in {year}?",
    "In {year}, how many of their five largest export partners did {x} and {y} have in common?",
    "How many of the top five export partners of {x} in {year} were also among those of {y}?",
    "How many countries were among the five largest export partners in {year} of {x} as well as of {y}?",
)
_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _mixed(items: Iterable[_Item], salt: str) -> list[_Item]:
    return sorted(items, key=lambda item: hashlib.sha256(repr((salt, item)).encode()).digest())


def _neighbors(world: World, code: str) -> tuple[str, ...]:
    """The neighbors of a country where the list is whole, readable in one passage, and of states only."""
    others = world.borders.complete.get(code, ())
    whole = code in world.states and world.border_passage(code) is not None and set(others) <= set(world.states)
    return others if whole else ()


def _partners(world: World, code: str) -> tuple[Fact, tuple[str, ...]] | None:
    """A country's five largest export partners, where all are states."""
    fact = world.fact(code, "export partners")
    if fact is None or code not in world.states:
        return None
    codes = [world.codes.get(name, "") for name in fact.items]
    return (fact, tuple(codes)) if set(codes) <= set(world.states) and len(set(codes)) == 5 else None


def _country(world: World, code: str) -> tuple[str, ...]:
    return (world.names[code], *world.aliases[code])


def _all_neighbors(world: World, code: str) -> Step:
    return border_step(world, code, listed([world.names[other] for other in _neighbors(world, code)], "and"))


def _all_partners(world: World, fact: Fact) -> Step:
    return fact_step(world, fact, ", ".join(fact.items))


def _entry(world: World, code: str) -> tuple[str, str]:
    return ("entry", world.names[code])


def _fine(world: World, draft: Draft) -> bool:
    """Whether a question neither contains its answer nor names what must be found."""
    return not names_answer(draft.prompt, draft.answers) and not leaks(world, draft.prompt, draft.hidden)


def intersections(world: World) -> Iterator[Draft]:
    """Questions for the only country that meets two or three conditions, in a stable mixed order."""
    for draft in _mixed_drafts(_common_neighbors(world), _fitting_neighbors(world), _common_partners(world)):
        if _fine(world, draft):
            yield draft


def _mixed_drafts(*sources: Iterator[Draft]) -> Iterator[Draft]:
    """One draft of each source in turn, until all are used up."""
    alive = list(sources)
    while alive:
        for source in tuple(alive):
            draft = next(source, None)
            if draft is None:
                alive.remove(source)
            else:
                yield draft


def _common_neighbors(world: World) -> Iterator[Draft]:
    around = {code: _neighbors(world, code) for code in world.states}
    keys = [
        (code, group)
        for code in world.states
        for size in (2, 3)
        for group in combinations([other for other in around[code] if around[other]], size)
    ]
    for code, group in _mixed(keys, "common neighbors"):
        if set.intersection(*(set(around[other]) for other in group)) != {code}:
            continue
        if len(group) == 3 and any(set(around[a]) & set(around[b]) == {code} for a, b in combinations(group, 2)):
            continue  # two of the three would do
        form = ("both", *(("neighbors", _entry(world, other)) for other in group))
        names = [with_article(world.names[other]) for other in group]
        together = f"both {listed(names, 'and')}" if len(group) == 2 else listed(names, "and")
        template = pick(_BOTH, form)
        if len(group) == 2:
            template = template.replace("{All} all have", "{All} both have").replace(
                "{All}", sentence(listed(names, "and"))
            )
        prompt = template.format(all=together, All=sentence(together))
        steps = tuple(_all_neighbors(world, other) for other in group)
        yield Draft(
            "intersection",
            f"neighbor of {len(group)}",
            form,
            prompt,
            _country(world, code),
            steps,
            code,
            frozenset({code}),
        )


def _fitting_neighbors(world: World) -> Iterator[Draft]:
    for code in _mixed(world.states, "fitting neighbors"):
        others = _neighbors(world, code)
        if len(others) < 2:
            continue
        fitting = [each for each in properties(world, others) if len(each.having) == 1]
        for each in _mixed(fitting, f"fitting {code}")[:5]:
            found = each.having[0]
            form = ("having", *each.condition, ("neighbors", _entry(world, code)))
            x = with_article(world.names[code])
            prompt = sentence(pick(_NEIGHBOR_WITH, form).format(x=x, has=each.singular))
            fact = next(fact for fact in each.facts if fact.code == found)
            steps = (_all_neighbors(world, code), fact_step(world, fact))
            relation = f"neighbor with {each.attribute}"
            yield Draft(
                "intersection", relation, form, prompt, _country(world, found), steps, found, frozenset({found})
            )


def _common_partners(world: World) -> Iterator[Draft]:
    trade = {code: partners for code in world.states if (partners := _partners(world, code))}
    pairs = [(code, code) for code in trade] + list(combinations(sorted(trade), 2))
    for one, other in _mixed(pairs, "common partners"):
        fact, codes = trade[one]
        if one == other:
            common = set(codes) & set(_neighbors(world, one))
            form: tuple[object, ...] = (
                "both",
                ("export partners", _entry(world, one)),
                ("neighbors", _entry(world, one)),
            )
            steps = (_all_partners(world, fact), _all_neighbors(world, one)) if _neighbors(world, one) else ()
            options, relation = _PARTNER_NEIGHBOR, "neighbor and partner"
        else:
            second, more = trade[other]
            common = set(codes) & set(more) if second.year == fact.year else set()
            form = ("both", ("export partners", _entry(world, one)), ("export partners", _entry(world, other)))
            steps = (_all_partners(world, fact), _all_partners(world, second))
            options, relation = _PARTNER_BOTH, "partner of 2"
        if len(common) != 1 or not steps:
            continue
        found = next(iter(common))
        x, y = with_article(world.names[one]), with_article(world.names[other])
        prompt = sentence(pick(options, form).format(x=x, X=sentence(x), y=y, year=fact.year))
        yield Draft("intersection", relation, form, prompt, _country(world, found), steps, found, frozenset({found}))


def superlatives(world: World, describer: Describer) -> Iterator[Draft]:
    """Questions for the first by some figure among neighbors or partners, in a stable mixed order."""
    sources = (
        _extreme_neighbors(world, describer),
        _extreme_partners(world),
        _facts_of_extremes(world),
        _extreme_borders(world),
    )
    for draft in _mixed_drafts(*sources):
        if _fine(world, draft):
            yield draft


def _directed(world: World, codes: Iterable[str], salt: str) -> list[tuple[str, str, bool]]:
    return _mixed([(code, key, most) for code in codes for key in MEASURES for most in (True, False)], salt)


def _extreme_neighbors(world: World, describer: Describer) -> Iterator[Draft]:
    for code, key, most in _directed(world, world.states, "extreme neighbors"):
        others = _neighbors(world, code)
        facts = ranked(world, others, key, most=most) if 3 <= len(others) <= MOST_FACTS - 1 else None
        if facts is None:
            continue
        noun = named(world, code)
        if len(others) + 2 <= MOST_FACTS and pick(("named", "described"), code, key, most) == "described":
            noun = _described(describer, code, key) or noun
        form = ("most" if most else "least", key, ("neighbors", noun.form))
        prompt = words(pick(_SUPERLATIVE, form), key, most=most, year=facts[0].year, x=noun.text)
        steps = (
            *noun.steps,
            _all_neighbors(world, code),
            *(fact_step(world, world.facts[other, key]) for other in others),
        )
        hidden = noun.hidden | frozenset(others)
        relation = f"{key} {'+' if most else '-'}"
        yield Draft("superlative", relation, form, prompt, _country(world, facts[0].code), steps, code, hidden)


def _described(describer: Describer, code: str, salt: str) -> Noun | None:
    nouns = (describer.noun(code, key) for key in _mixed(DESCRIBE, f"describe {code} {salt}"))
    return next((noun for noun in nouns if noun is not None), None)


def _extreme_partners(world: World) -> Iterator[Draft]:
    for code, key, most in _directed(world, world.states, "extreme partners"):
        partners = _partners(world, code)
        facts = ranked(world, partners[1], key, most=most) if partners else None
        if facts is None or partners is None:
            continue
        form = ("most" if most else "least", key, ("export partners", _entry(world, code)))
        template = pick(_PARTNER_SUPERLATIVE, form).replace("{year}", str(partners[0].year))
        prompt = words(template, key, most=most, year=facts[0].year, x=with_article(world.names[code]))
        steps = (
            _all_partners(world, partners[0]),
            *(fact_step(world, world.facts[other, key]) for other in partners[1]),
        )
        answers, hidden = _country(world, facts[0].code), frozenset(partners[1])
        yield Draft("superlative", f"partner {key} {'+' if most else '-'}", form, prompt, answers, steps, code, hidden)


def _facts_of_extremes(world: World) -> Iterator[Draft]:
    asked = (
        "capital",
        "currency",
        "highest point",
        "internet code",
        "anthem",
        "head of government",
        "holiday",
        "time zone",
    )
    for code, key, most in _directed(world, world.states, "facts of extremes"):
        others = _neighbors(world, code)
        facts = ranked(world, others, key, most=most) if 3 <= len(others) <= MOST_FACTS - 2 else None
        attribute = pick(asked, code, key, most)
        fact = world.fact(facts[0].code, attribute) if facts else None
        if facts is None or fact is None:
            continue
        among = ("most" if most else "least", key, ("neighbors", _entry(world, code)))
        form = ("value", attribute, among)
        x = words(pick(_SUPERLATIVE_NOUN, form), key, most=most, year=facts[0].year, x=with_article(world.names[code]))
        ask = pick([each for each in last_slot(ASK[attribute]) if each.endswith(("{x}?", "{x}."))], form)
        prompt = sentence(ask.format(x=x[0].lower() + x[1:], year=fact.year))
        steps = (
            _all_neighbors(world, code),
            *(fact_step(world, world.facts[other, key]) for other in others),
            fact_step(world, fact),
        )
        hidden = frozenset(others)
        yield Draft(
            "superlative", f"{attribute} of extreme", form, prompt, answers_of(world, fact), steps, code, hidden
        )


def _extreme_borders(world: World) -> Iterator[Draft]:
    borders = world.borders
    for code, most in _mixed([(code, most) for code in world.states for most in (True, False)], "extreme borders"):
        others = _neighbors(world, code)
        if len(others) < 3 or not all((code, other) in borders.lengths for other in others):
            continue
        order = sorted(others, key=lambda other: borders.km(code, other), reverse=most)
        first, second = borders.km(code, order[0]), borders.km(code, order[1])
        if max(first, second) < (1 + LONGEST_GAP) * min(first, second):
            continue
        form = ("longest" if most else "shortest", _entry(world, code))
        est = "longest" if most else "shortest"
        prompt = sentence(pick(_BORDER_SUPERLATIVE, form).format(x=with_article(world.names[code]), est=est))
        step = border_step(world, code, f"{world.names[order[0]]} {borders.lengths[code, order[0]]} km")
        yield Draft("superlative", f"{est} border", form, prompt, _country(world, order[0]), (step,), code)


def counts(world: World, describer: Describer) -> Iterator[Draft]:
    """Questions for a number of countries, in a stable mixed order."""
    sources = (
        _count_having(world),
        _count_neighbors(world, describer),
        _count_having(world, "again"),
        _count_common(world),
        _count_partners(world),
    )
    for draft in _mixed_drafts(*sources):
        if not leaks(world, draft.prompt, draft.hidden) and not _says_number(draft):
            yield draft


def _says_number(draft: Draft) -> bool:
    """Whether the answer stands in the question as a number or a word ("more than 3", "the five largest")."""
    return any(f" {answer} " in f" {normalise(draft.prompt)} " for answer in draft.answers)


def _count(
    relation: str,
    number: int,
    form: tuple[object, ...],
    prompt: str,
    steps: tuple[Step, ...],
    group: str,
    hidden: Iterable[str],
) -> Draft:
    answers: tuple[str, ...] = (str(number), *_NUMBER_WORDS[number : number + 1])
    return Draft("count", relation, ("size", form), sentence(prompt), answers, steps, group, frozenset(hidden))


def _count_neighbors(world: World, describer: Describer) -> Iterator[Draft]:
    for code, described in _mixed([(code, flag) for code in world.states for flag in (True, False)], "count neighbors"):
        others = _neighbors(world, code)
        noun = _described(describer, code, "count") if described else named(world, code)
        if len(others) < 2 or noun is None:
            continue
        form = ("neighbors", noun.form)
        prompt = pick(last_slot(_COUNT) if described else _COUNT, form).format(x=noun.text)
        steps = (*noun.steps, _all_neighbors(world, code))
        yield _count("neighbors", len(others), form, prompt, steps, code, noun.hidden)


def _count_having(world: World, salt: str = "") -> Iterator[Draft]:
    for code in _mixed(world.states, f"count having {salt}"):
        others = _neighbors(world, code)
        if not 3 <= len(others) <= MOST_FACTS - 1:
            continue
        telling = [
            each for each in properties(world, others) if "is" in each.condition or set(each.having) < set(others)
        ]
        for each in _mixed(telling, f"count {code} {salt}")[:6]:
            form = ("having", *each.condition, ("neighbors", _entry(world, code)))
            prompt = pick(_COUNT_WITH, form).format(x=with_article(world.names[code]), have=each.plural)
            steps = (_all_neighbors(world, code), *(fact_step(world, fact) for fact in each.facts))
            yield _count(f"neighbors with {each.attribute}", len(each.having), form, prompt, steps, code, others)


def _count_common(world: World) -> Iterator[Draft]:
    around = {code: _neighbors(world, code) for code in world.states}
    pairs = [pair for pair in combinations(world.states, 2) if set(around[pair[0]]) & set(around[pair[1]])]
    for one, other in _mixed(pairs, "count common"):
        common = set(around[one]) & set(around[other])
        form = ("both", ("neighbors", _entry(world, one)), ("neighbors", _entry(world, other)))
        x, y = with_article(world.names[one]), with_article(world.names[other])
        prompt = pick(_COUNT_BOTH, form).format(x=x, X=sentence(x), y=y)
        steps = (_all_neighbors(world, one), _all_neighbors(world, other))
        yield _count("common neighbors", len(common), form, prompt, steps, one, common)


def _count_partners(world: World) -> Iterator[Draft]:
    trade = {code: partners for code in world.states if (partners := _partners(world, code))}
    pairs = [(code, code) for code in trade] + _mixed(combinations(sorted(trade), 2), "trade")[:2000]
    for one, other in _mixed(pairs, "count partners"):
        fact, codes = trade[one]
        x, y = with_article(world.names[one]), with_article(world.names[other])
        if one == other:
            if not _neighbors(world, one):
                continue
            common = set(codes) & set(_neighbors(world, one))
            if not common:
                continue  # mostly so, which could be guessed
            form = ("both", ("export partners", _entry(world, one)), ("neighbors", _entry(world, one)))
            prompt = pick(_COUNT_PARTNERS, form).format(x=x, year=fact.year)
            steps: tuple[Step, ...] = (_all_partners(world, fact), _all_neighbors(world, one))
            yield _count("neighbors and partners", len(common), form, prompt, steps, one, common)
            continue
        second, more = trade[other]
        common = set(codes) & set(more)
        if second.year != fact.year or not common:
            continue
        form = ("both", ("export partners", _entry(world, one)), ("export partners", _entry(world, other)))
        prompt = pick(_COUNT_SHARED, form).format(x=x, y=y, year=fact.year)
        steps = (_all_partners(world, fact), _all_partners(world, second))
        yield _count("shared partners", len(common), form, prompt, steps, one, common - {one, other})
