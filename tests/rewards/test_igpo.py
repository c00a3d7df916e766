"""Beliefs against a belief computed turn by turn, with a scorer that hashes its whole context."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from palaestra.episodes import Completion, ToolCall, Turn
from palaestra.errors import ConfigError
from palaestra.harness.scoring import Rewards, apply_credit
from palaestra.models import Encoding, FakeScorer
from palaestra.rewards.base import Models, check_requires
from palaestra.rewards.credit_batch import credit_batch
from palaestra.rewards.igpo import InformationGain, information_gain, spoken_answer, spoken_calls
from palaestra.rewards.toolrl_calls import Call
from palaestra.rewards.turn_level import TurnLevel


def say(answer):
    """As the dialect `tags` does."""
    if "<" in answer:
        raise ValueError("no words for it")
    return f"<answer>{answer}</answer>", (8, 8 + len(answer))


MODELS = Models(FakeScorer(), render_answer=say)


def codes(text):
    return np.array([ord(letter) for letter in text], np.int32)


def turn(t, context, sample, kept=None):
    """A turn of a model whose tokens are characters; `kept` tokens of what came before stay."""
    ids = codes(sample)
    return Turn(t, sample, completion=Completion(ids, np.zeros(len(ids), np.float32), codes(context), kept or 0))


@pytest.fixture
def make_dialogue(make_episode):
    """An episode from pairs of context and sample in which every prefix is kept."""

    def make(*pairs, answers=("Lima", "Lima City"), outcome=1.0, **fields):
        turns, length = [], 0
        for t, (context, sample) in enumerate(pairs):
            turns.append(turn(t, context, sample, length))
            length += len(context) + len(sample)
        if fields.get("failed"):
            outcome = None
        return make_episode(turns, outcome=outcome, privileged={"answers": answers}, **fields)

    return make


def belief(context, answer):
    """Mean log-probability of the answer's characters, one at a time, each after the whole text before it."""
    scores = []
    for j, letter in enumerate(answer):
        before = codes(context + "<answer>" + answer[:j])
        draw = FakeScorer()._draw(np.append(before, ord(letter)).astype(np.int32), 1)[0]
        scores.append(-5 * float(draw))
    return math.fsum(scores) / len(scores)


DIALOGUE = (
    ("Capital of Peru?\nA:", "<search>Peru</search>"),
    ("\nLima is\nA:", "<search>x</search>"),
    ("\nA:", "Lima"),
)


def beliefs_of(dialogue, answer="Lima"):
    context, found = "", []
    for said_to, sample in dialogue:
        context += said_to
        found.append(belief(context, answer))
        context += sample
    return found


@pytest.mark.parametrize("difference", ["prob", "logprob"])
def test_gains_are_differences_of_beliefs_before_each_sample(make_dialogue, difference):
    result = InformationGain(difference)([make_dialogue(*DIALOGUE, outcome=0.25)], MODELS)
    squash = math.exp if difference == "prob" else float
    p = [squash(value) for value in beliefs_of(DIALOGUE)]
    assert result.level == "turn"
    np.testing.assert_allclose(result.values[0], [p[1] - p[0], p[2] - p[1], 0.25], rtol=1e-6)
    np.testing.assert_allclose(result.terms["information_gain"].values[0], [p[1] - p[0], p[2] - p[1], 0], rtol=1e-6)
    assert result.terms["outcome"].values[0].tolist() == [0.25] and result.terms["outcome"].level == "episode"
    assert result.metrics["igpo/belief_first"] == pytest.approx(math.exp(beliefs_of(DIALOGUE)[0]), rel=1e-6)
    assert result.metrics["igpo/belief_last"] == pytest.approx(math.exp(beliefs_of(DIALOGUE)[2]), rel=1e-6)
    assert result.metrics["igpo/outcome_only"] == result.metrics["igpo/skipped_turns"] == 0


def test_the_belief_is_that_of_the_sequence_in_which_the_turn_was_sampled(make_episode):
    """Turn 1 keeps only 5 tokens of what came before, as where a template strips thoughts."""
    turns = [turn(0, "Peru?", "think think"), turn(1, "found", "so", kept=5), turn(2, "more", "Lima", kept=12)]
    episode = make_episode(turns, outcome=1.0, privileged={"answers": "Lima"})
    p = [math.exp(belief(context, "Lima")) for context in ("Peru?", "Peru?found", "Peru?foundsomore")]
    (values,) = InformationGain()([episode], MODELS).values
    np.testing.assert_allclose(values, [p[1] - p[0], p[2] - p[1], 1.0], rtol=1e-6)


