"""Keeps sandboxes for its parent. Executed by its path, so it imports the standard library alone.

`python _keeper.py SOCKET PARENT UID STAGE...`: for each request it forks a keeper, which holds one sandbox: a user,
mount and pid namespace of its own with a bounded tmpfs and an overlay of the sandbox's layers. It starts a `bwrap`
inside for every command. Nothing of this outlives us: when the parent ends or closes the socket this process ends, the
kernel kills the keepers with it, and since each is the first process of a pid namespace, all that runs in its sandbox;
the mounts go with the last of them.

UID is the user that keepers become, if this is root; STAGE are folders that such a user could not reach, each as
FROM=TO, where TO is an empty folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from wire import receive, send  # type: ignore[import-not-found]

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_SYS_OPENAT2 = 437  # the same on every architecture
_BENEATH, _NO_MAGIC_LINKS = 8, 2
_POLL_SECONDS = 1.0
_WATCH_SECONDS = 0.05
_SHELL = 'cd -- "$0" || exit 126; exec "$@"'

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    result = _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    _checked(result, f"mount {kind or 'bind'} on {target}")


def _unshare(flags: int, what: str) -> None:
    _checked(_libc.unshare(flags), f"a new {what}")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _die_with(parent: int) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _open_beneath(folder: int, path: str, flags: int, mode: int = 0) -> int:
    """Opens a path that no link can lead out of the folder, whatever changes meanwhile."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, _BENEATH | _NO_MAGIC_LINKS)
    for _ in range(100):
        found = _libc.syscall(_SYS_OPENAT2, folder, os.fsencode(path), how, len(how))
        if found >= 0 or ctypes.get_errno() != errno.EAGAIN:  # EAGAIN: something was renamed meanwhile
            break
    return _checked(int(found), path)


