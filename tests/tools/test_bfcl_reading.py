"""What BFCL's readers do beside agreeing with the original: nothing is evaluated, nothing hangs, bad files say so."""

from __future__ import annotations

import importlib.util
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.blobs import MemoryBlobs
from palaestra.envs.tools.bfcl import data, decoders, javascript, source_languages
from palaestra.envs.tools.bfcl.calls import CallSyntaxError, decode, execution_strings, parse_call, read_calls
from palaestra.envs.tools.bfcl.cases import SINGLE_TURN, load_cases, sensitivity_formats
from palaestra.envs.tools.bfcl.dialect import plain, requests
from palaestra.envs.tools.bfcl.gold import gold_calls
from palaestra.envs.tools.bfcl.judge import CaseJudge
from palaestra.envs.tools.bfcl.rendering import render_calls
from palaestra.envs.tools.bfcl.rows import find_rows
from palaestra.envs.tools.bfcl.tasks import UNWINNABLE
from palaestra.errors import DataError, MissingExtraError, UnknownNameError
from palaestra.records import encode_value


@pytest.mark.parametrize(
    "text",
    [
        "f(a=__import__('os').getcwd() + 1)",
        "f(a=open('/etc/passwd') + '')",
        "f(a=(lambda: 1)() + 1)",
        "f(a=[x for x in (1,)] + [1])",
        "f(a=1 + True.__class__)",
        "f(a=f'{1}' + 'x')",
        "f(a=1 / 0)",
        "f(a=lambda: 1)",
        "f(a=b.c)",
        "1 + 1",
        "x",
        "f(a=1)\x00",
    ],
)
def test_what_is_no_literal_makes_the_text_malformed(text: str) -> None:
    with pytest.raises(CallSyntaxError):
        decode(text)


@pytest.mark.parametrize("text", ["9**9**9**9", "'x' * 10**12", "[0] * 10**12", "'%99999999999d' % 1", "1 << 10**9"])
def test_arithmetic_is_computed_within_bounds_only(text: str) -> None:
    value = decode(f"f(a={text})")[0]["f"]["a"]
    assert isinstance(value, str) and len(value) < 100  # its own source: no accepted answer is as large
    assert decode("f(a=2 * 3 ** 2, b='ab' * 2, c=-(1 + 2) + 0, d=7 % 4 << 1)") == [
        {"f": {"a": 18, "b": "abab", "c": -3, "d": 6}}
    ]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("return_format", decoders.RETURN_FORMATS)
@pytest.mark.parametrize(
    "text",
    [
        "[" * 60_000,
        "f(a=" + "-" * 60_000 + "1)",
        "f(a=" + "(" * 150 + ")" * 150,
        "f" + ".x" * 20_000 + "(a=1)",
        "f(a=" + "1+" * 20_000 + "1)",
        "1" * 60_000,
        "1if" * 20_000,
        "f(a=" + "f(a=" * 3_000,
        '[{"a": 1}' + ', {"a": 1}' * 5_000,
        "[[" + "],[" * 5_000,
        "<functions>" * 5_000,
        "<functions><function name='f'>" + "<params>" * 5_000 + "</functions>",
        "<TOOLCALL>" * 5_000,
        "\ud800 f(a='\ud800')",
        "\\x" * 20_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_hostile_texts_are_read_at_once(text: str, return_format: str) -> None:
    for tagged in (False, True):
        try:
            decoders.decode_output(text, return_format, tagged=tagged)
        except CallSyntaxError:
            continue


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["array", "dict"])
def test_hostile_javascript_values_are_read_at_once(kind: str) -> None:
    for text in ("[[1]" + ",[1]" * 400, "new Array([1]" + ",[1]" * 400, "{a:" + ", " * 900, "{" + "a:" * 900 + "}"):
        assert isinstance(javascript.javascript_value(text, kind, "float"), str | list | dict)


_TABLE = re.compile(r"\[\s*\[.*?\]\s*(,\s*\[.*?\]\s*)*\]|\bnew\s+Array\(\s*\[.*?\]\s*(,\s*\[.*?\]\s*)*\)")
_OBJECTS = re.compile(r"\[\s*{.*?}\s*(?:,\s*{.*?}\s*)*\]", re.DOTALL)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="[]{}(), \n1", max_size=16), st.sampled_from(["", "[[", "[{", "new Array([", "[ {", "x[["]))
def test_rows_are_those_of_the_regular_expressions(text: str, start: str) -> None:
    text = start + text
    table, objects = _TABLE.match(text), _OBJECTS.search(text)
    assert javascript._table(text) == (table and table[0])
    found = find_rows(text, re.compile(r"\[\s*{"), "}", re.compile(r",\s*{"), "]", across_lines=True, anywhere=True)
    assert found == (objects and objects[0])


