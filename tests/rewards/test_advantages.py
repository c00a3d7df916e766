from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import ConfigError
from palaestra.rewards.advantages import GroupNormalized, group_normalized
from palaestra.rewards.base import CreditBatch


def slow(rewards: list[float], groups: list[int], valid: list[bool], eps: float, scale: bool) -> list[float]:
    out = []
    for i, reward in enumerate(rewards):
        members = [r for r, g, v in zip(rewards, groups, valid, strict=True) if v and g == groups[i]]
        if not valid[i] or len(members) < 2:
            out.append(0.0)
            continue
        advantage = reward - statistics.fmean(members)
        out.append(advantage / (statistics.stdev(members) + eps) if scale else advantage)
    return out


rows = st.lists(
    st.tuples(st.floats(-2, 2), st.integers(-3, 3), st.booleans(), st.integers(0, 4)), min_size=1, max_size=24
)


def batch(rows: list[tuple[float, int, bool, int]], width: int = 4) -> CreditBatch:
    rewards, groups, valid, lengths = (np.array(column) for column in zip(*rows, strict=True))
    count = len(rows)
    return CreditBatch(
        groups=groups,
        valid=valid,
        lengths=lengths,
        turn_of_token=np.zeros((count, width), np.int64),
        strata=np.zeros(count, np.int64),
        values=np.zeros((count, width)),
        last_value=np.zeros(count),
        env_ids=np.zeros(count, np.int64),
        rewards=np.where(valid, rewards, math.nan),  # nothing may depend on these
    )


@given(rows, st.sampled_from([1e-4, 1e-8, 1.0]), st.booleans())
def test_against_the_slow_way(rows, eps, scale):
    given_ = batch(rows)
    advantages = GroupNormalized(eps, scale)(given_)
    expected = slow([r for r, *_ in rows], [g for _, g, *_ in rows], [v for _, _, v, _ in rows], eps, scale)
    for i, (_, _, _, length) in enumerate(rows):
        np.testing.assert_allclose(advantages[i, :length], expected[i], rtol=1e-7, atol=1e-6)
        np.testing.assert_array_equal(advantages[i, length:], 0.0)


@given(rows)
def test_masked_is_removed(rows):
    full = GroupNormalized()(batch(rows))
    kept = [row for row in rows if row[2]]
    masked = np.array([not row[2] for row in rows])
    np.testing.assert_array_equal(full[masked], 0.0)
    if kept:
        np.testing.assert_array_equal(full[~masked], GroupNormalized()(batch(kept)))


@given(rows, st.permutations(range(7)))
def test_names_of_groups_do_not_matter(rows, names):
    renamed = [(reward, names[group + 3] * 10**12, valid, length) for reward, group, valid, length in rows]
    np.testing.assert_allclose(GroupNormalized()(batch(rows)), GroupNormalized()(batch(renamed)), atol=1e-9)


def test_agrees_with_torch_as_trl_computes_it():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=(5, 8))
    tensor = torch.tensor(rewards)
    expected = (tensor - tensor.mean(dim=1, keepdim=True)) / (tensor.std(dim=1, keepdim=True) + 1e-4)
    groups = np.repeat(np.arange(5), 8)
    ours = group_normalized(rewards.ravel(), groups, np.ones(40, bool))
    np.testing.assert_allclose(ours.reshape(5, 8), expected.numpy(), rtol=1e-12)


def test_what_is_counted():
    rows: list[Any] = [
        (1.0, 0, True, 1),
        (0.0, 0, True, 1),
        (1.0, 1, True, 1),
        (0.0, 1, False, 1),
        (1.0, 2, True, 1),
        (1.0, 2, True, 1),
        (0.0, 3, False, 1),
    ]
    assert GroupNormalized().metrics(batch(rows)) == {
        "groups": 4.0,
        "groups_too_small": 2.0,
        "groups_without_spread": 1.0,
        "masked": 2.0,
    }
    np.testing.assert_array_equal(GroupNormalized()(batch(rows))[2:], 0.0)


@pytest.mark.parametrize("eps", [0.0, -1.0, math.nan])
def test_bad_eps(eps):
    with pytest.raises(ConfigError, match="above 0"):
        GroupNormalized(eps)
