"""Log-probabilities of given tokens, with gradient, at the cost of the tokens that matter.

The decoder runs over whole sequences; the output layer, by far the widest, meets only positions whose next token is
asked for, a chunk at a time. Where there is more than one chunk, a chunk's logits are computed again in the backward
pass, so (tokens x vocabulary) never stands in memory as a whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from palaestra.errors import ConfigError

if TYPE_CHECKING:
    import torch

__all__ = ["checkpointed", "token_logprobs"]

_LOGITS = 1 << 25


def token_logprobs(
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    *,
    temperature: float = 1.0,
    entropy: bool = False,
    chunk: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Logarithms of softmax(logits / temperature) at each token that the mask picks, given all tokens before it.

    Args:
        model: A causal language model of transformers whose logits are its output layer on its decoder's states; see
            `palaestra.agents.models.output_layer`.
        ids: int64 (B, L), padded on the right with any token: under causal attention nothing before sees it.
        mask: bool (B, L), which tokens are asked for; the first of a sequence has nothing before it and may not be.
        temperature: Above 0.
        entropy: Whether the entropy of each of these distributions is wanted, without gradient.
        chunk: Most positions that meet the vocabulary at once; by default so many that their logits take 128 MiB.

    Returns:
        float32 (B, L), 0 outside the mask, and the entropies in nats in the same shape, or None.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    # The last token's state predicts nothing that is there; nobody needs it.
    states = model.get_decoder()(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    wanted = mask[:, 1:]
    picked, targets = states[wanted], ids[:, 1:][wanted]
    head = model.get_output_embeddings()

    def score(part: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = head(part).float()
        if temperature != 1.0:
            logits = logits / temperature
        total = torch.logsumexp(logits, -1)
        scores = logits.gather(-1, tokens[:, None]).squeeze(-1) - total
        with torch.no_grad():
            spread = _entropy(logits, total) if entropy else torch.zeros_like(total)
        return scores, spread

    chunk = chunk or max(1, _LOGITS // int(model.config.vocab_size))
    again = torch.is_grad_enabled() and len(targets) > chunk
    pieces = []
    for part, tokens in zip(torch.split(picked, chunk), torch.split(targets, chunk), strict=True):
        pieces.append(
            checkpoint(score, part, tokens, use_reentrant=False, preserve_rng_state=False)
            if again
            else score(part, tokens)
        )
    full = states.new_zeros(ids.shape, dtype=torch.float32)
    spreads = full.clone() if entropy else None
    if pieces:
        rows, columns = wanted.nonzero(as_tuple=True)
        place = (rows, columns + 1)
        full = full.index_put(place, torch.cat([scores for scores, _ in pieces]))
        if spreads is not None:
            spreads = spreads.index_put(place, torch.cat([spread for _, spread in pieces]).detach())
    return full, spreads


def _entropy(logits: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    import torch

    weighted = torch.exp(logits - total[:, None]).mul_(logits)
    return total - torch.nansum(weighted, -1)  # 0 times -inf: a token that cannot be drawn


@contextlib.contextmanager
def checkpointed(model: Any, wanted: bool = True) -> Iterator[None]:
    """Within it, every layer of the model is computed again in the backward pass instead of being remembered.

    Only the layers' own flags are set, and not while they compute: no dropout learns that this is training.

    Args:
        model: A model of transformers.
        wanted: False does nothing.

    Raises:
        ConfigError: The model's layers cannot.
    """
    if not wanted:
        yield
        return
    from torch.utils.checkpoint import checkpoint
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise ConfigError(f"The layers of {type(model).__name__} know no gradient checkpointing; leave it off.")
    names = ("training", "gradient_checkpointing", "_gradient_checkpointing_func")
    before = [tuple(getattr(layer, name, None) for name in names) for layer in layers]

    def again(layer: Any, function: Any, *args: Any) -> Any:
        def evaluated(*args: Any) -> Any:
            layer.training = False
            try:
                return function(*args)
            finally:
                layer.training = True

        return checkpoint(evaluated, *args, use_reentrant=False, preserve_rng_state=False)

    def set_flags(layer: Any, values: tuple[Any, ...]) -> None:
        for name, value in zip(names, values, strict=True):
            setattr(layer, name, value)

    for layer in layers:
        set_flags(layer, (True, True, partial(again, layer)))
    try:
        yield
    finally:
        for layer, values in zip(layers, before, strict=True):
            set_flags(layer, values)
