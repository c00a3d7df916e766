"""Whether a model's logits are its output layer on its decoder's states, so that a few positions can be asked alone."""

from __future__ import annotations

from typing import Any

from palaestra.errors import ConfigError

__all__ = ["check_output_layer"]


def check_output_layer(model: Any) -> None:
    """Compares the output layer on the decoder's states with the model's own logits.

    Args:
        model: A causal language model of transformers.

    Raises:
        ConfigError: They differ: this architecture does more with its logits (caps them, scales them).
    """
    import torch

    ids = torch.arange(1, 5, device=model.device)[None] % model.config.vocab_size
    with torch.no_grad():
        states = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        ours = model.get_output_embeddings()(states).float()
        theirs = model(input_ids=ids, use_cache=False).logits.float()
    gap = float((ours - theirs).abs().max() / theirs.abs().max())
    # Weights that are not finite are reported where they are met, by name.
    if gap > (1e-4 if model.dtype == torch.float32 else 3e-2):
        raise ConfigError(
            f"The logits of this architecture ({model.config.model_type}) are more than its output layer on its "
            f"decoder's states (they differ by {gap:.2g} of the largest), so it can be neither trained nor asked for "
            "beliefs here. TRL can train it."
        )
