from __future__ import annotations

import gc
import json
import os
import pickle
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from palaestra.envs.search.passages import Passage
from palaestra.envs.search.retrievers import Hit, Retriever
from palaestra.envs.search.retrievers.http import HTTPRetriever
from palaestra.errors import ConfigError, EpisodeFailure

NIGER = {"id": "n1", "contents": '"Niger"\nA country.'}
Script = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, script: Script, port: int) -> None:
        self.script, self.requests, self.connections = script, list[dict[str, Any]](), 0
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what many of these tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append({"path": self.path, "headers": dict(self.headers), **body})
        self.server.script(self, body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(script: Script, port: int = 0) -> Iterator[Server]:
    with Server(script, port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def reply(handler: BaseHTTPRequestHandler, content: object, status: int = 200) -> None:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def always(content: object, status: int = 200) -> Script:
    return lambda handler, body: reply(handler, content, status)


def echo(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    """For each query as many documents as asked for, named after it."""
    result = [
        [{"document": {"id": f"{query}-{i}", "contents": query}, "score": 9.0 - i} for i in range(body["topk"])]
        for query in body["queries"]
    ]
    reply(handler, {"result": result})


def quick(url: str, **options: Any) -> HTTPRetriever:
    defaults = {"connect_seconds": 1.0, "read_seconds": 0.3, "total_seconds": 3.0, "backoff_seconds": 0.01}
    return HTTPRetriever(url, **{**defaults, **options})


def failure(retriever: HTTPRetriever, query: str = "q") -> EpisodeFailure:
    with pytest.raises(EpisodeFailure) as caught:
        retriever.search([query], 2)
    assert retriever.url in caught.value.message
    return caught.value


def test_the_protocol() -> None:
    with serving(echo) as server:
        retriever = quick(server.url, headers={"Authorization": "Bearer x"})
        assert isinstance(retriever, Retriever)
        assert retriever.url == f"{server.url}/retrieve" in retriever.version
        assert [[hit.passage.id for hit in hits] for hits in retriever.search(["a", "b"], 2)] == [
            ["a-0", "a-1"],
            ["b-0", "b-1"],
        ]
        [request] = server.requests
        assert (request["path"], request["queries"], request["topk"]) == ("/retrieve", ["a", "b"], 2)
        assert request["return_scores"] is True
        assert request["headers"]["Authorization"] == "Bearer x"


@pytest.mark.parametrize(
    ("document", "passage"),
    [
        (NIGER, Passage("n1", "Niger", "A country.")),
        ({"id": 7, "title": "T", "text": "words", "contents": "ignored"}, Passage("7", "T", "words")),
        ({"contents": "T\nwords"}, Passage("sha256:", "T", "words")),
    ],
)
@pytest.mark.parametrize("scored", [True, False])
def test_documents_of_every_kind(document: dict[str, Any], passage: Passage, scored: bool) -> None:
    items = [{"document": document, "score": 3}, {"document": NIGER, "score": -1.5}] if scored else [document, NIGER]
    with serving(always({"result": [items]})) as server:
        [hits] = quick(server.url).search(["q"], 2)
    if "id" not in document:
        assert hits[0].passage.id.startswith("sha256:")
        passage = Passage(hits[0].passage.id, passage.title, passage.text)
    assert hits[0] == Hit(passage, 3.0 if scored else 1.0, 1)
    assert (hits[1].score, hits[1].rank) == ((-1.5, 2) if scored else (0.5, 2))


def test_fewer_and_more_hits_than_asked_for() -> None:
    with serving(always({"result": [[], [NIGER] * 5]})) as server:
        assert [len(hits) for hits in quick(server.url).search(["a", "b"], 2)] == [0, 2]


def test_odd_queries_are_cleaned_or_not_sent() -> None:
    with serving(echo) as server:
        retriever = quick(server.url, read_seconds=3.0)
        queries = ["", "\0\0", "\ud800", " ", "a\0b", "c\ud800d", "e" * 1_000_000]
        found = retriever.search(queries, 1)
        assert [len(hits) for hits in found] == [0, 0, 0, 0, 1, 1, 1]
        assert [query[:3] for query in server.requests[0]["queries"]] == ["a b", "cd", "eee"]
        assert len(server.requests[0]["queries"][2]) == 16_384
        assert retriever.search(["", "\0"], 3) == [[], []]
        assert retriever.search([], 3) == []
        assert len(server.requests) == 1
        with pytest.raises(ConfigError):
            retriever.search(["q"], 0)


def test_one_connection_serves_many_searches() -> None:
    with serving(echo) as server:
        retriever = quick(server.url)
        for i in range(20):
            assert retriever.search([f"q{i}"], 1)[0][0].passage.id == f"q{i}-0"
        assert server.connections == 1


def test_sixteen_threads_get_their_own_answers() -> None:
    with serving(echo) as server:
        retriever = quick(server.url, read_seconds=10.0, total_seconds=30.0)

        def ask(i: int) -> bool:
            return all(retriever.search([f"{i}.{j}"], 1)[0][0].passage.id == f"{i}.{j}-0" for j in range(20))

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(ask, range(16)))
        assert server.connections <= 16


GARBAGE: list[tuple[object, str]] = [
    (b"<html>not json</html>", "not JSON.*<html>"),
    (b"", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b"[" * 200_000, "not JSON"),
    (b'{"result": [[1' + b"0" * 10_000 + b"]]}", "not JSON"),
    ([], "no list of lists"),
    ({"results": [[]]}, "no list of lists"),
    ({"result": None}, "no list of lists"),
    ({"result": [NIGER]}, "no list of lists"),
    ({"result": []}, "0 results for 1 queries"),
    ({"result": [[], []]}, "2 results for 1 queries"),
    ({"result": [[3]]}, "int, not an object"),
    ({"result": [[None]]}, "NoneType, not an object"),
    ({"result": [[{"document": "text"}]]}, "str, not an object"),
    ({"result": [[{"document": {"id": "x"}}]]}, "lacks the field 'text'"),
    ({"result": [[{"document": {"id": "x", "contents": 3}}]]}, "'contents' of a document must be a string"),
    ({"result": [[{"document": {"id": [], "contents": "x"}}]]}, "'id' of a document must be"),
    ({"result": [[{"document": NIGER, "score": float("nan")}]]}, "nan, not a finite number"),
    ({"result": [[{"document": NIGER, "score": float("inf")}]]}, "inf, not a finite number"),
    ({"result": [[{"document": NIGER, "score": 10**400}]]}, "not a finite number"),
    ({"result": [[{"document": NIGER, "score": "9"}]]}, "9, not a finite number"),
    ({"result": [[{"document": NIGER, "score": True}]]}, "True, not a finite number"),
    ({"result": [[{"document": NIGER, "score": [1]}]]}, "not a finite number"),
]


@pytest.mark.parametrize(("content", "words"), GARBAGE)
def test_garbage(content: object, words: str) -> None:
    with serving(always(content)) as server:
        caught = failure(quick(server.url))
        assert (caught.kind, caught.cause) == ("retriever_garbage", "infrastructure")
        assert len(caught.message) < 1000
        assert re.search(words, caught.message, re.DOTALL)
        assert len(server.requests) == 1  # asking again would not help


@pytest.mark.parametrize(
    ("status", "kind", "attempts"),
    [
        (500, "retriever_down", 3),
        (503, "retriever_down", 3),
        (429, "retriever_down", 3),
        (404, "retriever_garbage", 1),
        (422, "retriever_garbage", 1),
        (204, "retriever_garbage", 1),
        (302, "retriever_garbage", 1),
    ],
)
def test_other_statuses(status: int, kind: str, attempts: int) -> None:
    with serving(always(b"" if status == 204 else b"out of order " * 1000, status)) as server:
        caught = failure(quick(server.url))
        assert (caught.kind, caught.cause, len(server.requests)) == (kind, "unattributed", attempts)
        assert f"status {status}" in caught.message
        assert len(caught.message) < 500


def test_a_server_that_recovers() -> None:
    statuses = iter([500, 503])

    def script(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        status = next(statuses, 200)
        reply(handler, {"error": "warming up"}, status) if status != 200 else echo(handler, body)

    with serving(script) as server:
        assert quick(server.url, rng=np.random.default_rng(0)).search(["a"], 1)[0][0].passage.id == "a-0"
        assert len(server.requests) == 3


def test_a_server_that_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    caught = failure(quick(f"http://127.0.0.1:{port}"))
    assert (caught.kind, caught.cause, caught.retryable) == ("retriever_down", "infrastructure", True)
    assert "Is the server running?" in caught.message
    assert failure(quick("http://nowhere.invalid")).kind == "retriever_down"


def test_a_server_that_hangs_up() -> None:
    def hang_up(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    with serving(hang_up) as server:
        assert failure(quick(server.url)).kind == "retriever_down"
        assert len(server.requests) == 3

    def break_off(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"{")
        hang_up(handler, body)

    with serving(break_off) as server:
        assert failure(quick(server.url)).kind == "retriever_down"


def test_a_server_restarted_between_searches() -> None:
    """The kept connection is dead; a new one is made without anybody noticing."""
    with serving(echo) as server:
        retriever, port = quick(server.url), server.server_port
        retriever.search(["a"], 1)
    with serving(echo, port):
        assert retriever.search(["b"], 1)[0][0].passage.id == "b-0"


def until_hung_up(handler: BaseHTTPRequestHandler, data: bytes, pause: float) -> None:
    """One byte at a time, for at most ten seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for i in range(len(data)):
            handler.connection.sendall(data[i : i + 1])
            time.sleep(pause)
            if time.monotonic() > end:
                return


def silence(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    handler.connection.settimeout(10)
    handler.connection.recv(1)


def drip_body(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.wfile.flush()
    until_hung_up(handler, b" ", 0.05)


def drip_headers(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    handler.connection.sendall(b"HTTP/1.1 200 OK\r\n")
    until_hung_up(handler, b"X-A: b\r\n", 0.05)


@pytest.mark.parametrize("script", [silence, drip_body, drip_headers])
def test_slow_servers(script: Script) -> None:
    with serving(script) as server:
        started = time.monotonic()
        caught = failure(quick(server.url, total_seconds=1.0))
        assert caught.kind == "retriever_timeout"
        assert "whole answer" in caught.message
        assert time.monotonic() - started < 5  # far below the ten seconds of dripping, far above the one allowed


def test_the_whole_time_bounds_a_single_wait_too() -> None:
    with serving(silence) as server:
        started = time.monotonic()
        assert failure(quick(server.url, read_seconds=60.0, total_seconds=0.5)).kind == "retriever_timeout"
        assert time.monotonic() - started < 5


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_makes_its_own_connection() -> None:
    with serving(echo) as server:
        retriever = quick(server.url, read_seconds=5.0)
        retriever.search(["parent"], 1)
        child = os.fork()
        if child == 0:
            os._exit(0 if retriever.search(["child"], 1)[0][0].passage.id == "child-0" else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert retriever.search(["parent"], 1)[0][0].passage.id == "parent-0"
        assert server.connections == 2


def test_a_server_that_never_accepts() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):  # fill the backlog, so that a connection is neither accepted nor refused
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        caught = failure(quick(f"http://127.0.0.1:{listener.getsockname()[1]}", connect_seconds=0.2, total_seconds=1.0))
        for filler in fillers:
            filler.close()
    assert caught.kind == "retriever_timeout"


def test_too_large_an_answer_is_not_read() -> None:
    sent = 0

    def flood(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"100000\r\n" + b" " * 2**20 + b"\r\n")
            sent += 2**20

    with serving(flood) as server:
        caught = failure(quick(server.url, max_bytes=2**20, read_seconds=5.0))
    assert caught.kind == "retriever_garbage"
    assert "more than 1,048,576 bytes" in caught.message
    assert sent < 50 * 2**20


def test_not_even_http() -> None:
    def babble(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        handler.connection.sendall(b"220 mail.example ESMTP\r\n\r\n")

    with serving(babble) as server:
        caught = failure(quick(server.url))
    assert caught.kind == "retriever_garbage"
    assert "not HTTP" in caught.message


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://x/retrieve", "http://", "http://:80", "http://x:99999", "http://x:0", "http://a b/",
     "http://u:p@x/", "http://x/\n", "http://[::1/", "http://ü/"],
)  # fmt: skip
def test_bad_addresses(url: str) -> None:
    with pytest.raises(ConfigError, match="http://localhost:8000/retrieve"):
        HTTPRetriever(url)


def test_bad_options() -> None:
    for options in ({"total_seconds": 0}, {"connect_seconds": -1}, {"retries": -1}, {"max_bytes": 0}):
        with pytest.raises(ConfigError, match="must be"):
            HTTPRetriever("http://x", **options)  # type: ignore[arg-type]
    with serving(echo) as server, pytest.raises(ConfigError, match="headers"):
        quick(server.url, headers={"X": "a\nb"}).search(["q"], 1)


def test_pickled_and_freed() -> None:
    with serving(echo) as server:
        retriever = quick(server.url)
        again = pickle.loads(pickle.dumps(retriever))
        assert again.search(["a"], 1) == retriever.search(["a"], 1)
        assert server.connections == 2
        del retriever, again
        gc.collect()  # sockets left open would be a ResourceWarning, which is an error in these tests
