"""A sandbox in memory, for tests: its files are a mapping and its programs are functions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from palaestra.envs.swe.sandboxes.base import (
    ExecResult,
    Limits,
    Snapshot,
    checked_command,
    checked_timeout,
    inner_path,
)
from palaestra.errors import ConfigError, ToolError

__all__ = ["Fake", "FakeCall", "FakeSandbox"]


class FakeCall:
    """What a fake program is given.

    Attributes:
        arguments: The whole command.
        stdin: Its standard input.
        cwd: The folder, relative to the work tree.
        env: The variables of the call.
        files: The work tree: contents by path. May be changed.
        timeout: Seconds it may take.
        closed: Is set when the sandbox is closed.
    """

    def __init__(
        self,
        arguments: list[str],
        stdin: bytes,
        cwd: str,
        env: dict[str, str],
        files: dict[str, bytes],
        timeout: float,
        closed: threading.Event,
    ) -> None:
        self.arguments, self.stdin, self.cwd, self.env, self.files = arguments, stdin, cwd, env, files
        self.timeout, self.closed = timeout, closed


Program = Callable[[FakeCall], ExecResult]


def _cat(call: FakeCall) -> ExecResult:
    if len(call.arguments) == 1:
        return ExecResult(0, call.stdin, b"")
    found = [call.files.get(inner_path(name)) for name in call.arguments[1:]]
    missing = [name for name, data in zip(call.arguments[1:], found, strict=True) if data is None]
    errors = "".join(f"cat: {name}: No such file or directory\n" for name in missing).encode()
    return ExecResult(1 if missing else 0, b"".join(data or b"" for data in found), errors)


def _sleep(call: FakeCall) -> ExecResult:
    seconds = float(call.arguments[1])
    if call.closed.wait(min(seconds, call.timeout)):
        return ExecResult(None, b"", b"", "closed")
    return ExecResult(0, b"", b"") if seconds < call.timeout else ExecResult(None, b"", b"", "timeout")


_PROGRAMS: Mapping[str, Program] = {
    "true": lambda call: ExecResult(0, b"", b""),
    "false": lambda call: ExecResult(1, b"", b""),
    "echo": lambda call: ExecResult(0, (" ".join(call.arguments[1:]) + "\n").encode(errors="surrogateescape"), b""),
    "env": lambda call: ExecResult(0, "".join(f"{k}={v}\n" for k, v in call.env.items()).encode(), b""),
    "cat": _cat,
    "sleep": _sleep,
}


class _Files:
    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files: dict[str, bytes] | None = dict(files)

    def close(self) -> None:
        self.files = None


class Fake:
    """Starts sandboxes in memory.

    Args:
        programs: Programs by name, beside `true`, `false`, `echo`, `env`, `cat` and `sleep`.
    """

    name = "fake"
    abilities: frozenset[str] = frozenset()

    def __init__(self, programs: Mapping[str, Program] | None = None) -> None:
        self.programs = {**_PROGRAMS, **(programs or {})}
        self._sandboxes: list[FakeSandbox] = []

    def prepare(self, tree: str | Path) -> Snapshot:
        """Reads the files of a folder; see `Backend`. Links are followed, empty folders forgotten."""
        root = Path(tree)
        if not root.is_dir():
            raise ConfigError(f"{root} is not a folder.")
        return _Files({str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()})

    def start(self, snapshot: Snapshot | None = None, limits: Limits | None = None) -> FakeSandbox:
        """A new sandbox; see `Backend`."""
        if snapshot is not None and not (isinstance(snapshot, _Files) and snapshot.files is not None):
            raise ConfigError("A sandbox can be started from an open snapshot of its own backend only.")
        files = {} if snapshot is None or snapshot.files is None else snapshot.files
        sandbox = FakeSandbox(self, dict(files), Limits() if limits is None else limits)
        self._sandboxes.append(sandbox)
        return sandbox

    def close(self) -> None:
        """Closes all its sandboxes."""
        for sandbox in self._sandboxes:
            sandbox.close()


class FakeSandbox:
    """Files and functions; see `Sandbox`."""

    def __init__(self, backend: Fake, files: dict[str, bytes], limits: Limits) -> None:
        self.limits = limits
        self._backend, self._files = backend, files
        self._closed = threading.Event()
        self._idle = threading.Condition()
        self._running = 0

    def _checked(self) -> None:
        if self._closed.is_set():
            raise ToolError("The sandbox is closed.")

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
        """Calls a function; see `Sandbox`."""
        self._checked()
        arguments, variables = checked_command(command, env, user)
        seconds = checked_timeout(timeout, self.limits)
        program = self._backend.programs.get(arguments[0])
        if program is None:
            return ExecResult(127, b"", f"{arguments[0]}: not found\n".encode(errors="replace"))
        call = FakeCall(arguments, stdin, inner_path(cwd), variables, self._files, seconds, self._closed)
        began = time.monotonic()
        with self._idle:
            self._running += 1
        try:
            result = program(call)
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()
        limit, taken = self.limits.output, time.monotonic() - began
        if len(result.stdout) + len(result.stderr) > limit:
            out = result.stdout[:limit]
            return ExecResult(None, out, result.stderr[: limit - len(out)], "flood", taken)
        return ExecResult(result.exit_code, result.stdout, result.stderr, result.ended, taken)

    def read_file(self, path: str) -> bytes:
        """The content of a file; see `Sandbox`."""
        self._checked()
        data = self._files.get(inner_path(path))
        if data is None:
            raise ToolError(f"{path!r} cannot be read: there is no such file.")
        if len(data) > self.limits.read:
            raise ToolError(f"{path!r} is larger than the {self.limits.read:,} bytes that may be read.")
        return data

    def write_file(self, path: str, data: bytes) -> None:
        """Writes a file; see `Sandbox`."""
        self._checked()
        inner = inner_path(path)
        if self.limits.file_size is not None and len(data) > self.limits.file_size:
            raise ToolError(f"{path!r}: {len(data):,} bytes are more than a file may have, {self.limits.file_size:,}.")
        held = sum(map(len, self._files.values())) - len(self._files.get(inner, b"")) + len(data)
        if self.limits.disk is not None and held > self.limits.disk:
            raise ToolError(f"{path!r} cannot be written: the sandbox's disk is full.")
        parts = inner.split("/")
        if inner == "." or any(name.startswith(f"{inner}/") for name in self._files):
            raise ToolError(f"{path!r} cannot be written: it is a folder.")
        if any("/".join(parts[:end]) in self._files for end in range(1, len(parts))):
            raise ToolError(f"{path!r} cannot be written: a part of the path is a file, not a folder.")
        self._files[inner] = bytes(data)

    def snapshot(self) -> Snapshot:
        """The files, once no function is running; see `Sandbox`."""
        with self._idle:
            self._idle.wait_for(lambda: self._running == 0)
            self._checked()
            return _Files(self._files)

    def fork(self) -> FakeSandbox:
        """Another sandbox with the same files; see `Sandbox`."""
        return self._backend.start(self.snapshot(), self.limits)

    def close(self) -> None:
        """Forgets the files; see `Sandbox`."""
        self._closed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
