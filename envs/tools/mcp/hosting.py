"""Many episodes of one environment at once, each known by its id: what an MCP server of ours serves."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from palaestra.envs.tools.mcp.slots import Reply, Said, Slot, Verdict, Worker
from palaestra.episodes import EpisodeError, TextPart
from palaestra.errors import ConfigError, PalaestraError

__all__ = ["EpisodeHost", "Refused"]

_REMEMBERED = 10_000
_ID_CHARS = 64
_CLOSE_SECONDS = 5.0

T = TypeVar("T")


class Refused(Exception):
    """What was asked cannot be done; the message, for the client, says why and what can be."""


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
        self._running: dict[str, Slot] = {}
        self._free: list[Slot] = []
        self._ended: dict[str, Verdict] = {}
        self._starting: set[str] = set()
        self._busy = 0  # slots that are being made, started, or do not come back
        self._work: set[asyncio.Task[Any]] = set()

    def prepare(self) -> tuple[Any, tuple[Any, ...]]:
        """Makes the first environment, so that what is wrong with it is said before anything is served.

        Returns:
            The environment, to look at, and the tools that it had before its first episode, which it is now in.
        """

        def look(slot: Slot) -> tuple[Any, ...]:
            self._fill(slot)
            before = tuple(getattr(slot.env.unwrapped, "tools", ()))
            slot.env.reset(seed=0)
            return before

        slot = Slot(None, Worker())
        before = slot.thread.submit(look, slot).result()
        self._free.append(slot)
        return slot.env, before

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
            Its id, the first observation, and info with the `tools` of this episode in OpenAI's schema.

        Raises:
            Refused: There is no room, no such task, or the id is taken.
        """
        if episode_id is not None and any(episode_id in ids for ids in (self._running, self._ended, self._starting)):
            raise Refused(f"There is already an episode '{episode_id}'; choose another id, or leave it out.")
        name, seed = episode_id or secrets.token_hex(8), secrets.randbits(31) if seed is None else seed
        self._starting.add(name)
        return await self._to_the_end(self._start(task_id, seed, name))

    async def take_turn(self, episode_id: str, said: Said) -> Reply:
        """Takes a turn in an episode. Turns of one episode run one after another.

        Raises:
            Refused: There is no such running episode.
        """
        return await self._to_the_end(self._step(episode_id, said))

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

    async def _started(self, task_id: str | None, seed: int, episode_id: str) -> tuple[Slot, str, dict[str, Any]]:
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

    async def _step(self, episode_id: str, said: Said) -> Reply:
        slot = self._slot(episode_id)
        async with slot.turns:
            self._slot(episode_id)  # it may have ended while this call waited for its turn
            try:
                reply = await self._within(slot, slot.step, said)
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

    def _slot(self, episode_id: str) -> Slot:
        slot = self._running.get(episode_id)
        if slot is not None:
            return slot
        shown = episode_id if len(episode_id) <= _ID_CHARS else f"{episode_id[:_ID_CHARS]}..."
        if episode_id in self._ended:
            raise Refused(f"The episode '{shown}' has ended ({self._ended[episode_id].status}). Start another: reset.")
        raise Refused(f"There is no episode '{shown}'. Start one with the tool reset; it gives the id.")

    def _end(self, slot: Slot, verdict: Verdict) -> None:
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

    async def _new_slot(self) -> Slot:
        slot = Slot(None, Worker())
        await self._within(slot, self._fill, slot)
        return slot

    def _fill(self, slot: Slot) -> None:
        slot.env = self._make()

    async def _within(self, slot: Slot, work: Callable[..., T], *arguments: Any) -> T:
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

    async def _abandon(self, slot: Slot, future: asyncio.Future[Any]) -> None:
        await asyncio.wait({future})
        future.exception()  # looked at, so that nobody complains of an error that nobody saw
        self._busy -= 1
        await self._discard(slot)

    async def _discard(self, slot: Slot) -> None:
        if slot.env is not None:
            await asyncio.wait({asyncio.wrap_future(slot.thread.submit(slot.env.close))}, timeout=_CLOSE_SECONDS)
        slot.thread.end()
