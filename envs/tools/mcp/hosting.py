"""Many episodes of one environment at once, each known by its id: what an MCP server of ours serves."""

from __future__ import annotations

import asyncio
import queue
import secrets
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from palaestra.episodes import EpisodeError, Part, TextPart
from palaestra.errors import ConfigError, PalaestraError

__all__ = ["EpisodeHost", "Refused", "Reply", "Verdict"]

_REMEMBERED = 10_000
_ID_CHARS = 64
_CLOSE_SECONDS = 5.0

T = TypeVar("T")


class Refused(Exception):
    """What was asked cannot be done; the message, for the client, says why and what can be."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an episode stands or has ended.

    Attributes:
        status: `running`, `terminated`, `truncated`, `failed`, or `dropped` where nobody came back to it in time.
        turn: How many turns were taken.
        outcome: The verifier's judgement in [0, 1]; None while it runs, and where it has failed or was dropped.
        error: Why it has failed, as `info["error"]` says it.
    """

    status: str
    turn: int
    outcome: float | None = None
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call gave.

    Attributes:
        content: Texts and pictures.
        is_error: Whether the call could not be done.
        verdict: How the episode stands after it.
    """

    content: tuple[Part, ...]
    is_error: bool
    verdict: Verdict


class _Worker:
    """A thread that does one thing after another. One that hangs does not hold up the end of the process."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None]
        self._jobs = queue.SimpleQueue()
        threading.Thread(target=self._run, name="palaestra-episode", daemon=True).start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, work, arguments = job
            try:
                future.set_result(work(*arguments))
            except BaseException as error:
                future.set_exception(error)

    def submit(self, work: Callable[..., T], *arguments: Any) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        self._jobs.put((future, work, arguments))
        return future

    def end(self) -> None:
        self._jobs.put(None)


@dataclass
class _Slot:
    """An environment in a thread of its own, and the episode in it. Its methods run in that thread."""

    env: Any
    thread: _Worker
    episode_id: str = ""
    turn: int = 0
    used: float = 0.0
    turns: asyncio.Lock = field(default_factory=asyncio.Lock)
    verdict: Verdict | None = None

    def start(self, seed: int, task_id: str | None) -> tuple[str, dict[str, Any]]:
        self.turn, self.verdict = 0, None
        observation, info = self.env.reset(seed=seed, options=None if task_id is None else {"task_id": task_id})
        return _text_of(observation), info

    def step(self, tool: str, arguments: Mapping[str, Any]) -> Reply:
        base = self.env.unwrapped
        try:
            action = base.say(tool, **arguments)
        except ValueError as error:  # NaN, half of a surrogate pair
            return Reply((TextPart(f"These arguments cannot be written down: {error}."),), True, self.now())
        self.turn += 1
        try:
            observation, _, terminated, truncated, info = self.env.step(action)
        except Exception as error:  # environments of other houses
            self.verdict = Verdict("failed", self.turn, None, EpisodeError.of(error).to_json())
        else:
            if terminated or truncated:
                status = str(info.get("status", "terminated" if terminated else "truncated"))
                outcome = info.get("outcome")
                self.verdict = Verdict(status, self.turn, outcome, info.get("error"))
        if self.verdict is not None and self.verdict.status == "failed":
            problem = (self.verdict.error or {}).get("message", "no cause was given")
            return Reply((TextPart(f"The episode failed by no fault of yours: {problem}"),), True, self.verdict)
        calls = info.get("calls", ())
        is_error = not calls or any(call.status != "ok" for call in calls)
        return Reply(_content(base, _text_of(observation), calls), is_error, self.now())

    def stop(self) -> Verdict:
        judge = getattr(self.env.unwrapped, "judge", None)
        try:
            outcome = None if judge is None else judge()
            self.verdict = Verdict("truncated", self.turn, outcome)
        except Exception as error:
            self.verdict = Verdict("failed", self.turn, None, EpisodeError.of(error).to_json())
        return self.verdict

    def now(self) -> Verdict:
        return self.verdict or Verdict("running", self.turn)


def _text_of(observation: Any) -> str:
    return str(observation.get("text", "")) if isinstance(observation, Mapping) else str(observation)


def _content(base: Any, observation: str, calls: Any) -> tuple[Part, ...]:
    """The result of the one call, bare, where the observation is that and nothing more; else the observation."""
    if len(calls) == 1 and calls[0].result is not None:
        result = calls[0].result
        if observation == base.dialect.wrap(result.text):
            return tuple(result.content)
        return (TextPart(observation), *(part for part in result.content if not isinstance(part, TextPart)))
    return (TextPart(observation),)


