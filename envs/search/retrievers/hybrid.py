"""Reciprocal rank fusion of several retrievers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from palaestra.envs.search.corpus import Corpus
from palaestra.envs.search.passages import Passage
from palaestra.envs.search.retrievers.base import Hit, Retriever
from palaestra.errors import ConfigError

__all__ = ["HybridRetriever"]


class HybridRetriever:
    """Ranks passages by the ranks that several retrievers give them.

    Cormack, Clarke and Büttcher (2009), "Reciprocal rank fusion outperforms Condorcet and individual rank learning
    methods":

        score(d) = sum over retrievers r that found d of  1 / (constant + rank_r(d))

    Args:
        retrievers: At least one; their scores are not used.
        corpus: Breaks ties by position; None breaks them by passage id (for remote retrievers).
        constant: The paper's k, above 0; dampens the lead of the first ranks.
        depth: How many hits of each retriever are fused, at least 1 (more if more are asked for).

    Raises:
        ConfigError: There is no retriever, or a number is out of range.
    """

    name = "hybrid"

    def __init__(
        self,
        retrievers: Sequence[Retriever],
        corpus: Corpus | None = None,
        *,
        constant: float = 60.0,
        depth: int = 100,
    ) -> None:
        if not retrievers or not constant > 0 or depth < 1:
            raise ConfigError(
                "Fusion needs at least one retriever, constant > 0 and depth >= 1; given were "
                f"{len(retrievers)} retrievers, constant={constant} and depth={depth}."
            )
        self._retrievers, self._corpus, self._constant, self._depth = tuple(retrievers), corpus, constant, depth
        parts = repr((*(retriever.version for retriever in retrievers), constant, depth, corpus is None))
        self.version = f"hybrid-{hashlib.sha256(parts.encode()).hexdigest()[:16]}"

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best passages for each query; see `Retriever.search`."""
        if k < 1:
            raise ConfigError(f"k must be at least 1, not {k}.")
        found = [retriever.search(queries, max(k, self._depth)) for retriever in self._retrievers]
        return [self._fuse(lists, k) for lists in zip(*found, strict=True)]

    def _fuse(self, lists: Sequence[Sequence[Hit]], k: int) -> list[Hit]:
        scores: dict[str, float] = {}
        passages: dict[str, Passage] = {}
        for hits in lists:
            for hit in hits:
                passages[hit.passage.id] = hit.passage
                scores[hit.passage.id] = scores.get(hit.passage.id, 0.0) + 1.0 / (self._constant + hit.rank)
        floor = sorted(scores.values(), reverse=True)[:k][-1] if scores else 0.0
        among = [passage_id for passage_id, score in scores.items() if score >= floor]
        order = sorted(among, key=lambda passage_id: (-scores[passage_id], self._tie(passage_id)))[:k]
        return [Hit(passages[passage_id], scores[passage_id], rank) for rank, passage_id in enumerate(order, 1)]

    def _tie(self, passage_id: str) -> int | str:
        return passage_id if self._corpus is None else self._corpus.position(passage_id)
