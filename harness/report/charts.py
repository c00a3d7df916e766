"""The charts of a report, from its figures."""

from __future__ import annotations

from collections.abc import Mapping

from palaestra.harness.report.figures import Figures, Score
from palaestra.harness.report.svg import Bar, bar_chart, histogram, line_chart

__all__ = ["breakdown", "rewards", "summary", "turns"]

Colours = Mapping[str, int]


def summary(figures: Figures, colours: Colours) -> str:
    """A bar for each agent: mean outcome, or return, with its interval."""
    scores = {row.agent: row.outcome if figures.measure == "outcome" else row.episode_return for row in figures.summary}
    bars = [_bar(agent, score, colours) for agent, score in scores.items()]
    return bar_chart([("", bars)], title=f"Mean {figures.measure} by agent", unit_range=figures.measure == "outcome")


def breakdown(name: str, values: Mapping[str, Mapping[str, Score]], measure: str, colours: Colours) -> str:
    """For each value of a field, a bar for each agent."""
    groups = []
    for value, scores in values.items():
        counts = [score.episodes for score in scores.values()] or [0]
        few, most = min(counts), max(counts)
        each = f"{most:,} episode{'' if most == 1 else 's'}" if few == most else f"{few:,} to {most:,} episodes"
        bars = [_bar(agent, scores.get(agent), colours) for agent in colours]
        groups.append((f"{value} ({each})", bars))
    return bar_chart(groups, title=f"Mean {measure} by {name}", unit_range=measure == "outcome")


def turns(figures: Figures, colours: Colours) -> str:
    """How many turns episodes took, for each agent; "" where no episode is valid."""
    rows = [(agent, colours[agent], counts) for agent, counts in figures.turns.counts.items() if any(counts)]
    return histogram(rows, figures.turns.bins, title="Number of turns by agent") if rows else ""


def rewards(figures: Figures) -> dict[str, str]:
    """For each agent, its mean reward and the terms of it by turn, all over the same range.

    A term that equals the reward of every agent is not drawn.
    """
    told = figures.rewards
    extra = {
        name
        for curves in told.values()
        for name, points in curves.items()
        if name != "reward" and points != curves.get("reward")
    }
    lines = {
        agent: {name: curves.get(name, []) for name in ["reward", *sorted(extra)]} for agent, curves in told.items()
    }
    values = [value for curves in lines.values() for points in curves.values() for _, value in points]
    if not any(values):
        return {}
    bounds = (min(values), max(values))
    return {
        agent: line_chart(curves, title=f"Reward of {agent} by turn", x_title="turn", bounds=bounds)
        for agent, curves in lines.items()
        if any(curves.values())
    }


def _bar(agent: str, score: Score | None, colours: Colours) -> Bar:
    if score is None:
        return Bar(agent, None, colour=colours[agent])
    low, high = (None, None) if score.interval is None else (score.interval.low, score.interval.high)
    return Bar(agent, score.mean, low, high, colours[agent])
