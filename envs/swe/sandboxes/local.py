"""UNSAFE: no sandbox at all, a plain process of ours in a temporary folder. For trusted code only, and off by default.

A program has our rights: it can read and write what we can, use the network, and leave daemons behind. Only time,
output, and the sizes in `Limits` that a resource limit bounds for each process are bounded.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from palaestra.envs.swe.sandboxes.base import (
    USER,
    ExecResult,
    Limits,
    Snapshot,
    checked_command,
    checked_timeout,
    inner_path,
)
from palaestra.envs.swe.sandboxes.piping import Pipes
from palaestra.envs.swe.sandboxes.store import remove_tree
from palaestra.errors import ConfigError, EpisodeFailure, ToolError

__all__ = ["LocalSandbox", "UnsafeLocal"]

_GUARD = Path(__file__).with_name("_guard.py")


class _Copy:
    """A snapshot: a whole copy."""

    def __init__(self, source: Path) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="palaestra-unsafe-"))
        shutil.copytree(source, self.path, symlinks=True, dirs_exist_ok=True)

    def close(self) -> None:
        if self.path.exists():
            remove_tree(self.path)


class UnsafeLocal:
    """Runs programs as plain processes, with all our rights.

    Args:
        trusted: Must be True: that whatever is run here is trusted as we are.

    Raises:
        ConfigError: `trusted` is not True.
    """

    name = "unsafe-local"
    abilities = frozenset({"shell"})

    def __init__(self, *, trusted: bool = False) -> None:
        if trusted is not True:
            raise ConfigError(
                "UnsafeLocal is no sandbox: programs run with all your rights. Use bubblewrap, or say "
                "UnsafeLocal(trusted=True) if you trust every program and every agent as yourself."
            )
        self._copies: list[_Copy] = []
        self._sandboxes: set[LocalSandbox] = set()

    def prepare(self, tree: str | Path) -> Snapshot:
        """Takes a copy of a folder; see `Backend`."""
        if not Path(tree).is_dir():
            raise ConfigError(f"{tree} is not a folder.")
        return self._keep(Path(tree))

    def _keep(self, tree: Path) -> _Copy:
        copy = _Copy(tree)
        self._copies.append(copy)
        return copy

    def start(self, snapshot: Snapshot | None = None, limits: Limits | None = None) -> LocalSandbox:
        """A new folder; see `Backend`. Only `timeout`, `output`, `read`, `file_size` and `cpu_seconds` are kept."""
        if snapshot is not None and not (isinstance(snapshot, _Copy) and snapshot.path.exists()):
            raise ConfigError("A sandbox can be started from an open snapshot of its own backend only.")
        sandbox = LocalSandbox(
            self, None if snapshot is None else snapshot.path, Limits() if limits is None else limits
        )
        self._sandboxes.add(sandbox)
        return sandbox

    def close(self) -> None:
        """Closes everything. May be called again."""
        for sandbox in list(self._sandboxes):
            sandbox.close()
        for copy in self._copies:
            copy.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


class LocalSandbox:
    """A folder in which programs of ours run; see `Sandbox` for the methods, and the module for what it is not."""

    def __init__(self, backend: UnsafeLocal, tree: Path | None, limits: Limits) -> None:
        self.limits = limits
        self._backend = backend
        self._root = Path(tempfile.mkdtemp(prefix="palaestra-unsafe-"))
        if tree is not None:
            shutil.copytree(tree, self._root, symlinks=True, dirs_exist_ok=True)
        self._idle = threading.Condition()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

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
        """Runs a program; see `Sandbox`."""
        arguments, variables = checked_command(command, env, user)
        seconds = checked_timeout(timeout, self.limits)
        folder = self._root / inner_path(cwd)
        began = time.monotonic()
        pipes = Pipes()
        lifeline, ours = os.pipe2(os.O_CLOEXEC)
        bounds = [f"RLIMIT_CPU={max(1, round(self.limits.cpu_seconds))}" if self.limits.cpu_seconds else ""]
        bounds.append(f"RLIMIT_FSIZE={self.limits.file_size}" if self.limits.file_size else "")
        home = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self._root), "USER": USER, "LANG": "C.UTF-8"}
        guard = [sys.executable, "-I", "-S", str(_GUARD), str(lifeline), ",".join(filter(None, bounds)), str(folder)]
        try:
            with self._idle:
                if self._closed:
                    raise ToolError("The sandbox is closed.")
                try:
                    process = subprocess.Popen(
                        [*guard, *arguments], stdin=pipes.theirs[0], stdout=pipes.theirs[1], stderr=pipes.theirs[2],
                        env={**home, "TMPDIR": tempfile.gettempdir(), **variables}, pass_fds=(lifeline,),
                        start_new_session=True,
                    )  # fmt: skip
                except OSError as error:
                    raise EpisodeFailure("sandbox_exec", f"No process can be started: {error}.") from error
                self._running.add(process)
            pipes.let_go()
            end = os.pidfd_open(process.pid)
            try:
                stdout, stderr, why, ended = pipes.run(
                    stdin, self.limits.output, began + seconds, end, process.terminate
                )
            finally:
                os.close(end)
            code = process.wait(1.0) if ended else None
        finally:
            for fd in (lifeline, ours):
                os.close(fd)
            pipes.close()
            with self._idle:
                self._running -= {found for found in self._running if found.poll() is not None}
                self._idle.notify_all()
        taken = time.monotonic() - began
        if why is not None:
            return ExecResult(None, stdout, stderr, why, taken)
        if self._closed:
            return ExecResult(None, stdout, stderr, "closed", taken)
        if code is None or code < 0:
            raise EpisodeFailure(
                "sandbox_gone", f"The guard of a program was killed (exit code {code}).", cause="unattributed"
            )
        return ExecResult(code, stdout, stderr, "exit", taken)

    def _find(self, path: str) -> Path:
        if self._closed:
            raise ToolError("The sandbox is closed.")
        found = self._root / inner_path(path)
        if not found.resolve().is_relative_to(self._root.resolve()):
            raise ToolError(f"{path!r} leads out of the work tree.")
        return found

    def read_file(self, path: str) -> bytes:
        """The content of a file; see `Sandbox`."""
        try:
            with open(os.open(self._find(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise ToolError(f"{path!r} cannot be read: it is no ordinary file.")
                data = file.read(self.limits.read + 1)
        except (OSError, RuntimeError) as error:
            raise ToolError(f"{path!r} cannot be read: {getattr(error, 'strerror', error)}.") from error
        if len(data) > self.limits.read:
            raise ToolError(f"{path!r} is larger than the {self.limits.read:,} bytes that may be read.")
        return data

    def write_file(self, path: str, data: bytes) -> None:
        """Writes a file; see `Sandbox`."""
        if self.limits.file_size is not None and len(data) > self.limits.file_size:
            raise ToolError(f"{path!r}: {len(data):,} bytes are more than a file may have, {self.limits.file_size:,}.")
        try:
            target = self._find(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
            with open(os.open(target, flags, 0o644), "wb") as file:
                file.write(data)
        except (OSError, RuntimeError) as error:
            raise ToolError(f"{path!r} cannot be written: {getattr(error, 'strerror', error)}.") from error

    def snapshot(self) -> Snapshot:
        """A copy of the files, once no program is running; see `Sandbox`. Cost: O(tree)."""
        with self._idle:
            self._idle.wait_for(lambda: not self._running)
            if self._closed:
                raise ToolError("The sandbox is closed.")
            return self._backend._keep(self._root)

    def fork(self) -> LocalSandbox:
        """Another folder with the same files; see `Sandbox`."""
        snapshot = self.snapshot()
        try:
            return self._backend.start(snapshot, self.limits)
        finally:
            snapshot.close()

    def close(self) -> None:
        """Ends every program, as far as it is in its group, and removes the files; see `Sandbox`."""
        with self._idle:
            if self._closed:
                return
            self._closed = True
            for process in self._running:
                process.terminate()
            self._idle.wait_for(lambda: not self._running, timeout=5.0)
        remove_tree(self._root)
        self._backend._sandboxes.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
