from __future__ import annotations

import hashlib
import os
import resource
import signal
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.blobs import BlobRef, FolderBlobs, MemoryBlobs
from palaestra.errors import RecordError


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryBlobs | FolderBlobs:
    return MemoryBlobs() if request.param == "memory" else FolderBlobs(tmp_path / "blobs")


def test_bytes_come_back(store):
    for data in (b"", b"abc", bytes(range(256)) * 1000):
        ref = store.put(data, "image/png")
        assert (ref.sha256, ref.size, ref.media_type) == (hashlib.sha256(data).hexdigest(), len(data), "image/png")
        assert ref.read() == store.read(ref.sha256) == data
    assert store.put(b"abc", "image/png") == store.put(b"abc", "image/png")
    with pytest.raises(RecordError, match=r"no blob 0000|blob .*0000 is missing"):
        store.read("0" * 64)


@given(st.binary(max_size=3), st.binary(max_size=3))
def test_references_are_equal_where_contents_are(one, other):
    assert (MemoryBlobs().put(one) == MemoryBlobs().put(other)) == (one == other)


def test_a_reference_without_a_store():
    with pytest.raises(RecordError, match="is not attached to a store"):
        BlobRef("ab" * 32, 3, "image/png").read()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_one_file_each_and_readable_like_any_other(tmp_path):
    store = FolderBlobs(tmp_path)
    for _ in range(3):
        ref = store.put(b"abc")
    (path,) = files(tmp_path)
    assert path == tmp_path / ref.sha256[:2] / ref.sha256
    ordinary = tmp_path / "ordinary"
    ordinary.write_bytes(b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_damage_is_seen_and_mended_by_the_next_put(tmp_path):
    store = FolderBlobs(tmp_path)
    ref = store.put(b"abcdef")
    (path,) = files(tmp_path)
    path.write_bytes(b"abcdeX")
    with pytest.raises(RecordError, match="is damaged"):
        ref.read()
    path.write_bytes(b"abc")  # cut off
    with pytest.raises(RecordError, match="is damaged"):
        ref.read()
    store.put(b"abcdef")
    assert ref.read() == b"abcdef"
    path.unlink()
    with pytest.raises(RecordError, match="is missing; copy the run folder with its blobs"):
        ref.read()


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    # A limit on the size of files stands in for a full disk: the write fails midway in the same place.
    store = FolderBlobs(tmp_path)
    kept = store.put(b"small")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
        with pytest.raises(OSError, match="File too large"):
            store.put(os.urandom(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in files(tmp_path)] == [kept.sha256]
    assert kept.read() == b"small"


def test_an_interrupted_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        FolderBlobs(tmp_path).put(b"abc")
    assert files(tmp_path) == []
