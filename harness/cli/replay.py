"""`palaestra replay`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("replay")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("episodes", nargs=-1, metavar="[EPISODE]...")
@click.option("--all", "every", is_flag=True, help="Every episode of the run.")
def command(run: Path, episodes: tuple[str, ...], every: bool) -> int:
    r"""Play recorded actions again in a fresh environment and say whether everything came out equal.

    Observations, rewards of the environment, tool calls, infos, status and outcome are compared. Exit code 3 if
    anything differs.

    \b
    Examples:
      palaestra replay runs/oracle bridge-bhutan-017#0
      palaestra replay runs/oracle --all
    """
    from palaestra.harness.replay import replay
    from palaestra.harness.run_folder import Run

    if bool(episodes) == every:
        raise click.UsageError("Name one or more episodes, or say --all. palaestra view RUN lists them.")
    opened = Run.open(run)
    worlds = {entry.world_id: entry.episode_id for entry in reversed(opened.entries)}
    differing = 0
    for episode_id in reversed(worlds.values()) if every else episodes:
        found = replay(opened, episode_id)
        if not found.differences:
            click.echo(f"{found.world_id}: equal, {found.turns} turns")
            continue
        differing += 1
        expected = " (its card says: nondeterministic)" if found.nondeterministic else ""
        click.secho(f"{found.world_id}: differs{expected}", fg="red")
        for difference in found.differences:
            click.echo(f"  {difference}")
    return 3 if differing else 0
