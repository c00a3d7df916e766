"""`transformers:` agents: a language model in this process, many episodes at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from palaestra.agents.base import Action, View
from palaestra.agents.chat import Chat, Message, message_text
from palaestra.agents.models.engine import GenerationRequest, RolloutEngine
from palaestra.episodes import Completion
from palaestra.errors import ConfigError, ModelUnavailable

if TYPE_CHECKING:
    from palaestra.agents.models.loading import LanguageModel
    from palaestra.agents.models.transformers_engine import TransformersEngine

__all__ = ["TransformersAgent", "details_of", "make_engine", "make_transformers_agent"]


@dataclass(slots=True)
class _Dialogue:
    """What the model has read and said in an episode."""

    read: list[Message] = field(default_factory=list)
    length: int = 0
    last_id: int | None = None


class TransformersAgent:
    """Speaks through a rollout engine; records tokens exactly as sampled.

    **Context overflow.** Once the context leaves fewer than 8 of the window's tokens, the agent says nothing more: the
    turn is "" with `finish_reason` "context_overflow". It costs the agent its turn as any malformed utterance does, and
    is never a failure of the episode: filling the window was the agent's own doing.

    **Tools** are described by the environment's own messages in its own dialect; they are not put into the chat
    template, where many models know another one.

    **Rewritten history.** Where an environment changes messages that were read before, the dialogue is read anew as a
    new sequence (`prefix_len` 0).

    Args:
        engine: Samples the turns. Closed with the agent.
        chat: From messages to tokens.
        name: As written on the command line.
        details: For manifests: model, precision, device.
        temperature: 0 is greedy.
        top_p: Nucleus bound in (0, 1].
        max_new_tokens: Most tokens a turn.
        timeout: Seconds after which a turn, its time in the queue included, fails as `model_timeout`.

    Raises:
        ConfigError: A value outside its range.
    """

    policy: str | None = None

    def __init__(
        self,
        engine: RolloutEngine,
        chat: Chat,
        *,
        name: str = "transformers",
        details: Mapping[str, Any] | None = None,
        temperature: float = 0.7,
        top_p: float = 1.0,
        max_new_tokens: int = 256,
        timeout: float = 600.0,
    ) -> None:
        self.engine, self.chat, self.name = engine, chat, name
        self.details = dict(details or {})
        self.temperature, self.top_p, self.max_new_tokens, self.timeout = temperature, top_p, max_new_tokens, timeout
        if not timeout > 0:
            raise ConfigError(f"timeout must be positive seconds, got {timeout}.")
        self._request("check", [0], 0, ())

    async def act(self, view: View) -> Action:
        """See `Agent.act`."""
        dialogue: _Dialogue = view.memory.setdefault("dialogue", _Dialogue())
        messages = [(str(message["role"]), message_text(message)) for message in view.messages]
        fresh = self._fresh(dialogue, messages)
        if fresh is None:
            self.engine.release(view.episode_id)
            dialogue.length, dialogue.last_id = 0, None
            context = self.chat.opening(messages)
        else:
            context = self.chat.following(fresh, dialogue.last_id)
        future = self.engine.submit(self._request(view.episode_id, context, view.seed, tuple(view.stop)))
        try:
            result = await asyncio.wait_for(asyncio.wrap_future(future), self.timeout)
        except TimeoutError:
            raise ModelUnavailable(
                "model_timeout",
                f"{self.name} gave no turn within {self.timeout:g} s. Lower the number of episodes in flight or "
                "max_new_tokens, or raise timeout.",
            ) from None
        said = len(result.token_ids) > 0
        if said:
            dialogue.read = messages
            dialogue.length = result.prefix_len + len(context) + len(result.token_ids)
            dialogue.last_id = int(result.token_ids[-1])
        completion = Completion(
            token_ids=result.token_ids,
            logprobs=result.logprobs,
            context_ids=np.array(context if said else [], np.int32),
            prefix_len=result.prefix_len if said else 0,
            finish_reason=result.finish_reason,
            temperature=self.temperature,
            top_p=self.top_p,
            policy_version=result.policy_version,
            model=str(self.details.get("model", self.name)),
            text=result.text,
        )
        return Action(result.text, completion)

    def finish(self, episode_id: str) -> None:
        """See `Agent.finish`."""
        self.engine.release(episode_id)

    def describe(self) -> Mapping[str, Any]:
        """See `Agent.describe`."""
        return {
            **self.details,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_new_tokens": self.max_new_tokens,
        }

    def close(self) -> None:
        """See `Agent.close`."""
        self.engine.close()

    @staticmethod
    def _fresh(dialogue: _Dialogue, messages: list[Message]) -> list[Message] | None:
        """The messages that came after the agent's last turn; None where the dialogue has to be read from its start."""
        known = len(dialogue.read)
        if dialogue.length == 0 or messages[:known] != dialogue.read:
            return None
        fresh = messages[known:]
        if fresh and fresh[0][0] == "assistant":  # its own words, which stay as they were sampled
            fresh = fresh[1:]
        return None if any(role == "assistant" for role, _ in fresh) else fresh

    def _request(self, conversation: str, context: list[int], seed: int, stop: tuple[str, ...]) -> GenerationRequest:
        return GenerationRequest(
            conversation,
            np.array(context, np.int32),
            seed,
            temperature=self.temperature,
            top_p=self.top_p,
            max_new_tokens=self.max_new_tokens,
            stop=stop,
        )


