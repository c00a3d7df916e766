"""One policy, several environments: recipes with `also`."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from palaestra.errors import PalaestraError
from palaestra.harness.cli.training_progress import TrainingProgress
from palaestra.harness.report.training import write_training_report
from palaestra.harness.run_folder import Run
from palaestra.harness.training.loop import train
from palaestra.harness.training.metrics import read_metrics
from palaestra.harness.training.playground import credit_of
from palaestra.harness.training.recipe import load_recipe
from palaestra.models import FakeScorer
from palaestra.rewards.base import CreditResult, Models
from palaestra.rewards.outcome import Outcome

ALSO = ("also.silent.id=palaestra_training_toys:training/Silence-v0", "also.silent.tasks_per_step=2")
TWICE = ("also.again.id=palaestra_training_toys:training/Letters-v0", "also.again.tasks_per_step=1")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_step_plays_and_every_evaluation_measures_all_of_them(small_steps, tmp_path):
    train(small_steps(*ALSO, "train.steps=2", "advantage.name=ema-group"), tmp_path)
    rows = read_metrics(tmp_path)
    for row in rows[1:]:
        assert row["train/episodes"] == (3 + 2) * 4
        assert row["train/silent/outcome"] == 0.0
        assert row["train/outcome"] == pytest.approx(row["train/environment/outcome"] * 3 / 5)
    assert [row["eval-silent/outcome"] for row in (rows[0], rows[2])] == [0.0, 0.0]
    assert max(row["train/environment/outcome"] for row in rows[1:]) > 0
    for step in (0, 2):
        envs = {episode.env_id for episode in Run(tmp_path / "eval-silent" / f"step-{step}").episodes()}
        assert envs == {"training/Silence-v0"}
    page = write_training_report(tmp_path).read_text()
    assert "Outcome in palaestra_training_toys:training/Letters-v0" in page
    state = json.loads((tmp_path / "checkpoints" / "step-2" / "state.json").read_text())["state"]
    assert len(state["advantage"]["scales"]) == 2


def test_what_learns_is_updated_once_a_step_with_all_episodes(small_steps, tmp_path, monkeypatch):
    seen = []

    def update(self, episodes, models):
        seen.append((len(episodes), models.scorer is not None, models.render_answer))
        return {}

    monkeypatch.setattr(Outcome, "update", update, raising=False)
    train(small_steps(*ALSO, "train.steps=2"), tmp_path)
    assert seen == [((3 + 2) * 4, True, None)] * 2


def test_one_environment_twice_is_two_groups_of_every_task(small_steps, tmp_path):
    table = small_steps(*TWICE, "train.steps=1").to_json()
    assert table["also"] == {
        "again": {
            "id": "palaestra_training_toys:training/Letters-v0",
            "split": "train",
            "kwargs": {},
            "tasks_per_step": 1,
            "warm_start": 0,
        }
    }
    train(small_steps(*TWICE, "train.steps=1"), tmp_path)
    assert read_metrics(tmp_path)[1]["train/episodes"] == 16


@pytest.mark.parametrize("design", [("credit.name=igpo", "advantage.name=turn-level"), ("warm_start.episodes=6",)])
def test_a_resumed_run_gives_the_numbers_of_an_undisturbed_one(small_steps, tmp_path, design):
    design = (
        *ALSO,
        *TWICE,
        "also.silent.warm_start=4",
        "warm_start.solved=false",
        "evaluation.every=1",
        "train.dynamic_sampling=true",
        *design,
    )
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(small_steps("train.steps=3", *design), whole)
    for steps, resume in ((1, False), (3, True)):
        train(small_steps(f"train.steps={steps}", *design), parts, resume=resume)
    assert (whole / "metrics.jsonl").read_bytes() == (parts / "metrics.jsonl").read_bytes()
    assert Run(whole / "eval-again" / "step-2").digest() == Run(parts / "eval-again" / "step-2").digest()


def test_what_one_environment_lacks_is_refused_before_anything_is_played(small_steps, tmp_path):
    mute = "also.mute.id=palaestra_training_toys:training/Mute-v0"
    train(small_steps("credit.name=igpo", "train.steps=0"), tmp_path / "a")
    with pytest.raises(PalaestraError, match="answers"):
        train(small_steps("credit.name=igpo", mute), tmp_path / "b")
    with pytest.raises(PalaestraError, match=r"Silence-v0 trains on 'val'"):
        train(small_steps(*ALSO, "also.silent.split=val"), tmp_path / "c")
    assert not (tmp_path / "b").exists() and not (tmp_path / "c").exists()


def test_recipes_with_several_environments_read_back(small_steps, tmp_path):
    recipe = small_steps(*ALSO, *TWICE)
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.to_toml())
    assert load_recipe(path) == recipe
    assert list(recipe.environments) == ["", "silent", "again"]
    assert "also" not in small_steps().to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[also.tools]\nid = 'x'\nepisodes = 3", r"line 4.*there is no 'episodes' in \[also\.tools\]"),
        ("[also.tools]\nsplit = 'train'", r"'id' is missing in \[also\.tools\]"),
        ("[also.tools]\nid = 'x'\ntasks_per_step = 0", "tasks_per_step is 0; it must be at least 1"),
        ("[also.Tools]\nid = 'x'", r"also\.Tools: write the name in small letters"),
        ("also = 3", "must be a table"),
        ("[also]\ntools = 'x'", r"it must be a table, \[also\.tools\]"),
    ],
)
def test_what_is_wrong_with_a_further_environment_is_named(tmp_path, text, message):
    path = tmp_path / "recipe.toml"
    path.write_text("environment.id = 'x'\n" + text + "\n")
    with pytest.raises(PalaestraError, match=message):
        load_recipe(path)


class Credit:
    name, requires = "credit", frozenset()

    def __call__(self, episodes, models):
        value = float(models.scorer is not None)
        part = CreditResult([np.full(2, value)] * len(episodes), "turn")
        terms = {"only" if value else "other": part, "both": part}
        return CreditResult(part.values, "turn", terms, {"mean": value, f"of_{value:g}": 1.0})


def test_credits_of_several_environments_are_joined_in_order():
    scored, plain = Models(scorer=FakeScorer()), Models()
    joined = credit_of(Credit(), [([1, 2, 3], scored), ([4], plain), ([], plain)])
    assert [value[0] for value in joined.values] == [1, 1, 1, 0]
    assert joined.metrics == {"mean": 0.75, "of_1": 1.0, "of_0": 1.0}
    assert [value is None for value in joined.terms["only"].values] == [False, False, False, True]
    assert [value[0] for value in joined.terms["both"].values] == [1, 1, 1, 0]
    alone = credit_of(Credit(), [([], plain)])
    assert alone.values == []


def test_evaluation_in_another_world_may_have_the_split_of_training(small_steps, tmp_path):
    asked = ("evaluation.split=train", "train.steps=0")
    with pytest.raises(PalaestraError, match=r"evaluation\.kwargs that make other tasks"):
        train(small_steps(*asked), tmp_path / "a")
    train(small_steps(*asked, "evaluation.kwargs.trouble=none"), tmp_path / "b")
    (first, *_) = Run(tmp_path / "b" / "eval" / "step-0").episodes()
    assert (first.env_kwargs["trouble"], first.task.split) == ("none", "train")


def test_progress_names_each_environments_held_out_outcome(capsys):
    row = {
        "step": 0,
        "eval/outcome": 0.5,
        "eval/outcome_low": 0.25,
        "eval/outcome_high": 0.75,
        "eval-tools/outcome": 0.125,
    }
    with TrainingProgress(4) as progress:
        progress.step(row, 4)
    assert "held-out outcome 0.500 [0.250, 0.750]  held-out outcome of tools 0.125" in capsys.readouterr().err
