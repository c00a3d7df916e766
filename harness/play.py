"""Plays one world from reset to its end, in the calling thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from palaestra.agents.base import Action, Agent, View
from palaestra.episodes import Episode, EpisodeError, EpisodeStatus, Turn
from palaestra.errors import (
    BudgetExceeded,
    EnvironmentUnavailable,
    EpisodeFailure,
    InvalidActionError,
    PalaestraError,
)
from palaestra.harness.schedule import Request, seed_of
from palaestra.harness.worlds import ONLY_AGENT, World, default_messages
from palaestra.tasks import Task

__all__ = ["Abandoned", "Ask", "Play", "Scoring", "Watch", "nothing_of"]

Ask = Callable[[Sequence[View]], Sequence[Action]]
"""Asks the agent for its next action in each of the views, and waits for all of them."""

_HIDDEN = frozenset({"calls", "privileged"})  # recorded elsewhere


class Abandoned(Exception):
    """Somebody else has ended this world: it took too long, or the run stops."""


@dataclass(slots=True)
class Watch:
    """What a supervisor looks at to see whether a world hangs.

    Attributes:
        doing: `reset` or `step` while the environment works, else "".
        since: When it began, by `time.monotonic`.
        abandoned: Set by the supervisor; the world then ends without a result.
    """

    doing: str = ""
    since: float = 0.0
    abandoned: bool = False


class Scoring(Protocol):
    """Rewards of a run, for one slot."""

    def begin(
        self,
        agents: Sequence[str],
        episode_ids: Sequence[str],
        observations: Sequence[Any],
        privileged: Sequence[Mapping[str, Any]],
        fresh: bool,
    ) -> None:
        """New episodes begin; `fresh` says that a new world does, and not only more of its agents."""
        ...

    def step(self, agents: Sequence[str], before: Sequence[Any], turns: Sequence[Turn], after: Sequence[Any]) -> None:
        """Scores a step of the named agents; the scores wait for `finish`."""
        ...

    def finish(self, episodes: Sequence[Episode]) -> list[Episode]:
        """The episodes with their rewards and terms."""
        ...


@dataclass(slots=True)
class _Track:
    """One agent's side of a world in progress."""

    agent: str
    episode_id: str
    observations: list[Any]
    info: Mapping[str, Any]
    last_info: Mapping[str, Any]
    task: Task | None
    privileged: Mapping[str, Any]
    policy: Any = None
    turns: list[Turn] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)
    outcome: float | None = None
    ended: bool = False


