"""The dialect of Search-R1: a tool's name as a tag."""

from __future__ import annotations

import re
from collections.abc import Sequence

from palaestra.envs.language.dialects.base import CallRequest, DialectError, strict_json, write_json
from palaestra.envs.language.tools import Tool
from palaestra.errors import nearest

__all__ = ["TagsDialect"]

_TAG = re.compile(r"<([A-Za-z_][\w-]{0,40})>")


class TagsDialect:
    """`<search>query</search>`, `<answer>text</answer>`.

    The first complete pair of tags decides and whatever follows it is ignored, as in Search-R1 (arXiv:2503.09516).
    A tool with a primary parameter takes it bare, stripped of white space around it; any other tool takes a JSON
    object between its tags. One call a turn. Text before the tags is thought and has no effect; but tags in it count,
    even inside <think>, as they do there.

    One departure: Search-R1 first cuts a turn behind its first `</search>`, else its first `</answer>`, so a stray
    closing tag hides a pair that ends behind it. Here it does not: `<answer>a </search></answer>` is an answer.
    """

    name = "tags"

    def stop(self, tools: Sequence[Tool]) -> tuple[str, ...]:
        """See `Dialect.stop`: the closing tags."""
        return tuple(f"</{tool.name}>" for tool in tools)

    def parse(self, text: str, tools: Sequence[Tool]) -> tuple[CallRequest, ...]:
        """See `Dialect.parse`."""
        found = _first_pair(text, tools)
        if found is None:
            raise DialectError(_complaint(text, tools))
        tool, content = found
        if tool.primary is not None:
            return (CallRequest(tool.name, {tool.primary: content.strip()}),)
        example = f"<{tool.name}>{_shape(tool)}</{tool.name}>"
        arguments = strict_json(content, example) if content.strip() else {}
        if not isinstance(arguments, dict):
            raise DialectError(
                f"Between <{tool.name}> and </{tool.name}> stands a JSON object with the arguments. Write {example}."
            )
        return (CallRequest(tool.name, arguments),)

    def render(self, call: CallRequest, tools: Sequence[Tool]) -> str:
        """See `Dialect.render`; white space around a bare text is lost when it is parsed."""
        tool = next((tool for tool in tools if tool.name == call.name), None)
        if tool is None:
            raise ValueError(f"There is no tool '{call.name}'. {nearest(call.name, (tool.name for tool in tools))}")
        if tool.primary is None:
            return f"<{tool.name}>{write_json(dict(call.arguments))}</{tool.name}>"
        content = call.arguments.get(tool.primary)
        if len(call.arguments) != 1 or not isinstance(content, str):
            raise ValueError(
                f"In the tags dialect '{tool.name}' takes its '{tool.primary}' alone, a string; got {call.arguments!r}."
            )
        if f"</{tool.name}>" in content:
            raise ValueError(f"The text contains '</{tool.name}>', which the tags dialect cannot say.")
        return f"<{tool.name}>{content}</{tool.name}>"

    def calls(self, calls: Sequence[CallRequest], tools: Sequence[Tool]) -> tuple[str, tuple[int, int]]:
        """See `Dialect.calls`; the span begins with the name in the opening tag."""
        if len(calls) != 1:
            raise ValueError(f"The tags dialect makes one call a turn; got {len(calls)}.")
        utterance = self.render(calls[0], tools)
        return utterance, (1, len(utterance) - len(f"</{calls[0].name}>"))

    def answer(self, text: str, tools: Sequence[Tool]) -> tuple[str, tuple[int, int]]:
        """See `Dialect.answer`."""
        start = len("<answer>")
        return self.render(CallRequest("answer", {"answer": text}), tools), (start, start + len(text))

    def wrap(self, text: str) -> str:
        """See `Dialect.wrap`: between information tags, as Search-R1 does."""
        return f"<information>{text}</information>"

    def instructions(self, tools: Sequence[Tool]) -> str:
        """See `Dialect.instructions`."""
        lines = ["Think first, then end each turn with exactly one of these:"]
        for tool in tools:
            inside = f"your {tool.primary}" if tool.primary is not None else _shape(tool)
            lines.append(f"<{tool.name}> {inside} </{tool.name}> : {tool.description}")
        lines.append("Results come back between <information> and </information>.")
        return "\n".join(lines)


def _first_pair(text: str, tools: Sequence[Tool]) -> tuple[Tool, str] | None:
    """The earliest opening tag that is closed, and what stands between. Linear in the text, unlike a lazy regex."""
    best: tuple[int, Tool, str] | None = None
    for tool in tools:
        start = text.find(f"<{tool.name}>")
        if start < 0 or (best is not None and start >= best[0]):
            continue
        begin = start + len(tool.name) + 2
        end = text.find(f"</{tool.name}>", begin)
        if end >= 0:
            best = (start, tool, text[begin:end])
    return None if best is None else (best[1], best[2])


def _complaint(text: str, tools: Sequence[Tool]) -> str:
    forms = " or ".join(f"<{tool.name}>...</{tool.name}>" for tool in tools)
    for tool in tools:
        if f"<{tool.name}>" in text:
            return f"The tag <{tool.name}> is opened but never closed. Write {forms}."
        if f"</{tool.name}>" in text:
            return f"The tag </{tool.name}> is closed but never opened. Write {forms}."
    for other in _TAG.finditer(text[:100_000]):
        if other.group(1) not in ("think", "information"):
            return f"There is no tool <{other.group(1)}> here. Write {forms}."
    if not text.strip():
        return f"Your turn was empty. Write {forms}."
    return f"Your turn contains no call. Write {forms}."


def _shape(tool: Tool) -> str:
    fields = tool.parameters.get("properties", {})
    return "{" + ", ".join(f'"{name}": {_type_name(schema)}' for name, schema in fields.items()) + "}"


def _type_name(schema: object) -> str:
    kind = schema.get("type", "any") if isinstance(schema, dict) else "any"
    return kind if isinstance(kind, str) else "/".join(map(str, kind))
