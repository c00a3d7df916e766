"""Where a server is, and how it is to be spoken to."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from palaestra.environment import check_whole
from palaestra.errors import ConfigError

__all__ = ["Endpoint", "Protocol", "read_endpoint"]

Protocol = Literal["auto", "2025-11-25", "2026-07-28"]
"""`auto` asks for 2026-07-28 (stateless, `server/discover`) and falls back to 2025-11-25 (`initialize`), which then
agrees with older servers on 2025-06-18, 2025-03-26 or 2024-11-05."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is, and within which bounds it is spoken to.

    Attributes:
        url: Address of streamable HTTP; None for a child process.
        command: Program and arguments of the child process.
        environment: All of its environment variables.
        cwd: The folder it runs in; None for ours.
        headers: Sent with every HTTP request.
        protocol: Which generation is spoken.
        connect_seconds: Time to start or reach the server and to agree on a protocol.
        call_seconds: Time for each request after that.
        max_bytes: Longest message that is read.
    """

    url: str | None
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    protocol: Protocol = "auto"
    connect_seconds: float = 30.0
    call_seconds: float = 60.0
    max_bytes: int = 8 * 2**20

    def __str__(self) -> str:
        return f"The MCP server {self.url or shlex.join(self.command)!r}"


def read_endpoint(
    server: str | Sequence[str],
    *,
    server_env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    headers: Mapping[str, str] | None = None,
    protocol: str = "auto",
    connect_seconds: float = 30.0,
    call_seconds: float = 60.0,
    max_bytes: int = 8 * 2**20,
) -> Endpoint:
    """The endpoint that these options describe.

    Args:
        server: A command line, a list of a program and its arguments, or an address (`http://` or `https://`).
        server_env: Environment variables for a command, beside the few that servers inherit (`HOME`, `PATH`, ...).
        cwd: The folder that a command runs in.
        headers: HTTP headers for an address.
        protocol: See `Protocol`.
        connect_seconds: See `Endpoint`.
        call_seconds: See `Endpoint`.
        max_bytes: See `Endpoint`.

    Raises:
        ConfigError: An option cannot work; the message says what is accepted.
        MissingExtraError: The package `mcp` is not installed.
    """
    from palaestra.envs.tools.mcp.package import need_mcp

    need_mcp("MCP as a toolset")
    if protocol not in get_args(Protocol):
        choices = ", ".join(repr(name) for name in get_args(Protocol))
        raise ConfigError(f"protocol is {protocol!r}; choose from {choices}.")
    for name, value in {"connect_seconds": connect_seconds, "call_seconds": call_seconds}.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ConfigError(f"{name} is {value!r}; it must be a number of seconds above 0.")
    check_whole("max_result_bytes", max_bytes, 1024)
    for name, given in {"server_env": server_env, "headers": headers}.items():
        if given is not None and not (
            isinstance(given, Mapping) and all(isinstance(text, str) for pair in given.items() for text in pair)
        ):
            raise ConfigError(f"{name} is {given!r}; give names and values, both texts: {{'NAME': 'value'}}.")
    bounds = {"connect_seconds": connect_seconds, "call_seconds": call_seconds, "max_bytes": max_bytes}
    if isinstance(server, str) and server.startswith(("http://", "https://")):
        if server_env or cwd is not None:
            raise ConfigError("server_env and cwd are for servers that are started by a command, not for an address.")
        return Endpoint(server, headers=dict(headers or {}), protocol=protocol, **bounds)  # type: ignore[arg-type]
    if headers:
        raise ConfigError("headers are for servers behind an address, not for those started by a command.")
    command = _split(server)
    from mcp.client.stdio import get_default_environment

    environment = {**get_default_environment(), **(server_env or {})}
    folder = None if cwd is None else os.fspath(cwd)
    if folder is not None and not os.path.isdir(folder):
        raise ConfigError(f"cwd is {folder!r}, which is no folder.")
    path = command[0] if folder is None or os.path.isabs(command[0]) else os.path.join(folder, command[0])
    here = os.path.isfile(path) if os.sep in command[0] else shutil.which(command[0], path=environment.get("PATH"))
    if not here:
        raise ConfigError(f"There is no command '{command[0]}'; give the server's program, or its http:// address.")
    return Endpoint(None, command, environment, folder, protocol=protocol, **bounds)  # type: ignore[arg-type]


def _split(server: str | Sequence[str]) -> tuple[str, ...]:
    wanted = "a command line ('python server.py'), a list of arguments, or an address ('http://localhost:8000/mcp')"
    if isinstance(server, str):
        try:
            command = tuple(shlex.split(server))
        except ValueError as error:
            raise ConfigError(f"The command line {server!r} cannot be read ({error}).") from None
    elif isinstance(server, Sequence) and all(isinstance(part, str) for part in server):
        command = tuple(server)
    else:
        raise ConfigError(f"server is {server!r}; give {wanted}.")
    if not command:
        raise ConfigError(f"server is empty; give {wanted}.")
    if any("\0" in part for part in command):
        raise ConfigError("The command line holds a NUL character.")
    return command
