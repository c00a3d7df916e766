"""The environment is made, reset and stepped as a user would."""

from __future__ import annotations

from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import CheckFailed, describe_exception
from palaestra.harness.check.world import play

__all__ = ["check_make"]


def check_make(subject: Subject) -> str:
    """Plays a few turns of the random policy.

    Raises:
        CheckFailed: Something raised; nothing else can be checked before that is mended.
    """
    try:
        with subject.make() as world:
            trace = play(world, "random", subject.seed, max_steps=3)
            spaces = f"observations {world.observation_space(world.agents[0])!r}"
    except Exception as error:
        raise CheckFailed(
            f"palaestra.make({subject.env_id!r}), reset(seed=...) and step(action_space.sample()) work",
            describe_exception(error),
            "the exception says where; the other checks wait for this one",
        ) from error
    if trace.failed:
        raise CheckFailed(
            "a first episode with random actions does not fail",
            f"{trace.infos}",
            "something the environment needs is missing or broken; the error says what",
        )
    return f"{trace.turns} random turns; {spaces}"
