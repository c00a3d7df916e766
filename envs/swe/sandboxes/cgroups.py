"""Control groups of sandboxes, of either version: below our own group, so that its own bounds hold, too."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

__all__ = ["Groups", "find_hierarchies", "made_group"]

_PREFIX = "palaestra-"
_CPU_PERIOD = 100_000  # microseconds


def find_hierarchies(proc: Path = Path("/proc/self"), mounts: str | None = None) -> dict[str, tuple[int, list[Path]]]:
    """Where groups of each controller can be made.

    Args:
        proc: The folder of this process in procfs.
        mounts: The text of `/proc/self/mountinfo`; None to read it.

    Returns:
        For each of "memory", "pids" and "cpu" that is there, the version (1 or 2) and the folders to try in turn. In
        version 2 a group that holds processes cannot pass controllers on, so a sibling of our own is tried after it.
    """
    try:
        text = (proc / "mountinfo").read_text() if mounts is None else mounts
        own = [line.split(":", 2) for line in (proc / "cgroup").read_text().splitlines()]
    except OSError:
        return {}
    places: dict[str, tuple[str, str]] = {}
    unified: tuple[str, str] | None = None
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, tail = left.split(), right.split()
        if not tail or len(fields) < 5:
            continue
        if tail[0] == "cgroup2":
            unified = (fields[3], fields[4])
        elif tail[0] == "cgroup":
            for option in tail[-1].split(","):
                places[option] = (fields[3], fields[4])
    found: dict[str, tuple[int, list[Path]]] = {}
    for _, names, path in own:
        if not names and unified is not None:
            home = _below(unified, path)
            candidates = [home] if home == Path(unified[1]) else [home, home.parent]
            for name in ("memory", "pids", "cpu"):
                with contextlib.suppress(OSError):
                    if name in (home / "cgroup.controllers").read_text().split():
                        found.setdefault(name, (2, candidates))
        for name in names.split(","):
            if name in places and name in ("memory", "pids", "cpu"):
                found[name] = (1, [_below(places[name], path)])
    return found


def _below(place: tuple[str, str], path: str) -> Path:
    root, at = place
    inner = path[len(root) :] if root != "/" and path.startswith(root) else path
    return Path(at) / inner.lstrip("/")


def _ready(home: Path, name: str) -> bool:
    """Whether groups made here have this controller of version 2."""
    control = home / "cgroup.subtree_control"
    try:
        if name not in control.read_text().split():
            control.write_text(f"+{name}")
        return name in control.read_text().split()
    except OSError:
        return False


class Groups:
    """The groups of one sandbox.

    Attributes:
        held: The controllers that bound it.
    """

    def __init__(self) -> None:
        self.held: set[str] = set()
        self._folders: list[Path] = []
        self._memory: Path | None = None

    def add(self, name: str, version: int, folder: Path, values: dict[str, str]) -> None:
        """Makes the group of a controller, or uses one that was made for another.

        Raises:
            OSError: It cannot be made or does not take the values.
        """
        if folder not in self._folders:
            folder.mkdir()
            self._folders.append(folder)
        for file, value in values.items():
            if file in ("memory.memsw.limit_in_bytes", "memory.swap.max", "memory.oom.group"):
                with contextlib.suppress(OSError):  # where swap is not counted
                    (folder / file).write_text(value)
            else:
                (folder / file).write_text(value)
        if name == "memory":
            self._memory = folder / ("memory.oom_control" if version == 1 else "memory.events")
        self.held.add(name)

    def open(self) -> list[int]:
        """A file descriptor for each group: a process that writes "0" to it moves in."""
        return [os.open(folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) for folder in self._folders]

    def memory_kills(self) -> int:
        """How many processes were killed for want of memory."""
        with contextlib.suppress(OSError, ValueError):
            if self._memory is not None:
                for line in self._memory.read_text().splitlines():
                    key, _, value = line.partition(" ")
                    if key == "oom_kill":
                        return int(value)
        return 0

    def remove(self) -> None:
        """Removes them, once the last process in them is gone."""
        until = time.monotonic() + 2.0
        while self._folders:
            try:
                self._folders[-1].rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                if time.monotonic() > until:
                    return
                time.sleep(0.002)
                continue
            self._folders.pop()


def made_group(
    name: str,
    owner: str,
    hierarchies: dict[str, tuple[int, list[Path]]],
    *,
    memory: int | None,
    processes: int | None,
    cpus: float | None,
) -> Groups:
    """The groups that hold these bounds, as far as this machine lets us; `held` says which.

    Args:
        name: The sandbox's, a part of a file's name.
        owner: Ours, to be told from others'; see `reap`.
        hierarchies: See `find_hierarchies`.
        memory: Bytes.
        processes: Processes and threads.
        cpus: Processors.
    """
    quota = None if cpus is None else max(1000, int(cpus * _CPU_PERIOD))
    wanted: dict[str, dict[int, dict[str, str]]] = {}
    if memory is not None:
        v1 = {"memory.limit_in_bytes": str(memory), "memory.memsw.limit_in_bytes": str(memory)}
        wanted["memory"] = {1: v1, 2: {"memory.max": str(memory), "memory.swap.max": "0"}}
    if processes is not None:
        wanted["pids"] = {1: {"pids.max": str(processes)}, 2: {"pids.max": str(processes)}}
    if quota is not None:
        v1 = {"cpu.cfs_period_us": str(_CPU_PERIOD), "cpu.cfs_quota_us": str(quota)}
        wanted["cpu"] = {1: v1, 2: {"cpu.max": f"{quota} {_CPU_PERIOD}"}}
    groups = Groups()
    for controller, values in wanted.items():
        version, homes = hierarchies.get(controller, (0, []))
        for home in homes:
            if version == 2 and not _ready(home, controller):
                continue
            try:
                groups.add(controller, version, home / f"{_PREFIX}{owner}-{name}", values[version])
                break
            except OSError:
                continue
    return groups


def reap(hierarchies: dict[str, tuple[int, list[Path]]], alive: set[str]) -> None:
    """Removes the groups that killed processes of ours left behind.

    Args:
        hierarchies: See `find_hierarchies`.
        alive: The owners that are still there.
    """
    for _, homes in hierarchies.values():
        for home in homes:
            with contextlib.suppress(OSError):
                for folder in home.glob(f"{_PREFIX}*"):
                    if folder.name[len(_PREFIX) :].rsplit("-", 1)[0] not in alive:
                        with contextlib.suppress(OSError):
                            folder.rmdir()
