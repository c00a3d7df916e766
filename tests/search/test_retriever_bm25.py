from __future__ import annotations

import gc
import json
import math
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.search.corpus import Corpus, load_corpus
from palaestra.envs.search.retrievers import Hit, Retriever
from palaestra.envs.search.retrievers.bm25 import BM25Retriever
from palaestra.envs.search.retrievers.words import singular, words
from palaestra.errors import ConfigError, DataError

RIVERS = [
    ("niger", "Niger River", "The Niger flows through Mali, Niger, Benin and Nigeria. Its sources lie in Guinea."),
    ("nile", "Nile", "The Nile flows north through Sudan and Egypt."),
    ("congo", "Congo River", "The Congo, a river of Africa, crosses the equator twice. Rivers join it."),
    ("empty", "", "?!"),
    ("cote", "Côte d’Ivoire", "Borders: Ghana, Mali, Guinea, Liberia, Burkina Faso."),
    ("twin-1", "Twin", "the same passage"),
    ("twin-2", "Twin", "the same passage"),
    ("twin-3", "Twin", "the same passage"),
]


def slow_bm25(corpus: Corpus, query: str, k1: float = 0.9, b: float = 0.4) -> list[tuple[str, float]]:
    """The formula in the docstring, passage by passage in double precision, ties by position."""
    documents = [words(f"{p.title}\n{p.text}") for p in corpus]
    average = sum(map(len, documents)) / len(documents)
    scored = []
    for position, document in enumerate(documents):
        counts, score = Counter(document), 0.0
        for word in words(query):
            f, n = counts[word], sum(word in d for d in documents)
            idf = math.log(1 + (len(documents) - n + 0.5) / (n + 0.5))
            score += idf * f / (f + k1 * (1 - b + b * len(document) / average)) if f else 0.0
        if score > 0:
            scored.append((-score, position))
    return [(corpus[position].id, -score) for score, position in sorted(scored)]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus(RIVERS)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("indices")


@pytest.fixture(scope="module")
def bm25(corpus: Corpus, cache: Path) -> BM25Retriever:
    return BM25Retriever(corpus, cache_dir=cache)


def test_it_is_a_retriever(bm25: BM25Retriever) -> None:
    assert isinstance(bm25, Retriever)
    assert bm25.name == "bm25"


@pytest.mark.parametrize(
    "query", ["Where does the Niger flow?", "river", "rivers rivers Mali", "cote d'ivoire", "twin"]
)
@pytest.mark.parametrize("k", [1, 2, 5, 8, 64, 65, 1000])
def test_agrees_with_the_formula(corpus: Corpus, bm25: BM25Retriever, query: str, k: int) -> None:
    [hits] = bm25.search([query], k)
    slow = slow_bm25(corpus, query)[:k]
    assert [hit.passage.id for hit in hits] == [name for name, _ in slow]
    assert [hit.score for hit in hits] == pytest.approx([score for _, score in slow], rel=1e-5)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))


def test_other_parameters(corpus: Corpus, cache: Path) -> None:
    other = BM25Retriever(corpus, k1=1.5, b=1.0, cache_dir=cache)
    [hits] = other.search(["river Mali"], 5)
    slow = slow_bm25(corpus, "river Mali", 1.5, 1.0)[:5]
    assert [(h.passage.id, pytest.approx(h.score, rel=1e-5)) for h in hits] == slow
    assert other.version != BM25Retriever(corpus, cache_dir=cache).version
    with pytest.raises(ConfigError, match="k1"):
        BM25Retriever(corpus, k1=float("nan"), cache_dir=cache)
    with pytest.raises(ConfigError, match="at least 1"):
        other.search(["x"], 0)


