"""What every retriever is: queries in, ranked passages out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from palaestra.envs.search.passages import Passage

__all__ = ["MAX_QUERY_CHARS", "Hit", "Retriever", "clean_query"]

MAX_QUERY_CHARS = 16_384


class Hit(NamedTuple):
    """A passage that was found.

    Attributes:
        passage: The passage.
        score: The retriever's own score; higher is better. Scores of different retrievers cannot be compared.
        rank: 1 for the best.
    """

    passage: Passage
    score: float
    rank: int


@runtime_checkable
class Retriever(Protocol):
    """Finds passages; may be shared between threads."""

    @property
    def name(self) -> str:
        """The kind of retriever, as `make_retriever` knows it."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the same query could find something else; recorded in manifests."""
        ...

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best passages for each query.

        Any string is a legal query. One without anything to search for finds nothing; only its first
        `MAX_QUERY_CHARS` characters count. Equal scores are ordered by position in the corpus.

        Args:
            queries: The queries.
            k: How many passages to find for each, at least 1.

        Returns:
            For each query at most k hits, best first.

        Raises:
            EpisodeFailure: The retriever is out of order. A query alone never causes it.
        """
        ...


def clean_query(query: str) -> str:
    """The part of a query that counts: without NULs and unpaired surrogates, cut to `MAX_QUERY_CHARS` characters."""
    text = query[:MAX_QUERY_CHARS].replace("\0", " ")
    if not text.isascii():
        text = text.encode("utf-8", "ignore").decode()
    return text.strip()
