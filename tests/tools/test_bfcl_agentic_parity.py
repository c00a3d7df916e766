"""BFCL's agentic half: verdicts, memories and prompts equal the official ones, and planted bugs are seen."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from palaestra.envs.tools.bfcl.agentic import AGENTIC, MEMORY, AgenticCase, AgenticWorld, agentic_cases, answers
from palaestra.envs.tools.bfcl.agentic.answers import check_answer
from palaestra.envs.tools.bfcl.cases import DEFAULT_FORMAT
from palaestra.envs.tools.bfcl.multi_turn.apis import AGENTIC_APIS, bm25, memory
from palaestra.envs.tools.bfcl.prompts import opening, shown_functions, system_prompt

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 13), reason="the official decoders need a tree-sitter that this Python has not"
)

COURSES = 25


def outputs(case: AgenticCase, rng: random.Random) -> Iterator[list[str]]:
    """The gold answer, and what else a model may say, step by step."""
    gold = rng.choice(case.answers)
    call = "[core_memory_list_keys()]"
    others = list(agentic_cases(case.category).values())
    other = next(one for one in iter(lambda: rng.choice(others), None) if one.answers != case.answers)
    wrong = "{'answer': 'I do not know', 'context': 'I do not know'}"
    place = rng.randrange(len(gold) + 1)
    yield [call, f"{{'answer': {gold!r}, 'context': 'It was said.'}}"]
    yield [wrong]
    yield [f"It is {case.answers[-1]}."]
    yield [gold.upper()]
    yield [f"x{gold}"]
    yield [f"{gold}s"]
    yield [f"({gold}), I think"]
    yield [gold[:place] + rng.choice(",./-_*^()'\" |\n") + gold[place:]]
    yield [gold[: max(1, place - 1)]]
    yield [gold.replace("'", '"').replace("-", " ")]
    yield [""]
    yield [call, call]
    yield ["{'answer': " + repr(gold) + "}", call]
    yield [gold, wrong]
    yield [wrong, gold]
    yield ["[]"]
    yield [gold, ""]
    yield [f"{gold}()"]
    yield [f"[{gold}]"]
    yield [f"[{other.answers[0]}"]
    yield [f"{{'answer': '{other.answers[0]}', 'context': '{case.question}'}}"]
    yield ["The answer is in [core_memory_list_keys()]"]
    yield [f"_{gold}_ **{gold}**"]
    yield ["İı" + gold.lower()]
    yield [str(rng.randrange(100))]


def text_of(length: int, rng: random.Random) -> str:
    # No parentheses: officially the blanks before one are lost when a call is prepared to be run.
    return "".join(rng.choices("ab cé_'\"\\\n", k=length))


def argument(name: str, rng: random.Random, keys: list[str]) -> str:
    """A value, mostly of the kind that is wanted."""
    if name == "old_text":
        return rng.choice(("'a'", "'ab'", "' '", "'é'", "'zzz'", "3", "None"))
    if name == "new_text":  # a longer one multiplies the memory, officially without end
        return repr(text_of(rng.choice((0, 1, 1, 10_001)), rng))
    if rng.random() < 0.08:
        odd = ("None", "3", "-2.5", "[1]", "{'a': 1}", "True", "(1, 2)", "unknown", "core_memory_retrieve_all()", "''")
        return rng.choice(odd)
    if name == "key":
        odd_keys = ("Bad Key", "a__b", "a_", "1a", "ab\\n", "naïve", "a_1_b2")
        return f"'{rng.choice(odd_keys) if rng.random() < 0.12 else rng.choice(keys)}'"
    if name == "query":
        return repr(" ".join(rng.choices([*keys, "name", "AGE", "of", "zip", ""], k=rng.randrange(5))))
    if name == "k":
        return str(rng.choice((0, 1, 2, 5, 100, -1)))
    lengths = (0, 5, 20, 100, 299, 300, 301, 1999, 2000, 2001) if name == "value" else (0, 3, 50, 3000, 9_999, 10_001)
    return repr(text_of(rng.choice(lengths), rng))


def calls_of(category: str, count: int, rng: random.Random) -> Iterator[str]:
    """Random calls; filling dominates, so that memories run full."""
    functions = next(iter(agentic_cases(category).values())).functions
    keys = [f"{first}_{second}" for first in ("name", "age", "home", "pet") for second in range(18)] + ["name", "age"]
    adding = [function for function in functions if "add" in function["name"] or "append" in function["name"]]
    for _ in range(count):
        function = rng.choice(adding if rng.random() < 0.5 else functions)
        if "clear" in function["name"] and rng.random() < 0.8:
            continue
        names = list(function["parameters"]["properties"])
        if rng.random() < 0.04:
            names = [*names[:-1], "extra"] if rng.random() < 0.5 else names[:-1]
        if names and names[-1] == "k" and rng.random() < 0.5:
            names.pop()
        given = [argument(name, rng, keys) for name in names]
        if rng.random() < 0.1:
            yield f"{function['name']}({', '.join(given)})"
        else:
            yield f"{function['name']}({', '.join(f'{n}={v}' for n, v in zip(names, given, strict=True))})"


GROWN = [
    "memory_update(text='aab')",
    f"memory_replace(old_text='a', new_text='{'x' * 9_000}')",
    "memory_retrieve()",
    "memory_append(text='y')",
]


def courses(category: str) -> list[tuple[str, list[list[str]]]]:
    """Questions of all scenarios with calls for each of their conversations."""
    rng = random.Random(7)
    cases = list(agentic_cases(category).values())
    chosen = [cases[number * len(cases) // COURSES] for number in range(COURSES)]
    found = [(case.id, [list(calls_of(category, 22, rng)) for _ in case.conversations]) for case in chosen]
    full = [f"archival_memory_add(key='entry_{number}', value='{number}')" for number in range(52)]
    found[0][1][0].extend(GROWN if category == "memory_rec_sum" else full)
    return found


@pytest.fixture(scope="module")
def said() -> Mapping[str, list[tuple[AgenticCase, list[str]]]]:
    rng = random.Random(3)
    return {
        category: [(case, steps) for case in agentic_cases(category).values() for steps in outputs(case, rng)]
        for category in AGENTIC
    }


@pytest.fixture(scope="module")
def original(said: Any, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What the original gives."""
    folder = tmp_path_factory.mktemp("official")
    job = {
        "verdicts": {category: [(case.id, steps) for case, steps in pairs] for category, pairs in said.items()},
        "courses": {category: courses(category) for category in MEMORY},
    }
    (folder / "job.json").write_text(json.dumps(job))
    script = Path(__file__).with_name("official_bfcl_agentic.py")
    command = [sys.executable, "-W", "ignore", script, folder / "job.json", folder / "out.json"]
    subprocess.run(command, check=True, env={"PATH": "", "BFCL_PROJECT_ROOT": str(folder), "PYTHONUTF8": "1"})
    found: Mapping[str, Any] = json.loads((folder / "out.json").read_text())
    return found


