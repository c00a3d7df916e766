"""Land borders: who borders whom and along how many kilometers, kept only where both sides agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Borders", "read_borders"]

_SEGMENT = re.compile(
    r"(?P<name>[A-Z][^\d;,()]*?)(?: \([^()\d]*\))? (?P<km>\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?) km"
    r"(?: \([^()]*\))?(?:; |, | and |$)"
)


_UNION = "ee"  # the European Union, which borders what its members border


@dataclass(frozen=True, slots=True)
class Borders:
    """Neighbors of entries.

    Attributes:
        complete: Entry -> its neighbors, for entries whose list is whole: every name is known, every neighbor lists
            the entry too, nobody else lists it, and the lengths add up to the stated total.
        shared: Entry -> neighbors that list each other, whether or not the lists are whole.
        lengths: (entry, neighbor) -> length as the entry prints it ("1,136"), where it is one figure and the neighbor's
            is the same.
    """

    complete: Mapping[str, tuple[str, ...]]
    shared: Mapping[str, frozenset[str]]
    lengths: Mapping[tuple[str, str], str]

    def km(self, one: str, other: str) -> float:
        """Length of a border in km; NaN where the two sides disagree."""
        return float(self.lengths.get((one, other), "nan").replace(",", ""))


def _plain(kms: list[str] | None) -> list[str]:
    return [km.replace(",", "") for km in kms or ()]


def read_borders(texts: Mapping[str, str], totals: Mapping[str, float], codes: Mapping[str, str]) -> Borders:
    """Reads the lists of border countries.

    Args:
        texts: Entry -> its list ("China 477 km; India 659 km").
        totals: Entry -> total length of its land boundaries in km.
        codes: Name in the lists -> entry.
    """
    lists: dict[str, dict[str, list[str]]] = {}
    whole: set[str] = set()
    for code, text in texts.items():
        found: dict[str, list[str]] = {}
        known, end = True, 0
        for match in _SEGMENT.finditer(text):
            known &= match.start() == end and match["name"] in codes
            end = match.end()
            if match["name"] in codes:
                found.setdefault(codes[match["name"]], []).append(match["km"])
        lists[code] = found
        length = sum(float(km.replace(",", "")) for kms in found.values() for km in kms)
        if known and end == len(text) and abs(length - totals.get(code, -1e9)) <= max(10.0, 0.01 * length):
            whole.add(code)
    shared = {
        code: frozenset(other for other in found if code in lists.get(other, {})) for code, found in lists.items()
    }
    listing = {code: {other for other, found in lists.items() if code in found and other != _UNION} for code in lists}
    complete = {
        code: tuple(lists[code]) for code in sorted(whole) if shared[code] == frozenset(lists[code]) == listing[code]
    }
    lengths = {
        (code, other): kms[0]
        for code, found in lists.items()
        for other, kms in found.items()
        if len(kms) == 1 and _plain(lists.get(other, {}).get(code)) == _plain(kms)
    }
    return Borders(complete, shared, lengths)
