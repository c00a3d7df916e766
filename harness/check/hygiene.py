"""An environment keeps to itself: global random state and process-wide settings are as they were."""

from __future__ import annotations

import hashlib
import locale
import os
import pickle
import random
import signal
import sys
import warnings
from typing import Any

import numpy as np

from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import Problems, shorten
from palaestra.harness.check.world import play

__all__ = ["changes", "check_hygiene"]


def check_hygiene(subject: Subject) -> str:
    """Compares global state before and after, in a fresh process.

    Raises:
        CheckFailed: Something changed.
    """
    problems = Problems()
    for what, seen in subject.in_new_process(f"{__name__}:changes").items():
        random_state = "random" in what
        problems.require(
            False,
            f"making, playing and closing the environment does not touch {what}",
            seen,
            "np.random.seed, np.random.rand, random.choice and the like; draw from self.np_random"
            if random_state
            else "a setting of the whole process is changed and not put back",
        )
    return problems.finish("random, numpy.random and settings of the process are untouched, at import too")


def changes(subject: Subject) -> dict[str, str]:
    """What importing, making and playing changed, by name, with before and after."""
    found = {}
    # Random state from before the environment's module is imported; libraries may set up the rest when they load.
    first = _random_state()
    _use(subject)
    second = _random_state()
    settings = _settings()
    _use(subject)
    later = _settings()
    for before, after in ((first, second), (settings, later)):
        for name in before:
            if before[name] != after[name]:
                found[name] = f"{shorten(before[name], 120)} before, {shorten(after[name], 120)} after"
    return found


def _use(subject: Subject) -> None:
    subject.ensure_registered()
    with subject.make() as world:
        for name in world.policy_names:
            play(world, name, subject.seed, max_steps=30, record=False)


def _random_state() -> dict[str, Any]:
    legacy = hashlib.sha256(pickle.dumps(np.random.get_state())).hexdigest()
    own = hashlib.sha256(pickle.dumps(random.getstate())).hexdigest()
    return {"numpy's global random state": legacy, "the random module's state": own}


def _settings() -> dict[str, Any]:
    return {
        "os.environ": dict(os.environ),
        "the working directory": os.getcwd(),
        "sys.path": list(sys.path),
        "the recursion limit": sys.getrecursionlimit(),
        "numpy's error handling": np.geterr(),
        "numpy's print options": {key: repr(value) for key, value in np.get_printoptions().items()},
        "the warning filters": [str(entry) for entry in warnings.filters],
        "the locale": locale.setlocale(locale.LC_ALL),
        "signal handlers": {
            name.name: repr(signal.getsignal(name)) for name in signal.valid_signals() if hasattr(name, "name")
        },
        "sys.stdout": id(sys.stdout),
        "sys.excepthook": repr(sys.excepthook),
    }
