"""The weighted sum of rewards of one kind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Episode
from palaestra.errors import ConfigError
from palaestra.rewards.base import (
    Credit,
    CreditResult,
    LearnedCredit,
    Models,
    StepReward,
    Transition,
    kind_of,
    score_step,
)
from palaestra.rewards.levels import LEVELS, lift
from palaestra.rewards.registry import make
from palaestra.rollouts import Rollout

__all__ = ["CreditSum", "StepSum", "Terms", "WeightedSum"]

R = TypeVar("R", StepReward, Credit)
Terms = Mapping[Any, float] | Iterable[tuple[Any, float]]
_SCOPES = ("stateless", "episodic", "learned")


def WeightedSum(terms: Terms, *, name: str = "weighted-sum") -> CreditSum | StepSum:
    """The weighted sum of rewards: R = sum_k w_k R_k.

    All terms are credits, or all are step rewards; sums may be nested. Every term keeps its own name in
    `Turn.terms` and reports, unweighted, and two terms of one name are an error.

    Args:
        terms: Rewards, or names of them, with their weights: `{"outcome": 1.0, "format": 0.2}`, or pairs; in pairs
            also a name with options, `[{"reward": "overlong", "max_length": 512, "buffer": 128}, 1.0]`.
        name: The sum's own name.

    Returns:
        A `CreditSum` (a `Credit`) or a `StepSum` (a `StepReward`).

    Raises:
        UnknownNameError: There is no reward of a given name.
        ConfigError: There are no terms, kinds are mixed, a name comes twice, or a weight is not a finite number.
    """
    pairs = terms.items() if isinstance(terms, Mapping) else terms
    members = [(_made(given), weight) for given, weight in pairs]
    kinds = {kind_of(member) for member, _ in members}
    if len(kinds) != 1:
        raise ConfigError(
            "A weighted sum needs terms of one kind, credits or step rewards; "
            + (f"got both: {', '.join(f'{m.name} ({kind_of(m)})' for m, _ in members)}." if kinds else "got no terms.")
        )
    return CreditSum(members, name) if kinds == {"credit"} else StepSum(members, name)


def _made(given: Any) -> Any:
    if isinstance(given, str):
        return make(given)
    if not isinstance(given, Mapping):
        return given
    options = dict(given)
    if not isinstance(name := options.pop("reward", None), str):
        raise ConfigError(f'A term with options names its reward, as in {{"reward": "overlong", ...}}; got {options}.')
    return make(name, **options)


class _Sum(Generic[R]):
    """Members with their weights, and the names of all terms below."""

    def __init__(self, members: Sequence[tuple[R, float]], name: str) -> None:
        self.name = name
        self.members: tuple[tuple[R, float], ...] = tuple((member, _finite(member.name, w)) for member, w in members)
        if len({member.name for member, _ in members}) < len(members):
            raise ConfigError(f"Two terms of '{name}' have one name: {[m.name for m, _ in members]}; give them name=.")
        self.weights: dict[str, float] = {}
        for member, weight in self.members:
            inner = member.weights if isinstance(member, _Sum) else {member.name: 1.0}
            for term, factor in inner.items():
                if term in self.weights:
                    raise ConfigError(f"Two terms of '{name}' are called '{term}'; give one of them another name=.")
                self.weights[term] = weight * factor
        self.requires: frozenset[str] = frozenset().union(
            *(getattr(member, "requires", frozenset()) for member, _ in self.members)
        )

    def __repr__(self) -> str:
        return f"{self.name}({' + '.join(f'{weight:g} {term}' for term, weight in self.weights.items())})"


def _finite(name: str, weight: Any) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float | np.number) or not math.isfinite(weight):
        raise ConfigError(f"The weight of '{name}' is {weight!r}; it must be a finite number.")
    return float(weight)


class CreditSum(_Sum[Credit]):
    """The weighted sum of credits; made by `WeightedSum`.

    Terms at different levels meet at the finest: an episode's value lands on its last turn, a turn's on its last
    sampled token, so sums over an episode stay what they were.

    Edge cases:
        - Where a term is None (a failed episode, a judge without an answer, no ground truth) the sum is None, for a
          part that is unknown is not 0. Such episodes are counted in the metrics.
        - A term of weight 0 is reported and never enters the sum, so its None does no harm.

    Attributes:
        weights: The weight of every term by name, those of nested sums multiplied out.
        requires: What any of the terms requires.
    """

    def __call__(self, episodes: Sequence[Episode], models: Models | None = None) -> CreditResult:
        """One array an episode, at the finest level of the terms."""
        models = models or Models()
        results = [(member(episodes, models), member.name, weight) for member, weight in self.members]
        level = max((result.level for result, _, _ in results), key=LEVELS.index)
        values = []
        for i, episode in enumerate(episodes):
            parts = [(result.values[i], result.level, weight) for result, _, weight in results if weight]
            total: NDArray[np.float64] | None = None
            if episode.valid and all(part is not None for part, _, _ in parts):
                size = lift(np.zeros(1), "episode", level, episode)
                total = size + sum(w * lift(part, at, level, episode) for part, at, w in parts if part is not None)
            values.append(total)
        terms: dict[str, CreditResult] = {}
        metrics: dict[str, float] = {}
        for result, name, _ in results:
            terms.update(result.terms or {name: result})
            metrics.update(result.metrics)
        unknown = sum(value is None and episode.valid for value, episode in zip(values, episodes, strict=True))
        metrics[f"{self.name}/not_applicable"] = float(unknown)
        return CreditResult(values, level, terms, metrics)

    def update(self, episodes: Sequence[Episode], models: Models) -> Mapping[str, float]:
        """Updates the terms that learn; their metrics are prefixed by their names where they are not yet."""
        metrics: dict[str, float] = {}
        for member in self._learned:
            for key, value in member.update(episodes, models).items():
                metrics[key if key.startswith(f"{member.name}/") else f"{member.name}/{key}"] = value
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """The states of the terms that learn, by name."""
        return {member.name: member.state_dict() for member in self._learned}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`.

        Raises:
            ConfigError: The state is of other terms.
        """
        names = [member.name for member in self._learned]
        if sorted(state) != sorted(names):
            raise ConfigError(f"The saved state has the terms {sorted(state)}, '{self.name}' has {sorted(names)}.")
        for member in self._learned:
            member.load_state_dict(state[member.name])

    @property
    def _learned(self) -> list[LearnedCredit]:
        return [member for member, _ in self.members if isinstance(member, LearnedCredit)]


