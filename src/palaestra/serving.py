"""Serving an application over HTTP, for all of palaestra's servers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from palaestra.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["serve_app"]


_LEAVE_SECONDS = 2  # for open streams to end, once the server has been interrupted


def serve_app(
    what: str,
    app: Starlette,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    ready: Callable[[str], None] | None = None,
    lifespan: bool = False,
) -> None:
    """Serves until it is interrupted; prints nothing but warnings.

    Args:
        what: The server's name in errors.
        app: What answers.
        host: Name or address of the interface to listen at.
        port: Port; 0 for any that is free.
        ready: Called with the address of the server (`http://HOST:PORT`) as soon as it accepts connections.
        lifespan: Whether the application has something to start and to end, and streams that do not end by themselves.

    Raises:
        ConfigError: The server cannot listen there.
        MissingExtraError: uvicorn is not installed.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError(what, "serve") from error
    if not 0 <= port <= 65535:
        raise ConfigError(f"A port is a number from 0 (any that is free) to 65535, not {port}.")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigError(
            f"The server cannot listen at {host}, port {port}: {error}. Choose another port, or 0 for a free one."
        ) from error
    with listener:
        if ready is not None:
            shown = f"[{host}]" if ":" in host else host
            ready(f"http://{shown}:{listener.getsockname()[1]}")
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="on" if lifespan else "off",
            timeout_graceful_shutdown=_LEAVE_SECONDS if lifespan else None,
            ws="none",
        )
        uvicorn.Server(config).run(sockets=[listener])
