"""All numbers of a report. The page and report.json show these and no others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, count

import numpy as np

from palaestra.harness.report.facts import AgentFacts, EpisodeFacts, gather, natural
from palaestra.harness.report.run import ReportRun
from palaestra.harness.report.statistics import (
    Difference,
    Interval,
    bootstrap_interval,
    interquartile_mean,
    mean_interval,
    paired_difference,
    pass_at_k,
)

__all__ = ["Comparison", "Failures", "Figures", "Score", "SummaryRow", "Turns", "figures_of", "summary_rows"]

_MAX_COMPARED = 6  # agents that are all compared with each other; above, each with the first
_MAX_VALUES, _MAX_FIELDS = 12, 5
_MAX_KINDS = 32  # kinds are what a benchmark is scored by, and it may have many
_FIRST_FIELDS = ("kind", "hops", "difficulty", "split")
_CURVE_POINTS, _TURN_BINS = 60, 20


@dataclass(frozen=True, slots=True)
class Score:
    """A mean, and how sure it is.

    Attributes:
        mean: Over `episodes`.
        interval: Of the mean, over tasks; None where it cannot be told (one task).
        episodes: How many episodes it is over.
    """

    mean: float
    interval: Interval | None
    episodes: int


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """An agent's row in the summary.

    Attributes:
        agent: Its label.
        episodes: Valid and failed ones.
        tasks: Different tasks (start states, where there are no tasks) among them.
        valid: Terminated and truncated ones.
        terminated: Episodes that came to their end.
        truncated: Episodes that were cut off.
        failed: Episodes that broke by no action of the agent.
        outcome: Mean outcome over the valid episodes that have one; None where none has.
        outcome_iqm: Interquartile mean of the same, its interval over tasks.
        outcome_bound: The mean with every failed episode counted as 0: what the agent has at least.
        episode_return: Mean sum of rewards over the valid episodes.
        pass_at: For k = 1, 2, 4, ...: the mean over tasks with at least k valid samples of the chance that one of k
            samples has outcome 1. Empty where no task has two samples.
        turns: Mean number of turns of the valid episodes; None where there are none.
        tokens: Mean number of sampled tokens of the episodes in which a model told them; None where none did.
        seconds: Mean wall time of the episodes whose time is known.
        calls: Tool calls by status, over all episodes.
    """

    agent: str
    episodes: int
    tasks: int
    valid: int
    terminated: int
    truncated: int
    failed: int
    outcome: Score | None
    outcome_iqm: Score | None
    outcome_bound: Score | None
    episode_return: Score | None
    pass_at: Mapping[int, float]
    turns: float | None
    tokens: float | None
    seconds: float | None
    calls: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed episodes of one kind.

    Attributes:
        agent: Whose.
        kind: As recorded.
        cause: As recorded.
        retryable: As recorded.
        episodes: How many.
        example: The message of the first.
    """

    agent: str
    kind: str
    cause: str
    retryable: bool
    episodes: int
    example: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two agents on the tasks that both have done: first minus second."""

    first: str
    second: str
    of: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class Turns:
    """How many turns the valid episodes took.

    Attributes:
        bins: First and last number of turns of each bin, in order.
        counts: For each agent, episodes by bin.
    """

    bins: Sequence[tuple[int, int]]
    counts: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Figures:
    """All numbers of a report.

    Attributes:
        measure: What agents are compared by: `outcome`, or `return` where no episode has an outcome.
        summary: One row an agent.
        failures: Counted by agent, kind and cause.
        comparisons: Between agents on shared tasks.
        breakdowns: For each field of the tasks, for each of its values, for each agent, its score there.
        turns: Distribution of turns.
        rewards: For each agent, for the reward and each of its terms: (turn, mean) points.
    """

    measure: str
    summary: Sequence[SummaryRow]
    failures: Sequence[Failures]
    comparisons: Sequence[Comparison]
    breakdowns: Mapping[str, Mapping[str, Mapping[str, Score]]]
    turns: Turns
    rewards: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]] = field(default_factory=dict)


def summary_rows(runs: Sequence[ReportRun]) -> list[SummaryRow]:
    """The summary alone, for a table on a terminal."""
    rng = np.random.default_rng(0)
    return [_summary(agent, rng) for _, _, agents in gather(runs) for agent in agents]


def figures_of(agents: Sequence[AgentFacts]) -> Figures:
    """All figures, the same for the same episodes: the bootstrap has a seed of its own."""
    rng = np.random.default_rng(0)
    summary = [_summary(agent, rng) for agent in agents]
    measure = "outcome" if any(row.outcome for row in summary) else "return"
    return Figures(
        measure=measure,
        summary=summary,
        failures=[row for agent in agents for row in _failures(agent)],
        comparisons=_comparisons(agents, measure, rng),
        breakdowns=_breakdowns(agents, measure, rng),
        turns=_turns(agents),
        rewards={agent.label: agent.rewards.curves(_CURVE_POINTS) for agent in agents},
    )


def _valid(agent: AgentFacts) -> list[EpisodeFacts]:
    return [episode for episode in agent.episodes if episode.status != "failed"]


def _measured(episodes: Sequence[EpisodeFacts], measure: str) -> tuple[list[float], list[str]]:
    """Values and units of the valid episodes that have the measure."""
    pairs = [
        (episode.outcome if measure == "outcome" else episode.episode_return, episode.unit)
        for episode in episodes
        if episode.status != "failed"
    ]
    known = [(value, unit) for value, unit in pairs if value is not None and np.isfinite(value)]
    return [value for value, _ in known], [unit for _, unit in known]


def _score(
    values: Sequence[float], units: Sequence[str], rng: np.random.Generator, *, unit_range: bool
) -> Score | None:
    if not values:
        return None
    interval_of = mean_interval if unit_range else bootstrap_interval
    return Score(float(np.mean(values)), interval_of(values, rng, groups=units), len(values))


def _summary(agent: AgentFacts, rng: np.random.Generator) -> SummaryRow:
    valid = _valid(agent)
    failed = [episode for episode in agent.episodes if episode.status == "failed"]
    status = Counter(episode.status for episode in agent.episodes)
    outcomes, units = _measured(valid, "outcome")
    returns, return_units = _measured(valid, "return")
    calls: Counter[str] = Counter()
    for episode in agent.episodes:
        calls.update(episode.calls)
    iqm = bound = None
    if outcomes:
        iqm_interval = mean_interval(outcomes, rng, interquartile=True, groups=units)
        iqm = Score(interquartile_mean(outcomes), iqm_interval, len(outcomes))
        zeros = [0.0] * len(failed)
        bound = _score([*outcomes, *zeros], [*units, *(episode.unit for episode in failed)], rng, unit_range=True)
    return SummaryRow(
        agent=agent.label,
        episodes=len(agent.episodes),
        tasks=len({episode.unit for episode in agent.episodes}),
        valid=len(valid),
        terminated=status["terminated"],
        truncated=status["truncated"],
        failed=status["failed"],
        outcome=_score(outcomes, units, rng, unit_range=True),
        outcome_iqm=iqm,
        outcome_bound=bound,
        episode_return=_score(returns, return_units, rng, unit_range=False),
        pass_at=_pass_at(outcomes, units),
        turns=_mean([episode.turns for episode in valid]),
        tokens=_mean([episode.tokens for episode in valid]),
        seconds=_mean([episode.seconds for episode in valid]),
        calls=dict(sorted(calls.items())),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _pass_at(outcomes: Sequence[float], units: Sequence[str]) -> dict[int, float]:
    samples, correct = Counter(units), Counter(unit for unit, value in zip(units, outcomes, strict=True) if value >= 1)
    most = max(samples.values(), default=0)
    if most < 2:
        return {}
    ks = [2**power for power in range(most.bit_length())]
    return {k: float(np.mean([pass_at_k(n, correct[unit], k) for unit, n in samples.items() if n >= k])) for k in ks}


def _failures(agent: AgentFacts) -> list[Failures]:
    errors = [episode.error for episode in agent.episodes if episode.error is not None]
    counts = Counter((error.kind, error.cause, error.retryable) for error in errors)
    examples = {(error.kind, error.cause, error.retryable): error.message for error in reversed(errors)}
    return [Failures(agent.label, *key, count, examples[key]) for key, count in counts.most_common()]


def _comparisons(agents: Sequence[AgentFacts], measure: str, rng: np.random.Generator) -> list[Comparison]:
    found = []
    every = len(agents) <= _MAX_COMPARED
    for first, second in combinations(agents, 2):
        # The later agent is usually the one whose gain is asked for.
        if every or first is agents[0]:
            ours, theirs = _measured(second.episodes, measure), _measured(first.episodes, measure)
            difference = paired_difference(*ours, *theirs, rng, unit_range=measure == "outcome")
            if difference is not None:
                found.append(Comparison(second.label, first.label, measure, difference))
    return found


def _breakdowns(
    agents: Sequence[AgentFacts], measure: str, rng: np.random.Generator
) -> dict[str, dict[str, dict[str, Score]]]:
    values: dict[str, set[str]] = {}
    for agent in agents:
        for episode in agent.episodes:
            for name, value in episode.labels.items():
                values.setdefault(name, set()).add(value)
    # What is different in nearly every episode divides them into no kinds.
    most = min(_MAX_VALUES, max(2, *(2 * len(agent.episodes) // 3 for agent in agents)))
    fields = [name for name, found in values.items() if 2 <= len(found) <= (_MAX_KINDS if name == "kind" else most)]
    fields.sort(key=lambda name: (_FIRST_FIELDS.index(name) if name in _FIRST_FIELDS else len(_FIRST_FIELDS), name))
    breakdowns: dict[str, dict[str, dict[str, Score]]] = {}
    for name in fields[:_MAX_FIELDS]:
        breakdowns[name] = {}
        for value in sorted(values[name], key=natural):
            scores = {}
            for agent in agents:
                chosen = [episode for episode in agent.episodes if episode.labels.get(name) == value]
                score = _score(*_measured(chosen, measure), rng, unit_range=measure == "outcome")
                if score is not None:
                    scores[agent.label] = score
            breakdowns[name][value] = scores
    return breakdowns


def _widths() -> Iterator[int]:
    """1, 2, 5, 10, 20, 50, ..."""
    return (factor * 10**power for power in count() for factor in (1, 2, 5))


def _turns(agents: Sequence[AgentFacts]) -> Turns:
    lengths = {agent.label: [episode.turns for episode in _valid(agent)] for agent in agents}
    every = [length for found in lengths.values() for length in found]
    if not every:
        return Turns([], {})
    low, high = min(every), max(every)
    width = next(size for size in _widths() if high // size - low // size < _TURN_BINS)
    low = low // width * width
    starts = range(low, high + 1, width)
    bins = [(start, start + width - 1) for start in starts]
    counts = {label: [0] * len(bins) for label in lengths}
    for label, found in lengths.items():
        for length in found:
            counts[label][(length - low) // width] += 1
    return Turns(bins, counts)
