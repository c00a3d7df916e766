"""HTTP connections whose every wait ends at a deadline.

HTTP clients bound each single read, so a server that drips one byte a second can hold a request for ever. Here every
read, write and connect is bounded by what is left of the whole request, by wrapping the sockets of httpcore (the
transport of httpx) at its public interface.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore

__all__ = ["Deadline", "DeadlineBackend"]

_WRITE_BYTES = 64 * 1024


class Deadline(threading.local):
    """When the request that the current thread is making must be over."""

    at = float("inf")

    def left(self, seconds: float | None, late: type[Exception]) -> float:
        """The smaller of a time-out and the time left, in seconds.

        Raises:
            Exception: `late`, when no time is left.
        """
        rest = self.at - time.monotonic()
        if rest <= 0:
            raise late("no time is left")
        return rest if seconds is None else min(seconds, rest)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_BYTES):
            left = self._deadline.left(timeout, httpcore.WriteTimeout)
            self._stream.write(buffer[start : start + _WRITE_BYTES], left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class DeadlineBackend(httpcore.NetworkBackend):
    """Makes connections that respect a deadline.

    Args:
        deadline: Set `deadline.at` (by `time.monotonic`) in the thread that makes the request.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._backend, self._deadline = httpcore.SyncBackend(), deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Opens a connection; see `httpcore.NetworkBackend.connect_tcp`."""
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(
            self._backend.connect_tcp(host, port, left, local_address, socket_options),
            self._deadline,
        )
