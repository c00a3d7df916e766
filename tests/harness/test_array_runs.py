"""Recorded runs of array agents."""

from __future__ import annotations

import time

import gymnasium as gym
import numpy as np
import palaestra_toys as toys
import pytest

from palaestra.errors import ConfigError
from palaestra.harness import Limits, Run, run
from palaestra.harness.replay import replay

ENV = "toys/Walk-v0"


@pytest.mark.parametrize("agent", ["random", "reference", "null"])
@pytest.mark.parametrize("nested", [False, True])
def test_the_same_episodes_at_any_number_of_slots_as_one_environment_gives(tmp_path, agent, nested):
    kwargs = {"nested": nested}
    runs = [
        run(ENV, toys.Scripted(agent), tmp_path / str(slots), episodes=23, env_kwargs=kwargs, concurrency=slots)
        for slots in (1, 5)
    ]
    assert len(runs[0]) == 23
    assert sorted(line for _, line in runs[0].lines()) == sorted(line for _, line in runs[1].lines())
    for episode in runs[1].episodes():
        env = toys.Walk(**kwargs)
        observation, info = env.reset(seed=episode.seed)
        assert episode.info["length"] == info["length"] == len(episode.turns)
        for turn in episode.turns:
            observation, reward, terminated, truncated, info = env.step(turn.action)
            assert (turn.reward, turn.terminated, turn.truncated) == (reward, terminated, truncated)
        last = episode.observations[len(episode.turns)]
        assert (
            all(np.array_equal(last[key], observation[key]) for key in observation)
            if nested
            else (np.array_equal(last, observation))
        )
        assert episode.outcome == info["outcome"] and episode.turns[-1].info["outcome"] == info["outcome"]
        assert replay(runs[1], episode.episode_id).differences == ()


def test_failed_episodes_are_recorded_with_their_cause_and_tried_again(tmp_path):
    done = run(ENV, toys.Scripted("reference"), tmp_path / "r", episodes=30, env_kwargs={"fail_at": 6.0}, concurrency=4)
    failed = [episode for episode in done.episodes() if episode.status == "failed"]
    assert 0 < len(failed) < 30 and len(done) == 30
    for episode in failed:
        assert episode.error.kind == "fell_off" and episode.outcome is None and episode.attempt == 1
        assert len(episode.observations) == len(episode.turns) + 1 > 1
    again = run(ENV, toys.Scripted("reference"), tmp_path / "s", episodes=30, env_kwargs={"fail_at": 6.0})
    assert again.manifest["digest"] == done.manifest["digest"]


def test_a_run_that_stops_goes_on_where_it_stopped(tmp_path):
    whole = run(ENV, toys.Scripted("random"), tmp_path / "whole", episodes=1500, concurrency=4)
    part = run(ENV, toys.Scripted("random"), tmp_path / "r", episodes=1500, concurrency=4, limits=Limits(time=0.05))
    assert part.manifest["status"] == "budget" and len(part) < 1500
    done = run(ENV, toys.Scripted("random"), tmp_path / "r", episodes=1500, concurrency=3, resume=True)
    assert done.manifest["digest"] == whole.manifest["digest"]


class Learned:
    """Pays the distance to the mean place of all that it has seen so far."""

    name, scope, requires = "distance", "learned", frozenset()

    def __init__(self):
        self.version, self.mean, self.count = 0, np.zeros(2), 0

    def reset(self, slots, episode_ids, observations):
        pass

    def __call__(self, transition):
        return np.linalg.norm(transition.next_observation - self.mean, axis=1)

    def update(self, batch):
        seen = batch.next_observations()[batch.valid]
        self.count += len(seen)
        self.mean = self.mean + (seen - self.mean).sum(0) / max(1, self.count)
        self.version += 1
        return {"count": float(self.count)}

    def state_dict(self):
        return {"version": self.version, "mean": self.mean, "count": self.count}

    def load_state_dict(self, state):
        self.version, self.mean, self.count = state["version"], state["mean"], state["count"]


