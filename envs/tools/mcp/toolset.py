"""A server's tools as tools of an environment."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from palaestra.envs.language.tools import Tool, ToolOutput
from palaestra.envs.tools.mcp.connection import ListedTool
from palaestra.envs.tools.mcp.faults import shown
from palaestra.errors import ConfigError, EpisodeFailure, UnknownNameError

__all__ = ["chosen_tools", "make_tools"]

_OTHER = re.compile(r"[^A-Za-z0-9_-]")
_RESERVED = "answer"  # the environment's own, with which every dialect ends an episode
_DESCRIPTION_CHARS = 4000
_MAX_NODES = 20_000


def chosen_tools(listed: Sequence[ListedTool], names: Sequence[str] | None) -> tuple[ListedTool, ...]:
    """The tools with these names, in the server's order.

    Args:
        listed: All of the server's tools.
        names: Names on the server; None for all tools.

    Raises:
        UnknownNameError: The server has no tool of one of these names.
        ConfigError: None is left.
    """
    if names is not None:
        for name in names:
            if name not in (tool.name for tool in listed):
                raise UnknownNameError("tool on the MCP server", name, (tool.name for tool in listed))
    found = tuple(tool for tool in listed if names is None or tool.name in names)
    if not found:
        raise ConfigError("The MCP server offers no tools, or none was chosen by `tools`.")
    return found


def make_tools(
    listed: Sequence[ListedTool], call: Callable[[str, dict[str, Any]], ToolOutput]
) -> dict[str, tuple[ListedTool, Tool]]:
    """Tools that call those of the server, by their names here.

    A name here is the one there with other characters than letters, digits, `_` and `-` replaced by `_`; a tool
    `answer` is called `server_answer`, since `answer` ends the episode. A tool whose only parameter is a string has it
    as its primary one.

    Args:
        listed: The server's tools.
        call: Called with a tool's name on the server and its arguments.

    Raises:
        EpisodeFailure: A schema cannot be used, or two names fall together.
    """
    tools: dict[str, tuple[ListedTool, Tool]] = {}
    for tool in listed:
        name = _OTHER.sub("_", tool.name)
        name = f"server_{name}" if name == _RESERVED else name
        if not name or name in tools:
            problem = (
                f"The server's tool {shown(repr(tool.name))} has no name of its own here; choose others by `tools`."
            )
            raise EpisodeFailure("mcp_garbage", problem, retryable=False)
        try:
            tools[name] = tool, _make(name, tool, call)
        except (ConfigError, RecursionError, TypeError, ValueError) as error:
            problem = f"The server's tool {shown(repr(tool.name))} cannot be used: {shown(error, 600)}"
            raise EpisodeFailure("mcp_garbage", problem, retryable=False) from error
    return tools


def _make(name: str, tool: ListedTool, call: Callable[[str, dict[str, Any]], ToolOutput]) -> Tool:
    schema = _inlined({key: value for key, value in tool.parameters.items() if key != "$schema"})
    if not schema.keys() & {"properties", "additionalProperties", "$ref", "allOf", "anyOf", "oneOf", "if"}:
        schema["additionalProperties"] = True  # it says nothing of what it takes
    properties = schema.setdefault("properties", {})
    primary = None
    if len(properties) == 1:
        ((only, kind),) = properties.items()
        primary = only if isinstance(kind, Mapping) and kind.get("type") == "string" else None

    def run(**arguments: Any) -> ToolOutput:
        return call(tool.name, arguments)

    return Tool(name, tool.description[:_DESCRIPTION_CHARS], schema, run, primary=primary)


def _inlined(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with what it refers to put in place, so that agents can read it; circles stay references.

    Raises:
        ConfigError: It refers to something outside of itself, or to nothing, or is enormous.
    """
    left = _MAX_NODES

    def put(node: Any, above: tuple[str, ...]) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise ConfigError(f"its schema has more than {_MAX_NODES:,} parts")
        if isinstance(node, list):
            return [put(item, above) for item in node]
        if not isinstance(node, Mapping):
            return node
        reference = node.get("$ref")
        if isinstance(reference, str):
            target = _target(schema, reference)
            if reference not in above:
                found = put(target, (*above, reference))
                others = {key: put(value, above) for key, value in node.items() if key != "$ref"}
                return {**found, **others} if isinstance(found, dict) else found
        return {key: put(value, above) for key, value in node.items()}

    whole: dict[str, Any] = put(schema, ())
    if "#/" not in json.dumps(whole):
        whole.pop("$defs", None)
        whole.pop("definitions", None)
    return whole


def _target(schema: Any, reference: str) -> Any:
    if not reference.startswith("#"):
        raise ConfigError(f"its schema refers to {shown(reference)!r}; only references within it (#/...) are followed")
    for step in reference.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(schema, Mapping) or key not in schema:
            raise ConfigError(f"its schema refers to {shown(reference)!r}, which it does not hold")
        schema = schema[key]
    return schema
