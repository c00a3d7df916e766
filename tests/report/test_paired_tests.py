"""Tests of differences, against slow oracles and tables."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.harness.report.paired_tests import sign_flip_test, student_cdf, student_quantile, t_test, welch_test


def slow_cdf(t, freedom):
    """By the trapezoid rule over the density, from the middle."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    x = np.linspace(0, t, 200_001)
    return 0.5 + float(np.trapezoid(scale * (1 + x**2 / freedom) ** (-(freedom + 1) / 2), x))


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7.3, 30, 400])
@pytest.mark.parametrize("t", [-6.0, -1.3, 0.0, 0.4, 2.2, 9.0])
def test_students_distribution_is_the_integral_of_its_density(t, freedom):
    assert student_cdf(t, freedom) == pytest.approx(slow_cdf(t, freedom), abs=1e-8)


def test_quantiles_of_the_printed_tables():
    table = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 30: 2.042, 120: 1.980}
    for freedom, value in table.items():
        assert student_quantile(0.975, freedom) == pytest.approx(value, abs=5e-4)


def test_a_paired_t_test_by_hand():
    found = t_test([0.1, 0.3, 0.2, 0.4, 0.0])
    assert found is not None
    error = math.sqrt(0.025) / math.sqrt(5)
    assert found.mean == pytest.approx(0.2)
    assert found.interval.low == pytest.approx(0.2 - 2.776445 * error, abs=1e-6)
    assert found.p == pytest.approx(2 * (1 - slow_cdf(0.2 / error, 4)), abs=1e-8)
    assert (t_test([0.2]), t_test([0.2, 0.2])) == (None, None)


def test_welch_by_hand():
    found = welch_test([1.0, 2.0, 3.0], [0.0, 4.0])
    assert found is not None
    a, b = 1 / 3, 8 / 2
    assert found.mean == 0.0
    assert found.freedom == pytest.approx((a + b) ** 2 / (a**2 / 2 + b**2 / 1))
    assert found.p == pytest.approx(1.0)
    assert welch_test([1.0], [2.0, 3.0]) is None
    assert welch_test([1.0, 1.0], [2.0, 2.0]) is None


def test_intervals_of_five_values_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(3)
    found = [t_test(rng.normal(0.7, 2.0, 5)) for _ in range(2000)]
    assert np.mean([one.interval.low <= 0.7 <= one.interval.high for one in found]) == pytest.approx(0.95, abs=0.02)
    assert np.mean([one.p < 0.05 for one in (t_test(rng.normal(0, 1, 5)) for _ in range(2000))]) < 0.07


@given(st.lists(st.integers(-4, 4).map(lambda value: value / 8), min_size=1, max_size=8))
def test_sign_flips_go_through_all_patterns(values):
    flipped = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    expected = np.mean([total >= abs(sum(values)) - 1e-12 for total in flipped])
    assert sign_flip_test(values, np.random.default_rng(0)) == pytest.approx(expected)


def test_many_pairs_are_drawn_and_agree_with_the_normal_approximation():
    values = np.random.default_rng(1).normal(0.15, 1.0, 200)
    z = abs(values.sum()) / math.sqrt((values**2).sum())
    drawn = sign_flip_test(values, np.random.default_rng(0))
    assert drawn == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.01)
    assert sign_flip_test(np.ones(200), np.random.default_rng(0)) == 1 / 20_001


def test_what_is_no_vector_of_numbers_is_refused():
    for values in ([], [math.nan], [[1.0]]):
        with pytest.raises(ValueError, match="non-empty vector"):
            sign_flip_test(values, np.random.default_rng(0))
