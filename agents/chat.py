"""From messages to tokens, only ever forwards.

What a model has sampled stays as it was sampled: of a dialogue that goes on, only the new messages are rendered and
tokenised, against a fixed stand-in for what came before. So the tokens of an episode are one growing sequence, and no
text is ever tokenised twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from palaestra.errors import ConfigError

__all__ = ["Chat", "Message", "as_text", "default_messages", "message_text"]

Message = tuple[str, str]
"""Role (system, user, assistant, tool) and text."""

# A word that no template treats in a special way; what a template puts behind it ends an assistant's turn.
_STAND_IN = "palaestra-stand-in-reply"


def message_text(message: Mapping[str, Any]) -> str:
    """The text of a message whose content is a string or a list of parts; pictures have no text."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if part.get("type") == "text")


def default_messages(observations: Sequence[Any], actions: Sequence[Any]) -> list[dict[str, str]]:
    """A dialogue for environments that keep none: observations are what the user says, actions what was answered."""
    messages = [{"role": "user", "content": as_text(observations[0])}]
    for action, observation in zip(actions, observations[1:], strict=True):
        messages.append({"role": "assistant", "content": as_text(action)})
        messages.append({"role": "user", "content": as_text(observation)})
    return messages


def as_text(value: Any) -> str:
    """An observation or action as text: texts as they are, the text of a mapping that has one, else what NumPy says."""
    if isinstance(value, Mapping) and isinstance(value.get("text"), str):
        return str(value["text"])
    if isinstance(value, np.ndarray):
        return np.array2string(value, threshold=1000)
    return str(value)


class Chat:
    """A tokenizer's chat template, cut into what opens a dialogue and what continues it.

    Control tokens that occur in messages as text (a passage that quotes `<|im_end|>`) are broken by an invisible
    character, so no environment and no tool result can end a turn or forge one.

    Args:
        tokenizer: Of transformers, with a chat template.

    Raises:
        ConfigError: The tokenizer has no chat template, or one that does not keep an assistant's words.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise ConfigError("This model has no chat template, so it cannot hold a dialogue. Use an instruct model.")
        self._tokenizer = tokenizer
        self._controls = sorted(filter(None, tokenizer.all_special_tokens), key=len, reverse=True)
        self._roles = {"tool": "tool"}
        try:
            self.following([("tool", "x")])
        except ConfigError:
            self._roles = {"tool": "user"}
            self.following([("tool", "x")])

    def opening(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a whole dialogue up to where the assistant speaks."""
        return self._tokens(self._render(messages))

    def following(self, messages: Sequence[Message], last_id: int | None = None) -> list[int]:
        """Token ids that stand between the assistant's last words and its next ones.

        Args:
            messages: What came after the assistant's last words; may be empty.
            last_id: The last token that was sampled. The template's end of a turn is placed before the messages
                unless the model has sampled it itself.
        """
        text = self._render([("user", "x"), ("assistant", _STAND_IN), *messages])
        before, found, after = text.rpartition(_STAND_IN)
        if not found or _STAND_IN in before:
            raise ConfigError("This model's chat template does not keep the assistant's words as they are.")
        ids = self._tokens(after)
        return ids[1:] if ids and ids[0] == last_id else ids

    def reply(self, words: str) -> list[int]:
        """Token ids of an assistant's turn that says this: the words, and the template's end of a turn.

        The end is left out where the template closes a turn with plain text, which no sampled turn would end with.
        """
        ids, end = self._tokens(self._harmless(words)), self.following([])[:1]
        return ids + [token for token in end if token in self._tokenizer.all_special_ids]

    def _render(self, messages: Sequence[Message]) -> str:
        shown = [{"role": self._roles.get(role, role), "content": self._harmless(text)} for role, text in messages]
        try:
            text: str = self._tokenizer.apply_chat_template(shown, tokenize=False, add_generation_prompt=True)
        except Exception as error:
            roles = ", ".join(message["role"] for message in shown)
            raise ConfigError(f"The model's chat template does not take the roles {roles}: {error}") from error
        return text

    def _harmless(self, text: str) -> str:
        text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates have no tokens
        for control in self._controls:
            if control in text:
                text = text.replace(control, f"{control[:1]}\u2060{control[1:]}")
        return text

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids
