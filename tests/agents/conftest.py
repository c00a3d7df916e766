from __future__ import annotations

import itertools
import socket
import threading
import time
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


TEXTS = ("the river flows through the city of the north", "<a>search</a> and find what the answer is", "one two three")
TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def byte_tokenizer() -> Any:
    """A real one: bytes and some pieces of texts, with an end of turn (0) and a start of turn (1)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|end|>", "<|start|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False, min_frequency=1
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=special[0], bos_token=special[1], clean_up_tokenization_spaces=False
    )
    fast.chat_template = TEMPLATE
    return fast


@pytest.fixture(scope="session")
def byte_model(byte_tokenizer: Any) -> Any:
    """Random weights for that tokenizer; what it says is random bytes, most of which are no text."""
    from transformers import LlamaConfig, LlamaForCausalLM

    register_attention()
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(byte_tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.25,
        bos_token_id=None,
        eos_token_id=END,
    )
    model = LlamaForCausalLM(config).eval()
    model.set_attn_implementation(ATTENTION)
    return model


class Serving:
    """An application served over real HTTP on this machine, in a thread, until it is closed."""

    def __init__(self, app: Any) -> None:
        import uvicorn

        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]})
        self.thread.start()
        while not self.server.started:
            time.sleep(0.005)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture(scope="module")
def serving() -> Iterator[Callable[[Any], Serving]]:
    """Serves applications, until the module's tests are done."""
    servers: list[Serving] = []

    def serve(app: Any) -> Serving:
        servers.append(Serving(app))
        return servers[-1]

    yield serve
    for server in servers:
        server.server.should_exit = True
    for server in servers:
        server.close()
