"""The policy at step 0: one warm start for all seeds, kept where it may be kept."""

from pathlib import Path

import numpy as np
import pytest

from palaestra.errors import ConfigError
from palaestra.harness.training import start
from palaestra.harness.training.loop import train
from palaestra.harness.training.recipe import WarmStartSection, load_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "search-outcome-small.toml"
TINY = (
    "warm_start.episodes=24",
    "warm_start.copying=24",
    "warm_start.versions=1",
    "model.small.vocabulary=320",
    "model.small.width=32",
    "model.small.layers=2",
    "evaluation.episodes=0",
    "train.steps=0",
)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder in which warm starts are kept."""
    monkeypatch.setattr(start, "cache_dir", lambda *parts: tmp_path.joinpath("cache", *parts))
    return tmp_path / "cache" / "warm-starts"


def weights(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "start" / "model.safetensors")


def same(one, other):
    return all(np.array_equal(value, other[name]) for name, value in one.items())


def test_all_seeds_begin_alike_and_the_second_finds_what_the_first_kept(kept, tmp_path):
    train(load_recipe(RECIPE, (*TINY, "train.seed=0")), tmp_path / "0")
    (place,) = kept.iterdir()
    first = weights(tmp_path / "0")
    # Whether it is looked up can be told by a mark.
    (place / "mark").write_text("kept")
    train(load_recipe(RECIPE, (*TINY, "train.seed=1", "credit.name=outcome", "learner.lr=1e-5")), tmp_path / "1")
    assert (tmp_path / "1" / "start" / "mark").read_text() == "kept"
    assert same(first, weights(tmp_path / "1"))
    train(load_recipe(RECIPE, (*TINY, "warm_start.seed=1")), tmp_path / "2")
    assert not (tmp_path / "2" / "start" / "mark").exists()
    assert not same(first, weights(tmp_path / "2"))
    assert len(list(kept.iterdir())) == 2


def test_what_is_not_kept_is_made_again_and_comes_out_the_same(kept, tmp_path):
    import shutil

    train(load_recipe(RECIPE, TINY), tmp_path / "0")
    shutil.rmtree(kept)
    train(load_recipe(RECIPE, TINY), tmp_path / "1")
    assert same(weights(tmp_path / "0"), weights(tmp_path / "1"))


def test_environments_of_others_are_not_kept(kept, small_steps, tmp_path):
    train(small_steps("warm_start.episodes=4", "train.steps=0", "evaluation.episodes=0"), tmp_path / "t")
    assert not kept.exists()


def test_shares_and_counts_out_of_range():
    with pytest.raises(ConfigError, match=r"share is 1\.5"):
        WarmStartSection(share=1.5)
    with pytest.raises(ConfigError, match="copying is -1"):
        WarmStartSection(copying=-1)


def test_a_start_that_nothing_can_be_learned_from_says_which_wish_to_drop(kept, tmp_path):
    overrides = (*TINY, "warm_start.policy=null", "warm_start.versions=0", "warm_start.copying=0")
    with pytest.raises(ConfigError, match=r"none of the others is solved and grounded.*warm_start\.solved = false"):
        train(load_recipe(RECIPE, overrides), tmp_path / "t")


def test_a_copy_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    (source / "weights").write_text("1")

    def broken(*paths):
        Path(paths[1]).mkdir()
        raise OSError("the disk is full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk is full"):
        patch.setattr(start.shutil, "copytree", broken)
        start._copy_whole(source, tmp_path / "target")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]
    start._copy_whole(source, tmp_path / "target")
    assert (tmp_path / "target" / "weights").read_text() == "1"
    # Another process was first: what is there stays.
    with pytest.raises(OSError):
        start._copy_whole(source, tmp_path / "target")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def test_a_warm_start_may_be_played_elsewhere(small_steps, tmp_path):
    asked = ("train.steps=0", "evaluation.episodes=0", "warm_start.episodes=4")
    train(small_steps(*asked, "environment.kwargs.trouble=always", "warm_start.kwargs.trouble=none"), tmp_path / "a")
    with pytest.raises(ConfigError, match="4 failed and none of the others"):
        train(small_steps(*asked, "warm_start.kwargs.trouble=always"), tmp_path / "b")
    with pytest.raises(ConfigError, match="wrold"):
        train(small_steps(*asked, "warm_start.kwargs.wrold=1"), tmp_path / "c")
