"""The same seed and actions give the same bytes in another process, another seed does not."""

from __future__ import annotations

from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import CheckFailed, Problems
from palaestra.harness.check.world import first_difference, play

__all__ = ["check_determinism", "traces"]

_EPISODES = 3
_OTHER_SEEDS = 5
_CAUSES = (
    "randomness that does not come from self.np_random, the order of a set or of a hash, the clock, an id() or an "
    "address, state left over from the episode before"
)


def check_determinism(subject: Subject) -> str:
    """Compares traces of every policy: twice here, and in a process with another hash seed.

    Raises:
        CheckFailed: They differ, or seeds make no difference.
    """
    subject.require(not subject.card.nondeterministic, "the card says nondeterministic")
    problems = Problems()
    here = traces(subject)
    places = {
        "in another instance": traces(subject),
        "in another process with another PYTHONHASHSEED": subject.in_new_process(f"{__name__}:traces", hash_seed=7),
    }
    for place, there in places.items():
        for key in here:
            difference = first_difference(here[key], there[key])
            problems.require(
                difference is None,
                f"the same seed and policy ({key}) give the same episode {place}",
                str(difference),
                _CAUSES,
            )
    _other_seed(subject)
    return problems.finish(
        f"{len(here)} episodes are byte-identical in another instance and in another process; other seeds differ"
    )


def traces(subject: Subject) -> dict[str, list[bytes]]:
    """Traces of a few episodes of every policy, by policy and number; one instance plays them all."""
    subject.ensure_registered()
    found = {}
    with subject.make_lean() as world:
        for name in sorted(world.policy_names):
            for episode in range(_EPISODES):
                # The last one goes on with the generator where the one before left it.
                reseed = episode < _EPISODES - 1
                found[f"{name} {episode}"] = play(world, name, subject.seed + episode, reseed=reseed).lines
    return found


def _other_seed(subject: Subject) -> None:
    with subject.make_lean() as world:
        tasks = getattr(world.raw, "tasks", None)
        if tasks is not None and len(tasks) == 1:
            return
        first = play(world, "random", subject.seed, policy_seed=0).lines
        for seed in range(1, _OTHER_SEEDS + 1):
            if first_difference(first, play(world, "random", subject.seed + seed, policy_seed=0).lines) is not None:
                return
    raise CheckFailed(
        "another seed gives another episode",
        f"{_OTHER_SEEDS + 1} seeds gave the same episode for the same actions",
        "reset ignores its seed: call super().reset(seed=seed) and draw the task and all else from self.np_random",
    )
