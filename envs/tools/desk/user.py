"""The scripted user: knows what the request left out, and says it when asked for it.

A question asks for a fact when one of the fact's words begins a word of the question, so the wording is free. Every
fact that a question asks for is answered, and nothing else is: where nothing is missing, asking gains nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from palaestra.errors import ConfigError

__all__ = ["NOTHING_MISSING", "NOT_UNDERSTOOD", "Fact", "ScriptedUser", "fact"]

NOTHING_MISSING = "I have told you everything you need; please go on."
NOT_UNDERSTOOD = "I am not sure what you are asking. Please ask for exactly the thing that you are missing."

_TOPICS = {
    "date": ("date", "day", "when", "monday", "tuesday", "wednesday", "thursday", "friday", "week"),
    "time": ("time", "when", "hour", "clock", "start", "begin"),
    "length": ("long", "length", "duration", "minutes", "hours", "last", "until", "end"),
    "amount": ("amount", "how much", "sum", "money", "eur", "much", "value"),
    "quantity": ("how many", "quantity", "number", "many", "units", "pieces", "amount"),
    "person": ("who", "whom", "person", "name", "colleague", "surname", "which"),
    "choice": ("which", "choose", "prefer", "option"),
}
_WORD = re.compile(r"[\w']+")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that the request left out.

    Attributes:
        about: Its name, unique in the task ("amount").
        words: Beginnings of words, or phrases, by which a question asks for it; lower case.
        reply: What the user says.
    """

    about: str
    words: tuple[str, ...]
    reply: str


def fact(about: str, reply: str, *words: str, topic: str | None = None) -> Fact:
    """A fact with the words of its topic, and others.

    Args:
        about: Its name, which is also its topic unless another is given.
        reply: What the user says.
        *words: More words that ask for it.
        topic: One of the known topics.

    Raises:
        ConfigError: There are no words at all.
    """
    known = (*_TOPICS.get(topic or about, ()), *words)
    if not known:
        raise ConfigError(f"The fact '{about}' has no words by which it could be asked for.")
    return Fact(about, known, reply)


@dataclass(frozen=True, slots=True)
class ScriptedUser:
    """Answers questions; holds no state.

    Attributes:
        facts: What the request left out; often nothing.
    """

    facts: tuple[Fact, ...] = ()

    def asked(self, question: str) -> tuple[Fact, ...]:
        """The facts that a question asks for."""
        words = _WORD.findall(question.lower())
        spoken = f" {' '.join(words)}"
        return tuple(item for item in self.facts if any(f" {word}" in spoken for word in item.words))

    def reply(self, question: str) -> str:
        """What the user says to it."""
        if not self.facts:
            return NOTHING_MISSING
        return " ".join(item.reply for item in self.asked(question)) or NOT_UNDERSTOOD
