from __future__ import annotations

import json
from pathlib import Path

import pytest
from checked_mutants import IDS, MUTANTS, WHOLE
from checked_text import GOOD

from palaestra.errors import ConfigError, RecordError, UnknownNameError
from palaestra.harness.check import CHECKS, Certificate, CheckResult, check


def test_the_good_text_environment_is_green(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    certificate = check(GOOD, fuzz=300, progress=lambda *step: told.append(step))
    assert {result.name: result.detail for result in certificate.failed} == {}
    assert certificate.passed
    assert [result.name for result in certificate.results] == [item.name for item in CHECKS]
    assert {result.name for result in certificate.results if result.status == "skipped"} == {"reference", "actions"}
    assert [name for name, _, _ in told] == [item.name for item in CHECKS] + [""]
    path = certificate.write(tmp_path / "deep" / "certificate.json")
    again = Certificate.from_json(json.loads(path.read_text()))
    assert again.to_json() == certificate.to_json()
    assert again.settings == {"env_kwargs": {}, "seed": 0, "fuzz": 300}


@pytest.mark.parametrize("mutant", WHOLE, ids=lambda cls: cls.__name__)
def test_a_planted_bug_turns_exactly_its_check_red(mutant: type) -> None:
    expected, word = MUTANTS[mutant]
    certificate = check(IDS[mutant], fuzz=300)
    assert {result.name: result.detail for result in certificate.failed if result.name not in expected} == {}
    assert {result.name for result in certificate.failed} == expected
    assert word in certificate.failed[0].detail


def test_unknown_names_and_numbers_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'snapshot'"):
        check(GOOD, only=["snapshots"])
    with pytest.raises(UnknownNameError, match="check 'fuz'"):
        check(GOOD, skip=["fuz"])
    with pytest.raises(UnknownNameError, match="environment"):
        check("palaestra/FactbokSearch-v0")
    with pytest.raises(ConfigError, match="fuzz"):
        check(GOOD, fuzz=0)
    with pytest.raises(ConfigError, match="no option 'turns'"):
        check(GOOD, env_kwargs={"turns": 3})


def test_only_and_skip_choose() -> None:
    certificate = check(GOOD, only=["rendering", "make", "info"], skip=["info"])
    assert [result.name for result in certificate.results] == ["make", "rendering"]


def test_a_certificate_of_another_kind_is_refused() -> None:
    with pytest.raises(RecordError, match="no certificate"):
        Certificate.from_json({"env_id": "x"})
    odd = {"name": "make", "status": "green", "detail": "", "seconds": 0.0}
    with pytest.raises(RecordError, match="green"):
        Certificate.from_json({"env_id": "x", "versions": {}, "settings": {}, "results": [odd]})


def test_details_with_surrogates_can_be_written(tmp_path: Path) -> None:
    result = CheckResult("fuzz", "failed", "seen: \ud800", 0.1)
    path = Certificate("x", {}, (result,), {"kwargs": object}).write(tmp_path / "c.json")
    assert json.loads(path.read_text())["results"][0]["detail"] == "seen: \\ud800"
