"""The search environment on a small corpus of towns: scores, support, policies, failures, errors."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import palaestra
from palaestra.envs.search.corpus import load_corpus
from palaestra.envs.search.passages import Passage
from palaestra.envs.search.policies import modal_answers
from palaestra.envs.search.retrievers import Hit
from palaestra.envs.search.search import SearchEnv
from palaestra.errors import ConfigError, DataError, EpisodeFailure, UnknownNameError
from palaestra.tasks import Task, TaskSet

ID = "palaestra/Search-v0"
CORPUS = [
    ("aldmoor-1", "Aldmoor", "Aldmoor is a town on the Ashbrook. Its mayor is Ines Okafor."),
    ("aldmoor-2", "Aldmoor: population", "Aldmoor has 4,200 inhabitants."),
    ("aldmoor-3", "Towns of the valley", "Inhabitants by town. Aldmoor: 4,200."),
    ("brinport-1", "Brinport", "Brinport is a harbour on the Merrow. Its mayor is Tomas Lindqvist."),
    ("brinport-2", "Brinport: population", "Brinport has 9,100 inhabitants."),
    ("okafor-1", "Ines Okafor", "Ines Okafor was born in Carrowby in 1971."),
    ("carrowby-1", "Carrowby", "Carrowby is a village known for its <clock> tower."),
    ("merrow-1", "Merrow", "The Merrow is a river of 210 km."),
]
TASKS = TaskSet(
    (
        Task(
            "mayor",
            "aldmoor",
            "Who is the mayor of Aldmoor?",
            "train",
            {"answers": ("Ines Okafor", "Okafor"), "gold_passages": ("aldmoor-1",), "queries": ("mayor of Aldmoor",)},
            {"kind": "lookup", "relation": "mayor"},
        ),
        Task(
            "birthplace",
            "aldmoor",
            "Where was the mayor of Aldmoor born?",
            "train",
            {"answers": ("Carrowby",), "gold_passages": (("aldmoor-1",), ("okafor-1", "carrowby-1"))},
            {"kind": "bridge", "relation": "birthplace"},
        ),
        Task(
            "larger",
            "aldmoor",
            "Which has more inhabitants, Brinport or Aldmoor?",
            "test",
            {
                "answers": ("Brinport",),
                "gold_passages": (("aldmoor-2", "aldmoor-3"), ("brinport-2",)),
                "queries": ("inhabitants of Aldmoor", "inhabitants of Brinport"),
            },
            {"kind": "comparison", "candidates": ("Aldmoor", "Brinport")},
        ),
        Task(
            "clock",
            "carrowby",
            "Does Carrowby have a clock tower?",
            "val",
            {"answers": ("yes",), "gold_passages": (("Carrowby",),)},  # by title, as question files have it
            {},
        ),
        Task("tower", "carrowby", "What is Carrowby known for?", "val", {"answers": ("its clock tower",)}, {}),
    )
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("PALAESTRA_CACHE", str(tmp_path_factory.getbasetemp() / "search-env-cache"))


def search_env(task: str = "mayor", **options: Any) -> SearchEnv:
    env = SearchEnv(CORPUS, TASKS, **options)
    env.reset(seed=0, options={"task_id": task})
    return env


def play(env: Any, *turns: str) -> dict[str, Any]:
    info: dict[str, Any] = {}
    for turn in turns:
        *_, info = env.step(turn)
    return info


def play_policy(env: Any, name: str, seed: int = 0) -> dict[str, Any]:
    policy = env.unwrapped.policy(name, np.random.default_rng(seed))
    observation, ended, info = env.unwrapped.messages[0]["content"], False, {}
    while not ended:
        observation, _, terminated, truncated, info = env.step(policy(observation))
        ended = terminated or truncated
    return info


# Searching ----------------------------------------------------------------------------------------------------------


def test_a_search_shows_numbered_passages_with_titles() -> None:
    env = search_env(top_k=2)
    observation, *_, info = env.step("<search> mayor of Aldmoor </search>")
    first = "Doc 1 (Title: Aldmoor) Aldmoor is a town on the Ashbrook. Its mayor is Ines Okafor."
    assert observation.startswith(f"<information>\n{first}\nDoc 2 (Title: ")
    (call,) = info["calls"]
    assert call.data["passages"][0] == "aldmoor-1" and len(call.data["passages"]) == 2
    assert env.retrieved == set(call.data["passages"])


def test_a_search_that_finds_nothing_says_so() -> None:
    for query in ("zzz", "", "the"):
        assert "Nothing was found; use other words." in search_env().step(f"<search>{query}</search>")[0]


def test_retrieved_passages_add_up_within_an_episode() -> None:
    env = search_env(top_k=1)
    play(env, "<search>mayor of Aldmoor</search>", "<search>Merrow river</search>")
    assert env.retrieved == {"aldmoor-1", "merrow-1"}
    env.reset(seed=0)
    assert env.retrieved == set()


# Scores -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "answer", "outcome", "em", "f1"),
    [
        ("em", "Ines Okafor", 1.0, 1.0, 1.0),
        ("em", "the OKAFOR!", 1.0, 1.0, 1.0),
        ("em", "Mayor Ines Okafor", 0.0, 0.0, 0.8),
        ("f1", "Mayor Ines Okafor", 0.8, 0.0, 0.8),
        ("f1", "Tomas Lindqvist", 0.0, 0.0, 0.0),
        ("f1", "", 0.0, 0.0, 0.0),
    ],
)
def test_answers_are_scored(score: Any, answer: str, outcome: float, em: float, f1: float) -> None:
    env = search_env(score=score)
    _, reward, terminated, _, info = env.step(f"<answer>{answer}</answer>")
    assert terminated and reward == info["outcome"] == env.judge()
    assert (info["outcome"], info["em"], info["f1"]) == pytest.approx((outcome, em, f1))


def test_without_an_answer_the_horizon_scores_nothing() -> None:
    env = search_env(max_turns=2, score="f1")
    _, reward, terminated, truncated, info = [env.step("<search>mayor of Aldmoor</search>") for _ in range(2)][-1]
    assert (reward, terminated, truncated, info["status"]) == (0.0, False, True, "truncated")
    assert (info["outcome"], info["em"], info["f1"], info["supported"]) == (0.0, 0.0, 0.0, 1.0)


def test_an_answer_in_the_last_turn_counts() -> None:
    info = play(search_env(max_turns=2), "<search>mayor of Aldmoor</search>", "<answer>Okafor</answer>")
    assert (info["status"], info["outcome"]) == ("terminated", 1.0)


# Support ------------------------------------------------------------------------------------------------------------

GUESS = ("<answer>Brinport</answer>",)
HALF = ("<search>Brinport has 9,100 inhabitants</search>", *GUESS)
FULL = ("<search>Aldmoor has 4,200 inhabitants</search>", *HALF)
ALTERNATIVE = ("<search>towns of the valley</search>", *HALF)


@pytest.mark.parametrize(
    ("support", "turns", "outcome", "supported"),
    [
        ("auto", GUESS, 0.0, 0.0),
        ("auto", HALF, 0.0, 0.0),
        ("auto", FULL, 1.0, 1.0),
        ("auto", ALTERNATIVE, 1.0, 1.0),
        ("always", GUESS, 0.0, 0.0),
        ("always", FULL, 1.0, 1.0),
        ("never", GUESS, 1.0, 0.0),
        ("never", FULL, 1.0, 1.0),
    ],
)
def test_a_comparison_needs_its_passages(support: Any, turns: Sequence[str], outcome: float, supported: float) -> None:
    tasks = TASKS.where(kind=("comparison",))
    env = SearchEnv(CORPUS, tasks, support=support, top_k=1)
    env.reset(seed=0)
    info = play(env, *turns)
    assert (info["outcome"], info["supported"], info["em"]) == (outcome, supported, 1.0)


def test_support_does_not_save_a_wrong_answer() -> None:
    assert play(search_env("larger"), *FULL[:-1], "<answer>Aldmoor</answer>")["outcome"] == 0.0


def test_other_questions_count_without_support_unless_it_is_asked_for() -> None:
    assert play(search_env("birthplace"), "<answer>Carrowby</answer>")["outcome"] == 1.0
    tasks = TASKS.where(kind=("bridge", "lookup"))
    env = SearchEnv(CORPUS, tasks, support="always")
    env.reset(seed=0, options={"task_id": "birthplace"})
    assert play(env, "<answer>Carrowby</answer>")["outcome"] == 0.0


def test_yes_and_no_need_their_passages_found_by_title() -> None:
    assert play(search_env("clock"), "<answer>yes</answer>")["outcome"] == 0.0
    info = play(search_env("clock"), "<search>village with a clock tower</search>", "<answer>Yes.</answer>")
    assert (info["outcome"], info["supported"]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("metadata", "answers", "gold", "needed"),
    [
        ({"kind": "comparison"}, ("x",), ("aldmoor-1",), True),
        ({"kind": "bridge_comparison"}, ("x",), ("aldmoor-1",), True),  # as 2WikiMultihopQA calls it
        ({"kind": "count"}, ("3",), ("aldmoor-1",), True),
        ({"candidates": ("x", "y")}, ("x",), ("aldmoor-1",), True),
        ({}, ("No",), ("aldmoor-1",), True),
        ({}, (".no", "no"), ("aldmoor-1",), False),  # Norway's domain
        ({"kind": "bridge"}, ("x",), ("aldmoor-1",), False),
        ({"kind": "comparison"}, ("x",), (), False),  # nothing to ask for
        ({"candidates": ()}, ("x",), ("aldmoor-1",), False),
    ],
)
def test_what_auto_takes_for_guessable(metadata: Any, answers: Any, gold: Any, needed: bool) -> None:
    task = Task("t", "g", "Which?", "train", {"answers": answers, "gold_passages": gold}, metadata)
    assert SearchEnv(CORPUS, TaskSet([task])).needs_support(task) is needed


def test_missing_passages_are_named_until_they_are_found() -> None:
    env = search_env("larger", top_k=1)
    assert env.missing_passages() == (("aldmoor-2", "aldmoor-3"), ("brinport-2",))
    env.step(ALTERNATIVE[0])
    assert env.missing_passages() == (("brinport-2",),)
    assert search_env("mayor").missing_passages() == (("aldmoor-1",),)  # a bare id stands for itself


# Policies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["tags", "hermes", "json"])
@pytest.mark.parametrize("top_k", [1, 3])
def test_the_oracle_wins_every_task(dialect: str, top_k: int) -> None:
    env = SearchEnv(CORPUS, TASKS, dialect=dialect, top_k=top_k)
    for task in TASKS:
        env.reset(seed=0, options={"task_id": task.id})
        assert play_policy(env, "oracle")["outcome"] == 1.0, task.id


def test_the_oracle_keeps_turns_for_what_must_be_found() -> None:
    larger = TASKS.get("larger")
    misled = replace(larger, truth={**larger.truth, "queries": ("Merrow",) * 9})
    env = SearchEnv(CORPUS, TaskSet([misled]), max_turns=3, top_k=1)
    env.reset(seed=0)
    assert play_policy(env, "oracle")["outcome"] == 1.0


@pytest.mark.parametrize("dialect", ["tags", "hermes", "json"])
@pytest.mark.parametrize("policy", ["null", "echo", "cheat", "saboteur"])
def test_no_other_policy_wins_anything(policy: str, dialect: str) -> None:
    env = SearchEnv(CORPUS, TASKS, dialect=dialect)
    for task in TASKS:
        for seed in range(10):
            env.reset(seed=seed, options={"task_id": task.id})
            info = play_policy(env, policy, seed)
            assert info["status"] != "failed" and info["outcome"] == 0.0, (task.id, seed)


def test_the_prior_answers_at_once_with_a_candidate_or_the_modal_answer() -> None:
    env = search_env("larger")
    info = play_policy(env, "prior")
    assert env.turn == 1 and info["calls"][0].arguments == {"answer": "Brinport"}  # the one mentioned first
    assert (info["em"], info["outcome"]) == (1.0, 0.0)
    tasks = TaskSet(
        Task(f"{kind}-{n}", "g", "?", split, {"answers": (answer,)}, {"kind": kind, "relation": relation})
        for n, (kind, relation, split, answer) in enumerate(
            [("a", "r", "train", "one"), ("a", "s", "train", "two"), ("a", "s", "train", "two")]
            + [("a", "r", "test", "three")] * 5
            + [("b", None, "train", "zero")]
        )
    )
    assert modal_answers(tasks) == {"r": "one", "s": "two", "a": "two", "b": "zero", None: "two"}
    env = SearchEnv(CORPUS, tasks)
    env.reset(seed=0, options={"task_id": "a-3"})
    assert play_policy(env, "prior")["calls"][0].arguments == {"answer": "one"}


# Retrievers ---------------------------------------------------------------------------------------------------------


class Scripted:
    """A retriever of an author's own: fails, lies or answers as it is told."""

    name, version = "scripted", "1"

    def __init__(self, *results: Any) -> None:
        self.results = list(results)

    def search(self, queries: Sequence[str], k: int) -> Any:
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result


