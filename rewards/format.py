"""Search-R1's format-aware reward."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from palaestra.answers import exact_match, normalize_answer
from palaestra.episodes import Episode
from palaestra.errors import ConfigError
from palaestra.rewards.base import CreditResult, Models

__all__ = ["Format"]

_TAG = re.compile(r"(</?(?:think|search|information|answer)>)")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_PARTS = ("answer", "structure", "retrieval", "final")


class Format:
    """Credit for a right answer, and a little for the form of a wrong one.

    With v = the episode has Search-R1's structure, a = there is an answer, c = it is right (exact match), and g = an
    accepted answer stands in what was retrieved:

        R = score                                    v, c
            score - structure_format_score           not v, c
            structure_format_score                   v, not c, not g
            structure_format_score + retrieval_score v, not c, g
            final_format_score                       not v, a, not c
            0                                        not v, not a

    Structure: every turn but the last is `<think>...</think> <search>...</search>`, answered by the environment; the
    last is `<think>...</think> <answer>...</answer>`. Only white space stands between the tags, and none of the tags
    think, search, information, answer stands inside another. As Search-R1 does, a turn is cut after its first
    `</search>`, or else after its first `</answer>`, before it is looked at. The answer is the content of the last
    pair of answer tags.

    Source: Jin et al. 2025, "An Empirical Study on Reinforcement Learning for Reasoning-Search Interleaved LLM Agents"
    (arXiv 2505.15117), and the authors' code (github.com/PeterGriffinJin/Search-R1, `qa_em_format.py`). Defaults are
    those of its v0.3 training scripts.

    Departures from that code:
        - It reads one string in which the policy's text and the environment's are joined, prompt included. Here only
          what the policy wrote is searched for tags, so a tag quoted in a retrieved passage neither answers nor breaks
          the structure, and a pair of tags must lie within one turn.
        - It ignores a single answer, since its prompt contains an example of one. Here the prompt is not read, so one
          answer is enough.
        - Retrieved is what calls gave that went well (g). There, the prompt's own words between information tags count.
          An accepted answer that is empty after normalisation is in everything there, and in nothing here.
        - A search that the environment refused (an empty query, wrong arguments) breaks the structure; its searches
          never fail.
        - Exact match is `palaestra.answers.exact_match`, which differs where an accepted answer is nothing but articles
          and punctuation.

    Edge cases:
        - Failed episodes and episodes without accepted answers (`privileged["answers"]`) get None; the latter are
          counted.
        - A turn in another dialect than `tags` has no structure; an environment that says it uses one is refused.

    The parts in `terms` add up to the value: `format.answer` (score or 0), `format.structure` (negative where a right
    answer has no structure), `format.retrieval`, `format.final`.

    Args:
        score: For a right answer.
        structure_format_score: For the structure.
        final_format_score: For an answer, where the structure is wrong.
        retrieval_score: For having retrieved an accepted answer.
        name: Its name in terms and reports.

    Raises:
        ConfigError: A score is not a finite number.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"answers", "calls"})

    def __init__(
        self,
        score: float = 1.0,
        structure_format_score: float = 0.2,
        final_format_score: float = 0.1,
        retrieval_score: float = 0.0,
        name: str = "format",
    ) -> None:
        scores = {
            "score": score,
            "structure_format_score": structure_format_score,
            "final_format_score": final_format_score,
            "retrieval_score": retrieval_score,
        }
        for key, value in scores.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ConfigError(f"{key} is {value!r}; it must be a finite number.")
        self.score, self.structure_format_score = score, structure_format_score
        self.final_format_score, self.retrieval_score = final_format_score, retrieval_score
        self.name = name

    def __call__(self, episodes: Sequence[Episode], models: Models | None = None) -> CreditResult:
        """One value an episode, at level `episode`."""
        parts = [self._parts(episode) for episode in episodes]

        def column(value: Any) -> list[NDArray[np.float64] | None]:
            return [None if part is None else np.array([value(part)], np.float64) for part in parts]

        terms = {
            f"{self.name}.{key}": CreditResult(column(lambda part, i=i: part[i]), "episode")
            for i, key in enumerate(_PARTS)
        }
        without = sum(episode.valid and part is None for episode, part in zip(episodes, parts, strict=True))
        metrics = {f"{self.name}/without_answers": float(without)}
        return CreditResult(column(sum), "episode", terms, metrics)

    def _parts(self, episode: Episode) -> tuple[float, float, float, float] | None:
        golds = episode.privileged.get("answers", ())
        golds = (golds,) if isinstance(golds, str) else tuple(golds)
        if not episode.valid or not golds:
            return None
        seen = _look(episode, golds)
        if seen.answer is not None and exact_match(seen.answer, golds):
            return self.score, 0.0 if seen.structured else -self.structure_format_score, 0.0, 0.0
        if seen.structured:
            return 0.0, self.structure_format_score, self.retrieval_score if seen.retrieved else 0.0, 0.0
        return 0.0, 0.0, 0.0, self.final_format_score if seen.answer is not None else 0.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """What there is to score in an episode."""

    structured: bool
    answer: str | None
    retrieved: bool


def _look(episode: Episode, golds: Sequence[str]) -> _Seen:
    dialect = episode.env_kwargs.get("dialect", "tags")
    if dialect != "tags":
        raise ConfigError(
            f"The reward 'format' scores the tags of Search-R1; {episode.env_id} was made with dialect={dialect!r}. "
            "Make it with dialect='tags'."
        )
    texts = []
    for turn in episode.turns:
        if not isinstance(turn.action, str):
            raise ConfigError(f"The reward 'format' scores texts; an action was a {type(turn.action).__name__}.")
        texts.append(_cut(turn.action))
    structured = bool(texts) and _is(texts[-1], "answer")
    for text, turn in zip(texts[:-1], episode.turns, strict=False):
        answered = bool(turn.calls) and all(call.status == "ok" for call in turn.calls)
        structured = structured and answered and _is(text, "search")
    answers = [found for text in texts if (found := _last_answer(text)) is not None]
    retrieved = structured and any(
        normalize_answer(gold) and normalize_answer(gold) in normalize_answer(call.result.text)
        for turn in list(episode.turns)[:-1]
        for call in turn.calls
        if call.result is not None
        for gold in golds
    )
    return _Seen(structured, answers[-1] if answers else None, retrieved)


def _cut(text: str) -> str:
    for tag in ("</search>", "</answer>"):
        before, found, _ = text.partition(tag)
        if found:
            return before + tag
    return text


def _is(text: str, last: str) -> bool:
    """Whether a turn is a thought, then the tag `last`, and nothing else."""
    between_and_tags = _TAG.split(text)
    tags, outside = between_and_tags[1::2], between_and_tags[::4]
    return tags == ["<think>", "</think>", f"<{last}>", f"</{last}>"] and not any(part.strip() for part in outside)


def _last_answer(text: str) -> str | None:
    # Without what follows the last closing tag, every opening tag is closed and the search is linear in the text.
    found = _ANSWER.findall(text[: text.rfind("</answer>") + len("</answer>")]) if "</answer>" in text else []
    return found[-1].strip() if found else None
