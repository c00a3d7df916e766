"""A server behind an address, spoken to over streamable HTTP.

The transport of the package `mcp` reads answers of any size and tells an outage, a refusal and nonsense apart only in
part; below it, this one bounds every answer and notes what the server did.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from palaestra.envs.tools.mcp.faults import Fault, shown

__all__ = ["HttpState", "http_transport"]

_SESSION = "mcp-session-id"


class HttpState:
    """What the connection and its HTTP transport tell each other.

    Attributes:
        settled: Whether the protocol has been agreed upon. Before that, refusals are how servers of one generation
            answer the other's questions.
        last: The last refusal, for messages.
    """

    def __init__(self) -> None:
        self.settled = False
        self.last = ""


def _is_refusal(body: bytes) -> bool:
    """Whether it is a JSON-RPC error, so that a status of 400 or more is an answer like any other."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and data.get("jsonrpc") == "2.0" and isinstance(data.get("error"), dict)


@asynccontextmanager
async def http_transport(
    url: str,
    headers: Mapping[str, str],
    *,
    connect_seconds: float,
    max_bytes: int,
    fault: Fault,
    state: HttpState,
) -> AsyncIterator[tuple[Any, Any]]:
    """A transport for `mcp.Client`.

    Args:
        url: The server's address.
        headers: Sent with every request.
        connect_seconds: Time to connect.
        max_bytes: Longest answer, and longest event of a stream, that is read.
        fault: Told when the server cannot be reached, is out of order, or answers too much.
        state: Shared with the connection.

    Yields:
        The stream to read messages from, and the stream to write messages to.
    """
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    class Bounded(httpx2.AsyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            try:
                async for chunk in self._stream:
                    size += len(chunk)
                    if size > max_bytes:
                        fault.tell("mcp_garbage", f"The server sent an answer of more than {max_bytes:,} bytes.")
                        raise httpx2.ReadError("the answer is too large")
                    yield chunk
            except httpx2.TransportError as error:
                fault.tell("mcp_down", f"The server broke off its answer ({shown(error) or type(error).__name__}).")
                raise

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Watching(httpx2.AsyncBaseTransport):
        def __init__(self) -> None:
            self._inner = httpx2.AsyncHTTPTransport()

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            try:
                response = await self._inner.handle_async_request(request)
            except httpx2.TransportError as error:
                if request.method == "POST":
                    problem = shown(error) or type(error).__name__
                    fault.tell("mcp_down", f"There is no connection to the server ({problem}). Is it running?")
                raise
            if request.method != "POST":  # the stream of news is long, and a server may do without
                return response
            encoding = response.headers.get("content-encoding", "identity")
            if encoding != "identity":  # we did not ask for it, and a few bytes may unfold into gigabytes
                await response.aclose()
                fault.tell("mcp_garbage", f"The server sent an answer encoded as {shown(encoding, 40)!r}, unasked.")
                raise httpx2.ReadError("the answer is encoded")
            response.stream = Bounded(response.stream)
            if response.status_code < 400:
                return response
            body = await response.aread()
            await response.aclose()
            state.last = f"HTTP status {response.status_code}: {shown(body.decode(errors='replace'))}"
            lost = response.status_code == 404 and _SESSION in request.headers
            if state.settled and (lost or not _is_refusal(body)):
                fault.tell("mcp_down", f"The server answered with {state.last}.")
            return httpx2.Response(response.status_code, headers=response.headers, content=body)

        async def aclose(self) -> None:
            await self._inner.aclose()

    client = httpx2.AsyncClient(
        transport=Watching(),
        headers={**headers, "Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(connect_seconds, read=None),
    )
    async with client, streamable_http_client(url, http_client=client, max_sse_event_size=max_bytes) as streams:
        yield streams
