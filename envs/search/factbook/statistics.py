"""How far the questions can be guessed: the figures by which the set is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from palaestra.envs.search.factbook.names import normalise
from palaestra.tasks import SPLITS, Task

__all__ = ["KindStatistics", "statistics", "table"]


@dataclass(frozen=True, slots=True)
class KindStatistics:
    """Figures of one kind of question. Shares are in [0, 1]; NaN where nothing applies.

    Attributes:
        tasks: Number of questions.
        splits: Split -> number.
        hops: Hops -> number.
        difficulty: Difficulty -> number.
        modal_answer: The most frequent answer.
        modal_share: Its share: what always giving it would win.
        first_share: Of questions with candidates, the share whose first candidate is right.
        chance_share: The mean of one over the number of candidates: what `first_share` would be by chance.
        told_share: Of questions without candidates, the share that contain their answer as whole words.
    """

    tasks: int
    splits: Mapping[str, int]
    hops: Mapping[int, int]
    difficulty: Mapping[str, int]
    modal_answer: str
    modal_share: float
    first_share: float
    chance_share: float
    told_share: float


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else float("nan")


def _of_kind(tasks: list[Task]) -> KindStatistics:
    answers = Counter(normalise(task.truth["answers"][0]) for task in tasks)
    modal, count = answers.most_common(1)[0]
    choices = [task for task in tasks if task.metadata["candidates"]]
    open_ended = [task for task in tasks if not task.metadata["candidates"]]
    splits = Counter(task.split for task in tasks)
    return KindStatistics(
        tasks=len(tasks),
        splits={split: splits[split] for split in SPLITS},
        hops=dict(sorted(Counter(task.metadata["hops"] for task in tasks).items())),
        difficulty=dict(sorted(Counter(task.metadata["difficulty"] for task in tasks).items())),
        modal_answer=modal,
        modal_share=count / len(tasks),
        first_share=_mean(task.metadata["candidates"][0] == task.truth["answers"][0] for task in choices),
        chance_share=_mean(1 / len(task.metadata["candidates"]) for task in choices),
        told_share=_mean(
            f" {normalise(task.truth['answers'][0])} " in f" {normalise(task.prompt)} " for task in open_ended
        ),
    )


def statistics(tasks: Iterable[Task]) -> dict[str, KindStatistics]:
    """The figures of every kind, and of all kinds together under "all"."""
    kinds: dict[str, list[Task]] = {}
    for task in tasks:
        kinds.setdefault(task.metadata["kind"], []).append(task)
    everything = [task for group in kinds.values() for task in group]
    return {kind: _of_kind(group) for kind, group in (*sorted(kinds.items()), ("all", everything)) if group}


def table(figures: Mapping[str, KindStatistics]) -> str:
    """The figures as a Markdown table."""
    head = "| kind | tasks | train/val/test | hops | easy/medium/hard | modal answer | first | chance | told |"
    rows = [head, "|---|---|---|---|---|---|---|---|---|"]
    for kind, each in figures.items():
        hops = " ".join(f"{hop}:{count}" for hop, count in each.hops.items())
        splits = "/".join(str(each.splits[split]) for split in SPLITS)
        levels = "/".join(str(each.difficulty.get(level, 0)) for level in ("easy", "medium", "hard"))
        modal = f"{each.modal_answer} {each.modal_share:.1%}"
        rest = " | ".join(
            "-" if share != share else f"{share:.1%}"
            for share in (each.first_share, each.chance_share, each.told_share)
        )
        rows.append(f"| {kind} | {each.tasks} | {splits} | {hops} | {levels} | {modal} | {rest} |")
    return "\n".join(rows)
