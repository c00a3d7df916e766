"""What a sandbox is: the protocol that every backend speaks, its limits and its results.

What a program in a sandbox broke is its own result, with the cause (`ExecResult.ended`), or a `ToolError` where a file
was asked for. What broke by no action of it raises `EpisodeFailure`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self, runtime_checkable

from palaestra.errors import ConfigError, ToolError

__all__ = [
    "MIB",
    "USER",
    "WORK",
    "Backend",
    "Ended",
    "ExecResult",
    "Limits",
    "Sandbox",
    "Snapshot",
    "checked_command",
    "checked_timeout",
    "inner_path",
]

MIB = 1024 * 1024
WORK = "/work"
"""Where the work tree lies for programs in the sandbox."""
USER = "agent"
"""The one user there is in a sandbox."""

_ARGUMENT_BYTES = 128 * 1024 - 1  # Linux: MAX_ARG_STRLEN
_COMMAND_BYTES = 1024 * 1024

Ended = Literal["exit", "timeout", "flood", "memory", "closed", "killed"]
"""Why a command ended: by itself (`exit`), or because it took too long, wrote too much, used too much memory, the
sandbox was closed, or it was killed in another way (`killed`: for instance no process was left for it)."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a sandbox may use. None lifts a limit, which otherwise is kept or the sandbox does not start."""

    timeout: float = 60.0
    """Seconds that a command may take, unless the call says otherwise."""
    output: int = MIB
    """Bytes that a command may write to its standard output and error together. More ends it (`flood`)."""
    read: int = 64 * MIB
    """Largest file, in bytes, that `read_file` gives."""
    memory: int | None = 1024 * MIB
    """Bytes of memory, files in memory included, of all processes in the sandbox together."""
    processes: int | None = 128
    """Processes and threads in the sandbox together; the backend needs up to three of them for each command."""
    file_size: int | None = 128 * MIB
    """Largest file, in bytes, that a program can write."""
    disk: int | None = 256 * MIB
    """Bytes of all changes, in the work tree and in `/tmp` together."""
    cpu_seconds: float | None = 600.0
    """Seconds of processor time of any one process."""
    cpus: float | None = None
    """Processors that all processes in the sandbox together may keep busy."""
    network: bool = False
    """Whether the host's network is there. Without it there is a loopback device only."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "network" or value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
                raise ConfigError(f"Limits({field.name}={value!r}): give a number above 0.")
        if self.processes is not None and self.processes < 8:
            raise ConfigError(f"Limits(processes={self.processes}): give at least 8; the sandbox itself needs three.")
        if self.memory is not None and self.memory < 16 * MIB:
            raise ConfigError(f"Limits(memory={self.memory}): give at least {16 * MIB} bytes (16 MiB).")


@dataclasses.dataclass(frozen=True)
class ExecResult:
    """What became of a command."""

    exit_code: int | None
    """Its exit code, 128 + n where signal n ended it; None unless `ended` is `exit`."""
    stdout: bytes
    stderr: bytes
    ended: Ended = "exit"
    seconds: float = 0.0
    """Wall time. Differs from run to run."""

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with the exit code 0."""
        return self.ended == "exit" and self.exit_code == 0

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are not UTF-8 become U+FFFD."""
        return self.stdout.decode(errors="replace")


class Snapshot(Protocol):
    """The files of a work tree at one moment. Live processes, `/tmp` and the environment are not in it."""

    def close(self) -> None:
        """Lets go of it. Sandboxes started from it go on. May be called again."""


@runtime_checkable
class Sandbox(Protocol):
    """A work tree and a place to run programs in. Methods may be called from several threads at once."""

    limits: Limits

    def exec(
        self,
        command: Sequence[str],
        *,
        stdin: bytes = b"",
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        user: str | None = None,
    ) -> ExecResult:
        """Runs a program and waits for its end. What it leaves running ends with it.

        Args:
            command: The program and its arguments; no shell is between.
            stdin: Its standard input.
            cwd: The folder it runs in, within the work tree.
            env: Environment variables beside PATH, HOME, USER, LANG and TMPDIR. Nothing comes from our own environment.
            timeout: Seconds it may take; None for `limits.timeout`.
            user: None or "agent".

        Raises:
            ToolError: The call cannot be done: a path outside, no such user, a NUL in an argument, a closed sandbox.
            EpisodeFailure: The sandbox broke by no action of the program.
        """

    def read_file(self, path: str) -> bytes:
        """The content of a file in the work tree.

        Raises:
            ToolError: It is not there, no ordinary file, larger than `limits.read`, or outside.
            EpisodeFailure: The sandbox broke.
        """

    def write_file(self, path: str, data: bytes) -> None:
        """Writes a file in the work tree, with the folders above it.

        Raises:
            ToolError: No room, a folder is there, or it would be outside.
            EpisodeFailure: The sandbox broke.
        """

    def snapshot(self) -> Snapshot:
        """The files as they are once no command is running. Cost: O(changes) where the backend can."""

    def fork(self) -> Sandbox:
        """Another sandbox with the same files and limits."""

    def close(self) -> None:
        """Ends every program in it and forgets its files. May be called again, and while commands run."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Backend(Protocol):
    """A way to make sandboxes."""

    name: str
    abilities: frozenset[str]
    """What it can do, of `conformance.ABILITIES`."""

    def prepare(self, tree: str | Path) -> Snapshot:
        """Takes a copy of a folder to start sandboxes from: O(tree), once."""

    def start(self, snapshot: Snapshot | None = None, limits: Limits | None = None) -> Sandbox:
        """A new sandbox with the files of a snapshot, or with an empty work tree.

        Raises:
            ConfigError: This machine cannot hold a limit; says which, and why.
            EpisodeFailure: It could not be started although it has been before.
        """

    def close(self) -> None:
        """Closes all its sandboxes and forgets its snapshots."""


