"""ToolRL's output format against regular expressions, and its schedules against their formulas."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaestra.errors import UnknownNameError
from palaestra.rewards import toolrl_text
from palaestra.rewards.toolrl_calls import Call
from palaestra.rewards.toolrl_schedules import SCHEDULES, Scale, make_schedule
from palaestra.rewards.toolrl_text import (
    fields_of,
    format_reward,
    length_reward,
    length_target,
    parse_calls,
    thought_words,
)

CALL, REPLY, BOTH, NONE = (frozenset(names.split()) for names in ("tool_call", "response", "tool_call response", ""))
PATTERNS = {
    CALL: r"<think>.*?</think>\n<tool_call>\n.*?\n</tool_call>",
    REPLY: r"<think>.*?</think>\n<response>.*?</response>",
    BOTH: r"<think>.*?</think>\n<tool_call>\n.*?\n</tool_call>\n<response>.*?</response>",
    NONE: r"<think>.*?</think>",
}


def oracle(text, fields):
    """One whole pattern, and each of its tags once."""
    text = text.strip()
    once = all(text.count(f"<{tag}>") == text.count(f"</{tag}>") == 1 for tag in ("think", *fields))
    return once and re.fullmatch(PATTERNS[fields], text, re.DOTALL) is not None


PIECES = [f"<{slash}{tag}>" for tag in ("think", "tool_call", "response") for slash in ("", "/")] + ["\n", " ", "{}"]
GOOD = {
    CALL: '<think>look</think>\n<tool_call>\n{"name": "f", "parameters": {}}\n</tool_call>',
    REPLY: "<think>look</think>\n<response>Lima</response>",
    BOTH: '<think>a\nb</think>\n<tool_call>\n{"name": "f", "parameters": {}}\n</tool_call>\n<response>wait</response>',
    NONE: "<think>\nonly that\n</think>",
}


@st.composite
def nearly(draw):
    """A text of the format in which pieces are put in or taken out."""
    text = draw(st.sampled_from(sorted(GOOD.values())))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(PIECES)) + text[at + draw(st.integers(0, 3)) :]
    return text


@given(text=nearly() | st.lists(st.sampled_from(PIECES), max_size=10).map("".join))
@example(text="<think></response></think>\n<response>x")
@example(text="<think>a</think>\n<think>b</think>\n<response>x</response>")
@example(text="<think>a</think>\n<tool_call>\n</tool_call>")
@example(text="<think>a</think>\n<tool_call>\n\n</tool_call>")
@example(text="<think>what is a <response>?</think>\n<tool_call>\n\n</tool_call>")
def test_the_format_is_what_the_patterns_say(text):
    matching = [fields for fields in PATTERNS if oracle(text, fields)]
    assert len(matching) <= 1
    assert fields_of(text) == (matching[0] if matching else None)
    for fields in PATTERNS:
        assert format_reward(text, fields) == float(oracle(text, fields))


@pytest.mark.parametrize("fields", GOOD)
def test_every_format_and_only_the_references_counts(fields):
    for wanted in GOOD:
        assert format_reward(GOOD[fields], wanted) == float(fields == wanted)
    assert format_reward(f"\n {GOOD[fields]} \n", fields) == 1.0
    assert format_reward(GOOD[fields], fields, (-2.0, 1.5)) == 1.5
    assert format_reward(GOOD[fields] + "x", fields, (-2.0, 1.5)) == -2.0


BUGS = {
    "another order": ("_TAGS", ("think", "response", "tool_call")),
    "no responses": ("_TAGS", ("think", "tool_call")),
}


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_found(bug, monkeypatch):
    def agrees():
        return all(format_reward(GOOD[made], wanted) == oracle(GOOD[made], wanted) for made in GOOD for wanted in GOOD)

    assert agrees()
    monkeypatch.setattr(toolrl_text, *BUGS[bug])
    assert not agrees()


# Calls in text -----------------------------------------------------------------------------------------------------


def wrapped(*lines):
    return "<think>t</think>\n<tool_call>\n" + "\n".join(lines) + "\n</tool_call>"


NAMES = st.text(max_size=5)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
)


@given(calls=st.lists(st.tuples(NAMES, st.dictionaries(NAMES, JSONS, max_size=3)), min_size=1, max_size=4))
def test_calls_are_read_back(calls):
    lines = [json.dumps({"name": name, "parameters": parameters}) for name, parameters in calls]
    lines = [line.replace("</", "<\\/").replace("<tool", "\\u003ctool") for line in lines]
    assert parse_calls(wrapped(*lines)) == tuple(Call(*call) for call in calls)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no tags",
        '<tool_call>\n{"name": "f", "parameters": {}}',
        wrapped(""),
        wrapped('{"name": "f", "parameters": {}'),
        wrapped('{"name": "f", "parameters": {}} {"name": "f", "parameters": {}}'),
        wrapped('{"name": "f", "parameters": {}}', "", '{"name": "f", "parameters": {}}'),
        wrapped('{"name": "f"}'),
        wrapped('{"name": 1, "parameters": {}}'),
        wrapped('{"parameters": {}}'),
        wrapped('{"name": "f", "parameters": []}'),
        wrapped('{"name": "f", "parameters": {"a": NaN}}'),
        wrapped('{"name": "f", "parameters": {"a": 1, "a": 2}}'),
        wrapped('["f", {}]'),
        wrapped("f(x=1)"),
        wrapped("[" * 100_000),
        wrapped('{"name": "f", "parameters": {"a": ' + "9" * 5000 + "}}"),
    ],
)
def test_what_cannot_be_read(text):
    assert parse_calls(text) is None


def test_what_is_read():
    call = '{"name": "f", "parameters": {"a": [1, "x"]}}'
    f = Call("f", {"a": [1, "x"]})
    assert parse_calls(wrapped(call, call)) == (f, f)
    assert parse_calls(f"words <tool_call>{call}</tool_call> more words") == (f,)
    assert parse_calls(f"<tool_call>{call}</tool_call><tool_call>nonsense</tool_call>") == (f,)
    assert parse_calls(f"<tool_call>{call}<tool_call>nonsense</tool_call>") == (f,)
    assert parse_calls(wrapped('{"name": "f", "arguments": {"a": 1}, "id": 7}')) == (Call("f", {"a": 1}),)


# Length and schedules ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<think> a  b\nc </think>", 3),
        ("<think>a</think> d <think>b c</think>", 2),
        ("<think></think>", 0),
        ("a b c", 0),
        ("<think>a b", 0),
        ("</think> a <think> b c", 2),
    ],
)
def test_words_of_the_thought(text, words):
    assert thought_words(text) == words


def test_the_length_reward():
    assert [length_reward(words, 512) for words in (0, 128, 512, 9999)] == [0, 0.25, 1, 1]
    assert [length_target(step) for step in (0, 50, 500)] == [512, 512, 512]
    assert [length_target(step, dynamic=True) for step in (0, 105, 500)] == [384, 640, 640]
    assert length_target(21, dynamic=True) == pytest.approx(384 + 256 / 5)
    assert length_target(5, dynamic=True, steps=10) == 512


def test_schedules():
    assert set(SCHEDULES) == {"constant", "equal-max", "two-stage", "smooth"}
    assert {make_schedule("constant")(step) for step in (0, 10, 1000)} == {Scale((0, 1), (-3, 3))}
    assert {make_schedule("equal-max")(step) for step in (0, 10, 1000)} == {Scale((0, 1), (-1, 1))}
    stages = make_schedule("two-stage")
    assert stages(0) == stages(29) == Scale((0, 1), (-1, 1)) and stages(30) == stages(999) == Scale((0, 1), (-3, 3))
    smooth = make_schedule("smooth")
    assert smooth(0) == Scale((0, 2), (-2, 2)) and smooth(75) == Scale((0, 1.5), (-2.5, 2.5))
    assert smooth(150) == smooth(1000) == Scale((0, 1), (-3, 3))
    assert make_schedule("smooth", 10)(5) == smooth(75) and make_schedule("two-stage", 2)(2) == stages(30)
    with pytest.raises(UnknownNameError, match=r"no schedule 'smoth'\. Did you mean 'smooth'"):
        make_schedule("smoth")


def test_hostile_texts_are_read_in_linear_time():
    for text in ("<think>" * 200_000, "<tool_call>\n" * 200_000 + "</tool_call>", "<think>" + "</think>\n" * 200_000):
        assert fields_of(text) is None
        toolrl_text.parse_calls(text)
        thought_words(text)
