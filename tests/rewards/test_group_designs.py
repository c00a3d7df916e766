"""Leave-one-out, stratified and per-task-scaled advantages against plain loops."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import ConfigError
from palaestra.rewards import ema_group, stratified
from palaestra.rewards.advantages import GroupNormalized
from palaestra.rewards.base import CreditBatch
from palaestra.rewards.ema_group import EmaGroupNormalized, RewardScale
from palaestra.rewards.rloo import LeaveOneOut
from palaestra.rewards.stratified import Stratified, strata_by_calls, stratified_normalized
from palaestra.rewards.turn_level import TurnLevel

row = st.tuples(
    st.floats(-2, 2), st.integers(-2, 2), st.booleans(), st.integers(0, 3), st.integers(0, 2), st.integers(0, 1)
)
rows = st.lists(row, min_size=1, max_size=20)


def batch_of(rows, width=3):
    """Rewards, groups, valid, lengths, strata, environments."""
    rewards, groups, valid, lengths, strata, envs = (np.array(column) for column in zip(*rows, strict=True))
    return CreditBatch(
        groups=groups,
        valid=valid,
        lengths=lengths,
        turn_of_token=np.tile(np.arange(width), (len(rows), 1)),
        strata=np.where(valid, strata, 99),
        values=np.zeros((len(rows), width)),
        last_value=np.zeros(len(rows)),
        env_ids=envs,
        rewards=np.where(valid, rewards, math.nan),  # nothing may depend on these
    )


def normal(reward, members, eps):
    return (reward - statistics.fmean(members)) / (statistics.pstdev(members) + eps)


def slow_rloo(rows):
    out = []
    for i, (reward, group, valid, *_) in enumerate(rows):
        others = [r for j, (r, g, v, *_) in enumerate(rows) if j != i and v and g == group]
        out.append(reward - statistics.fmean(others) if valid and others else 0.0)
    return out


def slow_stratified(rows, alpha, eps):
    out = []
    for reward, group, valid, _, stratum, _ in rows:
        group_rewards = [r for r, g, v, *_ in rows if v and g == group]
        like = [r for r, g, v, _, s, _ in rows if v and g == group and s == stratum]
        if not valid or len(group_rewards) < 2:
            out.append(0.0)
        else:
            out.append(alpha * normal(reward, like, eps) + (1 - alpha) * normal(reward, group_rewards, eps))
    return out


def slow_ema(batches, decay, eps):
    """Each batch's advantages, with the averages as explicit weighted sums over the batches so far."""
    seen: dict[int, list[tuple[float, float]]] = {}
    out = []
    for rows in batches:
        for env in {e for *_, e in rows}:
            rewards = [r for r, _, v, _, _, e in rows if v and e == env]
            if rewards:
                seen.setdefault(env, []).append((statistics.fmean(rewards), statistics.fmean(r * r for r in rewards)))
        advantages = []
        for reward, group, valid, _, _, env in rows:
            members = [r for r, g, v, *_ in rows if v and g == group]
            if not valid or len(members) < 2:
                advantages.append(0.0)
                continue
            weights = [decay ** (len(seen[env]) - 1 - k) for k in range(len(seen[env]))]
            first = sum(w * m for w, (m, _) in zip(weights, seen[env], strict=True)) / sum(weights)
            second = sum(w * m for w, (_, m) in zip(weights, seen[env], strict=True)) / sum(weights)
            scale = math.sqrt(max(round(second - first**2, 12), 0.0))
            advantages.append((reward - statistics.fmean(members)) / (scale + eps))
        out.append(advantages)
    return out


def check_rows(advantages, expected, batch, atol=1e-6):
    for i, length in enumerate(batch.lengths):
        np.testing.assert_allclose(advantages[i, :length], expected[i], rtol=1e-6, atol=atol)
        np.testing.assert_array_equal(advantages[i, length:], 0.0)


@given(rows)
def test_leave_one_out(rows):
    check_rows(LeaveOneOut()(batch_of(rows)), slow_rloo(rows), batch_of(rows))


