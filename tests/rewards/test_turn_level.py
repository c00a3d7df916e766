from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import ConfigError
from palaestra.rewards import turn_level
from palaestra.rewards.base import CreditBatch
from palaestra.rewards.turn_level import TurnLevel, turn_level_advantages

WIDTH = 4
value = st.one_of(st.floats(-2, 2), st.just(math.nan), st.just(0.0))
row = st.tuples(st.lists(value, max_size=WIDTH), st.integers(0, 2), st.booleans())
rows = st.lists(row, min_size=1, max_size=9)


def arrays(rows):
    values = np.full((len(rows), WIDTH), 777.0)  # beyond an episode's end nothing may be looked at
    for i, (numbers, _, _) in enumerate(rows):
        values[i, : len(numbers)] = numbers
    groups, valid = np.array([g for _, g, _ in rows]), np.array([v for _, _, v in rows])
    return values, groups, np.array([len(numbers) for numbers, _, _ in rows]), valid


def slow(rows, mode, gamma):
    """One turn at a time, from the definition."""
    out = []
    for numbers, group, valid in rows:
        if not valid or sum(v for _, g, v in rows if g == group) < 2:
            out.append([0.0] * len(numbers))
            continue

        def in_set(t, last, mode=mode):
            return mode == "joint" or (t == last)

        sets: dict[bool, list[float]] = {True: [], False: []}
        for other, g, v in rows:
            if v and g == group:
                for t, number in enumerate(other):
                    if not math.isnan(number):
                        sets[in_set(t, len(other) - 1)].append(number)
        normalised = []
        for t, number in enumerate(numbers):
            members = sets[in_set(t, len(numbers) - 1)]
            if math.isnan(number):
                normalised.append(0.0)
                continue
            mean = math.fsum(members) / len(members)
            variance = math.fsum((m - mean) ** 2 for m in members) / len(members)
            std = 1.0 if len(members) <= 1 else math.sqrt(variance + 1e-8) + 1e-6
            normalised.append((number - mean) / std)
        total = []
        for t in range(len(numbers)):
            total.append(sum(gamma ** (k - t) * normalised[k] for k in range(t, len(numbers))))
        out.append(total)
    return out


@given(rows, st.sampled_from(["joint", "separate"]), st.sampled_from([0.0, 0.5, 1.0]))
def test_against_the_slow_way(rows, mode, gamma):
    values, groups, lengths, valid = arrays(rows)
    got = turn_level_advantages(values, groups, lengths, valid, mode, gamma)
    for i, expected in enumerate(slow(rows, mode, gamma)):
        np.testing.assert_allclose(got[i, : len(expected)], expected, rtol=1e-7, atol=1e-6)
        np.testing.assert_array_equal(got[i, len(expected) :], 0.0)


@given(rows, st.sampled_from(["joint", "separate"]))
def test_failed_episodes_are_as_if_they_had_never_been(rows, mode):
    values, groups, lengths, valid = arrays(rows)
    full = turn_level_advantages(values, groups, lengths, valid, mode)
    np.testing.assert_array_equal(full[~valid], 0.0)
    kept = turn_level_advantages(values[valid], groups[valid], lengths[valid], valid[valid], mode)
    np.testing.assert_array_equal(full[valid], kept)


def test_the_order_is_normalise_then_accumulate(monkeypatch):
    """The other order gives another number, which the oracle must tell apart."""
    rows = [([0.3, 0.1, 1.0], 0, True), ([0.0, 0.5, 0.0], 0, True)]
    values, groups, lengths, valid = arrays(rows)
    expected = np.array([numbers for numbers in slow(rows, "joint", 1.0)])
    summed = np.cumsum(values[:, 2::-1], axis=1)[:, ::-1]
    other = (summed - summed.mean()) / summed.std()
    assert np.abs(other - expected).max() > 0.1

    right = turn_level.moments

    def wrong(numbers, index):
        count, mean, variance = right(numbers, index)
        return count, mean, variance * count / np.maximum(count - 1, 1)

    monkeypatch.setattr(turn_level, "moments", wrong)
    planted = turn_level_advantages(values, groups, lengths, valid)
    assert np.abs(planted[:, :3] - expected).max() > 0.05


