"""`palaestra serve`."""

from __future__ import annotations

from pathlib import Path

import click

from palaestra.harness.cli.common import env_option, key_values


@click.group("serve")
def command() -> None:
    """Serve parts of palaestra to others."""


@command.command("retriever")
@click.option("--retriever", default="bm25", show_default=True, help="bm25, dense or hybrid.")
@click.option("--corpus", type=click.Path(path_type=Path), help="JSONL of passages.  [default: the CIA World Factbook]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8000, show_default=True, help="0 for any that is free.")
@click.option("--top-k", default=3, show_default=True, help="Passages a query gets, unless it asks for another number.")
def retriever(retriever: str, corpus: Path | None, host: str, port: int, top_k: int) -> None:
    r"""Serve a retriever in Search-R1's protocol (POST /retrieve), until interrupted.

    \b
    Examples:
      palaestra serve retriever
      palaestra serve retriever --corpus passages.jsonl --retriever hybrid --port 8001
      palaestra run palaestra/FactbookSearch-v0 --agent oracle --env retriever=http://127.0.0.1:8000/retrieve
    """
    from palaestra.envs.search.corpus import load_corpus
    from palaestra.envs.search.retrievers import make_retriever
    from palaestra.envs.search.server import serve

    if corpus is None:
        from palaestra.envs.search import factbook

        passages = load_corpus(factbook.load().passages)
    else:
        passages = load_corpus(corpus)
    made = make_retriever(retriever, passages, progress=True)

    def ready(address: str) -> None:
        click.echo(f"Serving {len(passages)} passages by {made.name} at {address} (Ctrl-C ends it)")

    serve(made, host, port, corpus=passages, topk=top_k, ready=ready)


@command.command("model")
@click.argument("model", metavar="MODEL")
@click.option("--name", help="What clients call it.  [default: MODEL]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8000, show_default=True, help="0 for any that is free.")
@click.option("--device", help="cpu, cuda, ...  [default: CUDA where there is one]")
@click.option("--dtype", help="float32, bfloat16 or float16.  [default: bfloat16 on CUDA, else float32]")
@click.option("--context-window", type=int, help="Most tokens of a dialogue.  [default: the model's, at most 4096]")
@click.option("--max-batch", default=16, show_default=True, help="Most requests sampled together; more wait.")
@click.option("--kv-cache-gb", default=2.0, show_default=True, help="Bound on the memory of keys and values, in GiB.")
@click.option("--weights", type=click.Path(path_type=Path, file_okay=False), help="A folder from which clients may "
              "have new weights loaded.  [default: none]")  # fmt: skip
def model(
    model: str,
    name: str | None,
    host: str,
    port: int,
    device: str | None,
    dtype: str | None,
    context_window: int | None,
    max_batch: int,
    kv_cache_gb: float,
    weights: Path | None,
) -> None:
    r"""Serve a language model in OpenAI's protocol, with token ids, until interrupted.

    MODEL is smollm2, a folder written by save_pretrained, a .gguf file, or a name on the model hub. Others ask it at
    /v1/completions and /v1/chat/completions; token ids and log-probabilities are exactly those that were sampled.

    \b
    Examples:
      palaestra serve model smollm2
      palaestra serve model runs/warm/model --name mine --port 8001
      palaestra run palaestra/FactbookSearch-v0 --agent server:smollm2@http://127.0.0.1:8000
    """
    from palaestra.agents.models.engine_server import create_app
    from palaestra.agents.models.loading import load_language_model
    from palaestra.agents.transformers_agent import make_engine
    from palaestra.serving import serve_app

    loaded = load_language_model(model, device=device, dtype=dtype)
    engine = make_engine(loaded, context_window=context_window, max_batch=max_batch, kv_cache_gb=kv_cache_gb)
    known, vocabulary = name or model, int(loaded.model.config.vocab_size)
    app = create_app(
        engine,
        loaded.tokenizer,
        engine.decoder,
        name=known,
        window=engine.window,
        vocabulary=vocabulary,
        weights=weights,
    )

    def ready(address: str) -> None:
        click.echo(f"Serving {loaded.name} ({loaded.precision}) as '{known}' at {address} (Ctrl-C ends it)")

    try:
        serve_app("The model server", app, host, port, ready=ready)
    finally:
        engine.close()


@command.command("mcp")
@click.argument("env_id", metavar="ENV")
@env_option
@click.option("--http", is_flag=True, help="Over streamable HTTP.  [default: over standard input and output]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen, with --http.")
@click.option("--port", default=8000, show_default=True, help="0 for any that is free.")
@click.option("--max-episodes", default=64, show_default=True, help="Most episodes at once.")
@click.option("--idle-seconds", default=900.0, show_default=True, help="When an episode that nobody calls is dropped.")
@click.option("--call-seconds", default=120.0, show_default=True, help="Time for a call; then its episode has failed.")
def mcp(
    env_id: str,
    env_pairs: tuple[str, ...],
    http: bool,
    host: str,
    port: int,
    max_episodes: int,
    idle_seconds: float,
    call_seconds: float,
) -> None:
    r"""Serve an environment's tools in the Model Context Protocol.

    The tool reset starts an episode and gives its episode_id, which all other tools take; turn takes a turn in words
    or with several calls; finish ends the episode and says how it went. Many episodes may run at once. Both
    generations of the protocol are spoken (2026-07-28, and 2025-11-25 with its predecessors).

    \b
    Examples:
      palaestra serve mcp palaestra/FactbookSearch-v0 --env split=test
      palaestra serve mcp palaestra/FactbookSearch-v0 --http --port 8001
    """
    from palaestra.envs.tools.mcp.server import EnvironmentServer, serve_http, serve_stdio

    served = EnvironmentServer(
        env_id,
        key_values(env_pairs, "--env"),
        max_episodes=max_episodes,
        idle_seconds=idle_seconds,
        call_seconds=call_seconds,
    )
    if not http:
        serve_stdio(served)
        return

    def ready(address: str) -> None:
        click.echo(f"Serving {served.env_id} at {address} (Ctrl-C ends it)")

    serve_http(served, host, port, ready=ready)
