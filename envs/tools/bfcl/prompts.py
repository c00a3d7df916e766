"""What a model is told: BFCL's own words, from the installed package, in each of its prompt formats."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from palaestra.envs.tools.bfcl.cases import Case, PromptFormat
from palaestra.envs.tools.bfcl.data import constants

__all__ = ["case_functions", "openai_functions", "opening", "shown_functions", "system_prompt"]

Function = dict[str, Any]

_PYTHON_NAMES = {"string": "str", "number": "float", "integer": "int", "boolean": "bool"}
_LANGUAGE_NAMES = {"python": "Python 3", "java": "Java 8 SDK", "javascript": "JavaScript"}
_LISTS = {"java": ("Array", "ArrayList"), "javascript": ("array",)}


def shown_functions(functions: Sequence[Mapping[str, Any]], language: str) -> list[Function]:
    """Functions as models are shown them: the language is named, and those of other languages take source texts.

    Args:
        functions: In BFCL's schema; they stay as they are.
        language: `python`, `java` or `javascript`.
    """
    shown = [deepcopy(dict(function)) for function in functions]
    for function in shown:
        function["description"] += f" Note that the provided function is in {_LANGUAGE_NAMES[language]} syntax."
        if language != "python":
            for schema in function["parameters"]["properties"].values():
                _as_source(schema, language)
    return shown


def _as_source(schema: dict[str, Any], language: str) -> None:
    kind, name = schema["type"], "JavaScript" if language == "javascript" else "Java"
    if kind == "any":
        schema["description"] += f" This parameter can be of any type of {name} object in string representation."
    else:
        schema["description"] += f" This is {name} {kind} type parameter in string representation."
    if kind in _LISTS[language]:
        inner = schema.pop("items")["type"]
        schema["description"] += f" The list elements are of type {inner}; they are not in string representation."
    if language == "javascript" and kind == "dict" and "properties" in schema:
        parts = json.dumps(schema.pop("properties"))
        schema["description"] += (
            f" The dictionary entries have the following schema; they are not in string representation. {parts}"
        )
    schema["type"] = "string"


def case_functions(case: Case) -> list[Function]:
    """The functions of a case as models are shown them."""
    shown = shown_functions(case.functions, case.language)
    # Format sensitivity names the language twice, a slip of the original that all models were asked with.
    return shown_functions(shown, case.language) if case.category == "format_sensitivity" else shown


def opening(messages: Sequence[Mapping[str, str]], system: str) -> list[dict[str, str]]:
    """A conversation's first messages, with a system prompt before its own."""
    own = messages[0]["content"] if messages[0]["role"] == "system" else None
    first = {"role": "system", "content": system if own is None else f"{system}\n\n{own}"}
    return [first, *(dict(message) for message in messages[own is not None :])]


def system_prompt(functions: Sequence[Mapping[str, Any]], form: PromptFormat) -> str:
    """The system prompt of models that are not given functions by an interface of their own.

    Args:
        functions: From `shown_functions`.
        form: How to ask.

    Raises:
        DataError: The package's prompts cannot be read.
        MissingExtraError: The package is not installed.
    """
    words = constants("constants/default_prompts.py")
    style = words["PROMPT_STYLE_TEMPLATES"][form.style]
    calls = style["tool_call_with_tag" if form.tagged else "tool_call_no_tag"].format(
        output_format=words["OUTPUT_FORMAT_MAPPING"][form.calls], param_types=words["PARAM_TYPE_MAPPING"][form.calls]
    )
    docs = style["available_tools"].format(format=form.functions, functions=_documented(functions, form.functions))
    template: str = words[f"_{form.markup.upper()}_SYSTEM_PROMPT_TEMPLATE"]
    return template.format(
        persona=style["persona"],
        task=style["task"],
        tool_call_format=calls,
        multiturn_behavior=style["multiturn_behavior"],
        available_tools=docs,
    )


def _documented(functions: Sequence[Mapping[str, Any]], way: str) -> str:
    if way == "xml":
        return "\n".join(_xml(function) for function in functions)
    if way == "python":
        # Each docstring is followed by a line of its own, and all lines by two line breaks.
        return "\n\n".join(part for function in functions for part in (_python(function), "\n"))
    return json.dumps(list(functions), indent=4)


