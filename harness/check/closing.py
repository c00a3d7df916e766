"""Made and closed again and again, an environment leaves nothing behind."""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from pathlib import Path

from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import Problems, describe_exception
from palaestra.harness.check.world import play

__all__ = ["check_closing"]

_WARM_UP = 3  # cycles in which caches fill
_CYCLES = 20
_BYTES_A_CYCLE = 32_768


def check_closing(subject: Subject) -> str:
    """Counts file descriptors, threads, child processes, live instances and memory over cycles of make and close.

    Raises:
        CheckFailed: One of them grows, or closing twice raises.
    """
    problems = Problems()
    for _ in range(_WARM_UP):
        _cycle(subject, problems)
    kind = subject.env_class()
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        _cycle(subject, problems)
        before, bytes_before = _held(kind), tracemalloc.get_traced_memory()[0]
        for _ in range(_CYCLES):
            _cycle(subject, problems)
        after, bytes_after = _held(kind), tracemalloc.get_traced_memory()[0]
    finally:
        if not tracing:
            tracemalloc.stop()
    causes = {
        "open file descriptors": "close() leaves a file, socket or pipe open",
        "threads": "close() does not end and join a thread or a pool that the environment started",
        "child processes": "close() does not end and wait for a process that the environment started",
        "live instances": "something global (a cache, a registry, atexit, a callback) keeps closed environments",
    }
    for what, cause in causes.items():
        problems.require(
            after[what] <= before[what],
            f"no more {what} after {_CYCLES} cycles of make, play, close",
            f"{before[what]} before, {after[what]} after",
            cause,
        )
    growth = (bytes_after - bytes_before) / _CYCLES
    problems.require(
        growth <= _BYTES_A_CYCLE,
        f"memory grows by at most {_BYTES_A_CYCLE} bytes a cycle once caches are filled",
        f"{growth:.0f} bytes a cycle over {_CYCLES} cycles",
        "a list, cache or log at module or class level grows with every instance or episode",
    )
    return problems.finish(
        f"{_CYCLES} cycles of make, play, close, close: nothing left, {max(growth, 0):.0f} bytes a cycle"
    )


def _cycle(subject: Subject, problems: Problems) -> None:
    world = subject.make_lean()
    try:
        play(world, "random", subject.seed, max_steps=5, record=False)
    finally:
        for time in ("once", "twice"):
            try:
                world.close()
            except Exception as error:
                problems.add(
                    f"close() may be called {time}",
                    describe_exception(error),
                    "close frees what is already gone; set it to None and look first",
                )
    del world
    gc.collect()


def _held(kind: type) -> dict[str, int]:
    gc.collect()
    return {
        "open file descriptors": _entries("/proc/self/fd"),
        "threads": max(threading.active_count(), _entries("/proc/self/task")),
        "child processes": _children(),
        "live instances": sum(type(item) is kind for item in gc.get_objects()),
    }


def _entries(folder: str) -> int:
    return len(os.listdir(folder)) if os.path.isdir(folder) else 0


def _children() -> int:
    """Child processes, zombies included; 0 where the system has no /proc."""
    count = 0
    for path in Path("/proc/self/task").glob("*/children"):
        try:
            count += len(path.read_text().split())
        except OSError:  # the thread ended meanwhile
            continue
    return count
