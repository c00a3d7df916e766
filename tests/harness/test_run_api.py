"""Runs through the Python interface: what is recorded, what is asked of whom, how things that go wrong end."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import palaestra_toys as toys
import pytest

from palaestra.errors import (
    BudgetExceeded,
    ConfigError,
    EpisodeFailure,
    ModelUnavailable,
    RecordError,
    UnknownNameError,
)
from palaestra.harness import Limits, Run, run
from palaestra.records import dump_line, encode_episode

ENV = "toys/Sums-v0"


def test_a_run_records_every_episode_whole(tmp_path):
    done = run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=None)
    assert done.manifest["status"] == "finished"
    assert len(done) == len(toys.TASKS)
    assert {entry.outcome for entry in done.entries} == {1.0}
    episode = done.episode("sum-05#0")
    assert episode.status == "terminated"
    assert episode.observations[0].startswith("5 + 4 = ?")
    assert len(episode.observations) == len(episode.turns) + 1 == 3
    assert episode.turns[0].calls[0].name == "think"
    assert episode.turns[-1].terms == {"env": 1.0} and episode.turns[-1].reward == 1.0
    assert "calls" not in episode.turns[0].info
    assert episode.privileged == {"answers": ("9",)}
    assert episode.task is not None and episode.task.id == "sum-05" and episode.task.truth == {}
    assert episode.group_id == "sum-05" and episode.world_id == "sum-05#0" and episode.world_size == 1


def test_records_are_the_same_bytes_at_any_concurrency(tmp_path):
    lines = []
    for concurrency in (1, 7):
        done = run(ENV, toys.Scripted("oracle"), tmp_path / str(concurrency), samples=3, concurrency=concurrency)
        lines.append((sorted(line for _, line in done.lines()), done.manifest["digest"]))
    assert lines[0] == lines[1]
    other = run(ENV, toys.Scripted("oracle"), tmp_path / "other", samples=3, seed=1)
    assert other.manifest["digest"] != lines[0][1]


def test_lines_are_canonical_and_lazy_episodes_encode_back_to_them(tmp_path):
    done = run(ENV, toys.Scripted("random"), tmp_path / "r", episodes=5)
    again = [dump_line(encode_episode(episode, done.blobs)) for episode in done.episodes()]
    assert again == [line for _, line in done.lines()]


def test_a_model_sees_the_dialogue_and_nothing_privileged(tmp_path):
    agent = toys.Speaker(lambda view: "think" if view.t == 0 else "12")
    done = run(ENV, agent, tmp_path / "r", episodes=6, concurrency=3)
    assert len(done) == 6
    view = next(view for view in agent.views if view.t == 1)
    assert [message["role"] for message in view.messages] == ["user", "assistant", "user"]
    assert view.max_turns == 4
    assert "privileged" not in view.info and "answers" not in json.dumps(str(view))
    seeds = {(view.episode_id, view.t): view.seed for view in agent.views}
    assert len(set(seeds.values())) == len(agent.views) == 12
    assert sorted(agent.finished) == sorted(entry.episode_id for entry in done.entries)
    assert next(done.episodes()).turns[0].completion.model == "toy"
    again = toys.Speaker(lambda view: "think" if view.t == 0 else "12")
    run(ENV, again, tmp_path / "again", episodes=6, concurrency=1)
    assert {(view.episode_id, view.t): view.seed for view in again.views} == seeds


def test_many_models_answers_are_awaited_at_once(tmp_path):
    most = {"now": 0, "ever": 0}

    async def say(view):
        most["now"] += 1
        most["ever"] = max(most["ever"], most["now"])
        while most["ever"] < 4 and most["now"] < 4:  # nobody goes on before four are in flight
            await asyncio.sleep(0.001)
        most["now"] -= 1
        return "12"

    run(ENV, toys.Speaker(say), tmp_path / "r", episodes=4, concurrency=4)
    assert most["ever"] == 4


def test_the_manifest_says_what_was_asked_and_hides_secrets(tmp_path):
    done = run(
        ENV, toys.Speaker(lambda view: "1"), tmp_path / "r", episodes=2, env_kwargs={"api_key": "sk-also-secret"}
    )
    text = (tmp_path / "r" / "manifest.json").read_text() + (tmp_path / "r" / "episodes.jsonl").read_text()
    assert "secret" not in text and "pass@" not in text
    assert done.manifest["agent"]["url"] == "https://(hidden)@example.org/v1"
    assert done.manifest["sessions"][0]["machine"]["cores"] >= 1
    assert done.manifest["sessions"][0]["packages"]["palaestra"]
    assert done.manifest["seed"] == 0


def test_an_environment_that_fails_gives_failed_episodes_and_the_run_goes_on(tmp_path):
    done = run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=None, env_kwargs={"trouble": "fail"})
    failed = [episode for episode in done.episodes() if episode.status == "failed"]
    assert len(failed) == 10 and len(done) == 40
    assert {episode.error.kind for episode in failed} == {"retriever_down"}
    assert all(episode.outcome is None for episode in failed)
    assert all(len(episode.observations) == len(episode.turns) + 1 for episode in failed)


def test_a_retryable_failure_is_tried_again_and_the_last_attempt_counts(tmp_path):
    kwargs = {"trouble": f"once:{tmp_path}"}
    done = run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=8, env_kwargs=kwargs)
    assert {entry.attempt for entry in done.entries} == {1} and len(done) == 8
    assert {entry.status for entry in done.entries} == {"terminated"}
    assert len(list(done.episodes(all_attempts=True))) == 16
    other = run(ENV, toys.Scripted("random"), tmp_path / "r2", episodes=8, env_kwargs={"trouble": "reset"},
                limits=Limits(retries=2))  # fmt: skip
    assert {entry.attempt for entry in other.entries} == {2}
    assert {entry.error["kind"] for entry in other.entries} == {"environment_unavailable"}


def test_an_environment_that_hangs_costs_its_episode_and_not_the_run(tmp_path):
    limits = Limits(step=0.3, retries=0)
    done = run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=None, env_kwargs={"trouble": "hang"},
               concurrency=2, limits=limits)  # fmt: skip
    failed = {entry.episode_id: entry.error["kind"] for entry in done.entries if entry.status == "failed"}
    assert failed == {f"sum-{number}#0": "step_timeout" for number in ("03", "13", "23", "33")}
    assert len(done) == 40 and done.manifest["status"] == "finished"


@pytest.mark.parametrize(
    ("error", "kind", "cause"),
    [
        (ValueError("oops"), "agent_error", "unattributed"),
        (ModelUnavailable("model_down", "no answer"), "model_down", "infrastructure"),
    ],
)
def test_an_agent_that_raises_fails_its_episodes(tmp_path, error, kind, cause):
    def say(view):
        raise error

    done = run(ENV, toys.Speaker(say), tmp_path / "r", episodes=3, limits=Limits(retries=0))
    assert {(entry.error["kind"], entry.error["cause"]) for entry in done.entries} == {(kind, cause)}


def test_a_model_that_does_not_answer_in_time_fails_the_episode(tmp_path):
    async def say(view):
        await asyncio.sleep(3600)

    done = run(ENV, toys.Speaker(say), tmp_path / "r", episodes=2, limits=Limits(model=0.1, retries=0))
    assert {entry.error["kind"] for entry in done.entries} == {"model_timeout"}


def test_an_episode_cut_off_from_outside_is_judged_as_it_stands(tmp_path):
    done = run(ENV, toys.Speaker(lambda view: "think"), tmp_path / "r", episodes=3, limits=Limits(turns=2))
    for episode in done.episodes():
        assert episode.status == "truncated" and episode.outcome == 0.25
        assert len(episode.turns) == 2 and episode.turns[-1].truncated


def test_budgets_stop_a_run_that_can_be_resumed(tmp_path):
    agent = toys.Speaker(lambda view: "12")
    stopped = run(ENV, agent, tmp_path / "r", episodes=None, limits=Limits(tokens=30))  # 6 tokens an episode
    assert stopped.manifest["status"] == "budget" and len(stopped) == 5
    done = run(ENV, agent, tmp_path / "r", episodes=None, resume=True)
    assert done.manifest["status"] == "finished" and len(done) == 40
    assert len({entry.episode_id for entry in done.entries}) == 40

    spent = iter(range(4))

    def say(view):
        if next(spent) == 3:
            raise BudgetExceeded("The money is spent.")
        return "12"

    stopped = run(ENV, toys.Speaker(say), tmp_path / "m", episodes=None)
    assert stopped.manifest["status"] == "budget" and "money" in stopped.manifest["message"]
    assert len(stopped) == 3
    late = run(ENV, toys.Scripted("oracle"), tmp_path / "t", episodes=None, env_kwargs={"slow": 0.05},
               limits=Limits(time=0.3))  # fmt: skip
    assert late.manifest["status"] == "budget" and 0 < len(late) < 40


def test_resume_refuses_another_question_and_names_the_difference(tmp_path):
    run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=4)
    with pytest.raises(ConfigError, match=r"already holds a run.*--resume"):
        run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=4)
    with pytest.raises(ConfigError, match=r"seed: was 0, is 5") as caught:
        run(ENV, toys.Scripted("null"), tmp_path / "r", episodes=4, seed=5, resume=True)
    assert "agent.name: was 'oracle', is 'null'" in str(caught.value)
    before = (tmp_path / "r" / "episodes.jsonl").read_bytes()
    run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=4, resume=True)
    assert (tmp_path / "r" / "episodes.jsonl").read_bytes() == before


def test_retry_failed_plays_failed_episodes_again(tmp_path):
    kwargs = {"trouble": f"once:{tmp_path}"}
    first = run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=6, env_kwargs=kwargs, limits=Limits(retries=0))
    assert {entry.status for entry in first.entries} == {"failed"}
    same = run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=6, env_kwargs=kwargs, limits=Limits(retries=0),
               resume=True)  # fmt: skip
    assert {entry.status for entry in same.entries} == {"failed"}
    then = run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=6, env_kwargs=kwargs, limits=Limits(retries=0),
               resume=True, retry_failed=True)  # fmt: skip
    assert {(entry.status, entry.attempt) for entry in then.entries} == {("terminated", 1)}


def test_what_cannot_be_asked_is_an_error_before_anything_is_played(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'toys/Sums-v0'"):
        run("toys/Sumz-v0", toys.Scripted("oracle"), tmp_path / "a")
    with pytest.raises(UnknownNameError, match="Did you mean 'oracle'"):
        run(ENV, toys.Scripted("oracel"), tmp_path / "b")
    with pytest.raises(UnknownNameError, match="no task 'sum-0x'"):
        run(ENV, toys.Scripted("oracle"), tmp_path / "c", tasks=["sum-0x"])
    with pytest.raises(ConfigError, match=r"no option 'slwo'\. Did you mean 'slow'"):
        run(ENV, toys.Scripted("oracle"), tmp_path / "d", env_kwargs={"slwo": 1})
    with pytest.raises(ConfigError, match="concurrency is 0"):
        run(ENV, toys.Scripted("oracle"), tmp_path / "e", concurrency=0)
    with pytest.raises(RecordError, match="holds no run"):
        Run.open(tmp_path / "nowhere")


def test_split_and_tasks_choose_what_is_played(tmp_path):
    test = run(ENV, toys.Scripted("null"), tmp_path / "r", episodes=None, split="test")
    assert {entry.world_id for entry in test.entries} == {f"{task.id}#0" for task in toys.TASKS.where(split="test")}
    two = run(ENV, toys.Scripted("null"), tmp_path / "s", tasks=["sum-08", "sum-02"], samples=2)
    assert [entry.episode_id for entry in two.entries] == ["sum-08#0", "sum-08#1", "sum-02#0", "sum-02#1"]


def test_rewards_score_while_acting_and_afterwards(tmp_path):
    class Length:
        name, scope, version, requires = "length", "stateless", 0, frozenset()

        def reset(self, slots, episode_ids, observations):
            assert len(slots) == len(episode_ids) == len(observations) == 1

        def __call__(self, transition):
            assert transition.next_observation[0].endswith("noted")
            return np.array([float(len(action)) for action in transition.action])

    done = run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=3, rewards=[(Length(), 0.5), "outcome:2"])
    for episode in done.episodes():
        first, last = episode.turns
        assert first.terms == {"env": 0.0, "length": len(first.action), "outcome": 0.0}
        assert first.reward == 0.5 * len(first.action)
        assert last.terms == {"env": 1.0, "length": len(last.action), "outcome": 1.0}
        assert last.reward == 0.5 * len(last.action) + 2.0
    assert done.manifest["rewards"]["weights"] == {"env": 0.0, "length": 0.5, "outcome": 2.0}
    with pytest.raises(ConfigError, match="weight"):
        run(ENV, toys.Scripted("oracle"), tmp_path / "x", rewards=["outcome:much"])

    class Needy:
        name, requires = "needy", frozenset({"scorer"})

        def __call__(self, episodes, models):
            raise AssertionError

    with pytest.raises(ConfigError, match="'needy' needs what is not there"):
        run(ENV, toys.Scripted("oracle"), tmp_path / "y", rewards=[(Needy(), 1.0)])


def test_a_failure_inside_a_credit_fails_the_episode(tmp_path):
    class Down:
        name, requires = "down", frozenset()

        def __call__(self, episodes, models):
            raise EpisodeFailure("judge_down", "no judge")

    done = run(
        ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=2, rewards=[(Down(), 1.0)], limits=Limits(retries=0)
    )
    assert {entry.error["kind"] for entry in done.entries} == {"judge_down"}


def test_what_is_no_agent_is_refused_with_what_it_lacks(tmp_path):
    class Half:
        name = "half"

        async def act(self, view):
            raise AssertionError("Never asked.")

    with pytest.raises(ConfigError, match="Half is no agent: it lacks 'policy', 'finish', 'describe', 'close'"):
        run(ENV, Half(), tmp_path / "r", episodes=1)
    with pytest.raises(ConfigError, match="NoneType is no agent"):
        run(ENV, None, tmp_path / "r", episodes=1)
