"""The inner loop of BM25 search, compiled by numba when it is first called."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["scratch", "search"]

_BLOCK = 256
_INSERT_UP_TO = 64


def scratch(num_docs: int) -> NDArray[np.float32]:
    """Zeros for the scores of so many documents, as `search` needs them: one array for each thread."""
    return np.zeros(-(-num_docs // _BLOCK) * _BLOCK, np.float32)


def _search(
    tokens: NDArray[np.int32],
    data: NDArray[np.float32],
    indices: NDArray[np.int32],
    indptr: NDArray[np.int32],
    scores: NDArray[np.float32],
    k: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Sums the columns of a query's tokens and picks the k highest documents with a score above 0.

    bm25s' own selection breaks ties by the order of a heap; this one breaks them by position. The sums are made in the
    same order and precision as bm25s makes them, so the scores are equal bit for bit. The global interpreter lock is
    released, and no numba threads are used: numba's default threading layer must not be entered from two threads.

    Args:
        tokens: Columns of the query's words, repetitions included.
        data: Scores of the sparse matrix, by column; none is negative.
        indices: Documents of the sparse matrix, by column.
        indptr: Where each column begins; one longer than there are columns.
        scores: From `scratch`; all zeros, and again all zeros afterwards.
        k: How many documents to pick, at least 1.

    Returns:
        Positions and scores of at most k documents, by falling score and then rising position.
    """
    # Unsigned indices throughout: with signed ones numba adds a branch for negative indices, and nothing is vectorised.
    for token in tokens:
        for j in range(np.uint64(indptr[token]), np.uint64(indptr[token + 1])):
            scores[np.uint64(indices[j])] += data[j]
    if k > _INSERT_UP_TO:
        found = np.flatnonzero(scores > 0).astype(np.int32)
        order = np.argsort(-scores[found], kind="mergesort")[:k]
        best, best_scores = found[order], scores[found[order]]
        scores[:] = 0
        return best, best_scores
    # Floats that are not negative are ordered as their bits are, and the maximum of integers is a vector instruction:
    # most blocks of documents need no more than that to be passed over.
    bits = scores.view(np.int32)
    best = np.empty(k, np.int32)
    best_bits = np.empty(k, np.int32)
    count = 0
    floor = np.int32(0)
    for start in range(0, len(bits), _BLOCK):
        top = np.int32(0)
        for offset in range(_BLOCK):
            value = bits[np.uint64(start + offset)]
            top = value if value > top else top
        if top <= floor:
            continue
        for position in range(start, start + _BLOCK):
            value = bits[np.uint64(position)]
            if value > floor:
                place = count if count < k else k - 1
                while place > 0 and best_bits[place - 1] < value:
                    best[place] = best[place - 1]
                    best_bits[place] = best_bits[place - 1]
                    place -= 1
                best[place] = position
                best_bits[place] = value
                if count < k:
                    count += 1
                if count == k:
                    floor = best_bits[k - 1]
    scores[:] = 0
    return best[:count], best_bits[:count].view(np.float32)


try:
    search = njit(nogil=True, cache=True)(_search)
except RuntimeError:  # numba found no place that it may write its cache to
    search = njit(nogil=True)(_search)