FOUND = [[Hit(Passage("elsewhere-1", "Elsewhere", "A page \ud800 of another corpus."), 1.0, 1)]]
DOWN = EpisodeFailure("retriever_down", "No answer from the retrieval server.")


def test_a_retriever_of_ones_own_needs_no_corpus() -> None:
    env = SearchEnv(questions=TASKS, retriever=Scripted(FOUND))
    env.reset(seed=0, options={"task_id": "mayor"})
    observation, *_, info = env.step("<search>a</search>")
    assert "Doc 1 (Title: Elsewhere) A page \ufffd of another corpus." in observation
    assert info["calls"][0].data == {"passages": ("elsewhere-1",)}
    assert play_policy(env, "oracle")["outcome"] == 1.0


@pytest.mark.parametrize(
    ("broken", "kind"),
    [(DOWN, "retriever_down"), (RuntimeError("boom"), "environment_error"), ([], "environment_error")],
)
def test_a_broken_retriever_fails_the_episode_and_the_next_goes_on(broken: Any, kind: str) -> None:
    env = SearchEnv(CORPUS, TASKS, retriever=Scripted(FOUND, broken, FOUND))
    env.reset(seed=0)
    before, *_ = env.step("<search>a</search>")
    observation, reward, terminated, truncated, info = env.step("<search>a</search>")
    assert (observation, reward, terminated, truncated, info["status"]) == (before, 0.0, False, True, "failed")
    assert info["error"]["kind"] == kind and "outcome" not in info
    env.reset(seed=1)
    assert play(env, "<search>a</search>")["status"] == "running"


