from __future__ import annotations

import gc
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from palaestra.envs.search.corpus import load_corpus
from palaestra.envs.search.retrievers import make_retriever
from palaestra.envs.search.sharing import Shared
from palaestra.errors import ConfigError, UnknownNameError

ROWS = [("a", "Niger", "river"), ("b", "Nile", "river")]


def test_one_index_for_all_who_ask(tmp_path: Path) -> None:
    first = make_retriever("bm25", load_corpus(ROWS), cache_dir=tmp_path)
    assert make_retriever("bm25", load_corpus(ROWS), cache_dir=tmp_path) is first
    assert make_retriever("bm25", load_corpus(ROWS[:1]), cache_dir=tmp_path) is not first
    assert make_retriever(first) is first
    remote = make_retriever("http://localhost:1/retrieve")
    assert make_retriever("http://localhost:1/retrieve") is remote
    alive = weakref.ref(first)
    del first
    gc.collect()
    assert alive() is None  # nothing but its users holds an index


def test_hybrid_fuses_the_shared_ones(tmp_path: Path) -> None:
    corpus = load_corpus(ROWS)
    hybrid = make_retriever("hybrid", corpus, cache_dir=tmp_path)
    bm25 = make_retriever("bm25", corpus, cache_dir=tmp_path)
    dense = make_retriever("dense", corpus, cache_dir=tmp_path)
    assert (bm25.name, dense.name, hybrid.name) == ("bm25", "dense", "hybrid")
    [hits] = hybrid.search(["Niger"], 2)
    assert [hit.passage.id for hit in hits] == ["a", "b"]
    assert hits[0].score == pytest.approx(1 / 61 + 1 / 61)
    assert hits[1].score == pytest.approx(1 / 62)  # BM25 does not find it


def test_what_cannot_be_made() -> None:
    corpus = load_corpus(ROWS)
    with pytest.raises(UnknownNameError, match="Did you mean 'bm25'"):
        make_retriever("BM-25", corpus)
    with pytest.raises(UnknownNameError, match=r"bm25, dense, .*http://"):
        make_retriever("faiss", corpus)
    with pytest.raises(ConfigError, match="needs a corpus"):
        make_retriever("bm25")
    with pytest.raises(ConfigError, match="not int"):
        make_retriever(3, corpus)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="address"):
        make_retriever("http://", corpus)


def test_files_are_shared_until_they_change(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"id": "a", "contents": "x"}\n')
    first = load_corpus(path)
    assert load_corpus(str(path)) is first
    path.write_text('{"id": "a", "contents": "other"}\n')
    assert load_corpus(path) is not first
    alive = weakref.ref(first)
    del first
    gc.collect()
    assert alive() is None


class Thing:
    pass


def test_made_once_by_many_threads_and_again_after_a_failure() -> None:
    shared: Shared[Thing] = Shared()
    calls, start = [], threading.Barrier(8)

    def make() -> Thing:
        calls.append(None)
        return Thing()

    def ask(_: int) -> Thing:
        start.wait(30)
        return shared.get("key", make)

    with ThreadPoolExecutor(8) as pool:
        things = list(pool.map(ask, range(8)))
    assert len(set(things)) == len(calls) == 1

    def fail() -> Thing:
        raise ValueError("not today")

    for _ in range(2):
        with pytest.raises(ValueError, match="not today"):
            shared.get("other", fail)
    assert isinstance(shared.get("other", Thing), Thing)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_another_thread_makes_something() -> None:
    shared: Shared[Thing] = Shared()
    inside, leave = threading.Event(), threading.Event()

    def slow() -> Thing:
        inside.set()
        leave.wait(30)
        return Thing()

    thread = threading.Thread(target=shared.get, args=("key", slow))
    thread.start()
    inside.wait(30)
    child = os.fork()
    if child == 0:
        os._exit(0 if isinstance(shared.get("key", Thing), Thing) else 1)
    leave.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
