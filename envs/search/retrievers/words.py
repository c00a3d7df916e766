"""How texts and queries are cut into words for BM25."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["WORDS", "singular", "words"]

WORDS = "words-1"
"""Name of the rules below; part of the key of every index, so a change of the rules needs a new name."""

_WORD = re.compile(r"\w+")
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be but by for if in into is it no not of on or such that the their then there these they "
        "this to was will with s t",
    )
)


def words(text: str) -> list[str]:
    """The words of a text, in order and with repetitions.

    Lower case; accents removed ("Côte" and "cote" meet); runs of letters, digits and underscores, single ones
    included; without Lucene's English stop words and the "s" and "t" that apostrophes leave behind; plurals made
    `singular`. Heavier stemming is left out: it merges names ("Marshall", "marshal") that questions keep apart.
    """
    text = text.lower()
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return [singular(word) if word[-1] == "s" else word for word in _WORD.findall(text) if word not in _STOP_WORDS]


def singular(word: str) -> str:
    """The S-stemmer of Harman (1991), "How effective is suffixing?": plural endings of English and nothing else.

    The first rule whose ending fits decides: -ies (not -eies, -aies) becomes -y; -es (not -aes, -ees, -oes) loses its
    s; -s (not -us, -ss) is dropped. Words of up to three letters stay.
    """
    if len(word) <= 3 or word[-1] != "s":
        return word
    if word.endswith("ies"):
        return word if word[-4] in "ea" else word[:-3] + "y"
    if word[-2] == "e":
        return word if word[-3] in "aeo" else word[:-1]
    return word if word[-2] in "us" else word[:-1]
