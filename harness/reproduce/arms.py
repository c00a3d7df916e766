"""The two recipes of a claim, made so that they differ in the reward alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from palaestra.errors import ConfigError
from palaestra.harness.manifest import differences
from palaestra.harness.reproduce.claim import Claim
from palaestra.harness.training.recipe import ModelSection, Recipe, WarmStartSection, load_recipe, without

__all__ = ["ARMS", "Arm", "Arms", "arm_of", "load_arms", "shorter", "with_start"]

Arm = Literal["method", "baseline"]
ARMS: tuple[Arm, Arm] = ("method", "baseline")

_OWN = ("name", "description", "credit", "advantage")


@dataclass(frozen=True, slots=True)
class Arms:
    """Method and baseline.

    Attributes:
        method: The method's recipe.
        baseline: The baseline's.
    """

    method: Recipe
    baseline: Recipe

    def of(self, arm: Arm) -> Recipe:
        """One of the two."""
        return self.method if arm == "method" else self.baseline

    @property
    def differences(self) -> list[str]:
        """Where they differ beside name, credit and advantage; in the learner alone, or they could not be compared."""
        return list(differences(without(self.baseline.to_json(), *_OWN), without(self.method.to_json(), *_OWN)))


def load_arms(claim: Claim, folder: Path, *, on: Path | None = None, overrides: Sequence[str] = ()) -> Arms:
    """Reads a claim's two recipes.

    Args:
        claim: The claim.
        folder: Where its recipes are.
        on: Another recipe, from which both take all but credit and advantage.
        overrides: `SECTION.KEY=VALUE` pairs, for both.

    Raises:
        PalaestraError: A recipe cannot be read, or is of another design than the claim's.
        ConfigError: The two differ in more than credit, advantage and learner, or have one name.
    """
    for name in (claim.method, claim.baseline):
        if not (folder / name).is_file():
            raise ConfigError(
                f"There is no recipe {folder / name}. The recipes are at the top of palaestra's repository; give their "
                "folder by --recipes, or run the positive control alone by --control."
            )
    recipes = [load_recipe(folder / name, overrides) for name in (claim.method, claim.baseline)]
    if on is not None:
        shared = load_recipe(on, overrides)
        recipes = [
            dataclasses.replace(
                shared,
                name=recipe.name,
                description=recipe.description,
                credit=recipe.credit,
                advantage=recipe.advantage,
            )
            for recipe in recipes
        ]
    arms = Arms(*recipes)
    for arm in ARMS:
        if arm_of(claim, arms.of(arm).credit.name, arms.of(arm).advantage.name) != arm:
            wanted = claim.design if arm == "method" else claim.baseline_design
            raise ConfigError(
                f"The {arm} of '{claim.name}' is credit {wanted[0]} with advantage {wanted[1]}, but its recipe has "
                f"{arms.of(arm).credit.name} with {arms.of(arm).advantage.name}."
            )
    if arms.method.name == arms.baseline.name:
        raise ConfigError(
            f"Both recipes of '{claim.name}' are named '{arms.method.name}', and runs are kept by the name of their "
            "recipe; give one of them another name."
        )
    own = (*_OWN, "learner")
    unfair = list(differences(without(arms.baseline.to_json(), *own), without(arms.method.to_json(), *own)))
    if unfair:
        raise ConfigError(
            f"The recipes of '{claim.name}' differ in more than their reward (baseline first): {'; '.join(unfair)}. "
            "Make them equal, or give one for both by --on RECIPE."
        )
    return arms


def arm_of(claim: Claim, credit: str, advantage: str) -> Arm | None:
    """Which arm of a claim has this design; None where neither has."""
    designs: dict[tuple[str, str], Arm] = {claim.design: "method", claim.baseline_design: "baseline"}
    return designs.get((credit, advantage))


def with_start(recipe: Recipe, start: Path) -> Recipe:
    """The same recipe, beginning with a policy that was already warm-started."""
    model = ModelSection(name=str(start), device=recipe.model.device, dtype=recipe.model.dtype)
    return dataclasses.replace(recipe, model=model, warm_start=WarmStartSection())


def shorter(recipe: Recipe) -> Recipe:
    """A recipe for a smoke run: everything happens, little of it."""

    def least(section: object, name: str, bound: int) -> int:
        return min(int(getattr(section, name)), bound)

    warm = dataclasses.replace(
        recipe.warm_start,
        episodes=least(recipe.warm_start, "episodes", 300),
        copying=least(recipe.warm_start, "copying", 200),
        versions=least(recipe.warm_start, "versions", 1),
        learner=dataclasses.replace(recipe.warm_start.learner, epochs=1),
    )
    rollout = dataclasses.replace(
        recipe.rollout,
        tasks_per_step=least(recipe.rollout, "tasks_per_step", 4),
        group_size=least(recipe.rollout, "group_size", 4),
    )
    evaluation = dataclasses.replace(
        recipe.evaluation, every=2, episodes=least(recipe.evaluation, "episodes", 20), samples=1
    )
    return dataclasses.replace(
        recipe, warm_start=warm, rollout=rollout, evaluation=evaluation
    ).with_train(steps=least(recipe.train, "steps", 4))  # fmt: skip
