"""Scripted policies: what an environment ships to prove itself.

A policy is a function from an observation to an action. `oracle` may look at the ground truth; `null`, `echo` and
`random` work in every environment and are defined here. A family adds `prior`, `oracle`, `cheat` and `saboteur`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from palaestra.spaces import Utf8, clip_utf8

__all__ = ["GENERIC_POLICIES", "Policy", "PolicyFactory", "null_action"]

Policy = Callable[[Any], Any]
PolicyFactory = Callable[[Any, gym.Space[Any], np.random.Generator], Policy]
"""Makes a policy for one episode from the unwrapped environment, the action space, and a generator."""


def null_action(space: gym.Space[Any]) -> Any:
    """The action that does the least: the empty text, zeros (or the nearest legal value), the first choice."""
    match space:
        case Utf8() | gym.spaces.Text():
            return ""
        case gym.spaces.Discrete():
            return space.start
        case gym.spaces.Box():
            return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high).astype(space.dtype)
        case gym.spaces.MultiDiscrete():
            return np.asarray(space.start, space.dtype)
        case gym.spaces.MultiBinary():
            return np.zeros(space.shape, space.dtype)
        case gym.spaces.Dict():
            return {key: null_action(item) for key, item in space.spaces.items()}
        case gym.spaces.Tuple():
            return tuple(null_action(item) for item in space.spaces)
    raise NotImplementedError(f"The null policy does not know the space {space!r}; ship a 'null' policy of your own.")


def _null(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    action = null_action(space)
    return lambda observation: action


def _random(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    space.seed(int(rng.integers(0, 2**31)))
    return lambda observation: space.sample()


def _echo(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    """Repeats a text observation; elsewhere repeats whatever it did first, having nothing to repeat."""
    if isinstance(space, Utf8):
        limit = space.max_bytes
        return lambda observation: clip_utf8(_text_of(observation), limit, marker="")
    return _null(env, space, rng)


def _text_of(observation: Any) -> str:
    if isinstance(observation, Mapping):
        return str(observation.get("text", ""))
    return observation if isinstance(observation, str) else ""


GENERIC_POLICIES: Mapping[str, PolicyFactory] = {"null": _null, "echo": _echo, "random": _random}
