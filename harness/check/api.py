"""Gymnasium's and PettingZoo's own checkers, without an error and without a warning."""

from __future__ import annotations

import contextlib
import io
import os
import re
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.utils.env_checker import check_env

from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import Problems, describe_exception, shorten

__all__ = ["ALLOWED_WARNINGS", "check_api"]

# Advice about scale that faithful copies of known environments cannot follow; every other warning is a failure.
ALLOWED_WARNINGS = (
    r"A Box observation space (minimum|maximum) value is -?infinity",
    r"For Box action spaces, we recommend using a symmetric and normalized space",
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CYCLES = 200  # of PettingZoo's tests


def check_api(subject: Subject) -> str:
    """Runs the checkers.

    Raises:
        CheckFailed: One of them raised or warned.
    """
    problems = Problems()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        done = (_pettingzoo if subject.parallel else _gymnasium)(subject, problems)
    for warning in caught:
        text = _COLOUR.sub("", str(warning.message))
        problems.require(
            any(re.search(pattern, text) for pattern in ALLOWED_WARNINGS),
            "no warning",
            f"{warning.category.__name__}: {shorten(text, 600)}",
            "the warning says what to change; warnings of libraries that the environment calls count too",
        )
    return problems.finish(done)


def _gymnasium(subject: Subject, problems: Problems) -> str:
    world = subject.make()
    modes = world.raw.metadata.get("render_modes") or []
    no_screen = "human" in modes and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    level = gym.logger.min_level
    try:
        gym.logger.min_level = gym.logger.WARN
        check_env(world.raw, skip_render_check=no_screen)
    except Exception as error:
        problems.add(
            "gymnasium.utils.env_checker.check_env passes",
            describe_exception(error),
            "the message is Gymnasium's own and names the method; its rules are in the docs of gymnasium.Env",
        )
    finally:
        gym.logger.min_level = level
        world.close()
    return f"check_env of gymnasium {gym.__version__}: no error, no warning"


def _pettingzoo(subject: Subject, problems: Problems) -> str:
    with warnings.catch_warnings():
        # It imports examples of its own; where they can be imported, they say that they are old.
        warnings.simplefilter("ignore")
        import pettingzoo.test

    untyped: Any = pettingzoo.test

    def make() -> Any:
        return _without_probe(subject.make().env)

    tests: dict[str, Callable[[], Any]] = {
        "parallel_api_test": lambda: untyped.parallel_api_test(make(), _CYCLES),
        "parallel_seed_test": lambda: untyped.parallel_seed_test(make, _CYCLES),
    }
    for name, test in tests.items():
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                test()
        except Exception as error:
            problems.add(
                f"pettingzoo.test.{name} passes",
                describe_exception(error),
                "the failing assertion names the rule; its text is in pettingzoo.utils.env.ParallelEnv",
            )
    return "PettingZoo's parallel_api_test and parallel_seed_test: no error, no warning"


def _without_probe(env: Any) -> Any:
    """PettingZoo probes `reset` with the option "options", which a strict environment rightly refuses."""
    reset = env.reset

    def quiet(seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return reset(seed=seed, options=None if options == {"options": 1} else options)

    env.reset = quiet
    return env
