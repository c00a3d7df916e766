"""Stepwise progress attribution: a delayed outcome as contributions of single turns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Episode
from palaestra.errors import ConfigError
from palaestra.models import Scorer
from palaestra.rewards.base import CreditResult, Models
from palaestra.rewards.progress_estimator import ProgressEstimator
from palaestra.tokens import token_sequences

__all__ = ["ProgressAttribution", "grounding", "turn_features"]

_AT_ONCE = 16


def grounding(episode: Episode) -> NDArray[np.float64]:
    """Whether each turn's action was executed, float64 (T,): 1 where it made calls and all went well, else 0."""
    found = [bool(turn.calls) and all(call.status == "ok" for call in turn.calls) for turn in episode.turns]
    return np.array(found, np.float64)


def turn_features(episodes: Sequence[Episode], scorer: Scorer) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """The hidden state of the last token of each turn.

    Args:
        episodes: Any.
        scorer: Whose hidden states.

    Returns:
        For each episode the turns that have tokens, int64 (n,), and their features, float32 (n, D).
    """
    found: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
    # Some at a time: hidden states of all tokens are large, and only a few rows of them stay.
    for begin in range(0, len(episodes), _AT_ONCE):
        several = [token_sequences(episode) for episode in episodes[begin : begin + _AT_ONCE]]
        states = iter(scorer.hidden([sequence.ids for sequences in several for sequence in sequences]))
        for sequences in several:
            turns, rows = [np.zeros(0, np.int64)], []
            for sequence in sequences:
                hidden, sampled = next(states), np.flatnonzero(sequence.loss_mask)
                own = sequence.turn_of_token[sampled].astype(np.int64)
                ends = np.flatnonzero(np.append(np.diff(own) != 0, True))
                turns.append(own[ends])
                rows.append(hidden[sampled[ends]])
            found.append((np.concatenate(turns), np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)))
    return found