@given(rows, st.floats(0, 1), st.sampled_from([1e-4, 1e-2]))
def test_stratified(rows, alpha, eps):
    check_rows(Stratified(alpha, eps)(batch_of(rows)), slow_stratified(rows, alpha, eps), batch_of(rows))


# Rewards on a grid: the oracle's m2 - m1^2 loses the variance of nearly equal ones.
@given(
    st.lists(st.lists(row.map(lambda r: (round(r[0]), *r[1:])), min_size=1, max_size=8), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.9, 0.99]),
)
def test_a_scale_that_moves(batches, decay):
    advantage = EmaGroupNormalized(decay, eps=1e-2)
    for rows, expected in zip(batches, slow_ema(batches, decay, 1e-2), strict=True):
        check_rows(advantage(batch_of(rows)), expected, batch_of(rows), atol=1e-4)


@pytest.mark.parametrize("make", [LeaveOneOut, Stratified, EmaGroupNormalized, GroupNormalized])
@given(rows)
def test_failed_episodes_are_as_if_they_had_never_been(make, rows):
    advantage = make()
    full, metrics = advantage(batch_of(rows)), advantage.metrics(batch_of(rows))
    kept = [row for row in rows if row[2]]
    masked = np.array([not row[2] for row in rows])
    np.testing.assert_array_equal(full[masked], 0.0)
    assert metrics["masked"] == masked.sum() and all(map(math.isfinite, metrics.values()))
    if kept:
        np.testing.assert_array_equal(full[~masked], make()(batch_of(kept)))


@pytest.mark.parametrize("make", [LeaveOneOut, Stratified, EmaGroupNormalized, GroupNormalized, TurnLevel])
@given(reward=st.floats(-2, 2), size=st.integers(2, 12))
def test_equal_rewards_say_nothing_at_all(make, reward, size):
    """Not even 1e-13, from which a learner would take a step that only momentum and rounding decide."""
    batch = replace(
        batch_of([(reward, group, True, 3, 0, 0) for group in (0, 1) for _ in range(size)]),
        values=np.full((2 * size, 3), reward),
    )
    np.testing.assert_array_equal(make()(batch), 0.0)


@given(rows)
def test_within_each_stratum_the_mean_is_0_and_the_variance_1(rows):
    rows = [(float(round(reward)), group, True, *rest) for reward, group, _, *rest in rows]
    batch = batch_of(rows)
    within = stratified_normalized(batch.rewards, batch.groups, batch.strata, batch.valid, alpha=1, eps=1e-9)
    for key in set(zip(batch.groups, batch.strata, strict=True)):
        members = (batch.groups == key[0]) & (batch.strata == key[1])
        assert within[members].mean() == pytest.approx(0, abs=1e-9)
        if np.ptp(batch.rewards[members]):
            assert within[members].var() == pytest.approx(1, abs=1e-6)


def test_the_bias_across_strata_is_the_part_that_goes():
    """The reward is the number of calls and nothing else: stratified, nothing is left to learn."""
    rows = [(float(s), 0, True, 1, s, 0) for s in (0, 0, 1, 1, 2, 2)]
    assert not Stratified(alpha=1.0)(batch_of(rows)).any()
    assert Stratified(alpha=0.0)(batch_of(rows))[:, 0].std() == pytest.approx(1, abs=1e-3)
    assert Stratified().metrics(batch_of([*rows, (1.0, 0, True, 1, 9, 0)])) == {
        "groups": 1.0,
        "groups_too_small": 0.0,
        "groups_without_spread": 0.0,
        "masked": 0.0,
        "strata": 4.0,
        "singletons": 1 / 7,
    }


