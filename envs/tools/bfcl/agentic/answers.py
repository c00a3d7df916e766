"""The leaderboard's verdict on answers: an accepted one must stand in the last message that is no call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from palaestra.envs.tools.bfcl.multi_turn.checker import Verdict, decode_step

__all__ = ["check_answer", "holds_answer", "judge_message"]

_DROPPED = str.maketrans("", "", ",./-_*^()")


def _plain(text: str) -> str:
    """A text without case and the punctuation that does not count."""
    return text.translate(_DROPPED).lower().replace("'", '"')


@lru_cache(maxsize=1024)
def _wanted(answers: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(rf"\b{re.escape(_plain(answer))}\b" for answer in answers) or r"(?!)")


def holds_answer(text: str, answers: Sequence[str]) -> bool:
    """Whether one of the accepted answers stands in a text, between ends of words."""
    return _wanted(tuple(answers)).search(_plain(text)) is not None


def judge_message(text: str | None, answers: Sequence[str]) -> Verdict:
    """The verdict on the last message that is no call; None and an empty one are none."""
    if not text:
        return Verdict(False, "agentic:no_last_message", "There is no message that is not a call.")
    if holds_answer(text, answers):
        return Verdict(True)
    return Verdict(False, "agentic:answer_not_found", "No accepted answer stands in the last message.")


def check_answer(steps: Sequence[str], answers: Sequence[str]) -> Verdict:
    """The verdict on what a model that is prompted said, step by step, in the conversation with the question.

    Args:
        steps: What was said; those that hold calls are passed over.
        answers: The accepted ones.
    """
    return judge_message(next((text for text in reversed(steps) if not decode_step(text)), None), answers)