def test_a_broken_retriever_can_raise() -> None:
    env = SearchEnv(CORPUS, TASKS, retriever=Scripted(DOWN), on_failure="raise")
    env.reset(seed=0)
    with pytest.raises(EpisodeFailure, match="No answer from the retrieval server"):
        env.step("<search>a</search>")


@pytest.mark.parametrize("vector", [gym.vector.SyncVectorEnv, gym.vector.AsyncVectorEnv])
@pytest.mark.parametrize("mode", list(gym.vector.AutoresetMode), ids=lambda mode: mode.name)
def test_one_failing_worker_does_not_disturb_the_others(vector: Any, mode: Any) -> None:
    def maker(retriever: Any) -> Any:
        return lambda: gym.make(ID, corpus=CORPUS, questions=TASKS, retriever=retriever, max_turns=5)

    env = vector([maker("bm25"), maker(Scripted(FOUND, DOWN, FOUND)), maker("bm25")], autoreset_mode=mode)
    env.reset(seed=0)
    seen = []
    for _ in range(4):
        texts, rewards, ends, cuts, infos = env.step(("<search>mayor</search>",) * 3)
        final = infos.get("final_info", {})
        seen += [final[key][1] for key in ("status",) if key in final] or [infos["status"][1]]
        assert not ends.any() and not cuts[0] and not cuts[2] and (rewards == 0).all()
        assert all("Okafor" in texts[index] for index in (0, 2))
        if mode is gym.vector.AutoresetMode.DISABLED and cuts.any():
            env.reset(options={"reset_mask": cuts})
    env.close()
    assert [str(status) for status in seen[:2]] == ["running", "failed"]
    assert str(seen[-1]) == "running"


