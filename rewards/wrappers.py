"""A step reward around an environment, ours or not.

>>> import gymnasium as gym, palaestra
>>> env = palaestra.with_reward(gym.make("CartPole-v1"), "count", weight=0.1)
>>> _ = env.reset(seed=0)
>>> *_, info = env.step(1)
>>> sorted(info["terms"].items())
[('count', 1.0), ('env', 1.0)]
"""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Mapping
from typing import Any, overload

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from numpy.typing import NDArray

from palaestra.errors import ConfigError
from palaestra.rewards.base import StepReward, Transition, kind_of, score_step
from palaestra.rewards.columns import batch_columns, put_rows, stack_columns, take_rows
from palaestra.rewards.registry import make

__all__ = ["VectorWithReward", "WithReward", "step_terms", "with_reward"]


@overload
def with_reward(
    env: VectorEnv[Any, Any, Any],
    reward: str | StepReward,
    *,
    weight: float = 1.0,
    keep_env_reward: bool = True,
    **options: Any,
) -> VectorWithReward: ...
@overload
def with_reward(
    env: gym.Env[Any, Any],
    reward: str | StepReward,
    *,
    weight: float = 1.0,
    keep_env_reward: bool = True,
    **options: Any,
) -> WithReward: ...
def with_reward(
    env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any],
    reward: str | StepReward,
    *,
    weight: float = 1.0,
    keep_env_reward: bool = True,
    **options: Any,
) -> WithReward | VectorWithReward:
    """Puts a step reward around an environment or a vector environment.

    The new reward is `keep_env_reward * environment's + weight * step reward`. `info["terms"]` holds both parts,
    unweighted: the environment's as `env`, the step reward's under its name (or those of its terms). For a `learned`
    reward, `info["reward_versions"]` holds the version that scored the step.

    Wrap the vector environment where you can: a step reward is made for N slots at once. Around single environments,
    stateless and episodic rewards are copied, so each has its own; a learned one lives once, beside its learner, and
    is refused in a worker process.

    Args:
        env: Any Gymnasium environment.
        reward: A step reward, or the name of one.
        weight: Its factor.
        keep_env_reward: Whether the environment's own reward stays in the sum.
        **options: For the reward's constructor, where it is given by name.

    Raises:
        UnknownNameError: There is no reward of this name.
        ConfigError: It is no step reward, or something else that cannot work; the message says what.
    """
    chosen: StepReward = make(reward, **options) if isinstance(reward, str) else reward
    if options and not isinstance(reward, str):
        raise ConfigError(f"Options ({', '.join(options)}) apply to a reward given by name; this one is already made.")
    if kind_of(chosen) != "step":
        raise ConfigError(
            f"'{chosen.name}' judges whole episodes afterwards and cannot be paid while stepping; "
            "with_reward takes step rewards."
        )
    if isinstance(env, VectorEnv):
        return VectorWithReward(env, chosen, weight=weight, keep_env_reward=keep_env_reward)
    return WithReward(env, chosen, weight=weight, keep_env_reward=keep_env_reward)


def step_terms(infos: Mapping[str, Any], num_envs: int) -> dict[str, NDArray[np.float64]]:
    """The terms of a vector environment's last step, wherever they stand.

    Around a vector environment they stand in `infos["terms"]`. From wrappers around its single environments, those of
    a step that ended an episode under `SAME_STEP` stand in `infos["final_info"]["terms"]`.

    Args:
        infos: What the vector environment's `step` gave.
        num_envs: N.

    Returns:
        float64 (N,) by name, 0 where a slot had no such term.
    """
    terms: dict[str, NDArray[np.float64]] = {}
    for source in (infos.get("terms", {}), infos.get("final_info", {}).get("terms", {})):
        for name, values in source.items():
            if not name.startswith("_"):
                present = source.get(f"_{name}", np.ones(num_envs, np.bool_))
                column = terms.setdefault(name, np.zeros(num_envs))
                column[present] = np.asarray(values, np.float64)[present]
    return terms


