"""`openai:` agents: a language model behind any server that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from palaestra.agents.base import Action, View
from palaestra.agents.budget import Budget
from palaestra.agents.openai_client import OpenAIClient
from palaestra.agents.openai_protocol import Answer, ContextOverflow, Rejected, Retry, close_tag, read_answer
from palaestra.background import BackgroundLoop
from palaestra.episodes import Completion
from palaestra.errors import ConfigError, ModelUnavailable

__all__ = ["OpenAIAgent", "make_openai_agent"]

_DEFAULT_URL = "https://api.openai.com/v1"


class OpenAIAgent:
    """Asks a server for each turn.

    What is tried again and how: see `OpenAIClient`. Other refusals end the episode at once as `failed` with the
    server's message, except that a context longer than the model's is the agent's own doing: it says ""
    (`finish_reason` "context_overflow").

    The server's tools are not used: utterances are text in the environment's dialect. Servers leave out the string at
    which they stopped, so the closing tag of an open tag is put back.

    Args:
        model: The server's name of the model.
        url: Base URL, to which `/chat/completions` is added.
        name: As written on the command line.
        temperature: Sampling temperature.
        top_p: Nucleus bound in (0, 1].
        max_new_tokens: Most tokens a turn.
        timeout: Seconds for a turn, its retries included.
        connect_timeout: Seconds to connect.
        read_timeout: Seconds without a byte from the server.
        retries: Attempts after the first.
        backoff: Seconds; scale of the first pause.
        max_backoff: Seconds; longest pause that is drawn.
        logprobs: Whether to ask for log-probabilities.
        vllm: Whether the server is vLLM, which can give token ids and keep stop strings.
        api_key: Sent as bearer token; never recorded.
        budget: What may be spent.

    Raises:
        ConfigError: A value that cannot work.
        MissingExtraError: httpx is not installed.
    """

    policy: str | None = None

    def __init__(
        self,
        model: str,
        url: str = _DEFAULT_URL,
        *,
        name: str | None = None,
        temperature: float = 0.7,
        top_p: float = 1.0,
        max_new_tokens: int = 256,
        timeout: float = 600.0,
        connect_timeout: float = 10.0,
        read_timeout: float = 300.0,
        retries: int = 5,
        backoff: float = 0.5,
        max_backoff: float = 30.0,
        logprobs: bool = False,
        vllm: bool = False,
        api_key: str | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._client = OpenAIClient(
            url,
            what=f"The agent 'openai:{model}'",
            timeout=timeout,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            retries=retries,
            backoff=backoff,
            max_backoff=max_backoff,
            api_key=api_key,
        )
        self.model, self.name, self.url = model, name or f"openai:{model}@{url}", self._client.url
        self.temperature, self.top_p, self.max_new_tokens, self.timeout = temperature, top_p, max_new_tokens, timeout
        self.logprobs, self.vllm, self.budget = logprobs or vllm, vllm, budget or Budget()
        self._limit_field = "max_tokens"
        self._loop = BackgroundLoop()

    async def act(self, view: View) -> Action:
        """See `Agent.act`."""
        self.budget.check()
        try:
            future = self._loop.submit(self._turn(view.messages, tuple(view.stop), view.seed))
        except RuntimeError:
            raise ModelUnavailable("model_closed", f"{self.name} was closed.", retryable=False) from None
        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(future), self.timeout)
        except TimeoutError:
            raise ModelUnavailable(
                "model_timeout", f"{self.url} gave no answer within {self.timeout:g} s, retries included."
            ) from None
        self.budget.charge(answer.tokens_in, answer.tokens_out)
        return Action(answer.text, self._completion(answer, view.memory))

    def finish(self, episode_id: str) -> None:
        """Nothing is kept."""

    def describe(self) -> Mapping[str, Any]:
        """See `Agent.describe`."""
        return {
            "kind": "openai",
            "model": self.model,
            "url": self.url,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_new_tokens": self.max_new_tokens,
        }

    def metrics(self) -> Mapping[str, Any]:
        """What was spent, and how many attempts had to be repeated."""
        return {**self.budget.describe(), "retries": self._client.retried}

    def close(self) -> None:
        """See `Agent.close`."""
        self._loop.close(self._client.aclose())

    def _body(self, messages: Sequence[Mapping[str, Any]], stop: tuple[str, ...], seed: int) -> dict[str, Any]:
        # A message of the role `tool` must answer a call by id, which utterances in a dialect do not have.
        shown = [
            {"role": "user" if message["role"] == "tool" else message["role"], "content": message["content"]}
            for message in messages
        ]
        body: dict[str, Any] = {
            "model": self.model,
            "messages": shown,
            "temperature": self.temperature,
            "top_p": self.top_p,
            self._limit_field: self.max_new_tokens,
            "seed": seed % 2**31,
        }
        if stop:
            body["stop"] = list(stop[:4])  # the protocol's limit; the text is cut here as well
        if self.logprobs:
            body["logprobs"] = True
        if self.vllm:
            body |= {"return_token_ids": True, "include_stop_str_in_output": True}
        return body

    async def _turn(self, messages: Sequence[Mapping[str, Any]], stop: tuple[str, ...], seed: int) -> Answer:
        """One turn with its retries; runs in the agent's own loop."""
        try:
            return await self._client.persist(lambda: self._ask(messages, stop, seed), seed)
        except ContextOverflow:
            return Answer(text="", finish_reason="context_overflow")

    async def _ask(self, messages: Sequence[Mapping[str, Any]], stop: tuple[str, ...], seed: int) -> Answer:
        body = self._body(messages, stop, seed)
        try:
            content = await self._client.send(f"{self.url}/chat/completions", body)
        except Rejected as error:
            if "max_completion_tokens" in str(error) and "max_tokens" in body:
                self._limit_field = "max_completion_tokens"
                raise Retry("model_rejected", str(error), None) from None
            raise
        return close_tag(read_answer(content, messages), stop)

    def _completion(self, answer: Answer, memory: dict[str, Any]) -> Completion:
        """With token ids where the server gave them: the delta to what the last turn ended with."""
        before: list[int] = memory.get("token_ids", [])
        known = bool(answer.token_ids) and len(answer.token_ids) == len(answer.logprobs) and bool(answer.prompt_ids)
        kept = 0
        if known:
            while kept < min(len(before), len(answer.prompt_ids)) and before[kept] == answer.prompt_ids[kept]:
                kept += 1
        memory["token_ids"] = [*answer.prompt_ids, *answer.token_ids] if known else []
        return Completion(
            token_ids=np.array(answer.token_ids if known else [], np.int32),
            logprobs=np.array(answer.logprobs if known else [], np.float32),
            context_ids=np.array(answer.prompt_ids[kept:] if known else [], np.int32),
            prefix_len=kept,
            finish_reason=answer.finish_reason,
            temperature=self.temperature,
            top_p=self.top_p,
            model=answer.model or self.model,
            text=answer.text,
        )


