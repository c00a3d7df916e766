"""An environment's tools as an MCP server: the episode is an argument of every call, so there are no sessions.

Both generations of the protocol are spoken, over stdio and over streamable HTTP; the client chooses.
"""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from palaestra import __version__
from palaestra.envs.language.tools import Tool
from palaestra.envs.tools.mcp.content import mcp_content
from palaestra.envs.tools.mcp.hosting import EpisodeHost, Refused
from palaestra.envs.tools.mcp.package import need_mcp
from palaestra.envs.tools.mcp.slots import Reply, Said, Verdict
from palaestra.episodes import TextPart
from palaestra.errors import ConfigError
from palaestra.registration import card, entry_class, make
from palaestra.serving import serve_app

if TYPE_CHECKING:
    from mcp.server import Server
    from mcp_types import CallToolResult

__all__ = ["EnvironmentServer", "serve_http", "serve_stdio"]

_META = "palaestra/episode"
_FRESH_MS = 3_600_000  # the list never changes
_CONTROLS = ("reset", "turn", "finish")
_EPISODE = {"type": "string", "description": "The episode, as reset named it."}
_VERDICT = {
    "type": "object",
    "properties": {
        "episode_id": {"type": "string"},
        "status": {"type": "string", "enum": ["running", "terminated", "truncated", "failed", "dropped"]},
        "turn": {"type": "integer"},
        "outcome": {"type": ["number", "null"]},
        "error": {"type": ["object", "null"]},
    },
    "required": ["episode_id", "status", "turn", "outcome"],
}
_STARTED = {
    "type": "object",
    "properties": {
        "episode_id": {"type": "string"},
        "observation": {"type": "string"},
        "task_id": {"type": ["string", "null"]},
        "group": {"type": ["string", "null"]},
        "split": {"type": ["string", "null"]},
        "tools": {"type": "array", "items": {"type": "string"}, "description": "The listed tools that it has."},
        "other_tools": {"type": "array", "items": {"type": "object"}, "description": "To be called through 'turn'."},
    },
    "required": ["episode_id", "observation"],
}


