"""One session with an MCP server, on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from palaestra import __version__
from palaestra.envs.tools.mcp.endpoint import Endpoint
from palaestra.envs.tools.mcp.faults import Fault, FaultKind, shown
from palaestra.errors import EpisodeFailure

if TYPE_CHECKING:
    from mcp import Client

__all__ = ["CLOSE_SECONDS", "Session"]

CLOSE_SECONDS = 5.0
"""Time for a session to end in order; then it is cut off."""

T = TypeVar("T")


class Session:
    """From the handshake until something goes wrong or it is closed. Made and used on one event loop.

    Args:
        endpoint: Where the server is.

    Attributes:
        fault: The first thing that went wrong.
        client: The client of the package `mcp`; None before the handshake and after the end.
        news: Whether the server said that its tools have changed.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.fault = Fault()
        self.client: Client | None = None
        self.news = False
        self._last_refusal: Callable[[], str] = str
        self._close = asyncio.Event()
        self._ready = asyncio.Event()
        # Transports live in task groups, which must be left by the task that entered them: this one.
        self._holder = asyncio.get_running_loop().create_task(self._hold())

    async def open(self) -> None:
        """Returns when the session is up.

        Raises:
            EpisodeFailure: It does not come up.
        """
        await self._unless_fault(self._ready.wait(), self.endpoint.connect_seconds, "a connection")

    async def ask(self, request: Coroutine[Any, Any, T], what: str, seconds: float) -> T:
        """What a request gives within this time.

        Raises:
            EpisodeFailure: There was no answer in time, or the connection broke.
        """
        return await self._unless_fault(request, seconds, what)

    async def close(self) -> None:
        """Ends the session and the server, if it is ours."""
        self._close.set()
        patience = 0.0 if self.client is None else CLOSE_SECONDS  # without a client there is nobody to take leave of
        done, _ = await asyncio.wait({self._holder}, timeout=patience)
        if not done:
            self._holder.cancel()
            await asyncio.wait({self._holder})

    async def _unless_fault(self, work: Coroutine[Any, Any, T], seconds: float, what: str) -> T:
        wanted = asyncio.ensure_future(work)
        broken = asyncio.ensure_future(self.fault.wait())
        try:
            await asyncio.wait({wanted, broken}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            # Whoever waits for an answer is told "connection closed" first; why it was closed is the better answer.
            if self.fault.failure is not None:
                raise self.fault.failure
            if wanted.done():
                return wanted.result()
            raise EpisodeFailure("mcp_timeout", f"{self.endpoint} did not give {what} within {seconds:g} s.")
        finally:
            for task in (wanted, broken):
                task.cancel()
            await asyncio.gather(wanted, broken, return_exceptions=True)

    async def _hold(self) -> None:
        try:
            async with self._connected() as client:
                self.client = client
                self._ready.set()
                await self._close.wait()
        except asyncio.CancelledError:
            self.fault.tell("mcp_down", f"{self.endpoint} is no longer connected.")
        except BaseException as error:
            cause = _innermost(error)
            kind: FaultKind = "mcp_down" if isinstance(cause, OSError) else "mcp_garbage"
            said = f" It last answered with {self._last_refusal()}" if self._last_refusal() else ""
            message = f"{self.endpoint} gave no working connection: {type(cause).__name__}: {shown(cause)}.{said}"
            self.fault.tell(kind, message)
        finally:
            self.client = None
            self.fault.tell("mcp_down", f"{self.endpoint} is no longer connected.")

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        from mcp import Client
        from mcp_types import Implementation

        from palaestra.envs.tools.mcp.http import HttpState, http_transport
        from palaestra.envs.tools.mcp.stdio import stdio_transport
        from palaestra.envs.tools.mcp.watch import watched

        end, http = self.endpoint, HttpState()
        self._last_refusal = lambda: http.last

        @contextlib.asynccontextmanager
        async def transport() -> AsyncIterator[Any]:
            if end.url is None:
                inner = stdio_transport(
                    end.command, end.environment, end.cwd, max_bytes=end.max_bytes, fault=self.fault
                )
            else:
                inner = http_transport(
                    end.url,
                    end.headers,
                    connect_seconds=end.connect_seconds,
                    max_bytes=end.max_bytes,
                    fault=self.fault,
                    state=http,
                )
            async with inner as streams:
                yield watched(streams, self.fault)

        client = Client(
            transport(),
            mode="legacy" if end.protocol == "2025-11-25" else end.protocol,
            client_info=Implementation(name="palaestra", version=__version__),
            message_handler=self._hear,
            cache=None,
        )
        async with client:
            http.settled = True
            yield client

    async def _hear(self, message: object) -> None:
        from mcp_types import ToolListChangedNotification

        if isinstance(message, ToolListChangedNotification):
            self.news = True


def _innermost(error: BaseException) -> BaseException:
    """The first cause in nested groups of exceptions."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
