"""Figures by which countries can be compared, and the words for more and less of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from palaestra.envs.search.factbook.facts import Fact
from palaestra.envs.search.factbook.world import World

__all__ = ["GAP", "MEASURES", "Measure", "ranked"]

GAP = 0.1
"""The first must exceed the second by this share of the second, so that a newer figure hardly turns the order."""


@dataclass(frozen=True, slots=True)
class Measure:
    """How a figure is spoken of.

    Attributes:
        noun: "total area".
        more: Comparative and superlative of more ("larger", "largest").
        less: Comparative and superlative of less.
    """

    noun: str
    more: tuple[str, str]
    less: tuple[str, str]


_SIZE = (("larger", "largest"), ("smaller", "smallest"))
_HEIGHT = (("higher", "highest"), ("lower", "lowest"))
_LENGTH = (("longer", "longest"), ("shorter", "shortest"))

MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "area": Measure("total area", *_SIZE),
        "population": Measure("population", *_SIZE),
        "coastline": Measure("coastline", *_LENGTH),
        "land boundaries": Measure("total length of land borders", ("greater", "greatest"), ("smaller", "smallest")),
        "peak height": Measure("maximum elevation", *_HEIGHT),
        "mean elevation": Measure("mean elevation", *_HEIGHT),
        "median age": Measure("median age", *_HEIGHT),
        "fertility": Measure("total fertility rate", *_HEIGHT),
        "urban share": Measure("urban share of the population", *_SIZE),
        "forest": Measure("share of forest in its land", *_SIZE),
        "farmland": Measure("share of agricultural land", *_SIZE),
        "physicians": Measure("number of physicians per 1,000 people", *_HEIGHT),
        "internet users": Measure("share of internet users in the population", *_SIZE),
        "gdp": Measure("GDP at the official exchange rate", *_SIZE),
        "gdp per head": Measure("real GDP per capita", *_HEIGHT),
        "inflation": Measure("inflation rate", *_HEIGHT),
        "unemployment": Measure("unemployment rate", *_HEIGHT),
        "airports": Measure("number of airports", *_SIZE),
        "heliports": Measure("number of heliports", *_SIZE),
        "ports": Measure("total number of ports", *_SIZE),
        "ships": Measure("number of ships in its merchant marine", *_SIZE),
    }
)


def ranked(world: World, codes: Sequence[str], measure: str, *, most: bool) -> list[Fact] | None:
    """The facts of all the countries, the winner first, or None where the winner is not beyond doubt.

    Needed: a positive figure for every country, of the same year, and a gap of `GAP` between the first and the
    second.
    """
    facts = [world.fact(code, measure) for code in codes]
    known = [fact for fact in facts if fact is not None and fact.number is not None and fact.number > 0]
    if len(known) != len(codes) or len({fact.year for fact in known}) > 1:
        return None
    known.sort(key=lambda fact: fact.number or 0.0, reverse=most)
    first, second = known[0].number or 0.0, known[1].number or 0.0
    high, low = (first, second) if most else (second, first)
    return known if high >= (1 + GAP) * low else None
