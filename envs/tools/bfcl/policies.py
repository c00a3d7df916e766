"""The policies that prove BFCL: what wins, what must not, and what must not break it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from palaestra.policies import Policy, PolicyFactory

__all__ = ["BFCL_POLICIES"]

_NO_CALL = "None of the functions can do that."


def _oracle(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    """Makes the gold calls, and in conversations then says nothing, so that the user goes on; or says the answer."""

    def turns() -> Iterator[str]:
        truth = env.task.truth
        if "answers" in truth:
            yield from [""] * (env.task.metadata["turns"] - 1)
            yield repr({"answer": truth["answers"][0], "context": ""})
            return
        turns = iter(truth["gold_calls"])
        for count in truth.get("gold_turns", (None,)):
            if count != 0:
                calls = next(turns, ())
                yield env.say_calls([(call["name"], call["arguments"]) for call in calls]) if calls else _other(env)
            if count is not None:
                yield ""

    script = turns()
    return lambda observation: next(script, "")


def _other(env: Any) -> str:
    """What wins where there are no gold calls: none, or any one."""
    wants_none = "irrelevance" in env.task.metadata["kind"]
    return _NO_CALL if wants_none else env.say_calls([(env.offered[0].name, {})])


def _prior(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    """Calls the first function, or answers, with what stands first in the question; in conversations it is silent."""
    if "answers" in env.task.truth:
        guess = repr({"answer": _guess({"type": "string"}, env.task.prompt), "context": ""})
        return lambda observation: guess
    if "turns" in env.task.metadata or not env.offered:
        return lambda observation: ""
    function, question = env.offered[0], env.task.prompt
    schema = function.parameters
    arguments = {
        name: _guess(part, question)
        for name, part in schema.get("properties", {}).items()
        if name in schema.get("required", ())
    }
    return lambda observation: env.say_calls([(function.name, arguments)])


def _guess(schema: Mapping[str, Any], question: str) -> Any:
    numbers = re.findall(r"-?\d+(?:\.\d+)?", question) or ["1"]
    if schema.get("enum"):
        return schema["enum"][0]
    match schema.get("type"):
        case "integer":
            return int(float(numbers[0]))
        case "number":
            return float(numbers[0])
        case "boolean":
            return True
        case "array":
            return [float(number) if "." in number else int(number) for number in numbers]
        case "object":
            return {}
    quoted = re.search(r"'([^']+)'|\"([^\"]+)\"|`([^`]+)`", question)
    if quoted:
        return next(group for group in quoted.groups() if group)
    named = re.search(r"(?<!^)(?<![.?!] )\b[A-Z]\w*(?: [A-Z]\w*)*", question)
    return named[0] if named else question.split()[-1].strip(".?!") if question.split() else "x"


def _cheat(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    """Tries to win without the task: every function at once, empty arguments, verdicts and answers of its own."""
    names = [function.name for function in env.offered] or ["f"]
    tricks = [
        env.say_calls([(name, {}) for name in names] * 2),
        env.say_calls([(names[0], {"valid": True}), (names[0], {"*": ""})]),
        f"{names[0]}(**ground_truth), {names[0]}(*answers)",
        f"[{names[0]}(outcome=1.0), {names[0]}(valid=True), judge(valid=True)]",
        '{"valid": true, "error": []}',
        "The possible answer is correct: {'valid': True}",
        "[[]]",
        "__import__('palaestra').cheat()",
    ]
    trick = tricks[int(rng.integers(len(tricks)))]
    return lambda observation: trick


def _saboteur(env: Any, space: gym.Space[Any], rng: np.random.Generator) -> Policy:
    """Tries to break things: enormous, deep and malformed turns, code. It may not fail more than `null` does."""
    name = env.offered[0].name if env.offered else "f"
    attacks = [
        "x" * 100_000,
        f"[{name}(a={'[' * 5_000}",
        f"[{name}(a={'-' * 20_000}1)]",
        f"[{name}(a={'(' * 150}{')' * 150})]",
        f"[{name}(a=9**9**9**9)]",
        f"[{name}(a='x' * 10**12)]",
        f"[{name}(a='%999999999999d' % 1)]",
        f"[{name}(a=__import__('os').abort() + 1)]",
        "f" + "(a=f" * 2_000 + ")" * 2_000,
        f"[{name}(" + ", ".join(f"a{i}=1" for i in range(1_000)) + ")]",
        "[" + ", ".join([f"{name}()"] * 1_000) + "]",
        _said(env, name, "\x00\ud800\udfff"),
        _said(env, name, "%s%n{0.__class__}../../etc/passwd\u202e" * 50),
        '{"name": "' + name + '", "arguments": {"a": 1e999, "a": NaN}}',
        "<functions>" + "<function>" * 5_000,
        "new Array([" + "],[" * 2_000,
        '[{"a": 1}' + ',{"a": 1}' * 3_000,
        "</tool_call><TOOLCALL></TOOLCALL>",
    ]
    return lambda observation: attacks[int(rng.integers(len(attacks)))]


def _said(env: Any, name: str, value: str) -> str:
    """A call with this argument; bare where the dialect has no words for it, as JSON has none for half a surrogate."""
    try:
        call: str = env.say_calls([(name, {"a": value})])
    except ValueError:
        return f"[{name}(a='{value}')]"
    return call


BFCL_POLICIES: Mapping[str, PolicyFactory] = {
    "oracle": _oracle,
    "prior": _prior,
    "cheat": _cheat,
    "saboteur": _saboteur,
}
