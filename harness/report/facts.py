"""One pass over a run's episodes: what every figure needs, in a few numbers an episode.

Episodes may be many and large, so nothing of them is kept but these.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import CallStatus, Episode, EpisodeError, EpisodeStatus, Turn
from palaestra.harness.report.run import ReportRun
from palaestra.rollouts import ArrayTurns

__all__ = ["AgentFacts", "EpisodeFacts", "RewardSums", "gather", "natural", "reward_columns"]

_MAX_SIDES = 8  # agents of a world that get a row each; above, they share one
TOTAL = "reward"


@dataclass(frozen=True, slots=True)
class EpisodeFacts:
    """An episode in a few numbers.

    Attributes:
        episode_id: See `Episode`.
        world_id: See `Episode`.
        unit: What is resampled and paired: the task, or the start state where there are no tasks.
        status: See `Episode`.
        outcome: See `Episode`.
        episode_return: Sum of rewards.
        turns: How many.
        tokens: Sampled tokens; None where no model acted, or it told no ids.
        seconds: Wall time of its world; None where unknown.
        labels: Split and plain metadata of its task, as text.
        calls: Tool calls by status.
        error: Why it failed.
    """

    episode_id: str
    world_id: str
    unit: str
    status: EpisodeStatus
    outcome: float | None
    episode_return: float
    turns: int
    tokens: int | None
    seconds: float | None
    labels: Mapping[str, str]
    calls: Mapping[CallStatus, int]
    error: EpisodeError | None


class RewardSums:
    """Sums over episodes of the reward and its terms, by turn."""

    def __init__(self) -> None:
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._counts: dict[str, NDArray[np.int64]] = {}

    def add(self, columns: Mapping[str, NDArray[np.float64]]) -> None:
        """Adds an episode's columns, each (T,); NaN is no value."""
        for name, column in columns.items():
            if not len(column):
                continue
            known = np.isfinite(column)
            self._grow(name, np.where(known, column, 0.0), known.astype(np.int64))

    def merge(self, other: RewardSums) -> None:
        """Adds what another one holds."""
        for name, sums in other._sums.items():
            self._grow(name, sums, other._counts[name])

    def _grow(self, name: str, sums: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
        if len(self._sums.get(name, ())) < len(sums):
            grow = len(sums) - len(self._sums.get(name, ()))
            self._sums[name] = np.append(self._sums.get(name, np.zeros(0)), np.zeros(grow))
            self._counts[name] = np.append(self._counts.get(name, np.zeros(0, np.int64)), np.zeros(grow, np.int64))
        self._sums[name][: len(sums)] += sums
        self._counts[name][: len(sums)] += counts

    def curves(self, max_points: int) -> dict[str, list[tuple[float, float]]]:
        """For each term, (turn from 1, mean over the episodes that came so far); many turns are put into bins."""
        curves: dict[str, list[tuple[float, float]]] = {}
        for name, sums in self._sums.items():
            counts = self._counts[name]
            edges = np.linspace(0, len(sums), min(len(sums), max_points) + 1).round().astype(int)
            points = []
            for start, end in pairwise(edges.tolist()):
                count = int(counts[start:end].sum())
                if count:
                    points.append(((start + 1 + end) / 2, float(sums[start:end].sum() / count)))
            curves[name] = points
        return curves


@dataclass(slots=True)
class AgentFacts:
    """An agent's episodes. In a world of several agents, each side is an agent of its own here.

    Attributes:
        label: Its name in the report, unique.
        episodes: In the order of their ids.
        rewards: Of the valid ones.
    """

    label: str
    episodes: list[EpisodeFacts] = field(default_factory=list)
    rewards: RewardSums = field(default_factory=RewardSums)


def gather(runs: Sequence[ReportRun]) -> list[tuple[str, ReportRun, list[AgentFacts]]]:
    """For each run: its label (a name that comes again gets a number), the run, and its agents."""
    seen: Counter[str] = Counter()
    found = []
    for run in runs:
        seen[run.name] += 1
        label = run.name if seen[run.name] == 1 else f"{run.name} ({seen[run.name]})"
        found.append((label, run, _agents(label, run)))
    return found


def natural(text: str) -> tuple[tuple[str, int], ...]:
    """A key that sorts "#2" before "#10"."""
    return tuple((word, int(number or -1)) for word, number in re.findall(r"(\D*)(\d{0,18})", text))


def reward_columns(turns: Sequence[Turn]) -> dict[str, NDArray[np.float64]]:
    """The reward and each of its terms by turn, float64 (T,); a turn without a term has NaN there."""
    if isinstance(turns, ArrayTurns):
        return {TOTAL: turns.rewards, **{name: turns.terms[name] for name in sorted(turns.terms) if name != TOTAL}}
    columns = {TOTAL: np.array([float(turn.reward) for turn in turns])}
    for name in sorted({name for turn in turns for name in turn.terms} - {TOTAL}):
        columns[name] = np.array([float(turn.terms.get(name, np.nan)) for turn in turns])
    return columns


def _agents(label: str, run: ReportRun) -> list[AgentFacts]:
    sides: dict[str, AgentFacts] = {}
    lone: list[EpisodeFacts] = []  # of worlds that failed before they had agents
    has_tasks, by_seed = False, {}
    for episode in run.episodes:
        facts = _facts(episode, run.timings)
        has_tasks = has_tasks or episode.task is not None
        if episode.task is None:
            by_seed[episode.episode_id] = f"seed {episode.seed}"
        single = episode.world_size == 1
        side = sides.setdefault("" if single else episode.agent_id, AgentFacts(label))
        side.episodes.append(facts)
        if episode.valid:
            side.rewards.add(reward_columns(episode.turns))
    several = [name for name in sides if name]
    if several:
        lone = sides.pop("").episodes if "" in sides else []
        if len(several) > _MAX_SIDES:
            sides = {"": _merged(label, [sides[name] for name in several])}
        else:
            for name in several:
                sides[name].label = f"{label} · {name}"
    agents = [sides[name] for name in sorted(sides, key=natural)] or [AgentFacts(label)]
    for agent in agents:
        # Without tasks all episodes share one group; what differs is where they start.
        whole = [*agent.episodes, *lone]
        if not has_tasks:
            whole = [replace(facts, unit=by_seed.get(facts.episode_id, facts.unit)) for facts in whole]
        agent.episodes = sorted(whole, key=lambda facts: (natural(facts.world_id), natural(facts.episode_id)))
    return agents


def _merged(label: str, sides: Sequence[AgentFacts]) -> AgentFacts:
    whole = AgentFacts(label)
    for side in sides:
        whole.episodes.extend(side.episodes)
        whole.rewards.merge(side.rewards)
    return whole


def _facts(episode: Episode, timings: Mapping[str, float]) -> EpisodeFacts:
    task, turns = episode.task, episode.turns
    calls: Counter[CallStatus] = Counter()
    samples = []
    if isinstance(turns, ArrayTurns):
        episode_return = float(turns.rewards.sum())
    else:
        calls.update(call.status for turn in turns for call in turn.calls)
        samples = [len(turn.completion.token_ids) for turn in turns if turn.completion is not None]
        episode_return = episode.episode_return
    labels = {}
    if task is not None:
        plain = {name: value for name, value in task.metadata.items() if isinstance(value, str | int | bool)}
        labels = {"split": task.split, **{name: str(value) for name, value in plain.items()}}
    return EpisodeFacts(
        episode_id=episode.episode_id,
        world_id=episode.world_id,
        unit=f"task {task.id}" if task is not None else f"task {episode.group_id}",
        status=episode.status,
        outcome=episode.outcome,
        episode_return=episode_return,
        turns=len(turns),
        tokens=sum(samples) if any(samples) else None,
        seconds=timings.get(episode.world_id),
        labels=labels,
        calls=dict(calls),
        error=episode.error,
    )
