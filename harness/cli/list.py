"""`palaestra list`."""

from __future__ import annotations

import inspect

import click

from palaestra.harness.cli.common import console


@click.command("list")
@click.argument("env_id", required=False)
@click.option("--plugins/--no-plugins", default=True, help="Whether installed plugins are asked for theirs.")
def command(env_id: str | None, plugins: bool) -> None:
    r"""List the environments, or explain one.

    \b
    Examples:
      palaestra list
      palaestra list palaestra/FactbookSearch-v0
    """
    if env_id is None:
        _table(plugins)
    else:
        _one(env_id)


def _table(plugins: bool) -> None:
    from rich.table import Table

    import palaestra
    from palaestra.plugins import load_plugins

    if plugins:
        load_plugins()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("environment", "family", "kind", "interface", "agents", "extras"):
        table.add_column(column, no_wrap=column == "environment")
    table.add_column("what it is", overflow="fold")
    for card in palaestra.cards():
        extras = ", ".join(card.extras)
        table.add_row(card.id, card.family, card.kind, card.interface, card.agents, extras, card.summary)
    console().print(table)


def _one(env_id: str) -> None:
    from rich.markdown import Markdown
    from rich.table import Table

    import palaestra
    from palaestra.errors import ConfigError
    from palaestra.registration import entry_class

    card = palaestra.card(env_id)
    out = console()
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    facts.add_row("id", card.id)
    for name in ("summary", "family", "kind", "interface", "agents", "concurrency", "snapshot"):
        facts.add_row(name, str(getattr(card, name)))
    if card.note:
        facts.add_row("note", card.note)
    if card.extras:
        facts.add_row("install", f"pip install 'palaestra\\[{','.join(card.extras)}]'")
    try:
        env = palaestra.make(env_id)
    except ConfigError as error:  # an environment that needs options of its own
        facts.add_row("spaces", f"(shown once it can be made: {error})")
    else:
        for row in _spaces(env):
            facts.add_row(*row)
        env.close()
    out.print(facts)
    doc = inspect.getdoc(entry_class(card))
    if doc:
        out.print()
        out.print(Markdown(doc))


def _spaces(env: object) -> list[tuple[str, str]]:
    import gymnasium as gym

    if isinstance(env, gym.Env):
        policies = getattr(env.unwrapped, "policy_names", ())
        rows = [("observation", str(env.observation_space)), ("action", str(env.action_space))]
        return [*rows, ("policies", ", ".join(policies))] if policies else rows
    rows = []
    for agent in env.possible_agents:  # type: ignore[attr-defined]
        rows.append((f"{agent} sees", str(env.observation_space(agent))))  # type: ignore[attr-defined]
        rows.append((f"{agent} does", str(env.action_space(agent))))  # type: ignore[attr-defined]
    return rows
