"""`palaestra export`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("export")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--format", "form", required=True, metavar="FORMAT", help="sft, preference, jsonl or parquet.")
@click.option("--out", type=click.Path(path_type=Path), help="The file.  [default: in the first RUN]")
@click.option("--min-outcome", default=1.0, show_default=True, help="For sft: only episodes at least this good.")
@click.option("--agent-id", help="Only this agent's episodes, in worlds of several.")
def command(runs: tuple[Path, ...], form: str, out: Path | None, min_outcome: float, agent_id: str | None) -> None:
    r"""Export recorded runs for training elsewhere. Ground truth is never exported, nor are failed episodes.

    \b
    Formats:
      sft         JSONL of dialogues ("messages") that went well
      preference  JSONL of "prompt", "chosen", "rejected": the best and the worst of each task
      jsonl       every valid episode, with rewards, terms and tool calls by turn
      parquet     the same as a table (needs the extra 'parquet')

    \b
    Examples:
      palaestra export runs/oracle --format sft --out sft.jsonl
      palaestra export runs/oracle runs/smollm2 --format preference --out pairs.jsonl
    """
    from palaestra.harness.export import export
    from palaestra.harness.run_folder import find_runs

    ending = "parquet" if form == "parquet" else "jsonl"
    path = out or runs[0] / f"export-{form}.{ending}"
    count = export(find_runs(runs), form, path, min_outcome=min_outcome, agent_id=agent_id)
    click.echo(f"{count} rows: {path}")
