"""What `info` and rewards hold: stable types that vector environments can batch, finite numbers, a true status."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from palaestra.blobs import MemoryBlobs
from palaestra.episodes import ToolCall
from palaestra.errors import RecordError
from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import Problems, shorten
from palaestra.harness.check.world import MAX_STEPS, Step, World
from palaestra.records import encode_value

__all__ = ["check_info"]

_EPISODES = 3


def check_info(subject: Subject) -> str:
    """Plays episodes of every policy and looks at each reward and info.

    Raises:
        CheckFailed: A key changes its type, a number is not finite, a status lies, or a value cannot be recorded.
    """
    problems = Problems()
    types: dict[str, dict[str, str]] = {}
    steps = 0
    with subject.make_lean() as world:
        for name in world.policy_names:
            for episode in range(_EPISODES):
                steps += _episode(subject, world, name, subject.seed + episode, types, problems)
    for key, found in types.items():
        problems.require(
            len(found) < 2,
            f"info[{key!r}] has one type, whenever it is there",
            ", ".join(f"{kind} ({where})" for kind, where in found.items()),
            "a vector environment batches each key in an array of the first type it sees: floats must always be "
            "float (0.0, not 0 or None), what varies in length a tuple; leave a key out rather than set it to None",
        )
    return problems.finish(f"{len(types)} keys over {steps} steps of {len(subject_policies(subject))} policies")


def subject_policies(subject: Subject) -> tuple[str, ...]:
    """Names of the policies of the environment."""
    with subject.make_lean() as world:
        return world.policy_names


def _episode(
    subject: Subject, world: World, name: str, seed: int, types: dict[str, dict[str, str]], problems: Problems
) -> int:
    observation, infos = world.reset(seed)
    for agent in world.live:
        _look(infos[agent], f"{name}, reset", types, problems)
        if subject.has_card:
            _status(infos[agent], "running", f"{name}, reset", problems)
    policies = {agent: world.policy(name, seed, agent) for agent in world.live}
    for t in range(MAX_STEPS):
        live = world.live
        step = world.step({agent: policies[agent](observation[agent]) for agent in live})
        for agent in live:
            _turn(subject, step, agent, f"{name}, turn {t}", types, problems)
        observation = step.observation
        if not world.live or all(step.terminated[agent] or step.truncated[agent] for agent in live):
            return t + 1
    return MAX_STEPS


def _turn(
    subject: Subject, step: Step, agent: str, where: str, types: dict[str, dict[str, str]], problems: Problems
) -> None:
    info, reward = step.info[agent], step.reward[agent]
    problems.require(
        isinstance(reward, int | float | np.floating | np.integer) and math.isfinite(reward),
        "a reward is a finite float",
        f"{reward!r} ({where})",
        "a division by zero or a missing value in the reward; what cannot be judged is a failed episode, not NaN",
    )
    _look(info, where, types, problems)
    if not subject.has_card:
        return
    terminated, truncated = bool(step.terminated[agent]), bool(step.truncated[agent])
    status = "terminated" if terminated else "truncated" if truncated else "running"
    if info.get("status") != "failed":
        _status(info, status, where, problems)
    if "calls" in info:
        problems.require(
            isinstance(info["calls"], tuple) and all(isinstance(call, ToolCall) for call in info["calls"]),
            "info['calls'] is a tuple of palaestra.episodes.ToolCall",
            f"{shorten(info['calls'])} ({where})",
            "the calls were left as dictionaries or in a list",
        )
    outcome = info.get("outcome")
    if subject.card.kind == "verifiable" and info.get("status") != "failed" and (terminated or truncated):
        problems.require(
            isinstance(outcome, float) and 0.0 <= outcome <= 1.0,
            "at the end of an episode info['outcome'] is the verifier's judgement, a float in [0, 1]",
            f"{outcome!r} ({where})",
            "the verifier is not asked on every way to end (also when truncated), or gives an int or NaN",
        )


def _status(info: Mapping[str, Any], status: str, where: str, problems: Problems) -> None:
    problems.require(
        info.get("status") == status,
        f"info['status'] is {status!r}",
        f"{info.get('status')!r} ({where})",
        "reset or step were overridden; write _reset and _step, palaestra.environment.Environment sets the status",
    )


def _look(info: Mapping[str, Any], where: str, types: dict[str, dict[str, str]], problems: Problems) -> None:
    for key, value in _flat(info):
        types.setdefault(key, {}).setdefault(_type(value), where)
        if isinstance(value, float | np.floating | np.ndarray):
            array = np.asarray(value)
            problems.require(
                array.dtype.kind != "f" or bool(np.isfinite(array).all()),
                f"info[{key!r}] is finite",
                f"{shorten(value)} ({where})",
                "a missing value was written as NaN or infinity; leave the key out instead",
            )
        problems.require(
            not isinstance(value, list | set),
            f"info[{key!r}] is immutable: a tuple where its length varies",
            f"a {type(value).__name__} ({where})",
            "lists are shared with the environment and change under whoever keeps them; return tuple(...)",
        )
        try:
            encode_value(value, MemoryBlobs())
        except RecordError as error:
            problems.add(
                f"info[{key!r}] can be recorded",
                f"{error} ({where})",
                "an object of the environment's own was put into info; give plain data",
            )


def _flat(info: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in info.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _type(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {value.shape}"
    return type(value).__name__