# Gymnasium ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["tags", "hermes", "json"])
def test_gymnasiums_checker_has_nothing_to_say(dialect: str) -> None:
    check_env(gym.make(ID, corpus=CORPUS, questions=TASKS, dialect=dialect).unwrapped)


@pytest.mark.parametrize("dialect", ["tags", "hermes", "json"])
def test_samples_are_well_formed(dialect: str) -> None:
    env = search_env(dialect=dialect)
    env.action_space.seed(0)
    for _ in range(30):
        env.reset(seed=0)
        *_, info = env.step(env.action_space.sample())
        assert not info["malformed"] and info["calls"][0].status == "ok"


def test_a_snapshot_keeps_what_was_retrieved_and_answered() -> None:
    env = gym.make(ID, corpus=CORPUS, questions=TASKS, top_k=1)
    env.reset(seed=0, options={"task_id": "larger"})
    play(env, FULL[0])
    (copy,) = palaestra.fork(env, 1)
    assert play(copy, *HALF)["outcome"] == 1.0
    assert env.unwrapped.retrieved == {"aldmoor-2"}
    env.reset(seed=0, options={"task_id": "larger"})
    assert play(env, *HALF)["outcome"] == 0.0


def test_the_spec_can_be_pickled() -> None:
    env = gym.make(ID, corpus=CORPUS, questions=TASKS, top_k=2)
    again = gym.make(pickle.loads(pickle.dumps(env.spec)))
    assert again.unwrapped.top_k == 2
    assert again.reset(seed=5)[0] == env.reset(seed=5)[0]


