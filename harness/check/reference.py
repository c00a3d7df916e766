"""Control environments: the reference policy is better than random, with an interval."""

from __future__ import annotations

import numpy as np

from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import CheckFailed
from palaestra.harness.check.world import play

__all__ = ["check_reference"]

_EPISODES = 20
_RESAMPLES = 4_000
_LONGEST = 20_000  # steps of an episode


def check_reference(subject: Subject) -> str:
    """Plays the same seeds with both and bootstraps the mean difference of their returns.

    Raises:
        CheckFailed: The 95 % interval of the difference does not lie above 0.
    """
    subject.require(subject.card.kind == "control", "a verifiable environment is proved by its oracle; see `policies`")
    with subject.make_lean() as world:
        subject.require("reference" in world.policy_names, "no 'reference' policy ships with this environment")
        returns = {
            name: np.asarray(
                [
                    np.mean(
                        list(
                            play(world, name, subject.seed + number, max_steps=_LONGEST, record=False).returns.values()
                        )
                    )
                    for number in range(_EPISODES)
                ]
            )
            for name in ("random", "reference")
        }
    difference = returns["reference"] - returns["random"]
    rng = np.random.default_rng([subject.seed, 13])
    means = rng.choice(difference, (_RESAMPLES, _EPISODES)).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    said = (
        f"random {returns['random'].mean():.4g}, reference {returns['reference'].mean():.4g}, difference "
        f"{difference.mean():.4g} (95 % interval {low:.4g} to {high:.4g}, {_EPISODES} paired seeds)"
    )
    if not low > 0:
        raise CheckFailed(
            "the reference policy's returns are above random's, with the whole 95 % interval of the difference",
            said,
            "the reward does not tell good from bad, or the reference policy is not good",
        )
    return said
