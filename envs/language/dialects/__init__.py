"""Dialects: how an utterance says which tools to call.

`tags` as Search-R1 writes (`<search>...</search>`), `hermes` (`<tool_call>{json}</tool_call>`), `json` (the utterance
is the JSON). Each parses strictly, with messages that help, and renders calls.
"""

from __future__ import annotations

from palaestra.envs.language.dialects.base import CallRequest, Dialect, DialectError
from palaestra.plugins import Registry

__all__ = ["CallRequest", "Dialect", "DialectError", "make_dialect"]

_BUILT_IN = {
    "tags": "palaestra.envs.language.dialects.tags:TagsDialect",
    "hermes": "palaestra.envs.language.dialects.hermes:HermesDialect",
    "json": "palaestra.envs.language.dialects.json:JsonDialect",
}


def make_dialect(dialect: str | Dialect) -> Dialect:
    """A dialect by name; an object that is one is given back.

    Raises:
        UnknownNameError: There is no such dialect; the nearest is suggested.
    """
    if not isinstance(dialect, str):
        return dialect
    registry: Registry[Dialect] = Registry("dialect", _BUILT_IN)
    return registry.make(dialect)
