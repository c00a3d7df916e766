from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from palaestra.episodes import Completion, Episode, EpisodeError, TextPart, ToolCall, ToolResult, Turn


def _turn(t: int, given: Any) -> Turn:
    """A turn from a number (its reward), a text (its action), or a ready turn."""
    if isinstance(given, Turn):
        return given
    if isinstance(given, str):
        return Turn(t, given)
    return Turn(t, "", reward=float(given))


@pytest.fixture
def make_episode() -> Callable[..., Episode]:
    def make(turns: Sequence[Any] = (0.0,), *, failed: bool = False, **fields: Any) -> Episode:
        steps = [_turn(t, turn) for t, turn in enumerate(turns)]
        values: dict[str, Any] = {
            "episode_id": "e0",
            "group_id": "g0",
            "env_id": "palaestra/Test-v0",
            "env_kwargs": {},
            "task": None,
            "seed": 0,
            "attempt": 0,
            "agent_id": "agent",
            "world_id": "w0",
            "status": "terminated",
            "observations": [""] * (len(steps) + 1),
            "turns": steps,
        }
        if failed:
            values |= {"status": "failed", "error": EpisodeError("retriever_down", "infrastructure", True)}
        return Episode(**(values | fields))

    return make


@pytest.fixture
def speak() -> Callable[..., Turn]:
    """A turn with so many sampled tokens."""

    def make(t: int, tokens: int | None, reward: float = 0.0) -> Turn:
        sample = None
        if tokens is not None:
            ids = np.arange(tokens, dtype=np.int32)
            sample = Completion(ids, np.zeros(tokens, np.float32), np.zeros(0, np.int32), 0)
        return Turn(t, "", reward=reward, completion=sample)

    return make


@pytest.fixture
def search() -> Callable[..., ToolCall]:
    """A search, with what it gave."""

    def make(result: str = "", status: str = "ok") -> ToolCall:
        return ToolCall("search", {"query": "q"}, ToolResult((TextPart(result),), status != "ok"), status)  # type: ignore[arg-type]

    return make