def disagreements(said: Any, original: Mapping[str, Any], category: str) -> list[Any]:
    wrong = []
    for (case, steps), verdict in zip(said[category], original["verdicts"][category], strict=True):
        ours = check_answer(steps, case.answers)
        if (ours.error_type or True) != verdict:
            wrong.append((case.id, steps, verdict, ours))
    return wrong


def deviations(original: Mapping[str, Any], category: str) -> tuple[Counter[str], list[Any]]:
    """How many calls there were, and what differs."""
    counts: Counter[str] = Counter()
    wrong: list[Any] = []
    for (key, talks), theirs in zip(courses(category), original["courses"][category], strict=True):
        world = AgenticWorld(agentic_cases(category)[key])
        shown, results = [], []
        for number, calls in enumerate(talks):
            shown.append(world.messages()[0]["content"])
            results.append([world.run(call) for call in calls])
            counts.update("error" if "rror" in result[:10] else "fine" for result in results[-1])
            world.end_step()
            while world.conversation == number:
                world.end_step("Well.")
        held = {name: value for name, value in vars(world.application).items() if "memory" in name}
        ours = {"shown": shown, "results": results, "memory": held}
        for talk, calls in enumerate(talks):
            for call, one, two in zip(calls, results[talk], theirs["results"][talk], strict=True):
                if one != two:
                    wrong.append((key, call, one, two))
        wrong += [(key, name, ours[name], theirs[name]) for name in ("shown", "memory") if ours[name] != theirs[name]]
    return counts, wrong


