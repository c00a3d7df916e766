"""Three small environments and one reward that no family ships: proof that the harness has no special cases."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

import palaestra
import palaestra.rewards
from palaestra.environment import Environment, make_policy
from palaestra.envs.language.environment import LanguageEnv
from palaestra.envs.language.tools import Tool, ToolOutput, answer_tool
from palaestra.episodes import ImagePart, TextPart
from palaestra.errors import SnapshotError, ToolError
from palaestra.policies import PolicyFactory
from palaestra.registration import EnvCard
from palaestra.rewards.base import Transition
from palaestra.rollouts import Rollout
from palaestra.tasks import Task, TaskSet, split_of

# Images and text ------------------------------------------------------------------------------------------------

COLOURS = {"red": (220, 30, 30), "green": (30, 180, 60), "blue": (40, 60, 220), "yellow": (230, 210, 40)}
SIDES = ("left", "right")


def png(image: NDArray[np.uint8]) -> bytes:
    """An image (H, W, 3) as PNG."""
    height, width, _ = image.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows.tobytes()))
        + chunk(b"IEND", b"")
    )


def _tasks() -> TaskSet:
    names = list(COLOURS)
    found = []
    for number in range(24):
        left, right = names[number % 4], names[(number // 4 + 1 + number) % 4]
        side = SIDES[number % 2]
        answer = left if side == "left" else right
        group = f"pair-{number % 12}"
        truth = {"answers": (answer,), "left": left, "right": right, "side": side}
        prompt = f"Two lamps hang in room {number}. What colour is the {side} one?"
        found.append(Task(f"lamps-{number:02d}", group, prompt, split_of(group), truth, {"kind": "lamps"}))
    return TaskSet(found)


def _oracle(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Any:
    plan = iter([env.say("look", side=env.task.truth["side"]), env.say("answer", answer=env.task.truth["answers"][0])])
    return lambda observation: next(plan)


def _answering(answer: str) -> PolicyFactory:
    return lambda env, space, rng: lambda observation: env.say("answer", answer=answer)


def _saboteur(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Any:
    words = ["\x00", "<look>" * 500, "<look>up</look>", "\ud800", "<answer></answer>"]
    return lambda observation: words[int(rng.integers(len(words)))]


class Lamps(LanguageEnv):
    """Look at lamps and say their colour.

    ## Description
    Two lamps hang in a room. The tool `look` takes a picture of one side; the answer is the colour of a lamp.

    ## Action Space
    | Space | Meaning |
    | --- | --- |
    | `Utf8(max_bytes=8192)` | One turn, with a call of `look` or `answer` |

    ## Observation Space
    | Key | Space | Meaning |
    | --- | --- | --- |
    | text | `Utf8(max_bytes=16384)` | The task, then what tools said |
    | image | `Box(0, 255, (12, 16, 3), uint8)` | The last picture |

    ## Rewards
    1 for the right colour, else 0.

    ## Starting State
    A task drawn uniformly.

    ## Episode End
    An answer terminates, `max_turns` truncates.

    ## Information
    `status`, `task_id`, `group`, `split`, `calls`, `malformed`, `outcome`.

    ## Arguments
    | Parameter | Type | Default | Description |
    | --- | --- | --- | --- |
    | `max_turns` | int | `4` | Horizon |
    | `render_mode` | str | `None` | `ansi` or `human` |
    | `on_failure` | str | `"truncate"` | `truncate` or `raise` |
    | `privileged` | bool | `False` | Show the ground truth in `info` |

    >>> from palaestra_proof import Lamps
    >>> env = Lamps()
    >>> env.reset(seed=0)[1]["status"]
    'running'

    ## Version History
    * v0: first version.
    """

    shipped_policies: ClassVar[Mapping[str, PolicyFactory]] = {
        "oracle": _oracle,
        "prior": _answering("red"),
        "cheat": _answering("red or green or blue or yellow"),
        "saboteur": _saboteur,
    }

    def __init__(
        self,
        *,
        max_turns: int = 4,
        render_mode: str | None = None,
        on_failure: Any = "truncate",
        privileged: bool = False,
    ) -> None:
        super().__init__(
            _tasks(),
            max_turns=max_turns,
            image_shape=(12, 16, 3),
            max_action_bytes=8192,
            max_observation_bytes=16384,
            render_mode=render_mode,
            on_failure=on_failure,
            privileged=privileged,
        )

    def _make_tools(self) -> Sequence[Tool]:
        schema = {
            "type": "object",
            "properties": {"side": {"type": "string"}},
            "required": ["side"],
            "additionalProperties": False,
        }
        look = Tool(
            "look", "Looks to one side, left or right, and takes a picture.", schema, self._look, primary="side"
        )
        return (look, answer_tool(self._answer))

    def _begin(self, task: Task) -> None:
        self._said: str | None = None

    def _prompt(self, task: Task) -> str:
        return f"{self.dialect.instructions(self._tool_list)}\n\n{task.prompt}"

    def _look(self, side: str) -> ToolOutput:
        if side.strip() not in SIDES:
            raise ToolError(f"One can look left or right, not '{side[:40]}'.")
        image = np.full((12, 16, 3), 20, np.uint8)
        image[2:10, 4:12] = COLOURS.get(self.task.truth[side.strip()], (0, 0, 0))
        image[0, 0] = self.np_random.integers(0, 256, 3)  # noise of the camera
        return ToolOutput((TextPart("A picture."), ImagePart(png(image))), image=image)

    def _answer(self, answer: str) -> str:
        self._said = answer.strip()
        return "Noted."

    def _judge(self) -> Mapping[str, float]:
        return {"outcome": float(self._said in self.task.truth["answers"])}

    def _get_family_state(self) -> Any:
        return self._said

    def _set_family_state(self, state: Any) -> None:
        self._said = state


# Two agents -----------------------------------------------------------------------------------------------------


class Meeting(ParallelEnv):
    """Two walkers on a line of ten places try to meet; one of them tires sooner and leaves.

    ## Description
    Both see where they are and where the other is.

    ## Action Space
    | Space | Meaning |
    | --- | --- |
    | `Discrete(3)` | West, stay, east |

    ## Observation Space
    | Space | Meaning |
    | --- | --- |
    | `Box(-1, 10, (2,), int64)` | Own place, the other's |

    ## Rewards
    1 for meeting, -0.01 a step.

    ## Starting State
    East in 0 to 3, west in 6 to 9.

    ## Episode End
    Meeting terminates both, being tired truncates one.

    ## Information
    `status`, and at the end `outcome`.

    ## Arguments
    | Parameter | Type | Default | Description |
    | --- | --- | --- | --- |
    | `horizon` | int | `12` | Steps until both are tired |
    | `render_mode` | str | `None` | `ansi` |

    >>> from palaestra_proof import Meeting
    >>> env = Meeting()
    >>> sorted(env.reset(seed=0)[0])
    ['east', 'west']

    ## Version History
    * v0: first version.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "meeting_v0", "render_modes": ["ansi"]}
    policy_names = ("null", "random", "reference")

    def __init__(self, *, horizon: int = 12, render_mode: str | None = None) -> None:
        self.possible_agents = ["east", "west"]
        self.agents: list[str] = []
        self.horizon = horizon
        self.render_mode = render_mode
        self._spaces = {agent: gym.spaces.Box(-1, 10, (2,), np.int64) for agent in self.possible_agents}
        self._actions = {agent: gym.spaces.Discrete(3) for agent in self.possible_agents}

    def observation_space(self, agent: str) -> gym.Space[Any]:
        return self._spaces[agent]

    def action_space(self, agent: str) -> gym.Space[Any]:
        return self._actions[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        if seed is not None or not hasattr(self, "_rng"):
            self._rng = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        self.t = 0
        self.at = {"east": int(self._rng.integers(0, 4)), "west": int(self._rng.integers(6, 10))}
        self.tired = {"east": self.horizon, "west": int(self._rng.integers(self.horizon // 2, self.horizon))}
        return self._see(), {agent: {"status": "running"} for agent in self.agents}

    def _see(self) -> dict[str, NDArray[np.int64]]:
        other = {"east": "west", "west": "east"}
        return {agent: np.array([self.at[agent], self.at[other[agent]]]) for agent in self.agents}

    def step(self, actions: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        for agent, action in actions.items():
            if not self._actions[agent].contains(action):
                raise ValueError(f"{agent} can do 0, 1 or 2, not {action!r}.")
        self.t += 1
        for agent, action in actions.items():
            self.at[agent] = int(np.clip(self.at[agent] + int(action) - 1, 0, 9))
        met = abs(self.at["east"] - self.at["west"]) <= 1
        seen = self._see()
        rewards = {agent: float(met) - 0.01 for agent in self.agents}
        over = {agent: met for agent in self.agents}
        cut = {agent: not met and self.t >= self.tired[agent] for agent in self.agents}
        infos: dict[str, dict[str, Any]] = {}
        for agent in self.agents:
            ended = over[agent] or cut[agent]
            infos[agent] = {"status": "terminated" if over[agent] else "truncated" if cut[agent] else "running"}
            if ended:
                infos[agent]["outcome"] = float(met)
        self.agents = [agent for agent in self.agents if not over[agent] and not cut[agent]]
        return seen, rewards, over, cut, infos

    def policy(self, name: str, rng: np.random.Generator, agent_id: str | None = None) -> Any:
        if name == "reference":
            return lambda observation: np.int64(1 + np.sign(observation[1] - observation[0]))
        return make_policy(self, name, self.action_space(agent_id or "east"), rng)

    def privileged(self, agent: str) -> Mapping[str, Any]:
        return {"tired_at": self.tired[agent]}

    def close(self) -> None:
        pass

    def render(self) -> str:
        return "".join("E" if at == self.at["east"] else "W" if at == self.at["west"] else "." for at in range(10))


# Long and flat --------------------------------------------------------------------------------------------------


class Pendulum(Environment[NDArray[np.float32], Any]):
    """A noisy oscillator that is pushed for 10,000 steps; arrays in, arrays out.

    ## Description
    Keep it still.

    ## Action Space
    | Space | Meaning |
    | --- | --- |
    | `Box(-1.0, 1.0, (1,), float32)` | The push |

    ## Observation Space
    | Space | Meaning |
    | --- | --- |
    | `Box(-inf, inf, (2,), float32)` | Place and speed |

    ## Rewards
    Minus the squared speed.

    ## Starting State
    Place and speed are standard normal.

    ## Episode End
    `horizon` steps truncate.

    ## Information
    `status`.

    ## Arguments
    | Parameter | Type | Default | Description |
    | --- | --- | --- | --- |
    | `horizon` | int | `10000` | Steps |
    | `render_mode` | str | `None` | `ansi` |

    >>> from palaestra_proof import Pendulum
    >>> env = Pendulum()
    >>> env.reset(seed=0)[0].shape
    (2,)

    ## Version History
    * v0: first version.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 30}
    shipped_policies: ClassVar[Mapping[str, PolicyFactory]] = {
        "reference": lambda env, space, rng: lambda seen: np.clip(-2 * seen[1:2], -1, 1).astype(np.float32)
    }

    def __init__(self, *, horizon: int = 10_000, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        self.horizon = horizon
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def step(self, action: Any) -> Any:
        if not self.action_space.contains(action):
            raise ValueError(f"A push is a float32 in [-1, 1] of shape (1,), not {action!r}.")
        return super().step(action)

    def render(self) -> str:
        return f"place {self.state[0]:+.2f}, speed {self.state[1]:+.2f}"

    def _reset(self, options: Mapping[str, Any]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        self.t, self.state = 0, self.np_random.normal(size=2)
        return self.state.astype(np.float32), {}

    def _step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self.t += 1
        place, speed = self.state
        speed = 0.99 * speed - 0.05 * place + 0.05 * float(np.clip(action[0], -1, 1)) + 0.02 * self.np_random.normal()
        self.state = np.array([place + 0.05 * speed, speed])
        return self.state.astype(np.float32), -float(speed**2), False, self.t >= self.horizon, {}

    def get_state(self) -> Any:
        if not hasattr(self, "state"):
            raise SnapshotError("There is no episode to save.")
        return {"t": self.t, "state": self.state.copy()}

    def set_state(self, state: Any) -> None:
        self.t, self.state = state["t"], state["state"].copy()


# A reward that learns -------------------------------------------------------------------------------------------


class Surprise:
    """Pays the error of a linear prediction of the true next observation, and learns to predict it.

    r_t = |o_{t+1} - W [o_t, a_t, 1]|, W by ridge regression over all steps seen so far.
    """

    name = "surprise"
    scope = "learned"
    requires: frozenset[str] = frozenset()

    def __init__(self, ridge: float = 1.0) -> None:
        self.ridge, self.version = ridge, 0
        self.gram: NDArray[np.float64] | None = None
        self.cross: NDArray[np.float64] | None = None

    def _features(self, observation: Any, action: Any) -> NDArray[np.float64]:
        count = len(observation)
        parts = [np.asarray(part, np.float64).reshape(count, -1) for part in (observation, action)]
        return np.concatenate([*parts, np.ones((count, 1))], axis=1)

    def reset(self, slots: NDArray[np.int64], episode_ids: Sequence[Any], observations: Any) -> None:
        pass

    def __call__(self, transition: Transition) -> NDArray[np.float64]:
        features = self._features(transition.observation, transition.action)
        after = np.asarray(transition.next_observation, np.float64).reshape(len(features), -1)
        if self.gram is None or self.cross is None:
            return np.where(transition.valid, np.linalg.norm(after, axis=1), 0.0)
        weights = np.linalg.solve(self.gram + self.ridge * np.eye(len(self.gram)), self.cross)
        return np.where(transition.valid, np.linalg.norm(after - features @ weights, axis=1), 0.0)

    def update(self, batch: Rollout) -> Mapping[str, float]:
        features = self._features(batch.observations[:-1][batch.valid], batch.actions[batch.valid])
        after = np.asarray(batch.next_observations()[batch.valid], np.float64).reshape(len(features), -1)
        gram, cross = features.T @ features, features.T @ after
        self.gram = gram if self.gram is None else self.gram + gram
        self.cross = cross if self.cross is None else self.cross + cross
        self.version += 1
        return {"steps": float(len(features))}

    def state_dict(self) -> dict[str, Any]:
        return {"version": self.version, "gram": self.gram, "cross": self.cross}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.version, self.gram, self.cross = state["version"], state["gram"], state["cross"]


palaestra.register(
    EnvCard(
        id="proof/Lamps-v0",
        summary="Look at lamps and say their colour.",
        family="proof",
        kind="verifiable",
        interface="text",
        bounds={"prior": 0.5},
    ),
    "palaestra_proof:Lamps",
)
palaestra.register(
    EnvCard(
        id="proof/Meeting-v0",
        summary="Two walkers meet.",
        family="proof",
        kind="control",
        interface="array",
        agents="parallel",
        snapshot="none",
    ),
    "palaestra_proof:Meeting",
)
palaestra.register(
    EnvCard(
        id="proof/Pendulum-v0",
        summary="An oscillator, pushed for 10,000 steps.",
        family="proof",
        kind="control",
        interface="array",
    ),
    "palaestra_proof:Pendulum",
)
palaestra.rewards.register("surprise", "palaestra_proof:Surprise")
