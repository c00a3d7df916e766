from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.models import Branch, Encoding, FakeJudge, FakeScorer, Judge, Scorer, ScoreRequest

ids = st.lists(st.integers(0, 50_000), min_size=1, max_size=6).map(lambda tokens: np.array(tokens, np.int32))


@given(ids, ids, ids)
def test_the_fake_scorer_scores_each_token_after_all_that_comes_before(context, one, other):
    scorer: Scorer = FakeScorer()
    at = len(context)
    ((first, second),) = scorer.logprobs([ScoreRequest(context, (Branch(at, one), Branch(1, other)))])
    assert first.dtype == np.float32 and first.shape == one.shape and second.shape == other.shape
    assert ((first <= 0) & (first > -5)).all()
    # Branches do not see each other, and a branch is scored as if it stood alone.
    ((alone,),) = scorer.logprobs([ScoreRequest(context[:1], (Branch(1, other),))])
    np.testing.assert_array_equal(alone, second)
    # Scoring token by token gives the same as scoring them together.
    for i in range(len(one)):
        longer = np.concatenate([context, one[:i]])
        ((last,),) = scorer.logprobs([ScoreRequest(longer, (Branch(len(longer), one[i : i + 1]),))])
        assert last[0] == first[i]


@given(ids, ids)
def test_fake_hidden_states_depend_on_what_came_before(one, other):
    scorer = FakeScorer(width=5)
    alone, longer = scorer.hidden([one, np.concatenate([one, other])])
    assert alone.shape == (len(one), 5) and alone.dtype == np.float32
    np.testing.assert_array_equal(longer[: len(one)], alone)
    if not np.array_equal(one, other):
        assert not np.array_equal(scorer.hidden([one])[0][-1], scorer.hidden([other])[0][-1])


def test_the_fake_judge():
    judge: Judge = FakeJudge(str.upper, version=3)
    assert judge.complete(["a", "b"]) == ["A", "B"] and judge.version == 3
    assert FakeJudge().complete(["?"]) == ["yes"]


@given(st.text())
def test_the_fake_scorer_has_a_token_a_character(text):
    encoding = FakeScorer().encode(text)
    assert encoding.ids.dtype == np.int32 and encoding.offsets.dtype == np.int64
    assert "".join(map(chr, encoding.ids)) == text
    assert "".join(text[start:end] for start, end in encoding.offsets) == text


def test_an_encoding_has_a_span_a_token():
    with pytest.raises(ValueError, match=r"2 tokens needs offsets of shape \(2, 2\)"):
        Encoding(np.zeros(2, np.int32), np.zeros((1, 2), np.int64))
