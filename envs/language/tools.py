"""Tools: what an agent can call, with the schema that its arguments must meet."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, best_match
from numpy.typing import NDArray

from palaestra.envs.language.accepting import Accepts, compile_schema
from palaestra.episodes import Part, TextPart
from palaestra.errors import ConfigError, EpisodeFailure, ToolError

__all__ = ["Tool", "ToolOutput", "answer_tool"]

_StrictValidator: Any = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda checker, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


def _make_validator(schema: dict[str, Any]) -> Any:
    Draft202012Validator.check_schema(schema)
    return _StrictValidator({"unevaluatedProperties": False, **schema})


@lru_cache(maxsize=1024)
def _validator_of(schema: str) -> Any:
    """Made once for all environments with the tool: checking a schema costs more than an episode's steps."""
    return _make_validator(json.loads(schema))


@lru_cache(maxsize=1024)
def _accepts_of(schema: str) -> Accepts | None:
    return compile_schema(json.loads(schema), closed=True)


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
        parameters: JSON Schema of an object, draft 2020-12. Read more strictly in two points, so that nothing an
            agent writes surprises `run`: properties that the schema does not name are refused unless it says
            `additionalProperties`, and 3.0 is no integer.
        run: Called with the arguments by keyword. Raises `ToolError` where the call could not be done, and
            `EpisodeFailure` where something broke that no call can break.
        primary: The string parameter that the `tags` dialect writes bare between the tags; no other is required.
        final: Whether a call ends the episode.
        timeout: Seconds it may take, above 0; None for tools that bound themselves. A tool that overruns goes on in
            its thread, so one with a time limit gives its result back and changes nothing in the environment.
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
            self._validator()
        except SchemaError as error:
            raise ConfigError(
                f"The parameters of the tool '{self.name}' are no JSON Schema: {error.message}"
            ) from error
        if self.parameters.get("type") != "object":
            raise ConfigError(f"The parameters of the tool '{self.name}' must be of type 'object'.")
        if self.primary is not None:
            schema = self.parameters.get("properties", {}).get(self.primary)
            if (
                schema is None
                or schema.get("type") != "string"
                or set(self.parameters.get("required", ())) - {self.primary}
            ):
                raise ConfigError(
                    f"The primary parameter '{self.primary}' of the tool '{self.name}' must be a string, "
                    "and no other may be required."
                )
        if self.timeout is not None and not self.timeout > 0:
            raise ConfigError(f"The timeout of the tool '{self.name}' is {self.timeout}; it must be above 0, or None.")

    def _validator(self) -> Any:
        try:
            key = json.dumps(self.parameters)
        except (TypeError, ValueError):  # mappings of other kinds, circles
            return _make_validator(dict(self.parameters))
        return _validator_of(key)

    @cached_property
    def _accepts(self) -> Accepts | None:
        try:
            return _accepts_of(json.dumps(self.parameters))
        except (TypeError, ValueError, re.error):  # no plain JSON, or a pattern that is none
            return None

    @property
    def openai(self) -> dict[str, Any]:
        """The tool in the schema that OpenAI's chat interface and chat templates take."""
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": dict(self.parameters)},
        }

    def problem(self, arguments: Mapping[str, Any]) -> str | None:
        """What is wrong with the arguments and what is accepted, for the agent; None where nothing is."""
        try:
            if self._accepts is not None and self._accepts(arguments):
                return None
            error = best_match(self._validator().iter_errors(dict(arguments)))
        except RecursionError:
            return f"The arguments of '{self.name}' are nested too deeply."
        except ValueError:  # Python writes no numbers of more than some thousand digits
            return f"The arguments of '{self.name}' hold a number with too many digits."
        if error is None:
            return None
        where = _clip(".".join(str(part) for part in error.absolute_path))
        place = f"In the field '{where}': " if where else ""
        accepted = _clip(json.dumps(self.parameters.get("properties", {}), ensure_ascii=False), 600)
        required = ", ".join(self.parameters.get("required", ())) or "none"
        return f"{place}{_shorten(error.message)}. '{self.name}' accepts {accepted}; required: {required}."

    def call(self, arguments: Mapping[str, Any]) -> ToolOutput:
        """Runs the tool within its time.

        Args:
            arguments: They have passed `problem`.

        Raises:
            ToolError: The call could not be done, or took too long by its own fault.
            EpisodeFailure: Something broke that no call can break.
        """
        try:
            given = self.run(**arguments) if self.timeout is None else self._within(self.timeout, arguments)
        except SystemExit as error:
            # It is no `Exception`: it would pass every guard and end the process.
            raise RuntimeError(f"The tool '{self.name}' tried to exit the process.") from error
        if isinstance(given, str):
            return ToolOutput((TextPart(given),))
        if not isinstance(given, ToolOutput):
            raise TypeError(f"The tool '{self.name}' gave {type(given).__name__}; it must give a str or a ToolOutput.")
        return given

    def _within(self, seconds: float, arguments: Mapping[str, Any]) -> Any:
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
        return value


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


def _shorten(message: str) -> str:
    """Validators write the value first and what is wrong with it last: both ends stay."""
    return message if len(message) <= 300 else f"{message[:200]}...{message[-97:]}"
