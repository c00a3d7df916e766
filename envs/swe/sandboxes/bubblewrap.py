"""Sandboxes of bubblewrap: namespaces, an overlay over the work tree, no daemon. The default.

Every sandbox has a keeper (`_keeper.py`), a process that holds its mounts and starts `bwrap` in them for each command.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from palaestra.envs.swe.sandboxes import cgroups, wire
from palaestra.envs.swe.sandboxes.base import (
    USER,
    WORK,
    ExecResult,
    Limits,
    Snapshot,
    checked_command,
    checked_timeout,
    inner_path,
)
from palaestra.envs.swe.sandboxes.piping import Pipes
from palaestra.envs.swe.sandboxes.store import Store, living_owners
from palaestra.errors import ConfigError, EpisodeFailure, ToolError

__all__ = ["Bubblewrap", "BubblewrapSandbox"]

_KEEPER = Path(__file__).with_name("_keeper.py")
_UID_OF_ROOT = 61000  # who sandboxes run as if we are root; systemd leaves the range unused
_INSIDE_UID = 1000
_MOST_LAYERS = 60
_REPLY_SECONDS = 60.0
_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC = ("alternatives", "ca-certificates", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types",
        "nsswitch.conf", "protocols", "services", "ssl/certs", "ssl/openssl.cnf")  # fmt: skip
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REFUSALS = {
    errno.ENOENT: "there is no such file",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EXDEV: f"it leads out of the work tree {WORK}",
    errno.ELOOP: "its links lead nowhere",
    errno.EINVAL: "it is no ordinary file",
    errno.ENXIO: "it is no ordinary file",
    errno.ENODEV: "it is no ordinary file",
    errno.ENOSPC: "the sandbox's disk is full",
    errno.EFBIG: "it would be too large",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ETXTBSY: "it is being run",
    errno.ENAMETOOLONG: "a name is too long",
    errno.EEXIST: "a part of the path is in the way",
    errno.EAGAIN: "it is being changed",
}


def _broke(kind: str, what: str) -> EpisodeFailure:
    return EpisodeFailure(kind, f"The sandbox broke by no action of its program: {what}")


class _Zygote:
    """The process that forks keepers; it ends with us."""

    def __init__(self, stage: Sequence[tuple[str, Path]], uid: int) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        command = [sys.executable, "-I", "-S", str(_KEEPER), str(theirs.fileno()), str(os.getpid()), str(uid)]
        command += [f"{source}={target}" for source, target in stage]
        with theirs:
            self._popen = subprocess.Popen(
                command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, env={}, start_new_session=True
            )
        self._socket.settimeout(_REPLY_SECONDS)
        try:
            answer, _ = wire.receive(self._socket)
        except OSError:
            answer = None
        if answer is None or answer["errno"]:
            self.end()
            raise ConfigError(f"Sandboxes cannot be started: {answer['message'] if answer else 'their keeper ended'}.")

    def ask(self, request: dict[str, Any], fds: Sequence[int]) -> None:
        with self._lock:
            wire.send(self._socket, request, fds)

    @property
    def has_ended(self) -> bool:
        return self._popen.poll() is not None

    def end(self) -> None:
        self._socket.close()
        try:
            self._popen.wait(5)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


class _Layers:
    """A snapshot: layers of files, the uppermost first."""

    def __init__(self, backend: Bubblewrap, store: Store, names: tuple[str, ...]) -> None:
        self.backend, self.store, self.names = backend, store, names
        store.hold(names)
        self._open = True
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            if self._open:
                self._open = False
                self.store.release(self.names)

    @property
    def is_open(self) -> bool:
        return self._open

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


class Bubblewrap:
    """Starts sandboxes of bubblewrap.

    Programs see a read-only root made of the host's `/usr` and a few files of `/etc`, the work tree at `/work`, `/tmp`,
    processes of their own command alone, and nothing else. They run as the user "agent" without capabilities, in user,
    pid, ipc, uts, cgroup and (unless granted) network namespaces. If we are root, the user behind "agent" is not: it is
    `uid`.

    Args:
        binds: Further folders of the host that programs may read, at the same paths (a Python's prefix, for instance).
        env: Environment variables of every command.
        store: Where layers of files lie; None for a folder below the system's folder of temporary files.
        bounds: "auto" uses control groups where we may, and else resource limits, which bound the memory of each
            process, with a look at the sum of all every 50 ms. "rlimits" uses those at once.
        uid: The user behind "agent" if we are root; a number that nobody has.

    Raises:
        ConfigError: bubblewrap is not installed, or a folder is not there.
    """

    name = "bubblewrap"
    abilities = frozenset({"shell", "limits", "isolation"})

    def __init__(
        self,
        *,
        binds: Sequence[str | Path] = (),
        env: Mapping[str, str] | None = None,
        store: str | Path | None = None,
        bounds: Literal["auto", "rlimits"] = "auto",
        uid: int = _UID_OF_ROOT,
    ) -> None:
        found = shutil.which("bwrap")
        if found is None:
            raise ConfigError("bubblewrap is not installed: there is no program bwrap. On Debian: apt-get install "
                              "bubblewrap.")  # fmt: skip
        if bounds not in ("auto", "rlimits"):
            raise ConfigError(f"bounds={bounds!r}: choose 'auto' or 'rlimits'.")
        self._program = found
        self._binds = [Path(os.path.abspath(path)) for path in binds]
        for path in self._binds:
            if not path.is_dir() or "=" in str(path):
                raise ConfigError(f"binds: {path} is not a folder (whose path has no '=').")
        self._env = dict(env or {})
        self._folder = None if store is None else Path(store)
        self._bounds, self._uid = bounds, uid
        self._lock = threading.Lock()
        self._pid = 0
        self._started = False

    # ---- what is made at the first start, in each process anew

    def _ready(self) -> tuple[Store, _Zygote]:
        with self._lock:
            if self._pid != os.getpid():
                root = os.getuid() == 0
                store = Store(self._folder, self._uid if root else None)
                try:
                    _make_etc(store.path / "etc")
                    (store.path / "m").mkdir()
                    if root:
                        os.chown(store.path / "m", self._uid, self._uid)
                    stage = []
                    self._places = {path: path for path in self._binds}
                    for number, path in enumerate(self._binds if root else ()):
                        target = store.path / f"s{number}"
                        target.mkdir()
                        stage.append((str(path), target))
                        self._places[path] = target
                    self._hierarchies = cgroups.find_hierarchies() if self._bounds == "auto" else {}
                    cgroups.reap(self._hierarchies, living_owners())
                    self._stage = stage
                    self._zygote = _Zygote(stage, self._uid)
                except BaseException:
                    store.close()
                    raise
                self._store = store
                self._sandboxes: set[BubblewrapSandbox] = set()
                self._pid = os.getpid()
                atexit.register(self.close)  # else the store stays until the next start
            elif self._zygote.has_ended:  # somebody killed it; its sandboxes are gone, others can be started
                self._zygote.end()
                self._zygote = _Zygote(self._stage, self._uid)
            return self._store, self._zygote

    def _arguments(self, limits: Limits, store: Store) -> list[str]:
        arguments = [self._program, "--die-with-parent", "--new-session", "--unshare-user", "--disable-userns",
                     "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
                     "--uid", str(_INSIDE_UID), "--gid", str(_INSIDE_UID), "--hostname", "sandbox",
                     "--cap-drop", "ALL", "--clearenv", "--ro-bind", "/usr", "/usr"]  # fmt: skip
        if not limits.network:
            arguments.append("--unshare-net")
        for top in (f"/{name}" for name in _SYSTEM):
            if os.path.islink(top):
                arguments += ["--symlink", os.readlink(top), top]
            elif os.path.isdir(top):
                arguments += ["--ro-bind", top, top]
        arguments += ["--ro-bind", str(store.path / "etc"), "/etc"]
        if limits.network:
            arguments += ["--ro-bind-try", os.path.realpath("/etc/resolv.conf"), "/etc/resolv.conf"]
        return [*arguments, "--proc", "/proc", "--dev", "/dev"]

    # ---- the protocol

    def prepare(self, tree: str | Path) -> Snapshot:
        """Takes a copy of a folder; see `Backend`."""
        source = Path(tree)
        if not source.is_dir():
            raise ConfigError(f"{source} is not a folder.")
        store, _ = self._ready()
        target = store.folder("l")
        done = subprocess.run(
            ["cp", "--archive", "--reflink=auto", "--", f"{source}/.", str(target)], capture_output=True, check=False
        )
        if done.returncode:
            shutil.rmtree(target, ignore_errors=True)
            raise ConfigError(f"{source} cannot be copied: {done.stderr.decode(errors='replace')[-300:].strip()}")
        store.give_away(target)
        return _Layers(self, store, (target.name,))

    def start(self, snapshot: Snapshot | None = None, limits: Limits | None = None) -> BubblewrapSandbox:
        """A new sandbox; see `Backend`."""
        store, zygote = self._ready()
        limits = Limits() if limits is None else limits
        if snapshot is None:
            layers = _Layers(self, store, (store.folder("l").name,))
        elif isinstance(snapshot, _Layers) and snapshot.backend is self and snapshot.store is store:
            if not snapshot.is_open:
                raise ConfigError("This snapshot is closed.")
            layers = _Layers(self, store, snapshot.names)
        else:
            raise ConfigError("A sandbox can be started from a snapshot of its own backend only, in the same process.")
        try:
            sandbox = self._start(store, zygote, layers, limits)
        except BaseException:
            layers.close()
            raise
        self._started = True
        self._sandboxes.add(sandbox)
        return sandbox

    def _start(self, store: Store, zygote: _Zygote, layers: _Layers, limits: Limits) -> BubblewrapSandbox:
        name = str(store.number())
        groups = cgroups.made_group(
            name, store.owner, self._hierarchies, memory=limits.memory, processes=limits.processes, cpus=limits.cpus
        )
        fds: list[int] = []
        changes = None
        control, theirs = socket.socketpair()
        try:
            if limits.cpus is not None and "cpu" not in groups.held:
                raise ConfigError(
                    f"cpus={limits.cpus} cannot be held here: no control group with the controller cpu can be made. "
                    "Give cpus=None, or let this process make control groups."
                )
            if limits.processes is not None and "pids" not in groups.held and _kernel() < (5, 14):
                raise ConfigError(
                    f"processes={limits.processes} cannot be held here: no control group with the controller pids can "
                    "be made, and before Linux 5.14 RLIMIT_NPROC does not count by namespace. Give processes=None."
                )
            if limits.disk is None:
                changes = store.folder("c")
            fds = groups.open()
            request = {
                "store": str(store.path), "layers": layers.names, "disk": limits.disk, "work": WORK,
                "changes": None if changes is None else str(changes),
                "watch": None if "memory" in groups.held else limits.memory,
                "bwrap": self._arguments(limits, store),
                "binds": [part for pair in self._places.items() for part in ("--ro-bind", str(pair[1]), str(pair[0]))],
            }  # fmt: skip
            control.settimeout(_REPLY_SECONDS)
            try:
                zygote.ask(request, [theirs.fileno(), *fds])
                theirs.close()
                answer, _ = wire.receive(control)
            except OSError as error:
                raise _broke("sandbox_start", f"its keeper cannot be started ({error}).") from error
            if answer is None or answer["errno"]:
                what = answer["message"] if answer else "its keeper ended"
                if self._started:
                    raise _broke("sandbox_start", f"it could not be started: {what}.")
                raise ConfigError(
                    f"bubblewrap's sandboxes cannot be started on this machine: {what}. They need user namespaces "
                    "(sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns), overlayfs in "
                    "them (Linux 5.11), and a /proc of which nothing is hidden (in Docker: --security-opt "
                    "systempaths=unconfined); a bound on the disk needs Linux 6.6, or give disk=None."
                )
        except BaseException:
            control.close()
            groups.remove()
            if changes is not None:
                shutil.rmtree(changes, ignore_errors=True)
            raise
        finally:
            theirs.close()
            for fd in fds:
                os.close(fd)
        return BubblewrapSandbox(self, store, layers, limits, control, groups, changes, self._env)

    def close(self) -> None:
        """Closes all its sandboxes and forgets its snapshots. May be called again."""
        with self._lock:
            if self._pid != os.getpid():
                return
            self._pid = 0
        atexit.unregister(self.close)
        for sandbox in list(self._sandboxes):
            sandbox.close()
        self._zygote.end()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


class BubblewrapSandbox:
    """A sandbox of bubblewrap; see `Sandbox`. Made by `Bubblewrap.start`."""

    def __init__(
        self,
        backend: Bubblewrap,
        store: Store,
        layers: _Layers,
        limits: Limits,
        control: socket.socket,
        groups: cgroups.Groups,
        changes: Path | None,
        env: Mapping[str, str],
    ) -> None:
        self.limits = limits
        self._backend, self._store, self._layers, self._groups, self._changes = backend, store, layers, groups, changes
        self._control = control
        self._lock = threading.Lock()
        self._idle = threading.Condition()
        self._running = 0
        self._closed = False
        home = {"PATH": _PATH, "HOME": "/tmp", "USER": USER, "LOGNAME": USER, "LANG": "C.UTF-8", "TMPDIR": "/tmp"}
        self._env = {**home, **env}
        self._rlimits = {"RLIMIT_CORE": 0}
        if limits.processes is not None:
            self._rlimits["RLIMIT_NPROC"] = limits.processes + 1  # the keeper
        if limits.file_size is not None:
            self._rlimits["RLIMIT_FSIZE"] = limits.file_size
        if limits.cpu_seconds is not None:
            self._rlimits["RLIMIT_CPU"] = max(1, round(limits.cpu_seconds))
        if limits.memory is not None and "memory" not in groups.held:
            self._rlimits["RLIMIT_AS"] = limits.memory

    @property
    def bounded_by(self) -> frozenset[str]:
        """The controllers of control groups that bound it; what is missing is bounded by resource limits."""
        return frozenset(self._groups.held)

    # ---- commands

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
        folder = inner_path(cwd)
        with self._idle:
            self._running += 1
        try:
            return self._exec(arguments, stdin, f"{WORK}/{folder}", {**self._env, **variables}, seconds)
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _exec(
        self, command: list[str], stdin: bytes, cwd: str, env: dict[str, str], seconds: float
    ) -> ExecResult:  # fmt: skip
        began = time.monotonic()
        before = self._groups.memory_kills()
        request = {"op": "exec", "command": command, "cwd": cwd, "env": env, "rlimits": self._rlimits}
        try:
            pipes = Pipes()
            reply, theirs = socket.socketpair()
        except OSError as error:
            raise _broke("sandbox_exec", f"no pipes can be made ({error}).") from error
        with reply:
            try:
                with theirs, self._lock:
                    self._say(request, [*pipes.theirs, theirs.fileno()])
                pipes.let_go()

                def kill() -> None:
                    with contextlib.suppress(OSError):
                        reply.shutdown(socket.SHUT_WR)

                deadline = began + seconds
                stdout, stderr, why, ended = pipes.run(stdin, self.limits.output, deadline, reply.fileno(), kill)
            finally:
                pipes.close()
            answer = None
            if ended:
                with contextlib.suppress(OSError):
                    answer, _ = wire.receive(reply)
        taken = time.monotonic() - began
        if why is not None:
            return ExecResult(None, stdout, stderr, why, taken)
        if answer is None:
            if self._closed:
                return ExecResult(None, stdout, stderr, "closed", taken)
            raise _broke("sandbox_gone", "its keeper ended while a command ran.")
        code: int | None = answer["exit_code"]
        if answer["memory"] or (code != 0 and self._groups.memory_kills() > before):
            return ExecResult(None, stdout, stderr, "memory", taken)
        if code is not None:
            return ExecResult(code, stdout, stderr, "exit", taken)
        if self._closed:
            return ExecResult(None, stdout, stderr, "closed", taken)
        if answer["others"] or self._running > 1:  # the sandbox's own programs left nothing for this one
            return ExecResult(None, stdout, stderr, "killed", taken)
        raise _broke(
            "sandbox_exec", f"bwrap ended before the program: {stderr.decode(errors='replace')[-500:].strip()}"
        )

    def _say(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        if self._closed:
            raise ToolError("The sandbox is closed.")
        try:
            wire.send(self._control, message, fds)
        except OSError as error:
            raise _broke("sandbox_gone", f"its keeper is gone ({error}).") from error

    def _ask(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        with self._lock:
            self._say(message)
            try:
                answer, fds = wire.receive(self._control)
            except OSError as error:
                raise _broke("sandbox_gone", f"its keeper does not answer ({error}).") from error
        if answer is None:
            raise _broke("sandbox_gone", "its keeper ended.")
        return answer, fds

    # ---- files

    def _open(self, path: str, write: bool) -> int:
        answer, fds = self._ask({"op": "open", "path": inner_path(path), "write": write})
        if answer["errno"]:
            if answer["errno"] not in _REFUSALS:
                raise _broke("sandbox_file", f"{path!r}: {answer['message']}.")
            raise ToolError(f"{path!r} cannot be {'written' if write else 'read'}: {_REFUSALS[answer['errno']]}.")
        return fds[0]

    def read_file(self, path: str) -> bytes:
        """The content of a file; see `Sandbox`."""
        with os.fdopen(self._open(path, write=False), "rb") as file:
            data = file.read(self.limits.read + 1)
        if len(data) > self.limits.read:
            raise ToolError(f"{path!r} is larger than the {self.limits.read:,} bytes that may be read.")
        return data

    def write_file(self, path: str, data: bytes) -> None:
        """Writes a file; see `Sandbox`."""
        if self.limits.file_size is not None and len(data) > self.limits.file_size:
            raise ToolError(f"{path!r}: {len(data):,} bytes are more than a file may have, {self.limits.file_size:,}.")
        if inner_path(path) == ".":
            raise ToolError(f"{path!r} cannot be written: it is a folder.")
        try:
            with os.fdopen(self._open(path, write=True), "wb", buffering=0) as file:
                left = memoryview(data)
                while left:
                    left = left[file.write(left) :]
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise _broke("sandbox_file", f"{path!r}: {error}.") from error
            raise ToolError(f"{path!r} cannot be written: {_REFUSALS[error.errno]}.") from error

    def snapshot(self) -> Snapshot:
        """The files, once no command is running; see `Sandbox`."""
        with self._idle:
            self._idle.wait_for(lambda: self._running == 0)
            whole = len(self._layers.names) >= _MOST_LAYERS
            target = self._store.folder("l")
            try:
                answer, _ = self._ask({"op": "save", "to": str(target), "whole": whole})
                if answer["errno"]:
                    raise _broke("sandbox_snapshot", answer["message"])
            except BaseException:
                shutil.rmtree(target, ignore_errors=True)
                raise
        return _Layers(self._backend, self._store, (target.name, *(() if whole else self._layers.names)))

    def fork(self) -> BubblewrapSandbox:
        """Another sandbox with the same files; see `Sandbox`."""
        snapshot = self.snapshot()
        try:
            return self._backend.start(snapshot, self.limits)
        finally:
            snapshot.close()

    def close(self) -> None:
        """Ends everything in it and waits until it is gone; see `Sandbox`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with contextlib.suppress(OSError):
                wire.send(self._control, {"op": "close"})
                self._control.settimeout(10.0)
                while self._control.recv(4096):  # its end is the end of the keeper
                    pass
            self._control.close()
        self._groups.remove()
        self._layers.close()
        if self._changes is not None:
            shutil.rmtree(self._changes, ignore_errors=True)
        self._backend._sandboxes.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _make_etc(folder: Path) -> None:
    """The `/etc` of every sandbox: one folder, since each further mount costs every command a millisecond."""
    folder.mkdir(mode=0o755)
    for name in _ETC:
        if os.path.lexists(f"/etc/{name}"):
            (folder / name).parent.mkdir(exist_ok=True)
            subprocess.run(["cp", "--archive", f"/etc/{name}", str(folder / name)], check=False, capture_output=True)
    texts = {
        "passwd": f"{USER}:x:{_INSIDE_UID}:{_INSIDE_UID}::/tmp:/bin/sh\nroot:x:0:0:root:/nonexistent:/bin/false\n",
        "group": f"{USER}:x:{_INSIDE_UID}:\nroot:x:0:\n",
        "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
        "resolv.conf": "",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)


def _kernel() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(filter(str.isdigit, minor)) or 0)
