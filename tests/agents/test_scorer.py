from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from palaestra.agents.models.packed import ATTENTION, register_attention
from palaestra.agents.models.scorer import TransformersScorer
from palaestra.errors import ConfigError
from palaestra.models import Branch, ScoreRequest


def ids(*tokens):
    return np.array(tokens, np.int32)


def one_by_one(model, tokens):
    """Log-probability of each token but the first, and the hidden state of each, run alone."""
    with torch.no_grad():
        out = model(input_ids=torch.tensor([tokens]), use_cache=False, output_hidden_states=True)
    logprobs = torch.log_softmax(out.logits[0].double(), -1)
    return [float(logprobs[i, token]) for i, token in enumerate(tokens[1:])], out.hidden_states[-1][0].numpy()


@pytest.mark.parametrize("batch_tokens", [1, 24, 4096])
def test_branches_and_hidden_states_are_those_of_single_passes(tiny_model, batch_tokens):
    rng = np.random.default_rng(0)
    scorer = TransformersScorer(tiny_model, batch_tokens=batch_tokens)
    requests = []
    for length in (5, 17, 1, 30):
        context = rng.integers(1, 27, length, dtype=np.int32)
        cuts = [1, length, (length + 1) // 2]
        branches = tuple(
            Branch(at, rng.integers(1, 27, size, dtype=np.int32)) for at, size in zip(cuts, (3, 0, 8), strict=True)
        )
        requests.append(ScoreRequest(context, branches))
    for request, scores in zip(requests, scorer.logprobs(requests), strict=True):
        for branch, got in zip(request.branches, scores, strict=True):
            expected, _ = one_by_one(tiny_model, [*request.ids[: branch.at].tolist(), *branch.ids.tolist()])
            assert got.dtype == np.float32
            assert got == pytest.approx(expected[branch.at - 1 :], abs=1e-5)
    sequences = [request.ids for request in requests] + [ids()]
    states = scorer.hidden(sequences)
    for sequence, got in zip(sequences[:-1], states, strict=False):
        assert got == pytest.approx(one_by_one(tiny_model, sequence.tolist())[1], abs=1e-5)
    assert states[-1].shape == (0, 32)


def test_the_version_is_that_of_the_weights(tiny_model):
    versions = iter([3, 4])
    scorer = TransformersScorer(tiny_model, version=lambda: next(versions))
    assert (scorer.version, scorer.version) == (3, 4)


def test_logits_that_are_more_than_the_output_layer_are_refused_and_hidden_states_are_not():
    from transformers import GraniteConfig, GraniteForCausalLM

    register_attention()
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    model = GraniteForCausalLM(GraniteConfig(**sizes, **heads, logits_scaling=8.0, initializer_range=0.3)).eval()
    model.set_attn_implementation(ATTENTION)
    scorer = TransformersScorer(model)
    with pytest.raises(ConfigError, match="granite"):
        scorer.logprobs([ScoreRequest(ids(1, 2, 3), (Branch(2, ids(1)),))])
    (states,) = scorer.hidden([ids(1, 2, 3)])
    assert states == pytest.approx(one_by_one(model, [1, 2, 3])[1], abs=1e-5)


@pytest.mark.parametrize("at", [0, 4])
def test_a_branch_outside_its_context_is_refused(tiny_model, at):
    with pytest.raises(ConfigError, match="leaves after 1 to 3 tokens"):
        TransformersScorer(tiny_model).logprobs([ScoreRequest(ids(1, 2, 3), (Branch(at, ids(1)),))])


@pytest.fixture(scope="module")
def byte_tokenizer():
    """A byte-level tokenizer with a few merges, as small models have."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(["the answer is Lima, the answer is Peru"] * 4, vocab_size=300, show_progress=False)
    return PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, bos_token="<s>", eos_token="</s>")


@given(st.text(alphabet=st.characters(codec=None), max_size=30))
@example("<answer>Lima</answer> ñandú 🦙 \ud83d")
def test_every_token_says_where_it_stands(tiny_model, byte_tokenizer, text):
    encoding = TransformersScorer(tiny_model, byte_tokenizer).encode(text)
    plain = text.encode("utf-8", "replace").decode()
    assert encoding.ids.tolist() == byte_tokenizer(plain, add_special_tokens=False)["input_ids"]
    covered = {i for start, end in encoding.offsets for i in range(start, end)}
    assert covered >= {i for i, letter in enumerate(text) if not letter.isspace()}
    assert encoding.offsets.shape == (len(encoding.ids), 2)


def test_encoding_needs_a_fast_tokenizer(tiny_model):
    with pytest.raises(ConfigError, match="needs a fast tokenizer of transformers; got none"):
        TransformersScorer(tiny_model).encode("Lima")
