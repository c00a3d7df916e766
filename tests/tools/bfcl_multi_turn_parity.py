"""BFCL multi-turn side by side with the official code: results, states and verdicts.

python tests/tools/bfcl_multi_turn_parity.py      every output of every case, and long random sequences of calls
"""

from __future__ import annotations

import argparse
import inspect
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from bfcl_mutations import Turns, mutations, reference, written
from bfcl_official_multi_turn import OfficialMultiTurn, official_rows, public

from palaestra.envs.tools.bfcl.calls import Call
from palaestra.envs.tools.bfcl.multi_turn import CATEGORIES, MultiTurnCase, check, multi_turn_cases
from palaestra.envs.tools.bfcl.multi_turn.apis import APIS
from palaestra.envs.tools.bfcl.multi_turn.execution import Applications

WORDS = """
    x / .. . a,b 10 2024-01-01 2026-11-15 1990-05-05 USD EUR RMB economy first business SFO LAX JFK START STOP on
    celsius fahrenheit km m cm ft miles kg lb engage release fuel battery doors climate headlights parkingBrake
    brakePedal engine l w c open Buy Technology Automobile Apple Rivermist 94016 83214 08540 US123
"""
NUMBERS_AND_SO_ON = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    5,
    50,
    100,
    2.5,
    -3.0,
    1e300,
    10**4,
    "",
    "a b",
    "\u00e9\u00b2",
    (1, "b"),
]
LISTS = [[], [1, 2.5], ["a"], ["driver"], ["rear_left", "driver", "passenger"]]
DICTS = [{}, {"a": 1}, {"status": "Closed"}, {"bad": 1}, {"title": None, "priority": 2}]
ANY = [*WORDS.split(), *NUMBERS_AND_SO_ON, *LISTS, *DICTS]
# What the official code would compute for hours with any number.
NUMBERS = [0, 1, 2, 3, 10, -1, 0.5, -2.5, "x", None, [1], True]
DIGITS = [1, 5, 10, 50, 0, -3, "x", None, 2.5, [1]]
POOLS = {
    "unit_in": ["km", "m", "cm", "mm", "um", "nm", "celsius", "fahrenheit", "kg", "lb", "ft", [1]],
    "unit_out": ["km", "m", "cm", "mm", "um", "nm", "celsius", "fahrenheit", "kg", "lb", "ft", {}],
    "mode": ["on", "off", "auto", "engage", "release", "l", "w", "c", "heat"],
    "base_currency": ["USD", "EUR", "RMB", "JPY", [1]],
    "target_currency": ["USD", "EUR", "RMB", "JPY", None],
    "travel_class": ["economy", "business", "first", "second"],
    "travel_from": ["SFO", "LAX", "JFK", "RMS", "CRH", "PVG", "XXX"],
    "travel_to": ["SFO", "LAX", "JFK", "BOS", "SBK", "HND", "XXX"],
}


def our_verdict(case: MultiTurnCase, turns: Turns) -> tuple[Any, ...]:
    """As `OfficialMultiTurn.verdict` gives it."""
    verdict = check(case, turns)
    named = re.search(r"state of (\w+)", verdict.message)
    return verdict.valid, verdict.error_type, None if verdict.valid else named[1] if named else str(verdict.turn)


def differing_results(official: OfficialMultiTurn, category: str, every: int = 1) -> tuple[int, list[str]]:
    """(calls, differences) along the reference calls of a category."""
    calls, differences = 0, []
    for row, gold in official_rows(category)[::every]:
        case = multi_turn_cases(category)[row["id"]]
        ours = Applications(case.classes, Applications.set_up(case))
        with official.alone():
            for turn in gold:
                results, state = official.execute(row, turn)
                for text, result in zip(turn, results, strict=True):
                    calls += 1
                    if (own := ours.run(text)) != result:
                        differences.append(f"{row['id']}: {text}: {result!r} officially, {own!r} here")
                if {name: public(own) for name, own in ours.state().items()} != state:
                    differences.append(f"{row['id']}: the states differ after {turn}")
    return calls, differences


def differing_verdicts(
    official: OfficialMultiTurn, category: str, per_case: int | None = None, every: int = 1
) -> tuple[Counter[str], list[tuple[str, str, Turns]]]:
    """(outputs and valid ones by kind, differing (case, kind, output)) of a category.

    Args:
        official: Whose verdicts count.
        category: Which cases.
        per_case: So many outputs beside the reference, other ones for each case; all where None.
        every: Only every so manieth case.
    """
    counts: Counter[str] = Counter()
    differing = []
    for number, (row, gold) in enumerate(official_rows(category)[::every]):
        case = multi_turn_cases(category)[row["id"]]
        others = list(mutations(case))
        if per_case is not None:
            start = number * per_case
            others = [others[(start + offset) % len(others)] for offset in range(per_case)]
        for kind, turns in [("reference", reference(case)), *others]:
            theirs = official.verdict(row, gold, turns)
            counts[kind] += 1
            counts[f"{kind}, valid"] += theirs[0]
            if our_verdict(case, turns) != theirs:
                differing.append((row["id"], kind, turns))
    return counts, differing


