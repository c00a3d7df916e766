"""Names of rewards, built in and from other people's packages.

The packages are real distributions: a folder on the path with a module and `*.dist-info/entry_points.txt`.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import palaestra.rewards
from palaestra.errors import ConfigError, PalaestraError, UnknownNameError
from palaestra.rewards import make, names, register
from palaestra.rewards.base import kind_of
from palaestra.rewards.outcome import Outcome

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package that announces itself as a plugin on the path; takes its rewards back afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def put(name: str, source: str) -> None:
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[palaestra]\n{module}_plugin = {module}\n")
        importlib.invalidate_caches()

    registry = palaestra.rewards.registry._REGISTRY
    targets = dict(registry._targets)
    yield put
    registry._targets.clear()
    registry._targets.update(targets)
    for module in set(sys.modules) - before:
        del sys.modules[module]


GOOD = """
import palaestra.rewards
from palaestra.rewards.outcome import Outcome

class Half(Outcome):
    def __init__(self, factor: float = 0.5):
        super().__init__("half")
        self.factor = factor

palaestra.rewards.register("their-half", Half)
palaestra.rewards.register("their-path", f"{__name__}:Half")
"""


def test_another_package_adds_rewards(install):
    install("half-package", GOOD)
    assert "their-half" not in names()
    assert make("their-half", factor=0.25).factor == 0.25
    assert kind_of(make("their-path")) == "credit"
    assert "their-half" in names()


def test_nothing_is_loaded_for_a_name_that_is_built_in(install):
    install("half-package", GOOD)
    assert isinstance(make("outcome"), Outcome)
    assert "half_package" not in sys.modules
    assert "their-half" in names(plugins=True)


def test_a_broken_package_is_named_and_harms_no_other(install):
    install("aaa-broken", "raise RuntimeError('no such file: weights.bin')")
    install("half-package", GOOD)
    assert make("outcome").name == "outcome"
    assert make("their-half").name == "half"
    with pytest.raises(
        PalaestraError,
        match=r"'aaa_broken_plugin' \(aaa_broken, from the package 'aaa-broken'\) does not load: "
        r"RuntimeError: no such file: weights\.bin\. Mend or uninstall",
    ) as caught:
        make("no-such-reward")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_package_that_takes_a_built_in_name_is_named(install):
    install("thief", "import palaestra.rewards; palaestra.rewards.register('outcome', print)")
    with pytest.raises(PalaestraError, match=r"from the package 'thief'.*'outcome' is already registered"):
        names(plugins=True)
    assert isinstance(make("outcome"), Outcome)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("outcom", "outcome"), ("Outcome", "outcome"), ("weighted_sum", "weighted-sum"), ("cuont", "count")],
)
def test_a_misspelt_name_is_corrected(given, meant):
    with pytest.raises(UnknownNameError, match=f"There is no reward '{given}'. Did you mean '{meant}'"):
        make(given)


def test_a_name_like_no_other_lists_all():
    with pytest.raises(UnknownNameError, match="Choose from: clip, count, ema-group, env"):
        make("zzzzzz")


def test_options():
    with pytest.raises(ConfigError, match=r"The reward 'format' has no option 'scor'\. Did you mean 'score'"):
        make("format", scor=1.0)
    with pytest.raises(ConfigError, match=r"'weighted-sum' needs the option\(s\) terms"):
        make("weighted-sum")
    assert make("outcome", name="won").name == "won"


def test_names_are_not_taken_silently(install):
    register("mine", Outcome)
    register("mine", Outcome)
    with pytest.raises(PalaestraError, match=r"'mine' is already registered.*replace=True"):
        register("mine", "palaestra.rewards.outcome:Outcome")
    register("mine", "palaestra.rewards.outcome:Outcome", replace=True)
    assert isinstance(make("mine"), Outcome)


@pytest.mark.parametrize("name", sorted(set(names()) - {"weighted-sum"}))
def test_everything_built_in_is_made_without_options(name):
    reward = make(name)
    assert reward.name == name and callable(reward)


def test_importing_the_package_imports_no_reward():
    code = (
        "import sys, palaestra.rewards; "
        "print(sorted(m for m in sys.modules if m.startswith('palaestra.rewards.')), 'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['palaestra.rewards.registry'] False"
