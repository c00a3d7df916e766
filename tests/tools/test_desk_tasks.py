"""The office's tasks: enough of every kind in every split, proven, founded on what was read, and always the same."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from palaestra.envs.tools.desk.build import MAX_CALLS, desk_tasks, unfounded
from palaestra.envs.tools.desk.drafts import KINDS, REASONS, Draft
from palaestra.envs.tools.desk.said import missing_from
from palaestra.envs.tools.desk.templates import TEMPLATES
from palaestra.envs.tools.desk.user import ScriptedUser
from palaestra.envs.tools.desk.verifier import SPEAKING
from palaestra.envs.tools.desk.world import TOOLS, World
from palaestra.errors import ToolError
from palaestra.tasks import SPLITS, Task, split_of

TASKS = desk_tasks(0).tasks


def calls_of(task: Task) -> list[dict[str, Any]]:
    return [call for turn in task.truth["gold_calls"] for call in turn]


def test_enough_tasks_of_every_kind_in_every_split() -> None:
    assert len(TASKS) >= 1000 and {task.metadata["kind"] for task in TASKS} == set(KINDS)
    counts = Counter((task.metadata["kind"], task.split) for task in TASKS)
    assert all(counts[kind, split] >= 9 for kind in KINDS for split in SPLITS)
    assert len({template.name for template in TEMPLATES}) == len(TEMPLATES) >= 120


def test_a_template_is_a_group_and_lies_in_one_split() -> None:
    assert {task.group for task in TASKS} == {template.name for template in TEMPLATES}
    assert all(task.split == split_of(task.group) and task.id.startswith(f"{task.group}-") for task in TASKS)


def test_from_one_call_to_fifteen_alone_and_side_by_side() -> None:
    sizes = Counter(len(calls_of(task)) for task in TASKS)
    assert min(sizes) == 1 and max(sizes) == MAX_CALLS == 15 and sum(sizes[size] for size in range(5, 16)) >= 100
    assert all(task.metadata["calls"] == len(calls_of(task)) for task in TASKS)
    for task in TASKS.where(kind="parallel"):
        assert len(task.truth["gold_calls"]) == 1 < len(calls_of(task)), task.id
    for task in TASKS.where(kind="single"):
        assert len(calls_of(task)) == 1, task.id
    for task in TASKS.where(kind="chain"):
        assert len(calls_of(task)) >= 4, task.id


def test_most_tools_are_needed_somewhere() -> None:
    used = {call["name"] for task in TASKS for call in calls_of(task)}
    assert used - set(TOOLS) == {"ask_user", "decline"} and len(used) >= 50
    assert all({*task.metadata["tools"]} >= {c["name"] for c in calls_of(task)} - {*SPEAKING} for task in TASKS)


def test_the_gold_calls_are_accepted_one_by_one_and_refused_ones_are_none_of_them() -> None:
    world = World.create(0)
    start = world.snapshot()
    for task in TASKS:
        world.restore(start)
        world.act_for(task.metadata["user"])
        for call in calls_of(task):
            if call["name"] not in SPEAKING:
                world.call(call["name"], call["arguments"])
        changed = bool(world.changes())
        match task.metadata["kind"]:
            case "refuse":
                assert not changed and task.truth["gold_calls"][-1][0]["name"] == "decline", task.id
                assert set(task.truth["reasons"]) <= set(REASONS), task.id
            case "aggregate":
                assert not changed and task.truth["says"], task.id
            case "ask":
                assert changed and task.truth["asks"], task.id
            case "chain":
                assert changed, task.id
            case _:
                assert changed or task.truth["says"], task.id


def test_what_must_be_refused_is_refused_by_the_office_too() -> None:
    """Where a rule forbids the act, the tool itself must say no to it; what does not exist cannot be tried."""
    tried = {task.group for task in TASKS.where(kind="refuse") if any(TOOLS[n].writes for n in task.metadata["tools"])}
    assert {task.group for task in TASKS.where(kind="refuse")} - tried == {"nobody", "no-such-event", "no-such-file"}


def test_declining_cannot_be_read_off_the_wording() -> None:
    """Most refusals share their words with tasks that can be done."""

    def words(task: Task) -> str:
        return " ".join(re.sub(r'"[^"]*"|\S*[\d@.]\S*', "", task.prompt).split()[:4])

    doable = {words(task) for task in TASKS if task.metadata["kind"] != "refuse"}
    refused = TASKS.where(kind="refuse")
    assert sum(words(task) in doable for task in refused) >= 0.4 * len(refused)


def test_answers_hold_what_must_be_said_and_requests_do_not() -> None:
    for task in TASKS:
        says = task.truth.get("says", ())
        if says:
            assert missing_from(task.truth["answers"][0], says, task.prompt) == (), task.id
            assert len(missing_from(task.prompt, says)) == len(says), task.id


def test_what_the_user_knows_is_not_in_the_request_and_is_told_when_the_gold_question_asks() -> None:
    users = desk_tasks(0).users
    for task in TASKS:
        user = users[task.id]
        assert (task.metadata["kind"] == "ask") is bool(user.facts)
        questions = [call["arguments"]["question"] for call in calls_of(task) if call["name"] == "ask_user"]
        told = {item.about for question in questions for item in user.asked(question)}
        assert told == set(task.truth.get("asks", ())), task.id
        for item in user.facts:
            figures = re.findall(r"\d[\d.,:-]*\d|\d", item.reply)
            assert all(not re.search(rf"(?<!\d){re.escape(figure)}(?!\d)", task.prompt) for figure in figures), task.id


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("How much money should be sent?", ("pay-how-much",)),
        ("Could you please specify the sum?", ("pay-how-much",)),
        ("Please tell me when the meeting should take place.", ("meet-when", "which-hour")),
        ("What day and time suit you?", ("meet-when",)),
        ("At what hour does it begin?", ("which-hour",)),
        ("Which one do you mean?", ("share-with-whom", "cancel-which")),
        ("Whom should I send it to?", ("write-to-whom",)),
        ("Who is the recipient?", ("write-to-whom",)),
        ("What quantity?", ("order-how-many",)),
        ("How many units would you like?", ("order-how-many",)),
        ("What are the first and the last day?", ("leave-when",)),
        ("Which dates?", ("leave-when",)),
        ("Can you give me their email?", ("contact-address",)),
        ("I need the e-mail address.", ("contact-address",)),
        ("What is the problem exactly?", ("ticket-words",)),
        ("Which limit do you want?", ("limit-how-high",)),
        ("To whom should the ticket be assigned?", ("assign-whom",)),
        ("Please provide the amount and the IBAN.", ("pay-new",)),
    ],
)
def test_other_wordings_ask_for_the_missing_thing_too(question: str, kinds: tuple[str, ...]) -> None:
    users = desk_tasks(0).users
    for task in TASKS:
        if task.group in kinds:
            asked = {item.about for item in users[task.id].asked(question)}
            assert asked == set(task.truth["asks"]), (task.id, asked)


def test_nothing_in_the_gold_calls_falls_from_the_sky() -> None:
    """Planted: a call with an id that nothing has named, and the same id once it has been read."""

    def draft(prompt: str, results: tuple[dict[str, Any], ...]) -> Draft:
        turns = ((("people_search", {"query": "Ada"}),), (("files_share", {"file": "F-0123", "person": "P-0001"}),))
        return Draft("P-0001", prompt, turns, results)

    assert unfounded(draft("Share it.", ({}, {})), "for Ada (P-0001)") == ("F-0123",)
    assert unfounded(draft("Share it.", ({"file": "F-0123"}, {})), "for Ada (P-0001)") == ()
    assert unfounded(draft("Share F-0123.", ({}, {})), "") == ("P-0001",)


def test_requests_are_sentences_and_worded_in_several_ways() -> None:
    openings: dict[str, set[str]] = {}
    for task in TASKS:
        assert task.prompt[-1] in '.!?")' and task.prompt == " ".join(task.prompt.split()), task.id
        assert not re.search(r"[{}]|\bon (today|tomorrow)\b|\bNone\b|\.\.", task.prompt), task.prompt
        openings.setdefault(task.group, set()).add(" ".join(re.sub(r'"[^"]*"|\d+', "", task.prompt).split()[:2]))
    assert all(len(found) >= 2 for found in openings.values())


def digest(seed: int) -> str:
    return hashlib.sha256(repr([task.to_json() for task in desk_tasks(seed).tasks]).encode()).hexdigest()


def test_the_same_tasks_in_another_process() -> None:
    code = (
        "import hashlib; from palaestra.envs.tools.desk.build import desk_tasks;"
        "print(hashlib.sha256(repr([task.to_json() for task in desk_tasks(0).tasks]).encode()).hexdigest())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == digest(0)


def test_another_office_has_other_tasks_as_good() -> None:
    other = desk_tasks(1).tasks
    assert digest(1) != digest(0) and len(other) >= 1000
    assert {task.metadata["kind"] for task in other} == set(KINDS)
    world = World.create(1)
    with pytest.raises(ToolError):
        world.call("people_get", {"person": "P-9999"})
    assert all(isinstance(user, ScriptedUser) for user in desk_tasks(1).users.values())
