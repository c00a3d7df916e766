"""The positive control of progress attribution: one decision, and luck on all other turns.

An episode has T turns with one of K actions in each. Only the action of turn m matters: x = 1 where it is right. Every
other turn t has luck l_t, 0 or 1 with equal chance, which no action moves. The outcome comes at the end:

    R = d x + w sum_{t != m} l_t,        w = (1 - d)/(T - 1).

What a turn was (its action, its luck) is in its features, so the contributions c_m = d x and c_t = w l_t can be learned
from episodes with their outcomes alone: R is their sum, they are linear in the features, and features of different
turns are independent, so least squares has them, up to constants by turn, as its only solution.

**Signal and noise.** With gamma 1, turn m is weighted by the rewards from turn m on. Spread evenly, these are
(T - m) R / T: d x, and the luck of all turns. Attributed, they are d x and the luck of *later* turns; that of the turns
before is where it belongs. With V_x = d^2 q (1 - q) and V_l = w^2 / 4, the share of the action in the variance of what
turn m is weighted by is therefore larger by

    (V_x + (T - 1) V_l) / (V_x + (T - 1 - m) V_l),        turns counted from 0,

and the gradient's ratio of mean to deviation by about the root of it. Normalising over all turns of a group leaves an
offset where a turn's mean differs from that of all; it is the same for all actions, and costs some of the ratio.

That learning is faster does not follow: where the effect is large, the baseline solves it in a few steps, too. The
effect here was chosen small enough for the difference to show; `docs/claims.md` has the settings that were tried.

The estimator learns first, from episodes of the policy as it is at the start (as in the paper); the curve of progress
attribution waits for as long as these episodes would have been steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Completion, Episode, Turn
from palaestra.errors import MissingExtraError
from palaestra.harness.reproduce.control import (
    Check,
    ControlResult,
    draw_actions,
    played_episode,
    policy_gradient,
    softmax,
    tuned_arm,
)
from palaestra.models import FakeScorer
from palaestra.rewards.base import Models
from palaestra.rewards.progress_estimator import ProgressEstimator
from palaestra.rewards.spa import ProgressAttribution
from palaestra.rewards.turn_level import turn_level_advantages

__all__ = ["control", "predicted_ratio"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Attribute = Callable[[FloatArray], FloatArray]
GRID = (0.3, 1.0, 3.0, 10.0)
TURNS, ACTIONS, DECISIVE = 8, 4, 6
EFFECT = 0.03
LUCK = (1 - EFFECT) / (TURNS - 1)
NOISE = 8  # features that mean nothing
GROUP, GROUPS, STEPS, SEEDS = 16, 2, 60, 8
EXPLORED = 8  # steps' worth of episodes that the estimator learns from, while the policy stays as it is
WIDTH = TURNS * ACTIONS + TURNS + NOISE


def predicted_ratio() -> float:
    """Signal to noise at the decisive turn, attributed over spread evenly, at the uniform policy: about this."""
    signal, luck = EFFECT**2 * (1 / ACTIONS) * (1 - 1 / ACTIONS), LUCK**2 / 4
    return math.sqrt((signal + (TURNS - 1) * luck) / (signal + (TURNS - 1 - DECISIVE) * luck))


def control(
    attribute: Attribute = lambda contributions: contributions,
    *,
    seeds: int = SEEDS,
) -> ControlResult:
    """Runs the control; needs torch, for the estimator.

    Args:
        attribute: Applied to the contributions (B, T) that the estimator gives; other than the identity it is a
            planted bug.
        seeds: How many; fewer are faster.

    Raises:
        MissingExtraError: torch is not installed.
    """
    with _one_thread():
        estimators = [_estimator(seed) for seed in range(seeds)]
        method = tuned_arm(
            "progress attribution", GRID, seeds, lambda lr, seed: _learn(estimators[seed], attribute, lr, seed)
        )
        baseline = tuned_arm("outcome spread evenly", GRID, seeds, lambda lr, seed: _learn(None, attribute, lr, seed))
        error, share, gap = _attribution(attribute)
        ratio = _signal_to_noise(estimators[0], attribute) / _signal_to_noise(None, attribute)
    return ControlResult(
        sentence="Where one turn matters and luck hides it, attributed progress credits that turn, and learns faster.",
        proof=(
            f"Of {TURNS} turns, number {DECISIVE + 1} adds {EFFECT:g} where its action is right, each other one "
            f"{LUCK:.2f} by luck. The outcome is a sum over turns of what their features say, so regression finds the "
            "contributions. The luck of turns before the decisive one then weighs on them, no longer on it: signal to "
            f"noise is higher by about {predicted_ratio():.1f}."
        ),
        checks=(
            Check("Regression error on new episodes, as a share of the outcome's variance", error, most=0.05),
            Check("Share of the credit for actions that is on the decisive turn", share, least=0.8),
            Check(f"What the right action is credited with, over its true effect of {EFFECT:g}", gap, 0.7, 1.3),
            Check(
                f"Signal to noise at the decisive turn, attributed over spread evenly (about {predicted_ratio():.1f})",
                ratio,
                least=1.2,
            ),
            Check("Mean success over all steps, attributed minus spread evenly", method.area - baseline.area, 0.1),
            Check("Success with attribution at the end", method.end, least=0.9),
        ),
        arms=(method, baseline),
        success="probability of the right action in the decisive turn",
        setting={
            "turns": TURNS,
            "actions": ACTIONS,
            "decisive turn": DECISIVE + 1,
            "effect": EFFECT,
            "group": GROUP,
            "groups": GROUPS,
            "steps": STEPS,
            "seeds": seeds,
            "learning rates": GRID,
        },
    )


def _play(rng: np.random.Generator, actions: IntArray) -> tuple[FloatArray, FloatArray, NDArray[np.float32]]:
    """Luck (B, T), outcomes (B,) and features (B, T, D); action 0 is right."""
    luck = rng.integers(0, 2, actions.shape).astype(np.float64)
    luck[:, DECISIVE] = 0
    outcomes = np.minimum(EFFECT * (actions[:, DECISIVE] == 0) + LUCK * luck.sum(axis=1), 1.0)  # rounding
    features = rng.normal(size=(*actions.shape, WIDTH)).astype(np.float32)
    features[:, :, : TURNS * ACTIONS + TURNS] = 0
    rows, turns = np.indices(actions.shape)
    features[rows, turns, turns * ACTIONS + actions] = 1
    features[rows, turns, TURNS * ACTIONS + turns] = luck
    return luck, outcomes, features


def _estimator(seed: int) -> ProgressEstimator:
    """An estimator that has learned from the first steps' episodes."""
    rng = np.random.default_rng([seed, 8])
    count = EXPLORED * GROUPS * GROUP
    _, outcomes, features = _play(rng, draw_actions(rng, np.full((TURNS, ACTIONS), 1 / ACTIONS), count))
    estimator = ProgressEstimator(width=0, lr=0.05, epochs=15, batch_episodes=32, memory=count, seed=seed)
    estimator.fit(list(features), outcomes.tolist())
    return estimator


