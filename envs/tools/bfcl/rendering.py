"""Calls as text: in every return format of BFCL, so that decoding gives them back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from palaestra.envs.tools.bfcl.calls import CallSyntaxError
from palaestra.envs.tools.bfcl.decoders import decode_output

__all__ = ["render_calls"]


def render_calls(calls: Sequence[Mapping[str, Any]], return_format: str = "python", *, tagged: bool = False) -> str:
    """What a model says to make these calls.

    Args:
        calls: Each with `name` and `arguments`.
        return_format: One of `palaestra.envs.tools.bfcl.decoders.RETURN_FORMATS`; Java and JavaScript take one call,
            whose arguments are source text.
        tagged: Whether to put them between `<TOOLCALL>` and `</TOOLCALL>`.
    """
    match return_format:
        case "json":
            data = [{"function": call["name"], "parameters": call["arguments"]} for call in calls]
            text = json.dumps(data, ensure_ascii=False)
        case "verbose_xml" | "concise_xml":
            text = f"<functions>{''.join(_xml(call, return_format == 'concise_xml') for call in calls)}</functions>"
        case "java" | "javascript":
            text = f"[{', '.join(_source(call, return_format) for call in calls)}]"
        case _:
            text = f"[{', '.join(_python(call) for call in calls)}]"
    return f"<TOOLCALL>{text}</TOOLCALL>" if tagged else text


def _python(call: Mapping[str, Any]) -> str:
    return f"{call['name']}({', '.join(f'{name}={value!r}' for name, value in call['arguments'].items())})"


def _source(call: Mapping[str, Any], language: str) -> str:
    """A call whose arguments read back as these texts: bare where that works, else between quotes."""
    parts = []
    for name, text in call["arguments"].items():
        ways = (f'"{text}"', str(text), f"'{text}'")
        parts.append(f"{name}={next((way for way in ways if _reads_as(way, text, language)), ways[0])}")
    return f"{call['name']}({', '.join(parts)})"


def _reads_as(way: str, text: str, language: str) -> bool:
    try:
        return bool(decode_output(f"[f(x={way})]", language) == [{"f": {"x": text}}])
    except CallSyntaxError:
        return False


def _xml(call: Mapping[str, Any], concise: bool) -> str:
    params = "".join(_param(name, value, concise) for name, value in call["arguments"].items())
    return f"<function name={quoteattr(call['name'])}>{params if concise else f'<params>{params}</params>'}</function>"


def _param(name: str, value: Any, concise: bool) -> str:
    kind, text = "string", str(value)
    match value:
        case bool():
            kind, text = "boolean", str(value).lower()
        case int():
            kind = "integer"
        case float():
            kind = "float"
        case dict():
            kind = "dict"
        case list() | tuple():
            kind = "array"
        case None:
            kind = "null"
    if concise:
        return f"<param name={quoteattr(name)} type={quoteattr(kind)}>{escape(text)}</param>"
    return f"<param name={quoteattr(name)} value={quoteattr(text)} type={quoteattr(kind)}/>"
