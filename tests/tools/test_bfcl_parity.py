"""Single-turn verdicts equal those of BFCL's own decoders and checker: on gold answers and on departures from them."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from palaestra.envs.tools.bfcl import calls, checker, decoders, java, javascript, judge
from palaestra.envs.tools.bfcl.cases import SINGLE_TURN, Case, load_cases
from palaestra.envs.tools.bfcl.judge import CaseJudge
from palaestra.envs.tools.bfcl.prompts import case_functions, opening, system_prompt

sys.path.insert(0, str(Path(__file__).parent))
from bfcl_outputs import all_outputs

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 13), reason="the official decoders need a tree-sitter that this Python has not"
)

OUTPUTS = 11  # a case: the gold answer and ten others

Verdicts = Mapping[str, list[tuple[Case, str, bool | str]]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What the original says: `official`, every output with its verdict, `prompts` and `execution`, by category."""
    folder = tmp_path_factory.mktemp("official")
    said = {category: list(all_outputs(load_cases(category), OUTPUTS)) for category in SINGLE_TURN}
    job = {category: [(case.id, text) for case, text in pairs] for category, pairs in said.items()}
    (folder / "job.json").write_text(json.dumps(job))
    script = Path(__file__).with_name("official_bfcl.py")
    command = [sys.executable, "-W", "ignore", script, folder / "job.json", folder / "verdicts.json"]
    subprocess.run(command, check=True, env={"PATH": "", "BFCL_PROJECT_ROOT": str(folder)})
    found = json.loads((folder / "verdicts.json").read_text())
    official = {
        category: [(*pair, verdict) for pair, verdict in zip(pairs, found["verdicts"][category], strict=True)]
        for category, pairs in said.items()
    }
    return {**found, "official": official}


@pytest.fixture
def official(original: Mapping[str, Any]) -> Verdicts:
    """For each category every output with the official verdict, or the exception with which the checker stopped."""
    verdicts: Verdicts = original["official"]
    return verdicts


def test_prompts_are_the_official_ones(original: Mapping[str, Any]) -> None:
    for category in SINGLE_TURN:
        assert original["prompts"][category]
        for case in load_cases(category)[:: 7 if category == "format_sensitivity" else 1]:
            system = system_prompt(case_functions(case), case.format)
            assert opening(case.messages, system) == original["prompts"][category][case.id], case.id


@pytest.mark.parametrize("category", ["parallel_multiple", "simple_python"])
def test_calls_are_run_as_the_official_strings(original: Mapping[str, Any], category: str) -> None:
    found = original["execution"][category]
    assert 300 < sum(strings is None for strings in found) < len(found) - 300
    for (_, text, _), strings in zip(original["official"][category], found, strict=True):
        try:
            assert calls.execution_strings(calls.decode(text)) == strings, text
        except calls.CallSyntaxError:
            assert strings is None, text


def disagreements(verdicts: list[tuple[Case, str, bool | str]]) -> list[tuple[str, str, bool | str]]:
    judges: dict[str, CaseJudge] = {}
    wrong = []
    for case, text, verdict in verdicts:
        if case.id not in judges:
            judges[case.id] = CaseJudge(case)
        if judges[case.id].judge_text(text) != verdict:
            wrong.append((case.id, text, verdict))
    return wrong


@pytest.mark.parametrize("category", SINGLE_TURN)
def test_verdicts_are_the_official_ones(official: Verdicts, category: str) -> None:
    verdicts = official[category]
    cases = Counter(case.id for case, _, _ in verdicts)
    assert len(cases) == len(load_cases(category)) and min(cases.values()) >= 1 + 10
    given = Counter(verdict for _, _, verdict in verdicts)
    assert set(given) == {True, False}, given  # the checker stopped nowhere, and both verdicts occur
    assert disagreements(verdicts) == []
    print(f"{category}: {len(cases)} cases, {len(verdicts)} outputs, {given[True]} right, all verdicts equal")


def _no_optional(matcher: Any, function: Any, answer: Any, *rest: Any) -> None:
    original_matcher(matcher, function, answer, *rest)
    matcher.needed = tuple(answer)


original_matcher = checker.CallMatcher.__init__


def _without_conversion(schema: Any, accepted: list[Any], language: str) -> Callable[[Any], bool]:
    types = checker._LANGUAGES[language][0]
    inner = types[schema["items"]["type"]] if "items" in schema else None
    return checker._comparison(types[schema["type"]], inner, accepted)


def _in_order(self: checker.CaseChecker, decoded: Any) -> bool:
    return (
        isinstance(decoded, list)
        and len(decoded) == self._count
        and all(matcher.fits(call) for matcher, call in zip(self.calls, decoded, strict=False))
    )


@pytest.mark.parametrize(
    ("category", "plant"),
    [
        ("simple_python", lambda patch: patch.setattr(checker, "standard_text", lambda text: text.lower())),
        ("multiple", lambda patch: patch.setattr(checker.CallMatcher, "__init__", _no_optional)),
        ("simple_python", lambda patch: patch.setattr(checker, "_elements_fit", lambda *given: True)),
        ("simple_python", lambda patch: patch.setattr(checker, "_argument", _without_conversion)),
        ("live_simple", lambda patch: patch.setattr(checker, "_dictionary", lambda answer: answer.__eq__)),
        ("irrelevance", lambda patch: patch.setitem(calls._READERS, ast.UnaryOp, ast.literal_eval)),
        ("simple_python", lambda patch: patch.setitem(calls._READERS, ast.Name, calls._compute)),
        ("parallel", lambda patch: patch.setattr(checker.CaseChecker, "check", _in_order)),
        ("simple_java", lambda patch: patch.setattr(java, "_list", lambda text, inner: text)),
        ("simple_java", lambda patch: patch.setattr(java, "_map", lambda text: text)),
        ("simple_javascript", lambda patch: patch.setattr(javascript, "_plain", lambda text: text)),
        ("live_irrelevance", lambda patch: patch.setattr(judge, "has_calls", lambda decoded: decoded is not None)),
        ("format_sensitivity", lambda patch: patch.setattr(decoders, "_typed", lambda text, kind: text)),
        ("format_sensitivity", lambda patch: patch.setattr(decoders, "find_rows", lambda *args, **kwargs: None)),
    ],
)
def test_a_planted_bug_turns_the_parity_red(
    official: Verdicts, monkeypatch: pytest.MonkeyPatch, category: str, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    assert disagreements(official[category][:12_000])
