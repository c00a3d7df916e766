from __future__ import annotations

import numpy as np
import pytest
from checked_mutants import IDS, TellsInPrompt
from checked_text import GOOD

from palaestra.harness.check.strings import hostile_strings
from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import CheckFailed, Problems
from palaestra.harness.check.world import canonical, first_difference, line, play

NONCE = "nonce0123456789abcdef"


def test_hostile_strings_are_the_same_for_the_same_seed_and_of_every_sort() -> None:
    valid = ["<look>Aldmoor</look>", "<answer>x</answer>"]
    one, two = (list(hostile_strings(3000, np.random.default_rng(4), valid, huge_bytes=50_000)) for _ in range(2))
    assert one == two
    assert one != list(hostile_strings(3000, np.random.default_rng(5), valid, huge_bytes=50_000))
    assert len(one) == 3000
    for part in ("\x00", "\ud800", "<look>", "</look>", "%s", "{0}", "1e999", "[[[[[[[[", "\U0001f680", "<|im_end|>"):
        assert any(part in text for text in one), part
    assert sum(len(text) >= 50_000 for text in one if "[" not in text and "{" not in text) >= 3


def test_a_leak_is_found_in_records_report_and_exports() -> None:
    seen = Subject.of(IDS[TellsInPrompt], {}).in_new_process("palaestra.harness.check.canary_runs:leaks", NONCE)
    assert seen["planted"] == seen["records"] > 0
    places = " ".join(place for place, _ in seen["found"])
    for place in ("outside of `privileged`", "the report (", "the export as sft", "the export as jsonl"):
        assert place in places
    assert all(NONCE in excerpt.casefold() for _, excerpt in seen["found"])


def test_another_process_that_breaks_is_a_failed_check_with_its_last_words() -> None:
    subject = Subject.of(GOOD, {})
    with pytest.raises(CheckFailed, match="ZeroDivisionError"):
        subject.in_new_process("checked_text:broken")
    with pytest.raises(CheckFailed, match="lambda"):
        subject.in_new_process("checked_text:broken", lambda: 0)


def test_the_first_difference_is_named() -> None:
    one = [line(t=0, agent="a", observation={"text": "x", "n": 1.0}, reward=0.0)]
    two = [line(t=0, agent="a", observation={"text": "y", "n": 1.0}, reward=0.0)]
    assert first_difference(one, one) is None
    assert first_difference(one, two) == "in turn 0, agent 'a': observation.text is x and y"
    assert "different turns" in str(first_difference(one, one + two))


def test_values_that_cannot_be_recorded_are_named_by_type() -> None:
    assert canonical({"a": object(), "b": (1, float("inf"))}) == {
        "a": {"$unrecordable": "object"},
        "b": {"$tuple": [1, {"$float": "inf"}]},
    }


def test_a_played_episode_says_how_it_ended() -> None:
    with Subject.of(GOOD, {}).make() as world:
        won, cut = play(world, "oracle", 3), play(world, "null", 3, max_steps=2)
        assert (won.ended, won.outcome, won.failed, won.turns, won.returns) == (True, 1.0, False, 2, {"agent": 1.0})
        assert (cut.ended, cut.outcome, cut.turns, len(cut.lines)) == (False, None, 2, 3)


def test_problems_are_listed_once_and_at_most_eight() -> None:
    problems = Problems()
    assert problems.finish("fine") == "fine"
    for number in (*range(12), 0, 1):
        problems.add("e", str(number), "c")
    assert len(problems) == 12
    with pytest.raises(CheckFailed, match="and 4 more"):
        problems.finish("fine")
