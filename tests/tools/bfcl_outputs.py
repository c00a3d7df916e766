"""What models may say to a BFCL case: its gold answer, and seeded departures from it of every sort."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

from palaestra.envs.tools.bfcl.cases import Case
from palaestra.envs.tools.bfcl.gold import gold_calls
from palaestra.envs.tools.bfcl.rendering import render_calls

SEED = ""
Calls = list[dict[str, Any]]

VALUES: tuple[Any, ...] = (
    "", "x", "True", "1", 0, 1, -1, 2.0, 10**30, float("inf"), True, False, None, [], [[]], [1], ["x"], [None],
    [{}], [{"x": 1}], {}, {"x": 1}, {"": ""}, (1, 2), ("x",), 1j, b"x", [1, "x", True], {"a": {"b": [1]}},
    [[1, 2], [3]],
)  # fmt: skip

SOURCES: tuple[str, ...] = (
    "true", "false", "null", "1", "-1", "1.5", "1.5f", "1e3", "7L", "7n", "x", "x.y", "x.y()", '""', "[]", "{}",
    "[1, 2]", '["a", "b"]', "[[1, 2], [3]]", "new Array(1, 2)",
    "new Array([1], [2])", '{"k": "v"}', "{k: [1, 2], m: 3}",
    "new int[]{1, 2}", 'new String[]{"a", "b"}', "new ArrayList<>()", 'new ArrayList<String>(Arrays.asList("a", "b"))',
    'new ArrayList<String>() {{ add("a"); add("b"); }}', 'new HashMap<String, Object>() {{ put("k", 1); }}',
    "new HashMap<>()", "new Foo(1, x)", "Foo.class", "() => 1", "x -> x", "`t`", "a + b", "a ? b : c",
)  # fmt: skip

ARGUMENTS: tuple[str, ...] = (
    "+5", "-5", "~5", "not True", "1 + 2", "2 * 3 ** 2", "'a' + 'b'", "'ab' * 2", "7 // 2", "1 / 2", "1 / 0",
    "[1] + [2]",
    "-x", "--5", "x", "x.y", "x[0]", "x[1:2]", "f()", "f(1, 'a')", "f(a=1)", "f(a=g(b=2))", "...", "b'x'", "1j",
    "'a' 'b'",
    "f'{1}'", "lambda: 1", "[*x]", "{**x}", "{1, 2}", "{'a': 1, 'a': 2}", "(1,)", "()", "1 if True else 2", "1 < 2",
    "None",
    "1_000", "0x10", "1e400", "'\\d'", "'\\u00e9'", "r'\\d'", "[i for i in x]", "true", "x or y",
    "[[1, [2, {'k': (3,)}]]]",
)  # fmt: skip

PROSE: tuple[str, ...] = (
    "", " ", "[]", "[[]]", "{}", "()", "None", "'", "`", "[", "]", "...", "f", "f()", "[f]", "f(1)", "[f(), g]",
    "f()()",
    "I cannot do that.", "Sure! Here you go: ", "[f().g(a=1)]", "{f(a=1)}", "f(a=1), g(b=2)", "f(a=1); g(b=2)", "f(a=1",
    "'[f(a=1)]'", '{"name": "f", "arguments": {}}', "f(**x)", "f(*x)", "f(a=1, a=2)", "(f(a=1))", "x = f(a=1)",
    "1(a=1)",
    "f(a=1)\n", "```python\n[f(a=1)]\n```", "```\n[f(a=1)]\n```", "<tool_call>f(a=1)</tool_call>", "\\", "f(a='\\d')",
    "[" * 300, "f(a=" + "-" * 300 + "1)", "é(ü='ß')", "f(a='\x00')", "a.b.c(d=1)", "[f(a=1)] [g(b=2)]", "[f(a=1)][0]",
)  # fmt: skip


def outputs(case: Case, count: int) -> list[str]:
    """The gold answer, then other outputs, `count` in all; the same ones for the same case."""
    rng = random.Random(f"{SEED}{case.id}")
    gold = [dict(call) for call in gold_calls(case)]
    if not gold:
        names = [function["name"] for function in case.functions] or ["f"]
        gold = [{"name": rng.choice(names), "arguments": _any_arguments(case, rng)}]
    said = [_say(case, gold)]
    ways = list(_WAYS)
    rng.shuffle(ways)
    for number in range(10 * count):
        if len(said) >= count:
            break
        try:
            text = ways[number % len(ways)](case, gold, rng)
        except (TypeError, ValueError, OverflowError):  # a value that the format has no word for
            continue
        if text is not None and (text not in said or number > 5 * count):
            said.append(text)
    return said


def _say(case: Case, calls: Calls) -> str:
    return render_calls(calls, case.return_format, tagged=case.format.tagged)


def _any_arguments(case: Case, rng: random.Random) -> dict[str, Any]:
    properties = case.functions[0]["parameters"]["properties"] if case.functions else {}
    return {name: rng.choice(VALUES) for name in properties if rng.random() < 0.7}


def _copy(calls: Calls) -> Calls:
    return [{"name": call["name"], "arguments": dict(call["arguments"])} for call in calls]


def _pick(calls: Calls, rng: random.Random) -> tuple[Calls, dict[str, Any], str | None]:
    """A copy, the arguments of one of its calls, and the name of one of them."""
    calls = _copy(calls)
    arguments = rng.choice(calls)["arguments"]
    return calls, arguments, rng.choice(list(arguments)) if arguments else None


def dropped_argument(case: Case, gold: Calls, rng: random.Random) -> str | None:
    calls, arguments, name = _pick(gold, rng)
    arguments.pop(name, None)
    return _say(case, calls)


def bare_call(case: Case, gold: Calls, rng: random.Random) -> str | None:
    calls, arguments, _ = _pick(gold, rng)
    arguments.clear()
    return _say(case, calls)


def other_value(case: Case, gold: Calls, rng: random.Random) -> str | None:
    calls, arguments, name = _pick(gold, rng)
    if name is not None:
        python = case.language == "python"
        arguments[name] = rng.choice(VALUES) if python else rng.choice(SOURCES)
    return _say(case, calls)


def extra_argument(case: Case, gold: Calls, rng: random.Random) -> str | None:
    calls, arguments, _ = _pick(gold, rng)
    known = [name for function in case.functions for name in function["parameters"]["properties"]]
    arguments[rng.choice([*known, "extra", "extra"])] = rng.choice(VALUES) if case.language == "python" else "1"
    return _say(case, calls)


def reordered(case: Case, gold: Calls, rng: random.Random) -> str | None:
    calls = _copy(gold)
    rng.shuffle(calls)
    for call in calls:
        call["arguments"] = dict(reversed(call["arguments"].items()))
    return _say(case, calls)


def extra_call(case: Case, gold: Calls, rng: random.Random) -> str | None:
    calls = _copy(gold)
    calls.insert(rng.randrange(len(calls) + 1), rng.choice(gold))
    return _say(case, calls)


def dropped_call(case: Case, gold: Calls, rng: random.Random) -> str | None:
    calls = _copy(gold)
    del calls[rng.randrange(len(calls))]
    return _say(case, calls)


def doubled_call(case: Case, gold: Calls, rng: random.Random) -> str | None:
    calls = _copy(gold)
    calls[rng.randrange(len(calls))] = rng.choice(gold)
    return _say(case, calls)


def wrong_name(case: Case, gold: Calls, rng: random.Random) -> str | None:
    calls = _copy(gold)
    call = rng.choice(calls)
    name = call["name"]
    others = [function["name"] for function in case.functions]
    ways = [name.replace(".", "_"), name.upper(), name + "x", "x." + name, name.split(".")[-1], *others]
    call["name"] = rng.choice(ways)
    return _say(case, calls)


def alternatives(case: Case, gold: Calls, rng: random.Random) -> str | None:
    """Other accepted values, as they stand in the answers or with the choices in dictionaries made; "" for once."""
    if case.answers is None:
        return other_value(case, gold, rng)
    calls = []
    for answer in case.answers:
        name, accepted = next(iter(answer.items()))
        arguments = {}
        for key, values in accepted.items():
            value = rng.choice(values) if values else None
            if value == "" and rng.random() < 0.8:
                continue
            arguments[key] = _chosen(value, rng) if rng.random() < 0.7 else value
        calls.append({"name": name, "arguments": arguments})
    return _say(case, calls)


def _chosen(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        made = {}
        for key, options in value.items():
            option = rng.choice(options) if isinstance(options, list) and options else options
            if option != "":
                made[key] = option
        return made
    return [_chosen(item, rng) for item in value] if isinstance(value, list) else value


def touched_value(case: Case, gold: Calls, rng: random.Random) -> str | None:
    """A value that is nearly the same: another case, a sign more, a float for an integer, a changed element."""
    calls, arguments, name = _pick(gold, rng)
    if name is not None:
        arguments[name] = _touched(arguments[name], rng)
    return _say(case, calls)


def _touched(value: Any, rng: random.Random) -> Any:
    match value:
        case bool():
            return rng.choice([int(value), str(value), not value, float(value)])
        case int():
            return rng.choice([value + 1, float(value), str(value), -value, [value], value == 1])
        case float():
            return rng.choice([value + 1e-9, int(value), str(value), -value, round(value, 1)])
        case str():
            place = rng.randrange(len(value) + 1)
            sign = rng.choice(" ,./-_*^'\"()é;:\t")
            ways = [value.upper(), value.title(), f" {value}.", value[:place] + sign + value[place:], value[:place]]
            return rng.choice([*ways, value.replace(" ", ""), value + "x", [value]])
        case tuple():
            return rng.choice([list(value), value[:-1]])
        case list():
            if value and rng.random() < 0.6:
                copy = list(value)
                index = rng.randrange(len(copy))
                copy[index] = _touched(copy[index], rng)
                return copy
            return rng.choice([tuple(value), value[:-1], [*value, *value[:1]], value[::-1], [value], {"x": value}])
        case dict():
            copy = dict(value)
            if copy and rng.random() < 0.6:
                key = rng.choice(list(copy))
                copy[key] = _touched(copy[key], rng)
            elif copy and rng.random() < 0.5:
                del copy[rng.choice(list(copy))]
            else:
                copy[rng.choice(["extra", "", "name"])] = rng.choice(VALUES)
            return copy
    return rng.choice(VALUES)


def written_argument(case: Case, gold: Calls, rng: random.Random) -> str | None:
    """An argument that is an expression of the language."""
    calls, arguments, name = _pick(gold, rng)
    if name is None:
        return None
    arguments[name] = "MARK"
    text = _say(case, calls)
    written = rng.choice(ARGUMENTS if case.language == "python" else SOURCES)
    return text.replace("'MARK'", written).replace('"MARK"', written).replace("MARK", written)


def written_otherwise(case: Case, gold: Calls, rng: random.Random) -> str | None:
    """The same values in other words: whole floats as integers and back, names without quotes, tuples for lists."""
    if case.language != "python":
        return None
    calls = _copy(gold)
    for call in calls:
        call["arguments"] = {name: _otherwise(value, rng) for name, value in call["arguments"].items()}
    text = _say(case, calls)
    return re.sub(r"'([A-Za-z_]\w*)'", r"\1", text) if case.return_format == "python" and rng.random() < 0.5 else text


def _otherwise(value: Any, rng: random.Random) -> Any:
    match value:
        case int() if not isinstance(value, bool) and rng.random() < 0.3:
            return float(value)
        case float() if value.is_integer():
            return int(value)
        case list():
            items = [_otherwise(item, rng) for item in value]
            return tuple(items) if rng.random() < 0.5 else items
        case dict():
            return {key: _otherwise(item, rng) for key, item in value.items()}
    return value


def truncated(case: Case, gold: Calls, rng: random.Random) -> str | None:
    text = _say(case, gold)
    return text[: rng.randrange(len(text))]


def beheaded(case: Case, gold: Calls, rng: random.Random) -> str | None:
    text = _say(case, gold)
    return text[rng.randrange(1, min(len(text), 12)) :]


def wounded(case: Case, gold: Calls, rng: random.Random) -> str | None:
    """Characters taken out, put in, or exchanged."""
    text = _say(case, gold)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(text) + 1)
        sign = rng.choice("()[]{}=,.'\"`:;<>/\\ \n\tx1-_é")
        text = text[:place] + rng.choice(["", sign]) + text[place + rng.randrange(2) :]
    return text


def with_prose(case: Case, gold: Calls, rng: random.Random) -> str | None:
    text = _say(case, gold)
    ways = [
        "Sure: {}",
        "{} I hope this helps!",
        "```python\n{}\n```",
        "```\n{}\n```",
        "\n\n{}\n",
        "'{}'",
        "`{}`",
        "[{}]",
    ]
    ways += ["{}, {}", "{};", "<TOOLCALL>{}</TOOLCALL>", "x = {}", "({})", "{}\n{}", "// why\n{}", "# why\n{}"]
    way = rng.choice(ways)
    return way.replace("{}", text)


def other_format(case: Case, gold: Calls, rng: random.Random) -> str | None:
    names = ["python", "json", "verbose_xml", "concise_xml"]
    return render_calls(gold, rng.choice(names), tagged=rng.random() < 0.3)


def prose(case: Case, gold: Calls, rng: random.Random) -> str | None:
    return rng.choice(PROSE)


def unbracketed(case: Case, gold: Calls, rng: random.Random) -> str | None:
    text = _say(case, gold)
    return text[1:-1] if rng.random() < 0.5 else text.replace(", ", ",\n  ")


Way = Callable[[Case, Calls, random.Random], str | None]

_WAYS: tuple[Way, ...] = (
    dropped_argument,
    bare_call,
    other_value,
    extra_argument,
    reordered,
    extra_call,
    dropped_call,
    doubled_call,
    wrong_name,
    alternatives,
    alternatives,
    touched_value,
    touched_value,
    written_argument,
    written_otherwise,
    truncated,
    beheaded,
    wounded,
    wounded,
    with_prose,
    other_format,
    prose,
    unbracketed,
)


def all_outputs(cases: tuple[Case, ...], count: int) -> Iterator[tuple[Case, str]]:
    """`outputs` of every case."""
    for case in cases:
        for text in outputs(case, count):
            yield case, text
