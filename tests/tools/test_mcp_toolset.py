"""A well-behaved server's tools in an environment: what agents see, do and are judged by."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from palaestra.envs.tools.mcp.connection import ListedTool
from palaestra.envs.tools.mcp.toolset import make_tools
from palaestra.episodes import ImagePart, TextPart
from palaestra.errors import DataError, EpisodeFailure, SnapshotError, UnknownNameError

SHOP = Path(__file__).with_name("mcp_shop.py")
STDIO = [sys.executable, str(SHOP)]
LEFT = {"name": "count", "arguments": {"item": "apple"}, "equals": 3, "path": "/result"}
BUY = {"name": "buy", "arguments": {"lines": [{"item": "apple", "count": 2}]}}
TASKS = [
    {"id": "ask", "group": "ask", "split": "train", "prompt": "How many pears are there?", "answers": ["2", "two"],
     "gold_calls": [{"name": "count", "arguments": {"item": "pear"}}]},
    {"id": "buy", "group": "buy", "split": "test", "prompt": "Buy two apples.", "checks": [LEFT], "gold_calls": [BUY]},
    {"id": "both", "group": "both", "split": "test", "prompt": "Buy two more apples. How many are left?",
     "setup": [{"name": "buy", "arguments": {"lines": [{"item": "apple", "count": 1}]}}],
     "checks": [{**LEFT, "equals": 2}, {"name": "count", "arguments": {"item": "pear"}, "text": "2"}],
     "answers": ["2"], "gold_calls": [[BUY, {"name": "count", "arguments": {"item": "apple"}}]]},
]  # fmt: skip


def write(folder: Path, *tasks: Any) -> str:
    path = folder / "tasks.jsonl"
    path.write_text("".join(json.dumps(task) + "\n" for task in tasks or TASKS))
    return str(path)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([*STDIO, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
        process.kill()


@pytest.fixture(scope="module")
def lasting(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An environment on the HTTP server, for what changes nothing there."""
    env = gym.make("palaestra/McpTools-v0", server=url, tasks=write(tmp_path_factory.mktemp("t")), restart=False)
    yield env
    env.close()


def step(env: Any, name: str, **arguments: Any) -> tuple[str, Any, dict[str, Any]]:
    observation, reward, _, _, info = env.step(env.unwrapped.say(name, **arguments))
    return observation, reward, info


def test_what_the_agent_is_told(lasting: Any) -> None:
    observation, info = lasting.reset(seed=0, options={"task_id": "both"})
    assert (info["task_id"], info["group"], info["split"]) == ("both", "both", "test")
    assert observation.endswith("\nTask: Buy two more apples. How many are left?")
    assert "Prices are in crowns." in observation
    names = [tool["function"]["name"] for tool in lasting.unwrapped.tools]
    assert names == ["count", "buy", "refuse", "shelf_picture", "sleep", "server_answer", "answer"]
    buy = lasting.unwrapped.tools[1]["function"]["parameters"]
    assert buy["properties"]["lines"]["items"]["properties"]["item"]["type"] == "string"  # what $ref stood for
    assert "$defs" not in buy


def test_texts_pictures_and_structured_results(lasting: Any) -> None:
    lasting.reset(seed=0, options={"task_id": "ask"})
    observation, _, info = step(lasting, "count", item="pear")
    (call,) = info["calls"]
    assert (call.status, call.result.text, call.data) == ("ok", "2", {"structured": {"result": 2}})
    assert observation == "<tool_response>2</tool_response>"
    observation, _, info = step(lasting, "shelf_picture")
    first, note, image = info["calls"][0].result.content
    assert (first, note) == (TextPart("The shelf:"), TextPart(f"[picture, image/png, {len(image.data)} bytes]"))
    assert isinstance(image, ImagePart)
    assert (image.read()[:4], image.media_type) == (b"\x89PNG", "image/png")
    observation, _, info = step(lasting, "server_answer", answer="milk")
    assert "milk costs 3." in observation
    assert info["status"] == "running"


