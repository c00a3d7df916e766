"""The loop end to end: with a random Llama on a toy environment."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from palaestra_training_toys import save_tiny_policy

from palaestra.errors import ConfigError, PalaestraError, RecordError
from palaestra.harness.run_folder import Run
from palaestra.harness.training.listener import Listener
from palaestra.harness.training.loop import Trainer, train
from palaestra.harness.training.metrics import read_metrics


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model" / "model.safetensors")


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Told(Listener):
    def __init__(self):
        self.notes, self.phases, self.rows = [], [], []

    def note(self, text):
        self.notes.append(text)

    def phase(self, name, total):
        self.phases.append(name)

    def step(self, row, steps):
        self.rows.append(row)


def test_a_policy_learns_and_everything_is_recorded(small_steps, tmp_path):
    told = Told()
    recipe = small_steps("train.steps=40", "evaluation.every=20", "rollout.group_size=8", "learner.lr=1e-2")
    ended = train(recipe, tmp_path, listener=told)
    rows = read_metrics(tmp_path)
    assert (ended.status, ended.step) == ("finished", 40)
    assert [row["step"] for row in rows] == list(range(41))
    assert rows == ended.rows == told.rows
    early = np.mean([row["train/outcome"] for row in rows[1:6]])
    late = np.mean([row["train/outcome"] for row in rows[-5:]])
    assert late > early + 0.15
    assert [row["step"] for row in rows if "eval/outcome" in row] == [0, 20, 40]
    for step in (0, 20, 40):
        run = Run(tmp_path / "eval" / f"step-{step}")
        outcomes = [entry.outcome for entry in run.entries]
        assert len(outcomes) == 4
        assert {episode.task.split for episode in run.episodes()} == {"val"}
        assert rows[step]["eval/outcome"] == pytest.approx(np.mean(outcomes))
    assert {row["train/episodes"] for row in rows[1:]} == {24.0}
    assert not same(weights(tmp_path), torch_start(tmp_path))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["kind"], manifest["status"], manifest["step"]) == ("training", "finished", 40)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-38", "step-40"]
    assert len(read_metrics(tmp_path, "timings.jsonl")) == 41
    assert list((tmp_path / "tensorboard").glob("events.*"))


def torch_start(folder):
    from safetensors.torch import load_file

    return load_file(folder / "start" / "model.safetensors")


def test_the_trained_policy_plays_as_any_other(small_steps, tmp_path):
    from palaestra.harness.api import run

    train(small_steps("evaluation.temperature=0"), tmp_path / "t")
    played = run(
        "palaestra_training_toys:training/Letters-v0",
        f"transformers:{tmp_path / 't' / 'model'}?temperature=0&max_new_tokens=8&device=cpu",
        tmp_path / "r",
        split="val",
        episodes=4,
    )
    there = Run(tmp_path / "t" / "eval" / "step-4")
    said = [[turn.action for turn in episode.turns] for episode in played.episodes()]
    assert sorted(said) == sorted([turn.action for turn in episode.turns] for episode in there.episodes())


@pytest.mark.parametrize(
    "overrides",
    [
        ("rollout.deterministic=true", "learner.minibatches=2", "learner.beta=0.05"),
        ("rollout.deterministic=false", "rollout.concurrency=1", "credit.name=igpo", "advantage.name=turn-level"),
        ("credit.name=spa", "advantage.name=turn-level"),
        ("advantage.name=ema-group", "train.dynamic_sampling=true", "warm_start.episodes=6", "learner.lora_rank=2"),
    ],
)
def test_a_resumed_run_gives_the_numbers_of_an_undisturbed_one(small_steps, tmp_path, overrides):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(small_steps("train.steps=7", "evaluation.every=1", *overrides), whole)
    for steps, resume in ((0, False), (3, True), (4, True), (7, True)):
        train(small_steps(f"train.steps={steps}", "evaluation.every=1", *overrides), parts, resume=resume)
    assert (whole / "metrics.jsonl").read_bytes() == (parts / "metrics.jsonl").read_bytes()
    assert same(weights(whole), weights(parts))
    for step in range(8):
        assert Run(whole / "eval" / f"step-{step}").digest() == Run(parts / "eval" / f"step-{step}").digest()


def test_other_seeds_give_other_numbers(small_steps, tmp_path):
    train(small_steps("train.steps=2"), tmp_path / "0")
    train(small_steps("train.steps=2", "train.seed=1"), tmp_path / "1")
    assert read_metrics(tmp_path / "0")[1:] != read_metrics(tmp_path / "1")[1:]


def test_failed_episodes_are_masked_and_counted(small_steps, tmp_path):
    train(small_steps("environment.kwargs.trouble=some", "rollout.retries=0", "train.steps=4"), tmp_path)
    rows = read_metrics(tmp_path)[1:]
    failed = [row["train/failed"] for row in rows]
    # Two of the twelve training tasks fail always; four steps play three tasks four times, each task once.
    assert sum(failed) == 8.0
    for row in rows:
        assert row["train/episodes"] == 12.0
        assert row["learner/sequences"] == 12.0 - row["train/failed"]
        assert row["advantage/masked"] == row["train/failed"]
        assert row.get("train/failed/server_down", 0.0) == row["train/failed"]


def test_a_step_of_failures_stops_and_the_checkpoint_before_stays(small_steps, tmp_path):
    with pytest.raises(PalaestraError, match=r"Step 1: all 12 episodes failed: server_down \(12\).*the server is down"):
        train(small_steps("environment.kwargs.trouble=always", "rollout.retries=0", "evaluation.episodes=0"), tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["status"] == "failed"
    assert "server_down" in manifest["message"]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-0"]


@pytest.mark.parametrize("where", ["rollout", "update"])
def test_numbers_that_are_not_finite_stop_with_step_and_tensor(small_steps, tmp_path, monkeypatch, where):
    broken = "model.layers.0.mlp.up_proj.weight"

    def poison(self):
        with torch.no_grad():
            self.policy.model.get_parameter(broken)[0, 0] = math.nan

    def play(self, number):
        if where == "rollout" and number == 3:
            poison(self)
        found = real_play(self, number)
        if where == "update" and number == 3:
            poison(self)
        return found

    real_play = Trainer._play
    monkeypatch.setattr(Trainer, "_play", play)
    with pytest.raises(PalaestraError, match=rf"{broken}"):
        train(small_steps("evaluation.episodes=0", "learner.beta=0.1"), tmp_path / "broken")
    monkeypatch.undo()
    manifest = json.loads((tmp_path / "broken" / "manifest.json").read_text())
    assert (manifest["status"], manifest["step"]) == ("failed", 2)
    assert [row["step"] for row in read_metrics(tmp_path / "broken")] == [0, 1, 2]
    train(small_steps("evaluation.episodes=0", "learner.beta=0.1"), tmp_path / "broken", resume=True)
    train(small_steps("evaluation.episodes=0", "learner.beta=0.1"), tmp_path / "whole")
    assert same(weights(tmp_path / "broken"), weights(tmp_path / "whole"))


def test_a_warm_start_is_learned_from_the_oracle_and_from_recorded_runs(small_steps, tmp_path):
    from palaestra.harness.api import run

    warm = ("train.steps=0", "warm_start.learner.epochs=40", "warm_start.learner.lr=1e-2")
    train(small_steps(*warm, "warm_start.episodes=24"), tmp_path / "a")
    assert read_metrics(tmp_path / "a")[0]["eval/outcome"] > 0.9
    run("palaestra_training_toys:training/Letters-v0", "oracle", tmp_path / "logged", episodes=24)
    train(small_steps(*warm, f"warm_start.runs=['{tmp_path / 'logged'}']"), tmp_path / "b")
    assert read_metrics(tmp_path / "b")[0]["eval/outcome"] > 0.9
    with pytest.raises(PalaestraError, match=r"the policy 'null'.*none of the others is solved"):
        train(small_steps(*warm, "warm_start.episodes=4", "warm_start.policy='null'"), tmp_path / "c")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("environment.id=palaestra_training_toys:training/Mute-v0", "credit.name=igpo"), "'answers'"),
        (("rollout.group_size=1",), "rollout.group_size is 1.*needs at least 2"),
        (("credit.name=igpoo",), "no reward 'igpoo'. Did you mean 'igpo'"),
        (("credit.name=count",), "is no credit"),
        (("credit.name=rloo",), "is no credit"),
        (("advantage.name=outcome",), "is no advantage"),
        (("advantage.options.epss=1",), "no option 'epss'. Did you mean 'eps'"),
        (
            ("rollout.temperature=0.5", "learner.temperature=1.0"),
            "the policy that is trained is the one that is sampled",
        ),
        (("learner.objective=gspo", "advantage.name=turn-level"), "gives each turn its own.*gspo_token"),
        (("environment.kwargs.trubel=x",), "'trubel'"),
        (("environment.id=training/Leters-v0",), "Did you mean 'training/Letters-v0'"),
        (("environment.id=CartPole-v1",), "no environment in which one agent speaks"),
        (("model.name=/nowhere/at/all",), "There is no model '/nowhere/at/all'"),
        (("advantage.strata=palaestra_training_toys:nothing", "advantage.name=stratified"), "no attribute 'nothing'"),
        (("evaluation.split=train",), "tasks of training would be called held out"),
        (("environment.split=all",), "tasks of training would be called held out"),
        (("evaluation.split=test",), "evaluation.split is 'test': .*no task"),
    ],
)
def test_impossible_recipes_are_refused_before_the_first_rollout(small_steps, tmp_path, overrides, message):
    told = Told()
    with pytest.raises(PalaestraError, match=message):
        train(small_steps(*overrides), tmp_path / "run", listener=told)
    assert not told.phases
    assert not (tmp_path / "run" / "episodes.jsonl").exists()


def test_a_tokenizer_without_a_chat_template_is_refused(small_steps, tmp_path):
    folder = save_tiny_policy(tmp_path / "bare", template=None)
    with pytest.raises(ConfigError, match="no chat template"):
        train(small_steps(f"model.name={folder}", "warm_start.episodes=4"), tmp_path / "run")
    # Nothing was done, so the folder may be used again.
    assert train(small_steps("train.steps=0"), tmp_path / "run").status == "finished"


def test_a_folder_is_resumed_only_by_what_began_it(small_steps, tmp_path):
    train(small_steps("train.steps=1"), tmp_path)
    with pytest.raises(ConfigError, match=r"already holds a training run.*--resume"):
        train(small_steps("train.steps=1"), tmp_path)
    with pytest.raises(ConfigError, match=r"learner\.lr: was 0\.003, is 0\.1"):
        train(small_steps("train.steps=2", "learner.lr=0.1"), tmp_path, resume=True)
    before = {name: (tmp_path / name).read_bytes() for name in ("manifest.json", "recipe.toml", "metrics.jsonl")}
    with pytest.raises(ConfigError, match="already done 1 steps, more than the 0"):
        train(small_steps("train.steps=0"), tmp_path, resume=True)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    with pytest.raises(ConfigError, match="no training run in"):
        train(small_steps(), tmp_path / "empty", resume=True)
    assert not (tmp_path / "empty").exists()
    with pytest.raises(RecordError, match=r"recipe\.toml cannot be a run's folder \(File exists\).*--out"):
        train(small_steps(), tmp_path / "recipe.toml")
    assert train(small_steps("train.steps=1"), tmp_path, resume=True).rows == []


def test_equal_rewards_everywhere_change_nothing(small_steps, tmp_path):
    # Empty answers never hold the letter: every outcome is 0.
    recipe = small_steps("train.steps=2", "environment.id=palaestra_training_toys:training/Silence-v0")
    train(recipe, tmp_path)
    rows = read_metrics(tmp_path)[1:]
    assert all(row["advantage/groups_without_spread"] == 3.0 for row in rows)
    assert same(weights(tmp_path), torch_start(tmp_path))


def test_dynamic_sampling_keeps_telling_groups_only(small_steps, tmp_path):
    train(small_steps("train.dynamic_sampling=true", "train.max_rounds=3"), tmp_path / "some")
    for row in read_metrics(tmp_path / "some")[1:]:
        assert row["train/groups_kept"] <= 3.0
        assert row["train/rounds"] == 3.0 or row["train/groups_kept"] == 3.0
        assert row.get("advantage/groups_without_spread", 0.0) == 0.0
        assert row["train/episodes"] == 12.0 * row["train/rounds"]
    silent = "environment.id=palaestra_training_toys:training/Silence-v0"
    train(small_steps("train.dynamic_sampling=true", "train.steps=1", silent), tmp_path / "none")
    row = read_metrics(tmp_path / "none")[1]
    assert (row["train/groups_kept"], row["learner/nothing_to_learn"]) == (0.0, 1.0)


def test_episodes_longer_than_the_context_end_as_overflow_and_are_learned_from(small_steps, tmp_path):
    train(small_steps("train.steps=1", "rollout.context_window=24", "evaluation.episodes=0"), tmp_path)
    row = read_metrics(tmp_path)[1]
    assert row["train/overflowed"] == 12.0
    assert row["learner/sequences"] == 12.0
