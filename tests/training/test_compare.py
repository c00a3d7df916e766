"""Comparisons of training runs and of ordinary runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from palaestra.errors import ConfigError, RecordError
from palaestra.harness.api import run
from palaestra.harness.cli.compare import command
from palaestra.harness.cli.report import command as report
from palaestra.harness.compare import Sample, compare, find_samples
from palaestra.harness.run_folder import Run, find_runs
from palaestra.harness.training.loop import train

LETTERS = "palaestra_training_toys:training/Letters-v0"


def sample(method, seed, outcomes, *, start=None, step=0, split="val", failed=0):
    asked = {"environment": "e", "kwargs": {}, "split": split}
    tasks = {f"t{number}": value for number, value in enumerate(outcomes)}
    begun = None if start is None else {f"t{number}": value for number, value in enumerate(start)}
    count = len(tasks) + failed
    return Sample(method, Path(f"{method}-{seed}"), seed, step, tasks, count, failed, begun, [], asked)


@pytest.fixture(scope="module")
def trained(tiny_policy, tmp_path_factory):
    from palaestra_training_toys import recipe_table

    from palaestra.harness.training.recipe import Recipe
    from palaestra.harness.training.typed import Source

    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        for rate in ("1e-2", "1e-9"):
            source = Source(recipe_table(tiny_policy))
            source.override([f"train.seed={seed}", f"learner.lr={rate}", "train.steps=2"])
            train(Recipe.from_source(source), folder / f"{rate}-{seed}")
    return folder


def test_training_runs_are_grouped_by_recipe_and_told_apart_by_what_differs(trained):
    figures = compare(find_samples([trained]))
    assert [method.name for method in figures.methods] == ["letters", "letters (learner.lr=1e-09)"]
    for method in figures.methods:
        assert (method.seeds, method.step, method.tasks, method.episodes, method.failed) == ([0, 1], 2, 4, 8, 0)
        assert [[step for step, _ in curve] for curve in method.curves] == [[0.0, 2.0], [0.0, 2.0]]
        assert method.gain is not None
    assert [(one.first, one.second) for one in figures.comparisons] == [("letters (learner.lr=1e-09)", "letters")]
    assert compare(find_samples([trained])) == figures
    first = compare(find_samples([trained / "1e-2-0", trained / "1e-2-1"], at=0)).methods[0]
    assert (first.step, first.gain) == (0, None)
    assert "letters has one seed" in compare(find_samples([trained / "1e-2-0"])).notes[0]
    runs = [Run(trained / f"1e-2-{seed}" / "eval" / "step-0") for seed in (0, 1)]
    assert first.mean == pytest.approx(np.mean([entry.outcome for one in runs for entry in one.entries]))


def test_the_command_prints_tables_and_writes_a_page(trained, tmp_path):
    result = CliRunner().invoke(command, [str(trained), "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "letters minus its start" in result.output
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "Against each other" in page
    data = json.loads((tmp_path / "comparison.json").read_text())
    assert [method["name"] for method in data["methods"]] == ["letters", "letters (learner.lr=1e-09)"]


def test_a_training_run_is_no_run_but_has_a_report(trained, tmp_path):
    one = trained / "1e-2-0"
    with pytest.raises(RecordError, match=r"is a training run.*eval"):
        Run(one)
    with pytest.raises(RecordError, match="is a training run"):
        find_runs([trained / "1e-2-0"])
    assert len(find_runs([one / "eval"])) == 2
    result = CliRunner().invoke(report, [str(one), "--out", str(tmp_path / "page.html")])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "letters, seed 0" in page
    assert "Held-out tasks" in page
    assert json.loads((tmp_path / "page.json").read_text())["metrics"][0]["step"] == 0
    assert CliRunner().invoke(report, [str(one), str(one / "eval/step-0")]).exit_code == 2


def test_ordinary_runs_are_compared_by_agent(tmp_path):
    for agent in ("null", "oracle"):
        run(LETTERS, agent, tmp_path / agent, split="val", episodes=4)
    figures = compare(find_samples([tmp_path / "null", tmp_path / "oracle"]))
    assert [(method.name, method.mean) for method in figures.methods] == [("null", 0.0), ("oracle", 1.0)]
    contrast = figures.comparisons[0].contrast
    assert (contrast.tasks.mean, contrast.tasks.tasks, contrast.seeds) == (1.0, 4, None)
    assert contrast.p_tasks == 2 / 2**4
    assert figures.notes == []  # nothing was trained, so there is no seed of a training to vary


def test_differences_over_seeds_and_over_tasks_by_hand():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((3, 20)), rng.random((3, 20))
    samples = [sample("a", seed, theirs[seed]) for seed in range(3)]
    samples += [sample("b", seed, ours[seed]) for seed in range(3)]
    contrast = compare(samples).comparisons[0].contrast
    assert contrast.tasks.mean == pytest.approx((ours - theirs).mean())
    by_seed = (ours - theirs).mean(axis=1)
    assert contrast.paired
    assert contrast.seeds.mean == pytest.approx(by_seed.mean())
    assert contrast.seeds.interval.high - by_seed.mean() == pytest.approx(4.302653 * by_seed.std(ddof=1) / 3**0.5)
    others = [replace(one, seed=one.seed + 5) if one.method == "b" else one for one in samples]
    unpaired = compare(others).comparisons[0].contrast
    assert not unpaired.paired
    assert unpaired.seeds.mean == pytest.approx(by_seed.mean())
    assert unpaired.tasks == contrast.tasks


def test_a_mean_has_an_interval_over_seeds_and_over_tasks_where_there_is_one():
    # By hand: means of 0.1, 0.2, 0.3 over ten tasks, of which the interquartile mean sees nothing.
    several = compare([sample("a", seed, [1.0] * (seed + 1) + [0.0] * (9 - seed)) for seed in range(3)]).methods[0]
    assert (several.mean, several.iqm) == (pytest.approx(0.2), 0.0)
    reach = 4.302653 * 0.1 / 3**0.5
    assert several.mean_interval.low == 0.0 > 0.2 - reach  # an outcome is at least 0
    assert several.mean_interval.high == pytest.approx(0.2 + reach, abs=1e-6)
    for seeds in (1, 3):  # seeds that do not differ say nothing of seeds
        alike = compare([sample("a", seed, [1.0, 0.0, 1.0, 0.0]) for seed in range(seeds)]).methods[0]
        assert alike.mean_interval.low < 0.3 and alike.mean_interval.high > 0.7


def test_only_tasks_that_all_have_done_are_compared():
    whole, part = sample("a", 0, [0.0, 1.0, 1.0]), sample("b", 0, [1.0, 1.0, 0.0], failed=1)
    part = replace(part, outcomes={task: value for task, value in part.outcomes.items() if task != "t2"})
    figures = compare([whole, part])
    assert figures.comparisons[0].contrast.tasks.mean == pytest.approx(0.5)
    assert figures.methods[1].failed == 1


def test_gains_are_over_the_same_tasks_and_seeds():
    samples = [sample("a", seed, [1.0, 0.5], start=[0.25 * seed, 0.0], step=9) for seed in (0, 1, 2)]
    gain = compare(samples).methods[0].gain
    assert gain.tasks.mean == pytest.approx(np.mean([1.0, 0.75, 0.5, 0.5, 0.5, 0.5]))
    assert gain.paired
    assert gain.seeds.mean == pytest.approx(np.mean([0.75, 0.625, 0.5]))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([sample("a", 0, [1.0]), sample("b", 0, [1.0], split="test")], "split: was 'val', is 'test'"),
        ([sample("a", 0, [1.0]), sample("a", 0, [0.0])], "have the same seed"),
        ([sample("a", 0, [1.0]), replace(sample("b", 0, [1.0]), outcomes={"x": 1.0})], "no task in common"),
        ([replace(sample("a", 0, [1.0]), outcomes={})], "no valid episode"),
        ([], "at least one run"),
    ],
)
def test_what_cannot_be_compared_is_refused(samples, message):
    with pytest.raises(ConfigError, match=message):
        compare(samples)


def test_runs_that_are_not_there(trained, tmp_path):
    with pytest.raises(RecordError, match="holds no run"):
        find_samples([tmp_path])
    with pytest.raises(RecordError, match=r"no evaluation at step 1\. It has: 0, 2"):
        find_samples([trained / "1e-2-0"], at=1)
