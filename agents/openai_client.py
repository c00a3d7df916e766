"""A server that speaks OpenAI's protocol, asked with time-outs and retries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from palaestra.agents.openai_protocol import (
    ContextOverflow,
    QuotaSpent,
    Rejected,
    Retry,
    full_jitter,
    read_error,
    retry_after,
)
from palaestra.errors import BudgetExceeded, ConfigError, MissingExtraError, ModelUnavailable

__all__ = ["OpenAIClient"]

T = TypeVar("T")


class OpenAIClient:
    """Connections to one server. All of its coroutines run in one event loop.

    Time-outs, connection errors, 408, 409, 429 and 5xx, and answers that cannot be read are tried again, after a pause
    drawn uniformly from [0, backoff * 2^n] ("full jitter"), seeded by the turn, and never shorter than what the server
    asks for in `Retry-After`.

    Args:
        url: Base URL; `/v1` is added to one without a path.
        what: Who asks, in errors.
        timeout: Seconds for a turn, its retries included.
        connect_timeout: Seconds to connect.
        read_timeout: Seconds without a byte from the server.
        retries: Attempts after the first.
        backoff: Seconds; scale of the first pause.
        max_backoff: Seconds; longest pause that is drawn.
        api_key: Sent as bearer token; never shown.

    Attributes:
        url: The base of the protocol's own paths.
        root: The base of the server's other paths: `url` without `/v1`.
        retried: How many attempts had to be repeated.

    Raises:
        ConfigError: A value that cannot work.
        MissingExtraError: httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        what: str,
        timeout: float = 600.0,
        connect_timeout: float = 10.0,
        read_timeout: float = 300.0,
        retries: int = 5,
        backoff: float = 0.5,
        max_backoff: float = 30.0,
        api_key: str | None = None,
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingExtraError(what, "openai") from error
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
        self.url = url.rstrip("/") + ("" if parts.path.strip("/") else "/v1")
        self.root = self.url.removesuffix("/v1")
        self.timeout, self.retries, self.backoff, self.max_backoff = timeout, retries, backoff, max_backoff
        self.retried = 0
        self._key, self._http = api_key, httpx
        self._timeouts = httpx.Timeout(read_timeout, connect=connect_timeout)
        self._client: Any = None

    async def send(self, url: str, body: Mapping[str, Any] | None = None) -> bytes:
        """One attempt: POST with a body, GET without. Gives the answer's body where the status is 200.

        Raises:
            Retry: It may succeed when tried again.
            Rejected: It will not.
        """
        if self._client is None:
            headers = {"Content-Type": "application/json"}
            if self._key:
                headers["Authorization"] = f"Bearer {self._key}"
            limits = self._http.Limits(max_connections=None)  # the harness bounds how many are in flight
            self._client = self._http.AsyncClient(headers=headers, timeout=self._timeouts, limits=limits)
        try:
            if body is None:
                response = await self._client.get(url)
            else:  # in ASCII: what agents write may hold lone surrogates
                response = await self._client.post(url, content=json.dumps(body).encode())
        except self._http.TimeoutException as error:
            raise Retry("model_timeout", f"{type(error).__name__}", None) from None
        except self._http.HTTPError as error:
            raise Retry("model_unreachable", f"{type(error).__name__}: {error}", None) from None
        if response.status_code != 200:
            text = response.text.replace(self._key, "***") if self._key else response.text
            raise read_error(response.status_code, text, retry_after(response.headers.get("retry-after")))
        content: bytes = response.content
        return content

    async def persist(self, attempt: Callable[[], Awaitable[T]], seed: int) -> T:
        """Repeats an attempt while it raises `Retry`, as often and as long as allowed.

        Args:
            attempt: Asks once, and reads the answer.
            seed: Of the pauses.

        Raises:
            ContextOverflow: The dialogue is longer than the model's context.
            BudgetExceeded: The account is spent.
            ModelUnavailable: The server refuses, or gave no answer in all attempts.
        """
        rng = np.random.default_rng(seed)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout
        for number in range(self.retries + 1):
            try:
                return await attempt()
            except ContextOverflow:
                raise
            except QuotaSpent as error:
                raise BudgetExceeded(f"The server at {self.url} says that the account is spent: {error}") from None
            except Rejected as error:
                raise ModelUnavailable(
                    "model_rejected", f"{self.url} refuses the request: {error}", retryable=False
                ) from None
            except Retry as error:
                pause = max(full_jitter(rng, number, self.backoff, self.max_backoff), error.after or 0.0)
                if number == self.retries or pause >= deadline - loop.time():
                    raise ModelUnavailable(
                        error.kind, f"{self.url} gave no answer in {number + 1} attempts; the last: {error}"
                    ) from None
                self.retried += 1
                await asyncio.sleep(pause)
        raise AssertionError("every attempt returns or raises")

    async def aclose(self) -> None:
        """Closes its connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
