"""Run folders: where a run's manifest, episodes, timings and blobs are.

::

    runs/NAME/manifest.json     what was asked, with what, on what, and how it went
              episodes.jsonl    one canonical line an episode, appended as worlds end
              timings.jsonl     wall times, apart because records do not depend on the clock
              blobs/            pictures and large arrays
              report.html, report.json

All episodes of a world are appended by one write, so a killed run holds whole worlds only; a line that was torn by a
power loss is dropped when the folder is opened again. A retried episode is a later line with a higher attempt, and
the last attempt at a world is the one that counts.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from palaestra.blobs import FolderBlobs
from palaestra.episodes import Episode
from palaestra.errors import DiskFull, RecordError
from palaestra.records import decode_episode, dump_line, encode_episode

__all__ = [
    "TRAINING",
    "Entry",
    "Run",
    "RunWriter",
    "find_runs",
    "is_training",
    "lock_folder",
    "move_whole",
    "write_json",
]

TRAINING = "training"
"""The `kind` in the manifest of a training run."""

_TIMINGS_HELD = 64  # worlds


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index knows of an episode.

    Attributes:
        episode_id: See `Episode`.
        world_id: See `Episode`.
        world_size: See `Episode`.
        agent_id: See `Episode`.
        attempt: See `Episode`.
        status: See `Episode`.
        outcome: See `Episode`.
        error: The recorded error; None where there was none.
        offset: Where its line begins in the file.
        size: How long the line is, line break included.
    """

    episode_id: str
    world_id: str
    world_size: int
    agent_id: str
    attempt: int
    status: str
    outcome: float | None
    error: Mapping[str, Any] | None
    offset: int
    size: int


