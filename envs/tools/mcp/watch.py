"""Streams of messages under watch: whether every answer is one that was asked for."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.mcp.faults import Fault, shown

__all__ = ["WatchedReading", "WatchedWriting", "watched"]


class _Ledger:
    """Which requests are open."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.open: set[str] = set()
        self.given_up: set[str] = set()

    def sent(self, message: Any) -> None:
        if (method := getattr(message, "method", None)) is None:
            return
        if (request_id := getattr(message, "id", None)) is not None:
            self.open.add(_key(request_id))
        elif method == "notifications/cancelled":
            key = _key((message.params or {}).get("requestId"))
            if key in self.open:
                self.open.remove(key)
                self.given_up.add(key)

    def received(self, item: Any) -> bool:
        """Whether all is well; tells the fault otherwise."""
        if isinstance(item, Exception):
            self.fault.tell("mcp_garbage", f"The server sent what is no message: {shown(item)}.")
            return False
        message = item.message
        if hasattr(message, "method") or message.id is None:  # its own request or notification, or blame for no one
            return True
        key = _key(message.id)
        if key in self.open or key in self.given_up:
            self.open.discard(key)
            self.given_up.discard(key)
            return True
        self.fault.tell(
            "mcp_garbage", f"The server answered a request that is not open: it gave the id {shown(repr(message.id))}."
        )
        return False


def _key(request_id: object) -> str:
    return str(request_id)  # some servers give numbers back as strings, which `mcp` accepts


class WatchedReading:
    """The reading end; ends at the first answer that nobody asked for."""

    def __init__(self, inner: Any, ledger: _Ledger) -> None:
        self._inner, self._ledger = inner, ledger

    @property
    def last_context(self) -> Any:
        """See `mcp.shared._stream_protocols.ReadStream`."""
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> Any:
        """The next message."""
        import anyio

        item = await self._inner.receive()
        if not self._ledger.received(item):
            raise anyio.EndOfStream
        return item

    async def aclose(self) -> None:
        """Closes the stream."""
        await self._inner.aclose()

    def __aiter__(self) -> WatchedReading:
        return self

    async def __anext__(self) -> Any:
        import anyio

        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> WatchedReading:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.aclose()


class WatchedWriting:
    """The writing end, which notes what is asked."""

    def __init__(self, inner: Any, ledger: _Ledger) -> None:
        self._inner, self._ledger = inner, ledger

    async def send(self, item: Any) -> None:
        """Sends a message."""
        self._ledger.sent(item.message)
        await self._inner.send(item)

    async def aclose(self) -> None:
        """Closes the stream."""
        await self._inner.aclose()

    async def __aenter__(self) -> WatchedWriting:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.aclose()


def watched(streams: tuple[Any, Any], fault: Fault) -> tuple[WatchedReading, WatchedWriting]:
    """Both ends of a transport, watched.

    Args:
        streams: The stream to read from and the stream to write to.
        fault: Told when the server answers what was not asked, or sends what is no message.
    """
    ledger = _Ledger(fault)
    return WatchedReading(streams[0], ledger), WatchedWriting(streams[1], ledger)