def _described(schema: Mapping[str, Any]) -> str:
    enum = f" Enum values: {schema['enum']}." if "enum" in schema else ""
    return f"{schema.get('description', '')}{enum}"


def _xml(function: Mapping[str, Any]) -> str:
    schema = function["parameters"]
    parts = _xml_parameters(schema, 2)
    description = function.get("description", "")
    return (
        f'<function name="{function["name"]}">\n  <desc>{description}</desc>\n'
        f"  <params>\n{''.join(parts)}  </params>\n</function>\n"
    )


def _xml_parameters(schema: Mapping[str, Any], level: int) -> Iterator[str]:
    """A line or several for each parameter; without a list of required ones, all are."""
    indent, required = "  " * level, schema.get("required")
    for name, part in schema.get("properties", {}).items():
        kind = part.get("type", "string")
        if "items" in part and "type" in part["items"]:
            kind = f"{kind}[{part['items']['type']}]"
        elif "additionalProperties" in part:
            kind = f"{kind}[{part['additionalProperties'].get('type', 'string')}]"
        needed = "true" if required is None or name in required else "false"
        attributes = f'name="{name}" type="{kind}" required="{needed}"'
        if "default" in part:
            attributes += f' default="{part["default"]!r}"'
        # All commas go, those in names and defaults too.
        yield f"{indent}<param {attributes.replace(',', '')}>\n{indent}  <desc>{_described(part)}</desc>\n"
        if "properties" in part:
            yield f"{indent}  <params>\n"
            yield from _xml_parameters(part, level + 2)
            yield f"{indent}  </params>\n"
        yield f"{indent}</param>\n"


def _python(function: Mapping[str, Any]) -> str:
    lines = [f"# Function: {function['name']}\n", '    """\n', f"    {function.get('description', '')}\n\n"]
    properties = function.get("parameters", {}).get("properties", {})
    if properties:
        lines += ["    Args:\n", *_python_parameters(properties, 0)]
    return "".join([*lines, '    """\n'])


def _python_parameters(properties: Mapping[str, Any], depth: int) -> Iterator[str]:
    for name, part in properties.items():
        default = f", default={part['default']!r}" if "default" in part else ""
        yield f"{' ' * (8 + 4 * depth)}{name} ({_python_type(part)}{default}): {_described(part)}\n"
        yield from _python_parameters(part.get("properties", {}), depth + 1)


def _python_type(schema: Mapping[str, Any]) -> str:
    kind: str = schema.get("type", "string")
    if kind in _PYTHON_NAMES:
        return _PYTHON_NAMES[kind]
    if kind in ("array", "list", "tuple") and "items" in schema:
        return f"list[{_python_type(schema['items'])}]"
    if kind in ("object", "dict"):
        values = schema.get("additionalProperties")
        return "dict" if values is None else f"dict[str, {_python_type(values)}]"
    return kind


_OPENAI_TYPES = {
    "any": "string",
    "array": "array",
    "boolean": "boolean",
    "dict": "object",
    "float": "number",
    "integer": "integer",
    "list": "array",
    "number": "number",
    "object": "object",
    "string": "string",
    "tuple": "array",
}
_KEPT = ("description", "enum", "default", "minimum", "maximum", "minItems", "maxItems")


def openai_functions(functions: Sequence[Mapping[str, Any]]) -> list[Function]:
    """Functions in OpenAI's schema, in which names hold no dots.

    Args:
        functions: From `shown_functions`.
    """
    return [
        {
            "name": re.sub(r"[^A-Za-z0-9_-]", "_", function["name"]),
            "description": function["description"],
            "parameters": _openai(function["parameters"]),
        }
        for function in functions
    ]


def _openai(schema: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"type": _OPENAI_TYPES.get(schema.get("type", "string"), "string")}
    made |= {key: schema[key] for key in _KEPT if key in schema}
    if isinstance(schema.get("properties"), Mapping):
        made["properties"] = {name: _openai(part) for name, part in schema["properties"].items()}
    if isinstance(schema.get("items"), Mapping):
        made["items"] = _openai(schema["items"])
    if isinstance(schema.get("required"), list):
        made["required"] = list(schema["required"])
    return made
