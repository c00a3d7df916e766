"""Plays the episodes of a step and keeps them in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from palaestra.agents.base import Agent
from palaestra.episodes import Episode
from palaestra.errors import BudgetExceeded, DiskFull, PalaestraError
from palaestra.harness.runner import Limits, Runner
from palaestra.harness.schedule import Request
from palaestra.harness.worlds import World

__all__ = ["Collector", "Interrupted"]


class Interrupted(PalaestraError):
    """Somebody interrupted while episodes were played."""


class Collector:
    """Plays requests with one agent.

    Args:
        make_world: Makes a world; called in the thread that will use it.
        agent: Who plays.
        env_id: For the record.
        env_kwargs: For the record.
        seed: Seeds sampling.
        slots: Episodes in flight.
        limits: Deadlines, retries and turns.
        runner: What plays.
    """

    def __init__(
        self,
        make_world: Callable[[], World],
        agent: Agent,
        *,
        env_id: str,
        env_kwargs: Mapping[str, Any],
        seed: int,
        slots: int,
        limits: Limits,
        runner: type[Runner] = Runner,
    ) -> None:
        self.make_world, self.agent, self.slots, self.limits, self.runner = make_world, agent, slots, limits, runner
        self.env_id, self.env_kwargs, self.seed = env_id, env_kwargs, seed

    def collect(
        self, requests: Sequence[Request], on_world: Callable[[Sequence[Episode]], None] = lambda episodes: None
    ) -> list[Episode]:
        """Every request's episode (of every agent in it), its last attempt, in the order of the requests.

        Raises:
            Interrupted: Somebody interrupted.
            PalaestraError: The environment cannot be made, or a budget is spent.
        """
        played: dict[str, list[Episode]] = {}

        def record(episodes: Sequence[Episode], timing: Mapping[str, Any]) -> None:
            world = episodes[0].world_id
            # Two threads never play the same world at once; a retry comes after what it retries.
            played[world] = list(episodes)
            on_world(episodes)

        stop = self.runner(
            self.make_world,
            self.agent,
            requests,
            record,
            slots=self.slots,
            env_id=self.env_id,
            env_kwargs=self.env_kwargs,
            run_seed=self.seed,
            limits=self.limits,
        ).run()
        if stop.reason == "interrupted":
            raise Interrupted("Interrupted while episodes were played; the step was not finished.")
        if stop.reason == "budget":
            raise BudgetExceeded(stop.message)
        if stop.reason == "disk":
            raise DiskFull(stop.message)
        return [episode for request in requests for episode in played[request.world_id]]
