"""Judging short answers; the functions stand on floor 0, since rewards use them too (`palaestra.answers`)."""

from __future__ import annotations

from palaestra.answers import exact_match, normalize_answer, token_f1

__all__ = ["exact_match", "normalize_answer", "token_f1"]
