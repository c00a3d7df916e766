"""Rewards of a run: named on the command line, checked before the first rollout, applied while playing and after.

In a recorded turn, `terms` holds every part unweighted and `reward` their weighted sum. The environment's own reward is
always there as the term `env`; it counts (with weight 1) where no reward is named, or where `env` is named.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Episode, Turn
from palaestra.errors import ConfigError
from palaestra.registration import EnvCard
from palaestra.rewards.base import (
    Credit,
    CreditResult,
    Models,
    StepReward,
    Transition,
    check_requires,
    kind_of,
    score_step,
)
from palaestra.rewards.columns import stack_columns
from palaestra.rewards.levels import tokens_of_turns
from palaestra.rewards.registry import make
from palaestra.rewards.weighted_sum import StepSum, WeightedSum
from palaestra.rollouts import ArrayTurns
from palaestra.tasks import Task

__all__ = ["Rewards", "SlotScoring", "apply_credit", "available_for", "parse_reward", "truth_of", "versions_of"]

RewardSpec = str | tuple[Any, float]


def parse_reward(spec: str) -> tuple[str, float]:
    """`NAME` or `NAME:WEIGHT`, as on the command line.

    Raises:
        ConfigError: The weight is not a number.
    """
    name, colon, weight = spec.partition(":")
    try:
        value = float(weight) if colon else 1.0
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"'{spec}' is no reward: the weight '{weight}' is not a number. Write --reward {name}:0.2.")
    return name, value


@dataclass(frozen=True)
class Rewards:
    """What a run is rewarded by: at most one step reward and one credit, each possibly a sum.

    Attributes:
        step: Scores while acting.
        credit: Scores afterwards.
        models: What the credit may ask.
    """

    step: StepReward | None = None
    credit: Credit | None = None
    models: Models = field(default_factory=Models)

    @classmethod
    def of(cls, specs: Sequence[RewardSpec], models: Models | None = None) -> Rewards:
        """From `NAME`, `NAME:WEIGHT`, or pairs of a reward (or its name) and its weight.

        Raises:
            UnknownNameError: There is no such reward.
            ConfigError: A weight is no number, or two rewards have one name.
        """
        pairs = [parse_reward(spec) if isinstance(spec, str) else spec for spec in specs]
        made = [(make(given) if isinstance(given, str) else given, weight) for given, weight in pairs]
        steps = [pair for pair in made if kind_of(pair[0]) == "step"]
        credits_ = [pair for pair in made if kind_of(pair[0]) == "credit"]
        step: Any = WeightedSum(steps, name="step rewards") if steps else None
        credit: Any = WeightedSum(credits_, name="credits") if credits_ else None
        return cls(step, credit, models or Models())

    def __bool__(self) -> bool:
        return self.step is not None or self.credit is not None

    @property
    def weights(self) -> dict[str, float]:
        """The weight of every term."""
        if not self:
            return {"env": 1.0}
        parts: list[Any] = [part for part in (self.step, self.credit) if part is not None]
        return {"env": 0.0} | {name: weight for part in parts for name, weight in part.weights.items()}

    def describe(self) -> dict[str, Any]:
        """For the manifest."""
        found: dict[str, Any] = {"weights": self.weights}
        if self.step is not None:
            found["step"] = {"scope": self.step.scope, "version": self.step.version}
        return found

    def check(self, card: EnvCard, truth: Mapping[str, Any]) -> None:
        """Refuses what could not work here.

        Args:
            card: The environment's card.
            truth: What ground truth there is among its tasks.

        Raises:
            ConfigError: A reward needs what there is not.
        """
        available = available_for(card, truth, self.models)
        for total in (self.step, self.credit):
            for reward, _ in getattr(total, "members", ()):
                check_requires(reward, available)


def available_for(card: EnvCard, truth: Mapping[str, Any], models: Models) -> set[str]:
    """What rewards may require here; see `palaestra.rewards.base.check_requires`.

    Args:
        card: The environment's card.
        truth: What ground truth there is among its tasks.
        models: What rewards may ask.
    """
    available = {"privileged", *models.gives}
    if card.kind == "verifiable":
        available.add("outcome")
    if card.interface == "text":
        available.add("calls")
    if truth.get("answers"):
        available.add("answers")
    if truth.get("gold_calls") is not None:  # a task in which nothing is to be called has an empty one
        available.add("gold_calls")
    return available


def truth_of(tasks: Iterable[Task]) -> dict[str, Any]:
    """What ground truth there is among tasks: of each key the first value that says something, else the last one.

    Tasks of one environment may differ in it: some have an answer to give, others calls to make.
    """
    found: dict[str, Any] = {}
    for task in tasks:
        for key, value in task.truth.items():
            if key not in found or _says_nothing(found[key]):
                found[key] = value
    return found


def _says_nothing(value: Any) -> bool:
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def versions_of(reward: StepReward) -> dict[str, int]:
    """The version of every learned reward in it, as recorded with each step: `NAME/version`."""
    members = [member for member, _ in reward.members] if isinstance(reward, StepSum) else [reward]
    if any(isinstance(member, StepSum) for member in members):
        return {name: version for member in members for name, version in versions_of(member).items()}
    return {f"{member.name}/version": member.version for member in members if member.scope == "learned"}


class SlotScoring:
    """The rewards of one slot of the language runner.

    Every slot has a copy of the step reward: nothing is learned during such a run, so a copy of a learned one scores as
    the original does.

    Args:
        rewards: The run's rewards.
        spaces: Observation and action space by agent.
    """

    def __init__(self, rewards: Rewards, spaces: Any) -> None:
        self._rewards, self._spaces = rewards, spaces
        self._step = copy.deepcopy(rewards.step)
        self._slots: dict[str, int] = {}
        self._ids: dict[str, str] = {}
        self._privileged: dict[str, Mapping[str, Any]] = {}
        self._scores: dict[tuple[str, int], tuple[float, dict[str, float]]] = {}

    def begin(
        self,
        agents: Sequence[str],
        episode_ids: Sequence[str],
        observations: Sequence[Any],
        privileged: Sequence[Mapping[str, Any]],
        fresh: bool,
    ) -> None:
        """See `Scoring.begin`."""
        if fresh:
            self._slots, self._scores = {}, {}
        for agent, episode_id, truth in zip(agents, episode_ids, privileged, strict=True):
            self._slots[agent] = len(self._slots)
            self._ids[agent], self._privileged[agent] = episode_id, truth
        if self._step is not None:
            slots = np.array([self._slots[agent] for agent in agents], np.int64)
            space: gym.Space[Any] = self._spaces.observation_space(agents[0])
            self._step.reset(slots, list(episode_ids), stack_columns(space, observations))

    def step(self, agents: Sequence[str], before: Sequence[Any], turns: Sequence[Turn], after: Sequence[Any]) -> None:
        """See `Scoring.step`."""
        if self._step is None:
            return
        space = self._spaces.observation_space(agents[0])
        transition = Transition(
            slot=np.array([self._slots[agent] for agent in agents], np.int64),
            episode_id=[self._ids[agent] for agent in agents],
            valid=np.array([turn.info.get("status") != "failed" for turn in turns]),
            observation=stack_columns(space, before),
            action=stack_columns(self._spaces.action_space(agents[0]), [turn.action for turn in turns]),
            next_observation=stack_columns(space, after),
            reward=np.array([turn.reward for turn in turns]),
            terminated=np.array([turn.terminated for turn in turns]),
            truncated=np.array([turn.truncated for turn in turns]),
            calls=[turn.calls for turn in turns],
            privileged=[self._privileged[agent] for agent in agents],
        )
        values, terms = score_step(self._step, transition)
        terms |= {name: np.full(len(agents), float(version)) for name, version in versions_of(self._step).items()}
        for row, (agent, turn) in enumerate(zip(agents, turns, strict=True)):
            parts = {name: float(part[row]) for name, part in terms.items()}
            self._scores[agent, turn.t] = (float(values[row]), parts)

    def finish(self, episodes: Sequence[Episode]) -> list[Episode]:
        """See `Scoring.finish`."""
        return self._credited([self._with_steps(episode) for episode in episodes])

    def afterwards(self, episode: Episode) -> Episode:
        """An episode whose steps are already scored, with the credit's rewards and terms."""
        return self._credited([episode if self._step is not None else self._with_steps(episode)])[0]

    def again(self, episodes: Sequence[Episode]) -> list[Episode]:
        """Recorded episodes, with the environment's rewards alone, as this scoring would have left them."""
        scored = []
        for episode in episodes:
            agent = episode.agent_id
            if episode.valid and episode.turns and self._step is not None:
                self.begin([agent], [episode.episode_id], [episode.observations[0]], [episode.privileged], fresh=True)
                for turn in episode.turns:
                    before, after = episode.observations[turn.t], episode.observations[turn.t + 1]
                    self.step([agent], [before], [turn], [after])
            scored.append(self._with_steps(episode))
        return self._credited(scored)

    def _credited(self, episodes: list[Episode]) -> list[Episode]:
        if self._rewards.credit is None:
            return episodes
        result = self._rewards.credit(episodes, self._rewards.models)
        return [apply_credit(episode, result, row) for row, episode in enumerate(episodes)]

    def _with_steps(self, episode: Episode) -> Episode:
        """With the step reward's terms; its sum becomes the reward, and the environment's stays the term `env`."""
        if self._step is None and isinstance(episode.turns, ArrayTurns):
            columns = {**episode.turns.columns(), "rewards": np.zeros(len(episode.turns))}
            return replace(episode, turns=ArrayTurns.from_columns(columns))
        turns = []
        for turn in episode.turns:
            reward, terms = self._scores.get((episode.agent_id, turn.t), (0.0, {}))
            turns.append(replace(turn, reward=reward, terms={**turn.terms, **terms}))
        return replace(episode, turns=turns)


