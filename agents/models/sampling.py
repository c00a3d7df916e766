"""Drawing the next token, as pure functions on rows of logits.

Each row has its own temperature, nucleus bound and uniform number, so a sequence draws the same tokens whatever else is
in its batch. What is recorded is the log-probability at the row's temperature before top-p: the policy that a learner
updates is `softmax(logits / temperature)`, and top-p only changes how it is explored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["broken_rows", "nucleus", "sample", "tempered_logprobs"]


def tempered_logprobs(logits: torch.Tensor, temperatures: Sequence[float]) -> torch.Tensor:
    """Log-probabilities of the policy at each row's temperature.

    Args:
        logits: float (n, V).
        temperatures: n of them, >= 0; 0 (greedy) has no distribution of its own and is reported at 1.

    Returns:
        float32 (n, V), `log softmax(logits / temperature)`.
    """
    import torch

    divisors = torch.tensor([value or 1.0 for value in temperatures], dtype=torch.float32, device=logits.device)
    return torch.log_softmax(logits.float() / divisors[:, None], dim=-1)


def nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """The smallest set of most likely tokens whose mass reaches `top_p` (Holtzman et al. 2020, "nucleus sampling").

    Args:
        probabilities: float (V,), summing to 1.
        top_p: In (0, 1].

    Returns:
        float (V,): the probabilities, those outside the set zero; not normalised. Never empty.
    """
    import torch

    if top_p >= 1:
        return probabilities
    # The likeliest few hundred nearly always suffice, and sorting a whole vocabulary takes ten times as long.
    ordered, order = torch.topk(probabilities, min(256, len(probabilities)))
    if ordered.double().sum() < top_p:
        ordered, order = torch.sort(probabilities, descending=True, stable=True)
    before = torch.cumsum(ordered.double(), 0) - ordered.double()
    kept = torch.zeros_like(probabilities)
    chosen = order[before < top_p]
    kept[chosen] = probabilities[chosen]
    return kept


def sample(
    logits: torch.Tensor, temperatures: Sequence[float], top_ps: Sequence[float], uniforms: Sequence[float]
) -> tuple[list[int], list[float]]:
    """One token a row, by inversion of the cumulative distribution.

    Args:
        logits: float (n, V), finite or -inf; see `broken_rows`.
        temperatures: n of them; 0 takes the most likely token.
        top_ps: n nucleus bounds in (0, 1].
        uniforms: n numbers in [0, 1), each from its own sequence's generator.

    Returns:
        n token ids and their log-probabilities as `tempered_logprobs` defines them.
    """
    if logits.device.type != "cpu":
        return _sample(logits, temperatures, top_ps, uniforms)
    # A row at a time stays within the processor's caches: several times faster than all at once.
    ids: list[int] = []
    logprobs: list[float] = []
    for row in range(len(logits)):
        here = slice(row, row + 1)
        drawn, scores = _sample(logits[here], temperatures[here], top_ps[here], uniforms[here])
        ids += drawn
        logprobs += scores
    return ids, logprobs


def _sample(
    logits: torch.Tensor, temperatures: Sequence[float], top_ps: Sequence[float], uniforms: Sequence[float]
) -> tuple[list[int], list[float]]:
    import torch

    logprobs = tempered_logprobs(logits, temperatures)
    probabilities = logprobs.exp()
    for row, (temperature, top_p) in enumerate(zip(temperatures, top_ps, strict=True)):
        if temperature > 0 and top_p < 1:
            probabilities[row] = nucleus(probabilities[row], top_p)
    # Single precision would round the tail of a large vocabulary away.
    cumulative = torch.cumsum(probabilities.double(), dim=-1)
    draws = torch.tensor(uniforms, dtype=torch.float64, device=logits.device)[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, draws, right=True).squeeze(-1)
    greedy = torch.tensor([temperature == 0 for temperature in temperatures], dtype=torch.bool, device=logits.device)
    ids = torch.where(greedy, logprobs.argmax(dim=-1), drawn)
    picked = logprobs.gather(-1, ids[:, None]).squeeze(-1)
    return ids.tolist(), picked.tolist()


def broken_rows(logits: torch.Tensor) -> list[bool]:
    """For each row of logits (n, V), whether no token can be drawn from it: it holds NaN or +inf, or only -inf."""
    import torch

    flags: list[bool] = (~torch.isfinite(logits.amax(dim=-1))).tolist()
    return flags
