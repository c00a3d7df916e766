"""Progress attribution on episodes whose true progress is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from palaestra.blobs import FolderBlobs
from palaestra.episodes import Completion, Turn
from palaestra.errors import ConfigError
from palaestra.harness.scoring import Rewards
from palaestra.models import FakeScorer
from palaestra.records import decode_value, encode_value
from palaestra.rewards.base import LearnedCredit, Models, check_requires
from palaestra.rewards.credit_batch import credit_batch
from palaestra.rewards.progress_estimator import ProgressEstimator
from palaestra.rewards.spa import ProgressAttribution, grounding, turn_features
from palaestra.rewards.weighted_sum import WeightedSum

MODELS = Models(FakeScorer())
SIZE = 6


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tiny matrices are slower on several threads, the more so on a busy machine."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Knowing(FakeScorer):
    """Hidden states of which the last token's says, among noise, what the turn was worth (token / 100 - 10)."""

    def hidden(self, sequences):
        found = []
        for ids in sequences:
            rng = np.random.default_rng(ids.tolist())
            states = rng.normal(size=(len(ids), SIZE)).astype(np.float32)
            states[:, 2] = 40 + 3 * (ids / 100 - 10)
            found.append(states)
        return found


def play(make_episode, rng, worth=None, **fields):
    """An episode whose outcome is the sum of what its turns were worth; the worth is in each turn's last token."""
    worth = rng.choice([-20, 0, 20, 40], rng.integers(1, 5)) if worth is None else np.array(worth)
    while worth.sum() < 0 or worth.sum() > 100:
        worth = np.abs(worth) // 2
    turns, length = [], 0
    for t, value in enumerate(worth):
        context = rng.integers(200, 300, 3).astype(np.int32)
        sample = np.array([*rng.integers(200, 300, 2), 1000 + value], np.int32)
        turns.append(Turn(t, "", completion=Completion(sample, np.zeros(3, np.float32), context, length)))
        length += 6
    outcome = None if fields.get("failed") else worth.sum() / 100
    return make_episode(turns, outcome=outcome, **fields), worth / 100


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_features_are_those_of_each_turns_last_token(make_episode, rng):
    episode, _ = play(make_episode, rng, [20, 0, 40])
    # Turn 3 loses its prefix, so a second sequence begins; turn 4 says nothing.
    cut = Completion(np.array([5, 30], np.int32), np.zeros(2, np.float32), np.array([1], np.int32), 4)
    episode = replace(episode, turns=[*episode.turns, Turn(3, "", completion=cut), Turn(4, "")])
    ((turns, features),) = turn_features([episode], FakeScorer(width=3))
    whole = np.concatenate([np.r_[t.completion.context_ids, t.completion.token_ids] for t in episode.turns[:3]])
    expected = FakeScorer(width=3).hidden([whole, np.array([*whole[:4], 1, 5, 30], np.int32)])
    assert turns.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(features, [*expected[0][[5, 11, 17]], expected[1][6]])


def test_before_the_first_update_the_outcome_is_shared_out(make_episode, rng):
    episode, _ = play(make_episode, rng, [20, 0, 40])
    silent = replace(episode, turns=[*episode.turns, Turn(3, "")])
    result = ProgressAttribution(alpha=2.0, beta=0.0)([silent], MODELS)
    np.testing.assert_allclose(result.values[0], [0.4, 0.4, 0.4, 0.0])
    np.testing.assert_allclose(result.terms["progress"].values[0], [0.2, 0.2, 0.2, 0.0])
    assert "spa/regression_error" not in result.metrics


def test_what_is_learned_is_the_progress(make_episode, rng):
    credit, models = ProgressAttribution(beta=0.0), Models(Knowing())
    for _ in range(4):
        metrics = credit.update([play(make_episode, rng)[0] for _ in range(60)], models)
    assert credit.version == 4 and metrics["spa/training_error"] < 0.1 * metrics["spa/outcome_variance"]
    fresh = [play(make_episode, rng) for _ in range(60)]
    result = credit([episode for episode, _ in fresh], models)
    found, true = np.concatenate(result.values), np.concatenate([worth for _, worth in fresh])
    assert np.corrcoef(found, true)[0, 1] > 0.95
    sums = np.array([values.sum() - episode.outcome for values, (episode, _) in zip(result.values, fresh, strict=True)])
    assert result.metrics["spa/regression_error"] == pytest.approx(np.mean(sums**2))
    assert result.metrics["spa/regression_error"] < 0.2 * np.var([episode.outcome for episode, _ in fresh])


def test_a_linear_head_finds_the_minimum_of_the_summed_error(make_episode, rng):
    """Against least squares on summed features, solved at once."""
    features = [rng.normal(size=(rng.integers(1, 5), SIZE)).astype(np.float32) for _ in range(80)]
    outcomes = rng.uniform(size=80)
    head = ProgressEstimator(width=0, lr=1e-2, weight_decay=0.0, epochs=300, batch_episodes=80)
    head.fit(features, outcomes)
    everything = np.concatenate(features).astype(np.float64)
    center, spread = everything.mean(0), everything.std(0)
    design = np.array([np.r_[((rows - center) / spread).sum(0), len(rows)] for rows in features])
    solution = np.linalg.lstsq(design, outcomes, rcond=None)[0]
    expected = [((rows - center) / spread) @ solution[:-1] + solution[-1] for rows in features]
    for rows, contributions in zip(features, expected, strict=True):
        np.testing.assert_allclose(head(rows), contributions, atol=0.01)


def test_grounding(make_episode, search):
    calls = [(search(),), (search(), search(status="error")), (), (search(status="rejected"),)]
    turns = [Turn(t, "", calls=made) for t, made in enumerate(calls)]
    assert grounding(make_episode(turns)).tolist() == [1, 0, 0, 0]


