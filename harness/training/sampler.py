"""Which tasks a step plays, with a state of two numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from palaestra.errors import ConfigError
from palaestra.harness.schedule import Request, seed_of

__all__ = ["TaskSampler"]


class TaskSampler:
    """Goes through all tasks in a new order each epoch, without replacement.

    All episodes of a group begin alike: same task, same seed of the environment. Environments without tasks begin
    each group from a seed of its own.

    Args:
        tasks: Ids of the tasks; None where the environment has none.
        seed: The order follows from it.
        name: What groups are called where there are no tasks.
        prefix: Before the names of groups; keeps those of several samplers apart.

    Raises:
        ConfigError: There are no tasks to choose from.
    """

    def __init__(self, tasks: Sequence[str] | None, seed: int, name: str = "start", prefix: str = "") -> None:
        if tasks is not None and not len(tasks):
            raise ConfigError("There are no tasks to train on; choose another split.")
        self.tasks, self.seed, self.name = None if tasks is None else tuple(tasks), seed, name
        self.prefix = prefix
        self._epoch = self._drawn = 0
        self._order: tuple[str, ...] = ()

    def draw(self, groups: int, size: int, step: int) -> list[Request]:
        """The requests of so many groups.

        Args:
            groups: How many tasks.
            size: Episodes of each.
            step: Which update they are for; becomes part of their ids.
        """
        requests = []
        for _ in range(groups):
            number, task = self._drawn, self._next()
            group = f"{step:05d}-{number:06d}-{self.prefix}{task or self.name}"
            seed = seed_of(self.seed, number, "reset")
            requests += [Request(f"{group}#{sample}", task, sample, group, seed) for sample in range(size)]
        return requests

    def _next(self) -> str | None:
        number = self._drawn
        self._drawn += 1
        if self.tasks is None:
            return None
        epoch, place = divmod(number, len(self.tasks))
        if epoch != self._epoch or not self._order:
            rng = np.random.default_rng(seed_of(self.seed, epoch, "epoch"))
            self._epoch, self._order = epoch, tuple(self.tasks[index] for index in rng.permutation(len(self.tasks)))
        return self._order[place]

    def state_dict(self) -> dict[str, Any]:
        """How many tasks were drawn; the rest follows from the seed."""
        return {"drawn": self._drawn, "tasks": None if self.tasks is None else len(self.tasks)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from there.

        Raises:
            ConfigError: The state is of another number of tasks.
        """
        count = None if self.tasks is None else len(self.tasks)
        if state["tasks"] != count:
            raise ConfigError(
                f"The checkpoint was made with {state['tasks']} tasks, the environment now has {count}; the order in "
                "which tasks are drawn would be another one. Use the environment as it was, or begin a new run."
            )
        self._drawn = int(state["drawn"])