def test_information_gain_shapes_only_because_each_set_is_normalised():
    """Both ends are equal, the way differs: the turn that found the answer gets more than the one that lost it."""
    rows = [([0.4, -0.4, 0.0], 0, True), ([0.0, 0.0, 0.0], 0, True)]
    advantage = turn_level_advantages(*arrays(rows))
    assert advantage[0, 0] == pytest.approx(advantage[0, 2]) and advantage[0, 1] < 0 < advantage[0, 0] - advantage[0, 1]


def test_one_element_has_a_deviation_of_1():
    rows = [([0.5, 1.0], 0, True), ([0.0], 0, True)]
    # One gain alone in its set: it is its own mean. Two outcomes: plus and minus 1.
    got = turn_level_advantages(*arrays(rows), mode="separate")
    np.testing.assert_allclose(got[:, :2], [[1, 1], [-1, 0]], atol=1e-5)


def test_an_unknown_turn_gets_what_follows_it():
    rows = [([math.nan, math.nan, 1.0], 0, True), ([0.2, 0.4, 0.0], 0, True)]
    got = turn_level_advantages(*arrays(rows), mode="separate", gamma=0.5)
    np.testing.assert_allclose(got[0, :3], [0.25, 0.5, 1.0], atol=1e-5)


def batch_of(values, turns, groups, lengths):
    count = len(values)
    return CreditBatch(
        groups=np.array(groups),
        valid=np.ones(count, bool),
        lengths=np.array(lengths),
        turn_of_token=np.array(turns),
        strata=np.zeros(count, np.int64),
        values=np.array(values, np.float64),
        last_value=np.zeros(count),
        env_ids=np.zeros(count, np.int64),
        rewards=np.nansum(np.array(values, np.float64), axis=1),
    )


def test_tokens_of_a_turn_share_its_advantage():
    by_turn = batch_of([[0.5, 1.0], [0.1, 0.0]], [[0, 1], [0, 1]], [0, 0], [2, 2])
    by_token = batch_of(
        [[0.2, 0.3, 1.0, 0.0, 0.0], [0.1, 0.0, 0.0, 0.0, 5.0]],
        [[0, 0, 1, 1, 1], [0, 1, 1, 1, -1]],
        [0, 0],
        [5, 4],
    )
    turns, tokens = TurnLevel()(by_turn), TurnLevel()(by_token)
    np.testing.assert_allclose(tokens[0], turns[0][[0, 0, 1, 1, 1]])
    np.testing.assert_allclose(tokens[1, :4], turns[1][[0, 1, 1, 1]])
    assert tokens[1, 4] == 0


def test_a_turn_without_tokens_is_unknown():
    # The second episode said nothing in its turn 1.
    batch = batch_of([[1.0, 0.5, 0.0], [0.5, 0.0, 0.0]], [[0, 1, 2], [0, 2, -1]], [0, 0], [3, 2])
    assert TurnLevel().metrics(batch)["unknown_turns"] == 1
    expected = turn_level_advantages(
        np.array([[1.0, 0.5, 0.0], [0.5, math.nan, 0.0]]), np.zeros(2), np.array([3, 3]), np.ones(2, bool)
    )
    got = TurnLevel()(batch)
    np.testing.assert_allclose(got[0], expected[0])
    np.testing.assert_allclose(got[1, :2], expected[1, [0, 2]])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"mode": "both"}, "mode is 'both'; choose"), ({"gamma": 1.5}, r"gamma is 1.5; .* \[0, 1\]")],
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(ConfigError, match=message):
        TurnLevel(**options)
