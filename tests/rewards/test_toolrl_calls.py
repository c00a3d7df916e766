"""ToolRL's correctness reward against its description, written as slow loops over JSON texts."""

from __future__ import annotations

import copy
import json
import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaestra.errors import ConfigError
from palaestra.rewards import toolrl_calls
from palaestra.rewards.toolrl_calls import (
    Call,
    call_similarity,
    correctness_reward,
    multiset_jaccard,
    same_call,
    same_calls,
    same_json,
)

GRANULARITIES = ("fine", "refined", "intermediate", "coarse")


# The oracle: nothing of the code under test, no counters, exact fractions ------------------------------------------


def text_of(value):
    """Equal texts for equal JSON: numbers by their value, keys sorted, no floats."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return f"number {Fraction(value)}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{text_of(value[key])}" for key in sorted(value)) + "}"
    return "[" + ",".join(text_of(item) for item in value) + "]"


def jaccard(left, right):
    left, right, common = list(left), list(right), 0
    if not left and not right:
        return Fraction(1)
    total = len(left) + len(right)
    for item in left:
        if item in right:
            right.remove(item)
            common += 1
    return Fraction(common, total - common)


def oracle(gold, predicted, granularity):
    """The reward in [-3, 3], exactly."""
    if not gold:
        return Fraction(0)
    if predicted is None:
        return Fraction(-3)
    g = [(call["name"], {key: text_of(value) for key, value in call["arguments"].items()}) for call in gold]
    p = [(call["name"], {key: text_of(value) for key, value in call["arguments"].items()}) for call in predicted]
    if g == p:
        return Fraction(3)
    if granularity == "coarse":
        return Fraction(-3)

    def match(left, right):
        found = jaccard(left, right)
        return Fraction(found == 1) if granularity == "refined" else found

    points, largest, used = match([n for n, _ in g], [n for n, _ in p]), Fraction(1), []
    for name, arguments in g:
        largest += 1 if granularity == "intermediate" else 1 + len(arguments)
        best, which = Fraction(0), None
        for i in range(len(p)):
            if i in used or p[i][0] != name:
                continue
            if granularity == "intermediate":
                score = Fraction(p[i][1] == arguments)
            else:
                score = match(list(arguments), list(p[i][1]))
                for key in arguments:
                    if key in p[i][1] and p[i][1][key] == arguments[key]:
                        score += 1
            if score > best:
                best, which = score, i
        if which is not None:
            used.append(which)
            points += best
    return 6 * points / largest - 3


def calls(listed):
    return [Call(call["name"], call["arguments"]) for call in listed]


def reward(gold, predicted, granularity="fine"):
    return correctness_reward(calls(gold), None if predicted is None else calls(predicted), granularity)


SCALARS = st.sampled_from([0, 1, 1.0, True, False, "1", "", None, 2, 2.5, "a"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2)
)
CALLS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["send", "read", "find"]),
        "arguments": st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4),
    }
)
LISTS = st.lists(CALLS, max_size=5)


@st.composite
def near(draw):
    """A reference, and a list that differs from it a little: what chance would seldom draw."""
    gold = draw(LISTS)
    predicted = copy.deepcopy(gold)
    for _ in range(draw(st.integers(0, 3))):
        if not predicted:
            break
        call = draw(st.sampled_from(predicted))
        match draw(st.integers(0, 5)):
            case 0:
                predicted.remove(call)
            case 1:
                predicted.insert(draw(st.integers(0, len(predicted))), copy.deepcopy(call))
            case 2:
                call["name"] = draw(st.sampled_from(["send", "read", "delete"]))
            case 3:
                call["arguments"][draw(st.sampled_from("abcde"))] = draw(VALUES)
            case 4 if call["arguments"]:
                del call["arguments"][draw(st.sampled_from(sorted(call["arguments"])))]
            case _:
                predicted.reverse()
    return gold, predicted


@pytest.mark.parametrize("granularity", GRANULARITIES)
@given(pair=near() | st.tuples(LISTS, LISTS))
@example(pair=([{"name": "send", "arguments": {}}], [{"name": "send", "arguments": {"a": 1}}]))
@example(pair=([{"name": "send", "arguments": {"a": 1}}, {"name": "send", "arguments": {"b": 1}}],
               [{"name": "send", "arguments": {"b": 1}}]))  # fmt: skip
def test_it_is_what_the_description_says(granularity, pair):
    gold, predicted = pair
    found = reward(gold, predicted, granularity)
    assert found == pytest.approx(float(oracle(gold, predicted, granularity)), abs=1e-12)
    assert -3 <= found <= 3


@given(gold=LISTS.filter(bool), data=st.data())
def test_the_order_of_predictions_never_matters_but_in_coarse(gold, data):
    predicted = data.draw(st.permutations(gold))
    for granularity in ("fine", "refined", "intermediate"):
        assert reward(gold, predicted, granularity) == 3.0
    same = [text_of(call) for call in gold] == [text_of(call) for call in predicted]
    assert reward(gold, predicted, "coarse") == (3.0 if same else -3.0)


@given(pair=near())
def test_finer_is_never_less(pair):
    gold, predicted = pair
    fine, refined = (reward(gold, predicted, g) for g in ("fine", "refined"))
    assert fine >= refined - 1e-12
    assert reward(gold, predicted, "intermediate") >= reward(gold, predicted, "coarse")


# By hand -----------------------------------------------------------------------------------------------------------

MAIL = {"name": "send", "arguments": {"to": "ann", "copies": 1}}
PING = {"name": "ping", "arguments": {}}


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        ([MAIL], [MAIL], 3),
        ([MAIL], [], -3),
        ([MAIL], None, -3),
        # 1 for the name, 1 for the keys, 1 of 2 values, of 4
        ([MAIL], [{"name": "send", "arguments": {"to": "bob", "copies": 1}}], 6 * 3 / 4 - 3),
        # type-strict: a text is no number, true is no number
        ([MAIL], [{"name": "send", "arguments": {"to": "ann", "copies": "1"}}], 6 * 3 / 4 - 3),
        ([MAIL], [{"name": "send", "arguments": {"to": "ann", "copies": True}}], 6 * 3 / 4 - 3),
        # but JSON has one type of numbers
        ([MAIL], [{"name": "send", "arguments": {"to": "ann", "copies": 1.0}}], 3),
        # keys 1 of 2: name 1, keys 1/2, values 1
        ([MAIL], [{"name": "send", "arguments": {"to": "ann"}}], 6 * 2.5 / 4 - 3),
        # a key too many: keys 2 of 3
        ([MAIL], [{"name": "send", "arguments": {"to": "ann", "copies": 1, "cc": "x"}}], 6 * (3 + 2 / 3) / 4 - 3),
        # a wrong name earns nothing for its parameters
        ([MAIL], [{"name": "mail", "arguments": {"to": "ann", "copies": 1}}], -3),
        # an extra call costs only through the names: 1/2 instead of 1
        ([MAIL], [MAIL, {"name": "read", "arguments": {"to": "ann"}}], 6 * 3.5 / 4 - 3),
        ([MAIL], [{"name": "read", "arguments": {"to": "ann"}}, MAIL], 6 * 3.5 / 4 - 3),
        ([MAIL], [MAIL, MAIL], 6 * 3.5 / 4 - 3),
        # without parameters, a call is complete with its name
        ([PING], [PING], 3),
        ([PING, MAIL], [PING], 6 * (1 / 2 + 1) / 5 - 3),
        ([PING], [{"name": "ping", "arguments": {"now": True}}], 6 * 1 / 2 - 3),
        # a reference without calls says nothing about calls
        ([], [], 0),
        ([], [MAIL], 0),
        ([], None, 0),
    ],
)
def test_by_hand(gold, predicted, expected):
    assert reward(gold, predicted) == pytest.approx(expected, abs=1e-12)
    assert float(oracle(gold, predicted, "fine")) == pytest.approx(expected, abs=1e-12)


def test_the_order_of_the_reference_can_matter():
    """The first reference call takes the prediction that the second one would need."""
    a, b = {"name": "f", "arguments": {"x": 1}}, {"name": "f", "arguments": {"x": 1, "y": 2}}
    predicted = [{"name": "f", "arguments": {"x": 1, "y": 2}}]
    # a takes it (1/2 + 1), b gets nothing; the other way round b has 1 + 2. Names 1 of 2 in both.
    assert reward([a, b], predicted) == pytest.approx(6 * (1 / 2 + 1 / 2 + 1) / 6 - 3)
    assert reward([b, a], predicted) == pytest.approx(6 * (1 / 2 + 1 + 2) / 6 - 3)


def test_a_prediction_without_any_merit_is_not_used_up():
    gold = [{"name": "f", "arguments": {"x": 1}}, {"name": "f", "arguments": {"y": 2}}]
    predicted = [{"name": "f", "arguments": {"y": 2}}]
    assert reward(gold, predicted) == pytest.approx(6 * (1 / 2 + 1 + 1) / 5 - 3)


@pytest.mark.parametrize(
    ("granularity", "expected"),
    [("fine", 6 * 2.5 / 4 - 3), ("refined", 6 * 2 / 4 - 3), ("intermediate", 6 * 1 / 2 - 3), ("coarse", -3)],
)
def test_granularities_of_a_missing_parameter(granularity, expected):
    assert reward([MAIL], [{"name": "send", "arguments": {"to": "ann"}}], granularity) == pytest.approx(expected)


def test_refined_does_not_look_at_the_order_of_names():
    turned = {"name": "send", "arguments": {"copies": 2, "to": "ann"}}
    assert reward([MAIL, PING], [PING, turned], "refined") == pytest.approx(6 * (1 + 1 + 1 + 1) / 5 - 3)


def test_scales():
    worse = {"name": "send", "arguments": {"to": "bob", "copies": 1}}
    assert correctness_reward(calls([MAIL]), calls([worse]), scale=(-1.0, 1.0)) == pytest.approx(0.5)
    assert correctness_reward(calls([MAIL]), None, scale=(-1.0, 1.0)) == -1.0
    assert correctness_reward([], None, scale=(-1.0, 1.0)) == 0.0


def test_an_unknown_granularity_is_refused():
    with pytest.raises(ConfigError, match="'finest'; choose one of fine, refined, intermediate, coarse"):
        call_similarity([Call("a", {})], [], "finest")


# JSON ----------------------------------------------------------------------------------------------------------------


@given(left=VALUES, right=VALUES)
def test_equality_is_that_of_json(left, right):
    assert same_json(left, right) == (text_of(left) == text_of(right)) == same_json(right, left)


def test_tuples_are_lists_and_nan_is_like_nothing():
    assert same_json({"a": (1, (2,))}, {"a": [1, [2]]})
    assert not same_json([1, 2], [2, 1]) and not same_json([1], [1, 1]) and not same_json({}, [])
    assert not same_json(math.nan, math.nan) and not same_json([math.nan], [math.nan])
    assert not same_json(None, False) and not same_json("", None) and not same_json(0, False)
    assert same_json(10**400, 10**400) and not same_json(10**400, 1e300)


def test_calls_are_compared_as_json():
    assert same_call(Call("f", {"a": (1, 2)}), Call("f", {"a": [1.0, 2]}))
    assert not same_call(Call("f", {"a": True}), Call("f", {"a": 1}))
    assert not same_call(Call("f", {}), Call("g", {})) and not same_calls([Call("f", {})], [])


@given(left=st.lists(st.sampled_from("abc")), right=st.lists(st.sampled_from("abc")))
def test_jaccard_counts(left, right):
    assert multiset_jaccard(left, right) == pytest.approx(float(jaccard(left, right)), abs=1e-15)


def test_a_thousand_calls_are_no_trouble():
    many = [{"name": "f", "arguments": {"a": i}} for i in range(300)]
    assert reward(many, [*reversed(many), *many]) == pytest.approx(6 * (0.5 + 600) / 601 - 3)


# Planted bugs: each must be caught by the comparison with the oracle -------------------------------------------------

CASES = [
    ([MAIL], [{"name": "send", "arguments": {"to": "ann", "copies": True}}]),
    ([MAIL], [{"name": "send", "arguments": {"to": "ann", "copies": "1"}}]),
    ([MAIL], [MAIL, PING]),
    ([PING, MAIL], [PING]),
    ([PING], [{"name": "ping", "arguments": {"now": 1}}]),
    ([MAIL, MAIL], [MAIL]),
    ([MAIL], [{"name": "mail", "arguments": MAIL["arguments"]}, {"name": "send", "arguments": {}}]),
    ([{"name": "f", "arguments": {"x": 1}}, {"name": "f", "arguments": {"x": 2}}],
     [{"name": "f", "arguments": {"x": 2}}, {"name": "f", "arguments": {"x": 3}}]),
]  # fmt: skip


def agrees():
    return all(
        reward(gold, predicted, granularity) == pytest.approx(float(oracle(gold, predicted, granularity)), abs=1e-12)
        for gold, predicted in CASES
        for granularity in GRANULARITIES
    )


def set_jaccard(left, right):
    a, b = set(left), set(right)
    return len(a & b) / len(a | b) if a | b else 1.0


def empty_is_nothing(left, right):
    left, right = list(left), list(right)
    return multiset_jaccard(left, right) if left and right else 0.0


def recall_alone(left, right):
    left, right = list(left), list(right)
    return sum(min(left.count(x), right.count(x)) for x in set(left)) / len(left) if left else float(not right)


BUGS = {
    "sets in place of multisets": ("multiset_jaccard", set_jaccard),
    "two empty sets have nothing in common": ("multiset_jaccard", empty_is_nothing),
    "extra names are free": ("multiset_jaccard", recall_alone),
    "Python's equality": ("same_json", lambda left, right: left == right),
    "equality of texts": ("same_json", lambda left, right: str(left) == str(right)),
    "any name will do": (
        "_score",
        lambda gold, predicted, granularity, similarity: toolrl_calls.score(
            gold, predicted._replace(name=gold.name), granularity, similarity
        ),
    ),
}


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_found(bug, monkeypatch):
    assert agrees()
    name, planted = BUGS[bug]
    monkeypatch.setattr(toolrl_calls, "score", toolrl_calls._score, raising=False)
    monkeypatch.setattr(toolrl_calls, name, planted)
    assert not agrees()
