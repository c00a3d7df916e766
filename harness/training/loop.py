"""The training loop: tasks, episodes, credit, advantage, update; over and over."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palaestra.agents.chat import Chat
from palaestra.agents.models.loading import LanguageModel
from palaestra.agents.transformers_agent import TransformersAgent, details_of, make_engine
from palaestra.episodes import Episode
from palaestra.errors import ConfigError, RecordError
from palaestra.harness import manifest as manifests
from palaestra.harness.lockstep import LockstepRunner
from palaestra.harness.run_folder import TRAINING, lock_folder, write_json
from palaestra.harness.runner import Limits, Runner
from palaestra.harness.schedule import seed_of
from palaestra.harness.training.checkpoint import Checkpoints
from palaestra.harness.training.collect import Collector, Interrupted
from palaestra.harness.training.evaluation import check_evaluation, evaluate
from palaestra.harness.training.ground import Ground, check_recipe, open_ground
from palaestra.harness.training.interrupts import Interrupts
from palaestra.harness.training.listener import Listener
from palaestra.harness.training.metrics import MetricsWriter
from palaestra.harness.training.playground import Playground, credit_of, play
from palaestra.harness.training.recipe import Recipe, completed, without
from palaestra.harness.training.sampler import TaskSampler
from palaestra.harness.training.start import save_policy, starting_policy
from palaestra.harness.training.step import batch_metrics, episode_metrics, in_groups, least_group, prefixed
from palaestra.models import FakeScorer
from palaestra.rewards.base import CreditLevel, Models
from palaestra.rewards.credit_batch import credit_batch
from palaestra.tokens import token_sequences

__all__ = ["Trained", "Trainer", "train"]


@dataclass(frozen=True, slots=True)
class Trained:
    """How a training run ended.

    Attributes:
        folder: Its folder.
        status: `finished` or `interrupted`.
        step: Updates done.
        rows: The metrics of this session's steps.
    """

    folder: Path
    status: str
    step: int
    rows: list[dict[str, float]] = field(default_factory=list)


def train(recipe: Recipe, out: str | Path, *, resume: bool = False, listener: Listener | None = None) -> Trained:
    """Trains by a recipe.

    What follows from recipe and seed is the same in every run on a machine, killed and resumed or not, where
    `rollout.deterministic` is set or `rollout.concurrency` is 1.

    Args:
        recipe: What to do.
        out: The run folder::

                manifest.json  recipe.toml  metrics.jsonl  timings.jsonl  tensorboard/
                start/             the policy at step 0, after the warm start; `transformers:OUT/start` loads it
                checkpoints/step-N/
                eval/step-N/       ordinary run folders; of further environments in eval-NAME
                model/             the policy at the end

        resume: Whether to go on with the run in `out`, from its newest checkpoint.
        listener: Is told how it goes.

    Raises:
        PalaestraError: The recipe asks for what cannot be; the folder holds another run; or training broke (numbers
            that are not finite, every episode of a step failed). The newest checkpoint is then intact.
    """
    folder, listener = Path(out), listener or Listener()
    with ExitStack() as stack:
        grounds: dict[str, Ground] = {}
        for name in recipe.environments:
            grounds[name] = open_ground(recipe, name)
            stack.callback(grounds[name].probe.close)
        # A scorer will be there, for which the fake stands: whether the environment has what else is needed is known
        # before any model is made.
        check_recipe(recipe, grounds.values(), FakeScorer())
        for ground in grounds.values():
            check_evaluation(recipe, ground)
        if resume and not (folder / "manifest.json").exists():
            raise ConfigError(f"There is no training run in {folder} to go on with.")
        stack.enter_context(closing(lock_folder(folder)))
        before = _manifest_before(folder, recipe, resume)
        if before is None:
            shutil.rmtree(folder / "start", ignore_errors=True)
        manifest = _manifest(recipe, before)
        write_json(folder / "manifest.json", manifest)
        (folder / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
        status, message = "failed", "Training ended by an error."
        trainer: Trainer | None = None
        try:
            policy = starting_policy(recipe, grounds, folder / "start", listener)
            trainer = stack.enter_context(closing(Trainer(recipe, folder, grounds, policy, listener)))
            with Interrupts(listener) as interrupts:  # before this there is no step to end, and nothing to keep
                status = trainer.run(interrupts)
            message = ""
        except (Interrupted, KeyboardInterrupt) as error:
            status, message = "interrupted", "Interrupted within a step; the newest checkpoint is intact."
            if trainer is None:
                raise KeyboardInterrupt from error
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise
        finally:
            ended: dict[str, Any] = {"status": status, "message": message}
            ended |= {} if trainer is None else {"step": trainer.step}
            manifest["sessions"][-1]["ended"] = manifests.now()
            write_json(folder / "manifest.json", {**manifest, **ended})
        return Trained(folder, status, trainer.step, trainer.rows)


class Trainer:
    """A training run at some step.

    Args:
        recipe: What to do.
        folder: The run folder.
        grounds: Its environments by name, the recipe's own as "".
        policy: The policy at step 0; changed in place.
        listener: Is told how it goes.

    Raises:
        PalaestraError: Something does not go together, or the newest checkpoint cannot be read.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, grounds: Mapping[str, Ground], policy: LanguageModel, listener: Listener
    ) -> None:
        import copy

        from palaestra.agents.learners.group_policy import GroupPolicyLearner
        from palaestra.agents.models.scorer import TransformersScorer

        self.recipe, self.folder, self.policy, self.listener = recipe, folder, policy, listener
        rollout, seed = recipe.rollout, recipe.train.seed
        chat = Chat(policy.tokenizer)
        config = dataclasses.replace(recipe.learner, seed=seed_of(seed, recipe.learner.seed, "learner"))
        # The policy at step 0 is in `start`, so that no checkpoint has to hold it. Adapters can be switched off.
        reference = copy.deepcopy(policy.model) if config.beta > 0 and not config.lora_rank else None
        self.learner = GroupPolicyLearner(policy.model, config, reference)
        self.engine = make_engine(policy, context_window=rollout.context_window, max_batch=rollout.concurrency)
        scorer = TransformersScorer(policy.model, policy.tokenizer, version=lambda: self.engine.version)
        credit, advantage = check_recipe(recipe, grounds.values(), scorer)
        self.credit: Any = credit
        self.advantage: Any = advantage
        details = details_of(policy, self.engine)
        name = f"transformers:{recipe.model.name}"

        def agent(temperature: float, top_p: float) -> TransformersAgent:
            return TransformersAgent(
                self.engine,
                chat,
                name=name,
                details=details,
                temperature=temperature,
                top_p=top_p,
                max_new_tokens=rollout.max_new_tokens,
            )

        self.evaluated = agent(recipe.evaluation.temperature, 1.0)
        runner: type[Runner] = LockstepRunner if rollout.deterministic else Runner

        def playground(name: str, ground: Ground) -> Playground:
            called = ground.card.id.rpartition("/")[2].lower()
            return Playground(
                name,
                ground,
                recipe.also[name].tasks_per_step if name else rollout.tasks_per_step,
                TaskSampler(ground.task_ids, seed_of(seed, name) if name else seed, called, f"{name}-" * bool(name)),
                Collector(
                    ground.make_world,
                    agent(rollout.temperature, rollout.top_p),
                    env_id=ground.card.id,
                    env_kwargs=manifests.redact(ground.kwargs),
                    seed=seed,
                    slots=rollout.concurrency,
                    limits=Limits(retries=rollout.retries, turns=rollout.max_turns),
                    runner=runner,
                ),
                ground.models(scorer),
            )

        self.places = [playground(name, ground) for name, ground in grounds.items()]
        # Of several environments none can say an answer for the others.
        self.learned_from = self.places[0].models if len(self.places) == 1 else Models(scorer=scorer)
        self.checkpoints = Checkpoints(folder / "checkpoints", recipe.train.keep)
        self.step = 0
        self.rows: list[dict[str, float]] = []
        self.begun = self._load()
        self.metrics = MetricsWriter(folder, self.step if self.begun else None)
        if self.metrics.note:
            listener.note(self.metrics.note)
        self._drop_later_evaluations()

    def run(self, interrupts: Any) -> str:
        """Trains to the recipe's last step, or to the end of the step in which somebody asks to stop.

        Returns:
            `finished` or `interrupted`.
        """
        steps = self.recipe.train.steps
        if not self.begun:
            with self._clocked() as clock:
                row = self._evaluate(0)
            self._write(row, clock)
            self.save()
        while self.step < steps and not interrupts.asked:
            self._one()
        if self.step > max(self.checkpoints.steps(), default=-1):
            self.save()
        if self.step < steps:
            return "interrupted"
        save_policy(self.policy, self.folder / "model")
        return "finished"

    def _one(self) -> None:
        number = self.step + 1
        with self._clocked() as clock:
            self.listener.phase(f"step {number}", 0)
            values, episodes = self._learn(number, clock)
            self.step = number
            section = self.recipe.evaluation
            if number == self.recipe.train.steps or (section.every and number % section.every == 0):
                values |= self._evaluate(number)
        sampled = sum(len(sequence.ids) for episode in episodes for sequence in token_sequences(episode))
        clock["tokens_per_second"] = sampled / max(1e-9, clock["rollout"] + clock["update"])
        self._write(values, clock)
        if number % self.recipe.train.checkpoint_every == 0:
            self.save()

    def _learn(self, number: int, clock: dict[str, float]) -> tuple[dict[str, float], list[Episode]]:
        from palaestra.agents.learners.batch import policy_sequences

        begin = time.monotonic()
        values, rounds = self._play(number)
        episodes = [episode for each, _ in rounds for episode in each]
        played = time.monotonic()
        credited = credit_of(self.credit, rounds)
        batch = credit_batch(episodes, credited, strata=getattr(self.advantage, "strata", None))
        advantages = self.advantage(batch)
        values |= batch_metrics(credited, batch, advantages, self.advantage.metrics(batch))
        level: CreditLevel = "token" if credited.level == "token" else "turn"
        sequences = policy_sequences(episodes, advantages, level, in_groups(batch, least_group(self.advantage)))
        judged = time.monotonic()
        if sequences:
            values |= prefixed("learner", self.learner.update(sequences))
            self.engine.load_weights((), self.learner.version)
        else:
            values["learner/nothing_to_learn"] = 1.0
        for part, name in ((self.credit, "credit"), (self.advantage, "advantage")):
            if hasattr(part, "update"):  # once a step, whatever it was played in: some count their updates
                values |= prefixed(name, part.update(episodes, self.learned_from))
        clock |= {"rollout": played - begin, "credit": judged - played, "update": time.monotonic() - judged}
        return values, episodes

    def _play(self, number: int) -> tuple[dict[str, float], list[tuple[Sequence[Episode], Models]]]:
        """The metrics of all episodes that were played, and those to learn from by environment."""
        section = self.recipe.train
        rounds = section.max_rounds if section.dynamic_sampling else 0
        group_size = self.recipe.rollout.group_size
        found = [play(place, number, group_size, rounds, self.listener, self.policy.model) for place in self.places]
        values = episode_metrics([episode for each in found for episode in each.played])
        if len(found) > 1:
            for place, each in zip(self.places, found, strict=True):
                outcome = episode_metrics(each.played)["train/outcome"]
                values[f"train/{place.name or 'environment'}/outcome"] = outcome
        if section.dynamic_sampling:
            values |= {
                "train/rounds": float(max(each.rounds for each in found)),
                "train/groups_kept": float(sum(each.groups for each in found)),
            }
        return values, [(each.kept, place.models) for place, each in zip(self.places, found, strict=True)]

    def _evaluate(self, number: int) -> dict[str, float]:
        if self.recipe.evaluation.episodes == 0:
            return {}
        values: dict[str, float] = {}
        for place in self.places:
            name = _evaluations(place.name)
            folder = self.folder / name / f"step-{number}"
            shutil.rmtree(folder, ignore_errors=True)
            values |= prefixed(name, evaluate(self.recipe, place.ground, self.evaluated, folder, self.listener))
        # What the engine has read is forgotten, as it is in a run that is resumed from here.
        self.engine.load_weights((), self.learner.version)
        return values

    def _write(self, values: Mapping[str, float], clock: Mapping[str, float]) -> None:
        row = self.metrics.write(self.step, values, clock)
        self.rows.append(row)
        self.listener.step(row, self.recipe.train.steps)

    @contextmanager
    def _clocked(self) -> Iterator[dict[str, float]]:
        begin = time.monotonic()
        clock: dict[str, float] = {}
        yield clock
        clock["seconds"] = time.monotonic() - begin

    # State -----------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Writes a checkpoint.

        Raises:
            DiskFull: There is no room for it.
        """
        state: dict[str, Any] = {_sampler(place.name): place.sampler.state_dict() for place in self.places}
        for name, part in (("credit", self.credit), ("advantage", self.advantage)):
            if hasattr(part, "state_dict"):
                state[name] = part.state_dict()
        self.checkpoints.save(self.step, self.learner.state_dict(), state)

    def _load(self) -> bool:
        steps = self.checkpoints.steps()
        if not steps:
            return False
        learner, state = self.checkpoints.load(steps[-1])
        self.learner.load_state_dict(learner)
        for place in self.places:
            place.sampler.load_state_dict(state[_sampler(place.name)])
        for name, part in (("credit", self.credit), ("advantage", self.advantage)):
            if name in state:
                part.load_state_dict(state[name])
        self.engine.load_weights((), self.learner.version)
        self.step = steps[-1]
        return True

    def _drop_later_evaluations(self) -> None:
        for place in self.places:
            for folder in (self.folder / _evaluations(place.name)).glob("step-*"):
                number = folder.name.removeprefix("step-")
                if number.isdigit() and (not self.begun or int(number) > self.step):
                    shutil.rmtree(folder)

    def close(self) -> None:
        """Ends its threads and files; may be called twice."""
        if hasattr(self, "metrics"):
            self.metrics.close()
        self.engine.close()


def _evaluations(name: str) -> str:
    return f"eval-{name}" if name else "eval"


def _sampler(name: str) -> str:
    return f"sampler-{name}" if name else "sampler"


def _manifest_before(folder: Path, recipe: Recipe, resume: bool) -> Mapping[str, Any] | None:
    import json

    place = folder / "manifest.json"
    if not place.exists():
        return None
    try:
        before: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecordError(f"{place} is not JSON ({error}); restore it from a copy.") from error
    if before.get("kind") != TRAINING:
        raise ConfigError(f"{folder} holds a run of another kind. Choose another folder with --out.")
    done = max(Checkpoints(folder / "checkpoints").steps(), default=-1)
    if not resume and done < 0:
        return None  # it ended before it began
    if not resume:
        raise ConfigError(f"{folder} already holds a training run. Go on with it by --resume, or choose another --out.")
    manifests.refuse_differences(_asked(completed(before["recipe"])), _asked(recipe.to_json()))
    if done > recipe.train.steps:
        raise ConfigError(f"{folder} has already done {done} steps, more than the {recipe.train.steps} asked for.")
    return before


def _asked(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a resumed run must have in common with the one before: all but how long it goes on, and what is kept."""
    return without(recipe, "name", "description", "train.steps", "train.keep", "train.checkpoint_every")


def _manifest(recipe: Recipe, before: Mapping[str, Any] | None) -> dict[str, Any]:
    session = {"started": manifests.now(), "machine": manifests.machine(), "packages": manifests.packages()}
    return {
        "schema": 1,
        "kind": TRAINING,
        "name": recipe.name,
        "recipe": recipe.to_json(),
        "seed": recipe.train.seed,
        "sessions": [*(before or {}).get("sessions", []), session],
        "status": "running",
        "step": (before or {}).get("step", 0),
    }
