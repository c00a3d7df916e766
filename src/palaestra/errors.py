"""The error tree.

Every message says what was given, what is accepted, and what to do::

    PalaestraError
    ├── UnknownNameError (also LookupError)      no such environment, agent, reward, option; names the nearest
    ├── ConfigError (also ValueError)            a value that cannot work
    ├── InvalidActionError (also ValueError)     an action that an environment refuses; nothing has changed
    ├── DataError (also ValueError)              a corpus, question or index file: names file, line, field
    ├── RecordError (also ValueError)            a run folder or record that cannot be read
    ├── MissingExtraError (also ImportError)     names the `pip install 'palaestra[...]'` that mends it
    ├── SnapshotError                            state that cannot be saved or restored
    ├── ToolError                                shown to the agent: its call could not be done
    ├── BudgetExceeded                           tokens, money or time are spent; the run stops cleanly
    ├── DiskFull                                 no room for records; what was finished is kept
    ├── NotFiniteError (also ArithmeticError)    training met NaN or infinity and stopped before using it
    ├── EnvironmentUnavailable                   `reset` failed after its retries
    └── EpisodeFailure                           ends one episode as `failed`; never caused by an action
        └── ModelUnavailable                     a model or its server gave no answer

All of them pickle. Those with several arguments also take an instance of themselves alone, since Gymnasium's
`AsyncVectorEnv` raises what a worker raised anew, as `type(error)(error)`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

__all__ = [
    "BudgetExceeded",
    "ConfigError",
    "DataError",
    "DiskFull",
    "EnvironmentUnavailable",
    "EpisodeFailure",
    "InvalidActionError",
    "MissingExtraError",
    "ModelUnavailable",
    "NotFiniteError",
    "PalaestraError",
    "RecordError",
    "SnapshotError",
    "ToolError",
    "UnknownNameError",
    "nearest",
]


class PalaestraError(Exception):
    """The root: `except PalaestraError` catches whatever palaestra raises on purpose."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """The sentence that helps after a misspelling.

    Args:
        name: What was given.
        choices: What exists.

    Returns:
        `Did you mean 'x'?` where something is close, else `Choose from: ...` (at most 20 names), else "".
    """
    known = sorted(set(choices))
    folded = {choice.casefold(): choice for choice in known}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{folded[close[0]]}'?"
    if not known:
        return ""
    shown = ", ".join(known[:20])
    return f"Choose from: {shown}{', ...' if len(known) > 20 else ''}."


class UnknownNameError(PalaestraError, LookupError):
    """Nothing has this name.

    Args:
        what: The kind of thing, as a person would call it ("environment", "agent").
        name: What was given.
        choices: The names that exist, from which the nearest is suggested.
    """

    what: str
    name: str
    choices: tuple[str, ...]

    def __init__(self, what: str | UnknownNameError, name: str = "", choices: Iterable[str] = ()) -> None:
        if isinstance(what, UnknownNameError):
            name, choices, what = what.name, what.choices, what.what
        self.what, self.name, self.choices = what, name, tuple(choices)
        super().__init__(f"There is no {what} '{name}'. {nearest(name, self.choices)}".rstrip())

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, tuple[str, ...]]]:
        return type(self), (self.what, self.name, self.choices)


class ConfigError(PalaestraError, ValueError):
    """A value that cannot work; the message says which values can."""


class InvalidActionError(PalaestraError, ValueError):
    """An action that cannot be done; the message says which can. What an agent did, so never a failed episode.

    Raised before anything has changed: the episode goes on as if the action had not been tried.
    """


class DataError(PalaestraError, ValueError):
    """A file whose content cannot be used.

    Args:
        path: The file.
        problem: What is wrong and what is accepted.
        line: Line number, from 1, where one applies.
        field: Name of the field, where one applies.
    """

    path: str
    problem: str
    line: int | None
    field: str | None

    def __init__(self, path: object, problem: str = "", *, line: int | None = None, field: str | None = None) -> None:
        if isinstance(path, DataError):
            problem, line, field, path = path.problem, path.line, path.field, path.path
        self.path, self.problem, self.line, self.field = str(path), problem, line, field
        place = self.path + (f", line {line}" if line is not None else "") + (f", field '{field}'" if field else "")
        super().__init__(f"{place}: {problem}")

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _data_error, (self.path, self.problem, self.line, self.field)


def _data_error(path: str, problem: str, line: int | None, field: str | None) -> DataError:
    return DataError(path, problem, line=line, field=field)


class RecordError(PalaestraError, ValueError):
    """A run folder or a record that cannot be read or written."""


class MissingExtraError(PalaestraError, ImportError):
    """An optional dependency is not installed.

    Args:
        what: What was asked for.
        extra: The extra of palaestra that brings it.
        command: The command that installs it; `pip install 'palaestra[EXTRA]'` unless given.
    """

    what: str
    extra: str
    command: str

    def __init__(self, what: str | MissingExtraError, extra: str = "", command: str | None = None) -> None:
        if isinstance(what, MissingExtraError):
            extra, command, what = what.extra, what.command, what.what
        self.what, self.extra = what, extra
        self.command = command or f"pip install 'palaestra[{extra}]'"
        super().__init__(f"{what} needs packages that are not installed. Install them with: {self.command}")

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        return type(self), (self.what, self.extra, self.command)


class SnapshotError(PalaestraError):
    """State that cannot be saved, restored, or restored here."""


class ToolError(PalaestraError):
    """Raised inside a tool: the agent's call could not be done, and the message is shown to the agent.

    Whatever else escapes a tool is the environment's own failure and ends the episode as `failed`.
    """


class BudgetExceeded(PalaestraError):
    """A budget in tokens, money or time is spent. The run stops cleanly and can be resumed."""


class DiskFull(PalaestraError):
    """There is no room for another record. The run stops cleanly and can be resumed."""


class NotFiniteError(PalaestraError, ArithmeticError):
    """Training met a number that is not finite, and stopped before any weight took it up.

    The message names the step and the tensor.
    """


class EnvironmentUnavailable(PalaestraError):
    """`reset` failed after its retries: a server is down, a file is missing, a sandbox does not start."""


class EpisodeFailure(PalaestraError):
    """Ends the current episode as `failed`: something broke that no action of the agent can break.

    Args:
        kind: A short, stable name of what broke ("retriever_down"), counted in reports.
        message: For a person: what was asked, what happened, what to do.
        cause: `infrastructure`, or `unattributed` where it cannot be told.
        retryable: Whether another attempt may succeed.
    """

    kind: str
    message: str
    cause: Literal["infrastructure", "unattributed"]
    retryable: bool

    def __init__(
        self,
        kind: str | EpisodeFailure,
        message: str = "",
        *,
        cause: Literal["infrastructure", "unattributed"] = "infrastructure",
        retryable: bool = True,
    ) -> None:
        if isinstance(kind, EpisodeFailure):
            message, cause, retryable, kind = kind.message, kind.cause, kind.retryable, kind.kind
        self.kind, self.message, self.cause, self.retryable = kind, message, cause, retryable
        super().__init__(f"{kind}: {message}")

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _episode_failure, (type(self), self.kind, self.message, self.cause, self.retryable)


def _episode_failure(
    cls: type[EpisodeFailure],
    kind: str,
    message: str,
    cause: Literal["infrastructure", "unattributed"],
    retryable: bool,
) -> EpisodeFailure:
    return cls(kind, message, cause=cause, retryable=retryable)


class ModelUnavailable(EpisodeFailure):
    """A model or its server gave no answer after the retries that its agent is allowed."""
