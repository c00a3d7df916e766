"""What the card says about threads: two instances beside each other give what each gives alone."""

from __future__ import annotations

import sys
import threading

from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import Problems, describe_exception
from palaestra.harness.check.world import first_difference, play

__all__ = ["check_concurrency"]

_EPISODES = 5
_THREADS = 2
_SWITCH = 1e-5  # seconds; Python changes threads far more often than it would


def check_concurrency(subject: Subject) -> str:
    """Plays in two threads at once and compares with playing alone.

    Raises:
        CheckFailed: The threads disturb each other.
    """
    kind = subject.card.concurrency
    subject.require(kind != "process", "the card says concurrency='process': instances live in processes of their own")
    subject.require(not subject.card.nondeterministic, "the card says nondeterministic: two runs differ anyway")
    alone = [_episodes(subject, number) for number in range(_THREADS)]
    found: list[list[bytes] | BaseException] = [[] for _ in range(_THREADS)]
    ready = threading.Barrier(_THREADS)

    def work(number: int) -> None:
        try:
            ready.wait()
            found[number] = _episodes(subject, number)
        except BaseException as error:  # shown by the main thread
            found[number] = error

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(_THREADS)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    problems = Problems()
    for number, seen in enumerate(found):
        if isinstance(seen, BaseException):
            problems.add(
                f"an instance works in a thread of its own, as the card says (concurrency={kind!r})",
                describe_exception(seen),
                "something is bound to the thread that made it; say 'process', or make it where it is used",
            )
            continue
        difference = first_difference(alone[number], seen)
        problems.require(
            difference is None,
            f"an instance gives the same beside another in a second thread (concurrency={kind!r})",
            f"alone, beside another: {difference}",
            "instances share state: a class attribute, a module-level object, a cache that is written to; give each "
            "instance its own, or guard it with a lock",
        )
    return problems.finish(f"{kind}: {_EPISODES} episodes in each of {_THREADS} threads equal those played alone")


def _episodes(subject: Subject, number: int) -> list[bytes]:
    lines: list[bytes] = []
    with subject.make_lean() as world:
        names = [name for name in ("oracle", "reference", "random") if name in world.policy_names]
        for episode in range(_EPISODES):
            for name in names:
                lines += play(world, name, subject.seed + 100 * number + episode).lines
    return lines