def test_a_learned_reward_learns_between_rollouts_and_every_step_says_by_which_version(tmp_path):
    reward = Learned()
    done = run(
        ENV, toys.Scripted("random"), tmp_path / "r", episodes=600, concurrency=2, rewards=[(reward, 0.5), "env"]
    )
    assert reward.version > 2
    versions = set()
    for episode in done.episodes():
        terms = episode.turns.terms
        np.testing.assert_allclose(episode.turns.rewards, 0.5 * terms["distance"] + terms["env"])
        versions |= set(terms["distance/version"].tolist())
    assert versions == set(range(reward.version))
    with pytest.raises(ConfigError, match="already holds"):
        run(ENV, toys.Scripted("random"), tmp_path / "r", episodes=600)
    resumed = Learned()
    again = run(ENV, toys.Scripted("random"), tmp_path / "r", episodes=600, concurrency=2, resume=True,
                rewards=[(resumed, 0.5), "env"])  # fmt: skip
    assert resumed.version == reward.version and np.array_equal(resumed.mean, reward.mean)
    assert len(again) == 600


class Hanging(toys.Walk):
    def _step(self, action):
        if self.hangs and self.t == 1:
            time.sleep(3600)
        return super()._step(action)

    def _reset(self, options):
        seen = super()._reset(options)
        self.hangs = self.length == 7
        return seen


class Broken(gym.Wrapper):
    def step(self, action):
        if self.unwrapped.length == 7:
            raise RuntimeError("not caught by anybody")
        return super().step(action)


def test_an_environment_that_hangs_or_raises_costs_episodes_and_not_the_run(tmp_path, monkeypatch):
    from palaestra import registration

    whole = run(ENV, toys.Scripted("random"), tmp_path / "whole", episodes=24)
    monkeypatch.setattr(toys, "Walk", Hanging)
    done = run(ENV, toys.Scripted("random"), tmp_path / "h", episodes=24, limits=Limits(step=0.3, retries=0))
    failed = {entry.episode_id: entry.error["kind"] for entry in done.entries if entry.status == "failed"}
    sevens = {episode.episode_id for episode in whole.episodes() if episode.info["length"] == 7}
    assert sevens and failed == dict.fromkeys(sevens, "step_timeout") and len(done) == 24
    monkeypatch.undo()
    make = registration.make
    monkeypatch.setattr(registration, "make", lambda *args, **kwargs: Broken(make(*args, **kwargs)))
    done = run(ENV, toys.Scripted("random"), tmp_path / "b", episodes=24, limits=Limits(retries=0))
    failed = {entry.episode_id: entry.error["kind"] for entry in done.entries if entry.status == "failed"}
    assert failed == dict.fromkeys(sevens, "environment_error")


def test_an_array_policy_plays_and_text_is_refused(tmp_path):
    class Right:
        name = "right"

        def initial_state(self, num_slots, rng):
            return None

        def act(self, observations, state, reset_mask):
            return np.full(len(observations), 2), state, {}

    done = run(ENV, Right(), tmp_path / "r", episodes=9, concurrency=4)
    assert len(done) == 9 and all((episode.turns.actions == 2).all() for episode in done.episodes())
    with pytest.raises(ConfigError, match="batches of arrays"):
        run("toys/Sums-v0", Right(), tmp_path / "s")
    with pytest.raises(ConfigError, match="horizon"):
        run(ENV, Right(), tmp_path / "t", limits=Limits(turns=3))
    assert Run(tmp_path / "r").agent == "right"


def test_a_model_can_play_an_array_environment_too(tmp_path):
    agent = toys.Speaker(lambda view: 1)
    agent.act = lambda view: _act(agent, view)
    done = run(ENV, agent, tmp_path / "r", episodes=3)
    assert len(done) == 3 and agent.views[0].messages[0]["role"] == "user"


async def _act(agent, view):
    from palaestra.agents.base import Action

    agent.views.append(view)
    return Action(np.int64(1))


def test_an_environment_of_gymnasium_itself_is_played(tmp_path):
    done = run("CartPole-v1", toys.Scripted("random"), tmp_path / "r", episodes=7, concurrency=3)
    assert len(done) == 7 and all(entry.outcome is None for entry in done.entries)
    assert all(10 <= episode.episode_return == len(episode.turns) for episode in done.episodes())
