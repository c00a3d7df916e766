"""What commands share: values on the command line, consoles, names."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "env_option", "key_values"]


def key_values(pairs: tuple[str, ...], option: str) -> dict[str, Any]:
    """`key=value` pairs; values that read as Python literals (3, 0.5, None, ['a']) are those, others are texts.

    Raises:
        click.UsageError: A pair has no "=".
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise click.UsageError(f"'{option} {pair}' has no value; write {option} key=value, as in {option} top_k=5.")
        found[key.strip()] = _literal(text)
    return found


def _literal(text: str) -> Any:
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def console(*, stderr: bool = False) -> Console:
    """A console that is as wide as the terminal, and 120 where there is none."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else 120, highlight=False, soft_wrap=False)


env_option = click.option(
    "--env",
    "env_pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the environment, as in --env top_k=5. May be repeated.",
)
