"""The stretch of a passage that fits a query best, as search engines show it."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise

from palaestra.envs.search.retrievers.words import words

__all__ = ["snippet"]

_RUN = re.compile(r"\S+")


def snippet(text: str, query: str, chars: int, *, title: str = "") -> str:
    """A stretch of a text: the run of whole words in which most of what was looked for occurs.

    A word of the query counts the more, the rarer it is in the text, and two that follow each other as in the query
    count more than apart. The run begins at such a word; of equally good ones it is the first. White space becomes
    single spaces, and "..." stands where something was left out.

    Args:
        text: The passage.
        query: What was looked for.
        chars: Most characters, the dots not counted; a first word that is longer by itself is cut.
        title: Shown beside the text; its words need not be found again.
    """
    runs = _RUN.findall(text)
    whole = " ".join(runs)
    if len(whole) <= chars:
        return whole
    asked = words(query)
    wanted = set(asked) - set(words(title))
    pairs = set(pairwise(asked))
    found: list[set[str | tuple[str, str]]] = []
    last = ""
    for run in runs:
        read = words(run)
        found.append({*wanted.intersection(read), *pairs.intersection(pairwise([last, *read]))})
        last = read[-1] if read else last
    counts = Counter(hit for hits in found for hit in hits)
    best, begin, end = -1.0, 0, 0
    for start in [at for at, hits in enumerate(found) if hits] or [0]:
        size, stop = -1, start
        while stop < len(runs) and size + 1 + len(runs[stop]) <= chars:
            size += 1 + len(runs[stop])
            stop += 1
        score = math.fsum(1 / counts[hit] for hit in set().union(*found[start : max(stop, start + 1)]))
        if score > best:
            best, begin, end = score, start, max(stop, start + 1)
    shown = " ".join(runs[begin:end])[:chars]
    return ("... " if begin else "") + shown + (" ..." if end < len(runs) else "")
