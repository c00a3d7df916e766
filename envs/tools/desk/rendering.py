"""An episode as a person likes to read it: the request, each call with its result, and what has changed."""

from __future__ import annotations

import json
from typing import Any

from palaestra.envs.tools.desk.build import introduction
from palaestra.envs.tools.desk.states import Change
from palaestra.episodes import ToolCall

__all__ = ["render_desk"]

_WIDTH = 160
_MARKS = {"ok": "", "error": "  [refused]", "rejected": "  [rejected]"}


def render_desk(env: Any) -> str:
    """The current episode of a `ToolDeskEnv`.

    Args:
        env: It, after a reset.
    """
    task, world = env.task, env.world
    lines = [f"[{task.id}] for {introduction(world)}", f"Request: {task.prompt}"]
    spoken = [message for message in env.messages if message["role"] == "assistant"]
    for turn, (calls, said) in enumerate(zip(env.log, spoken, strict=False), start=1):
        lines.append("")
        if not calls:
            lines += [f"{turn}. {_short(said['content'])!r}  [malformed]"]
        for call in calls:
            lines += [f"{turn}. {_call(call)}", f"   -> {_short('' if call.result is None else call.result.text)}"]
    changes = world.changes()
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
