"""Pictures as data URIs, so that the page needs no other file."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import ImagePart
from palaestra.errors import RecordError

__all__ = ["array_uri", "is_picture", "part_uri", "png"]

_MAX_SIDE = 480  # pixels of an array drawn from an observation
_MAX_BYTES = 400_000  # of an encoded picture that is put in the page as it is
_MAGIC = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}


def is_picture(value: Any) -> bool:
    """Whether an array looks like a picture: uint8, (H, W) or (H, W, 1, 3 or 4), at least 8 pixels a side."""
    return (
        isinstance(value, np.ndarray)
        and value.dtype == np.uint8
        and (value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (1, 3, 4)))
        and min(value.shape[:2]) >= 8
    )


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of the pixels (ISO 15948; one IDAT chunk, filter 0).

    Args:
        pixels: uint8 (H, W) or (H, W, C) with 1 (grey), 3 (RGB) or 4 (RGBA) channels.
    """
    image = pixels[:, :, None] if pixels.ndim == 2 else pixels
    height, width, channels = image.shape
    colour = {1: 0, 3: 2, 4: 6}[channels]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, width * channels)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)) + chunk(b"IEND", b"")
    return _MAGIC["image/png"] + body


def array_uri(pixels: NDArray[np.uint8]) -> str:
    """A data URI of the pixels, every n-th of them where a side is longer than 480."""
    step = -(-max(pixels.shape[:2]) // _MAX_SIDE)
    return _uri(png(pixels[::step, ::step]), "image/png")


def part_uri(part: ImagePart) -> str | None:
    """A data URI of a tool's picture.

    Returns:
        None where it cannot stand in the page: not PNG, JPEG, GIF or WebP, not what it claims to be, too large, or its
        bytes are lost.
    """
    magic = _MAGIC.get(part.media_type)
    try:
        data = part.read()
    except RecordError:
        return None
    if magic is None or not data.startswith(magic) or len(data) > _MAX_BYTES:
        return None
    return _uri(data, part.media_type)


def _uri(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
