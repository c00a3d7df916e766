from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from palaestra.errors import ConfigError
from palaestra.rewards.transforms import Clip, LogSigmoid, log_sigmoid

values = arrays(np.float64, array_shapes(max_dims=2, max_side=5), elements=st.floats(-1e3, 1e3) | st.just(math.nan))


@given(values, st.floats(-5, 0), st.floats(0, 5))
def test_clip_value_by_value(x, low, high):
    out = Clip(low, high)(x)
    assert out.shape == x.shape
    for a, b in zip(x.ravel(), out.ravel(), strict=True):
        if math.isnan(a):
            assert math.isnan(b)
        else:
            assert b == (low if a < low else high if a > high else a)


@given(values, st.floats(-5, 5))
def test_log_sigmoid_value_by_value(x, center):
    out = LogSigmoid(center)(x)
    for a, b in zip(x.ravel(), out.ravel(), strict=True):
        z = a - center
        expected = z - math.log1p(math.exp(z)) if z < 0 else -math.log1p(math.exp(-z))
        assert (math.isnan(a) and math.isnan(b)) or b == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_log_sigmoid_at_the_ends():
    np.testing.assert_array_equal(log_sigmoid(np.array([-1e308, -math.inf, math.inf])), [-1e308, -math.inf, 0.0])
    assert log_sigmoid(np.zeros(1))[0] == pytest.approx(-math.log(2))


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (math.nan, 0.0), (0.0, math.nan)])
def test_bad_bounds(bounds):
    with pytest.raises(ConfigError, match="low <= high"):
        Clip(*bounds)
    with pytest.raises(ConfigError, match="center is"):
        LogSigmoid(math.inf)
