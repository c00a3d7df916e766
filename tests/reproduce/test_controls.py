"""Positive controls pass as things are, and turn red with a planted bug."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from palaestra.harness.reproduce import control_igpo, control_spa, control_stratified
from palaestra.harness.reproduce.claims import CLAIMS, run_control
from palaestra.harness.reproduce.control import Check, draw_actions, policy_gradient, softmax, tuned_arm
from palaestra.rewards.igpo import information_gain
from palaestra.rewards.stratified import stratified_normalized
from palaestra.rewards.turn_level import turn_level_advantages


def failed(result):
    return [check.what for check in result.checks if not check.passed]


# The table ---------------------------------------------------------------------------------------------------------


def test_the_gradient_is_that_of_the_surrogate():
    rng = np.random.default_rng(0)
    logits, actions, advantages = rng.normal(size=(3, 4)), rng.integers(0, 4, (6, 3)), rng.normal(size=(6, 3))

    def surrogate(table):
        logs = np.log(softmax(table))
        return np.mean([sum(advantages[i, t] * logs[t, actions[i, t]] for t in range(3)) for i in range(6)])

    found = policy_gradient(actions, advantages, softmax(logits))
    for t in range(3):
        for k in range(4):
            step = np.zeros((3, 4))
            step[t, k] = 1e-6
            slope = (surrogate(logits + step) - surrogate(logits - step)) / 2e-6
            assert found[t, k] == pytest.approx(slope, abs=1e-8)


def test_actions_are_drawn_as_often_as_they_should_be():
    probs = np.array([[0.5, 0.3, 0.2], [0.05, 0.0, 0.95]])
    drawn = draw_actions(np.random.default_rng(0), probs, 50_000)
    for t in range(2):
        shares = np.bincount(drawn[:, t], minlength=3) / 50_000
        np.testing.assert_allclose(shares, probs[t], atol=0.01)


def test_the_best_learning_rate_is_kept():
    arm = tuned_arm("x", (0.1, 1.0, 10.0), 3, lambda lr, seed: np.array([0.0, {0.1: 0.2, 1.0: 0.9, 10.0: 0.5}[lr]]))
    assert (arm.lr, arm.end, arm.area) == (1.0, pytest.approx(0.9), pytest.approx(0.45))
    assert arm.ends == pytest.approx({"0.1": 0.2, "1": 0.9, "10": 0.5})


def test_a_check_that_is_no_number_fails():
    assert not Check("x", float("nan"), least=0.0).passed
    assert not Check("x", float("inf"), least=0.0).passed
    assert Check("x", 0.5, 0.4, 0.6).passed and not Check("x", 0.7, 0.4, 0.6).passed


# As things are -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLAIMS)
def test_it_passes(name):
    if name == "spa":
        pytest.importorskip("torch")
    result = run_control(CLAIMS[name])
    assert failed(result) == []
    assert result.passed and len(result.arms) >= 2
    for arm in result.arms:
        curve = np.array(arm.curve)
        assert np.isfinite(curve).all()
        assert ((curve[:, 2] <= curve[:, 1] + 1e-12) & (curve[:, 1] <= curve[:, 3] + 1e-12)).all()
        assert set(arm.ends) == {f"{lr:g}" for lr in result.setting["learning rates"]}


def test_it_gives_the_same_figures_again():
    first, second = (dataclasses.asdict(control_stratified.control(seeds=2)) for _ in range(2))
    assert first == second


def test_the_exact_belief_is_what_the_proof_says():
    right = np.array([[True, False, True], [False, False, False]])
    beliefs = np.exp(control_igpo.lock_beliefs(right, 8))
    np.testing.assert_allclose(beliefs, [[1 / 8, 1 / 4, 1 / 4], [1 / 8, 1 / 8, 1 / 8]])


# With a planted bug ------------------------------------------------------------------------------------------------


def shuffled_gain(logprobs):
    return np.random.default_rng(0).permutation(information_gain(logprobs))


def late_gain(logprobs):
    return np.roll(information_gain(logprobs), 1)


def backward_gain(logprobs):
    return -information_gain(logprobs)


@pytest.mark.parametrize("gain", [shuffled_gain, late_gain, backward_gain])
def test_igpo_notices_a_wrong_gain(gain):
    assert "Largest gap between credits of episodes and the exact gains" in failed(
        control_igpo.control(gain=gain, seeds=1)
    )


def test_igpo_does_not_learn_from_gains_of_others():
    def others(logprobs):
        return information_gain(np.random.default_rng(int(-1e6 * logprobs.sum())).permutation(logprobs))

    assert "Success with information gain at the end" in failed(control_igpo.control(gain=others, seeds=2))


def accumulated_first(values, groups, lengths, valid, mode="joint", gamma=1.0):
    sums = np.cumsum(values[:, ::-1], axis=1)[:, ::-1]
    out = np.zeros(values.shape)
    for group in np.unique(groups):
        rows = groups == group
        out[rows] = (sums[rows] - sums[rows].mean()) / (sums[rows].std() + 1e-6)
    return out


def never_accumulated(values, groups, lengths, valid, mode="joint", gamma=1.0):
    return turn_level_advantages(values, groups, lengths, valid, mode, 0.0)


@pytest.mark.parametrize("turn_level", [accumulated_first, never_accumulated])
def test_igpo_notices_the_wrong_order(turn_level):
    assert any("paper's" in what for what in failed(control_igpo.control(turn_level=turn_level, seeds=1)))


def test_igpo_notices_a_baseline_that_cannot_learn():
    broken = failed(control_igpo.control(outcome_only=lambda rewards, groups, valid: np.zeros(len(rewards)), seeds=2))
    assert broken == ["Success with the outcome alone on a lock of 2 turns"]


def ignored(rewards, groups, strata, valid, *, alpha):
    return stratified_normalized(rewards, groups, np.zeros_like(strata), valid, alpha=alpha)


def shuffled_strata(rewards, groups, strata, valid, *, alpha):
    return stratified_normalized(rewards, groups, np.random.default_rng(0).permutation(strata), valid, alpha=alpha)


def other_way_round(rewards, groups, strata, valid, *, alpha):
    return stratified_normalized(rewards, groups, strata, valid, alpha=1 - alpha)


def merged(rewards, groups, strata, valid, *, alpha):
    """Two strata counted as one: the bias across them is back."""
    return stratified_normalized(rewards, groups, strata // 2, valid, alpha=alpha)


@pytest.mark.parametrize(
    ("bug", "noticed"),
    [
        (ignored, {"Signal to noise", "Mean success", "how far alpha = 1 moves", "real episodes"}),
        (shuffled_strata, {"Signal to noise", "Mean success", "how far alpha = 1 moves", "real episodes"}),
        (other_way_round, {"Signal to noise", "how far alpha = 1 moves"}),
        (merged, {"Signal to noise", "how far alpha = 1 moves", "real episodes"}),
    ],
)
def test_stratified_notices(bug, noticed):
    red = failed(control_stratified.control(bug, seeds=3))
    for words in noticed:
        assert any(words in what for what in red), (words, red)


@pytest.mark.parametrize(
    ("bug", "noticed"),
    [
        (lambda credit: np.random.default_rng(0).permuted(credit, axis=1), {"Share of the credit", "Mean success"}),
        (lambda credit: credit.mean(axis=1, keepdims=True).repeat(credit.shape[1], axis=1), {"Share", "Mean success"}),
        (lambda credit: np.roll(credit, -1, axis=1), {"Share of the credit", "Success with attribution"}),
        # Rewards are summed over what follows, so one that comes late is still learned from.
        (lambda credit: np.roll(credit, 1, axis=1), {"Share of the credit"}),
        (lambda credit: -credit, {"Regression error", "over its true effect", "Success with attribution"}),
    ],
    ids=["shuffled", "spread evenly", "one turn early", "one turn late", "backward"],
)
def test_spa_notices(bug, noticed):
    pytest.importorskip("torch")
    red = failed(control_spa.control(bug, seeds=3))
    for words in noticed:
        assert any(words in what for what in red), (words, red)
