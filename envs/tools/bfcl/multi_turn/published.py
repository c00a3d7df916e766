"""Tables that the benchmark publishes inside its applications' files, read as literals; nothing is imported or run."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from palaestra.envs.tools.bfcl.data import package_folder
from palaestra.errors import DataError

__all__ = ["ExtendedList", "published_table"]

_FOLDER = ("eval_checker", "multi_turn_eval", "func_source_code")


@lru_cache(maxsize=8)
def _assignments(file: str) -> dict[str, ast.expr]:
    found: dict[str, ast.expr] = {}
    source = package_folder().joinpath(*_FOLDER, file).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found[node.target.id] = node.value
    return found


@lru_cache(maxsize=64)
def published_table(file: str, name: str) -> Any:
    """A literal that a file of the package assigns to a name. It is shared: whoever changes it copies it first.

    Args:
        file: A file among the sources of the applications, e.g. "long_context.py".
        name: What it is assigned to, anywhere in the file.

    Raises:
        DataError: This release of the package has no such file or no such literal.
        MissingExtraError: The package is not installed.
    """
    try:
        return ast.literal_eval(_assignments(file)[name])
    except (OSError, SyntaxError, KeyError, ValueError) as error:
        raise DataError(
            package_folder().joinpath(*_FOLDER, file),
            f"has no literal of this name ({type(error).__name__}: {error}), so it is another release than palaestra "
            "reads; install that: pip install --no-deps bfcl-eval==2026.3.23",
            field=name,
        ) from error


@lru_cache(maxsize=16)
def _table_json(name: str) -> str:
    return json.dumps(published_table("long_context.py", name))[1:-1]


class ExtendedList(list[Any]):
    """A list that ends with a long published one, whose JSON is made once for all results.

    Args:
        own: What comes first.
        name: The list of `long_context.py` that follows.
    """

    __slots__ = ("_name", "_own")

    def __init__(self, own: Iterable[Any], name: str) -> None:
        super().__init__(own)
        self._own, self._name = len(self), name
        self.extend(published_table("long_context.py", name))

    def json(self) -> str:
        """What `json.dumps` gives.

        Raises:
            TypeError: An entry has no JSON.
        """
        own = "".join(f"{json.dumps(value)}, " for value in self[: self._own])
        return f"[{own}{_table_json(self._name)}]"
