"""A rollout engine over a server that takes and gives token ids: vLLM, SGLang, palaestra's own.

The server is asked for completions of token ids and forgets them; the engine keeps every conversation's ids, so a
prefix stays what was sampled and no text is tokenised. (The server's prefix cache makes that cheap.)
"""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from palaestra.agents.models.engine import GenerationRequest, GenerationResult
from palaestra.agents.models.gate import Gate
from palaestra.agents.models.openai_completion import (
    LOGPROBS,
    Sample,
    ServedModel,
    completion_body,
    read_model,
    read_sample,
)
from palaestra.agents.models.turns import Decoder, Turn
from palaestra.agents.models.weight_folder import WeightFolder
from palaestra.agents.openai_client import OpenAIClient
from palaestra.agents.openai_protocol import ContextOverflow
from palaestra.background import BackgroundLoop
from palaestra.errors import ConfigError, ModelUnavailable

if TYPE_CHECKING:
    import torch

__all__ = ["OpenAIEngine"]


@dataclass(slots=True, eq=False)
class _Conversation:
    ids: list[int] = field(default_factory=list)
    turn: Future[GenerationResult] | None = None


class OpenAIEngine:
    """See `RolloutEngine`.

    **Log-probabilities.** A result's are to be those at the request's temperature before top-p. Servers differ (see
    `LOGPROBS`), and what they give is passed on as it is: `raw` ones are exact at temperature 1 and for greedy turns,
    `processed` ones without top-p, `tempered` ones always. `exact` says it for a request; `metrics` counts the turns
    for which it is not so, and the first of them warns.

    **Checks.** A turn fails as `ModelUnavailable` where the server gives no ids, reads another prompt than was sent,
    gives counts or numbers that cannot be, or a text that its ids do not mean here (then the tokenizer is not the
    model's). Where a turn ends is decided here, from the ids, by the same rule as for a model in this process; tokens
    that a server sampled beyond are dropped.

    **Determinism** is the server's: the seed is passed on.

    Args:
        client: Asks the server. Closed with the engine.
        model: The server's name of the model.
        decoder: From tokens to text.
        context_window: Most tokens of a conversation, samples included; by default what the server says.
        min_new_tokens: A turn for which the window leaves fewer tokens ends as `context_overflow`.
        logprobs: One of `LOGPROBS`; by default what is usual for the server, `raw` where that is not known.
        weights: How the server gets new weights; without it, `load_weights` cannot work.

    Raises:
        ConfigError: A value that cannot work.
    """

    def __init__(
        self,
        client: OpenAIClient,
        model: str,
        decoder: Decoder,
        *,
        context_window: int | None = None,
        min_new_tokens: int = 8,
        logprobs: str | None = None,
        weights: WeightFolder | None = None,
    ) -> None:
        if logprobs is not None and logprobs not in LOGPROBS:
            raise ConfigError(f"logprobs must be one of {', '.join(LOGPROBS)}, got '{logprobs}'.")
        if context_window is not None and context_window < 1:
            raise ConfigError(f"context_window must be at least 1, got {context_window}.")
        self.client, self.model, self.decoder, self.weights = client, model, decoder, weights
        self.window, self.min_new_tokens, self.logprobs = context_window, min_new_tokens, logprobs
        self._version = 0
        self._conversations: dict[str, _Conversation] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._loop = BackgroundLoop()
        self._gate = Gate()
        self._served: ServedModel | None = None
        self._counts = dict.fromkeys(
            ("turns", "sampled_tokens", "prompt_tokens", "dropped_tokens", "inexact_turns", "failures"), 0
        )

    @property
    def version(self) -> int:
        """See `RolloutEngine.version`."""
        return self._version

    def submit(self, request: GenerationRequest) -> Future[GenerationResult]:
        """See `RolloutEngine.submit`."""
        name = request.conversation
        with self._lock:
            conversation = self._conversations.setdefault(name, _Conversation())
            turn = conversation.turn
            if turn is not None and turn.cancelled():  # forgotten, whether or not its coroutine has seen it
                conversation, turn = _Conversation(), None
                self._conversations[name] = conversation
            if turn is not None and not turn.done():
                return _failed(ConfigError(f"'{name}' already has a turn under way."))
            try:
                conversation.turn = self._loop.submit(self._turn(conversation, request))
            except RuntimeError:
                return _failed(_closed())
            return conversation.turn

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """See `RolloutEngine.generate`."""
        return [future.result() for future in [self.submit(request) for request in requests]]

    def release(self, conversation: str) -> None:
        """See `RolloutEngine.release`."""
        with self._lock:
            known = self._conversations.pop(conversation, None)
        if known is not None and known.turn is not None:
            known.turn.cancel()

    def load_weights(self, named_tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """See `RolloutEngine.load_weights`; see `WeightFolder` for how they travel.

        Raises:
            ConfigError: Nothing says how this server gets weights, there are none, or the server refuses them.
            ModelUnavailable: The server gave no answer.
        """
        if self.weights is None:
            raise ConfigError(
                "This engine cannot give weights to its server: name a folder that both can read "
                "(weights=WeightFolder(...)), and start the server so that it reads them from there."
            )
        tensors = dict(named_tensors)
        if not tensors:
            raise ConfigError("A server shares no memory with whoever trains, so weights must be given by name.")
        try:
            loaded = self._loop.submit(self._load(self.weights, tensors, version))
        except RuntimeError:
            raise _closed() from None
        loaded.result()

    def exact(self, request: GenerationRequest) -> bool:
        """Whether the server's log-probabilities for this request are those that a result is to hold.

        What a server usually means by them is known once it was asked; until then, the answer is that for `raw`.
        """
        if self.convention == "raw":
            return request.temperature in (0.0, 1.0)
        return self.convention == "tempered" or request.top_p == 1

    @property
    def convention(self) -> str:
        """Which of `LOGPROBS` the server gives."""
        return self.logprobs or (self._served or ServedModel()).logprobs

    def metrics(self) -> Mapping[str, Any]:
        """See `RolloutEngine.metrics`.

        `turns`; `sampled_tokens`; `prompt_tokens`: sent, those of earlier turns again with each; `dropped_tokens`:
        sampled by the server behind the end of a turn; `inexact_turns`: see `exact`; `failures`: turns that broke;
        `retries`: attempts that had to be repeated; `logprobs`: one of `LOGPROBS`.
        """
        return {**self._counts, "retries": self.client.retried, "logprobs": self.convention}

    def close(self) -> None:
        """See `RolloutEngine.close`."""
        self._closed = True
        self._loop.close(self.client.aclose())
        with self._lock:
            self._conversations.clear()

    # In the loop

    async def _turn(self, conversation: _Conversation, request: GenerationRequest) -> GenerationResult:
        try:
            async with self._gate.turn():
                result = await asyncio.wait_for(self._sample(conversation, request), self.client.timeout)
        except BaseException as error:
            with self._lock:
                if self._conversations.get(request.conversation) is conversation:
                    del self._conversations[request.conversation]
            self._counts["failures"] += not isinstance(error, asyncio.CancelledError)
            if isinstance(error, asyncio.CancelledError) and self._closed:
                raise _closed() from None
            if isinstance(error, TimeoutError):
                limit = f"{self.client.timeout:g} s"
                raise ModelUnavailable(
                    "model_timeout", f"{self.client.url} gave no answer within {limit}, retries included."
                ) from None
            raise
        self._counts["turns"] += 1
        self._counts["sampled_tokens"] += len(result.token_ids)
        return result

    async def _sample(self, conversation: _Conversation, request: GenerationRequest) -> GenerationResult:
        served = await self._meet()
        window = self.window or served.window
        prompt = [*conversation.ids, *request.context_ids.tolist()]
        budget = request.max_new_tokens if window is None else min(request.max_new_tokens, window - len(prompt))
        # The rule by which a turn ends is the in-process engine's own; draws are the server's, so the generator idles.
        turn = Turn(request, Future(), budget, len(conversation.ids), np.random.default_rng(0))
        version = self._version
        if budget < min(self.min_new_tokens, request.max_new_tokens):
            return turn.overflow(version)

        async def ask() -> Sample:
            body = completion_body(self.model, prompt, request, budget, self.decoder.end_ids)
            self._counts["prompt_tokens"] += len(prompt)
            return read_sample(await self.client.send(f"{self.client.url}/completions", body), prompt, budget)

        try:
            sample = await self.client.persist(ask, request.seed)
        except ContextOverflow:
            return turn.overflow(version)
        result = self._replay(turn, sample, version)
        self._check_text(sample, result)
        conversation.ids = [*prompt, *result.token_ids.tolist()]
        self._counts["dropped_tokens"] += len(sample.ids) - len(result.token_ids)
        if not self.exact(request):
            self._note_inexact(request)
        return result

    def _note_inexact(self, request: GenerationRequest) -> None:
        self._counts["inexact_turns"] += 1
        if self._counts["inexact_turns"] == 1:
            settings = f"temperature {request.temperature:g} and top_p {request.top_p:g}"
            warnings.warn(
                f"{self.client.url} gives log-probabilities {LOGPROBS[self.convention]}; with {settings}, those are "
                "not of the policy that samples, so nothing should be learned from their ratios. Sample at temperature "
                "1 without top-p, or say what the server gives (logprobs=...), where it was started to give others.",
                stacklevel=2,
            )

    def _replay(self, turn: Turn, sample: Sample, version: int) -> GenerationResult:
        for token, logprob in zip(sample.ids, sample.logprobs, strict=True):
            result = turn.add(token, logprob, self.decoder, version)
            if result is not None:
                return result
        # The server knows another end token, or has a smaller window.
        return turn.end(sample.finish_reason, self.decoder, version)

    def _check_text(self, sample: Sample, result: GenerationResult) -> None:
        """Whether the server's text and the one decoded here can be of the same ids.

        Streams and wholes are decoded differently around white space and broken characters, so those do not count; a
        server's text may end at the stop string or behind it.
        """
        theirs, whole, ours = map(_bare, (sample.text, self.decoder.decode(sample.ids), result.text))
        if not (whole.startswith(theirs) and theirs.startswith(ours)):
            raise ModelUnavailable(
                "model_tokenizer",
                f"{self.client.url} says that its token ids mean {sample.text[:100]!r}, the tokenizer that was given "
                f"says {result.text[:100]!r}. Give the tokenizer of the model that the server runs.",
                retryable=False,
            )

    async def _meet(self) -> ServedModel:
        """What the server says of the model, asked before the first turn."""
        if self._served is None:
            known = self.window is not None and self.logprobs is not None
            self._served = ServedModel() if known else await self._ask_for_model()
        return self._served

    async def _ask_for_model(self) -> ServedModel:
        try:
            listed = await self.client.persist(lambda: self.client.send(f"{self.client.url}/models"), 0)
        except ModelUnavailable as error:
            if error.kind != "model_rejected":
                raise
            return ServedModel()  # it has no such list
        return read_model(listed, self.model)

    async def _load(self, weights: WeightFolder, tensors: Mapping[str, torch.Tensor], version: int) -> None:
        async with self._gate.alone():
            await asyncio.to_thread(weights.write, tensors)
            try:
                for path, body in weights.requests(version):
                    await self.client.persist(partial(self.client.send, self.client.root + path, body), 0)
            except ModelUnavailable as error:
                if error.kind != "model_rejected":
                    raise
                raise ConfigError(f"The server does not take the weights. {error.message}") from None
            self._version = version


def _bare(text: str) -> str:
    return "".join(text.split()).replace("\ufffd", "")


def _failed(error: Exception) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def _closed() -> ModelUnavailable:
    return ModelUnavailable("model_closed", "The model was closed while it was still asked.", retryable=False)
