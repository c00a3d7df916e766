"""A rollout engine behind OpenAI's protocol, with token ids: `palaestra serve model`.

`POST /v1/completions` (a prompt as text or token ids), `POST /v1/chat/completions` (through the model's chat template),
`GET /v1/models` and `GET /health`; vLLM's names for token ids (`return_token_ids`, `return_tokens_as_token_ids`,
`include_stop_str_in_output`). Log-probabilities are those at the sampling temperature before top-p. With a folder for
weights, `POST /update_weights_from_disk` (SGLang's name) takes new ones from there.

Requests are batched with each other, and prompts that begin alike share what was computed for them. A client that goes
away ends its request.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from palaestra.agents.chat import Chat
from palaestra.agents.models.engine import GenerationRequest, GenerationResult, RolloutEngine
from palaestra.agents.models.engine_requests import Asked, BadRequest, read_chat, read_completion
from palaestra.agents.models.turns import Decoder
from palaestra.errors import ConfigError, MissingExtraError, ModelUnavailable

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["create_app"]


class _Service:
    """What the endpoints share; see `create_app`."""

    def __init__(
        self,
        engine: RolloutEngine,
        tokenizer: Any,
        decoder: Decoder,
        name: str,
        window: int,
        vocabulary: int,
        weights: Path | None,
    ) -> None:
        self.engine, self.tokenizer, self.decoder, self.name = engine, tokenizer, decoder, name
        self.window, self.vocabulary, self.weights = window, vocabulary, weights
        self.began = int(time.time())
        self.numbers = itertools.count()
        self.chat = Chat(tokenizer) if getattr(tokenizer, "chat_template", None) else None

    def prompt_ids(self, asked: Asked) -> list[int]:
        """Token ids of what is asked.

        Raises:
            BadRequest: There are none, or one is no token of this model.
        """
        if asked.model not in ("", self.name):
            raise BadRequest(
                f"There is no model '{asked.model}' here, only '{self.name}'.", "model", "model_not_found", 404
            )
        if foreign := sorted(asked.stop_token_ids - set(self.decoder.end_ids)):
            ends = ", ".join(map(str, sorted(self.decoder.end_ids)))
            raise BadRequest(f"'stop_token_ids' may hold the model's own end tokens ({ends}), not {foreign}.")
        if asked.messages and self.chat is None:
            raise BadRequest(f"'{self.name}' has no chat template; POST to /v1/completions instead.", "messages")
        if asked.messages and self.chat is not None:
            ids = self.chat.opening(asked.messages)
        elif isinstance(asked.prompt, str):
            text = asked.prompt.encode("utf-8", "replace").decode("utf-8")  # lone surrogates have no tokens
            ids = self.tokenizer(text)["input_ids"]
        else:
            ids = asked.prompt
        if not ids:
            raise BadRequest("The prompt has no tokens.", "prompt")
        if not all(0 <= token < self.vocabulary for token in ids):
            raise BadRequest(f"A token id lies in [0, {self.vocabulary}).", "prompt")
        return ids

    async def sample(self, request: Request, asked: Asked, ids: list[int]) -> GenerationResult:
        """Samples, as long as the client listens."""
        turn = GenerationRequest(
            f"request-{next(self.numbers)}",
            np.array(ids, np.int32),
            secrets.randbits(31) if asked.seed is None else asked.seed % 2**63,
            temperature=asked.temperature,
            top_p=asked.top_p,
            max_new_tokens=asked.max_tokens or self.window,
            stop=asked.stop,
        )
        future: asyncio.Future[Any] = asyncio.wrap_future(self.engine.submit(turn))
        gone: asyncio.Future[Any] = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait({future, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                raise BadRequest("The client went away.", status=499)
            result: GenerationResult = future.result()
        finally:
            gone.cancel()
            future.cancel()
            self.engine.release(turn.conversation)
        if result.finish_reason == "context_overflow":
            raise BadRequest(
                f"This model's maximum context length is {self.window} tokens, and the prompt has {len(ids)}.",
                "prompt",
                "context_length_exceeded",
            )
        return result

    def said(self, asked: Asked, result: GenerationResult) -> tuple[str, str | None]:
        """The text as asked for, and the stop string that ended it."""
        matched = None
        if result.finish_reason == "stop" and int(result.token_ids[-1]) not in self.decoder.end_ids:
            matched = next((stop for stop in asked.stop if result.text.endswith(stop)), None)
        return result.text if matched is None or asked.keep_stop else result.text[: -len(matched)], matched

    def words(self, asked: Asked, ids: list[int]) -> list[str]:
        """Tokens as they are shown among log-probabilities."""
        return [f"token_id:{token}" if asked.named_ids else self.decoder.decode([token]) for token in ids]

    def answer(self, kind: str, ids: list[int], result: GenerationResult, choice: dict[str, Any]) -> dict[str, Any]:
        """The whole body around the one choice."""
        said = len(result.token_ids)
        return {
            "id": f"{'cmpl' if kind == 'text_completion' else 'chatcmpl'}-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "model": self.name,
            "choices": [{"index": 0, **choice, "finish_reason": result.finish_reason}],
            "usage": {"prompt_tokens": len(ids), "completion_tokens": said, "total_tokens": len(ids) + said},
            "metadata": {"weight_version": str(result.policy_version)},
        }

    async def completion(self, request: Request, data: bytes) -> dict[str, Any]:
        """`POST /v1/completions`."""
        asked = read_completion(data)
        ids = self.prompt_ids(asked)
        result = await self.sample(request, asked, ids)
        text, matched = self.said(asked, result)
        sampled, scores = result.token_ids.tolist(), result.logprobs.tolist()
        choice: dict[str, Any] = {"text": text, "stop_reason": matched, "logprobs": None}
        if asked.logprobs:
            words = self.words(asked, sampled)
            choice["logprobs"] = {
                "tokens": words,
                "token_logprobs": scores,
                "top_logprobs": [{word: score} for word, score in zip(words, scores, strict=True)],
                "text_offset": list(itertools.accumulate(map(len, words), initial=0))[:-1],
            }
        if asked.token_ids:
            choice |= {"prompt_token_ids": ids, "token_ids": sampled}
        return self.answer("text_completion", ids, result, choice)

    async def dialogue(self, request: Request, data: bytes) -> dict[str, Any]:
        """`POST /v1/chat/completions`."""
        asked = read_chat(data)
        ids = self.prompt_ids(asked)
        result = await self.sample(request, asked, ids)
        text, matched = self.said(asked, result)
        sampled, scores = result.token_ids.tolist(), result.logprobs.tolist()
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}, "stop_reason": matched}
        content = [
            {"token": word, "logprob": score, "bytes": list(word.encode()), "top_logprobs": []}
            for word, score in zip(self.words(asked, sampled), scores, strict=True)
        ]
        choice["logprobs"] = {"content": content} if asked.logprobs else None
        if not asked.token_ids:
            return self.answer("chat.completion", ids, result, choice)
        choice["token_ids"] = sampled
        return {**self.answer("chat.completion", ids, result, choice), "prompt_token_ids": ids}

    async def update(self, request: Request, data: bytes) -> dict[str, Any]:
        """`POST /update_weights_from_disk`."""
        try:
            body = json.loads(data)
            folder, version = Path(body["model_path"]), body.get("weight_version")
            number = self.engine.version + 1 if version is None else int(version)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise BadRequest(
                f'Accepted: {{"model_path": FOLDER, "weight_version": NUMBER}} ({type(error).__name__}).', "model_path"
            ) from None
        if self.weights is None or folder.absolute() != self.weights.absolute():
            allowed = "from no folder (see --weights)" if self.weights is None else f"from {self.weights.absolute()}"
            raise BadRequest(f"This server takes weights {allowed}, not from {folder}.", "model_path")
        await asyncio.to_thread(_load, self.engine, folder, number)
        return {"success": True, "message": f"The weights are those of version {number}.", "num_paused_requests": 0}


def create_app(
    engine: RolloutEngine,
    tokenizer: Any,
    decoder: Decoder,
    *,
    name: str,
    window: int,
    vocabulary: int,
    weights: Path | None = None,
    max_bytes: int = 64 * 2**20,
) -> Starlette:
    """The server as an ASGI application.

    A bad request is answered with a status of 400 to 499 and `{"error": {"message", "type", "param", "code"}}`, which
    names the field and says what is accepted; a model that is out of order with 500 or 503.

    Args:
        engine: Samples. Not closed by the application.
        tokenizer: Of transformers.
        decoder: From tokens to text.
        name: What the model is called.
        window: Most tokens of a context, as the engine has it.
        vocabulary: How many token ids the model knows.
        weights: The folder from which new weights may be taken.
        max_bytes: Size of the largest request that is read.

    Raises:
        MissingExtraError: starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.responses import Response
        from starlette.routing import Route
    except ImportError as error:
        raise MissingExtraError("The model server", "serve") from error
    service = _Service(engine, tokenizer, decoder, name, window, vocabulary, weights)

    def reply(content: object, status: int = 200) -> Response:
        return Response(json.dumps(content).encode(), status, media_type="application/json")

    def refusal(message: str, status: int, param: str | None = None, code: str | None = None) -> Response:
        kind = "invalid_request_error" if status < 500 else "server_error"
        return reply({"error": {"message": message, "type": kind, "param": param, "code": code}}, status)

    def post(path: str, function: Callable[[Request, bytes], Any]) -> Route:
        async def endpoint(request: Request) -> Response:
            data = bytearray()
            async for chunk in request.stream():
                data += chunk
                if len(data) > max_bytes:
                    return refusal(f"The request has more than {max_bytes:,} bytes.", 413)
            try:
                return reply(await function(request, bytes(data)))
            except BadRequest as error:
                return refusal(str(error), error.status, error.param, error.code)
            except ConfigError as error:
                return refusal(str(error), 400)
            except ModelUnavailable as error:
                return refusal(str(error), 503 if error.kind == "model_closed" else 500, code=error.kind)

        return Route(path, endpoint, methods=["POST"])

    async def models(request: Request) -> Response:
        facts = {"id": name, "object": "model", "created": service.began, "owned_by": "palaestra"}
        return reply({"object": "list", "data": [{**facts, "max_model_len": window}]})

    async def health(request: Request) -> Response:
        return reply({"status": "ok", "model": name, "version": engine.version, **engine.metrics()})

    async def missing(request: Request, error: Exception) -> Response:
        there = "POST /v1/completions, POST /v1/chat/completions, GET /v1/models, GET /health"
        return refusal(f"There are {there}.", getattr(error, "status_code", 404))

    return Starlette(
        routes=[
            post("/v1/completions", service.completion),
            post("/v1/chat/completions", service.dialogue),
            post("/update_weights_from_disk", service.update),
            Route("/v1/models", models, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
        ],
        exception_handlers={404: missing, 405: missing},
    )


async def _gone(request: Request) -> None:
    """Returns when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _load(engine: RolloutEngine, folder: Path, version: int) -> None:
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ConfigError(f"There are no weights (*.safetensors) in {folder}.")
    tensors: dict[str, Any] = {}
    try:
        for file in files:
            tensors |= load_file(file)
    except Exception as error:
        raise ConfigError(f"The weights in {folder} cannot be read: {type(error).__name__}: {error}") from error
    engine.load_weights(tensors.items(), version)
