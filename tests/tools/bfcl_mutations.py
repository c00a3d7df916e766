"""Other outputs than the reference calls: what models get wrong, made from the reference by a seeded generator."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

from palaestra.envs.tools.bfcl.calls import Call
from palaestra.envs.tools.bfcl.multi_turn import MultiTurnCase

Turns = list[list[list[str]]]


def written(call: Call) -> str:
    return f"{call.name}({', '.join(f'{key}={value!r}' for key, value in call.kwargs.items())})"


def reference(case: MultiTurnCase) -> Turns:
    """One step per turn, with the calls as published."""
    return [[list(turn)] if turn else [] for turn in case.gold_texts]


def somewhere(case: MultiTurnCase, rng: random.Random, needs: Callable[[Call], bool] = lambda call: True):
    """The place of one of the reference calls, or None."""
    places = [(t, c) for t, turn in enumerate(case.gold) for c, call in enumerate(turn) if needs(call)]
    return rng.choice(places) if places else None


def with_call(case: MultiTurnCase, place: tuple[int, int], *texts: str) -> Turns:
    """The reference with the call at a place replaced by others."""
    turns = reference(case)
    turns[place[0]][0][place[1] : place[1] + 1] = texts
    return turns


def changed(case: MultiTurnCase, rng: random.Random, change: Callable[[object], object]) -> Turns | None:
    place = somewhere(case, rng, lambda call: bool(call.kwargs))
    if place is None:
        return None
    call = case.gold[place[0]][place[1]]
    key = rng.choice(list(call.kwargs))
    return with_call(case, place, written(Call(call.name, (), {**call.kwargs, key: change(call.kwargs[key])})))


def other_value(value: object) -> object:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case list():
            return value[1:] if value else ["x"]
        case dict():
            return {**value, "status": "Odd"}
    return 7


def other_type(rng: random.Random) -> Callable[[object], object]:
    kinds = [None, 3, -2.5, "three", [1, "x"], {"a": 1}, True, ("a",), [], "", {}]
    return lambda value: rng.choice([kind for kind in kinds if type(kind) is not type(value)])


def mutations(case: MultiTurnCase) -> Iterator[tuple[str, Turns]]:
    """(name, output) for each kind of output that this case allows; the same for the same case."""
    rng = random.Random(case.id)
    turns = reference(case)
    place = somewhere(case, rng)
    text = turns[place[0]][0][place[1]]
    call = case.gold[place[0]][place[1]]
    name = call.name

    yield "dropped call", with_call(case, place)
    yield "twice the same call", with_call(case, place, text, text)
    yield "all calls twice", [[[text for text in turn for _ in (0, 1)]] if turn else [] for turn in case.gold_texts]
    for number in (1, 2):
        if (found := changed(case, rng, other_value)) is not None:
            yield f"wrong argument {number}", found
        if (found := changed(case, rng, other_type(rng))) is not None:
            yield f"wrong type {number}", found
    if (with_arguments := somewhere(case, rng, lambda call: bool(call.kwargs))) is not None:
        whole = case.gold[with_arguments[0]][with_arguments[1]]
        lost = rng.choice(list(whole.kwargs))
        rest = {key: value for key, value in whole.kwargs.items() if key != lost}
        yield "missing argument", with_call(case, with_arguments, written(Call(whole.name, (), rest)))
        values = ", ".join(repr(value) for value in whole.kwargs.values())
        yield "positional arguments", with_call(case, with_arguments, f"{whole.name}({values})")
        keyed = written(whole)[:-1]
        yield "keyword twice", with_call(case, with_arguments, f"{keyed}, {lost}={whole.kwargs[lost]!r})")
        yield (
            "nested call",
            with_call(case, with_arguments, f"{whole.name}({', '.join(f'{key}={text}' for key in whole.kwargs)})"),
        )
    yield "unexpected argument", with_call(case, place, f"{text[:-1]}{', ' if call.kwargs else ''}frob=1)")
    yield "shuffled turn", [[rng.sample(step, len(step)) for step in turn] for turn in turns]
    yield "turns in reverse", turns[::-1]
    yield "every call a step", [[[text] for text in turn] for turn in case.gold_texts]
    yield "empty steps between", [[[], *turn, []] for turn in turns]
    yield "nothing", [[] for _ in turns]
    yield "one turn of nothing", [[] if t == place[0] else turn for t, turn in enumerate(turns)]
    yield "one empty step", [[[]] if t == place[0] else turn for t, turn in enumerate(turns)]

    functions = [*case.functions, *(doc for docs in case.held_out.values() for doc in docs)]
    for number in (1, 2, 3):
        function = rng.choice(functions)
        arguments = {key: guess(key, doc, case, rng) for key, doc in function["parameters"]["properties"].items()}
        extra = written(Call(function["name"], (), arguments))
        yield f"extra call {number}", with_call(case, place, extra, text)
    yield "unknown function", with_call(case, place, f"frobnicate_{name}(x=1)")
    yield "extra unknown function", with_call(case, place, "frobnicate(x=1)", text)
    yield "refused name", with_call(case, place, "os.remove(path='x')", text, "run(x=1)")
    yield "dotted name", with_call(case, place, f"{case.classes[0]}.{text}")
    yield "malformed", with_call(case, place, text.replace("(", "((", 1))
    yield "prose", with_call(case, place, "I will now do what you asked for.")
    yield "prose beside", with_call(case, place, text, "Done, anything else?")
    yield "truncated", with_call(case, place, text[: rng.randrange(1, len(text))])
    yield "spaces", with_call(case, place, f" {text} ".replace("=", " = ", 1))

    target = rng.randrange(len(turns))
    moved = with_call(case, place)
    moved[target] = [[*(moved[target][0] if moved[target] else []), text]]
    yield "call in another turn", moved
    yield (
        "first call last",
        [*turns[:-1], [[*(turns[-1][0] if turns[-1] else []), case.gold_texts[0][0]]]]
        if (case.gold_texts[0])
        else turns,
    )
    yield (
        "all in the first turn",
        [
            [[text for turn in case.gold_texts for text in turn]],
            *([[["pwd()"]]] * (len(turns) - 1)),
        ],
    )
    yield "swapped turns", [turns[-1], *turns[1:-1], turns[0]] if len(turns) > 1 else [turns[0]]


def guess(key: str, doc: dict, case: MultiTurnCase, rng: random.Random) -> object:
    """A value for a parameter: one that the reference or the scenario uses, or any of the type."""
    used = [call.kwargs[key] for turn in case.gold for call in turn if key in call.kwargs]
    if used and rng.random() < 0.5:
        return rng.choice(used)
    words = re.findall(r"[\w.]+", str(case.config))
    match doc["type"]:
        case "integer":
            return rng.choice([0, 1, 2, 5, 12345, -1, *(int(word) for word in words if word.isdecimal())][:40])
        case "float":
            return rng.choice([0.0, 0.5, 1.0, 10, 100.0, -3.5, 20000])
        case "boolean":
            return rng.random() < 0.5
        case "array":
            return [rng.choice(words) for _ in range(rng.randrange(3))] if words else []
        case "dict":
            return {rng.choice(["status", "priority", "title"]): rng.choice(["Open", 2, None])}
    return rng.choice([*words, ".", "..", "/", "USD"]) if words else "x"
