"""Worlds: one way to speak to environments of one agent and of several.

A Gymnasium environment is a world with the one agent `agent_0`; a PettingZoo parallel environment is a world with
several. The runner knows only worlds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from palaestra.agents.chat import as_text, default_messages
from palaestra.environment import make_policy
from palaestra.rollouts import tree_map
from palaestra.tasks import Task, TaskSet

__all__ = ["ONLY_AGENT", "GymWorld", "ParallelWorld", "Step", "World", "as_text", "default_messages", "world_of"]

ONLY_AGENT = "agent_0"

Step = tuple[Any, float, bool, bool, Mapping[str, Any]]
"""Observation, reward, terminated, truncated, info."""


class World(Protocol):
    """An environment, seen agent by agent."""

    def reset(self, seed: int, options: dict[str, Any] | None) -> dict[str, tuple[Any, Mapping[str, Any]]]:
        """Starts an episode of every agent: observation and info by agent."""
        ...

    def step(self, actions: Mapping[str, Any]) -> dict[str, Step]:
        """Does one action of every agent that is still in it."""
        ...

    def action_space(self, agent: str) -> gym.Space[Any]:
        """What the agent may do."""
        ...

    def observation_space(self, agent: str) -> gym.Space[Any]:
        """What the agent may see."""
        ...

    def dialogue(self, agent: str) -> Mapping[str, Any]:
        """Those of `messages`, `tools`, `stop` and `max_turns` that the environment offers."""
        ...

    def policy(self, name: str, agent: str, rng: np.random.Generator) -> Any:
        """A scripted policy for the current episode. Raises `UnknownNameError`."""
        ...

    def privileged(self, agent: str) -> Mapping[str, Any]:
        """What verifiers see and the agent may not."""
        ...

    def tasks(self) -> TaskSet | None:
        """All tasks that it can be reset to; None where there are none."""
        ...

    def task(self, agent: str) -> Task | None:
        """The current task; None where there are none."""
        ...

    def judge(self, agent: str) -> float | None:
        """The outcome of the state as it stands; None where there is no verifier."""
        ...

    def close(self) -> None:
        """Frees what the environment holds."""
        ...


def world_of(env: Any) -> World:
    """The world of an environment of either kind."""
    return GymWorld(env) if isinstance(env, gym.Env) else ParallelWorld(env)


class GymWorld:
    """The world of a Gymnasium environment.

    Args:
        env: The environment.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self.env = env
        self._base: Any = env.unwrapped

    def reset(self, seed: int, options: dict[str, Any] | None) -> dict[str, tuple[Any, Mapping[str, Any]]]:
        """See `World.reset`."""
        observation, info = self.env.reset(seed=seed, options=options)
        return {ONLY_AGENT: (_own(observation), info)}

    def step(self, actions: Mapping[str, Any]) -> dict[str, Step]:
        """See `World.step`."""
        observation, reward, terminated, truncated, info = self.env.step(actions[ONLY_AGENT])
        return {ONLY_AGENT: (_own(observation), float(reward), bool(terminated), bool(truncated), info)}

    def action_space(self, agent: str) -> gym.Space[Any]:
        """See `World.action_space`."""
        return self.env.action_space

    def observation_space(self, agent: str) -> gym.Space[Any]:
        """See `World.observation_space`."""
        return self.env.observation_space

    def dialogue(self, agent: str) -> Mapping[str, Any]:
        """See `World.dialogue`."""
        return {name: getattr(self._base, name) for name in _DIALOGUE if hasattr(self._base, name)}

    def policy(self, name: str, agent: str, rng: np.random.Generator) -> Any:
        """See `World.policy`."""
        if hasattr(self._base, "policy"):
            return self._base.policy(name, rng)
        return make_policy(self._base, name, self.env.action_space, rng)

    def privileged(self, agent: str) -> Mapping[str, Any]:
        """See `World.privileged`."""
        return dict(self._base.privileged()) if hasattr(self._base, "privileged") else {}

    def tasks(self) -> TaskSet | None:
        """See `World.tasks`."""
        return getattr(self._base, "tasks", None)

    def task(self, agent: str) -> Task | None:
        """See `World.task`."""
        return getattr(self._base, "task", None)

    def judge(self, agent: str) -> float | None:
        """See `World.judge`."""
        return self._base.judge() if hasattr(self._base, "judge") else None

    def close(self) -> None:
        """See `World.close`."""
        self.env.close()


class ParallelWorld:
    """The world of a PettingZoo parallel environment.

    Beside PettingZoo's own interface, the environment may offer `messages(agent)`, `tools(agent)`, `stop(agent)`,
    `max_turns`, `policy(name, rng, agent)`, `privileged(agent)`, `task` and `judge(agent)`.

    Args:
        env: The environment.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self._base = env.unwrapped

    def reset(self, seed: int, options: dict[str, Any] | None) -> dict[str, tuple[Any, Mapping[str, Any]]]:
        """See `World.reset`."""
        observations, infos = self.env.reset(seed=seed, options=options)
        return {agent: (_own(observations[agent]), infos.get(agent, {})) for agent in self.env.agents}

    def step(self, actions: Mapping[str, Any]) -> dict[str, Step]:
        """See `World.step`."""
        observations, rewards, terminations, truncations, infos = self.env.step(dict(actions))
        return {
            agent: (
                _own(observations[agent]),
                float(rewards[agent]),
                bool(terminations[agent]),
                bool(truncations[agent]),
                infos.get(agent, {}),
            )
            for agent in observations
        }

    def action_space(self, agent: str) -> gym.Space[Any]:
        """See `World.action_space`."""
        space: gym.Space[Any] = self.env.action_space(agent)
        return space

    def observation_space(self, agent: str) -> gym.Space[Any]:
        """See `World.observation_space`."""
        space: gym.Space[Any] = self.env.observation_space(agent)
        return space

    def dialogue(self, agent: str) -> Mapping[str, Any]:
        """See `World.dialogue`."""
        found = {name: getattr(self._base, name) for name in _DIALOGUE if hasattr(self._base, name)}
        return {name: value(agent) if callable(value) else value for name, value in found.items()}

    def policy(self, name: str, agent: str, rng: np.random.Generator) -> Any:
        """See `World.policy`."""
        if hasattr(self._base, "policy"):
            return self._base.policy(name, rng, agent)
        return make_policy(self._base, name, self.env.action_space(agent), rng)

    def privileged(self, agent: str) -> Mapping[str, Any]:
        """See `World.privileged`."""
        return dict(self._base.privileged(agent)) if hasattr(self._base, "privileged") else {}

    def tasks(self) -> TaskSet | None:
        """See `World.tasks`."""
        return getattr(self._base, "tasks", None)

    def task(self, agent: str) -> Task | None:
        """See `World.task`."""
        return getattr(self._base, "task", None)

    def judge(self, agent: str) -> float | None:
        """See `World.judge`."""
        return self._base.judge(agent) if hasattr(self._base, "judge") else None

    def close(self) -> None:
        """See `World.close`."""
        self.env.close()


_DIALOGUE = ("messages", "tools", "stop", "max_turns")


def _own(observation: Any) -> Any:
    """The observation as data of its own: environments may write the next one into the same array."""
    if isinstance(observation, str | int | float):
        return observation
    return tree_map(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, observation)
