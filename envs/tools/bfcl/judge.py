"""The leaderboard's verdict on a reply to a single-turn case."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.bfcl.calls import CallSyntaxError
from palaestra.envs.tools.bfcl.cases import Case
from palaestra.envs.tools.bfcl.checker import CaseChecker, has_calls
from palaestra.envs.tools.bfcl.decoders import decode_output

__all__ = ["CaseJudge"]


class CaseJudge:
    """Judges replies to one case, as often as one likes.

    Args:
        case: The case.
        dotless: See `palaestra.envs.tools.bfcl.checker.CaseChecker`.
    """

    def __init__(self, case: Case, *, dotless: bool = False) -> None:
        self.case = case
        self._checker: CaseChecker | None = None
        if case.answers is not None:
            self._checker = CaseChecker(case.functions, case.answers, case.language, case.kind, dotless=dotless)
        self._wants_calls = "irrelevance" not in case.category

    def decode(self, text: str) -> Any:
        """The calls in a reply; None where it cannot be decoded."""
        try:
            return decode_output(text, self.case.return_format, tagged=self.case.format.tagged)
        except CallSyntaxError:
            return None

    def judge(self, decoded: Any) -> bool:
        """Whether decoded calls are right: those that were wanted, any at all (relevance), or none (irrelevance)."""
        if self._checker is None:
            return has_calls(decoded) == self._wants_calls
        return self._checker.check(decoded)

    def judge_text(self, text: str) -> bool:
        """Whether a reply is right."""
        return self.judge(self.decode(text))
