"""Information gain: how much each turn adds to the policy's belief in the right answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from palaestra.episodes import Episode
from palaestra.errors import ConfigError
from palaestra.models import Branch, Scorer, ScoreRequest
from palaestra.rewards.base import CreditResult, Models
from palaestra.rewards.toolrl import gold_calls
from palaestra.rewards.toolrl_calls import Call, same_call
from palaestra.tokens import token_sequences

__all__ = [
    "Belief",
    "Difference",
    "InformationGain",
    "SpokenAnswer",
    "answer_logprobs",
    "information_gain",
    "spoken_answer",
    "spoken_calls",
]

Belief = Literal["answer", "calls"]
Difference = Literal["prob", "logprob"]
_Weight = float | Sequence[float]


@dataclass(frozen=True, slots=True, eq=False)
class SpokenAnswer:
    """An answer, or calls, as the policy would say them.

    Attributes:
        ids: int32 (n,), tokens of the utterance up to the last one of the answer.
        counts: bool (n,), which of them are the answer's.
    """

    ids: NDArray[np.int32]
    counts: NDArray[np.bool_]


def spoken_answer(answer: str, models: Models) -> SpokenAnswer | None:
    """An answer in the environment's dialect and the scorer's tokens.

    Args:
        answer: The answer.
        models: With `scorer` and `render_answer`.

    Returns:
        The tokens; a token counts where it has at least one character of the answer, so tokens that reach over its
        border count. None where the dialect has no words for the answer, or where it has no token.

    Raises:
        ConfigError: One of the two is missing.
    """
    if models.scorer is None or models.render_answer is None:
        raise _lacking(models, "an answer (Models.render_answer)")
    return _spoken(models.scorer, models.render_answer, answer)


def spoken_calls(calls: Sequence[Call], models: Models) -> SpokenAnswer | None:
    """Calls in the environment's dialect and the scorer's tokens; else as `spoken_answer`.

    Args:
        calls: At least one.
        models: With `scorer` and `render_calls`.

    Raises:
        ConfigError: One of the two is missing.
    """
    if models.scorer is None or models.render_calls is None:
        raise _lacking(models, "calls (Models.render_calls)")
    return _spoken(models.scorer, models.render_calls, [call._asdict() for call in calls])


def _spoken(scorer: Scorer, render: Callable[[Any], tuple[str, tuple[int, int]]], what: Any) -> SpokenAnswer | None:
    try:
        text, (start, end) = render(what)
    except ValueError:
        return None
    encoding = scorer.encode(text)
    begins, ends = encoding.offsets[:, 0], encoding.offsets[:, 1]
    counts = (begins < end) & (ends > start) & (begins < ends)
    if not counts.any():
        return None
    size = int(np.flatnonzero(counts)[-1]) + 1
    return SpokenAnswer(encoding.ids[:size], counts[:size])


def answer_logprobs(
    episodes: Sequence[Episode], answers: Sequence[SpokenAnswer | None], scorer: Scorer
) -> list[NDArray[np.float64]]:
    """The mean log-probability of an answer's tokens, were it said in place of each turn's sample.

    The context is all that the turn was sampled after, in the token sequence in which it was sampled. One request a
    token sequence, with a branch a turn, so that a scorer can answer it in one packed pass.

    Args:
        episodes: Any.
        answers: For each episode; None gives NaN.
        scorer: Whose belief it is.

    Returns:
        For each episode float64 (T,), at most 0; NaN for turns without tokens, and where the scorer gave a number that
        is not finite.
    """
    beliefs = [np.full(len(episode.turns), np.nan) for episode in episodes]
    requests: list[ScoreRequest] = []
    places: list[tuple[int, NDArray[np.int64]]] = []
    for row, (episode, answer) in enumerate(zip(episodes, answers, strict=True)):
        if answer is None:
            continue
        for sequence in token_sequences(episode):
            sampled = np.flatnonzero(sequence.loss_mask)
            found, first = np.unique(sequence.turn_of_token[sampled], return_index=True)
            there = sampled[first] > 0  # without any context there is no belief
            turns, starts = found[there].astype(np.int64), sampled[first][there]
            if len(turns):
                branches = tuple(Branch(int(at), answer.ids) for at in starts)
                requests.append(ScoreRequest(sequence.ids[: starts.max()], branches))
                places.append((row, turns))
    for (row, turns), scores in zip(places, scorer.logprobs(requests) if requests else [], strict=True):
        answer = answers[row]
        if answer is not None:
            means = np.array([float(np.mean(score[answer.counts], dtype=np.float64)) for score in scores])
            beliefs[row][turns] = np.where(np.isfinite(means), means, np.nan)
    return beliefs


def information_gain(logprobs: NDArray[np.float64], difference: Difference = "prob") -> NDArray[np.float64]:
    """What each turn but the last adds to the belief: r_t = p_{t+1} - p_t.

    Args:
        logprobs: float64 (T,), log-belief right before each turn; NaN where it is not known.
        difference: Of p, or of log p.

    Returns:
        float64 (T,); 0 at the last turn, NaN where one of the two beliefs is not known.
    """
    belief = np.exp(logprobs) if difference == "prob" else logprobs
    gain = np.zeros(len(belief))
    gain[:-1] = np.diff(belief)
    return gain


class InformationGain:
    """Credit for what each turn adds to the policy's own belief in the right answer, and for the outcome.

        p_t = exp( (1/L) sum_j log pi(a_j | o_{<t}, a_{<j}) )
        r_t = p_{t+1} - p_t         for t < T - 1          (difference "logprob": log p_{t+1} - log p_t)
        r_t = outcome               for the last turn

    Symbols: a_1..a_L are the tokens of the accepted answer; o_{<t} is all that turn t was sampled after (p_0 is the
    belief on the bare question); pi is the rollout policy before the update (`models.scorer`), without gradient. T
    turns have T beliefs and T - 1 gains. Advantages come from `turn-level`, which normalises before it sums.

    Source: "Information Gain-based Policy Optimization" (IGPO, 2025), and the authors' code.

    Departures:
        - The answer stands in the utterance that the environment's dialect has for a final answer, right after the
          generation prompt. The authors close an opened thought with a sentence before it.
        - Which tokens are the answer's is read from the offsets of one tokenisation of the whole utterance; theirs
          counts tokens of parts tokenised apart, which can be off by one where tokens reach over the border.
        - The outcome is the environment's, in [0, 1]. Theirs is the word F1, or -2 where tags are not balanced.
        - No curriculum unless asked for; theirs moves the weights of outcome (0.5 to 1) and gain (1 to 0.5).
        - Turns and beliefs are aligned by the tokens themselves, so numbers of turns cannot fail to match.

    **Calls in place of an answer** (`belief="calls"`, an extension). Where tasks are solved by calls and nothing need
    be said, the belief is that in the calls of the last turn of the reference that makes any (`gold_calls`), all in one
    utterance: earlier ones are on the way there, and their results are the information. The turn that makes one of
    these calls is what the final answer is elsewhere: to make it again later is no belief in anything, and from that
    turn on gains are not known. So where the first turn already makes it, the outcome is all there is.

    Edge cases:
        - Of several accepted answers the first one is believed in; the outcome takes any.
        - No accepted answer (or no calls), one that the dialect cannot say, or no turn but the last with tokens: the
          outcome alone;
          the gains are NaN (not known, which is not 0), and the episode is counted as `outcome_only`.
        - A single turn without tokens, or a belief that is not finite: the gains on both sides of it are NaN, counted
          as `skipped_turns`.
        - A failed episode, one without an outcome or without turns: None.
        - A policy can raise its belief by writing the answer early, as a guess; gains of later turns then pay back.

    The parts in `terms` are unweighted: `information_gain`, by turn, and `outcome`.

    Args:
        difference: `prob` or `logprob`.
        gain_weight: Factor on the gains; a pair (first, last) moves linearly over `curriculum_steps`.
        outcome_weight: Factor on the outcome, likewise. Under `turn-level` with mode `separate`, factors cancel out.
        curriculum_steps: Updates of the scored policy (its `version`) until the last weights are reached.
        belief: In what: `answer` (the first accepted one) or `calls`.
        name: Its name in reports.

    Raises:
        ConfigError: A value that cannot work.
    """

    def __init__(
        self,
        difference: Difference = "prob",
        gain_weight: _Weight = 1.0,
        outcome_weight: _Weight = 1.0,
        curriculum_steps: int = 0,
        belief: Belief = "answer",
        name: str = "igpo",
    ) -> None:
        if belief not in get_args(Belief):
            raise ConfigError(f"belief is {belief!r}; choose 'answer' or 'calls'.")
        if difference not in get_args(Difference):
            raise ConfigError(f"difference is {difference!r}; choose 'prob' or 'logprob'.")
        if isinstance(curriculum_steps, bool) or not isinstance(curriculum_steps, int) or curriculum_steps < 0:
            raise ConfigError(f"curriculum_steps is {curriculum_steps!r}; it must be a number of updates, 0 or more.")
        self.difference: Difference = difference
        self.gain_weight = _weights("gain_weight", gain_weight, curriculum_steps)
        self.outcome_weight = _weights("outcome_weight", outcome_weight, curriculum_steps)
        self.curriculum_steps, self.name = curriculum_steps, name
        self.belief: Belief = belief
        truth = {"answers", "dialect"} if belief == "answer" else {"gold_calls", "call-dialect"}
        self.requires: frozenset[str] = frozenset({"scorer", "outcome", *truth})

    def __call__(self, episodes: Sequence[Episode], models: Models) -> CreditResult:
        """One value a turn.

        Raises:
            ConfigError: `models` has no scorer or no way to say an answer.
        """
        scorer, beliefs = self._beliefs(episodes, models)

        done = min(1.0, scorer.version / self.curriculum_steps) if self.curriculum_steps else 0.0
        gain_weight, outcome_weight = (
            first + done * (last - first) for first, last in (self.gain_weight, self.outcome_weight)
        )
        gains = [
            information_gain(logprobs, self.difference) if _counts(episode) else None
            for episode, logprobs in zip(episodes, beliefs, strict=True)
        ]
        outcomes = [np.array([episode.outcome], np.float64) if _counts(episode) else None for episode in episodes]
        values: list[NDArray[np.float64] | None] = []
        for gain, outcome in zip(gains, outcomes, strict=True):
            if gain is None or outcome is None:
                values.append(None)
            else:
                values.append(np.append(gain_weight * gain[:-1], outcome_weight * outcome))
        terms = {"information_gain": CreditResult(gains, "turn"), "outcome": CreditResult(outcomes, "episode")}
        metrics = self._metrics(gains, beliefs)
        if self.curriculum_steps:
            metrics |= {f"{self.name}/gain_weight": gain_weight, f"{self.name}/outcome_weight": outcome_weight}
        return CreditResult(values, "turn", terms, metrics)

    def _beliefs(self, episodes: Sequence[Episode], models: Models) -> tuple[Scorer, list[NDArray[np.float64]]]:
        calls = self.belief == "calls"
        render = models.render_calls if calls else models.render_answer
        if models.scorer is None or render is None:
            raise _lacking(models, "calls (Models.render_calls)" if calls else "an answer (Models.render_answer)")
        known: dict[str, SpokenAnswer | None] = {}
        answers: list[SpokenAnswer | None] = []
        for episode in episodes:
            gold: Any = None
            if _counts(episode):
                gold = _last_calls(episode) if calls else _first_answer(episode)
            if gold is not None and repr(gold) not in known:
                known[repr(gold)] = spoken_calls(gold, models) if calls else spoken_answer(gold, models)
            answers.append(None if gold is None else known[repr(gold)])
        beliefs = answer_logprobs(episodes, answers, models.scorer)
        if calls:
            for episode, belief in zip(episodes, beliefs, strict=True):
                belief[_made_at(episode) + 1 :] = np.nan
        return models.scorer, beliefs

    def _metrics(
        self, gains: Sequence[NDArray[np.float64] | None], beliefs: Sequence[NDArray[np.float64]]
    ) -> dict[str, float]:
        several = [gain[:-1] for gain in gains if gain is not None and len(gain) > 1]
        alone = [bool(np.isnan(gain).all()) for gain in several]
        skipped = sum(int(np.isnan(gain).sum()) for gain, only in zip(several, alone, strict=True) if not only)
        found = np.concatenate([np.zeros(0), *several])
        ends = [np.exp(belief[[0, -1]]) for belief, gain in zip(beliefs, gains, strict=True) if gain is not None]
        first, last = (_mean(np.array([pair[end] for pair in ends])) for end in (0, 1))
        return {
            f"{self.name}/information_gain": _mean(found),
            f"{self.name}/belief_first": first,
            f"{self.name}/belief_last": last,
            f"{self.name}/outcome_only": float(sum(alone)),
            f"{self.name}/skipped_turns": float(skipped),
        }


def _lacking(models: Models, what: str) -> ConfigError:
    missing = "a scorer" if models.scorer is None else f"a way to say {what}"
    return ConfigError(f"Information gain needs {missing}; it measures how likely the right answer is to be said.")


def _counts(episode: Episode) -> bool:
    return episode.valid and episode.outcome is not None and len(episode.turns) > 0


def _first_answer(episode: Episode) -> str | None:
    golds = episode.privileged.get("answers", ())
    golds = (golds,) if isinstance(golds, str) else tuple(golds)
    return str(golds[0]) if golds else None


def _last_calls(episode: Episode) -> tuple[Call, ...] | None:
    """The calls of the last turn of the reference that makes any."""
    turns = [calls for calls in gold_calls(episode) or () if calls]
    return turns[-1] if turns else None


def _made_at(episode: Episode) -> int:
    """The first turn that makes one of these calls; the number of turns where none does."""
    wanted = _last_calls(episode) or ()
    for turn in episode.turns:
        if any(same_call(gold, Call(call.name, call.arguments)) for call in turn.calls for gold in wanted):
            return turn.t
    return len(episode.turns)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def _weights(key: str, given: _Weight, steps: int) -> tuple[float, float]:
    """First and last weight."""
    pair = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given, given)
    numbers = all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in pair)
    if len(pair) != 2 or not numbers:
        raise ConfigError(f"{key} is {given!r}; give a finite number, or a pair of them (first, last).")
    if pair[0] != pair[1] and not steps:
        raise ConfigError(f"{key} moves from {pair[0]} to {pair[1]}; say over how many updates: curriculum_steps=.")
    return float(pair[0]), float(pair[1])
