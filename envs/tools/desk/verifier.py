"""The verifier: the state that was reached against the state that the gold calls reach, and what had to be said.

How the state was reached does not matter: not the order, nor the number of look-ups, nor the ids that new records
got. Texts are compared after SQuAD's normalisation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from palaestra.answers import normalize_answer
from palaestra.envs.tools.desk.said import missing_from
from palaestra.envs.tools.desk.states import WorldState, differences
from palaestra.envs.tools.desk.world import World
from palaestra.errors import ToolError

__all__ = ["SPEAKING", "Spoken", "gold_state", "verify"]

SPEAKING = ("ask_user", "decline", "answer")
"""Tools that are not of the office: with them the agent speaks to the user."""


def _normal(text: Any) -> Any:
    return (normalize_answer(text) or text) if isinstance(text, str) else text


_Layers = Mapping[str, Mapping[str, Any]]  # table -> id -> record, None for deleted ones

_PROSE = frozenset(
    (
        "mails.subject",
        "mails.body",
        "events.title",
        "events.description",
        "tickets.title",
        "tickets.description",
        "comments.text",
        "transfers.reference",
        "leaves.note",
        "files.content",
        "contacts.notes",
        "contacts.company",
    )
)
# Remarks that an agent may add where the request is silent: the field, the tool's argument, and the tools. They may be
# made on what is new and on what the gold calls change, too.
_REMARKS = (
    ("events.description", "description", ("calendar_create", "calendar_update")),
    ("leaves.note", "note", ("leave_request",)),
)


@dataclass(slots=True)
class Spoken:
    """What the agent has said to the user in an episode.

    Attributes:
        answer: The final answer; None before it.
        reason: Why it declined; None where it did not.
        asked: Names of the facts that it asked for.
    """

    answer: str | None = None
    reason: str | None = None
    asked: set[str] = field(default_factory=set)

    def copy(self) -> Spoken:
        """One of its own."""
        return Spoken(self.answer, self.reason, set(self.asked))


def gold_state(world: World, gold_calls: Sequence[Sequence[Mapping[str, Any]]]) -> WorldState | None:
    """The state after the gold calls.

    Args:
        world: At the start of the task; afterwards where the calls have led.
        gold_calls: See `Task.truth`.

    Returns:
        The state; None where a call is refused, which happens only to truths that were tampered with.
    """
    try:
        for turn in gold_calls:
            for call in turn:
                if call["name"] not in SPEAKING:
                    world.call(call["name"], call["arguments"])
    except ToolError:
        return None
    return world.snapshot()


def verify(
    truth: Mapping[str, Any], prompt: str, state: WorldState, gold: WorldState | None, spoken: Spoken
) -> dict[str, float]:
    """Judges the state as it stands.

    Args:
        truth: The task's.
        prompt: The request.
        state: What was reached.
        gold: What the gold calls reach.
        spoken: What was said to the user.

    Returns:
        `outcome`, which is `state` times `said`: 1.0 where the state is right, and where all that had to be said was.
    """
    reached = gold is not None and not _differs(truth, state, gold)
    if truth.get("reasons"):
        said = spoken.reason is not None and spoken.reason in truth["reasons"]
    else:
        # A task that can be done is not done by declining it.
        said = spoken.reason is None and spoken.asked.issuperset(truth.get("asks", ()))
        if truth.get("says"):
            said = said and spoken.answer is not None and not missing_from(spoken.answer, truth["says"], prompt)
    return {"outcome": float(reached and said), "state": float(reached), "said": float(said)}


def _differs(truth: Mapping[str, Any], state: WorldState, gold: WorldState) -> bool:
    texts = truth.get("texts", ())
    here, there = dict(state.layers()), dict(gold.layers())
    # Most right outcomes are the same to the letter.
    if here != there or texts:
        touched = here.keys() | there.keys()
        ignore = {*_silent(truth["gold_calls"]), *(text["field"] for text in texts)} & _PROSE
        views = {path: _normal for path in _PROSE - ignore if path.partition(".")[0] in touched}
        if differences(state, gold, ignore, views) or _beside(state, here, there, ignore):
            return True
    return any(_unsaid(state, text["field"], text["demands"]) for text in texts)


def _beside(state: WorldState, here: _Layers, there: _Layers, ignore: Collection[str]) -> bool:
    """Whether a field that is not looked at was changed in a record that the gold calls leave alone."""
    for path in ignore:
        table, _, column = path.partition(".")
        rows, gold = state.base.tables[table].rows, there.get(table, {})
        for id_, record in here.get(table, {}).items():
            if id_ in rows and id_ not in gold and record is not None:
                before, after = getattr(rows[id_], column), getattr(record, column)
                if _normal(before) != _normal(after):
                    return True
    return False


def _silent(gold_calls: Sequence[Sequence[Mapping[str, Any]]]) -> Collection[str]:
    calls = [call for turn in gold_calls for call in turn]
    return [
        path
        for path, argument, tools in _REMARKS
        if not any(call["name"] in tools and argument in call["arguments"] for call in calls)
    ]


def _unsaid(state: WorldState, path: str, demands: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a new record of the table lacks something in its field."""
    table, _, column = path.partition(".")
    rows = state.base.tables[table].rows if table in state.base.tables else {}
    new = [record for id_, record in dict(state.layers()).get(table, {}).items() if record and id_ not in rows]
    return any(missing_from(str(getattr(record, column, "")), demands) for record in new)
