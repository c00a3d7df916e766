"""The layout: four links, one package, floors that hold."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ("envs", "agents", "rewards", "harness")


def tracked(*folders: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files, and nothing else, in a folder of their own."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in tracked("src", *FLOORS, "pyproject.toml", "README.md", "LICENSE"):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to(os.readlink(ROOT / name))
        else:
            shutil.copy2(ROOT / name, target)
    for floor in FLOORS:
        link = folder / "src" / "palaestra" / floor
        if not link.is_symlink():
            link.symlink_to(f"../../{floor}")
    return folder


@pytest.mark.parametrize("floor", FLOORS)
def test_each_floor_is_a_relative_link(floor: str) -> None:
    link = ROOT / "src" / "palaestra" / floor
    assert link.is_symlink()
    assert os.readlink(link) == f"../../{floor}"


def test_the_wheel_holds_exactly_the_tracked_files(checkout: Path, tmp_path: Path) -> None:
    build = "import setuptools.build_meta as backend, sys; print(backend.build_wheel(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", build, str(tmp_path)], cwd=checkout, capture_output=True, check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("palaestra/")}
    expected = {f"palaestra/{name}" for name in tracked(*FLOORS)}
    expected |= {name.removeprefix("src/") for name in tracked("src") if not (ROOT / name).is_symlink()}
    assert packed == expected


def test_a_floor_folder_alone_is_not_importable() -> None:
    for floor in FLOORS:
        seen = subprocess.run([sys.executable, "-c", f"import {floor}"], cwd=ROOT, capture_output=True, text=True)
        assert seen.returncode != 0
        assert f"import palaestra.{floor}" in seen.stderr


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    return subprocess.run([tool, "--no-cache"], cwd=folder, env=environment, capture_output=True, text=True)


def test_floors_hold(checkout: Path) -> None:
    seen = lint(checkout)
    assert seen.returncode == 0, seen.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("envs/__init__.py", "import palaestra.rewards.base"),
        ("rewards/base.py", "import palaestra.agents.base"),
        ("src/palaestra/errors.py", "import palaestra.envs"),
    ],
)
def test_a_forbidden_import_is_caught(checkout: Path, file: str, line: str) -> None:
    path = checkout / file
    before = path.read_text()
    path.write_text(f"{before}\n{line}\n")
    try:
        assert lint(checkout).returncode != 0
    finally:
        path.write_text(before)


def test_there_is_no_extra_named_all() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert not re.search(r"^all\s*=", project, re.MULTILINE)


def test_the_version_is_said_once() -> None:
    import palaestra

    project = (ROOT / "pyproject.toml").read_text()
    assert f'\nversion = "{palaestra.__version__}"\n' in project
