from __future__ import annotations

import pytest
from checked_mutants import IDS, MUTANTS, RELEASE, SLOW, WHOLE

from palaestra.harness.check import check


@pytest.mark.parametrize("mutant", [cls for cls in MUTANTS if cls not in WHOLE], ids=lambda cls: cls.__name__)
def test_a_planted_bug_turns_its_check_red(mutant: type) -> None:
    expected, word = MUTANTS[mutant]
    try:
        certificate = check(IDS[mutant], fuzz=300, skip=[name for name in SLOW if name not in expected])
    finally:
        RELEASE.set()
        RELEASE.clear()
    assert {result.name: result.detail for result in certificate.failed if result.name not in expected} == {}
    assert {result.name for result in certificate.failed} == expected
    detail = next(result.detail for result in certificate.failed if word in result.detail)
    assert all(char.isprintable() or char == "\n" for char in detail)  # hostile strings are quoted in details
    for part in ("Expected: ", "Seen: ", "Likely cause: "):
        assert part in detail


def test_every_check_has_a_planted_bug() -> None:
    from checked_arrays import ARRAY_MUTANTS

    from palaestra.harness.check import CHECKS

    covered = set().union(*(red for red, _ in MUTANTS.values()), *(red for red, _ in ARRAY_MUTANTS.values()))
    assert {item.name for item in CHECKS} == covered
