"""One question as it comes about: the conversations before it, what is kept of them, and the answer."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.envs.search.retrievers.base import Retriever
from palaestra.envs.tools.bfcl.agentic.answers import judge_message
from palaestra.envs.tools.bfcl.agentic.cases import AgenticCase
from palaestra.envs.tools.bfcl.multi_turn.apis import MemoryApi, WebSearchAPI
from palaestra.envs.tools.bfcl.multi_turn.checker import Verdict
from palaestra.envs.tools.bfcl.multi_turn.execution import Applications
from palaestra.envs.tools.bfcl.multi_turn.world import MAX_STEPS

__all__ = ["AgenticWorld"]


class AgenticWorld:
    """The conversations of a case, in which only the memory lasts from one to the next.

    The assistant acts in steps as in `MultiTurnWorld`: a step with calls is executed, one without ends the turn.

    Args:
        case: What is asked.
        answers: The accepted answers; those of the case if None.
        search: What the case's searches go to, for web search.
    """

    def __init__(
        self, case: AgenticCase, answers: Sequence[str] | None = None, search: Retriever | None = None
    ) -> None:
        self.case = case
        self.conversation, self.turn, self.steps = 0, 0, 0
        self.said: str | None = None
        """What ended the last turn; None where too many steps did."""
        self._answers, self._search = tuple(case.answers if answers is None else answers), search
        self._called = False
        self._use(Applications(case.classes, Applications.set_up(case)))

    def _use(self, applications: Applications) -> None:
        self._applications = applications
        self.application = applications.api(self.case.classes[0])
        if isinstance(self.application, WebSearchAPI):
            self.application._retriever = self._search

    @property
    def finished(self) -> bool:
        """Whether the last conversation is over."""
        return self.conversation >= len(self.case.conversations)

    @property
    def opens(self) -> bool:
        """Whether a conversation begins, in which nothing of the earlier ones is seen."""
        return not self.finished and self.turn == 0 and self.steps == 0

    def messages(self, with_docs: bool = True) -> tuple[Mapping[str, str], ...]:
        """What is said at the current turn, as messages with role and content; no functions ever arrive."""
        said = self.case.conversations[self.conversation][self.turn]
        memory = self.application._shown() if isinstance(self.application, MemoryApi) else None
        own = self.case.instructions(memory) if self.turn == 0 else None
        if own is None:
            return said
        if said[0]["role"] == "system":
            return {"role": "system", "content": f"{own}\n\n{said[0]['content']}"}, *said[1:]
        return {"role": "system", "content": own}, *said

    def functions(self) -> tuple[dict[str, Any], ...]:
        """Docs of the functions."""
        return self.case.functions

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """One call of a step, which `end_step` ends.

        Raises:
            EpisodeFailure: The search is out of order.
        """
        self._called = True
        return self._applications.call(name, arguments)

    def run(self, text: str) -> str:
        """One call as `decode_step` gives it; otherwise like `call`."""
        self._called = True
        return self._applications.run(text)

    def end_step(self, said: str = "") -> None:
        """Ends the step, and without calls in it the turn.

        Args:
            said: What was said, where there were no calls.
        """
        if not self._called:
            self.said = said
            self.turn, self.steps = self.turn + 1, 0
            if self.turn >= len(self.case.conversations[self.conversation]):
                self._end_conversation()
            return
        self._called = False
        self.steps += 1
        if self.steps > MAX_STEPS:  # what follows in this conversation is left out; the memory stays
            self.said = None
            self._end_conversation()

    def _end_conversation(self) -> None:
        self.conversation, self.turn, self.steps = self.conversation + 1, 0, 0

    def verdict(self) -> Verdict:
        """What the answer is worth; without one it is wrong."""
        return judge_message(self.said if self.finished else None, self._answers)

    def get_state(self) -> bytes:
        """Everything, for `set_state` of a world of the same case."""
        own = (self.conversation, self.turn, self.steps, self.said, self._called)
        return pickle.dumps((self.case.id, own, self._applications.dump()), protocol=pickle.HIGHEST_PROTOCOL)

    def set_state(self, state: bytes) -> None:
        """Restores what `get_state` gave, which must come from this program: it is a pickle.

        Raises:
            ValueError: It is another case's.
        """
        case_id, own, stored = pickle.loads(state)
        if case_id != self.case.id:
            raise ValueError(f"This is a state of {case_id}, not of {self.case.id}.")
        self.conversation, self.turn, self.steps, self.said, self._called = own
        self._use(Applications(self.case.classes, stored))
