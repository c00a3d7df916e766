from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pettingzoo
import pytest

import palaestra
from palaestra.environment import Environment
from palaestra.errors import ConfigError, MissingExtraError, PalaestraError, UnknownNameError
from palaestra.registration import _CARDS, EnvCard, card, cards, make, register
from palaestra.snapshots import ReplayLog


class Still(Environment[int, int]):
    """Does nothing, `size` wide."""

    observation_space = gym.spaces.Discrete(9)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, size: int = 3, **options: Any) -> None:
        super().__init__(**options)
        self.size = size

    def _reset(self, options: Any) -> tuple[int, dict[str, Any]]:
        return self.size, {}

    def _step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return self.size, 0.0, True, False, {}


class Pair(pettingzoo.ParallelEnv[str, int, int]):
    """Two agents that see how often they were asked."""

    metadata = {"name": "pair_v0", "render_modes": []}  # noqa: RUF012
    possible_agents = ["a", "b"]  # noqa: RUF012

    def __init__(self, size: int = 2, render_mode: str | None = None) -> None:
        self.size, self.render_mode, self.agents = size, render_mode, []

    def observation_space(self, agent: str) -> gym.Space[Any]:
        return gym.spaces.Discrete(9)

    def action_space(self, agent: str) -> gym.Space[Any]:
        return gym.spaces.Discrete(9)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.agents = list(self.possible_agents)
        return dict.fromkeys(self.agents, self.size), {agent: {} for agent in self.agents}


class Lacking(Still):
    def __init__(self) -> None:
        raise MissingExtraError("Lacking", "search")


