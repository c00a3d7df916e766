"""A language model of under a million parameters with a tokenizer of its own: experiments in minutes, on one core.

It has Llama's architecture and is saved as transformers saves models, so whatever takes `transformers:FOLDER` takes it.
It knows nothing until it is trained: see `palaestra.agents.learners.warm_start`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palaestra.agents.models.loading import require_transformers
from palaestra.errors import ConfigError

__all__ = ["SmallConfig", "make_small_model", "make_small_tokenizer"]

_END, _USER, _ASSISTANT, _PAD = "<|end|>", "<|user|>", "<|assistant|>", "<|pad|>"
# Everyone but the assistant speaks as the user: a role token that training never shows would mean nothing.
_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|assistant|>' if message['role'] == 'assistant' else '<|user|>' }}{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True, slots=True)
class SmallConfig:
    """Sizes of a small model.

    Attributes:
        vocabulary: Tokens. Fewer make longer texts but let names be copied sooner.
        width: Of the hidden states.
        layers: At least two, or nothing can be copied by its context.
        heads: Attention heads; they divide the width.
        context_window: Most tokens of a dialogue.
        seed: Of the weights.

    Raises:
        ConfigError: Sizes that make no model.
    """

    vocabulary: int = 512
    width: int = 128
    layers: int = 3
    heads: int = 4
    context_window: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        if self.vocabulary < 300:
            raise ConfigError(f"vocabulary is {self.vocabulary}; the bytes alone need 256, so give at least 300.")
        for name in ("width", "layers", "heads", "context_window"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.width % (2 * self.heads):
            raise ConfigError(f"width is {self.width}; it must be a multiple of {2 * self.heads}, twice the heads.")


def make_small_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer with a chat template, trained on the texts; any text can be encoded.

    Digits are tokens by themselves, so numbers are copied digit by digit.
    """
    require_transformers("A small model")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    byte_level: Any = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = Tokenizer(models.BPE())
    pieces: Any = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    tokenizer.pre_tokenizer = pieces
    decoder: Any = decoders.ByteLevel()
    tokenizer.decoder = decoder
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[_PAD, _END, _USER, _ASSISTANT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    factory: Any = PreTrainedTokenizerFast
    return factory(
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        eos_token=_END,
        additional_special_tokens=[_USER, _ASSISTANT],
        chat_template=_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def make_small_model(texts: Iterable[str], folder: Path, config: SmallConfig | None = None) -> Path:
    """Writes an untrained small model and its tokenizer.

    Args:
        texts: What its tokenizer is trained on: texts as the model will read and write them.
        folder: Where to, as `save_pretrained` writes.
        config: Sizes.

    Returns:
        The folder.

    Raises:
        MissingExtraError: A package is missing.
    """
    config = config or SmallConfig()
    tokenizer = make_small_tokenizer(texts, config.vocabulary)
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    llama: Any = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.width,
        intermediate_size=3 * config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        max_position_embeddings=config.context_window,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model: Any = LlamaForCausalLM(llama)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
