"""One forward pass over contexts and the branches that leave them.

All tokens stand in one row, without padding: of each request its context, then its branches. A context is plain causal
attention, for which there are kernels that never build a square of its length; the few tokens of the branches see their
context up to where they leave it, and their own branch. So a belief after every turn costs one reading of the episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from palaestra.errors import ConfigError
from palaestra.models import Branch, ScoreRequest

if TYPE_CHECKING:
    import torch

__all__ = ["TreeBatch", "attention_window", "check_tree", "tree_attention", "tree_forward"]


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Where a request stands in the row: its context from `begin`, and its branches behind that.

    Attributes:
        begin: Place of its first token.
        context: Number of its context's tokens.
        mask: bool (n, context + n), what each of the n tokens of its branches sees; None where there are none.
    """

    begin: int
    context: int
    mask: torch.Tensor | None


class TreeBatch:
    """What a pass and its attention must know of some requests.

    A branch's last token is scored and never run: nothing follows it.

    Args:
        requests: Each with a context of at least one token and branches that leave within it.
        device: Where the model is.

    Attributes:
        ids: int64 (N,), the row.
        positions: int64 (N,), of each token in its context or as if its branch followed there.
        parts: Where each request stands.
        before: For each request and branch, int64 (n,): places in the row after which its tokens are said.
    """

    def __init__(self, requests: Sequence[ScoreRequest], device: Any) -> None:
        import torch

        ids: list[Any] = []
        positions: list[Any] = []
        self.parts: list[_Part] = []
        self.before: list[list[torch.Tensor]] = []
        begin = 0
        for request in requests:
            context, run = len(request.ids), [branch.ids[:-1] for branch in request.branches]
            ends = np.cumsum([0, *map(len, run)])
            added = int(ends[-1])
            mask = np.zeros((added, context + added), bool)
            ids.extend((request.ids, *run))
            positions.append(np.arange(context))
            places = []
            for branch, start, end in zip(request.branches, ends[:-1], ends[1:], strict=True):
                mask[start:end, : branch.at] = True
                mask[start:end, context + start : context + end] = np.tri(end - start, dtype=bool)
                positions.append(branch.at + np.arange(end - start))
                own = begin + context + np.arange(start, end)
                places.append(torch.as_tensor(np.append(begin + branch.at - 1, own)[: len(branch.ids)], device=device))
            self.before.append(places)
            self.parts.append(_Part(begin, context, torch.as_tensor(mask, device=device) if added else None))
            begin += context + added
        self.ids = torch.as_tensor(np.concatenate(ids).astype(np.int64), device=device)
        self.positions = torch.as_tensor(np.concatenate(positions).astype(np.int64), device=device)


def tree_attention(
    tree: TreeBatch, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Attention within each request.

    Args:
        tree: The row of N tokens.
        query: (1, heads, N, width).
        key: (1, key-value heads, N, width).
        value: The same.
        scaling: Factor on the scores.

    Returns:
        (1, N, heads, width).
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    _, heads, total, width = query.shape
    shared = key.shape[1]
    group = heads // shared
    output = query.new_empty(total, heads, width)
    for part in tree.parts:
        own = slice(part.begin, part.begin + part.context)
        mixed = scaled_dot_product_attention(
            query[:, :, own], key[:, :, own], value[:, :, own], is_causal=True, scale=scaling, enable_gqa=group > 1
        )
        output[own] = mixed[0].transpose(0, 1)
        if part.mask is None:
            continue
        added, reach = part.mask.shape
        seen, rest = slice(part.begin, part.begin + reach), slice(own.stop, own.stop + added)
        # Queries that share a key-value head become rows of one head: keys and values are never repeated.
        mixed = scaled_dot_product_attention(
            query[:, :, rest].reshape(1, shared, group * added, width),
            key[:, :, seen],
            value[:, :, seen],
            attn_mask=part.mask.repeat(group, 1)[None, None],
            scale=scaling,
        )
        output[rest] = mixed.reshape(heads, added, width).transpose(0, 1)
    return torch.unsqueeze(output, 0)


def attention_window(config: Any) -> int | None:
    """How many tokens back a model's attention sees, by its configuration; None where it sees all."""
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    return int(window) if window else None


def tree_forward(model: Any, tree: TreeBatch) -> torch.Tensor:
    """Hidden states (N, D) of the whole row, after the last layer's norm.

    Args:
        model: A causal language model of transformers whose attention is `palaestra.agents.models.packed.ATTENTION`.
        tree: The row.

    Raises:
        ConfigError: A token would stand further from its context's start than the model's attention sees.
    """
    window, longest = attention_window(model.config), int(tree.positions.max()) + 1
    if window and longest > window:
        raise ConfigError(
            f"This model's attention sees {window} tokens back; a context of {longest} tokens cannot be scored."
        )
    states: torch.Tensor = model.get_decoder()(
        input_ids=tree.ids[None], position_ids=tree.positions[None], use_cache=False, packed=tree
    ).last_hidden_state
    return states[0]


def check_tree(model: Any) -> None:
    """Compares a small pass over two requests with plain ones.

    Args:
        model: A causal language model of transformers.

    Raises:
        ConfigError: Its attention is another, or does more than `tree_attention` knows.
    """
    import torch

    from palaestra.agents.models.packed import ATTENTION

    config = model.config
    if config._attn_implementation != ATTENTION:
        raise ConfigError(
            f"Scoring branches in one pass needs the attention '{ATTENTION}'; this model's is "
            f"'{config._attn_implementation}'. Load it with palaestra.agents.models.loading.load_language_model, or "
            "call register_attention() (palaestra.agents.models.packed) and model.set_attn_implementation(ATTENTION)."
        )
    one, other = (np.array(ids, np.int32) % config.vocab_size for ids in ([5, 3, 8, 2, 7], [4, 9, 4]))
    requests = [ScoreRequest(one, (Branch(3, other), Branch(5, other))), ScoreRequest(other, (Branch(1, one),))]
    worst = 0.0
    try:
        with torch.no_grad():
            tree = TreeBatch(requests, model.device)
            states = tree_forward(model, tree)
            for request, places in zip(requests, tree.before, strict=True):
                for branch, place in zip(request.branches, places, strict=True):
                    ids = np.concatenate([request.ids[: branch.at], branch.ids[:-1]]).astype(np.int64)
                    tokens = torch.as_tensor(ids, device=model.device)
                    plain = model.get_decoder()(input_ids=tokens[None], use_cache=False).last_hidden_state[0]
                    gap = (states[place] - plain[branch.at - 1 :]).float().abs().max()
                    worst = max(worst, float(gap / plain.float().abs().max()))
    except Exception as error:
        raise ConfigError(f"This model's architecture ({config.model_type}) cannot be scored here: {error}") from error
    if not worst < (1e-3 if model.dtype.itemsize >= 4 else 5e-2):
        raise ConfigError(
            f"This model's architecture ({config.model_type}) gives other hidden states when branches are scored in "
            f"one pass (by {worst:.3g}, relative)."
        )
