"""`palaestra view`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from palaestra.harness.cli.common import console

if TYPE_CHECKING:
    from rich.console import Console

    from palaestra.episodes import Episode, Turn
    from palaestra.harness.run_folder import Entry, Run

_COLOURS = {"terminated": "green", "truncated": "yellow", "failed": "red"}


@click.command("view")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("episode", required=False)
@click.option("--failed", is_flag=True, help="Only failed episodes.")
@click.option("--status", type=click.Choice(["terminated", "truncated", "failed"]), help="Only these.")
@click.option("--below", type=float, metavar="OUTCOME", help="Only outcomes below this.")
@click.option("--limit", default=40, show_default=True, help="How many episodes to list.")
@click.option("--turns", type=int, help="Show at most so many turns.  [default: all of 200 or fewer]")
@click.option("--transcripts", is_flag=True, help="Show the transcript of each listed episode.")
def command(
    run: Path,
    episode: str | None,
    failed: bool,
    status: str | None,
    below: float | None,
    limit: int,
    turns: int | None,
    transcripts: bool,
) -> None:
    r"""Look at a recorded run: a list of its episodes, or one episode's transcript.

    \b
    Examples:
      palaestra view runs/oracle
      palaestra view runs/oracle bridge-bhutan-017#0
      palaestra view runs/smollm2 --below 1 --transcripts --limit 3
      palaestra view runs/smollm2 --failed
    """
    from palaestra.harness.run_folder import find_runs

    out = console()
    wanted = "failed" if failed else status
    found = find_runs([run])
    if episode is not None:
        _one(out, found, episode, turns)
        return
    for each in found:
        entries = [
            entry
            for entry in each.entries
            if (wanted is None or entry.status == wanted)
            and (below is None or (entry.outcome is not None and entry.outcome < below))
        ]
        _table(out, each, entries, limit)
        for entry in entries[:limit] if transcripts else ():
            _transcript(out, each.episode(entry.episode_id), turns)


def _one(out: Console, runs: list[Run], episode_id: str, turns: int | None) -> None:
    holding = [run for run in runs if any(entry.episode_id == episode_id for entry in run.entries)]
    for run in holding or runs[:1]:
        episode = run.episode(episode_id)
        if len(holding) > 1:
            out.rule(run.name)
        _transcript(out, episode, turns)


def _table(out: Console, run: Run, entries: list[Entry], limit: int) -> None:
    from rich.table import Table
    from rich.text import Text

    title = f"{run.agent} on {run.env_id}, {run.manifest['status']}: {len(run.entries)} episodes"
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    for column in ("episode", "status", "outcome", "attempt", "error"):
        table.add_column(column, overflow="fold", justify="right" if column == "outcome" else "left")
    for entry in entries[:limit]:
        error = "" if entry.error is None else f"{entry.error['kind']}: {entry.error['message']}"
        outcome = "" if entry.outcome is None else f"{entry.outcome:.3f}"
        table.add_row(
            _safe(entry.episode_id),
            Text(entry.status, style=_COLOURS[entry.status]),
            outcome,
            str(entry.attempt or ""),
            _safe(error[:200]),
        )
    out.print(table)
    if len(entries) > limit:
        out.print(f"... and {len(entries) - limit} more; --limit shows them.")


def _safe(text: str) -> Any:
    """Text as it is, with nothing in it that a terminal would obey."""
    from rich.text import Text

    from palaestra.harness.report.text import readable

    return Text(readable(text))


def _transcript(out: Console, episode: Episode, limit: int | None) -> None:
    from rich.text import Text

    head = Text.assemble(
        (f"{episode.episode_id}  ", "bold"),
        (episode.status, _COLOURS[episode.status]),
        f"  outcome {'-' if episode.outcome is None else f'{episode.outcome:.3f}'}",
        f"  return {episode.episode_return:.3f}  {len(episode.turns)} turns  seed {episode.seed}",
    )
    out.rule(head, align="left")
    if not len(episode.observations):
        out.print(Text("It never began.", "dim"))
    else:
        _say(out, "observation", episode.observations[0], "cyan")
    shown = min(len(episode.turns), limit if limit is not None else 200)
    for t in range(shown):
        _turn(out, episode.turns[t], episode.observations[t + 1])
    if shown < len(episode.turns):
        out.print(f"... and {len(episode.turns) - shown} more turns; --turns shows them.")
    if episode.error is not None:
        error = episode.error
        out.print(Text("failed ", "bold red"), _safe(f"{error.kind} ({error.cause}): {error.message}"))
    out.print()


def _turn(out: Console, turn: Turn, after: Any) -> None:
    from rich.text import Text

    _say(out, f"turn {turn.t}", turn.action, "magenta")
    for call in turn.calls:
        style = "dim" if call.status == "ok" else "yellow"
        out.print(Text("  call "), _safe(f"{call.name} {dict(call.arguments)}: {call.status}"), style=style)
    terms = {name: value for name, value in turn.terms.items() if name != "env" or value != turn.reward}
    if turn.reward or any(terms.values()):
        parts = "".join(f"  {name} {value:+.3g}" for name, value in terms.items())
        out.print(_safe(f"  reward {turn.reward:+.3g}{parts}"), style="green" if turn.reward > 0 else "dim")
    _say(out, "observation", after, "cyan")


def _say(out: Console, who: str, what: Any, style: str) -> None:
    from rich.text import Text

    from palaestra.harness.worlds import as_text

    out.print(Text(f"[{who}]", f"bold {style}"))
    out.print(_safe(as_text(what)))
