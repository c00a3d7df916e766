"""Verdicts on whole conversations: after every turn the state and the results must be those of the reference calls."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True, eq=False)
class GoldTurn:
    """What the reference calls of one turn give, and the applications after them (None where there are no calls)."""

    results: Counter[str]
    apis: dict[str, Api] | None


@lru_cache(maxsize=1024)
def _pristine(case: MultiTurnCase) -> bytes:
    return Applications(case).dump()


def fresh_applications(case: MultiTurnCase) -> Applications:
    """The case's applications as its scenario sets them up."""
    return Applications(case, _pristine(case))


@lru_cache(maxsize=1024)
def gold_turns(case: MultiTurnCase) -> tuple[GoldTurn, ...]:
    """The reference calls run once; whatever is judged later is compared with what is kept here."""
    applications = fresh_applications(case)
    turns = []
    for texts in case.gold_texts:
        results = Counter(applications.run(text) for text in texts)
        turns.append(GoldTurn(results, Applications(case, applications.dump()).apis if texts else None))
    return tuple(turns)


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
        gold = gold_turns(self._case)[turn]
        if gold.apis is None:  # nothing can be done here yet; calls count, but are not judged
            return
        if empty:
            self.verdict = _wrong("empty_turn_model_response", f"There is no call in turn {turn}.", turn)
            return
        for name, api in gold.apis.items():
            if not api._same(applications.apis[name]):
                message = f"The state of {name} after turn {turn} is not the reference's."
                self.verdict = _wrong("instance_state_mismatch", message, turn)
                return
        if not gold.results <= self._results:
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
