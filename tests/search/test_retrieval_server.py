from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from palaestra.envs.search.corpus import load_corpus
from palaestra.envs.search.retrievers import Hit, make_retriever
from palaestra.envs.search.retrievers.bm25 import BM25Retriever
from palaestra.envs.search.server import serve
from palaestra.errors import ConfigError

PASSAGES = [
    ("n1", "Niger", "A country.\nIts river is the Niger."),
    ("n2", '"Heroes"', "An album; Niger is not on it."),
    ("n3", "", "Niger without a title"),
    ("n4", "Ünï 😀", "Niger \u2028 line"),
]

SERVE = """
import json, sys, pathlib
from palaestra.envs.search.corpus import load_corpus
from palaestra.envs.search.retrievers.bm25 import BM25Retriever
from palaestra.envs.search.server import serve
from palaestra.errors import EpisodeFailure

class Moody(BM25Retriever):
    def search(self, queries, k):
        if "break" in queries:
            raise EpisodeFailure("retriever_down", "out of order")
        return super().search(queries, k)

corpus = load_corpus(json.loads(sys.argv[1]))
retriever = Moody(corpus, cache_dir=pathlib.Path(sys.argv[2]))
try:
    serve(retriever, port=0, corpus=corpus, topk=2, ready=lambda url: print(url, flush=True))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("indices")


@pytest.fixture(scope="module")
def url(cache: Path) -> Iterator[str]:
    command = [sys.executable, "-c", SERVE, json.dumps(PASSAGES), str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert err == ""  # quiet, whatever the tests sent
        assert out == "interrupted\n"


def ask(url: str, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=10)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_our_client_at_our_server_is_the_local_retriever(url: str, cache: Path) -> None:
    local = BM25Retriever(load_corpus(PASSAGES), cache_dir=cache)
    remote = make_retriever(url)
    queries = ["Niger", "river country", "zzz", "", "\0", "\ud800", "Niger " * 100_000, "ünï"]

    def found(hits: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        return [list(each) for each in hits]

    for k in (1, 2, 4, 50):
        assert found(remote.search(queries, k)) == found(local.search(queries, k))
    assert [len(hits) for hits in remote.search(queries, 50)] == [4, 1, 0, 0, 0, 0, 4, 1]


def test_as_search_r1_asks(url: str) -> None:
    status, answer = ask(url, "POST", "/retrieve", b'{"queries": ["Niger", "zzz"], "topk": 1, "return_scores": true}')
    assert status == 200
    [[item], []] = answer["result"]
    assert set(item) == {"document", "score"}
    assert set(item["document"]) == {"id", "contents"}
    status, answer = ask(url, "POST", "/retrieve", b'{"queries": ["Niger"]}')
    assert [set(document) for document in answer["result"][0]] == [{"id", "contents"}] * 2  # topk=2 was the default


def test_health(url: str) -> None:
    status, answer = ask(url, "GET", "/health")
    assert (status, answer["status"], answer["retriever"], answer["passages"]) == (200, "ok", "bm25", 4)
    assert answer["corpus"] == load_corpus(PASSAGES).digest


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "JSON object, not list"),
        (b"{}", "'queries' must be a list"),
        (b'{"queries": "Niger"}', "'queries' must be a list"),
        (b'{"queries": [1]}', "'queries' must be a list"),
        (json.dumps({"queries": ["x"] * 5000}).encode(), "at most 4,096"),
        (b'{"queries": ["x"], "topk": -1}', "'topk' must be an integer from 1"),
        (b'{"queries": ["x"], "topk": 100000}', "from 1 to 1,000"),
        (b'{"queries": ["x"], "topk": "3"}', "'topk'"),
        (b'{"queries": ["x"], "topk": true}', "'topk'"),
        (b'{"queries": ["x"], "topk": 1.5}', "'topk'"),
        (b'{"queries": ["x"], "return_scores": 1}', "'return_scores'"),
    ],
)
def test_bad_requests(url: str, body: bytes, words: str) -> None:
    status, answer = ask(url, "POST", "/retrieve", body)
    assert status == 422
    assert words in answer["error"]
    assert "Accepted:" in answer["error"]


def test_other_paths_methods_and_failures(url: str) -> None:
    assert ask(url, "GET", "/")[0] == 404
    status, answer = ask(url, "GET", "/retrieve")
    assert (status, "POST /retrieve" in answer["error"]) == (405, True)
    status, answer = ask(url, "POST", "/retrieve", b'{"queries": ["break"]}')
    assert (status, "out of order" in answer["error"]) == (503, True)


def test_too_large_a_request(url: str) -> None:
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=30)
    with pytest.raises(OSError):  # the server hangs up, before or after its answer can be read
        connection.request("POST", "/retrieve", b" " * (80 * 2**20))
        raise OSError(connection.getresponse().status == 413)
    connection.close()
    assert ask(url, "GET", "/health")[0] == 200


def test_places_where_it_cannot_listen() -> None:
    retriever: Any = None
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}.*free one"):
            serve(retriever, port=port)
    with pytest.raises(ConfigError, match=r"nowhere\.invalid"):
        serve(retriever, host="nowhere.invalid")
    with pytest.raises(ConfigError, match="99999"):
        serve(retriever, port=99999)
