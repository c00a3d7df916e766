"""The Hermes dialect: JSON calls between `<tool_call>` tags."""

from __future__ import annotations

import json
from collections.abc import Sequence

from palaestra.envs.language.dialects.base import CallRequest, DialectError, call_from_json, strict_json, write_json
from palaestra.envs.language.tools import Tool

__all__ = ["HermesDialect"]

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_EXAMPLE = '<tool_call>{"name": "...", "arguments": {...}}</tool_call>'


class HermesDialect:
    """`<tool_call>{"name": "search", "arguments": {"query": "..."}}</tool_call>`, one or several a turn.

    The format of the Hermes function-calling models, which many chat templates speak. Text outside the tags is
    thought and has no effect. One malformed call makes the whole turn malformed, so nothing is done by halves.
    """

    name = "hermes"

    def stop(self, tools: Sequence[Tool]) -> tuple[str, ...]:
        """See `Dialect.stop`: none, since several calls may follow one another in a turn."""
        return ()

    def parse(self, text: str, tools: Sequence[Tool]) -> tuple[CallRequest, ...]:
        """See `Dialect.parse`."""
        calls = []
        position = text.find(_OPEN)
        while position >= 0:
            begin = position + len(_OPEN)
            end = text.find(_CLOSE, begin)
            if end < 0:
                raise DialectError(f"{_OPEN} is opened but never closed. Write {_EXAMPLE}.")
            calls.append(call_from_json(strict_json(text[begin:end], _EXAMPLE), _EXAMPLE))
            position = text.find(_OPEN, end)
        if not calls:
            if _CLOSE in text:
                raise DialectError(f"{_CLOSE} is closed but never opened. Write {_EXAMPLE}.")
            what = "contains no call" if text.strip() else "was empty"
            raise DialectError(f"Your turn {what}. Write {_EXAMPLE}.")
        return tuple(calls)

    def render(self, call: CallRequest, tools: Sequence[Tool]) -> str:
        """See `Dialect.render`."""
        return f"{_OPEN}{write_json({'name': call.name, 'arguments': dict(call.arguments)})}{_CLOSE}"

    def calls(self, calls: Sequence[CallRequest], tools: Sequence[Tool]) -> tuple[str, tuple[int, int]]:
        """See `Dialect.calls`; one pair of tags a call, a line each."""
        if not calls:
            raise ValueError("There is no call to say.")
        utterance = "\n".join(self.render(call, tools) for call in calls)
        return utterance, (len(_OPEN), len(utterance) - len(_CLOSE))

    def answer(self, text: str, tools: Sequence[Tool]) -> tuple[str, tuple[int, int]]:
        """See `Dialect.answer`; the span is that of the JSON-escaped answer."""
        utterance = self.render(CallRequest("answer", {"answer": text}), tools)
        start = utterance.index('{"answer": "') + len('{"answer": "')
        return utterance, (start, utterance.rindex('"}}' + _CLOSE))

    def wrap(self, text: str) -> str:
        """See `Dialect.wrap`."""
        return f"<tool_response>{text}</tool_response>"

    def instructions(self, tools: Sequence[Tool]) -> str:
        """See `Dialect.instructions`."""
        lines = [f"Think first, then end each turn with one or more calls of the form {_EXAMPLE}", "The tools:"]
        lines += [json.dumps(tool.openai["function"], ensure_ascii=False) for tool in tools]
        lines.append("Results come back between <tool_response> and </tool_response>.")
        return "\n".join(lines)