class EpisodeHost:
    """Runs episodes by their ids. Its coroutines belong to one event loop; environments work in threads.

    Args:
        make: Makes an environment; called in the thread in which it then lives.
        max_episodes: The most episodes at once, at least 1.
        idle_seconds: An episode that nobody has called for so long makes room for others, above 0.
        call_seconds: Time for each reset and each call, above 0. An episode that overruns has failed; its thread
            cannot be stopped and counts as an episode until it comes back.

    Raises:
        ConfigError: A limit is out of range.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        *,
        max_episodes: int = 64,
        idle_seconds: float = 900.0,
        call_seconds: float = 120.0,
    ) -> None:
        if max_episodes < 1:
            raise ConfigError(f"max_episodes is {max_episodes}; it must be at least 1.")
        for name, value in {"idle_seconds": idle_seconds, "call_seconds": call_seconds}.items():
            if not 0 < value < float("inf"):
                raise ConfigError(f"{name} is {value}; it must be a number of seconds above 0.")
        self._make, self.max_episodes = make, max_episodes
        self.idle_seconds, self.call_seconds = idle_seconds, call_seconds
        self._running: dict[str, _Slot] = {}
        self._free: list[_Slot] = []
        self._ended: dict[str, Verdict] = {}
        self._starting: set[str] = set()
        self._busy = 0  # slots that are being made, started, or do not come back
        self._work: set[asyncio.Task[Any]] = set()

    def prepare(self) -> Any:
        """Makes the first environment, so that what is wrong with it is said before anything is served.

        Returns:
            The environment, to look at.
        """
        slot = _Slot(None, _Worker())
        slot.thread.submit(self._fill, slot).result()
        self._free.append(slot)
        return slot.env

    @property
    def count(self) -> int:
        """How many episodes are running."""
        return len(self._running)

    async def reset(
        self, *, task_id: str | None = None, seed: int | None = None, episode_id: str | None = None
    ) -> tuple[str, str, dict[str, Any]]:
        """Starts an episode.

        Args:
            task_id: The task; one drawn by the seed if None.
            seed: Of all the episode's randomness, at least 0; a fresh one if None.
            episode_id: What it is to be called; a random name if None.

        Returns:
            Its id, the first observation, and info.

        Raises:
            Refused: There is no room, no such task, or the id is taken.
        """
        if episode_id is not None and any(episode_id in ids for ids in (self._running, self._ended, self._starting)):
            raise Refused(f"There is already an episode '{episode_id}'; choose another id, or leave it out.")
        name, seed = episode_id or secrets.token_hex(8), secrets.randbits(31) if seed is None else seed
        self._starting.add(name)
        return await self._to_the_end(self._start(task_id, seed, name))

    async def call(self, episode_id: str, tool: str, arguments: Mapping[str, Any]) -> Reply:
        """Calls a tool in an episode; takes a turn. Calls in one episode run one after another.

        Raises:
            Refused: There is no such running episode.
        """
        return await self._to_the_end(self._step(episode_id, tool, arguments))

    async def finish(self, episode_id: str) -> Verdict:
        """Ends an episode that still runs, judged as it stands; of one that has ended, how it did.

        Raises:
            Refused: There was no such episode.
        """
        if episode_id in self._ended:
            return self._ended[episode_id]
        return await self._to_the_end(self._stop(episode_id))

    async def close(self) -> None:
        """Ends all episodes and closes their environments, as far as they come back."""
        if self._work:
            await asyncio.wait(set(self._work), timeout=_CLOSE_SECONDS)
        for slot in (*self._running.values(), *self._free):
            await self._discard(slot)
        self._running, self._free = {}, []

    # Each of these runs to its end, also where the client goes away ------------------------------------------------

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return await asyncio.shield(task)

    async def _start(self, task_id: str | None, seed: int, episode_id: str) -> tuple[str, str, dict[str, Any]]:
        try:
            slot, observation, info = await self._started(task_id, seed, episode_id)
            self._running[episode_id] = slot
        finally:
            self._starting.discard(episode_id)
        return episode_id, observation, info

    async def _started(self, task_id: str | None, seed: int, episode_id: str) -> tuple[_Slot, str, dict[str, Any]]:
        self._sweep()
        if len(self._running) + self._busy >= self.max_episodes:
            raise Refused(
                f"{len(self._running) + self._busy} episodes are running, and this server holds {self.max_episodes}. "
                f"Finish one first; those that nobody calls are dropped after {self.idle_seconds:g} s."
            )
        self._busy += 1
        slot = None
        try:
            slot = self._free.pop() if self._free else await self._new_slot()
            slot.episode_id, slot.used = episode_id, time.monotonic()
            observation, info = await self._within(slot, slot.start, seed, task_id)
            return slot, observation, info
        except TimeoutError:
            raise Refused(f"The environment did not start within {self.call_seconds:g} s.") from None
        except PalaestraError as error:
            if slot is not None:
                self._free.append(slot)
            raise Refused(str(error)) from error
        except Exception as error:
            if slot is not None:
                await self._discard(slot)
            raise Refused(f"The environment did not start: {type(error).__name__}: {error}") from error
        finally:
            self._busy -= 1

    async def _step(self, episode_id: str, tool: str, arguments: Mapping[str, Any]) -> Reply:
        slot = self._slot(episode_id)
        async with slot.turns:
            self._slot(episode_id)  # it may have ended while this call waited for its turn
            try:
                reply = await self._within(slot, slot.step, tool, arguments)
            except TimeoutError:
                message = f"The environment gave no answer within {self.call_seconds:g} s."
                error = EpisodeError("environment_timeout", "unattributed", True, message).to_json()
                verdict = Verdict("failed", slot.turn, None, error)
                self._end(slot, verdict)
                return Reply((TextPart(f"The episode failed by no fault of yours: {message}"),), True, verdict)
            slot.used = time.monotonic()
            if reply.verdict.status != "running":
                self._end(slot, reply.verdict)
                self._free.append(slot)
            return reply

    async def _stop(self, episode_id: str) -> Verdict:
        slot = self._slot(episode_id)
        async with slot.turns:
            if episode_id in self._ended:
                return self._ended[episode_id]
            try:
                verdict = await self._within(slot, slot.stop)
            except TimeoutError:
                message = f"The environment could not be judged within {self.call_seconds:g} s."
                error = EpisodeError("environment_timeout", "unattributed", True, message).to_json()
                verdict = Verdict("failed", slot.turn, None, error)
            else:
                self._free.append(slot)
            self._end(slot, verdict)
            return verdict

    def _slot(self, episode_id: str) -> _Slot:
        slot = self._running.get(episode_id)
        if slot is not None:
            return slot
        shown = episode_id if len(episode_id) <= _ID_CHARS else f"{episode_id[:_ID_CHARS]}..."
        if episode_id in self._ended:
            raise Refused(f"The episode '{shown}' has ended ({self._ended[episode_id].status}). Start another: reset.")
        raise Refused(f"There is no episode '{shown}'. Start one with the tool reset; it gives the id.")

    def _end(self, slot: _Slot, verdict: Verdict) -> None:
        self._running.pop(slot.episode_id, None)
        self._ended[slot.episode_id] = verdict
        while len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def _sweep(self) -> None:
        """Drops the episodes that nobody has called for too long."""
        late = time.monotonic() - self.idle_seconds
        for slot in [slot for slot in self._running.values() if slot.used < late and not slot.turns.locked()]:
            self._end(slot, Verdict("dropped", slot.turn))
            self._free.append(slot)

    # Threads -------------------------------------------------------------------------------------------------------

    async def _new_slot(self) -> _Slot:
        slot = _Slot(None, _Worker())
        await self._within(slot, self._fill, slot)
        return slot

    def _fill(self, slot: _Slot) -> None:
        slot.env = self._make()

    async def _within(self, slot: _Slot, work: Callable[..., T], *arguments: Any) -> T:
        """What the work gives, in the slot's thread; TimeoutError where it takes too long, and the slot is lost."""
        future = asyncio.wrap_future(slot.thread.submit(work, *arguments))
        done, _ = await asyncio.wait({future}, timeout=self.call_seconds)
        if done:
            return future.result()
        self._busy += 1
        rest = asyncio.get_running_loop().create_task(self._abandon(slot, future))
        self._work.add(rest)
        rest.add_done_callback(self._work.discard)
        raise TimeoutError

    async def _abandon(self, slot: _Slot, future: asyncio.Future[Any]) -> None:
        await asyncio.wait({future})
        future.exception()  # looked at, so that nobody complains of an error that nobody saw
        self._busy -= 1
        await self._discard(slot)

    async def _discard(self, slot: _Slot) -> None:
        if slot.env is not None:
            await asyncio.wait({asyncio.wrap_future(slot.thread.submit(slot.env.close))}, timeout=_CLOSE_SECONDS)
        slot.thread.end()
