"""A rollout engine in this process: continuous batching over a transformers model.

One thread owns the model. Between two steps it lets finished turns leave and waiting ones join; a step runs one token
of every turn that is decoding and some tokens of those whose context is still to be read, in one packed pass. Keys and
values stay in the pool between the turns of a conversation, so earlier turns are never read again; where the pool had
to evict them, they are, from the recorded ids. Conversations that begin alike share the reading of whole blocks.

Determinism: draws come from each turn's own generator, so equal logits give equal tokens. With one turn at a time, the
logits are equal to the last bit in every process on a machine: pieces are cut at places that follow from the
conversation alone, whether or not a block comes from a donor. With more turns at a time, the batch changes last bits;
`together` fixes what is in it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np

from palaestra.agents.models import sampling
from palaestra.agents.models.engine import GenerationRequest, GenerationResult
from palaestra.agents.models.kv_pool import KVPool, Lease, PoolShape
from palaestra.agents.models.packed import Chunk, PackedBatch, check_packed, packed_forward
from palaestra.agents.models.turns import Conversation, Decoder, Turn
from palaestra.errors import ConfigError, ModelUnavailable, nearest

if TYPE_CHECKING:
    import torch

__all__ = ["TransformersEngine"]


class TransformersEngine:
    """See `RolloutEngine`.

    Args:
        model: A causal language model whose attention is `palaestra.agents.models.packed.ATTENTION`.
        decoder: From tokens to text.
        context_window: Most tokens of a conversation, samples included.
        max_batch: Most turns sampled together.
        max_wait: Seconds that an idle engine waits for more turns to begin together.
        block_size: Tokens of a block that conversations share and of a first turn's pieces.
        prefill_tokens: Most tokens of context read in one step.
        kv_cache_bytes: Bound on the memory of keys and values.
        min_new_tokens: A turn for which the window leaves fewer tokens ends as `context_overflow`.

    Raises:
        ConfigError: Settings that cannot work with this model.
    """

    def __init__(
        self,
        model: Any,
        decoder: Decoder,
        *,
        context_window: int = 4096,
        max_batch: int = 16,
        max_wait: float = 0.002,
        block_size: int = 64,
        prefill_tokens: int = 256,
        kv_cache_bytes: int = 2 << 30,
        min_new_tokens: int = 8,
    ) -> None:
        if max_batch < 1:
            raise ConfigError(f"max_batch must be at least 1, got {max_batch}.")
        self.model, self.decoder = model, decoder
        self.window, self.max_batch, self.max_wait = context_window, max_batch, max_wait
        self.block_size, self.prefill_tokens, self.min_new_tokens = block_size, prefill_tokens, min_new_tokens
        config = model.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = PoolShape(config.num_hidden_layers, heads, width, model.dtype.itemsize)
        self.pool = KVPool(
            shape,
            max_bytes=kv_cache_bytes,
            window=context_window,
            max_slots=4 * max_batch,
            dtype=model.dtype,
            device=model.device,
        )
        check_packed(model, self.pool)
        self._version = 0
        self._conversations: dict[str, Conversation] = {}
        self._waiting: deque[Conversation] = deque()
        self._reading: list[Conversation] = []  # context still to be run, in order of arrival
        self._decoding: list[Conversation] = []  # the i-th is in slot i
        self._loads: deque[tuple[dict[str, torch.Tensor], int, Future[None]]] = deque()
        self._inbox: deque[Callable[[], None]] = deque()
        self._ready = threading.Condition()
        self._closed = False
        self._held = 0
        self._thread: threading.Thread | None = None
        self._counts = dict.fromkeys(
            ("turns", "sampled_tokens", "read_tokens", "shared_tokens", "reread_tokens", "steps", "failures"), 0
        )

    # What others call, from any thread

    @property
    def version(self) -> int:
        """See `RolloutEngine.version`."""
        return self._version

    def submit(self, request: GenerationRequest) -> Future[GenerationResult]:
        """See `RolloutEngine.submit`."""
        future: Future[GenerationResult] = Future()
        if not self._post(lambda: self._begin(request, future)):
            future.set_exception(_closed())
        return future

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """See `RolloutEngine.generate`."""
        with self.together():
            futures = [self.submit(request) for request in requests]
        return [future.result() for future in futures]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Turns that are submitted within begin in one step, in this order, however long the submitting takes.

        With nothing else under way, what is batched with what then follows from the requests alone.
        """
        with self._ready:
            self._held += 1
        try:
            yield
        finally:
            with self._ready:
                self._held -= 1
                self._ready.notify()

    def release(self, conversation: str) -> None:
        """See `RolloutEngine.release`."""
        self._post(lambda: self._forget(conversation))

    def load_weights(self, named_tensors: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        """See `RolloutEngine.load_weights`."""
        tensors = dict(named_tensors)
        if self.model is None:
            raise _closed()
        state = self.model.state_dict()
        for name, tensor in tensors.items():
            if name not in state:
                raise ConfigError(f"The model has no weights '{name}'. {nearest(name, state)}")
            if tensor.shape != state[name].shape:
                raise ConfigError(
                    f"Weights '{name}' must have the shape {tuple(state[name].shape)}, got {tuple(tensor.shape)}."
                )
        done: Future[None] = Future()
        if not self._post(lambda: self._loads.append((tensors, version, done))):
            raise _closed()
        done.result()

    def metrics(self) -> Mapping[str, Any]:
        """See `RolloutEngine.metrics`.

        `turns`; `sampled_tokens`; `read_tokens`: context run through the model; `shared_tokens`: context taken from a
        conversation that begins alike; `reread_tokens`: run again after an eviction; `evictions`; `steps`: forward
        passes; `failures`: turns that broke.
        """
        return {**self._counts, "evictions": self.pool.evictions}

    def close(self) -> None:
        """See `RolloutEngine.close`."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self.model = None

    # The thread

    def _post(self, command: Callable[[], None]) -> bool:
        with self._ready:
            if self._closed:
                return False
            self._inbox.append(command)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="palaestra-engine", daemon=True)
                self._thread.start()
            self._ready.notify()
        return True

    def _run(self) -> None:
        import torch

        try:
            with torch.no_grad():
                while True:
                    with self._ready:
                        idle = not self._busy
                        while not ((self._inbox and not self._held) or self._busy or self._closed):
                            self._ready.wait()
                        if self._closed:
                            return
                    if idle and self.max_wait:
                        time.sleep(self.max_wait)
                    for command in self._received():
                        command()
                    self._step()
        finally:
            with self._ready:
                self._closed = True
                while self._inbox:
                    self._inbox.popleft()()
            self._fail(list(self._conversations.values()), _closed())
            for _, _, done in self._loads:
                done.set_exception(_closed())
            self.pool.clear()

    def _received(self) -> list[Callable[[], None]]:
        with self._ready:
            commands = [] if self._held else list(self._inbox)
            if commands:
                self._inbox.clear()
        return commands

    @property
    def _busy(self) -> bool:
        return bool(self._waiting or self._reading or self._decoding or self._loads)

    def _begin(self, request: GenerationRequest, future: Future[GenerationResult]) -> None:
        name = request.conversation
        conversation = self._conversations.setdefault(name, Conversation())
        if conversation.turn is not None and conversation.turn.future.cancelled():
            self._forget(name)
            conversation = self._conversations.setdefault(name, Conversation())
        if conversation.turn is not None:
            _refuse(future, ConfigError(f"'{name}' already has a turn under way."))
            return
        prefix = len(conversation.ids)
        budget = min(request.max_new_tokens, self.window - prefix - len(request.context_ids))
        turn = Turn(request, future, budget, prefix, np.random.default_rng(request.seed))
        if budget < min(self.min_new_tokens, request.max_new_tokens):
            _deliver(future, turn.overflow(self._version))
            return
        conversation.turn = turn
        conversation.ids.extend(int(token) for token in request.context_ids)
        self._waiting.append(conversation)

    def _forget(self, name: str) -> None:
        """Its slot stays with the pool as a donor until it is needed."""
        conversation = self._conversations.pop(name, None)
        if conversation is None:
            return
        if conversation.turn is not None:
            future = conversation.turn.future
            if future.cancel():
                future.set_running_or_notify_cancel()  # or `concurrent.futures.wait` would wait for it for ever
            self._leave(conversation)
        if conversation.lease is not None:
            self.pool.retire(conversation.lease)

    def _step(self) -> None:
        for conversation in [*self._waiting, *self._reading, *self._decoding]:
            if conversation.turn is not None and conversation.turn.future.cancelled():
                self._forget(conversation.turn.request.conversation)
        if self._loads and not (self._reading or self._decoding):
            self._load()
        affected: list[Conversation] = []
        try:
            while self._waiting and not self._loads and len(self._reading) + len(self._decoding) < self.max_batch:
                # Those still in the pool go first: with more episodes than slots, they would evict each other.
                candidate = next((one for one in self._waiting if one.lease in self.pool.leases), self._waiting[0])
                affected = [candidate]
                if not self._admit(candidate):
                    break
                self._waiting.remove(candidate)
                self._reading.append(candidate)
            affected = [*self._reading, *self._decoding]
            if affected:
                self._forward()
        except Exception as error:
            # The pool may be half written or half grown: everyone else's tokens are read again.
            self.pool.clear()
            self._fail(affected, _broken(error))

    def _admit(self, conversation: Conversation) -> bool:
        assert conversation.turn is not None
        known = conversation.turn.prefix_len
        lease = self.pool.acquire(len(conversation.ids) + conversation.turn.budget, conversation.lease)
        if lease is None:
            return False
        if lease is not conversation.lease:
            self._counts["reread_tokens"] += known
        conversation.lease = lease
        return True

    def _forward(self) -> None:
        reading = self._pieces()
        decoding = [
            Chunk(slot, _lease(conversation).length, conversation.ids[-1:], True)
            for slot, conversation in enumerate(self._decoding)
        ]
        members = [*self._decoding, *(conversation for conversation, _ in reading)]
        chunks = [*decoding, *(chunk for _, chunk in reading)]
        logits = packed_forward(self.model, PackedBatch(self.pool, decoding, [chunk for _, chunk in reading]))
        self._counts["steps"] += 1
        asked = []
        for conversation, chunk in zip(members, chunks, strict=True):
            lease = _lease(conversation)
            if chunk.start % self.block_size == 0 and len(chunk.ids) == self.block_size:
                self.pool.offer(lease, conversation.block_key(chunk.start // self.block_size, self.block_size))
            lease.length += len(chunk.ids)
            if chunk.want_logits:
                asked.append(conversation)
        if asked:
            self._draw(asked, logits)

    def _pieces(self) -> list[tuple[Conversation, Chunk]]:
        """What is read in this step: whole blocks at the front of a conversation, later whatever there is."""
        pieces: list[tuple[Conversation, Chunk]] = []
        under_way: set[bytes] = set()
        room, size = self.prefill_tokens, self.block_size
        for conversation in self._reading:
            lease = _lease(conversation)
            self._share(conversation, lease)
            start, total = lease.length, len(conversation.ids)
            aligned = start % size == 0
            count = min(size if aligned else self.prefill_tokens, total - start)
            if pieces and count > room:
                break
            if aligned and count == size:
                key = conversation.block_key(start // size, size)
                if key in under_way:  # the same block is being read by another: take it over in the next step
                    continue
                under_way.add(key)
            room -= count
            pieces.append(
                (
                    conversation,
                    Chunk(lease.slot, start, conversation.ids[start : start + count], start + count == total),
                )
            )
            self._counts["read_tokens"] += count
        return pieces

    def _share(self, conversation: Conversation, lease: Lease) -> None:
        size = self.block_size
        while lease.length % size == 0 and lease.length + size < len(conversation.ids):
            key = conversation.block_key(lease.length // size, size)
            donor = self.pool.donor(key)
            if donor is None or donor is lease:
                return
            self.pool.copy(donor, lease, lease.length, lease.length + size)
            self.pool.offer(lease, key)
            lease.length += size
            self._counts["shared_tokens"] += size

    def _draw(self, asked: Sequence[Conversation], logits: torch.Tensor) -> None:
        broken = sampling.broken_rows(logits)
        sound = [row for row, bad in enumerate(broken) if not bad]
        turns = [conversation.turn for conversation in asked if conversation.turn is not None]
        requests = [turns[row].request for row in sound]
        ids, logprobs = sampling.sample(
            logits[sound] if any(broken) else logits,
            [request.temperature for request in requests],
            [request.top_p for request in requests],
            [turns[row].rng.random() for row in sound],
        )
        for row, token, logprob in zip(sound, ids, logprobs, strict=True):
            self._advance(asked[row], turns[row], token, logprob)
        failed = [asked[row] for row, bad in enumerate(broken) if bad]
        for conversation in failed:
            self.pool.scrub(_lease(conversation))
        message = "The model's output is not a number. Its weights are broken, or the precision is too low for them."
        self._fail(failed, ModelUnavailable("model_nan", message, retryable=False))

    def _advance(self, conversation: Conversation, turn: Turn, token: int, logprob: float) -> None:
        conversation.ids.append(token)
        self._counts["sampled_tokens"] += 1
        result = turn.add(token, logprob, self.decoder, self._version)
        if result is not None:
            self._counts["turns"] += 1
            self._leave(conversation)
            _deliver(turn.future, result)
        elif conversation in self._reading:
            self._reading.remove(conversation)
            self.pool.move(_lease(conversation), len(self._decoding))
            self._decoding.append(conversation)

    def _leave(self, conversation: Conversation) -> None:
        """Ends the turn under way; the leading slots stay those that are decoding."""
        conversation.turn = None
        if conversation in self._decoding:
            place, last = self._decoding.index(conversation), self._decoding.pop()
            if last is not conversation:
                self._decoding[place] = last
                self.pool.move(_lease(last), place)
        elif conversation in self._reading:
            self._reading.remove(conversation)
        elif conversation in self._waiting:
            self._waiting.remove(conversation)
        if conversation.lease is not None:
            conversation.lease.pinned = False

    def _fail(self, conversations: Sequence[Conversation], error: ModelUnavailable) -> None:
        for conversation in conversations:
            if (turn := conversation.turn) is None:
                continue
            self._counts["failures"] += 1
            self._leave(conversation)
            self._conversations.pop(turn.request.conversation, None)
            _refuse(turn.future, error)

    def _load(self) -> None:
        tensors, version, done = self._loads.popleft()
        for lease in list(self.pool.leases):  # computed with the old weights
            self.pool.drop(lease)
        try:
            state = self.model.state_dict()
            for name, tensor in tensors.items():
                state[name].copy_(tensor)
        except Exception as error:
            done.set_exception(_broken(error))
        else:
            self._version = version
            done.set_result(None)


def _lease(conversation: Conversation) -> Lease:
    assert conversation.lease is not None
    return conversation.lease


def _deliver(future: Future[GenerationResult], result: GenerationResult) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(result)


def _refuse(future: Future[GenerationResult], error: Exception) -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(error)


def _closed() -> ModelUnavailable:
    return ModelUnavailable("model_closed", "The model was closed while it was still asked.", retryable=False)


def _broken(error: Exception) -> ModelUnavailable:
    name, text = type(error).__name__, str(error)
    if (
        isinstance(error, MemoryError)
        or "OutOfMemory" in name
        or "not enough memory" in text
        or "out of memory" in text
    ):
        advice = "Lower concurrency, max_batch, kv_cache_gb or context_window."
        return ModelUnavailable("model_out_of_memory", f"The model ran out of memory ({text}). {advice}")
    failure = ModelUnavailable("model_error", f"The model broke: {name}: {text}", cause="unattributed")
    failure.__cause__ = error
    return failure
