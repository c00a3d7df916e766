"""The environment BFCL-v0: what is asked, how episodes go and end, policies and their bounds, coverage."""

from __future__ import annotations

import pickle
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import palaestra
from palaestra.envs.tools.bfcl import tasks as bfcl_tasks
from palaestra.envs.tools.bfcl.bfcl import BFCLEnv
from palaestra.envs.tools.bfcl.tasks import COLLECTIONS, COVERED, UNCOVERED, chosen_categories, coverage
from palaestra.errors import ConfigError, UnknownNameError
from palaestra.harness.check import check
from palaestra.tasks import split_of

TRIANGLE = "[calculate_triangle_area(base=10, height=5)]"


@pytest.fixture
def simple() -> Iterator[Any]:
    with palaestra.make("palaestra/BFCL-v0", categories="simple_python", privileged=True) as env:
        yield env


def play(env: Any, policy: str, task_id: str, seed: int = 0) -> dict[str, Any]:
    observation, info = env.reset(seed=seed, options={"task_id": task_id})
    act = env.unwrapped.policy(policy, np.random.default_rng(seed))
    for _ in range(300):
        observation, _, terminated, truncated, info = env.step(act(observation))
        if terminated or truncated:
            return dict(info)
    raise AssertionError("the episode did not end")


def test_one_question_one_reply(simple: Any) -> None:
    prompt, info = simple.reset(options={"task_id": "simple_python_0"})
    assert "Find the area of a triangle" in prompt and "calculate_triangle_area" in prompt
    assert info["privileged"]["gold_calls"] == (
        ({"name": "calculate_triangle_area", "arguments": {"base": 10, "height": 5, "unit": "units"}},),
    )
    assert [message["role"] for message in simple.unwrapped.messages] == ["system", "user"]
    assert simple.unwrapped.tools[0]["function"]["name"] == "calculate_triangle_area"
    _, reward, terminated, _, info = simple.step(TRIANGLE)
    assert (reward, terminated, info["outcome"], info["malformed"]) == (1.0, True, 1.0, False)
    assert [(call.name, dict(call.arguments), call.status) for call in info["calls"]] == [
        ("calculate_triangle_area", {"base": 10, "height": 5}, "ok")
    ]


@pytest.mark.parametrize(
    ("said", "outcome", "malformed", "statuses"),
    [
        ("calculate_triangle_area(height=5, base=10)", 1.0, False, ["ok"]),
        ("```\n[calculate_triangle_area(base=10, height=5, unit='Units')]\n```", 1.0, False, ["ok"]),
        ("[calculate_triangle_area(base=10)]", 0.0, False, ["ok"]),
        ("[calculate_triangle_area(base='10', height=5)]", 0.0, False, ["ok"]),
        ("[area(base=10, height=5)]", 0.0, False, ["rejected"]),
        ("I cannot do that.", 0.0, False, []),
        ("", 0.0, False, []),
        ("[calculate_triangle_area(base=10, height=5", 0.0, True, []),
        ("[calculate_triangle_area(base=10, height=__import__('os').getpid() + 0)]", 0.0, True, []),
        ("x" * 70_000, 0.0, True, []),
    ],
)
def test_replies(simple: Any, said: str, outcome: float, malformed: bool, statuses: list[str]) -> None:
    simple.reset(options={"task_id": "simple_python_0"})
    _, reward, terminated, _, info = simple.step(said)
    assert reward == info.get("outcome", 0.0) == outcome
    assert info["malformed"] == malformed
    assert [call.status for call in info["calls"]] == statuses
    # An utterance that is too long to be read costs the turn; all others are the reply.
    assert terminated == (len(said) < 65_536)


@pytest.mark.parametrize("dialect", ["hermes", "json"])
def test_interfaces_for_functions_write_no_dots(dialect: str) -> None:
    with palaestra.make("palaestra/BFCL-v0", categories="multiple", dialect=dialect) as env:
        env.reset(options={"task_id": "multiple_0"})
        raw = env.unwrapped
        assert raw.offered[0].name == "triangle_properties_get"
        call = raw.privileged()["gold_calls"][0][0]
        assert call["name"] == "triangle_properties_get"
        assert env.step(raw.say_calls([(call["name"], call["arguments"])]))[1] == 1.0
        env.reset(options={"task_id": "multiple_0"})
        assert env.step(raw.say_calls([("triangle_properties.get", call["arguments"])]))[1] == 0.0


def test_a_conversation_runs_calls_and_can_be_saved() -> None:
    with palaestra.make("palaestra/BFCL-v0", categories="multi_turn_base") as env:
        raw = env.unwrapped
        prompt, _ = env.reset(options={"task_id": "multi_turn_base_0"})
        assert "cd" in {function.name for function in raw.offered} and "[func_name1(" in prompt
        gold, counts = raw.privileged()["gold_calls"], raw.privileged()["gold_turns"]
        assert sum(counts) == sum(len(turn) for turn in gold)
        said = raw.say_calls([(call["name"], call["arguments"]) for call in gold[0]])
        observation, reward, terminated, _, info = env.step(said)
        assert len(info["calls"]) == counts[0] and all(call.status == "ok" for call in info["calls"])
        assert "'role': 'tool'" in observation and not terminated and reward == 0.0
        assert raw.judge() == 0.0  # as it stands it is not done
        with palaestra.snapshot(env) as saved:
            wrong, *_, info = env.step("[cd(folder='nowhere'), no_such_function(a=1)]")
            assert [call.status for call in info["calls"]] == ["error", "error"] and "Error" in wrong
            saved.restore()
        user, *_ = env.step("Done.")
        assert user and user not in prompt
        again = pickle.loads(pickle.dumps(env))
        outcomes = []
        for each in (env, again):
            for count, turn in zip(counts[1:], gold[1:], strict=True):
                assert count
                each.step(each.unwrapped.say_calls([(call["name"], call["arguments"]) for call in turn]))
                *_, info = each.step("")
            outcomes.append((info["status"], info["outcome"]))
        assert outcomes == [("terminated", 1.0)] * 2


