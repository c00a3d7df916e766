"""BFCL's verdict on calls: whether they match the accepted answers, as its abstract-syntax checker judges.

Every case is read once into matchers, so that judging an output is little more than looking values up. What the
original accepts is kept to the letter, its oddities included:

- Texts match without regard to case, to spaces and to the signs `,./-_*^`; single quotes count as double quotes.
- A list's elements are compared so on the first level only, a dictionary's values likewise; below that they must be
  equal as they stand.
- An integer is accepted for a float, a tuple where the type is `tuple`; True and 1 are equal where Python says so.
- A value of the type of the accepted answers passes where the function's description asks for another one.
- "" among the accepted answers means that the argument may be left out. It also accepts the text "", and the empty
  list where a list is wanted.
- Parallel calls may stand in any order; each answer takes the first call that fits and is still free.

The original stops with an exception on a few outputs. There is no verdict to equal then; here such calls do not match.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from palaestra.envs.tools.bfcl.java import java_value
from palaestra.envs.tools.bfcl.javascript import javascript_value

__all__ = ["CaseChecker", "Language", "has_calls", "standard_text"]

Language = Literal["python", "java", "javascript"]

_PYTHON_TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}
_JAVA_TYPES: Mapping[str, type] = {
    "byte": int,
    "short": int,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "boolean": bool,
    "char": str,
    "String": str,
    "any": str,
    "Array": list,
    "ArrayList": list,
    "HashMap": dict,
}
_JAVASCRIPT_TYPES: Mapping[str, type] = {
    "String": str,
    "integer": int,
    "float": float,
    "Bigint": int,
    "Boolean": bool,
    "dict": dict,
    "array": list,
    "any": str,
}
_Convert = Callable[[str, str, str | None], Any]
_Test = Callable[[Any], bool]
_LANGUAGES: Mapping[str, tuple[Mapping[str, type], _Convert | None, frozenset[str]]] = {
    "python": (_PYTHON_TYPES, None, frozenset({"array", "tuple"})),
    "java": (_JAVA_TYPES, java_value, frozenset({"Array", "ArrayList"})),
    "javascript": (_JAVASCRIPT_TYPES, javascript_value, frozenset({"array"})),
}
_IGNORED = str.maketrans({**dict.fromkeys(" ,./-_*^", ""), "'": '"'})
# What comparing or converting a value may raise; the original stops there.
_NO_VERDICT = (ValueError, TypeError, OverflowError, RecursionError)


def standard_text(text: str) -> str:
    """The form in which texts are compared: lower case, without spaces and `,./-_*^`, with double quotes."""
    return text.translate(_IGNORED).lower()


def has_calls(decoded: Any) -> bool:
    """Whether what was decoded holds a call, as BFCL's relevance categories ask."""
    return _well_formed(decoded) and len(decoded) > 0


def _well_formed(decoded: Any) -> bool:
    if type(decoded) is not list:
        return False
    for call in decoded:
        if type(call) is not dict or len(call) != 1:
            return False
        for arguments in call.values():
            if type(arguments) is not dict:
                return False
    return True


class CaseChecker:
    """The verdict on outputs for one case.

    Args:
        functions: The functions on offer, in BFCL's schema.
        answers: For each call wanted `{name: {argument: [accepted value, ...]}}`.
        language: In which the functions are, so how arguments are to be read.
        category: `parallel` in it asks for all answers in any order, `multiple` for one of several functions.
        dotless: Whether calls write `_` for the `.` in functions' names, as interfaces that allow no dots make models
            do.
    """

    def __init__(
        self,
        functions: Sequence[Mapping[str, Any]],
        answers: Sequence[Mapping[str, Mapping[str, Sequence[Any]]]],
        language: Language,
        category: str,
        *,
        dotless: bool = False,
    ) -> None:
        several = "parallel" in category or "multiple" in category
        self.calls: list[CallMatcher] = []
        for answer in answers if "parallel" in category else answers[:1]:
            name, arguments = next(iter(answer.items()))
            offered = functions if several else functions[:1]
            function = next((item for item in offered if not several or item["name"] == name), None)
            self.calls.append(CallMatcher(function, arguments, language, dotless))
        # `multiple` counts all answers but looks at the first; there is one in the published data.
        self._count = len(answers) if several else 1

    def check(self, decoded: Any) -> bool:
        """Whether decoded calls are right.

        Args:
            decoded: What a decoder gave; anything else than a list of `{name: {argument: value}}` is wrong.
        """
        if not _well_formed(decoded) or len(decoded) != self._count:
            return False
        if len(self.calls) == 1:
            return self.calls[0].fits(decoded[0])
        free = list(decoded)
        for matcher in self.calls:
            for index, call in enumerate(free):
                if matcher.fits(call):
                    del free[index]
                    break
            else:
                return False
        return True


