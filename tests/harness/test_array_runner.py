"""The array runner against a slow loop over single environments, under every autoreset mode."""

from __future__ import annotations

import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import palaestra_toys as toys
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from palaestra.cutting import EpisodeCutter
from palaestra.errors import ConfigError
from palaestra.harness.array_runner import ArrayRunner

SLOTS = 3
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


class Counting:
    """Acts by the observation alone, so that a single environment can be played the same way."""

    name = "counting"

    def initial_state(self, num_slots, rng):
        return np.zeros(num_slots, np.int64)

    def act(self, observations, state, reset_mask):
        place = observations["place"] if isinstance(observations, dict) else observations
        state = np.where(reset_mask, 0, state + 1)  # the turn within the episode
        return self.choose(place, state), state, {"turn": state.copy()}

    @staticmethod
    def choose(place, turn):
        return ((np.abs(place[..., 0]) * 100).astype(np.int64) + turn) % 3


class Difference:
    """Scores a step by what it saw before and truly after."""

    name, scope, requires = "difference", "episodic", frozenset()
    version = 0

    def __init__(self):
        self.starts: list[tuple[int, int]] = []
        self.first: dict[int, np.ndarray] = {}

    def reset(self, slots, episode_ids, observations):
        self.starts += list(zip(slots.tolist(), episode_ids, strict=True))
        for slot, place in zip(slots.tolist(), _place(observations), strict=True):
            self.first[slot] = place.copy()

    def __call__(self, transition):
        before, after = _place(transition.observation), _place(transition.next_observation)
        start = np.stack([self.first[slot] for slot in transition.slot.tolist()])
        return np.where(transition.valid, (after - before).sum(1) + 0.5 * start[:, 0], 0.0)

    def update(self, batch):
        raise AssertionError

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def _place(observations):
    return observations["place"] if isinstance(observations, dict) else observations


def _single(env: gym.Env, seed: int, steps: int) -> list[dict[str, Any]]:
    """Episodes of one slot, played the slow way."""
    episodes = []
    observation, _ = env.reset(seed=seed)
    total = 0
    while total < steps:
        seen, acted, paid, ends, shaped = [observation], [], [], [], []
        while True:
            action = Counting.choose(_place(seen[-1]), len(acted))
            after, reward, terminated, truncated, info = env.step(action)
            failed = info.get("status") == "failed"
            total += 1
            change = float((_place(after) - _place(seen[-1])).sum()) + 0.5 * float(_place(seen[0])[0])
            shaped.append(0.0 if failed else change)
            seen.append(after)
            acted.append(action)
            paid.append(reward)
            ends.append((terminated, truncated))
            if terminated or truncated:
                break
        episodes.append({"seen": seen, "acted": acted, "paid": paid, "ends": ends, "info": info, "shaped": shaped})
        observation, _ = env.reset()
    return episodes


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("fail_at", [np.inf, 2.5])
@pytest.mark.parametrize("copies", [True, False])
def test_cut_rollouts_are_what_single_environments_give(mode, nested, fail_at, copies):
    kwargs = {"nested": nested, "fail_at": fail_at}
    envs = SyncVectorEnv([lambda: toys.Walk(**kwargs)] * SLOTS, autoreset_mode=mode, copy=copies)
    reward = Difference()
    runner = ArrayRunner(envs, Counting(), steps=11, seed=40, reward=reward)
    cutter = EpisodeCutter()
    cuts = [cut for _ in range(12) for cut in cutter.cut(runner.collect())]
    envs.close()
    assert len(cuts) > 40
    slow = {slot: _single(toys.Walk(**kwargs), 40 + slot, 140) for slot in range(SLOTS)}
    assert all(cuts[i].number < len(slow[cuts[i].slot]) for i in range(len(cuts)))
    for slot in range(SLOTS):
        assert [cut.number for cut in cuts if cut.slot == slot] == list(range(sum(cut.slot == slot for cut in cuts)))
    failures = 0
    for cut in cuts:
        want = slow[cut.slot][cut.number]
        assert len(cut.turns) == len(want["acted"])
        np.testing.assert_array_equal(cut.turns.actions, want["acted"])
        np.testing.assert_array_equal(cut.turns.terms["env"], want["paid"])
        np.testing.assert_allclose(cut.turns.rewards, want["shaped"], atol=1e-5)
        np.testing.assert_array_equal(cut.turns.terms["difference"], cut.turns.rewards)
        np.testing.assert_array_equal(np.stack([cut.turns.terminated, cut.turns.truncated], 1), want["ends"])
        for t, seen in enumerate(want["seen"]):
            if nested:
                assert cut.observations[t].keys() == seen.keys()
                assert all(np.array_equal(cut.observations[t][key], seen[key]) for key in seen)
            else:
                np.testing.assert_array_equal(cut.observations[t], seen)
        failed = want["info"]["status"] == "failed"
        failures += failed
        assert (cut.error is not None) == failed
        if failed:
            assert cut.error.kind == "fell_off" and cut.error.retryable
        else:
            assert cut.info["outcome"] == want["info"]["outcome"]
    assert (failures > 3) == (fail_at < 10)
    assert len(reward.starts) == len(set(reward.starts)) >= len(cuts)


