"""The packed pass over branches against a model with eager attention that reads every branch behind its own prefix."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.models import tree as tree_module
from palaestra.agents.models.packed import ATTENTION, register_attention
from palaestra.agents.models.scorer import TransformersScorer
from palaestra.agents.models.tree import TreeBatch
from palaestra.errors import ConfigError
from palaestra.models import Branch, Encoding, ScoreRequest
from palaestra.rewards.base import Models
from palaestra.rewards.igpo import InformationGain

VOCABULARY = 29


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tiny matrices are slower on several threads, the more so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_pair(kv_heads, dtype):
    """The same weights twice: as they are scored, and with eager attention."""
    from transformers import LlamaConfig, LlamaForCausalLM

    register_attention()
    torch.manual_seed(kv_heads)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    model = LlamaForCausalLM(config).to(dtype).eval()
    eager = copy.deepcopy(model)
    model.set_attn_implementation(ATTENTION)
    eager.set_attn_implementation("eager")
    return model, eager


def turn_by_turn(model, context, said):
    """Log-probabilities of `said` after `context`, read from the start, in double precision."""
    ids = torch.tensor([[*context, *said]], dtype=torch.long)
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0].double()
    scores = torch.log_softmax(logits, -1)
    return [float(scores[len(context) - 1 + i, token]) for i, token in enumerate(said)]


def tokens(rng, count):
    return rng.integers(0, VOCABULARY, count, dtype=np.int32)


def draw_requests(rng, contexts=(1, 9, 40, 23)):
    requests = []
    for length in contexts:
        cuts = sorted(int(at) for at in rng.integers(1, length + 1, rng.integers(1, 6)))
        branches = tuple(Branch(at, tokens(rng, rng.integers(0, 9))) for at in cuts)
        requests.append(ScoreRequest(tokens(rng, length), branches))
    return requests


def worst_gap(model, eager, requests, **options):
    found = TransformersScorer(model, **options).logprobs(requests)
    gaps = [0.0]
    for request, scores in zip(requests, found, strict=True):
        for branch, got in zip(request.branches, scores, strict=True):
            assert got.shape == branch.ids.shape and got.dtype == np.float32
            expected = turn_by_turn(eager, request.ids[: branch.at].tolist(), branch.ids.tolist())
            gaps.extend(np.abs(got - np.array(expected, np.float64)))
    return max(gaps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_one_pass_is_equal_to_turn_by_turn(kv_heads, dtype):
    model, eager = make_pair(kv_heads, dtype)
    rng = np.random.default_rng(0)
    for batch_tokens in (1, 60, 4096):
        assert worst_gap(model, eager, draw_requests(rng), batch_tokens=batch_tokens) < 1e-5


@pytest.fixture(scope="module")
def pair():
    return make_pair(2, torch.float64)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 30), min_size=1, max_size=4), st.sampled_from([1, 30, 4096]))
def test_whatever_the_branches(pair, seed, contexts, batch_tokens):
    requests = draw_requests(np.random.default_rng(seed), contexts)
    assert worst_gap(*pair, requests, batch_tokens=batch_tokens) < 1e-5


def see_siblings(tree):
    for part in tree.parts:
        if part.mask is not None:
            part.mask[:, part.context :] = True


def see_all_of_the_context(tree):
    for part in tree.parts:
        if part.mask is not None:
            part.mask[:, : part.context] = True


def stand_where_they_are(tree):
    for part, following in zip(tree.parts, [*[part.begin for part in tree.parts[1:]], len(tree.ids)], strict=True):
        tree.positions[part.begin : following] = torch.arange(following - part.begin)


def be_one_off(tree):
    tree.before = [[place - 1 for place in places] for places in tree.before]


@pytest.mark.parametrize("bug", [see_siblings, see_all_of_the_context, stand_where_they_are, be_one_off])
def test_planted_bugs_are_found_here_and_by_the_check(pair, monkeypatch, bug):
    plain = TreeBatch.__init__

    def planted(self, requests, device):
        plain(self, requests, device)
        bug(self)

    requests = draw_requests(np.random.default_rng(3))
    monkeypatch.setattr(TreeBatch, "__init__", planted)
    with pytest.raises(ConfigError, match="other hidden states when branches are scored"):
        TransformersScorer(pair[0]).logprobs(requests)
    monkeypatch.setattr("palaestra.agents.models.scorer.check_tree", lambda model: None)
    assert worst_gap(*pair, requests) > 1e-3


def test_contexts_are_read_once_and_not_beyond_their_last_branch(pair, monkeypatch):
    rows = []
    forward = tree_module.tree_forward
    monkeypatch.setattr(
        "palaestra.agents.models.scorer.tree_forward",
        lambda model, tree: rows.append(len(tree.ids)) or forward(model, tree),
    )
    rng = np.random.default_rng(1)
    request = ScoreRequest(tokens(rng, 30), tuple(Branch(at, tokens(rng, 4)) for at in (5, 11, 20)))
    scorer = TransformersScorer(pair[0], batch_tokens=70)
    scorer.logprobs([request])
    assert rows == [20 + 3 * 3]
    scorer.logprobs([request, request, request, request])
    assert rows[1:] == [2 * 29, 2 * 29]
    scorer.hidden([tokens(rng, 50), tokens(rng, 0), tokens(rng, 60), tokens(rng, 40)])
    assert rows[3:] == [50, 60, 40]


def test_the_model_is_left_as_it_was(pair):
    model = copy.deepcopy(pair[0]).train()
    request = ScoreRequest(tokens(np.random.default_rng(0), 4), (Branch(2, tokens(np.random.default_rng(1), 3)),))
    for attention in model.model.layers:
        attention.self_attn.attention_dropout = 0.5
    scored = TransformersScorer(model).logprobs([request])[0][0]
    assert model.training and scored == pytest.approx(TransformersScorer(pair[0]).logprobs([request])[0][0])
    with pytest.raises(ConfigError):
        TransformersScorer(model).logprobs([ScoreRequest(request.ids, (Branch(9, request.ids),))])
    assert model.training


def test_another_attention_is_refused(pair):
    with pytest.raises(ConfigError, match=r"needs the attention 'palaestra_packed'; this model's is 'eager'"):
        TransformersScorer(pair[1]).hidden([tokens(np.random.default_rng(0), 4)])


def test_a_context_beyond_a_sliding_window_is_refused(pair):
    model = copy.deepcopy(pair[0])
    model.config.sliding_window = 16
    scorer = TransformersScorer(model)
    scorer.hidden([tokens(np.random.default_rng(0), 16)])
    with pytest.raises(ConfigError, match="sees 16 tokens back; a context of 17 tokens"):
        scorer.hidden([tokens(np.random.default_rng(0), 17)])


def test_information_gain_of_a_real_model_turn_by_turn(pair):
    """Two episodes, one of which loses its prefix on the way; beliefs read from the start at every turn."""
    from palaestra.episodes import Completion, Episode, Turn

    class Letters(TransformersScorer):
        def encode(self, text):
            ends = np.arange(1, len(text) + 1)
            return Encoding(np.array([ord(c) - 96 for c in text], np.int32), np.stack([ends - 1, ends], 1))

    rng = np.random.default_rng(5)

    def dialogue(name, kept_of_turn):
        turns, contexts, history = [], [], np.zeros(0, np.int32)
        for t in range(4):
            kept = kept_of_turn.get(t, len(history))
            context, sample = tokens(rng, 7), tokens(rng, 5)
            contexts.append([*history[:kept].tolist(), *context.tolist()])
            turns.append(Turn(t, "", completion=Completion(sample, np.zeros(5, np.float32), context, kept)))
            history = np.concatenate([history[:kept], context, sample])
        episode = Episode(
            name,
            "g",
            "palaestra/Test-v0",
            {},
            None,
            0,
            0,
            "agent",
            "w",
            "terminated",
            [""] * 5,
            turns,
            outcome=1.0,
            privileged={"answers": ("lima",)},
        )
        return episode, contexts

    def say(answer):
        return f"is{answer}end", (2, 2 + len(answer))

    for pieces in ({}, {2: 9}):
        episode, contexts = dialogue("e", pieces)
        result = InformationGain()([episode], Models(Letters(pair[0]), render_answer=say))
        spoken = [ord(c) - 96 for c in "islima"]
        beliefs = [np.exp(np.mean(turn_by_turn(pair[1], context, spoken)[2:])) for context in contexts]
        np.testing.assert_allclose(result.values[0], [*np.diff(beliefs), 1.0], atol=1e-5)
        assert result.metrics["igpo/outcome_only"] == 0
