"""What the card promises about saved states: a restored episode goes on as if nothing had happened."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym

import palaestra
from palaestra.errors import SnapshotError
from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import CheckFailed, Problems
from palaestra.harness.check.world import Trace, World, first_difference, play, resume

__all__ = ["check_snapshot"]

_BEFORE = (0, 1, 3)  # turns after which a state is saved
_AFTER = 60  # turns that are compared at most
_CAUSE = (
    "get_state forgets something that changes during an episode (a counter, the dialogue, a cursor), shares it with "
    "the environment instead of copying it, or set_state does not bring it back"
)


def check_snapshot(subject: Subject) -> str:
    """Saves after a few turns, goes on, restores (here, in another instance, through wrappers, in forks), compares.

    Raises:
        CheckFailed: A restored episode went on differently, or could not be restored.
    """
    promised = subject.card.snapshot
    subject.require(promised != "none", "the card says snapshot='none'")
    subject.require(not subject.card.nondeterministic, "the card says nondeterministic: two runs differ anyway")
    problems = Problems()
    compared = 0
    with subject.make() as world:
        # Random actions reach far; the null policy lets the horizon end the episode, which a lost counter would shift.
        for actor in ("random", "null"):
            for turns in _BEFORE:
                compared += _one(subject, world, actor, turns, problems)
    if not subject.parallel:
        _wrapped(subject, problems)
        _forks(subject, problems)
    return problems.finish(f"{promised}: {compared} restored episodes go on as before" + _extent(subject))


def _extent(subject: Subject) -> str:
    return "" if subject.parallel else "; through a wrapper and in forks too"


def _advance(world: World, actor: str, seed: int, turns: int) -> Any:
    """Plays so many turns, in an episode that lasts that long; the observation after them."""
    for attempt in range(20):
        observation, _ = world.reset(seed + 1000 * attempt)
        policies = {agent: world.policy(actor, seed + attempt, agent) for agent in world.live}
        for _ in range(turns):
            step = world.step({agent: policies[agent](observation[agent]) for agent in world.live})
            observation = step.observation
            if not world.live or all(step.terminated[agent] or step.truncated[agent] for agent in step.terminated):
                break
        else:
            return observation
    return None


def _finish(world: World, actor: str, seed: int, observation: Any) -> list[bytes]:
    """Plays to the end, and then into an episode that only the restored generator decides."""
    trace: Trace = resume(world, actor, seed, observation, max_steps=_AFTER)
    return trace.lines + play(world, actor, seed, reseed=False, max_steps=5).lines


def _save(world: World) -> Any:
    try:
        return palaestra.snapshot(world.env)
    except SnapshotError as error:
        raise CheckFailed(
            "palaestra.snapshot(env) saves the state, as the card says",
            f"{error}",
            "write get_state and set_state, or say snapshot='replay' or 'none' in the card",
        ) from error


def _one(subject: Subject, world: World, actor: str, turns: int, problems: Problems) -> int:
    observation = _advance(world, actor, subject.seed, turns)
    if observation is None:
        return 0  # no episode of this policy lasts so long
    observation = copy.deepcopy(observation)
    with _save(world) as saved:
        # A replay restores what a seeded reset began; the generator after its end is part of that too.
        expected = _finish(world, actor, subject.seed, observation)
        where = f"an episode of {actor}, saved after {turns} turns"
        saved.restore()
        _same(expected, _finish(world, actor, subject.seed, observation), f"{where} and restored", problems)
        saved.restore()
        _same(expected, _finish(world, actor, subject.seed, observation), f"{where} and restored twice", problems)
        with subject.make() as fresh:
            saved.restore(fresh.env)
            again = _finish(fresh, actor, subject.seed, observation)
            _same(expected, again, f"{where} and restored in a new instance that was never reset", problems)
            _advance(fresh, "random", subject.seed + 5, 2)
            saved.restore(fresh.env)
            again = _finish(fresh, actor, subject.seed, observation)
            _same(expected, again, f"{where} and restored in an instance in another episode", problems)
    return 4


def _same(expected: list[bytes], seen: list[bytes], where: str, problems: Problems) -> None:
    difference = first_difference(expected, seen)
    problems.require(
        difference is None, f"{where}, goes on as it did", f"as it went, as restored: {difference}", _CAUSE
    )


def _wrapped(subject: Subject, problems: Problems) -> None:
    """A wrapper that counts turns must be brought back together with what it wraps."""
    turns, limit = 1, 3
    inner = subject.make()
    with World(gym.wrappers.TimeLimit(inner.env, limit)) as world:
        observation = _advance(world, "null", subject.seed, turns)
        if observation is None:
            return
        with _save(world) as saved:
            expected = _finish(world, "null", subject.seed, observation)
            saved.restore()
            again = _finish(world, "null", subject.seed, observation)
            _same(expected, again, f"an episode under TimeLimit({limit}), saved after {turns} turn", problems)


def _forks(subject: Subject, problems: Problems) -> None:
    with subject.make() as world:
        observation = _advance(world, "random", subject.seed, 1)
        if observation is None:
            return
        try:
            one, two = (World(env) for env in palaestra.fork(world.env, 2))
        except Exception as error:
            problems.add(
                "palaestra.fork(env, 2) makes two instances in the same state",
                f"{type(error).__name__}: {error}",
                "the environment cannot be made from its spec, or its state cannot be restored in another instance",
            )
            return
        with one, two:
            # The others go their own ways first; the last fork must not notice.
            expected = _finish(world, "random", subject.seed, observation)
            _finish(one, "random", subject.seed + 1, observation)
            _same(expected, _finish(two, "random", subject.seed, observation), "a fork after its siblings", problems)