class _Paid:
    """What both wrappers share: the reward and its weight, and the arithmetic of a step."""

    def __init__(self, reward: StepReward, weight: float, keep_env_reward: bool) -> None:
        if isinstance(weight, bool) or not np.isfinite(weight):
            raise ConfigError(f"weight is {weight!r}; it must be a finite number.")
        self.reward, self.weight, self.keep_env_reward = reward, float(weight), bool(keep_env_reward)

    def refuse_in_worker(self) -> None:
        """A learned reward in a worker would learn nothing there, and differ between workers."""
        if self.reward.scope == "learned" and multiprocessing.current_process().name.startswith("Worker<"):
            raise ConfigError(
                f"The learned reward '{self.reward.name}' cannot live inside a vector environment's worker. "
                "Wrap the vector environment instead: with_reward(AsyncVectorEnv(...), reward)."
            )

    def pay(self, transition: Transition) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]], dict[str, int]]:
        """The new reward, the unweighted parts, and the versions of learned rewards."""
        values, terms = score_step(self.reward, transition)
        total = self.weight * values + (transition.reward if self.keep_env_reward else 0.0)
        versions = {self.reward.name: int(self.reward.version)} if self.reward.scope == "learned" else {}
        return total, terms, versions


def _refuse_taken(taken: object, terms: Mapping[str, Any], name: str) -> None:
    twice = sorted(set(terms) & {"env", *(taken if isinstance(taken, Mapping) else ())})
    if twice:
        raise ConfigError(
            f"The reward '{name}' gives the term(s) {', '.join(twice)}, which this environment already has; "
            "make it with another name=."
        )


def _privileged(env: gym.Env[Any, Any]) -> Mapping[str, Any]:
    found = getattr(env.unwrapped, "privileged", None)
    if found is None:
        raise ConfigError(f"The reward needs ground truth, and {type(env.unwrapped).__name__} has no privileged().")
    return dict(found())


