"""The language runner: N slots, each one thread with a world of its own, working through a run's requests."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from palaestra.agents.base import Action, Agent, View
from palaestra.episodes import Episode, EpisodeError
from palaestra.errors import BudgetExceeded, DiskFull, EpisodeFailure
from palaestra.harness.play import Abandoned, Play, Scoring, Watch, nothing_of
from palaestra.harness.schedule import Request
from palaestra.harness.worlds import World
from palaestra.rollouts import ArrayTurns

__all__ = ["Finished", "Limits", "Record", "Runner", "Stop"]

_COLLECT_AFTER = 20_000  # objects; Python's own number is 700
Record = Callable[[Sequence[Episode], Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a run. Times in seconds; None for no bound.

    Attributes:
        step: One step of the environment.
        reset: Making the environment, and each reset.
        model: One answer of a model.
        retries: How often a failed episode is tried again, where its failure is retryable.
        turns: Turns of an episode, beside the environment's own horizon.
        time: The run.
        tokens: Tokens that models read and write in the run.
    """

    step: float | None = 120.0
    reset: float | None = 600.0
    model: float | None = 600.0
    retries: int = 1
    turns: int | None = None
    time: float | None = None
    tokens: int | None = None

    def may_retry(self, attempt: int) -> bool:
        """Whether an episode that failed at this attempt, retryably, is tried once more."""
        return attempt % (self.retries + 1) < self.retries


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ended.

    Attributes:
        reason: `finished`, `budget`, `disk` or `interrupted`.
        message: For a person; "" where the run finished.
    """

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """What progress is told of a recorded episode; for the fields see `Episode`."""

    episode_id: str
    world_id: str
    attempt: int
    status: str
    outcome: float | None
    episode_return: float
    error: EpisodeError | None

    @classmethod
    def of(cls, episode: Episode) -> Finished:
        """The gist of an episode."""
        turns = episode.turns
        paid = float(turns.rewards.sum()) if isinstance(turns, ArrayTurns) else episode.episode_return
        where = (episode.episode_id, episode.world_id, episode.attempt, episode.status)
        return cls(*where, episode.outcome, paid, episode.error)

    @property
    def valid(self) -> bool:
        """Whether it did not fail."""
        return self.error is None


@dataclass(slots=True, eq=False)
class _Slot:
    watch: Watch
    thread: threading.Thread | None = None
    play: Play | None = None
    request: Request | None = None


class Runner:
    """Plays requests and hands each world's episodes to `record`.

    A scripted agent runs wholly in the slots' threads. A model is asked from one event loop that all slots share, so
    it can batch. A slot whose environment does not come back in time is left behind (a thread cannot be killed): its
    world is recorded as failed with the kind `step_timeout` or `reset_timeout`, and a new slot takes its place.

    Args:
        make_world: Makes a world; called in the thread that will use it.
        agent: Who plays.
        requests: What to play, in order.
        record: Called from the slots' threads with each world's episodes and wall times.
        slots: How many worlds are played at once.
        env_id: For the record.
        env_kwargs: For the record.
        run_seed: Seeds policies and sampling.
        limits: What bounds the run.
        make_scoring: Makes the rewards of a slot.
    """

    def __init__(
        self,
        make_world: Callable[[], World],
        agent: Agent,
        requests: Iterable[Request],
        record: Record,
        *,
        slots: int,
        env_id: str,
        env_kwargs: Mapping[str, Any],
        run_seed: int,
        limits: Limits | None = None,
        make_scoring: Callable[[World], Scoring] | None = None,
    ) -> None:
        self.make_world, self.agent, self.record, self.slots = make_world, agent, record, slots
        self.env_id, self.env_kwargs, self.run_seed = env_id, env_kwargs, run_seed
        self.limits = limits or Limits()
        self.make_scoring = make_scoring
        self._waiting = deque(requests)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._active: list[_Slot] = []
        self._stop: Stop | None = None
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: set[concurrent.futures.Future[Action]] = set()
        self._tokens = 0

    def run(self) -> Stop:
        """Plays until nothing is left to do, a budget is spent, or somebody interrupts.

        Returns:
            Why it ended.

        Raises:
            PalaestraError: The environment cannot be made, or a request cannot be met.
        """
        started = time.monotonic()
        loop_thread = self._start_loop() if self.agent.policy is None else None
        # Records are many small objects without circles; looking for circles among them costs a tenth of a quick run.
        thresholds = gc.get_threshold()
        gc.set_threshold(max(_COLLECT_AFTER, thresholds[0]) if thresholds[0] else 0, *thresholds[1:])
        try:
            for _ in range(min(self.slots, len(self._waiting))):
                self._start_slot()
            while self._active and self._stop is None and self._error is None:
                self._wake.wait(0.05)
                self._wake.clear()
                self._supervise()
                if self.limits.time is not None and time.monotonic() - started > self.limits.time:
                    self._end(Stop("budget", f"The time of {self.limits.time:g} s is spent."))
        except KeyboardInterrupt:
            self._end(Stop("interrupted", "Interrupted."))
        finally:
            gc.set_threshold(*thresholds)
            self._wind_up()
            if loop_thread is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                loop_thread.join(5.0)
        if self._error is not None:
            raise self._error
        return self._stop or Stop("finished")

    # Slots -----------------------------------------------------------------------------------------------------

    def _start_slot(self) -> None:
        slot = _Slot(Watch())
        slot.thread = threading.Thread(target=self._work, args=(slot,), name="palaestra-slot", daemon=True)
        self._active.append(slot)
        slot.thread.start()

    def _work(self, slot: _Slot) -> None:
        world: World | None = None
        scoring: Scoring | None = None
        try:
            while (request := self._next()) is not None:
                slot.request, slot.play = request, None
                if world is None:
                    slot.watch.since, slot.watch.doing = time.monotonic(), "reset"
                    world = self.make_world()
                    slot.watch.doing = ""
                    scoring = None if self.make_scoring is None else self.make_scoring(world)
                world = self._play(slot, world, request, scoring)
            slot.request, slot.play = None, None
            if world is not None:
                _close(slot, world)
        except Abandoned:
            return  # nobody waits for it any more
        except DiskFull as error:
            self._end(Stop("disk", str(error)))
        except BudgetExceeded as error:
            self._end(Stop("budget", str(error)))
        except BaseException as error:
            self._error = self._error or error
        finally:
            with self._lock:
                if slot in self._active:
                    self._active.remove(slot)
            self._wake.set()

    def _next(self) -> Request | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting and self._stop is None and self._error is None else None

    def _play(self, slot: _Slot, world: World, request: Request, scoring: Scoring | None) -> World | None:
        """Plays one request; returns the world, or None where it is better made anew."""
        begun = time.monotonic()
        play = slot.play = Play(
            world,
            request,
            self.agent,
            self._ask,
            env_id=self.env_id,
            env_kwargs=self.env_kwargs,
            run_seed=self.run_seed,
            scoring=scoring,
            max_turns=self.limits.turns,
            watch=slot.watch,
        )
        episodes = play.run()
        with self._lock:
            if slot.watch.abandoned:
                raise Abandoned
            slot.play = None  # from here on it is this thread's to record
        self._keep(episodes, request, {"seconds": round(time.monotonic() - begun, 6), **play.timing})
        if not play.broken:
            return world
        slot.request = None
        _close(slot, world)
        return None

    def _keep(self, episodes: Sequence[Episode], request: Request, timing: Mapping[str, Any]) -> None:
        self.record(episodes, timing)
        error = episodes[0].error
        if error is not None and error.retryable and self.limits.may_retry(request.attempt):
            with self._lock:
                self._waiting.append(replace(request, attempt=request.attempt + 1))
        if self.limits.tokens is not None:
            with self._lock:
                self._tokens += sum(map(_tokens_of, episodes))
                if self._tokens >= self.limits.tokens and self._stop is None:
                    self._stop = Stop("budget", f"The {self.limits.tokens:,} tokens are spent.")

    # Supervision -----------------------------------------------------------------------------------------------

    def _supervise(self) -> None:
        """Leaves slots behind whose environment does not come back, and fills their places."""
        now = time.monotonic()
        for slot in list(self._active):
            doing = slot.watch.doing
            limit = {"step": self.limits.step, "reset": self.limits.reset}.get(doing)
            if limit is None or now - slot.watch.since <= limit:
                continue
            with self._lock:
                if slot.watch.doing != doing or slot not in self._active:
                    continue
                slot.watch.abandoned = True
                self._active.remove(slot)
            self._give_up(slot, doing, limit)

    def _give_up(self, slot: _Slot, doing: str, limit: float) -> None:
        what = f"The environment's {doing}" + ("" if slot.play is not None else ", its making included,")
        error = EpisodeError(f"{doing}_timeout", "unattributed", True, f"{what} took longer than {limit:g} s.")
        request = slot.request
        if request is not None:
            play = slot.play
            try:
                if play is None:
                    episodes, timing = [nothing_of(request, error, self.env_id, self.env_kwargs)], {}
                else:
                    episodes, timing = play.failed(error), play.timing
                self._keep(episodes, request, {"seconds": limit, **timing})
            except DiskFull as full:
                self._end(Stop("disk", str(full)))
                return
        if self._waiting:
            self._start_slot()

    def _end(self, stop: Stop) -> None:
        with self._lock:
            self._stop = self._stop or stop
        self._wake.set()

    def _wind_up(self) -> None:
        """After a stop: what is under way is left (a resumed run plays it again); slots end after their step."""
        if self._stop is not None or self._error is not None:
            with self._lock:
                slots = list(self._active)
                for slot in slots:
                    slot.watch.abandoned = True
                asked = list(self._asked)
            for future in asked:
                future.cancel()
            deadline = time.monotonic() + 5.0
            for slot in slots:
                if slot.thread is not None:
                    slot.thread.join(max(0.0, deadline - time.monotonic()))

    # Models ----------------------------------------------------------------------------------------------------

    def _start_loop(self) -> threading.Thread:
        loop = self._loop = asyncio.new_event_loop()

        def work() -> None:
            asyncio.set_event_loop(loop)
            try:
                loop.run_forever()
                tasks = asyncio.all_tasks(loop)
                for task in tasks:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
                loop.run_until_complete(loop.shutdown_asyncgens())
            finally:
                loop.close()

        thread = threading.Thread(target=work, name="palaestra-agents", daemon=True)
        thread.start()
        return thread

    def _submit(self, views: Sequence[View]) -> Sequence[concurrent.futures.Future[Action]]:
        assert self._loop is not None
        return [asyncio.run_coroutine_threadsafe(self.agent.act(view), self._loop) for view in views]

    def _ask(self, views: Sequence[View]) -> Sequence[Action]:
        """Asks for all views at once and waits; the deadline is for all of them."""
        limit = self.limits.model
        deadline = None if limit is None else time.monotonic() + limit
        futures = self._submit(views)
        with self._lock:
            self._asked.update(futures)
            stopping = self._stop is not None or self._error is not None
        try:
            if stopping:
                raise Abandoned
            return [
                future.result(None if deadline is None else max(0.0, deadline - time.monotonic())) for future in futures
            ]
        except concurrent.futures.CancelledError:
            raise Abandoned from None
        except TimeoutError as error:
            message = f"The model gave no answer within {limit:g} s."
            raise EpisodeFailure("model_timeout", message) from error
        finally:
            with self._lock:
                self._asked.difference_update(futures)
            for future in futures:
                future.cancel()


def _close(slot: _Slot, world: World) -> None:
    slot.watch.since, slot.watch.doing = time.monotonic(), "step"
    with contextlib.suppress(Exception):  # what it held is lost either way; the episodes are recorded
        world.close()
    slot.watch.doing = ""


def _tokens_of(episode: Episode) -> int:
    samples = [turn.completion for turn in episode.turns if turn.completion is not None]
    return sum(len(sample.context_ids) + len(sample.token_ids) for sample in samples)
