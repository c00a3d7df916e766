"""Recipes: all that a training run is asked for, typed, read from TOML."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from palaestra.agents.learners.group_policy import GroupPolicyConfig
from palaestra.agents.learners.warm_start import SupervisedConfig
from palaestra.agents.models.small import SmallConfig
from palaestra.errors import ConfigError
from palaestra.harness.training.typed import Source, from_table, read_source, to_table, write_toml

__all__ = [
    "AdvantageSection",
    "AlsoSection",
    "CreditSection",
    "EnvironmentSection",
    "EvaluationSection",
    "ModelSection",
    "Recipe",
    "RolloutSection",
    "TrainSection",
    "WarmStartSection",
    "completed",
    "load_recipe",
    "without",
]


def _at_least(section: Any, least: Mapping[str, float]) -> None:
    for name, bound in least.items():
        value = getattr(section, name)
        if value is not None and not value >= bound:
            raise ConfigError(f"{name} is {value}; it must be at least {bound:g}.")


@dataclass(frozen=True, slots=True)
class EnvironmentSection:
    """What is trained on.

    Attributes:
        id: The environment, optionally as "module:id".
        split: Which tasks; of environments without tasks it says nothing.
        kwargs: For its constructor.
    """

    id: str
    split: Literal["train", "val", "test", "all"] = "train"
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlsoSection:
    """A further environment that the same policy is trained on, in every step.

    Attributes:
        id: As in `EnvironmentSection`, as are the next two.
        split: Which tasks.
        kwargs: For its constructor.
        tasks_per_step: Groups a step here; `rollout.tasks_per_step` are those of the recipe's own environment.
        warm_start: Scripted episodes to learn from here, beside `warm_start.episodes`.
    """

    id: str
    split: Literal["train", "val", "test", "all"] = "train"
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    tasks_per_step: int = 8
    warm_start: int = 0

    def __post_init__(self) -> None:
        _at_least(self, {"tasks_per_step": 1, "warm_start": 0})


@dataclass(frozen=True, slots=True)
class ModelSection:
    """Who learns.

    Attributes:
        name: `small` (about a million parameters, made from the environment's own texts), `smollm2`, or the path of a
            model as `save_pretrained` writes it.
        device: `cpu`, `cuda`, ...; "" for CUDA where there is one.
        dtype: `float32` or `bfloat16`; "" for bfloat16 on CUDA and float32 elsewhere.
        small: Sizes of the small model. Its seed is combined with that of the warm start.
    """

    name: str = "small"
    device: str = ""
    dtype: Literal["", "float32", "bfloat16"] = ""
    small: SmallConfig = field(default_factory=SmallConfig)


@dataclass(frozen=True, slots=True)
class WarmStartSection:
    """Supervised learning before the first rollout.

    It follows from `seed` and not from that of the run, so that all runs of a recipe begin with the same policy.

    Attributes:
        episodes: How many scripted episodes to learn from; 0 for no warm start unless `runs` are given.
        policy: Which policy of the environment plays them.
        kwargs: For the environments' constructors while it does, over those of training: a world of its own, so that
            what is learned by heart here is no help there.
        solved: Whether only episodes with outcome 1 are learned from.
        grounded: Whether only episodes are learned from in which all that the last turn says was read before.
        runs: Recorded runs to learn from instead.
        copying: How many sequences of repeated random tokens are learned first; see
            `palaestra.agents.learners.copying`.
        versions: How many versions with invented names are learned beside each episode.
        share: Share of the names that are invented in them.
        seed: Of the model's first weights, the episodes, the names and the order in which is learned.
        learner: How, with all options of `SupervisedConfig`.
    """

    episodes: int = 0
    policy: str = "oracle"
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    solved: bool = True
    grounded: bool = False
    runs: tuple[str, ...] = ()
    copying: int = 0
    versions: int = 0
    share: float = 0.7
    seed: int = 0
    learner: SupervisedConfig = field(default_factory=SupervisedConfig)

    def __post_init__(self) -> None:
        _at_least(self, {"episodes": 0, "copying": 0, "versions": 0, "seed": 0})
        if not 0 <= self.share <= 1:
            raise ConfigError(f"share is {self.share}; it must lie in [0, 1].")


@dataclass(frozen=True, slots=True)
class RolloutSection:
    """How a step's episodes are played.

    Attributes:
        tasks_per_step: Groups a step.
        group_size: Episodes of each task.
        temperature: Of sampling; above 0.
        top_p: Nucleus bound in (0, 1].
        max_new_tokens: Most tokens a turn.
        max_turns: Cuts episodes off, beside the environment's own horizon.
        concurrency: Episodes in flight.
        context_window: Most tokens of an episode; by default the model's own, at most 4096.
        deterministic: Whether episodes advance in lock step, so that every number is the same in every run on a
            machine. Without it, so it is only at concurrency 1.
        retries: How often a failed episode is tried again.
    """

    tasks_per_step: int = 8
    group_size: int = 8
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 128
    max_turns: int | None = None
    concurrency: int = 16
    context_window: int | None = None
    deterministic: bool = False
    retries: int = 1

    def __post_init__(self) -> None:
        ones = ("tasks_per_step", "group_size", "max_new_tokens", "max_turns", "concurrency", "context_window")
        _at_least(self, {**dict.fromkeys(ones, 1), "retries": 0})
        if not 0 < self.temperature < float("inf"):
            raise ConfigError(f"temperature is {self.temperature}; learning needs samples, so it must be above 0.")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}; it must lie in (0, 1].")


@dataclass(frozen=True, slots=True)
class CreditSection:
    """What episodes are rewarded by; see `palaestra.rewards.names`.

    Attributes:
        name: Of the credit: `outcome`, `igpo`, `spa`, ...
        options: For its constructor.
    """

    name: str = "outcome"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AdvantageSection:
    """How rewards become advantages.

    Attributes:
        name: `group-normalized`, `rloo`, `stratified`, `turn-level`, `ema-group`, ...
        options: For its constructor.
        strata: What divides a group, for stratified designs: `calls`, or "module:function" of a function of an
            episode; "" leaves it to the design.
    """

    name: str = "group-normalized"
    options: Mapping[str, Any] = field(default_factory=dict)
    strata: str = ""


@dataclass(frozen=True, slots=True)
class EvaluationSection:
    """How the policy is measured on held-out tasks, at step 0 (the warm start) and at the last step, too.

    Attributes:
        split: Which tasks; must not be those of training, unless `kwargs` make them others.
        kwargs: For the environments' constructors, over those of training: another world in which the same is asked,
            for instance.
        every: Steps between two evaluations; 0 for the first and the last alone.
        episodes: How many tasks; 0 for no evaluation at all.
        samples: How often each.
        temperature: 0 is greedy.
        seed: Chooses the tasks. The same for all runs that are to be compared.
    """

    split: Literal["train", "val", "test", "all"] = "val"
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    every: int = 20
    episodes: int = 100
    samples: int = 1
    temperature: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least(self, {"every": 0, "episodes": 0, "samples": 1, "temperature": 0})


@dataclass(frozen=True, slots=True)
class TrainSection:
    """How long, and what is kept.

    Attributes:
        steps: Updates of the policy.
        seed: Everything random follows from it.
        checkpoint_every: Steps between two checkpoints; there is also one at the start and one at the end.
        keep: How many of the newest checkpoints stay.
        dynamic_sampling: Whether groups whose outcomes are all equal are dropped and others drawn in their place
            (DAPO, arXiv 2503.14476, section 3.2), until there are enough or `max_rounds` rounds are played.
        max_rounds: Bound on those rounds.
    """

    steps: int = 100
    seed: int = 0
    checkpoint_every: int = 10
    keep: int = 2
    dynamic_sampling: bool = False
    max_rounds: int = 4

    def __post_init__(self) -> None:
        _at_least(self, {"steps": 0, "seed": 0, "checkpoint_every": 1, "keep": 1, "max_rounds": 1})


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a training run is asked for.

    Attributes:
        environment: What is trained on.
        also: Further environments by a name of their own, which stands in metrics (`train/NAME/outcome`) and folders
            (`eval-NAME`).
        name: Of the recipe; runs that differ only in their seed share it. By default that of its file.
        description: For people.
        model: Who learns.
        warm_start: Supervised learning before.
        rollout: How episodes are played.
        credit: What they are rewarded by.
        advantage: How rewards become advantages.
        learner: The policy update, with all options of `GroupPolicyConfig`. Its temperature is by default that of the
            rollout, its seed is combined with that of the run.
        evaluation: How the policy is measured.
        train: How long, and what is kept.
    """

    environment: EnvironmentSection
    also: Mapping[str, AlsoSection] = field(default_factory=dict)
    name: str = ""
    description: str = ""
    model: ModelSection = field(default_factory=ModelSection)
    warm_start: WarmStartSection = field(default_factory=WarmStartSection)
    rollout: RolloutSection = field(default_factory=RolloutSection)
    credit: CreditSection = field(default_factory=CreditSection)
    advantage: AdvantageSection = field(default_factory=AdvantageSection)
    learner: GroupPolicyConfig = field(default_factory=GroupPolicyConfig)
    evaluation: EvaluationSection = field(default_factory=EvaluationSection)
    train: TrainSection = field(default_factory=TrainSection)

    def __post_init__(self) -> None:
        for name in self.also:
            if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
                raise ConfigError(f"also.{name}: write the name in small letters, digits and '-', as in [also.tools].")

    @property
    def environments(self) -> dict[str, EnvironmentSection | AlsoSection]:
        """All environments by name; the recipe's own is "" and comes first."""
        return {"": self.environment, **self.also}

    def with_train(self, **changes: Any) -> Recipe:
        """The same recipe with other values in its section `train`.

        Raises:
            ConfigError: A value cannot work.
        """
        return dataclasses.replace(self, train=dataclasses.replace(self.train, **changes))

    def to_json(self) -> dict[str, Any]:
        """Plain data with every default written out, but `also` only where it is asked for; None stands as "none"."""
        table = to_table(self)
        if not self.also:
            del table["also"]
        return table

    def to_toml(self) -> str:
        """A recipe file that reads back as this recipe, every default written out."""
        return write_toml(self.to_json())

    @classmethod
    def from_source(cls, source: Source) -> Recipe:
        """From a table.

        Raises:
            PalaestraError: An unknown key, a value of another type or out of range.
        """
        recipe = from_table(cls, source.data, source)
        if "temperature" not in source.data.get("learner", {}):
            learner = dataclasses.replace(recipe.learner, temperature=recipe.rollout.temperature)
            recipe = dataclasses.replace(recipe, learner=learner)
        if not recipe.name and source.path is not None:
            recipe = dataclasses.replace(recipe, name=source.path.stem)
        return recipe


def completed(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded recipe with the defaults of all that did not exist yet when it was recorded.

    Raises:
        PalaestraError: It holds what there is no more.
    """
    return Recipe.from_source(Source(dict(recorded))).to_json()


def without(recipe: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """A recipe's table without some sections or keys (`learner`, `train.seed`), to compare what is left."""
    table = {name: dict(part) if isinstance(part, Mapping) else part for name, part in recipe.items()}
    for key in keys:
        section, _, name = key.partition(".")
        (table[section] if name else table).pop(name or section, None)
    return table


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe.

    Args:
        path: A TOML file.
        overrides: `SECTION.KEY=VALUE` pairs that win over the file.

    Raises:
        DataError: The file holds something that cannot work; file, line and key are named.
        ConfigError: An override does.
    """
    source = read_source(path)
    source.override(overrides)
    return Recipe.from_source(source)
