"""`palaestra serve`."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("serve")
def command() -> None:
    """Serve parts of palaestra to others over HTTP."""


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
