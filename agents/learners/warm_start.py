"""Supervised warm start: a policy learns to say what scripted or logged agents said.

The tokens are those that a rollout would hold: messages become tokens through the same `Chat` as in the agent that
plays, so a model is asked in training exactly what it is asked in play.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from palaestra.agents.chat import Chat, default_messages
from palaestra.agents.learners.batch import micro_batches, padded
from palaestra.agents.learners.optimizer import GuardedAdamW, broken_weights, computing_in
from palaestra.agents.learners.token_logprobs import checkpointed, token_logprobs
from palaestra.agents.models.output_layer import check_output_layer
from palaestra.episodes import Episode
from palaestra.errors import ConfigError, NotFiniteError
from palaestra.tokens import TokenSequence

__all__ = ["SupervisedConfig", "SupervisedLearner", "dialogues_to_sequences"]


def dialogues_to_sequences(
    episodes: Sequence[Episode], chat: Chat, *, context_window: int | None = None
) -> list[TokenSequence]:
    """The tokens of spoken episodes, with loss on the agent's words and on the end of each of its turns.

    A dialogue is the observations as the user's messages and the actions as the assistant's; environments of
    `LanguageEnv` keep just that. What a model once sampled is tokenised anew from its text, for it may have had another
    tokenizer.

    Args:
        episodes: Scripted or logged; failed ones and those without turns are left out. Choose the good ones before.
        chat: Of the model that is to learn.
        context_window: Most tokens of a dialogue. A turn that does not fit ends it, as it would end a rollout.

    Returns:
        One sequence an episode, in order; none where not even the first turn fits.

    Raises:
        ConfigError: An episode's actions are no texts.
    """
    sequences = []
    for episode in episodes:
        if not episode.valid or not episode.turns:
            continue
        actions = [turn.action for turn in episode.turns]
        if not all(isinstance(action, str) for action in actions):
            raise ConfigError(
                f"Episode {episode.episode_id} of {episode.env_id} was not spoken: its actions are no texts."
            )
        messages = [
            (message["role"], message["content"]) for message in default_messages(episode.observations, actions)
        ]
        ids: list[int] = []
        turns: list[int] = []
        for number, turn in enumerate(episode.turns):
            read, last = messages[2 * number], ids[-1] if ids else None
            context = chat.following([read], last) if number else chat.opening([read])
            words = chat.reply(messages[2 * number + 1][1])
            if context_window is not None and len(ids) + len(context) + len(words) > context_window:
                break
            ids += context + words
            turns += [-1] * len(context) + [turn.t] * len(words)
        if ids:
            of_turn = np.array(turns, np.int32)
            nothing = np.zeros(len(ids), np.float32)
            sequences.append(TokenSequence(np.array(ids, np.int32), of_turn >= 0, nothing, of_turn))
    return sequences


@dataclass(frozen=True, slots=True)
class SupervisedConfig:
    """How to learn from dialogues.

    Attributes:
        epochs: Passes over the sequences.
        lr: Learning rate at its height.
        schedule: After the warmup: `constant`, or `cosine` down to 0.
        warmup: Steps over which the learning rate grows from 0.
        batch_size: Sequences an optimizer step.
        max_tokens: Most tokens of a forward pass, padding included; changes speed and memory, not the result.
        weight_decay: Of matrices.
        grad_clip: Largest norm of the gradient; None for no bound.
        seed: Of the order of the sequences.
        dtype: Of forward passes; see `computing_in`.
        gradient_checkpointing: Trades a third more time for much less memory.

    Raises:
        ConfigError: A value outside its range.
    """

    epochs: int = 3
    lr: float = 5e-4
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: int = 10
    batch_size: int = 32
    max_tokens: int = 8192
    weight_decay: float = 0.0
    grad_clip: float | None = 1.0
    seed: int = 0
    dtype: str | None = None
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "max_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.warmup < 0:
            raise ConfigError(f"warmup is {self.warmup}; it counts steps.")
        if self.schedule not in ("constant", "cosine"):
            raise ConfigError(f"schedule is '{self.schedule}'; use 'constant' or 'cosine'.")


class SupervisedLearner:
    """Next-token prediction on the tokens that carry loss, averaged over the tokens of a step.

    Args:
        model: A causal language model of transformers; changed in place.
        config: How.

    Raises:
        ConfigError: The model cannot be trained here.
    """

    def __init__(self, model: Any, config: SupervisedConfig | None = None) -> None:
        self.model, self.config = model, config or SupervisedConfig()
        check_output_layer(model)

    def fit(
        self,
        sequences: Sequence[TokenSequence],
        progress: Callable[[int, int, Mapping[str, float]], None] | None = None,
    ) -> list[dict[str, float]]:
        """Trains from here; a second call begins with a new optimizer.

        Args:
            sequences: What to learn.
            progress: Called after each step with its number (from 1), how many there will be, and its metrics.

        Returns:
            For each step `loss` (nats a token, before the step), `tokens`, `grad_norm`, `lr`, `epoch`.

        Raises:
            ConfigError: No token of the sequences carries loss.
            NotFiniteError: The loss or a gradient is not finite; the weights are those of the step before.
        """
        config = self.config
        kept = [sequence for sequence in sequences if sequence.loss_mask[1:].any()]
        if not kept:
            raise ConfigError(
                "There is nothing to learn: no sequence has a token that carries loss. Either there are no dialogues, "
                "or the context window is too short for their first turn."
            )
        optimizer = GuardedAdamW(self.model, lr=config.lr, weight_decay=config.weight_decay, grad_clip=config.grad_clip)
        rng = np.random.default_rng(config.seed)
        steps = config.epochs * math.ceil(len(kept) / config.batch_size)
        history: list[dict[str, float]] = []
        for epoch in range(config.epochs):
            order = rng.permutation(len(kept))
            for start in range(0, len(kept), config.batch_size):
                batch = [kept[index] for index in order[start : start + config.batch_size]]
                what = f"Supervised step {len(history) + 1}"
                loss, tokens = self._losses(batch, what, optimizer)
                scale = self._scale(len(history), steps)
                norm = optimizer.step(scale, what)
                history.append(
                    {"loss": loss, "tokens": tokens, "grad_norm": norm, "lr": config.lr * scale, "epoch": float(epoch)}
                )
                if progress is not None:
                    progress(len(history), steps, history[-1])
        return history

    def evaluate(self, sequences: Sequence[TokenSequence]) -> dict[str, float]:
        """`loss` in nats a token and `tokens` of sequences that are not learned from.

        Raises:
            NotFiniteError: The loss is not finite.
        """
        import torch

        kept = [sequence for sequence in sequences if sequence.loss_mask[1:].any()]
        if not kept:
            return {"loss": float("nan"), "tokens": 0.0}
        with torch.no_grad():
            loss, tokens = self._losses(kept, "Evaluation")
        return {"loss": loss, "tokens": tokens}

    def _losses(
        self, batch: Sequence[TokenSequence], what: str, optimizer: GuardedAdamW | None = None
    ) -> tuple[float, float]:
        """Mean over the tokens of a step, and how many they are; gradients are accumulated for the optimizer."""
        tokens = sum(int(sequence.loss_mask[1:].sum()) for sequence in batch)
        total = 0.0
        with checkpointed(self.model, optimizer is not None and self.config.gradient_checkpointing):
            for part in micro_batches([len(sequence) for sequence in batch], self.config.max_tokens):
                columns = padded([batch[index] for index in part], ("ids", "loss_mask"), self.model.device)
                mask = columns["loss_mask"]
                mask[:, 0] = False
                with computing_in(self.config.dtype, self.model):
                    scores, _ = token_logprobs(self.model, columns["ids"], mask)
                loss = -scores.sum() / tokens
                if not math.isfinite(value := float(loss.detach())):
                    if optimizer is not None:
                        optimizer.forget()
                    where = broken_weights(self.model)
                    raise NotFiniteError(
                        f"{what}: the log-probabilities are not finite"
                        + (f"; the weights {where} are not either" if where else "")
                        + ". No weight was changed. Lower lr, or compute in a wider dtype."
                    )
                total += value
                if optimizer is not None:
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.collect()
        return total, float(tokens)

    def _scale(self, step: int, steps: int) -> float:
        config = self.config
        if step < config.warmup:
            return (step + 1) / config.warmup
        if config.schedule == "constant":
            return 1.0
        done = (step - config.warmup) / max(1, steps - config.warmup)
        return 0.5 * (1 + math.cos(math.pi * done))
