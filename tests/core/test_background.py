"""Event loops in threads of their own: what they are given runs, and closing leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError

import pytest

from palaestra.background import BackgroundLoop

NAME = "background-test"


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == NAME]


async def told(log: list[str], word: str) -> str:
    log.append(word)
    return threading.current_thread().name


def test_coroutines_run_in_a_thread_that_begins_with_the_first_of_them() -> None:
    loop = BackgroundLoop(NAME)
    assert threads() == []
    log: list[str] = []
    assert loop.submit(told(log, "one")).result(10) == NAME
    assert loop.submit(told(log, "two")).result(10) == NAME
    assert log == ["one", "two"] and threads() == [NAME]
    loop.close()
    assert threads() == []


def test_closing_cancels_what_is_under_way_then_runs_the_last_one() -> None:
    loop, log = BackgroundLoop(NAME), list[str]()
    begun = threading.Event()

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.sleep(1000)
        finally:
            log.append("cancelled")

    waiting = loop.submit(forever())
    assert begun.wait(10)
    loop.close(told(log, "last"))
    assert log == ["cancelled", "last"] and threads() == []
    with pytest.raises(CancelledError):
        waiting.result(10)


def test_a_closed_loop_takes_nothing_and_may_be_closed_again() -> None:
    log: list[str] = []
    for used in (False, True):
        loop = BackgroundLoop(NAME)
        if used:
            loop.submit(told([], "used")).result(10)
        loop.close()
        loop.close(told(log, "never"))
        with pytest.raises(RuntimeError, match="was closed"):
            loop.submit(told(log, "never"))
    assert log == []
