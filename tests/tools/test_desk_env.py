"""ToolDesk: policies on every task, dialects, tools that are shown, bad input, saved states, Gymnasium."""

from __future__ import annotations

import json
import pickle
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import palaestra
from palaestra.envs.tools.desk.drafts import KINDS
from palaestra.envs.tools.desk.world import TOOLS
from palaestra.errors import ConfigError, UnknownNameError
from palaestra.tasks import SPLITS, Task

ID = "palaestra/ToolDesk-v0"


@pytest.fixture(scope="module")
def env() -> Iterator[Any]:
    made = gym.make(ID, split="all").unwrapped
    yield made
    made.close()


def play(env: Any, task: Task, policy: str, seed: int = 0) -> dict[str, Any]:
    observation, _ = env.reset(seed=seed, options={"task_id": task.id})
    act, ended, info = env.policy(policy, np.random.default_rng(seed)), False, {}
    while not ended:
        observation, _, terminated, truncated, info = env.step(act(observation))
        ended = terminated or truncated
    return info


def means(env: Any, policy: str) -> dict[str, float]:
    outcomes: dict[str, list[float]] = defaultdict(list)
    for number, task in enumerate(env.tasks):
        info = play(env, task, policy, number)
        assert info["status"] != "failed", task.id
        for kind in (task.metadata["kind"], "all"):
            outcomes[kind].append(info["outcome"])
    return {kind: float(np.mean(values)) for kind, values in outcomes.items()}


# Policies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"dialect": "json"}, {"dialect": "tags"}, {"tools": "task", "brief": True}])
def test_the_oracle_wins_every_task(options: Any) -> None:
    world = gym.make(ID, split="all", **options).unwrapped
    lost = [task.id for task in world.tasks if play(world, task, "oracle")["outcome"] < 1.0]
    assert len(world.tasks) >= 1000 and not lost


@pytest.mark.parametrize("policy", ["null", "echo", "cheat"])
def test_these_win_nothing(env: Any, policy: str) -> None:
    assert set(means(env, policy).values()) == {0.0}


def test_the_saboteur_wins_nothing_and_breaks_nothing(env: Any) -> None:
    for number, task in enumerate(env.tasks[::25]):
        info = play(env, task, "saboteur", number)
        assert (info["status"], info["outcome"]) == ("truncated", 0.0), task.id
    assert play(env, env.tasks[0], "oracle")["outcome"] == 1.0


def test_the_prior_stays_under_its_bounds(env: Any) -> None:
    bounds: Mapping[str, float] = palaestra.card(ID).bounds or {}
    reached = means(env, "prior")
    assert set(bounds) == {"prior", "refuser", *(f"prior:{kind}" for kind in KINDS)}
    for kind in KINDS:
        assert reached[kind] <= bounds[f"prior:{kind}"] <= 0.4, kind
    assert reached["all"] <= bounds["prior"] <= 0.1


def test_who_declines_everything_wins_some_refusals_and_nothing_else(env: Any) -> None:
    reached = means(env, "refuser")
    assert reached["refuse"] <= 0.4 and reached["all"] <= (palaestra.card(ID).bounds or {})["refuser"]
    assert all(reached[kind] == 0.0 for kind in KINDS if kind != "refuse")


def test_random_calls_win_next_to_nothing(env: Any) -> None:
    reached = [play(env, task, "random", number)["outcome"] for number, task in enumerate(env.tasks[::8])]
    assert np.mean(reached) <= 0.03


# What is shown ------------------------------------------------------------------------------------------------------


def names(env: Any) -> set[str]:
    return {tool["function"]["name"] for tool in env.tools}


def test_tools_of_the_task_of_its_applications_or_all() -> None:
    worlds = {shown: gym.make(ID, split="all", tools=shown).unwrapped for shown in ("task", "app", "all")}
    speaking = {"ask_user", "decline", "answer"}
    for task in worlds["all"].tasks[::30]:
        for world in worlds.values():
            world.reset(seed=0, options={"task_id": task.id})
        assert names(worlds["task"]) == {*task.metadata["tools"], *speaking}
        apps = {*task.metadata["apps"], "people"}
        assert names(worlds["app"]) == {name for name in TOOLS if TOOLS[name].app in apps} | speaking
        assert names(worlds["all"]) == {*TOOLS, *speaking}
        prompt = worlds["task"].messages[0]["content"]
        assert all(f'"{name}"' in prompt for name in names(worlds["task"]))
        assert '"name": "files_protect"' not in prompt or "files_protect" in task.metadata["tools"]