@pytest.mark.parametrize("category", AGENTIC)
def test_verdicts_are_the_official_ones(said: Any, original: Mapping[str, Any], category: str) -> None:
    cases = Counter(case.id for case, _ in said[category])
    assert len(cases) == (155 if category in MEMORY else 100) and min(cases.values()) >= 1 + 10
    verdicts = Counter(original["verdicts"][category])
    assert set(verdicts) == {True, "agentic:answer_not_found", "agentic:no_last_message"}
    assert min(verdicts.values()) > 100
    assert original["verdicts"][category][:: len(said[category]) // len(cases)] == [True] * len(cases)
    assert disagreements(said, original, category) == []
    print(f"{category}: {len(cases)} cases, {len(said[category])} outputs, {verdicts[True]} right, all verdicts equal")


@pytest.mark.parametrize("category", MEMORY)
def test_memories_are_the_official_ones(original: Mapping[str, Any], category: str) -> None:
    counts, wrong = deviations(original, category)
    assert wrong == []
    assert min(counts.values()) > 500, counts
    print(f"{category}: {counts}, all results, memories and messages equal")


def test_every_answer_of_a_memory_was_met(original: Mapping[str, Any]) -> None:
    """Full memories, long entries, bad and repeated keys, empty searches: the comparison was about all of them."""
    given = [result for category in MEMORY for course in original["courses"][category] for result in course["results"]]
    texts = {result for results in given for result in results}
    for part in (
        "Core memory is full",
        "Long term memory is full",
        "less than 300",
        "less than 2000",
        "snake_case",
        "unique",
        "Key not found",
        "division by zero",
        "unhashable",
        "slice indices",
        "has no attribute 'replace'",
        "unexpected keyword",
        "missing 1 required",
        "after appending",
        "after updating",
        "not found in memory",
        "Memory is empty",
        "ranked_results",
    ):
        assert any(part in text for text in texts), part


@pytest.mark.parametrize("category", AGENTIC)
def test_prompts_are_the_official_ones(original: Mapping[str, Any], category: str) -> None:
    for case in agentic_cases(category).values():
        system = system_prompt(shown_functions(case.functions, "python"), DEFAULT_FORMAT)
        told = opening(case.conversations[-1][0], system)
        assert told == original["prompts"][category][case.id], case.id


def _unordered(query: Any, documents: Any) -> list[float]:
    return [float(len(set(query) & set(words))) for words in documents]


@pytest.mark.parametrize(
    ("where", "category", "plant"),
    [
        ("verdicts", "memory_kv", lambda patch: patch.setattr(answers, "_DROPPED", str.maketrans("", "", ",./-_*^"))),
        ("verdicts", "web_search_base", lambda patch: patch.setattr(answers, "_plain", lambda text: text.lower())),
        ("verdicts", "memory_rec_sum", lambda patch: patch.setattr(answers, "decode_step", lambda text: None)),
        ("verdicts", "memory_kv", lambda patch: patch.setattr(answers, "reversed", lambda steps: steps, raising=False)),
        ("courses", "memory_kv", lambda patch: patch.setattr(memory, "bm25_plus", _unordered)),
        ("courses", "memory_kv", lambda patch: patch.setattr(bm25, "_DELTA", 0)),
        ("courses", "memory_kv", lambda patch: patch.setattr(memory, "_SNAKE_CASE", memory.re.compile(r"[a-z_0-9]+$"))),
        (
            "courses",
            "memory_kv",
            lambda patch: patch.setattr(AGENTIC_APIS["MemoryAPI_kv"], "_too_long", lambda self, memory, value: None),
        ),
        ("courses", "memory_rec_sum", lambda patch: patch.setattr(memory, "_SUMMARY_LENGTH", 9_000)),
    ],
)
def test_a_planted_bug_turns_the_parity_red(
    said: Any,
    original: Mapping[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    category: str,
    plant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    answers._wanted.cache_clear()
    plant(monkeypatch)
    found = disagreements(said, original, category) if where == "verdicts" else deviations(original, category)[1]
    answers._wanted.cache_clear()
    assert found
