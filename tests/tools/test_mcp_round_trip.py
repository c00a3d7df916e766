"""FactbookSearch served over stdio and over HTTP, used by the official client and by our own toolset."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from mcp import Client, StdioServerParameters

import palaestra

SERVE = [sys.executable, "-m", "palaestra.harness.cli", "serve", "mcp", "palaestra/FactbookSearch-v0"]
MODES = {"2025-11-25": "legacy", "2026-07-28": "auto"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with subprocess.Popen(
        [*SERVE, "--http", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Serving palaestra/FactbookSearch-v0 at http://127.0.0.1:")
        yield line.split()[3]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors.strip()) == (130, "Interrupted.")


@pytest.fixture(scope="module")
def truth() -> Any:
    """The first lookup of the training split: its id, query and answer."""
    env = palaestra.make("palaestra/FactbookSearch-v0", kinds="lookup")
    task = env.unwrapped.tasks[0]
    return task


async def official(target: Any, mode: str, task: Any) -> tuple[str, list[str], dict[str, Any]]:
    async with Client(target, mode=mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        start = await client.call_tool("reset", {"task_id": task.id})
        assert task.prompt in start.structured_content["observation"]
        episode = {"episode_id": start.structured_content["episode_id"]}
        found = await client.call_tool("search", {**episode, "query": task.truth["queries"][0]})
        assert "Doc 1 (Title: " in found.content[0].text
        await client.call_tool("answer", {**episode, "answer": task.truth["answers"][0]})
        finish = await client.call_tool("finish", episode)
        return client.protocol_version, names, dict(finish.structured_content)


@pytest.mark.parametrize("protocol", MODES)
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_the_official_client(url: str, truth: Any, protocol: str, transport: str) -> None:
    target: Any = url
    if transport == "stdio":
        target = StdioServerParameters(command=SERVE[0], args=SERVE[1:], env=dict(os.environ))
    spoken, names, verdict = asyncio.run(official(target, MODES[protocol], truth))
    assert spoken == protocol
    assert names == ["reset", "search", "answer", "turn", "finish"]
    assert (verdict["status"], verdict["turn"], verdict["outcome"]) == ("terminated", 2, 1.0)


def file_of(task: Any, path: Path, **more: Any) -> str:
    line = {"id": "t", "group": "g", "prompt": task.prompt, **more}
    path.write_text(json.dumps(line))
    return str(path)


@pytest.mark.parametrize("protocol", MODES)
def test_our_toolset_over_stdio(truth: Any, tmp_path: Path, protocol: str) -> None:
    """The task file sets the episode up, the agent has only its tools, and a check asks how it went."""
    episode = {"episode_id": "e"}
    tasks = file_of(
        truth,
        tmp_path / "tasks.jsonl",
        setup=[{"name": "reset", "arguments": {**episode, "task_id": truth.id}}],
        gold_calls=[
            {"name": "search", "arguments": {**episode, "query": truth.truth["queries"][0]}},
            {"name": "server_answer", "arguments": {**episode, "answer": truth.truth["answers"][0]}},
        ],
        checks=[{"name": "finish", "arguments": episode, "equals": 1.0, "path": "/outcome"}],
    )
    env = gym.make(
        "palaestra/McpTools-v0",
        server=SERVE,
        tasks=tasks,
        tools=["search", "answer"],
        protocol=protocol,
        server_env=dict(os.environ),
    )
    raw: Any = env.unwrapped
    observation, info = env.reset(seed=0)
    assert raw.connection.protocol == protocol
    assert [tool["function"]["name"] for tool in raw.tools] == ["search", "server_answer", "answer"]
    oracle = raw.policy("oracle", raw.np_random)
    over = False
    while not over:
        observation, _, terminated, truncated, info = env.step(oracle(observation))
        over = terminated or truncated
    assert (info["status"], info["outcome"], info["checks"]) == ("terminated", 1.0, 1.0)
    env.close()


@pytest.mark.parametrize("protocol", MODES)
def test_our_toolset_over_http(url: str, truth: Any, tmp_path: Path, protocol: str) -> None:
    """The agent starts the episode itself, and is judged by its answer."""
    tasks = file_of(truth, tmp_path / "tasks.jsonl", answers=list(truth.truth["answers"]))
    env = gym.make("palaestra/McpTools-v0", server=url, tasks=tasks, protocol=protocol, restart=False)
    raw: Any = env.unwrapped
    for seed in range(2):
        env.reset(seed=seed)
        assert raw.connection.protocol == protocol
        *_, info = env.step(raw.say("reset", task_id=truth.id))
        episode = info["calls"][0].data["structured"]["episode_id"]
        found, *_ = env.step(raw.say("search", episode_id=episode, query=truth.truth["queries"][0]))
        assert "Doc 1 (Title: " in found
        said, _, terminated, _, info = env.step(raw.say("search", episode_id="nobody", query="x"))
        assert (terminated, info["calls"][0].status) == (False, "error")
        assert "There is no episode 'nobody'" in said
        *_, terminated, _, info = env.step(raw.say("answer", answer=truth.truth["answers"][0]))
        assert (terminated, info["status"], info["outcome"]) == (True, "terminated", 1.0)
    env.close()