class ProgressAttribution:
    """Credit for what each turn contributes to the outcome, as a learned progress estimator sees it.

        r_t = alpha c_t + beta g_t,        c trained by  min MSE( sum_t c_t, R )

    Symbols: c_t is the estimator's output on the hidden state of turn t's last token; R is the outcome; g_t is 1 where
    every call of the turn was executed (status `ok`), else 0. Single c_t are free, and may be negative.

    Source: "SPA-RL: Reinforcing LLM Agents via Stepwise Progress Attribution" (2025).

    Departures:
        - The paper fine-tunes a copy of the language model as the estimator; here the trunk is the policy itself,
          frozen, and a small head is trained on its hidden states after every update, among the latest episodes. The
          features of remembered episodes are those of the policy that they were first seen with.
        - The paper places the rewards in PPO; here they are turn rewards for any advantage.
        - g_t is 0 or 1. The authors' code has 0.5 or 0 and always grants it to the last step. A turn without a call
          (malformed, or none made) executed nothing: 0.
        - alpha and beta are not known to us; the defaults are 1 and 0.5. In the paper there is no term for the outcome
          itself, hence `outcome_weight` 0; c_t carries it as well as the estimator knows.

    Edge cases:
        - Before the first update every turn with tokens contributes outcome / n, n their number: the sum is right, and
          nothing is attributed yet.
        - A turn without tokens has c_t = 0, as in the sum that is trained.
        - An episode without any token ids, failed, without an outcome or without turns: None; the first are counted as
          `without_tokens`. None of them is learned from.

    The parts in `terms` are unweighted: `progress` and `grounding` by turn, and `outcome`. In the metrics,
    `regression_error` is the mean squared error on episodes that the estimator has not seen yet.

    Args:
        alpha: Factor on the contributions.
        beta: Factor on the grounding.
        outcome_weight: Factor on the outcome, on the last turn.
        width: Hidden units of the head; 0 is linear.
        lr: Its learning rate.
        weight_decay: Its weight decay.
        epochs: Passes over the remembered episodes at each update.
        memory: How many episodes are remembered.
        seed: Of the head's start and of the order of episodes.
        name: Its name in reports.

    Raises:
        ConfigError: A value outside its range.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"scorer", "hidden", "calls", "outcome"})

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 0.5,
        outcome_weight: float = 0.0,
        width: int = 64,
        lr: float = 3e-3,
        weight_decay: float = 0.01,
        epochs: int = 10,
        memory: int = 512,
        seed: int = 0,
        name: str = "spa",
    ) -> None:
        for key, value in {"alpha": alpha, "beta": beta, "outcome_weight": outcome_weight}.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ConfigError(f"{key} is {value!r}; it must be a finite number.")
        self.alpha, self.beta, self.outcome_weight, self.name = alpha, beta, outcome_weight, name
        self.estimator = ProgressEstimator(
            width=width, lr=lr, weight_decay=weight_decay, epochs=epochs, memory=memory, seed=seed
        )

    @property
    def version(self) -> int:
        """How many updates the estimator has had."""
        return self.estimator.fits

    def __call__(self, episodes: Sequence[Episode], models: Models) -> CreditResult:
        """One value a turn.

        Raises:
            ConfigError: `models` has no scorer.
        """
        values: list[NDArray[np.float64] | None] = [None] * len(episodes)
        progress, grounded, outcomes = list(values), list(values), list(values)
        errors: list[float] = []
        rows = self._rows(episodes)
        without = 0
        for row, (turns, features) in zip(rows, self._features(episodes, rows, models), strict=True):
            if not len(turns):
                without += 1
                continue
            episode, outcome = episodes[row], float(episodes[row].outcome or 0.0)
            share = np.zeros(len(episode.turns))
            share[turns] = self.estimator(features) if self.version else outcome / len(turns)
            done = grounding(episode)
            total = self.alpha * share + self.beta * done
            total[-1] += self.outcome_weight * outcome
            values[row], progress[row], grounded[row] = total, share, done
            outcomes[row] = np.array([outcome])
            errors.append((float(share.sum()) - outcome) ** 2)
        terms = {
            "progress": CreditResult(progress, "turn"),
            "grounding": CreditResult(grounded, "turn"),
            "outcome": CreditResult(outcomes, "episode"),
        }
        metrics = {f"{self.name}/without_tokens": float(without), f"{self.name}/version": float(self.version)}
        if errors:
            metrics[f"{self.name}/grounding"] = float(np.mean(np.concatenate([g for g in grounded if g is not None])))
            if self.version:
                metrics[f"{self.name}/regression_error"] = float(np.mean(errors))
        return CreditResult(values, "turn", terms, metrics)

    def update(self, episodes: Sequence[Episode], models: Models) -> Mapping[str, float]:
        """Trains the estimator; see `LearnedCredit.update`.

        Returns:
            `training_error` and `outcome_variance` (what knowing only the mean would give), under the credit's name;
            empty where no episode can be learned from.
        """
        rows = self._rows(episodes)
        found = self._features(episodes, rows, models)
        known = [
            (features, float(episodes[row].outcome or 0.0)) for row, (_, features) in zip(rows, found, strict=True)
        ]
        known = [(features, outcome) for features, outcome in known if len(features)]
        metrics = self.estimator.fit([features for features, _ in known], [outcome for _, outcome in known])
        return {f"{self.name}/{key}": value for key, value in metrics.items()}

    def state_dict(self) -> dict[str, Any]:
        """See `LearnedCredit.state_dict`."""
        return self.estimator.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `LearnedCredit.load_state_dict`."""
        self.estimator.load_state_dict(state)

    def _rows(self, episodes: Sequence[Episode]) -> list[int]:
        """Those that have a value."""
        return [
            row
            for row, episode in enumerate(episodes)
            if episode.valid and episode.outcome is not None and len(episode.turns)
        ]

    def _features(
        self, episodes: Sequence[Episode], rows: Sequence[int], models: Models
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        if models.scorer is None:
            raise ConfigError(f"The reward '{self.name}' needs a scorer: it reads a language model's hidden states.")
        return turn_features([episodes[row] for row in rows], models.scorer)
