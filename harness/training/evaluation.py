"""Held-out tasks during training: ordinary runs in the folder `eval`."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from palaestra import registration
from palaestra.agents.base import Agent
from palaestra.errors import ConfigError, PalaestraError
from palaestra.harness.api import run
from palaestra.harness.plan import Plan, kwargs_of
from palaestra.harness.report.statistics import mean_interval
from palaestra.harness.run_folder import Run
from palaestra.harness.runner import Limits
from palaestra.harness.training.collect import Interrupted
from palaestra.harness.training.ground import Ground
from palaestra.harness.training.listener import Listener
from palaestra.harness.training.recipe import Recipe
from palaestra.harness.worlds import world_of

__all__ = ["check_evaluation", "evaluate", "evaluation_figures"]


def check_evaluation(recipe: Recipe, ground: Ground) -> None:
    """Refuses held-out tasks that are none: those of training, or a split without any.

    Raises:
        ConfigError: The splits overlap, or there is nothing to play.
    """
    trained, held_out = ground.asked.split, recipe.evaluation.split
    if ground.tasks is None or not recipe.evaluation.episodes:
        return
    if not recipe.evaluation.kwargs and (trained == held_out or "all" in (trained, held_out)):
        raise ConfigError(
            f"evaluation.split is '{held_out}' and {ground.card.id} trains on '{trained}', so tasks of training would "
            "be called held out. Choose two of train, val and test, give evaluation.kwargs that make other tasks of "
            "them, or set evaluation.episodes = 0."
        )
    kwargs = kwargs_of(Plan(ground.asked.id, _kwargs(recipe, ground), held_out), ground.card)
    try:
        with closing(world_of(registration.make(ground.card.id, **kwargs))) as world:
            tasks = world.tasks()
            if not tasks or ("split" not in kwargs and not tasks.where(split=held_out)):
                raise ConfigError(f"{ground.card.id} has no such task.")
    except PalaestraError as error:
        raise ConfigError(f"evaluation.split is '{held_out}': {error}") from error


def evaluate(recipe: Recipe, ground: Ground, agent: Agent, folder: Path, listener: Listener) -> dict[str, float]:
    """Plays the held-out tasks and returns their figures.

    Args:
        recipe: The recipe.
        ground: One of its environments.
        agent: The policy as it is, with the temperature of evaluation.
        folder: The run folder to write.
        listener: Is told how it goes.
    """
    section, rollout = recipe.evaluation, recipe.rollout
    played = run(
        ground.card.id,
        agent,
        folder,
        env_kwargs=_kwargs(recipe, ground),
        split=None if ground.tasks is None else section.split,
        episodes=section.episodes,
        samples=section.samples,
        seed=section.seed,
        concurrency=rollout.concurrency,
        limits=Limits(retries=rollout.retries, turns=rollout.max_turns),
        deterministic=rollout.deterministic,
        on_start=lambda done, total: listener.phase(f"evaluation ({folder.parent.name}/{folder.name})", total),
        on_world=lambda episodes: listener.advance(),
    )
    if played.manifest["status"] == "interrupted":
        raise Interrupted("Interrupted during an evaluation.")
    return evaluation_figures(played)


def _kwargs(recipe: Recipe, ground: Ground) -> dict[str, Any]:
    return {**ground.asked.kwargs, **recipe.evaluation.kwargs}


def evaluation_figures(played: Run) -> dict[str, float]:
    """`outcome` over valid episodes with `outcome_low` and `outcome_high` (95 %, over tasks), `failed`, and lengths."""
    outcomes: list[float] = []
    groups: list[str] = []
    turns: list[int] = []
    tokens: list[int] = []
    status: Counter[str] = Counter()
    for episode in played.episodes():
        status[episode.status] += 1
        if not episode.valid:
            continue
        turns.append(len(episode.turns))
        tokens.append(sum(len(turn.completion.token_ids) for turn in episode.turns if turn.completion is not None))
        if episode.outcome is not None:
            outcomes.append(episode.outcome)
            groups.append(episode.group_id)
    figures: dict[str, Any] = {
        "episodes": sum(status.values()),
        "failed": status["failed"],
        "truncated": status["truncated"],
        "turns": _mean(turns),
        "tokens": _mean(tokens),
        "outcome": _mean(outcomes),
    }
    if outcomes and (interval := mean_interval(outcomes, np.random.default_rng(0), groups=groups)) is not None:
        figures |= {"outcome_low": interval.low, "outcome_high": interval.high}
    return {name: float(value) for name, value in figures.items()}


def _mean(values: list[Any]) -> float:
    return float(np.mean(values)) if values else float("nan")
