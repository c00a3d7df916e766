"""BM25+ as the benchmark's key search has it, with the same floating-point operations in their order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

__all__ = ["bm25_plus"]

_K1, _B, _DELTA = 1.5, 0.75, 1


def bm25_plus(query: Sequence[str], documents: Sequence[Sequence[str]]) -> list[float]:
    """The score of each document for a query (Lv and Zhai 2011; idf without smoothing).

    Args:
        query: Its words; a word that comes twice counts twice.
        documents: The words of each.

    Raises:
        ZeroDivisionError: There is no document.
    """
    counts = [Counter(words) for words in documents]
    lengths = [len(words) for words in documents]
    average = sum(lengths) / len(documents)
    found_in = Counter(word for count in counts for word in count)
    scores = [0.0] * len(documents)
    for word in query:
        if word in found_in:
            idf = math.log((len(documents) + 1) / found_in[word])
            for place, (count, length) in enumerate(zip(counts, lengths, strict=True)):
                times = count[word]
                norm = _K1 * (1 - _B + _B * length / average) + times
                scores[place] += idf * (_DELTA + times * (_K1 + 1) / norm)
    return scores
