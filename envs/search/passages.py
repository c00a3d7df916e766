"""The unit of text that is indexed, retrieved and shown."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Passage"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage of a corpus.

    Attributes:
        id: Unique in its corpus.
        title: What the passage is about.
        text: The passage itself.
    """

    id: str
    title: str
    text: str

    @property
    def contents(self) -> str:
        """Title and text as Search-R1's corpora hold them: the quoted title, a line break, the text."""
        return f'"{self.title}"\n{self.text}'
