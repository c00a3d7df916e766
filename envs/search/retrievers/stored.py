"""Folders that hold a built index: written atomically, checked when opened, safe between processes."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from palaestra.errors import DataError

__all__ = ["open_or_build", "open_stored", "write_stored"]

T = TypeVar("T")

_MANIFEST = "palaestra-index.json"


def open_or_build(
    folder: Path,
    key: Mapping[str, Any],
    build: Callable[[Path], None],
    load: Callable[[Path], T],
    *,
    own: bool,
) -> T:
    """The index in this folder; built first where there is none.

    In the cache, an index that cannot be used is built anew, and where the cache cannot be written, one is built in a
    temporary folder and a warning says so.

    Args:
        folder: Where the index lies.
        key: What it is built from, as JSON.
        build: Writes its files into the folder that it is given.
        load: Opens it; the files may be deleted once they are mapped.
        own: Whether the folder is the caller's own rather than in the cache: what exists is then never replaced.

    Returns:
        What `load` returns.

    Raises:
        DataError: The caller's own folder holds something else or cannot be written, or there is no space at all.
    """
    try:
        open_stored(folder, key)
        return load(folder)
    except DataError:
        if own and folder.exists():
            raise
    try:
        write_stored(folder, key, build)
        return load(folder)
    except OSError as error:
        problem = f"The index cannot be written there: {error.strerror or error}."
        if own:
            raise DataError(folder, problem) from error
        warnings.warn(f"{folder}: {problem} It is built again for every process.", stacklevel=4)
    try:
        with tempfile.TemporaryDirectory(prefix="palaestra-") as scratch:
            write_stored(Path(scratch, "index"), key, build)
            return load(Path(scratch, "index"))
    except OSError as error:
        raise DataError(folder, f"{problem} Nor in a temporary folder: {error.strerror or error}.") from error


def write_stored(folder: Path, key: Mapping[str, Any], build: Callable[[Path], None]) -> None:
    """Builds a folder beside its place and then moves it there.

    Several processes may do so at once: each move is one rename, so readers see a whole index or none. Something
    unusable that is in the way is moved aside and deleted.

    Args:
        folder: Where the index shall lie.
        key: What the index was built from, as JSON; `open_stored` compares it.
        build: Writes the files into the folder that it is given.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        new = Path(scratch, "new")
        new.mkdir()
        build(new)
        files = {path.name: {"bytes": path.stat().st_size, "crc32": _crc32(path)} for path in sorted(new.iterdir())}
        (new / _MANIFEST).write_text(json.dumps({"key": dict(key), "files": files}, indent=1), encoding="utf-8")
        while True:
            try:
                os.rename(new, folder)
                return
            except OSError:
                if not folder.exists():
                    raise
            try:
                open_stored(folder, key)
                return  # another process was faster
            except DataError:
                _move_aside(folder, Path(scratch))


def _move_aside(folder: Path, scratch: Path) -> None:
    aside = Path(tempfile.mkdtemp(dir=scratch), "old")
    try:
        os.rename(folder, aside)
    except FileNotFoundError:
        return  # another process did it


def open_stored(folder: Path, key: Mapping[str, Any]) -> None:
    """Checks that a folder holds the index built from `key`, whole.

    Every file is read once to compare its checksum, which also brings it into the page cache.

    Args:
        folder: The folder.
        key: What the index must have been built from.

    Raises:
        DataError: It does not: something is missing, damaged, or built from something else.
    """
    mend = f"Delete the folder '{folder}' to have the index built anew."
    manifest_path = folder / _MANIFEST
    try:
        manifest = json.loads(manifest_path.read_bytes())
        built_from, files = dict(manifest["key"]), dict(manifest["files"])
    except OSError as error:
        raise DataError(manifest_path, f"Not an index of palaestra ({error.strerror or error}). {mend}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(manifest_path, f"The manifest of the index is damaged ({error!r}). {mend}") from None
    for name in {**built_from, **key}:
        if built_from.get(name) != key.get(name):
            problem = f"The index was built with {built_from.get(name)!r}, and {key.get(name)!r} is wanted. {mend}"
            raise DataError(manifest_path, problem, field=name)
    for name, facts in files.items():
        path = folder / name
        try:
            intact = path.stat().st_size == facts["bytes"] and _crc32(path) == facts["crc32"]
        except (OSError, KeyError, TypeError) as error:
            raise DataError(path, f"The file of the index cannot be read ({error}). {mend}") from None
        if not intact:
            raise DataError(path, f"The file of the index is damaged: its size or checksum is wrong. {mend}")


def _crc32(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            value = zlib.crc32(chunk, value)
    return value