def test_mistakes_are_the_agents(lasting: Any) -> None:
    lasting.reset(seed=0, options={"task_id": "ask"})
    for name, arguments, status, words in (
        ("refuse", {}, "error", "The shop is closed."),
        ("buy", {"lines": [{"item": "apple", "count": 99}]}, "error", "Error executing tool buy"),
        ("count", {"item": 7}, "rejected", "In the field 'item': 7 is not of type 'string'"),
        ("count", {}, "rejected", "'item' is a required property"),
        ("buy", {"lines": [{"item": "x", "count": 1.0}]}, "rejected", "In the field 'lines.0.count'"),
        ("sleep", {"seconds": 0, "hard": True}, "rejected", "'hard' was unexpected"),
        ("steal", {}, "rejected", "There is no tool 'steal'."),
    ):
        observation, reward, info = step(lasting, name, **arguments)
        assert (info["status"], info["calls"][0].status, reward) == ("running", status, 0.0)
        assert words in observation


def test_a_planted_truth_is_all_that_counts(lasting: Any) -> None:
    lasting.reset(seed=0, options={"task_id": "buy", "canary": "nonce"})
    assert lasting.unwrapped.privileged()["checks"][0]["name"] == "nonce"
    assert lasting.unwrapped.judge() == 0.0


def test_answers_are_judged(lasting: Any) -> None:
    for answer, outcome in (("Two.", 1.0), ("2", 1.0), ("3", 0.0), ("", 0.0)):
        lasting.reset(seed=0, options={"task_id": "ask"})
        assert lasting.unwrapped.judge() == 0.0
        _, reward, info = step(lasting, "answer", answer=answer)
        assert (info["status"], reward, info["outcome"], info["em"], info["checks"]) == (
            "terminated",
            outcome,
            outcome,
            outcome,
            1.0,
        )


def test_the_servers_state_is_judged(tmp_path: Path) -> None:
    """One process an episode: what was bought in one is there again in the next."""
    env = gym.make("palaestra/McpTools-v0", server=STDIO, tasks=write(tmp_path), max_turns=2, protocol="2026-07-28")
    raw: Any = env.unwrapped
    for task_id in ("both", "buy"):
        observation, _ = env.reset(seed=0, options={"task_id": task_id})
        oracle = raw.policy("oracle", raw.np_random)
        while True:
            observation, reward, terminated, truncated, info = env.step(oracle(observation))
            if terminated or truncated:
                break
        assert (info["status"], reward, info["checks"]) == ("terminated", 1.0, 1.0)
    env.reset(seed=0, options={"task_id": "both"})
    _, _, info = step(env, "answer", answer="2")
    assert (info["outcome"], info["em"], info["checks"]) == (0.0, 1.0, 0.5)  # right by luck, but nothing was bought
    env.reset(seed=0, options={"task_id": "buy"})
    step(env, "buy", lines=[{"item": "apple", "count": 2}])
    assert raw.judge() == 1.0  # also where something outside cuts the episode off
    *_, truncated, info = env.step("")
    assert (truncated, info["status"], info["outcome"]) == (True, "truncated", 1.0)
    with pytest.raises(SnapshotError, match="state of its own"):
        raw.snapshot_state()
    env.close()


def test_environments_beside_each_other(url: str, tmp_path: Path) -> None:
    tasks, failures = write(tmp_path), []

    def work(seed: int) -> None:
        env = gym.make("palaestra/McpTools-v0", server=url, tasks=tasks)
        try:
            for _ in range(2):
                env.reset(seed=seed, options={"task_id": "ask"})
                if "2" not in step(env, "count", item="pear")[0]:
                    failures.append(seed)
        except Exception as error:
            failures.append(error)
        finally:
            env.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert not [thread for thread in threading.enumerate() if thread.name == "palaestra-mcp" and not thread.daemon]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # newer Pythons warn wherever there are threads
def test_a_vector_environment_in_processes(url: str, tmp_path: Path) -> None:
    options = {"server": url, "tasks": write(tmp_path), "restart": False, "split": "train"}
    env = gym.make_vec("palaestra/McpTools-v0", num_envs=2, vectorization_mode="async", **options)
    env.reset(seed=[1, 2])
    say = '<tool_call>{"name": "answer", "arguments": {"answer": "2"}}</tool_call>'
    _, rewards, terminated, _, _ = env.step((say, say))
    assert (rewards.tolist(), terminated.tolist()) == ([1.0, 1.0], [True, True])
    env.close()


