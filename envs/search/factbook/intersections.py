"""Questions for the only country that meets two or three conditions: `intersection`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from palaestra.envs.search.factbook.drafts import (
    Draft,
    fact_step,
)
from palaestra.envs.search.factbook.english import listed, pick, sentence
from palaestra.envs.search.factbook.members import (
    all_neighbors,
    all_partners,
    country_answers,
    entry,
    fine,
    in_turn,
    mixed,
    neighbors_of,
    partners_of,
)
from palaestra.envs.search.factbook.names import with_article
from palaestra.envs.search.factbook.properties import properties
from palaestra.envs.search.factbook.world import World

__all__ = ["intersections"]

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


def intersections(world: World) -> Iterator[Draft]:
    """Questions for the only country that meets two or three conditions, in a stable mixed order."""
    for draft in in_turn(_common_neighbors(world), _fitting_neighbors(world), _common_partners(world)):
        if fine(world, draft):
            yield draft


def _common_neighbors(world: World) -> Iterator[Draft]:
    around = {code: neighbors_of(world, code) for code in world.states}
    keys = [
        (code, group)
        for code in world.states
        for size in (2, 3)
        for group in combinations([other for other in around[code] if around[other]], size)
    ]
    for code, group in mixed(keys, "common neighbors"):
        if set.intersection(*(set(around[other]) for other in group)) != {code}:
            continue
        if len(group) == 3 and any(set(around[a]) & set(around[b]) == {code} for a, b in combinations(group, 2)):
            continue  # two of the three would do
        form = ("both", *(("neighbors", entry(world, other)) for other in group))
        names = [with_article(world.names[other]) for other in group]
        together = f"both {listed(names, 'and')}" if len(group) == 2 else listed(names, "and")
        template = pick(_BOTH, form)
        if len(group) == 2:
            template = template.replace("{All} all have", "{All} both have").replace(
                "{All}", sentence(listed(names, "and"))
            )
        prompt = template.format(all=together, All=sentence(together))
        steps = tuple(all_neighbors(world, other) for other in group)
        yield Draft(
            "intersection",
            f"neighbor of {len(group)}",
            form,
            prompt,
            country_answers(world, code),
            steps,
            code,
            frozenset({code}),
        )


def _fitting_neighbors(world: World) -> Iterator[Draft]:
    for code in mixed(world.states, "fitting neighbors"):
        others = neighbors_of(world, code)
        if len(others) < 2:
            continue
        fitting = [each for each in properties(world, others) if len(each.having) == 1]
        for each in mixed(fitting, f"fitting {code}")[:5]:
            found = each.having[0]
            form = ("having", *each.condition, ("neighbors", entry(world, code)))
            x = with_article(world.names[code])
            prompt = sentence(pick(_NEIGHBOR_WITH, form).format(x=x, has=each.singular))
            fact = next(fact for fact in each.facts if fact.code == found)
            steps = (all_neighbors(world, code), fact_step(world, fact))
            relation = f"neighbor with {each.attribute}"
            yield Draft(
                "intersection", relation, form, prompt, country_answers(world, found), steps, found, frozenset({found})
            )


def _common_partners(world: World) -> Iterator[Draft]:
    trade = {code: partners for code in world.states if (partners := partners_of(world, code))}
    pairs = [(code, code) for code in trade] + list(combinations(sorted(trade), 2))
    for one, other in mixed(pairs, "common partners"):
        fact, codes = trade[one]
        if one == other:
            common = set(codes) & set(neighbors_of(world, one))
            form: tuple[object, ...] = (
                "both",
                ("export partners", entry(world, one)),
                ("neighbors", entry(world, one)),
            )
            steps = (all_partners(world, fact), all_neighbors(world, one)) if neighbors_of(world, one) else ()
            options, relation = _PARTNER_NEIGHBOR, "neighbor and partner"
        else:
            second, more = trade[other]
            common = set(codes) & set(more) if second.year == fact.year else set()
            form = ("both", ("export partners", entry(world, one)), ("export partners", entry(world, other)))
            steps = (all_partners(world, fact), all_partners(world, second))
            options, relation = _PARTNER_BOTH, "partner of 2"
        if len(common) != 1 or not steps:
            continue
        found = next(iter(common))
        x, y = with_article(world.names[one]), with_article(world.names[other])
        prompt = sentence(pick(options, form).format(x=x, X=sentence(x), y=y, year=fact.year))
        yield Draft(
            "intersection", relation, form, prompt, country_answers(world, found), steps, found, frozenset({found})
        )
