from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.episodes import Completion, Episode, Turn
from palaestra.tokens import TokenSequence, token_sequences


def sample(context: list[int], tokens: list[int], prefix: int) -> Completion:
    scores = -np.asarray(tokens, np.float32) / 7
    return Completion(np.asarray(tokens, np.int32), scores, np.asarray(context, np.int32), prefix)


def episode(samples: list[Completion | None]) -> Episode:
    turns = [Turn(t, "", completion=each) for t, each in enumerate(samples)]
    fields: dict[str, Any] = {"env_kwargs": {}, "task": None, "seed": 0, "attempt": 0, "agent_id": "a", "world_id": "w"}
    return Episode("e", "g", "x", status="terminated", observations=[""] * (len(turns) + 1), turns=turns, **fields)


def slow(samples: list[Completion | None]) -> list[list[tuple[int, bool, float, int]]]:
    """Token by token: what each forward pass holds, as (id, in the loss, log-probability, turn)."""
    finished: list[list[tuple[int, bool, float, int]]] = []
    now: list[tuple[int, bool, float, int]] = []
    for t, each in enumerate(samples):
        if each is None or (not each.token_ids.size and not each.context_ids.size and not each.prefix_len):
            finished.append(now)
            now = []
            continue
        if each.prefix_len != len(now):
            finished.append(now)
            now = [(token, False, 0.0, -1) for token, *_ in now[: each.prefix_len]]
        now = now + [(int(token), False, 0.0, -1) for token in each.context_ids]
        now = now + [(int(a), True, float(b), t) for a, b in zip(each.token_ids, each.logprobs, strict=True)]
    finished.append(now)
    return [tokens for tokens in finished if any(loss for _, loss, _, _ in tokens)]


def rows(sequence: TokenSequence) -> list[tuple[int, bool, float, int]]:
    columns = (sequence.ids, sequence.loss_mask, sequence.logprobs, sequence.turn_of_token)
    assert [column.dtype for column in columns] == [np.int32, np.bool_, np.float32, np.int32]
    assert len(sequence) == len(sequence.ids)
    return [(int(a), bool(b), float(c), int(d)) for a, b, c, d in zip(*columns, strict=True)]


@st.composite
def dialogues(draw: st.DrawFn) -> list[Completion | None]:
    """Turns of all sorts: prefix kept, cut, dropped; no ids; nothing sampled."""
    samples: list[Completion | None] = []
    length = 0
    fresh = iter(range(10**6))
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.integers(0, 4)) == 0:
            samples.append(draw(st.sampled_from([None, sample([], [], 0)])))
            length = 0
            continue
        prefix = draw(st.just(length) | st.integers(0, length))
        context = [next(fresh) for _ in range(draw(st.integers(0, 3)))]
        tokens = [next(fresh) for _ in range(draw(st.integers(0, 3)))]
        samples.append(sample(context, tokens, prefix))
        length = prefix + len(context) + len(tokens)
    return samples


@given(dialogues())
def test_against_the_slow_way(samples):
    assert [rows(sequence) for sequence in token_sequences(episode(samples))] == slow(samples)


@given(dialogues())
def test_every_sampled_token_is_in_the_loss_exactly_once(samples):
    sampled = [(int(token), t) for t, each in enumerate(samples) if each for token in each.token_ids]
    trained = []
    for sequence in token_sequences(episode(samples)):
        for token, loss, score, turn in rows(sequence):
            if loss:
                trained.append((token, turn))
                assert score == pytest.approx(-token / 7, rel=1e-6)
            else:
                assert (score, turn) == (0.0, -1)
    assert sorted(trained) == sorted(sampled)


def test_one_sequence_while_the_prefix_is_kept():
    (sequence,) = token_sequences(episode([sample([1, 2], [3], 0), sample([4], [5, 6], 3)]))
    assert sequence.ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert sequence.loss_mask.tolist() == [False, False, True, False, True, True]
    assert sequence.turn_of_token.tolist() == [-1, -1, 0, -1, 1, 1]


def test_a_new_sequence_where_it_is_not():
    first, second = token_sequences(episode([sample([1, 2], [3], 0), sample([7, 4], [5], 2)]))
    assert first.ids.tolist() == [1, 2, 3]
    assert second.ids.tolist() == [1, 2, 7, 4, 5]
    assert second.loss_mask.tolist() == [False] * 4 + [True]


def test_a_turn_in_which_nothing_was_sampled_keeps_its_context():
    (sequence,) = token_sequences(episode([sample([1], [], 0), sample([2], [3], 1)]))
    assert sequence.ids.tolist() == [1, 2, 3]


def test_no_ids_no_sequences():
    assert token_sequences(episode([])) == token_sequences(episode([None, sample([], [], 0)])) == []


def test_a_prefix_that_never_was():
    with pytest.raises(ValueError, match="Turn 1 of episode e claims to keep 4 tokens of a context that has 3"):
        token_sequences(episode([sample([1, 2], [3], 0), sample([], [5], 4)]))


def test_samples_that_do_not_fit():
    with pytest.raises(ValueError, match="one log-probability a token"):
        Completion(np.zeros(2, np.int32), np.zeros(1, np.float32), np.zeros(0, np.int32), 0)
    with pytest.raises(ValueError, match="cannot be negative"):
        Completion(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.int32), -1)
