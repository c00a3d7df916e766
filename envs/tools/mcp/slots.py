"""An environment in a thread of its own, with one episode at a time in it."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from palaestra.episodes import EpisodeError, Part, TextPart

__all__ = ["Reply", "Said", "Slot", "Verdict", "Worker"]

T = TypeVar("T")
Said = str | Sequence[Mapping[str, Any]]
"""A turn: words as they are, or calls, each with `name` and `arguments`."""


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


class Worker:
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
        """Does this work after all that was submitted before."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        self._jobs.put((future, work, arguments))
        return future

    def end(self) -> None:
        """Ends the thread when all is done."""
        self._jobs.put(None)


@dataclass
class Slot:
    """An environment and the episode in it. Its methods run in the environment's thread.

    Attributes:
        env: The environment.
        thread: Where it lives.
        episode_id: The episode's.
        turn: How many turns were taken.
        used: When it was last called, by the monotonic clock.
        turns: Held by the call whose turn it is.
        verdict: How the episode ended; None while it runs.
    """

    env: Any
    thread: Worker
    episode_id: str = ""
    turn: int = 0
    used: float = 0.0
    turns: asyncio.Lock = field(default_factory=asyncio.Lock)
    verdict: Verdict | None = None

    def start(self, seed: int, task_id: str | None) -> tuple[str, dict[str, Any]]:
        """Begins an episode: the first observation, and info with the `tools` of this episode."""
        self.turn, self.verdict = 0, None
        observation, info = self.env.reset(seed=seed, options=None if task_id is None else {"task_id": task_id})
        return _text_of(observation), {**info, "tools": tuple(self.env.unwrapped.tools)}

    def step(self, said: Said) -> Reply:
        """Takes a turn, except for arguments that cannot even be written down."""
        base = self.env.unwrapped
        try:
            action = said if isinstance(said, str) else _written(base, said)
        except ValueError as error:  # NaN, half of a surrogate pair, a dialect without words for several calls
            return Reply((TextPart(f"These calls cannot be written down: {error}"),), True, self.now())
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
        is_error = bool(info.get("malformed", not calls)) or any(call.status != "ok" for call in calls)
        return Reply(_content(base, _text_of(observation), calls), is_error, self.now())

    def stop(self) -> Verdict:
        """Judges the episode as it stands, which ends it."""
        judge = getattr(self.env.unwrapped, "judge", None)
        try:
            outcome = None if judge is None else judge()
            self.verdict = Verdict("truncated", self.turn, outcome)
        except Exception as error:
            self.verdict = Verdict("failed", self.turn, None, EpisodeError.of(error).to_json())
        return self.verdict

    def now(self) -> Verdict:
        """How the episode stands."""
        return self.verdict or Verdict("running", self.turn)


def _text_of(observation: Any) -> str:
    return str(observation.get("text", "")) if isinstance(observation, Mapping) else str(observation)


def _written(base: Any, calls: Sequence[Mapping[str, Any]]) -> str:
    if len(calls) == 1:
        return str(base.say(calls[0]["name"], **calls[0]["arguments"]))
    if not hasattr(base, "render_calls"):
        raise ValueError("This environment takes one call a turn.")
    return str(base.render_calls(calls)[0])


def _content(base: Any, observation: str, calls: Sequence[Any]) -> tuple[Part, ...]:
    """The result of the one call, bare, where the observation is that and nothing more; else the observation."""
    results = [call.result for call in calls if call.result is not None]
    if len(calls) == len(results) == 1 and observation == base.dialect.wrap(results[0].text):
        return tuple(results[0].content)
    pictures = [part for result in results for part in result.content if not isinstance(part, TextPart)]
    return (TextPart(observation), *pictures)