def test_one_request_a_sequence_and_nothing_behind_its_last_branch(make_dialogue, make_episode):
    asked = []

    class Seen(FakeScorer):
        def logprobs(self, requests):
            asked.extend(requests)
            return super().logprobs(requests)

    cut = make_episode([turn(0, "a", "b"), turn(1, "c", "d", kept=1)], outcome=0.0, privileged={"answers": ["Lima"]})
    InformationGain()([make_dialogue(*DIALOGUE), cut], Models(Seen(), render_answer=say))
    assert [len(request.branches) for request in asked] == [3, 1, 1]
    assert all(len(request.ids) == max(branch.at for branch in request.branches) for request in asked)
    assert all("".join(map(chr, branch.ids)) == "<answer>Lima" for request in asked for branch in request.branches)


def test_only_the_answers_tokens_count_and_those_over_its_border_do():
    class Pieces(FakeScorer):
        """Tokens of three characters: `>Li` reaches over the border, and an empty token stands within."""

        def encode(self, text):
            spans = [(i, min(i + 3, len(text))) for i in range(0, len(text), 3)]
            spans.insert(3, (9, 9))
            return Encoding(np.arange(len(spans), dtype=np.int32), np.array(spans))

    spoken = spoken_answer("Lima", Models(Pieces(), render_answer=lambda a: (f"answer>{a}</a>", (7, 7 + len(a)))))
    assert spoken.ids.tolist() == [0, 1, 2, 3, 4] and spoken.counts.tolist() == [False, False, True, False, True]


@pytest.mark.parametrize("answers", [(), "", ("a<b",), ("", "Lima")])
def test_without_an_answer_that_can_be_said_there_is_the_outcome_alone(make_dialogue, answers):
    result = InformationGain()([make_dialogue(*DIALOGUE, answers=answers)], MODELS)
    np.testing.assert_array_equal(result.values[0], [np.nan, np.nan, 1.0])
    assert result.metrics["igpo/outcome_only"] == 1 and result.metrics["igpo/skipped_turns"] == 0


def test_turns_without_tokens_are_skipped(make_episode):
    silent = Turn(1, "scripted")
    turns = [turn(0, "a", "b"), silent, turn(2, "abc", "d"), turn(3, "e", "f", kept=4)]
    episode = make_episode(turns, outcome=0.0, privileged={"answers": ["Lima"]})
    result = InformationGain()([episode], MODELS)
    np.testing.assert_array_equal(np.isnan(result.values[0]), [True, True, False, False])
    assert result.metrics["igpo/skipped_turns"] == 2 and result.metrics["igpo/outcome_only"] == 0
    assert math.exp(belief("abcde", "Lima")) - math.exp(belief("abc", "Lima")) == pytest.approx(result.values[0][2])


def test_a_belief_that_is_not_finite_is_not_known(make_dialogue):
    class Broken(FakeScorer):
        def logprobs(self, requests):
            (scores,) = super().logprobs(requests)
            scores[1] = scores[1] * np.float32(np.nan)
            scores[2] = np.full_like(scores[2], -np.inf)
            return [scores]

    result = InformationGain()([make_dialogue(*DIALOGUE)], Models(Broken(), render_answer=say))
    np.testing.assert_array_equal(result.values[0], [np.nan, np.nan, 1.0])


def test_failed_unjudged_and_empty_episodes(make_dialogue, make_episode):
    episodes = [
        make_dialogue(*DIALOGUE, failed=True),
        make_dialogue(*DIALOGUE, outcome=None),
        make_episode([], outcome=1.0, privileged={"answers": ["Lima"]}),
        make_dialogue(DIALOGUE[0], outcome=0.5),
    ]
    result = InformationGain()(episodes, MODELS)
    assert result.values[:3] == [None, None, None] and result.values[3].tolist() == [0.5]
    alone = InformationGain()(episodes[3:], MODELS)
    assert alone.metrics == result.metrics


def test_through_batch_and_advantage_an_unknown_gain_is_no_zero(make_dialogue):
    episodes = [
        make_dialogue(*DIALOGUE, outcome=1.0),
        make_dialogue(*DIALOGUE, outcome=0.0, answers=()),
        make_dialogue(("other", "said"), *DIALOGUE[1:], outcome=0.0),
        make_dialogue(*DIALOGUE, failed=True),
    ]
    batch = credit_batch(episodes, InformationGain()(episodes, MODELS))
    assert batch.rewards[1] == 0 and TurnLevel().metrics(batch)["unknown_turns"] == 2
    advantages = TurnLevel("separate")(batch)
    known = batch.values[[0, 2], :2]
    normalised = (known - known.mean()) / known.std()
    outcome = np.array([1.0, 0.0, 0.0])
    outcome = (outcome - outcome.mean()) / outcome.std()
    np.testing.assert_allclose(advantages[[0, 2], 0], normalised.sum(1) + outcome[[0, 2]], atol=1e-3)
    np.testing.assert_allclose(advantages[1], outcome[1], atol=1e-3)
    assert not advantages[3].any()


