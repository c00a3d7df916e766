"""Bad actions of array environments: a clear ValueError, or handled; never a crash, a NaN or a failed episode."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import Problems, describe_exception, shorten
from palaestra.harness.check.world import World, first_difference, play
from palaestra.policies import null_action

__all__ = ["bad_actions", "check_actions"]


def check_actions(subject: Subject) -> str:
    """Tries each bad action in a fresh episode, then plays one that must be as good as new.

    Raises:
        CheckFailed: An action raised something else than a ValueError with a message, failed the episode, or gave
            an observation or reward that is not one.
    """
    subject.require(subject.card.interface == "array", "the actions are texts; see `fuzz`")
    problems = Problems()
    refused = handled = 0
    with subject.make_lean() as world:
        space = world.action_space(world.agents[0])
        for kind, bad in bad_actions(space):
            if not _can_be_asked(space, bad):
                continue
            if _try(subject, world, kind, bad, problems):
                refused += 1
            else:
                handled += 1
        if not subject.card.nondeterministic:
            with subject.make_lean() as fresh:
                mine, yours = (play(each, "random", subject.seed).lines for each in (world, fresh))
            difference = first_difference(mine, yours)
            problems.require(
                difference is None,
                "after bad actions an episode is the same as in a new instance",
                str(difference),
                "a bad action was stored before it was refused",
            )
    return problems.finish(f"{refused} bad actions refused with a ValueError, {handled} handled")


def bad_actions(space: gym.Space[Any]) -> Iterator[tuple[str, Any]]:
    """Names and actions that are not in the space, or not even near it."""
    if isinstance(space, gym.spaces.Box):
        zero = np.asarray(null_action(space))
        if space.dtype is not None and space.dtype.kind == "f":
            yield "NaN", np.full_like(zero, np.nan)
            yield "infinity", np.full_like(zero, np.inf)
            yield "minus infinity", np.full_like(zero, -np.inf)
            yield "a huge number", np.full_like(zero, 1e30)
        yield "above the upper bound", (space.high.astype(np.float64) + 1).astype(space.dtype)
        yield "below the lower bound", (space.low.astype(np.float64) - 1).astype(space.dtype)
        yield "another dtype (bool)", zero.astype(np.bool_)
        yield "text instead of numbers", np.full(zero.shape, "x")
        yield (
            "one number too many",
            np.zeros((*zero.shape[:-1], zero.shape[-1] + 1) if zero.shape else (2,), zero.dtype),
        )
        yield "no numbers at all", np.zeros((0,), zero.dtype)
    elif isinstance(space, gym.spaces.Discrete):
        yield "above the last choice", int(space.start + space.n)
        yield "below the first choice", int(space.start) - 1
        yield "a huge number", 10**30
        yield "a fraction", 0.5
        yield "NaN", float("nan")
    elif isinstance(space, gym.spaces.MultiDiscrete | gym.spaces.MultiBinary):
        zero = np.asarray(null_action(space))
        yield "far above the last choice", np.full_like(zero, 100)
        yield "negative", np.full(zero.shape, -1, np.int64)
        yield "fractions", np.full(zero.shape, 0.5)
        yield "one number too many", np.zeros((zero.size + 1,), zero.dtype)
    yield "None", None
    yield "text", "left"
    yield "a dictionary", {"action": 0}


def _can_be_asked(space: gym.Space[Any], bad: Any) -> bool:
    """Whether Gymnasium's own `contains` survives the action: 1.2.0's Discrete overflows on huge numbers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            space.contains(bad)
    except OverflowError:
        return False
    return True


def _try(subject: Subject, world: World, kind: str, bad: Any, problems: Problems) -> bool:
    """Whether the action was refused."""
    world.reset(subject.seed)
    live = world.live
    label = f"{kind}: {shorten(bad, 120)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # spaces warn when they are asked about strange things
            step = world.step({agent: copy.deepcopy(bad) for agent in live})
    except ValueError as error:
        problems.require(
            len(str(error)) > 10,
            "a refusal says what was given and what is accepted",
            f"{error!r} after {label}",
            "a bare ValueError; name the action and the action space",
        )
        return True
    except Exception as error:
        problems.add(
            "a bad action raises ValueError or is handled",
            f"{describe_exception(error)} after {label}",
            "step uses the action before it looks at it; check it first: "
            "self.check_action(action), or raise palaestra.errors.InvalidActionError(...)",
        )
        return True
    for agent in live:
        info, reward, observation = step.info[agent], step.reward[agent], step.observation[agent]
        problems.require(
            info.get("status") != "failed",
            "a bad action is the agent's fault and does not make an episode `failed`",
            f"{info.get('error')} after {label}",
            "begin _step with self.check_action(action), which raises InvalidActionError; or clip it as documented",
        )
        problems.require(
            math.isfinite(reward) and world.observation_space(agent).contains(observation),
            "what a bad action leads to is a finite reward and an observation in the space",
            f"reward {reward!r}, observation {shorten(observation)} after {label}",
            "the action went into the state unchecked; begin _step with self.check_action(action), or clip it",
        )
    return False
