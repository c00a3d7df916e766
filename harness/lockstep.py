"""The language runner in lock step: a model is asked for all turns of a round at once, when everyone is there."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Sequence
from typing import Any

from palaestra.agents.base import Action, View
from palaestra.harness.runner import Runner

__all__ = ["LockstepRunner"]

_Asked = tuple[View, "concurrent.futures.Future[Action]"]


class LockstepRunner(Runner):
    """A `Runner` in which the worlds of all slots take their turns together.

    A model's last bits depend on what is batched with what. Here that follows from the requests alone: a round begins
    when every slot waits for its agent, and its turns are submitted in the order of their episodes' names. Needs an
    agent whose model is in this process, or whose answers do not depend on what else it is asked.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._round: list[_Asked] = []
        self._present = 0  # slots that wait

    def _submit(self, views: Sequence[View]) -> Sequence[concurrent.futures.Future[Action]]:
        futures: list[concurrent.futures.Future[Action]] = [concurrent.futures.Future() for _ in views]
        with self._lock:
            self._round += zip(views, futures, strict=True)
            self._present += 1
        self._wake.set()  # the thread that started all slots looks whether all of them are here
        return futures

    def _supervise(self) -> None:
        super()._supervise()
        with self._lock:
            if not self._round or self._present < len(self._active):
                return
            asked, self._round, self._present = sorted(self._round, key=lambda pair: pair[0].episode_id), [], 0
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._play_round(asked), self._loop)

    async def _play_round(self, asked: Sequence[_Asked]) -> None:
        engine = getattr(self.agent, "engine", None)
        with getattr(engine, "together", contextlib.nullcontext)():
            tasks = [asyncio.ensure_future(self.agent.act(view)) for view, _ in asked]
            await asyncio.sleep(0)  # each runs up to where it waits for its turn
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for (_, future), answer in zip(asked, answers, strict=True):
            if future.set_running_or_notify_cancel():
                if isinstance(answer, BaseException):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
