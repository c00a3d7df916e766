"""Loading language models with transformers, quietly."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palaestra.agents.models.turns import Decoder
from palaestra.errors import ConfigError, MissingExtraError

__all__ = [
    "LanguageModel",
    "dequantised",
    "load_language_model",
    "load_tokenizer",
    "make_decoder",
    "pick_device",
    "pick_dtype",
    "quietly",
    "require_transformers",
]


@dataclass(slots=True)
class LanguageModel:
    """A model, its tokenizer, and what a manifest should say of them.

    Attributes:
        model: A causal language model of transformers, in evaluation mode.
        tokenizer: Its tokenizer.
        name: Of the model, for people.
        precision: Of the weights as stored and as computed with.
    """

    model: Any
    tokenizer: Any
    name: str
    precision: str

    def decoder(self) -> Decoder:
        """How its tokens become text, and which end a turn."""
        generation = getattr(self.model, "generation_config", None)
        return make_decoder(self.tokenizer, self.model.config.eos_token_id, getattr(generation, "eos_token_id", None))


def make_decoder(tokenizer: Any, *ends: int | Sequence[int] | None) -> Decoder:
    """How a tokenizer's ids become text, and which end a turn.

    Args:
        tokenizer: Of transformers; its own end of a text always ends a turn.
        *ends: Further ids that do, as configurations hold them.
    """
    special = frozenset(tokenizer.all_special_ids)
    found: set[int] = set()
    for given in (tokenizer.eos_token_id, *ends):
        found.update([given] if isinstance(given, int) else given or [])
    # Small models often end with the token that separated documents in their training.
    found.update(token for token in special if tokenizer.convert_ids_to_tokens(token) == "<|endoftext|>")

    def decode(ids: Any) -> str:
        text: str = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    return Decoder(decode, frozenset(found), special)


def require_transformers(what: str) -> None:
    """Checks, without importing them, that the packages of the extra `transformers` are there.

    Raises:
        MissingExtraError: One is not.
    """
    if any(importlib.util.find_spec(name) is None for name in ("torch", "transformers", "accelerate", "gguf")):
        raise MissingExtraError(what, "transformers")


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silences progress bars and warnings of transformers while it loads."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def pick_device(device: str | None) -> Any:
    """The torch device of this name; by default CUDA where there is one, else the CPU.

    Raises:
        ConfigError: There is no such device here.
    """
    import torch

    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"'{name}' is no device that torch knows; use cpu, cuda or cuda:0.") from error
    if picked.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device '{name}' was asked for, but torch sees no CUDA device here; use cpu.")
    return picked


def pick_dtype(dtype: str | None, device: Any) -> Any:
    """The torch dtype of this name; by default bfloat16 on CUDA and float32 elsewhere.

    Raises:
        ConfigError: No such floating dtype.
    """
    import torch

    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    name = dtype or ("bfloat16" if device.type == "cuda" else "float32")
    if name not in known:
        raise ConfigError(f"dtype must be one of {', '.join(known)}, got '{name}'.")
    return known[name]


def dequantised(model: Any) -> Any:
    """A plain model with the numbers of one that was loaded from GGUF.

    transformers takes those for still quantised, and refuses to save, move or train them.
    """
    import copy

    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    factory: Any = AutoModelForCausalLM
    plain = factory.from_config(config, dtype=model.dtype)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    return plain.eval()


def load_language_model(name: str, *, device: str | None = None, dtype: str | None = None) -> LanguageModel:
    """Loads a model and its tokenizer.

    Args:
        name: `smollm2`; a folder as `save_pretrained` writes it; a `.gguf` file; or a name on the model hub.
        device: `cpu`, `cuda`, ...; by default CUDA where there is one.
        dtype: `float32`, `bfloat16` or `float16`; by default bfloat16 on CUDA and float32 elsewhere.

    Raises:
        ConfigError: Nothing can be loaded from there.
        MissingExtraError: A package is missing.
    """
    require_transformers(f"The agent 'transformers:{name}'")
    from palaestra.agents.models.packed import ATTENTION, register_attention

    place, number = pick_device(device), pick_dtype(dtype, pick_device(device))
    computed = str(number).removeprefix("torch.")
    register_attention()
    if name == "smollm2":
        from palaestra.agents.models.smollm2 import load_smollm2

        model, tokenizer = load_smollm2()
        title, precision = "SmolLM2-135M-Instruct", f"4-bit (Q4_1), computed in {computed}"
    else:
        model, tokenizer = _load(name)
        title, precision = Path(name).stem if name.endswith(".gguf") else name, computed
    model.set_attn_implementation(ATTENTION)
    return LanguageModel(model.to(device=place, dtype=number).eval(), tokenizer, title, precision)


def load_tokenizer(name: str) -> tuple[Any, Decoder]:
    """Loads the tokenizer of a model that runs elsewhere, and how its ids become text.

    Args:
        name: As in `load_language_model`; a folder needs no weights.

    Raises:
        ConfigError: Nothing can be loaded from there.
        MissingExtraError: transformers is not installed.
    """
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtraError(f"The tokenizer of '{name}'", "transformers")
    if name == "smollm2":
        from palaestra.agents.models.smollm2 import load_smollm2

        model, tokenizer = load_smollm2()
        return tokenizer, make_decoder(tokenizer, model.config.eos_token_id)
    source, options = _place(name)
    from transformers import AutoTokenizer, GenerationConfig

    try:
        with quietly():
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except Exception as error:
        raise ConfigError(
            f"transformers cannot load a tokenizer from '{name}': {type(error).__name__}: {error}"
        ) from error
    ends = None
    with contextlib.suppress(Exception), quietly():  # many have none
        ends = GenerationConfig.from_pretrained(source).eos_token_id
    return tokenizer, make_decoder(tokenizer, ends)


def _place(name: str) -> tuple[str, dict[str, str]]:
    """What transformers loads from, and its options."""
    path = Path(name).expanduser()
    if not path.exists() and (name.startswith((".", "/", "~")) or name.count("/") != 1):
        raise ConfigError(
            f"There is no model '{name}'. Use smollm2, the path of a folder written by save_pretrained, of a .gguf "
            "file, or a name on the model hub such as 'organisation/model'."
        )
    if path.is_file():
        return str(path.parent), {"gguf_file": path.name}
    return (str(path) if path.exists() else name), {}


def _load(name: str) -> tuple[Any, Any]:
    source, options = _place(name)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with quietly():
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
            model = AutoModelForCausalLM.from_pretrained(source, dtype="auto", **options)
            model = dequantised(model) if options else model
    except Exception as error:
        raise ConfigError(
            f"transformers cannot load a language model from '{name}': {type(error).__name__}: {error}"
        ) from error
    return model, tokenizer
