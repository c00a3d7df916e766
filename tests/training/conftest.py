import sys
from pathlib import Path

import pytest

if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory):
    """A folder with a random Llama of some thousand parameters that speaks letters."""
    from palaestra_training_toys import save_tiny_policy

    return save_tiny_policy(tmp_path_factory.mktemp("tiny") / "policy")


@pytest.fixture
def small_steps(tiny_policy):
    """A recipe of a few seconds."""
    from palaestra_training_toys import recipe_table

    from palaestra.harness.training.recipe import Recipe
    from palaestra.harness.training.typed import Source

    def make(*overrides):
        source = Source(recipe_table(tiny_policy))
        source.override(overrides)
        return Recipe.from_source(source)

    return make
