from __future__ import annotations

import pytest
import torch

from palaestra.agents.learners.token_logprobs import checkpointed, token_logprobs
from palaestra.agents.models.output_layer import check_output_layer
from palaestra.errors import ConfigError


@pytest.fixture
def batch():
    rng = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 300, (3, 9), generator=rng)
    mask = torch.rand((3, 9), generator=rng) < 0.5
    mask[:, 0] = False
    mask[1, 6:] = False
    ids[1, 7:] = 0  # padding
    return ids, mask


def naive(model, ids, mask, temperature):
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].double() / temperature
    scores = torch.log_softmax(logits, -1)
    picked = scores.gather(-1, ids[:, 1:, None])[..., 0]
    entropy = -(scores.exp() * scores).sum(-1)
    pad = torch.zeros(len(ids), 1, dtype=torch.float64)
    return [torch.cat([pad, table * mask[:, 1:]], 1) for table in (picked, entropy)]


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: weights.grad.clone() for name, weights in model.named_parameters()}


@pytest.mark.parametrize("chunk", [1, 3, 256])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_equals_the_whole_softmax(make_model, batch, chunk, temperature, checkpointing):
    model, (ids, mask) = make_model(), batch
    factors = torch.linspace(-1, 1, 27).reshape(3, 9)
    expected, spread = naive(model, ids, mask, temperature)
    reference = gradients(model, (expected * factors).sum())
    with checkpointed(model, checkpointing):
        assert any(layer.training for layer in model.model.layers) == checkpointing
        scores, entropy = token_logprobs(model, ids, mask, temperature=temperature, entropy=True, chunk=chunk)
        found = gradients(model, (scores * factors).sum())
    assert not any(layer.training or layer.gradient_checkpointing for layer in model.model.layers)
    assert torch.allclose(scores.double(), expected, atol=1e-5)
    assert torch.allclose(entropy.double(), spread, atol=1e-5)
    assert not entropy.requires_grad
    assert (scores[~mask] == 0).all() and (entropy[~mask] == 0).all()
    for name, gradient in reference.items():
        assert torch.allclose(found[name], gradient, atol=1e-5), name


def test_padding_and_neighbours_do_not_matter(make_model, batch):
    model, (ids, mask) = make_model(), batch
    together, _ = token_logprobs(model, ids, mask)
    for row in range(3):
        alone, _ = token_logprobs(
            model, ids[row : row + 1, : 7 if row == 1 else 9], mask[row : row + 1, : 7 if row == 1 else 9]
        )
        assert torch.allclose(alone[0], together[row, : alone.shape[1]], atol=1e-5)


def test_no_token_asked_for(make_model, batch):
    model, (ids, mask) = make_model(), batch
    scores, entropy = token_logprobs(model, ids, torch.zeros_like(mask), entropy=True)
    assert (scores == 0).all() and (entropy == 0).all()


def test_logits_never_stand_whole(make_model):
    """What is kept for the backward pass does not grow with tokens x vocabulary once there is more than one chunk."""
    model = make_model(vocab_size=2000)
    ids = torch.randint(0, 2000, (4, 33))
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[:, 0] = False

    def largest_saved(chunk):
        sizes = []

        def note(tensor):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            token_logprobs(model, ids, mask, chunk=chunk)
        return max(sizes)

    assert largest_saved(1000) >= 128 * 2000
    assert largest_saved(16) <= 2000 * 32  # the embedding, nothing of 128 x 2000


def test_architectures_that_do_more_with_their_logits_are_refused(make_model):
    from transformers import Gemma2Config, Gemma2ForCausalLM, GraniteConfig, GraniteForCausalLM

    check_output_layer(make_model())
    check_output_layer(make_model().to(torch.bfloat16))
    sizes = {
        "vocab_size": 50,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "initializer_range": 0.3,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    torch.manual_seed(0)
    for model in (
        Gemma2ForCausalLM(Gemma2Config(**sizes, head_dim=8, final_logit_softcapping=30.0)),
        GraniteForCausalLM(GraniteConfig(**sizes, logits_scaling=4.0)),
    ):
        with pytest.raises(ConfigError, match=model.config.model_type):
            check_output_layer(model.eval())


def test_layers_that_drop_by_their_own_flag_do_not_drop(batch):
    """OPT's ask themselves, not a module within them, whether this is training."""
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 300, "hidden_size": 16, "ffn_dim": 16, "word_embed_proj_dim": 16}
    model = OPTForCausalLM(OPTConfig(**sizes, num_hidden_layers=2, num_attention_heads=2, dropout=0.5)).eval()
    ends = []
    for wanted in (False, True):
        with checkpointed(model, wanted):
            scores, _ = token_logprobs(model, *batch)
            ends.append((scores.detach(), gradients(model, scores.sum())))
        assert not any(module.training for module in model.modules())
    assert torch.equal(ends[0][0], ends[1][0])
    for name, gradient in ends[0][1].items():
        assert torch.allclose(gradient, ends[1][1][name], atol=1e-6)


def test_layers_without_checkpointing():
    with pytest.raises(ConfigError, match="Linear"), checkpointed(torch.nn.Linear(2, 2)):
        pass
    with checkpointed(torch.nn.Linear(2, 2), wanted=False):
        pass
