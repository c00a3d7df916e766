"""Any string is a legal action: nothing that is said raises, fails the episode, or leaves the environment broken."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from palaestra.harness.check.strings import hostile_strings
from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import Problems, describe_exception, shorten
from palaestra.harness.check.world import World, first_difference, play

__all__ = ["check_fuzz"]

_HANG_SECONDS = 30.0
_ENOUGH = 5  # problems after which the fuzz stops
_HUGE_EVERY = 5_000


def check_fuzz(subject: Subject) -> str:
    """Says many hostile strings, then plays an episode that must be as good as new.

    Raises:
        CheckFailed: A string raised, failed the episode, left the observation space, or broke what came after.
    """
    subject.require(subject.card.interface == "text", "the actions are not text; see `actions`")
    problems = Problems()
    with subject.make_lean() as world:
        valid = _valid_actions(subject, world)
        rng = np.random.default_rng([subject.seed, 11])
        huge = max(1, subject.fuzz // _HUGE_EVERY)
        said, slowest = 0, 0.0
        running = False
        for text in hostile_strings(subject.fuzz, rng, valid, huge=huge):
            if not running:
                world.reset(int(rng.integers(2**31)))
            began = time.perf_counter()
            running = _say(world, text, problems)
            took = time.perf_counter() - began
            slowest = max(slowest, took)
            said += 1
            problems.require(
                took < _HANG_SECONDS,
                f"a step answers within {_HANG_SECONDS:g} s",
                f"{took:.1f} s for {_quoted(text)}",
                "a regular expression that backtracks, or work that grows with the square of the length; "
                "cut the text to the byte cap first",
            )
            if len(problems) >= _ENOUGH:
                break
        _as_new(subject, world, problems)
    return problems.finish(f"{said} strings, {huge} of them of 10 MB; the slowest step took {slowest:.2f} s")


def _valid_actions(subject: Subject, world: World) -> Sequence[str]:
    found: list[str] = []
    agent = world.agents[0]
    space = world.action_space(agent)
    space.seed(subject.seed)
    found += [str(space.sample()) for _ in range(50)]
    for name in world.policy_names:
        for episode in range(3):
            observation, _ = world.reset(subject.seed + episode)
            policies = {agent: world.policy(name, subject.seed, agent) for agent in world.live}
            for _ in range(20):
                actions = {agent: policies[agent](observation[agent]) for agent in world.live}
                found += [action for action in actions.values() if isinstance(action, str) and action]
                step = world.step(actions)
                observation = step.observation
                if not world.live or all(step.terminated[a] or step.truncated[a] for a in step.terminated):
                    break
    return sorted({text[:5000] for text in found})


def _quoted(value: Any) -> str:
    """A few characters of it, on one line, and its size."""
    size = f", {len(value)} characters" if isinstance(value, str) else ""
    return shorten(repr(value[:500] if isinstance(value, str) else value), 120) + size


def _say(world: World, text: str, problems: Problems) -> bool:
    """Every live agent says it. Returns whether the episode goes on."""
    live = world.live
    try:
        step = world.step(dict.fromkeys(live, text))
    except Exception as error:
        problems.add(
            "step raises for no string",
            f"{describe_exception(error)} after the action {_quoted(text)}",
            "step was overridden, or a wrapper chokes on the text; parse in _step and answer bad input with a message",
        )
        return False
    for agent in live:
        info = step.info[agent]
        problems.require(
            info.get("status") != "failed",
            "no string makes an episode fail",
            f"{info.get('error')} after the action {_quoted(text)}",
            "an exception in _step or in a tool; clean the text (palaestra.spaces.clean_text), catch it where the "
            "action is parsed or the tool runs, and tell the agent what is accepted",
        )
        problems.require(
            math.isfinite(step.reward[agent]),
            "rewards are finite",
            f"{step.reward[agent]!r} after the action {_quoted(text)}",
            "the reward is computed from what the agent wrote",
        )
        problems.require(
            world.observation_space(agent).contains(step.observation[agent]),
            f"the observation is in {world.observation_space(agent)!r}",
            f"{_quoted(step.observation[agent])} after the action {_quoted(text)}",
            "the answer repeats the agent's text uncut; clip it with palaestra.spaces.clip_utf8",
        )
    return bool(world.live) and not all(step.terminated[agent] or step.truncated[agent] for agent in live)


def _as_new(subject: Subject, world: World, problems: Problems) -> None:
    actor = "oracle" if "oracle" in world.policy_names else "random"
    if subject.card.nondeterministic:
        problems.require(
            not play(world, actor, subject.seed).failed,
            "the environment works after the fuzz",
            "the next episode failed",
            "a tool or connection was left broken",
        )
        return
    with subject.make_lean() as fresh:
        difference = first_difference(play(world, actor, subject.seed).lines, play(fresh, actor, subject.seed).lines)
    problems.require(
        difference is None,
        f"after the fuzz an episode of {actor} is the same as in a new instance",
        str(difference),
        "something said in one episode is kept beyond it (a cache, a counter, a changed task)",
    )
