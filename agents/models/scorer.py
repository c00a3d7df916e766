"""Scores of given tokens by a transformers model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from palaestra.errors import ConfigError
from palaestra.models import Encoding, ScoreRequest

if TYPE_CHECKING:
    import torch

__all__ = ["TransformersScorer"]


class TransformersScorer:
    """See `palaestra.models.Scorer`. Each branch is run behind its own prefix, many at a time.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its fast tokenizer; only `encode` needs it.
        version: Which weights it holds; an engine's `version` where they are shared.
        batch_tokens: Most tokens of a forward pass, padding included.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        version: Callable[[], int] = lambda: 0,
        batch_tokens: int = 2048,
    ) -> None:
        self.model, self.tokenizer, self._version, self.batch_tokens = model, tokenizer, version, batch_tokens

    @property
    def version(self) -> int:
        """See `Scorer.version`."""
        return self._version()

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[list[NDArray[np.float32]]]:
        """See `Scorer.logprobs`; at temperature 1.

        Raises:
            ConfigError: A branch that begins before the first token or behind the last.
        """
        import torch

        answers = [[np.zeros(0, np.float32) for _ in request.branches] for request in requests]
        places, sequences, starts = [], [], []
        for row, request in enumerate(requests):
            for column, branch in enumerate(request.branches):
                if not 1 <= branch.at <= len(request.ids):
                    raise ConfigError(f"A branch leaves after 1 to {len(request.ids)} tokens, got {branch.at}.")
                if len(branch.ids):
                    places.append((row, column))
                    sequences.append(np.concatenate([request.ids[: branch.at], branch.ids]))
                    starts.append(branch.at)
        head = self.model.get_output_embeddings()
        with torch.no_grad():
            for index, states in self._states(sequences):
                # Only the branch's positions meet the vocabulary: it is by far the widest layer.
                logits = head(states[starts[index] - 1 : -1]).float()
                targets = torch.as_tensor(sequences[index][starts[index] :], dtype=torch.long, device=logits.device)
                scores = torch.log_softmax(logits, -1).gather(-1, targets[:, None]).squeeze(-1)
                row, column = places[index]
                answers[row][column] = scores.cpu().numpy()
        return answers

    def hidden(self, sequences: Sequence[NDArray[np.int32]]) -> list[NDArray[np.float32]]:
        """See `Scorer.hidden`; after the last layer's norm, as the output layer sees them."""
        import torch

        width = int(self.model.config.hidden_size)
        answers = [np.zeros((0, width), np.float32) for _ in sequences]
        with torch.no_grad():
            for index, states in self._states([np.asarray(ids) for ids in sequences]):
                answers[index] = states.float().cpu().numpy()
        return answers

    def encode(self, text: str) -> Encoding:
        """See `Scorer.encode`.

        Raises:
            ConfigError: There is no tokenizer, or one that cannot say where its tokens stand in the text.
        """
        if not getattr(self.tokenizer, "is_fast", False):
            given = "none" if self.tokenizer is None else f"{type(self.tokenizer).__name__}, which is not"
            raise ConfigError(f"Encoding a text with offsets needs a fast tokenizer of transformers; got {given}.")
        # Lone surrogates have no tokens; "?" takes the same place.
        text = text.encode("utf-8", "replace").decode("utf-8")
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        offsets = np.array(found["offset_mapping"], np.int64).reshape(-1, 2)
        return Encoding(np.array(found["input_ids"], np.int32), offsets)

    def _states(self, sequences: Sequence[NDArray[Any]]) -> Iterator[tuple[int, torch.Tensor]]:
        """Index and hidden states (L, D) of each sequence that has tokens, in batches of similar length."""
        import torch

        order = sorted((index for index, ids in enumerate(sequences) if len(ids)), key=lambda i: -len(sequences[i]))
        while order:
            longest = len(sequences[order[0]])
            batch, order = order[: (n := max(1, self.batch_tokens // longest))], order[n:]
            # Padding on the right needs no mask: under causal attention nothing before it can see it.
            padded = np.zeros((len(batch), longest), np.int64)
            for row, index in enumerate(batch):
                padded[row, : len(sequences[index])] = sequences[index]
            ids = torch.as_tensor(padded, device=self.model.device)
            states = self.model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
            for row, index in enumerate(batch):
                yield index, states[row, : len(sequences[index])]
