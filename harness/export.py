"""Exports recorded runs for training elsewhere. Ground truth never leaves by this door."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from palaestra.episodes import Episode
from palaestra.errors import ConfigError, MissingExtraError, UnknownNameError
from palaestra.harness.run_folder import Run
from palaestra.harness.worlds import default_messages

__all__ = ["FORMATS", "export"]

Rows = Iterator[dict[str, Any]]


def export(
    runs: Sequence[Run],
    form: str,
    out: str | os.PathLike[str],
    *,
    min_outcome: float = 1.0,
    agent_id: str | None = None,
) -> int:
    """Writes what was recorded in a form that others read. Failed episodes are left out, privileged data always.

    - `sft`: JSONL, one `messages` dialogue a line, of episodes whose outcome is at least `min_outcome`.
    - `preference`: JSONL, a pair for each task with different outcomes: `prompt`, `chosen` (best), `rejected` (worst).
    - `jsonl`: every valid episode with messages, rewards and terms by turn, and tool calls.
    - `parquet`: the same as a table; nested fields as JSON text.

    Args:
        runs: Where they were recorded.
        form: One of `FORMATS`.
        out: The file.
        min_outcome: See `sft`.
        agent_id: Only this agent's episodes, in worlds of several.

    Returns:
        The number of rows.

    Raises:
        UnknownNameError: There is no such form.
        ConfigError: The agents did not speak, or there is nothing to export.
        MissingExtraError: `parquet` needs pyarrow.
    """
    if form not in FORMATS:
        raise UnknownNameError("export format", form, FORMATS)
    episodes = (
        episode
        for run in runs
        for episode in run.episodes()
        if episode.valid and (agent_id is None or episode.agent_id == agent_id)
    )
    rows = FORMATS[form](episodes, min_outcome)
    path = Path(out)
    count = _write_parquet(path, rows) if form == "parquet" else _write_lines(path, rows)
    if not count:
        raise ConfigError(
            f"There is nothing to export as '{form}' in {', '.join(str(run.path) for run in runs)}: {_WHY[form]}."
        )
    return count


def _dialogue(episode: Episode) -> list[dict[str, str]]:
    """The dialogue up to the agent's last words."""
    if not all(isinstance(turn.action, str) for turn in episode.turns):
        raise ConfigError(f"The agent of {episode.env_id} did not speak; export the run as jsonl or parquet.")
    return default_messages(episode.observations, [turn.action for turn in episode.turns])[:-1]


def _about(episode: Episode) -> dict[str, Any]:
    return {
        "episode_id": episode.episode_id,
        "group_id": episode.group_id,
        "env_id": episode.env_id,
        "agent_id": episode.agent_id,
        "task_id": None if episode.task is None else episode.task.id,
        "split": None if episode.task is None else episode.task.split,
        "outcome": episode.outcome,
        "return": episode.episode_return,
    }


def _sft(episodes: Iterator[Episode], min_outcome: float) -> Rows:
    for episode in episodes:
        if episode.turns and episode.outcome is not None and episode.outcome >= min_outcome:
            yield {"messages": _dialogue(episode), **_about(episode)}


def _preference(episodes: Iterator[Episode], min_outcome: float) -> Rows:
    best: dict[str, Episode] = {}
    worst: dict[str, Episode] = {}
    for episode in episodes:
        if not episode.turns or episode.outcome is None:
            continue
        group = episode.group_id
        if group not in best or episode.outcome > (best[group].outcome or 0.0):
            best[group] = episode
        if group not in worst or episode.outcome < (worst[group].outcome or 0.0):
            worst[group] = episode
    for group, chosen in best.items():
        rejected = worst[group]
        good, bad = _dialogue(chosen), _dialogue(rejected)
        if chosen.outcome != rejected.outcome and good[0] == bad[0]:
            yield {
                "prompt": good[:1],
                "chosen": good[1:],
                "rejected": bad[1:],
                "group_id": group,
                "chosen_outcome": chosen.outcome,
                "rejected_outcome": rejected.outcome,
            }


def _full(episodes: Iterator[Episode], min_outcome: float) -> Rows:
    for episode in episodes:
        spoken = bool(episode.turns) and all(isinstance(turn.action, str) for turn in episode.turns)
        yield {
            **_about(episode),
            "seed": episode.seed,
            "attempt": episode.attempt,
            "world_id": episode.world_id,
            "status": episode.status,
            "messages": _dialogue(episode) if spoken else None,
            "actions": None if spoken else [_plain(turn.action) for turn in episode.turns],
            "rewards": [float(turn.reward) for turn in episode.turns],
            "terms": [_plain(turn.terms) for turn in episode.turns],
            "calls": [
                [
                    {
                        "name": call.name,
                        "arguments": _plain(call.arguments),
                        "status": call.status,
                        "result": None if call.result is None else call.result.text,
                    }
                    for call in turn.calls
                ]
                for turn in episode.turns
            ],
        }


def _plain(value: Any) -> Any:
    """As JSON; arrays become lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


FORMATS: Mapping[str, Callable[[Iterator[Episode], float], Rows]] = {
    "sft": _sft,
    "preference": _preference,
    "jsonl": _full,
    "parquet": _full,
}

_WHY: Mapping[str, str] = {
    "sft": "no valid episode has the outcome that --min-outcome asks for",
    "preference": "no task was played with two different outcomes; record more samples (--samples) or more agents",
    "jsonl": "no episode is valid",
    "parquet": "no episode is valid",
}


def _write_lines(path: Path, rows: Rows) -> int:
    def write(draft: str) -> int:
        count = 0
        with open(draft, "w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=True) + "\n")
                count += 1
        return count

    return _written(path, write)


def _write_parquet(path: Path, rows: Rows) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("Writing parquet", "parquet") from error
    texts = ["episode_id", "group_id", "env_id", "agent_id", "task_id", "split", "world_id", "status"]
    nested = ["messages", "actions", "rewards", "terms", "calls"]
    # Told rather than inferred: a column that happens to be empty in this export is not in the next one.
    kinds = dict.fromkeys([*texts, *nested], pa.string()) | dict.fromkeys(["outcome", "return"], pa.float64())
    schema = pa.schema(kinds | dict.fromkeys(["seed", "attempt"], pa.int64()))

    def flat(row: dict[str, Any]) -> dict[str, Any]:
        as_json = {key: json.dumps(row[key]) for key in nested if row[key] is not None}
        # Names may hold what UTF-8 cannot write.
        names = {key: row[key].encode("utf-8", "replace").decode() for key in texts if row[key] is not None}
        return {**row, **dict.fromkeys(nested), **as_json, **names}

    def write(draft: str) -> int:
        count = 0
        with pq.ParquetWriter(draft, schema) as writer:
            while some := [flat(row) for row in itertools.islice(rows, 1000)]:
                writer.write_table(pa.Table.from_pylist(some, schema))
                count += len(some)
        return count

    return _written(path, write)


def _written(path: Path, write: Callable[[str], int]) -> int:
    """Writes beside the place and moves there whole; nothing where there are no rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent)
    os.close(handle)
    try:
        count = write(draft)
        if count:
            os.chmod(draft, 0o644)
            os.replace(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)
    return count
