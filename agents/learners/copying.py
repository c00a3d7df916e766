"""What teaches a small model to copy: repeated sequences, and dialogues in which everything that is copied was renamed.

A policy that searches and answers copies: names from the question into the query, facts from what was found into the
answer. A model that learns from a few hundred dialogues learns their names by heart instead, and fails on held-out
ones. So it first learns to go on with what it has read before, on random tokens; then it learns from dialogues in many
versions, each with invented names and other digits, whose only constant is how one thing follows from the other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from palaestra.episodes import Episode
from palaestra.errors import ConfigError
from palaestra.tokens import TokenSequence

__all__ = ["common_words", "grounded", "known_names", "renamed", "repeated_sequences"]

_WORD = re.compile(r"[^\W\d_]+|\d")
_SYLLABLES = tuple(c + v for c in "bcdfghjklmnprstvwz" for v in ("a", "e", "i", "o", "u", "an", "er", "is", "on", "el"))


def repeated_sequences(
    count: int, vocabulary: int, rng: np.random.Generator, *, length: int = 96, first: int = 4
) -> list[TokenSequence]:
    """Random tokens that come again, with loss where they do.

    Args:
        count: How many sequences.
        vocabulary: Number of tokens.
        rng: Draws them.
        length: Most tokens of a sequence; at least 18.
        first: The lowest token to draw; those below are special.
    """
    sequences = []
    for _ in range(count):
        part = rng.integers(first, vocabulary, int(rng.integers(8, length // 2)))
        between = rng.integers(first, vocabulary, int(rng.integers(0, length // 4)))
        ids = np.concatenate([part, between, part, part])[:length].astype(np.int32)
        mask = np.zeros(len(ids), bool)
        mask[len(part) + len(between) :] = True
        mask[len(part) + len(between) :: len(part)] = False  # where a repetition begins follows from nothing
        sequences.append(
            TokenSequence(ids, mask, np.zeros(len(ids), np.float32), np.where(mask, 0, -1).astype(np.int32))
        )
    return sequences


def common_words(episodes: Sequence[Episode], share: float = 0.015) -> frozenset[str]:
    """Words that the agent says in so large a share of the episodes, so they are the task's language and no names.

    The last turn's do not count: what is answered is what is to be copied.
    """
    said: Counter[str] = Counter()
    for episode in episodes:
        said.update({word for turn in list(episode.turns)[:-1] for word in _WORD.findall(str(turn.action))})
    return frozenset(word for word, count in said.items() if count >= max(2, share * len(episodes)))


def grounded(episode: Episode) -> bool:
    """Whether every word of the last turn, tags apart, was read before it."""
    if not episode.turns:
        return False
    last = re.sub(r"</?\w+>", " ", str(episode.turns[-1].action))
    told = {word for text in episode.observations[: len(episode.turns)] for word in _WORD.findall(str(text))}
    return told.issuperset(_WORD.findall(last))


def known_names(episodes: Sequence[Episode], keep: frozenset[str]) -> tuple[str, ...]:
    """The capitalised words of what was read, sorted; those in `keep` are none."""
    read = {word for episode in episodes for text in episode.observations for word in _WORD.findall(str(text))}
    return tuple(sorted(word for word in read - keep if word[0].isupper() and len(word) > 2))


def renamed(
    episode: Episode,
    rng: np.random.Generator,
    keep: frozenset[str],
    *,
    names: Sequence[str] = (),
    share: float = 0.7,
) -> Episode:
    """The dialogue with other names: whatever the agent says and was told before is replaced all through.

    Args:
        episode: A spoken episode.
        rng: Decides what is renamed, and how.
        keep: Words that stay; see `common_words`.
        names: From which half of the new names are taken; see `known_names`. The others are made of syllables.
        share: Share of the names that are replaced; digits are permuted with this probability.

    Raises:
        ConfigError: The episode is not made of texts.
    """
    texts = [*episode.observations, *(turn.action for turn in episode.turns)]
    if not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"Episode {episode.episode_id} of {episode.env_id} was not spoken: it holds more than texts.")
    said = {word for turn in episode.turns for word in _WORD.findall(turn.action)}
    told = {word for text in episode.observations for word in _WORD.findall(text)}
    # Tags and words of the language stay: they are what the agent has to know.
    tags = set(re.findall(r"</?(\w+)", " ".join(texts)))
    old = [
        word
        for word in sorted(said & told - keep - tags)
        if not word.isdigit() and (word[0].isupper() or len(word) > 3)
    ]
    new = {word: _invented(word, rng, names) for word in old if rng.random() < share}
    if rng.random() < share:
        new.update({str(digit): str(other) for digit, other in enumerate(rng.permutation(10))})

    def rewritten(text: str) -> str:
        return _WORD.sub(lambda found: new.get(found.group(), found.group()), text)

    return replace(
        episode,
        observations=[rewritten(text) for text in episode.observations],
        turns=[replace(turn, action=rewritten(turn.action)) for turn in episode.turns],
    )


def _invented(word: str, rng: np.random.Generator, names: Sequence[str]) -> str:
    if not word[0].isupper():
        return _syllables(rng)
    # Where a name ends cannot be told from its first word.
    count = 1 + int(rng.random() < 0.25) + int(rng.random() < 0.05)
    return " ".join(
        str(names[int(rng.integers(len(names)))]) if names and rng.random() < 0.5 else _syllables(rng).capitalize()
        for _ in range(count)
    )


def _syllables(rng: np.random.Generator) -> str:
    return "".join(_SYLLABLES[index] for index in rng.integers(0, len(_SYLLABLES), int(rng.integers(1, 4))))
