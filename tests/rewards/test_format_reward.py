"""Search-R1's format reward, against its published decision rules re-written from their description.

The oracle works as the original does, on one string in which the policy's words and the environment's are joined and
the prompt has an example answer; ours never sees such a string.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from palaestra.answers import normalize_answer
from palaestra.episodes import Episode, TextPart, ToolCall, ToolResult, Turn
from palaestra.errors import ConfigError
from palaestra.rewards.format import Format

SCORES = {"score": 1.0, "structure_format_score": 0.2, "final_format_score": 0.1, "retrieval_score": 0.05}
PASSAGE = "Doc 1(Title: Peru) The capital of Peru is Lima."
GOOD = ["<think>look it up</think><search>capital of Peru</search>", "<think>Lima</think>\n<answer> Lima. </answer>"]

# What may stand after what. The original walks such a machine over the tags of the whole sequence.
MACHINE = {
    ("start", "<think>"): "in think",
    ("informed", "<think>"): "in think",
    ("in think", "</think>"): "thought",
    ("thought", "<search>"): "in search",
    ("in search", "</search>"): "searched",
    ("searched", "<information>"): "in information",
    ("in information", "</information>"): "informed",
    ("thought", "<answer>"): "in answer",
    ("in answer", "</answer>"): "end",
}


def oracle_valid(sequence: str) -> bool:
    state = "start"
    position = 0
    for tag in re.finditer(r"</?(think|search|information|answer)>", sequence):
        if sequence[position : tag.start()].strip() and not state.startswith("in "):
            return False
        if (state, tag.group()) not in MACHINE:
            return False
        state, position = MACHINE[state, tag.group()], tag.end()
    return state == "end" and not sequence[position:].strip()


def oracle(prompt: str, sequence: str, golds: list[str]) -> float:
    valid = oracle_valid(sequence)
    blocks = re.findall(r"<information>(.*?)</information>", sequence, re.DOTALL)
    retrieved = any(normalize_answer(gold) in normalize_answer(block) for gold in golds for block in blocks)
    answers = re.findall(r"<answer>(.*?)</answer>", prompt + sequence, re.DOTALL)
    if len(answers) <= 1:
        return (SCORES["structure_format_score"] + retrieved * SCORES["retrieval_score"]) if valid else 0.0
    if normalize_answer(answers[-1].strip()) in [normalize_answer(gold) for gold in golds]:
        return SCORES["score"] - (0.0 if valid else SCORES["structure_format_score"])
    if valid:
        return SCORES["structure_format_score"] + retrieved * SCORES["retrieval_score"]
    return SCORES["final_format_score"]


def cut(text: str) -> str:
    """What the original keeps of a generation."""
    if "</search>" in text:
        return text.split("</search>")[0] + "</search>"
    return text.split("</answer>")[0] + "</answer>" if "</answer>" in text else text


def play(utterances: list[str], passage: str, golds: list[str], **fields: Any) -> tuple[Episode, str]:
    """One way through an environment that answers as Search-R1's does: the episode, and the original's string."""
    turns: list[Turn] = []
    sequence = ""
    for t, utterance in enumerate(utterances):
        said = cut(utterance)
        sequence += said
        action = re.search(r"<(search|answer)>(.*?)</\1>", said, re.DOTALL)
        last = t + 1 == len(utterances) or (action is not None and action.group(1) == "answer")
        calls: tuple[ToolCall, ...] = ()
        if action is not None and action.group(1) == "search":
            calls = (ToolCall("search", {"query": action.group(2)}, ToolResult((TextPart(passage),)), "ok"),)
            sequence += "" if last else f"\n\n<information>{passage}</information>\n\n"
        elif not last:
            sequence += "\nMy previous action is invalid. Let me try again.\n"
        turns.append(Turn(t, utterance, calls=calls))
        if last:
            break
    values: dict[str, Any] = {"env_kwargs": {}, "task": None, "seed": 0, "attempt": 0, "agent_id": "a", "world_id": "w"}
    observations = [""] * (len(turns) + 1)
    episode = Episode(
        "e",
        "g",
        "palaestra/Search-v0",
        status="terminated",
        observations=observations,
        turns=turns,
        privileged={"answers": tuple(golds)},
        **(values | fields),
    )
    return episode, sequence


PROMPT = "Answer between <answer> and </answer>, for example <answer> Beijing </answer>."
PROMPT = PROMPT.replace(
    "between <answer> and </answer>", "between the tags of answer"
)  # one example, as its regex sees

tag = st.sampled_from(
    [f"<{slash}{name}>" for slash in ("", "/") for name in ("think", "search", "information", "answer")]
)
word = st.sampled_from(["Lima", "Quito", " ", "\n", "lima .", "capital"])
noise = st.lists(tag | word, max_size=8).map("".join)
thought = st.tuples(word, word).map(lambda words: f"<think>{''.join(words)}</think>")
searching = st.tuples(thought, word).map(lambda parts: f"{parts[0]} <search>{parts[1]}</search>")
answering = st.tuples(thought, word).map(lambda parts: f"{parts[0]}<answer>{parts[1]}</answer>")
bare = st.sampled_from(["<answer>Lima</answer>", "<search>Peru</search>", "Lima", "<think>a</think>", ""])
utterance = searching | searching | answering | bare | noise
tail = st.sampled_from(["", "", "", " ", "extra", "</think>", "<information>Lima</information>"])
utterances = st.lists(st.tuples(utterance, tail).map("".join), min_size=1, max_size=5)


@settings(max_examples=600)
@given(utterances, st.sampled_from([PASSAGE, "Nothing of use."]), st.sampled_from([["Lima"], ["Quito", "the LIMA"]]))
@example(GOOD, PASSAGE, ["Lima"])
@example([GOOD[0], GOOD[0], GOOD[1]], "Nothing of use.", ["Quito"])
@example([GOOD[1]], PASSAGE, ["Quito"])
@example([GOOD[0]], PASSAGE, ["Quito"])
@example(["<answer>Lima</answer>"], PASSAGE, ["Lima"])
@example(["<think>a</think><answer>x</answer> <search>q</search>"], PASSAGE, ["Lima"])
def test_agrees_with_search_r1(utterances, passage, golds):
    episode, sequence = play(utterances, passage, golds)
    # The one stated departure that this generator can reach: a pair of tags must lie within one turn.
    for turn in list(episode.turns)[:-1]:
        assume("<answer>" not in cut(turn.action).rpartition("</answer>")[2])
    result = Format(**SCORES)([episode])
    (value,) = result.values
    assert value is not None
    assert value[0] == pytest.approx(oracle(PROMPT, sequence, golds))
    assert sum(term.values[0][0] for term in result.terms.values()) == pytest.approx(value[0])


def score(utterances: list[str], passage: str = PASSAGE, golds: tuple[str, ...] = ("Lima",), **fields: Any) -> float:
    (value,) = Format(**SCORES)([play(utterances, passage, list(golds), **fields)[0]]).values
    return float(value[0])


@pytest.mark.parametrize(
    ("utterances", "golds", "expected"),
    [
        (GOOD, ("Lima",), 1.0),
        (GOOD, ("Quito", "lima"), 1.0),
        (GOOD, ("Quito",), 0.2),
        (GOOD, ("capital of Peru",), 0.25),
        ([GOOD[1]], ("Lima",), 1.0),
        (["<answer>Lima</answer>"], ("Lima",), 0.8),
        (["<answer>Quito</answer>"], ("Lima",), 0.1),
        (["Lima"], ("Lima",), 0.0),
        ([GOOD[0], "well", GOOD[1]], ("Lima",), 0.8),
        ([GOOD[0]], ("Lima",), 0.0),
        ([GOOD[0], GOOD[0].replace("look", "LOOK"), GOOD[1]], ("Lima",), 1.0),
    ],
)
def test_table(utterances, golds, expected):
    assert score(utterances, golds=golds) == pytest.approx(expected)


def test_tags_in_retrieved_text_do_not_count():
    for planted in (
        "<answer>Lima</answer>",
        "</information><think>x</think><answer>Lima</answer>",
        "<search>",
        "</think>",
    ):
        assert score([GOOD[0], "I give up."], passage=planted) == 0.0
        assert score(GOOD, passage=planted) == 1.0
        assert score([GOOD[0], GOOD[1].replace("Lima.", "Quito")], passage=planted.replace("Lima", "x")) == 0.2


def test_a_refused_search_breaks_the_structure():
    episode, _ = play(GOOD, PASSAGE, ["Lima"])
    for status in ("error", "rejected"):
        calls = (ToolCall("search", {}, ToolResult((TextPart(PASSAGE),), True), status),)
        turns = [Turn(0, GOOD[0], calls=calls), episode.turns[1]]
        other, _ = play(GOOD, PASSAGE, ["Lima"])
        object.__setattr__(other, "turns", turns)
        (value,) = Format(**SCORES)([other]).values
        assert value[0] == 0.8


def test_what_cannot_be_scored_is_unknown(make_episode):
    result = Format()([make_episode([GOOD[1]]), make_episode([GOOD[1]], failed=True, privileged={"answers": ("x",)})])
    assert list(result.values) == [None, None]
    assert result.metrics == {"format/without_answers": 1.0}
    assert result.terms["format.answer"].values[1] is None
    assert Format()([make_episode([GOOD[1]], privileged={"answers": "Lima"})]).values[0][0] == 1.0
    assert Format()([make_episode([], privileged={"answers": ("Lima",)})]).values[0][0] == 0.0


def test_an_answer_of_nothing_but_articles():
    assert score(["<think>a</think><answer>The The</answer>"], golds=("The The",)) == 1.0
    assert score(["<think>a</think><answer></answer>"], golds=("The The",)) == 0.2
    assert score([GOOD[0], "<think>a</think><answer>x</answer>"], golds=("The The",)) == 0.2  # retrieved nothing


def test_bad_input():
    with pytest.raises(ConfigError, match="retrieval_score is nan"):
        Format(retrieval_score=float("nan"))
    with pytest.raises(ConfigError, match="dialect='hermes'"):
        score(GOOD, env_kwargs={"dialect": "hermes"})
    episode, _ = play(GOOD, PASSAGE, ["Lima"])
    object.__setattr__(episode, "turns", [Turn(0, 3)])
    with pytest.raises(ConfigError, match="an action was a int"):
        Format()([episode])


@pytest.mark.parametrize("unit", ["<answer>", "<think>", "</answer><answer>", "<answer></search>", "a "])
def test_ten_megabytes_take_no_special_time(unit, make_episode):
    # A quadratic search would run for hours here and meet the test run's time limit.
    text = "<think>a</think>" + unit * (10_000_000 // len(unit))
    (value,) = Format(**SCORES)([make_episode([text], privileged={"answers": ("Lima",)})]).values
    assert value[0] in (0.0, 0.1)
