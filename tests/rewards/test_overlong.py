from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import palaestra
from palaestra.errors import ConfigError
from palaestra.rewards.overlong import Overlong, overlong_penalty


@given(st.lists(st.integers(0, 60), min_size=1), st.integers(1, 40))
def test_the_penalty_grows_over_the_buffer(lengths, buffer):
    penalties = overlong_penalty(lengths, 40, buffer)
    for length, penalty in zip(lengths, penalties, strict=True):
        if length <= 40 - buffer:
            assert penalty == 0 and not np.signbit(penalty)
        elif length <= 40:
            assert penalty == pytest.approx((40 - buffer - length) / buffer)
        else:
            assert penalty == -1


def test_all_turns_of_an_episode_count_together(make_episode, speak):
    episodes = [
        make_episode([speak(0, 3), speak(1, 3)]),
        make_episode([speak(0, 5), speak(1, 4)]),
        make_episode([speak(0, 40)]),
        make_episode([speak(0, 3), speak(1, None)]),
        make_episode([speak(0, 3)], failed=True),
    ]
    result = Overlong(max_length=10, buffer=4)(episodes)
    assert result.level == "episode" and result.metrics == {"overlong/share": pytest.approx(2 / 3)}
    assert [None if value is None else value.tolist() for value in result.values] == [[0], [-0.75], [-1], None, None]


def test_it_is_a_term_of_a_sum_in_a_recipe(make_episode, speak):
    terms = [["outcome", 1.0], [{"reward": "overlong", "max_length": 10, "buffer": 4}, 2.0]]
    credit = palaestra.rewards.make("weighted-sum", terms=terms)
    result = credit([make_episode([speak(0, 7)], outcome=1.0)])
    assert result.values[0].tolist() == [0.5] and result.terms["overlong"].values[0].tolist() == [-0.25]
    assert "reward" in terms[1][0], "the recipe's own table is left alone"


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"buffer of the overlong penalty is 11; it must lie in \[1, 10\]"):
        Overlong(max_length=10, buffer=11)
    with pytest.raises(ConfigError, match="names its reward"):
        palaestra.rewards.make("weighted-sum", terms=[[{"max_length": 10}, 1.0]])
    with pytest.raises(ConfigError, match="max_length"):
        palaestra.rewards.make("weighted-sum", terms=[[{"reward": "overlong", "max": 10}, 1.0]])
