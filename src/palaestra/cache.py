"""Where palaestra keeps what it has built and can build again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_dir"]


def cache_dir(*parts: str) -> Path:
    """A folder of the cache; it may not exist yet.

    The cache is the folder named by the environment variable PALAESTRA_CACHE, else `~/.cache/palaestra`. Everything
    in it may be deleted at any time.

    Args:
        *parts: Names of folders below the cache.
    """
    root = os.environ.get("PALAESTRA_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "palaestra").joinpath(*parts)