def write_json(path: Path, data: Any) -> None:
    """Writes a JSON file whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=2, sort_keys=True, allow_nan=False)
            file.write("\n")
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def move_whole(draft: Path, place: Path) -> None:
    """Moves a folder to its place when all of it is on the disk, so that a power loss leaves all of it or nothing."""
    for path in (*draft.rglob("*"), draft):
        _sync(path)
    os.rename(draft, place)
    _sync(place.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _scan(path: Path) -> tuple[list[Entry], int, str]:
    """The whole worlds of an episodes file, up to where they go, and a sentence about what follows ("" if nothing)."""
    entries: list[Entry] = []
    good = 0
    pending: list[Entry] = []
    problem = ""
    if not path.exists():
        return entries, 0, problem
    size = path.stat().st_size
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), 1):
            offset = good + sum(entry.size for entry in pending)
            try:
                if not line.endswith(b"\n"):
                    raise ValueError("the line has no end")
                data = json.loads(line)
                entry = Entry(
                    **{key: data[key] for key in ("episode_id", "world_id", "world_size", "agent_id", "attempt")},
                    **{key: data[key] for key in ("status", "outcome", "error")},
                    offset=offset,
                    size=len(line),
                )
            except (ValueError, KeyError, TypeError) as error:
                if offset + len(line) < size:
                    raise RecordError(
                        f"{path}, line {number} is damaged ({error}), and whole lines follow it. Something other than "
                        "palaestra wrote into the file; restore it from a copy, or delete that line."
                    ) from error
                problem = f"{path}: the last line was torn and is dropped; its episode will be played again."
                break
            if pending and (entry.world_id, entry.attempt) != (pending[0].world_id, pending[0].attempt):
                raise RecordError(
                    f"{path}, line {number}: the episodes of world {pending[0].world_id} are not complete "
                    f"({len(pending)} of {pending[0].world_size}), and another world follows. Restore it from a copy."
                )
            pending.append(entry)
            if len(pending) == entry.world_size:
                entries.extend(pending)
                good += sum(item.size for item in pending)
                pending = []
    if pending and not problem:
        problem = f"{path}: the last world was torn and is dropped; it will be played again."
    return entries, good, problem


def _lines(file: BinaryIO) -> Iterator[bytes]:
    yield from file


class Run:
    """A run folder, opened for reading.

    Args:
        path: The folder.

    Raises:
        RecordError: There is no run in it, or it is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        manifest = self.path / "manifest.json"
        if not manifest.is_file():
            raise RecordError(f"{self.path} holds no run: there is no manifest.json in it. {_near(self.path)}".rstrip())
        try:
            self.manifest: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RecordError(f"{manifest} is not JSON ({error}); restore it from a copy.") from error
        if self.manifest.get("kind") == TRAINING:
            raise RecordError(
                f"{self.path} is a training run. Its evaluations are runs: {self.path / 'eval' / 'step-N'}. "
                f"Compare training runs by: palaestra compare {self.path} ..."
            )
        self.blobs = FolderBlobs(self.path / "blobs")
        self.attempts, self.good_size, self.torn = _scan(self.path / "episodes.jsonl")
        last = {entry.world_id: entry.attempt for entry in self.attempts}
        self.entries = tuple(entry for entry in self.attempts if entry.attempt == last[entry.world_id])

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """Opens a run folder.

        Raises:
            RecordError: There is no run in it, or it is damaged.
        """
        return cls(path)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @property
    def agent(self) -> str:
        """Name of the agent."""
        return str(self.manifest["agent"]["name"])

    @property
    def env_id(self) -> str:
        """Id of the environment."""
        return str(self.manifest["env"]["id"])

    def __len__(self) -> int:
        return len(self.entries)

    def episodes(self, *, all_attempts: bool = False) -> Iterator[Episode]:
        """The episodes, each read when it is asked for, in the order in which they ended.

        Args:
            all_attempts: Also those that were retried later.
        """
        for entry, line in self.lines(all_attempts=all_attempts):
            yield decode_episode(_parsed(line, entry), self.blobs)

    def lines(self, *, all_attempts: bool = False) -> Iterator[tuple[Entry, bytes]]:
        """Like `episodes`, as recorded."""
        entries = self.attempts if all_attempts else self.entries
        if not entries:
            return
        with (self.path / "episodes.jsonl").open("rb") as file:
            for entry in sorted(entries, key=lambda entry: entry.offset):
                file.seek(entry.offset)
                yield entry, file.read(entry.size)

    def episode(self, episode_id: str) -> Episode:
        """One episode by its id (its last attempt).

        Raises:
            UnknownNameError: There is none; the nearest id is suggested.
        """
        from palaestra.errors import UnknownNameError

        for entry in self.entries:
            if entry.episode_id == episode_id:
                with (self.path / "episodes.jsonl").open("rb") as file:
                    file.seek(entry.offset)
                    return decode_episode(_parsed(file.read(entry.size), entry), self.blobs)
        raise UnknownNameError(f"episode in {self.path}", episode_id, tuple(entry.episode_id for entry in self.entries))

    def timings(self) -> Iterator[dict[str, Any]]:
        """Wall times by world: `seconds`, `reset_us`, and by turn `agent_us` and `env_us`; the last may be missing."""
        path = self.path / "timings.jsonl"
        if not path.exists():
            return
        with path.open("rb") as file:
            for line in file:
                try:
                    yield json.loads(line)
                except ValueError:
                    return

    def digest(self) -> str:
        """SHA-256 over the sorted SHA-256 of every episode's line: equal for equal sets of episodes, in any order."""
        hashes = sorted(hashlib.sha256(line).digest() for _, line in self.lines())
        return hashlib.sha256(b"".join(hashes)).hexdigest()


def _parsed(line: bytes, entry: Entry) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise RecordError(f"The record of episode {entry.episode_id} changed while it was read: {error}") from error
    return data


def _near(path: Path) -> str:
    try:
        inside = sorted(child.parent.name for child in path.glob("*/manifest.json"))
    except OSError:
        inside = []
    return f"It contains runs, though: {', '.join(inside[:10])}." if inside else ""


def is_training(folder: Path) -> bool:
    """Whether a folder holds a training run."""
    try:
        return bool(json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("kind") == TRAINING)
    except (OSError, ValueError, AttributeError):
        return False


def find_runs(paths: Sequence[str | os.PathLike[str]]) -> list[Run]:
    """The runs at, or directly below, each path.

    Raises:
        RecordError: There is none at one of them.
    """
    runs: list[Run] = []
    for path in map(Path, paths):
        below = [] if (path / "manifest.json").is_file() else sorted(path.glob("*/manifest.json"))
        below = [child for child in below if not is_training(child.parent)]
        runs.extend(Run(child.parent) for child in below)
        if not below:
            runs.append(Run(path))
    return runs


