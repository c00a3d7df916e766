"""Snippets of passages: what is shown of a long text."""

import re

import gymnasium as gym
import pytest
from hypothesis import given
from hypothesis import strategies as st

import palaestra  # noqa: F401
from palaestra.envs.search.snippets import snippet
from palaestra.errors import ConfigError

ESTONIA = (
    "Entry: Estonia. Section: Geography of Estonia. Coastline: 3,794 km Maritime claims: - territorial sea: 12 nm "
    "Elevation: - highest point: Suur Munamagi 318 m - lowest point: Baltic Sea 0 m - mean elevation: 61 m"
)


def test_it_shows_what_was_looked_for():
    shown = snippet(ESTONIA, "Estonia: Geography Elevation highest point of Estonia", 60, title="Estonia: Geography")
    assert shown == "... Elevation: - highest point: Suur Munamagi 318 m - lowest ..."
    assert "61 m" in snippet(ESTONIA, "mean elevation", 40)
    assert "3,794 km" in snippet(ESTONIA, "coastline of Estonia", 60, title="Estonia")


def test_words_that_stand_together_in_the_query_are_better_together():
    text = "point of order, and a highest bid. " * 3 + "The highest point is Suur Munamagi."
    assert "highest point is" in snippet(text, "highest point", 35)


def test_short_texts_are_whole_and_nothing_found_shows_the_beginning():
    assert snippet("  one\n two ", "x", 20) == "one two"
    assert snippet("alpha beta gamma delta", "nothing", 11) == "alpha beta ..."
    assert snippet("", "x", 5) == ""


@given(st.text(max_size=200), st.text(max_size=40), st.integers(1, 80))
def test_it_is_a_run_of_the_text_within_the_bound(text, query, chars):
    shown = snippet(text, query, chars)
    body = re.sub(r"^\.\.\. | \.\.\.$", "", shown)
    whole = " ".join(text.split())
    # Dots of the text itself may have been taken away with ours; what is left is in the text all the same.
    assert body in whole
    assert len(shown) <= chars + len("... ") + len(" ...")


def test_the_environment_shows_snippets_and_brief_prompts():
    passages = [("1", "Estonia", ESTONIA), ("2", "Peru", "Its capital is Lima.")]
    questions = [{"id": "q", "question": "What is Estonia's highest point?", "golden_answers": ["Suur Munamagi"]}]
    env = gym.make("palaestra/Search-v0", corpus=passages, questions=questions, top_k=1, snippet_chars=50, brief=True)
    prompt, _ = env.reset(seed=0)
    assert prompt == "Question: What is Estonia's highest point?"
    found, *_ = env.step("<search>highest point of Estonia</search>")
    assert "Suur Munamagi" in found and "Coastline" not in found
    with pytest.raises(ConfigError, match="snippet_chars is 0"):
        gym.make("palaestra/Search-v0", corpus=passages, questions=questions, snippet_chars=0)
