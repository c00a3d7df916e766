"""What teaches copying: repeated tokens and dialogues with other names."""

import dataclasses

import numpy as np
import pytest

from palaestra.agents.learners.copying import common_words, grounded, known_names, renamed, repeated_sequences
from palaestra.episodes import Episode, Turn
from palaestra.errors import ConfigError


def dialogue(country: str, peak: str, height: str) -> Episode:
    observations = [
        f"Question: What is the highest point of {country}?",
        f"<information>\nDoc 1 (Title: {country}: Geography) highest point: {peak} {height} m\n</information>",
        "The answer was noted.",
    ]
    said = [f"<search>{country}: highest point of {country}</search>", f"<answer>{peak}</answer>"]
    return Episode(
        episode_id=country, group_id=country, env_id="x/Search-v0", env_kwargs={}, task=None, seed=0, attempt=0,
        agent_id="agent_0", world_id=country, status="terminated", observations=observations,
        turns=[Turn(t, action) for t, action in enumerate(said)], outcome=1.0,
    )  # fmt: skip


EPISODES = [
    dialogue("Estonia", "Suur Munamagi", "318"),
    dialogue("Peru", "Nevado Huascaran", "6,746"),
    dialogue("Nepal", "Mount Everest", "8,849"),
]


def test_repetitions_can_be_told_from_what_was_read_and_only_they_carry_loss():
    sequences = repeated_sequences(50, 512, np.random.default_rng(0))
    again = repeated_sequences(50, 512, np.random.default_rng(0))
    for sequence, other in zip(sequences, again, strict=True):
        assert np.array_equal(sequence.ids, other.ids)
        assert sequence.ids.min() >= 4 and sequence.ids.max() < 512 and len(sequence) <= 96
        ids = sequence.ids.tolist()
        for place in np.flatnonzero(sequence.loss_mask):
            before = ids[:place]
            # The token follows an earlier occurrence of the token before it.
            assert any(before[at] == ids[place - 1] and before[at + 1] == ids[place] for at in range(place - 1))
        assert sequence.loss_mask.any()


def test_the_language_of_the_task_is_told_from_names():
    keep = common_words(EPISODES, share=0.5)
    assert {"search", "highest", "point", "of"} <= keep
    assert not keep & {"Estonia", "Peru", "Munamagi", "Everest"}


def test_known_names_are_those_of_what_was_read():
    names = known_names(EPISODES, frozenset({"Question", "What", "Doc", "Title", "Geography"}))
    assert set(names) == {
        "Estonia", "Everest", "Huascaran", "Mount", "Munamagi", "Nepal", "Nevado", "Peru", "Suur", "The",
    }  # fmt: skip


def test_what_is_answered_was_read_or_not():
    assert grounded(EPISODES[0])
    other = EPISODES[1].observations
    assert not grounded(dataclasses.replace(EPISODES[0], observations=other))
    assert not grounded(dataclasses.replace(EPISODES[0], turns=[]))


def test_names_change_all_through_and_nothing_else_does():
    keep = common_words(EPISODES, share=0.5)
    rng = np.random.default_rng(1)
    for episode in EPISODES:
        new = renamed(episode, rng, keep, names=known_names(EPISODES, keep), share=1.0)
        question, found, end = new.observations
        country = question.removeprefix("Question: What is the highest point of ").removesuffix("?")
        assert country != episode.group_id and country.istitle()
        assert new.turns[0].action == f"<search>{country}: highest point of {country}</search>"
        peak = new.turns[1].action.removeprefix("<answer>").removesuffix("</answer>")
        assert f"(Title: {country}: Geography) highest point: {peak} " in found
        assert end == "The answer was noted."
        assert episode.turns[1].action != new.turns[1].action


def test_without_a_share_nothing_changes_and_pictures_are_refused():
    same = renamed(EPISODES[0], np.random.default_rng(0), frozenset(), share=0.0)
    assert [turn.action for turn in same.turns] == [turn.action for turn in EPISODES[0].turns]
    assert same.observations == EPISODES[0].observations
    odd = Episode(
        episode_id="x", group_id="x", env_id="x", env_kwargs={}, task=None, seed=0, attempt=0, agent_id="a",
        world_id="w", status="terminated", observations=[np.zeros(2), np.zeros(2)], turns=[Turn(0, 1)],
    )  # fmt: skip
    with pytest.raises(ConfigError, match="was not spoken"):
        renamed(odd, np.random.default_rng(0), frozenset())