def _credit(
    estimator: ProgressEstimator | None, attribute: Attribute, outcomes: FloatArray, features: NDArray[np.float32]
) -> FloatArray:
    """Rewards by turn (B, T): contributions, or without an estimator the outcome spread evenly."""
    if estimator is None:
        return np.repeat(outcomes[:, None] / TURNS, TURNS, axis=1)
    return attribute(estimator(features.reshape(-1, WIDTH)).reshape(-1, TURNS))


def _advantages(values: FloatArray, groups: IntArray) -> FloatArray:
    return turn_level_advantages(values, groups, np.full(len(values), TURNS), np.ones(len(values), bool))


def _learn(estimator: ProgressEstimator | None, attribute: Attribute, lr: float, seed: int) -> FloatArray:
    """Probability of the right action in the decisive turn, by step; without an estimator, by the outcome alone."""
    rng = np.random.default_rng([seed, 5])
    logits, groups = np.zeros((TURNS, ACTIONS)), np.repeat(np.arange(GROUPS), GROUP)
    success = np.zeros(STEPS + 1)
    for step in range(STEPS + 1):
        probs = softmax(logits)
        success[step] = probs[DECISIVE, 0]
        if estimator is None or step >= EXPLORED:
            actions = draw_actions(rng, probs, GROUPS * GROUP)
            _, outcomes, features = _play(rng, actions)
            advantages = _advantages(_credit(estimator, attribute, outcomes, features), groups)
            logits = logits + lr * policy_gradient(actions, advantages, probs)
    return success


