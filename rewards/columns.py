"""Observations and actions as columns: the form in which step rewards see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from palaestra.rollouts import tree_map

__all__ = ["batch_columns", "put_rows", "stack_columns", "take_rows"]

_ARRAYS = (gym.spaces.Box, gym.spaces.Discrete, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)


def stack_columns(space: gym.Space[Any], items: Sequence[Any]) -> Any:
    """Columns from single observations or actions.

    Args:
        space: The space of one.
        items: N of them.

    Returns:
        Arrays (N, ...) of the space's dtype; nested as `Dict` and `Tuple` spaces are; an object array (N,) for spaces
        that hold no arrays (text, sequences, graphs), and for items that do not fit their space.
    """
    if isinstance(space, gym.spaces.Dict) and all(isinstance(item, dict) for item in items):
        return {key: stack_columns(inner, [item[key] for item in items]) for key, inner in space.spaces.items()}
    if isinstance(space, gym.spaces.Tuple) and all(isinstance(item, tuple) for item in items):
        return tuple(stack_columns(inner, [item[i] for item in items]) for i, inner in enumerate(space.spaces))
    if isinstance(space, _ARRAYS):
        # An agent may pass anything as an action; what is no array of this space stays as it is.
        try:
            column = np.array(items, space.dtype)
        except (TypeError, ValueError, OverflowError):
            return _objects(items)
        if column.shape == (len(items), *(space.shape or ())):
            return column
    return _objects(items)


def batch_columns(space: gym.Space[Any], batch: Any, count: int) -> Any:
    """Columns from a batch as vector environments give and take it; never shares memory with the batch.

    Args:
        space: The space of one observation or action.
        batch: N of them in Gymnasium's batched form.
        count: N.
    """
    if isinstance(space, gym.spaces.Dict):
        return {key: batch_columns(inner, batch[key], count) for key, inner in space.spaces.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(batch_columns(inner, part, count) for inner, part in zip(space.spaces, batch, strict=True))
    if isinstance(space, _ARRAYS):
        return np.array(batch)
    return _objects(list(batch))


def take_rows(columns: Any, rows: NDArray[np.int64]) -> Any:
    """The columns of some slots (K, ...), copied."""
    return tree_map(lambda column: column[rows], columns)


def put_rows(columns: Any, rows: NDArray[np.int64], values: Any) -> Any:
    """A copy of the columns in which some slots have other values (K, ...)."""

    def replaced(column: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
        out = column.copy()
        out[rows] = new
        return out

    return tree_map(replaced, columns, values)


def _objects(items: Sequence[Any]) -> NDArray[Any]:
    column = np.empty(len(items), object)
    for i, item in enumerate(items):
        column[i] = item
    return column
