"""The environments that come with palaestra, as strings."""

from __future__ import annotations

from palaestra.registration import EnvCard, register

__all__ = ["register_built_in"]


def register_built_in() -> None:
    """Registers every built-in environment; imports none."""
    register(
        EnvCard(
            id="palaestra/FactbookSearch-v0",
            summary="Multi-hop questions over the text of the CIA World Factbook, answered by searching it.",
            family="search",
            kind="verifiable",
            interface="text",
            extras=("search",),
        ),
        "palaestra.envs.search.factbook_search:FactbookSearchEnv",
    )
    register(
        EnvCard(
            id="palaestra/Search-v0",
            summary="Your own questions over your own corpus.",
            family="search",
            kind="verifiable",
            interface="text",
            extras=("search",),
        ),
        "palaestra.envs.search.search:SearchEnv",
    )
