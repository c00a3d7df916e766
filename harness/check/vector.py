"""Vector environments give what single ones give: both kinds, `make_vec`, and every autoreset mode."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array, iterate

from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import Problems, describe_exception, shorten

__all__ = ["check_vector", "make_single"]

_SLOTS = 3
_SECONDS = 1.5  # of one slot played alone; slower environments are compared over fewer steps
_MAX_STEPS = 3_000
_LEAST = 30  # steps, where time allows
_ENDS = 3  # episodes of a slot that should end within the compared steps
_INFO = (
    "a value of another type than in the other slots was squeezed into one array (floats must always be float), or "
    "the environment hands out an object that it changes later"
)


@dataclass(slots=True)
class _Row:
    """What one slot should show after one call."""

    observation: Any
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    info: Mapping[str, Any] | None = None
    final_observation: Any = None
    final_info: Mapping[str, Any] | None = None


def make_single(modules: tuple[str, ...], env_id: str, kwargs: Mapping[str, Any]) -> gym.Env[Any, Any]:
    """Makes one environment, in whatever process this is."""
    import importlib

    for name in modules:
        importlib.import_module(name)
    return gym.make(env_id, **kwargs)


def check_vector(subject: Subject) -> str:
    """Compares four ways to make a vector environment with single environments, in three autoreset modes.

    Raises:
        CheckFailed: Something differs, or does not work at all.
    """
    subject.require(not subject.parallel, "worlds of several agents have no vector environments in Gymnasium")
    problems = Problems()
    make = functools.partial(make_single, subject.modules, subject.env_id, dict(subject.env_kwargs))
    steps, ends = _extent(make, subject.seed)
    actions = _actions(make, subject.seed, steps)
    ways: dict[str, Any] = {
        "SyncVectorEnv": lambda mode: SyncVectorEnv([make] * _SLOTS, autoreset_mode=mode),
        "AsyncVectorEnv": lambda mode: AsyncVectorEnv([make] * _SLOTS, autoreset_mode=mode),
        "make_vec(vectorization_mode='sync')": lambda mode: _make_vec(subject, "sync", mode),
        "make_vec(vectorization_mode='async')": lambda mode: _make_vec(subject, "async", mode),
    }
    for mode in AutoresetMode:
        expected = [
            list(_alone(make, subject.seed + slot, [row[slot] for row in actions], mode)) for slot in range(_SLOTS)
        ]
        for name, way in ways.items():
            where = f"{name}, autoreset {mode.name}"
            try:
                _compare(subject, way(mode), mode, actions, expected, where, problems)
            except Exception as error:
                problems.add(
                    f"{where} works with its default settings",
                    describe_exception(error),
                    "a space without shared-memory handlers (use palaestra.spaces.Utf8 for text), an environment "
                    "that cannot be made in a worker, or an exception that escapes reset or step",
                )
    return problems.finish(
        f"4 ways x 3 autoreset modes x {_SLOTS} slots x {steps} steps equal single environments; "
        f"{ends} episodes ended in the first slot"
    )


def _make_vec(subject: Subject, how: str, mode: AutoresetMode) -> VectorEnv[Any, Any, Any]:
    made: VectorEnv[Any, Any, Any] = gym.make_vec(
        subject.env_id,
        num_envs=_SLOTS,
        vectorization_mode=how,
        vector_kwargs={"autoreset_mode": mode},
        **dict(subject.env_kwargs),
    )
    return made


def _extent(make: Any, seed: int) -> tuple[int, int]:
    """Steps within which a few episodes end, and how many end."""
    env = make()
    try:
        env.action_space.seed(seed)
        env.reset(seed=seed)
        began, ends = time.perf_counter(), 0
        steps = 0
        while steps < _MAX_STEPS:
            steps += 1
            *_, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                ends += 1
                env.reset()
            if (ends >= _ENDS and steps >= _LEAST) or time.perf_counter() - began > _SECONDS:
                break
        return steps + 3, ends
    finally:
        env.close()


def _actions(make: Any, seed: int, steps: int) -> list[list[Any]]:
    """For every step an action for each slot."""
    env = make()
    try:
        spaces = [copy.deepcopy(env.action_space) for _ in range(_SLOTS)]
        for slot, space in enumerate(spaces):
            space.seed(seed + slot)
        return [[space.sample() for space in spaces] for _ in range(steps)]
    finally:
        env.close()


def _alone(make: Any, seed: int, actions: list[Any], mode: AutoresetMode) -> Iterator[_Row]:
    """What a slot should show: at reset, then after each step."""
    env = make()
    try:
        observation, info = env.reset(seed=seed)
        yield _Row(copy.deepcopy(observation), info=copy.deepcopy(info))
        ended = False
        for action in actions:
            if ended and mode is AutoresetMode.NEXT_STEP:
                observation, info = env.reset()
                ended = False
                yield _Row(copy.deepcopy(observation), info=copy.deepcopy(info))
                continue
            if ended:  # DISABLED: whoever steps resets first
                observation, info = env.reset()
                ended = False
                yield _Row(copy.deepcopy(observation), info=copy.deepcopy(info))
            observation, reward, terminated, truncated, info = env.step(action)
            row = _Row(
                copy.deepcopy(observation), float(reward), bool(terminated), bool(truncated), copy.deepcopy(info)
            )
            ended = row.terminated or row.truncated
            if ended and mode is AutoresetMode.SAME_STEP:
                row.final_observation, row.final_info = row.observation, row.info
                observation, info = env.reset()
                row.observation, row.info = copy.deepcopy(observation), copy.deepcopy(info)
                ended = False
            yield row
    finally:
        env.close()


def _compare(
    subject: Subject,
    vector: VectorEnv[Any, Any, Any],
    mode: AutoresetMode,
    actions: list[list[Any]],
    expected: list[list[_Row]],
    where: str,
    problems: Problems,
) -> None:
    rows = [iter(rows) for rows in expected]
    before = len(problems)
    try:
        problems.require(
            vector.metadata.get("autoreset_mode") is mode,
            f"metadata['autoreset_mode'] is {mode} ({where})",
            repr(vector.metadata.get("autoreset_mode")),
            "the environment's metadata is frozen or replaced by a property",
        )
        observations, infos = vector.reset(seed=subject.seed)  # seed + slot in each
        _look(vector, observations, None, infos, [next(row) for row in rows], f"{where}, reset", problems)
        ended = np.zeros(_SLOTS, np.bool_)
        for t, joint in enumerate(actions):
            if mode is AutoresetMode.DISABLED and ended.any():
                observations, infos = vector.reset(options={"reset_mask": ended.copy()})
                shown = [next(row) if ended[slot] else None for slot, row in enumerate(rows)]
                _look(vector, observations, None, infos, shown, f"{where}, reset before step {t}", problems)
            space = vector.single_action_space
            empty: Any = create_empty_array(space, _SLOTS)
            batch = concatenate(space, joint, empty)
            observations, rewards, terminations, truncations, infos = vector.step(batch)
            numbers = (rewards, terminations, truncations)
            _look(vector, observations, numbers, infos, [next(row) for row in rows], f"{where}, step {t}", problems)
            ended = np.logical_or(terminations, truncations)
            if len(problems) - before > 3:
                return
    finally:
        vector.close()


def _look(
    vector: VectorEnv[Any, Any, Any],
    observations: Any,
    numbers: tuple[Any, Any, Any] | None,
    infos: Mapping[str, Any],
    expected: list[_Row | None],
    where: str,
    problems: Problems,
) -> None:
    seen = list(iterate(vector.observation_space, observations))
    for slot, row in enumerate(expected):
        if row is None:
            continue
        at = f"{where}, slot {slot}"
        problems.require(
            _equal(seen[slot], row.observation),
            f"the observation of a single environment ({at}): {shorten(row.observation)}",
            shorten(seen[slot]),
            "instances in one process share state, or the observation does not survive the batch (dtype, shape, size)",
        )
        if numbers is not None:
            got = tuple(column[slot].item() for column in numbers)
            want = (row.reward, row.terminated, row.truncated)
            problems.require(
                got == want,
                f"reward, terminated, truncated of a single environment ({at}): {want}",
                f"{got}",
                "instances in one process share state, or a reset without a seed differs from the first",
            )
        difference = _info_difference(infos, row.info or {}, slot)
        problems.require(difference is None, f"the info of a single environment ({at})", f"{difference}", _INFO)
        if row.final_info is not None:
            finals = infos.get("final_obs")
            final = None if finals is None else finals[slot]
            problems.require(
                _equal(final, row.final_observation),
                f"final_obs is the last observation ({at}): {shorten(row.final_observation)}",
                shorten(final),
                "the environment writes the next episode's observation into the same buffer; return a copy",
            )
            difference = _info_difference(infos.get("final_info", {}), row.final_info, slot)
            problems.require(difference is None, f"final_info is the last info ({at})", f"{difference}", _INFO)


def _info_difference(infos: Mapping[str, Any], expected: Mapping[str, Any], slot: int, path: str = "") -> str | None:
    for key, value in expected.items():
        name = f"{path}{key}"
        mask = infos.get(f"_{key}")
        if key not in infos or mask is None or not mask[slot]:
            return f"{name} is missing, expected {shorten(value)}"
        if isinstance(value, dict):
            inner = _info_difference(infos[key], value, slot, f"{name}.")
            if inner is not None:
                return inner
        elif not _equal(infos[key][slot], value):
            return f"{name} is {shorten(infos[key][slot])}, expected {shorten(value)}"
    for key in infos:
        if key.startswith("_") or key in ("final_obs", "final_info") or key in expected:
            continue
        mask = infos.get(f"_{key}")
        if mask is not None and mask[slot]:
            return f"{path}{key} is {shorten(infos[key])}, expected nothing"
    return None


def _equal(seen: Any, expected: Any) -> bool:
    """Equality up to what batching changes: NumPy scalars for Python's."""
    if isinstance(expected, Mapping):
        return (
            isinstance(seen, Mapping)
            and seen.keys() == expected.keys()
            and all(_equal(seen[key], value) for key, value in expected.items())
        )
    if isinstance(expected, tuple | list):
        return (
            isinstance(seen, tuple | list)
            and len(seen) == len(expected)
            and all(_equal(mine, yours) for mine, yours in zip(seen, expected, strict=True))
        )
    if isinstance(expected, np.ndarray | np.generic | int | float):
        one, other = np.asarray(seen), np.asarray(expected)
        if one.shape != other.shape or one.dtype.kind in "OUS":
            return False
        if isinstance(expected, np.ndarray) and one.dtype != other.dtype:
            return False
        return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f" and other.dtype.kind == "f"))
    return type(seen) is type(expected) and bool(seen == expected)
