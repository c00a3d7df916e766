"""ToolRL's positive control passes as things are, and turns red with a planted bug."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np
import pytest

from palaestra.harness.reproduce import control_toolrl
from palaestra.rewards.toolrl import ToolRL
from palaestra.rewards.toolrl_calls import Call, correctness_reward

LEARNS = "Success with the graded reward at the end"
EFFECT = "Least effect of a right choice on the reward, over what is proven"
FORMULA = "Largest gap between rewards of calls and the formula"
CREDIT = "Largest gap between credits of episodes and the formula"


def failed(result):
    return {check.what for check in result.checks if not check.passed}


def test_it_passes():
    result = control_toolrl.control(seeds=2)
    assert failed(result) == set() and result.passed
    assert [arm.name for arm in result.arms][:2] == ["graded", "outcome alone"]
    # A run without spread leaves the policy exactly where it was.
    chance = control_toolrl.CHOICES ** -(control_toolrl.PARAMETERS + 1)
    for arm in result.arms[1:3]:
        np.testing.assert_allclose([mean for _, mean, _, _ in arm.curve], chance, rtol=1e-9)
    assert dataclasses.asdict(control_toolrl.control(seeds=1)) == dataclasses.asdict(control_toolrl.control(seeds=1))


def test_the_formula_is_the_papers():
    """Against the definition, written out for a call of seven parameters."""
    gold = np.array([2, 1, 2, 3, 4, 5, 6, 7])
    some = np.array([2, 1, 2, 3, 1, 1, 0, 0])  # right tool, five of seven keys, three values
    assert control_toolrl.graded_reward(some[None], gold) == pytest.approx([6 * (1 + 5 / 7 + 3) / 9 - 3])
    wrong = np.array([3, *gold[1:]])
    bare = np.array([2, *[0] * 7])
    assert control_toolrl.graded_reward(np.stack([gold, wrong, bare]), gold) == pytest.approx([3, -3, 6 / 9 - 3])


def backward(gold, predicted):
    return -correctness_reward(gold, predicted)


def names_and_keys_alone(gold, predicted):
    """Every value counts as wrong."""
    blank = [Call(call.name, dict.fromkeys(call.arguments, "?")) for call in predicted]
    return correctness_reward(gold, blank)


def values_of_another_key(gold, predicted):
    def turned(given):
        return dict(zip(given, np.roll(list(given.values()), 1).tolist(), strict=True)) if given else {}

    return correctness_reward(gold, [Call(call.name, turned(call.arguments)) for call in predicted])


def all_or_nothing(gold, predicted):
    return correctness_reward(gold, predicted, "coarse")


def whole_calls(gold, predicted):
    return correctness_reward(gold, predicted, "intermediate")


def any_name(gold, predicted):
    return correctness_reward(gold, [Call(gold[0].name, call.arguments) for call in predicted])


def by_chance(gold, predicted):
    return zlib.crc32(repr(predicted).encode()) / 2**32 * 6 - 3


@pytest.mark.parametrize(
    ("bug", "noticed"),
    [
        (backward, {LEARNS, EFFECT, FORMULA, CREDIT}),
        (names_and_keys_alone, {LEARNS, EFFECT, FORMULA, CREDIT}),
        (values_of_another_key, {LEARNS, EFFECT, FORMULA, CREDIT}),
        (all_or_nothing, {LEARNS, EFFECT, FORMULA, CREDIT}),
        (whole_calls, {LEARNS, EFFECT, FORMULA, CREDIT}),
        (any_name, {LEARNS, EFFECT, FORMULA, CREDIT}),
        (by_chance, {LEARNS, EFFECT, FORMULA, CREDIT}),
    ],
)
def test_it_notices_a_wrong_reward(bug, noticed):
    assert noticed <= failed(control_toolrl.control(bug, seeds=1))


def test_it_notices_a_smaller_error_by_the_formula():
    """Sets of keys that are compared wholly (the refined reward) learn here, too; the formula says they are another."""
    red = failed(control_toolrl.control(lambda gold, made: correctness_reward(gold, made, "refined"), seeds=1))
    assert {FORMULA, CREDIT} <= red and LEARNS not in red


def test_it_notices_a_baseline_that_cannot_learn():
    red = failed(control_toolrl.control(outcome_only=lambda rewards, groups, valid: np.zeros(len(rewards)), seeds=1))
    assert red == {"Success with the outcome alone on a call with one parameter"}


@pytest.mark.parametrize(
    "options", [{"granularity": "intermediate"}, {"schedule": "equal-max"}, {"speech": [f"tool-{k}" for k in range(8)]}]
)
def test_it_notices_a_wrong_credit(monkeypatch, options):
    """The credit itself is at fault, not the function that learning uses."""
    monkeypatch.setattr(control_toolrl, "ToolRL", lambda: ToolRL(**options))
    red = failed(control_toolrl.control(seeds=1))
    # A tool that the reference calls is a call, so naming all of them speech changes the others' calls alone.
    assert red == {CREDIT}