class EnvironmentServer:
    """The tools that are served, and what they do.

    Tools: `reset` starts an episode and gives its id; each of the environment's own, with `episode_id` beside its
    arguments, takes a turn; `turn` takes one in words, or with several calls, or with tools that only this episode
    has; `finish` ends an episode as it stands and says how it went. How an episode stands is in the `_meta` of every
    result, under `palaestra/episode`, which hosts see and models do not.

    Args:
        env_id: Id of a text environment with tools.
        env_kwargs: For its constructor. `dialect="json"` and `brief=True` unless given, where it takes them: calls
            come as MCP's, so the prompt need not say how to write them.
        max_episodes: See `EpisodeHost`.
        idle_seconds: See `EpisodeHost`.
        call_seconds: See `EpisodeHost`.

    Raises:
        ConfigError: The environment has no tools to offer, or a limit is out of range.
        MissingExtraError: The package `mcp`, or one that the environment needs, is not installed.
    """

    def __init__(
        self,
        env_id: str,
        env_kwargs: Mapping[str, Any] | None = None,
        *,
        max_episodes: int = 64,
        idle_seconds: float = 900.0,
        call_seconds: float = 120.0,
    ) -> None:
        need_mcp("The MCP server")
        found = card(env_id)
        if found.interface != "text" or found.agents != "single":
            raise ConfigError(f"{found.id} has no tools to offer; MCP serves text environments of one agent.")
        if found.concurrency == "process":
            max_episodes = 1
        kwargs = dict(env_kwargs or {})
        accepted = inspect.signature(entry_class(found)).parameters
        for name, value in {"dialect": "json", "brief": True}.items():
            if name in accepted:
                kwargs.setdefault(name, value)
        self.env_id = found.id
        self.host = EpisodeHost(
            lambda: make(found.id, **kwargs),
            max_episodes=max_episodes,
            idle_seconds=idle_seconds,
            call_seconds=call_seconds,
        )
        self._controls = _control_tools()
        env, tools = self.host.prepare()
        base = env.unwrapped
        if not hasattr(base, "tools") or not hasattr(base, "say"):
            raise ConfigError(f"{found.id} has no `tools` and no `say`; only environments with both can be served.")
        # Where each task brings tools of its own, those that there are beforehand are but examples.
        fixed = {_name(tool) for tool in base.tools} <= {_name(tool) for tool in tools}
        self._tools = {name: (own, tool) for name, own, tool in map(_served, tools if fixed else ())}
        self.summary = found.summary

    def server(self) -> Server[Any]:
        """The server, for any transport of the package `mcp`."""
        import mcp_types as types
        from mcp import MCPError
        from mcp.server import Server
        from mcp.server.caching import CacheHint

        listed = [self._controls["reset"], *(tool for _, tool in self._tools.values())]
        listed += [self._controls["turn"], self._controls["finish"]]

        async def on_list_tools(context: Any, params: Any) -> types.ListToolsResult:
            return types.ListToolsResult(tools=[types.Tool.model_validate(tool) for tool in listed])

        async def on_call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
            if params.name not in self._tools and params.name not in self._controls:
                known = ", ".join(tool["name"] for tool in listed)
                raise MCPError(types.INVALID_PARAMS, f"There is no tool '{params.name[:80]}'. There are: {known}.")
            try:
                return await self._call(params.name, dict(params.arguments or {}))
            except Refused as refusal:
                return _error(str(refusal))

        return Server(
            "palaestra",
            version=__version__,
            instructions=f"{self.env_id}: {self.summary} Start an episode with reset; pass its episode_id to every "
            "other tool.",
            cache_hints={"tools/list": CacheHint(ttl_ms=_FRESH_MS, scope="public")},
            on_list_tools=on_list_tools,
            on_call_tool=on_call_tool,
        )

    async def _call(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        if name in self._controls:
            problem = Tool(name, "", self._controls[name]["inputSchema"], str).problem(arguments)
            if problem is not None:
                raise Refused(problem)
        if name == "reset":
            return await self._reset(arguments)
        episode_id = arguments.pop("episode_id", None)
        if not isinstance(episode_id, str):
            raise Refused(f"'{name}' needs episode_id, a text: the id that reset gave.")
        if name == "finish":
            return _finished(episode_id, await self.host.finish(episode_id))
        said: Said = ({"name": self._tools[name][0], "arguments": arguments},) if name in self._tools else ""
        if name == "turn":
            if ("text" in arguments) == ("calls" in arguments):
                raise Refused("'turn' takes either text, which is said as it is, or calls.")
            said = arguments["text"] if "text" in arguments else arguments["calls"]
        return _replied(episode_id, await self.host.take_turn(episode_id, said))

    async def _reset(self, arguments: dict[str, Any]) -> CallToolResult:
        from mcp_types import CallToolResult, TextContent

        episode_id, observation, info = await self.host.reset(**arguments)
        facts = {key: info.get(key) for key in ("task_id", "group", "split")}
        listed = {own: name for name, (own, _) in self._tools.items()}
        there = [listed[name] for name in map(_name, info["tools"]) if name in listed]
        others = [dict(tool["function"]) for tool in info["tools"] if _name(tool) not in listed]
        texts = [f"episode_id: {episode_id}", observation]
        if len(there) < len(listed):
            texts.append(f"Of the tools, this episode has: {', '.join(there)}.")
        if others:
            texts.append(
                f"Tools of this episode, to be called through 'turn': {json.dumps(others, ensure_ascii=False)}"
            )
        return CallToolResult(
            content=[TextContent(type="text", text=text) for text in texts],
            structured_content={
                "episode_id": episode_id,
                "observation": observation,
                **facts,
                "tools": there,
                "other_tools": others,
            },
            _meta={_META: _standing(episode_id, Verdict("running", 0))},
        )


def serve_stdio(served: EnvironmentServer) -> None:
    """Serves over standard input and output, until the input ends.

    Args:
        served: What is served; its episodes are ended afterwards.
    """
    import asyncio

    from mcp.server.stdio import stdio_server

    async def run() -> None:
        server = served.server()
        try:
            async with stdio_server() as (reading, writing):
                await server.run(reading, writing, server.create_initialization_options())
        finally:
            await served.host.close()

    asyncio.run(run())


def serve_http(
    served: EnvironmentServer,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serves over streamable HTTP, until interrupted.

    Args:
        served: What is served; its episodes are ended afterwards.
        host: Name or address of the interface to listen at.
        port: Port; 0 for any that is free.
        ready: Called with the address of the endpoint as soon as it accepts connections.

    Raises:
        ConfigError: The server cannot listen there.
        MissingExtraError: uvicorn is not installed.
    """
    app = served.server().streamable_http_app(host=host)
    inner = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> Any:
        async with inner(app):
            try:
                yield
            finally:
                await served.host.close()

    app.router.lifespan_context = lifespan
    told = None if ready is None else lambda address: ready(f"{address}/mcp")
    serve_app("The MCP server", app, host, port, ready=told, lifespan=True)


def _control_tools() -> dict[str, dict[str, Any]]:
    return {
        "reset": {
            "name": "reset",
            "description": "Starts an episode: gives its episode_id and what there is to do.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "task_id": {"type": "string", "description": "Which task; drawn by the seed if left out."},
                    "seed": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
                    "episode_id": {
                        "type": "string",
                        "pattern": "^[A-Za-z0-9_.-]{1,64}$",
                        "description": "What to call the episode; a random name if left out.",
                    },
                },
                "additionalProperties": False,
            },
            "outputSchema": _STARTED,
        },
        "turn": {
            "name": "turn",
            "description": "Takes a turn in words, or with one or several calls at once. Give either.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "episode_id": _EPISODE,
                    "text": {"type": "string", "description": "What is said, as it is."},
                    "calls": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "properties": {"name": {"type": "string"}, "arguments": {"type": "object"}},
                            "required": ["name", "arguments"],
                            "additionalProperties": False,
                        },
                    },
                },
                "required": ["episode_id"],
                "additionalProperties": False,
            },
        },
        "finish": {
            "name": "finish",
            "description": "Ends an episode as it stands and says how it went; of one that has ended, how it did.",
            "inputSchema": {
                "type": "object",
                "properties": {"episode_id": _EPISODE},
                "required": ["episode_id"],
                "additionalProperties": False,
            },
            "outputSchema": _VERDICT,
        },
    }


def _name(openai: Mapping[str, Any]) -> str:
    return str(openai["function"]["name"])


def _served(openai: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """A tool's name here, its name in the environment, and how it is listed."""
    function = openai["function"]
    own, schema = function["name"], dict(function["parameters"])
    properties = dict(schema.get("properties", {}))
    if "episode_id" in properties:
        raise ConfigError(f"The tool '{own}' has a parameter 'episode_id' of its own and cannot be served.")
    schema["properties"] = {"episode_id": _EPISODE, **properties}
    schema["required"] = ["episode_id", *schema.get("required", ())]
    name = f"env_{own}" if own in _CONTROLS else own
    return name, own, {"name": name, "description": function["description"], "inputSchema": schema}


def _standing(episode_id: str, verdict: Verdict) -> dict[str, Any]:
    facts = {"episode_id": episode_id, "status": verdict.status, "turn": verdict.turn, "outcome": verdict.outcome}
    return facts if verdict.error is None else {**facts, "error": dict(verdict.error)}


def _replied(episode_id: str, reply: Reply) -> CallToolResult:
    from mcp_types import CallToolResult

    content = list(reply.content)
    if reply.verdict.status in ("terminated", "truncated"):
        content.append(TextPart(f"The episode has ended ({reply.verdict.status})."))
    return CallToolResult(
        content=mcp_content(content),
        is_error=reply.is_error,
        _meta={_META: _standing(episode_id, reply.verdict)},
    )


def _finished(episode_id: str, verdict: Verdict) -> CallToolResult:
    from mcp_types import CallToolResult

    standing = _standing(episode_id, verdict)
    said = f"The episode has ended ({verdict.status}), outcome {verdict.outcome}."
    return CallToolResult(content=mcp_content([TextPart(said)]), structured_content=standing, _meta={_META: standing})


def _error(message: str) -> CallToolResult:
    from mcp_types import CallToolResult

    return CallToolResult(content=mcp_content([TextPart(message)]), is_error=True)
