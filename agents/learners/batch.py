"""From credited episodes to what a learner runs: sequences with advantages, and micro-batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palaestra.episodes import Episode
from palaestra.errors import ConfigError
from palaestra.rewards.base import CreditLevel
from palaestra.tokens import token_sequences

if TYPE_CHECKING:
    import torch

__all__ = ["PolicySequence", "groups_without_spread", "micro_batches", "padded", "policy_sequences"]


class _Tokens(Protocol):
    @property
    def ids(self) -> NDArray[np.int32]: ...


@dataclass(frozen=True, slots=True, eq=False)
class PolicySequence:
    """A run of tokens that a policy learns from.

    Attributes:
        ids: int32 (L,).
        loss_mask: bool (L,), true exactly where the token was sampled by the policy in this sequence; never the first.
        logprobs: float32 (L,), the sampler's log-probability where `loss_mask`, else 0.
        advantages: float32 (L,), 0 outside `loss_mask`.
        group: Rollouts of one task share a number.
        episode: Which rollout of the batch it is of; several sequences where a prefix was not preserved.
        policy_version: The oldest weights that sampled a token of it.
        temperature: At which `logprobs` were taken; NaN where its turns differ.

    Raises:
        ConfigError: Columns of different lengths, or a loss on the first token.
    """

    ids: NDArray[np.int32]
    loss_mask: NDArray[np.bool_]
    logprobs: NDArray[np.float32]
    advantages: NDArray[np.float32]
    group: int
    episode: int
    policy_version: int = 0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        shapes = [column.shape for column in (self.ids, self.loss_mask, self.logprobs, self.advantages)]
        if len(set(shapes)) != 1 or len(shapes[0]) != 1:
            raise ConfigError(f"The columns of a sequence all have the shape (L,), got {shapes}.")
        if len(self.ids) and self.loss_mask[0]:
            raise ConfigError("The first token of a sequence has nothing before it, so it carries no loss.")

    def __len__(self) -> int:
        return len(self.ids)


def policy_sequences(
    episodes: Sequence[Episode],
    advantages: NDArray[np.float64],
    level: CreditLevel,
    valid: NDArray[np.bool_] | None = None,
) -> list[PolicySequence]:
    """The sequences of a step's rollouts, each sampled token with its advantage.

    Args:
        episodes: B of them; failed ones are left out, and so is whatever has no token ids.
        advantages: float64 (B, P). Positions are turns at level `episode` or `turn` (a turn's advantage goes to all its
            sampled tokens), and an episode's sampled tokens in order at level `token`.
        level: As the credit said.
        valid: bool (B,), which of them to learn from; by default all. Those left out leave no trace in the update.

    Returns:
        In the order of episodes and turns.

    Raises:
        ConfigError: Fewer advantages than positions, or one that is not finite.
    """
    if len(advantages) != len(episodes) or (valid is not None and len(valid) != len(episodes)):
        raise ConfigError(f"There are {len(episodes)} episodes and {len(advantages)} rows of advantages.")
    groups: dict[str, int] = {}
    sequences = []
    for index, episode in enumerate(episodes):
        group = groups.setdefault(episode.group_id, len(groups))
        if not episode.valid or (valid is not None and not valid[index]):
            continue
        row, seen = np.asarray(advantages[index], np.float64), 0
        place = {turn.t: position for position, turn in enumerate(episode.turns)}
        for tokens in token_sequences(episode):
            sampled = tokens.loss_mask
            count = int(sampled.sum())
            if level == "token":
                positions = np.arange(seen, seen + count)
            else:
                positions = np.array([place[int(turn)] for turn in tokens.turn_of_token[sampled]], np.int64)
            seen += count
            if positions.max() >= len(row):
                raise ConfigError(
                    f"Episode {episode.episode_id} has more positions than its {len(row)} advantages ('{level}')."
                )
            if not np.isfinite(row[positions]).all():
                raise ConfigError(f"An advantage of episode {episode.episode_id} is not a finite number.")
            spread = np.zeros(len(tokens), np.float32)
            spread[sampled] = row[positions]
            spoken = [
                episode.turns[place[turn]].completion for turn in sorted(set(tokens.turn_of_token[sampled].tolist()))
            ]
            samples = [sample for sample in spoken if sample is not None]
            # Greedy samples are scored at temperature 1.
            temperatures = {sample.temperature or 1.0 for sample in samples}
            sequences.append(
                PolicySequence(
                    ids=tokens.ids,
                    loss_mask=sampled,
                    logprobs=tokens.logprobs,
                    advantages=spread,
                    group=group,
                    episode=index,
                    policy_version=min(sample.policy_version for sample in samples),
                    temperature=temperatures.pop() if len(temperatures) == 1 else float("nan"),
                )
            )
    return sequences


def groups_without_spread(
    rewards: ArrayLike, groups: ArrayLike, valid: ArrayLike, *, tolerance: float = 1e-8
) -> NDArray[np.bool_]:
    """Which rollouts stand in a group that teaches nothing: DAPO's dynamic sampling drops them and draws others.

    Args:
        rewards: (B,); those of rollouts that are not valid are never looked at and may be NaN.
        groups: (B,), equal for rollouts of one task.
        valid: bool (B,).
        tolerance: Rewards no further apart than this are equal.

    Returns:
        bool (B,), true for every member, valid or not, of a group with fewer than two valid rollouts or with equal
        rewards.
    """
    numbers, names, counted = np.asarray(rewards, np.float64), np.asarray(groups), np.asarray(valid, bool)
    flags = np.zeros(len(names), np.bool_)
    for name in np.unique(names):
        members = names == name
        kept = numbers[members & counted]
        flags[members] = len(kept) < 2 or bool(np.ptp(kept) <= tolerance)
    return flags


def micro_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Cuts sequences into micro-batches of similar length, the longest first.

    Args:
        lengths: Of each sequence.
        max_tokens: Most tokens of a micro-batch, padding included; a longer sequence stands alone.

    Returns:
        Indices; a function of the lengths alone.
    """
    batches: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches and (len(batches[-1]) + 1) * longest <= max_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
            longest = lengths[index]
    return batches


def padded(sequences: Sequence[_Tokens], names: Sequence[str], device: Any) -> dict[str, torch.Tensor]:
    """Columns of a micro-batch, padded on the right with zeros.

    Args:
        sequences: B of them.
        names: Which of their (L,) columns; `ids` become int64.
        device: Where to.

    Returns:
        By name, each (B, L).
    """
    import torch

    longest = max(len(sequence.ids) for sequence in sequences)
    columns = {}
    for name in names:
        rows = [getattr(sequence, name) for sequence in sequences]
        table = np.zeros((len(rows), longest), np.int64 if name == "ids" else rows[0].dtype)
        for row, values in enumerate(rows):
            table[row, : len(values)] = values
        columns[name] = torch.from_numpy(table).to(device)
    return columns
