from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import ConfigError, UnknownNameError
from palaestra.rewards.base import Transition
from palaestra.rewards.count import EpisodicCount


def transition(after: Any, valid: list[bool], slots: list[int] | None = None) -> Transition:
    n = len(valid)
    zeros = np.zeros(n)
    return Transition(
        slot=np.array(slots or range(n)),
        episode_id=[0] * n,
        valid=np.array(valid),
        observation=after,
        action=zeros,
        next_observation=after,
        reward=zeros,
        terminated=zeros > 0,
        truncated=zeros > 0,
    )


paths = st.lists(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["step", "step", "step", "reset", "wait"])), min_size=2, max_size=2
    ),
    max_size=30,
)


@given(paths, st.sampled_from(["first", "inverse-sqrt"]))
def test_against_lists_of_what_was_seen(path, form):
    reward = EpisodicCount(form=form)
    seen = [[0], [0]]
    reward.reset(np.arange(2), [0, 0], np.zeros(2, int))
    for moves in path:
        for slot, (place, kind) in enumerate(moves):
            if kind == "reset":
                seen[slot] = [place]
                reward.reset(np.array([slot]), [1], np.array([place]))
        valid = [kind == "step" for _, kind in moves]
        got = reward(transition(np.array([place for place, _ in moves]), valid))
        for slot, (place, _) in enumerate(moves):
            if not valid[slot]:
                assert got[slot] == 0.0
                continue
            seen[slot].append(place)
            visits = seen[slot].count(place)
            assert got[slot] == (float(visits == 1) if form == "first" else pytest.approx(visits**-0.5))


def test_keys():
    columns = {"x": np.array([1, 2]), "text": np.array(["a", "b"], object)}
    for key, after, expected in [
        ("x", {"x": np.array([1, 3]), "text": np.array(["z", "b"], object)}, [0.0, 1.0]),
        ("text", {"x": np.array([5, 5]), "text": np.array(["a", "\ud800"], object)}, [0.0, 1.0]),
        (None, {"x": np.array([1, 2]), "text": np.array(["a", "c"], object)}, [0.0, 1.0]),
        (parity, {"x": np.array([3, 3]), "text": columns["text"]}, [0.0, 1.0]),
    ]:
        reward = EpisodicCount(key)
        reward.reset(np.arange(2), [0, 0], columns)
        assert reward(transition(after, [True, True])).tolist() == expected


def parity(observation: Any) -> int:
    return int(observation["x"]) % 2


def test_negative_zero_is_zero_and_shape_is_part_of_arrays():
    reward = EpisodicCount()
    reward.reset(np.arange(1), [0], np.array([[0.0, 1.0]]))
    assert reward(transition(np.array([[-0.0, 1.0]]), [True])).tolist() == [0.0]


def test_state_goes_to_another_instance():
    reward, other = EpisodicCount(form="inverse-sqrt"), EpisodicCount(form="inverse-sqrt")
    reward.reset(np.arange(2), [0, 0], np.array([0, 0]))
    for place in (1, 1, 2):
        reward(transition(np.array([place, 0]), [True, True]))
    other.load_state_dict(reward.state_dict())
    step = transition(np.array([1, 0]), [True, True])
    np.testing.assert_array_equal(other(step), [3**-0.5, 5**-0.5])
    np.testing.assert_array_equal(reward(step), [3**-0.5, 5**-0.5])
    assert reward.update(None) == {}  # type: ignore[arg-type]


def test_state_is_the_same_in_another_process():
    code = (
        "import numpy as np; from palaestra.rewards.count import EpisodicCount; r = EpisodicCount();"
        "r.reset(np.arange(1), [0], {'t': np.array(['abc'], object), 'x': np.ones((1, 3))}); print(r.state_dict())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert len(printed) == 1


def test_bad_input():
    with pytest.raises(ConfigError, match="choose 'first' or 'inverse-sqrt'"):
        EpisodicCount(form="second")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="key is 3"):
        EpisodicCount(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no Dict with named entries"):
        EpisodicCount("x").reset(np.arange(1), [0], np.zeros(1))
    with pytest.raises(UnknownNameError, match="Did you mean 'place'"):
        EpisodicCount("plce").reset(np.arange(1), [0], {"place": np.zeros(1)})
    column = np.empty(1, object)
    column[0] = Counter()
    reward = EpisodicCount()
    reward.reset(np.arange(1), [0], column)  # an empty mapping is counted as one
    column[0] = {1, 2}
    with pytest.raises(ConfigError, match="A set cannot be counted as it is"):
        reward.reset(np.arange(1), [0], column)
