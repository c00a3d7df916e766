"""FactbookSearch: every task of every split is solved by the oracle and not by guessing; arguments; sharing."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import palaestra
from palaestra.errors import ConfigError, UnknownNameError
from palaestra.tasks import SPLITS, Task

ID = "palaestra/FactbookSearch-v0"


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


def test_the_oracle_wins_every_task_of_every_split(env: Any) -> None:
    lost = [task.id for task in env.tasks if play(env, task, "oracle")["outcome"] < 1.0]
    assert len(env.tasks) >= 3000 and not lost


def test_the_prior_stays_under_its_bound_on_every_kind_of_every_split(env: Any) -> None:
    bounds: Mapping[str, float] = palaestra.card(ID).bounds or {}
    outcomes: dict[tuple[str, str], list[float]] = defaultdict(list)
    for task in env.tasks:
        outcome = play(env, task, "prior")["outcome"]
        for kind in (task.metadata["kind"], "all"):
            outcomes[kind, task.split].append(outcome)
    assert {split for _, split in outcomes} == set(SPLITS)
    for (kind, split), values in outcomes.items():
        bound = bounds["prior"] if kind == "all" else bounds[f"prior:{kind}"]
        assert np.mean(values) <= bound <= 0.3, (kind, split, np.mean(values))


@pytest.mark.parametrize("policy", ["null", "echo", "cheat", "saboteur"])
def test_no_other_policy_wins_anything(env: Any, policy: str) -> None:
    for number, task in enumerate(env.tasks[::40]):
        info = play(env, task, policy, number)
        assert info["status"] != "failed" and info["outcome"] == 0.0, task.id


def test_the_accepted_answers_are_accepted_and_an_empty_one_is_not(env: Any) -> None:
    for task in env.tasks[::20]:
        for answer in (*task.truth["answers"], ""):
            env.reset(seed=0, options={"task_id": task.id})
            *_, info = env.step(env.say("answer", answer=answer))
            assert info["em"] == float(bool(answer)), (task.id, answer)


def test_what_can_be_guessed_needs_its_passages(env: Any) -> None:
    for task in env.tasks:
        assert env.needs_support(task) is (task.metadata["kind"] in ("comparison", "count")), task.id
        assert all(env.corpus.by_id(passage) for fact in task.truth["gold_passages"] for passage in fact)


def test_the_queries_of_the_tasks_find_their_passages(env: Any) -> None:
    steps = [
        step for task in env.tasks for step in zip(task.truth["queries"], task.truth["gold_passages"], strict=True)
    ]
    found = env.retriever.search([query for query, _ in steps], 3)
    hits = [any(hit.passage.id in gold for hit in hits) for hits, (_, gold) in zip(found, steps, strict=True)]
    assert np.mean(hits) >= 0.98


@pytest.mark.parametrize(
    "query", ["Bhutan land boundaries", "Bhutan land border", "Bhutan border countries China India"]
)
def test_a_search_in_ones_own_words(env: Any, query: str) -> None:
    assert any("China 477 km" in hit.passage.text for hit in env.retriever.search([query], 3)[0])


# Arguments ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
def test_splits_hold_their_own_groups(env: Any, split: str) -> None:
    tasks = gym.make(ID, split=split).unwrapped.tasks
    assert {task.split for task in tasks} == {split}
    assert not {task.group for task in tasks} & {task.group for task in env.tasks if task.split != split}


def test_kinds_and_hops_narrow_the_tasks(env: Any) -> None:
    few = gym.make(ID, kinds=["lookup", "bridge"], max_hops=2, split="val").unwrapped.tasks
    assert {(task.metadata["kind"], task.metadata["hops"]) for task in few} == {("lookup", 1), ("bridge", 2)}
    alone = gym.make(ID, kinds="count", split="all").unwrapped.tasks
    assert len(alone) == len(env.tasks.where(kind="count"))


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"kinds": ["brigde"]}, UnknownNameError, "Did you mean 'bridge'"),
        ({"kinds": "lookups"}, UnknownNameError, "Did you mean 'lookup'"),
        ({"kinds": []}, ConfigError, "widen the split or the kinds"),
        ({"kinds": ["bridge"], "max_hops": 1}, ConfigError, "widen"),
        ({"max_hops": 0}, ConfigError, "max_hops is 0"),
        ({"split": "trian"}, UnknownNameError, "Did you mean 'train'"),
        ({"top_k": 0}, ConfigError, "top_k is 0"),
        ({"max_turns": 0}, ConfigError, "max_turns is 0"),
        ({"dialect": "herms"}, UnknownNameError, "Did you mean 'hermes'"),
        ({"topk": 3}, ConfigError, "no option 'topk'"),
        ({"corpus": []}, ConfigError, "no option 'corpus'"),
    ],
)
def test_what_cannot_work_is_refused_in_words(options: Any, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        palaestra.make(ID, **options)


def test_reset_by_task_id(env: Any) -> None:
    task = env.tasks[-1]
    observation, info = env.reset(seed=0, options={"task_id": task.id})
    assert (info["task_id"], info["group"], info["split"]) == (task.id, task.group, task.split)
    assert observation.endswith(f"Question: {task.prompt}")
    with pytest.raises(UnknownNameError, match=f"Did you mean '{task.id}'"):
        env.reset(options={"task_id": f"{task.id}x"})


# Gymnasium ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["tags", "hermes", "json"])
def test_gymnasiums_checker_has_nothing_to_say(env: Any, dialect: str, capsys: Any) -> None:
    check_env(gym.make(ID, dialect=dialect).unwrapped)


def test_the_seed_decides_and_another_differs(env: Any) -> None:
    def episode(seed: int) -> list[Any]:
        made = gym.make(ID)
        made.action_space.seed(seed)
        return [made.reset(seed=seed), *(made.step("<search>" + word + "</search>") for word in ("Peru", "Chile"))]

    assert episode(7) == episode(7)
    assert episode(7)[0] != episode(8)[0]


def test_specs_can_be_pickled_and_spaces_too(env: Any) -> None:
    made = gym.make(ID, kinds=["count"], top_k=5)
    again = gym.make(pickle.loads(pickle.dumps(made.spec)))
    assert again.reset(seed=4)[0] == made.reset(seed=4)[0]
    space = pickle.loads(pickle.dumps(made.action_space))
    space.seed(1)
    made.action_space.seed(1)
    assert [space.sample() for _ in range(5)] == [made.action_space.sample() for _ in range(5)]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_vector_environments_with_default_settings(env: Any, how: str) -> None:
    worlds = gym.make_vec(ID, 2, vectorization_mode=how)
    observations, _ = worlds.reset(seed=3)
    alone = gym.make(ID).reset(seed=3)[0]
    assert observations[0] == alone != observations[1]
    found, *_ = worlds.step(("<search>Bhutan land boundaries</search>",) * 2)
    assert all("China 477 km" in text for text in found)
    worlds.close()


# Sharing ------------------------------------------------------------------------------------------------------------


def test_instances_share_corpus_tasks_and_index(env: Any) -> None:
    one, two = (gym.make(ID, split=split).unwrapped for split in ("train", "test"))
    assert one.corpus is two.corpus is env.corpus
    assert one.retriever is two.retriever is env.retriever
    assert one.tasks[0] is env.tasks.get(one.tasks[0].id)


def test_what_was_shared_is_freed_with_the_last_holder() -> None:
    """Counts the holders of a corpus of its own, since other tests hold the Factbook."""
    made = palaestra.make(
        "palaestra/Search-v0",
        corpus=[("1", "Sharing", "A corpus that nobody else holds.")],
        questions=[{"question": "Who?", "answer": "nobody"}],
    )
    held = [weakref.ref(made.unwrapped.retriever), weakref.ref(made.unwrapped.corpus)]
    made.close()
    del made
    gc.collect()
    assert [reference() for reference in held] == [None, None]
