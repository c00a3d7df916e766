from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.search.corpus import load_corpus
from palaestra.envs.search.retrievers import Hit, Retriever
from palaestra.envs.search.retrievers.bm25 import BM25Retriever
from palaestra.envs.search.retrievers.hybrid import HybridRetriever
from palaestra.errors import ConfigError

CORPUS = load_corpus([(name, name, f"text of {name}") for name in "zyxwv"])


class Fixed:
    """Gives the same ranking for every query, whatever its scores mean."""

    name = "fixed"

    def __init__(self, order: str) -> None:
        self.version, self._order = f"fixed-{order}", order

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        hits = [Hit(CORPUS.by_id(name), 1000.0 - rank, rank) for rank, name in enumerate(self._order[:k], 1)]
        return [hits for _ in queries]


def ids(hits: Sequence[Hit]) -> str:
    return "".join(hit.passage.id for hit in hits)


def test_by_hand() -> None:
    # z: 1/61 + 1/63 = 0.0322665, y: 1/62 + 1/61 = 0.0325225, x: 1/63 = 0.0158730, w: 1/62 = 0.0161290
    [hits, again] = HybridRetriever([Fixed("zyx"), Fixed("ywz")], CORPUS).search(["one", "two"], 4)
    assert ids(hits) == "yzwx"
    assert [hit.score for hit in hits] == pytest.approx([0.0325225, 0.0322665, 0.0161290, 0.0158730], abs=1e-7)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]
    assert hits == again


def test_ties_by_position_else_by_id() -> None:
    assert ids(HybridRetriever([Fixed("vz"), Fixed("zv")], CORPUS).search(["q"], 2)[0]) == "zv"
    assert ids(HybridRetriever([Fixed("vz"), Fixed("zv")]).search(["q"], 2)[0]) == "vz"
    assert ids(HybridRetriever([Fixed("vz"), Fixed("zv")], CORPUS).search(["q"], 1)[0]) == "z"


@given(st.lists(st.permutations("zyxwv").map("".join), min_size=1, max_size=3), st.integers(1, 7), st.integers(1, 5))
def test_agrees_with_exact_fractions(orders: list[str], k: int, depth: int) -> None:
    cut = max(k, depth)
    exact: dict[str, Fraction] = {}
    for order in orders:
        for rank, name in enumerate(order[:cut], 1):
            exact[name] = exact.get(name, Fraction(0)) + Fraction(1, 60 + rank)
    expected = sorted(exact, key=lambda name: (-exact[name], "zyxwv".index(name)))[:k]
    parts: list[Retriever] = [Fixed(order) for order in orders]
    [hits] = HybridRetriever(parts, CORPUS, depth=depth).search(["q"], k)
    assert [float(exact[hit.passage.id]) for hit in hits] == pytest.approx([hit.score for hit in hits])
    assert [float(exact[name]) for name in expected] == pytest.approx([hit.score for hit in hits])


def test_empty_queries_and_bad_arguments(tmp_path: Path) -> None:
    bm25 = BM25Retriever(CORPUS, cache_dir=tmp_path)
    hybrid = HybridRetriever([bm25, Fixed("zy")], CORPUS)
    assert isinstance(hybrid, Retriever)
    assert HybridRetriever([bm25, bm25], CORPUS).search(["", "\0", "w"], 3)[:2] == [[], []]
    assert ids(HybridRetriever([bm25, bm25], CORPUS).search(["w"], 3)[0]) == "w"
    assert hybrid.version != HybridRetriever([bm25, Fixed("zy")], CORPUS, constant=10).version
    for arguments in ({"retrievers": []}, {"retrievers": [bm25], "constant": 0}, {"retrievers": [bm25], "depth": 0}):
        with pytest.raises(ConfigError, match="Fusion needs"):
            HybridRetriever(**arguments)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="k must"):
        hybrid.search(["q"], 0)
