"""What countries of a set may have in common, and which of them have it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from palaestra.envs.search.factbook.facts import Fact
from palaestra.envs.search.factbook.measures import GAP
from palaestra.envs.search.factbook.names import with_article
from palaestra.envs.search.factbook.world import World

__all__ = ["Property", "properties"]


@dataclass(frozen=True, slots=True)
class Property:
    """A property that every country of a set is known to have or not to have.

    Attributes:
        attribute: The attribute that decides.
        condition: The attribute, a comparison ("is" or "above") and a value, as forms hold them.
        plural: "are landlocked".
        singular: "is landlocked".
        facts: The facts of all the countries of the set, in the order of the set.
        having: The countries that have it.
    """

    attribute: str
    condition: tuple[str, str, str | float]
    plural: str
    singular: str
    facts: tuple[Fact, ...]
    having: tuple[str, ...]


_IS = {  # attribute -> plural and singular; {v}: the value, {year}: of the figures
    "government type": ('have the government type "{v}"', 'has the government type "{v}"'),
    "independent from": ("gained their independence from {v}", "gained its independence from {v}"),
    "currency": ("use the currency with the code {v}", "uses the currency with the code {v}"),
    "official language": ("have {v} as their official language", "has {v} as its official language"),
    "exports": (
        "had {v} as their top export commodity in {year}",
        "had {v} as its top export commodity in {year}",
    ),
    "imports": (
        "had {v} as their top import commodity in {year}",
        "had {v} as its top import commodity in {year}",
    ),
    "crops": (
        "had {v} as their top agricultural product by tonnage in {year}",
        "had {v} as its top agricultural product by tonnage in {year}",
    ),
    "export partners": ("had {v} as their top export partner in {year}", "had {v} as its top export partner in {year}"),
    "import partners": ("had {v} as their top import partner in {year}", "had {v} as its top import partner in {year}"),
}

_SHARED_MONEY = ("AUD", "EUR", "USD", "XAF", "XCD", "XOF")

_ABOVE = {  # attribute -> thresholds, plural, singular; {t}: the threshold
    "area": (
        (50e3, 100e3, 250e3, 500e3, 1e6),
        "have a total area of more than {t} square kilometers",
        "has a total area of more than {t} square kilometers",
    ),
    "peak height": (
        (1e3, 2e3, 3e3, 4e3, 5e3),
        "have a highest point above {t} meters",
        "has a highest point above {t} meters",
    ),
    "population": (
        (1e6, 5e6, 10e6, 20e6, 50e6),
        "had more than {t} inhabitants in {year}",
        "had more than {t} inhabitants in {year}",
    ),
    "median age": (
        (20, 25, 30, 35),
        "had a median age above {t} years in {year}",
        "had a median age above {t} years in {year}",
    ),
    "airports": ((20, 50, 100, 200), "had more than {t} airports in {year}", "had more than {t} airports in {year}"),
    "ports": ((2, 5, 10, 20), "had more than {t} ports in {year}", "had more than {t} ports in {year}"),
    "forest": (
        (10, 25, 40),
        "had forest on more than {t}% of their land in {year}",
        "had forest on more than {t}% of its land in {year}",
    ),
    "urban share": (
        (40, 60),
        "had more than {t}% of their population in urban areas in {year}",
        "had more than {t}% of its population in urban areas in {year}",
    ),
    "internet users": (
        (40, 70),
        "had more than {t}% of their population using the internet in {year}",
        "had more than {t}% of its population using the internet in {year}",
    ),
    "fertility": (
        (2, 3, 4),
        "had a total fertility rate above {t} children per woman in {year}",
        "had a total fertility rate above {t} children per woman in {year}",
    ),
}


def _value(world: World, fact: Fact) -> str:
    """The value by which a fact is put into a property."""
    if fact.attribute == "currency":
        return fact.items[0]
    code = (
        world.codes.get(fact.answer)
        if fact.attribute in ("export partners", "import partners", "independent from")
        else None
    )
    return world.names[code] if code else fact.answer


def properties(world: World, codes: Sequence[str]) -> Iterator[Property]:
    """Every property that is known of all the countries of a set, and that at least one of them has."""
    coasts = [world.fact(code, "coastline") for code in codes]
    known = [fact for fact in coasts if fact is not None]
    if len(known) == len(codes):
        inland = tuple(fact.code for fact in known if "landlocked" in fact.text)
        if inland:
            yield Property(
                "coastline", ("coastline", "is", 0.0), "are landlocked", "is landlocked", tuple(known), inland
            )
    for key, (plural, singular) in _IS.items():
        facts = [world.fact(code, key) for code in codes]
        known = [fact for fact in facts if fact is not None and fact.answer]
        if len(known) != len(codes) or len({fact.year for fact in known}) != 1:
            continue
        values = [_value(world, fact) for fact in known]
        for value in sorted(set(values)):
            if key == "currency" and value not in _SHARED_MONEY:
                continue  # a country's own currency would give it away
            code = world.codes.get(value) if key in ("independent from", "export partners", "import partners") else None
            if key in ("export partners", "import partners") and (code is None or code in codes):
                continue  # of a set of neighbors, the partner among them would be asked to trade with itself
            shown = with_article(world.names[code]) if code else f"the {value}" if value.endswith("Union") else value
            slots = {"v": shown, "year": known[0].year}
            having = tuple(fact.code for fact, own in zip(known, values, strict=True) if own == value)
            yield Property(
                key, (key, "is", value), plural.format(**slots), singular.format(**slots), tuple(known), having
            )
    for key, (limits, plural, singular) in _ABOVE.items():
        facts = [world.fact(code, key) for code in codes]
        known = [fact for fact in facts if fact is not None and fact.number is not None]
        if len(known) != len(codes) or len({fact.year for fact in known}) != 1:
            continue
        for limit in limits:
            if any(limit / (1 + GAP) < (fact.number or 0.0) < limit * (1 + GAP) for fact in known):
                continue
            having = tuple(fact.code for fact in known if (fact.number or 0.0) > limit)
            if having:
                slots = {"t": _spoken(limit), "year": known[0].year}
                condition = (key, "above", float(limit))
                yield Property(key, condition, plural.format(**slots), singular.format(**slots), tuple(known), having)


def _spoken(limit: float) -> str:
    return f"{limit / 1e6:g} million" if limit >= 1e6 else f"{limit:,.0f}"
