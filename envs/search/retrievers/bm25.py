"""BM25 by bm25s, its index cached on disk and memory-mapped."""

from __future__ import annotations

import hashlib
import json
import threading
from array import array
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palaestra.cache import cache_dir as palaestra_cache
from palaestra.envs.search.corpus import Corpus
from palaestra.envs.search.retrievers.base import Hit, clean_query
from palaestra.envs.search.retrievers.stored import open_or_build
from palaestra.envs.search.retrievers.words import WORDS, words
from palaestra.errors import ConfigError, DataError, MissingExtraError

__all__ = ["BM25Retriever"]

_MAX_WORDS = 1024


class BM25Retriever:
    """Ranks passages by BM25 over their titles and texts.

    The score is Lucene's variant, as bm25s computes it (Lù 2024, "BM25S"): for the query words w, repetitions
    included,

        score(d) = sum over w of  ln(1 + (N - n_w + 0.5) / (n_w + 0.5)) * f / (f + k1 * (1 - b + b * |d| / avg |d|))

    with N passages, n_w of them containing w, f occurrences of w in d, and |d| words in d. Words are cut as `words`
    says. A query's first 1,024 words count (Lucene's limit, too). Passages that share no word with the query are not
    hits.

    The index lies in the cache under the corpus' digest and the parameters. A damaged one there is built anew; where
    the cache cannot be written, one is built for this process alone and a warning says so.

    Args:
        corpus: The passages.
        k1: Saturation of repeated words, at least 0. Small, as passages are short (Pyserini's value, also
            Search-R1's).
        b: Strength of the length normalisation, in [0, 1] (also Pyserini's).
        index_dir: A folder of the caller's own for the index. It is built there if the folder does not exist, and
            never touched if it exists.
        cache_dir: Where indices are cached otherwise; None for palaestra's own cache.
        progress: Whether to show bars while the index is built.

    Raises:
        MissingExtraError: bm25s or numba is not installed.
        ConfigError: A parameter is out of range.
        DataError: `index_dir` holds something else than the index of this corpus, or no passage has a word.
    """

    name = "bm25"

    def __init__(
        self,
        corpus: Corpus,
        *,
        k1: float = 0.9,
        b: float = 0.4,
        index_dir: Path | None = None,
        cache_dir: Path | None = None,
        progress: bool = False,
    ) -> None:
        if not (k1 >= 0 and 0 <= b <= 1):
            raise ConfigError(f"BM25 needs k1 >= 0 and 0 <= b <= 1; given were k1={k1} and b={b}.")
        try:
            import bm25s

            from palaestra.envs.search.retrievers import _topk
        except ImportError as error:
            raise MissingExtraError("BM25 retrieval", "search") from error
        self.corpus = corpus
        self._again = partial(BM25Retriever, corpus, k1=k1, b=b, index_dir=index_dir, cache_dir=cache_dir)
        self._topk, self._own = _topk, threading.local()
        key = {
            "corpus": corpus.digest,
            "passages": len(corpus),
            "words": WORDS,
            "method": "lucene",
            "k1": float(k1),
            "b": float(b),
        }
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        self.version = f"bm25-{digest[:16]}"
        folder = index_dir or (cache_dir or palaestra_cache("search")) / f"bm25-{digest[:32]}"

        def build(path: Path) -> None:
            index = bm25s.BM25(k1=k1, b=b, method="lucene", backend="numba")
            index.index(_tokens(corpus), create_empty_token=False, show_progress=progress)
            index.save(path, show_progress=False)

        def load(path: Path) -> Any:
            return bm25s.BM25.load(path, mmap=True, show_progress=False)

        index = open_or_build(folder, key, build, load, own=index_dir is not None)
        self._vocabulary: dict[str, int] = index.vocab_dict
        scores = index.scores
        # Plain arrays over the mapped memory: numpy's memmap class costs microseconds at every call.
        self._data: NDArray[np.float32] = np.asarray(scores["data"])
        self._indices: NDArray[np.int32] = np.asarray(scores["indices"])
        self._indptr: NDArray[np.int32] = np.asarray(scores["indptr"])
        # Compiles now, or loads what numba cached, so that no query pays for it.
        self._best(np.zeros(0, np.int32), 1)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._again, ()

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best passages for each query; see `Retriever.search`."""
        if k < 1:
            raise ConfigError(f"k must be at least 1, not {k}.")
        return [self._search_one(query, min(k, len(self.corpus))) for query in queries]

    def _search_one(self, query: str, k: int) -> list[Hit]:
        lookup = self._vocabulary.get
        found = [token for word in words(clean_query(query)) if (token := lookup(word)) is not None][:_MAX_WORDS]
        if not found:
            return []
        positions, scores = self._best(np.array(found, np.int32), k)
        corpus = self.corpus
        return [
            Hit(corpus[position], score, rank)
            for rank, (position, score) in enumerate(zip(positions.tolist(), scores.tolist(), strict=True), 1)
        ]

    def _best(self, tokens: NDArray[np.int32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        try:
            scores = self._own.scores
        except AttributeError:
            scores = self._own.scores = self._topk.scratch(len(self.corpus))
        found: tuple[NDArray[np.int32], NDArray[np.float32]]
        found = self._topk.search(tokens, self._data, self._indices, self._indptr, scores, k)
        return found


def _tokens(corpus: Corpus) -> tuple[list[array[int]], dict[str, int]]:
    """The words of every passage as numbers, and the number of every word."""
    vocabulary: dict[str, int] = {}
    # Arrays of 4 bytes a word: lists would take twice to nine times as much for millions of passages.
    tokens = [
        array("i", [vocabulary.setdefault(word, len(vocabulary)) for word in words(f"{passage.title}\n{passage.text}")])
        for passage in corpus
    ]
    if not vocabulary:
        raise DataError(corpus.source or "the passages given", "No passage has a word, so nothing can be found in it.")
    return tokens, vocabulary
