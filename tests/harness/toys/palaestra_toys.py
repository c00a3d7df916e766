"""Small environments and agents for the tests of the harness, importable by other processes too."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

import palaestra
from palaestra.agents.base import Action, View
from palaestra.environment import Environment
from palaestra.episodes import Completion, TextPart, ToolCall, ToolResult
from palaestra.errors import EpisodeFailure, InvalidActionError
from palaestra.policies import PolicyFactory
from palaestra.registration import EnvCard
from palaestra.spaces import Utf8
from palaestra.tasks import Task, TaskSet

TASKS = TaskSet(
    Task(
        f"sum-{number:02d}",
        f"group-{number % 7}",
        f"{number} + {number * 3 % 11} = ?",
        "test" if number % 7 < 3 else "train",
        truth={"answers": (str(number + number * 3 % 11),)},
    )
    for number in range(40)
)


def _oracle(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Any:
    plan = iter([f"think {rng.integers(1000)}", env.task.truth["answers"][0]])
    return lambda observation: next(plan)


class Sums(Environment[str, str]):
    """Add two numbers; `think ...` passes a turn, `break`, `hang` and `flaky` are for the tests."""

    shipped_policies: ClassVar[Mapping[str, PolicyFactory]] = {"oracle": _oracle}
    tasks = TASKS
    max_turns = 4

    def __init__(self, *, slow: float = 0.0, split: str = "all", trouble: str = "", api_key: str = "") -> None:
        super().__init__()
        self.slow, self.trouble = slow, trouble
        self.tasks = TASKS.where(split=split)
        self.action_space = Utf8(1000)
        self.observation_space = Utf8(1000)
        self.task = self.tasks[0]
        self.turn = 0

    def _reset(self, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        if self.trouble == "reset":
            raise EpisodeFailure("server_down", "the server is down")
        self.task = self.tasks.get(options["task_id"]) if "task_id" in options else self.tasks[0]
        self.turn = 0
        return f"{self.task.prompt} (hint {self.np_random.integers(100)})", {"task_id": self.task.id}

    def _step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        time.sleep(self.slow)
        self.turn += 1
        number = int(self.task.id[-2:])
        if self.trouble == "hang" and number % 10 == 3:
            time.sleep(3600)
        if self.trouble == "die" and number % 10 == 9:
            os._exit(9)
        if self.trouble == "fail" and number % 4 == 1:
            raise EpisodeFailure("retriever_down", "no answer", retryable=False)
        if self.trouble.startswith("once:") and self.turn == 2:
            marker = os.path.join(self.trouble[5:], self.task.id)
            if not os.path.exists(marker):
                open(marker, "w").close()
                raise EpisodeFailure("hiccup", "once")
        calls = (ToolCall("think", {"text": action}, ToolResult((TextPart("so be it"),)), "ok", time.perf_counter()),)
        ended = not action.startswith("think")
        cut = not ended and self.turn >= self.max_turns
        info: dict[str, Any] = {"calls": calls}
        if ended or cut:
            info["outcome"] = self.judge() if cut else float(action.strip() in self.task.truth["answers"])
        return f"{action}: noted", info.get("outcome", 0.0), ended, cut, info

    def judge(self) -> float:
        return 0.25

    def privileged(self) -> Mapping[str, Any]:
        return self.task.truth


class Scripted:
    """An agent that is a policy of the environment."""

    def __init__(self, policy: str) -> None:
        self.name = policy
        self.policy: str | None = policy

    async def act(self, view: View) -> Action:
        raise AssertionError("a scripted agent is not asked")

    def finish(self, episode_id: str) -> None:
        pass

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "policy"}

    def close(self) -> None:
        pass


class Speaker:
    """An agent in the place of a model: says what a function of the view says."""

    policy: str | None = None

    def __init__(self, say: Any, name: str = "speaker") -> None:
        self.name, self.say = name, say
        self.views: list[View] = []
        self.finished: list[str] = []

    async def act(self, view: View) -> Action:
        self.views.append(view)
        said = self.say(view)
        if hasattr(said, "__await__"):
            said = await said
        ids = np.arange(3, dtype=np.int32)
        return Action(said, Completion(ids, np.zeros(3, np.float32), ids, 0, model="toy", text=said))

    def finish(self, episode_id: str) -> None:
        self.finished.append(episode_id)

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "toy", "api_key": "sk-very-secret", "url": "https://me:pass@example.org/v1"}

    def close(self) -> None:
        pass


palaestra.register(
    EnvCard(
        id="toys/Sums-v0",
        summary="Add two numbers.",
        family="toys",
        kind="verifiable",
        interface="text",
        snapshot="none",
    ),
    "palaestra_toys:Sums",
)


class Walk(Environment[Any, Any]):
    """A walk on a line that ends after a random number of steps; arrays only.

    Args:
        nested: Whether observations are a dictionary.
        fail_at: Positions above this fail the episode.
    """

    shipped_policies: ClassVar[Mapping[str, PolicyFactory]] = {
        "reference": lambda env, space, rng: lambda observation: np.int64(rng.integers(1, 3))
    }

    def __init__(self, *, nested: bool = False, fail_at: float = np.inf, horizon: int = 9) -> None:
        super().__init__()
        self.nested, self.fail_at, self.horizon = nested, fail_at, horizon
        self.action_space = gym.spaces.Discrete(3)
        box = gym.spaces.Box(-1e6, 1e6, (2,), np.float32)
        clock = gym.spaces.Box(0, 1_000_000, (), np.int64)
        self.observation_space = gym.spaces.Dict({"place": box, "clock": clock}) if nested else box

    def _see(self) -> Any:
        place = self.place.astype(np.float32)
        return {"place": place, "clock": np.array(self.t, np.int64)} if self.nested else place

    def _reset(self, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        self.t = 0
        self.place = self.np_random.normal(size=2)
        self.length = int(self.np_random.integers(1, self.horizon + 1))
        return self._see(), {"length": self.length}

    def _step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        self.place = self.place + self.np_random.normal(size=2) + int(action)
        if self.place[0] > self.fail_at:
            raise EpisodeFailure("fell_off", "too far right")
        ended = self.t >= self.length
        info = {"outcome": float(self.place[0] > 0)} if ended else {}
        return self._see(), float(self.place[1]), ended and self.length % 2 == 0, ended and self.length % 2 == 1, info


palaestra.register(
    EnvCard(
        id="toys/Walk-v0",
        summary="A walk on a line.",
        family="toys",
        kind="control",
        interface="array",
        snapshot="none",
    ),
    "palaestra_toys:Walk",
)


class Board(Environment[Any, Any]):
    """Four fields to be taken one after the other, none twice."""

    def __init__(self, on_failure: Any = "truncate") -> None:
        super().__init__(on_failure=on_failure)
        self.observation_space = gym.spaces.MultiBinary(4)
        self.action_space = gym.spaces.Discrete(4)

    def _reset(self, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        self.taken = np.zeros(4, np.int8)
        return self.taken.copy(), {}

    def _step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.check_action(action)
        if self.taken[action]:
            raise InvalidActionError(f"Field {action} is taken; free are {np.flatnonzero(self.taken == 0)}.")
        self.taken[action] = 1
        done = bool(self.taken.all())
        return self.taken.copy(), 1.0, done, False, {"outcome": 1.0} if done else {}


palaestra.register(
    EnvCard(
        id="toys/Board-v0",
        summary="Take four fields.",
        family="toys",
        kind="control",
        interface="array",
        snapshot="none",
    ),
    "palaestra_toys:Board",
)
