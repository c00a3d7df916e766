"""What can be wrong with an MCP server, and who is told first."""

from __future__ import annotations

import asyncio
from typing import Literal

from palaestra.errors import EpisodeFailure

__all__ = ["Fault", "FaultKind", "shown"]

FaultKind = Literal["mcp_down", "mcp_timeout", "mcp_garbage", "mcp_tools_changed"]
"""`mcp_down`: no server, or it went away; `mcp_timeout`: no answer in time; `mcp_garbage`: an answer that breaks the
protocol or its own schema, or is too large; `mcp_tools_changed`: its tools are not those it began with."""


class Fault:
    """The first thing that went wrong on a connection; whatever follows is a consequence and is not told.

    Made and asked on the connection's event loop.
    """

    def __init__(self) -> None:
        self._happened: asyncio.Event = asyncio.Event()
        self.failure: EpisodeFailure | None = None

    def tell(self, kind: FaultKind, message: str) -> EpisodeFailure:
        """Notes what happened unless something did before; gives what happened first."""
        if self.failure is None:
            self.failure = EpisodeFailure(kind, message)
            self._happened.set()
        return self.failure

    async def wait(self) -> None:
        """Returns when something has gone wrong."""
        await self._happened.wait()


def shown(text: object, limit: int = 200) -> str:
    """A text in one line, cut where it is long."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else f"{line[:limit]}..."
