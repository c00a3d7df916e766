"""Content-addressed bytes: what is too large, or too binary, to stand in a record."""

from __future__ import annotations

import hashlib
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from palaestra.errors import RecordError

__all__ = ["BlobRef", "BlobStore", "FolderBlobs", "MemoryBlobs"]


class BlobStore(Protocol):
    """Where blobs are kept."""

    def put(self, data: bytes, media_type: str = "application/octet-stream") -> BlobRef:
        """Keeps the bytes (once, however often they are put) and returns their reference."""
        ...

    def read(self, sha256: str) -> bytes:
        """The bytes with this digest. Raises `RecordError` where they are missing or damaged."""
        ...


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A reference to bytes in a `BlobStore`.

    Attributes:
        sha256: Digest of the bytes, in hexadecimal.
        size: Number of bytes.
        media_type: What they are ("image/png", ...).
        store: Where they can be read; not part of the reference's identity.
    """

    sha256: str
    size: int
    media_type: str
    store: BlobStore | None = field(default=None, compare=False, repr=False)

    def read(self) -> bytes:
        """The bytes. Raises `RecordError` where they are missing or damaged."""
        if self.store is None:
            raise RecordError(f"The blob {self.sha256[:12]} is not attached to a store, so it cannot be read.")
        return self.store.read(self.sha256)


class MemoryBlobs:
    """Blobs in a dictionary."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def put(self, data: bytes, media_type: str = "application/octet-stream") -> BlobRef:
        """See `BlobStore.put`."""
        digest = hashlib.sha256(data).hexdigest()
        self._data[digest] = data
        return BlobRef(digest, len(data), media_type, self)

    def read(self, sha256: str) -> bytes:
        """See `BlobStore.read`."""
        try:
            return self._data[sha256]
        except KeyError:
            raise RecordError(f"There is no blob {sha256[:12]} in this store.") from None


class FolderBlobs:
    """Blobs as files, `ab/abcdef...`, each written whole or not at all.

    Args:
        folder: Made on the first `put`.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest

    def put(self, data: bytes, media_type: str = "application/octet-stream") -> BlobRef:
        """See `BlobStore.put`. An `OSError` (a full disk) leaves no half-written file behind."""
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        # A file of another length is damaged, and is written again.
        if not path.exists() or path.stat().st_size != len(data):
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{digest}.{uuid.uuid4().hex}")
            try:
                with open(part, "xb") as file:
                    file.write(data)
                os.replace(part, path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return BlobRef(digest, len(data), media_type, self)

    def read(self, sha256: str) -> bytes:
        """See `BlobStore.read`; the digest is checked."""
        path = self._path(sha256)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise RecordError(f"The blob {path} is missing; copy the run folder with its blobs.") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise RecordError(f"The blob {path} is damaged: its content does not have the digest that names it.")
        return data
