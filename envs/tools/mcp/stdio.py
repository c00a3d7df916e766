"""A server as a child process, spoken to over its standard input and output.

The transport of the package `mcp` buffers a line without bound and leaves processes behind when its own is killed;
this one bounds every line, keeps the end of what the server wrote to standard error for messages, and puts a guard
between the server and whatever may happen to us.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from palaestra.envs.tools.mcp.faults import Fault, shown

__all__ = ["stdio_transport"]

_GUARD = Path(__file__).with_name("_guard.py")
_LEAVE_SECONDS = 1.0  # for a server to end once its input has ended, and again after SIGTERM
_POLL_SECONDS = 0.005
_STDERR_BYTES = 2048


class _Writing(asyncio.BaseProtocol):
    """The writing end of a pipe, with back-pressure."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.free.set()
        self.lost = False

    def pause_writing(self) -> None:
        self.free.clear()

    def resume_writing(self) -> None:
        self.free.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.free.set()


class _Process:
    """The guarded server and its pipes."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], cwd: str | None) -> None:
        read_end, self._lifeline = os.pipe()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), str(read_end), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environment),
                cwd=cwd,
                pass_fds=(read_end,),
                start_new_session=True,  # Ctrl-C is for us; we end the server in order
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(read_end)
        self._tail = bytearray()
        self._transports: list[asyncio.BaseTransport] = []
        self._chatter: asyncio.Task[None] | None = None

    async def connect(self, max_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        pipes: Any = self._popen
        self.reader = asyncio.StreamReader(max_bytes)
        reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self.reader), pipes.stdout)
        self._writing = _Writing()
        self._writer, _ = await loop.connect_write_pipe(lambda: self._writing, pipes.stdin)
        errors = asyncio.StreamReader()
        complaints, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(errors), pipes.stderr)
        self._transports = [reading, self._writer, complaints]
        self._chatter = loop.create_task(self._listen(errors))

    async def _listen(self, errors: asyncio.StreamReader) -> None:
        while data := await errors.read(4096):
            self._tail += data
            del self._tail[:-_STDERR_BYTES]

    async def write(self, data: bytes) -> None:
        if self._writing.lost or self._writer.is_closing():
            raise BrokenPipeError("the server's standard input is closed")
        self._writer.write(data)
        await self._writing.free.wait()

    async def ended(self, seconds: float) -> bool:
        """Whether it ends within this time."""
        until = time.monotonic() + seconds
        while self._popen.poll() is None:
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    def epitaph(self) -> str:
        """How it ended, as far as is known, and its last words."""
        code = self._popen.poll()
        how = "closed its standard output" if code is None else f"ended with exit code {code}"
        words = shown(self._tail.decode(errors="replace")[-600:], 600)
        return f"{how}; its last words were: {words}" if words else how

    async def end(self) -> None:
        """Ends it: politely, then firmly. Takes about two seconds at most, and never leaves it running."""
        try:
            if self._transports:
                self._writer.close()
                if not await self.ended(_LEAVE_SECONDS):
                    self._popen.terminate()
                    await self.ended(_LEAVE_SECONDS)
        finally:
            with suppress(OSError):
                os.close(self._lifeline)
                self._lifeline = -1
            try:
                self._popen.wait(_LEAVE_SECONDS)  # the guard kills at once; blocks for a millisecond
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
            if self._chatter is not None:
                self._chatter.cancel()
            for transport in self._transports:
                transport.close()
            if not self._transports:
                for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
                    assert pipe is not None
                    pipe.close()
            await asyncio.sleep(0)  # the transports close their pipes at the next turn of the loop


@asynccontextmanager
async def stdio_transport(
    command: Sequence[str], environment: Mapping[str, str], cwd: str | None, *, max_bytes: int, fault: Fault
) -> AsyncIterator[tuple[Any, Any]]:
    """A transport for `mcp.Client`: starts the server, and ends it with everything in its process group.

    Args:
        command: The program and its arguments.
        environment: All of the server's environment variables.
        cwd: The folder it runs in; None for ours.
        max_bytes: Longest message that is read.
        fault: Told when the server ends, writes something else than messages, or writes too much.

    Yields:
        The stream to read messages from, and the stream to write messages to.

    Raises:
        OSError: It cannot be started.
    """
    import anyio
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    incoming, read_stream = anyio.create_memory_object_stream[Any](0)
    write_stream, outgoing = anyio.create_memory_object_stream[Any](0)
    process = _Process(command, environment, cwd)
    closing = False

    async def read() -> None:
        async with incoming:
            while True:
                try:
                    line = await process.reader.readline()
                except ValueError:
                    fault.tell("mcp_garbage", f"The server sent a message of more than {max_bytes:,} bytes.")
                    return
                if not line:
                    break
                if not line.strip():
                    continue
                try:
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    text = shown(line.decode(errors="replace"))
                    fault.tell("mcp_garbage", f"The server wrote to its standard output what is no message: {text!r}.")
                    return
                await incoming.send(SessionMessage(message))
            if not closing:
                await process.ended(0.2)
                fault.tell("mcp_down", f"The server {process.epitaph()}.")

    async def write() -> None:
        async with outgoing:
            async for item in outgoing:
                await process.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")

    async def quietly(work: Any) -> None:
        # The other side of these streams may go away at any time; that is not news.
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            await work()

    try:
        await process.connect(max_bytes)
        async with anyio.create_task_group() as group:
            group.start_soon(quietly, read)
            group.start_soon(quietly, write)
            try:
                yield read_stream, write_stream
            finally:
                closing = True
                group.cancel_scope.cancel()
    finally:
        for stream in (incoming, read_stream, write_stream, outgoing):
            stream.close()
        with anyio.CancelScope(shield=True):
            await process.end()