class CallMatcher:
    """One wanted call.

    Args:
        function: Its description; None where none is offered, so that nothing fits.
        answer: The accepted values of each argument.
        language: See `CaseChecker`.
        dotless: See `CaseChecker`.
    """

    __slots__ = ("arguments", "name", "needed")

    def __init__(
        self, function: Mapping[str, Any] | None, answer: Mapping[str, Sequence[Any]], language: Language, dotless: bool
    ) -> None:
        self.name: str | None = None
        self.arguments: dict[str, _Test] = {}
        self.needed: tuple[str, ...] = ()
        if function is None:
            return
        self.name = function["name"].replace(".", "_") if dotless else function["name"]
        properties = function["parameters"]["properties"]
        for name, accepted in answer.items():
            if name in properties:
                self.arguments[name] = _argument(properties[name], [thawed(value) for value in accepted], language)
        left_out = {name for name, accepted in answer.items() if "" in accepted}
        required = set(function["parameters"]["required"])
        self.needed = tuple(required | (set(answer) - left_out))

    def fits(self, call: Mapping[str, Mapping[Any, Any]]) -> bool:
        """Whether a decoded call is the wanted one."""
        given = call.get(self.name) if self.name is not None else None
        if given is None:
            return False
        for name in self.needed:
            if name not in given:
                return False
        arguments = self.arguments
        try:
            for name, value in given.items():
                accepts = arguments.get(name)
                if accepts is None or not accepts(value):
                    return False
        except _NO_VERDICT:
            return False
        return True


def thawed(value: Any) -> Any:
    """The value with lists where ground truth, which is frozen, has tuples."""
    if isinstance(value, list | tuple):
        return [thawed(item) for item in value]
    if isinstance(value, Mapping):
        return {key: thawed(item) for key, item in value.items()}
    return value


def _argument(schema: Mapping[str, Any], accepted: list[Any], language: Language) -> _Test:
    types, convert, holds_elements = _LANGUAGES[language]
    kind = schema["type"]
    inner = schema["items"]["type"] if kind in holds_elements else None
    if kind not in types or (inner is not None and inner not in types):
        return _nothing  # the original stops at a type that it does not know
    compare = _comparison(types[kind], None if inner is None else types[inner], accepted)
    if convert is not None:
        return _converted(convert, kind, inner, compare)
    if kind == "float":
        return lambda value: compare(float(value) if type(value) is int else value)
    if kind == "tuple":
        return lambda value: compare(list(value) if type(value) is tuple else value)
    return compare


def _nothing(value: Any) -> bool:
    return False


def _converted(convert: _Convert, kind: str, inner: str | None, compare: _Test) -> _Test:
    return lambda value: type(value) is str and compare(convert(value, kind, inner))


def _comparison(wanted: type, inner: type | None, accepted: list[Any]) -> _Test:
    """The test of a value against the accepted ones, given the type that the description asks for."""
    usual = _first_type(accepted)
    if usual is not None and usual is not wanted:
        # The answers are of another type than described ("a variable"): either type may come, and nothing is forgiven.
        return lambda value: (
            (type(value) is usual or (type(value) is wanted and _elements_fit(value, inner, accepted)))
            and value in accepted
        )
    like = _likeness(wanted, inner, accepted)
    if inner is None:
        return lambda value: type(value) is wanted and like(value)
    return lambda value: type(value) is wanted and _elements_fit(value, inner, accepted) and like(value)


def _first_type(accepted: Sequence[Any]) -> type | None:
    return next((type(value) for value in accepted if value != ""), None)


def _elements_fit(value: Any, inner: type | None, accepted: list[Any]) -> bool:
    """Whether every element is of the described type, or of that of the elements of one accepted list."""
    if inner is None:
        return True
    kinds = {type(item) for item in value} - {inner}
    return any(type(answer) is not list or not (kinds - {_first_type(answer)}) for answer in accepted)


def _likeness(wanted: type, inner: type | None, accepted: list[Any]) -> _Test:
    if wanted is str:
        texts = frozenset(standard_text(answer) for answer in accepted if type(answer) is str)
        return lambda value: standard_text(value) in texts
    if wanted is dict:
        dictionaries = [_dictionary(answer) for answer in accepted if answer != ""]
        return lambda value: any(fits(value) for fits in dictionaries)
    if wanted is list and inner is dict:
        rows = [[_dictionary(item) for item in answer] for answer in accepted if isinstance(answer, list | str)]
        return lambda value: any(_rows_fit(value, row) for row in rows)
    if wanted is list:
        lists = [_standard(answer) for answer in accepted if isinstance(answer, list | str)]
        return lambda value: _standard(value) in lists
    return lambda value: value in accepted


def _standard(values: Sequence[Any]) -> list[Any]:
    return [standard_text(value) if type(value) is str else value for value in values]


def _rows_fit(value: list[Any], row: list[_Test]) -> bool:
    return len(value) == len(row) and all(fits(item) for fits, item in zip(row, value, strict=True))


def _dictionary(answer: Any) -> _Test:
    """The test of a dictionary against an accepted one, whose values are lists of accepted values."""
    if type(answer) is not dict:
        return _nothing
    values = {key: _standard(options) for key, options in answer.items() if isinstance(options, list | str)}
    needed = [key for key, options in answer.items() if not isinstance(options, list | str | dict) or "" not in options]

    def fits(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for key, item in value.items():
            options = values.get(key)
            if options is None or (standard_text(item) if type(item) is str else item) not in options:
                return False
        return all(key in value for key in needed)

    return fits