class StepSum(_Sum[StepReward]):
    """The weighted sum of step rewards; made by `WeightedSum`.

    Attributes:
        weights: The weight of every term by name, those of nested sums multiplied out.
        scope: The widest of the terms': `learned`, else `episodic`, else `stateless`.
        requires: What any of the terms requires.
    """

    def __init__(self, members: Sequence[tuple[StepReward, float]], name: str) -> None:
        super().__init__(members, name)
        scopes: list[Literal["stateless", "episodic", "learned"]] = [member.scope for member, _ in self.members]
        self.scope = max(scopes, key=_SCOPES.index)

    @property
    def version(self) -> int:
        """The sum of the terms' versions: it grows with every update of any of them."""
        return sum(member.version for member, _ in self.members)

    def reset(self, slots: NDArray[np.int64], episode_ids: Sequence[Any], observations: Any) -> None:
        """See `StepReward.reset`."""
        for member, _ in self.members:
            member.reset(slots, episode_ids, observations)

    def __call__(self, transition: Transition) -> NDArray[np.float64]:
        """The weighted sum, float64 (N,)."""
        return self.with_terms(transition)[0]

    def with_terms(self, transition: Transition) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        """See `CompositeStepReward.with_terms`."""
        total = np.zeros(transition.valid.shape)
        terms: dict[str, NDArray[np.float64]] = {}
        for member, weight in self.members:
            values, parts = score_step(member, transition)
            total = total + weight * values
            terms.update(parts)
        return total, terms

    def update(self, batch: Rollout) -> Mapping[str, float]:
        """Updates the learned terms; their metrics are prefixed by their names."""
        return {
            f"{member.name}/{key}": value
            for member, _ in self.members
            if member.scope == "learned"
            for key, value in member.update(batch).items()
        }

    def state_dict(self) -> dict[str, Any]:
        """The states of all terms, by name."""
        return {member.name: member.state_dict() for member, _ in self.members}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`.

        Raises:
            ConfigError: The state is of other terms.
        """
        names = [member.name for member, _ in self.members]
        if sorted(state) != sorted(names):
            raise ConfigError(f"The saved state has the terms {sorted(state)}, '{self.name}' has {sorted(names)}.")
        for member, _ in self.members:
            member.load_state_dict(state[member.name])
