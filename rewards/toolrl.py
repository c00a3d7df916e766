"""ToolRL: how near an agent's tool calls are to those of a reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Episode, Turn
from palaestra.errors import ConfigError
from palaestra.rewards.base import CreditResult, Models
from palaestra.rewards.toolrl_calls import Call, Granularity, correctness_reward, same_calls
from palaestra.rewards.toolrl_schedules import Scale, Schedule, make_schedule
from palaestra.rewards.toolrl_text import Field, fields_of, length_reward, length_target, parse_calls, thought_words

__all__ = ["Form", "Length", "Match", "ToolRL", "gold_calls"]

Form = Literal["dialect", "toolrl"]
Length = Literal["none", "constant", "dynamic"]
Match = Literal["episode", "turn"]
_Parts = tuple[float, float, float]


def gold_calls(episode: Episode) -> tuple[tuple[Call, ...], ...] | None:
    """The reference of an episode: the calls of each turn that should make some.

    Args:
        episode: With `privileged["gold_calls"]`: for each turn its calls, each with `name` and `arguments`.

    Returns:
        None where there is no reference, which is another thing than a reference without calls.

    Raises:
        ConfigError: It is of another form.
    """
    turns = episode.privileged.get("gold_calls")
    if turns is None:
        return None
    try:
        return tuple(tuple(Call(str(call["name"]), dict(call["arguments"])) for call in turn) for turn in turns)
    except (TypeError, KeyError, ValueError) as error:
        raise ConfigError(
            f"gold_calls of {episode.env_id} must hold, for each turn, calls {{'name': ..., 'arguments': {{...}}}}; "
            f"got {str(turns)[:200]} ({type(error).__name__}: {error})."
        ) from error


class ToolRL:
    """Credit for tool calls that are near a reference's, and for the form in which they are made.

        R = format + correctness (+ length)                                 in [0, 1] + [-3, 3] (+ [0, 1])
        correctness = 6 S/S_max - 3,   S = J(N_G, N_P) + sum_g (s_key + s_val),   S_max = 1 + sum_g (1 + |keys g|)

    `correctness_reward` and `call_similarity` (`toolrl_calls.py`) have the symbols, the granularities and the edge
    cases; `format_reward` and `length_reward` (`toolrl_text.py`) the format and the length of the thought;
    `make_schedule` (`toolrl_schedules.py`) how both are scaled over training. The reference is
    `privileged["gold_calls"]`. Whether calls went well plays no part: neither their results nor the outcome.

    Source: "ToolRL: Reward is All Tool Learning Needs" (2025), and the authors' code (github.com/qiancheng0/ToolRL).
    Their data has one turn an episode; with one turn, `form="toolrl"` and a reference that says what it should, the
    values here are theirs, but for the departures that these functions name: held against that code on 20,000 random
    outputs in each of nine settings, nothing else differed.

    **Several turns** (an extension). `match` says what is compared with what:
        - `episode`: all calls of the episode, in order, with all of the reference. There are many good ways to cut a
          task into turns, to look something up first, to try again; this looks at none of it, and a call too many costs
          what it costs in one turn. The format reward is the share of turns that are well-formed, and 0 where the
          episode as a whole lacks what the reference has. One value an episode.
        - `turn`: the k-th turn that makes calls with the k-th turn of the reference that does, for data in which each
          has one right answer; its reward lands there. A turn of the reference that the episode does not reach has the
          lowest values, on the last turn. Calls behind the reference's end earn nothing and cost nothing; neither do
          turns that cannot be read. Where a response is wanted, the last turn has a format reward for it. Each part is
          divided by how many turns have it, so that an episode's sum has the range of one turn. One value a turn.

    **What was said** is read by `form`:
        - `dialect`: as the environment read it. Calls are those it recorded, whatever became of them. A turn is
          well-formed if the environment did not find it malformed (`info["malformed"]`; where it does not say, if it
          has calls). Calls of the tools in `speech` are no calls but the response; so is a well-formed turn without
          calls. Calls are wanted where the reference has some and not otherwise; a response is wanted where there is
          an answer to give (`privileged["answers"]`), and welcome elsewhere.
        - `toolrl`: from the text, in ToolRL's own tags `think`, `tool_call`, `response`; see `fields_of` and
          `parse_calls`. The text must have exactly the fields of the reference.

    A reference without calls is one with a response: correctness is 0, whatever is called, and only the form counts.
    Such tasks reach their highest reward at once; look at the terms apart.

    Edge cases:
        - A failed episode: None. So is one without `gold_calls`, counted as `without_reference`.
        - No turn at all: the lowest values, at level `episode`; None under `turn`, where there is nothing to credit.
        - What cannot be read has the lowest correctness. Where other turns can be read, their calls count.

    The parts in `terms` add up to the value: `toolrl.format`, `toolrl.correctness`, and `toolrl.length` where it is
    asked for. In the metrics, `exact` is the share of episodes with exactly the reference's calls.

    Args:
        match: `episode` or `turn`.
        form: `dialect` or `toolrl`.
        granularity: `fine`, `refined`, `intermediate`, `coarse`.
        schedule: `constant`, `equal-max`, `two-stage`, `smooth`, or a function from the training step to a `Scale`. The
            step counts calls of `update`, hence updates of the policy.
        schedule_steps: Over how many steps the schedule goes; by default the paper's, 30 or 150.
        length: `none`; `constant`: up to 1 for a thought of 512 words; `dynamic`: of 384 to 640. Found not to help.
        length_steps: Over how many steps the dynamic length goes.
        speech: Names of tools that say something and do nothing. A name that a reference calls is a call in its task.
        name: Its name in terms and reports.

    Raises:
        PalaestraError: A value that cannot work.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"gold_calls", "calls"})

    def __init__(
        self,
        match: Match = "episode",
        form: Form = "dialect",
        granularity: Granularity = "fine",
        schedule: str | Schedule = "constant",
        schedule_steps: int | None = None,
        length: Length = "none",
        length_steps: int = 105,
        speech: Sequence[str] = ("answer", "ask_user", "decline"),
        name: str = "toolrl",
    ) -> None:
        for key, value, choices in (
            ("match", match, get_args(Match)),
            ("form", form, get_args(Form)),
            ("granularity", granularity, get_args(Granularity)),
            ("length", length, get_args(Length)),
        ):
            if value not in choices:
                raise ConfigError(f"{key} is {value!r}; choose one of {', '.join(choices)}.")
        for key, steps in (("schedule_steps", schedule_steps), ("length_steps", length_steps)):
            if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
                raise ConfigError(f"{key} is {steps!r}; it must be a number of updates, 1 or more.")
        if isinstance(speech, str) or not all(isinstance(tool, str) for tool in speech):
            raise ConfigError(f"speech is {speech!r}; it must be a list of names of tools.")
        self.match: Match = match
        self.form: Form = form
        self.granularity: Granularity = granularity
        self.schedule: Schedule = schedule if callable(schedule) else make_schedule(schedule, schedule_steps)
        self.length: Length = length
        self.length_steps, self.speech, self.name = length_steps, frozenset(speech), name
        self.step = 0

    def __call__(self, episodes: Sequence[Episode], models: Models | None = None) -> CreditResult:
        """One value an episode, or one a turn.

        Raises:
            ConfigError: A reference is of another form, or `form="toolrl"` and an action is no text.
        """
        scale = self._scale()
        rows: list[NDArray[np.float64] | None] = []
        exact: list[bool] = []
        without = 0
        for episode in episodes:
            gold = gold_calls(episode) if episode.valid else None
            without += episode.valid and gold is None
            if gold is None or (self.match == "turn" and not len(episode.turns)):
                rows.append(None)
                continue
            said = [self._read(turn, gold) for turn in episode.turns]
            wanted = [call for turn in gold for call in turn]
            exact.append(same_calls(wanted, [call for one in said for call in one.calls or ()]))
            if self.match == "episode":
                rows.append(np.array([self._of_episode(said, wanted, bool(_answers(episode)), scale)]))
            else:
                rows.append(self._by_turn(said, gold, bool(_answers(episode)), scale))
        names = ("format", "correctness", *(("length",) if self.length != "none" else ()))
        terms = {
            f"{self.name}.{part}": self._result([None if row is None else row[:, i] for row in rows])
            for i, part in enumerate(names)
        }
        metrics = {f"{self.name}/without_reference": float(without), f"{self.name}/step": float(self.step)}
        metrics |= {f"{self.name}/highest_{part}": getattr(scale, part)[1] for part in ("format", "correctness")}
        if exact:
            metrics[f"{self.name}/exact"] = float(np.mean(exact))
        return self._result([None if row is None else row.sum(axis=1) for row in rows], terms, metrics)

    def update(self, episodes: Sequence[Episode], models: Models) -> Mapping[str, float]:
        """Counts a step of training; see `LearnedCredit.update`."""
        self.step += 1
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The step."""
        return {"step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.step = int(state["step"])

    def _scale(self) -> Scale:
        scale = self.schedule(self.step)
        numbers = (*scale.format, *scale.correctness)
        if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers):
            raise ConfigError(f"The schedule gave {scale} at step {self.step}; it must give pairs of finite numbers.")
        return scale

    def _result(
        self,
        values: Sequence[NDArray[np.float64] | None],
        terms: Mapping[str, CreditResult] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> CreditResult:
        return CreditResult(values, "episode" if self.match == "episode" else "turn", terms or {}, metrics or {})

    def _of_episode(self, said: Sequence[_Said], gold: Sequence[Call], answers: bool, scale: Scale) -> _Parts:
        made = frozenset[Field]().union(*(one.fields for one in said))
        formed = float(np.mean([one.well_formed for one in said])) if said else 0.0
        wanted = _fields(bool(gold), answers)
        fits = made == wanted if self.form == "toolrl" else _fits(made, wanted)
        read = [one.calls for one in said if one.calls is not None]
        predicted = [call for calls in read for call in calls] if read else None
        words = float(np.mean([self._length(one) for one in said])) if said else 0.0
        return _within(scale.format, formed * fits), self._correctness(gold, predicted, scale), words

    def _by_turn(
        self, said: Sequence[_Said], gold: Sequence[Sequence[Call]], answers: bool, scale: Scale
    ) -> NDArray[np.float64]:
        parts = np.zeros((len(said), 3))
        expected = [calls for calls in gold if calls]
        calling = [t for t, one in enumerate(said) if one.calls]
        for calls, t in zip_longest(expected, calling[: len(expected)]):
            if t is None:
                parts[-1] += scale.format[0], self._correctness(calls, None, scale), 0.0
            else:
                formed = _within(scale.format, float(said[t].well_formed and "tool_call" in said[t].fields))
                parts[t] += formed, self._correctness(calls, said[t].calls, scale), self._length(said[t])
        reply = answers or not expected
        if reply:
            spoken = said[-1].well_formed and "response" in said[-1].fields and bool(expected or not calling)
            parts[-1] += _within(scale.format, float(spoken)), 0.0, self._length(said[-1])
        items = len(expected) + reply
        return parts / (items, max(1, len(expected)), items)

    def _correctness(self, gold: Sequence[Call], predicted: Sequence[Call] | None, scale: Scale) -> float:
        return correctness_reward(gold, predicted, self.granularity, scale.correctness)

    def _length(self, said: _Said) -> float:
        if self.length == "none":
            return 0.0
        return length_reward(said.words, length_target(self.step, self.length == "dynamic", self.length_steps))

    def _read(self, turn: Turn, gold: Sequence[Sequence[Call]]) -> _Said:
        words = thought_words(turn.action) if self.length != "none" and isinstance(turn.action, str) else 0
        if self.form == "toolrl":
            if not isinstance(turn.action, str):
                raise ConfigError(
                    f"The reward '{self.name}' with form='toolrl' reads texts; an action was a "
                    f"{type(turn.action).__name__}. Use form='dialect'."
                )
            fields = fields_of(turn.action)
            return _Said(fields is not None, fields or frozenset(), parse_calls(turn.action), words)
        speech = self.speech - {call.name for calls in gold for call in calls}
        calls = tuple(Call(call.name, call.arguments) for call in turn.calls if call.name not in speech)
        if turn.info.get("malformed", not turn.calls):
            return _Said(False, frozenset(), calls or None, words)
        return _Said(True, _fields(bool(calls), len(calls) < len(turn.calls) or not calls), calls, words)


@dataclass(frozen=True, slots=True)
class _Said:
    """A turn, read: the calls are None where there are none to be read."""

    well_formed: bool
    fields: frozenset[Field]
    calls: tuple[Call, ...] | None
    words: int


def _fields(calls: bool, response: bool) -> frozenset[Field]:
    """What a reference has: without calls, a response."""
    made: list[Field] = ["tool_call"] if calls else []
    return frozenset([*made, "response"] if response or not calls else made)


def _fits(made: frozenset[Field], wanted: frozenset[Field]) -> bool:
    """Calls where they are wanted and nowhere else; a response at least where it is."""
    return wanted <= made and ("tool_call" in made) == ("tool_call" in wanted)


def _within(scale: tuple[float, float], share: float) -> float:
    return scale[0] + (scale[1] - scale[0]) * share


def _answers(episode: Episode) -> Any:
    return episode.privileged.get("answers")
