"""Recorded runs of array agents: the requests of a run, played on a vector environment."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array, iterate
from numpy.typing import NDArray

from palaestra.agents.base import Agent, ArrayPolicy
from palaestra.cutting import Cut, EpisodeCutter
from palaestra.environment import make_policy
from palaestra.episodes import Episode, EpisodeError, EpisodeStatus
from palaestra.errors import DiskFull, EnvironmentUnavailable, PalaestraError
from palaestra.harness.array_runner import ArrayRunner
from palaestra.harness.play import nothing_of
from palaestra.harness.runner import Limits, Record, Stop
from palaestra.harness.schedule import Request, seed_of
from palaestra.harness.scoring import Rewards, SlotScoring
from palaestra.harness.worlds import ONLY_AGENT
from palaestra.policies import null_action
from palaestra.rollouts import Rollout
from palaestra.tasks import Task

__all__ = ["ArrayRun", "is_array_policy"]

_STEPS = 256  # of a rollout: what is recorded, and what a learned reward is updated by, at once


def is_array_policy(agent: Any) -> bool:
    """Whether it acts on batches of arrays."""
    return hasattr(agent, "initial_state")


@dataclass(frozen=True, slots=True)
class _Begun:
    """An episode that was reset."""

    request: Request
    info: Mapping[str, Any]
    task: Task | None
    privileged: Mapping[str, Any]


class ArrayRun:
    """Plays requests on a vector environment and hands each episode to `record`.

    Every episode is reset with its own seed, and a scripted policy is made anew for every episode, so what such a
    policy does is the same at any number of slots. A step that does not come back in time, or raises, costs all
    episodes under way: they fail, retryably, and the run goes on with new environments.

    Args:
        make_env: Makes one environment.
        agent: An array policy, or an agent that is a policy of the environment.
        requests: What to play, in order.
        record: Called with each episode and its wall times.
        slots: How many environments are stepped at once.
        env_id: For the record.
        env_kwargs: For the record.
        run_seed: Seeds policies.
        limits: What bounds the run.
        rewards: Step rewards; learned ones are updated after every rollout.
        on_update: Called after each update of a learned reward.
    """

    def __init__(
        self,
        make_env: Callable[[], gym.Env[Any, Any]],
        agent: Agent | ArrayPolicy,
        requests: Iterable[Request],
        record: Record,
        *,
        slots: int,
        env_id: str,
        env_kwargs: Mapping[str, Any],
        run_seed: int,
        limits: Limits | None = None,
        rewards: Rewards | None = None,
        on_update: Callable[[], None] | None = None,
    ) -> None:
        self.make_env, self.agent, self.record, self.slots = make_env, agent, record, slots
        self.env_id, self.env_kwargs, self.run_seed = env_id, env_kwargs, run_seed
        self.limits, self.rewards, self.on_update = limits or Limits(), rewards or Rewards(), on_update
        self.waiting = deque(requests)
        self.lock = threading.Lock()

    def run(self) -> Stop:
        """Plays until nothing is left to do, the time is spent, or somebody interrupts. See `Runner.run`."""
        started = time.monotonic()
        session: _Session | None = None
        try:
            while self.waiting:
                session = _Session(self)
                session.thread.start()
                while session.thread.is_alive():
                    session.thread.join(0.05)
                    if self.limits.time is not None and time.monotonic() - started > self.limits.time:
                        session.leave()
                        return Stop("budget", f"The time of {self.limits.time:g} s is spent.")
                    limit = self.limits.step if session.stepping else self.limits.reset
                    if limit is not None and session.still_for() > limit:
                        message = f"A step of the environments took longer than {limit:g} s."
                        session.fail(EpisodeError("step_timeout", "unattributed", True, message))
                        break
                if session.error is not None:
                    raise session.error
        except DiskFull as error:
            return Stop("disk", str(error))
        except KeyboardInterrupt:
            if session is not None:
                session.leave()
            return Stop("interrupted", "Interrupted.")
        return Stop("finished")


class _Session:
    """Vector environment, runner and cutter, until all is played or something breaks. Also says what is played next."""

    def __init__(self, run: ArrayRun) -> None:
        self.run = run
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._work, name="palaestra-array", daemon=True)
        self.runner: ArrayRunner | None = None
        self.envs: SyncVectorEnv | None = None
        self.left = False
        self.cutter = EpisodeCutter()
        self._begun: dict[tuple[int, int], _Begun] = {}
        self._next: dict[int, Request] = {}
        self._ticked, self._since = -1, time.monotonic()
        self._clock = time.monotonic()

    # What the supervisor asks ----------------------------------------------------------------------------------

    @property
    def stepping(self) -> bool:
        """Whether the environments are made and reset."""
        return self.runner is not None and self.runner.ticks > 0

    def still_for(self) -> float:
        """Seconds since the last step was seen to end."""
        ticks = self.runner.ticks if self.runner is not None else -1
        now = time.monotonic()
        if ticks != self._ticked:
            self._ticked, self._since = ticks, now
        return now - self._since

    def leave(self) -> None:
        """Ends without recording what is under way."""
        with self.run.lock:
            self.left = True
        self.thread.join(1.0)

    def fail(self, error: EpisodeError) -> None:
        """Ends; what has come to its end is kept, what is under way has failed."""
        with self.run.lock:
            if self.left:
                return
            self.left = True
        if self.stepping and self.runner is not None:
            self._cut(self.runner.partial())
        under_way = [*(begun.request for begun in self._begun.values()), *self._next.values()]
        if not under_way:  # not even the first reset worked
            under_way = [self.run.waiting.popleft() for _ in range(min(self.run.slots, len(self.run.waiting)))]
        for request in under_way:
            self._keep(nothing_of(request, error, self.run.env_id, self.run.env_kwargs), request)

    # What the runner asks --------------------------------------------------------------------------------------

    def next(self, slot: int) -> tuple[int, dict[str, Any]] | None:
        """See `Starts.next`."""
        if not self.run.waiting or self.left:
            return None
        request = self._next[slot] = self.run.waiting.popleft()
        return request.seed, {} if request.task_id is None else {"task_id": request.task_id}

    def begun(self, slot: int, number: int, info: Mapping[str, Any]) -> None:
        """See `Starts.begun`."""
        assert self.envs is not None
        base: Any = self.envs.envs[slot].unwrapped
        task = getattr(base, "task", None)
        self._begun[slot, number] = _Begun(
            self._next.pop(slot),
            {key: value for key, value in info.items() if key != "privileged"},
            None if task is None else replace(task, truth={}),
            dict(base.privileged()) if hasattr(base, "privileged") else {},
        )

    def episode_of(self, slot: int) -> str | None:
        """Id of the episode that is played in the slot; None where none is."""
        found = [begun for (where, _), begun in self._begun.items() if where == slot]
        return found[-1].request.world_id if found else None

    # The work --------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        run = self.run
        try:
            envs = self.envs = SyncVectorEnv([run.make_env] * run.slots, autoreset_mode=AutoresetMode.DISABLED)
            reward = run.rewards.step
            policy: Any = run.agent if is_array_policy(run.agent) else _SlotPolicies(self, run, envs)
            seed = seed_of(run.run_seed, "policy")
            runner = self.runner = ArrayRunner(envs, policy, steps=_STEPS, seed=seed, reward=reward, starts=self)
            while not runner.idle and not self.left:
                rollout = runner.collect()
                if self.left:
                    return
                self._cut(rollout)
                self._learn(rollout)
            envs.close()
        except EnvironmentUnavailable as error:
            self.fail(EpisodeError("environment_unavailable", "infrastructure", True, str(error)))
        except PalaestraError as error:
            self.error = error
        except Exception as error:
            found = EpisodeError.of(error)
            self.fail(EpisodeError(found.kind, found.cause, True, found.message))

    def _cut(self, rollout: Rollout) -> None:
        for cut in self.cutter.cut(rollout):
            begun = self._begun.pop((cut.slot, cut.number))
            self._keep(self._episode(cut, begun), begun.request)

    def _learn(self, rollout: Rollout) -> None:
        reward = self.run.rewards.step
        if reward is not None and reward.scope == "learned":
            reward.update(rollout)
            if self.run.on_update is not None:
                self.run.on_update()

    def _episode(self, cut: Cut, begun: _Begun) -> Episode:
        status: EpisodeStatus = "failed"
        if cut.error is None:
            status = "terminated" if cut.turns.terminated[-1] else "truncated"
        turns = cut.turns
        turns.infos[len(turns) - 1] = {key: value for key, value in cut.info.items() if key != "privileged"}
        outcome = cut.info.get("outcome")
        request = begun.request
        episode = Episode(
            episode_id=request.world_id,
            group_id=request.group_id,
            env_id=self.run.env_id,
            env_kwargs=self.run.env_kwargs,
            task=begun.task,
            seed=request.seed,
            attempt=request.attempt,
            agent_id=ONLY_AGENT,
            world_id=request.world_id,
            status=status,
            observations=cast(Sequence[Any], cut.observations),
            turns=turns,
            outcome=None if cut.error is not None or outcome is None else float(outcome),
            info=begun.info,
            privileged=begun.privileged,
            error=cut.error,
        )
        if self.run.rewards.credit is None:
            return episode
        return SlotScoring(self.run.rewards, None).afterwards(episode)

    def _keep(self, episode: Episode, request: Request) -> None:
        now = time.monotonic()
        self.run.record([episode], {"seconds": round(now - self._clock, 6), "steps": len(episode.turns)})
        self._clock = now
        error = episode.error
        if error is not None and error.retryable and self.run.limits.may_retry(request.attempt):
            self.run.waiting.append(replace(request, attempt=request.attempt + 1))


class _SlotPolicies:
    """A policy that the environment ships, made anew for every episode, as an array policy."""

    def __init__(self, session: _Session, run: ArrayRun, envs: SyncVectorEnv) -> None:
        self.name = str(run.agent.name)
        self._session, self._run, self._envs = session, run, envs
        self._policies: list[Any] = [None] * envs.num_envs

    def initial_state(self, num_slots: int, rng: np.random.Generator) -> Any:
        """Policies keep their own."""
        return None

    def act(self, observations: Any, state: Any, reset_mask: NDArray[np.bool_]) -> tuple[Any, Any, Mapping[str, Any]]:
        """See `ArrayPolicy.act`."""
        envs, space = self._envs, self._envs.single_action_space
        for slot in np.flatnonzero(reset_mask).tolist():
            self._policies[slot] = self._make(slot)
        actions = []
        for slot, observation in enumerate(iterate(envs.observation_space, observations)):
            idle = self._session.runner is not None and self._session.runner.is_idle(slot)
            actions.append(null_action(space) if idle else self._policies[slot](observation))
        out = create_empty_array(space, envs.num_envs)
        return concatenate(space, actions, cast(Any, out)), None, {}

    def _make(self, slot: int) -> Any:
        episode_id = self._session.episode_of(slot)
        rng = np.random.default_rng(seed_of(self._run.run_seed, episode_id, "policy"))
        env = self._envs.envs[slot]
        base: Any = env.unwrapped
        name = self._run.agent.policy  # type: ignore[union-attr]  # an agent that is a policy
        if hasattr(base, "policy"):
            return base.policy(name, rng)
        return make_policy(base, str(name), env.action_space, rng)
