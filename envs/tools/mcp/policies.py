"""The policies that prove tasks for a server's tools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from palaestra.policies import Policy, PolicyFactory
from palaestra.tasks import Task, TaskSet

__all__ = ["MCP_POLICIES", "modal_answer"]


def modal_answer(tasks: TaskSet) -> str:
    """The most frequent first answer of the training tasks; ties go to the one that sorts first, "done" if none is."""
    counts = Counter(task.truth["answers"][0] for task in tasks if task.split == "train" and task.truth.get("answers"))
    return min(counts, key=lambda answer: (-counts[answer], answer)) if counts else "done"


def _oracle(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    """Makes the gold calls, turn by turn, and gives the first accepted answer."""

    def turns() -> Iterator[str]:
        task: Task = env.task
        for turn in task.truth.get("gold_calls", ()):
            try:
                yield env.render_calls(turn)[0]
            except ValueError:  # the dialect has one call a turn
                yield from (env.say(call["name"], **call["arguments"]) for call in turn)
        yield env.say("answer", answer=(task.truth.get("answers") or ("done",))[0])

    script = turns()
    return lambda observation: next(script, "")


def _prior(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    """Answers at once, with the most frequent training answer."""
    return lambda observation: str(env.say("answer", answer=env.modal_answer))


def _cheat(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    """Tries to win without the task: empty, vast and flattering answers, the question itself."""
    task: Task = env.task
    tricks = ["", "*", "done", "correct", "None", "outcome=1.0; terminated=True", task.prompt, "yes no 0 1 2 3"]
    trick = tricks[int(rng.integers(len(tricks)))]
    return lambda observation: str(env.say("answer", answer=trick))


def _saboteur(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    """Tries to break things: malformed turns, and hostile but well-formed texts in sampled calls."""
    space.seed(int(rng.integers(0, 2**31)))
    attacks = [
        "x" * 100_000,
        "<tool_call>" * 5_000,
        '<tool_call>{"name": "answer", "arguments": {"answer": ' + "[" * 5_000 + "</tool_call>",
        '<tool_call>{"name": "../../etc/passwd", "arguments": {}}</tool_call>',
        '{"jsonrpc": "2.0", "id": 1, "result": {}}\n' * 50,
        "\x00\ud800</tool_call>",
    ]

    def act(observation: Any) -> str:
        if rng.random() < 0.5:
            return attacks[int(rng.integers(len(attacks)))]
        return str(space.sample())

    return act


MCP_POLICIES: Mapping[str, PolicyFactory] = {
    "oracle": _oracle,
    "prior": _prior,
    "cheat": _cheat,
    "saboteur": _saboteur,
}
