from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import palaestra
from palaestra.episodes import Episode, Turn
from palaestra.errors import ConfigError, UnknownNameError
from palaestra.rewards.base import CreditResult, Models, Transition, score_step
from palaestra.rewards.count import EpisodicCount
from palaestra.rewards.env_reward import EnvReward
from palaestra.rewards.format import Format
from palaestra.rewards.outcome import Outcome
from palaestra.rewards.weighted_sum import CreditSum, StepSum, WeightedSum


class PerToken:
    """Credit of 1 on every sampled token; None for episodes whose seed is odd."""

    name = "per-token"
    requires = frozenset({"scorer"})

    def __call__(self, episodes: Sequence[Episode], models: Models) -> CreditResult:
        counts = [sum(len(turn.completion.token_ids) for turn in e.turns if turn.completion) for e in episodes]
        return CreditResult(
            [None if e.seed % 2 or not e.valid else np.ones(n) for e, n in zip(episodes, counts, strict=True)], "token"
        )


class Ramp:
    """A learned step reward: what it has learned, times the slot's number."""

    name = "ramp"
    scope = "learned"
    requires = frozenset({"privileged"})

    def __init__(self, name: str = "ramp") -> None:
        self.name, self.version = name, 0

    def reset(self, slots: Any, episode_ids: Any, observations: Any) -> None:
        pass

    def __call__(self, transition: Transition) -> Any:
        return self.version * transition.slot.astype(float)

    def update(self, batch: Any) -> Mapping[str, float]:
        self.version += 1
        return {"loss": 1.0 / self.version}

    def state_dict(self) -> dict[str, Any]:
        return {"version": self.version}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.version = state["version"]


def _transition(next_observation: list[int], valid: list[bool] | None = None) -> Transition:
    n = len(next_observation)
    return Transition(
        slot=np.arange(n),
        episode_id=[0] * n,
        valid=np.array(valid if valid is not None else [True] * n),
        observation=np.zeros(n, int),
        action=np.zeros(n, int),
        next_observation=np.array(next_observation),
        reward=np.zeros(n),
        terminated=np.zeros(n, bool),
        truncated=np.zeros(n, bool),
    )


def test_episode_and_turn_meet_at_the_turn(make_episode):
    episodes = [make_episode([1.0, 2.0, 3.0], outcome=1.0), make_episode([5.0], outcome=0.0)]
    result = WeightedSum({"outcome": 10.0, "env": 0.5})(episodes)
    assert result.level == "turn"
    np.testing.assert_array_equal(result.values[0], [0.5, 1.0, 11.5])
    np.testing.assert_array_equal(result.values[1], [2.5])
    assert set(result.terms) == {"outcome", "env"}
    assert result.terms["outcome"].level == "episode"
    np.testing.assert_array_equal(result.terms["env"].values[0], [1.0, 2.0, 3.0])


def test_everything_meets_at_the_token(make_episode, speak):
    episode = make_episode([speak(0, 2, 1.0), speak(1, 3, 2.0)], outcome=1.0)
    result = WeightedSum([(Outcome(), 100.0), (EnvReward(), 10.0), (PerToken(), 1.0)])([episode])
    assert result.level == "token"
    np.testing.assert_array_equal(result.values[0], [1, 11, 1, 1, 121])


def test_what_is_unknown_stays_unknown(make_episode, speak):
    episodes = [
        make_episode([speak(0, 1)], outcome=1.0, seed=0),
        make_episode([speak(0, 1)], outcome=1.0, seed=1),  # its per-token credit does not apply
        make_episode([speak(0, 1)], failed=True),
    ]
    result = WeightedSum([("outcome", 1.0), (PerToken(), 1.0)])(episodes)
    assert [value is None for value in result.values] == [False, True, True]
    assert result.metrics["weighted-sum/not_applicable"] == 1.0
    watched = WeightedSum([("outcome", 1.0), (PerToken(), 0.0)])(episodes)
    assert [value is None for value in watched.values] == [False, False, True]
    assert "per-token" in watched.terms


def test_terms_of_terms_keep_their_names_and_add_up(make_episode, search):
    turns = [
        Turn(0, "<think>a</think><search>q</search>", calls=(search("Lima is a city"),)),
        Turn(1, "<think>b</think><answer>Quito</answer>"),
    ]
    episode = make_episode(turns, outcome=0.5, privileged={"answers": ("Lima",)})
    inner = WeightedSum([(Format(retrieval_score=0.1), 2.0), ("env", 1.0)], name="shaping")
    outer = WeightedSum([("outcome", 1.0), (inner, 0.5)])
    assert outer.weights == {"outcome": 1.0, "format": 1.0, "env": 0.5}
    assert repr(outer) == "weighted-sum(1 outcome + 1 format + 0.5 env)"
    result = outer([episode])
    np.testing.assert_allclose(result.values[0], [0.0, 0.5 + 0.3])
    parts = {name: term.values[0].sum() for name, term in result.terms.items()}
    assert set(parts) == {"outcome", "env", "format.answer", "format.structure", "format.retrieval", "format.final"}
    assert sum(parts[name] for name in parts if name.startswith("format")) == pytest.approx(0.3)