def test_a_record_has_no_term_where_nothing_is_known(make_dialogue):
    episode = make_dialogue(*DIALOGUE, answers=())
    scored = apply_credit(episode, InformationGain()([episode], MODELS), 0)
    assert [sorted(t.terms) for t in scored.turns] == [["outcome"], ["outcome"], ["information_gain", "outcome"]]
    assert math.isnan(scored.turns[0].reward) and scored.turns[2].reward == 1.0


def test_the_curriculum_follows_the_scored_policys_version(make_dialogue):
    credit = InformationGain(gain_weight=[1.0, 0.5], outcome_weight=(0.5, 1.0), curriculum_steps=4)
    plain = InformationGain()([make_dialogue(*DIALOGUE)], MODELS).values[0]
    for version, gain, outcome in ((0, 1.0, 0.5), (1, 0.875, 0.625), (4, 0.5, 1.0), (9, 0.5, 1.0)):
        result = credit([make_dialogue(*DIALOGUE)], Models(FakeScorer(version=version), render_answer=say))
        np.testing.assert_allclose(result.values[0], plain * [gain, gain, outcome])
        assert result.metrics["igpo/gain_weight"] == gain and result.metrics["igpo/outcome_weight"] == outcome


def test_in_a_weighted_sum(make_dialogue):
    rewards = Rewards.of([("igpo", 0.5)], MODELS)
    (single,) = InformationGain()([make_dialogue(*DIALOGUE)], MODELS).values
    (summed,) = rewards.credit([make_dialogue(*DIALOGUE)], MODELS).values
    np.testing.assert_allclose(summed, single / 2)


def test_information_gain_of_few_turns():
    assert information_gain(np.zeros(0)).shape == (0,)
    assert information_gain(np.array([-1.0])).tolist() == [0.0]


def test_what_it_needs_is_asked_for_before_the_first_rollout():
    with pytest.raises(ConfigError, match="'answers': choose an environment whose tasks have accepted answers"):
        check_requires(InformationGain(), {"outcome", "calls", *MODELS.gives})
    check_requires(InformationGain(), {"outcome", "answers", *MODELS.gives})


@pytest.mark.parametrize("models", [Models(), Models(FakeScorer()), Models(render_answer=say)])
def test_models_that_lack_something(make_dialogue, models):
    with pytest.raises(ConfigError, match="Information gain needs a "):
        InformationGain()([make_dialogue(*DIALOGUE)], models)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"difference": "log"}, "difference is 'log'; choose 'prob' or 'logprob'"),
        ({"gain_weight": (1.0, 0.5)}, "say over how many updates: curriculum_steps="),
        ({"gain_weight": math.inf}, "give a finite number, or a pair"),
        ({"outcome_weight": (1.0, 2.0, 3.0)}, "give a finite number, or a pair"),
        ({"outcome_weight": "heavy"}, "give a finite number, or a pair"),
        ({"curriculum_steps": -1}, "curriculum_steps is -1"),
    ],
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(ConfigError, match=message):
        InformationGain(**options)


# Calls in place of an answer ----------------------------------------------------------------------------------------

FIND, SEND = {"name": "find", "arguments": {"who": "ann"}}, {"name": "send", "arguments": {"to": ("ann", 1)}}


def say_calls(calls):
    """As a dialect that makes one call a turn."""
    if len(calls) != 1:
        raise ValueError("one call a turn")
    said = f"{calls[0]['name']}{list(calls[0]['arguments'].values())}"
    return f"({said})", (1, 1 + len(said))


CALLING = Models(FakeScorer(), render_calls=say_calls)


@pytest.fixture
def make_errand(make_dialogue):
    """Turns that look up, look up, send, and end; `made` says which turns make the call that is believed in."""

    def make(*, made=(2,), gold=((FIND,), (SEND,)), **fields):
        pairs = (("Mail ann\nA:", "find"), ("\nann@x\nA:", "look"), ("\nfound\nA:", "send"), ("\nsent\nA:", "bye"))
        episode = make_dialogue(*pairs, **fields)
        call = ToolCall("send", {"to": ["ann", 1.0]}, None, "ok")
        turns = [replace(turn, calls=(call,) if turn.t in made else ()) for turn in episode.turns]
        return replace(episode, turns=turns, privileged={"gold_calls": gold})

    return make