_LEAVES = st.none() | st.booleans() | st.integers() | st.text()
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@settings(max_examples=200, deadline=None)
@given(_VALUES)
def test_calls_read_back_as_they_were_written(value: object) -> None:
    calls = [{"name": "a.b", "arguments": {"x": value, "y": 1.5}}]
    for return_format in ("python", "json"):
        for tagged in (False, True):
            text = render_calls(calls, return_format, tagged=tagged)
            if tagged and "TOOLCALL>" in repr(value):
                continue
            try:
                text.encode()
            except UnicodeEncodeError:
                continue
            read = decoders.decode_output(text, return_format, tagged=tagged)
            if return_format == "python" or not isinstance(value, list | dict):
                assert read == [{"a.b": {"x": value, "y": 1.5}}]


def test_strings_for_execution_name_nested_calls() -> None:
    assert execution_strings(decode("[cd(folder='x'), f(a=g(b=1), c={'k': 1}, d=[True])]")) == [
        "cd(folder='x')",
        "f(a=g(b=1), c={'k': 1}, d=[True])",
    ]
    with pytest.raises(CallSyntaxError):
        execution_strings(decode("f(a={})"))
    assert parse_call("a.f(1, b=[2])").args == (1,) and parse_call("a.f(1, b=[2])").name == "a.f"
    for text in ("f(a=x)", "f(**x)", "1"):
        with pytest.raises(CallSyntaxError):
            parse_call(text)


@pytest.mark.parametrize(
    "text", ["f(a=1j, b=b'x', c=(1, {2: 3}), d=1e999, e={1, 2} or 3)", "f(a=0x" + "f" * 5_000 + ")"]
)
def test_arguments_can_be_recorded(text: str) -> None:
    text = text.replace(", e={1, 2} or 3", "")
    for call in requests(read_calls(text)):
        encode_value(dict(call.arguments), MemoryBlobs())
    assert plain({1: (1j, {2})}) == {"1": ["1j", [2]]}


def test_exactly_the_listed_cases_cannot_be_won_by_the_gold_calls() -> None:
    lost = set()
    for category in SINGLE_TURN:
        for case in load_cases(category):
            if case.answers is not None:
                said = render_calls(gold_calls(case), case.return_format, tagged=case.format.tagged)
                if not CaseJudge(case).judge_text(said):
                    lost.add(case.id.partition(":")[0])
    assert lost == UNWINNABLE


def test_formats_are_26_and_each_has_200_questions() -> None:
    assert len(set(sensitivity_formats())) == 26
    cases = load_cases("format_sensitivity")
    assert {sum(case.format == form for case in cases) for form in sensitivity_formats()} == {200}


def test_bad_or_missing_data_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="v3"):
        load_cases("simple_python", "v3")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text('{"id": 1}\n\n[1]\n')
    monkeypatch.setattr(data, "package_folder", lambda: tmp_path)
    with pytest.raises(DataError, match=r"line 3.*JSON object"):
        data.read_rows("rows.jsonl")
    with pytest.raises(DataError, match="pip install --no-deps bfcl-eval"):
        data.read_rows("none.jsonl")
    monkeypatch.undo()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install --no-deps bfcl-eval"):
        data.package_folder()


def test_missing_grammars_are_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    source_languages._grammar.cache_clear()
    monkeypatch.setattr(source_languages, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"palaestra\[bfcl\]"):
        source_languages.require_grammars()


def test_trees_with_errors_are_those_that_say_so() -> None:
    rng = random.Random(5)
    pieces = ["f(", "a=", "1", ")", "(", '"x"', ",", ".", "new X()", "{", "}", " ", ";", "=", "é", "'", "[", "]"]
    grammar = source_languages._grammar("java")
    parser = source_languages.import_module("tree_sitter").Parser()
    if not hasattr(parser, "set_language"):
        pytest.skip("only the older library writes trees down")
    parser.set_language(grammar)
    seen = set()
    for _ in range(400):
        text = "".join(rng.choice(pieces) for _ in range(rng.randint(1, 9)))
        wrong = "ERROR" in parser.parse(text.encode()).root_node.sexp()
        try:
            source_languages._root(text, "java")
            found = False
        except CallSyntaxError:
            found = True
        assert found == wrong, text
        seen.add(wrong)
    assert seen == {True, False}
