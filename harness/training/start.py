"""The policy at step 0: a model is made or loaded, warm-started, and kept in the run folder's `start`."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from palaestra.agents.chat import Chat, as_text
from palaestra.agents.learners.copying import common_words, grounded, known_names, renamed, repeated_sequences
from palaestra.agents.learners.warm_start import SupervisedConfig, SupervisedLearner, dialogues_to_sequences
from palaestra.agents.models.loading import LanguageModel, load_language_model, quietly, require_transformers
from palaestra.agents.models.small import make_small_model
from palaestra.agents.shipped import ShippedPolicy
from palaestra.cache import cache_dir
from palaestra.episodes import Episode
from palaestra.errors import ConfigError
from palaestra.harness.manifest import redact
from palaestra.harness.run_folder import find_runs, move_whole
from palaestra.harness.runner import Limits
from palaestra.harness.schedule import seed_of
from palaestra.harness.training.collect import Collector
from palaestra.harness.training.ground import Ground, open_ground
from palaestra.harness.training.recipe import Recipe
from palaestra.harness.training.sampler import TaskSampler
from palaestra.tokens import TokenSequence

if TYPE_CHECKING:
    from palaestra.harness.training.listener import Listener

__all__ = ["save_policy", "scripted_episodes", "starting_policy"]

_WARM_START = 1
"""Version of what follows from a recipe's warm start; a change of it makes old copies in the cache useless."""


def starting_policy(recipe: Recipe, grounds: Mapping[str, Ground], folder: Path, listener: Listener) -> LanguageModel:
    """The policy that training begins with; from `folder` where it is already there.

    Args:
        recipe: The recipe.
        grounds: Its environments by name.
        folder: Where it is kept.
        listener: Is told how the warm start goes.

    Raises:
        PalaestraError: The model cannot be loaded, has no chat template, or the warm start cannot be done.
    """
    require_transformers("Training a language model")
    section = recipe.model
    settings = {"device": section.device or None, "dtype": section.dtype or None}
    kept = _place_in_cache(recipe)
    if not folder.is_dir() and kept is not None and kept.is_dir():
        with contextlib.suppress(OSError):  # a start that cannot be copied can be made again
            _copy_whole(kept, folder)
    if folder.is_dir():
        loaded = load_language_model(str(folder), **settings)
        loaded.name = section.name
        return _in_memory_of_its_own(loaded)
    if section.name == "small":
        episodes = _episodes(recipe, grounds, listener)
        loaded = _small(recipe, episodes, folder.with_name(".small"), settings)
    else:
        loaded = load_language_model(section.name, **settings)
        Chat(loaded.tokenizer)  # says what is missing before anything is played
        episodes = _episodes(recipe, grounds, listener) if _warm(recipe) else []
    loaded = _in_memory_of_its_own(loaded)
    shutil.rmtree(folder.with_name(".small"), ignore_errors=True)
    if _warm(recipe):
        _fit(recipe, loaded, episodes, listener)
    save_policy(loaded, folder)
    if kept is not None:
        with contextlib.suppress(OSError):  # a full or read-only disk costs the copy, not the run; so does a race
            kept.parent.mkdir(parents=True, exist_ok=True)
            _copy_whole(folder, kept)
    return loaded


