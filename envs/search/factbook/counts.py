"""Questions for a number of countries: `count`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations

from palaestra.envs.search.factbook.drafts import (
    Describer,
    Draft,
    Step,
    fact_step,
    leaks,
    named,
)
from palaestra.envs.search.factbook.english import last_slot, pick, sentence
from palaestra.envs.search.factbook.members import (
    MOST_FACTS,
    all_neighbors,
    all_partners,
    described,
    entry,
    in_turn,
    mixed,
    neighbors_of,
    partners_of,
)
from palaestra.envs.search.factbook.names import normalise, with_article
from palaestra.envs.search.factbook.properties import properties
from palaestra.envs.search.factbook.world import World

__all__ = ["counts"]

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


def counts(world: World, describer: Describer) -> Iterator[Draft]:
    """Questions for a number of countries, in a stable mixed order."""
    sources = (
        _count_having(world),
        _count_neighbors(world, describer),
        _count_having(world, "again"),
        _count_common(world),
        _count_partners(world),
    )
    for draft in in_turn(*sources):
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
    for code, by_fact in mixed([(code, flag) for code in world.states for flag in (True, False)], "count neighbors"):
        others = neighbors_of(world, code)
        noun = described(describer, code, "count") if by_fact else named(world, code)
        if len(others) < 2 or noun is None:
            continue
        form = ("neighbors", noun.form)
        prompt = pick(last_slot(_COUNT) if by_fact else _COUNT, form).format(x=noun.text)
        steps = (*noun.steps, all_neighbors(world, code))
        yield _count("neighbors", len(others), form, prompt, steps, code, noun.hidden)


def _count_having(world: World, salt: str = "") -> Iterator[Draft]:
    for code in mixed(world.states, f"count having {salt}"):
        others = neighbors_of(world, code)
        if not 3 <= len(others) <= MOST_FACTS - 1:
            continue
        telling = [
            each for each in properties(world, others) if "is" in each.condition or set(each.having) < set(others)
        ]
        for each in mixed(telling, f"count {code} {salt}")[:6]:
            form = ("having", *each.condition, ("neighbors", entry(world, code)))
            prompt = pick(_COUNT_WITH, form).format(x=with_article(world.names[code]), have=each.plural)
            steps = (all_neighbors(world, code), *(fact_step(world, fact) for fact in each.facts))
            yield _count(f"neighbors with {each.attribute}", len(each.having), form, prompt, steps, code, others)


def _count_common(world: World) -> Iterator[Draft]:
    around = {code: neighbors_of(world, code) for code in world.states}
    pairs = [pair for pair in combinations(world.states, 2) if set(around[pair[0]]) & set(around[pair[1]])]
    for one, other in mixed(pairs, "count common"):
        common = set(around[one]) & set(around[other])
        form = ("both", ("neighbors", entry(world, one)), ("neighbors", entry(world, other)))
        x, y = with_article(world.names[one]), with_article(world.names[other])
        prompt = pick(_COUNT_BOTH, form).format(x=x, X=sentence(x), y=y)
        steps = (all_neighbors(world, one), all_neighbors(world, other))
        yield _count("common neighbors", len(common), form, prompt, steps, one, common)


def _count_partners(world: World) -> Iterator[Draft]:
    trade = {code: partners for code in world.states if (partners := partners_of(world, code))}
    pairs = [(code, code) for code in trade] + mixed(combinations(sorted(trade), 2), "trade")[:2000]
    for one, other in mixed(pairs, "count partners"):
        fact, codes = trade[one]
        x, y = with_article(world.names[one]), with_article(world.names[other])
        if one == other:
            if not neighbors_of(world, one):
                continue
            common = set(codes) & set(neighbors_of(world, one))
            if not common:
                continue  # mostly so, which could be guessed
            form = ("both", ("export partners", entry(world, one)), ("neighbors", entry(world, one)))
            prompt = pick(_COUNT_PARTNERS, form).format(x=x, year=fact.year)
            steps: tuple[Step, ...] = (all_partners(world, fact), all_neighbors(world, one))
            yield _count("neighbors and partners", len(common), form, prompt, steps, one, common)
            continue
        second, more = trade[other]
        common = set(codes) & set(more)
        if second.year != fact.year or not common:
            continue
        form = ("both", ("export partners", entry(world, one)), ("export partners", entry(world, other)))
        prompt = pick(_COUNT_SHARED, form).format(x=x, y=y, year=fact.year)
        steps = (all_partners(world, fact), all_partners(world, second))
        yield _count("shared partners", len(common), form, prompt, steps, one, common - {one, other})
