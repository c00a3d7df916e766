"""Low-rank adapters through peft, put into a model where it stands: whoever holds the model speaks with them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from palaestra.errors import ConfigError, MissingExtraError

__all__ = ["add_lora", "without_lora"]


def add_lora(model: Any, rank: int, alpha: float, seed: int) -> None:
    """Adds adapters to every linear layer but the output layer, and freezes everything else.

    They begin as no change at all: the second factor is zero (Hu et al. 2021, arXiv 2106.09685).

    Args:
        model: Of transformers; changed in place.
        rank: Of the adapters.
        alpha: Their outputs are scaled by alpha / rank.
        seed: Of the first factor.

    Raises:
        MissingExtraError: peft is not installed.
        ConfigError: peft cannot adapt this model.
    """
    import torch

    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingExtraError("Training low-rank adapters (lora_rank)", "train") from error
    # peft draws from torch's global generator, which is left as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            options: Any = LoraConfig  # declares alpha an integer, and takes any number
            config = options(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear")
            inject_adapter_in_model(config, model)
        except ValueError as error:
            raise ConfigError(f"peft cannot adapt {type(model).__name__}: {error}") from error


@contextlib.contextmanager
def without_lora(model: Any) -> Iterator[None]:
    """Within it, the model is what it was before `add_lora`."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
