"""Saving and restoring the whole state of an environment, wrappers included.

>>> import palaestra                                                            # doctest: +SKIP
>>> env = palaestra.make("palaestra/FactbookSearch-v0"); env.reset(seed=1)      # doctest: +SKIP
>>> with palaestra.snapshot(env) as saved:                                      # doctest: +SKIP
...     env.step("<search>Bhutan</search>")
...     saved.restore()
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import gymnasium as gym

from palaestra.errors import SnapshotError

__all__ = ["ReplayLog", "Snapshot", "fork", "snapshot"]

# What a wrapper holds that is not state: its inner environment, and what follows from its construction.
_NOT_STATE = frozenset({"env", "_saved_kwargs", "_cached_spec", "_action_space", "_observation_space", "_metadata"})


class ReplayLog(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Keeps seed, options and actions, so that any deterministic environment can be restored by playing them again.

    Args:
        env: The environment.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        self.log: tuple[int | None, dict[str, Any] | None, list[Any]] | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Resets and starts a new log. Only a seeded episode can be replayed."""
        result = self.env.reset(seed=seed, options=options)
        self.log = (seed, copy.deepcopy(options), [])
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Steps and notes the action."""
        result = self.env.step(action)
        if self.log is not None:
            self.log[2].append(copy.deepcopy(action))
        return result


class Snapshot:
    """A saved state. `restore` may be called any number of times; as a context manager, until the end of the block.

    Args:
        env: Where it was taken, and where it is restored by default.
        wrappers: State of each wrapper, outermost first, with its class.
        base: State of the unwrapped environment.
        how: `exact`, or `replay`.
    """

    def __init__(
        self, env: gym.Env[Any, Any], wrappers: list[tuple[type, dict[str, Any]]], base: Any, how: str
    ) -> None:
        self._env, self._wrappers, self._base, self.how = env, wrappers, base, how

    def restore(self, env: gym.Env[Any, Any] | None = None) -> None:
        """Brings an environment to the saved state.

        Args:
            env: Another instance with the same wrappers; by default the one it was taken from.

        Raises:
            SnapshotError: The wrappers differ, the environment cannot restore this state, or the block has ended.
        """
        if self._base is None:
            raise SnapshotError("The block of this snapshot has ended, and its state is gone; restore inside it.")
        target = self._env if env is None else env
        chain = _chain(target)
        if [type(wrapper) for wrapper in chain[:-1]] != [kind for kind, _ in self._wrappers]:
            raise SnapshotError(
                f"The snapshot was taken through {[kind.__name__ for kind, _ in self._wrappers]}, "
                f"this environment has {[type(wrapper).__name__ for wrapper in chain[:-1]]}."
            )
        if self.how == "replay":
            seed, options, actions = self._base
            inner = next(wrapper for wrapper in chain if isinstance(wrapper, ReplayLog))
            inner.reset(seed=seed, options=copy.deepcopy(options))
            for action in actions:
                inner.step(copy.deepcopy(action))
        else:
            chain[-1].restore_state(copy.deepcopy(self._base))
        for wrapper, (_, state) in zip(chain[:-1], self._wrappers, strict=True):
            if hasattr(wrapper, "restore_state"):
                wrapper.restore_state(state)
            else:
                wrapper.__dict__.update(copy.deepcopy(state))

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base = None


def _chain(env: gym.Env[Any, Any]) -> list[Any]:
    """The wrappers from the outermost to the unwrapped environment."""
    chain: list[Any] = [env]
    while isinstance(chain[-1], gym.Wrapper):
        chain.append(chain[-1].env)
    return chain


def _wrapper_state(wrapper: Any) -> dict[str, Any]:
    # A wrapper may say itself what its state is: one around a learned reward must not copy the reward.
    if hasattr(wrapper, "snapshot_state"):
        own: dict[str, Any] = wrapper.snapshot_state()
        return own
    state: Mapping[str, Any] = {key: value for key, value in vars(wrapper).items() if key not in _NOT_STATE}
    try:
        return copy.deepcopy(dict(state))
    except Exception as error:
        raise SnapshotError(
            f"The wrapper {type(wrapper).__name__} holds state that cannot be copied "
            f"({type(error).__name__}: {error}). Take the snapshot inside it."
        ) from error


def snapshot(env: gym.Env[Any, Any]) -> Snapshot:
    """Saves the state of an environment and all its wrappers.

    Environments of palaestra save themselves exactly. Any other deterministic environment can be saved when it is
    wrapped in `ReplayLog` (`palaestra.make` does that for cards that say `replay`) and was reset with a seed.

    Raises:
        SnapshotError: Its state cannot be saved; the message says why.
    """
    chain = _chain(env)
    wrappers = [(type(wrapper), _wrapper_state(wrapper)) for wrapper in chain[:-1]]
    reason = f"{type(chain[-1]).__name__} has no snapshot_state"
    if hasattr(chain[-1], "snapshot_state"):
        try:
            return Snapshot(env, wrappers, copy.deepcopy(chain[-1].snapshot_state()), "exact")
        except SnapshotError as error:
            reason = str(error)
    log = next((wrapper.log for wrapper in chain if isinstance(wrapper, ReplayLog)), None)
    if log is None:
        raise SnapshotError(f"{reason}, and no ReplayLog with an episode wraps it.")
    if log[0] is None:
        raise SnapshotError("An episode can only be replayed when it was reset with a seed: call reset(seed=...).")
    return Snapshot(env, wrappers, copy.deepcopy(log), "replay")


def fork(env: gym.Env[Any, Any], n: int) -> list[gym.Env[Any, Any]]:
    """New instances in the state of this one.

    Args:
        env: An environment made by `gym.make` or `palaestra.make`.
        n: How many.

    Raises:
        SnapshotError: Its state cannot be saved, or it does not know how it was made.
    """
    if getattr(env, "spec", None) is None:
        raise SnapshotError("Only an environment that was made by its id can be forked: use palaestra.make(...).")
    saved = snapshot(env)
    copies: list[gym.Env[Any, Any]] = []
    try:
        for _ in range(n):
            copies.append(_made_again(env))
            saved.restore(copies[-1])
    except BaseException:
        for made in copies:
            made.close()
        raise
    return copies


def _made_again(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    assert env.spec is not None
    try:
        return gym.make(env.spec)
    except ValueError as error:  # a wrapper that does not record how it was made
        raise SnapshotError(f"This environment cannot be made a second time: {error}") from error
