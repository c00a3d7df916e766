"""Statistics for comparing agents: plain functions over arrays, each with its formula and its source.

Samples of one task are not independent of each other, so every interval resamples tasks (`groups`), never episodes.
A resample is a vector of counts: how often each group was drawn. Statistics are therefore functions of values and
weights, and a whole batch of resamples is one array operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Difference",
    "Interval",
    "Statistic",
    "bootstrap_interval",
    "interquartile_mean",
    "mean_interval",
    "paired_difference",
    "pass_at_k",
    "weighted_interquartile_mean",
    "weighted_mean",
]

FloatArray = NDArray[np.float64]

Statistic = Callable[[FloatArray, FloatArray], FloatArray]
"""From values (n,) and weights (B, n), each at least 0 and not all 0 in a row, to one number a row (B,)."""

_BATCH_CELLS = 2_000_000  # weights of one batch of resamples: 16 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval that should hold the true value.

    Attributes:
        low: Lower end.
        high: Upper end.
        level: How often such intervals hold the truth, in (0, 1).
        method: `bootstrap`, or `exact` where all values are at one end of their range.
    """

    low: float
    high: float
    level: float = 0.95
    method: str = "bootstrap"


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one agent did than another on the tasks that both have done.

    Attributes:
        mean: Mean over those tasks of (first - second).
        interval: Of that mean; None with fewer than two tasks.
        tasks: How many tasks both have done.
    """

    mean: float
    interval: Interval | None
    tasks: int


def weighted_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    """The mean under each row of weights: sum_i w_i x_i / sum_i w_i.

    Args:
        values: float64 (n,).
        weights: float64 (B, n).

    Returns:
        float64 (B,).
    """
    return np.asarray((weights @ values) / weights.sum(axis=-1))


def weighted_interquartile_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    """The interquartile mean under each row of weights.

    With the values sorted and W_i the sum of the first i weights, value i gets the length of what its piece
    [W_(i-1), W_i] shares with the middle half [W/4, 3W/4]:

        IQM = sum_i x_(i) |[W_(i-1), W_i] & [W/4, 3W/4]| / (W/2)

    A weight of 2 is the same as writing the value twice.

    Args:
        values: float64 (n,).
        weights: float64 (B, n).

    Returns:
        float64 (B,).
    """
    order = np.argsort(values, kind="stable")
    ordered, pieces = values[order], weights[:, order]
    ends = np.cumsum(pieces, axis=-1)
    total = ends[:, -1:]
    inside = np.clip(ends, total / 4, 3 * total / 4) - np.clip(ends - pieces, total / 4, 3 * total / 4)
    return (inside @ ordered) / (total[:, 0] / 2)


def interquartile_mean(values: ArrayLike) -> float:
    """The mean of the middle half of the values.

    Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", section 4.3. They
    drop floor(n/4) values at either end (`scipy.stats.trim_mean(values, 0.25)`). Here exactly a quarter is dropped
    at either end: where n is not a multiple of 4, the values on the border count in part. Both agree where n is a
    multiple of 4.

    Args:
        values: (n,), at least one, finite.

    Raises:
        ValueError: There are no values, or some are not finite.
    """
    array = _finite(values)
    return float(weighted_interquartile_mean(array, np.ones((1, len(array))))[0])


def bootstrap_interval(
    values: ArrayLike,
    rng: np.random.Generator,
    *,
    statistic: Statistic = weighted_mean,
    groups: Sequence[object] | None = None,
    strata: Sequence[object] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval | None:
    """A percentile bootstrap interval that resamples groups with replacement.

    Efron 1979; the percentile interval as in Efron and Tibshirani 1993, chapter 13: the (1 - level)/2 and
    (1 + level)/2 quantiles of the statistic over the resamples. Resampling whole groups (the cluster bootstrap) keeps
    together what is not independent. With `strata`, each stratum keeps its number of groups in every resample, as in
    Agarwal et al. 2021.

    Args:
        values: (n,), finite.
        rng: Where the resamples come from.
        statistic: What the interval is of.
        groups: For each value, the group it belongs to; each value its own group where None.
        strata: For each value, the stratum of its group; one stratum where None.
        level: In (0, 1).
        resamples: At least 1.

    Returns:
        The interval; None where no stratum has two groups, so that nothing varies.

    Raises:
        ValueError: There are no values, some are not finite, lengths differ, a group lies in two strata, or `level`
            or `resamples` is out of range.
    """
    array = _finite(values)
    if not 0 < level < 1:
        raise ValueError(f"A level lies in (0, 1), got {level}.")
    if resamples < 1:
        raise ValueError(f"At least 1 resample is needed, got {resamples}.")
    member = _codes(groups, len(array)) if groups is not None else np.arange(len(array))
    layers = _layers(member, strata)
    if all(len(layer) < 2 for layer in layers):
        return None
    parts = [statistic(array, counts[:, member]) for counts in _resampled_counts(layers, len(array), resamples, rng)]
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(parts), [tail, 1 - tail])
    return Interval(float(low), float(high), level)


def mean_interval(
    values: ArrayLike,
    rng: np.random.Generator,
    *,
    interquartile: bool = False,
    groups: Sequence[object] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval | None:
    """An interval for the mean of values in [0, 1], honest also where all of them are 0 or all are 1.

    A bootstrap of equal values has no width, however few they are. Where all are 0 (or all are 1), the interval is the
    exact one of Clopper and Pearson 1934 for that many groups: [0, 1 - e] or [e, 1] with e = ((1 - level)/2)^(1/G).
    It holds for any values in [0, 1], whose mean is at most P(x > 0) and at least P(x = 1). The interquartile mean
    then reaches from the extreme to min(1, 2 max(0, 3/4 - e)) from it: only what the other 1 - e have within the
    middle half can move it. Else the interval is `bootstrap_interval`.

    Args:
        values: (n,), each in [0, 1].
        rng: Where the resamples come from.
        interquartile: Whether the interval is for the interquartile mean.
        groups: As in `bootstrap_interval`.
        level: In (0, 1).
        resamples: At least 1.

    Returns:
        The interval; None for values of a single group that are not all 0 or all 1.

    Raises:
        ValueError: As in `bootstrap_interval`, or a value outside [0, 1].
    """
    array = _finite(values)
    if array.min() < 0 or array.max() > 1:
        raise ValueError(f"The values must lie in [0, 1], got some in [{array.min()}, {array.max()}].")
    if not 0 < level < 1:
        raise ValueError(f"A level lies in (0, 1), got {level}.")
    if array.min() == array.max() and array[0] in (0.0, 1.0):
        count = len(array) if groups is None else len(set(_codes(groups, len(array)).tolist()))
        edge = ((1 - level) / 2) ** (1 / count)
        reach = min(1.0, 2 * max(0.0, 0.75 - edge)) if interquartile else 1 - edge
        low, high = (1 - reach, 1.0) if array[0] == 1.0 else (0.0, reach)
        return Interval(low, high, level, "exact")
    statistic = weighted_interquartile_mean if interquartile else weighted_mean
    return bootstrap_interval(array, rng, statistic=statistic, groups=groups, level=level, resamples=resamples)


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that at least one of k samples is correct, unbiased, from n samples of which c are.

    Chen et al. 2021, "Evaluating Large Language Models Trained on Code", equation 1:

        pass@k = 1 - C(n - c, k) / C(n, k)

    Args:
        n: Samples, at least k.
        c: Correct ones among them.
        k: At least 1.

    Raises:
        ValueError: The numbers do not fit together.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, got n={n}, c={c}, k={k}.")
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def paired_difference(
    first: ArrayLike,
    first_groups: Sequence[object],
    second: ArrayLike,
    second_groups: Sequence[object],
    rng: np.random.Generator,
    *,
    unit_range: bool = False,
    level: float = 0.95,
    resamples: int = 2000,
) -> Difference | None:
    """The mean difference between two agents over the tasks that both have done.

    With x_g and y_g the agents' mean scores on task g, and G the tasks both have done: sum_g (x_g - y_g) / |G|, and
    the percentile bootstrap interval of that mean over the tasks. Pairing removes what makes a task hard for everyone
    (Miller 2024, "Adding Error Bars to Evals", section 4).

    Where all differences are the same d, the bootstrap has no width. If scores are known to lie in [0, 1], at most
    q = 1 - ((1 - level)/2)^(1/|G|) of all tasks (Clopper and Pearson 1934) then differ from d, each within [-1, 1]:
    [d - q (d + 1), d + q (1 - d)].

    Args:
        first: (n,), the first agent's scores.
        first_groups: The task of each.
        second: (m,), the second agent's scores.
        second_groups: The task of each.
        rng: Where the resamples come from.
        unit_range: Whether all scores are known to lie in [0, 1].
        level: In (0, 1).
        resamples: At least 1.

    Returns:
        The difference; None where no task is shared.

    Raises:
        ValueError: Scores are not finite, or their number differs from that of their groups.
    """
    ours, theirs = _group_means(first, first_groups), _group_means(second, second_groups)
    shared = [group for group in ours if group in theirs]
    if not shared:
        return None
    deltas = np.array([ours[group] - theirs[group] for group in shared])
    interval = bootstrap_interval(deltas, rng, level=level, resamples=resamples)
    if unit_range and deltas.min() == deltas.max():
        same, rest = float(deltas[0]), 1 - ((1 - level) / 2) ** (1 / len(shared))
        interval = Interval(same - rest * (same + 1), same + rest * (1 - same), level, "exact")
    return Difference(float(deltas.mean()), interval, len(shared))


def _finite(values: ArrayLike) -> FloatArray:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or len(array) == 0 or not np.isfinite(array).all():
        raise ValueError(f"A statistic needs a non-empty vector of finite values, got {array!r}.")
    return array


def _codes(labels: Sequence[object], length: int) -> NDArray[np.int64]:
    """Labels as numbers from 0, in the order of their first appearance."""
    if len(labels) != length:
        raise ValueError(f"There are {length} values and {len(labels)} labels; each value needs one.")
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.int64)


def _layers(member: NDArray[np.int64], strata: Sequence[object] | None) -> list[NDArray[np.int64]]:
    """The groups of each stratum."""
    if strata is None:
        return [np.unique(member)]
    stratum = _codes(strata, len(member))
    pairs = np.unique(np.stack([member, stratum]), axis=1)
    if len(np.unique(pairs[0])) != pairs.shape[1]:
        raise ValueError("A group lies in two strata; all values of a group need the same stratum.")
    return [pairs[0][pairs[1] == number] for number in range(int(stratum.max()) + 1)]


def _resampled_counts(
    layers: Sequence[NDArray[np.int64]], values: int, resamples: int, rng: np.random.Generator
) -> Iterator[FloatArray]:
    """Batches (B, G) of how often each group was drawn, with replacement."""
    total = sum(len(layer) for layer in layers)
    batch = max(1, _BATCH_CELLS // max(total, values))
    for start in range(0, resamples, batch):
        rows = min(batch, resamples - start)
        counts = np.zeros((rows, total))
        for layer in layers:
            size = len(layer)
            drawn = rng.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
            counts[:, layer] = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
        yield counts


def _group_means(values: ArrayLike, groups: Sequence[object]) -> dict[object, float]:
    array = np.asarray(values, np.float64)
    if len(array) == 0:
        return {}
    array = _finite(array)
    codes = _codes(groups, len(array))
    means = np.bincount(codes, array) / np.bincount(codes)
    return dict(zip(dict.fromkeys(groups), means.tolist(), strict=True))