def make_openai_agent(
    target: str | None,
    *,
    temperature: float = 0.7,
    top_p: float = 1.0,
    max_new_tokens: int = 256,
    timeout: float = 600.0,
    connect_timeout: float = 10.0,
    read_timeout: float = 300.0,
    retries: int = 5,
    backoff: float = 0.5,
    max_backoff: float = 30.0,
    logprobs: bool = False,
    vllm: bool = False,
    api_key_env: str = "OPENAI_API_KEY",
    max_tokens: int | None = None,
    max_cost: float | None = None,
    price_in: float = 0.0,
    price_out: float = 0.0,
) -> OpenAIAgent:
    """The agent `openai:MODEL@URL`; without `@URL`, OpenAI's own server.

    Args:
        target: Model and server.
        temperature: See `OpenAIAgent`.
        top_p: See `OpenAIAgent`.
        max_new_tokens: See `OpenAIAgent`.
        timeout: See `OpenAIAgent`.
        connect_timeout: See `OpenAIAgent`.
        read_timeout: See `OpenAIAgent`.
        retries: See `OpenAIAgent`.
        backoff: See `OpenAIAgent`.
        max_backoff: See `OpenAIAgent`.
        logprobs: See `OpenAIAgent`.
        vllm: See `OpenAIAgent`.
        api_key_env: The environment variable that holds the key.
        max_tokens: Budget of the whole run in tokens, in and out together. (A turn's limit is `max_new_tokens`.)
        max_cost: Budget of the whole run in money.
        price_in: For a million tokens in.
        price_out: For a million tokens out.

    Raises:
        ConfigError: A value that cannot work.
        MissingExtraError: httpx is not installed.
    """
    found = re.fullmatch(r"(?P<model>.+?)(?:@(?P<url>[^@]*://.*))?", target or "")
    if found is None:
        raise ConfigError("Write openai:MODEL@URL, for instance openai:my-model@http://localhost:8000/v1.")
    url = found["url"] or _DEFAULT_URL
    key = os.environ.get(api_key_env) or None
    if key is None and urlsplit(url).hostname == "api.openai.com":
        raise ConfigError(f"OpenAI's server needs a key: set the environment variable {api_key_env}.")
    return OpenAIAgent(
        found["model"],
        url,
        name=f"openai:{target}",
        temperature=temperature,
        top_p=top_p,
        max_new_tokens=max_new_tokens,
        timeout=timeout,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries=retries,
        backoff=backoff,
        max_backoff=max_backoff,
        logprobs=logprobs,
        vllm=vllm,
        api_key=key,
        budget=Budget(max_tokens=max_tokens, max_cost=max_cost, price_in=price_in, price_out=price_out),
    )
