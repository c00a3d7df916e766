"""The package `mcp`, which is optional."""

from __future__ import annotations

from palaestra.errors import MissingExtraError

__all__ = ["need_mcp"]


def need_mcp(what: str) -> None:
    """Imports the package.

    Args:
        what: What needs it, for the message.

    Raises:
        MissingExtraError: It is not installed, or is of the first generation.
    """
    try:
        from mcp import Client  # noqa: F401 (its second version has it)
    except ImportError as error:
        raise MissingExtraError(what, "mcp") from error