@pytest.mark.parametrize("mode", MODES)
def test_only_rows_of_episodes_that_did_not_fail_are_valid(mode):
    envs = SyncVectorEnv([lambda: toys.Walk(fail_at=2.5)] * SLOTS, autoreset_mode=mode)
    runner = ArrayRunner(envs, Counting(), steps=200, seed=1)
    rollout = runner.collect()
    envs.close()
    np.testing.assert_array_equal(rollout.terms["env"], rollout.rewards)
    failed = {
        (int(n), int(rollout.episode_id[t, n]))
        for (t, n), info in zip(rollout.final_at, rollout.final_infos, strict=True)
        if info["status"] == "failed"
    }
    assert failed
    for n in range(SLOTS):
        for t in range(rollout.steps):
            number = int(rollout.episode_id[t, n])
            assert rollout.valid[t, n] == (number >= 0 and (n, number) not in failed)
    resets = (rollout.episode_id == -1).sum()
    assert (resets > 0) == (mode is AutoresetMode.NEXT_STEP)
    assert (rollout.extras["turn"][rollout.valid] >= 0).all() and rollout.extras["turn"].shape == rollout.rewards.shape


@pytest.mark.parametrize("mode", MODES)
def test_true_next_observations_and_what_the_policy_saw(mode):
    envs = SyncVectorEnv([toys.Walk] * SLOTS, autoreset_mode=mode)
    runner = ArrayRunner(envs, Counting(), steps=64, seed=5)
    first, second = runner.collect(), runner.collect()
    envs.close()
    np.testing.assert_array_equal(first.observations[-1], second.observations[0])
    turn = np.concatenate([first.extras["turn"], second.extras["turn"]])
    number = np.concatenate([first.episode_id, second.episode_id])
    for n in range(SLOTS):  # the turn counts from 0 within every episode: reset_mask came with its first observation
        rows = [t for t in range(len(turn)) if number[t, n] >= 0]
        for a, b in itertools.pairwise(rows):
            assert turn[b, n] == (0 if number[b, n] != number[a, n] else turn[a, n] + 1)
    follow = first.next_observations()
    moves = follow[first.valid] - first.observations[:-1][first.valid]
    assert np.abs(moves).max() < 8  # a step is small; a jump to a reset observation would show in the clock test above
    for e, (t, n) in enumerate(first.final_at):
        np.testing.assert_array_equal(follow[t, n], first.final_observations[e])


def test_an_asynchronous_vector_environment_gives_the_same(tmp_path):
    rollouts = []
    for kind in (SyncVectorEnv, AsyncVectorEnv):
        envs = kind([toys.Walk] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
        rollouts.append(ArrayRunner(envs, Counting(), steps=40, seed=3).collect())
        envs.close()
    np.testing.assert_array_equal(rollouts[0].observations, rollouts[1].observations)
    np.testing.assert_array_equal(rollouts[0].final_observations, rollouts[1].final_observations)
    assert rollouts[0].final_infos == rollouts[1].final_infos


def test_text_and_wrong_modes_are_refused_clearly():
    envs = SyncVectorEnv([toys.Sums] * 2)
    with pytest.raises(ConfigError, match="observations are arrays"):
        ArrayRunner(envs, Counting()).collect()
    with pytest.raises(ConfigError, match="DISABLED"):
        ArrayRunner(envs, Counting(), starts=object())
    with pytest.raises(ConfigError, match="at least 1"):
        ArrayRunner(envs, Counting(), steps=0)
    envs.close()
