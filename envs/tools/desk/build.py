"""The tasks of an office: drawn from its tables by templates, and kept only if they are proven."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from palaestra.envs.tools.desk.drafts import Draft, Sketch, Skip, Template
from palaestra.envs.tools.desk.said import missing_from
from palaestra.envs.tools.desk.templates import TEMPLATES
from palaestra.envs.tools.desk.user import ScriptedUser
from palaestra.envs.tools.desk.verifier import SPEAKING, Spoken, gold_state, verify
from palaestra.envs.tools.desk.world import World
from palaestra.errors import ToolError
from palaestra.tasks import Task, TaskSet, split_of

__all__ = ["MAX_CALLS", "DeskTasks", "desk_tasks", "introduction", "unfounded"]

MAX_CALLS = 15
_ATTEMPTS = 120  # draws of a template until it has enough tasks
# What nobody can know without having read it: ids, addresses, IBANs.
_REFERENCE = re.compile(r"\b[A-Z]{1,3}-\d{3,}\b|[\w.+-]+@[\w.-]+\w|\b[A-Z]{2}\d{10,}\b")


@dataclass(frozen=True, slots=True)
class DeskTasks:
    """The tasks of one office.

    Attributes:
        tasks: All of them. `truth` has `gold_calls`, and where they apply `answers`, `says` (what the answer must
            hold), `texts` (what written texts must), `asks` (facts to ask for) and `reasons` (accepted reasons to
            decline); `metadata` has `kind`, `calls` (how many gold calls), `user`, `tools` and `apps`.
        users: The scripted user of each task, by its id.
    """

    tasks: TaskSet
    users: Mapping[str, ScriptedUser]


@lru_cache(maxsize=4)
def desk_tasks(seed: int = 0) -> DeskTasks:
    """The tasks of the office of a seed; made once in a process.

    Args:
        seed: The office's seed.
    """
    world = World.create(seed)
    start = world.snapshot()
    tasks: list[Task] = []
    users: dict[str, ScriptedUser] = {}
    for template in TEMPLATES:
        golds: set[str] = set()
        stem = zlib.crc32(template.name.encode())
        for attempt in range(_ATTEMPTS):
            if len(golds) == template.count:
                break
            world.restore(start)
            draft = _draft(template, Sketch(world, np.random.default_rng([seed, stem, attempt]), len(golds)))
            if draft is None:
                continue
            gold = repr((draft.user, draft.turns))
            if gold in golds:
                continue
            task = _task(template, draft, len(golds) + 1)
            if not _proven(world, start, task, draft):
                continue
            golds.add(gold)
            tasks.append(task)
            users[task.id] = ScriptedUser(draft.facts)
    return DeskTasks(TaskSet(tasks), MappingProxyType(users))


def introduction(world: World) -> str:
    """Who the agent acts for, as every prompt says it."""
    me = world.me
    return f"{me.name} ({me.id}, {me.email}), {me.title}, {world.departments[me.department].name}, {me.office}"


def _draft(template: Template, sketch: Sketch) -> Draft | None:
    try:
        return template.make(sketch)
    except (Skip, ToolError):  # the rules do not allow what the template had in mind
        return None


def _task(template: Template, draft: Draft, number: int) -> Task:
    gold = tuple(tuple({"name": name, "arguments": dict(given)} for name, given in turn) for turn in draft.turns)
    names = {name for turn in draft.turns for name, _ in turn if name not in SPEAKING} | set(draft.tried)
    truth: dict[str, Any] = {"gold_calls": gold}
    if draft.says:
        truth |= {"answers": (draft.answer,), "says": draft.says}
    if draft.texts:
        truth["texts"] = tuple({"field": path, "demands": demands} for path, demands in draft.texts)
    if draft.facts:
        truth["asks"] = tuple(sorted(item.about for item in draft.facts))
    if draft.reasons:
        truth["reasons"] = draft.reasons
    return Task(
        id=f"{template.name}-{number:02}",
        group=template.name,
        prompt=draft.prompt,
        split=split_of(template.name),
        truth=truth,
        metadata={
            "kind": template.kind,
            "calls": sum(map(len, draft.turns)),
            "user": draft.user,
            "tools": tuple(sorted(names)),
            "apps": tuple(sorted({name.partition("_")[0] for name in names})),
        },
    )


def _proven(world: World, start: Any, task: Task, draft: Draft) -> bool:
    """Whether the gold calls win, doing nothing does not, and nothing in them falls from the sky."""
    truth = task.truth
    world.restore(start)
    world.act_for(draft.user)
    begun = world.snapshot()
    told = introduction(world)
    gold = gold_state(world, truth["gold_calls"])
    if gold is None or task.metadata["calls"] > MAX_CALLS or unfounded(draft, told):
        return False
    user = ScriptedUser(draft.facts)
    questions = [
        call["arguments"]["question"] for turn in truth["gold_calls"] for call in turn if call["name"] == "ask_user"
    ]
    asked = {item.about for question in questions for item in user.asked(question)}
    spoken = Spoken(truth.get("answers", ("Done.",))[0], truth.get("reasons", (None,))[0], asked)
    if verify(truth, task.prompt, gold, gold, spoken)["outcome"] != 1.0:
        return False
    nothing = (Spoken(), Spoken(answer=task.prompt), Spoken(answer="Done."))
    if any(verify(truth, task.prompt, begun, gold, said)["outcome"] for said in nothing):
        return False
    # What an answer has to hold is not already in the request.
    return not truth.get("says") or len(missing_from(task.prompt, truth["says"])) == len(truth["says"])


def unfounded(draft: Draft, introduction: str) -> tuple[str, ...]:
    """Ids, addresses and IBANs in the gold calls that stand in nothing that was read before."""
    known = f"{introduction} {draft.prompt}"
    found: list[str] = []
    results = iter(draft.results)
    for turn in draft.turns:
        for _, arguments in turn:
            found += [ref for ref in _REFERENCE.findall(str(dict(arguments))) if ref.casefold() not in known.casefold()]
        known += "".join(str(next(results)) for _ in turn)
    return tuple(found)
