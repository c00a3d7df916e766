"""The applications of one case, and calls on them: by name and arguments, or written as Python's syntax has them.

Nothing is evaluated. A text is parsed, its arguments may be literals or calls of the same applications, and whatever
else it holds is answered with the error that the original would have given, or one of the same kind.
"""

from __future__ import annotations

import ast
import copy
import json
import pickle
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from palaestra.envs.tools.bfcl.calls import parse_expression
from palaestra.envs.tools.bfcl.multi_turn.apis import APIS, Api
from palaestra.envs.tools.bfcl.multi_turn.cases import MultiTurnCase

__all__ = ["Applications"]

MAX_DEPTH = 100
"""How deep the lists and dictionaries in an argument may go."""

# Names that are refused whatever they would do.
_REFUSED = frozenset({"kill", "exit", "quit", "remove", "unlink", "popen", "Popen", "run"})


class Applications:
    """The applications of a case as they stand.

    Args:
        case: Whose scenario they are set up with.
        stored: What `dump` gave, instead of the scenario.
    """

    __slots__ = ("apis", "tools")

    def __init__(self, case: MultiTurnCase, stored: bytes | None = None) -> None:
        if stored is None:
            self.apis: dict[str, Api] = {
                name: APIS[name](copy.deepcopy(case.config.get(name, {})), case.long_context) for name in case.classes
            }
        else:
            self.apis = pickle.loads(stored)
        self.tools: dict[str, Callable[..., Any]] = {}
        for api in self.apis.values():
            self.tools.update(api._tools())

    def dump(self) -> bytes:
        """Everything about them, for another instance."""
        return pickle.dumps(self.apis, protocol=pickle.HIGHEST_PROTOCOL)

    def state(self) -> dict[str, dict[str, Any]]:
        """Public attributes by application, as they are (not copies)."""
        return {name: api._state() for name, api in self.apis.items()}

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """One call's result as text. Never raises; a call that could not be made changes nothing.

        Args:
            name: Of the function.
            arguments: By name; plain values as JSON or Python literals have them.
        """
        try:
            if name not in self.tools:
                _refuse(name)
            if not all(_shallow(value) for value in arguments.values()):
                raise ValueError(f"An argument is nested deeper than {MAX_DEPTH} levels.")
            return _worded(self.tools[name](**arguments))
        except Exception as error:
            return f"Error during execution: {error}"

    def run(self, text: str) -> str:
        """One call written as `name(key=value, ...)`: its result as text. Never raises."""
        try:
            node = parse_expression(text.lstrip(" \t"))
            if type(node) is not ast.Call:
                raise ValueError("This is not a function call.")
            return _worded(self._call(node, text))
        except SyntaxError as error:
            return f"Error during execution: {error}".replace("<unknown>", "<string>")
        except Exception as error:
            return f"Error during execution: {error}"

    def _call(self, node: ast.Call, text: str = "") -> Any:
        function = node.func
        if type(function) is not ast.Name or function.id not in self.tools:
            _refuse(text.partition("(")[0] or ast.unparse(function))
        tool = self.tools[function.id]
        positional = [self._value(item) for item in node.args]
        arguments: dict[str, Any] = {}
        for item in node.keywords:
            if item.arg is None or item.arg in arguments:
                raise ValueError(f"keyword argument repeated or unpacked: {item.arg or '**'}")
            arguments[item.arg] = self._value(item.value)
        return tool(*positional, **arguments)

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
            return json.dumps(result)
        except (TypeError, ValueError, RecursionError):  # numbers of its own kinds, loops
            return str(result)
    return str(result)


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