def make_engine(
    loaded: LanguageModel,
    *,
    context_window: int | None = None,
    max_batch: int = 16,
    max_wait: float = 0.002,
    kv_cache_gb: float = 2.0,
) -> TransformersEngine:
    """An engine around a loaded model, with settings that suit its device; see `make_transformers_agent`.

    Raises:
        ConfigError: A value that cannot work.
    """
    from palaestra.agents.models.transformers_engine import TransformersEngine

    longest = int(getattr(loaded.model.config, "max_position_embeddings", None) or 4096)
    window = context_window or min(longest, 4096)
    if window > longest:
        raise ConfigError(f"The model was made for {longest} tokens of context, context_window={window} is more.")
    cuda = loaded.model.device.type == "cuda"
    return TransformersEngine(
        loaded.model,
        loaded.decoder(),
        context_window=window,
        max_batch=max_batch,
        max_wait=max_wait,
        block_size=256 if cuda else 64,
        prefill_tokens=4096 if cuda else 256,
        kv_cache_bytes=int(kv_cache_gb * 2**30),
    )


def details_of(loaded: LanguageModel, engine: TransformersEngine) -> dict[str, Any]:
    """What a manifest should say of a model in this process."""
    return {
        "kind": "transformers",
        "model": loaded.name,
        "precision": loaded.precision,
        "device": str(loaded.model.device),
        "context_window": engine.window,
    }


def make_transformers_agent(
    target: str | None,
    *,
    temperature: float = 0.7,
    top_p: float = 1.0,
    max_new_tokens: int = 256,
    context_window: int | None = None,
    dtype: str | None = None,
    device: str | None = None,
    max_batch: int = 16,
    max_wait: float = 0.002,
    kv_cache_gb: float = 2.0,
    timeout: float = 600.0,
) -> TransformersAgent:
    """The agent `transformers:TARGET`.

    Args:
        target: `smollm2`, a folder, a `.gguf` file, or a name on the model hub.
        temperature: 0 is greedy.
        top_p: Nucleus bound in (0, 1].
        max_new_tokens: Most tokens a turn.
        context_window: Most tokens of an episode; by default the model's own, at most 4096.
        dtype: `float32`, `bfloat16` or `float16`; by default bfloat16 on CUDA and float32 elsewhere.
        device: By default CUDA where there is one.
        max_batch: Most turns sampled together; more wait.
        max_wait: Seconds an idle model waits for turns to begin together.
        kv_cache_gb: Bound on the memory of keys and values, in GiB.
        timeout: Seconds after which a turn fails.

    Raises:
        ConfigError: A value that cannot work.
        MissingExtraError: A package is missing.
    """
    if not target:
        raise ConfigError("Write transformers:MODEL, for instance transformers:smollm2 or transformers:/path/of/model.")
    from palaestra.agents.models.loading import load_language_model, require_transformers

    require_transformers(f"The agent 'transformers:{target}'")

    loaded = load_language_model(target, device=device, dtype=dtype)
    engine = make_engine(
        loaded, context_window=context_window, max_batch=max_batch, max_wait=max_wait, kv_cache_gb=kv_cache_gb
    )
    return TransformersAgent(
        engine,
        Chat(loaded.tokenizer),
        name=f"transformers:{target}",
        details=details_of(loaded, engine),
        temperature=temperature,
        top_p=top_p,
        max_new_tokens=max_new_tokens,
        timeout=timeout,
    )
