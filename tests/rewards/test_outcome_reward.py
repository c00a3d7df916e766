from __future__ import annotations

import numpy as np
import pytest

import palaestra
from palaestra.episodes import Turn
from palaestra.errors import ConfigError
from palaestra.rewards.base import Models, check_requires, kind_of
from palaestra.rewards.env_reward import EnvReward
from palaestra.rewards.outcome import Outcome


def test_outcome_is_the_verifiers_and_failure_is_not_zero(make_episode):
    episodes = [
        make_episode(outcome=1.0),
        make_episode(outcome=0.25, status="truncated"),
        make_episode(failed=True),
        make_episode(),
    ]
    result = Outcome()(episodes, Models())
    assert result.level == "episode"
    assert [None if value is None else value.tolist() for value in result.values] == [[1.0], [0.25], None, None]
    assert result.metrics == {"outcome/without_outcome": 1.0}


def test_an_environment_without_verifier_is_refused_with_a_way_out():
    check_requires(Outcome(), {"outcome", "calls"})
    with pytest.raises(ConfigError, match=r"'outcome' needs.*verifiable environment, or the reward 'env'"):
        check_requires(Outcome(), {"calls"})


def test_env_reward_is_the_environments_part_alone(make_episode):
    turns = [Turn(0, "", reward=1.5, terms={"env": 1.0, "count": 0.5}), Turn(1, "", reward=2.0)]
    result = EnvReward()([make_episode(turns), make_episode([1.0], failed=True), make_episode([])])
    assert result.level == "turn"
    np.testing.assert_array_equal(result.values[0], [1.0, 2.0])
    assert result.values[1] is None
    assert result.values[2] is not None and result.values[2].shape == (0,)


@pytest.mark.parametrize(("name", "kind"), [("outcome", "credit"), ("env", "credit"), ("format", "credit")])
def test_kinds(name, kind):
    assert kind_of(palaestra.rewards.make(name)) == kind


def test_what_is_no_reward_is_refused():
    assert kind_of(palaestra.rewards.make("count")) == "step"
    for thing in ("outcome", 3, len, palaestra.rewards.make("clip")):
        with pytest.raises(ConfigError, match="is no reward"):
            kind_of(thing)
