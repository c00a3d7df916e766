from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array

from palaestra.rewards.columns import batch_columns, put_rows, stack_columns, take_rows
from palaestra.spaces import Utf8

SPACES = [
    gym.spaces.Discrete(5, start=2),
    gym.spaces.Box(-1, 1, (2, 3), np.float32),
    gym.spaces.Box(0, 255, (2, 2), np.uint8),
    gym.spaces.MultiDiscrete([3, 4]),
    gym.spaces.MultiBinary(4),
    Utf8(40),
    gym.spaces.Text(6),
    gym.spaces.Sequence(gym.spaces.Discrete(3)),
    gym.spaces.Dict(text=Utf8(9), image=gym.spaces.Box(0, 255, (2, 2, 3), np.uint8)),
    gym.spaces.Tuple([gym.spaces.Discrete(3), gym.spaces.Dict(a=gym.spaces.MultiBinary(2), b=Utf8(5))]),
]


def rows_of(space: gym.Space[Any], columns: Any, i: int) -> Any:
    if isinstance(space, gym.spaces.Dict):
        return {key: rows_of(inner, columns[key], i) for key, inner in space.spaces.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(rows_of(inner, columns[k], i) for k, inner in enumerate(space.spaces))
    assert isinstance(columns, np.ndarray)
    return columns[i]


def equal(space: gym.Space[Any], a: Any, b: Any) -> bool:
    return repr(space.to_jsonable([a])) == repr(space.to_jsonable([b]))


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_batched_and_stacked_agree(space):
    space.seed(0)
    items = [space.sample() for _ in range(4)]
    batch = concatenate(space, items, create_empty_array(space, 4))
    assert batch_space(space, 4).contains(batch)
    batched, stacked = batch_columns(space, batch, 4), stack_columns(space, items)
    for i, item in enumerate(items):
        assert equal(space, rows_of(space, batched, i), item)
        assert equal(space, rows_of(space, stacked, i), item)
    rows = np.array([2, 0])
    taken = take_rows(batched, rows)
    changed = put_rows(batched, rows, take_rows(stacked, np.array([3, 3])))
    for place, row in enumerate(rows):
        assert equal(space, rows_of(space, taken, place), items[row])
        assert equal(space, rows_of(space, changed, int(row)), items[3])
        assert equal(space, rows_of(space, batched, int(row)), items[row])  # the original is as it was


def test_no_memory_is_shared():
    space = gym.spaces.Box(0, 9, (2,), np.float64)
    batch = np.zeros((3, 2))
    columns = batch_columns(space, batch, 3)
    batch += 1
    np.testing.assert_array_equal(columns, 0.0)


@pytest.mark.parametrize("item", [None, "left", [1, 2], {"a": 1}, 10**40, np.zeros(3)])
def test_what_does_not_fit_stays_as_it_is(item):
    column = stack_columns(gym.spaces.Discrete(3), [item])
    assert column.dtype == object and column.shape == (1,) and column[0] is item
    tree = stack_columns(gym.spaces.Dict(a=gym.spaces.Discrete(2)), [3])
    assert tree.tolist() == [3]
