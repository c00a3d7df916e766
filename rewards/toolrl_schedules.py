"""How ToolRL's parts are scaled over training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from palaestra.errors import UnknownNameError

__all__ = ["SCHEDULES", "Scale", "Schedule", "make_schedule"]


@dataclass(frozen=True, slots=True)
class Scale:
    """The lowest and the highest value of each part.

    Attributes:
        format: Of the format reward.
        correctness: Of the correctness reward.
    """

    format: tuple[float, float] = (0.0, 1.0)
    correctness: tuple[float, float] = (-3.0, 3.0)


Schedule = Callable[[int], Scale]
"""From the training step (updates of the policy so far) to the scale."""


def _constant(step: int, steps: int) -> Scale:
    return Scale()


def _equal_max(step: int, steps: int) -> Scale:
    return Scale(correctness=(-1.0, 1.0))


def _two_stage(step: int, steps: int) -> Scale:
    return Scale(correctness=(-1.0, 1.0)) if step < steps else Scale()


def _smooth(step: int, steps: int) -> Scale:
    done = min(1.0, step / steps)
    return Scale(format=(0.0, 2.0 - done), correctness=(-2.0 - done, 2.0 + done))


SCHEDULES: Mapping[str, tuple[Callable[[int, int], Scale], int]] = {
    "constant": (_constant, 1),
    "equal-max": (_equal_max, 1),
    "two-stage": (_two_stage, 30),
    "smooth": (_smooth, 150),
}
"""Schedules by name, and over how many steps each goes unless told otherwise."""


def make_schedule(name: str, steps: int | None = None) -> Schedule:
    """One of ToolRL's schedules.

        constant     format in [0, 1], correctness in [-3, 3]
        equal-max    format in [0, 1], correctness in [-1, 1]
        two-stage    format in [0, 1], correctness in [-1, 1] for 30 steps, then in [-3, 3]
        smooth       format in [0, 2 - p], correctness in [-2 - p, 2 + p], p = min(1, step / 150)

    Departures from the authors' code: its `two-stage` also halves the format reward after the first stage, and in its
    `smooth` the lowest format reward moves, too, from -2 to -1. Other scales can be given to the credit as a function
    of the step.

    Args:
        name: Of the schedule.
        steps: Length of the first stage, or of the slope; by default the paper's.

    Raises:
        UnknownNameError: There is no such schedule.
    """
    if name not in SCHEDULES:
        raise UnknownNameError("schedule", name, SCHEDULES)
    scale, default = SCHEDULES[name]
    length = default if steps is None else steps
    return lambda step: scale(step, length)