word = st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"])


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.lists(word, max_size=12).map(" ".join), min_size=70, max_size=90).filter(any),
    st.lists(word, min_size=1, max_size=5).map(" ".join),
    st.integers(1, 100),
)
def test_same_scores_as_bm25s_and_ties_by_position(texts: list[str], query: str, k: int) -> None:
    import bm25s

    corpus = load_corpus([(str(i), "", text) for i, text in enumerate(texts)])
    with tempfile.TemporaryDirectory() as folder:
        [hits] = BM25Retriever(corpus, cache_dir=Path(folder)).search([query], k)
    peer = bm25s.BM25(k1=0.9, b=0.4, method="lucene", backend="numba")
    peer.index([words(text) for text in texts], show_progress=False)
    scores = peer.get_scores(words(query)) if set(words(query)) & set(peer.vocab_dict) else np.zeros(len(texts))
    order = sorted(np.flatnonzero(scores > 0).tolist(), key=lambda i: (-scores[i], i))[:k]
    assert [int(hit.passage.id) for hit in hits] == order
    assert [hit.score for hit in hits] == [float(scores[i]) for i in order]  # bit for bit


def odd_queries() -> Iterator[str]:
    yield from ("", " ", "\0", "\ud800", "\udfff\ud800", "the of and", "?!.,", "zzzz", "\0Niger\0", "\ud800Niger")
    yield from ("a" * 1_000_000, "Niger " * 170_000, "é" * 1_000_000, "\ud800" * 1_000_000, "\u0300" * 1_000_000)


def test_odd_queries_never_raise(bm25: BM25Retriever) -> None:
    queries = list(odd_queries())
    found = dict(zip(queries, bm25.search(queries, 3), strict=True))
    assert len(found) == len(queries)
    assert [h.passage.id for h in found["\0Niger\0"]] == [h.passage.id for h in found["\ud800Niger"]] != []
    assert all(found[q] == [] for q in ("", " ", "\0", "\ud800", "the of and", "?!.,", "zzzz"))
    assert bm25.search([], 3) == []


@given(st.text())
def test_any_string_is_a_query(bm25: BM25Retriever, query: str) -> None:
    [hits] = bm25.search([query], 3)
    assert all(isinstance(hit, Hit) and math.isfinite(hit.score) and hit.score > 0 for hit in hits)


def test_words() -> None:
    assert words("The Côte d'Ivoire's 3 borders: G-7, x_y") == ["cote", "d", "ivoire", "3", "border", "g", "7", "x_y"]
    assert words("ß İstanbul ﬁ 北京") == ["ß", "istanbul", "fi", "北京"]
    table = {
        "countries": "country", "ties": "ty", "species": "specy", "borders": "border", "bus": "bus", "gas": "gas",
        "mass": "mass", "census": "census", "languages": "language", "shoes": "shoes", "gees": "gees", "us": "us",
        "zombeies": "zombeies", "his": "his", "cats": "cat", "cat": "cat", "": "",
    }  # fmt: skip
    assert {given: singular(given) for given in table} == table


