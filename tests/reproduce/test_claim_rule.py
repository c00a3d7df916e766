"""The verdict, on experiments whose verdict is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from palaestra.harness.reproduce.claim import RULE, judge
from palaestra.harness.reproduce.claims import CLAIMS, find_claim

ROOM = [0.5] * 10


def verdict(differences, *, control=True, baseline=None, smallest=0.05):
    return judge(control, differences, baseline or ROOM[: len(differences)], smallest).verdict


def spread(mean, half, seeds=5):
    """Differences whose 95 % t interval is [mean - half, mean + half]."""
    raw = np.linspace(-1, 1, seeds)
    reach = stats.t.ppf(0.975, seeds - 1) * raw.std(ddof=1) / np.sqrt(seeds)
    return (mean + half * raw / reach).tolist()


@pytest.mark.parametrize(
    ("mean", "half", "expected"),
    [
        (0.10, 0.04, "confirmed"),
        (0.04, 0.03, "confirmed"),  # the mean is below 0.05, but 0.05 is not excluded, and 0 is
        (0.10, 0.11, "undecided"),
        (0.02, 0.04, "undecided"),
        (0.00, 0.04, "not confirmed"),
        (0.02, 0.01, "not confirmed"),  # above 0, too small to be of interest
        (-0.10, 0.04, "not confirmed"),
        (-0.02, 0.10, "undecided"),
    ],
)
def test_the_interval_decides(mean, half, expected):
    judged = judge(True, spread(mean, half), ROOM[:5], 0.05)
    assert judged.verdict == expected
    assert (judged.interval.low, judged.interval.high) == pytest.approx((mean - half, mean + half))
    assert judged.mean == pytest.approx(mean)


# Each of these would be "confirmed" or "not confirmed" by the interval alone.
PLANTED = {
    "the control failed": (dict(control=False), spread(0.1, 0.02)),
    "the control failed, and the effect is absent": (dict(control=False), spread(0.0, 0.01)),
    "too few seeds": ({}, spread(0.1, 0.02, seeds=4)),
    "a single seed": ({}, [0.3]),
    "no seed": ({}, []),
    "an interval without width": ({}, [0.1] * 5),
    "nothing ever differed": ({}, [0.0] * 5),
    "equal but for last bits": ({}, [0.1, 0.1 + 1e-16, 0.1 - 1e-16, 0.1, 0.1 + 2e-17]),
    "no room above the baseline": (dict(baseline=[0.97, 0.98, 0.96, 0.97, 0.97]), spread(0.01, 0.02)),
}


@pytest.mark.parametrize("name", PLANTED)
def test_wrong_verdicts_are_withheld(name):
    options, differences = PLANTED[name]
    assert verdict(differences, **options) == "undecided"


def test_the_bootstrap_stands_beside_and_does_not_decide():
    differences = spread(0.10, 0.105)
    judged = judge(True, differences, ROOM[:5], 0.05)
    assert judged.bootstrap.low > 0 > judged.interval.low
    assert judged.verdict == "undecided"
    assert judged.detectable > 0.1


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = [
        judged.interval.low <= 0.03 <= judged.interval.high
        for judged in (judge(True, rng.normal(0.03, 0.05, 5), ROOM[:5], 0.05) for _ in range(150))
    ]
    assert stats.binomtest(sum(held), len(held), 0.95).pvalue > 0.01


def test_a_verdict_says_why():
    assert "[0.060, 0.140]" in judge(True, spread(0.1, 0.04), ROOM[:5], 0.05).why
    assert "control failed" in judge(False, spread(0.1, 0.04), ROOM[:5], 0.05).why
    assert "0.970" in judge(True, spread(0, 0.01), [0.97] * 5, 0.05).why
    assert "worse" in judge(True, spread(-0.1, 0.04), ROOM[:5], 0.05).why
    assert "smaller than" in judge(True, spread(0.02, 0.01), ROOM[:5], 0.05).why
    assert "fewer than 5 seeds" in RULE


def test_claims_are_found_by_name():
    assert set(CLAIMS) == {"igpo", "stratified", "spa", "toolrl"}
    assert all(0 < claim.smallest < 1 for claim in CLAIMS.values())
    with pytest.raises(LookupError, match="stratified"):
        find_claim("stratify")