def normal(text: str) -> str:
    """Without the order of sets, which officially differs from run to run, and without where recursion stopped."""
    text = re.sub("(?<=recursion depth exceeded).*", "", text)
    return re.sub(r"\{'[a-z', ]+\}|(?<=update: )[^\"]+", lambda found: str(sorted(re.findall(r"\w+", found[0]))), text)


def words(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from words(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from words(inner)
    else:
        yield value


def differing_sequences(
    official: OfficialMultiTurn, name: str, sequences: int, length: int, seed: int = 0
) -> tuple[Counter[str], list[str]]:
    """(calls without an error by function, differences) over random calls of one application."""
    api = APIS[name]
    rows = [row for category in CATEGORIES for row, _ in official_rows(category) if name in row["involved_classes"]]
    fine: Counter[str] = Counter()
    differences = []
    for number in range(sequences):
        rng = random.Random(f"{seed} {name} {number}")
        row = {**rng.choice(rows), "involved_classes": [name]}
        case = multi_turn_cases(row["id"].rsplit("_", 1)[0])[row["id"]]
        case = replace(case, classes=(name,))
        used = [call for turn in case.gold for call in turn if call.name in api._tool_names()]
        known = [word for word in words(row["initial_config"].get(name, {})) if "(" not in str(word)]
        known += [int(word) for word in known if isinstance(word, str) and word.isdecimal() and len(word) < 9] or [0]
        ours = Applications((name,), Applications.set_up(case))
        with official.alone():
            start = [written(call) for call in used] if number % 2 else []
            for place in range(length):
                text = start[place] if place < len(start) else random_call(rng, ours, name, used, known)
                (result,), state = official.execute(row, [text])
                own = ours.run(text)
                fine[text.partition("(")[0]] += "error" not in result.lower()
                if normal(own) != normal(result):
                    differences.append(f"{row['id']}: {text}: {result!r} officially, {own!r} here")
                if public(vars(ours.api(name))) != state[name]:
                    differences.append(f"{row['id']}: the states differ after {text}")
                    break
    return fine, differences


def random_call(rng: random.Random, ours: Applications, name: str, used: list[Call], known: list[Any]) -> str:
    if used and rng.random() < 0.15:
        return written(rng.choice(used))
    api = ours.api(name)
    tool = rng.choice(api._tool_names())
    arguments: dict[str, Any] = {}
    for key, parameter in inspect.signature(getattr(api, tool)).parameters.items():
        if rng.random() < (0.02 if parameter.default is inspect.Parameter.empty else 0.5):
            continue
        before = [call.kwargs[key] for call in used if key in call.kwargs]
        if key == "precision":
            arguments[key] = rng.choice(DIGITS)
        elif name == "MathAPI" and key in ("base", "exponent"):
            arguments[key] = rng.choice(NUMBERS)
        elif key in POOLS and rng.random() < 0.9:
            arguments[key] = rng.choice(POOLS[key])
        elif key == "access_token" and rng.random() < 0.9:
            arguments[key] = vars(api)["access_token"]
        elif name == "GorillaFileSystem" and key not in ("a", "content") and rng.random() < 0.7:
            arguments[key] = rng.choice([*vars(api)["_current"].contents, "new"])
        elif before and rng.random() < 0.4:
            arguments[key] = rng.choice(before)
        else:
            arguments[key] = rng.choice(known if rng.random() < 0.5 else ANY)
    if rng.random() < 0.02:
        arguments["bogus"] = 1
    return written(Call(tool, (), arguments))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sequences", type=int, default=500, help="random sequences of 30 calls per application")
    options = parser.parse_args()
    official, mended = OfficialMultiTurn(), OfficialMultiTurn(mended=True)
    for category in CATEGORIES:
        calls, differences = differing_results(official, category)
        counts, differing = differing_verdicts(official, category)
        rows = {row["id"]: (row, gold) for row, gold in official_rows(category)}
        bugs = [
            (name, kind)
            for name, kind, turns in differing
            if mended.verdict(*rows[name], turns) == our_verdict(multi_turn_cases(category)[name], turns)
        ]
        valid = sum(count for kind, count in counts.items() if kind.endswith(", valid"))
        outputs = sum(counts.values()) - valid
        print(
            f"{category}: {calls} reference calls, {len(differences)} differ; {outputs} outputs ({valid} valid), "
            f"{len(differing)} verdicts differ, of which by what official worlds share: {bugs}"
        )
    for name in APIS:
        fine, differences = differing_sequences(mended, name, options.sequences, 30)
        print(f"{name}: {options.sequences} sequences, {sum(fine.values())} calls without an error, {differences[:5]}")


if __name__ == "__main__":
    main()
