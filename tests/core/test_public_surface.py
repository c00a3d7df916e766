"""What `import palaestra` costs, and what each module says it offers."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import palaestra
import palaestra.rewards

MODULES = sorted(
    [f"palaestra.{found.name}" for found in pkgutil.iter_modules(palaestra.__path__) if not found.ispkg]
    + [f"palaestra.rewards.{found.name}" for found in pkgutil.iter_modules(palaestra.rewards.__path__)]
)
HEAVY = [
    "torch",
    "transformers",
    "numba",
    "pandas",
    "scipy",
    "bm25s",
    "httpx",
    "usearch",
    "jinja2",
    "rich",
    "click",
    "PIL",
]


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_it_loads_nothing_heavy():
    code = f"import sys, palaestra; print([name for name in {HEAVY} if name in sys.modules])"
    assert run(code) == "[]"


def test_importing_it_loads_no_upper_floor():
    code = (
        "import sys, palaestra; floors = ['agents', 'envs', 'harness', 'rewards'];"
        "print([floor for floor in floors if f'palaestra.{floor}' in sys.modules])"
    )
    assert run(code) == "[]"


def test_importing_it_prints_and_writes_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import palaestra"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert (done.stdout, done.stderr, list(tmp_path.iterdir())) == ("", "", [])


def test_every_public_name_is_there():
    for name in palaestra.__all__:
        assert getattr(palaestra, name) is not None
    assert palaestra.with_reward.__module__ == "palaestra.rewards.wrappers"
    for floor in ("agents", "envs", "harness", "rewards"):
        assert inspect.ismodule(getattr(palaestra, floor))
    with pytest.raises(AttributeError, match="no attribute 'with_rewards'"):
        palaestra.with_rewards  # noqa: B018


@pytest.mark.parametrize("name", MODULES)
def test_all_is_what_a_module_defines_for_others(name):
    module = importlib.import_module(name)
    tree = ast.parse(Path(inspect.getfile(module)).read_text())
    defined: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {target.id for target in targets if isinstance(target, ast.Name)}
    type_variables = {key for key in defined if type(getattr(module, key, None)).__name__ == "TypeVar"}
    public = {key for key in defined - type_variables if not key.startswith("_")}
    assert set(module.__all__) == public
    assert module.__doc__


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_explained(name):
    module = importlib.import_module(name)
    for key in module.__all__:
        thing = getattr(module, key)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)) or thing.__module__ != name:
            continue
        assert inspect.getdoc(thing), f"{name}.{key}"
        for member, value in vars(thing).items() if inspect.isclass(thing) else ():
            if inspect.isfunction(value) and not member.startswith("_"):
                assert value.__doc__, f"{name}.{key}.{member}"


@pytest.mark.parametrize("floor", ["agents", "envs", "harness", "rewards"])
def test_floors_are_imported_by_one_name_only(floor):
    root = Path(inspect.getfile(palaestra)).parents[2]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r})\ntry: import {floor}\nexcept ImportError as error: print(error)"
    )
    assert run(code) == f"import palaestra.{floor}, not {floor}"
