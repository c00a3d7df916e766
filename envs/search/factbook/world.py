"""Everything the questions are made from, in one place: entries, facts, borders, names."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from palaestra.envs.search.factbook.borders import Borders, read_borders
from palaestra.envs.search.factbook.facts import Fact, read_facts
from palaestra.envs.search.factbook.names import MENTIONS, fold, normalise, plain, slug
from palaestra.envs.search.factbook.passages import Corpus, Path
from palaestra.envs.search.factbook.source import Entry

__all__ = ["BORDERS", "World", "read_world"]

BORDERS: Path = ("Geography", "Land boundaries", "border countries")

_EXTRA_ALIASES: Mapping[str, tuple[str, ...]] = {
    "ae": ("Emirates",),
    "bm": ("Myanmar",),
    "bx": ("Brunei Darussalam",),
    "cf": ("Congo-Brazzaville", "Congo Republic", "Republic of Congo"),
    "cg": ("Congo-Kinshasa", "DR Congo", "Democratic Republic of Congo", "DRC"),
    "cv": ("Cape Verde",),
    "ez": ("Czech Republic",),
    "iv": ("Ivory Coast",),
    "kn": ("DPRK", "Korea, North"),
    "ks": ("Republic of Korea", "Korea, South"),
    "mk": ("Macedonia",),
    "rs": ("Russian Federation",),
    "tp": ("São Tomé and Príncipe",),
    "tt": ("East Timor",),
    "tu": ("Türkiye",),
    "uk": ("Great Britain", "Britain"),
    "us": ("USA", "U.S.", "U.S.A.", "America"),
    "vt": ("Holy See", "Holy See (Vatican City)", "Vatican"),
    "wz": ("Swaziland",),
}


@dataclass(frozen=True, slots=True)
class World:
    """The facts behind the questions.

    Attributes:
        corpus: The passages, and each field's text and place.
        names: Entry -> its name without an article.
        codes: Name, as the Factbook's lists print it -> entry.
        aliases: Entry -> other names that are its alone.
        places: The states and territories where people live, sorted by code.
        states: The sovereign states among them, sorted by code.
        facts: (entry, attribute) -> fact.
        borders: The land borders.
        stems: Entry -> beginnings of words that would give it away.
        taken: Attribute -> the answers that its facts give, in SQuAD's normal form.
    """

    corpus: Corpus
    names: Mapping[str, str]
    codes: Mapping[str, str]
    aliases: Mapping[str, tuple[str, ...]]
    places: tuple[str, ...]
    states: tuple[str, ...]
    facts: Mapping[tuple[str, str], Fact]
    borders: Borders
    stems: Mapping[str, frozenset[str]]
    taken: Mapping[str, frozenset[str]]

    def group(self, code: str) -> str:
        """The name of the group of tasks that an entry stands for ("cote-d-ivoire")."""
        return slug(self.names[code])

    def fact(self, code: str, attribute: str) -> Fact | None:
        """The fact, if it is known."""
        return self.facts.get((code, attribute))

    def border_passage(self, code: str) -> str | None:
        """The passage that lists the neighbors of an entry, if one holds the whole list."""
        return self.corpus.place.get((code, BORDERS))


def _names_of(entry: Entry) -> list[str]:
    """Names that the entry gives itself, in the order of the text."""
    given = entry.data.get("Government", {}).get("Country name", {})
    found = []
    for key in (
        "conventional short form",
        "conventional long form",
        "local short form",
        "local long form",
        "abbreviation",
    ):
        text = re.sub(r"<[^<>]*>", "", html.unescape(given.get(key, {}).get("text", "none")))
        for part in re.split(r"/ ?| or ", re.sub(r" ?\([^()]*\)", "", text)):
            if part.strip() not in ("", "none") and not re.search(r"[;,]", part):
                found.append(part.strip())
    return found


def _aliases(entries: Sequence[Entry]) -> dict[str, tuple[str, ...]]:
    owners: dict[str, set[str]] = {}
    names: dict[str, list[str]] = {}
    for entry in entries:
        own = [entry.name, *_names_of(entry), *_EXTRA_ALIASES.get(entry.code, ())]
        own += [mention for mention, code in MENTIONS.items() if code == entry.code]
        own += [fold(name) for name in own]
        names[entry.code] = own
        for name in own:
            owners.setdefault(normalise(name), set()).add(entry.code)
    result = {}
    for entry in entries:
        kept: dict[str, str] = {normalise(entry.name): entry.name}
        for name in names[entry.code]:
            key = normalise(name)
            if len(key) > 1 and key != "congo" and owners[key] == {entry.code}:
                kept.setdefault(key, name)
        result[entry.code] = tuple(name for name in kept.values() if name != entry.name)
    return result


def read_world(entries: Sequence[Entry], corpus: Corpus) -> World:
    """Reads the facts of all entries."""
    names = {entry.code: entry.name for entry in entries}
    codes = {name: code for code, name in names.items()}
    codes |= {f"The {name}": code for code, name in names.items()}
    codes |= {fold(name): code for code, name in names.items()}
    codes |= MENTIONS
    facts = read_facts(corpus)
    governments = {entry.code: entry.data.get("Government", {}) for entry in entries}
    places = tuple(
        sorted(
            entry.code
            for entry in entries
            if entry.region != "world" and entry.code != "ee" and (entry.code, "population") in facts
        )
    )
    states = tuple(
        code for code in places if "Dependency status" not in governments[code] and "Independence" in governments[code]
    )
    borders = read_borders(
        {code: text for (code, path), text in corpus.text.items() if path == BORDERS},
        {code: fact.number or 0.0 for (code, key), fact in facts.items() if key == "land boundaries"},
        codes,
    )
    aliases = _aliases(entries)
    stems = {code: _stems(names[code], *aliases[code], facts.get((code, "adjective"))) for code in names}
    taken: dict[str, set[str]] = {}
    for (_, key), fact in facts.items():
        taken.setdefault(key, set()).add(normalise(fact.answer))
    frozen = {key: frozenset(values) for key, values in taken.items()}
    return World(corpus, names, codes, aliases, places, states, facts, borders, stems, frozen)


_COMMON = frozenset(
    """republic islands island united states north south east west new saint democratic federated central african
    guinea and the of papua country state kingdom western equatorial""".split()  # noqa: SIM905
)


def _stems(*words: str | Fact | None) -> frozenset[str]:
    texts = [word.answer if isinstance(word, Fact) else word for word in words if word is not None]
    return frozenset(
        word[:5] for text in texts for word in plain(text).split() if len(word) >= 4 and word not in _COMMON
    )
