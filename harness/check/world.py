"""One face for environments of one agent and of several, and traces of what they do.

A trace is a list of canonical lines, one for each agent and turn, so that two runs are equal exactly when their
traces are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from palaestra.blobs import MemoryBlobs
from palaestra.environment import make_policy
from palaestra.errors import RecordError
from palaestra.harness.check.verdicts import shorten
from palaestra.policies import GENERIC_POLICIES, Policy
from palaestra.records import dump_line, encode_value

__all__ = ["SOLO", "Step", "Trace", "World", "canonical", "first_difference", "play", "resume"]

SOLO = "agent"  # name of the agent of a Gymnasium environment
MAX_STEPS = 200  # of one episode of a trace; longer ones are cut


@dataclass(frozen=True, slots=True)
class Step:
    """What one step gave, by agent."""

    observation: dict[str, Any]
    reward: dict[str, float]
    terminated: dict[str, bool]
    truncated: dict[str, bool]
    info: dict[str, dict[str, Any]]


class World:
    """An environment, with dictionaries by agent also where there is one agent.

    Args:
        env: A `gymnasium.Env` or a `pettingzoo.ParallelEnv`.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self.parallel = not isinstance(env, gym.Env)

    @property
    def raw(self) -> Any:
        """The environment without its wrappers."""
        return self.env.unwrapped

    @property
    def agents(self) -> tuple[str, ...]:
        """All agents that may act in it."""
        return tuple(self.env.possible_agents) if self.parallel else (SOLO,)

    @property
    def live(self) -> tuple[str, ...]:
        """The agents that act next."""
        return tuple(self.env.agents) if self.parallel else (SOLO,)

    def action_space(self, agent: str) -> gym.Space[Any]:
        """What this agent may do."""
        space: gym.Space[Any] = self.env.action_space(agent) if self.parallel else self.env.action_space
        return space

    def observation_space(self, agent: str) -> gym.Space[Any]:
        """What this agent may see."""
        space: gym.Space[Any] = self.env.observation_space(agent) if self.parallel else self.env.observation_space
        return space

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Starts an episode: observations and infos."""
        observation, info = self.env.reset(seed=seed, options=options)
        return (dict(observation), dict(info)) if self.parallel else ({SOLO: observation}, {SOLO: info})

    def step(self, actions: Mapping[str, Any]) -> Step:
        """All live agents act."""
        if self.parallel:
            return Step(*self.env.step(dict(actions)))
        return Step(*({SOLO: item} for item in self.env.step(actions[SOLO])))

    @property
    def policy_names(self) -> tuple[str, ...]:
        """The policies it ships and the generic ones."""
        return tuple(getattr(self.raw, "policy_names", tuple(GENERIC_POLICIES)))

    def policy(self, name: str, seed: int, agent: str) -> Policy:
        """A policy for the current episode."""
        rng = np.random.default_rng([seed, self.agents.index(agent), len(name)])
        if hasattr(self.raw, "policy"):
            made: Policy = self.raw.policy(name, rng, agent if self.parallel else None)
            return made
        other: Policy = make_policy(self.raw, name, self.action_space(agent), rng)
        return other

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass(slots=True)
class Trace:
    """What happened in one episode.

    Attributes:
        lines: The reset (first, where it was part of it), then each agent's turn, as canonical bytes.
        turns: Number of steps.
        ended: Whether the episode came to its end before the cut.
        infos: Last info of each agent.
        returns: Sum of rewards of each agent.
    """

    lines: list[bytes] = field(default_factory=list)
    turns: int = 0
    ended: bool = False
    infos: dict[str, dict[str, Any]] = field(default_factory=dict)
    returns: dict[str, float] = field(default_factory=dict)

    @property
    def outcome(self) -> float | None:
        """The mean of the agents' outcomes; None where one has none."""
        values = [info.get("outcome") for info in self.infos.values()]
        if not values or any(value is None for value in values):
            return None
        return float(np.mean(np.asarray(values, np.float64)))

    @property
    def failed(self) -> bool:
        """Whether the episode failed for a cause of the environment's own."""
        return any(info.get("status") == "failed" for info in self.infos.values())


