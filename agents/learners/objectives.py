"""Policy-gradient objectives for language models, as pure functions of token log-probabilities.

Shapes: B sequences, padded to L tokens. `mask` is true on the tokens that the policy sampled; nothing else enters a
loss, a ratio or a normaliser. Every loss here is

    loss = sum_i sum_t mask_it * w_i * l_it

where l_it is a token's loss and w_i comes from `sequence_weights`: the normaliser stands in one place, is computed over
everything that shares an optimizer step, and so does not depend on how the step is cut into micro-batches. Sequences
without a sampled token have no weight and count in no normaliser.

With rho_it = exp(log pi - log pi_old), A the advantage, o_i the sampled tokens of rollout i, N rollouts:

| objective    | token loss l_it                           | weight w_i          | clip (low, high) |
|--------------|-------------------------------------------|---------------------|------------------|
| `grpo`       | -min(rho A, clip(rho) A)                  | 1 / (N |o_i|)       | 0.2, 0.2         |
| `dr_grpo`    | the same                                  | 1 / (N L_max)       | 0.2, 0.2         |
| `dapo`       | the same                                  | 1 / sum_j |o_j|     | 0.2, 0.28        |
| `gspo`       | -min(s A, clip(s) A), s = exp(mean log rho) | 1 / (N |o_i|)     | 3e-4, 4e-4       |
| `gspo_token` | the same value, each token with a gradient of its own | 1 / (N |o_i|) | 3e-4, 4e-4   |
| `rloo`       | -rho A                                    | 1 / N               | none             |

plus beta * KL(pi || reference) by the k3 estimator, which no truncated weight and no clip touches. Differentiated as it
stands, as in GRPO's paper, k3 has the gradient of the other direction of the KL; `unbiased_kl` multiplies it by the
ratio, gradient included, which makes it that of KL(pi || reference) (DeepSeek-V3.2, arXiv 2512.02556; TRL's default).

Sources: GRPO, Shao et al. 2024 (arXiv 2402.03300); Dr. GRPO, Liu et al. 2025 (arXiv 2503.20783); DAPO, Yu et al. 2025
(arXiv 2503.14476); GSPO, Zheng et al. 2025 (arXiv 2507.18071); RLOO, Ahmadian et al. 2024 (arXiv 2402.14740); k3,
Schulman 2020, "Approximating KL divergence". Where a rollout had to be cut into several sequences, |o_i| and N count
rollouts; the sequence ratio of GSPO is over each sequence. RLOO's paper is on-policy with the whole rollout as one
action; the per-token ratio here has the same gradient on-policy and lets advantages differ within a rollout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from palaestra.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    import torch

__all__ = [
    "Objective",
    "ObjectiveConfig",
    "importance_ratio",
    "kl_k3",
    "policy_loss",
    "sequence_weights",
    "truncated_weights",
]

Objective = Literal["grpo", "dr_grpo", "dapo", "gspo", "gspo_token", "rloo"]

_CLIPS: dict[str, tuple[float | None, float | None]] = {
    "grpo": (0.2, 0.2),
    "dr_grpo": (0.2, 0.2),
    "dapo": (0.2, 0.28),
    "gspo": (3e-4, 4e-4),
    "gspo_token": (3e-4, 4e-4),
    "rloo": (None, None),
}


@dataclass(frozen=True, slots=True)
class ObjectiveConfig:
    """Which loss.

    Attributes:
        name: See the table above.
        eps_low: The ratio is clipped from below at 1 - eps_low; None takes the objective's own.
        eps_high: The ratio is clipped from above at 1 + eps_high; None takes the objective's own.
        beta: Coefficient of the KL to the reference; 0 for none.
        max_length: Dr. GRPO's constant L_max, the most tokens that a rollout may sample; needed there only.
        truncated_importance: C of the weights min(pi_old / pi_sampler, C) for samples whose sampler was not quite
            pi_old (an older version, another engine, another precision); None leaves them out.
        unbiased_kl: Whether the KL's estimate is multiplied by the ratio; see above.

    Raises:
        UnknownNameError: There is no such objective.
        ConfigError: A value outside its range.
    """

    name: Objective = "grpo"
    eps_low: float | None = None
    eps_high: float | None = None
    beta: float = 0.0
    max_length: int | None = None
    truncated_importance: float | None = 2.0
    unbiased_kl: bool = False

    def __post_init__(self) -> None:
        if self.name not in get_args(Objective):
            raise UnknownNameError("objective", self.name, get_args(Objective))
        for what, eps, top in (("eps_low", self.eps_low, 1.0), ("eps_high", self.eps_high, float("inf"))):
            if eps is not None and not 0 < eps <= top:
                raise ConfigError(f"{what} is {eps}; it must lie in (0, {top:g}], or be left out for the default.")
        if not 0 <= self.beta < float("inf"):
            raise ConfigError(f"beta is {self.beta}; it must be 0 (no KL) or a positive number.")
        if self.name == "dr_grpo" and not (self.max_length or 0) >= 1:
            raise ConfigError("dr_grpo divides by a constant: give max_length, the most tokens a rollout may sample.")
        if self.truncated_importance is not None and not self.truncated_importance >= 1:
            raise ConfigError(
                f"truncated_importance is {self.truncated_importance}; it must be at least 1 (2 is usual), or None."
            )

    @property
    def clip(self) -> tuple[float | None, float | None]:
        """(low, high); None where there is no bound."""
        low, high = _CLIPS[self.name]
        return (low if self.eps_low is None else self.eps_low, high if self.eps_high is None else self.eps_high)


def sequence_weights(
    tokens: torch.Tensor, config: ObjectiveConfig, rollouts: torch.Tensor | None = None
) -> torch.Tensor:
    """What a token's loss counts, by sequence: the normaliser of a whole optimizer step.

    Args:
        tokens: int (n,), how many sampled tokens each sequence has.
        config: Which objective.
        rollouts: int (n,), which rollout each sequence is of; by default each is one of its own.

    Returns:
        float32 (n,); 0 where there are no tokens.
    """
    import torch

    rollouts = torch.arange(len(tokens), device=tokens.device) if rollouts is None else rollouts
    said = tokens > 0
    weights = torch.zeros(len(tokens), dtype=torch.float32, device=tokens.device)
    if not said.any():
        return weights
    _, index = torch.unique(rollouts[said], return_inverse=True)
    totals = torch.zeros(int(index.max()) + 1, dtype=tokens.dtype, device=tokens.device)
    totals = totals.index_add(0, index, tokens[said])
    match config.name:
        case "grpo" | "gspo" | "gspo_token":
            divisor = len(totals) * totals[index]
        case "dr_grpo":
            assert config.max_length is not None
            divisor = torch.full_like(index, len(totals) * config.max_length)
        case "dapo":
            divisor = totals.sum().expand(len(index))
        case "rloo":
            divisor = torch.full_like(index, len(totals))
    weights[said] = 1.0 / divisor.float()
    return weights


def importance_ratio(log_ratio: torch.Tensor, mask: torch.Tensor, name: Objective) -> torch.Tensor:
    """The ratio of new to old policy that an objective clips.

    Args:
        log_ratio: float (B, L), log pi - log pi_old, 0 outside the mask.
        mask: bool (B, L).
        name: The objective.

    Returns:
        float (B, L), or (B, 1) for `gspo`.
    """
    import torch

    if name not in ("gspo", "gspo_token"):
        return torch.exp(log_ratio)
    sequence = log_ratio.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    if name == "gspo":
        return torch.exp(sequence)
    # The value of the sequence's ratio with the gradient of the token's.
    return torch.exp(sequence.detach() + log_ratio - log_ratio.detach())


def kl_k3(logprobs: torch.Tensor, ref_logprobs: torch.Tensor) -> torch.Tensor:
    """exp(d) - d - 1 with d = log ref - log pi: never negative, and unbiased for KL(pi || ref) on samples of pi."""
    import torch

    difference = ref_logprobs - logprobs
    return torch.exp(difference) - difference - 1


def truncated_weights(old_logprobs: torch.Tensor, sampler_logprobs: torch.Tensor, bound: float) -> torch.Tensor:
    """min(pi_old / pi_sampler, bound), token by token."""
    import torch

    return torch.exp(old_logprobs - sampler_logprobs).clamp(max=bound)


def policy_loss(
    logprobs: torch.Tensor,
    old_logprobs: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    config: ObjectiveConfig,
    ref_logprobs: torch.Tensor | None = None,
    sampler_logprobs: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of B sequences, or of the micro-batch of a larger step that they are.

    Args:
        logprobs: float (B, L), log pi of each token, with gradient; anything outside the mask.
        old_logprobs: float (B, L), of the policy that the ratio is taken to; no gradient.
        advantages: float (B,) or (B, L).
        mask: bool (B, L), the sampled tokens.
        config: Which loss.
        ref_logprobs: float (B, L), of the reference; needed where beta is above 0.
        sampler_logprobs: float (B, L), of whatever sampled; None where that was `old_logprobs`.
        weights: float (B,), from `sequence_weights` over the whole step; by default this is the whole step and each
            sequence a rollout.

    Returns:
        The loss, and sums over sampled tokens (divide by `tokens`), detached: `tokens`, `ratio`, `update_kl`
        (k3 of old to new), `clip_low` and `clip_high` (tokens without gradient for that reason), `kl` where there is
        a reference, `importance` (the truncated weight) and `importance_truncated` where there is a sampler.

    Raises:
        ConfigError: beta is above 0 and there is no reference.
    """
    import torch

    if config.beta > 0 and ref_logprobs is None:
        raise ConfigError(
            f"beta is {config.beta}, and there are no log-probabilities of a reference. Give a reference."
        )
    if weights is None:
        weights = sequence_weights(mask.sum(-1), config)
    if advantages.dim() == 1:
        advantages = advantages[:, None]

    def within(values: torch.Tensor) -> torch.Tensor:
        return torch.where(mask, values, torch.zeros((), dtype=values.dtype, device=values.device))

    log_ratio = within(logprobs - old_logprobs)
    ratio = importance_ratio(log_ratio, mask, config.name)
    low, high = config.clip
    token_loss = -ratio * advantages
    if low is not None or high is not None:
        clipped = ratio.clamp(None if low is None else 1 - low, None if high is None else 1 + high)
        token_loss = torch.maximum(token_loss, -clipped * advantages)
    with torch.no_grad():
        metrics: dict[str, torch.Tensor] = {
            "tokens": mask.sum(),
            "ratio": within(ratio.expand_as(mask)).sum(),
            "update_kl": within(torch.exp(log_ratio) - log_ratio - 1).sum(),
        }
        below, above = ratio < 1 - (low or float("inf")), ratio > 1 + (high or float("inf"))
        metrics["clip_low"] = (below & (advantages < 0) & mask).sum()
        metrics["clip_high"] = (above & (advantages > 0) & mask).sum()
    if sampler_logprobs is not None and config.truncated_importance is not None:
        with torch.no_grad():
            bound = config.truncated_importance
            importance = truncated_weights(within(old_logprobs), within(sampler_logprobs), bound)
            metrics["importance"] = within(importance).sum()
            metrics["importance_truncated"] = ((importance >= bound) & mask).sum()
        token_loss = token_loss * importance
    if ref_logprobs is not None:
        divergence = kl_k3(within(logprobs), within(ref_logprobs))
        metrics["kl"] = divergence.detach().sum()
        if config.beta > 0:
            token_loss = token_loss + config.beta * (divergence * ratio if config.unbiased_kl else divergence)
    loss = (within(token_loss.expand_as(mask)) * weights[:, None]).sum()
    return loss, metrics
