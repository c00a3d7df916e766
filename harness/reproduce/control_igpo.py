"""The positive control of information gain: a lock that cannot be opened by chance.

An episode has T turns; each chooses one of K digits, and the outcome is 1 if all T are those of the code, else 0. After
a turn with the right digit, that digit of the code is shown. The exact belief in the code, of somebody who takes what
is shown and is uniform over the rest, is then, with n digits shown,

    p = exp( (1/T) sum_j log pi(a_j) ) = K^(-(T - n)/T),

so every right turn raises it, and no wrong one does.

**Outcome alone learns nothing.** A uniform policy opens the lock with probability K^-T. A group has any spread only if
some episode in it does, so P(spread) <= G K^-T; without spread every advantage is (R - mean)/(...) = 0, the gradient is
exactly 0, and the policy stays uniform. By induction over steps, the policy after N episodes is the one it began with,
at every learning rate, with probability at least 1 - N K^-T.

**Information gain learns.** The reward of turn t < T-1 is p_{t+1} - p_t, which is above 0 where the digit is right and
0 where it is wrong. After normalisation and summing over what follows, a right digit has the larger expected advantage:
its own reward is larger, later ones do not get smaller (p grows by a factor, so gains grow with n). Its probability
therefore grows, by the policy gradient theorem, from the first step on. The last turn has the outcome alone; once the
others are right, one of K episodes opens the lock, and groups have spread.

**The baseline is not broken.** On a lock with few turns, chance gives it spread, and it must learn there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Completion, Episode, Turn
from palaestra.harness.reproduce.control import (
    Check,
    ControlResult,
    draw_actions,
    played_episode,
    policy_gradient,
    softmax,
    tuned_arm,
)
from palaestra.models import Encoding, FakeScorer, ScoreRequest
from palaestra.rewards.advantages import group_normalized
from palaestra.rewards.base import Models
from palaestra.rewards.credit_batch import credit_batch
from palaestra.rewards.igpo import InformationGain, information_gain
from palaestra.rewards.turn_level import TurnLevel, turn_level_advantages

__all__ = ["LockScorer", "control", "lock_beliefs", "lock_episode"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
GRID = (0.1, 0.3, 1.0, 3.0)
TURNS, EASY_TURNS, DIGITS = 8, 2, 8
GROUP, GROUPS, STEPS, SEEDS = 16, 4, 60, 5


def lock_beliefs(right: NDArray[np.bool_], digits: int) -> FloatArray:
    """Log-belief right before each turn, float64 (B, T): (n - T)/T log K, n the digits shown so far.

    Args:
        right: bool (B, T), whether a turn's digit is the code's.
        digits: K.
    """
    shown: IntArray = np.cumsum(right, axis=1) - right
    return np.asarray((shown - right.shape[1]) / right.shape[1] * math.log(digits))


def control(
    gain: Callable[[FloatArray], FloatArray] = information_gain,
    turn_level: Callable[..., FloatArray] = turn_level_advantages,
    outcome_only: Callable[..., FloatArray] = group_normalized,
    *,
    seeds: int = SEEDS,
) -> ControlResult:
    """Runs the control.

    Args:
        gain: From log-beliefs to rewards by turn; another one is a planted bug.
        turn_level: The advantage of information gain; likewise.
        outcome_only: The advantage of the baseline; likewise.
        seeds: How many; fewer are faster.
    """

    def informed(outcome: FloatArray, right: NDArray[np.bool_], groups: IntArray) -> FloatArray:
        rewards = np.stack([gain(row) for row in lock_beliefs(right, DIGITS)])
        rewards[:, -1] = outcome
        lengths = np.full(len(right), right.shape[1])
        return turn_level(rewards, groups, lengths, np.ones(len(right), bool))

    def sparse(outcome: FloatArray, right: NDArray[np.bool_], groups: IntArray) -> FloatArray:
        advantage = outcome_only(outcome, groups, np.ones(len(outcome), bool))
        return np.repeat(advantage[:, None], right.shape[1], axis=1)

    method = tuned_arm("information gain", GRID, seeds, lambda lr, seed: _learn(informed, TURNS, lr, seed))
    baseline = tuned_arm("outcome alone", GRID, seeds, lambda lr, seed: _learn(sparse, TURNS, lr, seed))
    easy = tuned_arm(
        f"outcome alone, {EASY_TURNS} turns", GRID, seeds, lambda lr, seed: _learn(sparse, EASY_TURNS, lr, seed)
    )
    chance = STEPS * GROUPS * GROUP * DIGITS**-TURNS
    return ControlResult(
        sentence="Where chance never solves a task, information gain learns it and the outcome alone does not.",
        proof=(
            f"A lock of {TURNS} turns with {DIGITS} digits opens by chance once in {DIGITS**TURNS:,} episodes. Groups "
            "without success have no spread and give no gradient, so with the outcome alone the policy of a whole "
            f"training run is the one it began with, but for a probability of at most {chance:.1g}. Each right digit "
            "raises the belief in the code."
        ),
        checks=(
            Check("Success with information gain at the end", method.end, least=0.9),
            Check("Success with the outcome alone at the end, at its best learning rate", baseline.end, most=0.01),
            Check(f"Success with the outcome alone on a lock of {EASY_TURNS} turns", easy.end, least=0.9),
            Check("Largest gap between credits of episodes and the exact gains", _credit_gap(gain), most=1e-6),
            Check(
                "Largest gap between advantages and the paper's, written as loops", _paper_gap(turn_level), most=1e-9
            ),
        ),
        arms=(method, baseline, easy),
        success="probability of opening the lock",
        setting={
            "turns": TURNS,
            "digits": DIGITS,
            "group": GROUP,
            "groups": GROUPS,
            "steps": STEPS,
            "seeds": seeds,
            "learning rates": GRID,
        },
    )


def _learn(advantages: Callable[..., FloatArray], turns: int, lr: float, seed: int) -> FloatArray:
    """Probability of opening the lock by step; exact, from the table."""
    rng = np.random.default_rng([seed, turns])
    code = rng.integers(0, DIGITS, turns)
    logits = np.zeros((turns, DIGITS))
    groups = np.repeat(np.arange(GROUPS), GROUP)
    opened = np.zeros(STEPS + 1)
    for step in range(STEPS + 1):
        probs = softmax(logits)
        opened[step] = probs[np.arange(turns), code].prod()
        actions = draw_actions(rng, probs, GROUPS * GROUP)
        right = actions == code
        advantage = advantages(right.all(axis=1).astype(np.float64), right, groups)
        logits = logits + lr * policy_gradient(actions, advantage, probs)
    return opened


# The same through episodes, the credit and the batch --------------------------------------------------------------


class LockScorer(FakeScorer):
    """The exact belief: log 1 for digits of the code that the context shows, log(1/K) for others.

    Tokens below 100 are digits; token 100 + j says that digit j of the code was right and is as chosen; 99 says wrong.
    """

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[list[NDArray[np.float32]]]:
        """See `Scorer.logprobs`."""
        return [
            [
                np.where(np.isin(100 + np.arange(len(branch.ids)), request.ids[: branch.at]), 0.0, -math.log(DIGITS))
                .astype(np.float32)
                for branch in request.branches
            ]
            for request in requests
        ]  # fmt: skip

    def encode(self, text: str) -> Encoding:
        """See `Scorer.encode`; a token a digit."""
        ends = np.arange(1, len(text) + 1)
        return Encoding(np.array([int(digit) for digit in text], np.int32), np.stack([ends - 1, ends], axis=1))


def lock_episode(actions: IntArray, code: IntArray, number: int = 0) -> Episode:
    """An episode of the lock as a language model's runner would record it.

    Args:
        actions: int64 (T,).
        code: int64 (T,).
        number: Makes ids.
    """
    turns, context, length = [], [98], 0
    for t, (action, wanted) in enumerate(zip(actions.tolist(), code.tolist(), strict=True)):
        sample = Completion(
            np.array([action], np.int32), np.zeros(1, np.float32), np.array(context, np.int32), length, text=str(action)
        )
        turns.append(Turn(t, str(action), terminated=t == len(code) - 1, completion=sample))
        length += len(context) + 1
        context = [100 + t if action == wanted else 99]
    answer = "".join(map(str, code.tolist()))
    outcome = float((actions == code).all())
    return played_episode("Lock", number, number // GROUP, turns, outcome, privileged={"answers": (answer,)})


def _credit_gap(gain: Callable[[FloatArray], FloatArray]) -> float:
    """Largest difference between the gains used above and the credit and advantage of real episodes."""
    rng = np.random.default_rng(0)
    code = rng.integers(0, DIGITS, TURNS)
    # Half of the digits right, so that there are gains of every size.
    actions = np.where(rng.random((2 * GROUP, TURNS)) < 0.5, code, rng.integers(0, DIGITS, (2 * GROUP, TURNS)))
    actions[0] = code
    episodes = [lock_episode(row, code, number) for number, row in enumerate(actions)]
    models = Models(scorer=LockScorer(), render_answer=lambda text: (text, (0, len(text))))
    batch = credit_batch(episodes, InformationGain()(episodes, models))
    right = actions == code
    rewards = np.stack([gain(row) for row in lock_beliefs(right, DIGITS)])
    rewards[:, -1] = right.all(axis=1)
    advantage = turn_level_advantages(rewards, batch.groups, batch.lengths, batch.valid)
    return max(float(np.abs(batch.values - rewards).max()), float(np.abs(TurnLevel()(batch) - advantage).max()))


def _paper_gap(turn_level: Callable[..., FloatArray]) -> float:
    """Largest difference to: normalise over all turns of a group, then sum over what follows."""
    rng = np.random.default_rng(1)
    rewards, groups = rng.random((6, 4)), np.array([0, 0, 0, 1, 1, 1])
    found = turn_level(rewards, groups, np.full(6, 4), np.ones(6, bool))
    gap = 0.0
    for i in range(6):
        pool = [float(rewards[j, t]) for j in range(6) if groups[j] == groups[i] for t in range(4)]
        mean = sum(pool) / len(pool)
        deviation = math.sqrt(sum((r - mean) ** 2 for r in pool) / len(pool) + 1e-8) + 1e-6
        for t in range(4):
            paper = sum((float(rewards[i, k]) - mean) / deviation for k in range(t, 4))
            gap = max(gap, abs(paper - float(found[i, t])))
    return gap