class Play:
    """One world being played.

    Args:
        world: It belongs to this thread until `run` returns.
        request: What to play.
        agent: Who plays, all sides of it.
        ask: How a model is asked; scripted agents are called directly.
        env_id: For the record.
        env_kwargs: For the record.
        run_seed: Seeds policies and sampling.
        scoring: Rewards; by default a turn's reward is the environment's, under the term `env`.
        max_turns: Cuts every episode off after so many turns.
        watch: Kept up to date for a supervisor.
    """

    def __init__(
        self,
        world: World,
        request: Request,
        agent: Agent,
        ask: Ask,
        *,
        env_id: str,
        env_kwargs: Mapping[str, Any],
        run_seed: int,
        scoring: Scoring | None = None,
        max_turns: int | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.world, self.request, self.agent, self.ask = world, request, agent, ask
        self.env_id, self.env_kwargs, self.run_seed = env_id, env_kwargs, run_seed
        self.scoring, self.max_turns, self.watch = scoring, max_turns, watch or Watch()
        self.tracks: dict[str, _Track] = {}
        self.timing: dict[str, Any] = {"reset_us": 0, "agent_us": [], "env_us": []}
        self.broken = False  # whether the environment raised, and should not be used again

    def run(self) -> list[Episode]:
        """Plays to the end.

        Returns:
            One episode an agent, in the order of the world's agents; all failed where anything failed.

        Raises:
            Abandoned: See `Watch`.
            BudgetExceeded: The agent has no more tokens or money.
            PalaestraError: The request cannot be met by this environment (unknown task, unknown policy).
        """
        try:
            self._reset()
            while not self._over():
                self._turn()
            return self._episodes()
        except EpisodeFailure as failure:
            return self.failed(EpisodeError.of(failure))
        finally:
            if self.agent.policy is None:
                for track in self.tracks.values():
                    self.agent.finish(track.episode_id)

    def failed(self, error: EpisodeError) -> list[Episode]:
        """What there is so far as failed episodes. May be called from another thread while `run` hangs."""
        tracks = list(self.tracks.values())
        if not tracks:
            return [nothing_of(self.request, error, self.env_id, self.env_kwargs)]
        return [self._episode(track, len(tracks), error) for track in tracks]

    # The environment -------------------------------------------------------------------------------------------

    def _guarded(self, doing: str, function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
        watch = self.watch
        watch.since = start = time.monotonic()
        watch.doing = doing
        try:
            result = function(*args)
        finally:
            watch.doing = ""
        if watch.abandoned:
            raise Abandoned
        return result, time.monotonic() - start

    def _reset(self) -> None:
        request = self.request
        options = None if request.task_id is None else {"task_id": request.task_id}
        try:
            begun, seconds = self._guarded("reset", self.world.reset, request.seed, options)
        except EnvironmentUnavailable as error:
            raise EpisodeFailure("environment_unavailable", str(error)) from error
        except (Abandoned, PalaestraError):
            raise
        except Exception as error:
            self.broken = True
            raise _environment_error(error) from error
        self.timing["reset_us"] = int(seconds * 1e6)
        self._enter(begun, single=len(begun) == 1)

    def _enter(self, begun: Mapping[str, tuple[Any, Mapping[str, Any]]], single: bool) -> None:
        """Begins the episodes of agents that were not there before."""
        scripted = self.agent.policy
        for agent, (observation, info) in begun.items():
            world_id = self.request.world_id
            episode_id = world_id if single else f"{world_id}/{agent}"
            task = self.world.task(agent)
            track = _Track(
                agent=agent,
                episode_id=episode_id,
                observations=[observation],
                info={key: value for key, value in info.items() if key not in _HIDDEN},
                last_info=info,
                task=None if task is None else replace(task, truth={}),
                privileged=self.world.privileged(agent),
            )
            if scripted is not None:
                rng = np.random.default_rng(seed_of(self.run_seed, episode_id, "policy"))
                track.policy = self.world.policy(scripted, agent, rng)
            self.tracks[agent] = track
        if self.scoring is not None:
            started = [self.tracks[agent] for agent in begun]
            self.scoring.begin(
                [track.agent for track in started],
                [track.episode_id for track in started],
                [track.observations[0] for track in started],
                [track.privileged for track in started],
                fresh=len(started) == len(self.tracks),
            )

    # The agent -------------------------------------------------------------------------------------------------

    def _act(self, acting: Sequence[_Track]) -> Sequence[Action]:
        try:
            if self.agent.policy is not None:
                return [Action(track.policy(track.observations[-1])) for track in acting]
            return self.ask([self._view(track) for track in acting])
        except (Abandoned, EpisodeFailure, BudgetExceeded):
            raise
        except Exception as error:
            message = f"The agent '{self.agent.name}' raised {type(error).__name__}: {error}"
            raise EpisodeFailure("agent_error", message, cause="unattributed", retryable=False) from error

    def _view(self, track: _Track) -> View:
        talk = dict(self.world.dialogue(track.agent))
        if "messages" not in talk:
            talk["messages"] = default_messages(track.observations, [turn.action for turn in track.turns])
        t = len(track.turns)
        return View(
            observation=track.observations[-1],
            messages=talk["messages"],
            tools=talk.get("tools", ()),
            action_space=self.world.action_space(track.agent),
            t=t,
            seed=seed_of(self.run_seed, track.episode_id, self.request.attempt, t),
            episode_id=track.episode_id,
            max_turns=talk.get("max_turns"),
            stop=talk.get("stop", ()),
            info={key: value for key, value in track.last_info.items() if key != "privileged"},
            memory=track.memory,
        )

    # The loop --------------------------------------------------------------------------------------------------

    def _over(self) -> bool:
        running = [track for track in self.tracks.values() if not track.ended]
        if running and self.max_turns is not None and len(running[0].turns) >= self.max_turns:
            for track in running:
                self._cut_off(track)
            return True
        return not running

    def _cut_off(self, track: _Track) -> None:
        """Something outside the environment ends the episode: the verifier judges the state as it stands."""
        track.ended = True
        track.turns[-1] = replace(track.turns[-1], truncated=True)
        track.outcome = self._judged(track.agent)

    def _turn(self) -> None:
        acting = [track for track in self.tracks.values() if not track.ended]
        start = time.monotonic()
        actions = self._act(acting)
        self.timing["agent_us"].append(int((time.monotonic() - start) * 1e6))
        if self.watch.abandoned:
            raise Abandoned
        chosen = {track.agent: action.value for track, action in zip(acting, actions, strict=True)}
        try:
            stepped, seconds = self._guarded("step", self.world.step, chosen)
        except Abandoned:
            raise
        except Exception as error:
            self.broken = True
            if self._refused(acting, chosen, error):
                return
            failure = error if isinstance(error, EpisodeFailure) else _environment_error(error)
            info = {"status": "failed", "error": EpisodeError.of(failure).to_json()}
            for track, action in zip(acting, actions, strict=True):
                self._note(track, action, (track.observations[-1], 0.0, False, True, info))
            raise failure from error
        self.timing["env_us"].append(int(seconds * 1e6))
        for track, action in zip(acting, actions, strict=True):
            if track.agent in stepped:
                self._note(track, action, stepped[track.agent])
            else:
                track.ended = True
        if self.scoring is not None:
            there = [track for track in acting if track.agent in stepped]
            self.scoring.step(
                [track.agent for track in there],
                [track.observations[-2] for track in there],
                [track.turns[-1] for track in there],
                [track.observations[-1] for track in there],
            )
        for track in acting:
            if track.last_info.get("status") == "failed":
                raise _reported(track.last_info.get("error") or {})
        if len(stepped) > len(acting):
            newcomers = {agent: (step[0], step[4]) for agent, step in stepped.items() if agent not in self.tracks}
            if newcomers:
                self._enter(newcomers, single=False)

    def _refused(self, acting: Sequence[_Track], chosen: Mapping[str, Any], error: Exception) -> bool:
        """Whether the step raised because of an action that cannot be done; it ends the episode and fails nothing."""
        illegal = {
            track.agent for track in acting if not self.world.action_space(track.agent).contains(chosen[track.agent])
        }
        if isinstance(error, InvalidActionError):  # the environment says so; where it does not say whose, all are meant
            illegal = illegal or set(chosen)
            self.broken = False
        if not illegal:
            return False
        for track in acting:
            wrong = track.agent in illegal
            info = {"status": "truncated", "illegal_action": f"{type(error).__name__}: {error}" if wrong else ""}
            step = (track.observations[-1], 0.0, False, True, {**info, "outcome": 0.0} if wrong else info)
            self._note(track, Action(chosen[track.agent]), step)
        return True

    def _note(self, track: _Track, action: Action, step: tuple[Any, float, bool, bool, Mapping[str, Any]]) -> None:
        observation, reward, terminated, truncated, info = step
        track.turns.append(
            Turn(
                t=len(track.turns),
                action=action.value,
                calls=tuple(info.get("calls", ())),
                reward=reward,
                terms={"env": reward},
                terminated=terminated,
                truncated=truncated,
                info={key: value for key, value in info.items() if key not in _HIDDEN},
                completion=action.completion,
            )
        )
        track.observations.append(observation)
        track.last_info = info
        if terminated or truncated:
            track.ended = True
            outcome = info.get("outcome")
            if outcome is not None:
                track.outcome = _checked(float(outcome))
            elif info.get("status") != "failed":
                track.outcome = self._judged(track.agent)

    def _judged(self, agent: str) -> float | None:
        try:
            outcome = self.world.judge(agent)
        except EpisodeFailure:
            raise
        except Exception as error:
            self.broken = True
            raise _environment_error(error) from error
        return None if outcome is None else _checked(float(outcome))

    # The record ------------------------------------------------------------------------------------------------

    def _episodes(self) -> list[Episode]:
        episodes = [self._episode(track, len(self.tracks), None) for track in self.tracks.values()]
        return episodes if self.scoring is None else self.scoring.finish(episodes)

    def _episode(self, track: _Track, world_size: int, error: EpisodeError | None) -> Episode:
        turns = list(track.turns)
        # A hanging thread may have noted a turn but not yet what followed it.
        turns = turns[: max(0, len(track.observations) - 1)]
        status: EpisodeStatus = "failed"
        if error is None:
            status = "terminated" if turns and turns[-1].terminated else "truncated"
        request = self.request
        return Episode(
            episode_id=track.episode_id,
            group_id=request.group_id if world_size == 1 else f"{request.group_id}/{track.agent}",
            env_id=self.env_id,
            env_kwargs=self.env_kwargs,
            task=track.task,
            seed=request.seed,
            attempt=request.attempt,
            agent_id=track.agent,
            world_id=request.world_id,
            world_size=world_size,
            status=status,
            observations=track.observations[: len(turns) + 1],
            turns=turns,
            outcome=None if error is not None else track.outcome,
            info=track.info,
            privileged=track.privileged,
            error=error,
        )


def nothing_of(request: Request, error: EpisodeError, env_id: str, env_kwargs: Mapping[str, Any]) -> Episode:
    """The failed episode of a request of which nothing was seen."""
    return Episode(
        episode_id=request.world_id,
        group_id=request.group_id,
        env_id=env_id,
        env_kwargs=env_kwargs,
        task=None,
        seed=request.seed,
        attempt=request.attempt,
        agent_id=ONLY_AGENT,
        world_id=request.world_id,
        status="failed",
        observations=[],
        turns=[],
        error=error,
    )


def _environment_error(error: Exception) -> EpisodeFailure:
    found = EpisodeError.of(error)
    return EpisodeFailure(found.kind, found.message, cause=found.cause, retryable=found.retryable)


def _reported(error: Mapping[str, Any]) -> EpisodeFailure:
    found = EpisodeError.of_info(error)
    return EpisodeFailure(found.kind, found.message, cause=found.cause, retryable=found.retryable)


def _checked(outcome: float) -> float:
    if not math.isfinite(outcome) or not 0.0 <= outcome <= 1.0:
        message = f"The environment judged the outcome to be {outcome}; an outcome lies in [0, 1]."
        raise EpisodeFailure("bad_outcome", message, cause="unattributed", retryable=False)
    return outcome
