"""Claims of papers, and the rule by which an experiment is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from palaestra.harness.report.paired_tests import t_test
from palaestra.harness.report.statistics import Interval, bootstrap_interval
from palaestra.harness.reproduce.power import detectable_effect

__all__ = ["LEAST_SEEDS", "RULE", "Claim", "Judgement", "Verdict", "judge"]

Verdict = Literal["confirmed", "not confirmed", "undecided"]

LEAST_SEEDS = 5

RULE = (
    "Each seed gives one difference: method minus baseline, from the same warm start, on the same held-out tasks. "
    "[low, high] is the 95 % t interval of their mean over seeds. "
    "Confirmed: low is above 0 and high reaches the smallest effect of interest. "
    "Not confirmed: high is below the smallest effect of interest. "
    "Undecided: anything else; and always where the positive control failed, with fewer than "
    f"{LEAST_SEEDS} seeds, where all differences are equal, or where the baseline is so near 1 that the smallest "
    "effect of interest has no room above it."
)
"""The rule of `judge` in words, for reports."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A paper's claim as something that can be tested here.

    Attributes:
        name: On the command line.
        title: Of the method.
        paper: Where the claim is made.
        sentence: What is tested, in one sentence.
        method: File name of the method's recipe.
        baseline: File name of the baseline's.
        design: Names of the method's credit and advantage.
        baseline_design: Those of the baseline.
        smallest: Smallest effect of interest: a difference in the mean outcome on held-out tasks, in (0, 1).
        control: The positive control, "module:function".
        reason: Why that smallest effect.
    """

    name: str
    title: str
    paper: str
    sentence: str
    method: str
    baseline: str
    design: tuple[str, str]
    baseline_design: tuple[str, str]
    smallest: float
    control: str
    reason: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of an experiment.

    Attributes:
        verdict: By `RULE`.
        why: For a person.
        seeds: How many differences.
        mean: Their mean; None without any.
        sd: Their sample deviation; None with fewer than two.
        interval: The t interval that decides; None with fewer than two, or where they are all equal.
        bootstrap: The percentile bootstrap over seeds, beside it; it decides nothing, for few seeds make it too narrow.
        detectable: Smallest effect that so many seeds show with 80 % power, at this deviation.
    """

    verdict: Verdict
    why: str
    seeds: int
    mean: float | None
    sd: float | None
    interval: Interval | None
    bootstrap: Interval | None
    detectable: float | None


def judge(control_passed: bool, differences: Sequence[float], baseline: Sequence[float], smallest: float) -> Judgement:
    """The verdict; see `RULE`.

    Args:
        control_passed: Whether the positive control found its effect.
        differences: Method minus baseline, one a seed.
        baseline: The baseline's mean outcome on held-out tasks, one a seed, in [0, 1].
        smallest: The smallest effect of interest, above 0.
    """
    deltas = np.asarray(differences, np.float64)
    count = len(deltas)
    # Equal differences of means have a deviation of some last bits.
    test = t_test(deltas) if count > 1 and float(np.ptp(deltas)) > 1e-9 else None
    interval = test.interval if test is not None else None
    sd = float(deltas.std(ddof=1)) if count > 1 else None
    verdict, why = _decided(control_passed, interval, count, float(np.mean(baseline)) if count else 0.0, smallest)
    return Judgement(
        verdict,
        why,
        count,
        float(deltas.mean()) if count else None,
        sd,
        interval,
        bootstrap_interval(deltas, np.random.default_rng(0), resamples=10_000) if count > 1 else None,
        detectable_effect(sd, count) if sd is not None and test is not None else None,
    )


def _decided(
    control_passed: bool, interval: Interval | None, seeds: int, baseline: float, smallest: float
) -> tuple[Verdict, str]:
    if not control_passed:
        return "undecided", (
            "The positive control failed: the effect was not found where it provably is. Whatever the experiment "
            "shows, it may be this implementation's doing."
        )
    if not seeds:
        return "undecided", "No experiment was run."
    if seeds < LEAST_SEEDS:
        return "undecided", f"{seeds} of at least {LEAST_SEEDS} seeds."
    if interval is None:
        return "undecided", "All differences are equal, so their spread over seeds is not known; look at the runs."
    if 1 - baseline < smallest:
        return "undecided", f"The baseline is at {baseline:.3f}: there is no room for an effect of {smallest:g}."
    low, high = f"{interval.low:.3f}", f"{interval.high:.3f}"
    if interval.high < smallest:
        worse = " The method is even worse than its baseline: all of the interval is below 0." * (interval.high < 0)
        small = " It is above 0, but smaller than what is of interest." * (interval.low > 0)
        return "not confirmed", (
            f"An effect of {smallest:g} or more is excluded: the interval is [{low}, {high}].{worse}{small}"
        )
    if interval.low > 0:
        return "confirmed", f"The interval [{low}, {high}] is above 0 and reaches {smallest:g}."
    return "undecided", (
        f"The interval [{low}, {high}] holds both 0 and effects of {smallest:g}: more seeds are needed."
    )
