"""The report's statistics against slow oracles that share no code with them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.harness.report.statistics import (
    bootstrap_interval,
    interquartile_mean,
    mean_interval,
    paired_difference,
    pass_at_k,
    weighted_interquartile_mean,
    weighted_mean,
)

scores = st.floats(-100, 100, allow_subnormal=False)


def slow_iqm(values: Sequence[float]) -> float:
    """Each value written four times; then a quarter of them is a whole number of copies."""
    copies = sorted(Fraction(value) for value in values for _ in range(4))
    quarter = len(copies) // 4
    middle = copies[quarter : len(copies) - quarter]
    return float(sum(middle) / len(middle))


@settings(deadline=None)
@given(st.lists(scores, min_size=1, max_size=25))
def test_iqm_is_the_mean_of_the_middle_half(values: list[float]) -> None:
    assert interquartile_mean(values) == pytest.approx(slow_iqm(values), rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(st.lists(scores, min_size=4, max_size=24).filter(lambda values: len(values) % 4 == 0))
def test_iqm_drops_whole_values_where_n_is_a_multiple_of_four(values: list[float]) -> None:
    quarter = len(values) // 4
    assert interquartile_mean(values) == pytest.approx(np.mean(sorted(values)[quarter:-quarter]), rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.tuples(scores, st.integers(0, 4)), min_size=1, max_size=12).filter(lambda x: any(w for _, w in x)))
def test_a_weight_is_a_number_of_copies(pairs: list[tuple[float, int]]) -> None:
    values, weights = np.array([v for v, _ in pairs]), np.array([[float(w) for _, w in pairs]])
    copies = [value for value, count in pairs for _ in range(count)]
    assert weighted_interquartile_mean(values, weights)[0] == pytest.approx(slow_iqm(copies), rel=1e-9, abs=1e-9)
    assert weighted_mean(values, weights)[0] == pytest.approx(np.mean(copies), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("values", [[], [[1.0]], [float("nan")], [1.0, float("inf")]])
def test_statistics_refuse_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        interquartile_mean(values)


def every_resample(by_group: Sequence[Sequence[float]], statistic: object) -> np.ndarray:
    """The exact bootstrap distribution: all G^G draws of groups."""
    draws = itertools.product(range(len(by_group)), repeat=len(by_group))
    return np.array([statistic([v for g in draw for v in by_group[g]]) for draw in draws])  # type: ignore[operator]


@pytest.mark.parametrize(
    ("fast", "slow"), [(weighted_mean, np.mean), (weighted_interquartile_mean, slow_iqm)], ids=["mean", "iqm"]
)
def test_bootstrap_approaches_the_enumeration_of_all_resamples(fast: object, slow: object) -> None:
    by_group = [[0.0, 1.0, 0.5], [0.2], [1.0, 1.0], [0.0], [0.7, 0.1]]
    values = [value for group in by_group for value in group]
    groups = [name for name, group in zip("abcde", by_group, strict=True) for _ in group]
    exact = every_resample(by_group, slow)
    got = bootstrap_interval(
        values,
        np.random.default_rng(0),
        statistic=fast,  # type: ignore[arg-type]
        groups=groups,
        level=0.8,
        resamples=40_000,
    )
    assert got is not None
    # Quantiles of a discrete distribution: the cumulated share at the interval's ends brackets the tail.
    for end, tail in ((got.low, 0.1), (got.high, 0.9)):
        assert (exact < end - 1e-9).mean() - 0.01 <= tail <= (exact <= end + 1e-9).mean() + 0.01


def test_bootstrap_resamples_groups_and_not_their_members() -> None:
    rng = np.random.default_rng(1)
    values, groups = np.repeat(rng.random(30), 50), np.repeat(np.arange(30), 50)
    clustered = bootstrap_interval(values, np.random.default_rng(2), groups=groups.tolist())
    naive = bootstrap_interval(values, np.random.default_rng(2))
    assert clustered is not None and naive is not None
    assert clustered.high - clustered.low > 5 * (naive.high - naive.low)


def test_strata_keep_their_number_of_groups() -> None:
    values, strata = [0.0] * 4 + [1.0] * 4, ["easy"] * 4 + ["hard"] * 4
    fixed = bootstrap_interval(values, np.random.default_rng(0), strata=strata)
    free = bootstrap_interval(values, np.random.default_rng(0))
    assert fixed is not None and free is not None
    assert fixed.low == fixed.high == 0.5
    assert free.low < 0.5 < free.high


def test_a_group_in_two_strata_is_refused() -> None:
    with pytest.raises(ValueError, match="two strata"):
        bootstrap_interval([0.0, 1.0], np.random.default_rng(0), groups=["a", "a"], strata=["x", "y"])


@pytest.mark.parametrize(
    "options", [{"level": 1.0}, {"level": 0.0}, {"resamples": 0}, {"groups": ["a"]}], ids=["1", "0", "none", "short"]
)
def test_bootstrap_refuses_bad_options(options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        bootstrap_interval([0.0, 1.0], np.random.default_rng(0), **options)  # type: ignore[arg-type]


def test_one_group_has_no_interval() -> None:
    assert bootstrap_interval([0.0, 1.0, 0.5], np.random.default_rng(0), groups=["a", "a", "a"]) is None
    assert mean_interval([0.5], np.random.default_rng(0)) is None


def test_bootstrap_is_the_same_for_the_same_generator_and_covers_the_truth() -> None:
    hits = 0
    for seed in range(200):
        values = np.random.default_rng(seed).random(40)
        got = bootstrap_interval(values, np.random.default_rng(seed), resamples=400)
        assert got is not None
        assert got == bootstrap_interval(values, np.random.default_rng(seed), resamples=400)
        hits += got.low <= 0.5 <= got.high
    assert 180 <= hits <= 198  # 95 % nominal; the percentile interval is a little narrow at 40 values


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_equal_extremes_get_the_exact_interval(n: int) -> None:
    none, all_ = mean_interval([0.0] * n, np.random.default_rng(0)), mean_interval([1.0] * n, np.random.default_rng(0))
    assert none is not None and all_ is not None
    assert none.method == all_.method == "exact"
    assert none.low == 0.0 and all_.high == 1.0
    # Clopper-Pearson: at the end of the interval, what was seen has probability (1 - level) / 2.
    assert (1 - none.high) ** n == pytest.approx(0.025)
    assert all_.low**n == pytest.approx(0.025)


def test_exact_interval_counts_groups() -> None:
    grouped = mean_interval([1.0] * 12, np.random.default_rng(0), groups=["a", "b", "c"] * 4)
    assert grouped == mean_interval([1.0] * 3, np.random.default_rng(0))


def test_mean_interval_is_for_unit_values() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        mean_interval([0.0, 2.0], np.random.default_rng(0))


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(n: int) -> None:
    for c in range(n + 1):
        correct = [i < c for i in range(n)]
        for k in range(1, n + 1):
            subsets = list(itertools.combinations(correct, k))
            assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, 1, 4), (3, 1, 0), (0, 0, 1), (3, -1, 1)])
def test_pass_at_k_refuses_numbers_that_do_not_fit(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@k"):
        pass_at_k(n, c, k)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), scores, st.booleans()), max_size=30))
def test_paired_difference_is_over_shared_tasks(rows: list[tuple[str, float, bool]]) -> None:
    first = [(task, value) for task, value, mine in rows if mine]
    second = [(task, value) for task, value, mine in rows if not mine]
    got = paired_difference(
        [value for _, value in first],
        [task for task, _ in first],
        [value for _, value in second],
        [task for task, _ in second],
        np.random.default_rng(0),
        resamples=20,
    )
    shared = {task for task, _ in first} & {task for task, _ in second}
    if not shared:
        assert got is None
        return

    def mean(pairs: list[tuple[str, float]], task: str) -> float:
        return float(np.mean([value for name, value in pairs if name == task]))

    assert got is not None and got.tasks == len(shared)
    expected = np.mean([mean(first, task) - mean(second, task) for task in sorted(shared)])
    assert got.mean == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert (got.interval is None) == (len(shared) < 2)


def test_pairing_sees_what_two_intervals_cannot() -> None:
    rng = np.random.default_rng(3)
    hardness, tasks = rng.random(60), list(range(60))
    got = paired_difference(hardness + 0.05 + rng.normal(0, 0.01, 60), tasks, hardness, tasks, rng)
    assert got is not None and got.interval is not None
    assert 0 < got.interval.low < got.mean < got.interval.high < 0.1


@pytest.mark.parametrize("n", [1, 3, 12, 60])
def test_exact_interquartile_interval_holds_the_worst_population(n: int) -> None:
    edge = 0.025 ** (1 / n)
    got = mean_interval([1.0] * n, np.random.default_rng(0), interquartile=True)
    mirrored = mean_interval([0.0] * n, np.random.default_rng(0), interquartile=True)
    assert got is not None and mirrored is not None
    # The worst population in which a share `edge` scores 1: all others score 0.
    copies = 400_000
    population = np.repeat([0.0, 1.0], [copies - round(edge * copies), round(edge * copies)])
    assert got.low == pytest.approx(interquartile_mean(population), abs=1e-4)
    assert (mirrored.low, mirrored.high) == (0.0, pytest.approx(1 - got.low))


@pytest.mark.parametrize("same", [-1.0, 0.0, 0.25, 1.0])
def test_equal_differences_still_have_a_width(same: float) -> None:
    tasks = list(range(20))
    first, second = np.full(20, max(same, 0.0)), np.full(20, max(-same, 0.0))
    got = paired_difference(first, tasks, second, tasks, np.random.default_rng(0), unit_range=True)
    assert got is not None and got.interval is not None
    rest = 1 - 0.025 ** (1 / 20)
    # The extreme populations: all tasks beyond the shown share differ by -1, or by +1.
    assert got.interval.low == pytest.approx((1 - rest) * same + rest * -1)
    assert got.interval.high == pytest.approx((1 - rest) * same + rest * 1)