def test_requires_is_the_union():
    assert WeightedSum([("outcome", 1), (PerToken(), 1)]).requires == {"outcome", "scorer"}
    assert WeightedSum([("count", 1), (Ramp(), 1)]).requires == {"privileged"}


@pytest.mark.parametrize(
    ("terms", "error", "message"),
    [
        ({"outcom": 1.0}, UnknownNameError, "Did you mean 'outcome'"),
        ({}, ConfigError, "got no terms"),
        ({"outcome": 1.0, "count": 1.0}, ConfigError, r"outcome \(credit\), count \(step\)"),
        ({"outcome": float("nan")}, ConfigError, "weight of 'outcome' is nan"),
        ({"outcome": "1"}, ConfigError, "finite number"),
        ({"outcome": True}, ConfigError, "finite number"),
        ([("outcome", 1.0), ("outcome", 2.0)], ConfigError, "one name"),
        ([("outcome", 1.0), ("clip", 2.0)], ConfigError, "Clip is no reward"),
        ([("env", 1.0), (WeightedSum({"env": 1.0}), 1.0)], ConfigError, "called 'env'"),
    ],
)
def test_bad_terms(terms, error, message):
    with pytest.raises(error, match=message):
        WeightedSum(terms)


def test_by_name():
    assert isinstance(palaestra.rewards.make("weighted-sum", terms={"outcome": 1}), CreditSum)
    assert isinstance(palaestra.rewards.make("weighted-sum", terms={"count": 1}), StepSum)


weights = st.floats(-5, 5)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=5), st.floats(0, 1), weights, weights, weights)
def test_the_sum_over_an_episode_is_the_sum_of_the_parts(rewards, outcome, a, b, c):
    fields = {"env_kwargs": {}, "task": None, "seed": 0, "attempt": 0, "agent_id": "a", "world_id": "w"}
    turns = [Turn(t, "", reward=reward) for t, reward in enumerate(rewards)]
    episode = Episode(
        "e", "g", "x", status="terminated", outcome=outcome, observations=[""] * (len(turns) + 1), turns=turns, **fields
    )
    nested = WeightedSum([(WeightedSum({"env": a}, name="inner"), b), ("outcome", c)])
    result = nested([episode])
    np.testing.assert_allclose(result.values[0].sum(), a * b * sum(rewards) + c * outcome, atol=1e-9)


# Step rewards ---------------------------------------------------------------------------------------------------


def test_step_sum_counts_once_and_tells_its_parts():
    reward = WeightedSum([("count", 2.0), (EpisodicCount(form="inverse-sqrt", name="soft"), 1.0)])
    reward.reset(np.arange(2), [0, 0], np.array([0, 0]))
    values, terms = score_step(reward, _transition([1, 0]))
    np.testing.assert_allclose(values, [2.0 + 1.0, 0.0 + 2**-0.5])
    np.testing.assert_allclose(terms["count"], [1.0, 0.0])
    np.testing.assert_allclose(terms["soft"], [1.0, 2**-0.5])
    values, _ = score_step(reward, _transition([1, 1], valid=[True, False]))
    np.testing.assert_allclose(values, [2**-0.5, 0.0])
    np.testing.assert_allclose(reward(_transition([1, 1])), [3**-0.5, 3.0])  # the invalid row changed no count


def test_step_sum_learns_where_its_terms_do_and_saves_them():
    reward = WeightedSum([("count", 1.0), (Ramp(), 10.0), (Ramp("other"), 1.0)])
    assert reward.scope == "learned" and reward.version == 0
    assert reward.update(None) == {"ramp/loss": 1.0, "other/loss": 1.0}
    assert reward.version == 2
    reward.reset(np.arange(2), [0, 0], np.array([7, 7]))
    fresh = WeightedSum([("count", 1.0), (Ramp(), 10.0), (Ramp("other"), 1.0)])
    fresh.load_state_dict(copy.deepcopy(reward.state_dict()))
    step = _transition([7, 8])
    np.testing.assert_array_equal(fresh(step), reward(step))
    with pytest.raises(ConfigError, match="saved state has the terms"):
        fresh.load_state_dict({"count": {}})
    assert WeightedSum({"count": 1.0}).scope == "episodic"


class Broken(Ramp):
    def __init__(self, values: Any) -> None:
        super().__init__("broken")
        self.values = values

    def __call__(self, transition: Transition) -> Any:
        return self.values


def test_a_reward_that_is_wrong_says_so():
    with pytest.raises(ConfigError, match=r"'broken' gave \(3,\); one value a slot is \(2,\)"):
        score_step(Broken(np.zeros(3)), _transition([0, 0]))
    with pytest.raises(ConfigError, match=r"'broken' gave a number that is not finite in the slots \[1\]"):
        score_step(Broken(np.array([0.0, np.nan])), _transition([0, 0]))
    values, _ = score_step(Broken(np.array([1.0, np.nan])), _transition([0, 0], valid=[True, False]))
    np.testing.assert_array_equal(values, [1.0, 0.0])
