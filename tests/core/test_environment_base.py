"""Failure is not zero: what the base class does when something breaks."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from palaestra.environment import Environment, make_policy
from palaestra.errors import (
    ConfigError,
    EnvironmentUnavailable,
    EpisodeFailure,
    SnapshotError,
    ToolError,
    UnknownNameError,
)


class Fragile(Environment[int, int]):
    """Counts down from four; breaks as told.

    Args:
        resets: Errors that the next resets meet, in order; None for a reset that works.
        break_at: In which step it breaks, in every episode.
        error: With what.
    """

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012
    observation_space = gym.spaces.Discrete(1000)
    action_space = gym.spaces.Discrete(3)

    def __init__(
        self,
        resets: tuple[Exception | None, ...] = (),
        break_at: int | None = None,
        error: Exception | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.resets, self.break_at, self.error = list(resets), break_at, error
        self.attempts = 0

    def _reset(self, options: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        self.attempts += 1
        start = int(self.np_random.integers(900))
        error = self.resets.pop(0) if self.resets else None
        if error is not None:
            raise error
        if options.get("task_id") == "nope":
            raise UnknownNameError("task", "nope", ["note"])
        self.left = 4
        return start, {}

    def _step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        if self.break_at == 4 - self.left and self.error is not None:
            raise self.error
        return 900 + self.left, np.float32(1), np.bool_(self.left == 0), False, {"left": self.left}

    def privileged(self) -> Mapping[str, Any]:
        return {"secret": self.left}


DOWN = EpisodeFailure("retriever_down", "no answer from the server")
GONE = EpisodeFailure("file_gone", "no such file", retryable=False)


def play(env: Any, steps: int = 4) -> list[Any]:
    return [env.reset(seed=0), *(env.step(1) for _ in range(steps))]


def test_an_episode_and_its_statuses():
    (first, info), *steps = play(Fragile())
    assert info == {"status": "running"} and isinstance(first, int)
    assert [step[4]["status"] for step in steps] == ["running", "running", "running", "terminated"]
    assert [type(part) for part in steps[-1][1:4]] == [float, bool, bool]
    assert play(Fragile()) == play(Fragile())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DOWN, {"kind": "retriever_down", "cause": "infrastructure", "retryable": True}),
        (KeyError("x"), {"kind": "environment_error", "cause": "unattributed", "retryable": False}),
        (ToolError("escaped"), {"kind": "environment_error", "cause": "unattributed", "retryable": False}),
        (MemoryError(), {"kind": "environment_error", "cause": "unattributed", "retryable": False}),
    ],
)
def test_a_step_that_breaks_fails_the_episode(error, expected):
    env = Fragile(break_at=2, error=error)
    _, (before, *_), (seen, reward, terminated, truncated, info) = play(env, 2)
    assert (seen, reward, terminated, truncated, info["status"]) == (before, 0.0, False, True, "failed")
    assert expected.items() <= info["error"].items() and set(info) == {"status", "error"}
    with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) first"):
        env.step(1)
    assert env.reset(seed=1)[1] == {"status": "running"}


def test_interrupts_are_nobodys_failure():
    for error in (KeyboardInterrupt(), SystemExit()):
        env = Fragile(break_at=1, error=error)  # type: ignore[arg-type]
        env.reset(seed=0)
        with pytest.raises(type(error)):
            env.step(1)


def test_on_failure_raise():
    for error, kind in ((DOWN, "retriever_down"), (ValueError("bad"), "environment_error")):
        env = Fragile(break_at=1, error=error, on_failure="raise")
        env.reset(seed=0)
        with pytest.raises(EpisodeFailure) as caught:
            env.step(1)
        assert caught.value.kind == kind
        assert caught.value is error or caught.value.__cause__ is error
        with pytest.raises(gym.error.ResetNeeded):
            env.step(1)


def test_no_step_before_reset():
    with pytest.raises(gym.error.ResetNeeded):
        Fragile().step(0)


def test_resets_are_tried_again_and_give_the_episode_that_was_asked_for():
    env = Fragile(resets=(DOWN, DOWN))
    assert play(env) == play(Fragile())
    assert env.attempts == 3


@pytest.mark.parametrize(
    ("resets", "attempts", "told"),
    [
        ((DOWN,) * 9, 3, r"in 3 attempt\(s\): retriever_down: no answer"),
        ((GONE,), 1, r"in 1 attempt\(s\): file_gone"),
        ((DOWN, KeyError("x")), 2, r"in 2 attempt\(s\): KeyError: 'x'"),
    ],
)
def test_a_reset_that_cannot_work(resets, attempts, told):
    env = Fragile(resets=resets)
    with pytest.raises(EnvironmentUnavailable, match=f"Fragile could not start an episode {told}") as caught:
        env.reset(seed=0)
    assert env.attempts == attempts and caught.value.__cause__ is resets[attempts - 1]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    env.resets = []
    assert env.reset(seed=0)[1] == {"status": "running"}  # and it can be used again


def test_a_mistake_of_the_caller_is_told_as_it_is():
    env = Fragile()
    with pytest.raises(UnknownNameError, match="Did you mean 'note'"):
        env.reset(seed=0, options={"task_id": "nope"})
    assert env.attempts == 1


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("vector", [SyncVectorEnv, functools.partial(AsyncVectorEnv)], ids=["sync", "async"])
def test_a_failing_environment_does_not_take_the_others_with_it(vector, mode):
    env = vector([functools.partial(Fragile, break_at=2, error=KeyError("x")), Fragile], autoreset_mode=mode)
    env.reset(seed=0)
    failures = 0
    for _ in range(12):
        _, _, terminated, truncated, infos = env.step(np.array([1, 1]))
        told = infos.get("final_info", {}) if "final_info" in infos else infos
        failed = np.array(told["status"] == "failed") & told.get("_status", np.zeros(2, bool))
        assert not failed[1] and (truncated == failed).all()
        if failed[0]:
            failures += 1
            assert told["error"]["kind"][0] == "environment_error" and not told["error"]["_kind"][1]
        if mode is AutoresetMode.DISABLED and (terminated | truncated).any():
            env.reset(options={"reset_mask": terminated | truncated})
    assert failures >= 4
    env.close()


@pytest.mark.filterwarnings("ignore:.*ERROR:UserWarning")  # so Gymnasium tells of a worker's exception
def test_a_workers_error_reaches_the_caller_as_it_was():
    env = AsyncVectorEnv([Fragile])
    with pytest.raises(UnknownNameError, match=r"There is no task 'nope'\. Did you mean 'note'") as caught:
        env.reset(seed=0, options={"task_id": "nope"})
    assert caught.value.choices == ("note",)
    env.close(terminate=True)


def test_privileged_is_shown_only_when_asked_for():
    assert "privileged" not in Fragile().reset(seed=0)[1]
    assert Fragile(privileged=True).reset(seed=0)[1]["privileged"] == {"secret": 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"render_mode": "human"}, "render_mode is 'human'; this environment accepts None, 'ansi'"),
        ({"on_failure": "ignore"}, "choose 'truncate' or 'raise'"),
        ({"reset_attempts": 0}, "must be at least 1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        Fragile(**options)


def test_policies():
    env = Fragile()
    env.reset(seed=0)
    assert env.policy_names == ("null", "echo", "random")
    assert env.policy("null", np.random.default_rng(0))(5) == 0
    with pytest.raises(UnknownNameError, match="no policy of this environment 'orcale'"):
        env.policy("orcale", np.random.default_rng(0))
    cart = gym.make("CartPole-v1")
    assert make_policy(cart.unwrapped, "null", cart.action_space, np.random.default_rng(0))(None) == 0


def test_what_saves_no_state_says_so():
    env = Fragile()
    env.reset(seed=0)
    for attempt in (env.get_state, lambda: env.set_state({}), env.snapshot_state):
        with pytest.raises(SnapshotError, match="use snapshot='replay' in its card"):
            attempt()


def test_pickle_without_a_spec():
    env = Fragile()
    env.reset(seed=0)
    env.step(1)
    twin = pickle.loads(pickle.dumps(env))
    assert [twin.step(1) for _ in range(3)] == [env.step(1) for _ in range(3)]
