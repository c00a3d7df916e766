"""Retrievers behind one protocol: BM25, dense, hybrid, and a client for remote ones."""

from palaestra.envs.search.retrievers.base import MAX_QUERY_CHARS, Hit, Retriever
from palaestra.envs.search.retrievers.make import make_retriever

__all__ = ["MAX_QUERY_CHARS", "Hit", "Retriever", "make_retriever"]
