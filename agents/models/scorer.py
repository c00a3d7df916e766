"""Scores of given tokens by a transformers model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from palaestra.agents.models.output_layer import check_output_layer
from palaestra.agents.models.tree import TreeBatch, check_tree, tree_forward
from palaestra.errors import ConfigError
from palaestra.models import Encoding, ScoreRequest

if TYPE_CHECKING:
    import torch

__all__ = ["TransformersScorer"]


class TransformersScorer:
    """See `palaestra.models.Scorer`. All branches of a request are run in one pass with their context, read once.

    Args:
        model: A causal language model of transformers whose attention is `palaestra.agents.models.packed.ATTENTION`,
            as `load_language_model` gives it. It is scored as in evaluation, and left in the mode it was in.
        tokenizer: Its fast tokenizer; only `encode` needs it.
        version: Which weights it holds; an engine's `version` where they are shared.
        batch_tokens: Most tokens of a forward pass, where a single request has no more.
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
        self._checked: set[Callable[[Any], None]] = set()

    @property
    def version(self) -> int:
        """See `Scorer.version`."""
        return self._version()

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[list[NDArray[np.float32]]]:
        """See `Scorer.logprobs`; at temperature 1.

        Raises:
            ConfigError: A branch that begins before the first token or behind the last, a model that cannot be
                scored in one pass, or one that does more with its logits than its output layer says.
        """
        import torch

        for request in requests:
            for branch in request.branches:
                if not 1 <= branch.at <= len(request.ids):
                    raise ConfigError(f"A branch leaves after 1 to {len(request.ids)} tokens, got {branch.at}.")
        answers = [[np.zeros(0, np.float32) for _ in request.branches] for request in requests]
        # What no branch sees need not be run.
        trimmed = [
            ScoreRequest(request.ids[: max((b.at for b in request.branches), default=0)], request.branches)
            for request in requests
        ]
        head = self.model.get_output_embeddings()
        with self._evaluating(check_tree, check_output_layer):
            for indices, tree, states in self._passes(trimmed):
                places = [place for index, places in zip(indices, tree.before, strict=True) for place in places]
                branches = [branch for index in indices for branch in requests[index].branches]
                # Only the branches' positions meet the vocabulary: it is by far the widest layer.
                logits = head(states[torch.cat(places)])
                logits = logits if logits.dtype == torch.float64 else logits.float()
                ids = np.concatenate([branch.ids for branch in branches]).astype(np.int64)
                targets = torch.as_tensor(ids, device=logits.device)
                scores = torch.log_softmax(logits, -1).gather(-1, targets[:, None]).squeeze(-1)
                flat = np.split(scores.float().cpu().numpy(), np.cumsum([len(branch.ids) for branch in branches])[:-1])
                found = iter(flat)
                for index in indices:
                    answers[index] = [next(found) for _ in requests[index].branches]
        return answers

    def hidden(self, sequences: Sequence[NDArray[np.int32]]) -> list[NDArray[np.float32]]:
        """See `Scorer.hidden`; after the last layer's norm, as the output layer sees them.

        Raises:
            ConfigError: A model that cannot be scored in one pass.
        """
        width = int(self.model.config.hidden_size)
        answers = [np.zeros((0, width), np.float32) for _ in sequences]
        with self._evaluating(check_tree):
            for indices, tree, states in self._passes([ScoreRequest(np.asarray(ids), ()) for ids in sequences]):
                rows = states.float().cpu().numpy()
                for index, part in zip(indices, tree.parts, strict=True):
                    answers[index] = rows[part.begin : part.begin + part.context]
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

    @contextlib.contextmanager
    def _evaluating(self, *checks: Callable[[Any], None]) -> Iterator[None]:
        """Without gradients and dropout; the model passes each check once."""
        import torch

        training = bool(self.model.training)
        self.model.eval()
        try:
            with torch.no_grad():
                for check in checks:
                    if check not in self._checked:
                        check(self.model)
                        self._checked.add(check)
                yield
        finally:
            self.model.train(training)

    def _passes(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[list[int], TreeBatch, torch.Tensor]]:
        """Indices of the requests with tokens, in passes; the row of each pass; and its hidden states (N, D)."""
        pending = [index for index, request in enumerate(requests) if len(request.ids)]
        while pending:
            room, count = self.batch_tokens, 0
            for index in pending:
                request = requests[index]
                room -= len(request.ids) + sum(len(branch.ids) for branch in request.branches)
                if room < 0 and count:
                    break
                count += 1
            indices, pending = pending[:count], pending[count:]
            tree = TreeBatch([requests[index] for index in indices], self.model.device)
            yield indices, tree, tree_forward(self.model, tree)
