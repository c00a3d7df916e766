"""`palaestra check`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from palaestra.harness.cli.common import env_option, key_values

_MARKS = {"passed": ("ok      ", "green"), "failed": ("FAILED  ", "red"), "skipped": ("skipped ", "yellow")}


@click.command("check")
@click.argument("env_id", metavar="ENV")
@env_option
@click.option("--only", multiple=True, metavar="CHECK", help="Only this check; repeatable.")
@click.option("--skip", multiple=True, metavar="CHECK", help="Leave this check out; repeatable.")
@click.option("--fuzz", default=20_000, show_default=True, help="Number of strings of the fuzz.")
@click.option("--seed", default=0, show_default=True, help="Seeds everything that the checks draw.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the certificate to this file, as JSON.")
@click.option("--list", "listed", is_flag=True, help="List the checks instead; ENV is not looked at.")
def command(
    env_id: str,
    env_pairs: tuple[str, ...],
    only: tuple[str, ...],
    skip: tuple[str, ...],
    fuzz: int,
    seed: int,
    out: Path | None,
    listed: bool,
) -> int:
    r"""Check that an environment keeps its promises: interfaces, determinism, bounds of its policies, no leaks.

    Works for every environment, yours too. Exit code 3 if a check failed.

    \b
    Examples:
      palaestra check palaestra/FactbookSearch-v0
      palaestra check my_package:mine/Env-v0 --skip fuzz --out certificate.json
      palaestra check palaestra/FactbookSearch-v0 --only policies --only canary
    """
    from palaestra.harness.check import CHECKS, check

    if listed:
        for item in CHECKS:
            click.echo(f"{item.name:14}{item.description}")
        return 0

    def progress(name: str, done: int, count: int) -> None:
        if name and sys.stderr.isatty():
            click.echo(f"\r\x1b[K{done + 1}/{count} {name} ...", nl=False, err=True)

    certificate = check(
        env_id,
        env_kwargs=key_values(env_pairs, "--env"),
        only=only or None,
        skip=skip,
        fuzz=fuzz,
        seed=seed,
        progress=progress,
    )
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)
    for result in certificate.results:
        mark, colour = _MARKS[result.status]
        detail = result.detail.replace("\n", "\n" + " " * 22)
        click.echo(f"{click.style(mark, fg=colour)}{result.name:14}{detail}  ({result.seconds:.1f} s)")
    if out is not None:
        click.echo(f"Certificate: {certificate.write(out)}")
    failed = len(certificate.failed)
    verdict = f"{failed} failed" if failed else "all is well"
    click.secho(f"{certificate.env_id}: {len(certificate.results)} checks, {verdict}", bold=True)
    return 3 if failed else 0
