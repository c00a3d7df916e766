from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from palaestra.errors import ConfigError
from palaestra.rewards.base import CreditResult
from palaestra.rewards.credit_batch import credit_batch


def column(*numbers):
    return np.array(numbers, np.float64)


def test_an_episodes_value_is_on_its_last_turn(make_episode):
    episodes = [
        make_episode([0.0, 0.0, 0.0], group_id="b", env_id="palaestra/A-v0"),
        make_episode([0.0], group_id="a", env_id="palaestra/B-v0", failed=True),
        make_episode([0.0, 0.0], group_id="a", env_id="palaestra/B-v0"),
        make_episode([0.0], group_id="b", env_id="palaestra/A-v0"),
    ]
    result = CreditResult([column(0.5), None, column(1.0), None], "episode")
    batch = credit_batch(episodes, result)
    np.testing.assert_array_equal(batch.values, [[0, 0, 0.5], [0, 0, 0], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(batch.turn_of_token, [[0, 1, 2], [0, -1, -1], [0, 1, -1], [0, -1, -1]])
    np.testing.assert_array_equal(batch.rewards, [0.5, np.nan, 1.0, np.nan])
    assert batch.valid.tolist() == [True, False, True, False]
    assert batch.lengths.tolist() == [3, 1, 2, 1]
    assert batch.groups[0] == batch.groups[3] != batch.groups[1] == batch.groups[2]
    assert batch.env_ids[0] == batch.env_ids[3] != batch.env_ids[1] == batch.env_ids[2]
    assert not batch.strata.any() and not batch.last_value.any()


def test_positions_of_tokens(make_episode, speak):
    episode = make_episode([speak(0, 2), speak(1, 0), speak(2, 3)])
    batch = credit_batch([episode], CreditResult([column(1, 2, 3, 4, 5)], "token"))
    np.testing.assert_array_equal(batch.turn_of_token, [[0, 0, 2, 2, 2]])
    np.testing.assert_array_equal(batch.values, [[1, 2, 3, 4, 5]])
    assert batch.rewards[0] == 15


def test_what_is_not_known_of_a_turn_stays_unknown(make_episode):
    batch = credit_batch([make_episode([0.0, 0.0])], CreditResult([column(np.nan, 1.0)], "turn"))
    np.testing.assert_array_equal(batch.values, [[np.nan, 1.0]])
    assert batch.valid[0] and batch.rewards[0] == 1.0


def test_strata_are_asked_of_valid_episodes_only(make_episode):
    episodes = [make_episode([0.0], seed=4), make_episode([0.0], seed=5, failed=True), make_episode([0.0], seed=4)]
    result = CreditResult([column(1.0), None, column(0.0)], "episode")
    seen = []

    def strata(episode):
        seen.append(episode.seed)
        return ("odd", episode.seed)

    batch = credit_batch(episodes, result, strata=strata)
    assert batch.strata[0] == batch.strata[2] and seen == [4, 4]


def test_an_episode_without_turns_counts_with_its_reward(make_episode):
    episodes = [make_episode([], group_id="g"), make_episode([0.0], group_id="g")]
    batch = credit_batch(episodes, CreditResult([column(1.0), column(0.0)], "episode"))
    assert batch.valid.all() and batch.lengths.tolist() == [0, 1] and batch.rewards.tolist() == [1.0, 0.0]


def test_nothing_at_all():
    batch = credit_batch([], CreditResult([], "turn"))
    assert batch.values.shape == (0, 0) and batch.groups.shape == (0,)


def test_what_does_not_fit_is_refused(make_episode):
    with pytest.raises(ConfigError, match="1 values for 2 episodes"):
        credit_batch([make_episode(), make_episode()], CreditResult([None], "turn"))
    with pytest.raises(ConfigError, match=r"has 1 value\(s\) at level 'turn', got shape \(2,\)"):
        credit_batch([make_episode([0.0])], CreditResult([column(1, 2)], "turn"))


def test_env_ids_are_those_of_every_process(make_episode):
    code = "from palaestra.rewards.credit_batch import _digest; print(_digest('palaestra/Test-v0'))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    batch = credit_batch([make_episode()], CreditResult([column(1.0)], "episode"))
    assert batch.env_ids[0] == int(there.stdout)
