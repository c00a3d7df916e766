"""The command, in this process."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from palaestra.errors import PalaestraError
from palaestra.harness.cli.app import commands
from palaestra.harness.reproduce import claims, control_stratified
from palaestra.harness.reproduce.control import ControlResult


@pytest.fixture
def palaestra(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(commands, ["reproduce", *map(str, arguments)], standalone_mode=False)

    return run


def test_the_control_alone(palaestra, tmp_path):
    done = palaestra("stratified", "--control")
    assert done.return_value == 0, done.output
    assert "the positive control passed" in done.output
    data = json.loads((tmp_path / "claims" / "stratified-control" / "claim.json").read_text())
    assert data["control"]["passed"] and data["experiment"] is None
    assert "No experiment was run." in (tmp_path / "claims" / "stratified-control" / "claim.md").read_text()


def test_a_failed_control_trains_nothing_and_says_so(palaestra, tmp_path, monkeypatch, request):
    def broken(claim) -> ControlResult:
        return control_stratified.control(lambda rewards, *_, alpha: rewards, seeds=1)

    monkeypatch.setattr(claims, "run_control", broken)
    done = palaestra("stratified", "--out", "here", "--recipes", request.config.rootpath / "recipes")
    assert done.return_value == 3
    assert "so nothing is trained" in done.output
    assert "failed" in (tmp_path / "here" / "claim.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stratify"], "stratified"),
        (["igpo", "--control", "--smoke"], "exclude one another"),
        (["igpo", "--lr-grid", "1e-4,1e-4"], "no grid"),
        (["igpo", "--lr-grid", "fast"], "no grid"),
        (["igpo", "--recipes", "nowhere"], "--recipes"),
        (["igpo", "--runs", "nowhere"], "no training run"),
        (["igpo", "--seeds", "0"], "at least 1 seed"),
        (["igpo", "--smoke", "--tune"], "--pilots 2 or more"),
    ],
)
def test_bad_input_is_explained_before_anything_runs(palaestra, arguments, message, monkeypatch):
    monkeypatch.setattr(claims, "run_control", lambda claim: pytest.fail("the control ran"))
    done = palaestra(*arguments)
    assert done.exception is not None
    said = getattr(done.exception, "message", str(done.exception))
    assert message in said
    assert isinstance(done.exception, PalaestraError) or type(done.exception).__module__.startswith("click")


def test_the_help_teaches(palaestra):
    text = CliRunner().invoke(commands, ["reproduce", "--help"]).output
    for word in ("--smoke", "--full", "confirmed", "palaestra reproduce igpo --control"):
        assert word in text
