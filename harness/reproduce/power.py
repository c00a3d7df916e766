"""How many seeds an experiment needs: the power of an interval of Student's t.

All functions are of paired differences d_1..d_n, one a seed, taken as normal with mean d and standard deviation s.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from palaestra.errors import ConfigError
from palaestra.harness.report.paired_tests import student_quantile

__all__ = ["confirmation_power", "detectable_effect", "seeds_needed"]

MOST_SEEDS = 10_000
_CELLS = 1000


def confirmation_power(effect: float, sd: float, seeds: int, smallest: float = 0.0, level: float = 0.95) -> float:
    """The chance of an interval above 0 that reaches `smallest`, which is what "confirmed" means.

    The interval of n differences is [m - h, m + h], h = t* S / sqrt(n). It confirms where m > max(h, smallest - h).
    Given u = S / s, whose square is chi-squared over its n - 1 degrees of freedom, m is normal, hence

        P = E_u[ Phi( sqrt(n) effect / s - max(t* u, sqrt(n) smallest / s - t* u) ) ].

    With smallest 0 this is P(T > t*) for the noncentral t with noncentrality sqrt(n) effect / s: the power of the
    paired t test.

    Args:
        effect: The true mean difference.
        sd: Standard deviation of a difference, above 0.
        seeds: n; with fewer than two there is no interval, and the power is 0.
        smallest: What the upper end has to reach.
        level: Of the interval.

    Raises:
        ConfigError: `sd` is not above 0.
    """
    if not 0 < sd < math.inf:
        raise ConfigError(f"The standard deviation of the differences is {sd}; a power needs one above 0.")
    if seeds < 2:
        return 0.0
    root = math.sqrt(seeds) / sd
    return _power(root * effect, root * smallest, seeds - 1, student_quantile((1 + level) / 2, seeds - 1))


def seeds_needed(
    effect: float, sd: float, *, power: float = 0.8, smallest: float = 0.0, level: float = 0.95
) -> int | None:
    """The fewest seeds with which a true difference of `effect` is confirmed with this power.

    Args:
        effect: The true mean difference.
        sd: Standard deviation of a difference.
        power: In (0, 1).
        smallest: As in `confirmation_power`.
        level: Of the interval.

    Returns:
        The number; None where more than 10,000 would be needed, or no number would do.
    """
    if sd == 0:
        return 2 if effect > 0 else None

    def enough(seeds: int) -> bool:
        return confirmation_power(effect, sd, seeds, smallest, level) >= power

    high = 2
    while not enough(high):
        high *= 2
        if high > MOST_SEEDS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def detectable_effect(sd: float, seeds: int, *, power: float = 0.8, level: float = 0.95) -> float | None:
    """The smallest true difference whose interval lies above 0 with this power.

    Args:
        sd: Standard deviation of a difference.
        seeds: How many there are.
        power: In (0, 1).
        level: Of the interval.

    Returns:
        The difference; None with fewer than two seeds.
    """
    if seeds < 2:
        return None
    if sd == 0:
        return 0.0
    df = seeds - 1
    star = student_quantile((1 + level) / 2, df)
    high = 1.0
    while _power(high, 0.0, df, star) < power:
        high *= 2
    return _bisect(lambda shift: _power(shift, 0.0, df, star) >= power, 0.0, high) * sd / math.sqrt(seeds)


def _power(shift: float, smallest: float, df: int, star: float) -> float:
    """See `confirmation_power`; effect and smallest effect are in standard errors, `star` is the quantile of t."""
    start, end = max(0.0, 1 - 8 / math.sqrt(df)), 1 + 8 / math.sqrt(df)
    u = start + (end - start) * (np.arange(_CELLS) + 0.5) / _CELLS
    logs = math.log(2) + df / 2 * math.log(df / 2) - math.lgamma(df / 2) + (df - 1) * np.log(u) - df * u**2 / 2
    weights = np.exp(logs)
    need = np.maximum(star * u, smallest - star * u)
    return float((weights * _normal_cdf(shift - need)).sum() / weights.sum())


def _bisect(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where a condition begins to hold: it does at `high`, and not at `low`."""
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _normal_cdf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x])
