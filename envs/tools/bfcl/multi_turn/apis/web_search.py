"""The search tool of the web-search categories, with a retriever of the user's own in place of the web."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from palaestra.envs.search.passages import Passage
from palaestra.envs.search.retrievers.base import Retriever
from palaestra.envs.tools.bfcl.multi_turn.apis.base import Api, Result

__all__ = ["WebSearchAPI"]

_FOUND = 30  # passages asked for, of which the first max_results are shown
_SNIPPET = 300  # characters


class WebSearchAPI(Api):
    """Finds passages and shows them. Only what a search of this episode found can be fetched.

    Attributes:
        show_snippet: Whether results show the beginning of what they found.
    """

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        self.show_snippet = bool(scenario.get("show_snippet", True))
        self._pages: dict[str, str] = {}
        self._retriever: Retriever | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_retriever": None}  # an index is no part of an episode's state

    def search_engine_query(self, keywords: Any, max_results: Any = 10, region: Any = "wt-wt") -> Any:
        """Passages for some words, best first; the region has no meaning here.

        Raises:
            EpisodeFailure: The retriever is out of order.
        """
        if self._retriever is None:
            raise ValueError("There is nothing to search in.")
        hits = self._retriever.search([str(keywords)], _FOUND)[0]
        if not hits:
            return {"error": "Failed to retrieve the search results from server. Please try again later."}
        shown = [self._result(hit.passage) for hit in hits][:max_results]
        return shown

    def _result(self, passage: Passage) -> dict[str, str]:
        address = _address(passage)
        self._pages[address] = passage.contents
        result = {"title": passage.title, "href": address}
        return {**result, "body": passage.text[:_SNIPPET]} if self.show_snippet else result

    def fetch_url_content(self, url: Any, mode: Any = "raw") -> Result:
        """The whole of a passage that was found; the modes differ for web pages only."""
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"Invalid URL: {url}")
        problem = None
        if url not in self._pages:
            problem = "404 Client Error: only what a search has found can be fetched"
        elif mode not in ("raw", "markdown", "truncate"):
            problem = f"Unsupported mode: {mode}"
        if problem is not None:
            return {"error": f"An error occurred while fetching {url}: {problem}"}
        return {"content": self._pages[url]}


def _address(passage: Passage) -> str:
    if passage.id.startswith(("http://", "https://")):
        return passage.id
    return f"https://passage.invalid/{quote(passage.id, safe='', errors='replace')}"
