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
            # Measured on the training split, whose modal answers the prior knows: 0.105 over all, 0.147, 0.157, 0.064
            # and 0.217. Below half of that on the others. Comparisons and counts need their passages.
            bounds={
                "prior": 0.12,
                "prior:bridge": 0.17,
                "prior:comparison": 0.0,
                "prior:count": 0.0,
                "prior:intersection": 0.18,
                "prior:lookup": 0.08,
                "prior:superlative": 0.25,
            },
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
    register(
        EnvCard(
            id="palaestra/ToolDesk-v0",
            summary="An office of nine applications, in which requests are carried out by calling tools.",
            family="tools",
            kind="verifiable",
            interface="text",
            # The prior ends at once, as most training tasks of the kind end: with a reason to decline, or a figure.
            # Measured: 0.066 over all; 0.028, 0.009, 0.020 and 0.338 on single, lookup, conditional and refuse.
            bounds={
                "prior": 0.08,
                "prior:aggregate": 0.02,
                "prior:ask": 0.0,
                "prior:chain": 0.0,
                "prior:conditional": 0.04,
                "prior:lookup": 0.02,
                "prior:parallel": 0.0,
                "prior:refuse": 0.38,
                "prior:single": 0.05,
                "refuser": 0.07,  # declines everything, and so wins refuse tasks alone
            },
        ),
        "palaestra.envs.tools.desk.tool_desk:ToolDeskEnv",
    )
    register(
        EnvCard(
            id="palaestra/McpTools-v0",
            summary="Your own tasks for the tools of any MCP server.",
            family="tools",
            kind="verifiable",
            interface="text",
            snapshot="none",
            extras=("mcp",),
            nondeterministic=True,
        ),
        "palaestra.envs.tools.mcp.environment:McpToolsEnv",
    )
    register(
        EnvCard(
            id="palaestra/BFCL-v0",
            summary="The Berkeley Function-Calling Leaderboard: its cases, its prompts, its verdicts.",
            family="tools",
            kind="verifiable",
            interface="text",
            extras=("bfcl",),
            # Where no call is right, silence wins, and so does all that holds no call: 0.253 of the default tasks are
            # of that kind. (The bounds leave room for samples of 300.) Where any call is right, every call wins.
            bounds={
                "null": 0.26,
                "echo": 0.36,
                "saboteur": 0.25,
                "prior": 0.06,
                "prior:simple_python": 0.15,
                "prior:multiple": 0.08,
                "prior:live_simple": 0.12,
                "prior:live_relevance": 1.0,
            },
            note="21 of release v4's 22 scoring categories (not memory_vector; web search with a search of yours; "
            "17 by default). A mean over several categories is no score of the leaderboard: compare single categories. "
            "`palaestra list palaestra/BFCL-v0` shows what is covered.",
        ),
        "palaestra.envs.tools.bfcl.bfcl:BFCLEnv",
    )
