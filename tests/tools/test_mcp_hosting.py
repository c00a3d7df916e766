"""Our MCP server's episodes: many at once, limits, time-outs, errors. In process, with the official client."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp_types import CallToolResult

from palaestra.envs.language.environment import LanguageEnv
from palaestra.envs.language.tools import Tool, ToolOutput, answer_tool
from palaestra.envs.tools.mcp.server import EnvironmentServer
from palaestra.episodes import ImagePart, TextPart
from palaestra.errors import ConfigError, EpisodeFailure, ToolError, UnknownNameError
from palaestra.registration import EnvCard, register
from palaestra.tasks import Task, TaskSet

NUMBER = {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
OPEN: set[int] = set()


class CounterEnv(LanguageEnv):
    """Adds numbers to a sum of the episode's own; right if the sum is the task's number."""

    def __init__(self, *, dialect: str = "tags", max_turns: int = 5, clash: bool = False, offers: str = "all") -> None:
        self.clash, self.offers = clash, offers
        self.sum = 0.0
        tasks = TaskSet(Task(f"t{n}", f"g{n}", f"Make {n}.", "train", {"answers": (str(n),)}) for n in range(3))
        super().__init__(tasks, dialect=dialect, max_turns=max_turns)
        OPEN.add(id(self))

    def _make_tools(self) -> Sequence[Tool]:
        more = {"type": "object", "properties": {"episode_id": {"type": "string"}}}
        return (
            Tool("add", "Adds.", NUMBER, self._add),
            Tool("wait", "Waits.", NUMBER, self._wait),
            Tool("finish", "Has our tool's name.", more if self.clash else NOTHING, lambda **_: "still here"),
            Tool("show", "Shows.", NOTHING, self._show),
            Tool("refuse", "Refuses.", NOTHING, self._refuse),
            Tool("break_down", "Breaks down.", NOTHING, self._break),
            answer_tool(lambda answer: "noted"),
        )

    def _begin(self, task: Task) -> None:
        self.sum, self.thread = 0.0, threading.get_ident()
        if self.offers == "some":
            self._tools = {name: tool for name, tool in self._tools.items() if name in ("add", "answer")}
        elif self.offers == "own":
            self._tools = {"add_to": Tool("add_to", "Adds.", NUMBER, self._add)}

    def _prompt(self, task: Task) -> str:
        return task.prompt

    def _judge(self) -> dict[str, float]:
        return {"outcome": float(str(int(self.sum)) in self.task.truth["answers"])}

    def _add(self, n: float) -> str:
        assert threading.get_ident() == self.thread
        self.sum += n
        return f"sum {self.sum:g}"

    def _wait(self, n: float) -> str:
        time.sleep(n)
        return "waited"

    def _show(self) -> ToolOutput:
        return ToolOutput((TextPart("look"), ImagePart(b"\x89PNG", "image/png")))

    def _refuse(self) -> str:
        raise ToolError("I will not.")

    def _break(self) -> str:
        raise EpisodeFailure("cable_cut", "The cable was cut.")

    def close(self) -> None:
        OPEN.discard(id(self))


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    register(
        EnvCard("mcptest/Counter-v0", "Counts up to a number.", "test", "verifiable", "text", snapshot="none"),
        entry_point=CounterEnv,  # type: ignore[arg-type]
        replace=True,
    )
    yield


def served(**options: Any) -> EnvironmentServer:
    return EnvironmentServer("mcptest/Counter-v0", options.pop("env", {}), **options)


def run(server: EnvironmentServer, talk: Any, mode: str = "auto") -> Any:
    async def main() -> Any:
        async with Client(server.server(), mode=mode) as client:
            try:
                return await talk(client)
            finally:
                await server.host.close()

    return asyncio.run(main())


def text(result: CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if part.type == "text")


def standing(result: CallToolResult) -> dict[str, Any]:
    return dict((result.meta or {})["palaestra/episode"])


async def begun(client: Client, **arguments: Any) -> str:
    result = await client.call_tool("reset", arguments)
    assert not result.is_error, text(result)
    return str(result.structured_content["episode_id"])


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_episode(mode: str) -> None:
    async def talk(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        names = ["reset", "add", "wait", "env_finish", "show", "refuse", "break_down", "answer", "turn", "finish"]
        assert list(tools) == names
        assert tools["add"].input_schema["required"] == ["episode_id", "n"]
        start = await client.call_tool("reset", {"task_id": "t2", "seed": 1})
        assert start.structured_content["observation"] == "Make 2."
        assert (start.structured_content["task_id"], start.structured_content["split"]) == ("t2", "train")
        episode = start.structured_content["episode_id"]
        assert text(start) == f"episode_id: {episode}\nMake 2."
        for n in (1, 2):
            result = await client.call_tool("add", {"episode_id": episode, "n": 1})
            assert text(result) == f"sum {n}"
            assert standing(result) == {"episode_id": episode, "status": "running", "turn": n, "outcome": None}
        assert text(await client.call_tool("env_finish", {"episode_id": episode})) == "still here"
        last = await client.call_tool("answer", {"episode_id": episode, "answer": "2"})
        assert text(last) == "noted\nThe episode has ended (terminated)."
        assert standing(last) == {"episode_id": episode, "status": "terminated", "turn": 4, "outcome": 1.0}
        again = await client.call_tool("add", {"episode_id": episode, "n": 1})
        assert again.is_error
        assert "has ended (terminated)" in text(again)
        for _ in range(2):
            finish = await client.call_tool("finish", {"episode_id": episode})
            assert finish.structured_content == standing(last)

    run(served(), talk, mode)


def test_finish_judges_an_episode_as_it_stands() -> None:
    async def talk(client: Client) -> None:
        episode = await begun(client, task_id="t1", episode_id="mine")
        assert episode == "mine"
        await client.call_tool("add", {"episode_id": "mine", "n": 1})
        finish = await client.call_tool("finish", {"episode_id": "mine"})
        verdict = {"episode_id": "mine", "status": "truncated", "turn": 1, "outcome": 1.0}
        assert finish.structured_content == verdict

    run(served(), talk)


def test_turns_in_words_and_with_several_calls() -> None:
    async def talk(client: Client) -> None:
        episode = await begun(client)
        two = [{"name": "add", "arguments": {"n": n}} for n in (1, 2)]
        both = await client.call_tool("turn", {"episode_id": episode, "calls": two})
        assert (both.is_error, standing(both)["turn"]) == (False, 1)
        assert text(both) == '{"result": "sum 1"}\n{"result": "sum 3"}'
        one = await client.call_tool("turn", {"episode_id": episode, "calls": two[:1]})
        assert text(one) == "sum 4"
        words = await client.call_tool("turn", {"episode_id": episode, "text": "I would rather not."})
        assert (words.is_error, standing(words)["turn"]) == (True, 3)
        assert "This is not valid JSON" in text(words)
        spoken = {"episode_id": episode, "text": '{"name": "answer", "arguments": {"answer": "4"}}'}
        assert standing(await client.call_tool("turn", spoken))["status"] == "terminated"

    run(served(), talk)


def test_episodes_with_some_of_the_tools() -> None:
    async def talk(client: Client) -> None:
        assert "show" in [tool.name for tool in (await client.list_tools()).tools]
        start = await client.call_tool("reset", {"seed": 1})
        assert (start.structured_content["tools"], start.structured_content["other_tools"]) == (["add", "answer"], [])
        assert text(start).endswith("Of the tools, this episode has: add, answer.")
        gone = await client.call_tool("show", {"episode_id": start.structured_content["episode_id"]})
        assert gone.is_error
        assert "There is no tool 'show'" in text(gone)

    run(served(env={"offers": "some"}), talk)


def test_episodes_with_tools_of_their_own() -> None:
    async def talk(client: Client) -> None:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["reset", "turn", "finish"]
        start = await client.call_tool("reset", {"seed": 1})
        (own,) = start.structured_content["other_tools"]
        assert (own["name"], own["parameters"]) == ("add_to", NUMBER)
        assert "to be called through 'turn'" in text(start)
        call = {"name": "add_to", "arguments": {"n": 2}}
        episode = start.structured_content["episode_id"]
        assert text(await client.call_tool("turn", {"episode_id": episode, "calls": [call]})) == "sum 2"

    run(served(env={"offers": "own"}), talk)


def test_the_horizon_is_the_environments() -> None:
    async def talk(client: Client) -> None:
        episode = await begun(client)
        for status in ("running", "truncated"):
            result = await client.call_tool("add", {"episode_id": episode, "n": 100})
            assert standing(result)["status"] == status
        assert standing(result)["outcome"] == 0.0

    run(served(env={"max_turns": 2}), talk)


def test_what_calls_give() -> None:
    async def talk(client: Client) -> None:
        episode = await begun(client)
        shown = await client.call_tool("show", {"episode_id": episode})
        assert [part.type for part in shown.content] == ["text", "image"]
        assert (shown.content[1].data, shown.content[1].mime_type) == (
            base64.b64encode(b"\x89PNG").decode(),
            "image/png",
        )
        refused = await client.call_tool("refuse", {"episode_id": episode})
        assert (refused.is_error, text(refused)) == (True, "I will not.")
        wrong = await client.call_tool("add", {"episode_id": episode, "n": "two"})
        assert wrong.is_error
        assert "In the field 'n'" in text(wrong)
        extra = await client.call_tool("add", {"episode_id": episode, "n": 1, "self": 2, "tool": 3})
        assert extra.is_error
        assert standing(extra)["turn"] == 4  # mistakes cost turns, as they do everywhere
        broken = await client.call_tool("break_down", {"episode_id": episode})
        assert broken.is_error
        assert "no fault of yours: The cable was cut." in text(broken)
        assert standing(broken)["error"]["kind"] == "cable_cut"
        finish = await client.call_tool("finish", {"episode_id": episode})
        assert (finish.structured_content["status"], finish.structured_content["outcome"]) == ("failed", None)

    run(served(), talk)


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("reset", {"task_id": "t99"}, "There is no task 't99'. Choose from"),
        ("reset", {"task_id": 7}, "In the field 'task_id'"),
        ("reset", {"seed": -1}, "In the field 'seed'"),
        ("reset", {"seed": 2**70}, "In the field 'seed'"),
        ("reset", {"sed": 1}, "'sed'"),
        ("reset", {"episode_id": "a b"}, "In the field 'episode_id'"),
        ("reset", {"episode_id": "taken"}, "There is already an episode 'taken'"),
        ("add", {"n": 1}, "needs episode_id"),
        ("add", {"episode_id": 1, "n": 1}, "needs episode_id"),
        ("add", {"episode_id": "nobody", "n": 1}, "There is no episode 'nobody'. Start one with the tool reset"),
        ("finish", {"episode_id": "x" * 100_000}, "There is no episode 'xxx"),
        ("finish", {}, "'episode_id' is a required property"),
        ("turn", {"episode_id": "taken"}, "either text, which is said as it is, or calls"),
        ("turn", {"episode_id": "taken", "text": "x", "calls": [{"name": "add", "arguments": {}}]}, "either text"),
        ("turn", {"episode_id": "taken", "calls": []}, "In the field 'calls'"),
        ("turn", {"episode_id": "taken", "calls": [{"name": "add"}]}, "In the field 'calls.0'"),
    ],
)
def test_clear_errors(tool: str, arguments: dict[str, Any], words: str) -> None:
    async def talk(client: Client) -> None:
        await begun(client, episode_id="taken")
        result = await client.call_tool(tool, arguments)
        assert result.is_error
        assert words in text(result)
        assert len(text(result)) < 2000
        await client.call_tool("add", {"episode_id": "taken", "n": 1})

    run(served(), talk)


def test_an_unknown_tool_is_an_error_of_the_protocol() -> None:
    async def talk(client: Client) -> None:
        with pytest.raises(MCPError, match=r"There is no tool 'subtract'\. There are: reset, add"):
            await client.call_tool("subtract", {})

    run(served(), talk)


def test_many_episodes_at_once() -> None:
    async def talk(client: Client) -> None:
        async def one(n: int) -> None:
            episode = await begun(client, task_id=f"t{n % 3}", seed=n)
            for turn in range(1, 4):
                result = await client.call_tool("add", {"episode_id": episode, "n": n})
                assert text(result) == f"sum {n * turn}"

        await asyncio.gather(*map(one, range(40)))

    server = served()
    run(server, talk)
    assert not OPEN


def test_calls_in_one_episode_take_turns() -> None:
    async def talk(client: Client) -> None:
        episode = await begun(client)
        calls = [client.call_tool("add", {"episode_id": episode, "n": 1}) for _ in range(6)]
        results = await asyncio.gather(*calls)
        assert [text(result) for result in results[:4]] == ["sum 1", "sum 2", "sum 3", "sum 4"]
        assert standing(results[4])["status"] == "truncated"
        assert "has ended (truncated)" in text(results[5])

    run(served(), talk)


def test_a_full_server_says_so_and_makes_room_for_the_idle() -> None:
    async def talk(client: Client) -> None:
        first = await begun(client)
        await begun(client)
        full = await client.call_tool("reset", {})
        assert full.is_error
        assert "2 episodes are running, and this server holds 2" in text(full)
        await asyncio.sleep(0.25)
        await begun(client)
        dropped = await client.call_tool("add", {"episode_id": first, "n": 1})
        assert "has ended (dropped)" in text(dropped)

    run(served(max_episodes=2, idle_seconds=0.2), talk)


def test_a_call_that_takes_too_long_fails_its_episode_alone() -> None:
    async def talk(client: Client) -> None:
        slow, other = await begun(client), await begun(client)
        waiting = asyncio.create_task(client.call_tool("wait", {"episode_id": slow, "n": 1.0}))
        assert text(await client.call_tool("add", {"episode_id": other, "n": 1})) == "sum 1"
        result = await waiting
        assert result.is_error
        assert "no answer within 0.3 s" in text(result)
        assert standing(result)["error"]["kind"] == "environment_timeout"
        full = await client.call_tool("reset", {})  # its thread still counts
        assert "2 episodes are running" in text(full)
        await asyncio.sleep(1.0)
        await begun(client)

    run(served(call_seconds=0.3, max_episodes=2), talk)
    assert not OPEN


def test_a_client_that_goes_away_does_not_break_the_episode() -> None:
    async def talk(client: Client) -> None:
        episode = await begun(client)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.call_tool("wait", {"episode_id": episode, "n": 0.3}), 0.05)
        result = await client.call_tool("add", {"episode_id": episode, "n": 1})
        assert standing(result)["turn"] == 2

    run(served(), talk)


def test_what_cannot_be_served_is_said_at_once() -> None:
    with pytest.raises(UnknownNameError):
        EnvironmentServer("mcptest/Contour-v0")
    with pytest.raises(ConfigError, match="text environments"):
        EnvironmentServer("CartPole-v1")
    with pytest.raises(ConfigError, match="'finish' has a parameter 'episode_id' of its own"):
        served(env={"clash": True})
    with pytest.raises(ConfigError, match="no option 'clsh'"):
        served(env={"clsh": True})
    for options, words in (
        ({"max_episodes": 0}, "max_episodes is 0"),
        ({"idle_seconds": 0}, "idle_seconds is 0"),
        ({"call_seconds": float("nan")}, "call_seconds is nan"),
    ):
        with pytest.raises(ConfigError, match=words):
            served(**options)
    OPEN.clear()
