"""The positive control of ToolRL: a call with so many parameters that chance never makes it whole.

An episode is one call. Decision 0 chooses one of K tools, decision j = 1..n what is given for parameter j: nothing, or
one of K - 1 values. One choice each is right, and is never "nothing". With x_0 = 1[right tool], v_j = 1[right value]
and u_j = 1[anything given for parameter j], the correctness reward is

    R = 6 S/S_max - 3,    S = x_0 (1 + sum_j u_j / n + sum_j v_j),    S_max = 2 + n,

for a wrong tool earns nothing for its parameters, and the keys of a right one are among the reference's, so that their
Jaccard index is the share of those that are given.

**The outcome alone learns nothing.** It is 1 where the whole call is right, else 0: with the uniform policy with
probability K^-(n+1). A group has any spread only if some episode in it succeeds, so P(spread) <= G K^-(n+1); without
spread every advantage is 0, the gradient is exactly 0, and the policy stays uniform. By induction over steps, the
policy after N episodes is the one it began with, at every learning rate, with probability at least 1 - N K^-(n+1). The
coarse reward (all equal or -3) is the outcome, but for its scale, and so learns nothing either.

**The graded reward learns.** The decisions are independent, so with q_j = P(v_j) and p_j = P(u_j) the effects are

    E[R | x_0 = 1] - E[R | x_0 = 0] = 6/S_max (1 + sum_j p_j / n + sum_j q_j)                > 0,
    E[R | j right] - E[R | j any other choice] >= 6/S_max P(x_0 = 1)                         > 0,

whatever the policy is, as long as the right tool has any probability. The advantage of an episode, (R - m) / (s + e)
with mean and deviation of its group, grows with its own R where the others' are given: with d = R minus the others'
mean it is c d / (sqrt(a + b d^2) + e), a >= 0 and b, c, e > 0. So E[A | right choice] is above E[A | any other], and
the expected gradient of the right choice's logit, pi (E[A | right] - E[A]), is above 0 at every decision: its
probability grows in expectation, the tool's first, and the parameters' the faster, the surer the tool is.

**The baseline is not broken.** On a call with few parameters chance gives it spread, and it must learn there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Episode, TextPart, ToolCall, ToolResult, Turn
from palaestra.harness.reproduce.control import (
    Check,
    ControlResult,
    draw_actions,
    policy_gradient,
    softmax,
    tuned_arm,
)
from palaestra.rewards.advantages import group_normalized
from palaestra.rewards.base import CreditResult
from palaestra.rewards.credit_batch import credit_batch
from palaestra.rewards.toolrl import ToolRL
from palaestra.rewards.toolrl_calls import Call, correctness_reward

__all__ = ["call_episode", "control", "graded_reward"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Correctness = Callable[[Sequence[Call], Sequence[Call]], float]
GRID = (1.0, 3.0, 10.0)
PARAMETERS, EASY_PARAMETERS, CHOICES = 7, 1, 8
GROUP, GROUPS, STEPS, SEEDS = 16, 4, 50, 5


def graded_reward(choices: IntArray, gold: IntArray) -> FloatArray:
    """R as above, float64 (B,).

    Args:
        choices: int64 (B, n + 1): the tool, then for each parameter 0 for nothing, or a value.
        gold: int64 (n + 1,), the right ones.
    """
    right, given = choices == gold, choices[:, 1:] > 0
    points = right[:, 0] * (1 + given.mean(axis=1) + right[:, 1:].sum(axis=1))
    return np.asarray(6 * points / (2 + given.shape[1]) - 3)


def control(
    correctness: Correctness = correctness_reward,
    outcome_only: Callable[..., FloatArray] = group_normalized,
    *,
    seeds: int = SEEDS,
) -> ControlResult:
    """Runs the control.

    Args:
        correctness: From the reference's calls and those made to a reward; another one is a planted bug.
        outcome_only: The advantage of the baseline; likewise.
        seeds: How many; fewer are faster.
    """

    def graded(choices: IntArray, gold: IntArray, groups: IntArray) -> FloatArray:
        rewards = [correctness([_call(gold)], [_call(row)]) for row in choices]
        return group_normalized(np.array(rewards), groups, np.ones(len(choices), bool))

    def coarse(choices: IntArray, gold: IntArray, groups: IntArray) -> FloatArray:
        rewards = [correctness_reward([_call(gold)], [_call(row)], "coarse") for row in choices]
        return group_normalized(np.array(rewards), groups, np.ones(len(choices), bool))

    def sparse(choices: IntArray, gold: IntArray, groups: IntArray) -> FloatArray:
        outcomes = (choices == gold).all(axis=1).astype(np.float64)
        return outcome_only(outcomes, groups, np.ones(len(choices), bool))

    method = tuned_arm("graded", GRID, seeds, lambda lr, seed: _learn(graded, PARAMETERS, lr, seed))
    baseline = tuned_arm("outcome alone", GRID, seeds, lambda lr, seed: _learn(sparse, PARAMETERS, lr, seed))
    whole = tuned_arm("coarse", GRID, seeds, lambda lr, seed: _learn(coarse, PARAMETERS, lr, seed))
    easy = tuned_arm(
        f"outcome alone, {EASY_PARAMETERS} parameter",
        GRID,
        seeds,
        lambda lr, seed: _learn(sparse, EASY_PARAMETERS, lr, seed),
    )
    decisions = PARAMETERS + 1
    chance = STEPS * GROUPS * GROUP * CHOICES**-decisions
    return ControlResult(
        sentence="Where chance never makes a call whole, graded correctness learns it and the outcome alone does not.",
        proof=(
            f"A tool and {PARAMETERS} parameters with {CHOICES} choices each are right by chance once in "
            f"{CHOICES**decisions:,} episodes. Groups without success have no spread and give no gradient, so with the "
            "outcome alone (or the coarse reward) the policy of a whole training run is the one it began with, but for "
            f"a probability of at most {chance:.1g}. Graded, the right tool and each right value add to the reward, "
            "whatever the other choices are."
        ),
        checks=(
            Check("Success with the graded reward at the end", method.end, least=0.9),
            Check("Success with the outcome alone at the end, at its best learning rate", baseline.end, most=0.01),
            Check("Success with the coarse reward at the end", whole.end, most=0.01),
            Check("Success with the outcome alone on a call with one parameter", easy.end, least=0.9),
            Check("Least effect of a right choice on the reward, over what is proven", _effects(correctness), least=1),
            Check("Largest gap between rewards of calls and the formula", _formula_gap(correctness), most=1e-9),
            Check("Largest gap between credits of episodes and the formula", _credit_gap(correctness), most=1e-9),
        ),
        arms=(method, baseline, whole, easy),
        success="probability of the whole call",
        setting={
            "parameters": PARAMETERS,
            "choices": CHOICES,
            "group": GROUP,
            "groups": GROUPS,
            "steps": STEPS,
            "seeds": seeds,
            "learning rates": GRID,
        },
    )


def _call(choices: IntArray) -> Call:
    tool, *values = choices.tolist()
    return Call(f"tool-{tool}", {f"p{j}": value for j, value in enumerate(values) if value})


def _gold(rng: np.random.Generator, parameters: int) -> IntArray:
    return np.append(rng.integers(0, CHOICES, 1), rng.integers(1, CHOICES, parameters))


def _learn(
    advantages: Callable[[IntArray, IntArray, IntArray], FloatArray], parameters: int, lr: float, seed: int
) -> FloatArray:
    """Probability of the whole call by step; exact, from the table."""
    rng = np.random.default_rng([seed, parameters])
    gold = _gold(rng, parameters)
    logits, groups = np.zeros((len(gold), CHOICES)), np.repeat(np.arange(GROUPS), GROUP)
    success = np.zeros(STEPS + 1)
    for step in range(STEPS + 1):
        probs = softmax(logits)
        success[step] = probs[np.arange(len(gold)), gold].prod()
        choices = draw_actions(rng, probs, GROUPS * GROUP)
        advantage = advantages(choices, gold, groups)
        if advantage.any():
            logits = logits + lr * policy_gradient(choices, np.repeat(advantage[:, None], len(gold), axis=1), probs)
    return success


def _effects(correctness: Correctness, draws: int = 200) -> float:
    """The least that a right choice adds, at any decision of calls drawn, over what is proven (1 where it holds)."""
    rng = np.random.default_rng(1)
    gold = _gold(rng, PARAMETERS)
    least = np.inf
    for _ in range(draws):
        choices = rng.integers(0, CHOICES, PARAMETERS + 1)
        decision = int(rng.integers(0, PARAMETERS + 1))
        if decision:
            choices[0] = gold[0]  # with another tool, parameters have no effect
        right = choices.copy()
        right[decision] = gold[decision]
        choices[decision] = (gold[decision] + rng.integers(1, CHOICES)) % CHOICES
        added = correctness([_call(gold)], [_call(right)]) - correctness([_call(gold)], [_call(choices)])
        least = min(least, added / (6 / (2 + PARAMETERS)))
    return round(least, 9)


def _drawn(seed: int) -> tuple[IntArray, IntArray]:
    """Calls (B, n + 1) of which about half is right, one of them wholly, and the right one."""
    rng = np.random.default_rng(seed)
    gold = _gold(rng, PARAMETERS)
    drawn = rng.integers(0, CHOICES, (4 * GROUP, PARAMETERS + 1))
    choices = np.where(rng.random(drawn.shape) < 0.5, gold, drawn)
    choices[0], choices[1, 1:] = gold, 0
    return choices, gold


def _formula_gap(correctness: Correctness) -> float:
    choices, gold = _drawn(2)
    found = np.array([correctness([_call(gold)], [_call(row)]) for row in choices])
    return float(np.abs(found - graded_reward(choices, gold)).max())


# The same through episodes, the credit and the batch ----------------------------------------------------------------


def call_episode(choices: IntArray, gold: IntArray, number: int = 0) -> Episode:
    """An episode of one call as a runner would record it.

    Args:
        choices: int64 (n + 1,).
        gold: int64 (n + 1,).
        number: Makes ids.
    """
    made, wanted = _call(choices), _call(gold)
    call = ToolCall(made.name, made.arguments, ToolResult((TextPart("done"),)), "ok")
    return Episode(
        episode_id=f"call-{number}",
        group_id=f"call-{number // GROUP}",
        env_id="control/Call",
        env_kwargs={},
        task=None,
        seed=0,
        attempt=0,
        agent_id="agent",
        world_id=f"call-{number}",
        status="terminated",
        observations=["", ""],
        turns=[Turn(0, "", (call,), terminated=True, info={"malformed": False})],
        outcome=float((choices == gold).all()),
        privileged={"gold_calls": (({"name": wanted.name, "arguments": wanted.arguments},),)},
    )


def _credit_gap(correctness: Correctness) -> float:
    """Largest difference to the credit and the advantage of real episodes, in which the form is always right."""
    choices, gold = _drawn(3)
    episodes = [call_episode(row, gold, number) for number, row in enumerate(choices)]
    result = ToolRL()(episodes)
    right: CreditResult = result.terms["toolrl.correctness"]
    batch = credit_batch(episodes, result)
    wanted = np.array([correctness([_call(gold)], [_call(row)]) for row in choices])
    found = np.array([float(value[0]) for value in right.values if value is not None])
    advantage = group_normalized(batch.rewards, batch.groups, batch.valid)
    # A format reward that all have changes no advantage.
    gap = np.abs(advantage - group_normalized(wanted, batch.groups, batch.valid)).max()
    formula = np.abs(batch.rewards - 1 - graded_reward(choices, gold)).max()
    return float(max(np.abs(found - wanted).max(), formula, gap))
