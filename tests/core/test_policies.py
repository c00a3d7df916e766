from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.environment import make_policy
from palaestra.policies import null_action
from palaestra.spaces import Utf8

SPACES = [
    Utf8(8),
    gym.spaces.Discrete(4, start=-2),
    gym.spaces.Box(-1, 1, (2,), np.float32),
    gym.spaces.Box(3, 9, (2, 2), np.int16),
    gym.spaces.Box(-np.inf, np.inf, (1,)),
    gym.spaces.Box(np.array([-5.0, 2.0]), np.array([-1.0, 3.0]), dtype=np.float64),
    gym.spaces.MultiDiscrete([2, 3], start=[1, -1]),
    gym.spaces.MultiBinary([2, 2]),
    gym.spaces.Dict(a=gym.spaces.Discrete(2), b=Utf8(3)),
    gym.spaces.Tuple([gym.spaces.Discrete(2), gym.spaces.Box(1, 2, (1,))]),
]


@pytest.mark.parametrize("space", SPACES, ids=repr)
@pytest.mark.parametrize("name", ["null", "random", "echo"])
def test_generic_policies_act_within_the_space(space, name):
    policy = make_policy(None, name, space, np.random.default_rng(0))
    for observation in ("a long observation é", {"text": "é" * 9}, 3, None):
        assert space.contains(policy(observation))


def test_the_null_action_is_the_one_nearest_to_nothing():
    assert null_action(SPACES[0]) == "" and null_action(SPACES[1]) == -2
    np.testing.assert_array_equal(null_action(SPACES[3]), np.full((2, 2), 3))
    np.testing.assert_array_equal(null_action(SPACES[5]), [-1.0, 2.0])
    with pytest.raises(NotImplementedError, match="ship a 'null' policy of your own"):
        null_action(gym.spaces.Graph(gym.spaces.Discrete(2), None))


def test_random_is_seeded():
    def drawn(seed: int) -> list[Any]:
        policy = make_policy(None, "random", Utf8(30), np.random.default_rng(seed))
        return [policy("") for _ in range(10)]

    assert drawn(1) == drawn(1) != drawn(2)


@given(st.text(max_size=20), st.integers(1, 12))
def test_echo_says_what_it_saw(text, limit):
    policy = make_policy(None, "echo", Utf8(limit), np.random.default_rng(0))
    assert text.startswith(policy(text)) and policy({"text": text}) == policy(text)
    if len(text.encode()) <= limit:
        assert policy(text) == text
