"""A retrieval server in Search-R1's protocol, for any retriever.

`POST /retrieve` with `{"queries": [...], "topk": 3, "return_scores": true}` answers `{"result": [[{"document": {"id":
..., "contents": ...}, "score": ...}, ...], ...]}`; without scores the inner lists hold the documents themselves.
`GET /health` says what is served.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from palaestra.envs.search.corpus import Corpus
from palaestra.envs.search.retrievers.base import Hit, Retriever
from palaestra.errors import EpisodeFailure, MissingExtraError
from palaestra.serving import serve_app

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["create_app", "serve"]

_EXAMPLE = 'Accepted: {"queries": ["a question", ...], "topk": 3, "return_scores": true}.'


def create_app(
    retriever: Retriever,
    corpus: Corpus | None = None,
    *,
    topk: int = 3,
    max_topk: int = 1000,
    max_queries: int = 4096,
    max_bytes: int = 64 * 2**20,
) -> Starlette:
    """The server as an ASGI application.

    A bad request is answered with a status of 400 to 499 and `{"error": ...}`, which names the field and says what is
    accepted; a retriever that is out of order with 503.

    Args:
        retriever: Answers the queries, in threads.
        corpus: Only for `/health`, which then says how many passages there are.
        topk: Hits for each query of a request without `topk`.
        max_topk: The largest `topk` accepted.
        max_queries: The most queries accepted in one request.
        max_bytes: Size of the largest request that is read.

    Returns:
        The application.

    Raises:
        MissingExtraError: starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import Response
        from starlette.routing import Route
    except ImportError as error:
        raise MissingExtraError("The retrieval server", "serve") from error

    def reply(content: object, status: int = 200) -> Response:
        return Response(json.dumps(content).encode(), status, media_type="application/json")

    async def retrieve(request: Request) -> Response:
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > max_bytes:
                return reply({"error": f"The request has more than {max_bytes:,} bytes."}, 413)
        try:
            queries, k, scores = _parse(data, topk, max_topk, max_queries)
        except ValueError as error:
            return reply({"error": f"{error} {_EXAMPLE}"}, 422)
        try:
            found = await run_in_threadpool(retriever.search, queries, k)
        except EpisodeFailure as failure:
            return reply({"error": str(failure)}, 503)
        return reply({"result": [[_item(hit, scores) for hit in hits] for hits in found]})

    async def health(request: Request) -> Response:
        facts: dict[str, Any] = {"status": "ok", "retriever": retriever.name, "version": retriever.version}
        if corpus is not None:
            facts |= {"passages": len(corpus), "corpus": corpus.digest}
        return reply(facts)

    async def missing(request: Request, error: Exception) -> Response:
        return reply({"error": "There are POST /retrieve and GET /health."}, getattr(error, "status_code", 404))

    return Starlette(
        routes=[Route("/retrieve", retrieve, methods=["POST"]), Route("/health", health, methods=["GET"])],
        exception_handlers={404: missing, 405: missing},
    )


def serve(
    retriever: Retriever,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    corpus: Corpus | None = None,
    topk: int = 3,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serves until it is interrupted; prints nothing but warnings.

    Args:
        retriever: Answers the queries.
        host: Name or address of the interface to listen at.
        port: Port; 0 for any that is free.
        corpus: See `create_app`.
        topk: See `create_app`.
        ready: Called with the address of the server as soon as it accepts connections.

    Raises:
        ConfigError: The server cannot listen there.
        MissingExtraError: starlette or uvicorn is not installed.
    """
    app = create_app(retriever, corpus, topk=topk)
    told = None if ready is None else lambda address: ready(f"{address}/retrieve")
    serve_app("The retrieval server", app, host, port, ready=told)


def _parse(data: bytearray, topk: int, max_topk: int, max_queries: int) -> tuple[list[str], int, bool]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The request is not JSON ({error}).") from None
    if not isinstance(body, dict):
        raise ValueError(f"The request must be a JSON object, not {type(body).__name__}.")
    queries = body.get("queries")
    if not isinstance(queries, list) or not all(isinstance(query, str) for query in queries):
        raise ValueError("The field 'queries' must be a list of strings.")
    if len(queries) > max_queries:
        raise ValueError(f"The field 'queries' may hold at most {max_queries:,} queries, not {len(queries):,}.")
    k = body.get("topk")
    k = topk if k is None or (k == 0 and not isinstance(k, bool)) else k
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= max_topk:
        raise ValueError(f"The field 'topk' must be an integer from 1 to {max_topk:,}.")
    scores = body.get("return_scores", False)
    if not isinstance(scores, bool):
        raise ValueError("The field 'return_scores' must be true or false.")
    return queries, k, scores


def _item(hit: Hit, scores: bool) -> dict[str, Any]:
    document = {"id": hit.passage.id, "contents": hit.passage.contents}
    return {"document": document, "score": hit.score} if scores else document
