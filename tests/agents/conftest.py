from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from palaestra.agents.models.packed import ATTENTION, register_attention
from palaestra.agents.models.transformers_engine import TransformersEngine
from palaestra.agents.models.turns import Decoder

END = 0  # the tiny model's end of turn


def letters(ids: Any) -> str:
    """Token 1 is 'a', token 2 'b', ...; the end has no text."""
    return "".join(chr(96 + token) for token in ids if token != END)


@pytest.fixture(scope="session")
def tiny_model() -> Any:
    """Random weights, grouped heads, 27 tokens; large enough weights that its choices are far from uniform."""
    from transformers import LlamaConfig, LlamaForCausalLM

    register_attention()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=27,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=END,
    )
    model = LlamaForCausalLM(config).eval()
    model.set_attn_implementation(ATTENTION)
    return model


@pytest.fixture
def make_engine(tiny_model: Any) -> Iterator[Callable[..., TransformersEngine]]:
    """Engines around the tiny model, closed when the test ends."""
    engines: list[TransformersEngine] = []

    def make(model: Any = None, *, ends: Any = (END,), **options: Any) -> TransformersEngine:
        settings = {"context_window": 256, "max_wait": 0.0, "block_size": 4, "prefill_tokens": 16, **options}
        engine = TransformersEngine(model or tiny_model, Decoder(letters, ends, {END}), **settings)
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def smollm2() -> Any:
    """The real model, loaded once."""
    from palaestra.agents.models.loading import load_language_model

    return load_language_model("smollm2")


@pytest.fixture
def names() -> Iterator[str]:
    return (f"c{number}" for number in itertools.count())