def test_a_tool_that_is_not_shown_does_not_exist() -> None:
    world = gym.make(ID, split="all", tools="task").unwrapped
    world.reset(seed=0, options={"task_id": "contact-add-01"})
    seen, *_, info = world.step('<tool_call>{"name": "bank_accounts", "arguments": {}}</tool_call>')
    assert info["calls"][0].status == "rejected" and "There is no tool 'bank_accounts'" in seen


def test_distractors_are_beside_the_others_and_good_for_nothing() -> None:
    world, plain = gym.make(ID, split="all", distractors=4).unwrapped, gym.make(ID, split="all").unwrapped
    shown = set()
    for task in world.tasks[::40]:
        for one in (world, plain):
            one.reset(seed=0, options={"task_id": task.id})
        extra = names(world) - names(plain)
        assert len(extra) == 4 and not extra & set(TOOLS)
        shown |= extra
        before = world.world.digest()
        for tool in world.tools:
            if tool["function"]["name"] in extra:
                (parameter,) = tool["function"]["parameters"]["required"]
                *_, info = world.step(world.say(tool["function"]["name"], **{parameter: "Lisbon"}))
                assert info["calls"][0].status == "ok"
        assert world.world.digest() == before
        assert play(world, task, "oracle")["outcome"] == 1.0
    assert len(shown) >= 10


def test_brief_leaves_out_instructions_and_schemas() -> None:
    long, short = gym.make(ID, split="val").unwrapped, gym.make(ID, split="val", brief=True).unwrapped
    for task in short.tasks[::10]:
        (told, _), (all_of_it, _) = (one.reset(seed=0, options={"task_id": task.id}) for one in (short, long))
        assert len(told) < 1200 and task.prompt in told and "2026-03-09T09:00" in told and "{" not in told
        assert task.prompt in all_of_it and len(all_of_it) > 3000


# Arguments ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
def test_splits_hold_their_own_groups(env: Any, split: str) -> None:
    tasks = gym.make(ID, split=split).unwrapped.tasks
    assert {task.split for task in tasks} == {split}
    assert not {task.group for task in tasks} & {task.group for task in env.tasks if task.split != split}


