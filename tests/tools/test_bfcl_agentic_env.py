"""BFCL's agentic categories as an environment: memories that last, searches of one's own, answers."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

import palaestra
from palaestra.envs.search.passages import Passage
from palaestra.envs.search.retrievers import Hit
from palaestra.envs.tools.bfcl.agentic import AgenticWorld, agentic_cases
from palaestra.envs.tools.bfcl.multi_turn.apis import memory
from palaestra.errors import ConfigError, EpisodeFailure


class Shelf:
    """Three passages, the same for every query; out of order for the query "down"."""

    name, version = "shelf", "1"
    passages = (
        Passage("https://a.example/1", "Tea", "x" * 500),
        Passage("7", "Usher", "Dallas"),
        Passage("ü/?", "", ""),
    )

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        if "down" in queries:
            raise EpisodeFailure("retriever_down", "The shelf fell.")
        found = [Hit(passage, 1.0, rank) for rank, passage in enumerate(self.passages, 1)]
        return [found[:k] if query else [] for query in queries]


def play(env, policy: str, task_id: str) -> dict:
    observation, _ = env.reset(options={"task_id": task_id})
    act = env.unwrapped.policy(policy, np.random.default_rng(0))
    while True:
        observation, _, terminated, truncated, info = env.step(act(observation))
        if terminated or truncated:
            return info


@pytest.mark.parametrize("dialect", ["bfcl", "hermes", "json"])
def test_of_earlier_conversations_only_the_memory_is_seen(dialect: str) -> None:
    env = palaestra.make("palaestra/BFCL-v0", categories="memory_kv", dialect=dialect)
    inner = env.unwrapped
    first, _ = env.reset(options={"task_id": "memory_kv_130-notetaker-0"})
    assert "no content in the core memory" in first and [m["role"] for m in inner.messages] == ["system", "user"]
    kept = inner.say_calls([("core_memory_add", {"key": "rises", "value": "at eight"})])
    result, _, _, _, info = env.step(kept)
    assert "Key-value pair added." in result and info["calls"][0].status == "ok"
    copy = palaestra.make("palaestra/BFCL-v0", categories="memory_kv", dialect=dialect)
    copy.reset(options={"task_id": "memory_kv_130-notetaker-0"})
    copy.unwrapped.set_state(inner.get_state())
    spoken = len(inner.messages)
    for _ in range(5):
        shown = [world.step("Noted.")[0] for world in (env, copy)]
        assert shown[0] == shown[1]
    assert '"rises": "at eight"' in shown[0] and spoken == 4
    assert [m["role"] for m in inner.messages] == ["system", "user"] and inner.messages == copy.unwrapped.messages
    assert "Monday: Team meeting" not in json.dumps(inner.messages)
    while "respond in this format" not in shown[0]:
        shown = [env.step("Noted.")[0]]
    assert '"rises": "at eight"' in shown[0]
    _, reward, terminated, _, info = env.step("{'answer': '8:00 AM', 'context': ''}")
    assert terminated and reward == info["outcome"] == 0.0  # the accepted one is written 08:00 AM
    copy.close()
    env.close()


@pytest.mark.parametrize("category", ["memory_kv", "memory_rec_sum"])
def test_policies_keep_their_bounds(category: str) -> None:
    with palaestra.make("palaestra/BFCL-v0", categories=category) as env:
        tasks = [task.id for task in env.unwrapped.tasks][::31]
        assert [play(env, "oracle", task)["outcome"] for task in tasks] == [1.0] * len(tasks)
        for policy in ("null", "prior"):
            assert [play(env, policy, task)["outcome"] for task in tasks] == [0.0] * len(tasks)


@pytest.mark.parametrize("dialect", ["hermes", "json"])
def test_the_saboteur_speaks_every_dialect(dialect: str) -> None:
    with palaestra.make("palaestra/BFCL-v0", categories="simple_python", dialect=dialect) as env:
        info = play(env, "saboteur", "simple_python_0")
        assert info["status"] == "terminated" and info["outcome"] == 0.0


def test_too_many_steps_end_a_conversation_and_leave_the_memory() -> None:
    world = AgenticWorld(agentic_cases("memory_rec_sum")["memory_rec_sum_130-notetaker-0"])
    for _ in range(20):
        world.run("memory_append(text='.')")
        world.end_step()
    assert world.conversation == 0
    world.run("memory_append(text='!')")
    world.end_step()
    assert (world.conversation, world.turn) == (1, 0)
    assert world.messages()[0]["content"].rstrip().endswith("." * 20 + "!")
    while world.conversation < 5:
        world.end_step("Yes.")
    for _ in range(21):
        world.run("memory_retrieve()")
        world.end_step()
    assert world.finished and world.verdict().error_type == "agentic:no_last_message"


def test_ground_truth_is_what_the_task_says() -> None:
    with palaestra.make("palaestra/BFCL-v0", categories="memory_kv") as env:
        env.reset(options={"task_id": "memory_kv_130-notetaker-0", "canary": "k7q"})
        for _ in range(env.unwrapped.task.metadata["turns"] - 1):
            assert "k7q" not in env.step("Noted.")[0]
        assert env.step("k7q")[1] == 1.0


def test_replacements_do_not_eat_the_machine() -> None:
    world = AgenticWorld(agentic_cases("memory_rec_sum")["memory_rec_sum_130-notetaker-0"])
    world.run(f"memory_update(text='{'a' * 10_000}')")
    for _ in range(5):
        assert "too long after replacing" in world.run(f"memory_replace(old_text='', new_text='{'a' * 9_000}')")
        world.run("memory_replace(old_text='a', new_text='aaaaaaaaaa')")
    assert len(world.application.memory) <= memory.MAX_TEXT


def test_web_search_is_refused_without_a_search() -> None:
    with pytest.raises(ConfigError, match="search='http://localhost:8000/retrieve'"):
        palaestra.make("palaestra/BFCL-v0", categories="web_search")


def test_web_search_goes_to_the_retriever_that_was_given() -> None:
    with palaestra.make("palaestra/BFCL-v0", categories="web_search", search=Shelf()) as env:
        inner = env.unwrapped
        assert len(inner.tasks) == 200
        env.reset(options={"task_id": "web_search_base_1"})
        state = inner.get_state()
        found = env.step("[search_engine_query(keywords='tea', max_results=2)]")[4]["calls"][0].result.text
        assert found == repr(
            [
                {"title": "Tea", "href": "https://a.example/1", "body": "x" * 300},
                {"title": "Usher", "href": "https://passage.invalid/7", "body": "Dallas"},
            ]
        )
        fetched = env.step("[fetch_url_content(url='https://passage.invalid/7', mode='truncate')]")[0]
        assert "Dallas" in fetched
        calls = "[fetch_url_content(url='ftp://x'), fetch_url_content(url='http://x.example'), search_engine_query('')]"
        texts = [call.result.text for call in env.step(calls)[4]["calls"]]
        assert texts[0] == "Error during execution: Invalid URL: ftp://x"
        assert "An error occurred while fetching http://x.example" in texts[1]
        inner.set_state(state)
        gone = env.step("[fetch_url_content(url='https://passage.invalid/7')]")[4]["calls"][0]
        assert "error" in gone.result.text  # what was found later is not known yet
        assert env.step("{'answer': 'Seven'}")[1] == 1.0
        env.reset(options={"task_id": "web_search_no_snippet_1"})
        bare = env.step("[search_engine_query(keywords='tea', max_results=1)]")[4]["calls"][0].result.text
        assert bare == repr([{"title": "Tea", "href": "https://a.example/1"}])
        info = env.step("[search_engine_query(keywords='down')]")[4]
        assert info["status"] == "failed" and info["error"]["kind"] == "retriever_down"
        assert play(env, "oracle", "web_search_base_0")["outcome"] == 1.0
