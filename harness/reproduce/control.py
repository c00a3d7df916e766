"""Positive controls: small environments where an effect is provable, learned by a softmax table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Episode, Turn
from palaestra.harness.report.paired_tests import t_test

__all__ = [
    "Arm",
    "Check",
    "ControlResult",
    "draw_actions",
    "played_episode",
    "policy_gradient",
    "softmax",
    "tuned_arm",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Check:
    """One number that a control must reach.

    Attributes:
        what: What it is, for a person.
        value: As measured.
        least: It passes from here; None for no lower bound.
        most: It passes up to here; None for no upper bound.
    """

    what: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the value is a number within its bounds."""
        if not np.isfinite(self.value):
            return False
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)


@dataclass(frozen=True, slots=True)
class Arm:
    """How one way of learning went.

    Attributes:
        name: Of it.
        lr: The learning rate of the grid that ended best.
        ends: For each learning rate of the grid, the mean success at the end, over seeds.
        curve: (step, mean, low, high) of success at that learning rate: mean and 95 % t interval over seeds.
    """

    name: str
    lr: float
    ends: Mapping[str, float]
    curve: Sequence[tuple[float, float, float, float]]

    @property
    def end(self) -> float:
        """Mean success at the end."""
        return self.curve[-1][1]

    @property
    def area(self) -> float:
        """Mean success over all steps: how fast and how far."""
        return float(np.mean([mean for _, mean, _, _ in self.curve]))


@dataclass(frozen=True, slots=True)
class ControlResult:
    """What a positive control found.

    Attributes:
        sentence: What must be found, in one sentence.
        proof: Why it must be, briefly.
        checks: All of them must pass.
        arms: Learning curves, the method first.
        success: What the curves count.
        setting: Sizes of the environment and of the training.
    """

    sentence: str
    proof: str
    checks: Sequence[Check]
    arms: Sequence[Arm]
    success: str
    setting: Mapping[str, float | Sequence[float]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def draw_actions(rng: np.random.Generator, probs: FloatArray, count: int) -> NDArray[np.int64]:
    """Actions of `count` episodes, int64 (count, T), by probabilities (T, K)."""
    edges = probs.cumsum(axis=-1)[None, :, :-1]
    return np.asarray((rng.random((count, len(probs), 1)) > edges).sum(axis=-1))


def policy_gradient(actions: NDArray[np.int64], advantages: FloatArray, probs: FloatArray) -> FloatArray:
    """The gradient of the group-policy surrogate for a softmax table, where it is sampled (ratio 1, nothing clipped).

        grad[t, k] = 1/B sum_i A[i, t] (1[a[i, t] = k] - pi[t, k])

    Args:
        actions: int64 (B, T).
        advantages: float64 (B, T).
        probs: float64 (T, K).

    Returns:
        float64 (T, K).
    """
    chosen = (actions[:, :, None] == np.arange(probs.shape[1])).astype(np.float64)
    return np.asarray((advantages[:, :, None] * (chosen - probs)).mean(axis=0))


def tuned_arm(name: str, grid: Sequence[float], seeds: int, learn: Callable[[float, int], FloatArray]) -> Arm:
    """Learns with every learning rate of a grid, and keeps the one that ended best.

    Args:
        name: Of the arm.
        grid: Learning rates, the same for all arms of a control.
        seeds: How many.
        learn: From learning rate and seed to success by step, float64 (steps + 1,).
    """
    curves = {lr: np.stack([learn(lr, seed) for seed in range(seeds)]) for lr in grid}
    # Where several end alike, the one that got there first.
    best = max(grid, key=lambda lr: (round(float(curves[lr][:, -1].mean()), 3), float(curves[lr].mean())))
    return Arm(
        name,
        best,
        {f"{lr:g}": float(curve[:, -1].mean()) for lr, curve in curves.items()},
        [_point(step, column) for step, column in enumerate(curves[best].T)],
    )


def _point(step: int, values: FloatArray) -> tuple[float, float, float, float]:
    mean, test = float(values.mean()), t_test(values)
    if test is None:
        return float(step), mean, mean, mean
    return float(step), mean, max(0.0, test.interval.low), min(1.0, test.interval.high)


def played_episode(name: str, number: int, group: int, turns: Sequence[Turn], outcome: float, **more: Any) -> Episode:
    """A control's episode as a runner would record it.

    Args:
        name: Of the control's environment, "Lock".
        number: Makes its ids.
        group: Makes the id of its group.
        turns: What was done.
        outcome: In [0, 1].
        **more: Other fields of `Episode`.
    """
    short = name.lower()
    return Episode(
        episode_id=f"{short}-{number}",
        group_id=f"{short}-{group}",
        env_id=f"control/{name}",
        env_kwargs={},
        task=None,
        seed=0,
        attempt=0,
        agent_id="agent",
        world_id=f"{short}-{number}",
        status="terminated",
        observations=[""] * (len(turns) + 1),
        turns=list(turns),
        outcome=outcome,
        **more,
    )
