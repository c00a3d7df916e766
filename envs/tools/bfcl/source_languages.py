"""Reading calls written in Java and JavaScript, as BFCL reads them: with the grammars of tree-sitter.

Only a grammar with error recovery says which malformed texts still count as calls, so BFCL's own grammars are used.
The values of arguments stay source text; `java` and `javascript` turn them into values where a case asks for a type.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any

from palaestra.envs.tools.bfcl.calls import CallSyntaxError, Decoded
from palaestra.errors import MissingExtraError

__all__ = ["read_java_call", "read_javascript_call", "require_grammars"]

_AS_WRITTEN = ("identifier", "class_literal", "type_identifier", "method_invocation")
_MAX_CHARS = 20_000  # a tree of more is not worth its memory, and no call is that long


def require_grammars() -> None:
    """Makes sure that both grammars can be loaded.

    Raises:
        MissingExtraError: They are not installed.
    """
    _grammar("java")
    _grammar("javascript")


@lru_cache(maxsize=2)
def _grammar(name: str) -> Any:
    try:
        # By name: their types differ between the versions that are accepted here.
        library, grammar = import_module("tree_sitter"), import_module(f"tree_sitter_{name}")
    except ImportError as error:
        raise MissingExtraError("BFCL's Java and JavaScript categories", "bfcl") from error
    pointer = grammar.language()
    try:
        return library.Language(pointer, name)  # until 0.21, the version that BFCL pins
    except TypeError:
        with warnings.catch_warnings():  # later ones prefer a capsule to the pointer that these grammars give
            warnings.simplefilter("ignore", DeprecationWarning)
            return library.Language(pointer)


def _root(source: str, language: str) -> Any:
    """The root of the syntax tree.

    Raises:
        CallSyntaxError: The tree holds an error. What the parser could mend by adding a token is none.
    """
    if len(source) > _MAX_CHARS:
        raise CallSyntaxError(f"The text has {len(source)} characters; at most {_MAX_CHARS} are read.")
    grammar = _grammar(language)
    parser = import_module("tree_sitter").Parser()  # one a call: parsers are not for several threads
    if hasattr(parser, "set_language"):
        parser.set_language(grammar)
    else:
        parser.language = grammar
    try:
        tree = parser.parse(source.encode())
    except UnicodeEncodeError:
        raise CallSyntaxError("The text holds half of a surrogate pair.") from None
    root = tree.root_node
    if root.has_error and any(node.type == "ERROR" for node in _faulty(root)):
        raise CallSyntaxError("The text does not parse.")
    return root


def _faulty(root: Any) -> Iterator[Any]:
    """The nodes with an error in them; all others are passed over, which spares most of a large tree."""
    todo = [root]
    while todo:
        node = todo.pop()
        yield node
        todo.extend(child for child in node.children if child.has_error)


def read_java_call(source: str) -> Decoded | None:
    """The first method invocation in a Java text.

    Args:
        source: Java source; named arguments are written as assignments.

    Returns:
        A list of that one call, its arguments as source text (string and character literals without their quotes);
        None where nothing is invoked.

    Raises:
        CallSyntaxError: It does not parse, or names an argument twice.
        MissingExtraError: The grammar is not installed.
    """
    try:
        node = _invocation(_root(source, "java"))
        if node is None:
            return None
        name = _slice(node.child_by_field_name("name"), source)
        owner = node.child_by_field_name("object")
        if owner is not None:
            name = f"{_slice(owner, source)}.{name}"
        arguments: dict[Any, Any] = {}
        for child in node.child_by_field_name("arguments").children:
            if child.type == "assignment_expression":
                _put(arguments, _slice(child.children[0], source), _java_text(child.children[2], source, nested=False))
            elif child.type in ("identifier", "class_literal", "set"):
                _put(arguments, None, _java_text(child, source, nested=False))
        return [{name: arguments}]
    except RecursionError:
        raise CallSyntaxError("The text is nested too deeply.") from None


def _put(arguments: dict[Any, Any], name: str | None, value: str) -> None:
    if name in arguments:
        raise CallSyntaxError(f"The argument {str(name)[:80]!r} is given twice.")
    arguments[name] = value


def _slice(node: Any, source: str) -> str:
    # BFCL counts bytes and cuts characters; beyond ASCII the two differ, and so do its texts.
    return source[node.start_byte : node.end_byte]


def _invocation(node: Any) -> Any:
    if node.type == "method_invocation":
        return node if node.child_by_field_name("arguments") is not None else None
    for child in node.children:
        found = _invocation(child)
        if found is not None:
            return found
    return None


def _java_text(node: Any, source: str, nested: bool = True) -> str:
    """An argument as BFCL writes it down again: without the white space between tokens, mostly."""
    kind = node.type
    if kind in ("string_literal", "character_literal"):
        text = _slice(node, source)
        return text if nested else text[1:-1]
    if kind in _AS_WRITTEN:
        return _slice(node, source)
    if kind == "array_creation_expression":
        made, value = (_java_text(node.child_by_field_name(field), source) for field in ("type", "value"))
        return f"new {made}[]{value}"
    if kind == "object_creation_expression":
        made, arguments = _java_text(node.child_by_field_name("type"), source), node.child_by_field_name("arguments")
        items = (
            [] if arguments is None else [child for child in arguments.children if child.type not in (",", "(", ")")]
        )
        return f"new {made}({', '.join(_java_text(child, source) for child in items)})"
    if kind == "set":
        items = [child for child in node.children if child.type not in (",", "set")]
        return "{" + ", ".join(_java_text(child, source) for child in items) + "}"
    if node.child_count:
        return "".join(_java_text(child, source) for child in node.children)
    return _slice(node, source)


def read_javascript_call(source: str) -> Decoded | None:
    """The first call among the statements of a JavaScript text.

    Args:
        source: JavaScript source; named arguments are written as assignments.

    Returns:
        A list of that one call, its arguments as source text (strings without their quotes); None where no statement
        is a call.

    Raises:
        CallSyntaxError: It does not parse, or names an argument twice.
        MissingExtraError: The grammar is not installed.
    """
    for statement in _root(source, "javascript").children:
        if statement.type != "expression_statement":
            continue
        for node in statement.children:
            if node.type == "call_expression":
                return [{node.children[0].text.decode(): _javascript_arguments(node.children[1])}]
    return None


def _javascript_arguments(node: Any) -> dict[Any, Any]:
    arguments: dict[Any, Any] = {}
    for child in node.children:
        if child.type == "assignment_expression":
            value = child.children[2].text.decode()
            if any(value.startswith(quote) and value.endswith(quote) for quote in ('"', "'")):
                value = value[1:-1]
            _put(arguments, child.children[0].text.decode(), value)
        elif child.type in ("identifier", "true"):
            _put(arguments, None, child.text.decode())
    return arguments
