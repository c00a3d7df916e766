"""Runs as processes: with a stand-in for `palaestra train` that leaves what it leaves."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from palaestra.errors import ConfigError
from palaestra.harness.reproduce.jobs import Job, JobFailed, Stopped, command_of, is_finished, run_jobs
from palaestra.harness.training.recipe import EnvironmentSection, Recipe

STAND_IN = """
import json, pathlib, sys, time, tomllib
recipe = tomllib.loads(pathlib.Path(sys.argv[2]).read_text())
for section, name in (("advantage", "options"), ("credit", "options"), ("environment", "kwargs")):
    recipe[section].setdefault(name, {})  # a TOML file leaves out tables without keys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir(parents=True, exist_ok=True)
with (out.parent / "calls").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
if recipe["train"]["seed"] == 13:
    print("Error: thirteen")
    sys.exit(1)
if recipe["train"]["seed"] == 99:
    try:
        (out / "waiting").touch()
        time.sleep(60)
    except KeyboardInterrupt:
        (out / "ended").touch()
        sys.exit(130)
manifest = {"kind": "training", "status": "finished", "step": recipe["train"]["steps"], "recipe": recipe}
(out / "manifest.json").write_text(json.dumps(manifest))
"""


@pytest.fixture
def do(tmp_path):
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)

    def run(jobs, tell=lambda text: None, at_once=2):
        return run_jobs(jobs, tmp_path, at_once=at_once, tell=tell, program=(sys.executable, str(script)))

    return run


@pytest.fixture
def job(tmp_path):
    def make(seed, **train):
        recipe = Recipe(EnvironmentSection("x"), name="toy").with_train(seed=seed, steps=3, **train)
        return Job(f"seed{seed}", tmp_path / "runs" / f"seed{seed}", recipe)

    return make


def calls(tmp_path):
    return (tmp_path / "runs" / "calls").read_text().splitlines()


def test_finished_runs_are_not_repeated(do, job, tmp_path):
    told = []
    commands = do([job(0), job(1), job(2)], told.append)
    assert len(calls(tmp_path)) == 3
    assert all(is_finished(job(seed)) for seed in range(3))
    assert commands[1] == f"palaestra train {tmp_path}/recipes/seed1.toml --out {tmp_path}/runs/seed1"
    again = do([job(0), job(1), job(2), job(3)], told.append)
    assert len(calls(tmp_path)) == 4
    assert again[:3] == commands
    assert "3 of 4 runs are already there." in told


def test_what_has_begun_is_resumed(do, job, tmp_path):
    (tmp_path / "runs" / "seed0" / "checkpoints" / "step-2").mkdir(parents=True)
    assert command_of(job(0), tmp_path)[-1] == "--resume"
    do([job(0)])
    assert calls(tmp_path)[0].endswith("--resume")


def test_a_failed_run_is_named_with_what_it_said(do, job, tmp_path):
    with pytest.raises(JobFailed, match=r"seed13 .*exit code 1.*\n.*Error: thirteen"):
        do([job(13), job(0)])
    # What is not broken goes on by the same command.
    do([job(0), job(1)])
    assert is_finished(job(0)) and is_finished(job(1))


def test_another_run_in_the_folder_is_refused(do, job):
    do([job(0)])
    other = Job("seed0", job(0).folder, job(0).recipe.with_train(steps=4))
    with pytest.raises(ConfigError, match=r"train\.steps: was 3, is 4"):
        do([other])
    kept = Job("seed0", job(0).folder, job(0).recipe.with_train(keep=7))
    assert is_finished(kept)


def test_an_interrupt_ends_the_runs_and_says_how_to_go_on(do, job, tmp_path):
    folder = tmp_path / "runs" / "seed99"

    def interrupt():
        while not (folder / "waiting").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Stopped, match="The same command goes on"):
        do([job(99), job(0), job(1), job(2)], at_once=1)
    thread.join()
    assert (folder / "ended").exists()
    assert len(calls(tmp_path)) == 1
    assert not is_finished(job(99))
