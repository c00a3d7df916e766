"""`openai:` agents: a language model behind any server that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from palaestra.agents.background import BackgroundLoop
from palaestra.agents.base import Action, View
from palaestra.agents.budget import Budget
from palaestra.agents.openai_protocol import (
    Answer,
    ContextOverflow,
    QuotaSpent,
    Rejected,
    Retry,
    close_tag,
    full_jitter,
    read_answer,
    read_error,
    retry_after,
)
from palaestra.episodes import Completion
from palaestra.errors import BudgetExceeded, ConfigError, MissingExtraError, ModelUnavailable

__all__ = ["OpenAIAgent", "make_openai_agent"]

_DEFAULT_URL = "https://api.openai.com/v1"


class OpenAIAgent:
    """Asks a server for each turn.

    Time-outs, connection errors, 408, 409, 429 and 5xx, and answers that cannot be read are tried again, after a pause
    drawn uniformly from [0, backoff * 2^n] ("full jitter"), seeded by the turn, and never shorter than what the server
    asks for in `Retry-After`. Other 4xx end the episode at once as `failed` with the server's message, except that a
    context longer than the model's is the agent's own doing: it says "" (`finish_reason` "context_overflow").

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
        try:
            import httpx
        except ImportError as error:
            raise MissingExtraError(f"The agent 'openai:{model}'", "openai") from error
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"The server's URL must begin with http:// or https://, got '{url}'.")
        if parts.username or parts.password:
            raise ConfigError("A URL is recorded, so it must not hold a password; name the variable with api_key_env.")
        for key, value in {
            "timeout": timeout,
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout,
        }.items():
            if isinstance(value, str) or not value > 0:
                raise ConfigError(f"{key} must be positive seconds, got {value!r}.")
        if not isinstance(retries, int) or retries < 0:
            raise ConfigError(f"retries must be a whole number from 0 up, got {retries!r}.")
        self.model, self.name = model, name or f"openai:{model}@{url}"
        self.url = url.rstrip("/") + ("" if parts.path.strip("/") else "/v1")
        self.temperature, self.top_p, self.max_new_tokens = temperature, top_p, max_new_tokens
        self.timeout, self.retries, self.backoff, self.max_backoff = timeout, retries, backoff, max_backoff
        self.logprobs, self.vllm, self.budget = logprobs or vllm, vllm, budget or Budget()
        self._key = api_key
        self._limit_field = "max_tokens"
        self._http = httpx
        self._timeouts = httpx.Timeout(read_timeout, connect=connect_timeout)
        self._client: Any = None
        self._loop = BackgroundLoop()
        self._retried = 0

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
        return {**self.budget.describe(), "retries": self._retried}

    def close(self) -> None:
        """See `Agent.close`."""
        client, self._client = self._client, None
        self._loop.close(client.aclose() if client is not None else None)

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
        rng = np.random.default_rng(seed)
        deadline = asyncio.get_running_loop().time() + self.timeout
        for attempt in range(self.retries + 1):
            try:
                return await self._ask(messages, stop, seed)
            except ContextOverflow:
                return Answer(text="", finish_reason="context_overflow")
            except QuotaSpent as error:
                raise BudgetExceeded(f"The server at {self.url} says that the account is spent: {error}") from None
            except Rejected as error:
                raise ModelUnavailable(
                    "model_rejected", f"{self.url} refuses the request: {error}", retryable=False
                ) from None
            except Retry as error:
                pause = max(full_jitter(rng, attempt, self.backoff, self.max_backoff), error.after or 0.0)
                left = deadline - asyncio.get_running_loop().time()
                if attempt == self.retries or pause >= left:
                    raise ModelUnavailable(
                        error.kind, f"{self.url} gave no answer in {attempt + 1} attempts; the last: {error}"
                    ) from None
                self._retried += 1
                await asyncio.sleep(pause)
        raise AssertionError("every attempt returns or raises")

    async def _ask(self, messages: Sequence[Mapping[str, Any]], stop: tuple[str, ...], seed: int) -> Answer:
        if self._client is None:
            headers = {"Content-Type": "application/json"}
            if self._key:
                headers["Authorization"] = f"Bearer {self._key}"
            limits = self._http.Limits(max_connections=None)  # the harness bounds how many are in flight
            self._client = self._http.AsyncClient(headers=headers, timeout=self._timeouts, limits=limits)
        body = self._body(messages, stop, seed)
        content = json.dumps(body).encode()  # in ASCII: what agents write may hold lone surrogates
        try:
            response = await self._client.post(f"{self.url}/chat/completions", content=content)
        except self._http.TimeoutException as error:
            raise Retry("model_timeout", f"{type(error).__name__}", None) from None
        except self._http.HTTPError as error:
            raise Retry("model_unreachable", f"{type(error).__name__}: {error}", None) from None
        if response.status_code != 200:
            failure = read_error(
                response.status_code, self._redacted(response.text), retry_after(response.headers.get("retry-after"))
            )
            if isinstance(failure, Rejected) and "max_completion_tokens" in str(failure) and "max_tokens" in body:
                self._limit_field = "max_completion_tokens"
                raise Retry("model_rejected", str(failure), None)
            raise failure
        return close_tag(read_answer(response.content, messages), stop)

    def _redacted(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text

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