class _Command:
    """A running `bwrap`."""

    def __init__(self, pid: int, reply: socket.socket, status: int) -> None:
        self.pid, self.reply, self.status = pid, reply, status
        self.told = b""
        self.inner: int | None = None
        self.over = False
        self.memory = False

    def hear(self) -> None:
        """Reads what bwrap says of it: the pid of its first process, its exit code."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.status, 4096):
                self.told += data
        self.inner = self.number(b'"child-pid":')

    def number(self, key: bytes) -> int | None:
        _, found, rest = self.told.partition(key)
        digits = rest.lstrip().split(b",")[0].split(b"}")[0].strip()
        return int(digits) if found and digits.isdigit() else None

    def kill(self) -> None:
        if not self.over:
            os.kill(self.pid, signal.SIGKILL)


class _Keeper:
    """Holds one sandbox."""

    def __init__(self, request: dict[str, Any], control: socket.socket, groups: list[int]) -> None:
        self._request, self._control, self._groups = request, control, groups
        self._commands: dict[int, _Command] = {}
        self._orphans: dict[int, _Command] = {}
        self._mounted = f"{request['store']}/m"

    # ---- its beginning

    def enter(self, uid: int, parent: int) -> None:
        """Becomes the sandbox's user, in namespaces of its own, with the work tree mounted."""
        gid = uid if os.getuid() == 0 else os.getgid()
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # else root owns our /proc/self, and we cannot write uid_map
        uid = os.getuid()
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNS | _CLONE_NEWPID, "user, mount and pid namespace")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")
        _die_with(parent)
        self._become_first()
        _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
        _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
        os.chdir(self._request["store"])
        os.umask(0o022)
        disk, here = self._request["disk"], self._mounted
        bound = "" if disk is None else f",size={disk},nr_inodes={max(1024, disk // 2048)}"
        _mount("tmpfs", here, "tmpfs", _MS_NOSUID | _MS_NODEV, f"mode=755{bound}")
        os.mkdir(f"{here}/merged")
        # Without a bound on the disk the changes lie on the disk itself.
        self._changes = here if disk is not None else self._request["changes"]
        for name in ("upper", "scratch", "tmp", "shm"):
            os.mkdir(f"{self._changes}/{name}")
        try:
            os.setxattr(f"{self._changes}/upper", "user.overlay.palaestra", b"")
            os.removexattr(f"{self._changes}/upper", "user.overlay.palaestra")
        except OSError as error:
            what = "a tmpfs of this kernel (Linux 6.6 could)" if disk is not None else "the file system of the store"
            raise OSError(
                error.errno, f"{what} has no user attributes, so that an overlay's changes cannot lie there"
            ) from None
        self._overlay()
        self._root = os.open(f"{here}/merged", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def _become_first(self) -> None:
        """Goes on in a child, the first process of the pid namespace: when it ends, so does all in the sandbox.

        That a `bwrap` dies with its parent is not enough: killed while it sets up, it leaves a child that waits for
        ever. The child that goes on cannot see its parent, whose end it is told by the kernel or else by a pipe.
        """
        read, write = os.pipe()
        child = os.fork()
        if child:
            os.closerange(3, write)
            os.closerange(write + 1, 4096)
            os.waitpid(child, 0)
            os._exit(0)
        os.close(write)
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if select.select([read], [], [], 0)[0]:
            os._exit(1)

    def _overlay(self) -> None:
        layers = ":".join(self._request["layers"])  # relative names, since the option is bounded by a page
        data = f"lowerdir={layers},upperdir={self._changes}/upper,workdir={self._changes}/scratch,userxattr"
        _mount("overlay", f"{self._mounted}/merged", "overlay", _MS_NOSUID | _MS_NODEV, data)

    # ---- its life

    def serve(self) -> None:
        """Serves until it is told to close, or nobody is there any more."""
        wake, woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        watched: int | None = self._request["watch"]
        while True:
            replies = {command.reply.fileno(): command for command in self._commands.values()}
            seconds = _WATCH_SECONDS if watched is not None and replies else None
            ready = select.select([self._control.fileno(), wake, *replies], [], [], seconds)[0]
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
            for fd in ready:
                if fd in replies:  # told to kill it, or nobody waits for it any more
                    replies[fd].kill()
            self._reap()
            if watched is not None:
                self._watch(watched)
            if self._control.fileno() in ready:
                message, fds = receive(self._control)
                if message is None or message["op"] == "close":
                    return
                self._answer(message, fds)

    def _answer(self, message: dict[str, Any], fds: list[int]) -> None:
        if message["op"] == "exec":
            self._start(message, fds)
            return
        try:
            found = getattr(self, "_do_" + message["op"])(message)
        except OSError as error:
            send(self._control, {"errno": error.errno, "message": str(error)})
        else:
            send(self._control, {"errno": 0}, [] if found is None else [found])
            if found is not None:
                os.close(found)

    def end(self) -> None:
        """Kills everything and waits for it."""
        for command in self._commands.values():
            command.kill()
        until = time.monotonic() + 5.0
        while (self._commands or self._orphans) and time.monotonic() < until:
            self._reap()
            time.sleep(0.001)

    # ---- commands

    def _start(self, message: dict[str, Any], fds: list[int]) -> None:
        reply = socket.socket(fileno=fds.pop())
        read, write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read, False)
        pid = os.fork()
        if pid == 0:
            self._become(message, fds, write)
        for fd in (*fds, write):
            os.close(fd)
        self._commands[pid] = _Command(pid, reply, read)

    def _become(self, message: dict[str, Any], fds: list[int], status: int) -> None:
        code = 125
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            for group in self._groups:
                os.write(group, b"0")
            fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (*fds, status)]
            for target, fd in enumerate(fds):  # 0, 1 and 2; bwrap keeps 3 to itself
                os.dup2(fd, target)
            os.closerange(4, 4096)  # all of these are closed on exec anyway
            for name, bound in message["rlimits"].items():
                kind = getattr(resource, name)
                hard = resource.getrlimit(kind)[1]
                bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
                resource.setrlimit(kind, (bound, bound))
            at = self._mounted
            arguments = [
                *self._request["bwrap"], "--json-status-fd", "3",
                "--bind", f"{at}/merged", self._request["work"], "--bind", f"{self._changes}/tmp", "/tmp",
                "--bind", f"{self._changes}/shm", "/dev/shm", *self._request["binds"],
                "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", self._request["work"],
            ]  # fmt: skip
            for name, value in message["env"].items():
                arguments += ["--setenv", name, value]
            # The shell stands between so that a missing program or folder is the program's own result.
            arguments += ["--", "/bin/sh", "-c", _SHELL, message["cwd"], *message["command"]]
            os.execv(arguments[0], arguments)
        except OSError as error:
            os.write(2, f"sandbox: {error}\n".encode())
            code = 124 if error.errno == errno.EAGAIN else 125
        finally:
            os._exit(code)

    def _reap(self) -> None:
        while self._commands or self._orphans:
            try:
                pid, _status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if (command := self._commands.pop(pid, None)) is not None:
                command.hear()
                command.over = True
                # Its first process, which we inherit, ends after all others in its pid namespace have.
                if command.inner is not None and _is_ours(command.inner):
                    self._orphans[command.inner] = command
                else:
                    self._tell(command)
            elif (command := self._orphans.pop(pid, None)) is not None:
                self._tell(command)

    def _tell(self, command: _Command) -> None:
        with contextlib.suppress(OSError):
            code = command.number(b'"exit-code":')
            others = len(self._commands) + len(self._orphans)
            send(command.reply, {"exit_code": code, "others": others, "memory": command.memory})
        command.reply.close()
        os.close(command.status)

    def _watch(self, limit: int) -> None:
        """Kills everything if all processes together hold more memory than they may."""
        held = 0
        for command in self._commands.values():
            pending = [command.pid]
            while pending:
                pid = pending.pop()
                with contextlib.suppress(OSError, ValueError, IndexError):
                    with open(f"/proc/{pid}/statm") as file:
                        held += int(file.read().split()[1]) * resource.getpagesize()
                    with open(f"/proc/{pid}/task/{pid}/children") as file:
                        pending += map(int, file.read().split())
        if held > limit:
            for command in self._commands.values():
                command.memory = True
                command.kill()

    # ---- files

    def _do_open(self, message: dict[str, Any]) -> int:
        """A file, for reading; or for writing, with the folders above it."""
        path, writing = message["path"], message["write"]
        if writing:
            folder, _, _ = path.rpartition("/")
            parts = folder.split("/") if folder else []
            for end in range(1, len(parts) + 1):
                self._make_folder("/".join(parts[: end - 1]) or ".", parts[end - 1])
        flags = os.O_WRONLY | os.O_CREAT if writing else os.O_RDONLY
        fd = _open_beneath(self._root, path, flags | os.O_NONBLOCK | os.O_NOCTTY, 0o644 if writing else 0)
        kind = os.fstat(fd)
        if not stat.S_ISREG(kind.st_mode):
            os.close(fd)
            raise OSError(errno.EISDIR if stat.S_ISDIR(kind.st_mode) else errno.EINVAL, "no ordinary file")
        if writing:
            os.ftruncate(fd, 0)
        return fd

    def _make_folder(self, above: str, name: str) -> None:
        fd = _open_beneath(self._root, above, os.O_PATH | os.O_DIRECTORY)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=fd)
        finally:
            os.close(fd)

    def _do_save(self, message: dict[str, Any]) -> None:
        """Copies the changes into a layer; or, where there are too many layers, all files."""
        source = f"{self._mounted}/merged" if message["whole"] else f"{self._changes}/upper"
        done = subprocess.run(
            ["cp", "--archive", "--", f"{source}/.", message["to"]], stderr=subprocess.PIPE, check=False
        )
        if done.returncode:
            raise OSError(errno.EIO, done.stderr.decode(errors="replace")[-500:])


