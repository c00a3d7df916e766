"""Scores a recorded run by other rewards, without playing it again."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from palaestra import registration
from palaestra.episodes import Episode
from palaestra.harness.run_folder import Run
from palaestra.harness.scoring import Rewards, SlotScoring
from palaestra.harness.worlds import world_of
from palaestra.records import dump_line
from palaestra.rewards.base import Models

__all__ = ["Rescored", "rescore"]


@dataclass(frozen=True, slots=True)
class Rescored:
    """What scoring a run again gave.

    Attributes:
        path: The file with the scores, one JSON line an episode: `episode_id`, `attempt`, `reward` (its sum; null where
            a reward does not apply), `rewards` and `terms` by turn.
        scored: How many episodes have a score.
        unscored: How many valid ones have none.
        failed: How many failed, and are not scored.
        means: Mean over scored episodes of the summed reward (`reward`) and of each term.
    """

    path: Path
    scored: int
    unscored: int
    failed: int
    means: Mapping[str, float]


def rescore(
    run: Run, rewards: Sequence[Any], *, models: Models | None = None, out: str | os.PathLike[str] | None = None
) -> Rescored:
    """Scores every episode of a run by the given rewards and writes a new file; the run itself stays as it is.

    Args:
        run: The run.
        rewards: `NAME`, `NAME:WEIGHT`, or pairs of a reward and its weight.
        models: What rewards may ask.
        out: The file; by default one in the run's folder `scores`, named by the rewards.

    Raises:
        PalaestraError: There is no such reward, or it needs what is not there.
    """
    plan = Rewards.of(rewards, models)
    card = registration.card(run.env_id)
    first = next(run.episodes(), None)
    plan.check(card, {} if first is None else first.privileged)
    path = Path(out) if out is not None else run.path / "scores" / f"{_label(plan)}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    scored = unscored = failed = 0
    sums: dict[str, float] = {}
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            for episode in _scored(run, plan):
                if not episode.valid:
                    failed += 1
                    continue
                line = _line(episode)
                file.write(dump_line(line))
                if line["reward"] is None:
                    unscored += 1
                    continue
                scored += 1
                totals = {"reward": line["reward"], **{term: sum(values) for term, values in line["terms"].items()}}
                for key, value in totals.items():
                    sums[key] = sums.get(key, 0.0) + value
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Rescored(path, scored, unscored, failed, {key: value / scored for key, value in sums.items()})


def _label(plan: Rewards) -> str:
    from palaestra.harness.schedule import slug

    return slug("+".join(f"{name}-{weight:g}" for name, weight in plan.weights.items() if name != "env" or weight))


def _scored(run: Run, plan: Rewards) -> Iterator[Episode]:
    """Episodes in the order of their file, group by group where a credit compares the samples of a task."""
    groups: dict[str, list[str]] = {}
    for entry in run.entries:
        groups.setdefault(entry.world_id.rpartition("#")[0], []).append(entry.episode_id)
    with closing(world_of(registration.make(run.env_id, **_kwargs(run)))) as spaces:
        for ids in groups.values():
            scoring = SlotScoring(plan, spaces)
            episodes = [_plain(run.episode(episode_id)) for episode_id in ids]
            yield from scoring.again(episodes)


def _kwargs(run: Run) -> dict[str, Any]:
    return dict(next(run.episodes()).env_kwargs) if len(run) else dict(run.manifest["env"]["kwargs"])


def _plain(episode: Episode) -> Episode:
    """As the environment gave it, before any reward."""
    turns = []
    for turn in episode.turns:
        reward = float(turn.terms.get("env", turn.reward))
        turns.append(replace(turn, reward=reward, terms={"env": reward}))
    return replace(episode, turns=turns)


def _line(episode: Episode) -> dict[str, Any]:
    rewards = [None if math.isnan(turn.reward) else turn.reward for turn in episode.turns]
    names = list(dict.fromkeys(name for turn in episode.turns for name in turn.terms))
    known = [value for value in rewards if value is not None]
    return {
        "episode_id": episode.episode_id,
        "attempt": episode.attempt,
        "reward": math.fsum(known) if len(known) == len(rewards) else None,
        "rewards": rewards,
        "terms": {name: [turn.terms.get(name, 0.0) for turn in episode.turns] for name in names},
    }