class RunWriter:
    """A run folder, opened for writing by this process and its forks. Its methods may be called from any thread.

    Args:
        path: The folder; made if need be.

    Raises:
        RecordError: Another process writes into it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock_file = lock_folder(self.path)
        self._lock = threading.Lock()
        self.blobs = FolderBlobs(self.path / "blobs")
        self._timings: list[bytes] = []
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._episodes = os.open(self.path / "episodes.jsonl", flags, 0o644)
        self._timings_file = os.open(self.path / "timings.jsonl", flags, 0o644)
        self._full = False
        _drop_torn_line(self.path / "timings.jsonl")

    def begin(self, manifest: Mapping[str, Any]) -> None:
        """Writes the manifest."""
        try:
            write_json(self.path / "manifest.json", manifest)
        except OSError as error:
            raise self._disk(error) from error

    def drop_after(self, size: int) -> None:
        """Cuts a torn end off the episodes file."""
        os.ftruncate(self._episodes, size)

    def append(self, episodes: Sequence[Episode], timing: Mapping[str, Any] | None = None) -> None:
        """Records the episodes of one world: all of them, or none.

        Args:
            episodes: The episodes.
            timing: Their wall times.

        Raises:
            DiskFull: There is no room; the file ends with the last whole world.
            RecordError: An episode holds something that cannot be recorded.
        """
        if len({(episode.world_id, episode.attempt) for episode in episodes}) != 1 or any(
            episode.world_size != len(episodes) for episode in episodes
        ):
            raise RecordError("Episodes are recorded by whole worlds: all of its agents' episodes, and only they.")
        try:
            data = b"".join(dump_line(encode_episode(episode, self.blobs)) for episode in episodes)
            with self._lock:
                if self._full:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self._write(data)
                if timing is not None:
                    first = episodes[0]
                    line = {"world_id": first.world_id, "attempt": first.attempt, **timing}
                    self._timings.append(dump_line(line))
                    if len(self._timings) >= _TIMINGS_HELD:
                        self._write_timings()
        except OSError as error:
            raise self._disk(error) from error

    def _write(self, data: bytes) -> None:
        written = 0
        # Forked workers append to the same file, and nothing may come after half a record before it is cut off.
        fcntl.lockf(self._episodes, fcntl.LOCK_EX)
        try:
            written = os.write(self._episodes, data)
            if written != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._full = True
            os.ftruncate(self._episodes, os.fstat(self._episodes).st_size - written)
            raise
        finally:
            fcntl.lockf(self._episodes, fcntl.LOCK_UN)

    def flush(self) -> None:
        """Writes what is held back; a forked worker calls it before it ends."""
        with self._lock, contextlib.suppress(OSError):  # timings can be done without
            self._write_timings()

    def _write_timings(self) -> None:
        os.write(self._timings_file, b"".join(self._timings))
        self._timings.clear()

    def _disk(self, error: OSError) -> DiskFull | OSError:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return error
        return DiskFull(
            f"There is no room left for {self.path} ({os.strerror(error.errno)}). Every episode that was finished is "
            "kept. Make room, then go on with --resume."
        )

    def close(self) -> None:
        """Makes everything durable and lets go of the folder; may be called twice."""
        with self._lock:
            if self._episodes < 0:
                return
            try:
                if self._timings:
                    self._write_timings()
                os.fsync(self._episodes)
            except OSError:
                pass  # the episodes file is whole as far as it goes; timings can be done without
            os.close(self._episodes)
            os.close(self._timings_file)
            self._episodes = -1
            self._lock_file.close()


def _drop_torn_line(path: Path) -> None:
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


def lock_folder(folder: Path) -> Any:
    """Makes a folder if need be; an open file that keeps other processes out of it until it is closed.

    Raises:
        RecordError: Another process is writing there, or nobody can.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+")
    except OSError as error:
        raise RecordError(
            f"{folder} cannot be a run's folder ({error.strerror}). Choose another one with --out."
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise RecordError(
            f"Another process is writing into {folder}. Wait for it to end, or choose another folder with --out."
        ) from error
    return file