def test_an_index_is_built_once_and_mapped(corpus: Corpus, tmp_path: Path) -> None:
    first = BM25Retriever(corpus, cache_dir=tmp_path)
    [folder] = tmp_path.iterdir()
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    second = BM25Retriever(corpus, cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == [folder]
    assert times == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert str(folder) in Path("/proc/self/maps").read_text()
    assert second.search(["Niger"], 3) == first.search(["Niger"], 3)
    assert second.version == first.version


def damage_truncate(folder: Path) -> None:
    path = folder / "indices.csc.index.npy"
    path.write_bytes(path.read_bytes()[:-4])


def damage_bit(folder: Path) -> None:
    path = folder / "data.csc.index.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def damage_missing(folder: Path) -> None:
    (folder / "vocab.index.json").unlink()


def damage_manifest(folder: Path) -> None:
    (folder / "palaestra-index.json").write_bytes(b'{"key": ')


def damage_no_manifest(folder: Path) -> None:
    (folder / "palaestra-index.json").unlink()


def damage_all(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file where a folder should be")


DAMAGES = [damage_truncate, damage_bit, damage_missing, damage_manifest, damage_no_manifest, damage_all]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_in_the_cache_is_built_anew(corpus: Corpus, tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    expected = BM25Retriever(corpus, cache_dir=tmp_path).search(["Niger"], 3)
    [folder] = tmp_path.iterdir()
    damage(folder)
    assert BM25Retriever(corpus, cache_dir=tmp_path).search(["Niger"], 3) == expected
    assert list(tmp_path.iterdir()) == [folder]
    assert BM25Retriever(corpus, cache_dir=tmp_path).search(["Niger"], 3) == expected


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_of_the_users_is_an_error(corpus: Corpus, tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "mine"
    expected = BM25Retriever(corpus, index_dir=folder).search(["Niger"], 3)
    assert BM25Retriever(corpus, index_dir=folder).search(["Niger"], 3) == expected
    damage(folder)
    with pytest.raises(DataError, match="Delete the folder") as caught:
        BM25Retriever(corpus, index_dir=folder)
    assert str(folder) in str(caught.value)


def test_the_index_of_another_corpus_is_an_error(corpus: Corpus, tmp_path: Path) -> None:
    BM25Retriever(corpus, index_dir=tmp_path / "mine")
    with pytest.raises(DataError, match="Delete the folder") as caught:
        BM25Retriever(load_corpus(RIVERS[:3]), index_dir=tmp_path / "mine")
    assert caught.value.field == "corpus"


def test_a_cache_that_cannot_be_written_costs_a_warning(corpus: Corpus, tmp_path: Path, bm25: BM25Retriever) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="for every process"):
        retriever = BM25Retriever(corpus, cache_dir=tmp_path / "file")
    assert retriever.search(["Niger"], 3) == bm25.search(["Niger"], 3)
    with pytest.raises(DataError, match="cannot be written"):
        BM25Retriever(corpus, index_dir=tmp_path / "file" / "mine")


def test_a_corpus_without_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No passage has a word"):
        BM25Retriever(load_corpus([("1", "", "?!"), ("2", "", "the")]), cache_dir=tmp_path)


OPEN_AND_SEARCH = """
import json, pathlib, sys, time
from palaestra.envs.search.corpus import load_corpus
from palaestra.envs.search.retrievers.bm25 import BM25Retriever
cache, rows = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
corpus = load_corpus(rows)
print("ready", flush=True)
sys.stdin.readline()  # so that all build at once
hits = BM25Retriever(corpus, cache_dir=cache).search(["Niger river"], 5)[0]
print(json.dumps([[hit.passage.id, hit.score] for hit in hits]))
"""


def test_several_processes_at_once(tmp_path: Path, bm25: BM25Retriever) -> None:
    command = [sys.executable, "-c", OPEN_AND_SEARCH, str(tmp_path), json.dumps(RIVERS)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    assert answers == [[[hit.passage.id, hit.score] for hit in bm25.search(["Niger river"], 5)[0]]] * 3
    assert len(list(tmp_path.iterdir())) == 1


def test_threads_share_a_retriever(bm25: BM25Retriever) -> None:
    queries = ["Niger", "Nile Egypt", "twin", "river", ""] * 40
    expected = [bm25.search([query], 5)[0] for query in queries]
    start = threading.Barrier(8)

    def ask(_: int) -> list[list[Hit]]:
        start.wait(30)
        return [bm25.search([query], 5)[0] for query in queries]

    with ThreadPoolExecutor(8) as pool:
        assert all(answer == expected for answer in pool.map(ask, range(8)))


def test_pickled_and_freed(corpus: Corpus, cache: Path) -> None:
    retriever = BM25Retriever(corpus, cache_dir=cache)
    again = pickle.loads(pickle.dumps(retriever))
    assert again.version == retriever.version
    assert again.search(["Niger"], 3) == retriever.search(["Niger"], 3)
    alive = weakref.ref(retriever)
    del retriever, again
    gc.collect()
    assert alive() is None
