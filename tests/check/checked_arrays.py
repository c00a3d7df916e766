"""Small environments of the other kinds that pass every check, and their mutants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pettingzoo

from palaestra.environment import Environment, make_policy
from palaestra.registration import EnvCard, register

Array = np.ndarray[Any, Any]


def _reference(env: Any, space: Any, rng: np.random.Generator) -> Any:
    return lambda observation: np.clip(observation[1:] - observation[:1], -1, 1).astype(np.float32)


class TrackEnv(Environment[Array, Array]):
    """A point that follows a target on a line.

    ## Description
    The point moves by the action, the target wanders.

    ## Action Space
    | Num | Action | Min | Max |
    |-----|--------|-----|-----|
    | 0   | move   | -1  | 1   |

    ## Observation Space
    | Num | Observation | Min   | Max  |
    |-----|-------------|-------|------|
    | 0   | point       | -10.0 | 10.0 |
    | 1   | target      | -10.0 | 10.0 |

    ## Rewards
    Minus the distance.

    ## Starting State
    Both are drawn from [-5, 5].

    ## Episode End
    1. Truncation: 40 steps were taken.

    ## Information
    `status` and `distance`.

    ## Arguments
    | Parameter | Type | Default | Description |
    |-----------|------|---------|-------------|
    | `render_mode` | str or None | `None` | `rgb_array` or None. |

    >>> import gymnasium as gym
    >>> import checked_arrays
    >>> env = gym.make("checked/Track-v0")
    >>> env.reset(seed=1)[0].shape
    (2,)

    ## Version History
    * v0: First version.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    shipped_policies = {"reference": _reference}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        self.observation_space = gym.spaces.Box(-10, 10, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        self.places = np.zeros(2)
        self.turn = 0

    def _reset(self, options: Any) -> tuple[Array, dict[str, Any]]:
        self.places, self.turn = self.np_random.uniform(-5, 5, 2), 0
        return self.places.astype(np.float32), {"distance": self._distance()}

    def _distance(self) -> float:
        return float(abs(self.places[0] - self.places[1]))

    def _step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        self.check_action(action)
        self.turn += 1
        self.places[0] += float(action[0])
        self.places[1] += self.np_random.normal() * 0.3
        self.places = np.clip(self.places, -10, 10)
        info = {"distance": self._distance()}
        return self.places.astype(np.float32), -self._distance(), False, self.turn >= 40, info

    def get_state(self) -> Any:
        return {"places": self.places.copy(), "turn": self.turn}

    def set_state(self, state: Any) -> None:
        self.places, self.turn = state["places"].copy(), state["turn"]

    def render(self) -> Any:
        frame = np.zeros((8, 21, 3), np.uint8)
        for colour, place in enumerate(self.places):
            frame[:, round(float(place)) + 10, colour] = 255
        return frame


class TakesAnything(TrackEnv):
    def check_action(self, action: Any) -> None:
        pass


class RefusesTooLate(TrackEnv):
    drift = 0.0

    def _step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        if np.asarray(action).dtype.kind == "f":
            self.drift = max(self.drift, float(np.abs(action).max(initial=0.0)) - 1.0)
        return super()._step(action)

    def _reset(self, options: Any) -> tuple[Array, dict[str, Any]]:
        _, info = super()._reset(options)
        self.places[0] += min(self.drift, 1.0)
        return self.places.astype(np.float32), info


class RewardUpsideDown(TrackEnv):
    def _step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super()._step(action)
        return observation, -reward, terminated, truncated, info


class MeetEnv(pettingzoo.ParallelEnv[str, Array, Any]):
    """Two agents on a ring who should meet.

    ## Description
    Each steps left, stays or steps right.

    ## Action Space
    | Num | Action |
    |-----|--------|
    | 0   | left   |
    | 1   | stay   |
    | 2   | right  |

    ## Observation Space
    | Key | Space |
    |-----|-------|
    | -   | `Box(0, 9, (2,), int64)` |

    ## Rewards
    1.0 for both when they meet, else 0.0.

    ## Starting State
    Both are drawn from the ring.

    ## Episode End
    1. Termination: they meet.
    2. Truncation: 30 steps were taken.

    ## Information
    `status`.

    ## Arguments
    | Parameter | Type | Default | Description |
    |-----------|------|---------|-------------|
    | `render_mode` | str or None | `None` | `ansi` or None. |

    >>> import palaestra
    >>> import checked_arrays
    >>> env = palaestra.make("checked/Meet-v0")
    >>> sorted(env.reset(seed=1)[0])
    ['ann', 'bob']

    ## Version History
    * v0: First version.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 10, "name": "meet_v0"}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.possible_agents = ["ann", "bob"]
        self.agents: list[str] = []
        self.rng = np.random.default_rng()
        self.observation_spaces = {agent: gym.spaces.Box(0, 9, (2,), np.int64) for agent in self.possible_agents}
        self.action_spaces = {agent: gym.spaces.Discrete(3) for agent in self.possible_agents}

    def observation_space(self, agent: str) -> Any:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if options:
            raise ValueError(f"There are no options, got {options}.")
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.agents, self.turn = list(self.possible_agents), 0
        self.places = self.rng.choice(10, 2, replace=False)
        return self._seen(), {agent: {"status": "running"} for agent in self.agents}

    def _seen(self) -> dict[str, Array]:
        return {"ann": self.places.copy(), "bob": self.places[::-1].copy()}

    def step(self, actions: dict[str, Any]) -> Any:
        for agent, action in actions.items():
            if isinstance(action, bool) or not isinstance(action, int | np.integer) or not 0 <= action < 3:
                raise ValueError(f"The action of {agent} is {action!r}; it must be 0, 1 or 2.")
        self.turn += 1
        moves = np.asarray([int(actions[agent]) - 1 for agent in self.agents])
        self.places = (self.places + moves) % 10
        met = bool(self.places[0] == self.places[1])
        cut = not met and self.turn >= 30
        status = "terminated" if met else "truncated" if cut else "running"
        live, self.agents = self.agents, [] if met or cut else self.agents
        return (
            self._seen(),
            dict.fromkeys(live, float(met)),
            dict.fromkeys(live, met),
            dict.fromkeys(live, cut),
            {agent: {"status": status} for agent in live},
        )

    def policy(self, name: str, rng: np.random.Generator, agent_id: str) -> Any:
        return make_policy(self, name, self.action_space(agent_id), rng)

    def render(self) -> Any:
        return "".join("*" if place in self.places else "." for place in range(10))


class NewSpaces(MeetEnv):
    def action_space(self, agent: str) -> Any:
        return gym.spaces.Discrete(3)


class UnseededWorld(MeetEnv):
    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(None, options)


TRACK = EnvCard(
    "checked/Track-v0", "A point that follows a target on a line.", "checked", kind="control", interface="array"
)
MEET = EnvCard(
    "checked/Meet-v0",
    "Two agents on a ring who should meet.",
    "checked",
    kind="control",
    interface="array",
    agents="parallel",
    snapshot="none",
)


def _add(cls: type, card: EnvCard, **changes: Any) -> str:
    made = replace(card, id=f"checked/{cls.__name__}-v0", **changes)
    register(made, f"{cls.__module__}:{cls.__qualname__}")
    return f"{cls.__module__}:{made.id}"


register(TRACK, "checked_arrays:TrackEnv")
register(MEET, "checked_arrays:MeetEnv")
ARRAY_MUTANTS: dict[type, tuple[set[str], str]] = {
    TakesAnything: ({"actions"}, "NaN"),
    RefusesTooLate: ({"actions"}, "stored before it was refused"),
    RewardUpsideDown: ({"reference"}, "interval"),
    NewSpaces: ({"api"}, "same space object"),
    UnseededWorld: ({"api", "determinism", "concurrency", "rendering", "actions"}, "the same seed"),
}
ARRAY_IDS = {cls: _add(cls, MEET if issubclass(cls, MeetEnv) else TRACK) for cls in ARRAY_MUTANTS}
