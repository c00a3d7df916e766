"""An episode as a person likes to read it: the request, each call with its result, and what has changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from palaestra.envs.tools.desk.build import introduction
from palaestra.envs.tools.desk.states import Change
from palaestra.episodes import ToolCall

__all__ = ["render_desk", "told"]

_WIDTH = 160
_MARKS = {"ok": "", "error": "  [refused]", "rejected": "  [rejected]"}


def told(calls: Sequence[ToolCall], said: str) -> str:
    """One turn: its calls with their results, or what was said in their place.

    Args:
        calls: Those of the turn.
        said: The utterance.
    """
    if not calls:
        return f"{_short(said)!r}  [malformed]"
    return "\n   ".join(
        f"{_call(call)}\n   -> {_short('' if call.result is None else call.result.text)}" for call in calls
    )


def render_desk(env: Any) -> str:
    """The current episode of a `ToolDeskEnv`.

    Args:
        env: It, after a reset.
    """
    lines = [f"[{env.task.id}] for {introduction(env.world)}", f"Request: {env.task.prompt}"]
    for turn, said in enumerate(env.log, start=1):
        lines += ["", f"{turn}. {said}"]
    changes = env.world.changes()
    lines += ["", "Changes in the office:" if changes else "Nothing has changed in the office."]
    lines += [f"  {_change(change)}" for change in changes]
    return "\n".join(lines)


def _call(call: ToolCall) -> str:
    given = ", ".join(
        f"{name}={_short(json.dumps(value, ensure_ascii=False))}" for name, value in call.arguments.items()
    )
    return f"{_short(call.name)}({given}){_MARKS[call.status]}"


def _change(change: Change) -> str:
    if change.kind == "deleted":
        return f"{change.id} deleted ({change.table})"
    if change.kind == "created":
        held = change.after._asdict()
        shown = [
            f"{name}={_short(value, 60)}" for name, value in held.items() if name != "id" and value not in ("", ())
        ]
        return f"{change.id} created ({change.table}): {', '.join(shown)}"
    moves = [
        f"{name} {_short(getattr(change.before, name), 60)} -> {_short(getattr(change.after, name), 60)}"
        for name in change.fields
    ]
    return f"{change.id} changed ({change.table}): {', '.join(moves)}"


def _short(value: Any, width: int = _WIDTH) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= width else f"{text[:width]}..."
