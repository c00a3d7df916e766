"""`palaestra run`."""

from __future__ import annotations

import shlex
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from palaestra.harness.cli.common import console, env_option, key_values, new_folder
from palaestra.harness.schedule import slug

if TYPE_CHECKING:
    from palaestra.harness.run_folder import Run

_CODES = {"finished": 0, "budget": 4, "disk": 4, "interrupted": 130}


@click.command("run")
@click.argument("env_id", metavar="ENV")
@click.option("--agent", "-a", "agents", multiple=True, required=True, metavar="AGENT", help="Who plays; repeatable.")
@click.option("--episodes", "-n", default="20", metavar="N", help="How many tasks, or 'all'.", show_default=True)
@click.option("--samples", "-k", default=1, metavar="K", help="How often each task is played.", show_default=True)
@click.option("--split", default=None, help="train, val, test or all. By default what the environment chooses.")
@click.option("--task", "tasks", multiple=True, metavar="ID", help="Exactly this task; repeatable.")
@click.option("--seed", default=0, help="Everything random follows from it.", show_default=True)
@click.option("--concurrency", "-c", default=None, type=int, metavar="N", help="Worlds played at once.  "
              "[default: 16 for models, else one a core]")  # fmt: skip
@env_option
@click.option("--reward", "rewards", multiple=True, metavar="NAME[:WEIGHT]", help="Reward turns by this; repeatable. "
              "By default by the environment's own reward.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Where to record.  [default: runs/TIME-ENV]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out; nothing is lost or played twice.")
@click.option("--retry-failed", is_flag=True, help="With --resume: play failed episodes again.")
@click.option("--retries", default=1, metavar="N", help="Times a failed episode is tried again at once.",
              show_default=True)  # fmt: skip
@click.option("--max-turns", type=int, metavar="N", help="Cut episodes off after so many turns.")
@click.option("--max-time", type=float, metavar="SECONDS", help="Stop each agent's run after so long.")
@click.option("--max-tokens", type=int, metavar="N", help="Stop each agent's run after so many tokens, read and "
              "written.")  # fmt: skip
@click.option("--max-cost", type=float, metavar="DOLLARS", help="Stop each agent's run when so much is spent.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Longest a step of the environment, or an answer of a "
              "model, may take.  [default: 120 and 600]")  # fmt: skip
@click.option("--deterministic", is_flag=True, help="Models in this process: episodes advance in lock step, so the "
              "same seed and concurrency give the same bytes.")  # fmt: skip
@click.option("--report/--no-report", default=True, help="Whether to write report.html.", show_default=True)
def command(
    env_id: str,
    agents: tuple[str, ...],
    episodes: str,
    samples: int,
    split: str | None,
    tasks: tuple[str, ...],
    seed: int,
    concurrency: int | None,
    env_pairs: tuple[str, ...],
    rewards: tuple[str, ...],
    out: Path | None,
    resume: bool,
    retry_failed: bool,
    retries: int,
    max_turns: int | None,
    max_time: float | None,
    max_tokens: int | None,
    max_cost: float | None,
    timeout: float | None,
    deterministic: bool,
    report: bool,
) -> int:
    r"""Roll agents out on an environment and record every episode.

    Agents are policies that the environment ships (null, echo, random, prior, oracle, ...), models
    (transformers:smollm2, openai:MODEL@URL, server:MODEL@URL), or names that plugins give; options of an agent stand
    behind a question mark. Several agents play one after another; each gets a run folder under --out, and all share one
    table and one report.

    \b
    Examples:
      palaestra run palaestra/FactbookSearch-v0 --agent oracle --agent prior --episodes 50
      palaestra run palaestra/FactbookSearch-v0 -a 'transformers:smollm2?temperature=0' -n 8 --out runs/smollm2
      palaestra run palaestra/FactbookSearch-v0 -a oracle --reward outcome --reward format:0.2
      palaestra run palaestra/FactbookSearch-v0 -a oracle --out runs/big -n all --resume
    """
    from palaestra import registration
    from palaestra.harness.api import run
    from palaestra.harness.cli.progress import Progress
    from palaestra.harness.runner import Limits

    if retry_failed and not resume:
        raise click.UsageError("--retry-failed goes with --resume: it plays failed episodes of a recorded run again.")
    if resume and out is None:
        raise click.UsageError("--resume needs --out: the folder of the run to go on with.")
    if len(set(agents)) < len(agents):
        raise click.UsageError("An --agent is named twice.")
    count = _count(episodes)
    card = registration.card(env_id)
    folder = out or new_folder(slug(card.id.rpartition("/")[2]))
    limits = Limits(retries=retries, turns=max_turns, time=max_time, tokens=max_tokens)
    if timeout is not None:
        limits = Limits(timeout, max(timeout, 600.0), timeout, retries, max_turns, max_time, max_tokens)
    env_kwargs = key_values(env_pairs, "--env")
    runs: list[Run] = []
    with Progress(agents, ticking=any(map(_thinks, agents))) as progress, warnings.catch_warnings():
        warnings.showwarning = _show  # a torn line is dropped, a server is slow: one line, not a stack
        for name in agents:
            runs.append(
                _play(
                    run,
                    name,
                    max_cost,
                    progress,
                    env_id=env_id,
                    out=folder if len(agents) == 1 else folder / slug(name),
                    env_kwargs=env_kwargs,
                    split=split,
                    tasks=tasks,
                    episodes=count,
                    samples=samples,
                    seed=seed,
                    rewards=rewards,
                    concurrency=concurrency,
                    limits=limits,
                    deterministic=deterministic,
                    resume=resume,
                    retry_failed=retry_failed,
                )
            )
            if runs[-1].manifest["status"] in ("disk", "interrupted"):
                break
    return _conclude(runs, folder, report)


