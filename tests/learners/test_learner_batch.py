from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.learners.batch import (
    PolicySequence,
    groups_without_spread,
    micro_batches,
    padded,
    policy_sequences,
)
from palaestra.episodes import Completion, Episode, EpisodeError, Turn
from palaestra.errors import ConfigError


def completion(ids, context, prefix, *, version=3, temperature=1.0):
    ids = np.array(ids, np.int32)
    return Completion(
        token_ids=ids,
        logprobs=-ids.astype(np.float32) / 10,
        context_ids=np.array(context, np.int32),
        prefix_len=prefix,
        temperature=temperature,
        policy_version=version,
    )


def episode(turns, *, name="e", group="g", failed=False):
    return Episode(
        episode_id=name,
        group_id=group,
        env_id="x",
        env_kwargs={},
        task=None,
        seed=0,
        attempt=0,
        agent_id="agent_0",
        world_id=name,
        status="failed" if failed else "truncated",
        observations=[],
        turns=[Turn(t, "", completion=sample) for t, sample in enumerate(turns)],
        error=EpisodeError("down", "infrastructure", True) if failed else None,
    )


TWO_TURNS = [completion([5, 6], [1, 2], 0), completion([7, 8, 9], [3], 4, version=2)]
BROKEN = [completion([5, 6], [1, 2], 0), None, completion([7], [1, 4], 0, temperature=0.0)]


def test_a_turns_advantage_goes_to_its_tokens():
    (sequence,) = policy_sequences([episode(TWO_TURNS)], np.array([[0.5, -2.0, 9.0]]), "turn")
    assert sequence.ids.tolist() == [1, 2, 5, 6, 3, 7, 8, 9]
    assert sequence.advantages.tolist() == [0, 0, 0.5, 0.5, 0, -2, -2, -2]
    assert sequence.loss_mask.tolist() == [False, False, True, True, False, True, True, True]
    assert sequence.policy_version == 2  # the oldest
    assert sequence.temperature == 1.0


def test_a_tokens_advantage_goes_to_it():
    advantages = np.array([[1.0, 2.0, 3.0, 4.0, 5.0]])
    (sequence,) = policy_sequences([episode(TWO_TURNS)], advantages, "token")
    assert sequence.advantages.tolist() == [0, 0, 1, 2, 0, 3, 4, 5]
    # The count goes on in the next sequence of the episode, turns without tokens have none.
    first, second = policy_sequences([episode(BROKEN)], advantages, "token")
    assert first.advantages.tolist() == [0, 0, 1, 2]
    assert second.advantages.tolist() == [0, 0, 3]
    assert (first.episode, second.episode) == (0, 0)
    first, second = policy_sequences([episode(BROKEN)], advantages, "turn")
    assert second.advantages.tolist() == [0, 0, 3]  # turn 2


def test_failed_and_refused_episodes_leave_nothing():
    episodes = [
        episode(TWO_TURNS, name="a", group="x"),
        episode(TWO_TURNS, name="b", group="y", failed=True),
        episode(TWO_TURNS, name="c", group="y"),
        episode([], name="d", group="y"),
        episode([None], name="e", group="y"),
    ]
    advantages = np.where(np.arange(5)[:, None] == 1, np.nan, 1.0) * np.ones((5, 2))
    sequences = policy_sequences(episodes, advantages, "turn")
    assert [(sequence.episode, sequence.group) for sequence in sequences] == [(0, 0), (2, 1)]
    valid = np.array([False, True, True, True, True])
    assert [sequence.episode for sequence in policy_sequences(episodes, advantages, "turn", valid)] == [2]


def test_greedy_samples_are_of_temperature_1_and_mixed_ones_of_none():
    _, second = policy_sequences([episode(BROKEN)], np.ones((1, 3)), "turn")
    assert second.temperature == 1.0
    mixed = [completion([5], [1], 0, temperature=0.7), completion([6], [2], 2)]
    (sequence,) = policy_sequences([episode(mixed)], np.ones((1, 2)), "turn")
    assert np.isnan(sequence.temperature)


def test_bad_advantages():
    for advantages, word in (
        (np.ones((2, 2)), "2 rows"),
        (np.ones((1, 1)), "more positions"),
        (np.full((1, 2), np.nan), "finite"),
    ):
        with pytest.raises(ConfigError, match=word):
            policy_sequences([episode(TWO_TURNS)], advantages, "turn")
    with pytest.raises(ConfigError, match="more positions"):
        policy_sequences([episode(TWO_TURNS)], np.ones((1, 4)), "token")


def test_bad_sequences():
    ids, column = np.array([1, 2], np.int32), np.zeros(2, np.float32)
    with pytest.raises(ConfigError, match="first token"):
        PolicySequence(ids, np.array([True, False]), column, column, 0, 0)
    with pytest.raises(ConfigError, match="shape"):
        PolicySequence(ids, np.array([False]), column, column, 0, 0)


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 120))
def test_micro_batches_hold_everything_once_within_the_budget(lengths, budget):
    batches = micro_batches(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert batches == micro_batches(lengths, budget)
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
    order = [lengths[index] for batch in batches for index in batch]
    assert order == sorted(lengths, reverse=True)


def test_padding():
    sequences = policy_sequences([episode(TWO_TURNS), episode(BROKEN[:1])], np.ones((2, 3)), "turn")
    columns = padded(sequences, ("ids", "loss_mask", "advantages"), "cpu")
    assert columns["ids"].dtype == torch.int64
    assert columns["ids"].tolist() == [[1, 2, 5, 6, 3, 7, 8, 9], [1, 2, 5, 6, 0, 0, 0, 0]]
    assert columns["loss_mask"][1].tolist() == [False, False, True, True] + [False] * 4
    assert columns["advantages"][1].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


def test_groups_without_spread():
    groups = np.array([0, 0, 0, 1, 1, 2, 3, 3, 4, 4])
    rewards = np.array([1, 1, np.nan, 0, 1, 1, 0.5, 0.5 + 1e-12, np.nan, np.nan])
    valid = np.array([True, True, False, True, True, True, True, True, False, False])
    flags = groups_without_spread(rewards, groups, valid)
    assert flags.tolist() == [True, True, True, False, False, True, True, True, True, True]
