"""Servers that are dead, hang or lie: the episode fails with its cause, and the next one begins anew."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import palaestra
from palaestra.errors import ConfigError, EnvironmentUnavailable, EpisodeFailure

ROGUE = Path(__file__).with_name("mcp_rogue.py")
CALL = '<tool_call>{"name": "work", "arguments": {"n": 1}}</tool_call>'
ANSWER = '<tool_call>{"name": "answer", "arguments": {"answer": "yes"}}</tool_call>'


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps({"id": "t", "group": "g", "prompt": "Work, then say yes.", "answers": ["yes"]}))
    return path


def make(tasks: Path, mode: str, *more: str, **options: Any) -> Any:
    options = {"call_seconds": 5.0, "max_result_bytes": 1_000_000, "protocol": "2025-11-25", **options}
    server = [sys.executable, "-S", str(ROGUE), mode, *more]
    return gym.make("palaestra/McpTools-v0", server=server, tasks=str(tasks), **options)


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until_gone(*pids: int) -> None:
    until = time.monotonic() + 10
    while not all(map(gone, pids)):
        assert time.monotonic() < until, pids
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("crash", "mcp_down", "exit code 3.*the database is gone"),
        ("half", "mcp_garbage", "what is no message.*resu"),
        ("deaf", "mcp_down", "closed its standard output"),
        ("not-json", "mcp_garbage", "Listening on port 80"),
        ("not-rpc", "mcp_garbage", "hello"),
        ("deep", "mcp_garbage", "what is no message"),
        ("wrong-id", "mcp_garbage", "not open.*12345"),
        ("old-id", "mcp_garbage", "not open"),
        ("no-result", "mcp_garbage", "what is no message"),
        ("wrong-shape", "mcp_garbage", "no valid answer.*content"),
        ("wrong-part", "mcp_garbage", "no valid answer.*smell"),
        ("not-base64", "mcp_garbage", "base64"),
        ("nan", "mcp_garbage", "no valid answer"),
        ("wrong-output", "mcp_garbage", "seven"),
        ("no-output", "mcp_garbage", "did not return structured content"),
        ("bad-output-schema", "mcp_garbage", "no valid answer"),
        ("huge", "mcp_garbage", "more than 1,000,000 bytes"),
        ("endless", "mcp_garbage", "more than 1,000,000 bytes"),
        ("unknown-tool", "mcp_garbage", "no such method"),
        ("new-tools-told", "mcp_tools_changed", "'toil', 'work'"),
        ("new-tools-refused", "mcp_tools_changed", "'toil', 'work'"),
    ],
)
def test_a_lying_server_fails_the_episode_and_nothing_else(
    tasks: Path, tmp_path: Path, mode: str, kind: str, words: str
) -> None:
    switch = tmp_path / "misbehave"
    switch.touch()
    env = make(tasks, mode, str(switch))
    observation, info = env.reset(seed=1)
    assert info["status"] == "running"
    last, reward, terminated, truncated, info = env.step(CALL)
    assert (last, reward, terminated, truncated) == (observation, 0.0, False, True)
    assert info["status"] == "failed"
    assert (info["error"]["kind"], info["error"]["cause"], info["error"]["retryable"]) == (kind, "infrastructure", True)
    assert re.search(words, info["error"]["message"]), info["error"]["message"]
    switch.unlink()  # the server is mended: the next reset connects to a new one
    if mode in ("wrong-output", "no-output", "bad-output-schema"):  # what it promises now is another promise
        with pytest.raises(EnvironmentUnavailable, match="has changed its tools"):
            env.reset(seed=1)
    else:
        env.reset(seed=1)
        observation, *_ = env.step(CALL)
        assert "worked 1" in observation
        *_, info = env.step(ANSWER)
        assert (info["status"], info["outcome"]) == ("terminated", 1.0)
    env.close()


@pytest.mark.parametrize("mode", ["silent", "chatter"])
def test_a_hanging_server_fails_the_episode(tasks: Path, mode: str) -> None:
    env = make(tasks, mode, call_seconds=0.3)
    env.reset(seed=1)
    *_, info = env.step(CALL)
    assert (info["status"], info["error"]["kind"]) == ("failed", "mcp_timeout")
    assert "'work' within 0.3 s" in info["error"]["message"]
    env.reset(seed=1)
    env.close()


def test_a_failure_can_be_raised(tasks: Path) -> None:
    env = make(tasks, "silent", call_seconds=0.3, on_failure="raise")
    env.reset(seed=1)
    with pytest.raises(EpisodeFailure, match="mcp_timeout"):
        env.step(CALL)
    env.close()


def test_a_call_that_is_slow_by_itself_can_be_the_agents(tasks: Path) -> None:
    env = make(tasks, "slow-once", call_seconds=0.3, on_timeout="tool_error")
    env.reset(seed=1)
    observation, *_, info = env.step(CALL)
    assert (info["status"], info["calls"][0].status) == ("running", "error")
    assert "no answer within 0.3 s" in observation
    observation, *_, info = env.step(CALL)
    assert "worked 2" in observation
    env.close()


def test_what_the_server_says_of_the_call_is_the_agents(tasks: Path) -> None:
    for mode, words in {"internal": "division by zero", "asks": "Elicitation not supported"}.items():
        env = make(tasks, mode)
        env.reset(seed=1)
        observation, *_, info = env.step(CALL)
        assert (info["status"], info["calls"][0].status) == ("running", "error")
        assert words in observation
        env.close()


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("still-born", "exit code 1.*configuration is missing"),
        ("mute", "did not give a connection within 0.5 s"),
        ("ancient", "1999-01-01"),
        ("bad-schema", "'work' cannot be used"),
        ("remote-schema", "refers to 'http://127.0.0.1:9/x'"),
        ("twins", "two tools have one name"),
        ("endless-list", "two tools have one name|does not end"),
    ],
)
def test_a_server_that_cannot_be_used_is_one_clear_error(tasks: Path, mode: str, words: str) -> None:
    with pytest.raises(EnvironmentUnavailable, match=words):
        make(tasks, mode, connect_seconds=0.5 if mode == "mute" else 10.0)


def test_a_server_that_dies_between_episodes_is_started_again(tasks: Path, tmp_path: Path) -> None:
    note = tmp_path / "family"
    env = make(tasks, "family", restart=False, server_env={"FAMILY": str(note)})
    env.reset(seed=1)
    env.step(CALL)
    server = int(note.read_text().split()[0])
    os.kill(server, signal.SIGKILL)
    *_, info = env.step(CALL)
    assert info["error"]["kind"] == "mcp_down"
    assert "exit code 137" in info["error"]["message"]
    env.reset(seed=1)
    observation, *_ = env.step(CALL)
    assert "worked 1" in observation
    env.close()


def test_stubborn_servers_and_their_children_end_with_the_environment(tasks: Path, tmp_path: Path) -> None:
    note = tmp_path / "family"
    env = make(tasks, "stubborn", server_env={"FAMILY": str(note)})
    pids = [int(pid) for pid in note.read_text().split()]
    assert not any(map(gone, pids))
    env.close()
    env.close()
    wait_until_gone(*pids)


def test_an_environment_that_nobody_closed_leaves_no_process(tasks: Path, tmp_path: Path) -> None:
    note = tmp_path / "family"
    env = make(tasks, "family", server_env={"FAMILY": str(note)})
    pids = [int(pid) for pid in note.read_text().split()]
    del env
    gc.collect()
    wait_until_gone(*pids)


def test_a_killed_process_leaves_no_server(tasks: Path, tmp_path: Path) -> None:
    note = tmp_path / "family"
    code = (
        "import sys, time, gymnasium as gym, palaestra\n"
        f"env = gym.make('palaestra/McpTools-v0', server=[sys.executable, '-S', {str(ROGUE)!r}, 'family'],\n"
        f"               tasks={str(tasks)!r}, server_env={{'FAMILY': {str(note)!r}}}, protocol='2025-11-25')\n"
        "print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        pids = [int(pid) for pid in note.read_text().split()]
        assert not any(map(gone, pids))
        process.kill()
    wait_until_gone(*pids)


def test_bad_options_are_clear_errors(tasks: Path) -> None:
    def made(**options: Any) -> None:
        palaestra.make("palaestra/McpTools-v0", **{"server": "true", "tasks": str(tasks), **options})

    for options, words in (
        ({"server": None}, "needs 'server'"),
        ({"tasks": None}, "needs 'tasks'"),
        ({"server": ""}, "server is empty"),
        ({"server": 7}, "server is 7"),
        ({"server": "python '"}, "cannot be read"),
        ({"server": "no-such-program --now"}, "no command 'no-such-program'"),
        ({"server": ["tr\0ue"]}, "NUL"),
        ({"protocol": "2024"}, "choose from 'auto'"),
        ({"call_seconds": 0}, "call_seconds is 0"),
        ({"connect_seconds": float("nan")}, "connect_seconds is nan"),
        ({"call_seconds": "soon"}, "call_seconds is 'soon'; it must be a number of seconds"),
        ({"max_result_bytes": 1}, "max_result_bytes is 1; it must be at least 1024"),
        ({"max_result_bytes": "big"}, "max_result_bytes is 'big'; it must be a whole number"),
        ({"server_env": "A=1"}, "server_env is 'A=1'; give names and values"),
        ({"server_env": {"A": 1}}, "names and values, both texts"),
        ({"server": "http://127.0.0.1:9/mcp", "headers": "x"}, "headers is 'x'"),
        ({"on_timeout": "shrug"}, "'failure' or 'tool_error'"),
        ({"cwd": "/no/such/folder"}, "no folder"),
        ({"headers": {"A": "b"}}, "headers are for"),
        ({"server": "http://127.0.0.1:9/mcp", "cwd": "/"}, "not for an address"),
    ):
        with pytest.raises(ConfigError, match=words):
            made(**options)
