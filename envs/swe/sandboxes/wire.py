"""Messages between palaestra and the keepers of its sandboxes: JSON and file descriptors over a socket.

Also executed beside `_keeper.py`, so it imports the standard library alone.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

__all__ = ["receive", "send"]

_HEADER = struct.Struct("!I")
_MAX_FDS = 16


def send(to: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """Sends a message with file descriptors.

    Raises:
        OSError: The other end is gone.
    """
    body = json.dumps(message).encode()
    header = _HEADER.pack(len(body))
    if fds:
        socket.send_fds(to, [header], list(fds))
    else:
        to.sendall(header)
    to.sendall(body)


def receive(source: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next message and its file descriptors, which are not inherited; None once the other end is closed.

    Raises:
        OSError: The connection broke.
    """
    data, fds, _, _ = socket.recv_fds(source, _HEADER.size, _MAX_FDS, socket.MSG_CMSG_CLOEXEC)
    rest = _rest(source, _HEADER.size - len(data)) if data else None
    if rest is None:
        return None, fds
    body = _rest(source, _HEADER.unpack(data + rest)[0])
    return (None if body is None else json.loads(body)), fds


def _rest(source: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        part = source.recv(min(size - len(data), 1 << 20))
        if not part:
            return None
        data += part
    return bytes(data)
