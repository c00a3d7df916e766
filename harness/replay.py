"""Plays recorded actions again in a fresh environment and compares everything that comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from palaestra import registration
from palaestra.blobs import BlobStore, MemoryBlobs
from palaestra.episodes import Episode, Turn
from palaestra.errors import ConfigError, RecordError
from palaestra.harness.manifest import HIDDEN, differences
from palaestra.harness.play import Play
from palaestra.harness.run_folder import Run
from palaestra.harness.schedule import Request
from palaestra.harness.worlds import World, world_of
from palaestra.records import encode_value
from palaestra.rollouts import ArrayTurns

__all__ = ["Replay", "replay"]


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay found.

    Attributes:
        world_id: What was played again.
        turns: How many turns, of all agents.
        differences: One sentence for each thing that came out differently; empty where all was equal.
        nondeterministic: Whether the environment's card says that differences are to be expected.
    """

    world_id: str
    turns: int
    differences: tuple[str, ...]
    nondeterministic: bool


def replay(run: Run, episode_id: str, *, at_most: int = 20) -> Replay:
    """Plays an episode's world again, with the recorded actions of all its agents.

    Observations, environment rewards, flags, infos, tool calls, status and outcome are compared bit by bit. What
    models and other rewards gave is not played again.

    Args:
        run: Where it was recorded.
        episode_id: Any of the world's episodes.
        at_most: How many differences to collect.

    Raises:
        UnknownNameError: There is no such episode.
        ConfigError: The environment was made with something that a record does not keep.
    """
    world_id = run.episode(episode_id).world_id
    recorded = [run.episode(entry.episode_id) for entry in run.entries if entry.world_id == world_id]
    first = recorded[0]
    if HIDDEN in str(first.env_kwargs):
        raise ConfigError("The environment was made with a secret, which records do not keep; replay in Python.")
    request = Request(
        world_id, None if first.task is None else first.task.id, 0, first.group_id, first.seed, first.attempt
    )
    card = registration.card(first.env_id)
    world = _Recorded(world_of(registration.make(first.env_id, **first.env_kwargs)), recorded)
    try:
        play = Play(
            world,
            request,
            _Agent(),
            _nobody,
            env_id=first.env_id,
            env_kwargs=first.env_kwargs,
            run_seed=0,
            max_turns=max(1, *(len(episode.turns) for episode in recorded)),
        )
        played = {episode.agent_id: episode for episode in play.run()}
    finally:
        world.close()
    found: list[str] = []
    for episode in recorded:
        other = played.get(episode.agent_id)
        prefix = f"{episode.agent_id}: " if len(recorded) > 1 else ""
        problems = [f"it has no episode of {episode.agent_id}"] if other is None else _compared(episode, other)
        for problem in problems:
            if len(found) < at_most:
                found.append(prefix + problem)
    return Replay(world_id, sum(len(episode.turns) for episode in recorded), tuple(found), card.nondeterministic)


class _Agent:
    """The policy of a replay."""

    name = "replay"
    policy: str | None = "replay"

    async def act(self, view: Any) -> Any:
        raise NotImplementedError

    def finish(self, episode_id: str) -> None:
        """Nothing is kept."""

    def describe(self) -> Mapping[str, Any]:
        return {}

    def close(self) -> None:
        """Nothing is held."""


def _nobody(views: Any) -> Any:
    raise NotImplementedError


class _Recorded:
    """A world whose only policy is to do what was recorded."""

    def __init__(self, world: World, recorded: Sequence[Episode]) -> None:
        self._world = world
        self._actions = {episode.agent_id: iter([turn.action for turn in episode.turns]) for episode in recorded}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def policy(self, name: str, agent: str, rng: np.random.Generator) -> Any:
        actions = self._actions.get(agent, iter(()))

        def act(observation: Any) -> Any:
            try:
                return next(actions)
            except StopIteration:
                raise RecordError("the episode went on after its last recorded action") from None

        return act


def _compared(before: Episode, after: Episode) -> Iterator[str]:
    blobs = MemoryBlobs()
    if before.status != after.status:
        why = "" if after.error is None else f" ({after.error.kind}: {after.error.message})"
        yield f"status: was {before.status}, is {after.status}{why}"
    if before.outcome != after.outcome:
        yield f"outcome: was {before.outcome}, is {after.outcome}"
    if len(before.turns) != len(after.turns):
        yield f"turns: was {len(before.turns)}, is {len(after.turns)}"
    yield from _differ("reset info", before.info, after.info, blobs)
    for t, (seen, sees) in enumerate(zip(before.observations, after.observations, strict=False)):
        yield from _differ(f"observation {t}", seen, sees, blobs)
    # Columns keep the info of the last step alone.
    kept = before.turns.infos if isinstance(before.turns, ArrayTurns) else range(len(before.turns))
    for old, new in zip(before.turns, after.turns, strict=False):
        yield from _differ(f"turn {old.t}", _facts(old, old.t in kept), _facts(new, old.t in kept), blobs)


def _facts(turn: Turn, with_info: bool) -> dict[str, Any]:
    return {
        "reward": float(turn.terms.get("env", turn.reward)),
        "terminated": turn.terminated,
        "truncated": turn.truncated,
        "calls": turn.calls,
        "info": turn.info if with_info else {},
    }


def _differ(where: str, before: Any, after: Any, blobs: BlobStore) -> Iterator[str]:
    old, new = encode_value(before, blobs), encode_value(after, blobs)
    if old != new:
        yield from differences(old, new, where)
