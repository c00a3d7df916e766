"""The inner loop of BM25 search, compiled by numba when this module is first imported."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["search"]

_INSERT_UP_TO = 64


def _search(
    tokens: NDArray[np.int32],
    data: NDArray[np.float32],
    indices: NDArray[np.int32],
    indptr: NDArray[np.int32],
    num_docs: int,
    k: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Sums the columns of a query's tokens and picks the k highest documents with a score above 0.

    bm25s' own selection breaks ties by the order of a heap; this one breaks them by position. The sums are made in the
    same order and precision as bm25s makes them, so the scores are equal bit for bit. The global interpreter lock is
    released, and no numba threads are used: numba's default threading layer must not be entered from two threads.

    Args:
        tokens: Columns of the query's words, repetitions included.
        data: Scores of the sparse matrix, by column.
        indices: Documents of the sparse matrix, by column.
        indptr: Where each column begins; one longer than there are columns.
        num_docs: Number of documents.
        k: How many documents to pick, at least 1.

    Returns:
        Positions and scores of at most k documents, by falling score and then rising position.
    """
    scores = np.zeros(num_docs, np.float32)
    for token in tokens:
        for j in range(indptr[token], indptr[token + 1]):
            scores[indices[j]] += data[j]
    if k > _INSERT_UP_TO:
        found = np.flatnonzero(scores > 0).astype(np.int32)
        order = np.argsort(-scores[found], kind="mergesort")[:k]
        return found[order], scores[found[order]]
    # For few results, a sorted list of the best so far: almost every document fails its one comparison.
    best = np.empty(k, np.int32)
    best_scores = np.empty(k, np.float32)
    count = 0
    floor = np.float32(0)
    for position in range(num_docs):
        score = scores[position]
        if score > floor:
            place = count if count < k else k - 1
            while place > 0 and best_scores[place - 1] < score:
                best[place] = best[place - 1]
                best_scores[place] = best_scores[place - 1]
                place -= 1
            best[place] = position
            best_scores[place] = score
            if count < k:
                count += 1
            if count == k:
                floor = best_scores[k - 1]
    return best[:count], best_scores[:count]


try:
    search = njit(nogil=True, cache=True)(_search)
except RuntimeError:  # numba found no place that it may write its cache to
    search = njit(nogil=True)(_search)
