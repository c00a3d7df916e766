"""The command line: `palaestra COMMAND`, one module a command."""

from palaestra.harness.cli.app import main

__all__ = ["main"]