def _play(
    run: Any, name: str, max_cost: float | None, progress: Any, *, concurrency: int | None, resume: bool, **asked: Any
) -> Run:
    from palaestra.agents.registry import make_agent
    from palaestra.harness.manifest import cores

    agent = make_agent(name, **_budgets(name, max_cost, asked["limits"].tokens))
    try:
        # With several agents, an interrupted run may not have begun with all of them.
        played: Run = run(
            agent=agent,
            concurrency=concurrency or (16 if agent.policy is None else cores()),
            resume=resume and (asked["out"] / "manifest.json").exists(),
            on_start=lambda done, total: progress.start(name, done, total),
            on_world=lambda episodes: progress.add(name, episodes),
            **asked,
        )
    finally:
        agent.close()
    return played


def _thinks(agent: str) -> bool:
    """Whether its worlds may take long."""
    return ":" in agent and not agent.startswith("policy:")


def _budgets(agent: str, max_cost: float | None, max_tokens: int | None) -> dict[str, Any]:
    """What an agent behind a server must watch itself: only it sees the bill. Agents in this process cost nothing."""
    given = {"max_cost": max_cost, "max_tokens": max_tokens} if agent.partition(":")[0] == "openai" else {}
    return {name: value for name, value in given.items() if value is not None}


def _count(episodes: str) -> int | None:
    if episodes == "all":
        return None
    if not episodes.isdigit() or int(episodes) < 1:
        raise click.UsageError(f"--episodes is '{episodes}'; give a number of at least 1, or 'all'.")
    return int(episodes)


def _show(
    message: Any, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    click.echo(f"Note: {message}", err=True)


def _conclude(runs: list[Run], folder: Path, report: bool) -> int:
    from palaestra import registration
    from palaestra.harness.cli.summary import kinds_table, summary_table

    out = console()
    out.print(summary_table(runs))
    by_kind = kinds_table(runs)
    if by_kind is not None:
        out.print(by_kind)
    note = registration.card(runs[0].env_id).note if runs else ""
    if note:
        click.echo(f"Note: {note}")
    for run in runs:
        status = run.manifest["status"]
        if status != "finished":
            done, asked = len({entry.world_id for entry in run.entries}), run.manifest["requests"]["worlds"]
            click.echo(f"{run.agent}: stopped after {done} of {asked}. {run.manifest['message']}", err=True)
        click.echo(f"{run.agent}: {run.path}  digest {run.manifest['digest'][:16]}")
    if report:
        _report(runs, folder)
    codes = [_CODES[run.manifest["status"]] for run in runs]
    if any(codes):
        click.echo(f"Go on with:\n  {_again(folder)}", err=True)
        return max(codes)
    return 3 if any(entry.status == "failed" for run in runs for entry in run.entries) else 0


def _report(runs: list[Run], folder: Path) -> None:
    from palaestra.harness.report import write_report

    click.echo(f"Report: {write_report(runs, folder)}")


def _again(folder: Path) -> str:
    words = ["palaestra", *sys.argv[1:]]
    if not any(word == "--out" or word.startswith("--out=") for word in words):
        words += ["--out", str(folder)]
    return shlex.join(words if "--resume" in words else [*words, "--resume"])
