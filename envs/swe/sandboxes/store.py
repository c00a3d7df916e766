"""Where layers of files lie while sandboxes use them: a folder of this process that others remove once it is dead."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from palaestra.errors import ConfigError

__all__ = ["Store", "owner_name", "reap_stores", "remove_tree"]


def owner_name(pid: int) -> str | None:
    """A name that no other process of this machine has had since its start; None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return f"{pid}.{text.rpartition(')')[2].split()[19]}"


def living_owners() -> set[str]:
    """The names of all processes there are."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return {name for pid in pids if (name := owner_name(pid)) is not None}


def remove_tree(path: Path) -> None:
    """Removes a folder, also where its folders cannot be read."""

    def retry(function: Callable[..., Any], name: str, _: object) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(name), 0o700)
            if not os.path.islink(name):
                os.chmod(name, 0o700)
            if os.path.isdir(name) and not os.path.islink(name):
                shutil.rmtree(name, ignore_errors=True)
            else:
                os.unlink(name)

    shutil.rmtree(path, onerror=retry)


def _base(folder: Path | None) -> Path:
    base = Path(tempfile.gettempdir()) / f"palaestra-sandboxes-{os.getuid()}" if folder is None else Path(folder)
    base.mkdir(mode=0o711, parents=True, exist_ok=True)
    kind = base.lstat()
    if not stat.S_ISDIR(kind.st_mode) or kind.st_uid != os.getuid():
        raise ConfigError(f"{base} is not a folder of ours (uid {os.getuid()}). Give another as store=.")
    return base.resolve()


def reap_stores(base: Path) -> None:
    """Removes the stores of processes that ended without doing so themselves."""
    for folder in list(base.iterdir()):
        with contextlib.suppress(OSError), open(folder / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(folder)


class Store:
    """A folder of layers, which are folders that are counted and removed with their last user.

    Args:
        folder: Where stores lie; None for one below the system's folder of temporary files.
        uid: Whose the layers are; None for ours.

    Raises:
        ConfigError: The place belongs to somebody else, or the user `uid` could not reach it.
    """

    def __init__(self, folder: Path | None = None, uid: int | None = None) -> None:
        base = _base(folder)
        reap_stores(base)
        self._uid = uid
        owner = owner_name(os.getpid()) or str(os.getpid())
        fresh = Path(tempfile.mkdtemp(prefix=f"{owner}.", dir=base))
        self._lock = os.open(fresh / "lock.new", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.rename(fresh / "lock.new", fresh / "lock")
        fresh.chmod(0o711)
        self.path = fresh
        self.owner = owner
        if uid is not None:
            for above in (fresh, *fresh.parents):
                if not above.stat().st_mode & stat.S_IXOTH:
                    self.close()
                    raise ConfigError(f"{above} cannot be entered by the sandboxes' user {uid}. Give another store=.")
        self._guard = threading.Lock()
        self._users: dict[str, int] = {}
        self._last = 0

    def number(self) -> int:
        """A number that was not given before."""
        with self._guard:
            self._last += 1
            return self._last

    def folder(self, prefix: str) -> Path:
        """A new folder that belongs to the sandboxes' user."""
        path = self.path / f"{prefix}{self.number()}"
        path.mkdir(mode=0o755)
        if self._uid is not None:
            os.chown(path, self._uid, self._uid)
        return path

    def hold(self, names: tuple[str, ...]) -> None:
        """Counts a user of each layer."""
        with self._guard:
            for name in names:
                self._users[name] = self._users.get(name, 0) + 1

    def release(self, names: tuple[str, ...]) -> None:
        """Counts a user less, and removes the layers that nobody uses any more."""
        unused = []
        with self._guard:
            for name in names:
                self._users[name] -= 1
                if not self._users[name]:
                    del self._users[name]
                    unused.append(name)
        for name in unused:
            remove_tree(self.path / name)

    def give_away(self, path: Path) -> None:
        """Makes everything in a folder the sandboxes' user's."""
        if self._uid is None:
            return
        for name in _entries(path):
            os.chown(name, self._uid, self._uid, follow_symlinks=False)

    def close(self) -> None:
        """Removes it all."""
        if self._lock >= 0:
            remove_tree(self.path)
            os.close(self._lock)
            self._lock = -1


def _entries(path: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(path):
        yield folder
        for name in (*folders, *files):
            yield os.path.join(folder, name)
