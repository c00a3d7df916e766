"""The group of all commands, each imported when it is asked for; errors and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from palaestra.errors import BudgetExceeded, DiskFull, PalaestraError, nearest
from palaestra.plugins import load_object

__all__ = ["commands", "main"]

_COMMANDS = {
    "list": "palaestra.harness.cli.list:command",
    "run": "palaestra.harness.cli.run:command",
    "train": "palaestra.harness.cli.train:command",
    "compare": "palaestra.harness.cli.compare:command",
    "reproduce": "palaestra.harness.cli.reproduce:command",
    "report": "palaestra.harness.cli.report:command",
    "view": "palaestra.harness.cli.view:command",
    "replay": "palaestra.harness.cli.replay:command",
    "score": "palaestra.harness.cli.score:command",
    "export": "palaestra.harness.cli.export:command",
    "check": "palaestra.harness.cli.check:command",
    "serve": "palaestra.harness.cli.serve:command",
}

EXIT_CODES = """
\b
Exit codes:
  0    fine
  1    what was asked cannot be done; the message says why
  2    the command line was not understood
  3    it ran, but some episodes failed, a check failed, or a replay differs
  4    a budget was spent or the disk is full; --resume goes on
  130  interrupted; --resume goes on
"""

_HELP = f"""Training grounds for agents: roll out, record, compare.

\b
A first run, a look at it, and what there is to run:
  palaestra run palaestra/FactbookSearch-v0 --agent oracle --agent prior
  palaestra view runs/...
  palaestra list

Every command explains itself: palaestra COMMAND --help
{EXIT_CODES}"""


class _Lazy(click.Group):
    """A group whose commands are imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        found: click.Command = load_object(_COMMANDS[cmd_name])
        # Docstrings with a backslash are raw by convention, and click's mark for text as it stands is a control.
        for command in (found, *getattr(found, "commands", {}).values()):
            command.help = (command.help or "").replace("\\b\n", "\b\n")
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            raise click.UsageError(f"There is no command '{args[0]}'. {nearest(args[0], _COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


@click.command(
    cls=_Lazy, help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="palaestra", message="palaestra %(version)s")
def commands(debug: bool) -> None:
    """The command `palaestra`."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits."""
    arguments = list(sys.argv[1:] if args is None else args)
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    # An error is looked into at the end of a line, so the switch may stand anywhere.
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = commands.main(args=arguments, prog_name="palaestra", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # else whoever raised it has said so
            click.echo("Interrupted.", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        return _broken_pipe()
    except PalaestraError as error:
        if debug:
            raise
        _complain(str(error))
        return 4 if isinstance(error, BudgetExceeded | DiskFull) else 1
    except OSError as error:
        if debug or error.filename is None:
            raise
        _complain(f"{error.filename}: {error.strerror}. --debug shows what was being done.")
        return 1


def _complain(text: str) -> None:
    click.secho("Error: ", fg="red", nl=False, err=True)
    click.echo(text, err=True)


def _broken_pipe() -> int:
    """The reader has seen enough (`palaestra list | head`): nothing more is written, not even at exit."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