def test_terms_add_up(make_episode, rng, search):
    episode, _ = play(make_episode, rng, [20, 40])
    turns = [replace(episode.turns[0], calls=(search(),)), episode.turns[1]]
    credit = ProgressAttribution(alpha=2.0, beta=0.5, outcome_weight=3.0)
    result = credit([replace(episode, turns=turns)], MODELS)
    np.testing.assert_allclose(result.values[0], [2 * 0.3 + 0.5, 2 * 0.3 + 3 * 0.6])
    assert sorted(result.terms) == ["grounding", "outcome", "progress"]
    assert result.metrics == {"spa/without_tokens": 0.0, "spa/version": 0.0, "spa/grounding": 0.5}


def test_failed_episodes_teach_nothing(make_episode, rng):
    episodes = [play(make_episode, rng)[0] for _ in range(8)]
    failed = [play(make_episode, rng, failed=True)[0] for _ in range(3)]
    scripted, empty = make_episode(["look"], outcome=1.0), make_episode([], outcome=1.0)
    with_, without = ProgressAttribution(), ProgressAttribution()
    mixed = [failed[0], *episodes[:4], scripted, failed[1], *episodes[4:], empty, failed[2]]
    assert with_.update(mixed, MODELS) == without.update(episodes, MODELS)
    one, other = with_(mixed, MODELS), without(episodes, MODELS)
    kept = [values for values in one.values if values is not None]
    assert len(kept) == 8 and all(np.array_equal(a, b) for a, b in zip(kept, other.values, strict=True))
    assert one.metrics["spa/without_tokens"] == 1 and credit_batch(mixed, one).valid.sum() == 8
    assert with_.update(failed, MODELS) == {} and with_.version == 1


@pytest.mark.parametrize("width", [0, 5])
def test_it_resumes_exactly_through_a_checkpoint(make_episode, rng, tmp_path, width):
    steps = [[play(make_episode, rng)[0] for _ in range(10)] for _ in range(3)]
    blobs = FolderBlobs(tmp_path)
    one = ProgressAttribution(width=width, memory=15, epochs=2)
    for before in (None, 0, 1):
        if before is not None:
            one.update(steps[before], MODELS)
        other = ProgressAttribution(width=width, memory=15, epochs=2)
        other.load_state_dict(decode_value(json.loads(json.dumps(encode_value(one.state_dict(), blobs))), blobs))
        assert other.version == one.version
        for a, b in zip(one(steps[2], MODELS).values, other(steps[2], MODELS).values, strict=True):
            np.testing.assert_array_equal(a, b)
    assert one.update(steps[2], MODELS) == other.update(steps[2], MODELS)
    for a, b in zip(one(steps[0], MODELS).values, other(steps[0], MODELS).values, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(one.state_dict()["outcomes"]) == 15


def test_the_seed_is_all_the_chance_there_is(make_episode, rng):
    import torch

    episodes = [play(make_episode, rng)[0] for _ in range(12)]

    def trained(seed):
        torch.manual_seed(int(rng.integers(1000)))
        credit = ProgressAttribution(seed=seed)
        credit.update(episodes, MODELS)
        return np.concatenate(credit(episodes, MODELS).values)

    np.testing.assert_array_equal(trained(3), trained(3))
    assert np.abs(trained(3) - trained(4)).max() > 1e-6


def test_a_weighted_sum_trains_and_saves_its_terms(make_episode, rng):
    episodes = [play(make_episode, rng)[0] for _ in range(6)]
    total = WeightedSum({"spa": 1.0, "outcome": 2.0})
    assert isinstance(total, LearnedCredit)
    assert sorted(total.update(episodes, MODELS)) == ["spa/outcome_variance", "spa/training_error"]
    other = Rewards.of(["spa", "outcome:2"], MODELS).credit
    other.load_state_dict(total.state_dict())
    for a, b in zip(total(episodes, MODELS).values, other(episodes, MODELS).values, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ConfigError, match=r"The saved state has the terms \[\], 'credits' has \['spa'\]"):
        other.load_state_dict({})


def test_a_state_of_another_size_is_refused(make_episode, rng):
    credit = ProgressAttribution(width=5)
    credit.update([play(make_episode, rng)[0]], MODELS)
    with pytest.raises(ConfigError, match=r"has weights \[\(4, 5\), \(5,\), \(1,\)\], this one"):
        ProgressAttribution(width=6).load_state_dict(credit.state_dict())
    with pytest.raises(ConfigError, match="was trained on 4 features, got 7"):
        credit.update([play(make_episode, rng)[0]], Models(FakeScorer(width=7)))


def test_hidden_states_that_are_not_finite_are_no_lesson(make_episode, rng):
    class Broken(FakeScorer):
        def hidden(self, sequences):
            return [states * np.float32(np.nan) for states in super().hidden(sequences)]

    with pytest.raises(ConfigError, match="not finite; the model is broken"):
        ProgressAttribution().update([play(make_episode, rng)[0]], Models(Broken()))


def test_what_it_needs(make_episode):
    with pytest.raises(ConfigError, match="'hidden': give a language model that shows its hidden states"):
        check_requires(ProgressAttribution(), {"outcome", "calls", "scorer"})
    with pytest.raises(ConfigError, match="The reward 'spa' needs a scorer"):
        ProgressAttribution()([make_episode()], Models())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": np.inf}, "alpha is inf; it must be a finite number"),
        ({"width": -1}, "width is -1; it must be 0 or more"),
        ({"lr": 0.0}, "lr is 0.0; it must be above 0"),
        ({"memory": 0}, "memory is 0; it must be 1 or more"),
    ],
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(ConfigError, match=message):
        ProgressAttribution(**options)
