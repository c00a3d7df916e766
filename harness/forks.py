"""Spreads a run of a scripted agent over processes, so that it uses all cores.

Workers are forked, so they share what the environment has loaded. Each plays its part of the requests with a runner of
its own and appends to the same run folder; what a request's episodes are does not depend on who plays it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import os
import pickle
import selectors
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from palaestra.agents.base import Agent
from palaestra.episodes import Episode, EpisodeError
from palaestra.errors import DiskFull, PalaestraError
from palaestra.harness.runner import Finished, Runner, Stop
from palaestra.harness.schedule import Request

__all__ = ["ForkedRunner", "can_fork"]

_PR_SET_PDEATHSIG = 1
_TELL_EVERY = 0.1  # seconds
_GRACE = 10.0  # seconds that workers get to end in order


def can_fork(agent: Agent) -> bool:
    """Whether this process may fork workers: on Linux, for scripted agents, and where no thread could be cut in two."""
    return (
        sys.platform == "linux"
        and agent.policy is not None
        and threading.active_count() == 1
        and "torch" not in sys.modules
    )


@dataclass(slots=True, eq=False)
class _Worker:
    """A process, as its parent sees it."""

    pid: int
    pipe: int
    slots: int
    share: list[Request]
    buffer: bytearray = field(default_factory=bytearray)
    stop: Stop | None = None


class ForkedRunner:
    """Plays requests in several processes; otherwise like `Runner`.

    Args:
        make_runner: Makes the runner of a worker from its requests, its number of slots, and what to call with each
            world that is recorded. Called in the worker.
        requests: What to play.
        workers: How many processes.
        slots: How many worlds are played at once, in all processes together.
        on_world: Called in this process with each world that was recorded.
        recorded: Ids of the worlds that are recorded; asked when a worker has died.
        lost: Makes and records the failed episodes of a request whose worker died.
        flush: Called in each worker before it ends.
    """

    def __init__(
        self,
        make_runner: Callable[[list[Request], int, Callable[[Sequence[Finished]], None]], Runner],
        requests: Sequence[Request],
        *,
        workers: int,
        slots: int,
        on_world: Callable[[Sequence[Finished]], None],
        recorded: Callable[[], Collection[str]],
        lost: Callable[[Request, EpisodeError], Sequence[Episode]],
        flush: Callable[[], None],
    ) -> None:
        self.make_runner, self.workers, self.slots = make_runner, workers, slots
        self.on_world, self.recorded, self.lost, self.flush = on_world, recorded, lost, flush
        # Request k is played in slot k modulo slots, and slots are dealt out to the workers.
        by_slot = [list(requests[number::slots]) for number in range(slots)]
        self._shares = [_merged(by_slot[number::workers]) for number in range(workers)]
        self._active: dict[int, _Worker] = {}
        self._stop: Stop | None = None
        self._error: BaseException | None = None

    def run(self) -> Stop:
        """Plays until nothing is left to do, the time is spent, or somebody interrupts. See `Runner.run`."""
        gc.freeze()  # collections in the workers would copy the pages of everything that is loaded
        with selectors.DefaultSelector() as selector:
            try:
                for number, share in enumerate(self._shares):
                    if share:
                        self._start(share, len(range(number, self.slots, self.workers)), selector)
                while self._active:
                    self._listen(selector, None)
            except KeyboardInterrupt:
                self._end(Stop("interrupted", "Interrupted."))
                self._wait(selector)
            except BaseException:
                self._end(Stop("failed"))
                self._wait(selector)
                raise
            finally:
                self._kill()
                gc.unfreeze()
        if self._error is not None:
            raise self._error
        return self._stop or Stop("finished")

    # Parent ----------------------------------------------------------------------------------------------------

    def _start(self, share: list[Request], slots: int, selector: selectors.BaseSelector) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        read, write = os.pipe()
        with warnings.catch_warnings():
            # Native threads of numerical libraries, which look after themselves, make newer Pythons warn.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            os.close(read)
            self._work(share, slots, write)
        os.close(write)
        worker = self._active[read] = _Worker(pid, read, slots, share)
        selector.register(read, selectors.EVENT_READ, worker)

    def _listen(self, selector: selectors.BaseSelector, timeout: float | None) -> None:
        for key, _ in selector.select(timeout):
            worker: _Worker = key.data
            data = os.read(worker.pipe, 1 << 16)
            worker.buffer += data
            while len(worker.buffer) >= 4:
                size = 4 + int.from_bytes(worker.buffer[:4], "little")
                if len(worker.buffer) < size:
                    break
                message = pickle.loads(bytes(worker.buffer[4:size]))
                del worker.buffer[:size]
                self._hear(worker, message)
            if not data:
                self._gone(worker, selector)

    def _hear(self, worker: _Worker, message: Any) -> None:
        if isinstance(message, KeyboardInterrupt):  # it came while the worker was ending anyway
            message = Stop("interrupted", "Interrupted.")
        if isinstance(message, Stop):
            worker.stop = message
            if message.reason != "finished":
                self._end(message)
        elif isinstance(message, BaseException):
            worker.stop = Stop("failed")
            self._error = self._error or message
            self._end(Stop("failed"))
        else:
            for world in message:
                self.on_world(world)

    def _gone(self, worker: _Worker, selector: selectors.BaseSelector) -> None:
        selector.unregister(worker.pipe)
        os.close(worker.pipe)
        del self._active[worker.pipe]
        _, status = os.waitpid(worker.pid, 0)
        if worker.stop is not None or self._stop is not None:
            return
        # It died without a word. The first that it has not recorded are those that it was playing.
        recorded = self.recorded()
        left = [request for request in worker.share if request.world_id not in recorded]
        code = os.waitstatus_to_exitcode(status)
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        error = EpisodeError("worker_died", "unattributed", True, f"The process that played it ended {how}.")
        under_way = left[: worker.slots]
        try:
            for request in under_way:
                self.on_world([Finished.of(episode) for episode in self.lost(request, error)])
        except DiskFull as full:
            self._end(Stop("disk", str(full)))
            return
        if left[len(under_way) :]:
            self._start(left[len(under_way) :], worker.slots, selector)

    def _end(self, stop: Stop) -> None:
        self._stop = self._stop or stop
        for worker in self._active.values():
            if worker.stop is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGINT)

    def _wait(self, selector: selectors.BaseSelector) -> None:
        deadline = time.monotonic() + _GRACE
        with contextlib.suppress(KeyboardInterrupt):
            while self._active and time.monotonic() < deadline:
                self._listen(selector, 0.1)

    def _kill(self) -> None:
        for worker in self._active.values():
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(worker.pid, signal.SIGKILL)
                os.waitpid(worker.pid, 0)
            os.close(worker.pipe)
        self._active.clear()

    # Worker ----------------------------------------------------------------------------------------------------

    def _work(self, share: list[Request], slots: int, pipe: int) -> None:
        """Everything that a worker does; never returns."""
        code = 1
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # a worker does not outlive its parent
            signal.signal(signal.SIGINT, _interrupt_once)
            for other in self._active:
                os.close(other)
            talk = _Talk(pipe)
            try:
                stop: Stop | BaseException = self.make_runner(share, slots, talk.world).run()
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                self.flush()
            except BaseException as error:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                stop = error if _can_be_pickled(error) else PalaestraError(f"{type(error).__name__}: {error}")
            talk.end(stop)
            code = 0
        finally:
            os._exit(code)  # nothing of the parent's may be ended twice


class _Talk:
    """What a worker tells its parent: lists of worlds, not more often than the parent needs to know; then its end."""

    def __init__(self, pipe: int) -> None:
        self._pipe, self._lock = pipe, threading.Lock()
        self._held: list[Sequence[Finished]] = []
        self._told = time.monotonic()

    def world(self, world: Sequence[Finished]) -> None:
        """A world is recorded. Called from the slots' threads."""
        with self._lock:
            self._held.append(world)
            if time.monotonic() - self._told > _TELL_EVERY:
                self._send(self._held)
                self._held, self._told = [], time.monotonic()

    def end(self, stop: Stop | BaseException) -> None:
        """The worker ends."""
        with self._lock:
            self._send(self._held)
            self._send(stop)

    def _send(self, message: Any) -> None:
        data = pickle.dumps(message)
        view = memoryview(len(data).to_bytes(4, "little") + data)
        while view:
            view = view[os.write(self._pipe, view) :]


def _merged(parts: Sequence[Sequence[Request]]) -> list[Request]:
    """The requests of several slots, in the order in which they were asked for."""
    return [request for row in itertools.zip_longest(*parts) for request in row if request is not None]


def _interrupt_once(number: int, frame: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _can_be_pickled(error: BaseException) -> bool:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True
