"""Names of persons, which the Factbook prints with the family name in capitals."""

from __future__ import annotations

import re

__all__ = ["PERSON", "person"]

_TITLES = (
    "President", "Prime Minister", "King", "Queen", "Emperor", "Sultan", "Amir", "Chancellor", "Federal Chancellor",
    "Premier", "Grand Duke", "Prince", "Governor", "Chief Minister", "Chief Executive", "Interim President",
    "Acting President", "Interim Prime Minister", "Acting Prime Minister", "Transitional President", "Taoiseach",
    "State President", "Captain Regent", "Minister of State", "Prime Minister Crown Prince",
)  # fmt: skip

PERSON = (
    rf"(?P<title>{'|'.join(sorted(_TITLES, key=len, reverse=True))}) "
    r"(?P<name>(?=[^()]*[^\W\d_a-z]{3})(?![^A-ZÀ-Þ])[^()\d;,:]+?(?:, Jr\.)?) \(since (?:\d{1,2} )?(?:\w+ )?\d{4}\)"
)
"""Pattern of an office holder: title, name with at least three capitals in a row, and since when."""


def _ordinary(word: str, first: bool = False) -> str:
    """A word of a name in ordinary case ("TINUBU" -> "Tinubu", "al-BASHIR" -> "al-Bashir"; "III" and "J." stay)."""

    def piece(match: re.Match[str]) -> str:
        shouted = match[0].isupper() and len(match[0]) > 1
        return match[0].capitalize() if shouted and (first or not re.fullmatch(r"[IVX]+", match[0])) else match[0]

    return re.sub(r"[^\W\d_]+", piece, word)


def person(match: re.Match[str]) -> dict[str, object]:
    """The parts of a fact about a person: the name in ordinary case, and its aliases with titles and shortened."""
    words = match["name"].split()
    honors = [word for word in words if re.fullmatch(r"[A-Z][a-z]+\.", word) and word != "Jr."]  # "Col.", "Dr."
    words = words[len(honors) :] if words[: len(honors)] == honors else words
    spoken = [_ordinary(word, first=n == 0) for n, word in enumerate(words)]
    name = " ".join(spoken)
    family = [each for each, word in zip(spoken, words, strict=True) if each != word]
    aliases = [f"{match['title']} {name}", " ".join(family)]
    if honors:
        aliases.append(f"{' '.join(honors)} {name}")
    if family and family[0] != spoken[0]:
        aliases.append(f"{spoken[0]} {' '.join(family)}")
    return {"answer": name, "aliases": tuple(alias for alias in dict.fromkeys(aliases) if alias and alias != name)}
