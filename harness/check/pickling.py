"""Specs, spaces and environments survive pickling (and specs JSON), or say why not."""

from __future__ import annotations

import json
import pickle
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from palaestra.errors import PalaestraError
from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import Problems, describe_exception, shorten
from palaestra.harness.check.world import World, canonical, first_difference, play, resume

__all__ = ["check_pickling"]


def check_pickling(subject: Subject) -> str:
    """Takes everything through pickle and back and compares.

    Raises:
        CheckFailed: Something does not come back, or comes back as something else.
    """
    problems = Problems()
    with subject.make() as world:
        if not subject.parallel:
            _spec(subject, world, problems)
        for agent in world.agents:
            for what, space in (("action", world.action_space(agent)), ("observation", world.observation_space(agent))):
                _space(f"the {what} space of {agent}", space, problems)
        how = _environment(subject, world, problems)
    return problems.finish(f"spec and spaces come back equal; {how}")


def _spec(subject: Subject, world: World, problems: Problems) -> None:
    spec = world.env.spec
    ways: dict[str, Any] = {
        "to_json and from_json": lambda: EnvSpec.from_json(spec.to_json()),
        "pickle": lambda: pickle.loads(pickle.dumps(spec)),
    }
    for name, way in ways.items():
        try:
            again = way()
            env = World(gym.make(again))
        except Exception as error:
            problems.add(
                f"the EnvSpec comes back by {name} and makes the environment",
                f"{type(error).__name__}: {shorten(str(error))}",
                "a keyword argument (of the call or of register) is not plain data, or the entry point is a callable; "
                "register it as 'module:Class' and take strings and numbers",
            )
            continue
        with env:
            same = canonical(json.loads(again.to_json())) == canonical(json.loads(spec.to_json()))
            problems.require(
                same, f"the EnvSpec is equal after {name}", again.to_json(), "a keyword argument has no faithful JSON"
            )
            if not subject.card.nondeterministic:
                mine, yours = (play(each, "random", subject.seed, max_steps=20).lines for each in (world, env))
                difference = first_difference(mine, yours)
                problems.require(
                    difference is None,
                    f"the environment made from a spec after {name} plays the same episode",
                    str(difference),
                    "a keyword argument is lost or changed on the way",
                )


def _space(what: str, space: gym.Space[Any], problems: Problems) -> None:
    try:
        again = pickle.loads(pickle.dumps(space))
    except Exception as error:
        problems.add(
            f"{what} can be pickled",
            f"{type(error).__name__}: {shorten(str(error))}",
            "it holds a lambda or a bound method (a sampler); use a function of a module or a small class",
        )
        return
    space.seed(5)
    again.seed(5)
    problems.require(
        again == space and canonical(again.sample()) == canonical(space.sample()),
        f"{what} is the same after pickling and draws the same samples",
        f"{again!r} for {space!r}",
        "__eq__, __getstate__ or __setstate__ of a custom space leaves something out",
    )


def _environment(subject: Subject, world: World, problems: Problems) -> str:
    observation, _ = world.reset(subject.seed)
    try:
        again = World(pickle.loads(pickle.dumps(world.env)))
    except Exception as error:
        problems.require(
            isinstance(error, PalaestraError) or not subject.has_card,
            "an environment that cannot be pickled says so itself, with a SnapshotError",
            describe_exception(error),
            "made by its id it is pickled as its spec and its state: see that get_state gives plain data, or raise a "
            "SnapshotError there that says what holds it back",
        )
        return f"the environment itself cannot be pickled ({type(error).__name__}: {shorten(str(error), 100)})"
    if subject.card.nondeterministic:
        return "the environment too"
    mine, yours = (resume(each, "random", subject.seed, observation, max_steps=20).lines for each in (world, again))
    again.close()
    difference = first_difference(mine, yours)
    problems.require(
        difference is None,
        "a pickled environment goes on as the first one does",
        str(difference),
        "__getstate__ drops part of the episode; keep it, or raise a TypeError that says why it cannot be pickled",
    )
    return "the environment too, in the middle of an episode"
