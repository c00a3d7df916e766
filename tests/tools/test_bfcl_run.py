"""A run over several categories of BFCL says what each is worth, and that the mean is no score of the leaderboard."""

from __future__ import annotations

import json
import re
from pathlib import Path

from click.testing import CliRunner

from palaestra.harness.cli.app import commands

FIRST = (
    "simple_python_0",
    "simple_python_1",
    "simple_java_0",
    "simple_javascript_0",
    "multiple_0",
    "parallel_0",
    "parallel_multiple_0",
    "irrelevance_0",
    "live_simple_0-0-0",
    "live_multiple_0-0-0",
    "live_parallel_0-0-0",
    "live_parallel_multiple_0-0-0",
    "live_irrelevance_0-0-0",
    "live_relevance_0-0-0",
)


def test_outcomes_are_told_by_category(tmp_path: Path) -> None:
    words = ["run", "palaestra/BFCL-v0", "-a", "oracle", "-a", "null", "--out", str(tmp_path), "--concurrency", "1"]
    words += ["--env", "categories=single_turn", *(word for task in FIRST for word in ("--task", task))]
    result = CliRunner().invoke(commands, words, env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    rows = dict(re.findall(r"│ (\w+) +│ +([\d.]+ \(\d+\) │ +[\d.]+ \(\d+\)) │", result.output))
    assert len(rows) == 13
    assert re.split(r" +│ +", rows["simple_python"]) == ["1.000 (2)", "0.000 (2)"]
    assert re.split(r" +│ +", rows["irrelevance"]) == ["1.000 (1)", "1.000 (1)"]
    assert "no score of the leaderboard" in result.output
    kinds = json.loads((tmp_path / "report.json").read_text())["breakdowns"]["kind"]
    assert set(kinds) == set(rows)


def test_the_listing_says_what_is_covered() -> None:
    result = CliRunner().invoke(commands, ["list", "palaestra/BFCL-v0"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "Not covered: memory_vector" in result.output and "memory_rec_sum" in result.output
    assert "no score of the leaderboard" in result.output