def errand_beliefs():
    """By hand: the mean over the characters of the call, after the whole dialogue and the opening bracket."""
    said, found, context = say_calls([SEND])[0][1:-1], [], ""
    for said_to, sample in (("Mail ann\nA:", "find"), ("\nann@x\nA:", "look"), ("\nfound\nA:", "send")):
        context += said_to
        scores = []
        for j, letter in enumerate(said):
            before = np.append(codes(context + "(" + said[:j]), ord(letter)).astype(np.int32)
            scores.append(-5 * float(FakeScorer()._draw(before, 1)[0]))
        found.append(math.exp(math.fsum(scores) / len(scores)))
        context += sample
    return found


def test_gains_are_of_the_belief_in_the_last_calls_until_they_are_made(make_errand):
    p = errand_beliefs()
    result = InformationGain(belief="calls")([make_errand(outcome=0.5)], CALLING)
    np.testing.assert_allclose(result.values[0], [p[1] - p[0], p[2] - p[1], np.nan, 0.5], rtol=1e-6)
    assert result.metrics["igpo/outcome_only"] == 0 and result.metrics["igpo/skipped_turns"] == 1
    # made twice: the first time counts; made at once: nothing but the outcome is known
    early = InformationGain(belief="calls")([make_errand(made=(1, 2))], CALLING).values[0]
    np.testing.assert_allclose(early, [p[1] - p[0], np.nan, np.nan, 1.0], rtol=1e-6)
    at_once = InformationGain(belief="calls")([make_errand(made=(0,))], CALLING)
    np.testing.assert_allclose(at_once.values[0], [np.nan, np.nan, np.nan, 1.0])
    assert at_once.metrics["igpo/outcome_only"] == 1
    never = InformationGain(belief="calls")([make_errand(made=())], CALLING).values[0]
    assert np.isfinite(never).all()


@pytest.mark.parametrize("gold", [(), ((),), ((FIND, SEND),), ((SEND,), (FIND, SEND))])
def test_calls_that_are_none_or_cannot_be_said_leave_the_outcome(make_errand, gold):
    result = InformationGain(belief="calls")([make_errand(gold=gold)], CALLING)
    np.testing.assert_allclose(result.values[0], [np.nan, np.nan, np.nan, 1.0])
    assert result.metrics["igpo/outcome_only"] == 1
    advantages = TurnLevel()(credit_batch([make_errand(gold=gold)] * 2, InformationGain(belief="calls")(
        [make_errand(gold=gold, outcome=0.0), make_errand(gold=gold)], CALLING)))  # fmt: skip
    assert np.isfinite(advantages).all() and (advantages[1] > 0).all()


def test_a_call_of_another_thing_is_not_the_one(make_errand):
    episode = make_errand()
    other = ToolCall("send", {"to": ["ann", True]}, None, "ok")
    turns = [replace(turn, calls=(other,)) for turn in episode.turns]
    assert np.isfinite(InformationGain(belief="calls")([replace(episode, turns=turns)], CALLING).values[0]).all()


def test_what_calls_need_is_asked_for_before_the_first_rollout(make_errand):
    credit = InformationGain(belief="calls")
    check_requires(credit, {"outcome", "gold_calls", *CALLING.gives})
    with pytest.raises(ConfigError, match=r"'gold_calls': choose an environment whose tasks say which calls are right"):
        check_requires(credit, {"outcome", "answers", *CALLING.gives})
    with pytest.raises(ConfigError, match=r"'call-dialect': choose an environment whose dialect can say calls"):
        check_requires(credit, {"outcome", "gold_calls", *MODELS.gives})
    with pytest.raises(ConfigError, match=r"where they have right calls, igpo can believe in those \(belief='calls'\)"):
        check_requires(InformationGain(), {"outcome", "gold_calls", "dialect", *CALLING.gives})
    for models in (MODELS, Models(render_calls=say_calls)):
        with pytest.raises(ConfigError, match="Information gain needs a "):
            credit([make_errand()], models)
    with pytest.raises(ConfigError, match="belief is 'call'; choose 'answer' or 'calls'"):
        InformationGain(belief="call")


@pytest.mark.parametrize("dialect", ["tags", "hermes", "json"])
def test_the_belief_in_calls_of_a_real_dialect(dialect):
    """Every character of the calls counts, and none before them."""
    from palaestra.envs.language.dialects import CallRequest, make_dialect
    from palaestra.envs.language.tools import Tool

    tool = Tool("send", "Sends.", {"type": "object"}, run=lambda: "")

    def render(calls):
        return make_dialect(dialect).calls([CallRequest(call["name"], call["arguments"]) for call in calls], [tool])

    spoken = spoken_calls([Call("send", {"to": ("ann", 1)})], Models(FakeScorer(), render_calls=render))
    said = "".join(chr(code) for code, counts in zip(spoken.ids, spoken.counts, strict=True) if counts)
    assert said.startswith({"tags": "send>", "hermes": '{"name": "send"', "json": '{"name": "send"'}[dialect])
    assert '["ann", 1]' in said and said.endswith("}")
