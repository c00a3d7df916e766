"""Reading calls from BFCL's Python-like syntax: `[name(key=value, ...), name(...)]`. Nothing is ever evaluated.

What is read, and what is refused, is what BFCL's own decoder reads and refuses, down to its habits: positional
arguments are dropped, a bare name is its own text, a call among the arguments is its source or a nested call, every
unary operator is a minus. One thing differs. The original runs arithmetic (`2 * 3`, and with it any code) as Python;
here arithmetic over literals is computed within bounds, and anything else in it makes the text malformed.
"""

from __future__ import annotations

import ast
import re
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = [
    "Call",
    "CallSyntaxError",
    "Decoded",
    "bracketed",
    "decode",
    "execution_strings",
    "parse_call",
    "parse_expression",
    "quietly",
    "read_calls",
]

T = TypeVar("T")

Decoded = list[dict[str, dict[Any, Any]]]
"""Calls in order, each as `{name: {key: value}}`."""

_MAX_BITS = 4096  # of an integer that arithmetic makes
_MAX_ITEMS = 65_536  # of a text or list that arithmetic makes
_WARNINGS = threading.Lock()
# What Python's parser warns about: odd escapes, and keywords right behind numbers ("1if").
_WARNED = re.compile(r"\\|(?<![0-9a-fA-FxXoObBjJ_.])[0-9][0-9a-fA-FxXoObBjJ_.]*(?:and|else|for|if|i[ns]|not|or)")
# What parsing and reading raise where a text is no call; the original takes any exception for it.
_REFUSED = (SyntaxError, ValueError, TypeError, ArithmeticError, MemoryError, RecursionError, AttributeError)


class CallSyntaxError(ValueError):
    """The text is not a list of calls in this syntax."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call with literal arguments."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def bracketed(text: str) -> str:
    """The text without backticks, spaces and line breaks around it, and with brackets around it."""
    text = text.strip("`\n ")
    return ("" if text.startswith("[") else "[") + text + ("" if text.endswith("]") else "]")


def decode(text: str) -> Decoded:
    """The calls in what a model said, read as BFCL reads it by default.

    Args:
        text: The whole utterance.

    Returns:
        The calls in order; none for an empty utterance.

    Raises:
        CallSyntaxError: It is not a list of calls.
    """
    return read_calls(bracketed(text))


def read_calls(text: str) -> Decoded:
    """The calls in a text that is one call or a list of calls.

    Raises:
        CallSyntaxError: It is not that.
    """
    try:
        body = parse_expression(text.strip().strip("'"))
        if type(body) is ast.Call:
            return [_call(body)]
        if type(body) not in (ast.List, ast.Tuple, ast.Set):
            raise CallSyntaxError("There is no list of calls.")
        calls = []
        for item in body.elts:  # type: ignore[attr-defined]
            if type(item) is not ast.Call:
                raise CallSyntaxError("The list holds something that is not a call.")
            calls.append(_call(item))
        return calls
    except CallSyntaxError:
        raise
    except _REFUSED as error:
        raise CallSyntaxError(f"{type(error).__name__}: {error}"[:300]) from None


def parse_call(text: str) -> Call:
    """One call as data: `cd(folder='document')`, `mean(1, 2)`.

    Args:
        text: The call; dotted names are kept whole.

    Raises:
        CallSyntaxError: It is not a single call, or an argument is not a literal.
    """
    try:
        node = parse_expression(text.strip())
        if not isinstance(node, ast.Call):
            raise CallSyntaxError("This is not a call.")
        args = tuple(ast.literal_eval(item) for item in node.args)
        kwargs = {item.arg: ast.literal_eval(item.value) for item in node.keywords if item.arg is not None}
        if len(kwargs) < len(node.keywords):
            raise CallSyntaxError("Arguments cannot be unpacked with **.")
        return Call(_name(node.func), args, kwargs)
    except CallSyntaxError:
        raise
    except _REFUSED as error:
        raise CallSyntaxError(f"{type(error).__name__}: {error}"[:300]) from None


def execution_strings(calls: Decoded) -> list[str]:
    """Decoded calls as source again, the form in which BFCL's multi-turn half runs them.

    Raises:
        CallSyntaxError: An argument is an empty dictionary, for which the original has no words.
    """
    return [
        f"{name}({', '.join(f'{key}={_source(value)}' for key, value in arguments.items())})"
        for call in calls
        for name, arguments in call.items()
    ]


def _source(value: Any) -> str:
    if not isinstance(value, dict):
        return repr(value)
    if not all(isinstance(item, dict) for item in value.values()):
        return "{" + ", ".join(f"'{key}': {_source(item)}" for key, item in value.items()) + "}"
    # A dictionary of dictionaries is taken for a nested call: the first key's.
    if not value:
        raise CallSyntaxError("An empty dictionary cannot be told from a call without a name.")
    name, arguments = next(iter(value.items()))
    return f"{name}({', '.join(f'{key}={_source(item)}' for key, item in arguments.items())})"


def quietly(parse: Callable[[], T]) -> T:
    """What `parse` gives, with Python's warnings about odd literals off: under some filters they raise."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parse()


