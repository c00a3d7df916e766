"""`server:` agents: a language model behind a server that takes and gives token ids."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palaestra.agents.chat import Chat
from palaestra.agents.models.openai_engine import OpenAIEngine
from palaestra.agents.models.weight_folder import WeightFolder
from palaestra.agents.openai_client import OpenAIClient
from palaestra.agents.transformers_agent import TransformersAgent
from palaestra.errors import ConfigError

__all__ = ["ServerAgent", "make_server_agent"]


class ServerAgent(TransformersAgent):
    """Renders and tokenises here, samples there; for the rest see `TransformersAgent`."""

    engine: OpenAIEngine

    def metrics(self) -> Mapping[str, Any]:
        """What the engine counted; see `OpenAIEngine.metrics`."""
        return self.engine.metrics()


def make_server_agent(
    target: str | None,
    *,
    tokenizer: str | None = None,
    temperature: float = 0.7,
    top_p: float = 1.0,
    max_new_tokens: int = 256,
    context_window: int | None = None,
    logprobs: str | None = None,
    weights: str | None = None,
    timeout: float = 600.0,
    connect_timeout: float = 10.0,
    read_timeout: float = 300.0,
    retries: int = 5,
    backoff: float = 0.5,
    max_backoff: float = 30.0,
    api_key_env: str = "OPENAI_API_KEY",
) -> ServerAgent:
    """The agent `server:MODEL@URL`.

    Args:
        target: Model and server.
        tokenizer: Of the model: `smollm2`, a folder, a `.gguf` file, or a name on the model hub; by default what the
            server calls the model.
        temperature: 0 is greedy.
        top_p: Nucleus bound in (0, 1].
        max_new_tokens: Most tokens a turn.
        context_window: Most tokens of an episode; by default what the server says.
        logprobs: What the server's log-probabilities are: `raw`, `tempered` or `processed`; see `OpenAIEngine`.
        weights: Folder through which the server gets new weights, by SGLang's call; see `WeightFolder`.
        timeout: See `OpenAIClient`.
        connect_timeout: See `OpenAIClient`.
        read_timeout: See `OpenAIClient`.
        retries: See `OpenAIClient`.
        backoff: See `OpenAIClient`.
        max_backoff: See `OpenAIClient`.
        api_key_env: The environment variable that holds the key, where the server wants one.

    Raises:
        ConfigError: A value that cannot work.
        MissingExtraError: httpx or transformers is not installed.
    """
    found = re.fullmatch(r"(?P<model>.+?)@(?P<url>[^@]*://.*)", target or "")
    if found is None:
        raise ConfigError("Write server:MODEL@URL, for instance server:smollm2@http://localhost:8000.")
    client = OpenAIClient(
        found["url"],
        what=f"The agent 'server:{target}'",
        timeout=timeout,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries=retries,
        backoff=backoff,
        max_backoff=max_backoff,
        api_key=os.environ.get(api_key_env) or None,
    )
    from palaestra.agents.models.loading import load_tokenizer

    loaded, decoder = load_tokenizer(tokenizer or found["model"])
    engine = OpenAIEngine(
        client,
        found["model"],
        decoder,
        context_window=context_window,
        logprobs=logprobs,
        weights=None if weights is None else WeightFolder(Path(weights)),
    )
    details = {
        "kind": "server",
        "model": found["model"],
        "url": client.url,
        "tokenizer": tokenizer or found["model"],
        "context_window": context_window,
    }
    return ServerAgent(
        engine,
        Chat(loaded),
        name=f"server:{target}",
        details=details,
        temperature=temperature,
        top_p=top_p,
        max_new_tokens=max_new_tokens,
        timeout=timeout,
    )