def test_kinds_and_sizes_narrow_the_tasks() -> None:
    few = gym.make(ID, split="all", kinds=["lookup", "chain"], max_gold_calls=4).unwrapped.tasks
    assert {task.metadata["kind"] for task in few} == {"lookup", "chain"}
    assert max(task.metadata["calls"] for task in few) == 4
    assert {task.metadata["kind"] for task in gym.make(ID, kinds="ask").unwrapped.tasks} == {"ask"}


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"kinds": ["lookups"]}, UnknownNameError, "Did you mean 'lookup'"),
        ({"kinds": []}, ConfigError, "widen the split or the kinds"),
        ({"kinds": ["chain"], "max_gold_calls": 1}, ConfigError, "widen"),
        ({"max_gold_calls": 0}, ConfigError, "max_gold_calls is 0"),
        ({"tools": "every"}, ConfigError, "choose 'task', 'app' or 'all'"),
        ({"distractors": 13}, ConfigError, "from 0 to 12"),
        ({"split": "trian"}, UnknownNameError, "Did you mean 'train'"),
        ({"world_seed": -1}, ConfigError, "seed"),
        ({"dialect": "herms"}, UnknownNameError, "Did you mean 'hermes'"),
        ({"max_call": 3}, ConfigError, "no option 'max_call'"),
        ({"max_gold_calls": "few"}, ConfigError, "max_gold_calls is 'few'; it must be a whole number"),
        ({"distractors": "many"}, ConfigError, "distractors is 'many'; it must be a whole number"),
        ({"distractors": True}, ConfigError, "distractors is True"),
        ({"kinds": 3}, ConfigError, "kinds is 3; give one of"),
        ({"kinds": [3]}, UnknownNameError, "no kind of task '3'"),
        ({"brief": "False"}, ConfigError, "brief is 'False'; it must be True or False"),
    ],
)
def test_what_cannot_work_is_refused_in_words(options: Any, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        palaestra.make(ID, **options)


# Bad input ----------------------------------------------------------------------------------------------------------


def hermes(name: str, arguments: Any) -> str:
    return "<tool_call>" + json.dumps({"name": name, "arguments": arguments}) + "</tool_call>"


TWICE = '{"name": "contacts_get", "arguments": {"contact": "C-0001", "contact": "C-0002"}}'
CODE = 'contacts_delete(contact="C-0001"); __import__("os").abort()'
DEEP = '{"name": "contacts_search", "arguments": {"query": ' + "[" * 50_000
BAD = {
    "1,000 parallel calls": (hermes("bank_cards", {}) * 1000, "1000 calls; at most 16"),
    "duplicate keys": (f"<tool_call>{TWICE}</tool_call>", "'contact' stands twice"),
    "NaN": (hermes("contacts_search", {"limit": float("nan")}), "NaN is not JSON"),
    "Infinity": (hermes("contacts_search", {"limit": float("inf")}), "Infinity is not JSON"),
    "a number beyond floats": (hermes("contacts_search", {"limit": 9}).replace("9", "1e999"), "too large"),
    "code instead of JSON": (f"<tool_call>{CODE}</tool_call>", "not valid JSON"),
    "deep JSON": (f"<tool_call>{DEEP}</tool_call>", "nested too deeply"),
    "deep arguments": (hermes("contacts_search", {"query": json.loads("[" * 60 + "]" * 60)}), "'query'"),
    "enormous JSON": (hermes("contacts_search", {"query": "x" * 10_000_000}), "at most 65536"),
    "a long text": (hermes("contacts_search", {"query": "x" * 60_000}), "'query'.*\"maxLength\": 200"),
    "a wrong type": (hermes("contacts_search", {"limit": "ten"}), "'limit'.*integer"),
    "a truth for a number": (hermes("contacts_search", {"limit": True}), "'limit'"),
    "a float": (hermes("contacts_search", {"limit": 3.0}), "'limit'"),
    "an unknown tool": (hermes("contacts_serach", {}), "Did you mean 'contacts_search'"),
    "a missing argument": (hermes("contacts_add", {"name": "X"}), "'email'"),
    "an extra argument": (hermes("contacts_get", {"contact": "C-0001", "force": True}), "'force'"),
    "a list of arguments": (hermes("contacts_get", ["C-0001"]), "must be a JSON object"),
    "an unknown id": (hermes("contacts_get", {"contact": "C-9999"}), "'contact'.*C-9999"),
    "a name that is no string": (hermes(["contacts_get"], {}), "must be a string"),  # type: ignore[arg-type]
    "a reason of one's own": (hermes("decline", {"reason": "because"}), "not_allowed"),
    "no call": ("I will do it at once.", "contains no call"),
    "nothing": ("", "was empty"),
    "an open call": ('<tool_call>{"name": "people_me"', "never closed"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_answered_in_the_dialogue_and_leaves_the_office_as_it_was(env: Any, bad: str) -> None:
    said, why = BAD[bad]
    env.reset(seed=0, options={"task_id": "contact-update-01"})
    before = env.world.digest()
    seen, reward, terminated, truncated, info = env.step(said)
    assert (reward, terminated, truncated, info["status"]) == (0.0, False, False, "running")
    assert all(call.status != "ok" for call in info["calls"]) and env.world.digest() == before
    assert env.observation_space.contains(seen) and len(seen) < 5_000
    assert re.search(why, seen, re.DOTALL), seen
    assert play(env, env.task, "oracle")["outcome"] == 1.0


def test_a_refused_call_does_not_stop_the_others_of_its_turn(env: Any) -> None:
    env.reset(seed=0, options={"task_id": "contact-update-01"})
    *_, info = env.step(hermes("contacts_get", {"contact": "C-9999"}) + hermes("people_me", {}))
    assert [call.status for call in info["calls"]] == ["error", "ok"]


# The user -----------------------------------------------------------------------------------------------------------


def test_the_user_answers_a_question_once_it_asks_for_what_is_missing(env: Any) -> None:
    env.reset(seed=0, options={"task_id": "order-how-many-01"})
    seen, *_ = env.step(hermes("ask_user", {"question": "Which colour?"}))
    assert "I am not sure what you are asking" in seen
    seen, *_ = env.step(hermes("ask_user", {"question": "What quantity do you need?"}))
    assert "I need" in seen
    env.reset(seed=0, options={"task_id": "contact-add-01"})
    seen, *_ = env.step(hermes("ask_user", {"question": "What quantity do you need?"}))
    assert "everything you need" in seen


# Saved states and Gymnasium -----------------------------------------------------------------------------------------


def test_a_snapshot_in_the_middle_of_an_episode_goes_on_elsewhere() -> None:
    one, other = (gym.make(ID, split="all", render_mode="ansi") for _ in range(2))
    for task_id in ("clean-up-01", "pay-new-01", "others-event-01"):
        one.reset(seed=3, options={"task_id": task_id})
        other.reset(seed=4)
        act = one.unwrapped.policy("oracle", np.random.default_rng(0))
        one.step("Let me see.")
        one.step(act(""))
        saved = palaestra.snapshot(one)
        rest = []
        for world in (one, other):
            saved.restore(world)
            rest.append((world.render(), world.unwrapped.world.digest(), names(world.unwrapped)))
        assert rest[0] == rest[1]
        ends, done = [], False
        turns = []
        while not done:
            turns.append(act(""))
            _, reward, terminated, truncated, _ = one.step(turns[-1])
            done = terminated or truncated
        ends.append((reward, one.render()))
        for turn in turns:
            _, reward, *_ = other.step(turn)
        ends.append((reward, other.render()))
        assert ends[0] == ends[1] and ends[0][0] == 1.0
        saved.restore(one)
        assert one.render() == rest[0][0]


def test_what_a_person_sees() -> None:
    world = gym.make(ID, split="all", render_mode="ansi").unwrapped
    task = world.all_tasks.get("clean-up-01")
    play(world, task, "oracle")
    seen = world.render()
    assert task.prompt in seen and "1. people_search(" in seen and "created (mails)" in seen
    world.reset(seed=0, options={"task_id": task.id})
    world.step("Hm.")
    world.step(hermes("mail_get", {"mail": "M-9999"}))
    assert "1. 'Hm.'  [malformed]" in world.render() and "[refused]" in world.render()
    assert "Nothing has changed" in world.render()


@pytest.mark.parametrize("dialect", ["tags", "hermes", "json"])
def test_gymnasiums_checker_has_nothing_to_say(dialect: str) -> None:
    check_env(gym.make(ID, dialect=dialect).unwrapped)


def test_the_seed_decides(env: Any) -> None:
    def episode(seed: int) -> list[Any]:
        made = gym.make(ID)
        made.action_space.seed(seed)
        return [made.reset(seed=seed)[0], *(made.step(made.action_space.sample())[0] for _ in range(3))]

    assert episode(7) == episode(7) and episode(7)[0] != episode(8)[0]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_vector_environments_with_default_settings(how: str) -> None:
    worlds = gym.make_vec(ID, 2, vectorization_mode=how)
    observations, _ = worlds.reset(seed=3)
    assert observations[0] == gym.make(ID).reset(seed=3)[0] != observations[1]
    seen, *_ = worlds.step((hermes("people_me", {}),) * 2)
    assert all("2026-03-09" in text for text in seen)
    worlds.close()


def test_it_can_be_pickled(env: Any) -> None:
    made = gym.make(ID, kinds=["refuse"], world_seed=0, tools="task").unwrapped
    made.reset(seed=5)
    made.step(hermes("ask_user", {"question": "Who?"}))
    again = pickle.loads(pickle.dumps(made))
    assert (
        again.messages == made.messages and again.world.digest() == made.world.digest() and names(again) == names(made)
    )


def test_instances_share_the_tasks_and_not_the_office(env: Any) -> None:
    one, two = (gym.make(ID, split="all").unwrapped for _ in range(2))
    assert one.all_tasks is two.all_tasks
    for world in (one, two):
        world.reset(seed=0, options={"task_id": "contact-add-01"})
    one.step(hermes("contacts_add", {"name": "Ada Lund", "email": "ada@lund.example"}))
    assert one.world.changes() and not two.world.changes()
