"""From episodes to token sequences: the only way in which learners and bridges see tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Episode

__all__ = ["TokenSequence", "token_sequences"]


@dataclass(frozen=True, slots=True, eq=False)
class TokenSequence:
    """A run of tokens as one forward pass sees it.

    Attributes:
        ids: int32 (L,).
        loss_mask: bool (L,), true exactly where the token was sampled by the policy in this sequence.
        logprobs: float32 (L,), the sampler's log-probability where `loss_mask`, else 0.
        turn_of_token: int32 (L,), the turn that sampled the token where `loss_mask`, else -1.
    """

    ids: NDArray[np.int32]
    loss_mask: NDArray[np.bool_]
    logprobs: NDArray[np.float32]
    turn_of_token: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)


def token_sequences(episode: Episode) -> list[TokenSequence]:
    """The episode's tokens, exactly as sampled, each sampled token in one sequence's loss.

    As long as every turn keeps the whole of what came before it, the episode is one sequence. A turn that keeps only
    the first `prefix_len` tokens (a template that strips earlier thoughts, a sliding window) starts a new one: those
    kept tokens stand before it without loss, since the sequence in which they were sampled already carries it.

    Args:
        episode: Any episode; turns without token ids (scripted agents, remote models) contribute nothing, and the
            next turn with ids starts a new sequence. A turn in which nothing was sampled after a known context only
            adds that context.

    Returns:
        Sequences in the order of their turns; none where no turn has ids.

    Raises:
        ValueError: A turn claims to keep more tokens than there were.
    """
    sequences: list[TokenSequence] = []
    ids: list[NDArray[np.int32]] = []
    mask: list[NDArray[np.bool_]] = []
    logprobs: list[NDArray[np.float32]] = []
    turns: list[NDArray[np.int32]] = []
    length = 0

    def extend(tokens: NDArray[np.int32], scores: NDArray[np.float32] | None, turn: int) -> None:
        nonlocal length
        count = len(tokens)
        ids.append(np.asarray(tokens, np.int32))
        mask.append(np.full(count, scores is not None))
        logprobs.append(np.zeros(count, np.float32) if scores is None else np.asarray(scores, np.float32))
        turns.append(np.full(count, turn, np.int32))
        length += count

    def close() -> None:
        nonlocal length
        if ids and any(part.any() for part in mask):
            columns = (np.concatenate(ids), np.concatenate(mask), np.concatenate(logprobs), np.concatenate(turns))
            sequences.append(TokenSequence(*columns))
        for column in (ids, mask, logprobs, turns):
            column.clear()
        length = 0

    for turn in episode.turns:
        sample = turn.completion
        if sample is None or not (len(sample.token_ids) or len(sample.context_ids) or sample.prefix_len):
            close()
            continue
        if sample.prefix_len > length:
            raise ValueError(
                f"Turn {turn.t} of episode {episode.episode_id} claims to keep {sample.prefix_len} tokens "
                f"of a context that has {length}."
            )
        if sample.prefix_len < length:
            kept = np.concatenate(ids)[: sample.prefix_len]
            close()
            if len(kept):
                extend(kept, None, -1)
        extend(sample.context_ids, None, -1)
        extend(sample.token_ids, sample.logprobs, turn.t)
    close()
    return sequences
