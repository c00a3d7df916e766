"""A claim with all that is known of it: control, power, experiment, verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from palaestra.harness.report.paired_tests import t_test
from palaestra.harness.reproduce.arms import Arm
from palaestra.harness.reproduce.claim import LEAST_SEEDS, Claim, Judgement, judge
from palaestra.harness.reproduce.control import ControlResult
from palaestra.harness.reproduce.experiment import Experiment
from palaestra.harness.reproduce.pairs import Pair
from palaestra.harness.reproduce.power import confirmation_power, detectable_effect, seeds_needed

__all__ = ["Power", "Result", "learning_curve", "power_of", "result_of"]


@dataclass(frozen=True, slots=True)
class Power:
    """What so many seeds can show.

    Attributes:
        source: Whose differences vary like this: `pilots`, or the experiment's own `seeds` where there were no two
            pilots.
        pairs: How many differences the deviation is from.
        sd: Their sample deviation.
        seeds: That the experiment has.
        chance: Of "confirmed" with these seeds, if the true effect is the smallest of interest.
        needed: Seeds for a chance of 80 %, at least as many as the rule asks for; None above 10,000.
        detectable: Smallest effect whose interval lies above 0 in 80 of 100 experiments with these seeds.
    """

    source: Literal["pilots", "seeds"]
    pairs: int
    sd: float
    seeds: int
    chance: float
    needed: int | None
    detectable: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """A claim, judged.

    Attributes:
        claim: The claim.
        control: Its positive control.
        experiment: Its experiment; None where only the control was run.
        judgement: By the rule.
        power: None where fewer than two differences are known, or they are all equal.
    """

    claim: Claim
    control: ControlResult
    experiment: Experiment | None
    judgement: Judgement
    power: Power | None


def result_of(claim: Claim, control: ControlResult, experiment: Experiment | None) -> Result:
    """Judges a claim."""
    pairs = experiment.pairs if experiment is not None else ()
    judgement = judge(
        control.passed, [pair.difference for pair in pairs], [pair.baseline for pair in pairs], claim.smallest
    )
    pilots = experiment.pilots if experiment is not None else ()
    return Result(claim, control, experiment, judgement, power_of(pilots, pairs, claim.smallest))


def power_of(pilots: Sequence[Pair], pairs: Sequence[Pair], smallest: float, seeds: int | None = None) -> Power | None:
    """The power at the deviation of the pilots' differences, or of the experiment's own.

    Args:
        pilots: Pilot pairs.
        pairs: Pairs of the experiment.
        smallest: The smallest effect of interest.
        seeds: How many the experiment has or will have; by default as many as there are pairs.

    Returns:
        None where fewer than two differences are known, or they are all equal.
    """
    used: Sequence[Pair] = pilots if len(pilots) > 1 else pairs
    deltas = np.array([pair.difference for pair in used])
    if len(deltas) < 2 or float(np.ptp(deltas)) <= 1e-9:
        return None
    sd = float(deltas.std(ddof=1))
    count = len(pairs) if seeds is None else seeds
    needed = seeds_needed(smallest, sd, smallest=smallest)
    return Power(
        "pilots" if used is pilots else "seeds",
        len(deltas),
        sd,
        count,
        confirmation_power(smallest, sd, count, smallest) if count >= LEAST_SEEDS else 0.0,
        None if needed is None else max(needed, LEAST_SEEDS),
        detectable_effect(sd, count),
    )


def learning_curve(pairs: Sequence[Pair], arm: Arm) -> list[tuple[float, float, float, float]]:
    """(step, mean, low, high) over seeds, at the steps that all seeds were evaluated at; 95 % t intervals."""
    if not pairs:
        return []
    known = [dict(pair.curves[arm]) for pair in pairs]
    points = []
    for step in sorted(set.intersection(*(set(curve) for curve in known))):
        values = np.array([curve[step] for curve in known])
        test = t_test(values)
        mean = float(values.mean())
        low, high = (test.interval.low, test.interval.high) if test is not None else (mean, mean)
        points.append((step, mean, max(0.0, low), min(1.0, high)))
    return points