def _copy_whole(source: Path, target: Path) -> None:
    """Copies a folder beside its place and moves it there: whoever looks, or dies, finds all of it or nothing."""
    draft = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        shutil.copytree(source, draft)
        move_whole(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _place_in_cache(recipe: Recipe) -> Path | None:
    """Where the small model is kept after its warm start, which follows from these parts of the recipe alone.

    Other models are not: they are large. Neither is what learned from recorded runs or from environments of others,
    which may change under the same name.
    """
    strange = any(not section.id.startswith("palaestra/") for section in recipe.environments.values())
    if recipe.model.name != "small" or recipe.warm_start.runs or strange:
        return None
    packages = [f"{name} {version(name)}" for name in ("palaestra", "torch", "transformers", "tokenizers")]
    asked = recipe.to_json()
    parts = [_WARM_START, packages, recipe.rollout.context_window, recipe.rollout.max_turns]
    parts += [asked[name] for name in ("environment", "model", "warm_start")]
    parts += [{name: {**also, "tasks_per_step": 0} for name, also in asked["also"].items()}] if recipe.also else []
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return cache_dir("warm-starts", digest[:24])


def save_policy(loaded: LanguageModel, folder: Path) -> None:
    """Writes model and tokenizer as `transformers:FOLDER` reads them, whole or not at all."""
    draft = folder.with_name(f".{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    with quietly():
        without_adapters(loaded.model).save_pretrained(draft)
        loaded.tokenizer.save_pretrained(draft)
    shutil.rmtree(folder, ignore_errors=True)
    move_whole(draft, folder)


def without_adapters(model: Any) -> Any:
    """The model, or a copy of it in which its low-rank adapters have become part of its weights."""
    import copy
    import sys

    if not any(name.endswith("base_layer") for name, _ in model.named_modules()) or "peft" not in sys.modules:
        return model
    from peft.tuners.tuners_utils import BaseTunerLayer

    plain = copy.deepcopy(model)
    adapted = [(name, layer) for name, layer in plain.named_modules() if isinstance(layer, BaseTunerLayer)]
    for name, layer in adapted:
        layer.merge()
        parent, _, own = name.rpartition(".")
        setattr(plain.get_submodule(parent), own, layer.get_base_layer())
    if hasattr(plain, "peft_config"):
        del plain.peft_config
    return plain


def scripted_episodes(recipe: Recipe, ground: Ground, policy: str, count: int, listener: Listener) -> list[Episode]:
    """Episodes that a policy of the environment plays on the recipe's tasks, going round them as often as needed."""
    name = ground.card.id.rpartition("/")[2].lower()
    requests = TaskSampler(ground.task_ids, seed_of(recipe.warm_start.seed, "warm start"), name).draw(count, 1, 0)
    collector = Collector(
        ground.make_world,
        ShippedPolicy(policy),
        env_id=ground.card.id,
        env_kwargs=redact(ground.kwargs),
        seed=recipe.warm_start.seed,
        slots=1,
        limits=Limits(retries=recipe.rollout.retries, turns=recipe.rollout.max_turns),
    )
    listener.phase("warm start: episodes", count)
    return collector.collect(requests, lambda episodes: listener.advance())


@contextlib.contextmanager
def _classroom(recipe: Recipe, name: str, ground: Ground) -> Iterator[Ground]:
    """Where the scripted episodes of an environment are played."""
    if not recipe.warm_start.kwargs:
        yield ground
        return
    place = open_ground(recipe, name, recipe.warm_start.kwargs)
    try:
        yield place
    finally:
        place.probe.close()


def _warm(recipe: Recipe) -> bool:
    return recipe.warm_start.episodes > 0 or bool(recipe.warm_start.runs)


def _episodes(recipe: Recipe, grounds: Mapping[str, Ground], listener: Listener) -> list[Episode]:
    section = recipe.warm_start
    if section.runs:
        episodes: list[Episode] = [episode for run in find_runs(section.runs) for episode in run.episodes()]
    else:
        # The small model's words come from here, too.
        counts = {"": section.episodes or 200} | {name: also.warm_start for name, also in recipe.also.items()}
        episodes = []
        for name, ground in grounds.items():
            with _classroom(recipe, name, ground) as place:
                episodes += scripted_episodes(recipe, place, section.policy, counts[name], listener)
    kept = [
        episode
        for episode in episodes
        if episode.valid
        and episode.turns
        and (not section.solved or episode.outcome == 1.0)
        and (not section.grounded or grounded(episode))
    ]
    if not kept:
        what = f"the runs {', '.join(section.runs)}" if section.runs else f"the policy '{section.policy}'"
        failed = sum(not episode.valid for episode in episodes)
        wanted = [name for name in ("solved", "grounded") if getattr(section, name)]
        raise ConfigError(
            f"Of the {len(episodes)} episodes of {what}, {failed} failed and none of the others is "
            f"{' and '.join(wanted) or 'more than a reset'}, so there is nothing to learn from. Choose another policy"
            + (f", or set {' or '.join(f'warm_start.{name} = false' for name in wanted)}." if wanted else ".")
        )
    return kept


def _fit(recipe: Recipe, loaded: LanguageModel, episodes: Sequence[Episode], listener: Listener) -> None:
    section = recipe.warm_start
    chat, rng = Chat(loaded.tokenizer), np.random.default_rng(seed_of(section.seed, "lessons"))
    config = dataclasses.replace(section.learner, seed=seed_of(section.seed, section.learner.seed, "supervised"))
    lessons: list[tuple[str, SupervisedConfig, list[TokenSequence]]] = []
    if section.copying:
        repeated = repeated_sequences(section.copying, len(loaded.tokenizer), rng)
        constant = dataclasses.replace(config, epochs=1, schedule="constant")
        lessons.append(("warm start: copying", constant, repeated))
    keep = common_words(episodes)
    names = known_names(episodes, keep)
    versions = [
        renamed(episode, rng, keep, names=names, share=section.share)
        for _ in range(section.versions)
        for episode in episodes
    ]
    dialogues = dialogues_to_sequences([*episodes, *versions], chat, context_window=recipe.rollout.context_window)
    lessons.append(("warm start", config, dialogues))
    loaded.model.train()
    try:
        for name, how, sequences in lessons:
            SupervisedLearner(loaded.model, how).fit(sequences, _telling(listener, name))
    finally:
        loaded.model.eval()


def _telling(listener: Listener, name: str) -> Callable[[int, int, Mapping[str, float]], None]:
    def progress(step: int, steps: int, metrics: Mapping[str, float]) -> None:
        if step == 1:
            listener.phase(name, steps)
        listener.advance(loss=metrics["loss"])

    return progress


def _small(
    recipe: Recipe, episodes: Sequence[Episode], draft: Path, settings: Mapping[str, str | None]
) -> LanguageModel:
    config = recipe.model.small
    config = dataclasses.replace(config, seed=seed_of(recipe.warm_start.seed, config.seed, "model"))
    with quietly():
        make_small_model((text for episode in episodes for text in _texts(episode)), draft, config)
    loaded = load_language_model(str(draft), device=settings["device"], dtype=settings["dtype"])
    loaded.name = "small"
    return loaded


def _texts(episode: Episode) -> list[str]:
    return [*map(as_text, episode.observations), *(as_text(turn.action) for turn in episode.turns)]


def _in_memory_of_its_own(loaded: LanguageModel) -> LanguageModel:
    """Every weight in memory that torch has aligned: mapped from a file, products differ in their last bits."""
    for weights in loaded.model.parameters():
        weights.data = weights.data.clone()
    for numbers in loaded.model.buffers():
        numbers.data = numbers.data.clone()
    return loaded
