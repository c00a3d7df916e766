"""Runs the checks one after another."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from palaestra.errors import ConfigError, UnknownNameError
from palaestra.harness.check.certificate import Certificate, CheckResult, CheckStatus, versions
from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import CheckFailed, CheckSkipped, describe_exception, printable
from palaestra.plugins import load_object

__all__ = ["CHECKS", "Check", "Progress", "check"]

Progress = Callable[[str, int, int], None]
"""Told the name of the check that begins, how many are done, and how many there are; "" at the end."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: What `--only` and `--skip` call it.
        description: One line.
        function: "module:name" of `(Subject) -> str`, imported when it runs.
    """

    name: str
    description: str
    function: str


_HERE = "palaestra.harness.check"

CHECKS: tuple[Check, ...] = (
    Check("make", "is made, reset and stepped as a user would", f"{_HERE}.make:check_make"),
    Check("api", "Gymnasium's or PettingZoo's own checker, without a warning", f"{_HERE}.api:check_api"),
    Check("info", "info keeps one type a key, rewards are finite, the status is true", f"{_HERE}.info:check_info"),
    Check("determinism", "same seed, same bytes, in another process too", f"{_HERE}.determinism:check_determinism"),
    Check("snapshot", "saved, restored and forked states go on as before", f"{_HERE}.snapshot:check_snapshot"),
    Check("vector", "vector environments equal single ones in every autoreset mode", f"{_HERE}.vector:check_vector"),
    Check("concurrency", "threads do not disturb each other", f"{_HERE}.concurrency:check_concurrency"),
    Check("policies", "oracle 1, null and echo 0, prior bounded, no cheat", f"{_HERE}.policies:check_policies"),
    Check("reference", "random is worse than the reference policy", f"{_HERE}.reference:check_reference"),
    Check("fuzz", "hostile strings never raise, never fail an episode", f"{_HERE}.fuzz:check_fuzz"),
    Check("actions", "bad arrays are refused clearly or handled", f"{_HERE}.actions:check_actions"),
    Check("canary", "ground truth never reaches an agent", f"{_HERE}.canary:check_canary"),
    Check("pickling", "specs, spaces and instances survive pickling", f"{_HERE}.pickling:check_pickling"),
    Check("closing", "closing frees files, threads, processes and memory", f"{_HERE}.closing:check_closing"),
    Check("rendering", "each render mode gives what it promises", f"{_HERE}.rendering:check_rendering"),
    Check("docstring", "headings, tables and the example are true", f"{_HERE}.docstring:check_docstring"),
    Check("card", "kind, interface and extras of the card are true", f"{_HERE}.card:check_card"),
    Check("hygiene", "no global state is touched", f"{_HERE}.hygiene:check_hygiene"),
)


def check(
    env_id: str,
    *,
    env_kwargs: Mapping[str, Any] | None = None,
    only: Iterable[str] | None = None,
    skip: Iterable[str] | None = None,
    fuzz: int = 20_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Certificate:
    """Checks an environment.

    Args:
        env_id: Its id, optionally as "module:id".
        env_kwargs: For its constructor.
        only: Names of the checks to run; all by default.
        skip: Names of checks to leave out.
        fuzz: Number of strings of the fuzz, at least 1.
        seed: Seeds everything that the checks draw, at least 0.
        progress: Told how far it is.

    Returns:
        The certificate; `certificate.passed` says whether all is well.

    Raises:
        UnknownNameError: There is no such environment or check.
        MissingExtraError: The environment's packages are not installed.
        ConfigError: It does not take one of the arguments, or `fuzz` or `seed` is out of range.
    """
    if fuzz < 1 or seed < 0:
        raise ConfigError(f"fuzz must be at least 1 and seed at least 0, got fuzz={fuzz}, seed={seed}.")
    chosen = _choose(only, skip)
    subject = Subject.of(env_id, env_kwargs or {}, seed=seed, fuzz=fuzz)
    results: list[CheckResult] = []
    with subject.held():
        for number, item in enumerate(chosen):
            if progress is not None:
                progress(item.name, number, len(chosen))
            if any(result.name == "make" and result.status == "failed" for result in results):
                results.append(CheckResult(item.name, "skipped", "the environment cannot be made, see `make`", 0.0))
            else:
                results.append(_run(item, subject))
    if progress is not None:
        progress("", len(chosen), len(chosen))
    settings = {"env_kwargs": dict(env_kwargs or {}), "seed": seed, "fuzz": fuzz}
    return Certificate(subject.env_id, versions(), tuple(results), settings)


def _choose(only: Iterable[str] | None, skip: Iterable[str] | None) -> list[Check]:
    names = [item.name for item in CHECKS]
    wanted, unwanted = set(names if only is None else only), set(skip or ())
    for name in sorted(wanted | unwanted):
        if name not in names:
            raise UnknownNameError("check", name, names)
    return [item for item in CHECKS if item.name in wanted - unwanted]


def _run(item: Check, subject: Subject) -> CheckResult:
    began = time.perf_counter()
    status: CheckStatus
    try:
        with warnings.catch_warnings():
            # `api` is where warnings count; elsewhere the caller's filters must not decide what is found.
            warnings.simplefilter("ignore")
            detail, status = load_object(item.function)(subject), "passed"
    except CheckSkipped as reason:
        detail, status = str(reason), "skipped"
    except CheckFailed as failure:
        detail, status = str(failure), "failed"
    except Exception as error:
        unforeseen = CheckFailed(
            "the environment goes through this check without an exception",
            describe_exception(error),
            "the environment raised where it must not; the place above is where to look",
        )
        detail, status = str(unforeseen), "failed"
    return CheckResult(item.name, status, printable(detail), time.perf_counter() - began)
