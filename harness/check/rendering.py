"""Every render mode gives what it promises, and looking changes nothing."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import CheckFailed, Problems, describe_exception, shorten
from palaestra.harness.check.world import World, first_difference, play

__all__ = ["check_rendering"]

_TURNS = 5


def check_rendering(subject: Subject) -> str:
    """Renders during an episode in each mode.

    Raises:
        CheckFailed: A mode gives something else, raises, or changes the episode; or there is no mode at all.
    """
    modes = list(subject.env_class().metadata.get("render_modes") or [])
    if not modes:
        subject.require(subject.has_card, "this environment, which is not of palaestra, has no render modes")
        raise CheckFailed(
            "rendering fit for a person",
            "metadata['render_modes'] is empty",
            "offer at least 'ansi' (text) or 'rgb_array' (a picture)",
        )
    problems = Problems()
    shown = []
    for mode in modes:
        if mode == "human":
            continue  # opens windows and prints; nothing that a machine can judge
        shown.append(mode)
        try:
            _mode(subject, mode, problems)
        except Exception as error:
            problems.add(
                f"render() works in the mode {mode!r}",
                describe_exception(error),
                "the mode is declared in metadata['render_modes'] and not written, or it needs a screen",
            )
    rest = " (human is not looked at)" if "human" in modes else ""
    return problems.finish(f"{', '.join(shown) or 'none'}{rest}")


class _Looking(World):
    """A world that is rendered before every step and after the last."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.frames: list[Any] = []

    def step(self, actions: Any) -> Any:
        """See `World.step`."""
        self.frames.append(self.env.render())
        step = super().step(actions)
        self.frames.append(self.env.render())
        return step


def _mode(subject: Subject, mode: str, problems: Problems) -> None:
    screen = {"SDL_VIDEODRIVER": "dummy"} if "SDL_VIDEODRIVER" not in os.environ else {}
    os.environ.update(screen)  # pygame draws without a screen
    try:
        made = subject.make(render_mode=mode)
        world = _Looking(made.env)
        with world:
            seen = play(world, "random", subject.seed, max_steps=_TURNS)
        frames = world.frames
    finally:
        for name in screen:
            del os.environ[name]
    for frame in frames:
        if mode.endswith("_list"):
            problems.require(
                isinstance(frame, list),
                f"render() in the mode {mode!r} gives a list of frames",
                shorten(frame),
                "the mode's name promises the frames since the last render()",
            )
            for item in frame if isinstance(frame, list) else []:
                _frame(mode.removesuffix("_list"), item, problems)
        else:
            _frame(mode, frame, problems)
    if mode == "rgb_array" and frames and all(isinstance(frame, np.ndarray) for frame in frames):
        problems.require(
            any(frame.size and frame.min() != frame.max() for frame in frames),
            "a picture that shows something",
            f"every pixel of {len(frames)} frames has the value {frames[0].flat[0]}",
            "the picture is returned before it is drawn",
        )
    if not subject.card.nondeterministic:
        with subject.make() as plain:
            difference = first_difference(play(plain, "random", subject.seed, max_steps=_TURNS).lines, seen.lines)
        problems.require(
            difference is None,
            f"an episode is the same with and without rendering ({mode})",
            str(difference),
            "render() draws random numbers or changes state",
        )


def _frame(mode: str, frame: Any, problems: Problems) -> None:
    if mode == "ansi":
        problems.require(
            isinstance(frame, str) and bool(frame.strip()),
            "render() in the mode 'ansi' gives a text that is not empty",
            shorten(frame),
            "render() returns None or prints; return the text",
        )
    elif mode == "rgb_array":
        fine = isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
        problems.require(
            fine,
            "render() in the mode 'rgb_array' gives a uint8 array of shape (height, width, 3)",
            f"{type(frame).__name__} {getattr(frame, 'dtype', '')} {getattr(frame, 'shape', '')}",
            "colours in 0..1, a channel-first picture, or an alpha channel",
        )
