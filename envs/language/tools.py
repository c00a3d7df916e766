"""Tools: what an agent can call, with the schema that its arguments must meet."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from numpy.typing import NDArray

from palaestra.episodes import Part, TextPart
from palaestra.errors import ConfigError, EpisodeFailure, ToolError

__all__ = ["Tool", "ToolOutput", "answer_tool"]


@dataclass(frozen=True, slots=True, eq=False)
class ToolOutput:
    """What a tool gives back when a text alone will not do.

    Attributes:
        content: Texts and pictures for the agent.
        data: For verifiers and rewards, recorded with the call.
        image: uint8 (H, W, 3), shown in the observation of environments that have pictures in it.
    """

    content: tuple[Part, ...]
    data: Mapping[str, Any] = field(default_factory=dict)
    image: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Tool:
    """One tool.

    Attributes:
        name: Letters, digits, `_` and `-`.
        description: What it does, for the agent.
        parameters: JSON Schema of an object, draft 2020-12.
        run: Called with the arguments by keyword. Raises `ToolError` where the call could not be done, and
            `EpisodeFailure` where something broke that no call can break.
        primary: The string parameter that the `tags` dialect writes bare between the tags.
        final: Whether a call ends the episode.
        timeout: Seconds it may take; None for tools that bound themselves.
        on_timeout: Whose fault a time-out is: the call's (`tool_error`) or nobody's (`failure`).
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[..., str | ToolOutput]
    primary: str | None = None
    final: bool = False
    timeout: float | None = None
    on_timeout: Literal["tool_error", "failure"] = "tool_error"

    def __post_init__(self) -> None:
        if not self.name or not all(char.isascii() and (char.isalnum() or char in "_-") for char in self.name):
            raise ConfigError(f"A tool's name is made of letters, digits, '_' and '-'; got {self.name!r}.")
        try:
            Draft202012Validator.check_schema(dict(self.parameters))
        except SchemaError as error:
            raise ConfigError(
                f"The parameters of the tool '{self.name}' are no JSON Schema: {error.message}"
            ) from error
        properties = self.parameters.get("properties", {})
        if self.parameters.get("type") != "object":
            raise ConfigError(f"The parameters of the tool '{self.name}' must be of type 'object'.")
        if self.primary is not None and properties.get(self.primary, {}).get("type") != "string":
            raise ConfigError(
                f"The primary parameter '{self.primary}' of the tool '{self.name}' must be a string in it."
            )

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return Draft202012Validator(dict(self.parameters))

    @property
    def openai(self) -> dict[str, Any]:
        """The tool in the schema that OpenAI's chat interface and chat templates take."""
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": dict(self.parameters)},
        }

    def problem(self, arguments: Mapping[str, Any]) -> str | None:
        """What is wrong with the arguments and what is accepted, for the agent; None where nothing is."""
        if self._validator.is_valid(arguments):
            return None
        try:
            error = best_match(self._validator.iter_errors(arguments))
        except RecursionError:
            return f"The arguments of '{self.name}' are nested too deeply."
        where = ".".join(str(part) for part in error.absolute_path)
        what = _clip(error.message)
        accepted = _clip(json.dumps(self.parameters.get("properties", {}), ensure_ascii=False), 600)
        required = ", ".join(self.parameters.get("required", ())) or "none"
        place = f"In the field '{where}': " if where else ""
        return f"{place}{what}. '{self.name}' accepts {accepted}; required: {required}."

    def call(self, arguments: Mapping[str, Any]) -> ToolOutput:
        """Runs the tool within its time.

        Args:
            arguments: They have passed `problem`.

        Raises:
            ToolError: The call could not be done, or took too long by its own fault.
            EpisodeFailure: Something broke that no call can break.
        """
        given = self.run(**arguments) if self.timeout is None else self._within(self.timeout, arguments)
        return ToolOutput((TextPart(given),)) if isinstance(given, str) else given

    def _within(self, seconds: float, arguments: Mapping[str, Any]) -> str | ToolOutput:
        outcome: list[Any] = []

        def target() -> None:
            try:
                outcome.append((True, self.run(**arguments)))
            except BaseException as error:
                outcome.append((False, error))

        # A thread cannot be killed; it is left behind as a daemon, and its late answer is dropped.
        thread = threading.Thread(target=target, name=f"tool-{self.name}", daemon=True)
        thread.start()
        thread.join(seconds)
        if not outcome:
            message = f"The tool '{self.name}' gave no answer within {seconds:g} s."
            if self.on_timeout == "failure":
                raise EpisodeFailure("tool_timeout", message)
            raise ToolError(message)
        ok, value = outcome[0]
        if not ok:
            raise value
        result: str | ToolOutput = value
        return result


def answer_tool(run: Callable[..., str | ToolOutput], description: str = "Gives your final answer.") -> Tool:
    """The tool with which a final answer is given; every dialect's `answer` renders a call of it."""
    return Tool(
        name="answer",
        description=description,
        parameters={
            "type": "object",
            "properties": {"answer": {"type": "string", "description": "The answer itself, in a few words."}},
            "required": ["answer"],
            "additionalProperties": False,
        },
        run=run,
        primary="answer",
        final=True,
    )


def _clip(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else text[:limit] + "..."


def names(tools: Sequence[Tool]) -> str:
    """The names of the tools, for messages."""
    return ", ".join(tool.name for tool in tools)
