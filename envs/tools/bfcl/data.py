"""The Berkeley Function-Calling Leaderboard's data, read from the installed package `bfcl-eval`.

The package is never imported: it is found by its import spec, and its files are read as text.
"""

from __future__ import annotations

import ast
import importlib.util
import json
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from palaestra.errors import DataError, MissingExtraError, UnknownNameError

__all__ = ["PREFIXES", "constants", "data_folder", "package_folder", "package_version", "read_rows", "release_prefix"]

PREFIXES = {"v4": "BFCL_v4"}
"""What the names of a release's files begin with."""


def release_prefix(release: str) -> str:
    """What the names of a release's files begin with.

    Raises:
        UnknownNameError: There is no such release.
    """
    if release not in PREFIXES:
        raise UnknownNameError("release of BFCL", str(release), PREFIXES)
    return PREFIXES[release]


def package_folder() -> Path:
    """Where the package lies.

    Raises:
        MissingExtraError: It is not installed.
    """
    spec = importlib.util.find_spec("bfcl_eval")  # of a top-level name: looks, and imports nothing
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not places or not (Path(places[0]) / "data").is_dir():
        raise MissingExtraError("BFCL", "bfcl", "pip install --no-deps bfcl-eval")
    return Path(places[0])


def package_version() -> str:
    """The installed version, for records; empty where the package says none."""
    try:
        return metadata.version("bfcl-eval")
    except metadata.PackageNotFoundError:
        return ""


def data_folder() -> Path:
    """Where its questions lie; the answers are in the folder `possible_answer` within.

    Raises:
        MissingExtraError: The package is not installed.
    """
    return package_folder() / "data"


def read_rows(name: str) -> list[dict[str, Any]]:
    """The rows of one of its JSONL files. Whoever calls owns them and may change them.

    Args:
        name: Path below `data_folder()`.

    Raises:
        DataError: The file is missing, or a line is not a JSON object.
        MissingExtraError: The package is not installed.
    """
    path = data_folder() / name
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(path, f"cannot be read ({error}); reinstall: pip install --no-deps bfcl-eval") from error
    rows = []
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines(): texts hold U+2028 and its like
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(path, f"is not JSON: {error}", line=number) from error
            if not isinstance(row, dict):
                raise DataError(path, "a row must be a JSON object", line=number)
            rows.append(row)
    return rows


@lru_cache(maxsize=8)
def constants(name: str) -> dict[str, Any]:
    """The constants that one of its modules assigns literally, by name; read as text, never run.

    Args:
        name: Path of the module in the package, as in `constants/default_prompts.py`.

    Raises:
        DataError: The file is missing or is no Python.
        MissingExtraError: The package is not installed.
    """
    path = package_folder() / name
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError) as error:
        raise DataError(path, f"cannot be read ({error}); reinstall: pip install --no-deps bfcl-eval") from error
    found: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                found[statement.targets[0].id] = ast.literal_eval(statement.value)
            except ValueError:  # not a literal
                continue
    return found