def canonical(value: Any) -> Any:
    """The value as JSON in which wall times do not stand; what cannot be recorded is named by its type."""
    blobs = MemoryBlobs()
    try:
        return encode_value(value, blobs)
    except RecordError:
        if isinstance(value, Mapping):
            return {str(key): canonical(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [canonical(item) for item in value]
        return {"$unrecordable": type(value).__qualname__}


def line(**fields: Any) -> bytes:
    """The fields as one canonical line."""
    return dump_line({name: canonical(value) for name, value in fields.items()})


Actor = str | Callable[[World, str, int], Policy]
"""Name of a policy, or what makes one from the world, the agent and a seed, once the episode has begun."""


def play(
    world: World,
    actor: Actor,
    seed: int,
    *,
    options: dict[str, Any] | None = None,
    max_steps: int = MAX_STEPS,
    reseed: bool = True,
    policy_seed: int | None = None,
    record: bool = True,
) -> Trace:
    """Plays one episode.

    Args:
        world: Where.
        actor: Who acts.
        seed: Seeds the episode and the policies.
        options: Of the reset.
        max_steps: The episode is cut after so many.
        reseed: Whether `seed` is passed to the reset; otherwise the environment's generator goes on.
        policy_seed: Seeds the policies instead.
        record: Whether the lines are wanted; the rest is always there.
    """
    trace = Trace()
    observation, info = world.reset(seed if reseed else None, options)
    if record:
        for agent in world.live:
            trace.lines.append(line(t=-1, agent=agent, observation=observation[agent], info=info[agent]))
    trace.infos = dict(info)
    policies = _policies(world, actor, seed if policy_seed is None else policy_seed)
    _go_on(world, policies, observation, trace, max_steps, record)
    return trace


def resume(
    world: World, actor: Actor, seed: int, observation: Mapping[str, Any], *, max_steps: int = MAX_STEPS
) -> Trace:
    """Plays on from the middle of an episode, with new policies that see this observation first."""
    trace = Trace()
    _go_on(world, _policies(world, actor, seed), observation, trace, max_steps)
    return trace


def _policies(world: World, actor: Actor, seed: int) -> dict[str, Policy]:
    if isinstance(actor, str):
        return {agent: world.policy(actor, seed, agent) for agent in world.live}
    return {agent: actor(world, agent, seed) for agent in world.live}


def _go_on(
    world: World,
    policies: Mapping[str, Policy],
    observation: Mapping[str, Any],
    trace: Trace,
    max_steps: int,
    record: bool = True,
) -> None:
    for t in range(max_steps):
        live = world.live
        actions = {agent: policies[agent](observation[agent]) for agent in live}
        step = world.step(actions)
        for agent in live:
            trace.returns[agent] = trace.returns.get(agent, 0.0) + float(step.reward[agent])
            trace.infos[agent] = step.info[agent]
            if record:
                trace.lines.append(_line_of(t, agent, actions[agent], step))
        trace.turns += 1
        observation = step.observation
        ended = all(step.terminated[agent] or step.truncated[agent] for agent in live)
        if ended or not world.live:
            trace.ended = True
            return


def _line_of(t: int, agent: str, action: Any, step: Step) -> bytes:
    return line(
        t=t,
        agent=agent,
        action=action,
        observation=step.observation[agent],
        reward=float(step.reward[agent]),
        terminated=bool(step.terminated[agent]),
        truncated=bool(step.truncated[agent]),
        info=step.info[agent],
    )


def first_difference(one: list[bytes], other: list[bytes]) -> str | None:
    """Where two traces part, in words; None where they are equal."""
    for mine, yours in zip(one, other, strict=False):
        if mine == yours:
            continue
        a, b = json.loads(mine), json.loads(yours)
        for key, (left, right) in _leaves(a, b):
            turn = "at reset" if a.get("t") == -1 else f"in turn {a.get('t')}"
            return f"{turn}, agent {a.get('agent')!r}: {key} is {shorten(left, 160)} and {shorten(right, 160)}"
    if len(one) != len(other):
        return f"one run has {len(one)} lines and the other {len(other)}: the episode ends at different turns"
    return None


def _leaves(a: Any, b: Any, path: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The innermost places at which two JSON values differ."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        for key in a:
            if a[key] != b[key]:
                yield from _leaves(a[key], b[key], f"{path}.{key}" if path else key)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (left, right) in enumerate(zip(a, b, strict=True)):
            if left != right:
                yield from _leaves(left, right, f"{path}[{index}]")
    else:
        yield path, (a, b)
