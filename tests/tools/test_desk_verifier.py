"""The verdict: the state that was reached and what was said, whatever the way; planted mistakes of every sort lose."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from palaestra.envs.tools.desk.policies import utterances
from palaestra.envs.tools.desk.verifier import SPEAKING
from palaestra.tasks import Task

ID = "palaestra/ToolDesk-v0"
Call = Mapping[str, Any]


@pytest.fixture(scope="module")
def env() -> Iterator[Any]:
    made = gym.make(ID, split="all", max_turns=60).unwrapped
    yield made
    made.close()


def act(env: Any, calls: list[Call]) -> dict[str, Any]:
    info: dict[str, Any] = {}
    for call in calls:
        *_, info = env.step(next(utterances(env, [call])))
    return info


def call(name: str, **arguments: Any) -> Call:
    return {"name": name, "arguments": arguments}


def gold(task: Task) -> list[Call]:
    return [one for turn in task.truth["gold_calls"] for one in turn]


def ending(task: Task) -> list[Call]:
    return [] if task.truth.get("reasons") else [call("answer", answer=task.truth.get("answers", ("Done.",))[0])]


def outcome(env: Any, task: Task, calls: list[Call]) -> float:
    env.reset(seed=0, options={"task_id": task.id})
    info = act(env, calls)
    return float(info["outcome"]) if "outcome" in info else env.judge()


def doing(env: Any) -> list[Task]:
    """Tasks that change something."""
    found = [task for task in env.tasks if not task.truth.get("says") and not task.truth.get("reasons")]
    assert len(found) > 600
    return found


def test_the_order_of_parallel_calls_does_not_matter(env: Any) -> None:
    shuffle = random.Random(0).shuffle
    several = [task for task in env.tasks if any(len(turn) > 1 for turn in task.truth["gold_calls"])]
    assert len(several) > 300
    for task in several:
        made: set[str] = set()
        calls: list[Call] = []
        for turn in task.truth["gold_calls"]:
            some = list(turn)
            shuffle(some)
            calls += some
        # Later calls name new records by ids that depend on the order, where several were made in one turn.
        creating = [one for turn in task.truth["gold_calls"][:-1] for one in turn if one["name"].endswith(("_create",))]
        made |= {one["name"] for one in creating}
        if len(creating) == len(made):
            assert outcome(env, task, calls + ending(task)) == 1.0, task.id


def test_more_look_ups_and_refused_calls_do_not_matter(env: Any) -> None:
    idle = [
        call("people_me"),
        call("people_search", query="a"),
        call("people_get", person="P-9999"),
        call("nonsense"),
        call("ask_user", question="Is there anything else?"),
    ]
    for task in env.tasks[::7]:
        assert outcome(env, task, [*idle, *gold(task)[:1], *idle, *gold(task)[1:], *ending(task)]) == 1.0, task.id


def test_a_call_that_is_left_out_loses(env: Any) -> None:
    world = env.world
    for task in doing(env):
        env.reset(seed=0, options={"task_id": task.id})
        writing = []
        for place, one in enumerate(gold(task)):
            if one["name"] not in SPEAKING:
                before = world.snapshot()
                world.call(one["name"], one["arguments"])
                if world.changes(before):
                    writing.append(place)
        dropped = writing[len(task.prompt) % len(writing)]
        calls = [one for place, one in enumerate(gold(task)) if place != dropped]
        assert outcome(env, task, calls + ending(task)) == 0.0, task.id


def test_one_change_too_many_loses(env: Any) -> None:
    extra = call("tickets_create", queue="it", title="Something else", description="Nobody asked for this.")
    made = gym.make(ID, split="all", tools="all", max_turns=60).unwrapped
    for task in env.tasks[::5]:
        ends = ending(task) or gold(task)[-1:]
        calls = gold(task) if ending(task) else gold(task)[:-1]
        assert outcome(made, task, [*calls, extra, *ends]) == 0.0, task.id


def test_twice_is_once_too_often(env: Any) -> None:
    """A mail that is sent again, a ticket that is opened again."""
    for task in env.tasks[::2]:
        again = [one for one in gold(task) if one["name"] in ("mail_send", "tickets_create")]
        if again:
            assert outcome(env, task, [*gold(task), again[0], *ending(task)]) == 0.0, task.id


def test_what_is_undone_does_not_count(env: Any) -> None:
    """Starred by mistake and unstarred again is as if it had not been."""
    task = next(task for task in env.tasks if task.group == "mail-answer")
    mail = gold(task)[1]["arguments"]["mail"]
    marks = [call("mail_mark", mails=[mail], mark=mark) for mark in ("starred", "unstarred")]
    assert outcome(env, task, [*marks, *gold(task), *ending(task)]) == 1.0
    assert outcome(env, task, [*marks[:1], *gold(task), *ending(task)]) == 0.0


def test_the_state_is_judged_as_it_stands_when_the_turns_are_over(env: Any) -> None:
    short = gym.make(ID, split="all", max_turns=2).unwrapped
    task = next(task for task in short.tasks if task.group == "event-cancel")
    short.reset(seed=0, options={"task_id": task.id})
    *_, info = short.step(next(utterances(short, gold(task)[:1])))
    *_, truncated, info = short.step(next(utterances(short, gold(task)[1:])))
    assert truncated and info["outcome"] == 1.0 and info["status"] == "truncated"


def test_declining_what_can_be_done_loses_also_when_it_was_done(env: Any) -> None:
    for task in doing(env)[::9]:
        for reason in ("not_allowed", "not_found"):
            assert outcome(env, task, [*gold(task), call("decline", reason=reason)]) == 0.0, task.id


def test_refusals_need_the_right_reason_and_an_untouched_office(env: Any) -> None:
    for task in env.tasks.where(kind="refuse"):
        looked, reasons = gold(task)[:-1], task.truth["reasons"]
        for reason in ("not_allowed", "not_found", "not_available", "over_limit", "wrong_state"):
            said = call("decline", reason=reason, explanation="I am sorry.")
            assert outcome(env, task, [*looked, said]) == float(reason in reasons), task.id
        assert outcome(env, task, [*looked, call("answer", answer="I cannot do that.")]) == 0.0, task.id
        assert outcome(env, task, [call("decline", reason=reasons[0])]) == 1.0, task.id


def test_a_guess_without_the_question_loses(env: Any) -> None:
    """The missing value happens to be right, but nobody was asked."""
    for task in env.tasks.where(kind="ask"):
        calls = [one for one in gold(task) if one["name"] != "ask_user"]
        assert outcome(env, task, calls + ending(task)) == 0.0, task.id
        beside = call("ask_user", question="Are you sure?")
        assert outcome(env, task, [beside, *calls, *ending(task)]) == 0.0, task.id


def test_answers_that_lack_a_value_or_give_many_lose(env: Any) -> None:
    rng = np.random.default_rng(0)
    for task in env.tasks:
        if task.truth.get("says"):
            right = task.truth["answers"][0]
            numbers = " ".join(str(number) for number in rng.permutation(500)[:100].tolist())
            for wrong in ("", "Done.", task.prompt, numbers, f"It is not {numbers}."):
                assert outcome(env, task, [*gold(task), call("answer", answer=wrong)]) == 0.0, (task.id, wrong)
            assert outcome(env, task, [*gold(task), call("answer", answer=f"Here you are: {right}!")]) == 1.0, task.id


def test_texts_are_compared_without_regard_to_case_and_punctuation(env: Any) -> None:
    task = next(task for task in env.tasks if task.group == "mail-write")
    sent = gold(task)[0]["arguments"]
    for body, won in (
        (sent["body"].lower().rstrip("."), 1.0),
        (f" {sent['body']}  ", 1.0),
        (f"Dear all, {sent['body']}", 0.0),
        (sent["body"].split()[0], 0.0),
    ):
        assert outcome(env, task, [call("mail_send", **{**sent, "body": body}), *ending(task)]) == won


def test_texts_of_ones_own_must_hold_the_value(env: Any) -> None:
    for group in ("pay-share", "report-leave", "outage"):
        for task in (one for one in env.tasks if one.group == group):
            value = task.truth["texts"][0]["demands"][0]["value"]
            for body, won in ((f"Hello! It is {value}. Best regards", 1.0), ("Hello! I do not know.", 0.0)):
                calls = [
                    {**one, "arguments": {**one["arguments"], "body": body}} if one["name"] == "mail_send" else one
                    for one in gold(task)
                ]
                assert outcome(env, task, calls + ending(task)) == won, task.id


def test_remarks_are_free_where_the_request_is_silent(env: Any) -> None:
    task = next(task for task in env.tasks if task.group == "block-time")
    made = gold(task)[0]["arguments"]
    assert outcome(env, task, [call("calendar_create", **made, description="As you wished."), *ending(task)]) == 1.0
    assert outcome(env, task, [call("calendar_create", **made, private=True), *ending(task)]) == 0.0


def test_remarks_on_what_the_request_is_not_about_lose(env: Any) -> None:
    """Descriptions of new events are the agent's to word; those of events that nobody spoke of are not."""
    tried = 0
    for task in env.tasks[::3]:
        env.reset(seed=0, options={"task_id": task.id})
        world, user = env.world, task.metadata["user"]
        touched = str(gold(task))
        others = [one for one in world.table("events") if one.organizer == user and one.status != "cancelled"]
        for other in [one for one in others if one.start > world.now and one.id not in touched][:1]:
            calls = [*gold(task), *ending(task)]
            act(env, calls[:-1])
            world.call("calendar_update", {"event": other.id, "description": "Do not come!"})
            tried += 1
            assert act(env, calls[-1:])["outcome"] == 0.0, task.id
    assert tried > 200


def test_a_remark_on_the_event_that_is_changed_is_free(env: Any) -> None:
    task = next(task for task in env.tasks if task.group == "event-move")
    moved = [
        {**one, "arguments": {**one["arguments"], "description": "Moved."}} if one["name"] == "calendar_update" else one
        for one in gold(task)
    ]
    assert moved != gold(task)
    assert outcome(env, task, moved + ending(task)) == 1.0


def test_a_planted_truth_is_what_is_judged_by(env: Any) -> None:
    task = next(task for task in env.tasks if task.metadata["kind"] == "single" and not task.truth.get("says"))
    env.reset(seed=0, options={"task_id": task.id, "canary": "nonce123"})
    assert "nonce123" in str(env.privileged()) and act(env, gold(task) + ending(task))["outcome"] == 0.0
    assert outcome(env, task, gold(task) + ending(task)) == 1.0
