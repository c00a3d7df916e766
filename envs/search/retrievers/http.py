"""A client for retrieval servers that speak Search-R1's protocol."""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from palaestra.envs.search.corpus import passage_from_fields
from palaestra.envs.search.passages import Passage
from palaestra.envs.search.retrievers.base import Hit, clean_query
from palaestra.errors import ConfigError, EpisodeFailure, MissingExtraError

if TYPE_CHECKING:
    import httpcore

    from palaestra.envs.search.retrievers.deadline import Deadline

__all__ = ["HTTPRetriever"]

_SHOWN_CHARS = 200


class HTTPRetriever:
    """Asks a server for passages.

    Search-R1's protocol (search_r1/search/retrieval_server.py): `POST {"queries": [...], "topk": k, "return_scores":
    true}` is answered by `{"result": [[{"document": {"id": ..., "contents": ...}, "score": ...}, ...], ...]}`, one
    inner list for each query. Documents may have `title` and `text` instead of `contents`, and may lack an id (it is
    then a hash of title and text); documents without scores get 1 / rank.

    Queries are sent without NULs and unpaired surrogates, cut to `MAX_QUERY_CHARS` characters, and those with nothing
    left are not sent at all, so that no query can break a server that accepts text.

    Whatever goes wrong becomes an `EpisodeFailure` that names the address:

    - `retriever_down`: no connection, a connection lost, or the server says that it is out of order (5xx, 429);
    - `retriever_timeout`: no connection or no whole answer in time, however slowly it drips;
    - `retriever_garbage`: an answer that is not the protocol's: another status, no JSON, a wrong shape or count, a
      score that is not a finite number, too many bytes.

    The first two are tried again, after a pause that doubles and is multiplied by a random factor in [0.5, 1.5).

    Args:
        url: Address of the server; without a path, `/retrieve` is meant.
        connect_seconds: Time to connect, above 0.
        read_seconds: Longest wait for the next bytes, above 0.
        total_seconds: Time for a whole search, retries included, above 0.
        retries: Further attempts after the first, at least 0.
        backoff_seconds: The first pause, at least 0.
        max_bytes: Size of the largest answer that is read, at least 1.
        headers: Sent along, for instance `{"Authorization": "Bearer ..."}`.
        rng: Draws the random factor; a fresh generator if None.

    Raises:
        ConfigError: The address or a number cannot be used.
        MissingExtraError: httpx is not installed.
    """

    name = "http"

    def __init__(
        self,
        url: str,
        *,
        connect_seconds: float = 5.0,
        read_seconds: float = 30.0,
        total_seconds: float = 60.0,
        retries: int = 2,
        backoff_seconds: float = 0.25,
        max_bytes: int = 32 * 2**20,
        headers: Mapping[str, str] | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        try:
            from palaestra.envs.search.retrievers.deadline import Deadline
        except ImportError as error:
            raise MissingExtraError("The client of retrieval servers", "search") from error
        if not (min(connect_seconds, read_seconds, total_seconds) > 0 and retries >= 0 and backoff_seconds >= 0):
            raise ConfigError("Time-outs must be above 0, and retries and backoff_seconds at least 0.")
        if max_bytes < 1:
            raise ConfigError(f"max_bytes must be at least 1, not {max_bytes}.")
        options = {
            "connect_seconds": connect_seconds,
            "read_seconds": read_seconds,
            "total_seconds": total_seconds,
            "retries": retries,
            "backoff_seconds": backoff_seconds,
            "max_bytes": max_bytes,
            "headers": headers,
        }
        self._again = partial(HTTPRetriever, url, **options)  # type: ignore[arg-type]
        self.url = _address(url)
        self.version = f"http-{self.url}"
        self._timeouts = {"connect": connect_seconds, "read": read_seconds, "write": read_seconds, "pool": read_seconds}
        self._total, self._retries, self._backoff, self._max_bytes = total_seconds, retries, backoff_seconds, max_bytes
        self._headers: dict[bytes | str, bytes | str] = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "palaestra",
            **dict[Any, Any](headers or {}),
        }
        self._rng, self._lock = rng or np.random.default_rng(), threading.Lock()
        self._deadline: Deadline = Deadline()
        self._pool, self._pid = self._new_pool(), os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        return self._again, ()

    def _new_pool(self) -> httpcore.ConnectionPool:
        import httpcore

        from palaestra.envs.search.retrievers.deadline import DeadlineBackend

        pool = httpcore.ConnectionPool(
            max_connections=64, keepalive_expiry=30.0, network_backend=DeadlineBackend(self._deadline)
        )
        weakref.finalize(self, pool.close)
        return pool

    def _connections(self) -> httpcore.ConnectionPool:
        with self._lock:
            if self._pid != os.getpid():  # after a fork the sockets are the parent's
                self._pool, self._pid = self._new_pool(), os.getpid()
            return self._pool

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The best passages for each query; see `Retriever.search`.

        Raises:
            EpisodeFailure: As the class says.
        """
        if k < 1:
            raise ConfigError(f"k must be at least 1, not {k}.")
        cleaned = [clean_query(query) for query in queries]
        asked = [query for query in cleaned if query]
        if not asked:
            return [[] for _ in cleaned]
        answers = iter(self._ask(asked, k))
        return [next(answers) if query else [] for query in cleaned]

    def _ask(self, queries: list[str], k: int) -> list[list[Hit]]:
        body = json.dumps({"queries": queries, "topk": k, "return_scores": True}).encode()
        end = time.monotonic() + self._total
        for attempt in range(self._retries + 1):
            try:
                return self._hits(self._exchange(body, end), len(queries), k)
            except EpisodeFailure as failure:
                with self._lock:
                    factor = self._rng.uniform(0.5, 1.5)
                pause = self._backoff * 2**attempt * factor
                over = attempt == self._retries or time.monotonic() + pause >= end
                if over or failure.kind == "retriever_garbage":
                    if attempt:
                        failure.add_note(f"This was attempt {attempt + 1}.")
                    raise
            time.sleep(pause)
        raise AssertionError  # the loop above returns or raises

    def _exchange(self, body: bytes, end: float) -> bytes:
        import httpcore

        self._deadline.at = end
        started = time.monotonic()
        try:
            with self._connections().stream(
                "POST", self.url, headers=self._headers, content=body, extensions={"timeout": dict(self._timeouts)}
            ) as response:
                return self._body(response)
        except httpcore.TimeoutException as error:
            stage = (
                "connection" if isinstance(error, httpcore.ConnectTimeout | httpcore.PoolTimeout) else "whole answer"
            )
            problem = f"There was no {stage} after {time.monotonic() - started:.1f} s. Is the server overloaded?"
            raise self._failure("retriever_timeout", problem) from error
        except httpcore.RemoteProtocolError as error:
            lost = "disconnected" in str(error) or "closed" in str(error)
            problem = f"The connection was lost ({error})." if lost else f"The answer is not HTTP ({error})."
            raise self._failure("retriever_down" if lost else "retriever_garbage", problem) from error
        except httpcore.LocalProtocolError as error:
            raise ConfigError(f"The headers for {self.url} cannot be sent: {error}") from error
        except (httpcore.NetworkError, OSError) as error:
            problem = f"No connection ({error}). Is the server running?"
            raise self._failure("retriever_down", problem) from error
        finally:
            self._deadline.at = float("inf")

    def _body(self, response: httpcore.Response) -> bytes:
        good = response.status == 200
        chunks, size = [], 0
        for chunk in response.iter_stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > (self._max_bytes if good else _SHOWN_CHARS):
                break
        if good and size > self._max_bytes:
            raise self._failure("retriever_garbage", f"The answer has more than {self._max_bytes:,} bytes.")
        data = b"".join(chunks)
        if not good:
            down = response.status >= 500 or response.status == 429
            text = data[:_SHOWN_CHARS].decode("utf-8", "replace")
            # The server may have stumbled over a query, which only its owner can tell.
            raise EpisodeFailure(
                "retriever_down" if down else "retriever_garbage",
                f"{self._about}It answered with status {response.status}: {text}",
                cause="unattributed",
                retryable=down,
            )
        return data

    def _hits(self, data: bytes, count: int, k: int) -> list[list[Hit]]:
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError) as error:
            shown = data[:_SHOWN_CHARS].decode("utf-8", "replace")
            raise self._failure("retriever_garbage", f"The answer is not JSON ({error}): {shown}") from None
        lists = answer.get("result") if isinstance(answer, dict) else None
        if not isinstance(lists, list) or not all(isinstance(documents, list) for documents in lists):
            raise self._failure("retriever_garbage", "The answer has no list of lists under 'result'.")
        if len(lists) != count:
            raise self._failure("retriever_garbage", f"The answer has {len(lists)} results for {count} queries.")
        return [[self._hit(item, rank) for rank, item in enumerate(documents[:k], 1)] for documents in lists]

    def _hit(self, item: object, rank: int) -> Hit:
        score: object = None
        document = item
        if isinstance(item, dict) and "document" in item:
            document, score = item["document"], item.get("score")
        if not isinstance(document, dict):
            raise self._failure("retriever_garbage", f"A document is a {type(document).__name__}, not an object.")
        try:
            passage = _passage(document)
        except KeyError as error:
            problem = f"A document lacks the field {error}; it needs 'contents', or 'title' and 'text'."
            raise self._failure("retriever_garbage", problem) from None
        except TypeError as error:
            field, wanted = error.args
            raise self._failure("retriever_garbage", f"The field '{field}' of a document must be {wanted}.") from None
        if score is None:
            return Hit(passage, 1.0 / rank, rank)
        if isinstance(score, bool) or not isinstance(score, int | float) or not _finite(score):
            raise self._failure("retriever_garbage", f"A score is {str(score)[:40]}, not a finite number.")
        return Hit(passage, float(score), rank)

    def _failure(self, kind: str, problem: str) -> EpisodeFailure:
        return EpisodeFailure(kind, self._about + problem)

    @property
    def _about(self) -> str:
        return f"The retrieval server {self.url} failed. "


def _passage(document: Mapping[str, Any]) -> Passage:
    if document.get("id") is not None:
        return passage_from_fields(document)
    passage = passage_from_fields({**document, "id": "?"})
    digest = hashlib.sha256(passage.contents.encode()).hexdigest()
    return Passage(f"sha256:{digest[:16]}", passage.title, passage.text)


def _finite(score: float) -> bool:
    try:
        return math.isfinite(score)
    except OverflowError:  # an integer of hundreds of digits
        return False


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isascii()
    except ValueError:
        fine = False
    if not fine or parts.username is not None or any(c.isspace() or not c.isprintable() for c in url):
        raise ConfigError(
            f"The address of a retrieval server is like 'http://localhost:8000/retrieve', not {url!r}. "
            "Give user names and passwords by headers."
        )
    return parts._replace(path=parts.path if parts.path not in ("", "/") else "/retrieve", fragment="").geturl()
