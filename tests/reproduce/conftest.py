import sys
from pathlib import Path

import pytest

TOYS = Path(__file__).parent.parent / "training"
if str(TOYS) not in sys.path:
    sys.path.append(str(TOYS))


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory):
    """A folder with a random Llama of some thousand parameters that speaks letters."""
    pytest.importorskip("transformers")
    from palaestra_training_toys import save_tiny_policy

    return save_tiny_policy(tmp_path_factory.mktemp("tiny") / "policy")


@pytest.fixture(scope="session")
def toy_recipes(tiny_policy, tmp_path_factory):
    """A folder with the recipes of the claim 'igpo', on a toy environment."""
    from palaestra_training_toys import recipe_table

    from palaestra.harness.training.typed import write_toml

    folder = tmp_path_factory.mktemp("recipes")
    table = recipe_table(tiny_policy)
    table["train"]["steps"] = 2
    table["rollout"] |= {"tasks_per_step": 2, "group_size": 2, "max_new_tokens": 4}
    designs = {"igpo": ("igpo", "turn-level"), "outcome": ("outcome", "group-normalized")}
    for name, (credit, advantage) in designs.items():
        mine = {**table, "name": name, "credit": {"name": credit}, "advantage": {"name": advantage}}
        (folder / f"search-{name}-small.toml").write_text(write_toml(mine))
    return folder
