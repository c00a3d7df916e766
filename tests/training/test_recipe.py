"""Recipes: typed, with errors that help, and round trips."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import ConfigError, DataError, PalaestraError
from palaestra.harness.training.recipe import Recipe, load_recipe
from palaestra.harness.training.typed import read_source, write_toml
from palaestra.rewards.registry import make

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
GOOD = """\
description = "a test"

[environment]
id = "palaestra/FactbookSearch-v0"
kwargs = { top_k = 2, kinds = ["bridge"] }

[rollout]
group_size = 4
temperature = 1

[learner]
lr = 1e-4
eps_low = 0.1
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_values_have_their_types_and_the_rest_its_defaults(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD))
    assert recipe.name == "mine"
    assert recipe.environment.kwargs == {"top_k": 2, "kinds": ["bridge"]}
    assert recipe.rollout.group_size == 4
    assert recipe.rollout.temperature == 1.0
    assert type(recipe.rollout.temperature) is float
    assert (recipe.learner.lr, recipe.learner.eps_low, recipe.learner.eps_high) == (1e-4, 0.1, None)
    assert recipe.credit.name == "outcome"


def test_a_recipe_reads_back_from_what_it_writes(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD), ["warm_start.runs=['a', 'b']", "rollout.max_turns=3"])
    written = recipe.to_toml()
    again = load_recipe(write(tmp_path, written))
    assert again == recipe
    assert again.to_toml() == written
    assert again.warm_start.runs == ("a", "b")


def test_overrides_win_and_none_is_written_as_none(tmp_path):
    path = write(tmp_path, GOOD)
    pairs = ["learner.lr=3e-5", "learner.eps_low=none", "environment.kwargs.top_k=5", "credit.name=igpo"]
    recipe = load_recipe(path, [*pairs, "train.dynamic_sampling=true"])
    assert recipe.learner.lr == 3e-5
    assert recipe.learner.eps_low is None
    assert recipe.environment.kwargs["top_k"] == 5
    assert recipe.credit.name == "igpo"
    assert recipe.train.dynamic_sampling is True


def test_the_trained_temperature_follows_the_sampled_one(tmp_path):
    path = write(tmp_path, GOOD)
    assert load_recipe(path, ["rollout.temperature=0.7"]).learner.temperature == 0.7
    assert load_recipe(path, ["rollout.temperature=0.7", "learner.temperature=1.0"]).learner.temperature == 1.0


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[rollouts]\ngroup_size = 4\n", 4, ("'rollouts'", "'rollout'")),
        ("[rollout]\ngruop_size = 4\n", 5, ("'gruop_size' in [rollout]", "'group_size'")),
        ("[rollout]\n# eight\ngroup_size = 'eight'\n", 6, ("rollout.group_size", "a whole number", 'the text "eight"')),
        ("[rollout]\ngroup_size = 4.0\n", 5, ("a whole number", "4.0")),
        ("[train]\ndynamic_sampling = 1\n", 5, ("true or false", "got 1")),
        ("[learner]\nlr = true\n", 5, ("a number", "got true")),
        ("[learner]\nobjective = 'ppo'\n", 5, ('"grpo"', '"ppo"')),
        ("[warm_start]\nruns = 'a'\n", 5, ("a list of texts", '"a"')),
        ("[warm_start.learner]\nepoch = 3\n", 5, ("'epoch' in [warm_start.learner]", "'epochs'")),
        ("[rollout]\ntemperature = 0.0\n", 4, ("temperature is 0.0", "above 0")),
        ("[rollout]\nretries = -1\n", 4, ("retries is -1", "at least 0")),
        ("[learner]\nlr = -1\n", 4, ("lr is -1", "positive")),
        ("[credit]\noptions = 3\n", 5, ("credit.options", "a table", "got 3")),
        ("[rollout\n", 4, ("not TOML",)),
    ],
)
def test_what_cannot_work_names_file_line_key_and_what_is_accepted(tmp_path, text, line, words):
    path = write(tmp_path, f"[environment]\nid = 'x'\n\n{text}")
    with pytest.raises(DataError) as caught:
        load_recipe(path)
    message = str(caught.value)
    assert str(path) in message
    assert all(word in message for word in words), message
    assert caught.value.line == line


def test_an_override_that_cannot_work_is_shown_as_it_was_written(tmp_path):
    path = write(tmp_path, GOOD)
    with pytest.raises(
        ConfigError, match=r"--set learner\.lrr=1: there is no 'lrr' in \[learner\]\. Did you mean 'lr'"
    ):
        load_recipe(path, ["learner.lrr=1"])
    with pytest.raises(ConfigError, match=r"--set rollout\.group_size=many: .*whole number.*many"):
        load_recipe(path, ["rollout.group_size=many"])
    with pytest.raises(ConfigError, match=r"write --set SECTION\.KEY=VALUE"):
        load_recipe(path, ["learner.lr"])
    with pytest.raises(ConfigError, match="'description' is no table"):
        load_recipe(path, ["description.x=1"])


def test_files_that_are_not_there_or_no_text(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        load_recipe(tmp_path / "bytes.toml")
    with pytest.raises(DataError, match=r"line 1, field 'rollout': it must be a table, \[rollout\], got 3"):
        load_recipe(
            write(tmp_path, "rollout = 3\n" + GOOD.replace("[rollout]", "[train]").replace("group_size", "steps"))
        )
    with pytest.raises(DataError, match="'environment' is missing"):
        load_recipe(write(tmp_path, ""))
    with pytest.raises(DataError, match=r"'id' is missing in \[environment\]"):
        load_recipe(write(tmp_path, "[environment]\nsplit = 'val'\n"))


scalars = st.one_of(
    st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.text(st.characters(codec="utf-8"))
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab .\"'-", max_size=4), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.text('abc-_ é"', max_size=5), values, max_size=4))
def test_every_table_is_written_as_toml_that_reads_back(table):
    import tomllib

    def without_empty(value):
        if isinstance(value, dict):
            return {key: without_empty(item) for key, item in value.items() if item != {} or not isinstance(item, dict)}
        return value

    def pruned(value):
        found = without_empty(value)
        return found if found == value else pruned(found)

    assert pruned(tomllib.loads(write_toml(table))) == pruned(table)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_that_are_shipped_can_be_read(path):
    recipe = load_recipe(path)
    assert recipe.description
    assert Recipe.from_source(read_source(path)) == recipe
    make(recipe.credit.name, **recipe.credit.options)
    make(recipe.advantage.name, **recipe.advantage.options)
    assert recipe.evaluation.kwargs or recipe.evaluation.split != recipe.environment.split


def test_there_are_recipes():
    search = {f"search-{name}-small" for name in ("outcome", "igpo", "stratified", "spa", "tools")}
    tools = {f"tools-{name}-small" for name in ("outcome", "toolrl", "spa")}
    assert search | tools <= {path.stem for path in RECIPES}
    assert issubclass(DataError, PalaestraError)
