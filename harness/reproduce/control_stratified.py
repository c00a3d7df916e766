"""The positive controls of stratified advantages: strata that hide an action's effect, and strata that are the effect.

**First control.** The environment draws how many calls an episode makes, n in 0..S-1; the agent then chooses one of K
actions, without having seen n. The reward is m_n + d 1[action is right], where the m_n lie far apart and d is small.

With x = 1[right], q = P(right), and the population of a group,

    A_GN  numerator:  R - m   = d (x - q) + (m_n - mean m)        variance  V_w + V_b
    A_SAN numerator:  R - m_k = d (x - q)                         variance  V_w = d^2 q (1 - q)

V_b = Var(m_n) is the cross-stratum term, (1/K) sum_k n_k (m_k - m)^2 in a finite group. n is independent of the action,
so that term adds nothing to the expected gradient E[A grad log pi], and its variance in full. Both are divided by their
deviation, hence of unit variance, of which the action has a share of 1 under SAN and V_w / (V_w + V_b) under GN. The
gradient's ratio of mean to deviation is therefore larger for SAN by about sqrt(1 + V_b / V_w), less what small strata
cost.

**Second control.** The agent chooses the number of calls itself, and the reward, noise included, depends on it alone.
All members of a stratum have the same grad log pi, and their A_SAN sum to 0, so the gradient under alpha = 1 is

    sum_k grad log pi(k) sum_{i in k} A_SAN_i = 0        exactly,

whatever the rewards: pure SAN never moves. A blend keeps (1 - alpha) A_GN, which learns.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import TextPart, ToolCall, ToolResult, Turn
from palaestra.harness.reproduce.control import (
    Check,
    ControlResult,
    draw_actions,
    played_episode,
    policy_gradient,
    softmax,
    tuned_arm,
)
from palaestra.rewards.advantages import group_normalized
from palaestra.rewards.base import CreditResult
from palaestra.rewards.credit_batch import credit_batch
from palaestra.rewards.stratified import Stratified, stratified_normalized

__all__ = ["control", "predicted_ratio"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Advantage = Callable[[FloatArray, IntArray, IntArray], FloatArray]
GRID = (0.3, 1.0, 3.0, 10.0)
STRATA, ACTIONS = 3, 4
BASE, EFFECT = (0.05, 0.45, 0.85), 0.1
GROUP, GROUPS, STEPS, SEEDS = 16, 2, 40, 8
WINS = (0.2, 0.5, 0.8)  # second control: chance of success by number of calls


def predicted_ratio() -> float:
    """Signal to noise of SAN over that of GN at the uniform policy: about sqrt(1 + V_b / V_w)."""
    q = 1 / ACTIONS
    return math.sqrt(1 + float(np.var(BASE)) / (EFFECT**2 * q * (1 - q)))


def control(
    stratified: Callable[..., FloatArray] = stratified_normalized,
    *,
    seeds: int = SEEDS,
) -> ControlResult:
    """Runs both controls.

    Args:
        stratified: The estimator; another one is a planted bug.
        seeds: How many; fewer are faster.
    """

    def blended(alpha: float) -> Advantage:
        return lambda rewards, groups, strata: stratified(
            rewards, groups, strata, np.ones(len(rewards), bool), alpha=alpha
        )

    def overall(rewards: FloatArray, groups: IntArray, strata: IntArray) -> FloatArray:
        return group_normalized(rewards, groups, np.ones(len(rewards), bool))

    method = tuned_arm("stratified", GRID, seeds, lambda lr, seed: _learn_action(blended(1.0), lr, seed))
    baseline = tuned_arm("whole group", GRID, seeds, lambda lr, seed: _learn_action(overall, lr, seed))
    pure, blend = (
        tuned_arm(name, GRID, seeds, lambda lr, seed, alpha=alpha: _learn_count(blended(alpha), lr, seed))  # type: ignore[misc]
        for name, alpha in (("number of calls, alpha 1", 1.0), ("number of calls, alpha 0.5", 0.5))
    )
    moved = max(abs(mean - pure.curve[0][1]) for _, mean, _, _ in pure.curve)
    ratio = _signal_to_noise(blended(1.0)) / _signal_to_noise(overall)
    return ControlResult(
        sentence=(
            "Where the number of calls is chance and hides what an action does, comparing within strata learns faster; "
            "where the number is all that matters, it learns nothing, and the blend does."
        ),
        proof=(
            f"The rewards of strata differ by {BASE[1] - BASE[0]:g}, the right action adds {EFFECT:g}. The term across "
            "strata is independent of the action: it adds no signal and all of its variance. Signal to noise of the "
            f"gradient is higher within strata by about sqrt(1 + V_b/V_w) = {predicted_ratio():.1f}. "
            "Where the agent chooses the stratum, advantages within one sum to 0 on the same gradient, so alpha = 1 "
            "cannot move."
        ),
        checks=(
            Check(
                f"Signal to noise of the gradient, stratified over whole group (about {predicted_ratio():.1f})",
                ratio,
                least=0.5 * predicted_ratio(),
            ),
            Check("Mean success over all steps, stratified minus whole group", method.area - baseline.area, least=0.1),
            Check("Success with strata at the end", method.end, least=0.9),
            Check("Number of calls alone matters: how far alpha = 1 moves", moved, most=1e-9),
            Check("Number of calls alone matters: success of alpha = 0.5 at the end", blend.end, least=0.9),
            Check(
                "Largest gap to the advantages of real episodes, by their calls", _episode_gap(stratified), most=1e-9
            ),
        ),
        arms=(method, baseline, blend, pure),
        success="probability of the right choice",
        setting={
            "strata": STRATA,
            "actions": ACTIONS,
            "rewards of strata": BASE,
            "effect of the action": EFFECT,
            "group": GROUP,
            "groups": GROUPS,
            "steps": STEPS,
            "seeds": seeds,
            "learning rates": GRID,
        },
    )


def _play(rng: np.random.Generator, actions: IntArray) -> tuple[FloatArray, IntArray]:
    """Rewards and strata of the first control; action 0 is right."""
    strata = rng.integers(0, STRATA, len(actions))
    return np.array(BASE)[strata] + EFFECT * (actions == 0), strata


def _learn_action(advantage: Advantage, lr: float, seed: int) -> FloatArray:
    rng = np.random.default_rng([seed, 1])
    logits, groups = np.zeros((1, ACTIONS)), np.repeat(np.arange(GROUPS), GROUP)
    success = np.zeros(STEPS + 1)
    for step in range(STEPS + 1):
        probs = softmax(logits)
        success[step] = probs[0, 0]
        actions = draw_actions(rng, probs, GROUPS * GROUP)
        rewards, strata = _play(rng, actions[:, 0])
        logits = logits + lr * policy_gradient(actions, advantage(rewards, groups, strata)[:, None], probs)
    return success


def _learn_count(advantage: Advantage, lr: float, seed: int) -> FloatArray:
    rng = np.random.default_rng([seed, 2])
    logits, groups = np.zeros((1, STRATA)), np.repeat(np.arange(GROUPS), GROUP)
    success = np.zeros(STEPS + 1)
    for step in range(STEPS + 1):
        probs = softmax(logits)
        success[step] = probs[0, int(np.argmax(WINS))]
        actions = draw_actions(rng, probs, GROUPS * GROUP)
        rewards = (rng.random(len(actions)) < np.array(WINS)[actions[:, 0]]).astype(np.float64)
        logits = logits + lr * policy_gradient(actions, advantage(rewards, groups, actions[:, 0])[:, None], probs)
    return success


def _signal_to_noise(advantage: Advantage, draws: int = 2000) -> float:
    """Mean over deviation of the right action's gradient in one group, at the uniform policy."""
    rng = np.random.default_rng(3)
    probs = np.full((1, ACTIONS), 1 / ACTIONS)
    actions = draw_actions(rng, probs, draws * GROUP)
    rewards, strata = _play(rng, actions[:, 0])
    found = advantage(rewards, np.repeat(np.arange(draws), GROUP), strata)
    score = (actions[:, 0] == 0) - probs[0, 0]
    gradients = (found * score).reshape(draws, GROUP).mean(axis=1)
    return float(gradients.mean() / gradients.std())


def _episode_gap(stratified: Callable[..., FloatArray]) -> float:
    """Largest difference to what `Stratified` says of real episodes, whose strata are their calls."""
    rng = np.random.default_rng(4)
    rewards, strata = _play(rng, rng.integers(0, ACTIONS, GROUP))
    episodes = []
    for number, (reward, calls) in enumerate(zip(rewards.tolist(), strata.tolist(), strict=True)):
        made = tuple(ToolCall("search", {}, ToolResult((TextPart("found"),)), "ok") for _ in range(calls))
        episodes.append(played_episode("Strata", number, 0, [Turn(0, "", made, terminated=True)], reward))
    design = Stratified(alpha=0.5)
    credited = CreditResult([np.array([episode.outcome]) for episode in episodes], "episode")
    found = design(credit_batch(episodes, credited, strata=design.strata))[:, 0]
    groups = np.zeros(GROUP, np.int64)
    return float(np.abs(found - stratified(rewards, groups, strata, np.ones(GROUP, bool), alpha=0.5)).max())
