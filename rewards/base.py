"""The four kinds of reward design, and what they are given.

- `StepReward`: while acting, over N slots at once.
- `Credit`: afterwards, with whole episodes in view.
- `Transform`: numbers to numbers.
- `Advantage`: from credited batches to what a policy gradient is weighted by.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Episode, ToolCall
from palaestra.errors import ConfigError
from palaestra.models import Judge, Scorer
from palaestra.rollouts import Rollout

__all__ = [
    "Advantage",
    "CompositeStepReward",
    "Credit",
    "CreditBatch",
    "CreditLevel",
    "CreditResult",
    "LearnedCredit",
    "Models",
    "StepReward",
    "Transform",
    "Transition",
    "check_requires",
    "kind_of",
    "score_step",
]

CreditLevel = Literal["episode", "turn", "token"]


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """One step of N slots, as a step reward sees it.

    Observations and actions are columns: arrays with the slots along the first axis, or nested dictionaries and
    tuples of such arrays. What is no array by itself (text) stands in an object array (N,).

    Attributes:
        slot: int64 (N,).
        episode_id: (N,), which episode each slot is in.
        valid: bool (N,); the others get 0 and change no state. False for the resets of `NEXT_STEP`, for slots that
            wait to be reset, and for steps that failed.
        observation: (N, ...).
        action: (N, ...).
        next_observation: What truly followed, the final observation at an episode's end; never the autoreset one.
        reward: float64 (N,), the environment's own.
        terminated: bool (N,).
        truncated: bool (N,).
        calls: Tool calls of each slot, for text environments.
        privileged: Ground truth of each slot's episode; given to rewards that ask for it by `requires`.
    """

    slot: NDArray[np.int64]
    episode_id: Sequence[Any] | NDArray[Any]
    valid: NDArray[np.bool_]
    observation: Any
    action: Any
    next_observation: Any
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    calls: Sequence[tuple[ToolCall, ...]] | None = None
    privileged: Sequence[Mapping[str, Any]] | None = None


class StepReward(Protocol):
    """Rewards while acting, over N slots at once.

    `scope` says what it remembers: `stateless`, `episodic` (within an episode), or `learned` (across episodes; it
    lives once, beside the learner, and an instance inside an asynchronous worker is an error). `version` counts
    updates and is recorded with every step that a `learned` reward scores. `requires` is empty or {"privileged"}.
    """

    name: str
    scope: Literal["stateless", "episodic", "learned"]
    version: int
    requires: frozenset[str]

    def reset(self, slots: NDArray[np.int64], episode_ids: Sequence[Any], observations: Any) -> None:
        """New episodes begin in these slots.

        Args:
            slots: int64 (K,), which.
            episode_ids: K of them.
            observations: The first observations, columns (K, ...) in the order of `slots`.
        """
        ...

    def __call__(self, transition: Transition) -> NDArray[np.float64]:
        """The reward of each slot, float64 (N,). Nothing is learned here."""
        ...

    def update(self, batch: Rollout) -> Mapping[str, float]:
        """Learns from a batch and returns metrics; `learned` rewards only."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        ...


@runtime_checkable
class CompositeStepReward(StepReward, Protocol):
    """A step reward made of named parts, each of which keeps its name in `Turn.terms` and reports."""

    def with_terms(self, transition: Transition) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        """The reward (N,), and its parts by name, unweighted, each (N,)."""
        ...


@dataclass(frozen=True, slots=True)
class Models:
    """What a credit may ask. None where there is none; `requires` is checked before the first rollout.

    Attributes:
        scorer: Says how likely tokens are.
        judge: Answers prompts.
        render_answer: How a final answer is said in the environment's dialect: from an answer to the whole utterance
            and where in it (in characters, end exclusive) the answer stands.
        render_calls: The same for tool calls, each with `name` and `arguments`. Both raise `ValueError` where the
            dialect has no words for it.
    """

    scorer: Scorer | None = None
    judge: Judge | None = None
    render_answer: Callable[[str], tuple[str, tuple[int, int]]] | None = None
    render_calls: Callable[[Sequence[Mapping[str, Any]]], tuple[str, tuple[int, int]]] | None = None

    @property
    def gives(self) -> frozenset[str]:
        """The words of `Credit.requires` that these models meet."""
        given = {
            "scorer": self.scorer,
            "hidden": self.scorer,
            "judge": self.judge,
            "dialect": self.render_answer,
            "call-dialect": self.render_calls,
        }
        return frozenset(word for word, model in given.items() if model is not None)


@dataclass(frozen=True, slots=True, eq=False)
class CreditResult:
    """What a credit says of a list of episodes.

    Attributes:
        values: One array an episode, float64: (1,) at level `episode`, (T,) at `turn`, one value a sampled token at
            `token`. None where it does not apply (a failed episode, no ground truth), NaN where a single turn or token
            has no known value.
        level: The level of all values.
        terms: The parts of the values by name, unweighted, each at a level of its own; empty where there is one part.
        metrics: For logs.
    """

    values: Sequence[NDArray[np.float64] | None]
    level: CreditLevel
    terms: Mapping[str, CreditResult] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


