"""What commands share: values on the command line, consoles, names."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

__all__ = ["console", "env_option", "key_values", "new_folder", "progress_bars"]


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


def progress_bars(*, ticking: bool = True) -> Progress:
    """Bars on stderr, each with a text field `figures`.

    Args:
        ticking: Whether clocks go on between updates, which takes a thread.
    """
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[figures]}"),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        console=console(stderr=True),
        auto_refresh=ticking,
    )


def new_folder(name: str) -> Path:
    """A folder in `runs` that is not there yet, named by time and `name`."""
    from datetime import datetime

    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{name}"
    folder, number = Path("runs", stem), 2
    while folder.exists():
        folder, number = Path("runs", f"{stem}-{number}"), number + 1
    return folder


env_option = click.option(
    "--env",
    "env_pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the environment, as in --env top_k=5. May be repeated.",
)
