"""Environments and a reward that no family ships go through rollout, record, resume, report, replay and check.

None of them is named anywhere in the harness: whatever they need is in the vocabulary.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import palaestra_proof as proof
import pytest

from palaestra.agents.shipped import ShippedPolicy
from palaestra.episodes import ImagePart
from palaestra.harness import Run, run
from palaestra.harness.check import check
from palaestra.harness.export import export
from palaestra.harness.replay import replay
from palaestra.harness.report import write_report
from palaestra.rollouts import ArrayTurns

CASES = {
    "images and text": ("proof/Lamps-v0", "oracle", {"episodes": 9}),
    "two agents": ("proof/Meeting-v0", "reference", {"episodes": 9}),
    "ten thousand steps": ("proof/Pendulum-v0", "reference", {"episodes": 3}),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Each case, rolled out and recorded."""
    folder = tmp_path_factory.mktemp("proof")
    return {
        name: run(env_id, ShippedPolicy(agent), folder / env_id[6:], concurrency=2, **asked)
        for name, (env_id, agent, asked) in CASES.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_records_are_whole_and_come_back(runs, name):
    done = runs[name]
    assert done.manifest["status"] == "finished" and set(done.manifest["counts"]) <= {"terminated", "truncated"}
    for episode in done.episodes():
        assert len(episode.observations) == len(episode.turns) + 1
        assert episode.turns[-1].terminated or episode.turns[-1].truncated


def test_pictures_are_blobs_that_can_be_read(runs):
    done = runs["images and text"]
    assert {entry.outcome for entry in done.entries} == {1.0}
    for episode in done.episodes():
        (part,) = [part for part in episode.turns[0].calls[0].result.content if isinstance(part, ImagePart)]
        assert part.read().startswith(b"\x89PNG")
        shown = episode.observations[1]["image"]
        assert tuple(shown[5, 8]) == proof.COLOURS[episode.privileged["answers"][0]]


def test_each_agent_of_a_world_has_an_episode_of_its_own(runs):
    done = runs["two agents"]
    assert len(done) == 18
    worlds = {}
    for episode in done.episodes():
        worlds.setdefault(episode.world_id, []).append(episode)
        assert episode.world_size == 2 and episode.episode_id == f"{episode.world_id}/{episode.agent_id}"
        assert "tired_at" in episode.privileged
    assert all({episode.agent_id for episode in world} == {"east", "west"} for world in worlds.values())
    other = run("proof/Meeting-v0", ShippedPolicy("random"), done.path.parent / "random", episodes=20)
    lengths = {}
    for episode in other.episodes():
        lengths.setdefault(episode.world_id, set()).add(len(episode.turns))
    assert any(len(found) == 2 for found in lengths.values())  # one leaves before the other


def test_ten_thousand_steps_are_columns(runs):
    done = runs["ten thousand steps"]
    for episode in done.episodes():
        assert isinstance(episode.turns, ArrayTurns) and len(episode.turns) == 10_000
        assert episode.turns.actions.shape == (10_000, 1) and episode.turns.actions.dtype == np.float32
        assert episode.episode_return == pytest.approx(float(episode.turns.rewards.sum()))
    assert (done.path / "episodes.jsonl").stat().st_size < 30_000  # the rest is in blobs


@pytest.mark.parametrize("name", CASES)
def test_another_process_at_another_concurrency_records_the_same_bytes(runs, name, tmp_path):
    env_id, agent, asked = CASES[name]
    command = [sys.executable, "-m", "palaestra.harness.cli", "run", f"palaestra_proof:{env_id}"]
    command += ["--agent", f"policy:{agent}", "-n", str(asked["episodes"]), "-c", "3", "--out", str(tmp_path / "r")]
    path = os.pathsep.join([str(Path(proof.__file__).parent), os.environ.get("PYTHONPATH", "")])
    told = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert Run(tmp_path / "r").manifest["digest"] == runs[name].manifest["digest"]
    assert (tmp_path / "r" / "report.html").exists()


@pytest.mark.parametrize("name", CASES)
def test_a_torn_run_is_resumed_without_loss_or_repetition(runs, name, tmp_path):
    env_id, agent, asked = CASES[name]
    whole = runs[name]
    folder = tmp_path / "torn"
    shutil.copytree(whole.path, folder)
    data = (folder / "episodes.jsonl").read_bytes()
    first = whole.entries[0]
    cut = first.size * first.world_size + 100 + (first.size if first.world_size > 1 else 0)  # inside a world
    (folder / "episodes.jsonl").write_bytes(data[:cut])
    with pytest.warns(UserWarning, match="torn"):
        resumed = run(env_id, ShippedPolicy(agent), folder, resume=True, **asked)
    assert resumed.manifest["digest"] == whole.manifest["digest"]
    assert len(resumed.attempts) == len(whole.attempts)


@pytest.mark.parametrize("name", CASES)
def test_replays_come_out_equal_and_reports_and_exports_are_written(runs, name, tmp_path):
    done = runs[name]
    for world in {entry.world_id: entry for entry in done.entries[:4]}.values():
        assert replay(done, world.episode_id).differences == ()
    page = write_report([done], tmp_path).read_text()
    assert CASES[name][0] in page
    figures = json.loads((tmp_path / "report.json").read_text())
    assert figures["summary"]
    assert export([done], "jsonl", tmp_path / "all.jsonl") == len(done)
    if name == "images and text":
        assert "data:image/png" in page
        assert export([done], "sft", tmp_path / "sft.jsonl") == len(done)
        assert "answers" not in (tmp_path / "all.jsonl").read_text()


@pytest.mark.parametrize(
    ("env_id", "kwargs"), [("proof/Lamps-v0", {}), ("proof/Meeting-v0", {}), ("proof/Pendulum-v0", {"horizon": 30})]
)
def test_the_certificate_is_all_green(env_id, kwargs):
    certificate = check(env_id, env_kwargs=kwargs, fuzz=200)
    assert certificate.passed, [f"{result.name}: {result.detail}" for result in certificate.failed]


def test_a_learned_reward_goes_through_rollout_record_resume_and_report(tmp_path):
    asked = {"episodes": 6, "rewards": ["surprise:0.1", "env"], "concurrency": 2}
    whole = run("proof/Pendulum-v0", ShippedPolicy("random"), tmp_path / "r", **asked)
    plain = run("proof/Pendulum-v0", ShippedPolicy("random"), tmp_path / "plain", episodes=6)
    seen = {episode.episode_id: episode for episode in whole.episodes()}
    versions = np.concatenate([episode.turns.terms["surprise/version"] for episode in seen.values()])
    assert set(versions) == set(range(int(versions.max()) + 1)) and versions.max() >= 100
    for episode in plain.episodes():
        terms = seen[episode.episode_id].turns.terms
        np.testing.assert_array_equal(terms["env"], episode.turns.rewards)  # it changes rewards, not what happens
        np.testing.assert_allclose(seen[episode.episode_id].turns.rewards, terms["env"] + 0.1 * terms["surprise"])
    # It has learned: the first steps surprise it, the last ones hardly do, nor does any step into an autoreset.
    first = min(seen.values(), key=lambda episode: int(episode.episode_id.rpartition("#")[2]))
    last = max(seen.values(), key=lambda episode: int(episode.episode_id.rpartition("#")[2]))
    assert last.turns.terms["surprise"].mean() < 0.3 * first.turns.terms["surprise"][:256].mean()
    assert last.turns.terms["surprise"][-1] < 0.5
    assert whole.manifest["rewards"]["weights"] == {"env": 1.0, "surprise": 0.1}

    learned = json.loads((whole.path / "reward_state.json").read_text())["version"]
    lines = (whole.path / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    (whole.path / "episodes.jsonl").write_bytes(b"".join(lines[:4]))
    resumed = run("proof/Pendulum-v0", ShippedPolicy("random"), whole.path, resume=True, **asked)
    assert len(resumed) == 6 and resumed.manifest["status"] == "finished"
    assert [line for _, line in resumed.lines()][:4] == lines[:4]
    later = list(resumed.episodes())[4:]
    assert all(episode.turns.terms["surprise/version"].min() >= learned for episode in later)
    assert "surprise" in write_report([resumed], tmp_path / "report").read_text()