class WithReward(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """A step reward around a single environment; made by `with_reward`.

    Args:
        env: The environment.
        reward: The step reward; stateless and episodic ones are copied.
        weight: Its factor.
        keep_env_reward: Whether the environment's own reward stays in the sum.
    """

    def __init__(
        self, env: gym.Env[Any, Any], reward: StepReward, *, weight: float = 1.0, keep_env_reward: bool = True
    ) -> None:
        gym.utils.RecordConstructorArgs.__init__(
            self, _disable_deepcopy=True, reward=reward, weight=weight, keep_env_reward=keep_env_reward
        )
        gym.Wrapper.__init__(self, env)
        own = reward if reward.scope == "learned" else copy.deepcopy(reward)
        self._paid = _Paid(own, weight, keep_env_reward)
        self._episode = -1
        self._observation: Any = None
        self._truth: Mapping[str, Any] | None = None

    @property
    def step_reward(self) -> StepReward:
        """The reward in use here."""
        return self._paid.reward

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Resets the environment, and the reward for a new episode."""
        self._paid.refuse_in_worker()
        observation, info = self.env.reset(seed=seed, options=options)
        self._episode += 1
        self._observation = stack_columns(self.env.observation_space, [observation])
        self._truth = _privileged(self.env) if "privileged" in self._requires else None
        self._paid.reward.reset(np.zeros(1, np.int64), [self._episode], self._observation)
        return observation, info

    @property
    def _requires(self) -> frozenset[str]:
        return getattr(self._paid.reward, "requires", frozenset())

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Steps and pays. A failed step pays 0."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        after = stack_columns(self.env.observation_space, [observation])
        transition = Transition(
            slot=np.zeros(1, np.int64),
            episode_id=[self._episode],
            valid=np.array([info.get("status") != "failed"]),
            observation=self._observation,
            action=stack_columns(self.env.action_space, [action]),
            next_observation=after,
            reward=np.array([reward], np.float64),
            terminated=np.array([terminated], np.bool_),
            truncated=np.array([truncated], np.bool_),
            calls=[info["calls"]] if "calls" in info else None,
            privileged=None if self._truth is None else [self._truth],
        )
        total, terms, versions = self._paid.pay(transition)
        _refuse_taken(info.get("terms"), terms, self._paid.reward.name)
        self._observation = after
        info = dict(info)
        parts = {name: float(values[0]) for name, values in terms.items()}
        info["terms"] = {"env": float(reward), **info.get("terms", {}), **parts}
        if versions:
            info["reward_versions"] = {**info.get("reward_versions", {}), **versions}
        return observation, float(total[0]), terminated, truncated, info

    def snapshot_state(self) -> dict[str, Any]:
        """For `palaestra.snapshot`: the reward's state within the episode; a learned reward stays as it is."""
        learned = self._paid.reward.scope == "learned"
        return {
            "episode": self._episode,
            "observation": copy.deepcopy(self._observation),
            "truth": copy.deepcopy(self._truth),
            "reward": None if learned else copy.deepcopy(self._paid.reward.state_dict()),
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `snapshot_state`, in this or another instance."""
        state = copy.deepcopy(dict(state))
        self._episode, self._observation, self._truth = state["episode"], state["observation"], state["truth"]
        if state["reward"] is not None:
            self._paid.reward.load_state_dict(state["reward"])


class VectorWithReward(VectorWrapper):  # without parameters: it is not generic in Gymnasium 1.2
    """A step reward around a vector environment; made by `with_reward`.

    It is right under every autoreset mode. Under `SAME_STEP` the reward sees the final observation, never the one of
    the next episode. Under `NEXT_STEP` the rows that only reset are not `valid` and pay 0. Under `DISABLED` a slot
    that ended is not `valid` until it is reset. A step that failed (`info["status"]` is `failed`) is not `valid`.

    In `infos["terms"]`, each part is float64 (N,), with the valid rows as its mask, `_name`.

    Args:
        env: The vector environment; its metadata must say its `autoreset_mode`.
        reward: The step reward, used as it is.
        weight: Its factor.
        keep_env_reward: Whether the environment's own reward stays in the sum.

    Raises:
        ConfigError: The autoreset mode is not declared.
    """

    def __init__(
        self, env: VectorEnv[Any, Any, Any], reward: StepReward, *, weight: float = 1.0, keep_env_reward: bool = True
    ) -> None:
        super().__init__(env)
        self._paid = _Paid(reward, weight, keep_env_reward)
        try:
            self._mode = AutoresetMode(env.metadata.get("autoreset_mode"))
        except ValueError:
            raise ConfigError(
                f"{env} does not say how it resets: set env.metadata['autoreset_mode'] to one of "
                f"{', '.join(f'AutoresetMode.{mode.name}' for mode in AutoresetMode)} (gymnasium.vector)."
            ) from None
        self._slots = np.arange(self.num_envs)
        self._episodes = np.full(self.num_envs, -1, np.int64)
        self._ended = np.ones(self.num_envs, np.bool_)
        self._observation: Any = None
        self._truths: list[Mapping[str, Any]] | None = None

    @property
    def step_reward(self) -> StepReward:
        """The reward in use here."""
        return self._paid.reward

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Resets the environments (all, or those of `options["reset_mask"]`), and the reward for their new episodes."""
        # Gymnasium takes the mask out of the dictionary it is given, so it gets one of its own.
        options = None if options is None else dict(options)
        mask = None if options is None else options.get("reset_mask")
        rows = self._slots if mask is None else np.flatnonzero(mask)
        observations, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        self._observation = batch_columns(self.single_observation_space, observations, self.num_envs)
        self._begin(rows, self._observation)
        return observations, infos

    def _begin(self, rows: NDArray[np.int64], observation: Any) -> None:
        """New episodes begin in these slots with these observations (columns of all slots)."""
        if not len(rows):
            return
        self._episodes[rows] += 1
        self._ended[rows] = False
        if "privileged" in getattr(self._paid.reward, "requires", frozenset()):
            truths = self.env.call("privileged")  # type: ignore[attr-defined]
            known = self._truths or list(truths)
            self._truths = [truths[i] if i in rows else known[i] for i in range(self.num_envs)]
        self._paid.reward.reset(rows, self._episodes[rows].tolist(), take_rows(observation, rows))

    def step(
        self, actions: Any
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Steps all environments and pays."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        given = batch_columns(self.single_observation_space, observations, self.num_envs)
        ending = np.asarray(terminated | truncated, np.bool_)
        same_step = self._mode is AutoresetMode.SAME_STEP
        after = self._with_finals(given, infos, np.flatnonzero(ending)) if same_step else given
        transition = Transition(
            slot=self._slots,
            episode_id=self._episodes.copy(),
            valid=~self._ended & ~self._failed(infos),
            observation=self._observation,
            action=batch_columns(self.single_action_space, actions, self.num_envs),
            next_observation=after,
            reward=np.asarray(rewards, np.float64),
            terminated=np.asarray(terminated, np.bool_),
            truncated=np.asarray(truncated, np.bool_),
            calls=self._calls(infos),
            privileged=None if self._truths is None else tuple(self._truths),
        )
        total, terms, versions = self._paid.pay(transition)
        infos = self._tell(infos, transition, terms, versions)
        self._observation = given
        if self._mode is AutoresetMode.NEXT_STEP:
            self._begin(np.flatnonzero(self._ended), given)
        self._ended = self._ended | ending
        if same_step:
            self._begin(np.flatnonzero(ending), given)
        return observations, total, terminated, truncated, infos

    def _with_finals(self, given: Any, infos: Mapping[str, Any], rows: NDArray[np.int64]) -> Any:
        """The given observations with the true last ones where episodes ended."""
        if not len(rows):
            return given
        if "final_obs" not in infos:
            raise ConfigError(f"{self.env} declares SAME_STEP but gives no infos['final_obs'] where an episode ended.")
        finals = [infos["final_obs"][i] for i in rows]
        return put_rows(given, rows, stack_columns(self.single_observation_space, finals))

    def _both(self, infos: Mapping[str, Any], key: str) -> list[Any]:
        """What the last step's infos say by slot: of a step that ended under `SAME_STEP`, in `final_info`."""
        out: list[Any] = [None] * self.num_envs
        for source in (infos, infos.get("final_info", {})):
            if key in source:
                present = source.get(f"_{key}", np.ones(self.num_envs, np.bool_))
                for i in np.flatnonzero(present):
                    out[i] = source[key][i]
        return out

    def _failed(self, infos: Mapping[str, Any]) -> NDArray[np.bool_]:
        return np.array([status == "failed" for status in self._both(infos, "status")], np.bool_)

    def _calls(self, infos: Mapping[str, Any]) -> list[tuple[Any, ...]] | None:
        calls = self._both(infos, "calls")
        return None if all(each is None for each in calls) else [each or () for each in calls]

    def _tell(
        self,
        infos: Mapping[str, Any],
        transition: Transition,
        terms: Mapping[str, NDArray[np.float64]],
        versions: Mapping[str, int],
    ) -> dict[str, Any]:
        told = dict(infos)
        inner = step_terms(infos, self.num_envs)
        _refuse_taken(inner, terms, self._paid.reward.name)
        everyone = np.ones(self.num_envs, np.bool_)
        merged: dict[str, Any] = {}
        for name, values in {"env": transition.reward, **inner, **terms}.items():
            merged[name], merged[f"_{name}"] = values, transition.valid.copy()
        told["terms"], told["_terms"] = merged, everyone
        if versions:
            known = dict(infos.get("reward_versions", {}))
            for name, version in versions.items():
                known[name], known[f"_{name}"] = np.full(self.num_envs, version, np.int64), transition.valid.copy()
            told["reward_versions"], told["_reward_versions"] = known, everyone
        return told
