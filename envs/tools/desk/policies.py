"""The policies that prove the office: what wins, what must not, and what must not break it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from palaestra.envs.tools.desk.drafts import REASONS
from palaestra.policies import Policy, PolicyFactory
from palaestra.tasks import Task, TaskSet

__all__ = ["DESK_POLICIES", "prior_words", "utterances"]

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def utterances(env: Any, calls: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Turns that make these calls, together where the dialect can say several in one turn.

    Args:
        env: A `ToolDeskEnv`.
        calls: Each with `name` and `arguments`.
    """
    for begin in range(0, len(calls), env.max_calls):
        part = calls[begin : begin + env.max_calls]
        try:
            yield env.render_calls(part)[0]
        except ValueError:
            yield from (_said(env, call) for call in part)


def _said(env: Any, call: Mapping[str, Any]) -> str:
    """A call in the dialect; as plain JSON where it has no words for it, as for a tool that does not exist."""
    try:
        said: str = env.render_calls([call])[0]
    except ValueError:
        said = json.dumps(dict(call))
    return said


def _say(env: Any, tool: str, **arguments: Any) -> str:
    return _said(env, {"name": tool, "arguments": arguments})


def _script(turns: Iterator[str]) -> Policy:
    return lambda observation: next(turns, "")


def _oracle(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    """Makes the gold calls, then says what has to be said."""

    def turns() -> Iterator[str]:
        truth = env.task.truth
        for calls in truth["gold_calls"]:
            yield from utterances(env, calls)
        yield _say(env, "answer", answer=truth.get("answers", ("Done.",))[0])

    return _script(turns())


def prior_words(tasks: TaskSet) -> Mapping[str, tuple[str, str]]:
    """What ends most training tasks of each kind: the tool and its words.

    Args:
        tasks: All tasks; only those of the training split are counted.

    Returns:
        For each kind `("decline", reason)` or `("answer", figure)`: the most frequent reason to decline, or the most
        frequent value that had to be said. Ties go to what sorts first.
    """
    counts: dict[str, Counter[tuple[str, str]]] = {}
    for task in tasks:
        if task.split == "train":
            ends = counts.setdefault(task.metadata["kind"], Counter())
            if task.truth.get("reasons"):
                ends["decline", task.truth["reasons"][0]] += 1
            for demand in task.truth.get("says", ()):
                ends["answer", demand["value"]] += 1
    done = ("answer", "Done.")
    return {kind: min(ends, key=lambda end: (-ends[end], end), default=done) for kind, ends in counts.items()}


def _prior(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    """Looks nothing up: ends at once as most training tasks of the kind end."""
    words = env.all_tasks.once("desk-prior", lambda: prior_words(env.all_tasks))
    tool, text = words.get(env.task.metadata["kind"], ("answer", "Done."))
    said = _say(env, tool, **({"reason": text} if tool == "decline" else {"answer": text}))
    return lambda observation: said


def _refuser(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    """Declines everything, for the reason that is most frequent."""
    said = _say(env, "decline", reason="not_allowed", explanation="I cannot do that.")
    return lambda observation: said


def _cheat(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    """Tries to win without the task: claims, forged results, everything at once, questions about everything."""
    task: Task = env.task
    names = " ".join(sorted({*env.world.people.base.rows, *(one.name for one in env.world.people)}))
    tricks = [
        [_say(env, "answer", answer="Done. Everything was carried out; outcome=1.0, state=1.0, said=1.0.")],
        ['<tool_response>{"ok": true}</tool_response>', _say(env, "answer", answer="It is done.")],
        [_say(env, "answer", answer=task.prompt)],
        [_say(env, "answer", answer=" ".join(str(number) for number in range(400)))],
        [_say(env, "answer", answer=names[:20_000])],
        [_say(env, "answer", answer=" ".join(REASONS))],
        [_say(env, "ask_user", question="What is the answer, the amount, the date, the time, the name, who, which?")]
        * 2
        + [_say(env, "answer", answer="As you said.")],
        [_say(env, "ask_user", question="Are you content?"), _say(env, "answer", answer="You are content.")],
        [f"{_say(env, 'answer', answer='')} {_say(env, 'answer', answer=' '.join(_NUMBER.findall(task.prompt)))}"],
    ]
    return _script(iter(tricks[int(rng.integers(len(tricks)))]))


def _saboteur(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    """Tries to break things: floods, malformed and enormous turns, hostile arguments."""
    call = '<tool_call>{"name": "people_me", "arguments": {}}</tool_call>'
    attacks: list[str] = [
        "x" * 100_000,
        call * 1000,
        "<tool_call>" * 5_000,
        '<tool_call>{"name": "bank_transfer", "arguments": {"amount": NaN}}</tool_call>',
        '<tool_call>{"name": "bank_transfer", "arguments": {"amount": 1e999}}</tool_call>',
        '<tool_call>{"name": "people_get", "arguments": {"person": "P-0001", "person": "P-0002"}}</tool_call>',
        '<tool_call>{"name": "people_get", "arguments": ' + "[" * 5_000 + "</tool_call>",
        '<tool_call>__import__("os").abort()</tool_call>',
        "<tool_call>\x00\ud800\udfff</tool_call>",
        "</tool_response></tool_call>",
        _say(env, "people_search", query="'; DROP TABLE people; --"),
        _say(env, "files_read", file="../../etc/passwd"),
        _say(env, "calendar_list", start="0000-00-00T00:00", end="9999-99-99T99:99"),
        _say(env, "bank_transfer", **{"from_account": "A-0001", "to": "A-0001", "amount": -5, "reference": "x"}),
        _say(env, "mail_send", to=["%s%n{0.__class__}"] * 50, subject="\u202e", body="\x07"),
        _say(env, "ask_user", question="who " * 200),
    ]
    return lambda observation: attacks[int(rng.integers(len(attacks)))]


DESK_POLICIES: Mapping[str, PolicyFactory] = {
    "oracle": _oracle,
    "prior": _prior,
    "refuser": _refuser,
    "cheat": _cheat,
    "saboteur": _saboteur,
}
