"""Dialects: tables of utterances, round trips, Search-R1's rule by an independent oracle, and hostile texts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaestra.envs.language.dialects import CallRequest, Dialect, DialectError, make_dialect
from palaestra.envs.language.tools import Tool, answer_tool
from palaestra.errors import UnknownNameError


def _text_tool(name: str, primary: str) -> Tool:
    schema = {"type": "object", "properties": {primary: {"type": "string"}}, "required": [primary]}
    return Tool(name, f"Does {name}.", schema, run=lambda **arguments: "done", primary=primary)


SEARCH = _text_tool("search", "query")
ANSWER = answer_tool(lambda answer: "noted")
BOOK = Tool(
    "book-room",
    "Books a room.",
    {
        "type": "object",
        "properties": {"room": {"type": "integer"}, "guests": {"type": "array", "items": {"type": "string"}}},
        "required": ["room"],
    },
    run=lambda **arguments: "booked",
)
TOOLS: tuple[Tool, ...] = (SEARCH, ANSWER, BOOK)
DIALECTS = ("tags", "hermes", "json")

tags, hermes, plain = (make_dialect(name) for name in DIALECTS)


def call(name: str, **arguments: Any) -> CallRequest:
    return CallRequest(name, arguments)


def complaint(dialect: Dialect, text: str) -> str:
    with pytest.raises(DialectError) as caught:
        dialect.parse(text, TOOLS)
    return str(caught.value)


# Names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_is_made_by_its_name(name: str) -> None:
    assert make_dialect(name).name == name
    assert make_dialect(make_dialect(name)).name == name


def test_an_unknown_dialect_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'hermes'"):
        make_dialect("hermez")


# tags ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<search>Bhutan</search>", call("search", query="Bhutan")),
        ("<search> \n Bhutan\t</search>", call("search", query="Bhutan")),
        ("I think.\n<answer>Lima</answer> and then some", call("answer", answer="Lima")),
        ("<search></search>", call("search", query="")),
        ("<search>two\nlines</search>", call("search", query="two\nlines")),
        # The first complete pair decides; what follows is ignored.
        ("<answer>a</answer><search>b</search>", call("answer", answer="a")),
        ("<search>b</search><answer>a</answer>", call("search", query="b")),
        ("<search>one</search><search>two</search>", call("search", query="one")),
        # Nested, unclosed and reordered tags.
        ("<search>a <answer>b</answer> c</search>", call("search", query="a <answer>b</answer> c")),
        ("<search>a <answer>b</answer>", call("answer", answer="b")),
        ("<search><search>a</search>", call("search", query="<search>a")),
        ("</search><search>a</search>", call("search", query="a")),
        ("<search>a</answer>b</search>", call("search", query="a</answer>b")),
        ("<answer><search>a</answer></search>", call("answer", answer="<search>a")),
        # A tag counts inside a thought, as in Search-R1; so does one in a code fence.
        ("<think>maybe <search>a</search>?</think><answer>b</answer>", call("search", query="a")),
        ("```\n<answer>b</answer>\n```", call("answer", answer="b")),
        # Tools without a primary parameter take JSON.
        ('<book-room>{"room": 3, "guests": ["Ann"]}</book-room>', call("book-room", room=3, guests=["Ann"])),
        ("<book-room> </book-room>", call("book-room")),
        # Bare text is never unescaped, nor read as JSON.
        ('<search>{"query": "a"} &lt; \\u0041</search>', call("search", query='{"query": "a"} &lt; \\u0041')),
        ("<answer>\x00\u202e\U0001f600</answer>", call("answer", answer="\x00\u202e\U0001f600")),
    ],
)
def test_tags(text: str, expected: CallRequest) -> None:
    assert tags.parse(text, TOOLS) == (expected,)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "was empty"),
        (" \n\t", "was empty"),
        ("The answer is Lima.", "contains no call"),
        ("<search>Bhutan", "<search> is opened but never closed"),
        ("Bhutan</search>", "</search> is closed but never opened"),
        ("</search>a<search>", "<search> is opened but never closed"),
        ("<Search>Bhutan</Search>", "no tool <Search>"),
        ("<think>hm</think><serach>Bhutan</serach>", "no tool <serach>"),
        ("<think>hm</think> Lima.", "contains no call"),
        ("<search >a</search >", "contains no call"),
        ("< search>a</ search>", "contains no call"),
        ("&lt;search&gt;a&lt;/search&gt;", "contains no call"),
    ],
)
def test_tags_say_what_was_wrong_and_what_is_accepted(text: str, wrong: str) -> None:
    message = complaint(tags, text)
    assert wrong in message
    assert "Write <search>...</search> or <answer>...</answer> or <book-room>...</book-room>." in message


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("[1]", "stands a JSON object"),
        ("3", "stands a JSON object"),
        ('{"room": 3,}', "not valid JSON"),
        ('{"room": 3, "room": 4}', "'room' stands twice"),
        ("room 3", "not valid JSON"),
    ],
)
def test_json_between_tags_is_strict(content: str, wrong: str) -> None:
    message = complaint(tags, f"<book-room>{content}</book-room>")
    assert wrong in message
    assert 'Write <book-room>{"room": integer, "guests": array}</book-room>.' in message


def search_r1(text: str) -> tuple[CallRequest, ...] | None:
    """The rule of Search-R1 as its code has it: the first match of a lazy regular expression, stripped."""
    match = re.search(r"<(search|answer)>(.*?)</\1>", text, re.DOTALL)
    if match is None:
        return None
    name, content = match.group(1), match.group(2).strip()
    return (call("search", query=content) if name == "search" else call("answer", answer=content),)


_PIECES = st.sampled_from(
    ["<search>", "</search>", "<answer>", "</answer>", "<think>", "</think>", " ", "\n", "a", "<", ">", "</", "search>"]
)


def _parsed(text: str) -> tuple[CallRequest, ...] | None:
    try:
        return tags.parse(text, (SEARCH, ANSWER))
    except DialectError:
        return None


@given(st.lists(_PIECES, max_size=12).map("".join) | st.text(max_size=30))
@example("<search>a<answer>b</answer>")
@example("<answer></search><search></answer></search>")
def test_tags_follow_search_r1(text: str) -> None:
    assert _parsed(text) == search_r1(text)


def search_r1_after_its_cut(text: str) -> tuple[CallRequest, ...] | None:
    """Search-R1 looks for the pair in what stands before the first </search>, else before the first </answer>."""
    for closing in ("</search>", "</answer>"):
        if closing in text:
            text = text[: text.index(closing) + len(closing)]
            break
    return search_r1(text)


@pytest.mark.parametrize(
    ("text", "there", "here"),
    [
        ("<search>q</search><answer>x</answer>", call("search", query="q"), call("search", query="q")),
        ("<answer>x</answer><search>q</search>", call("answer", answer="x"), call("answer", answer="x")),
        # The documented departure: there, a stray closing tag hides a pair that ends behind it.
        ("</search><search>q</search>", None, call("search", query="q")),
        ("</answer><answer>x</answer>", None, call("answer", answer="x")),
        ("<answer>x </search></answer>", None, call("answer", answer="x </search>")),
        (
            "<answer>x<search>q</search></answer>",
            call("search", query="q"),
            call("answer", answer="x<search>q</search>"),
        ),
    ],
)
def test_search_r1_also_cuts_the_turn_first(text: str, there: CallRequest | None, here: CallRequest) -> None:
    assert search_r1_after_its_cut(text) == (None if there is None else (there,))
    assert tags.parse(text, TOOLS) == (here,)


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (call("search", query="a </search> b"), "cannot say"),
        (call("search", query=3), "a string"),
        (call("search", query="a", k=3), "alone"),
        (call("search"), "alone"),
        (call("serach", query="a"), "Did you mean 'search'"),
        (call("book-room", room=float("nan")), "JSON"),
    ],
)
def test_tags_refuse_to_render_what_would_not_parse_back(request_: CallRequest, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        tags.render(request_, TOOLS)


def test_stop_and_wrap() -> None:
    assert tags.stop((SEARCH, ANSWER)) == ("</search>", "</answer>")
    assert tags.wrap("found") == "<information>found</information>"
    assert hermes.stop(TOOLS) == plain.stop(TOOLS) == ()
    assert hermes.wrap("found") == "<tool_response>found</tool_response>"
    assert json.loads(plain.wrap('a "b"\n')) == {"result": 'a "b"\n'}


@pytest.mark.parametrize("name", DIALECTS)
def test_instructions_name_every_tool_and_parameter(name: str) -> None:
    said = make_dialect(name).instructions(TOOLS)
    for word in ("search", "query", "answer", "book-room", "room", "guests", "Books a room."):
        assert word in said


# hermes and json ----------------------------------------------------------------------------------------------------


def test_hermes_takes_several_calls_among_thoughts() -> None:
    text = (
        'First <tool_call>\n{"name": "search", "arguments": {"query": "a"}}\n</tool_call> then </tool_call> '
        '<think><tool_call>{"arguments": {"answer": "<tool_call>"}, "name": "answer"}</tool_call></think>'
    )
    assert hermes.parse(text, TOOLS) == (call("search", query="a"), call("answer", answer="<tool_call>"))


def test_json_takes_one_call_or_a_list() -> None:
    one = '{"name": "search", "arguments": {"query": "a"}}'
    assert plain.parse(f" \n{one}\t", TOOLS) == (call("search", query="a"),)
    assert plain.parse(f"[{one}, {one}]", TOOLS) == (call("search", query="a"),) * 2
    assert plain.parse('{"name": "rest"}', TOOLS) == (call("rest"),)


CALLS_THAT_ARE_WRONG = [
    # Not a call.
    ("3", "got a number"),
    ("null", "got null"),
    ("true", "got a boolean"),
    ('"search"', "got a string"),
    ("{}", "lacks the key 'name'"),
    ('{"arguments": {}}', "lacks the key 'name'"),
    ('{"name": 3}', "has a number as 'name'"),
    ('{"name": null}', "has null as 'name'"),
    ('{"name": ["search"]}', "has a list as 'name'"),
    ('{"name": "search", "arguments": "Bhutan"}', "'arguments' must be a JSON object, got a string"),
    ('{"name": "search", "arguments": null}', "got null"),
    ('{"name": "search", "arguments": [1]}', "got a list"),
    ('{"name": "search", "arguments": true}', "got a boolean"),
    ('{"name": "search", "arguments": {}, "id": 1}', "got also 'id'"),
    ('{"name": "search", "parameters": {"query": "a"}}', "got also 'parameters'"),
    # Not JSON, or not the JSON of the standard.
    ("{'name': 'search'}", "line 1, column 2"),
    ('{"name": "search",}', "not valid JSON"),
    ('{"name": "search"', "not valid JSON"),
    ('{"name": "search", "arguments": {"query": "a\nb"}}', "Invalid control character at line 1"),
    ('{"name": "a", "name": "b"}', "'name' stands twice"),
    ('{"name": "search", "arguments": {"query": "a", "query": "b"}}', "'query' stands twice"),
    ('{"name": "search", "arguments": {"query": NaN}}', "NaN is not JSON"),
    ('{"name": "search", "arguments": {"query": -Infinity}}', "-Infinity is not JSON"),
    ('{"name": "search", "arguments": {"query": 1e999}}', "1e999 is too large"),
    ('{"name": "search", "arguments": {"query": -1e999}}', "-1e999 is too large"),
    ('{"name": "search", "arguments": {"query": 1' + "0" * 309 + "}}", "is too large"),
    ('{"name": "search", "arguments": {"query": ' + "7" * 5_000 + "}}", "is too large"),
    ('{"name": "search", "arguments": {"query": -' + "7" * 5_000 + "}}", "is too large"),
    ('{"name": "search", "arguments": {"query": "\\ud800"}}', "half of a surrogate pair"),
    ('{"name": "search", "arguments": {"\\udc00": 1}}', "half of a surrogate pair"),
    ('{"name": "search", "arguments": {"query": "\ud800"}}', "half of a surrogate pair"),
    # Depth bombs: too deep for us, too deep for Python.
    ('{"name": "search", "arguments": {"query": ' + "[" * 63 + "]" * 63 + "}}", "at most 64 levels"),
    ('{"name": "search", "arguments": {"query": ' + "[" * 500_000 + "]" * 500_000 + "}}", "at most 64 levels"),
    ('{"name": "search", "arguments": ' + '{"a":' * 200_000 + "1" + "}" * 200_002, "at most 64 levels"),
]


@pytest.mark.parametrize(("body", "wrong"), CALLS_THAT_ARE_WRONG)
@pytest.mark.parametrize("name", ["hermes", "json"])
def test_wrong_calls_are_told_with_what_is_accepted(name: str, body: str, wrong: str) -> None:
    text = f"<tool_call>{body}</tool_call>" if name == "hermes" else body
    message = complaint(make_dialect(name), text)
    assert wrong in message
    assert '{"name": "...", "arguments": {...}}' in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "was empty"),
        ("Lima.", "contains no call"),
        ('{"name": "search"}', "contains no call"),
        ('<tool_call>{"name": "search"}', "opened but never closed"),
        ('{"name": "search"}</tool_call>', "closed but never opened"),
        ('<tool_call>```json\n{"name": "search"}\n```</tool_call>', "not valid JSON"),
        ('<tool_call><tool_call>{"name": "search"}</tool_call></tool_call>', "not valid JSON"),
        ("<tool_call></tool_call>", "not valid JSON"),
        ('<tool_call>[{"name": "search"}]</tool_call>', "got a list"),
        # One wrong call makes the turn wrong, so nothing is done by halves.
        ('<tool_call>{"name": "search"}</tool_call><tool_call>{}</tool_call>', "lacks the key 'name'"),
        ('<tool_call>{"name": "search"}</tool_call><tool_call>', "opened but never closed"),
        ('<tool_call>{"name": "search", "arguments": {"query": "</tool_call>"}}</tool_call>', "not valid JSON"),
    ],
)
def test_hermes_says_what_was_wrong(text: str, wrong: str) -> None:
    message = complaint(hermes, text)
    assert wrong in message
    assert "Write <tool_call>{" in message


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "was empty"),
        ("\n", "was empty"),
        ("[]", "list of calls is empty"),
        ('```json\n{"name": "search"}\n```', "in a code fence"),
        ('{"name": "search"} That is all.', "Extra data"),
        ('Let me see. {"name": "search"}', "not valid JSON"),
        ('{"name": "search"}{"name": "search"}', "Extra data"),
        ('[{"name": "search"}, 3]', "got a number"),
        ('\ufeff{"name": "search"}', "BOM"),
    ],
)
def test_json_says_what_was_wrong(text: str, wrong: str) -> None:
    message = complaint(plain, text)
    assert wrong in message
    assert 'Write {"name": "...", "arguments": {...}}' in message


def test_what_is_just_within_the_bounds_is_read() -> None:
    deep = "[" * 62 + "]" * 62
    body = '{"name": "search", "arguments": {"a": ' + deep + ', "b": 1' + "0" * 308 + ', "c": "\\ud83d\\ude00"}}'
    (request,) = plain.parse(body, TOOLS)
    assert request.arguments["b"] == 10**308
    assert request.arguments["c"] == "\U0001f600"


# Round trips --------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
TAGGED = st.lists(st.sampled_from(["<tool_call>", "</tool_call>", "</", "<search>", '"', "\\", "}}", "a", "\n"]))
ANY_TEXT = TEXTS | TAGGED.map("".join)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("name", ["hermes", "json"])
@given(arguments=st.dictionaries(ANY_TEXT, JSON_VALUES, max_size=4), tool=ANY_TEXT)
def test_json_calls_survive_the_round_trip(name: str, tool: str, arguments: dict[str, Any]) -> None:
    dialect, request = make_dialect(name), CallRequest(tool, arguments)
    assert dialect.parse(dialect.render(request, TOOLS), TOOLS) == (request,)


@given(ANY_TEXT, st.dictionaries(ANY_TEXT, JSON_VALUES, max_size=4))
def test_tagged_calls_survive_the_round_trip(text: str, arguments: dict[str, Any]) -> None:
    rich = CallRequest("book-room", arguments)
    assert tags.parse(tags.render(rich, TOOLS), TOOLS) == (rich,)
    if "</search>" not in text:
        assert tags.parse(tags.render(call("search", query=text), TOOLS), TOOLS) == (
            call("search", query=text.strip()),
        )


@pytest.mark.parametrize("name", DIALECTS)
@given(text=ANY_TEXT)
def test_the_span_of_an_answer_holds_exactly_the_answer(name: str, text: str) -> None:
    said, (start, end) = make_dialect(name).answer(text, TOOLS)
    inside = said[start:end]
    assert (inside if name == "tags" else json.loads(f'"{inside}"')) == text
    expected = text.strip() if name == "tags" else text
    assert make_dialect(name).parse(said, TOOLS) == (call("answer", answer=expected),)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"\udfff": 1}])
def test_what_json_has_no_words_for_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError):
        make_dialect(name).render(call("book-room", room=value), TOOLS)


def test_an_answer_with_the_closing_tag_is_refused_by_tags_alone() -> None:
    with pytest.raises(ValueError, match="cannot say"):
        tags.answer("a</answer>", TOOLS)
    assert hermes.answer("a</tool_call>", TOOLS)[0].count("</tool_call>") == 1


# Hostile texts ------------------------------------------------------------------------------------------------------

MEGA = 10_000_000
HUGE: Sequence[str] = (
    "x" * MEGA,
    "<search>" * (MEGA // 8),
    "</search>" * (MEGA // 9),
    "<search><answer>" * (MEGA // 16),
    "<" * MEGA,
    "<a" * (MEGA // 2),
    " " * MEGA,
    "[" * MEGA,
    '{"a":' * (MEGA // 5),
    "[" + "1," * (MEGA // 2) + "1]",
    "9" * MEGA,
    '"' + "\\" * MEGA + '"',
    "<tool_call>" * (MEGA // 11),
    "<tool_call>" + "[" * MEGA + "</tool_call>",
    "<tool_call></tool_call>" * (MEGA // 23),
    "<book-room>" + "9" * MEGA + "</book-room>",
)


@pytest.mark.timeout(60)  # what is quadratic takes hours here
@pytest.mark.parametrize("name", DIALECTS)
def test_ten_megabytes_are_read_in_linear_time(name: str) -> None:
    for text in HUGE:
        with pytest.raises(DialectError) as caught:
            make_dialect(name).parse(text, TOOLS)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", DIALECTS)
@given(st.text(max_size=60) | st.lists(st.sampled_from(['{"name"', ":", '"search"', "}", "[", "]", ","])).map("".join))
def test_any_text_is_parsed_or_refused_with_a_message(name: str, text: str) -> None:
    try:
        requests = make_dialect(name).parse(text, TOOLS)
    except DialectError as error:
        assert str(error)
    else:
        assert requests


# Several calls in an utterance, for credit ----------------------------------------------------------------------------

WORDS = st.text(st.characters(codec="utf-8"), max_size=8).map(str.strip)
SOME_CALLS = st.lists(
    st.builds(lambda query: call("search", query=query), WORDS)
    | st.builds(
        lambda room, guests: call("book-room", room=room, guests=guests),
        st.integers(0, 9),
        st.lists(st.sampled_from(["ann", "</search>", "</tool_call>"])),
    ),
    min_size=1,
    max_size=4,
)


@given(calls=SOME_CALLS)
@pytest.mark.parametrize("name", DIALECTS)
def test_calls_are_said_and_read_back(name: str, calls: list[CallRequest]) -> None:
    dialect = make_dialect(name)
    calls = calls[:1] if name == "tags" else calls
    text, (start, end) = dialect.calls(calls, TOOLS)
    assert dialect.parse(text, TOOLS) == tuple(calls)
    said, around = text[start:end], text[:start] + text[end:]
    assert all(one.name in said for one in calls)
    assert not any(word in around for word in ("query", 'room"', "ann", "{"))


def test_the_span_of_calls() -> None:
    book, ask = call("book-room", room=1), call("search", query="x")
    for dialect, one, said in (
        (tags, book, 'book-room>{"room": 1}'),
        (tags, ask, "search>x"),
        (hermes, ask, '{"name": "search", "arguments": {"query": "x"}}'),
        (plain, book, '{"name": "book-room", "arguments": {"room": 1}}'),
    ):
        text, (start, end) = dialect.calls([one], TOOLS)
        assert text == dialect.render(one, TOOLS) and text[start:end] == said


def test_calls_that_cannot_be_said() -> None:
    with pytest.raises(ValueError, match="one call a turn; got 2"):
        tags.calls([call("search", query="a"), call("search", query="b")], TOOLS)
    for dialect in (tags, hermes, plain):
        with pytest.raises(ValueError, match=r"no call|got 0"):
            dialect.calls([], TOOLS)
    for dialect in (hermes, plain):
        with pytest.raises(ValueError, match="not JSON compliant"):
            dialect.calls([call("search", query=float("nan"))], TOOLS)
