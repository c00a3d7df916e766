"""Questions that weigh two to four countries against one another: `comparison`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from palaestra.envs.search.factbook.drafts import Describer, Draft, Noun, fact_step, leaks, named
from palaestra.envs.search.factbook.english import DESCRIBE, listed, pick, sentence
from palaestra.envs.search.factbook.measures import MEASURES, ranked
from palaestra.envs.search.factbook.world import World
from palaestra.tasks import split_of

__all__ = ["comparisons"]

_TWO = (
    "Which had the {er} {noun}{when}, {either}?",
    "Of {both}, which had the {er} {noun}{when}?",
    "Which of the two had the {er} {noun}{when}: {either}?",
    "Comparing {both}, which one had the {er} {noun}{when}?",
    "Between {both}, which country had the {er} {noun}{when}?",
)
_MORE = (
    "Which of these countries had the {est} {noun}{when}: {either}?",
    "Of {both}, which had the {est} {noun}{when}?",
    "Among {both}, which country had the {est} {noun}{when}?",
    "Comparing {both}, which one had the {est} {noun}{when}?",
    "Which had the {est} {noun}{when}: {either}?",
)
_DESCRIBED = (
    "Which had the {er} {noun}{when}: {either}?",
    "Which country had the {er} {noun}{when}, {either}?",
    "Find out which had the {er} {noun}{when}: {either}. Which country is it?",
    "Name the country with the {er} {noun}{when}: {either}.",
)


def words(template: str, measure: str, *, most: bool, year: int | None, **slots: str) -> str:
    """A template with a measure's words in it, in the past tense where the figure is of a year."""
    spoken = MEASURES[measure]
    er, est = spoken.more if most else spoken.less
    if year is None:
        template = template.replace(" had ", " has ")
    when = f" in {year}" if year else ""
    return sentence(template.format(er=er, est=est, noun=spoken.noun, when=when, **slots))


def _draw(*key: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big")


def comparisons(world: World, describer: Describer, size: int, *, described: bool = False) -> Iterator[Draft]:
    """Questions that weigh `size` countries, in a stable mixed order.

    All candidates are in one split, so that an answer never gives itself away by being the one of its split. The
    winner's place among the candidates is dealt out in turn.

    Args:
        world: The facts.
        describer: Phrases for countries.
        size: Number of candidates, 2 to 4; exactly 2 where they are described.
        described: Whether the candidates are described by a fact of their own, not named.
    """
    pools = {
        split: [code for code in world.states if split_of(world.group(code)) == split]
        for split in ("train", "val", "test")
    }
    place = 0
    for n in range(100_000):
        pool = pools[("train", "test", "train", "val", "train", "test", "train", "train")[n % 8]]
        measure = sorted(MEASURES)[_draw("measure", size, described, n) % len(MEASURES)]
        codes = list(dict.fromkeys(pool[_draw("country", size, described, n, i) % len(pool)] for i in range(size)))
        most = _draw("direction", size, described, n) % 2 == 0
        facts = ranked(world, codes, measure, most=most) if len(codes) == size else None
        if facts is None:
            continue
        winner = facts[0].code
        codes = [fact.code for fact in facts[1:]]
        codes.insert(place % size, winner)
        nouns = [_described(describer, code, n) if described else named(world, code) for code in codes]
        known = [noun for noun in nouns if noun is not None]
        if len(known) < size:
            continue
        form = ("most" if most else "least", measure, ("among", *(noun.form for noun in known)))
        texts = [noun.text for noun in known]
        options = _DESCRIBED if described else _TWO if size == 2 else _MORE
        template = pick(options, form)
        prompt = words(
            template, measure, most=most, year=facts[0].year, either=listed(texts, "or"), both=listed(texts, "and")
        )
        if described and leaks(world, prompt, codes):
            continue
        steps = []
        for noun in known:
            fact = world.facts[noun.code, measure]
            steps += [*noun.steps, fact_step(world, fact)]
        place += 1
        yield Draft(
            "comparison",
            f"{measure} {'+' if most else '-'}",
            form,
            prompt,
            (world.names[winner], *world.aliases[winner]),
            tuple(steps),
            min(codes),
            frozenset(codes) if described else frozenset(),
            () if described else tuple(world.names[code] for code in codes),
        )


def _described(describer: Describer, code: str, n: int) -> Noun | None:
    keys = sorted(DESCRIBE)
    start = _draw("describe", code, n) % len(keys)
    for key in (*keys[start:], *keys[:start]):
        noun = describer.noun(code, key)
        if noun is not None:
            return noun
    return None