@pytest.mark.parametrize("bug", ["strata across groups", "sample deviation"])
def test_planted_bugs_are_found(monkeypatch, bug):
    rows = [(1.0, 0, True, 1, 0, 0), (0.0, 0, True, 1, 0, 0), (0.5, 1, True, 1, 0, 0), (0.0, 1, True, 1, 1, 0)]
    batch, expected = batch_of(rows), np.array(slow_stratified(rows, 0.5, 1e-4))
    np.testing.assert_allclose(Stratified()(batch)[:, 0], expected, atol=1e-6)
    if bug == "strata across groups":
        right = stratified.dense
        monkeypatch.setattr(stratified, "dense", lambda *labels: right(labels[-1]))
    else:
        right = stratified.moments

        def wrong(values, index):
            count, mean, variance = right(values, index)
            return count, mean, variance * count / np.maximum(count - 1, 1)

        monkeypatch.setattr(stratified, "moments", wrong)
    assert np.abs(Stratified()(batch)[:, 0] - expected).max() > 1e-2


def test_without_its_correction_the_first_scale_would_be_too_small(monkeypatch):
    rows = [(10.0, 0, True, 1, 0, 0), (0.0, 0, True, 1, 0, 0)]
    assert EmaGroupNormalized(0.9)(batch_of(rows))[:, 0] == pytest.approx([1, -1], abs=1e-3)

    def updated(self, rewards, decay):
        first, second = (1 - decay) * rewards.mean(), (1 - decay) * (rewards**2).mean()
        return RewardScale(first, second - first**2, 1)

    monkeypatch.setattr(ema_group.RewardScale, "updated", updated)
    assert EmaGroupNormalized(0.9)(batch_of(rows))[0, 0] > 1.2


def test_rewards_that_hardly_differ_keep_their_scale():
    rows = [(1e6 + r, 0, True, 1, 0, 0) for r in (0.0, 1e-3)]
    assert EmaGroupNormalized(eps=1e-9)(batch_of(rows))[:, 0] == pytest.approx([-1, 1], abs=1e-3)


def test_each_task_has_its_own_scale_and_groups_keep_their_differences():
    rows = [
        *[(r, 0, True, 1, 0, 0) for r in (0.0, 100.0)],
        *[(r, 1, True, 1, 0, 1) for r in (0.0, 1.0)],
        *[(r, 2, True, 1, 0, 1) for r in (0.45, 0.55)],
    ]
    advantage = EmaGroupNormalized(eps=1e-9)(batch_of(rows))[:, 0]
    assert advantage[1] == pytest.approx(1)
    assert advantage[3] / advantage[5] == pytest.approx(10)
    assert GroupNormalized(eps=1e-9)(batch_of(rows))[:, 0][[3, 5]] == pytest.approx([2**-0.5] * 2)


def test_the_scale_resumes_through_json():
    rng = np.random.default_rng(0)

    def draw():
        rows = [
            (float(r), g, True, 1, 0, g % 2) for r, g in zip(rng.normal(size=8), [0, 0, 1, 1, 2, 2, 3, 3], strict=True)
        ]
        batch = batch_of(rows)
        return replace(batch, env_ids=batch.env_ids * 2**61 - 5)

    one, other, batch = EmaGroupNormalized(), EmaGroupNormalized(), draw()
    one(draw())
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    np.testing.assert_array_equal(one(batch), other(batch))
    assert one.scales == other.scales and one.scales[-5] == RewardScale(*one.state_dict()["scales"]["-5"])


def test_strata_by_calls(make_episode, search):
    turns = [
        replace(make_episode([""]).turns[0], calls=calls) for calls in ((search(), search(status="error")), (search(),))
    ]
    assert strata_by_calls(make_episode(turns)) == (2, 1, 0)
    assert strata_by_calls(make_episode([""])) == (0, 0, 0)
    assert Stratified().strata is strata_by_calls
    assert Stratified(strata=lambda episode: episode.seed).strata(make_episode([""], seed=3)) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stratified(alpha=1.1), r"alpha is 1.1; it is a share and must lie in \[0, 1\]"),
        (lambda: Stratified(eps=0), "above 0"),
        (lambda: Stratified(strata="searches"), "strata is 'searches'; give 'calls' or a function"),
        (lambda: EmaGroupNormalized(decay=1.0), r"decay is 1.0; it must lie in \[0, 1\)"),
        (lambda: EmaGroupNormalized(eps=math.nan), "above 0"),
    ],
)
def test_options_that_cannot_work(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
