"""Judging short answers: SQuAD's normalisation, exact match and token F1.

The normalisation is the one of SQuAD's official script (Rajpurkar et al. 2016), which the scripts of HotpotQA and
2WikiMultihopQA and the reward of Search-R1 (Jin et al. 2025) repeat. What it does not do, we do not do either:

- Only the 32 ASCII characters of `string.punctuation` are removed. Unicode's own punctuation (curly quotes, dashes)
  stays, and so do accents: "Côte d’Ivoire" and "Cote d'Ivoire" differ, and a question that accepts both lists both.
- Punctuation is deleted, not replaced by a space: "one-party" becomes "oneparty".

Two decisions where the official scripts differ from each other or fail:

- HotpotQA's script gives an F1 of 0 whenever one side is "yes", "no" or "noanswer" and the sides differ. SQuAD's does
  not, and we follow SQuAD's: "no" against "no change" shares a token and scores 2/3.
- An answer may be nothing but articles and punctuation (the band "The The", the grade "A"). The scripts then accept
  whatever also normalises to nothing, an empty prediction included. Here such an answer is compared without the
  normalisation, by lower case and single spaces alone, so that saying nothing never scores.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from palaestra.errors import ConfigError

__all__ = ["exact_match", "normalize_answer", "token_f1"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_DELETE_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower-cases, deletes ASCII punctuation, drops the words a, an, the, and squeezes white space.

    Args:
        text: Any string.

    Returns:
        The normal form; the empty string where nothing is left.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_DELETE_PUNCTUATION)).split())


def exact_match(prediction: str, answers: Sequence[str] | str) -> float:
    """Whether the prediction equals one of the answers after normalisation.

    Args:
        prediction: What was answered.
        answers: The accepted answers, at least one; a string counts as one answer.

    Returns:
        1.0 or 0.0.

    Raises:
        ConfigError: There is no accepted answer, so nothing can be judged.
    """
    return float(any(gold and gold == given for given, gold in _pairs(prediction, answers)))


def token_f1(prediction: str, answers: Sequence[str] | str) -> float:
    """The harmonic mean of token precision and recall, with the best of the answers.

    With the tokens of prediction and answer as multisets P and G, F1 = 2 |P ∩ G| / (|P| + |G|).

    Args:
        prediction: What was answered.
        answers: The accepted answers, at least one; a string counts as one answer.

    Returns:
        A number in [0, 1]; 1.0 whenever `exact_match` gives 1.0.

    Raises:
        ConfigError: There is no accepted answer, so nothing can be judged.
    """
    return max(_f1(given.split(), gold.split()) for given, gold in _pairs(prediction, answers))


def _pairs(prediction: str, answers: Sequence[str] | str) -> list[tuple[str, str]]:
    """The prediction and each answer in the form in which the two are compared."""
    golds = [answers] if isinstance(answers, str) else list(answers)
    if not golds:
        raise ConfigError("There are no accepted answers to compare with; give at least one.")
    normal = normalize_answer(prediction)
    return [
        (normal, normalize_answer(gold)) if normalize_answer(gold) else (_plain(prediction), _plain(gold))
        for gold in golds
    ]


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _f1(given: list[str], gold: list[str]) -> float:
    shared = sum((Counter(given) & Counter(gold)).values())
    return 2 * shared / (len(given) + len(gold)) if shared else 0.0
