"""Cutting rollouts into episodes, for records and reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import EpisodeError
from palaestra.rollouts import ArrayColumns, ArrayTurns, Rollout, tree_map

__all__ = ["Cut", "EpisodeCutter"]


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """The columns of one finished episode.

    Attributes:
        slot: Where it was played.
        number: The how-manieth episode of that slot, from 0.
        observations: T + 1 of them: an array (T + 1, ...), or columns of nested ones.
        turns: T of them.
        info: Info of the last step.
        error: Why the episode failed; None where it did not.
    """

    slot: int
    number: int
    observations: NDArray[Any] | ArrayColumns
    turns: ArrayTurns
    info: Mapping[str, Any] = field(default_factory=dict)
    error: EpisodeError | None = None


@dataclass(slots=True)
class _Open:
    """An episode that goes on in the next rollout."""

    number: int
    pieces: list[dict[str, Any]] = field(default_factory=list)


class EpisodeCutter:
    """Takes successive rollouts of the same slots and yields each episode when it is complete.

    Rows that belong to no episode (resets under `NEXT_STEP`) are left out. A failed episode is yielded with its error
    if the rollout has its last info. An episode that is still running when the last rollout has been cut is not
    yielded.
    """

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}

    def cut(self, rollout: Rollout) -> Iterator[Cut]:
        """The episodes that end in this rollout, by time of ending, then slot."""
        finals = {(int(t), int(n)): e for e, (t, n) in enumerate(rollout.final_at)}
        ended: list[tuple[int, Cut]] = []
        for n in range(rollout.slots):
            slot = int(rollout.slot[n])
            for start, stop in _stretches(rollout.episode_id[:, n]):
                number = int(rollout.episode_id[start, n])
                if number < 0:
                    continue
                info = _info(rollout, finals.get((stop - 1, n)))
                error = _error(info)
                rows = start + (np.arange(stop - start) if error else np.flatnonzero(rollout.valid[start:stop, n]))
                if not len(rows):
                    continue
                first, last = int(rows[0]), int(rows[-1])
                if slot not in self._open or self._open[slot].number != number:
                    self._open[slot] = _Open(number)  # what another episode left open has failed
                self._open[slot].pieces.append(_piece(rollout, n, first, last + 1))
                if (last, n) not in finals:
                    continue
                e = finals[last, n]
                final = tree_map(lambda column, e=e: column[e], rollout.final_observations)
                pieces = self._open.pop(slot).pieces
                ended.append((last, Cut(slot, number, _seen(pieces, final), _turns(pieces), info, error)))
        ended.sort(key=lambda item: (item[0], item[1].slot))
        return (cut for _, cut in ended)


def _stretches(episode_id: Any) -> Iterator[tuple[int, int]]:
    """The [start, stop) of every run of equal episode numbers."""
    edges = np.flatnonzero(np.diff(episode_id)) + 1
    starts = [0, *edges.tolist()]
    return zip(starts, [*edges.tolist(), len(episode_id)], strict=True)


def _info(rollout: Rollout, e: int | None) -> Mapping[str, Any]:
    return rollout.final_infos[e] if e is not None and rollout.final_infos else {}


def _error(info: Mapping[str, Any]) -> EpisodeError | None:
    if info.get("status") != "failed":
        return None
    return EpisodeError.of_info(info.get("error") or {})


def _piece(rollout: Rollout, n: int, start: int, stop: int) -> dict[str, Any]:
    return {
        "observations": tree_map(lambda column: column[start:stop, n].copy(), rollout.observations),
        "actions": tree_map(lambda column: column[start:stop, n].copy(), rollout.actions),
        "rewards": rollout.rewards[start:stop, n].copy(),
        "terminated": rollout.terminated[start:stop, n].copy(),
        "truncated": rollout.truncated[start:stop, n].copy(),
        "terms": {name: column[start:stop, n].copy() for name, column in rollout.terms.items()},
    }


def _join(pieces: list[dict[str, Any]], key: str) -> Any:
    parts = [piece[key] for piece in pieces]
    return tree_map(lambda *columns: np.concatenate(columns), *parts)


def _seen(pieces: list[dict[str, Any]], final: Any) -> NDArray[Any] | ArrayColumns:
    columns = tree_map(
        lambda column, last: np.concatenate([column, np.asarray(last, column.dtype)[None]]),
        _join(pieces, "observations"),
        final,
    )
    return columns if isinstance(columns, np.ndarray) else ArrayColumns(columns)


def _turns(pieces: list[dict[str, Any]]) -> ArrayTurns:
    keys = ("actions", "rewards", "terminated", "truncated", "terms")
    return ArrayTurns(**{key: _join(pieces, key) for key in keys})
