"""One forward pass over pieces of many conversations, without padding.

All tokens of a step stand in one row: the linear layers see nothing else. Attention is where conversations part. The
function registered here (through transformers' attention interface) writes the new keys and values into the pool and
lets every token attend to its own slot: conversations that decode one token stand first, in the pool's leading slots,
and share one call; each prefill chunk has a call of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from palaestra.agents.models.kv_pool import KVPool
from palaestra.agents.models.tree import TreeBatch, attention_window, tree_attention
from palaestra.errors import ConfigError

if TYPE_CHECKING:
    import torch

__all__ = [
    "ATTENTION",
    "Chunk",
    "PackedBatch",
    "check_packed",
    "packed_attention",
    "packed_forward",
    "register_attention",
]

ATTENTION = "palaestra_packed"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one conversation to be run.

    Attributes:
        slot: Its place in the pool.
        start: How many of its tokens the slot holds already.
        ids: The tokens that follow; at least one.
        want_logits: Whether the distribution after the last of them is asked for.
    """

    slot: int
    start: int
    ids: Sequence[int]
    want_logits: bool


class PackedBatch:
    """What attention must know of a step.

    Args:
        pool: Keys and values.
        decoding: Chunks of one token each, the i-th in slot i.
        prefills: Chunks of any length in other slots.
    """

    def __init__(self, pool: KVPool, decoding: Sequence[Chunk], prefills: Sequence[Chunk]) -> None:
        import torch

        device = pool.device
        self.pool, self.decoding, self.prefills = pool, len(decoding), list(prefills)
        chunks = [*decoding, *prefills]
        self.chunks = chunks
        positions = [chunk.start + offset for chunk in chunks for offset in range(len(chunk.ids))]
        self.positions = torch.tensor(positions, device=device)
        self.slots = torch.tensor([chunk.slot for chunk in chunks for _ in chunk.ids], device=device)
        self.ids = torch.tensor([token for chunk in chunks for token in chunk.ids], device=device)
        self.longest = max((chunk.start + 1 for chunk in decoding), default=0)
        # (n, 1, 1, longest): a decoding token sees its slot up to and including itself.
        reach = torch.arange(self.longest, device=device)
        self.decode_mask = (reach <= self.positions[: self.decoding, None])[:, None, None, :]
        self.masks = []
        for chunk in prefills:
            size = len(chunk.ids)
            columns = torch.arange(chunk.start + size, device=device)
            self.masks.append(columns <= torch.arange(chunk.start, chunk.start + size, device=device)[:, None])


def packed_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    packed: PackedBatch | TreeBatch | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over the pool, or over a tree of branches; without `packed`, transformers' own causal attention.

    Args:
        module: The attention layer; its `layer_idx` names the pool's tensor.
        query: (1, heads, T, width), the step's tokens.
        key: (1, key-value heads, T, width).
        value: The same.
        attention_mask: Not used with `packed`.
        scaling: Factor on the scores.
        dropout: Passed on where there is no `packed`.
        packed: The step, or the tree.
        **kwargs: Passed on where there is no `packed`.

    Returns:
        (1, T, heads, width), and None for the weights.
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    if packed is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return plain
    if isinstance(packed, TreeBatch):
        return tree_attention(packed, query, key, value, scaling), None
    keys, values = packed.pool.layers[module.layer_idx]
    keys[packed.slots, :, packed.positions] = key[0].transpose(0, 1)
    values[packed.slots, :, packed.positions] = value[0].transpose(0, 1)

    _, heads, total, width = query.shape
    shared = key.shape[1]
    group = heads // shared
    output = query.new_empty(total, heads, width)
    # Queries that share a key-value head become rows of one head: keys and values are never repeated.
    if count := packed.decoding:
        rows = query[0, :, :count].transpose(0, 1).reshape(count, shared, group, width)
        mask = packed.decode_mask.expand(count, 1, group, packed.longest)
        reach = slice(0, packed.longest)
        mixed = scaled_dot_product_attention(
            rows, keys[:count, :, reach], values[:count, :, reach], attn_mask=mask, scale=scaling
        )
        output[:count] = mixed.reshape(count, heads, width)
    begin = packed.decoding
    for chunk, visible in zip(packed.prefills, packed.masks, strict=True):
        size = len(chunk.ids)
        rows = query[:, :, begin : begin + size].reshape(1, shared, group * size, width)
        reach = slice(0, chunk.start + size)
        mixed = scaled_dot_product_attention(
            rows,
            keys[None, chunk.slot, :, reach],
            values[None, chunk.slot, :, reach],
            attn_mask=visible.repeat(group, 1)[None, None],
            scale=scaling,
        )
        output[begin : begin + size] = mixed.reshape(heads, size, width).transpose(0, 1)
        begin += size
    return torch.unsqueeze(output, 0), None


