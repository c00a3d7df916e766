"""The card says what is true."""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions, requires
from typing import Any

import gymnasium as gym

from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import Problems
from palaestra.harness.check.world import play

__all__ = ["check_card", "loaded"]

_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def check_card(subject: Subject) -> str:
    """Holds the card against the environment.

    Raises:
        CheckFailed: They disagree.
    """
    subject.require(subject.has_card, "registered with Gymnasium alone, so there is no card")
    card, problems = subject.card, Problems()
    summary = card.summary.strip()
    problems.require(
        10 <= len(summary) <= 200 and summary.endswith(".") and "\n" not in summary,
        "the summary is one sentence that ends with a full stop",
        repr(card.summary),
        "it is what `palaestra list` shows",
    )
    problems.require(
        bool(card.family.strip()), "a family", repr(card.family), "name the folder it lives in, as in 'search'"
    )
    with subject.make_lean() as world:
        text = {agent: _speaks(world.action_space(agent)) for agent in world.agents}
        ends = play(world, "random", subject.seed, max_steps=2_000, record=False)
        judged = ends.outcome is not None
        has_judge = hasattr(world.raw, "judge") or judged
        privileged = hasattr(world.raw, "privileged")
    problems.require(
        all(text.values()) == (card.interface == "text") and (card.interface == "text" or not any(text.values())),
        f"interface={card.interface!r} fits the action space",
        f"text actions: {text}",
        "'text' is for environments whose actions are strings (palaestra.spaces.Utf8), 'array' for all others",
    )
    if card.kind == "verifiable":
        problems.require(
            has_judge and privileged,
            "a verifiable environment has a verifier (outcome, judge()) and privileged()",
            f"judge or outcome: {has_judge}, privileged(): {privileged}",
            "say kind='control' where returns are compared and nothing is verified",
        )
    _extras(subject, problems)
    return problems.finish(
        f"{card.kind}, {card.interface}, {card.concurrency}, snapshot {card.snapshot}, "
        f"extras {', '.join(card.extras) or 'none'}"
    )


def _speaks(space: gym.Space[Any]) -> bool:
    return isinstance(space.sample(), str)


def _extras(subject: Subject, problems: Problems) -> None:
    if not subject.entry_point:
        return
    top = subject.entry_point.partition(":")[0].partition(".")[0]
    owners = packages_distributions().get(top, [])
    if not owners:
        problems.require(
            not subject.card.extras,
            "extras name those of the environment's package",
            f"extras={subject.card.extras}, and the module {top!r} belongs to no installed package",
            "extras can only be named where there is a package that has them",
        )
        return
    package = owners[0]
    known = set(metadata(package).get_all("Provides-Extra") or ())
    unknown = [name for name in subject.card.extras if name not in known]
    problems.require(
        not unknown,
        f"every extra of the card is one of {package}: {', '.join(sorted(known))}",
        f"unknown: {', '.join(unknown)}",
        "a misspelling, or an extra that pyproject.toml lacks",
    )
    # Only packages that some extra names directly are held against the card: what libraries import by chance is theirs.
    used = subject.in_new_process(f"{__name__}:loaded")
    own = _needs(package, None)
    allowed = _closure(own.union(*(_needs(package, name) for name in subject.card.extras if name in known)))
    for name in sorted(known):
        for needed in sorted(_needs(package, name) - allowed):
            problems.require(
                needed not in used,
                "the environment imports only what the card's extras bring",
                f"it imports {needed!r}, which only the extra {name!r} brings; extras={subject.card.extras}",
                "name the extra in the card, or do not import it",
            )


def loaded(subject: Subject) -> set[str]:
    """Names of the installed packages that making and playing the environment imports."""
    subject.ensure_registered()
    with subject.make() as world:
        for name in world.policy_names:
            play(world, name, subject.seed, max_steps=5, record=False)
    owners = packages_distributions()
    tops = {name.partition(".")[0] for name in list(sys.modules)}
    return {_plain(owner) for top in tops for owner in owners.get(top, [])}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _needs(package: str, extra: str | None) -> set[str]:
    """Direct requirements of a package: of one extra, or those that are always there."""
    found = set()
    try:
        lines = requires(package) or []
    except PackageNotFoundError:
        return set()
    for line in lines:
        match = _EXTRA.search(line)
        if (match.group(1) if match else None) == extra:
            name = _NAME.match(line)
            if name:
                found.add(_plain(name.group()))
    return found


def _closure(names: set[str]) -> set[str]:
    seen: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(_needs(name, None))
    return seen