def _is_ours(pid: int) -> bool:
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _keep(request: dict[str, Any], control: socket.socket, groups: list[int], uid: int, parent: int) -> None:
    keeper = _Keeper(request, control, groups)
    try:
        keeper.enter(uid, parent)
    except OSError as error:
        send(control, {"errno": error.errno or -1, "message": str(error)})
        return
    send(control, {"errno": 0})
    try:
        keeper.serve()
    finally:
        keeper.end()


def _main() -> int:
    ours, parent, uid = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
    os.set_inheritable(ours.fileno(), False)
    os.closerange(3, ours.fileno())
    os.closerange(ours.fileno() + 1, 4096)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if sys.argv[4:]:
            _unshare(_CLONE_NEWNS, "mount namespace")
            _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
            for pair in sys.argv[4:]:
                source, _, target = pair.rpartition("=")
                _mount(source, target, None, _MS_BIND | _MS_REC)
    except OSError as error:
        send(ours, {"errno": error.errno or -1, "message": str(error)})
        return 1
    send(ours, {"errno": 0})
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    me = os.getpid()
    while os.getppid() == parent:
        # A forked sibling of the parent may hold the socket open, so the parent is looked for, too.
        if not select.select([ours], [], [], _POLL_SECONDS)[0]:
            continue
        request, fds = receive(ours)
        if request is None:
            break
        if os.fork() == 0:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                ours.close()
                _keep(request, socket.socket(fileno=fds[0]), fds[1:], uid, me)
            finally:
                os._exit(0)
        for fd in fds:
            os.close(fd)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