def test_looking_at_the_spec_copies_neither_corpus_nor_tasks() -> None:
    corpus = load_corpus(CORPUS)
    kwargs = gym.make(ID, corpus=corpus, questions=TASKS).spec.kwargs
    assert kwargs["corpus"] is corpus and kwargs["questions"] is TASKS


def test_instances_over_one_corpus_share_its_index() -> None:
    assert search_env().retriever is search_env().retriever


def test_the_ground_truth_stays_out_of_sight() -> None:
    env = SearchEnv(CORPUS, TASKS)
    observation, info = env.reset(seed=0, options={"task_id": "birthplace", "canary": "nonce-417"})
    record = [observation, info]
    for turn in ("<search>mayor of Aldmoor</search>", "nonsense", "<answer>Carrowby</answer>"):
        record.append(env.step(turn))
    assert env.privileged()["answers"] == ("nonce-417",)
    assert "nonce-417" not in str(record) + str(env.messages)
    assert record[-1][1] == 0.0


# Errors -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"corpus": None}, ConfigError, "Search needs 'corpus': gym.make"),
        ({"questions": None}, ConfigError, "Search needs 'questions'"),
        ({"top_k": 0}, ConfigError, "top_k is 0"),
        ({"score": "rouge"}, ConfigError, "choose 'em' or 'f1'"),
        ({"support": "maybe"}, ConfigError, "'auto', 'always' or 'never'"),
        ({"support": "always"}, ConfigError, "'tower' has no truth"),
        ({"split": "dev"}, UnknownNameError, "no split 'dev'"),
        ({"retriever": "bm52"}, UnknownNameError, "Did you mean 'bm25'"),
        ({"retriever": 3}, ConfigError, "not int"),
        ({"dialect": "xml"}, UnknownNameError, "no dialect 'xml'"),
        ({"corpus": 3}, ConfigError, "not int"),
        ({"corpus": []}, DataError, "no passage"),
        ({"corpus": [("1", "a")]}, DataError, "the passages given"),
        ({"corpus": "nowhere.jsonl"}, DataError, "nowhere.jsonl"),
        ({"questions": "nowhere.jsonl"}, DataError, "nowhere.jsonl"),
        ({"questions": []}, DataError, "no question"),
        ({"questions": [{"question": "Who?"}]}, DataError, "answer"),
        ({"questions": [Task("q", "g", "Who?", "train", {})]}, ConfigError, "'q' needs truth"),
        ({"questions": [Task("q", "g", "Who?", "train", {"answers": "me"})]}, ConfigError, "got 'me'"),
        ({"questions": [Task("q", "g", "Who?", "train", {"answers": ()})]}, ConfigError, "tuple of accepted texts"),
    ],
)
def test_what_cannot_work_is_refused_in_words(options: Any, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        SearchEnv(**{"corpus": CORPUS, "questions": TASKS, **options})


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ConfigError, match="there is no option 'topk'"):
        palaestra.make(ID, corpus=CORPUS, questions=TASKS, topk=3)


