"""The group-policy learner: one policy-gradient update after another from groups of rollouts.

It shares its model with the engine that samples: there is no copy of the weights, and after an update the engine only
has to hear the new version.

An update goes so:

1. Old log-probabilities. Where a sequence was sampled by these very weights, at the temperature that is trained and in
   full precision, they are the sampler's; else they are computed once with the weights as they stand before the update.
   In the latter case `truncated_importance` weighs what the sampler drew differently.
2. `epochs` passes over the rollouts, each in `minibatches` optimizer steps. The normaliser of a step is computed over
   all its rollouts, its gradient is accumulated over micro-batches of at most `max_tokens` tokens.
3. Before every optimizer step, log-probabilities and gradients must be finite; else `NotFiniteError`, and the weights
   are those of the last sound step.

Rollouts whose advantages are all 0 and that no KL touches count in the normaliser and are not run: their gradient is 0.
Where nothing at all is left to learn (equal rewards everywhere), nothing is changed and `steps` is 0.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from palaestra.agents.learners.batch import PolicySequence, micro_batches, padded
from palaestra.agents.learners.lora import add_lora, without_lora
from palaestra.agents.learners.objectives import Objective, ObjectiveConfig, policy_loss, sequence_weights
from palaestra.agents.learners.optimizer import GuardedAdamW, broken_weights, computing_in, mixes
from palaestra.agents.learners.token_logprobs import checkpointed, token_logprobs
from palaestra.agents.models.output_layer import check_output_layer
from palaestra.errors import ConfigError, NotFiniteError

if TYPE_CHECKING:
    import torch

__all__ = ["GroupPolicyConfig", "GroupPolicyLearner"]


@dataclass(frozen=True, slots=True)
class GroupPolicyConfig:
    """How a policy is updated.

    Attributes:
        objective: See `palaestra.agents.learners.objectives`.
        lr: Learning rate.
        warmup: Optimizer steps over which the learning rate grows from 0; then it is constant.
        eps_low: Lower clip; None takes the objective's own.
        eps_high: Upper clip; None takes the objective's own.
        beta: Coefficient of the KL to the reference; 0 for none.
        unbiased_kl: Whether the KL's gradient is that of KL(policy || reference); see the objectives.
        truncated_importance: C of the weights min(pi_old / pi_sampler, C); 0 for none.
        max_length: Dr. GRPO's constant length; needed there only.
        temperature: Of the policy that is trained: that at which it is sampled.
        epochs: Passes over the rollouts of an update.
        minibatches: Optimizer steps a pass.
        max_tokens: Most tokens of a forward pass, padding included; changes speed and memory, not the result.
        weight_decay: Of matrices.
        adam_beta1: Decay of the first moment.
        adam_beta2: Decay of the second moment.
        grad_clip: Largest norm of the gradient; 0 for no bound.
        gradient_checkpointing: Trades a third more time for much less memory.
        lora_rank: Rank of low-rank adapters, which are then all that is trained; 0 trains the weights themselves.
        lora_alpha: The adapters' outputs are scaled by alpha / rank; 0 takes twice the rank.
        dtype: Of forward passes, `float32` or `bfloat16`; see `computing_in`.
        old_logprobs: `auto` as described above, `sampler` to trust the sampler's wherever version and temperature fit,
            `recompute` never to.
        seed: Of the order of rollouts, and of adapters.

    Raises:
        ConfigError: A value outside its range.
        UnknownNameError: There is no such objective.
    """

    objective: Objective = "grpo"
    lr: float = 1e-6
    warmup: int = 0
    eps_low: float | None = None
    eps_high: float | None = None
    beta: float = 0.0
    unbiased_kl: bool = False
    truncated_importance: float = 2.0
    max_length: int | None = None
    temperature: float = 1.0
    epochs: int = 1
    minibatches: int = 1
    max_tokens: int = 8192
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    grad_clip: float = 1.0
    gradient_checkpointing: bool = False
    lora_rank: int = 0
    lora_alpha: float = 0.0
    dtype: str | None = None
    old_logprobs: Literal["auto", "sampler", "recompute"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"epochs": 1, "minibatches": 1, "max_tokens": 1, "warmup": 0, "lora_rank": 0}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}.")
        if not 0 < self.lr < math.inf:
            raise ConfigError(f"lr is {self.lr}; it must be a positive number.")
        if not 0 < self.temperature < math.inf:
            raise ConfigError(f"temperature is {self.temperature}; a policy that is trained is sampled above 0.")
        if not self.grad_clip >= 0:
            raise ConfigError(f"grad_clip is {self.grad_clip}; it must be positive, or 0 for no bound.")
        if self.old_logprobs not in ("auto", "sampler", "recompute"):
            raise ConfigError(f"old_logprobs is '{self.old_logprobs}'; use 'auto', 'sampler' or 'recompute'.")
        if self.dtype not in (None, "", "float32", "bfloat16"):
            raise ConfigError(f"dtype is '{self.dtype}'; use 'float32' or 'bfloat16', or leave it out.")
        _ = self.loss

    @property
    def loss(self) -> ObjectiveConfig:
        """The part of this that the objective sees."""
        return ObjectiveConfig(
            name=self.objective,
            eps_low=self.eps_low,
            eps_high=self.eps_high,
            beta=self.beta,
            max_length=self.max_length,
            truncated_importance=self.truncated_importance or None,
            unbiased_kl=self.unbiased_kl,
        )


@dataclass(slots=True, eq=False)
class _Rollout:
    """A sequence with what does not change during an update."""

    sequence: PolicySequence
    old: NDArray[np.float32] | None  # None: as computed in the one pass that there is
    reference: NDArray[np.float32] | None = None


class GroupPolicyLearner:
    """See the top of this file.

    Args:
        model: A causal language model of transformers; changed in place, without dropout.
        config: How.
        reference: The model that the KL keeps the policy near, where beta is above 0. By default what `model` is now:
            with adapters it is the model without them, else a frozen copy, which then is part of the state.

    Raises:
        ConfigError: The model cannot be trained here.
        MissingExtraError: Adapters without peft.
    """

    def __init__(self, model: Any, config: GroupPolicyConfig | None = None, reference: Any = None) -> None:
        self.model, self.config = model.eval(), config or GroupPolicyConfig()
        config = self.config
        check_output_layer(model)
        self._owns_reference = False
        if config.beta > 0 and reference is None and not config.lora_rank:
            reference, self._owns_reference = copy.deepcopy(model), True
        self.reference = None
        if config.beta > 0 and reference is not None:
            self.reference = reference.eval().requires_grad_(False)
        if config.lora_rank:
            add_lora(model, config.lora_rank, config.lora_alpha or 2.0 * config.lora_rank, config.seed)
        self.optimizer = GuardedAdamW(
            model,
            lr=config.lr,
            weight_decay=config.weight_decay,
            betas=(config.adam_beta1, config.adam_beta2),
            grad_clip=config.grad_clip or None,
        )
        self.version = 0
        self._rng = np.random.default_rng(config.seed)

    def update(self, sequences: Sequence[PolicySequence]) -> dict[str, float]:
        """One update of the policy; `version` counts those that changed it.

        Args:
            sequences: Of all rollouts of a step.

        Returns:
            Means over sampled tokens unless said otherwise: `loss` (of optimizer steps), `entropy`, `ratio`,
            `update_kl` (old to new policy), `clip_low`, `clip_high`, `kl` (to the reference), `importance`,
            `importance_truncated`; `sampler_drift` and `sampler_drift_max`: how far the log-probabilities of the very
            first step are from the sampler's; `grad_norm` (of optimizer steps, before clipping), `lr`, `steps`
            (optimizer steps), `tokens` (sampled), `sequences`, `groups`, `groups_without_signal` (all advantages 0),
            `stale` (share of sequences that older weights sampled), `recomputed` (share of sequences whose old
            log-probabilities are not the sampler's).

        Raises:
            ConfigError: Sequences that this objective or model cannot take.
            NotFiniteError: Log-probabilities or gradients are not finite; the weights are those of the last sound step.
        """
        kept = [sequence for sequence in sequences if sequence.loss_mask.any()]
        self._check(kept)
        metrics = self._about(kept)
        active = [sequence for sequence in kept if self.config.beta > 0 or sequence.advantages.any()]
        if not active:
            return {**metrics, "steps": 0.0}
        rollouts, recomputed = self._prepared(active)
        metrics["recomputed"] = recomputed
        sums: dict[str, float] = {}
        norms: list[float] = []
        losses: list[float] = []
        with checkpointed(self.model, self.config.gradient_checkpointing):
            for epoch in range(self.config.epochs):
                for number, weighted in enumerate(self._minibatches(kept, rollouts)):
                    what = f"Update {self.version + 1}, epoch {epoch + 1}, minibatch {number + 1}"
                    loss = self._accumulate(weighted, what, sums, first=not norms)
                    scale = min(1.0, (self.optimizer.steps + 1) / self.config.warmup) if self.config.warmup else 1.0
                    norms.append(self.optimizer.step(scale, what))
                    losses.append(loss)
        self.version += 1
        tokens, first = sums.pop("tokens"), sums.pop("first_tokens")
        sums["sampler_drift"] *= tokens / first
        drift_max = sums.pop("sampler_drift_max")
        metrics.update({name: value / tokens for name, value in sums.items()})
        return {
            **metrics,
            "sampler_drift_max": drift_max,
            "loss": float(np.mean(losses)),
            "grad_norm": float(np.mean(norms)),
            "lr": self.config.lr * scale,
            "steps": float(len(norms)),
        }

    def logprobs(self, sequences: Sequence[PolicySequence]) -> list[NDArray[np.float32]]:
        """What the policy as it stands says of each sequence's sampled tokens, float32 (L,), 0 elsewhere."""
        return self._scores(self.model, sequences)

    def state_dict(self) -> dict[str, Any]:
        """All that the next update depends on: trained weights, moments, steps, random state, version, own reference.

        Tensors and plain values. Weights that are not trained are not in it.
        """
        reference = None
        if self._owns_reference and self.reference is not None:
            reference = {name: value.detach().clone() for name, value in self.reference.named_parameters()}
        return {
            "optimizer": self.optimizer.state_dict(),
            "version": self.version,
            "rng": self._rng.bit_generator.state,
            "reference": reference,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`: the updates that follow are those that would have followed.

        Raises:
            ConfigError: It is of another model.
        """
        import torch

        self.optimizer.load_state_dict(state["optimizer"])
        self.version = int(state["version"])
        self._rng.bit_generator.state = state["rng"]
        if state["reference"] is not None and self._owns_reference and self.reference is not None:
            with torch.no_grad():
                for name, value in self.reference.named_parameters():
                    value.copy_(state["reference"][name])

    def _check(self, sequences: Sequence[PolicySequence]) -> None:
        longest = max(map(len, sequences), default=0)
        most = getattr(self.model.config, "max_position_embeddings", None)
        if most and longest > most:
            raise ConfigError(f"A sequence has {longest} tokens; this model was made for {most}. Lower context_window.")
        for sequence in sequences:
            said = sequence.advantages[sequence.loss_mask]
            if not np.isfinite(said).all():
                raise ConfigError(f"An advantage of rollout {sequence.episode} is not a finite number.")
            if self.config.objective == "gspo" and np.ptp(said) > 1e-5 * max(1.0, float(np.abs(said).max())):
                raise ConfigError(
                    f"gspo has one advantage for a whole sequence, those of rollout {sequence.episode} differ by turn "
                    "or token. Use gspo_token."
                )

    def _about(self, sequences: Sequence[PolicySequence]) -> dict[str, float]:
        groups = {sequence.group for sequence in sequences}
        taught = {sequence.group for sequence in sequences if sequence.advantages.any()}
        count = len(sequences)
        return {
            "tokens": float(sum(int(sequence.loss_mask.sum()) for sequence in sequences)),
            "sequences": float(count),
            "groups": float(len(groups)),
            "groups_without_signal": float(len(groups - taught)),
            "stale": sum(sequence.policy_version != self.version for sequence in sequences) / max(1, count),
        }

    def _prepared(self, sequences: Sequence[PolicySequence]) -> tuple[list[_Rollout], float]:
        """With old and reference log-probabilities, and the share of sequences whose old ones are not the sampler's."""
        import torch

        config = self.config
        full = self.model.dtype == torch.float32 and not mixes(config.dtype, self.model)
        trusted = config.old_logprobs == "sampler" or (config.old_logprobs == "auto" and full)

        def fits(sequence: PolicySequence) -> bool:
            same = sequence.policy_version == self.version and sequence.temperature == config.temperature
            return trusted and same and bool(np.isfinite(sequence.logprobs).all())

        rollouts = [_Rollout(sequence, sequence.logprobs if fits(sequence) else None) for sequence in sequences]
        missing = [rollout for rollout in rollouts if rollout.old is None]
        # In a single pass the policy before the update is the one that is differentiated: nothing to compute.
        if missing and config.epochs * config.minibatches > 1:
            for rollout, old in zip(missing, self.logprobs([one.sequence for one in missing]), strict=True):
                rollout.old = old
        if config.beta > 0:
            if self.reference is None:
                with without_lora(self.model):
                    scores = self._scores(self.model, sequences)
            else:
                scores = self._scores(self.reference, sequences)
            for rollout, reference in zip(rollouts, scores, strict=True):
                rollout.reference = reference
        return rollouts, len(missing) / len(rollouts)

    def _scores(self, model: Any, sequences: Sequence[PolicySequence]) -> list[NDArray[np.float32]]:
        import torch

        answers: list[NDArray[np.float32]] = [np.zeros(0, np.float32) for _ in sequences]
        with torch.no_grad(), computing_in(self.config.dtype, model):
            for part in micro_batches([len(sequence) for sequence in sequences], self.config.max_tokens):
                columns = padded([sequences[index] for index in part], ("ids", "loss_mask"), model.device)
                scores, _ = token_logprobs(
                    model, columns["ids"], columns["loss_mask"], temperature=self.config.temperature
                )
                for row, index in enumerate(part):
                    answers[index] = scores[row, : len(sequences[index])].cpu().numpy()
        return answers

    def _minibatches(
        self, kept: Sequence[PolicySequence], rollouts: Sequence[_Rollout]
    ) -> Iterator[list[tuple[_Rollout, float]]]:
        """The rollouts to run of each optimizer step of a pass, each sequence with its weight.

        Rollouts are dealt out whole. The normaliser is that of all `kept`, whether they have to be run or not.
        """
        import torch

        names = sorted({sequence.episode for sequence in kept})
        order = self._rng.permutation(len(names)) if self.config.minibatches > 1 else np.arange(len(names))
        run = {id(rollout.sequence): rollout for rollout in rollouts}
        for part in np.array_split(order, self.config.minibatches):
            members = {names[index] for index in part}
            here = [sequence for sequence in kept if sequence.episode in members]
            weights = sequence_weights(
                torch.tensor([int(sequence.loss_mask.sum()) for sequence in here]),
                self.config.loss,
                torch.tensor([sequence.episode for sequence in here]),
            ).tolist()
            weighted = [
                (run[id(sequence)], weight)
                for sequence, weight in zip(here, weights, strict=True)
                if id(sequence) in run
            ]
            if weighted:
                yield weighted

    def _accumulate(
        self, weighted: Sequence[tuple[_Rollout, float]], what: str, sums: dict[str, float], *, first: bool
    ) -> float:
        """Adds the gradient of an optimizer step, micro-batch by micro-batch, and its metrics to `sums`."""
        import torch

        config, device, total = self.config, self.model.device, 0.0
        for part in micro_batches([len(rollout.sequence) for rollout, _ in weighted], config.max_tokens):
            rollouts = [weighted[index][0] for index in part]
            columns = padded(
                [rollout.sequence for rollout in rollouts], ("ids", "loss_mask", "logprobs", "advantages"), device
            )
            mask, sampler = columns["loss_mask"], columns["logprobs"]
            with computing_in(config.dtype, self.model):
                scores, entropies = token_logprobs(
                    self.model, columns["ids"], mask, temperature=config.temperature, entropy=True
                )
            current = scores.detach()
            if not bool(torch.isfinite(current).all()):
                self._stop(what, rollouts, current)
            old = _table([rollout.old for rollout in rollouts], current)
            sampler = torch.where(torch.isfinite(sampler), sampler, old)
            reference = None
            if config.beta > 0:
                reference = _table([rollout.reference for rollout in rollouts], current)
            loss, metrics = policy_loss(
                scores,
                old,
                columns["advantages"],
                mask,
                config.loss,
                reference,
                sampler,
                torch.tensor([weighted[index][1] for index in part], device=device),
            )
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.collect()
            total += float(loss.detach())
            assert entropies is not None
            drift = torch.where(mask, (current - sampler).abs(), 0.0) if first else torch.zeros(1, device=device)
            metrics |= {"entropy": entropies.sum(), "sampler_drift": drift.sum()}
            metrics["first_tokens"] = mask.sum() if first else mask.sum() * 0
            for name, value in metrics.items():
                sums[name] = sums.get(name, 0.0) + float(value)
            sums["sampler_drift_max"] = max(sums.get("sampler_drift_max", 0.0), float(drift.max()))
        return total

    def _stop(self, what: str, rollouts: Sequence[_Rollout], scores: torch.Tensor) -> None:
        import torch

        row = int((~torch.isfinite(scores)).any(-1).nonzero()[0, 0])
        self.optimizer.forget()
        where = broken_weights(self.model)
        raise NotFiniteError(
            f"{what}: the log-probabilities of rollout {rollouts[row].sequence.episode} are not finite"
            + (f"; the weights {where} are not either" if where else "")
            + ". No weight was changed by this step. Lower lr, or compute in a wider dtype."
        )


def _table(rows: Sequence[NDArray[np.float32] | None], current: torch.Tensor) -> torch.Tensor:
    """Rows padded to the shape of `current`, whose own rows stand where there is none."""
    import torch

    table = current.clone()
    for row, values in enumerate(rows):
        if values is not None:
            table[row, : len(values)] = torch.from_numpy(values).to(current.device)
    return table