class Credit(Protocol):
    """Rewards afterwards, with the whole episode in view.

    `requires` is a subset of `scorer`, `judge`, `hidden`, `dialect`, `call-dialect` (what `Models` give; the last two
    are the ways to say an answer, and to say calls) and `outcome`, `answers`, `gold_calls`, `calls` (what the
    environment's episodes carry; `answers` and `gold_calls` are ground truth: what to say, and which calls to make);
    `check_requires` compares it with what there is.

    A credit that learns also has `update(episodes, models) -> Mapping[str, float]` (metrics), `state_dict()` and
    `load_state_dict(state)`; see `LearnedCredit`.
    """

    name: str
    requires: frozenset[str]

    def __call__(self, episodes: Sequence[Episode], models: Models) -> CreditResult:
        """Values for each episode; failed ones get None."""
        ...


@runtime_checkable
class LearnedCredit(Credit, Protocol):
    """A credit that learns across episodes. It lives once, beside the learner, and is updated after it."""

    def update(self, episodes: Sequence[Episode], models: Models) -> Mapping[str, float]:
        """Learns from these episodes and returns metrics; failed episodes teach nothing."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs for an exact resume."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        ...


class Transform(Protocol):
    """Numbers to numbers: clipping, squashing, ensembles. NaN stands for "does not apply" and stays NaN."""

    name: str

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Same shape in and out."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CreditBatch:
    """What an advantage is computed from: B episodes of up to L positions (turns or tokens).

    Attributes:
        groups: int64 (B,), rollouts of one task share a number.
        valid: bool (B,); the others enter no mean, no deviation, no count, and get 0. Their numbers may be NaN.
        lengths: int64 (B,), how many positions each has.
        turn_of_token: int64 (B, L), the turn of each position, -1 where it has none.
        strata: int64 (B,), for stratified designs; zeros otherwise.
        values: float64 (B, L), the rewards on their positions, 0 elsewhere. NaN where a position's reward is not known:
            it enters no mean and no sum.
        last_value: float64 (B,), value of what follows the last position, for bootstrapping.
        env_ids: int64 (B,), which environment each is from, for scales kept per task; the same in every batch.
        rewards: float64 (B,), the summed reward of each episode, as far as it is known.
    """

    groups: NDArray[np.int64]
    valid: NDArray[np.bool_]
    lengths: NDArray[np.int64]
    turn_of_token: NDArray[np.int64]
    strata: NDArray[np.int64]
    values: NDArray[np.float64]
    last_value: NDArray[np.float64]
    env_ids: NDArray[np.int64]
    rewards: NDArray[np.float64]


class Advantage(Protocol):
    """From credited batches to advantages."""

    name: str

    def __call__(self, batch: CreditBatch) -> NDArray[np.float64]:
        """Advantages, float64 (B, L), 0 where there is no position or the episode is not valid."""
        ...

    def metrics(self, batch: CreditBatch) -> Mapping[str, float]:
        """For logs: what was dropped, and why."""
        ...


_REMEDIES: Mapping[str, str] = {
    "scorer": "give a language model that scores tokens",
    "judge": "give a language model that answers prompts",
    "hidden": "give a language model that shows its hidden states",
    "dialect": "choose an environment whose dialect can say an answer",
    "call-dialect": "choose an environment whose dialect can say calls (one with render_calls)",
    "outcome": "choose a verifiable environment, or the reward 'env'",
    "answers": "choose an environment whose tasks have accepted answers; where they have right calls, igpo can believe "
    "in those (belief='calls')",
    "calls": "choose an environment with tools",
    "gold_calls": "choose an environment whose tasks say which calls are right (privileged()['gold_calls'])",
}


def kind_of(reward: object) -> Literal["step", "credit"]:
    """Whether something is a `StepReward` or a `Credit`.

    Raises:
        ConfigError: It is neither.
    """
    if callable(reward) and hasattr(reward, "name"):
        if hasattr(reward, "scope"):
            return "step"
        if hasattr(reward, "requires"):
            return "credit"
    raise ConfigError(
        f"A {type(reward).__name__} is no reward: a step reward has `name` and `scope`, a credit `name` and `requires`."
    )


def check_requires(reward: StepReward | Credit, available: Collection[str]) -> None:
    """Refuses a reward that could not work here; called before the first rollout.

    Args:
        reward: The reward.
        available: What there is, of the words that `requires` may hold.

    Raises:
        ConfigError: Something is missing; the message says what would help.
    """
    missing = sorted(frozenset(getattr(reward, "requires", ())) - frozenset(available))
    if missing:
        help_ = "; ".join(f"'{what}': {_REMEDIES.get(what, 'give it')}" for what in missing)
        raise ConfigError(f"The reward '{reward.name}' needs what is not there. {help_[0].upper()}{help_[1:]}.")


def score_step(
    reward: StepReward, transition: Transition
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Calls a step reward once and splits what it gives into its named parts.

    Args:
        reward: Any step reward.
        transition: The step.

    Returns:
        The reward, float64 (N,), exactly 0 where the transition is not valid, and its parts by name, unweighted.

    Raises:
        ConfigError: The reward gave another shape, or a number that is not finite.
    """
    if isinstance(reward, CompositeStepReward):
        values, terms = reward.with_terms(transition)
    else:
        values = reward(transition)
        terms = {reward.name: values}
    return _checked(reward.name, values, transition), {
        name: _checked(name, part, transition) for name, part in terms.items()
    }


def _checked(name: str, values: Any, transition: Transition) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.shape != transition.valid.shape:
        raise ConfigError(f"The step reward '{name}' gave {array.shape}; one value a slot is {transition.valid.shape}.")
    array = np.where(transition.valid, array, 0.0)
    if not np.isfinite(array).all():
        slots = transition.slot[~np.isfinite(array)].tolist()
        raise ConfigError(f"The step reward '{name}' gave a number that is not finite in the slots {slots}.")
    return array
