"""Questions for the first of a set by some figure: `superlative`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from palaestra.envs.search.factbook.asking import ASK
from palaestra.envs.search.factbook.chains import answers_of
from palaestra.envs.search.factbook.comparisons import words
from palaestra.envs.search.factbook.drafts import (
    LONGEST_GAP,
    Describer,
    Draft,
    border_step,
    fact_step,
    named,
)
from palaestra.envs.search.factbook.english import last_slot, pick, sentence
from palaestra.envs.search.factbook.measures import MEASURES, ranked
from palaestra.envs.search.factbook.members import (
    MOST_FACTS,
    all_neighbors,
    all_partners,
    country_answers,
    described,
    entry,
    fine,
    in_turn,
    mixed,
    neighbors_of,
    partners_of,
)
from palaestra.envs.search.factbook.names import with_article
from palaestra.envs.search.factbook.world import World

__all__ = ["superlatives"]

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


def superlatives(world: World, describer: Describer) -> Iterator[Draft]:
    """Questions for the first by some figure among neighbors or partners, in a stable mixed order."""
    sources = (
        _extreme_neighbors(world, describer),
        _extreme_partners(world),
        _facts_of_extremes(world),
        _extreme_borders(world),
    )
    for draft in in_turn(*sources):
        if fine(world, draft):
            yield draft


def _directed(world: World, codes: Iterable[str], salt: str) -> list[tuple[str, str, bool]]:
    return mixed([(code, key, most) for code in codes for key in MEASURES for most in (True, False)], salt)


def _extreme_neighbors(world: World, describer: Describer) -> Iterator[Draft]:
    for code, key, most in _directed(world, world.states, "extreme neighbors"):
        others = neighbors_of(world, code)
        facts = ranked(world, others, key, most=most) if 3 <= len(others) <= MOST_FACTS - 1 else None
        if facts is None:
            continue
        noun = named(world, code)
        if len(others) + 2 <= MOST_FACTS and pick(("named", "described"), code, key, most) == "described":
            noun = described(describer, code, key) or noun
        form = ("most" if most else "least", key, ("neighbors", noun.form))
        prompt = words(pick(_SUPERLATIVE, form), key, most=most, year=facts[0].year, x=noun.text)
        steps = (
            *noun.steps,
            all_neighbors(world, code),
            *(fact_step(world, world.facts[other, key]) for other in others),
        )
        hidden = noun.hidden | frozenset(others)
        relation = f"{key} {'+' if most else '-'}"
        yield Draft("superlative", relation, form, prompt, country_answers(world, facts[0].code), steps, code, hidden)


def _extreme_partners(world: World) -> Iterator[Draft]:
    for code, key, most in _directed(world, world.states, "extreme partners"):
        partners = partners_of(world, code)
        facts = ranked(world, partners[1], key, most=most) if partners else None
        if facts is None or partners is None:
            continue
        form = ("most" if most else "least", key, ("export partners", entry(world, code)))
        template = pick(_PARTNER_SUPERLATIVE, form).replace("{year}", str(partners[0].year))
        prompt = words(template, key, most=most, year=facts[0].year, x=with_article(world.names[code]))
        steps = (
            all_partners(world, partners[0]),
            *(fact_step(world, world.facts[other, key]) for other in partners[1]),
        )
        answers, hidden = country_answers(world, facts[0].code), frozenset(partners[1])
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
        others = neighbors_of(world, code)
        facts = ranked(world, others, key, most=most) if 3 <= len(others) <= MOST_FACTS - 2 else None
        attribute = pick(asked, code, key, most)
        fact = world.fact(facts[0].code, attribute) if facts else None
        if facts is None or fact is None:
            continue
        among = ("most" if most else "least", key, ("neighbors", entry(world, code)))
        form = ("value", attribute, among)
        x = words(pick(_SUPERLATIVE_NOUN, form), key, most=most, year=facts[0].year, x=with_article(world.names[code]))
        ask = pick([each for each in last_slot(ASK[attribute]) if each.endswith(("{x}?", "{x}."))], form)
        prompt = sentence(ask.format(x=x[0].lower() + x[1:], year=fact.year))
        steps = (
            all_neighbors(world, code),
            *(fact_step(world, world.facts[other, key]) for other in others),
            fact_step(world, fact),
        )
        hidden = frozenset(others)
        yield Draft(
            "superlative", f"{attribute} of extreme", form, prompt, answers_of(world, fact), steps, code, hidden
        )


def _extreme_borders(world: World) -> Iterator[Draft]:
    borders = world.borders
    for code, most in mixed([(code, most) for code in world.states for most in (True, False)], "extreme borders"):
        others = neighbors_of(world, code)
        if len(others) < 3 or not all((code, other) in borders.lengths for other in others):
            continue
        order = sorted(others, key=lambda other: borders.km(code, other), reverse=most)
        first, second = borders.km(code, order[0]), borders.km(code, order[1])
        if max(first, second) < (1 + LONGEST_GAP) * min(first, second):
            continue
        form = ("longest" if most else "shortest", entry(world, code))
        est = "longest" if most else "shortest"
        prompt = sentence(pick(_BORDER_SUPERLATIVE, form).format(x=with_article(world.names[code]), est=est))
        step = border_step(world, code, f"{world.names[order[0]]} {borders.lengths[code, order[0]]} km")
        yield Draft("superlative", f"{est} border", form, prompt, country_answers(world, order[0]), (step,), code)
