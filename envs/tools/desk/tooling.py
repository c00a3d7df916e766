"""How the office's tools are declared: a name, a description, a JSON Schema, and the function that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "DeskTool",
    "boolean",
    "choice",
    "date",
    "identifier",
    "integer",
    "listing",
    "moment",
    "money",
    "text",
    "tool",
]

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeskTool:
    """A tool of the office, not yet bound to a world.

    Attributes:
        name: The application, `_`, what it does.
        description: For the agent.
        parameters: JSON Schema of an object; draft 2020-12.
        run: Called with the office and the arguments by keyword; gives a result that JSON can say.
        writes: Whether it changes the state.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[..., Mapping[str, Any]]
    writes: bool

    @property
    def app(self) -> str:
        """The application that it belongs to."""
        return self.name.partition("_")[0]


def tool(
    name: str,
    description: str,
    run: Callable[..., Mapping[str, Any]],
    *,
    required: Mapping[str, Schema] | None = None,
    optional: Mapping[str, Schema] | None = None,
    writes: bool = False,
) -> DeskTool:
    """Declares a tool."""
    parameters = {
        "type": "object",
        "properties": {**(required or {}), **(optional or {})},
        "required": list(required or ()),
        "additionalProperties": False,
    }
    return DeskTool(name, description, parameters, run, writes)


def text(description: str, most: int = 200, least: int = 1) -> Schema:
    """A text of bounded length, in characters."""
    return {"type": "string", "description": description, "minLength": least, "maxLength": most}


def identifier(description: str) -> Schema:
    """The id of a record."""
    return {"type": "string", "description": description, "minLength": 1, "maxLength": 80}


def integer(description: str, least: int, most: int) -> Schema:
    """A whole number."""
    return {"type": "integer", "description": description, "minimum": least, "maximum": most}


def money(description: str, most: int = 1_000_000) -> Schema:
    """An amount in euros with at most two decimals."""
    return {
        "type": "number",
        "description": f"{description} In euros, at most two decimals.",
        "minimum": 0.01,
        "maximum": most,
    }


def boolean(description: str) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": description}


def choice(description: str, *values: str) -> Schema:
    """One of some words."""
    return {"type": "string", "description": description, "enum": list(values)}


def moment(description: str) -> Schema:
    """A moment, in local time and without an offset."""
    return {
        "type": "string",
        "format": "date-time",
        "description": f"{description} Local time, YYYY-MM-DDTHH:MM.",
        "maxLength": 19,
    }


def date(description: str) -> Schema:
    """A day."""
    return {"type": "string", "format": "date", "description": f"{description} YYYY-MM-DD.", "maxLength": 10}


def listing(description: str, items: Schema, most: int = 20, least: int = 1) -> Schema:
    """A list of different things."""
    return {"type": "array", "description": description, "items": items, "minItems": least, "maxItems": most}
