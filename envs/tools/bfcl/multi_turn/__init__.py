"""BFCL's multi-turn categories: stateful applications, conversations with them, and verdicts on them."""

from __future__ import annotations

from palaestra.envs.tools.bfcl.multi_turn.cases import CATEGORIES, MultiTurnCase, multi_turn_cases
from palaestra.envs.tools.bfcl.multi_turn.checker import Verdict, check, check_texts, decode_step
from palaestra.envs.tools.bfcl.multi_turn.world import MAX_STEPS, MultiTurnWorld

__all__ = [
    "CATEGORIES",
    "MAX_STEPS",
    "MultiTurnCase",
    "MultiTurnWorld",
    "Verdict",
    "check",
    "check_texts",
    "decode_step",
    "multi_turn_cases",
]