def inner_path(path: str) -> str:
    """A path relative to the work tree, as far as its text tells; links are for the backend to mind.

    Args:
        path: Relative to the work tree, or absolute below `/work`.

    Raises:
        ToolError: It leads outside or cannot be a path.
    """
    if "\0" in path:
        raise ToolError("A path cannot hold a NUL character.")
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        raise ToolError(f"The path {path!r} is not valid Unicode.") from None
    if len(raw) > 4000:
        raise ToolError(f"The path is {len(raw)} bytes long; at most 4000 are possible.")
    parts = path.split("/")
    if path.startswith("/"):
        if parts[1:2] != [WORK[1:]]:
            raise ToolError(f"{path!r} is outside the work tree {WORK}.")
        parts = parts[2:]
    parts = [part for part in parts if part not in ("", ".")]
    if ".." in parts:
        raise ToolError(f"{path!r}: '..' is not accepted; give a path within the work tree {WORK}.")
    return "/".join(parts) or "."


def checked_command(
    command: Sequence[str], env: Mapping[str, str] | None, user: str | None
) -> tuple[list[str], dict[str, str]]:
    """The command and its variables, if they can be passed to a program at all.

    Raises:
        ToolError: They cannot; says why.
    """
    if isinstance(command, (str, bytes)) or not command or not all(isinstance(part, str) for part in command):
        raise ToolError(f"Give a command as a list of strings, like ['ls', '-l'], not {command!r:.200}.")
    if not command[0]:
        raise ToolError("The name of the program is empty.")
    if user not in (None, USER):
        raise ToolError(f"There is no user {user!r} in the sandbox. The one user is {USER!r}.")
    variables = dict(env or {})
    for name in variables:
        if not name or "=" in name:
            raise ToolError(f"{name!r} cannot be the name of an environment variable.")
    strings = [*command, *(f"{name}={value}" for name, value in variables.items())]
    if any("\0" in text for text in strings):
        raise ToolError("A command and its environment variables cannot hold NUL characters.")
    sizes = [len(text.encode(errors="surrogateescape")) + 1 for text in strings]
    if max(sizes) > _ARGUMENT_BYTES or sum(sizes) > _COMMAND_BYTES:
        raise ToolError(
            f"The command is too long: {sum(sizes):,} bytes, the longest argument {max(sizes):,}. Accepted are "
            f"{_COMMAND_BYTES:,} bytes and {_ARGUMENT_BYTES:,} an argument; write a file, or use the standard input."
        )
    return list(command), variables


def checked_timeout(timeout: float | None, limits: Limits) -> float:
    """The seconds a command may take.

    Raises:
        ToolError: It is not a number above 0.
    """
    seconds = limits.timeout if timeout is None else timeout
    if not math.isfinite(seconds) or seconds <= 0:
        raise ToolError(f"A time-out is a number of seconds above 0, not {timeout!r}.")
    return seconds
