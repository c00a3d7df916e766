"""Runs that are killed, interrupted, or out of room: nothing is lost, nothing is played twice. Real processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import palaestra_toys as toys
import pytest

from palaestra.errors import RecordError, UnknownNameError
from palaestra.harness import Run, run
from palaestra.harness.manifest import cores
from palaestra.harness.run_folder import RunWriter

ENV = "toys/Sums-v0"
PROGRAM = """
import resource, sys
import palaestra_toys as toys
from palaestra.harness import run
out, resume, limit, trouble = sys.argv[1], sys.argv[2] == "resume", int(sys.argv[3]), sys.argv[4]
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
env_kwargs = {"slow": 0.03, **({"trouble": trouble} if trouble else {})}
done = run("toys/Sums-v0", toys.Scripted("oracle"), out, episodes=None, samples=2, concurrency=3,
           env_kwargs=env_kwargs, resume=resume, on_start=lambda *_: print("begun", flush=True))
print(done.manifest["status"], done.manifest["message"], flush=True)
"""


def start(out: Path, *, resume: bool = False, limit: int = 0, trouble: str = "") -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(toys.__file__).parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", PROGRAM, str(out), "resume" if resume else "fresh", str(limit), trouble]
    return subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def lines_of(out: Path) -> list[bytes]:
    return sorted(line for _, line in Run(out).lines(all_attempts=True))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "r"
    return run(ENV, toys.Scripted("oracle"), out, episodes=None, samples=2, env_kwargs={"slow": 0.03}, concurrency=8)


def test_a_run_killed_at_random_moments_ends_as_an_undisturbed_one(tmp_path, undisturbed):
    draw = random.Random(0)
    out = tmp_path / "r"
    kills = 0
    for _ in range(6):
        process = start(out, resume=(out / "manifest.json").exists())
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        time.sleep(draw.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills >= 3
    killed = Run(out)
    assert killed.manifest["status"] == "running" and 0 < len(killed) < len(undisturbed)
    process = start(out, resume=True)
    told, problem = process.communicate(timeout=60)
    assert process.returncode == 0, problem
    assert "finished" in told
    assert lines_of(out) == lines_of(undisturbed.path)
    assert Run(out).manifest["digest"] == undisturbed.manifest["digest"]
    assert len(Run(out).manifest["sessions"]) == 7


def test_an_interrupted_run_ends_in_order_and_can_be_resumed(tmp_path, undisturbed):
    out = tmp_path / "r"
    process = start(out)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    told, problem = process.communicate(timeout=30)
    assert process.returncode == 0 and told.startswith("interrupted"), problem
    assert Run(out).manifest["status"] == "interrupted"
    process = start(out, resume=True)
    process.communicate(timeout=60)
    assert lines_of(out) == lines_of(undisturbed.path)


def test_a_full_disk_stops_the_run_with_whole_records(tmp_path, undisturbed):
    out = tmp_path / "r"
    size = (undisturbed.path / "episodes.jsonl").stat().st_size
    process = start(out, limit=size // 3)
    told, problem = process.communicate(timeout=60)
    assert process.returncode == 0, problem
    assert "disk" in told and "no room left" in told and "--resume" in told
    part = Run(out)
    assert not part.torn and 0 < len(part) < len(undisturbed)
    assert (out / "episodes.jsonl").stat().st_size == part.good_size
    process = start(out, resume=True)
    process.communicate(timeout=60)
    assert lines_of(out) == lines_of(undisturbed.path)


def test_a_torn_last_line_is_dropped_and_said(tmp_path):
    done = run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=6)
    file = done.path / "episodes.jsonl"
    whole = file.read_bytes()
    for cut in (1, 40, 700):
        file.write_bytes(whole[:-cut])
        torn = Run(done.path)
        assert "torn" in torn.torn and len(torn) == 5
        with pytest.warns(UserWarning, match="torn"):
            again = run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=6, resume=True)
        assert not again.torn and file.read_bytes() == whole
    (done.path / "timings.jsonl").write_bytes(b'{"world_id": "x"}\n{"world')
    assert [timing["world_id"] for timing in done.timings()] == ["x"]
    run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=6, resume=True)
    assert (done.path / "timings.jsonl").read_bytes() == b'{"world_id": "x"}\n'


def test_damage_in_the_middle_is_an_error_with_file_and_line(tmp_path):
    done = run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=6)
    file = done.path / "episodes.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], b"garbage\n", *lines[3:]]))
    with pytest.raises(RecordError, match=r"episodes.jsonl, line 3 is damaged"):
        Run(done.path)
    (done.path / "manifest.json").write_text("{")
    with pytest.raises(RecordError, match=r"manifest.json is not JSON"):
        Run(done.path)


def test_two_processes_do_not_write_into_one_folder(tmp_path):
    out = tmp_path / "r"
    process = start(out)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    try:
        with pytest.raises(RecordError, match="Another process is writing"):
            RunWriter(out)
    finally:
        process.kill()
        process.communicate()
    RunWriter(out).close()


def test_a_write_that_fails_leaves_the_file_as_it_was_and_later_ones_fail_too(tmp_path):
    done = run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=3)
    episodes = list(done.episodes())
    program = f"""