def apply_credit(episode: Episode, result: CreditResult, row: int) -> Episode:
    """Adds what a credit says of an episode to its turns: a value of the whole episode goes to the last turn.

    Args:
        episode: The episode.
        result: What the credit said of a list of episodes.
        row: Which of them this is.

    Returns:
        The episode with rewards and terms. Where a valid episode has no value (what is unknown is not 0), the last
        turn's reward is NaN, and the term is missing; so are they where a single turn has none.
    """
    if not episode.valid or not len(episode.turns):
        return episode
    total = _by_turn(result, row, episode)
    if total is None:
        total = np.zeros(len(episode.turns))
        total[-1] = math.nan
    found = {name: _by_turn(part, row, episode) for name, part in result.terms.items()}
    terms = {name: values for name, values in found.items() if values is not None}
    turns = episode.turns
    if isinstance(turns, ArrayTurns):
        columns = {**turns.columns(), "rewards": turns.rewards + total, "terms": {**turns.terms, **terms}}
        return replace(episode, turns=ArrayTurns.from_columns(columns))
    return replace(
        episode,
        turns=[
            replace(
                turn,
                reward=turn.reward + float(total[turn.t]),
                terms={
                    **turn.terms,
                    **{name: float(part[turn.t]) for name, part in terms.items() if not math.isnan(part[turn.t])},
                },
            )
            for turn in turns
        ],
    )


def _by_turn(result: CreditResult, row: int, episode: Episode) -> NDArray[np.float64] | None:
    values = result.values[row]
    if values is None or result.level == "turn":
        return values
    placed = np.zeros(len(episode.turns))
    if result.level == "episode":
        placed[-1] = values[0]
        return placed
    sizes = tokens_of_turns(episode)
    ends = np.cumsum(sizes)
    placed[:] = [values[end - size : end].sum() for end, size in zip(ends, sizes, strict=True)]
    return placed
