"""The other process of some checks: reads a job from standard input, writes its result to a file."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

__all__ = ["main"]


def main() -> None:
    """Does the job. Its result appears at once and whole, or not at all."""
    target = Path(sys.argv[1])
    subject, function, arguments = pickle.load(sys.stdin.buffer)
    from palaestra.plugins import load_object

    result = load_object(function)(subject, *arguments)
    waiting = target.with_suffix(".part")
    waiting.write_bytes(pickle.dumps(result))
    os.replace(waiting, target)


if __name__ == "__main__":
    main()