class Buggy(Still):
    def __init__(self) -> None:
        raise TypeError("a bug of its own")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The registries as they were, afterwards."""
    monkeypatch.setitem(sys.modules, "still_for_tests", sys.modules[__name__])
    kept = [(registry, dict(registry)) for registry in (_CARDS, gym.registry, pettingzoo.parallel_registry)]
    yield
    for registry, before in kept:
        registry.clear()
        registry.update(before)


def a_card(env_id: str = "tests/Still-v0", **changes: Any) -> EnvCard:
    return EnvCard(env_id, "Nothing happens.", "tests", "control", "array", **changes)


def test_one_environment_by_every_way():
    register(a_card(), "still_for_tests:Still", size=5)
    assert gym.make("tests/Still-v0").reset()[0] == 5
    assert make("tests/Still-v0", size=6).reset()[0] == 6
    assert make("still_for_tests:tests/Still-v0").reset()[0] == 5
    assert card("tests/Still-v0") == a_card() and a_card() in cards()
    vector = gym.make_vec("tests/Still-v0", num_envs=2)
    np.testing.assert_array_equal(vector.reset()[0], [5, 5])
    vector.close()
    assert not isinstance(make("tests/Still-v0"), ReplayLog)
    register(a_card("tests/Still-v1", snapshot="replay"), "still_for_tests:Still")
    assert isinstance(make("tests/Still-v1"), ReplayLog)


def test_worlds_of_several_agents_live_in_pettingzoos_registry():
    register(a_card("tests/Pair-v0", agents="parallel"), "still_for_tests:Pair", size=4)
    assert "tests/Pair-v0" in pettingzoo.parallel_registry and "tests/Pair-v0" not in gym.registry
    for world in (make("tests/Pair-v0"), pettingzoo.make("parallel", "tests/Pair-v0")):
        assert isinstance(world, pettingzoo.ParallelEnv)
        assert world.reset(seed=1)[0] == {"a": 4, "b": 4}
    assert make("tests/Pair-v0", size=7).reset(seed=1)[0] == {"a": 7, "b": 7}
    register(a_card("tests/Pair-v0", agents="parallel"), "still_for_tests:Pair", replace=True)
    assert make("tests/Pair-v0").reset(seed=1)[0] == {"a": 2, "b": 2}
    with pytest.raises(ConfigError, match=r"tests/Pair-v0: there is no option 'sice'"):
        make("tests/Pair-v0", sice=1)


def test_registering_twice():
    register(a_card(), "still_for_tests:Still")
    register(a_card(), "still_for_tests:Still")
    with pytest.raises(ConfigError, match="already registered with another card; choose a new version"):
        register(a_card(extras=("search",)), "still_for_tests:Still")
    register(a_card(extras=("search",)), "still_for_tests:Still", replace=True, size=8)
    assert card("tests/Still-v0").extras == ("search",) and make("tests/Still-v0").reset()[0] == 8
    gym.register("other/Taken-v0", entry_point="elsewhere:Env")
    with pytest.raises(ConfigError, match="already registered by something else"):
        register(a_card("other/Taken-v0"), "still_for_tests:Still")
    assert gym.registry["other/Taken-v0"].entry_point == "elsewhere:Env"


@pytest.mark.parametrize("env_id", ["", "no spaces-v0", "a/b/C-v0", "tests/Still-v"])
@pytest.mark.parametrize("agents", ["single", "parallel"])
def test_ids_that_are_none(env_id, agents):
    with pytest.raises(ConfigError, match="is not an id of the form 'namespace/Name-vN'"):
        register(a_card(env_id, agents=agents), "still_for_tests:Still")
    assert env_id not in _CARDS


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("palaestra/FactbookSerch-v0", "palaestra/FactbookSearch-v0"),
        ("palaestra/factbooksearch-v0", "palaestra/FactbookSearch-v0"),
        ("FactbookSearch-v0", "palaestra/FactbookSearch-v0"),
        ("palaestra/FactbookSearch-v9", "palaestra/FactbookSearch-v0"),
        ("CartPol-v1", "CartPole-v1"),
    ],
)
def test_did_you_mean(given, meant):
    for ask in (card, make):
        with pytest.raises(UnknownNameError, match=f"There is no environment '{given}'. Did you mean '{meant}'"):
            ask(given)


def test_modules_that_are_not_there():
    with pytest.raises(ConfigError, match="asks for the module 'no_such_module_here'"):
        make("no_such_module_here:tests/Still-v0")


def test_options_that_are_none_and_other_peoples_bugs():
    register(a_card(), "still_for_tests:Still")
    with pytest.raises(ConfigError, match=r"tests/Still-v0: there is no option 'sise'"):
        make("tests/Still-v0", sise=4)
    register(a_card("tests/Buggy-v0"), "still_for_tests:Buggy")
    with pytest.raises(TypeError, match="a bug of its own"):
        make("tests/Buggy-v0")


def test_what_is_not_installed_says_how_to_install_it():
    register(a_card("tests/Lacking-v0", extras=("search",)), "still_for_tests:Lacking")
    for ask in (make, gym.make):
        with pytest.raises(MissingExtraError, match=r"pip install 'palaestra\[search\]'"):
            ask("tests/Lacking-v0")


def test_environments_that_know_nothing_of_palaestra():
    found = card("CartPole-v1")
    assert (found.kind, found.interface, found.snapshot, found.concurrency) == (
        "control",
        "array",
        "replay",
        "pinned-thread",
    )
    assert found not in cards()
    assert isinstance(make("CartPole-v1"), ReplayLog)


PLUGIN = """
import palaestra
from palaestra.registration import EnvCard
palaestra.register(EnvCard("theirs/Still-v0", "Theirs.", "theirs", "control", "array"), "still_for_tests:Still", size=7)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[palaestra]\n{name}_entry = {name}\n")
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, name, raising=False)

    return put


def test_other_packages_bring_environments(install):
    install("their_envs", PLUGIN)
    assert make("theirs/Still-v0").reset()[0] == 7
    del sys.modules["their_envs"]


def test_a_broken_package_is_named_only_where_it_might_matter(install):
    install("their_broken_envs", "import no_such_module_here")
    assert card("palaestra/Search-v0").family == "search"
    with pytest.raises(PalaestraError, match=r"'their_broken_envs_entry'.*from the package 'their_broken_envs'"):
        make("theirs/Still-v0")
    assert make("CartPole-v1") is not None


def test_registering_imports_no_environment():
    code = "import sys, palaestra; print([m for m in sys.modules if m.startswith('palaestra.envs.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert {each.id for each in palaestra.cards()} >= {"palaestra/FactbookSearch-v0", "palaestra/Search-v0"}
