"""Who acts: what an agent sees, what it gives back, and the two protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from palaestra.episodes import Completion

__all__ = ["Action", "Agent", "ArrayPolicy", "View"]


@dataclass(slots=True)
class View:
    """What an agent may look at before a turn. Never anything privileged.

    Attributes:
        observation: The last observation.
        messages: The dialogue so far, each with `role` (system, user, assistant, tool) and `content`.
        tools: The environment's tools in OpenAI's schema.
        action_space: What may be done.
        t: Number of the turn, from 0.
        seed: Seeds this turn's sampling: a hash of run, episode and turn.
        episode_id: Which episode this is; unique in the run.
        max_turns: Horizon, where there is one.
        stop: Strings at which an utterance is complete (closing tags of the dialect).
        info: The environment's info for the last step, less what is privileged.
        memory: The agent's own, empty at the start of each episode and kept across its turns.
    """

    observation: Any
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]
    action_space: gym.Space[Any]
    t: int
    seed: int
    episode_id: str
    max_turns: int | None = None
    stop: Sequence[str] = ()
    info: Mapping[str, Any] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Action:
    """What an agent does in a turn.

    Attributes:
        value: For the environment: a text, or whatever its action space holds.
        completion: The sample behind it, where a model spoke.
    """

    value: Any
    completion: Completion | None = None


class Agent(Protocol):
    """Plays episodes turn by turn; many may be in flight at once.

    Attributes:
        name: As written on the command line and in reports.
        policy: Name of a policy that the environment ships, for agents that are just that; `act` is then not asked.
    """

    name: str
    policy: str | None

    async def act(self, view: View) -> Action:
        """The next action.

        Raises:
            ModelUnavailable: The model gave no answer; the episode becomes `failed`.
            BudgetExceeded: The run's tokens or money are spent; the run stops cleanly.
        """
        ...

    def finish(self, episode_id: str) -> None:
        """The episode is over: whatever is kept for it (a KV cache) can go."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """What a manifest should say of it: model, precision, sampling settings."""
        ...

    def close(self) -> None:
        """Frees models and connections; may be called twice."""
        ...


class ArrayPolicy(Protocol):
    """Acts on batches of arrays."""

    name: str

    def initial_state(self, num_slots: int, rng: np.random.Generator) -> Any:
        """State for so many slots; None where there is none."""
        ...

    def act(
        self, observations: Any, state: Any, reset_mask: np.ndarray[Any, Any]
    ) -> tuple[Any, Any, Mapping[str, Any]]:
        """One step.

        Args:
            observations: (N, ...), or nested.
            state: What the last call, or `initial_state`, gave.
            reset_mask: bool (N,), true where a new episode begins with this observation.

        Returns:
            Actions (N, ...), the next state, and extras to record, each (N, ...).
        """
        ...
