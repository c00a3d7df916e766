"""`palaestra serve mcp` as a command, and the certificate of `palaestra/McpTools-v0` on a server of ours."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from palaestra.harness.check import check
from palaestra.harness.cli import main

ROGUE = Path(__file__).with_name("mcp_rogue.py")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["serve", "mcp", *arguments])
    return end.value.code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["palaestra/FactbokSearch-v0"], 1, "Did you mean 'palaestra/FactbookSearch-v0'"),
        (["CartPole-v1"], 1, "text environments"),
        (["palaestra/FactbookSearch-v0", "--env", "top_k=0"], 1, "top_k is 0"),
        (["palaestra/FactbookSearch-v0", "--env", "topk=1"], 1, "no option 'topk'. Did you mean 'top_k'"),
        (["palaestra/FactbookSearch-v0", "--max-episodes", "0"], 1, "max_episodes is 0"),
        (["palaestra/FactbookSearch-v0", "--env", "top_k"], 2, "has no value"),
        (["--http"], 2, "Missing argument"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str) -> None:
    seen, out, errors = said(capsys, *arguments)
    assert (seen, out) == (code, "")
    assert words in errors


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, errors = said(capsys, "palaestra/FactbookSearch-v0", "--http", "--port", str(port))
    assert code == 1
    assert f"port {port}" in errors


def test_over_standard_input_it_ends_with_the_input_and_says_nothing_else() -> None:
    command = [sys.executable, "-m", "palaestra.harness.cli", "serve", "mcp", "palaestra/FactbookSearch-v0"]
    version = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    lines = (
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": version},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    )
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in lines:
            process.stdin.write(json.dumps(line).encode() + b"\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert answers[0]["result"]["protocolVersion"] == "2024-11-05"  # the oldest that is spoken
        assert [tool["name"] for tool in answers[1]["result"]["tools"]] == [
            "reset",
            "search",
            "answer",
            "turn",
            "finish",
        ]
        out, errors = process.communicate(timeout=30)
        assert (process.returncode, out, errors) == (0, b"", b"")


def test_interrupted_it_leaves() -> None:
    command = [sys.executable, "-m", "palaestra.harness.cli", "serve", "mcp", "palaestra/FactbookSearch-v0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        process.stdin.write(json.dumps(ping).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, errors = process.communicate(timeout=30)
        assert time.monotonic() - began < 20
        assert (process.returncode, errors.strip()) == (130, b"Interrupted.")


def test_what_can_be_certified_is(tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.jsonl"
    work = {"name": "work", "arguments": {"n": 1}}
    lines = (
        {"id": "a", "group": "a", "prompt": "Work.", "answers": ["worked 1"], "gold_calls": [work], "split": "train"},
        {"id": "b", "group": "b", "prompt": "Work.", "checks": [{"name": "work", "text": "worked 2"}], "split": "test",
         "gold_calls": [work]},
    )  # fmt: skip
    tasks.write_text("\n".join(map(json.dumps, lines)))
    options = {"server": f"{sys.executable} -S {ROGUE} good", "tasks": str(tasks), "protocol": "2025-11-25"}
    options["restart"] = False  # the rest of the certificate needs minutes
    certificate = check(
        "palaestra/McpTools-v0", env_kwargs=options, only=["make", "api", "pickling", "rendering", "docstring"]
    )
    assert certificate.passed, [result for result in certificate.results if result.status == "failed"]
