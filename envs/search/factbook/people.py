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


def _ordinary(word: str) -> str:
    """A word of a name in ordinary case ("TINUBU" -> "Tinubu", "III" and "J." stay)."""
    if not word.isupper() or len(word.strip(".")) < 2 or re.fullmatch(r"[IVX]+", word):
        return word
    return re.sub(r"[^\W\d_]+", lambda match: match[0].capitalize(), word)


def person(match: re.Match[str]) -> dict[str, object]:
    """The parts of a fact about a person: the name in ordinary case, and its aliases with the title and shortened."""
    words = match["name"].split()
    name = " ".join(_ordinary(word) for word in words)
    family = [_ordinary(word) for word in words if word.isupper() and len(word.strip(".")) > 1]
    family = [word for word in family if not re.fullmatch(r"[IVX]+", word)]
    aliases = [f"{match['title']} {name}", " ".join(family)]
    if family and not words[0].isupper():
        aliases.append(f"{words[0]} {' '.join(family)}")
    return {"answer": name, "aliases": tuple(alias for alias in dict.fromkeys(aliases) if alias and alias != name)}
