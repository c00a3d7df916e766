"""Experiments on a toy environment, trained for real in this process."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

from palaestra.errors import ConfigError, RecordError
from palaestra.harness.reproduce.arms import load_arms, shorter, with_start
from palaestra.harness.reproduce.claims import CLAIMS, find_claim
from palaestra.harness.reproduce.control import Arm, Check, ControlResult
from palaestra.harness.reproduce.experiment import SCALES, Scale, finished_experiment, run_experiment
from palaestra.harness.reproduce.jobs import is_finished
from palaestra.harness.reproduce.pairs import find_pairs, read_pair
from palaestra.harness.reproduce.report import write_claim
from palaestra.harness.reproduce.result import learning_curve, power_of, result_of

pytest.importorskip("transformers")
CLAIM = find_claim("igpo")
NAMES = {"method": "igpo", "baseline": "outcome"}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Doing:
    """Trains in this process, and remembers what it was asked to."""

    def __init__(self):
        self.trained = []

    def __call__(self, jobs):
        from palaestra.harness.training.loop import train

        for job in jobs:
            if not is_finished(job):
                train(job.recipe, job.folder)
                self.trained.append(job.name)
        return [f"do {job.name}" for job in jobs]


def run_of(out, arm, seed):
    (folder,) = (out / "runs").glob(f"{NAMES[arm]}-lr*-seed{seed}")
    return folder


@pytest.fixture(scope="module")
def tuned(toy_recipes, tmp_path_factory):
    """A finished experiment with pilots and tuning: its folder, what was trained, and what came of it."""
    out, doing, arms = tmp_path_factory.mktemp("tuned"), Doing(), load_arms(CLAIM, toy_recipes)
    told = []
    scale = Scale("default", seeds=2, pilots=2, tune=True)
    grid = (1e-3, 1e-2)
    experiment = run_experiment(CLAIM, arms, out, scale, held_out="val", grid=grid, run=doing, on_pilots=told.append)
    again = Doing()
    repeated = run_experiment(CLAIM, arms, out, scale, held_out="val", grid=grid, run=again)
    return out, doing.trained, experiment, told, again.trained, repeated


def test_both_arms_are_tuned_alike_on_seeds_of_their_own(tuned):
    _, trained, experiment, told, _, _ = tuned
    pilots = [name for name in trained if name.startswith("pilots-")]
    assert sorted(pilots) == sorted(
        f"pilots-{name}-lr{lr}-seed{seed}"
        for name in NAMES.values()
        for lr in ("0.001", "0.01")
        for seed in (1000, 1001)
    )
    assert sorted(set(trained) - set(pilots)) == [
        f"runs-{NAMES[arm]}-lr{experiment.rates[arm]:g}-seed{seed}" for arm in ("method", "baseline") for seed in (0, 1)
    ]
    assert sum("at the edge of its grid" in note for note in experiment.notes) == 2
    for arm in ("method", "baseline"):
        means = experiment.tuning[arm]
        assert len(means) == 2
        assert means[f"{experiment.rates[arm]:g}"] == max(means.values())
    assert [pair.seed for pair in experiment.pilots] == [1000, 1001]
    assert told[0].pilots == experiment.pilots and not told[0].pairs


def test_a_finished_experiment_repeats_nothing(tuned):
    _, _, experiment, _, again, repeated = tuned
    assert again == []
    assert repeated == experiment


def test_pairs_are_read_from_the_evaluations(tuned):
    from palaestra.harness.run_folder import Run

    out, _, experiment, _, _, _ = tuned
    for pair in experiment.pairs:
        for arm in ("method", "baseline"):
            runs = {step: Run(run_of(out, arm, pair.seed) / "eval" / f"step-{step}") for step in (0, 2)}
            assert getattr(pair, arm) == pytest.approx(np.mean([entry.outcome for entry in runs[2].entries]))
            assert pair.start == pytest.approx(np.mean([entry.outcome for entry in runs[0].entries]))
        assert (pair.tasks, pair.step, pair.failed) == (4, 2, 0)
        assert pair.curves["method"][0] == pair.curves["baseline"][0] == (0.0, pytest.approx(pair.start))
        assert pair.difference == pair.method - pair.baseline
    curve = learning_curve(experiment.pairs, "method")
    assert [step for step, *_ in curve] == [0, 2]
    assert all(low <= mean <= high for _, mean, low, high in curve)


def test_runs_made_elsewhere_are_paired_by_seed(tuned):
    out, _, experiment, _, _, _ = tuned
    given = finished_experiment(CLAIM, [out / "runs"])
    assert [pair.difference for pair in given.pairs] == [pair.difference for pair in experiment.pairs]
    assert given.scale == "runs" and given.held_out == "val"
    assert any("--runs" in note for note in given.notes)


def test_runs_without_a_partner_are_left_out_and_said(tuned, tmp_path):
    out = tuned[0]
    for arm, seed in (("method", 0), ("method", 1), ("baseline", 1)):
        shutil.copytree(run_of(out, arm, seed), tmp_path / f"{arm}-seed{seed}")
    pairs, notes, _ = find_pairs(CLAIM, [tmp_path])
    assert [pair.seed for pair in pairs] == [1]
    assert notes == ["The method has seeds that the other arm lacks: 0. Left out."]
    with pytest.raises(ConfigError, match="no seed with both arms"):
        find_pairs(CLAIM, [tmp_path / "method-seed0", tmp_path / "baseline-seed1"])
    with pytest.raises(RecordError, match="no training run"):
        find_pairs(CLAIM, [tmp_path / "nothing"])
    with pytest.raises(ConfigError, match="both the method with seed 0"):
        find_pairs(CLAIM, [tmp_path, run_of(out, "method", 0)])


def edit(folder, change):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_unfinished_runs_and_those_of_other_designs_are_left_out(tuned, tmp_path):
    shutil.copytree(tuned[0] / "runs", tmp_path / "runs")
    edit(run_of(tmp_path, "method", 0), lambda m: m.update(status="interrupted"))
    pairs, notes, _ = find_pairs(CLAIM, [tmp_path / "runs"])
    assert [pair.seed for pair in pairs] == [1]
    assert any("is not finished (interrupted)" in note for note in notes)
    edit(run_of(tmp_path, "method", 1), lambda m: m["recipe"]["credit"].update(name="spa"))
    with pytest.raises(ConfigError, match="no seed with both arms"):
        find_pairs(CLAIM, [tmp_path / "runs"])


@pytest.mark.parametrize(
    ("which", "change", "message"),
    [
        ("*-seed1", lambda m: m["recipe"]["learner"].update(lr=0.5), "no further seed of the baseline"),
        ("", lambda m: m["recipe"]["rollout"].update(group_size=8), "differ in more than reward and learner"),
    ],
)
def test_unfair_pairs_are_refused(tuned, tmp_path, which, change, message):
    shutil.copytree(tuned[0] / "runs", tmp_path / "runs")
    for folder in (tmp_path / "runs").glob(f"{NAMES['baseline']}{which}*"):
        edit(folder, change)
    with pytest.raises(ConfigError, match=message):
        find_pairs(CLAIM, [tmp_path / "runs"])


def test_a_pair_with_two_starts_is_none(tuned, tmp_path):
    for arm in ("method", "baseline"):
        shutil.copytree(run_of(tuned[0], arm, 0), tmp_path / arm)
    read_pair(tmp_path / "method", tmp_path / "baseline")
    shutil.copy(tmp_path / "method" / "model" / "model.safetensors", tmp_path / "method" / "start")
    with pytest.raises(ConfigError, match="different weights"):
        read_pair(tmp_path / "method", tmp_path / "baseline")
    with pytest.raises(ConfigError, match="seeds are 0 and 1"):
        read_pair(run_of(tuned[0], "method", 0), run_of(tuned[0], "baseline", 1))


# Recipes -----------------------------------------------------------------------------------------------------------


def test_the_repositorys_recipes_make_fair_arms(request):
    for name in CLAIMS:
        arms = load_arms(find_claim(name), request.config.rootpath / "recipes")
        assert arms.method.environment == arms.baseline.environment
        small = shorter(arms.method)
        assert small.train.steps <= 4 and small.evaluation.episodes <= 20
        assert small.credit == arms.method.credit


def test_the_gpu_recipe_serves_every_claim_about_search(request):
    recipes = request.config.rootpath / "recipes"
    for name in ("igpo", "stratified", "spa"):
        arms = load_arms(find_claim(name), recipes, on=recipes / "search-igpo-smollm2.toml")
        assert (arms.method.model.name, arms.method.learner) == ("smollm2", arms.baseline.learner)
        assert arms.differences == []


def test_recipes_that_differ_in_more_than_the_reward_are_refused(toy_recipes, tmp_path):
    for path in toy_recipes.iterdir():
        shutil.copy(path, tmp_path)
    unequal = tmp_path / "search-outcome-small.toml"
    unequal.write_text(unequal.read_text().replace("max_new_tokens = 4", "max_new_tokens = 5"))
    with pytest.raises(ConfigError, match=r"rollout\.max_new_tokens: was 5, is 4"):
        load_arms(CLAIM, tmp_path)
    shared = load_arms(CLAIM, tmp_path, on=unequal)
    assert shared.method.rollout == shared.baseline.rollout
    assert (shared.method.credit.name, shared.baseline.credit.name) == ("igpo", "outcome")
    unequal.write_text(unequal.read_text().replace('name = "outcome"\n', 'name = "igpo"\n', 1))
    with pytest.raises(ConfigError, match="Both recipes of 'igpo' are named 'igpo'"):
        load_arms(CLAIM, tmp_path, on=toy_recipes / "search-igpo-small.toml")
    unequal.write_text(unequal.read_text().replace('name = "igpo"\n', 'name = "outcome"\n', 1))
    unequal.write_text(unequal.read_text().replace('name = "outcome"\n', 'name = "spa"\n'))
    with pytest.raises(ConfigError, match="baseline of 'igpo' is credit outcome"):
        load_arms(CLAIM, tmp_path, on=toy_recipes / "search-igpo-small.toml")
    with pytest.raises(ConfigError, match="--recipes"):
        load_arms(CLAIM, tmp_path / "nowhere")


def test_a_warm_start_is_made_once_for_all(toy_recipes, tmp_path):
    arms = load_arms(CLAIM, toy_recipes, overrides=["warm_start.episodes=6", "warm_start.learner.epochs=1"])
    doing = Doing()
    scale = Scale("default", seeds=1, pilots=0, tune=False)
    experiment = run_experiment(CLAIM, arms, tmp_path, scale, held_out="val", run=doing)
    assert doing.trained == [
        "warm-start",
        *(f"runs-{name}-lr{arms.method.learner.lr:g}-seed0" for name in NAMES.values()),
    ]
    assert experiment.commands[0] == "do warm-start"
    recipe = with_start(arms.method, tmp_path / "warm-start" / "start")
    assert recipe.warm_start.episodes == 0 and recipe.credit == arms.method.credit
    manifest = json.loads((run_of(tmp_path, "method", 0) / "manifest.json").read_text())
    assert manifest["recipe"]["model"]["name"] == str(tmp_path / "warm-start" / "start")


def test_claims_that_share_a_folder_train_their_baseline_once(tuned, toy_recipes):
    out, again = tuned[0], Doing()
    other = dataclasses.replace(load_arms(CLAIM, toy_recipes).method, name="other")
    arms = dataclasses.replace(load_arms(CLAIM, toy_recipes), method=other)
    scale = Scale("default", seeds=2, pilots=2, tune=True)
    run_experiment(CLAIM, arms, out, scale, held_out="val", grid=(1e-3, 1e-2), run=again)
    assert len(again.trained) == 6 and all("other" in name for name in again.trained)


def test_pilots_may_be_shorter(toy_recipes, tmp_path):
    arms = load_arms(CLAIM, toy_recipes)
    scale = Scale("default", seeds=1, pilots=1, tune=False, pilot_steps=1)
    experiment = run_experiment(CLAIM, arms, tmp_path, scale, held_out="val", run=Doing())
    assert (experiment.pilots[0].step, experiment.pairs[0].step) == (1, 2)
    assert "Pilot runs had 1 steps, the others 2." in experiment.notes


def test_scales():
    assert {name: (scale.seeds, scale.pilots) for name, scale in SCALES.items()} == {
        "smoke": (2, 0),
        "default": (5, 2),
        "full": (10, 3),
    }
    with pytest.raises(ConfigError, match="--pilots"):
        dataclasses.replace(SCALES["default"], pilots=0, tune=True)
    with pytest.raises(ConfigError, match="at least one step; 0 were"):
        dataclasses.replace(SCALES["default"], pilot_steps=0)
    with pytest.raises(ConfigError, match="at least 1 seed"):
        Scale("x", seeds=0, pilots=0, tune=False)


# Reports -----------------------------------------------------------------------------------------------------------

CURVE = [(float(step), step / 4, step / 5, step / 3) for step in range(4)]


def made_up(passed=True):
    checks = (Check("Success <b>", 0.95 if passed else float("nan"), least=0.9),)
    return ControlResult("It learns.", "It must.", checks, (Arm("one", 0.1, {"0.1": 0.7}, CURVE),), "success")


def test_the_report_has_everything(tuned, tmp_path):
    experiment = tuned[2]
    result = result_of(CLAIM, made_up(), experiment)
    page = write_claim(result, tmp_path / "report", "palaestra reproduce igpo")
    html, text = page.read_text(), (tmp_path / "report" / "claim.md").read_text()
    data = json.loads((tmp_path / "report" / "claim.json").read_text())
    assert result.judgement.verdict == "undecided"
    for wanted in ("undecided", "2 of at least 5 seeds", "palaestra reproduce igpo", "do runs-igpo-lr"):
        assert wanted in html and wanted in text, wanted
    assert "<svg" in html and "src=" not in html and "Success &lt;b&gt;" in html
    assert data["judgement"]["mean"] == pytest.approx(np.mean([pair.difference for pair in experiment.pairs]))
    assert [pair["seed"] for pair in data["experiment"]["pairs"]] == [0, 1]
    assert data["control"]["passed"] is True and data["rule"] in text
    assert set(data["experiment"]["rates"]) == {"method", "baseline"}


def test_the_report_of_a_failed_control(tmp_path):
    result = result_of(CLAIM, made_up(passed=False), None)
    page = write_claim(result, tmp_path, "palaestra reproduce igpo")
    assert "Positive control: failed" in page.read_text()
    assert "control failed" in result.judgement.why
    assert json.loads((tmp_path / "claim.json").read_text())["control"]["checks"][0]["value"] == "nan"


def test_power_is_from_the_pilots_where_there_are_two(tuned):
    pairs = [dataclasses.replace(tuned[2].pairs[0], method=m, baseline=0.4) for m in (0.5, 0.56, 0.44, 0.6, 0.5)]
    own = power_of((), pairs, 0.05)
    assert (own.source, own.pairs, own.seeds) == ("seeds", 5, 5)
    assert own.sd == pytest.approx(np.std([0.5, 0.56, 0.44, 0.6, 0.5], ddof=1))
    piloted = power_of(pairs[:2], pairs[2:], 0.05, seeds=7)
    assert (piloted.source, piloted.pairs, piloted.seeds) == ("pilots", 2, 7)
    assert power_of(pairs[:1], pairs, 0.05).source == "seeds"
    steady = [dataclasses.replace(pair, method=0.5 + pair.method / 100) for pair in pairs]
    few = power_of(steady, (), 0.05, seeds=3)
    assert (few.needed, few.chance) == (5, 0.0)  # the rule asks for five, however steady they are
    assert power_of((), pairs[:1] * 5, 0.05) is None