def _signal_to_noise(estimator: ProgressEstimator | None, attribute: Attribute, draws: int = 1000) -> float:
    """Mean over deviation of the right action's gradient in one group, at the uniform policy."""
    rng = np.random.default_rng(6)
    actions = draw_actions(rng, np.full((TURNS, ACTIONS), 1 / ACTIONS), draws * GROUP)
    _, outcomes, features = _play(rng, actions)
    found = _advantages(_credit(estimator, attribute, outcomes, features), np.repeat(np.arange(draws), GROUP))
    score = (actions[:, DECISIVE] == 0) - 1 / ACTIONS
    gradients = (found[:, DECISIVE] * score).reshape(draws, GROUP).mean(axis=1)
    return float(gradients.mean() / gradients.std())


# The same through episodes and the credit ---------------------------------------------------------------------------


class _Telling(FakeScorer):
    """A scorer whose hidden states are the features above; the token after the prompt says of which episode.

    Args:
        features: float32 (N, T, D).
    """

    def __init__(self, features: NDArray[np.float32]) -> None:
        super().__init__(WIDTH)
        self.features = features

    def hidden(self, sequences: Sequence[NDArray[np.int32]]) -> list[NDArray[np.float32]]:
        """See `Scorer.hidden`: odd positions are samples, one token a turn."""
        found = []
        for ids in sequences:
            states = np.zeros((len(ids), WIDTH), np.float32)
            states[1::2] = self.features[ids[0]]
            found.append(states)
        return found


def _episodes(actions: IntArray, outcomes: FloatArray) -> list[Episode]:
    episodes = []
    for number, (row, outcome) in enumerate(zip(actions.tolist(), outcomes.tolist(), strict=True)):
        turns = []
        for t, action in enumerate(row):
            context = np.array([number], np.int32)
            sample = Completion(np.array([action], np.int32), np.zeros(1, np.float32), context, 2 * t)
            turns.append(Turn(t, str(action), terminated=t == TURNS - 1, completion=sample))
        episodes.append(played_episode("Luck", number, number // GROUP, turns, outcome))
    return episodes


def _attribution(attribute: Attribute, train: int = 512, held_out: int = 256) -> tuple[float, float, float]:
    """The credit itself on real episodes, learned from some and asked of others.

    Returns:
        Regression error over the outcome's variance; share of the decisive turn in sum_t |what a right action is
        credited with|; what it is credited with there, over its true effect.
    """
    rng = np.random.default_rng(7)
    actions = draw_actions(rng, np.full((TURNS, ACTIONS), 1 / ACTIONS), train + held_out)
    luck, outcomes, features = _play(rng, actions)
    episodes = _episodes(actions, outcomes)
    models = Models(scorer=_Telling(features))
    credit = ProgressAttribution(beta=0.0, width=0, lr=0.02, epochs=6, memory=train)
    for _ in range(2):
        credit.update(episodes[:train], models)
    values = attribute(np.stack([row for row in credit(episodes, models).values if row is not None])[train:])
    wanted, right, lucky = outcomes[train:], actions[train:] == 0, luck[train:] > 0
    error = float(((values.sum(axis=1) - wanted) ** 2).mean() / wanted.var())
    credited = np.array([_effect(values[:, t], right[:, t], lucky[:, t]) for t in range(TURNS)])
    total = float(np.abs(credited).sum())
    share = float(abs(credited[DECISIVE])) / total if total else 0.0
    return error, share, float(credited[DECISIVE]) / EFFECT


def _effect(values: FloatArray, right: NDArray[np.bool_], lucky: NDArray[np.bool_]) -> float:
    """What a right action adds to a turn's credit, at equal luck."""
    cases = [luck for luck in (lucky, ~lucky) if luck.any()]
    return float(np.mean([values[right & luck].mean() - values[~right & luck].mean() for luck in cases]))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Matrices this small are slower on several threads."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("The positive control of 'spa'", "transformers") from error
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
