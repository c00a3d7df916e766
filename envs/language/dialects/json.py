"""The JSON dialect: the whole utterance is the call."""

from __future__ import annotations

import json
from collections.abc import Sequence

from palaestra.envs.language.dialects.base import CallRequest, DialectError, call_from_json, strict_json, write_json
from palaestra.envs.language.tools import Tool

__all__ = ["JsonDialect"]

_EXAMPLE = '{"name": "...", "arguments": {...}}'


class JsonDialect:
    """`{"name": "search", "arguments": {"query": "..."}}`, or a list of such.

    Nothing may stand before or after the JSON but white space.
    """

    name = "json"

    def stop(self, tools: Sequence[Tool]) -> tuple[str, ...]:
        """See `Dialect.stop`: none; JSON ends when it ends."""
        return ()

    def parse(self, text: str, tools: Sequence[Tool]) -> tuple[CallRequest, ...]:
        """See `Dialect.parse`."""
        if not text.strip():
            raise DialectError(f"Your turn was empty. Write {_EXAMPLE} and nothing else.")
        if text.lstrip().startswith("```"):
            raise DialectError(f"The JSON stands in a code fence. Write {_EXAMPLE} and nothing else.")
        data = strict_json(text, f"{_EXAMPLE} and nothing else")
        if isinstance(data, list):
            if not data:
                raise DialectError(f"The list of calls is empty. Write {_EXAMPLE}, or a list of such.")
            return tuple(call_from_json(item, _EXAMPLE) for item in data)
        return (call_from_json(data, _EXAMPLE),)

    def render(self, call: CallRequest, tools: Sequence[Tool]) -> str:
        """See `Dialect.render`."""
        return write_json({"name": call.name, "arguments": dict(call.arguments)})

    def calls(self, calls: Sequence[CallRequest], tools: Sequence[Tool]) -> tuple[str, tuple[int, int]]:
        """See `Dialect.calls`; several are a list."""
        if not calls:
            raise ValueError("There is no call to say.")
        several = ", ".join(self.render(call, tools) for call in calls)
        utterance = f"[{several}]" if len(calls) > 1 else several
        return utterance, (0, len(utterance))

    def answer(self, text: str, tools: Sequence[Tool]) -> tuple[str, tuple[int, int]]:
        """See `Dialect.answer`; the span is that of the JSON-escaped answer."""
        utterance = self.render(CallRequest("answer", {"answer": text}), tools)
        start = utterance.index('{"answer": "') + len('{"answer": "')
        return utterance, (start, utterance.rindex('"}}'))

    def wrap(self, text: str) -> str:
        """See `Dialect.wrap`."""
        return json.dumps({"result": text}, ensure_ascii=False)

    def instructions(self, tools: Sequence[Tool]) -> str:
        """See `Dialect.instructions`."""
        lines = [f"Each turn is one JSON object {_EXAMPLE} (or a list of them) and nothing else.", "The tools:"]
        lines += [json.dumps(tool.openai["function"], ensure_ascii=False) for tool in tools]
        lines.append('Results come back as {"result": "..."}.')
        return "\n".join(lines)
