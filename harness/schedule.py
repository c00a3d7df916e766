"""What a run has to do: its requests, and the seeds that follow from them alone."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from palaestra.errors import ConfigError
from palaestra.tasks import Task, TaskSet

__all__ = ["Request", "choose_tasks", "make_requests", "seed_of", "slug"]


def seed_of(*parts: int | str | None) -> int:
    """A seed in [0, 2**31) that is a hash of the parts: the same in every process, at every concurrency."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def slug(name: str) -> str:
    """A name as a file or folder can have it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"


@dataclass(frozen=True, slots=True)
class Request:
    """One world to be played.

    Attributes:
        world_id: Readable and unique in the run ("bridge-bhutan-017#0"); with one agent also its episode's id.
        task_id: Which task; None where the environment has none.
        sample: The how-manieth of this task, from 0.
        group_id: Shared by the samples of one task.
        seed: What the environment is reset with.
        attempt: From 0; counts retries after failures.
    """

    world_id: str
    task_id: str | None
    sample: int
    group_id: str
    seed: int
    attempt: int = 0


def choose_tasks(tasks: TaskSet, seed: int, count: int | None, ids: Sequence[str] = ()) -> list[Task]:
    """Which tasks a run plays.

    Args:
        tasks: What there is to choose from.
        seed: The run's seed; decides which, when there are more than enough.
        count: How many at most; None for all.
        ids: Exactly these, in this order.

    Raises:
        UnknownNameError: No task has one of the ids.
    """
    if ids:
        return [tasks.get(task_id) for task_id in ids]
    ordered = sorted(tasks, key=lambda task: (seed_of(seed, task.id, "order"), task.id))
    return ordered if count is None else ordered[:count]


def make_requests(env_id: str, tasks: Sequence[Task] | None, seed: int, samples: int, episodes: int) -> list[Request]:
    """The requests of a run, in order.

    Args:
        env_id: Names the episodes of environments without tasks.
        tasks: The tasks to play; None where the environment has none.
        seed: The run's seed.
        samples: How often each task is played, or each of the `episodes` where there are no tasks.
        episodes: How many episodes, where there are no tasks.

    Raises:
        ConfigError: A count is below 1.
    """
    for name, value in (("samples", samples), ("episodes", episodes)):
        if value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1.")
    if tasks is None:
        name = env_id.rpartition("/")[2].lower()
        keys: list[tuple[str | None, str, int]] = [(None, name, sample) for sample in range(episodes * samples)]
    else:
        keys = [(task.id, task.id, sample) for task in tasks for sample in range(samples)]
    return [
        Request(f"{group}#{sample}", task_id, sample, group, seed_of(seed, task_id, sample))
        for task_id, group, sample in keys
    ]
