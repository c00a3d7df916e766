"""The command line, as a person types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import palaestra_toys as toys
import pytest

from palaestra.harness import Run
from palaestra.harness.cli import main

ENV = "toys/Sums-v0"


@pytest.fixture
def cli(capfd):
    """Calls the command line: exit code, what it printed, what it said beside."""

    def call(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(word) for word in words])
        out, err = capfd.readouterr()
        return int(caught.value.code or 0), out, err

    return call


@pytest.fixture
def recorded(cli, tmp_path):
    code, _, problem = cli("run", ENV, "-a", "oracle", "-a", "null", "-n", "6", "--out", tmp_path / "runs")
    assert code == 0, problem
    return tmp_path / "runs"


def test_run_records_each_agent_and_ends_with_table_and_report(cli, tmp_path):
    code, out, err = cli("run", ENV, "-a", "oracle", "-a", "null", "-n", "5", "--out", tmp_path / "r")
    assert code == 0
    assert "oracle" in out and "1.000" in out and "report.html" in out
    assert (tmp_path / "r" / "report.html").exists() and (tmp_path / "r" / "report.json").exists()
    assert len(Run(tmp_path / "r" / "oracle")) == len(Run(tmp_path / "r" / "null")) == 5
    assert "oracle: 5/5" in err
    code, out, _ = cli("run", ENV, "-a", "oracle", "-n", "5", "--out", tmp_path / "one", "--no-report")
    assert code == 0 and Run(tmp_path / "one").manifest["digest"] == Run(tmp_path / "r/oracle").manifest["digest"]


def test_exit_codes_say_what_happened(cli, tmp_path):
    assert cli("run", ENV, "-a", "oracle", "-n", "all", "--env", "trouble=fail", "--out", tmp_path / "f")[0] == 3
    code, _, err = cli("run", ENV, "-a", "oracle", "-n", "all", "--env", "slow=0.05", "--max-time", "0.2",
                       "--out", tmp_path / "b")  # fmt: skip
    assert code == 4 and "--resume" in err and f"--out {tmp_path / 'b'}" in err
    assert cli("run", ENV, "-a", "oracle", "-n", "3", "--out", tmp_path / "f")[0] == 1
    assert cli("run", ENV)[0] == 2
    assert cli("run", ENV, "-a", "oracle", "-n", "none")[0] == 2
    assert cli("run", ENV, "-a", "oracle", "--resume")[0] == 2
    assert cli("run", ENV, "-a", "oracle", "--env", "slow")[0] == 2


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("runn",), "Did you mean 'run'?"),
        (("run", "toys/Sum-v0", "-a", "null"), "Did you mean 'toys/Sums-v0'?"),
        (("run", ENV, "-a", "orakle"), "Did you mean 'oracle'?"),
        (("run", ENV, "-a", "oracle", "--episods", "3"), "Did you mean '--episodes'?"),
        (("run", ENV, "-a", "oracle", "--env", "slo=1"), "Did you mean 'slow'?"),
        (("run", ENV, "-a", "oracle", "--split", "tset"), "Did you mean 'test'?"),
        (("run", ENV, "-a", "oracle", "--task", "sum-1"), "Did you mean"),
        (("run", ENV, "-a", "oracle", "--reward", "outcom"), "Did you mean 'outcome'?"),
        (("view", "/nowhere/at/all"), "holds no run"),
        (("export", "RUNS", "--format", "sftt"), "Did you mean 'sft'?"),
        (("replay", "RUNS/oracle", "sum-7#0"), "Did you mean"),
        (("report", "RUNS/oracle", "--out", "RUNS/oracle/manifest.json/page.html"), "manifest.json: File exists"),
    ],
)
def test_a_wrong_name_gets_the_nearest_right_one_and_no_traceback(cli, recorded, tmp_path, words, hint):
    words = tuple(word.replace("RUNS", str(recorded)) for word in words)
    extra = ("--out", str(tmp_path / "new")) if words[0] == "run" else ()
    code, out, err = cli(*words, *extra)
    assert code in (1, 2) and hint in err
    assert "Traceback" not in out + err


def test_debug_shows_the_traceback():
    path = os.pathsep.join([str(Path(toys.__file__).parent)])
    command = [sys.executable, "-m", "palaestra.harness.cli", "view", "/nowhere", "--debug"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" in done.stderr and "RecordError" in done.stderr


def test_every_command_explains_itself_with_examples(cli):
    code, out, _ = cli("--help")
    assert code == 0 and "Exit codes" in out
    for name in ("list", "run", "train", "compare", "report", "view", "replay", "score", "export", "check"):
        assert f"  {name} " in out
        code, text, _ = cli(name, "--help")
        assert code == 0 and f"\n  Examples:\n    palaestra {name}" in text
    assert "\n  Examples:\n    palaestra serve" in cli("serve", "retriever", "--help")[1]


def test_help_is_quick_to_import():
    heavy = "('torch', 'rich', 'jinja2', 'pettingzoo', 'numba')"
    program = f"import sys; import palaestra.harness.cli.run; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"


def test_list_shows_cards_and_explains_one(cli):
    code, out, _ = cli("list")
    assert code == 0 and ENV in out and "palaestra/FactbookSearch-v0" in out
    code, out, _ = cli("list", ENV)
    assert code == 0 and "Utf8(max_bytes=1000)" in out and "oracle" in out and "Add two numbers; think" in out


def test_view_lists_and_shows_transcripts_that_no_terminal_obeys(cli, recorded, tmp_path):
    code, out, _ = cli("view", recorded / "oracle")
    assert code == 0 and out.count("terminated") == 6
    episode = Run(recorded / "oracle").entries[0].episode_id
    code, out, _ = cli("view", recorded / "oracle", episode)
    assert code == 0 and "think" in out and "outcome 1.000" in out and "reward +1" in out
    code, out, _ = cli("view", recorded, "--below", "0.5", "--transcripts", "--limit", "1")
    assert code == 0 and out.count("[turn 0]") == 1
    from palaestra.harness import run

    run(ENV, toys.Speaker(lambda view: "\x1b[31mred\x07"), tmp_path / "esc", episodes=1)
    code, out, _ = cli("view", tmp_path / "esc", "--transcripts")
    assert code == 0 and "red" in out and "\x1b" not in out and "\x07" not in out


def test_replay_says_equal_or_shows_the_difference(cli, recorded):
    code, out, _ = cli("replay", recorded / "oracle", "--all")
    assert code == 0 and out.count("equal") == 6
    file = recorded / "oracle" / "episodes.jsonl"
    file.write_bytes(file.read_bytes().replace(b": noted", b": nothed", 1))
    code, out, _ = cli("replay", recorded / "oracle", "--all")
    assert code == 3 and out.count("equal") == 5 and "observation 1: was" in out


def test_score_leaves_the_run_alone_and_writes_a_new_file(cli, recorded):
    before = {path: path.read_bytes() for path in recorded.rglob("*") if path.is_file()}
    code, out, _ = cli("score", recorded, "--reward", "outcome:2", "--reward", "count:0.1")
    assert code == 0 and "mean reward" in out
    assert {path: path.read_bytes() for path in before} == before
    (scores,) = (recorded / "oracle" / "scores").glob("*.jsonl")
    lines = [json.loads(line) for line in scores.read_text().splitlines()]
    assert len(lines) == 6
    for line in lines:
        assert line["terms"]["outcome"] == [0.0, 1.0] and len(line["terms"]["count"]) == 2
        assert line["reward"] == pytest.approx(2.0 + 0.1 * sum(line["terms"]["count"]))


def test_exports_hold_dialogues_and_never_the_ground_truth(cli, recorded, tmp_path):
    code, _, _ = cli("export", recorded, "--format", "sft", "--out", tmp_path / "sft.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "sft.jsonl").read_text().splitlines()]
    assert code == 0 and len(rows) == 6 and all(row["outcome"] == 1.0 for row in rows)
    assert [message["role"] for message in rows[0]["messages"]] == ["user", "assistant", "user", "assistant"]
    code, _, _ = cli("export", recorded, "--format", "preference", "--out", tmp_path / "pairs.jsonl")
    pairs = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert code == 0 and all(pair["chosen_outcome"] > pair["rejected_outcome"] for pair in pairs)
    code, _, _ = cli("export", recorded, "--format", "jsonl", "--out", tmp_path / "all.jsonl")
    assert code == 0 and len((tmp_path / "all.jsonl").read_text().splitlines()) == 12
    for file in tmp_path.glob("*.jsonl"):
        assert "answers" not in file.read_text() and "privileged" not in file.read_text()
    code, _, err = cli("export", recorded / "null", "--format", "sft", "--out", tmp_path / "none.jsonl")
    assert code == 1 and "nothing to export" in err and not (tmp_path / "none.jsonl").exists()


def test_parquet_holds_the_same_rows(cli, recorded, tmp_path):
    try:
        import pyarrow.parquet as pq
    except ImportError:
        code, _, err = cli("export", recorded, "--format", "parquet", "--out", tmp_path / "x.parquet")
        assert code == 1 and "palaestra[parquet]" in err
        return
    assert cli("export", recorded, "--format", "parquet", "--out", tmp_path / "x.parquet")[0] == 0
    assert pq.read_table(tmp_path / "x.parquet").num_rows == 12


def test_report_can_be_written_again_elsewhere(cli, recorded, tmp_path):
    code, _, _ = cli("report", recorded / "oracle", recorded / "null", "--out", tmp_path / "both")
    assert code == 0 and (tmp_path / "both" / "report.html").stat().st_size > 10_000


def test_check_is_called_and_its_verdict_is_the_exit_code(cli, tmp_path):
    code, out, _ = cli("check", ENV, "--only", "make", "--only", "canary", "--out", tmp_path / "c.json")
    certificate = json.loads((tmp_path / "c.json").read_text())
    assert code == (0 if certificate["passed"] else 3) and "make" in out
    assert len(certificate["results"]) == 2
    assert "canary" in cli("check", "-", "--list")[1]
