"""What the entries are called: by a person, in running text, and in the Factbook's own lists."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["MENTIONS", "display_name", "fold", "normalise", "plain", "slug", "with_article"]

_OWN_NAMES: Mapping[str, str] = MappingProxyType(
    {  # where the Factbook's short form is missing, or is not what a person would say
        "cf": "Republic of the Congo",
        "cg": "Democratic Republic of the Congo",
        "dr": "Dominican Republic",
        "ee": "European Union",
        "fk": "Falkland Islands",
        "gz": "Gaza Strip",
        "sv": "Svalbard",
        "um": "United States Pacific Island Wildlife Refuges",
        "vt": "Vatican City",
        "vq": "United States Virgin Islands",
        "xx": "World",
    }
)

MENTIONS: Mapping[str, str] = MappingProxyType(
    {  # other ways in which the Factbook's lists name an entry
        "Antigua & Barbuda": "ac",
        "Bosnia & Herzegovina": "bk",
        "Cote d'Ivoire": "iv",
        "Czech Republic": "ez",
        "DRC": "cg",
        "Holy See": "vt",
        "Holy See (Vatican City)": "vt",
        "Macedonia": "mk",
        "NZ": "nz",
        "S. Korea": "ks",
        "St. Kitts & Nevis": "sc",
        "St. Lucia": "st",
        "St. Vincent & the Grenadines": "vc",
        "Trinidad & Tobago": "td",
        "UAE": "ae",
        "UK": "uk",
        "US": "us",
        "USA": "us",
        "Gambia, The": "ga",
        "Bahamas, The": "bf",
        "Congo, Republic of the": "cf",
        "The Netherlands": "nl",
    }
)

_WITH_THE = frozenset(
    """Central African Republic|Comoros|Democratic Republic of the Congo|Dominican Republic|European Union|
    Federated States of Micronesia|French Southern and Antarctic Lands|Gaza Strip|Isle of Man|Maldives|Netherlands|
    Philippines|Republic of the Congo|United Arab Emirates|United Kingdom|United States|West Bank|
    British Indian Ocean Territory|United States Pacific Island Wildlife Refuges""".replace("\n", "")
    .replace("    ", "")
    .split("|")
)


def display_name(code: str, data: Mapping[str, Any]) -> str:
    """The name a person would use for an entry, without an article: the short form, else the long form.

    Args:
        code: The Factbook's two-letter code.
        data: The entry as the package holds it.
    """
    if code in _OWN_NAMES:
        return _OWN_NAMES[code]
    names = data.get("Government", {}).get("Country name", {})
    for key in ("conventional short form", "conventional long form"):
        name = html.unescape(names.get(key, {}).get("text", "none"))
        if name != "none":
            return name.removeprefix("The ")
    return code


def with_article(name: str) -> str:
    """The name as it stands inside a sentence ("the Philippines", "South Korea")."""
    plural = name.endswith("Islands") or name in ("Bahamas", "Gambia")
    return f"the {name}" if plural or name in _WITH_THE else name


def fold(text: str) -> str:
    """The text without accents ("Côte d'Ivoire" -> "Cote d'Ivoire")."""
    kept = (char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return "".join(kept).replace("’", "'").replace("‘", "'")


def plain(text: str) -> str:
    """The words of a text in lower case, without accents and punctuation."""
    return " ".join(re.sub(r"[^\w]+", " ", fold(text).casefold()).split())


def slug(name: str) -> str:
    """The name in lower-case letters, digits and hyphens ("cote-d-ivoire")."""
    return re.sub(r"[^a-z0-9]+", "-", fold(name).lower()).strip("-")


def normalise(text: str) -> str:
    """SQuAD's normal form of an answer: lower case, no ASCII punctuation, no articles, single spaces.

    Source: the evaluation script of Rajpurkar et al. 2016 (SQuAD 1.1).
    """
    text = re.sub(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]", "", text.lower())
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())
