"""The power calculation against scipy's noncentral t, and against slow simulation of the rule itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from palaestra.errors import ConfigError
from palaestra.harness.reproduce.power import confirmation_power, detectable_effect, seeds_needed


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.2, 0.3), st.floats(0.01, 0.3), st.integers(3, 60))
def test_without_a_smallest_effect_it_is_the_t_test(effect, sd, seeds):
    star = stats.t.ppf(0.975, seeds - 1)
    expected = stats.nct.sf(star, seeds - 1, np.sqrt(seeds) * effect / sd)
    assert confirmation_power(effect, sd, seeds) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(
    ("effect", "sd", "seeds", "smallest"),
    [(0.05, 0.05, 5, 0.05), (0.05, 0.02, 10, 0.05), (0.02, 0.02, 12, 0.05), (0.1, 0.1, 2, 0.05), (0.0, 0.05, 6, 0.05)],
)
def test_against_simulated_experiments(effect, sd, seeds, smallest):
    rng = np.random.default_rng(1)
    draws = rng.normal(effect, sd, (100_000, seeds))
    reach = stats.t.ppf(0.975, seeds - 1) * draws.std(axis=1, ddof=1) / np.sqrt(seeds)
    mean = draws.mean(axis=1)
    confirmed = (mean - reach > 0) & (mean + reach >= smallest)
    assert confirmation_power(effect, sd, seeds, smallest) == pytest.approx(confirmed.mean(), abs=0.006)


@pytest.mark.parametrize("sd", [0.02, 0.05, 0.2])
def test_the_number_of_seeds_is_the_first_that_is_enough(sd):
    seeds = seeds_needed(0.05, sd, smallest=0.05)
    powers = {count: confirmation_power(0.05, sd, count, 0.05) for count in range(2, seeds + 1)}
    assert [count for count, power in powers.items() if power >= 0.8] == [seeds]


def test_the_detectable_effect_is_detected_in_80_of_100():
    effect = detectable_effect(0.06, 5)
    assert confirmation_power(effect, 0.06, 5) == pytest.approx(0.8, abs=1e-9)
    assert detectable_effect(0.06, 20) < effect / 2
    assert detectable_effect(0.12, 5) == pytest.approx(2 * effect)


def test_the_edges():
    assert confirmation_power(0.5, 0.1, 1) == 0
    assert detectable_effect(0.1, 1) is None
    assert detectable_effect(0.0, 3) == 0
    assert seeds_needed(0.0, 0.1) is None
    assert seeds_needed(0.1, 0.0) == 2
    assert seeds_needed(-0.1, 0.0) is None
    assert seeds_needed(0.0001, 1.0) is None
    for sd in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="standard deviation"):
            confirmation_power(0.1, sd, 5)
