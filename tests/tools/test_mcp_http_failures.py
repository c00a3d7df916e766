"""HTTP servers that are out of order or lie: the same promises as for child processes."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import palaestra  # noqa: F401 (registers the ids)

CALL = '<tool_call>{"name": "work", "arguments": {}}</tool_call>'
TOOL = {"name": "work", "description": "Works.", "inputSchema": {"type": "object", "properties": {}}}


class Rogue(BaseHTTPRequestHandler):
    """Speaks 2025-11-25 with a session, and misbehaves at calls as the server's `mode` says."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def give(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **given}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def reply(self, request: Any, result: Any, **headers: str) -> None:
        self.give(200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode(), **headers)

    def error(self, request: Any, code: int, message: str, status: int = 200) -> None:
        body = {"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": message}}
        self.give(status, json.dumps(body).encode())

    def do_GET(self) -> None:
        self.give(405, b"", "text/plain")

    def do_DELETE(self) -> None:
        self.give(200, b"", "text/plain")

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match request["method"]:
            case "initialize":
                info = {"name": "rogue", "version": "1"}
                result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
                self.reply(request, result, Mcp_Session_Id="s1")
            case "tools/list":
                self.reply(request, {"tools": [TOOL]})
            case "tools/call":
                self.call(request)
            case _ if "id" in request:
                self.error(request, -32601, "no such method", 404)
            case _:
                self.give(202, b"", "text/plain")

    def call(self, request: Any) -> None:
        good = {"content": [{"type": "text", "text": "worked"}]}
        answer = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": good}).encode()
        server: Any = self.server
        match server.mode:
            case "500":
                self.give(500, b"<h1>Internal Server Error</h1>", "text/html")
            case "503":
                self.give(503, b'{"error": "overloaded"}')
            case "401":
                self.give(401, b"", "text/plain")
            case "lost":
                self.error(request, -32600, "Session not found", 404)
            case "huge":
                self.give(200, b" " * 2_000_000 + answer)
            case "huge-event":
                self.give(200, b"data: " + b" " * 2_000_000 + answer + b"\n\n", "text/event-stream")
            case "bomb":
                self.give(200, gzip.compress(answer + b" " * 50_000_000), Content_Encoding="gzip")
            case "not-json":
                self.give(200, b"<html>")
            case "not-json-event":
                self.give(200, b"data: <html>\n\n", "text/event-stream")
            case "wrong-id":
                self.reply({"id": 999}, good)
            case "wrong-kind":
                self.give(200, b"<html>", "text/html")
            case "accepted":
                self.give(202, b"", "text/plain")
            case "no-event":
                self.give(200, b": nothing to say\n\n", "text/event-stream")
            case "cut":
                self.give(200, answer[:20], Content_Length=str(len(answer)))
                self.close_connection = True
            case "hang-up":
                self.close_connection = True
            case "redirect":
                self.give(302, b"", "text/plain", Location="http://127.0.0.1:9/")
            case "silent":
                server.over.wait(10)
            case "drip":
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "100")
                self.end_headers()
                try:
                    while not server.over.wait(0.05):
                        self.wfile.write(b" ")
                except OSError:
                    pass
            case "internal":
                self.error(request, -32603, "division by zero", 500)
            case "event":
                self.give(200, b"data: " + answer + b"\n\n", "text/event-stream")
            case _:
                self.reply(request, good)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    mode = "good"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients may hang up


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    made: Any = Server(("127.0.0.1", 0), Rogue)
    made.over = threading.Event()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.over.set()
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(scope="module")
def env(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    tasks = tmp_path_factory.mktemp("t") / "tasks.jsonl"
    Path(tasks).write_text(json.dumps({"id": "t", "group": "g", "prompt": "Work.", "answers": ["yes"]}))
    url = f"http://127.0.0.1:{server.server_address[1]}/mcp"
    options = {"call_seconds": 2.0, "max_result_bytes": 1_000_000}
    env = gym.make("palaestra/McpTools-v0", server=url, tasks=str(tasks), restart=False, **options)
    yield env
    env.close()


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("500", "mcp_down", "HTTP status 500: <h1>Internal Server Error"),
        ("503", "mcp_down", "HTTP status 503.*overloaded"),
        ("401", "mcp_down", "HTTP status 401"),
        ("lost", "mcp_down", "HTTP status 404.*Session not found"),
        ("huge", "mcp_garbage", "more than 1,000,000 bytes"),
        ("huge-event", "mcp_garbage", "more than 1,000,000 bytes"),
        ("bomb", "mcp_garbage", "encoded as 'gzip'"),
        ("not-json", "mcp_garbage", "Failed to parse"),
        ("not-json-event", "mcp_garbage", "Failed to parse"),
        ("wrong-id", "mcp_garbage", "not open.*999"),
        ("wrong-kind", "mcp_garbage", "Unexpected content type: text/html"),
        ("accepted", "mcp_garbage", "202"),
        ("no-event", "mcp_down", "without a response"),
        ("cut", "mcp_down", "broke off its answer"),
        ("hang-up", "mcp_down", "no connection to the server"),
        ("redirect", "mcp_garbage", "Redirect to http://127.0.0.1:9/ not followed"),
        ("silent", "mcp_timeout", "within 2 s"),
        ("drip", "mcp_timeout", "within 2 s"),
    ],
)
def test_it_fails_the_episode_and_nothing_else(server: Any, env: Any, mode: str, kind: str, words: str) -> None:
    server.mode = "good"
    env.reset(seed=1)
    observation, *_ = env.step(CALL)
    assert "worked" in observation
    server.mode = mode
    last, reward, terminated, truncated, info = env.step(CALL)
    assert (last, reward, terminated, truncated, info["status"]) == (observation, 0.0, False, True, "failed")
    assert (info["error"]["kind"], info["error"]["cause"]) == (kind, "infrastructure")
    assert re.search(words, info["error"]["message"]), info["error"]["message"]


def test_what_is_fine(server: Any, env: Any) -> None:
    server.mode = "event"
    env.reset(seed=1)
    assert "worked" in env.step(CALL)[0]
    server.mode = "internal"
    observation, *_, info = env.step(CALL)
    assert (info["status"], info["calls"][0].status) == ("running", "error")
    assert "division by zero" in observation
