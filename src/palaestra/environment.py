"""The base class of palaestra's single-agent environments: failures, retries, privileged data, saved state."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar

import gymnasium as gym
import numpy as np

from palaestra.episodes import EpisodeError
from palaestra.errors import (
    ConfigError,
    EnvironmentUnavailable,
    EpisodeFailure,
    InvalidActionError,
    PalaestraError,
    SnapshotError,
    UnknownNameError,
)
from palaestra.policies import GENERIC_POLICIES, PolicyFactory

__all__ = ["Environment", "OnFailure", "check_flag", "check_whole", "make_policy"]

ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")
OnFailure = Literal["truncate", "raise"]


class Environment(gym.Env[ObsType, ActType]):
    """A Gymnasium environment in which failure is not zero.

    Subclasses write `_reset` and `_step`. What breaks in them by no action of the agent (`EpisodeFailure`, or any
    other exception) never escapes a worker: `step` returns
    `(last_observation, 0.0, False, True, {"status": "failed", "error": {...}})`, and whoever learns masks that
    episode. An environment owns its horizon, so that a snapshot holds all of its state.

    An action that cannot be done is the agent's doing and fails nothing: `_step` raises `InvalidActionError` before it
    changes anything (`check_action` does, for what is outside of the action space), and `step` lets that through.

    `info["status"]` is always one of `running`, `terminated`, `truncated`, `failed`.

    Args:
        render_mode: One of `metadata["render_modes"]`, or None.
        on_failure: `truncate` as above, or `raise` the `EpisodeFailure`.
        privileged: Whether `info["privileged"]` shows at reset what verifiers see. For debugging and for learners
            that need it in workers; agents must not see it.
        reset_attempts: How often `reset` is tried before it raises `EnvironmentUnavailable`.

    Attributes:
        shipped_policies: What proves this environment, beside `null`, `echo` and `random`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (Gymnasium declares it so)
    shipped_policies: ClassVar[Mapping[str, PolicyFactory]] = {}

    def __init__(
        self,
        *,
        render_mode: str | None = None,
        on_failure: OnFailure = "truncate",
        privileged: bool = False,
        reset_attempts: int = 3,
    ) -> None:
        modes = self.metadata.get("render_modes", [])
        if render_mode is not None and render_mode not in modes:
            raise ConfigError(f"render_mode is {render_mode!r}; this environment accepts None, {str(modes)[1:-1]}.")
        if on_failure not in ("truncate", "raise"):
            raise ConfigError(f"on_failure is {on_failure!r}; choose 'truncate' or 'raise'.")
        check_whole("reset_attempts", reset_attempts)
        check_flag("privileged", privileged)
        self.render_mode = render_mode
        self.on_failure: OnFailure = on_failure
        self.show_privileged = privileged
        self.reset_attempts = reset_attempts
        self._running = False
        self._last_observation: Any = None

    # What a family writes -------------------------------------------------------------------------------------

    def _reset(self, options: Mapping[str, Any]) -> tuple[ObsType, dict[str, Any]]:
        """Starts an episode; all randomness from `self.np_random`."""
        raise NotImplementedError

    def _step(self, action: ActType) -> tuple[ObsType, float, bool, bool, dict[str, Any]]:
        """Does one action."""
        raise NotImplementedError

    def check_action(self, action: Any) -> None:
        """Refuses what is not in the action space; the first line of a `_step` that takes arrays.

        Raises:
            InvalidActionError: It is not; the message says what was given and what is accepted.
        """
        try:
            legal = self.action_space.contains(action)
        except Exception:  # spaces choke on some things that are far from them
            legal = False
        if not legal:
            raise InvalidActionError(f"The action must be in {self.action_space}, got {_shown(action)}.")

    def privileged(self) -> Mapping[str, Any]:
        """What verifiers and credit may see of the current task, and agents may not."""
        return {}

    def get_state(self) -> Any:
        """Everything that `set_state` needs to continue from here, as data of its own.

        Raises:
            SnapshotError: This environment keeps state that it cannot save.
        """
        raise SnapshotError(f"{type(self).__name__} cannot save its state; use snapshot='replay' in its card.")

    def set_state(self, state: Any) -> None:
        """Continues from what `get_state` gave, in this or another instance.

        Raises:
            SnapshotError: This environment cannot do that.
        """
        raise SnapshotError(f"{type(self).__name__} cannot restore a state; use snapshot='replay' in its card.")

    # What Gymnasium calls --------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: Seeds all of the episode's randomness.
            options: What the family accepts, for example `{"task_id": ...}`.

        Returns:
            The first observation and info.

        Raises:
            EnvironmentUnavailable: It failed for reasons that are not the caller's: `reset_attempts` times, or once
                where trying again cannot help.
            PalaestraError: An option is unknown or cannot be met.
        """
        super().reset(seed=seed)
        self._running = False
        before = self.np_random.bit_generator.state
        last: Exception
        for attempt in range(self.reset_attempts):
            try:
                observation, info = self._reset(dict(options or {}))
            except Exception as error:
                if isinstance(error, PalaestraError) and not isinstance(error, EpisodeFailure):
                    raise
                last = error
                if not EpisodeError.of(error).retryable:
                    break
                self.np_random.bit_generator.state = before  # a retried episode is the one that was asked for
                if attempt + 1 < self.reset_attempts:
                    time.sleep(0.05 * 2**attempt)
                continue
            self._running = True
            self._last_observation = observation
            info["status"] = "running"
            if self.show_privileged:
                info["privileged"] = dict(self.privileged())
            return observation, info
        raise EnvironmentUnavailable(
            f"{type(self).__name__} could not start an episode in {attempt + 1} attempt(s): {_told(last)}"
        ) from last

    def step(self, action: ActType) -> tuple[ObsType, float, bool, bool, dict[str, Any]]:
        """Does one action. Nothing that an agent can put into it fails the episode.

        Raises:
            gymnasium.error.ResetNeeded: The episode has ended, or none was started.
            InvalidActionError: The action cannot be done. Nothing has changed, and another one can be tried.
            EpisodeFailure: The episode failed and `on_failure` is `raise`.
        """
        if not self._running:
            raise gym.error.ResetNeeded("There is no episode to step in: call reset() first, and again after its end.")
        try:
            observation, reward, terminated, truncated, info = self._step(action)
        except InvalidActionError:
            raise
        except Exception as error:
            self._running = False
            if self.on_failure == "raise":
                if isinstance(error, EpisodeFailure):
                    raise
                failure = EpisodeError.of(error)
                raise EpisodeFailure(
                    failure.kind, failure.message, cause=failure.cause, retryable=failure.retryable
                ) from error
            failed = {"status": "failed", "error": EpisodeError.of(error).to_json()}
            return copy.deepcopy(self._last_observation), 0.0, False, True, failed
        self._last_observation = observation
        self._running = not (terminated or truncated)
        info["status"] = "terminated" if terminated else "truncated" if truncated else "running"
        return observation, float(reward), bool(terminated), bool(truncated), info

    # What palaestra calls --------------------------------------------------------------------------------------

    def policy(self, name: str, rng: np.random.Generator, agent_id: str | None = None) -> Any:
        """A shipped policy for the current episode, by name.

        Args:
            name: One of `policy_names`.
            rng: All of its randomness.
            agent_id: Unused here; worlds of several agents have one policy each.

        Raises:
            UnknownNameError: This environment ships no such policy.
        """
        return make_policy(self, name, self.action_space, rng)

    @property
    def policy_names(self) -> tuple[str, ...]:
        """Names of the policies that work here."""
        return tuple({**GENERIC_POLICIES, **self.shipped_policies})

    def snapshot_state(self) -> dict[str, Any]:
        """All state, the generator's and this class's own included; see `palaestra.snapshot`."""
        return {
            "family": self.get_state(),
            "running": self._running,
            "last_observation": copy.deepcopy(self._last_observation),
            "np_random": self.np_random.bit_generator.state,  # made anew each time it is asked for
            "np_random_seed": self._np_random_seed,
        }

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickled as its spec and its state, so that what instances share (a corpus) is not carried along.

        Raises:
            SnapshotError: It is in an episode whose state cannot be saved.
        """
        if self.spec is None:
            return super().__reduce_ex__(protocol)
        return _made_again, (self.spec, None if self._last_observation is None else self.snapshot_state())

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `snapshot_state`, in this or another instance."""
        self.set_state(state["family"])
        self._running = state["running"]
        self._last_observation = copy.deepcopy(state["last_observation"])
        # Any seed will do, and spares asking the system for entropy.
        bits: Any = type(self.np_random.bit_generator)
        rng = np.random.Generator(bits(0))
        rng.bit_generator.state = state["np_random"]
        self._np_random, self._np_random_seed = rng, state["np_random_seed"]


def _made_again(spec: Any, state: Mapping[str, Any] | None) -> Environment[Any, Any]:
    made: Any = gym.make(spec).unwrapped
    if state is not None:
        made.restore_state(state)
    return made  # type: ignore[no-any-return]


def _shown(action: Any) -> str:
    kind = f" of dtype {action.dtype} and shape {action.shape}" if isinstance(action, np.ndarray) else ""
    text = repr(action)
    return (text if len(text) <= 200 else f"{text[:200]}...") + kind


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, PalaestraError) else f"{type(error).__name__}: {error}"


def make_policy(env: Any, name: str, space: gym.Space[Any], rng: np.random.Generator) -> Any:
    """A policy by name for any environment: what it ships, else the generic ones.

    Args:
        env: The unwrapped environment.
        name: Name of the policy.
        space: The action space to act in.
        rng: All of its randomness.

    Raises:
        UnknownNameError: There is no such policy here.
    """
    factories = {**GENERIC_POLICIES, **getattr(env, "shipped_policies", {})}
    if name not in factories:
        raise UnknownNameError("policy of this environment", name, factories)
    return factories[name](env, space, rng)


def check_whole(name: str, value: Any, least: int = 1, most: int | None = None) -> None:
    """Refuses what is no whole number from `least` to `most`.

    Args:
        name: The option's, for the message.
        value: What was given.
        least: The smallest that is accepted.
        most: The largest; None where there is none.

    Raises:
        ConfigError: It is not.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise ConfigError(f"{name} is {value!r}; it must be a whole number.")
    if most is not None and not least <= value <= most:
        raise ConfigError(f"{name} is {value}; it must be from {least} to {most}.")
    if value < least:
        raise ConfigError(f"{name} is {value}; it must be at least {least}.")


def check_flag(name: str, value: Any) -> None:
    """Refuses what is neither true nor false: any text would count as true.

    Raises:
        ConfigError: It is neither.
    """
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{name} is {value!r}; it must be True or False.")