def register_attention() -> None:
    """Makes `packed_attention` known to transformers under the name `ATTENTION`."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, packed_attention)


def packed_forward(model: Any, batch: PackedBatch) -> torch.Tensor:
    """Runs a step.

    Args:
        model: A causal language model of transformers whose attention is `ATTENTION`.
        batch: The step; its new keys and values are in the pool afterwards.

    Returns:
        Logits (n, V), a row for each chunk that wants them, in order.
    """
    import torch

    ends, wanted = 0, []
    for chunk in batch.chunks:
        ends += len(chunk.ids)
        if chunk.want_logits:
            wanted.append(ends - 1)
    logits: torch.Tensor = model(
        input_ids=batch.ids[None],
        position_ids=batch.positions[None],
        use_cache=False,
        logits_to_keep=torch.tensor(wanted, dtype=torch.long, device=batch.ids.device),
        packed=batch,
    ).logits[0]
    return logits


def check_packed(model: Any, pool: KVPool) -> None:
    """Compares a packed pass over two short conversations with plain ones.

    Args:
        model: A causal language model of transformers whose attention is `ATTENTION`.
        pool: The pool that it is to be used with; only its settings matter.

    Raises:
        ConfigError: They differ: this architecture does more in its attention than `packed_attention` knows.
    """
    import torch

    config = model.config
    sliding = attention_window(config)
    if sliding and pool.window > sliding:
        raise ConfigError(
            f"This model's attention sees {sliding} tokens back; a context_window of {pool.window} is more. "
            f"Give context_window={sliding}."
        )
    first, second = [token % config.vocab_size for token in (5, 3, 8, 2, 7)], [4 % config.vocab_size] * 3
    small = KVPool(
        pool.shape,
        max_bytes=2 * 8 * pool.shape.token_bytes,
        window=8,
        max_slots=2,
        capacity=8,
        dtype=pool.dtype,
        device=pool.device,
    )
    for _ in range(2):
        small.acquire(8)
    try:
        with torch.no_grad():
            packed_forward(model, PackedBatch(small, [], [Chunk(0, 0, first[:4], False)]))
            step = PackedBatch(small, [Chunk(0, 4, first[4:], True)], [Chunk(1, 0, second, True)])
            rows = list(packed_forward(model, step))
            worst = 0.0
            for row, ids in zip(rows, (first, second), strict=True):
                tokens = torch.tensor([ids], device=model.device)
                plain = model(input_ids=tokens, use_cache=False).logits[0, -1]
                gap = torch.softmax(row.float(), -1) - torch.softmax(plain.float(), -1)
                worst = max(worst, float(gap.abs().max()))
    except Exception as error:
        raise ConfigError(f"This model's architecture ({config.model_type}) cannot be batched here: {error}") from error
    if not worst < (1e-3 if model.dtype == torch.float32 else 5e-2):
        raise ConfigError(
            f"This model's architecture ({config.model_type}) gives other probabilities when batched here "
            f"(by {worst:.3g}). Serve it with an OpenAI-compatible server and use openai:MODEL@URL."
        )
