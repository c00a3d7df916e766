"""What a reward may ask of a model, as protocols, and the fakes that stand in for models in unit tests.

Floor 1 sees only these. The models themselves live on floor 2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Branch", "Encoding", "FakeJudge", "FakeScorer", "Judge", "ScoreRequest", "Scorer"]


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """Tokens that might have followed a beginning of a context.

    Attributes:
        at: How many tokens of the context come before; at least 1.
        ids: int32 (n,), the tokens to score.
    """

    at: int
    ids: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class ScoreRequest:
    """One context and the branches that leave it, which a scorer may compute in a single packed pass.

    Attributes:
        ids: int32 (L,), the context.
        branches: Each attached at its own place; they do not see one another.
    """

    ids: NDArray[np.int32]
    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """A text as tokens.

    Attributes:
        ids: int32 (n,).
        offsets: int64 (n, 2), where in the text each token begins and ends, in characters. Tokens that share a
            character (parts of one letter) overlap; a token without text has an empty span.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.offsets.shape != (len(self.ids), 2):
            raise ValueError(
                f"An encoding of {len(self.ids)} tokens needs offsets of shape {(len(self.ids), 2)}, "
                f"got {self.offsets.shape}."
            )


class Scorer(Protocol):
    """A language model that says how likely given tokens are."""

    @property
    def version(self) -> int:
        """Which weights answer; grows with every update."""
        ...

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[list[NDArray[np.float32]]]:
        """For each request and branch, float32 (n,): the log-probability of each token after all that comes before."""
        ...

    def hidden(self, sequences: Sequence[NDArray[np.int32]]) -> list[NDArray[np.float32]]:
        """For each sequence of (L,) token ids, float32 (L, D): the last layer's hidden states."""
        ...

    def encode(self, text: str) -> Encoding:
        """The text as tokens of this model; no special tokens are added."""
        ...


class Judge(Protocol):
    """A language model that answers prompts."""

    @property
    def version(self) -> int:
        """Which weights answer; grows with every update."""
        ...

    def complete(self, prompts: Sequence[str]) -> list[str]:
        """One answer a prompt.

        Raises:
            ModelUnavailable: The model gave no answer.
        """
        ...


class FakeScorer:
    """A scorer whose log-probabilities follow from a hash of context and token: deterministic, and order-sensitive.

    Args:
        width: Number of hidden dimensions.
        version: What `version` says.
    """

    def __init__(self, width: int = 4, version: int = 0) -> None:
        self.width, self.version = width, version

    def _draw(self, ids: NDArray[np.int32], count: int) -> NDArray[np.float32]:
        digest = hashlib.sha256(np.ascontiguousarray(ids, "<i4").tobytes()).digest()
        draws: NDArray[np.float32] = np.frombuffer(digest, np.uint8)[:count].astype(np.float32) / np.float32(256)
        return draws

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[list[NDArray[np.float32]]]:
        """See `Scorer.logprobs`; values lie in (-5, 0]."""
        answers = []
        for request in requests:
            scores = []
            for branch in request.branches:
                full = np.concatenate([request.ids[: branch.at], branch.ids])
                ends = range(branch.at + 1, len(full) + 1)
                scores.append(np.array([-5 * self._draw(full[:end], 1)[0] for end in ends], np.float32))
            answers.append(scores)
        return answers

    def hidden(self, sequences: Sequence[NDArray[np.int32]]) -> list[NDArray[np.float32]]:
        """See `Scorer.hidden`; values lie in [0, 1)."""
        return [
            np.array([self._draw(ids[: end + 1], self.width) for end in range(len(ids))], np.float32).reshape(
                len(ids), self.width
            )
            for ids in sequences
        ]

    def encode(self, text: str) -> Encoding:
        """See `Scorer.encode`; a token a character, its code point."""
        ends = np.arange(1, len(text) + 1)
        return Encoding(np.array([ord(letter) for letter in text], np.int32), np.stack([ends - 1, ends], axis=1))


class FakeJudge:
    """A judge that answers by a function of the prompt.

    Args:
        answer: The function; by default the answer is "yes".
        version: What `version` says.
    """

    def __init__(self, answer: Callable[[str], str] = lambda prompt: "yes", version: int = 0) -> None:
        self.answer, self.version = answer, version

    def complete(self, prompts: Sequence[str]) -> list[str]:
        """See `Judge.complete`."""
        return [self.answer(prompt) for prompt in prompts]
