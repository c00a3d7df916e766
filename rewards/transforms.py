"""Numbers to numbers. NaN stands for "does not apply" and stays NaN."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from palaestra.errors import ConfigError

__all__ = ["Clip", "LogSigmoid", "log_sigmoid"]


class Clip:
    """y = min(max(x, low), high).

    Args:
        low: Lower bound; may be -inf.
        high: Upper bound, at least `low`; may be inf.
        name: Its name in reports.

    Raises:
        ConfigError: `low` is above `high`, or one of them is NaN.
    """

    def __init__(self, low: float = -1.0, high: float = 1.0, name: str = "clip") -> None:
        if math.isnan(low) or math.isnan(high) or low > high:
            raise ConfigError(f"Clipping needs low <= high, got low={low} and high={high}.")
        self.low, self.high, self.name = low, high, name

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Same shape in and out."""
        return np.clip(np.asarray(values, np.float64), self.low, self.high)


def log_sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(1 / (1 + exp(-x))), without overflow for any x; -inf for -inf, 0 for inf."""
    with np.errstate(invalid="ignore"):  # NaN comes in on purpose
        out: NDArray[np.float64] = -np.logaddexp(0.0, -np.asarray(values, np.float64))
    return out


class LogSigmoid:
    """y = log sigma(x - center): linear far below the centre, and flat above it, where more no longer helps.

    The transform of each reward in log-sigmoid combination, "Transforming and Combining Rewards for Aligning Large
    Language Models" (Wang et al. 2024); the centre is there the reward that counts as good enough.

    Args:
        center: What counts as good enough, finite.
        name: Its name in reports.

    Raises:
        ConfigError: The centre is not finite.
    """

    def __init__(self, center: float = 0.0, name: str = "log-sigmoid") -> None:
        if not math.isfinite(center):
            raise ConfigError(f"center is {center}; it must be a finite number.")
        self.center, self.name = center, name

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Same shape in and out."""
        return log_sigmoid(np.asarray(values, np.float64) - self.center)
