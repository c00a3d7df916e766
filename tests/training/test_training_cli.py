"""The command `palaestra train`, as other processes see it: killed, interrupted, asked wrongly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from palaestra_training_toys import recipe_table

from palaestra.harness.run_folder import Run
from palaestra.harness.training.metrics import read_metrics
from palaestra.harness.training.recipe import load_recipe
from palaestra.harness.training.typed import write_toml

HERE = Path(__file__).parent


@pytest.fixture
def recipe(tiny_policy, tmp_path):
    path = tmp_path / "letters.toml"
    path.write_text(write_toml(recipe_table(tiny_policy)), encoding="utf-8")
    return path


def start(*words, **options):
    environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "palaestra.harness.cli", "train", *map(str, words)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE, **options
    )


def finish(*words):
    process = start(*words)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def wait_for_step(process, folder, step):
    while process.poll() is None and max([-1, *(row["step"] for row in read_metrics(folder))]) < step:
        time.sleep(0.01)


def test_a_killed_run_resumes_to_the_numbers_of_an_undisturbed_one(recipe, tmp_path):
    # The evaluations of a run that ends early would be its own; a killed one does not end.
    asked = ("--set", "train.checkpoint_every=3", "--steps", "12", "--no-report")
    code, out, err = finish(recipe, "--out", tmp_path / "whole", *asked)
    assert code == 0, err
    assert "finished after step 12 of 12" in out
    for step in (2, 7):
        process = start(recipe, "--out", tmp_path / "killed", *asked, *(["--resume"] if step > 2 else []))
        wait_for_step(process, tmp_path / "killed", step)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    code, _, err = finish(tmp_path / "killed", "--resume")
    assert code == 0, err
    assert Run(tmp_path / "killed/eval/step-12").digest() == Run(tmp_path / "whole/eval/step-12").digest()
    for name in ("metrics.jsonl", "model/model.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_an_interrupted_run_ends_after_its_step_with_a_checkpoint(recipe, tmp_path):
    process = start(recipe, "--out", tmp_path / "run", "--steps", "500", "--set", "train.checkpoint_every=400")
    wait_for_step(process, tmp_path / "run", 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Ending after this step" in err
    last = int(read_metrics(tmp_path / "run")[-1]["step"])
    assert f"interrupted after step {last} of 500" in out
    assert (tmp_path / "run" / "checkpoints" / f"step-{last}").is_dir()
    assert f"palaestra train {tmp_path / 'run'} --resume\n" in err
    assert load_recipe(tmp_path / "run" / "recipe.toml").train.steps == 500
    code, out, err = finish(tmp_path / "run", "--resume", "--steps", last + 1, "--no-report")
    assert code == 0, err
    assert [row["step"] for row in read_metrics(tmp_path / "run")] == list(range(last + 2))


def test_an_interrupt_in_the_warm_start_ends_at_once_and_the_command_can_be_given_again(recipe, tmp_path):
    words = (recipe, "--out", tmp_path / "run", "--no-report", "--set", "warm_start.episodes=6")
    process = start(*words, "--set", "warm_start.learner.epochs=1000000")
    while process.poll() is None and "warm start: 1" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Interrupted" in err, "Traceback" in err) == (130, True, False), err
    code, out, err = finish(*words, "--steps", "1")
    assert (code, "finished after step 1 of 1" in out) == (0, True), err


def test_what_is_asked_wrongly_is_one_clear_line(recipe, tmp_path):
    for words, code, message in (
        (("nowhere.toml",), 1, "nowhere.toml: it cannot be read"),
        ((recipe, "--set", "learner.lrr=1"), 1, "Did you mean 'lr'"),
        ((recipe, "--resume"), 2, "--resume needs --out"),
        ((recipe, "--set", "credit.name=igpoo", "--out", tmp_path / "x"), 1, "Did you mean 'igpo'"),
    ):
        returned, _, err = finish(*words)
        assert (returned, message in err, "Traceback" in err) == (code, True, False), err