def parse_expression(text: str) -> ast.expr:
    """The syntax tree of one Python expression.

    Raises:
        SyntaxError: It is none; hostile texts also raise ValueError, MemoryError or RecursionError.
    """
    if _WARNED.search(text) is None:
        try:
            return ast.parse(text, mode="eval").body
        except SyntaxError:  # which a warning looks like, too, once it is an error
            pass
    return quietly(lambda: ast.parse(text, mode="eval").body)


def _name(node: ast.expr) -> str:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    return ".".join(reversed(parts))


def _call(node: ast.Call) -> dict[str, dict[Any, Any]]:
    function = node.func
    name = function.id if type(function) is ast.Name else _name(function)
    return {name: {item.arg: _read(item.value) for item in node.keywords}}


def _read(node: ast.expr) -> Any:
    if type(node) is ast.Constant:  # most arguments
        return "..." if node.value is Ellipsis else node.value
    reader = _READERS.get(type(node))
    if reader is None:
        raise CallSyntaxError(f"An argument cannot be a {type(node).__name__}.")
    return reader(node)


def _read_unary(node: Any) -> Any:
    if type(node.operand) is not ast.Constant:
        raise CallSyntaxError("A sign stands before a number only.")
    value: Any = node.operand.value
    return -value


def _read_dict(node: Any) -> Any:
    if None in node.keys:
        raise CallSyntaxError("A dictionary cannot be unpacked.")
    return {_read(key): _read(value) for key, value in zip(node.keys, node.values, strict=True)}


def _read_call(node: Any) -> Any:
    return _call(node) if node.keywords else ast.unparse(node)


def _read_arithmetic(node: Any) -> Any:
    try:
        return _compute(node)
    except _TooLarge:
        return ast.unparse(node)  # whatever it is, no accepted answer is that large


_READERS: Mapping[type, Callable[[Any], Any]] = {
    ast.UnaryOp: _read_unary,
    ast.List: lambda node: [_read(item) for item in node.elts],
    ast.Tuple: lambda node: tuple(_read(item) for item in node.elts),
    ast.Dict: _read_dict,
    ast.Name: lambda node: node.id,
    ast.Call: _read_call,
    ast.BinOp: _read_arithmetic,
    ast.Subscript: lambda node: f"{ast.unparse(node.value)}[{ast.unparse(node.slice)}]",
}


class _TooLarge(Exception):
    """The value would exceed the bounds."""


def _compute(node: ast.expr) -> Any:
    """Arithmetic over literals, as Python does it, within bounds."""
    match node:
        case ast.Constant():
            return node.value
        case ast.List():
            return [_compute(item) for item in node.elts]
        case ast.Tuple():
            return tuple(_compute(item) for item in node.elts)
        case ast.Set():
            return {_compute(item) for item in node.elts}
        case ast.Dict() if None not in node.keys:
            return {
                _compute(key): _compute(value)
                for key, value in zip(node.keys, node.values, strict=True)
                if key is not None
            }
        case ast.UnaryOp():
            value: Any = _compute(node.operand)
            match node.op:
                case ast.Not():
                    return not value
                case ast.USub():
                    return -value
                case ast.UAdd():
                    return +value
            return ~value
        case ast.BinOp():
            operator = _OPERATORS.get(type(node.op))
            if operator is not None:
                return operator(_compute(node.left), _compute(node.right))
    raise CallSyntaxError("Arithmetic may hold literals only.")


def _times(left: Any, right: Any) -> Any:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Sequence) and isinstance(other, int) and len(one) * other > _MAX_ITEMS:
            raise _TooLarge
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > _MAX_BITS:
        raise _TooLarge
    return left * right


def _power(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int) and right > 0 and left.bit_length() * right > _MAX_BITS:
        raise _TooLarge
    return left**right


def _shift(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right > _MAX_BITS:
        raise _TooLarge
    return left << right


def _modulo(left: Any, right: Any) -> Any:
    # Widths in a format ("%999999999d") make texts of any length.
    if isinstance(left, str | bytes) and any(char.isdigit() or char == "*" for char in str(left)):
        raise _TooLarge
    return left % right


_OPERATORS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: _times,
    ast.Div: lambda left, right: left / right,
    ast.FloorDiv: lambda left, right: left // right,
    ast.Mod: _modulo,
    ast.Pow: _power,
    ast.LShift: _shift,
    ast.RShift: lambda left, right: left >> right,
    ast.BitOr: lambda left, right: left | right,
    ast.BitAnd: lambda left, right: left & right,
    ast.BitXor: lambda left, right: left ^ right,
}
