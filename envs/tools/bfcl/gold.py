"""The calls that win a case: of each argument the first accepted value that the verdict really accepts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from palaestra.envs.tools.bfcl.cases import Case
from palaestra.envs.tools.bfcl.checker import CallMatcher

__all__ = ["gold_calls"]


def gold_calls(case: Case, *, dotless: bool = False) -> tuple[dict[str, Any], ...]:
    """The calls that win, each with `name` and `arguments`; none for the relevance categories.

    Arguments that can be left out are given where the answers name a value for them. Where no call can win (an answer
    that asks for an argument the function does not have), what comes nearest.

    Args:
        case: The case.
        dotless: See `palaestra.envs.tools.bfcl.checker.CaseChecker`.
    """
    found = []
    for answer in case.answers or ():
        name, arguments = next(iter(answer.items()))
        function = next((item for item in case.functions if item["name"] == name), case.functions[0])
        matcher = CallMatcher(function, arguments, case.language, dotless)
        given = {}
        for key, accepted in arguments.items():
            accepts = matcher.arguments.get(key)
            schema = function["parameters"]["properties"].get(key, {})
            choices = [choice for value in accepted if value != "" for choice in _ways(value, schema, case.language)]
            fitting = [choice for choice in choices if accepts is not None and accepts(choice)]
            if fitting or (choices and "" not in accepted):
                given[key] = (fitting or choices)[0]
            elif key in function["parameters"]["required"] and accepts is not None and accepts(""):
                given[key] = ""
        found.append({"name": matcher.name or name, "arguments": given})
    return tuple(found)


def _ways(value: Any, schema: Mapping[str, Any], language: str) -> Iterator[Any]:
    """The ways to write an accepted value."""
    for way in _plain_ways(value):
        if language == "python":
            yield way
        else:
            yield from _source_ways(way, schema, language)


def _plain_ways(value: Any) -> Iterator[Any]:
    """A dictionary's values are lists of accepted values, and so are those of dictionaries in a list."""
    if isinstance(value, Mapping):
        yield {key: _first(options) for key, options in value.items() if _first(options) != ""}
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        yield [next(_plain_ways(item)) for item in value]
    yield value
    if isinstance(value, Mapping):
        yield {}  # where the values are bare texts instead of lists, the verdict takes no entry at all


def _first(options: Any) -> Any:
    if not isinstance(options, list):
        return options
    return next((option for option in options if option != ""), "")


def _source_ways(value: Any, schema: Mapping[str, Any], language: str) -> Iterator[str]:
    kind, inner = schema.get("type", ""), schema.get("items", {}).get("type", "")
    match value:
        case bool():
            yield str(value).lower()
        case int() | float():
            yield f"{value!r}{_suffix(kind, language)}"
        case list():
            for quoted in (False, True):
                elements = ", ".join(_element(item, inner, language, quoted) for item in value)
                if language == "javascript":
                    yield f"[{elements}]"
                elif kind == "ArrayList":
                    yield f"new ArrayList<{inner}>({f'Arrays.asList({elements})' if value else ''})"
                else:
                    yield f"new {inner}[]{{{elements}}}"
        case Mapping() if language == "javascript":
            yield "{" + ", ".join(f"'{key}': {_element(item, '', language, True)}" for key, item in value.items()) + "}"
            yield "{" + ", ".join(f"{key}: {_element(item, '', language, False)}" for key, item in value.items()) + "}"
        case Mapping():
            for quoted in (True, False):
                puts = " ".join(f'put("{key}", {_element(item, "", language, quoted)});' for key, item in value.items())
                yield f"new HashMap<String, Object>() {{{{ {puts} }}}}"
        case _:
            yield str(value)


def _suffix(kind: str, language: str) -> str:
    """What Java's and JavaScript's literals of some types end with."""
    suffixes = {"long": "L", "float": "f"} if language == "java" else {"Bigint": "n"}
    return suffixes.get(kind, "")


def _element(value: Any, inner: str, language: str, quoted: bool) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"' if quoted else value
        case list() | tuple():
            return f"[{', '.join(_element(item, '', language, quoted) for item in value)}]"
    return f"{value!r}{_suffix(inner, language)}"
