"""A connection to an MCP server, for callers that do not run an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from palaestra.background import BackgroundLoop
from palaestra.envs.tools.mcp.endpoint import Endpoint
from palaestra.envs.tools.mcp.faults import FaultKind, shown
from palaestra.envs.tools.mcp.session import CLOSE_SECONDS, Session
from palaestra.errors import EpisodeFailure, ToolError

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult

__all__ = ["ListedTool", "McpConnection"]

_MAX_PAGES, _MAX_TOOLS = 100, 1000
_LATE_SECONDS = 5.0  # after a deadline, for the event loop to say so; then the loop itself hangs

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ListedTool:
    """A tool as the server lists it.

    Attributes:
        name: Its name there.
        description: What it does.
        parameters: JSON Schema of its arguments.
        output: JSON Schema of its structured results; None where it promises none.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    output: Mapping[str, Any] | None


class McpConnection:
    """Speaks to an MCP server from any thread, one request at a time.

    Sessions live on an event loop in a thread of the connection's own. Whatever goes wrong with the server ends the
    session and raises an `EpisodeFailure` of one of the kinds in `faults`; the next `open` starts a new one.

    Args:
        endpoint: Where the server is.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        # What `mcp` logs is in our failures, too; by default it would stand on the terminal with its traceback.
        for logger in map(logging.getLogger, ("mcp", "client")):
            if not logger.handlers:
                logger.addHandler(logging.NullHandler())
        self.endpoint = endpoint
        self._loop = BackgroundLoop("palaestra-mcp")
        self._session: Session | None = None
        self._pid = os.getpid()

    @property
    def is_open(self) -> bool:
        """Whether there is a session, and nothing has gone wrong with it yet."""
        here = self._pid == os.getpid()
        return here and self._session is not None and self._session.fault.failure is None

    @property
    def news(self) -> bool:
        """Whether the server said, in this session, that its tools have changed."""
        return self._session is not None and self._session.news

    @property
    def protocol(self) -> str:
        """The version of the protocol that the session speaks; empty without one."""
        client = None if self._session is None else self._session.client
        return "" if client is None else client.protocol_version

    @property
    def instructions(self) -> str:
        """What the server says about its use; empty where it says nothing."""
        client = None if self._session is None else self._session.client
        return "" if client is None else client.instructions or ""

    def open(self) -> tuple[ListedTool, ...]:
        """Starts a new session, in place of the old one if there is one.

        Returns:
            The server's tools. With a pinned protocol, to list them is the first thing that the server hears.

        Raises:
            EpisodeFailure: The server does not start, cannot be reached, or does not speak the protocol.
        """
        self._come_home()
        self.drop()

        async def start() -> None:
            self._session = Session(self.endpoint)
            await self._session.open()

        try:
            self._do(start(), self.endpoint.connect_seconds)
        except EpisodeFailure:
            self.drop()
            raise
        return self._list_tools(self.endpoint.connect_seconds)

    def drop(self) -> None:
        """Ends the session, if there is one; a server that was started for it ends, too."""
        self._come_home()
        session, self._session = self._session, None
        if session is not None:
            future = self._loop.submit(session.close())
            with contextlib.suppress(EpisodeFailure):
                self._result(future, 2 * CLOSE_SECONDS)

    def close(self) -> None:
        """Ends the session and the thread for good. May be called twice."""
        self.drop()
        self._loop.close()

    def list_tools(self) -> tuple[ListedTool, ...]:
        """The tools that the server has now, in its order.

        Raises:
            EpisodeFailure: It does not say, or says nonsense.
        """
        return self._list_tools(self.endpoint.call_seconds)

    def call(self, name: str, arguments: Mapping[str, Any], *, forgive_delay: bool = False) -> CallToolResult:
        """What a tool gives for these arguments; `is_error` where it says that it could not do it.

        Args:
            name: The tool, as the server calls it.
            arguments: By name.
            forgive_delay: Whether a missing answer is the call's fault: the session then goes on.

        Raises:
            ToolError: The server refused the call, or gave no answer in time where that is forgiven.
            EpisodeFailure: The server is out of order, or its answer is not one.
        """
        from mcp import MCPError

        async def call(client: Client) -> CallToolResult:
            return await client.call_tool(name, dict(arguments))

        try:
            return self._ask(call, f"an answer to '{name}'", self.endpoint.call_seconds)
        except EpisodeFailure as failure:
            if forgive_delay and failure.kind == "mcp_timeout" and self.is_open:
                raise ToolError(f"'{name}' gave no answer within {self.endpoint.call_seconds:g} s.") from failure
            self.drop()
            raise
        except MCPError as error:
            raise self._judged(name, error) from error

    # On the event loop -------------------------------------------------------------------------------------------

    def _come_home(self) -> None:
        """In a forked child, forgets the parent's session: the memory is here, the thread and the server are not."""
        if self._pid != os.getpid():
            self._loop, self._session, self._pid = BackgroundLoop("palaestra-mcp"), None, os.getpid()

    def _ask(self, request: Callable[[Client], Coroutine[Any, Any, T]], what: str, seconds: float) -> T:
        self._come_home()
        session = self._session
        if session is None:
            raise EpisodeFailure("mcp_down", f"{self.endpoint} is not connected.")

        async def ask() -> T:
            from mcp import MCPError

            if session.client is None:
                raise session.fault.tell("mcp_down", f"{self.endpoint} is no longer connected.")
            try:
                return await session.ask(request(session.client), what, seconds)
            except (EpisodeFailure, MCPError, asyncio.CancelledError):
                raise
            except Exception as error:  # `mcp` and pydantic say in many ways that an answer is not one
                problem = f"{self.endpoint} gave no valid answer for {what}: {shown(error, 400)}"
                raise session.fault.tell("mcp_garbage", problem) from error

        return self._do(ask(), seconds)

    def _list_tools(self, seconds: float) -> tuple[ListedTool, ...]:
        from mcp import MCPError

        try:
            return self._ask(self._list, "its list of tools", seconds)
        except MCPError as error:
            self.drop()
            problem = f"{self.endpoint} does not list its tools: {shown(error.message, 400)}"
            raise EpisodeFailure("mcp_garbage", problem) from error
        except EpisodeFailure:
            self.drop()
            raise

    async def _list(self, client: Client) -> tuple[ListedTool, ...]:
        found: list[ListedTool] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            found += [
                ListedTool(tool.name, tool.description or tool.title or "", tool.input_schema, tool.output_schema)
                for tool in page.tools
            ]
            if page.next_cursor is None or len(found) > _MAX_TOOLS:
                break
            cursor = page.next_cursor
        else:
            raise ValueError(f"the list does not end after {_MAX_PAGES} pages")
        if len(found) > _MAX_TOOLS:
            raise ValueError(f"the list has more than {_MAX_TOOLS:,} tools")
        if len({tool.name for tool in found}) != len(found):
            raise ValueError("two tools have one name")
        return tuple(found)

    def _judged(self, name: str, error: Any) -> ToolError | EpisodeFailure:
        """Whose doing a JSON-RPC error is. One that answers a call which the server listed is the call's."""
        from mcp_types import CONNECTION_CLOSED, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR

        # These are also what `mcp` itself makes of answers that never came or could not be read.
        kinds: dict[int, FaultKind] = {
            CONNECTION_CLOSED: "mcp_down",
            METHOD_NOT_FOUND: "mcp_garbage",
            INVALID_REQUEST: "mcp_garbage",
            PARSE_ERROR: "mcp_garbage",
        }
        if error.code not in kinds:
            return ToolError(f"The server refused the call: {shown(error.message, 2000)}")
        self.drop()
        return EpisodeFailure(kinds[error.code], f"{self.endpoint} did not do '{name}': {shown(error.message, 400)}")

    def _do(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        return self._result(self._loop.submit(work), seconds + _LATE_SECONDS)

    def _result(self, future: Future[T], seconds: float) -> T:
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            # Something blocks the loop itself; it is left behind, and a new one does the next work.
            self._loop, self._session = BackgroundLoop("palaestra-mcp"), None
            raise EpisodeFailure(
                "mcp_timeout", f"{self.endpoint} kept its connection busy for {seconds:g} s."
            ) from None
