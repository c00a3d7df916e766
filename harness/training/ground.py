"""What a training run stands on: its environment, tasks, credit and advantage, checked before the first rollout."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from palaestra import registration
from palaestra.errors import ConfigError
from palaestra.harness.plan import Plan, kwargs_of
from palaestra.harness.scoring import available_for, truth_of
from palaestra.harness.training.recipe import AlsoSection, EnvironmentSection, Recipe
from palaestra.harness.training.step import least_group
from palaestra.harness.worlds import World, world_of
from palaestra.models import Scorer
from palaestra.plugins import load_object
from palaestra.registration import EnvCard
from palaestra.rewards.base import Advantage, Credit, CreditBatch, Models, check_requires
from palaestra.rewards.registry import make
from palaestra.snapshots import ReplayLog
from palaestra.tasks import TaskSet

__all__ = ["Ground", "check_recipe", "open_ground"]


@dataclass(frozen=True, slots=True)
class Ground:
    """An environment to train on.

    Attributes:
        asked: What the recipe says of it.
        card: Its card.
        kwargs: What its instances are made with.
        probe: An instance that stays open: it keeps alive what instances share.
        tasks: Those of the split; None where the environment has none.
        truth: What ground truth there is among its tasks.
        render_answer: How a final answer is said; None where the environment cannot say one.
        render_calls: How calls are said; None where it cannot say any.
    """

    asked: EnvironmentSection | AlsoSection
    card: EnvCard
    kwargs: Mapping[str, Any]
    probe: World
    tasks: TaskSet | None
    truth: Mapping[str, Any]
    render_answer: Callable[[str], tuple[str, tuple[int, int]]] | None
    render_calls: Callable[[Sequence[Mapping[str, Any]]], tuple[str, tuple[int, int]]] | None = None

    def models(self, scorer: Scorer) -> Models:
        """What a credit may ask here, with a scorer."""
        return Models(scorer=scorer, render_answer=self.render_answer, render_calls=self.render_calls)

    def make_world(self) -> World:
        """A world of its own."""
        made = registration.make(self.card.id, **self.kwargs)
        return world_of(made.env if isinstance(made, ReplayLog) else made)  # nobody takes snapshots while training

    @property
    def task_ids(self) -> list[str] | None:
        """The ids of the tasks; None where there are none."""
        return None if self.tasks is None else [task.id for task in self.tasks]


def open_ground(recipe: Recipe, name: str = "", changes: Mapping[str, Any] | None = None) -> Ground:
    """Opens an environment of a recipe.

    Args:
        recipe: The recipe.
        name: Of the environment; see `Recipe.environments`.
        changes: For its constructor, over what the recipe says.

    Raises:
        PalaestraError: It cannot be made, is not spoken to in text, or has no tasks in the split.
    """
    section = recipe.environments[name]
    card = registration.card(section.id)
    if card.interface != "text" or card.agents != "single":
        raise ConfigError(f"{card.id} is no environment in which one agent speaks, so no language model learns in it.")
    if card.concurrency == "process" and recipe.rollout.concurrency > 1:
        raise ConfigError(f"{card.id} can run only once in a process; set rollout.concurrency = 1.")
    kwargs = kwargs_of(Plan(section.id, {**section.kwargs, **(changes or {})}, section.split), card)
    made: Any = registration.make(section.id, **kwargs)
    probe = world_of(made)
    tasks = probe.tasks()
    if tasks is not None:
        tasks = tasks if "split" in kwargs else tasks.where(split=section.split)
        if not len(tasks):
            raise ConfigError(f"{card.id} has no task in the split '{section.split}'.")
    truth = {} if tasks is None else truth_of(tasks)
    env = made.unwrapped
    return Ground(section, card, kwargs, probe, tasks, truth, _answering(env), getattr(env, "render_calls", None))


def _answering(env: Any) -> Callable[[str], tuple[str, tuple[int, int]]] | None:
    """The environment's way to say an answer, where it works."""
    render: Callable[[str], tuple[str, tuple[int, int]]] | None = getattr(env, "render_answer", None)
    if render is not None:
        try:
            render("answer")
        except ValueError:
            return None
    return render


def check_recipe(recipe: Recipe, grounds: Iterable[Ground], scorer: Scorer) -> tuple[Credit, Advantage]:
    """Makes credit and advantage, and refuses what could not work here.

    Args:
        recipe: The recipe.
        grounds: Its environments.
        scorer: Whom the credit will be able to ask.

    Raises:
        PalaestraError: An unknown name or option; a credit that needs what there is not; groups too small.
    """
    credit: Any = make(recipe.credit.name, **recipe.credit.options)
    if not hasattr(credit, "requires") or hasattr(credit, "scope"):
        raise ConfigError(f"credit.name is '{credit.name}', which is no credit: choose outcome, igpo, spa, ...")
    for ground in grounds:
        check_requires(credit, available_for(ground.card, ground.truth, ground.models(scorer)))
    options = dict(recipe.advantage.options)
    if strata := recipe.advantage.strata:
        options["strata"] = load_object(strata) if ":" in strata else strata
    advantage: Any = make(recipe.advantage.name, **options)
    if not hasattr(advantage, "metrics"):
        raise ConfigError(f"advantage.name is '{advantage.name}', which is no advantage: choose group-normalized, ...")
    least = least_group(advantage)
    if recipe.rollout.group_size < least:
        raise ConfigError(
            f"rollout.group_size is {recipe.rollout.group_size}: the advantage '{advantage.name}' compares episodes of "
            f"one task with each other and needs at least {least}."
        )
    if recipe.learner.temperature != recipe.rollout.temperature:
        raise ConfigError(
            f"learner.temperature is {recipe.learner.temperature:g} and rollout.temperature "
            f"{recipe.rollout.temperature:g}: the policy that is trained is the one that is sampled. Leave out "
            "learner.temperature."
        )
    if recipe.learner.objective == "gspo" and _differs_by_turn(advantage):
        raise ConfigError(
            f"The objective gspo has one advantage an episode, and '{advantage.name}' gives each turn its own. "
            "Use learner.objective = 'gspo_token'."
        )
    return credit, advantage


def _differs_by_turn(advantage: Advantage) -> bool:
    """Whether it can give the turns of an episode different advantages."""
    nothing, turns = np.zeros(2, np.int64), np.array([[0, 1], [0, 1]])
    values = np.array([[1.0, 0.0], [0.0, 0.5]])
    batch = CreditBatch(
        nothing, np.ones(2, bool), nothing + 2, turns, nothing, values, np.zeros(2), nothing, values.sum(1)
    )
    # A copy, for calling it may teach it.
    return bool(np.ptp(copy.deepcopy(advantage)(batch), axis=1).any())
