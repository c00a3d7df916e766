"""Verdicts on whole conversations: after every turn the state and the results must be those of the reference calls."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from palaestra.envs.tools.bfcl.calls import CallSyntaxError, decode, execution_strings
from palaestra.envs.tools.bfcl.multi_turn.apis import Api
from palaestra.envs.tools.bfcl.multi_turn.cases import MultiTurnCase
from palaestra.envs.tools.bfcl.multi_turn.execution import Applications

__all__ = ["TurnJudge", "Verdict", "check", "check_texts", "decode_step", "fresh_applications"]

Step = Sequence[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a conversation is worth.

    Attributes:
        valid: Whether every turn agrees with the reference.
        error_type: The official name of what is wrong; "" where nothing is.
        message: For a person.
        turn: The first turn that is wrong, from 0.
    """

    valid: bool
    error_type: str = ""
    message: str = ""
    turn: int | None = None


class Reference:
    """What a case's reference calls do, run once. Whatever is judged later is compared with what is kept here.

    Args:
        case: Whose calls are run.

    Attributes:
        stored: The applications before the first turn.
        turns: Per turn the results, and the applications that the calls have used so far as they then stand.
    """

    def __init__(self, case: MultiTurnCase) -> None:
        self.stored = Applications.set_up(case)
        self._untouched: dict[str, Api] = {}
        self.turns: list[tuple[Counter[str], dict[str, Api]]] = []
        applications = Applications(case.classes, self.stored)
        kept: dict[str, Api] = {}
        last = max((turn for turn, texts in enumerate(case.gold_texts) if texts), default=0)
        for turn, texts in enumerate(case.gold_texts):
            results = Counter(applications.run(text) for text in texts)
            if texts:
                # The applications of this turn are kept as they are, and the next turn goes on with copies.
                kept = {**kept, **applications.used}
                if turn < last:
                    applications = Applications(case.classes, applications.dump())
            self.turns.append((results, kept))

    def untouched(self, name: str) -> Api:
        """An application as before the first turn; not to be changed."""
        if name not in self._untouched:
            self._untouched[name] = pickle.loads(self.stored[name])
        return self._untouched[name]

    def same(self, turn: int, applications: Applications, name: str) -> bool:
        """Whether an application is as the reference has it after a turn."""
        kept, used = self.turns[turn][1].get(name), applications.used.get(name)
        if kept is None and used is None:
            return True
        return (kept or self.untouched(name))._same(used or self.untouched(name))


@lru_cache(maxsize=1024)
def reference(case: MultiTurnCase) -> Reference:
    """The case's reference, shared by all who judge it."""
    return Reference(case)


def fresh_applications(case: MultiTurnCase) -> Applications:
    """The case's applications as its scenario sets them up."""
    return Applications(case.classes, reference(case).stored)


class TurnJudge:
    """Judges a conversation turn by turn.

    Args:
        case: Whose reference counts.
    """

    __slots__ = ("_case", "_results", "turn", "verdict")

    def __init__(self, case: MultiTurnCase) -> None:
        self._case = case
        self._results: Counter[str] = Counter()
        self.turn = 0
        self.verdict = Verdict(True)

    def save(self) -> tuple[int, Counter[str], Verdict]:
        """What `load` needs."""
        return self.turn, self._results.copy(), self.verdict

    def load(self, saved: tuple[int, Counter[str], Verdict]) -> None:
        """Goes back to what `save` gave."""
        self.turn, results, self.verdict = saved
        self._results = results.copy()

    def end_turn(self, applications: Applications, results: Sequence[str], empty: bool) -> None:
        """Takes a turn into account.

        Args:
            applications: As they stand after the turn.
            results: Of the turn's calls.
            empty: Whether the turn had no step with a call.
        """
        turn, self.turn = self.turn, self.turn + 1
        if not self.verdict.valid:
            return
        self._results.update(results)
        if not self._case.gold_texts[turn]:  # nothing can be done here yet; calls count, but are not judged
            return
        if empty:
            self.verdict = _wrong("empty_turn_model_response", f"There is no call in turn {turn}.", turn)
            return
        gold = reference(self._case)
        for name in self._case.classes:
            if not gold.same(turn, applications, name):
                message = f"The state of {name} after turn {turn} is not the reference's."
                self.verdict = _wrong("instance_state_mismatch", message, turn)
                return
        if not gold.turns[turn][0] <= self._results:
            message = f"No call so far has given a result that turn {turn} needs."
            self.verdict = _wrong("execution_response_mismatch", message, turn)


def _wrong(kind: str, message: str, turn: int) -> Verdict:
    return Verdict(False, f"multi_turn:{kind}", message, turn)


def check(case: MultiTurnCase, turns: Sequence[Sequence[Step]]) -> Verdict:
    """The verdict on decoded output.

    Args:
        case: What was to be done.
        turns: Per turn the steps, per step the calls as texts, as `decode_step` gives them.

    Returns:
        Invalid as `multi_turn:force_terminated` where the number of turns differs.
    """
    if len(turns) != len(case.gold_texts):
        message = f"There are {len(turns)} turns of {len(case.gold_texts)}."
        return Verdict(False, "multi_turn:force_terminated", message, min(len(turns), len(case.gold_texts)))
    applications, judge = fresh_applications(case), TurnJudge(case)
    for steps in turns:
        results = [applications.run(text) for step in steps for text in step]
        judge.end_turn(applications, results, empty=not steps or (len(steps) == 1 and not steps[0]))
        if not judge.verdict.valid:
            break
    return judge.verdict


def check_texts(case: MultiTurnCase, turns: Sequence[Sequence[str]]) -> Verdict:
    """The verdict on what a model said, per turn and step. Steps that hold no calls are passed over."""
    return check(case, [[step for text in steps if (step := decode_step(text))] for steps in turns])


def decode_step(text: str) -> list[str] | None:
    """What a model said in one step as calls; None or empty where it holds none, which ends its turn."""
    try:
        return execution_strings(decode(text))
    except CallSyntaxError:
        return None
