"""From a name to a retriever, shared by all in the process who ask for the same one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from palaestra.envs.search.corpus import Corpus
from palaestra.envs.search.retrievers.base import Retriever
from palaestra.envs.search.sharing import Shared
from palaestra.errors import ConfigError, UnknownNameError

__all__ = ["make_retriever"]

_SHARED: Shared[Retriever] = Shared()


def make_retriever(
    spec: str | Retriever,
    corpus: Corpus | None = None,
    *,
    cache_dir: Path | None = None,
    progress: bool = False,
) -> Retriever:
    """The retriever with this name, for this corpus.

    Asking again for the same one gives the same object for as long as somebody holds it, so sixteen environments in
    one process read one index. Retrievers may be used from any thread and need no closing.

    Args:
        spec: `bm25`, `dense`, `hybrid` (both, fused), the address of a retrieval server (`http://...`), or a
            retriever, which is returned as it is.
        corpus: The passages; not needed for an address.
        cache_dir: Where indices are cached; None for palaestra's own cache.
        progress: Whether to show bars while an index is built.

    Returns:
        The retriever.

    Raises:
        UnknownNameError: There is no such retriever.
        ConfigError: The corpus is missing, an address cannot be used, or `spec` is neither a name nor a retriever.
        MissingExtraError: A package that the retriever needs is not installed.
    """
    if not isinstance(spec, str):
        if isinstance(spec, Retriever):
            return spec
        raise ConfigError(
            f"A retriever is {_names()}, or an object with name, version and search, not {type(spec).__name__}."
        )
    if spec.casefold().startswith(("http://", "https://")):
        return _SHARED.get(spec, lambda: _http(spec))
    if spec not in _MAKERS:
        raise UnknownNameError("retriever", spec, (*_MAKERS, "http://HOST:PORT/retrieve"))
    if corpus is None:
        raise ConfigError(f"The retriever '{spec}' needs a corpus to search.")
    made_from = corpus
    return _SHARED.get((spec, corpus.digest, cache_dir), lambda: _MAKERS[spec](made_from, cache_dir, progress))


def _names() -> str:
    return ", ".join(f"'{name}'" for name in _MAKERS) + ", an address such as 'http://localhost:8000/retrieve'"


def _http(url: str) -> Retriever:
    from palaestra.envs.search.retrievers.http import HTTPRetriever

    return HTTPRetriever(url)


def _bm25(corpus: Corpus, cache_dir: Path | None, progress: bool) -> Retriever:
    from palaestra.envs.search.retrievers.bm25 import BM25Retriever

    return BM25Retriever(corpus, cache_dir=cache_dir, progress=progress)


def _dense(corpus: Corpus, cache_dir: Path | None, progress: bool) -> Retriever:
    from palaestra.envs.search.retrievers.dense import DenseRetriever

    return DenseRetriever(corpus, cache_dir=cache_dir, progress=progress)


def _hybrid(corpus: Corpus, cache_dir: Path | None, progress: bool) -> Retriever:
    from palaestra.envs.search.retrievers.hybrid import HybridRetriever

    parts = [make_retriever(name, corpus, cache_dir=cache_dir, progress=progress) for name in ("bm25", "dense")]
    return HybridRetriever(parts, corpus)


_MAKERS: Mapping[str, Callable[[Corpus, Path | None, bool], Retriever]] = {
    "bm25": _bm25,
    "dense": _dense,
    "hybrid": _hybrid,
}
