from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.episodes import Completion, Episode, Turn
from palaestra.errors import ConfigError
from palaestra.rewards.levels import lift, tokens_of_turns


def _episode(tokens: list[int | None]) -> Episode:
    turns = []
    for t, count in enumerate(tokens):
        sample = None
        if count is not None:
            sample = Completion(np.zeros(count, np.int32), np.zeros(count, np.float32), np.zeros(0, np.int32), 0)
        turns.append(Turn(t, "", completion=sample))
    fields = {"env_kwargs": {}, "task": None, "seed": 0, "attempt": 0, "agent_id": "a", "world_id": "w"}
    return Episode("e", "g", "x", status="terminated", observations=[0] * (len(turns) + 1), turns=turns, **fields)


@given(st.lists(st.tuples(st.integers(1, 5), st.floats(-10, 10)), min_size=1, max_size=6))
def test_a_turns_value_lands_on_its_last_token(turns):
    episode = _episode([count for count, _ in turns])
    values = np.array([value for _, value in turns])
    expected: list[float] = []
    for count, value in turns:
        expected += [0.0] * (count - 1) + [value]
    np.testing.assert_array_equal(lift(values, "turn", "token", episode), expected)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.floats(-10, 10))
def test_an_episodes_value_lands_last(tokens, value):
    episode = _episode(list(tokens))
    for level, size in (("turn", len(tokens)), ("token", sum(tokens))):
        placed = lift(np.array([value]), "episode", level, episode)
        np.testing.assert_array_equal(placed, [0.0] * (size - 1) + [value])


def test_silent_turns():
    episode = _episode([2, None, 0, 1])
    np.testing.assert_array_equal(tokens_of_turns(episode), [2, 0, 0, 1])
    np.testing.assert_array_equal(lift(np.array([1.0, 0, 0, 2]), "turn", "token", episode), [0, 1, 2])
    with pytest.raises(ConfigError, match="Turn 1 of episode e has no sampled token"):
        lift(np.array([1.0, 3, 0, 2]), "turn", "token", episode)


def test_what_does_not_fit_is_an_error():
    episode = _episode([2, 1])
    with pytest.raises(ConfigError, match="coarser level 'episode'"):
        lift(np.zeros(2), "turn", "episode", episode)
    with pytest.raises(ConfigError, match=r"2 value\(s\) at level 'turn', got shape \(3,\)"):
        lift(np.zeros(3), "turn", "turn", episode)
    with pytest.raises(ConfigError, match=r"no turn on which its value 1\.0"):
        lift(np.ones(1), "episode", "turn", _episode([]))
    assert lift(np.zeros(1), "episode", "token", _episode([])).shape == (0,)


def test_what_is_not_known_of_a_silent_turn_needs_no_token(make_episode, speak):
    episode = make_episode([speak(0, 0), speak(1, 2), speak(2, 1)])
    np.testing.assert_array_equal(lift(np.array([np.nan, np.nan, 1.0]), "turn", "token", episode), [0.0, np.nan, 1.0])
