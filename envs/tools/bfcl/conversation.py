"""An episode of BFCL from the inside: one reply that is judged, or a conversation with stateful applications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from palaestra.envs.language.dialects import Dialect, DialectError
from palaestra.envs.search.retrievers.base import Retriever
from palaestra.envs.tools.bfcl.agentic import AgenticCase, AgenticWorld
from palaestra.envs.tools.bfcl.cases import DEFAULT_FORMAT, Case
from palaestra.envs.tools.bfcl.dialect import BFCLDialect, OfferedFunction, plain, requests
from palaestra.envs.tools.bfcl.judge import CaseJudge
from palaestra.envs.tools.bfcl.multi_turn import MultiTurnCase, MultiTurnWorld, decode_step
from palaestra.envs.tools.bfcl.prompts import (
    case_functions,
    openai_functions,
    opening,
    shown_functions,
    system_prompt,
)
from palaestra.episodes import TextPart, ToolCall, ToolResult
from palaestra.tasks import Task

__all__ = ["AnyCase", "Reply", "Talk", "begin", "joined"]

AnyCase = Case | MultiTurnCase | AgenticCase

Message = dict[str, str]
Answer = tuple[tuple[ToolCall, ...], list[str], bool]
"""The calls, what to say back, and whether the utterance was a failed attempt to call."""


def begin(case: AnyCase, task: Task, dialect: Dialect, search: Retriever | None = None) -> Reply | Talk:
    """The inside of a new episode.

    Args:
        case: What stands behind the task.
        task: The task, whose ground truth is what counts.
        dialect: In which the agent speaks; a `BFCLDialect` is replaced by that of the case.
        search: Where web searches go.
    """
    if isinstance(case, AgenticCase):
        return Talk(AgenticWorld(case, task.truth["answers"], search), dialect)
    return Talk(MultiTurnWorld(case), dialect) if isinstance(case, MultiTurnCase) else Reply(case, task, dialect)


def _offered(shown: Sequence[Mapping[str, Any]], own_words: bool) -> tuple[OfferedFunction, ...]:
    written = [function["name"] for function in shown] if own_words else None
    return tuple(
        OfferedFunction(written[index] if written else item["name"], item["description"], item["parameters"])
        for index, item in enumerate(openai_functions(shown))
    )


def _attempt(text: str, offered: Sequence[OfferedFunction]) -> bool:
    """Whether an utterance that holds no calls looks like an attempt to make one, not like prose."""
    return any(f"{function.name}(" in text or f'"{function.name}"' in text for function in offered)


class Reply:
    """One question and one reply.

    Attributes:
        dialect: In which the reply is read.
        offered: The functions.
        outcome: 1.0 or 0.0; 0.0 before the reply.
        over: Whether the reply was given.
        opens: Whether a conversation begins in which nothing of an earlier one is seen.
    """

    opens = False

    def __init__(self, case: Case, task: Task, dialect: Dialect) -> None:
        own_words = isinstance(dialect, BFCLDialect)
        self.case = case
        self.dialect: Dialect = BFCLDialect(case.return_format, case.format.tagged) if own_words else dialect
        self._shown = case_functions(case)
        self.offered = _offered(self._shown, own_words)
        self.outcome, self.over = 0.0, False
        answers = task.truth.get("gold_alternatives")
        known = answers is case.answers
        self._judge = CaseJudge(case if known else replace(case, answers=tuple(answers or ())), dotless=not own_words)

    def messages(self) -> list[Message]:
        """What is said before the reply."""
        return opening(self.case.messages, _system(self.dialect, self._shown, self.offered, self.case))

    def respond(self, text: str) -> Answer:
        """Judges the reply."""
        decoded = _decoded(self.dialect, text, self.offered)
        self.outcome, self.over = float(self._judge.judge(decoded)), True
        names = {function.name for function in self.offered}
        noted = ToolResult((TextPart("The call was noted."),))
        calls = tuple(
            ToolCall(call.name, call.arguments, noted, "ok" if call.name in names else "rejected")
            for call in requests(decoded)
        )
        return calls, ["The reply was noted."], not calls and _attempt(text, self.offered)

    def get_state(self) -> Any:
        """What `set_state` needs."""
        return self.outcome, self.over

    def set_state(self, state: Any) -> None:
        """The inverse of `get_state`."""
        self.outcome, self.over = state


class Talk:
    """Turns in which calls are run: a conversation, or several of which only a memory lasts.

    Attributes:
        dialect: In which the agent speaks.
        offered: The functions; more may arrive.
    """

    def __init__(self, world: MultiTurnWorld | AgenticWorld, dialect: Dialect) -> None:
        self._own_words = isinstance(dialect, BFCLDialect)
        self.dialect: Dialect = BFCLDialect() if self._own_words else dialect
        self._world = world
        self._look()

    def _look(self) -> None:
        self._shown = shown_functions(self._world.functions(), "python")
        self.offered = _offered(self._shown, self._own_words)

    @property
    def outcome(self) -> float:
        """1.0 where the conversation as it stands is over and right, else 0.0."""
        return float(self._world.verdict().valid)

    @property
    def over(self) -> bool:
        """Whether the conversation is over."""
        return self._world.finished

    @property
    def opens(self) -> bool:
        """Whether a conversation begins in which nothing of an earlier one is seen."""
        return isinstance(self._world, AgenticWorld) and self._world.opens

    def messages(self) -> list[Message]:
        """What is said before the agent's first turn in a conversation."""
        said = self._world.messages(with_docs=self._own_words)
        return opening(said, _system(self.dialect, self._shown, self.offered, None))

    def respond(self, text: str) -> Answer:
        """Runs the calls; without any, the user speaks next."""
        calls = self._calls(text)
        if not calls:
            malformed = _attempt(text, self.offered)
            if isinstance(self._world, AgenticWorld):
                self._world.end_step(text)
            else:
                self._world.end_step()
            return (), self._next(), malformed
        made, written = [], decode_step(text) if self._own_words else None
        for number, (name, arguments) in enumerate(calls):
            result = self._world.run(written[number]) if written else self._world.call(name, arguments)
            failed = result.startswith(("Error during execution", '{"error"'))
            content = ToolResult((TextPart(result),), is_error=failed)
            made.append(ToolCall(name, plain(arguments), content, "error" if failed else "ok"))
        self._world.end_step()
        if self.opens or (self.over and isinstance(self._world, AgenticWorld)):  # too many steps
            return tuple(made), self._next(), False
        results = [call.result.text for call in made if call.result is not None]
        if written is None:
            return tuple(made), [self.dialect.wrap(result) for result in results], False
        shown = [{"role": "tool", "name": name, "content": text} for name, text in zip(written, results, strict=True)]
        return tuple(made), [repr(shown)], False

    def _next(self) -> list[str]:
        """What the user says after the end of a turn."""
        if self.over:
            return ["The conversation is over."]
        self._look()
        if self.opens:
            return [joined(self.messages())]
        return [message["content"] for message in self._world.messages(with_docs=self._own_words)]

    def _calls(self, text: str) -> list[tuple[str, Mapping[str, Any]]]:
        """The calls of a step; none where it holds none that can be run."""
        if self._own_words and decode_step(text) is None:
            return []
        decoded = _decoded(self.dialect, text, self.offered) or []
        return [(name, arguments) for call in decoded for name, arguments in call.items()]

    def get_state(self) -> Any:
        """What `set_state` needs."""
        return self._world.get_state()

    def set_state(self, state: Any) -> None:
        """The inverse of `get_state`."""
        self._world.set_state(state)
        self._look()


def joined(messages: Sequence[Mapping[str, str]]) -> str:
    """The messages that open a conversation as one text."""
    if len(messages) == 2:
        return "\n\n".join(message["content"] for message in messages)
    return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in messages)


def _decoded(dialect: Dialect, text: str, offered: Sequence[Any]) -> Any:
    """Calls as BFCL's checker takes them; None where there are none to be read."""
    try:
        if isinstance(dialect, BFCLDialect):
            return dialect.decode(text)
        return [{call.name: dict(call.arguments)} for call in dialect.parse(text, tuple(offered))]
    except DialectError:
        return None


def _system(dialect: Dialect, shown: Sequence[Mapping[str, Any]], offered: Sequence[Any], case: Case | None) -> str:
    if isinstance(dialect, BFCLDialect):
        return system_prompt(shown, DEFAULT_FORMAT if case is None else case.format)
    return (
        "Do what the user asks by calling functions. Where none of them serves, or the user does not say what one "
        f"needs, say so in words and call nothing.\n{dialect.instructions(tuple(offered))}"
    )
