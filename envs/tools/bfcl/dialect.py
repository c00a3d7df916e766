"""BFCL's own ways to write calls, as a dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from palaestra.envs.language.dialects import CallRequest, DialectError
from palaestra.envs.language.tools import Tool
from palaestra.envs.tools.bfcl.calls import CallSyntaxError
from palaestra.envs.tools.bfcl.checker import has_calls
from palaestra.envs.tools.bfcl.decoders import decode_output
from palaestra.envs.tools.bfcl.rendering import render_calls

__all__ = ["BFCLDialect", "OfferedFunction", "plain", "requests"]

_EXAMPLE = "[name(argument=value, ...), ...]"


@dataclass(frozen=True)
class OfferedFunction:
    """A function on offer: what dialects and samplers need to know of a tool. It is never run.

    Attributes:
        name: As calls are to write it.
        description: What it does.
        parameters: JSON Schema of an object.
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    primary: None = None
    final: bool = False

    @property
    def openai(self) -> dict[str, Any]:
        """In the schema of OpenAI's chat interface."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}


@dataclass(frozen=True)
class BFCLDialect:
    """`[name(argument=value, ...), ...]` and BFCL's other return formats; lenient as its decoders are.

    Attributes:
        return_format: One of `palaestra.envs.tools.bfcl.decoders.RETURN_FORMATS`.
        tagged: Whether calls stand between `<TOOLCALL>` and `</TOOLCALL>`.
    """

    return_format: str = "python"
    tagged: bool = False

    name = "bfcl"

    def stop(self, tools: Sequence[Tool]) -> tuple[str, ...]:
        """See `Dialect.stop`: none; the whole utterance counts."""
        return ()

    def decode(self, text: str) -> Any:
        """What BFCL's decoder makes of an utterance, for its verdict.

        Raises:
            DialectError: It cannot be decoded.
        """
        try:
            return decode_output(text, self.return_format, tagged=self.tagged)
        except CallSyntaxError as error:
            raise DialectError(f"These are no calls: {error} Write {_EXAMPLE}.") from None

    def parse(self, text: str, tools: Sequence[Tool]) -> tuple[CallRequest, ...]:
        """See `Dialect.parse`."""
        calls = requests(self.decode(text))
        if not calls:
            raise DialectError(f"Your turn contains no call. Write {_EXAMPLE}.")
        return calls

    def render(self, call: CallRequest, tools: Sequence[Tool]) -> str:
        """See `Dialect.render`."""
        return self.calls([call], tools)[0]

    def calls(self, calls: Sequence[CallRequest], tools: Sequence[Tool]) -> tuple[str, tuple[int, int]]:
        """See `Dialect.calls`."""
        if not calls:
            raise ValueError("There is no call to say.")
        data = [{"name": call.name, "arguments": call.arguments} for call in calls]
        utterance = render_calls(data, self.return_format, tagged=self.tagged)
        return utterance, (0, len(utterance))

    def answer(self, text: str, tools: Sequence[Tool]) -> tuple[str, tuple[int, int]]:
        """See `Dialect.answer`: an answer is prose."""
        return text, (0, len(text))

    def wrap(self, text: str) -> str:
        """See `Dialect.wrap`: results are shown as they are."""
        return text

    def instructions(self, tools: Sequence[Tool]) -> str:
        """See `Dialect.instructions`; BFCL's prompts have instructions of their own."""
        return f"Calls are written {_EXAMPLE} and nothing else."


def requests(decoded: Any) -> tuple[CallRequest, ...]:
    """Decoded calls with plain data as arguments; none where there are no well-formed calls."""
    if not has_calls(decoded):
        return ()
    return tuple(CallRequest(str(name), plain(arguments)) for call in decoded for name, arguments in call.items())


def plain(value: Any) -> Any:
    """A value as records can hold it: whatever JSON has no word for becomes text."""
    match value:
        case None | bool() | float() | str():
            return value
        case int():
            return value if value.bit_length() < 4096 else hex(value)
        case list() | tuple() | set():
            return [plain(item) for item in value]
        case Mapping():
            return {key if isinstance(key, str) else str(key): plain(item) for key, item in value.items()}
    return repr(value)
