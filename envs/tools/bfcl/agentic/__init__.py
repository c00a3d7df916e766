"""BFCL's agentic categories: questions about what was said in earlier conversations, or what a search finds."""

from __future__ import annotations

from palaestra.envs.tools.bfcl.agentic.answers import check_answer, holds_answer
from palaestra.envs.tools.bfcl.agentic.cases import AGENTIC, MEMORY, WEB_SEARCH, AgenticCase, agentic_cases
from palaestra.envs.tools.bfcl.agentic.world import AgenticWorld

__all__ = [
    "AGENTIC",
    "MEMORY",
    "WEB_SEARCH",
    "AgenticCase",
    "AgenticWorld",
    "agentic_cases",
    "check_answer",
    "holds_answer",
]