def test_tasks_are_held_against_the_server(url: str, tmp_path: Path) -> None:
    base = {"id": "a", "group": "g", "prompt": "p", "answers": ["x"]}

    def made(task: Any, **options: Any) -> None:
        gym.make("palaestra/McpTools-v0", server=url, tasks=write(tmp_path, TASKS[0], task), **options).close()

    for more, words in (
        ({"setup": [{"name": "clear"}]}, "line 2, field 'setup': The server has no tool 'clear'"),
        ({"checks": [{"name": "look", "text": "x"}]}, "line 2, field 'checks': The server has no tool 'look'"),
        ({"gold_calls": [{"name": "shelf.picture"}]}, "line 2, field 'gold_calls': There is no tool 'shelf.picture'"),
        ({"gold_calls": [{"name": "count"}]}, "field 'gold_calls': 'item' is a required property"),
    ):
        with pytest.raises(DataError, match=words):
            made({**base, **more})
    with pytest.raises(UnknownNameError, match="Did you mean 'count'"):
        made(base, tools=["cont"])
    made(base, tools="count")


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    from palaestra.envs.tools.mcp.connection import McpConnection
    from palaestra.envs.tools.mcp.endpoint import read_endpoint

    connection = McpConnection(read_endpoint(f"http://127.0.0.1:{port}/mcp"))
    with pytest.raises(EpisodeFailure, match="mcp_down: There is no connection to the server"):
        connection.open()
    connection.close()
    connection.close()


def listed(name: str = "t", **schema: Any) -> ListedTool:
    return ListedTool(name, "", {"type": "object", **schema}, None)


def test_names_and_schemas_of_all_sorts() -> None:
    def made(*tools: ListedTool) -> Any:
        return make_tools(tools, lambda name, arguments: pytest.fail("no call"))

    tools = made(listed("a.b/c"), listed("answer"), listed("x", properties={"q": {"type": "string"}}))
    assert {name: (theirs.name, tool.primary) for name, (theirs, tool) in tools.items()} == {
        "a_b_c": ("a.b/c", None),
        "server_answer": ("answer", None),
        "x": ("x", "q"),
    }
    free, strict = made(listed("free"))["free"][1], made(listed("strict", properties={}))["strict"][1]
    assert free.problem({"any": 1}) is None
    assert strict.problem({"any": 1}) is not None
    loop = {"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}}}
    tree = made(listed("tree", properties={"root": {"$ref": "#/$defs/n"}}, **loop))["tree"][1]
    assert tree.problem({"root": {"next": {"next": {}}}}) is None
    assert tree.problem({"root": {"next": {"next": 3}}}) is not None
    bomb = {f"d{n}": {"properties": {key: {"$ref": f"#/$defs/d{n + 1}"} for key in "abcd"}} for n in range(30)}
    for tool, words in (
        (
            listed("bomb", properties={"x": {"$ref": "#/$defs/d0"}}, **{"$defs": {**bomb, "d30": {}}}),
            "more than 20,000",
        ),
        (listed("gap", properties={"x": {"$ref": "#/$defs/none"}}), "which it does not hold"),
        (listed("far", properties={"x": {"$ref": "file:///etc/passwd"}}), "only references within it"),
        (listed("odd", properties={"x": {"type": "nothing"}}), "no JSON Schema"),
        (ListedTool("list", "", {"type": "array"}, None), "must be of type 'object'"),
        (listed(""), "no name of its own"),
    ):
        with pytest.raises(EpisodeFailure, match=words):
            made(tool)
    with pytest.raises(EpisodeFailure, match="no name of its own"):
        made(listed("a.b"), listed("a_b"))


def test_only_harmless_variables_reach_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from palaestra.envs.tools.mcp.endpoint import read_endpoint

    monkeypatch.setenv("API_KEY", "secret")
    endpoint = read_endpoint("true --now 'a b'", server_env={"MINE": "1"})
    assert endpoint.command == ("true", "--now", "a b")
    assert "API_KEY" not in endpoint.environment
    assert (endpoint.environment["MINE"], endpoint.environment["PATH"]) == ("1", os.environ["PATH"])