import resource, sys
from palaestra.errors import DiskFull
from palaestra.harness import Run
from palaestra.harness.manifest import cores
from palaestra.harness.run_folder import RunWriter
episodes = list(Run({str(done.path)!r}).episodes())
writer = RunWriter({str(tmp_path / "w")!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for _ in range(2):
    try:
        writer.append([episodes[0]])
    except DiskFull as error:
        print(error)
writer.close()
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.count("no room left") == 2
    assert (tmp_path / "w" / "episodes.jsonl").stat().st_size == 0
    with closing(RunWriter(tmp_path / "v")) as writer, pytest.raises(RecordError, match="whole worlds"):
        writer.append(episodes[:2])


def test_no_wall_time_is_in_a_record(tmp_path):
    done = run(ENV, toys.Scripted("oracle"), tmp_path / "r", episodes=3, env_kwargs={"slow": 0.01})
    text = (done.path / "episodes.jsonl").read_text()
    assert "seconds" not in text and str(os.getpid()) not in json.loads(text.splitlines()[0]).values()
    timings = list(done.timings())
    assert len(timings) == 3 and all(sum(timing["env_us"]) >= 20_000 for timing in timings)


def test_a_worker_that_dies_costs_what_it_was_playing_and_not_the_run(tmp_path):
    if cores() == 1 or sys.platform != "linux":
        pytest.skip("workers are forked only on Linux, with several cores")
    process = start(tmp_path / "r", trouble="die")
    told, problem = process.communicate(timeout=60)
    assert process.returncode == 0 and "finished" in told, problem
    done = Run(tmp_path / "r")
    failed = {entry.world_id: entry.error["kind"] for entry in done.entries if entry.status == "failed"}
    guilty = {f"sum-{number}#{k}" for number in ("09", "19", "29", "39") for k in (0, 1)}
    assert guilty <= set(failed) and len(failed) <= 2 * len(guilty)  # whoever was under way beside them goes too
    assert set(failed.values()) == {"worker_died"}
    assert len(done) == 80


def test_an_error_in_a_worker_is_raised_as_it_is(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'oracle'"):
        run(ENV, toys.Scripted("oracel"), tmp_path / "r", episodes=None, concurrency=4)
    assert Run(tmp_path / "r").manifest["status"] == "failed"


def test_a_killed_run_leaves_no_worker_behind(tmp_path):
    process = start(tmp_path / "r")
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    time.sleep(0.2)
    process.kill()
    process.communicate()
    time.sleep(0.2)
    RunWriter(tmp_path / "r").close()  # a worker that is still there would hold the lock
