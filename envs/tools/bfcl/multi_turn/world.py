"""One conversation as it goes: what the user says, what the calls do, when a turn ends, and what it is worth."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from palaestra.envs.tools.bfcl.calls import Call
from palaestra.envs.tools.bfcl.data import constants
from palaestra.envs.tools.bfcl.multi_turn.cases import MultiTurnCase
from palaestra.envs.tools.bfcl.multi_turn.checker import TurnJudge, Verdict, fresh_applications
from palaestra.envs.tools.bfcl.multi_turn.execution import Applications

__all__ = ["MAX_STEPS", "MultiTurnWorld"]

MAX_STEPS = 20
"""Steps with calls that a turn may have. One more is still executed, as officially, and ends the conversation."""


@lru_cache(maxsize=1)
def _arrival() -> str:
    return str(constants("constants/default_prompts.py")["DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC"])


class MultiTurnWorld:
    """A conversation with its applications.

    The assistant acts in steps. A step with calls is executed and the assistant goes on in the same turn; a step
    without calls ends the turn, and the user speaks again.

    Args:
        case: What the user wants.
    """

    def __init__(self, case: MultiTurnCase) -> None:
        self.case = case
        self.turn = 0
        self.steps = 0
        self.forced_quit = False
        self._applications = fresh_applications(case)
        self._judge = TurnJudge(case)
        self._results: list[str] = []
        self._called = False

    @property
    def finished(self) -> bool:
        """Whether the conversation is over."""
        return self.forced_quit or self.turn >= len(self.case.turns)

    def messages(self, with_docs: bool = True) -> tuple[Mapping[str, str], ...]:
        """What the user says at the current turn, as messages with role and content.

        Args:
            with_docs: Whether functions that arrive are written out, as for models that read them in the prompt; else
                only the sentence that there are more of them.
        """
        if self.turn not in self.case.held_out:
            return self.case.turns[self.turn]
        docs = f"{list(self.case.held_out[self.turn])}\n" if with_docs else ""
        return ({"role": "user", "content": docs + _arrival()},)

    def functions(self) -> tuple[dict[str, Any], ...]:
        """Docs of the functions offered at the current turn."""
        arrived = [doc for turn, docs in self.case.held_out.items() if turn <= self.turn for doc in docs]
        return (*self.case.functions, *arrived)

    def step(self, calls: Sequence[Call]) -> tuple[str, ...]:
        """One step of the assistant.

        Args:
            calls: Made in this order; none ends the turn.

        Returns:
            The calls' results.

        Raises:
            ValueError: The conversation is over.
        """
        if self.finished:
            raise ValueError("The conversation is over; make a new world.")
        results = tuple(self.call(call.name, call.kwargs) for call in calls)
        self.end_step()
        return results

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """One call, for those who make the calls of a step singly and say with `end_step` that it is over."""
        return self._noted(self._applications.call(name, arguments))

    def run(self, text: str) -> str:
        """One call as `decode_step` gives it, in which arguments may be calls themselves; otherwise like `call`."""
        return self._noted(self._applications.run(text))

    def _noted(self, result: str) -> str:
        self._results.append(result)
        self._called = True
        return result

    def end_step(self) -> None:
        """Ends the step, and without calls in it the turn."""
        if not self._called:
            self._end_turn()
            return
        self._called = False
        self.steps += 1
        if self.steps > MAX_STEPS:
            self._end_turn()
            self.forced_quit = True

    def _end_turn(self) -> None:
        self._judge.end_turn(self._applications, self._results, empty=self.steps == 0)
        self.turn, self.steps, self._results = self.turn + 1, 0, []

    def state(self) -> dict[str, dict[str, Any]]:
        """Public attributes by application, as they are (not copies)."""
        return self._applications.state()

    def verdict(self) -> Verdict:
        """What the conversation is worth as it stands; turns that were not reached make it invalid."""
        if not self._judge.verdict.valid or self.turn >= len(self.case.turns):
            return self._judge.verdict
        message = f"The conversation ended in turn {self.turn} of {len(self.case.turns)}."
        return Verdict(False, "multi_turn:force_terminated", message, self.turn)

    def get_state(self) -> bytes:
        """Everything, for `set_state` of a world of the same case."""
        own = (self.turn, self.steps, self.forced_quit, self._results, self._called, self._judge.save())
        stored = (tuple(self._applications.used), self._applications.dump())
        return pickle.dumps((self.case.id, own, stored), protocol=pickle.HIGHEST_PROTOCOL)

    def set_state(self, state: bytes) -> None:
        """Restores what `get_state` gave, which must come from this program: it is a pickle.

        Raises:
            ValueError: It is another case's.
        """
        case_id, own, (used, stored) = pickle.loads(state)
        if case_id != self.case.id:
            raise ValueError(f"This is a state of {case_id}, not of {self.case.id}.")
        self.turn, self.steps, self.forced_quit, self._results, self._called, judged = own
        self._judge.load(judged)
        self._applications = Applications(self.case.classes, stored)
        for name in used:  # they are not as the scenario has them, and the judge must look at them
            self._applications.api(name)
