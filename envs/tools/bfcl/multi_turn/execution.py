"""The applications of one case, and calls on them: by name and arguments, or written as Python's syntax has them.

Nothing is evaluated. A text is parsed, its arguments may be literals or calls of the same applications, and whatever
else it holds is answered with the error that the original would have given, or one of the same kind.
"""

from __future__ import annotations

import ast
import json
import pickle
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NoReturn, Protocol

from palaestra.envs.tools.bfcl.calls import parse_expression
from palaestra.envs.tools.bfcl.multi_turn.apis import ALL_APIS, Api
from palaestra.envs.tools.bfcl.multi_turn.published import ExtendedList
from palaestra.errors import EpisodeFailure

__all__ = ["Applications"]

MAX_DEPTH = 100
"""How deep the lists and dictionaries in an argument may go."""

# Names that are refused whatever they would do.
_REFUSED = frozenset({"kill", "exit", "quit", "remove", "unlink", "popen", "Popen", "run"})


@lru_cache(maxsize=256)
def _tools(classes: tuple[str, ...]) -> dict[str, tuple[str, Callable[..., Any]]]:
    """By name of the function the application that has it (the last of several) and the method."""
    return {tool: (name, vars(ALL_APIS[name])[tool]) for name in classes for tool in ALL_APIS[name]._tool_names()}


@lru_cache(maxsize=4096)
def _parsed(text: str) -> ast.expr:
    # The same calls come again and again: in the reference, in right answers, in a group of rollouts.
    return parse_expression(text.lstrip(" \t"))


class Setting(Protocol):
    """What of a case its applications need."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the applications."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Their scenarios by name."""

    @property
    def long_context(self) -> bool:
        """Whether results carry long texts and lists."""


class Applications:
    """The applications of a case as they stand. One is made when it is first called.

    Args:
        classes: Names of the applications, in the order in which they are set up.
        stored: Each of them as `dump` or `set_up` gives it.
    """

    __slots__ = ("_stored", "_tools", "classes", "used")

    def __init__(self, classes: tuple[str, ...], stored: Mapping[str, bytes]) -> None:
        self.classes = classes
        self.used: dict[str, Api] = {}
        """Those that may differ from what was stored."""
        self._stored = stored
        self._tools = _tools(classes)

    @staticmethod
    def set_up(case: Setting) -> dict[str, bytes]:
        """The applications as the case's scenario has them."""
        # What is stored is a copy, so the scenario itself is given, and the application is thrown away.
        return {name: _pickled(ALL_APIS[name](case.config.get(name, {}), case.long_context)) for name in case.classes}

    def api(self, name: str) -> Api:
        """One of them."""
        found = self.used.get(name)
        if found is None:
            found = self.used[name] = pickle.loads(self._stored[name])
        return found

    def dump(self) -> dict[str, bytes]:
        """All of them as they stand, for another instance."""
        return {**self._stored, **{name: _pickled(api) for name, api in self.used.items()}}

    def state(self) -> dict[str, dict[str, Any]]:
        """Public attributes by application, as they are (not copies)."""
        return {name: self.api(name)._state() for name in self.classes}

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """One call's result as text. A call that could not be made changes nothing.

        Args:
            name: Of the function.
            arguments: By name; plain values as JSON or Python literals have them.

        Raises:
            EpisodeFailure: What an application relies on is out of order. Nothing else raises.
        """
        try:
            if name not in self._tools:
                _refuse(name)
            if not all(_shallow(value) for value in arguments.values()):
                raise ValueError(f"An argument is nested deeper than {MAX_DEPTH} levels.")
            owner, tool = self._tools[name]
            return _worded(tool(self.api(owner), **arguments))
        except EpisodeFailure:
            raise
        except Exception as error:
            return f"Error during execution: {error}"

    def run(self, text: str) -> str:
        """One call written as `name(key=value, ...)`: its result as text. Raises as `call` does."""
        try:
            node = _parsed(text) if len(text) < 500 else parse_expression(text.lstrip(" \t"))
            if type(node) is not ast.Call:
                raise ValueError("This is not a function call.")
            return _worded(self._call(node, text))
        except SyntaxError as error:
            return f"Error during execution: {error}".replace("<unknown>", "<string>")
        except EpisodeFailure:
            raise
        except Exception as error:
            return f"Error during execution: {error}"

    def _call(self, node: ast.Call, text: str = "") -> Any:
        function = node.func
        if type(function) is not ast.Name or function.id not in self._tools:
            _refuse(text.partition("(")[0] or ast.unparse(function))
        owner, tool = self._tools[function.id]
        positional = [self._value(item) for item in node.args]
        arguments: dict[str, Any] = {}
        for item in node.keywords:
            if item.arg is None or item.arg in arguments:
                raise ValueError(f"keyword argument repeated or unpacked: {item.arg or '**'}")
            arguments[item.arg] = self._value(item.value)
        return tool(self.api(owner), *positional, **arguments)

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.List():
                return [self._value(item) for item in node.elts]
            case ast.Tuple():
                return tuple(self._value(item) for item in node.elts)
            case ast.Set():
                return {self._value(item) for item in node.elts}
            case ast.Dict():
                return {
                    self._value(key): self._value(value)
                    for key, value in zip(node.keys, node.values, strict=True)
                    if key is not None
                }
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return -number
            case ast.Call():
                return self._call(node)
            case ast.Name():
                raise NameError(f"name '{node.id}' is not defined")
        raise ValueError(f"An argument cannot be a {type(node).__name__}; literals and calls are accepted.")


def _pickled(value: Any) -> bytes:
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def _refuse(name: str) -> NoReturn:
    last = name.split(".")[1] if "." in name else name
    if last in _REFUSED:
        raise ValueError(f"Function call {last} is not allowed.")
    raise NameError(f"name '{name.split('.')[0].strip()}' is not defined")


def _worded(result: Any) -> str:
    if type(result) is str:
        return result
    if type(result) is dict:
        try:
            if any(type(value) is ExtendedList for value in result.values()):
                return "{" + ", ".join(f"{json.dumps(key)}: {_json(value)}" for key, value in result.items()) + "}"
            return json.dumps(result)
        except (TypeError, ValueError, RecursionError):  # numbers of its own kinds, loops
            return str(result)
    return str(result)


def _json(value: Any) -> str:
    return value.json() if type(value) is ExtendedList else json.dumps(value)


def _shallow(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list, tuple))
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return True
    return False