def test_functions_arrive_late() -> None:
    with palaestra.make("palaestra/BFCL-v0", categories="multi_turn_miss_func") as env:
        raw = env.unwrapped
        task = next(task for task in raw.tasks if 0 in task.truth["gold_turns"][:-1])
        env.reset(options={"task_id": task.id})
        before = {function.name for function in raw.offered}
        for _ in range(len(task.truth["gold_turns"]) - 1):
            env.step("I cannot do that.")
        assert {function.name for function in raw.offered} > before
        assert play(env, "oracle", task.id)["outcome"] == 1.0


def test_the_oracle_wins_every_single_turn_case_and_nobody_else_wins_what_needs_calls() -> None:
    with palaestra.make("palaestra/BFCL-v0", categories="single_turn", disable_env_checker=True) as env:
        everything = list(env.unwrapped.tasks)
        assert len(everything) == 3635
        assert [task.id for task in everything if play(env, "oracle", task.id)["outcome"] < 1.0] == []
        rng = np.random.default_rng(3)
        sample = [everything[index] for index in rng.choice(len(everything), 150, replace=False)]
        won: dict[str, set[str]] = defaultdict(set)
        for policy in ("null", "echo", "cheat", "saboteur"):
            for task in sample:
                if play(env, policy, task.id)["outcome"]:
                    won[policy].add(task.metadata["kind"])
        silent = {"irrelevance", "live_irrelevance"}
        assert won["null"] == won["echo"] == silent
        assert all(kinds <= {*silent, "live_relevance"} for kinds in won.values())


def test_the_oracle_wins_every_format() -> None:
    with palaestra.make("palaestra/BFCL-v0", categories="format_sensitivity", disable_env_checker=True) as env:
        some = list(env.unwrapped.tasks)[::7]
        assert len({task.metadata["format"] for task in some}) == 26
        assert [task.id for task in some if play(env, "oracle", task.id)["outcome"] < 1.0] == []
    with pytest.raises(ConfigError, match="dialect='bfcl'"):
        palaestra.make("palaestra/BFCL-v0", categories="format_sensitivity", dialect="hermes")


def test_certificate_of_some_categories() -> None:
    certificate = check(
        "palaestra/BFCL-v0",
        env_kwargs={"categories": ["simple_java", "live_parallel", "live_relevance", "multi_turn_miss_param"]},
        only=["make", "api", "info", "snapshot", "vector", "pickling", "docstring", "rendering"],
    )
    assert certificate.passed, [result for result in certificate.results if result.status == "failed"]


def test_categories_are_chosen_by_name_or_collection() -> None:
    assert set(chosen_categories("all")) == set(COVERED) - set(COLLECTIONS["web_search"])
    assert "format_sensitivity" not in chosen_categories("scoring")
    assert chosen_categories(["live_simple", "non_live", "live_simple"]) == (*COLLECTIONS["non_live"], "live_simple")
    with pytest.raises(UnknownNameError, match="simple_python"):
        chosen_categories("simple_pyton")
    for name, reason in UNCOVERED.items():
        with pytest.raises(UnknownNameError, match=re.escape(reason)):
            palaestra.make("palaestra/BFCL-v0", categories=name)
    with pytest.raises(UnknownNameError, match="v4"):
        palaestra.make("palaestra/BFCL-v0", release="v3")


def test_coverage_is_what_the_documentation_says() -> None:
    rows = {name: (cases, winnable) for name, cases, winnable, _ in coverage()}
    table = dict(re.findall(r"\| `(\w+)` \| (\d+ \| \d+) \|", BFCLEnv.__doc__ or ""))
    assert table == {name: f"{rows[name][0]} | {rows[name][1]}" for name in COVERED}
    with palaestra.make("palaestra/BFCL-v0", categories="live_parallel") as env:
        shown = env.unwrapped.coverage
    assert all(name in shown for name in rows) and "not covered" in shown and "overall" in shown


def test_all_published_cases_are_there_on_request() -> None:
    with palaestra.make("palaestra/BFCL-v0", categories="simple_java", winnable_only=False) as env:
        assert len(env.unwrapped.tasks) == 100
    with palaestra.make("palaestra/BFCL-v0", categories="simple_java") as env:
        assert len(env.unwrapped.tasks) == 98


def test_variants_of_a_case_are_in_one_split() -> None:
    loaded, _ = bfcl_tasks.load_tasks(COVERED, "v4", False, True)
    groups = defaultdict(set)
    for task in loaded:
        assert task.split == split_of(task.group)
        groups[task.group].add(task.split)
    assert {len(splits) for splits in groups.values()} == {1}
    conversation = {loaded.get(f"{name}_7").group for name in COLLECTIONS["multi_turn"]}
    assert len(conversation) == 1
