"""Policies on batches of arrays that need no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array

from palaestra.policies import null_action

__all__ = ["NullArrayPolicy", "RandomArrayPolicy"]


class NullArrayPolicy:
    """Does the least (`palaestra.policies.null_action`) in every slot.

    Args:
        action_space: Of one environment.
    """

    name = "null"

    def __init__(self, action_space: gym.Space[Any]) -> None:
        self.action_space = action_space
        self._action = null_action(action_space)

    def initial_state(self, num_slots: int, rng: np.random.Generator) -> Any:
        """The batch of actions, which never changes."""
        out: Any = create_empty_array(self.action_space, num_slots)
        return concatenate(self.action_space, [self._action] * num_slots, out)

    def act(
        self, observations: Any, state: Any, reset_mask: np.ndarray[Any, Any]
    ) -> tuple[Any, Any, Mapping[str, Any]]:
        """See `ArrayPolicy.act`."""
        return state, state, {}


class RandomArrayPolicy:
    """Samples each slot's action space uniformly, from one generator.

    Args:
        action_space: Of one environment.
    """

    name = "random"

    def __init__(self, action_space: gym.Space[Any]) -> None:
        self.action_space = action_space

    def initial_state(self, num_slots: int, rng: np.random.Generator) -> Any:
        """The space of the batch, seeded from `rng`."""
        space = batch_space(self.action_space, num_slots)
        space.seed(int(rng.integers(0, 2**31)))
        return space

    def act(
        self, observations: Any, state: Any, reset_mask: np.ndarray[Any, Any]
    ) -> tuple[Any, Any, Mapping[str, Any]]:
        """See `ArrayPolicy.act`."""
        return state.sample(), state, {}