def test_an_empty_split_says_so() -> None:
    with pytest.raises(ConfigError, match="no tasks to choose from"):
        SearchEnv(CORPUS, TASKS.where(split="train"), split="test")


def test_files_of_ones_own(tmp_path: Path) -> None:
    corpus, questions = tmp_path / "corpus.jsonl", tmp_path / "questions.jsonl"
    corpus.write_text("".join(json.dumps({"id": i, "contents": f'"{t}"\n{x}'}) + "\n" for i, t, x in CORPUS), "utf-8")
    asked = [{"id": "q1", "question": "Who is the mayor of Aldmoor?", "golden_answers": ["Ines Okafor"]}]
    questions.write_text("".join(json.dumps(item) + "\n" for item in asked), "utf-8")
    for source in (questions, str(questions), asked):
        env = gym.make(ID, corpus=str(corpus), questions=source)
        env.reset(seed=0)
        assert play(env, "<search>mayor of Aldmoor</search>", "<answer>ines okafor</answer>")["outcome"] == 1.0
    corpus.write_text('{"id": "1", "title": "a", "text": "b"}\n{"id": "2", "title": 3, "text": "b"}\n', "utf-8")
    with pytest.raises(DataError, match=r"corpus\.jsonl, line 2, field 'title'"):
        SearchEnv(corpus, asked)


def test_hotpotqa_questions_on_their_own_passages(tmp_path: Path) -> None:
    from palaestra.envs.search.question_files import context_corpus

    rows = [
        {
            "_id": "h1",
            "question": "Which town has more inhabitants, Aldmoor or Brinport?",
            "answer": "Brinport",
            "type": "comparison",
            "level": "easy",
            "supporting_facts": [["Aldmoor", 0], ["Brinport", 0]],
            "context": [["Aldmoor", ["Aldmoor has 4,200 inhabitants."]], ["Brinport", ["Brinport has 9,100."]]],
        }
    ]
    for corpus in (context_corpus(rows), [("1", "Aldmoor", "4,200 live there."), ("2", "Brinport", "9,100 do.")]):
        env = SearchEnv(corpus, rows, top_k=1)
        env.reset(seed=0)
        assert play(env, "<answer>Brinport</answer>")["outcome"] == 0.0
        env.reset(seed=0)
        searched = ("<search>Aldmoor</search>", "<search>Brinport</search>", "<answer>Brinport</answer>")
        assert play(env, *searched)["outcome"] == 1.0
        env.reset(seed=0)
        assert play_policy(env, "oracle")["outcome"] == 1.0


def test_reset_by_task_id() -> None:
    env = SearchEnv(CORPUS, TASKS, split="train")
    observation, info = env.reset(seed=0, options={"task_id": "birthplace"})
    assert (info["task_id"], info["group"], info["split"]) == ("birthplace", "aldmoor", "train")
    assert observation.endswith("Question: Where was the mayor of Aldmoor born?")
    with pytest.raises(UnknownNameError, match="Did you mean 'birthplace'"):
        env.reset(options={"task_id": "birthplaces"})
    with pytest.raises(UnknownNameError):
        env.reset(options={"task_id": "larger"})  # of another split


def test_reset_does_not_touch_the_retriever() -> None:
    env = SearchEnv(CORPUS, TASKS, retriever=Scripted(DOWN))
    assert env.reset(seed=0)[1]["status"] == "running"
