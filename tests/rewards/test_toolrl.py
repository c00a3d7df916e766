"""ToolRL as a credit: single turns against an oracle on the text, several turns by hand and by their properties."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import palaestra
from palaestra.envs.language.environment import LanguageEnv
from palaestra.envs.language.tools import Tool, answer_tool
from palaestra.episodes import Episode, TextPart, ToolCall, ToolResult, Turn
from palaestra.errors import ConfigError, ToolError, UnknownNameError
from palaestra.harness import run
from palaestra.harness.rescore import rescore
from palaestra.harness.scoring import available_for, truth_of
from palaestra.registration import EnvCard
from palaestra.rewards import make
from palaestra.rewards.base import LearnedCredit, Models, check_requires
from palaestra.rewards.credit_batch import credit_batch
from palaestra.rewards.spa import grounding
from palaestra.rewards.stratified import Stratified, strata_by_calls
from palaestra.rewards.toolrl import ToolRL, gold_calls
from palaestra.rewards.toolrl_schedules import Scale
from palaestra.rewards.weighted_sum import WeightedSum
from palaestra.tasks import Task, TaskSet

# Single turns in ToolRL's own tags ---------------------------------------------------------------------------------


def jaccard(left, right):
    left, right, common = list(left), list(right), 0
    if left == right:
        return 1.0
    both = len(left) + len(right)
    for item in left:
        if item in right:
            right.remove(item)
            common += 1
    return common / (both - common)


def oracle(text, reference):
    """Format and correctness of a text, from the text of a reference, by regular expressions and loops."""
    text, fields = text.strip(), [tag for tag in ("tool_call", "response") if f"<{tag}>" in reference]
    middle = {"tool_call": r"\n<tool_call>\n.*?\n</tool_call>", "response": r"\n<response>.*?</response>"}
    whole = "<think>.*?</think>" + "".join(middle[tag] for tag in fields)
    once = all(text.count(f"<{s}{tag}>") == 1 for tag in ("think", *fields) for s in ("", "/"))
    form = float(bool(re.fullmatch(whole, text, re.DOTALL)) and once)
    if "tool_call" not in fields:
        return form, 0.0
    gold = [json.loads(line) for line in reference.split("<tool_call>\n")[1].split("\n</tool_call>")[0].split("\n")]
    try:
        found = text.split("<tool_call>")[1].split("</tool_call>")[0].strip().split("\n")
        predicted = [json.loads(line) for line in found]
        assert "</tool_call>" in text and all({"name", "parameters"} <= set(call) for call in predicted)
    except (IndexError, ValueError, AssertionError):
        return form, -3.0
    if gold == predicted:
        return form, 3.0
    points, most, used = jaccard([g["name"] for g in gold], [p["name"] for p in predicted]), 1.0, set()
    for g in gold:
        most += 1 + len(g["parameters"])
        best, which = 0.0, None
        for i, p in enumerate(predicted):
            if i not in used and p["name"] == g["name"]:
                score = jaccard(g["parameters"], p["parameters"])
                score += sum(
                    key in p["parameters"] and p["parameters"][key] == g["parameters"][key] for key in g["parameters"]
                )
                if score > best:
                    best, which = score, i
        used.add(which)
        points += best
    return form, 6 * points / most - 3


CALLS = st.lists(
    st.tuples(st.sampled_from("fgh"), st.dictionaries(st.sampled_from("abc"), st.sampled_from(["x", 2, "2", None]))),
    max_size=3,
)


def written(calls, response):
    lines = [json.dumps({"name": name, "parameters": arguments}) for name, arguments in calls]
    parts = ["<think>hm</think>"] + (["<tool_call>", *lines, "</tool_call>"] if calls else [])
    return "\n".join([*parts, *(["<response>well</response>"] if response or not calls else [])])


@st.composite
def damaged(draw, text):
    for _ in range(draw(st.integers(0, 1))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(["\n", "<think>", "</tool_call>", "x", ""])) + text[at + 1 :]
    return text


def one_turn(make_episode, text, gold, response):
    listed = tuple({"name": name, "arguments": arguments} for name, arguments in gold)
    truth = {"gold_calls": (listed,) if listed else ()} | ({"answers": ("well",)} if response else {})
    return make_episode([text], privileged=truth)


@given(data=st.data(), gold=CALLS, response=st.booleans(), said_response=st.booleans())
def test_single_turns_are_scored_as_the_original_does(make_said, data, gold, response, said_response):
    predicted = data.draw(CALLS | st.just(gold))
    text = data.draw(damaged(written(predicted, said_response)))
    form, right = oracle(text, written(gold, response))
    episode = make_said(text, gold, response)
    result = ToolRL(form="toolrl")([episode])
    assert result.terms["toolrl.format"].values[0] == pytest.approx([form])
    assert result.terms["toolrl.correctness"].values[0] == pytest.approx([right], abs=1e-12)
    assert result.values[0] == pytest.approx([form + right], abs=1e-12) and result.level == "episode"
    # Turn by turn it is the same where nothing but calls is asked for; a reply there shares the turn.
    if gold and not response and "<response>" not in text:
        assert ToolRL("turn", "toolrl")([episode]).values[0] == pytest.approx([form + right], abs=1e-12)


@pytest.fixture(scope="module")
def make_said():
    def plain(turns, **fields):
        values = {
            "episode_id": "e0", "group_id": "g0", "env_id": "test/Text-v0", "env_kwargs": {}, "task": None, "seed": 0,
            "attempt": 0, "agent_id": "agent", "world_id": "w0", "status": "terminated", "observations": ["", ""],
            "turns": [Turn(0, turns[0])],
        }  # fmt: skip
        return Episode(**(values | fields))

    return lambda text, gold, response: one_turn(plain, text, gold, response)


# Dialects: as the environment read it ------------------------------------------------------------------------------

MAIL = {"name": "send", "arguments": {"to": "ann", "cc": ("bob",)}}
PING = {"name": "ping", "arguments": {}}


def called(*calls: Mapping[str, Any], status: str = "ok", malformed: bool = False, t: int = 0) -> Turn:
    """A turn with these calls; arguments as they come from JSON."""
    made = tuple(
        ToolCall(call["name"], json.loads(json.dumps(call["arguments"])), ToolResult((TextPart(""),)), status)
        for call in calls
    )
    return Turn(t, "...", made, info={"malformed": malformed})


ANSWER = {"name": "answer", "arguments": {"answer": "done"}}
BROKEN = called(malformed=True)


def parts(episode, **options):
    result = ToolRL(**options)([episode])
    terms = [result.terms[f"toolrl.{part}"].values[0] for part in ("format", "correctness")]
    assert result.values[0] == pytest.approx(sum(terms))
    return [float(term[0]) for term in terms] if result.level == "episode" else [term.tolist() for term in terms]


@pytest.mark.parametrize(
    ("gold", "turns", "expected"),
    [
        (((MAIL,),), [called(MAIL)], [1, 3]),
        # ground truth is frozen, arguments are not: ("bob",) is ["bob"]
        (((MAIL, PING),), [called(PING, MAIL)], [1, 3]),
        # what became of a call plays no part
        (((MAIL,),), [called(MAIL, status="error")], [1, 3]),
        (((MAIL,),), [called(MAIL, status="rejected")], [1, 3]),
        # the answer is no call, and welcome
        (((MAIL,),), [called(MAIL), called(ANSWER)], [1, 3]),
        (((MAIL,),), [called(MAIL, ANSWER)], [1, 3]),
        # malformed alone: the lowest; malformed first: half of the form
        (((MAIL,),), [BROKEN], [0, -3]),
        (((MAIL,),), [BROKEN, called(MAIL)], [0.5, 3]),
        # an answer where calls are wanted
        (((MAIL,),), [called(ANSWER)], [0, -3]),
        # how calls are divided into turns does not matter, a call too many does
        (((MAIL,), (PING,)), [called(MAIL, PING)], [1, 3]),
        (((MAIL, PING),), [called(PING), called(MAIL)], [1, 3]),
        (((PING,),), [called(PING), called(PING)], [1, 6 * (1 / 2 + 1) / 2 - 3]),
        (((PING,), (PING,)), [called(PING)], [1, 6 * (1 / 2 + 1) / 3 - 3]),
        # a reference without calls: only the form counts
        ((), [called(ANSWER)], [1, 0]),
        ((), [called()], [1, 0]),
        (((),), [called(ANSWER)], [1, 0]),
        ((), [called(PING), called(ANSWER)], [0, 0]),
        ((), [BROKEN], [0, 0]),
    ],
)
def test_episodes(make_episode, gold, turns, expected):
    assert parts(make_episode(turns, privileged={"gold_calls": gold})) == pytest.approx(expected)


def test_a_wanted_answer_belongs_to_the_form(make_episode):
    truth = {"gold_calls": ((MAIL,),), "answers": ("done",)}
    assert parts(make_episode([called(MAIL)], privileged=truth)) == [0, 3]
    assert parts(make_episode([called(MAIL), called(ANSWER)], privileged=truth)) == [1, 3]


def test_speech_that_a_reference_calls_is_a_call(make_episode):
    episode = make_episode([called(MAIL), called(ANSWER)], privileged={"gold_calls": ((MAIL,), (ANSWER,))})
    assert parts(episode) == [1, 3]
    other = make_episode([called(MAIL, {"name": "say", "arguments": {}})], privileged={"gold_calls": ((MAIL,),)})
    assert parts(other) == pytest.approx([1, 6 * 3.5 / 4 - 3]) and parts(other, speech=["say"]) == [1, 3]


def test_an_environment_that_does_not_say_what_is_malformed(make_episode):
    turns = [Turn(0, "", called(MAIL).calls), Turn(1, "")]
    assert parts(make_episode(turns, privileged={"gold_calls": ((MAIL,),)})) == [0.5, 3]


def test_without_turns(make_episode):
    episode = make_episode([], privileged={"gold_calls": ((MAIL,),)})
    assert parts(episode) == [0, -3]
    assert ToolRL("turn")([episode]).values == [None]


@pytest.mark.parametrize(
    ("gold", "turns", "form", "right"),
    [
        (((MAIL,), (PING,)), [called(MAIL), called(PING)], [0.5, 0.5], [1.5, 1.5]),
        # turns without calls are between
        (((MAIL,), (PING,)), [called(MAIL), called(), BROKEN, called(PING)], [0.5, 0, 0, 0.5], [1.5, 0, 0, 1.5]),
        (((MAIL,), (), (PING,)), [called(MAIL), called(PING)], [0.5, 0.5], [1.5, 1.5]),
        # another order is another thing
        (((MAIL,), (PING,)), [called(PING), called(MAIL)], [0.5, 0.5], [-1.5, -1.5]),
        # what is not reached lands on the last turn
        (((MAIL,), (PING,), (PING,)), [called(MAIL), called()], [1 / 3, 0], [1, -2]),
        (((MAIL,),), [BROKEN, BROKEN], [0, 0], [0, -3]),
        # what is behind earns and costs nothing
        (((MAIL,),), [called(MAIL), called(PING), called(PING)], [1, 0, 0], [3, 0, 0]),
        # a reply, where nothing is to be called
        ((), [called(), called(ANSWER)], [0, 1], [0, 0]),
        ((), [called(PING), called(ANSWER)], [0, 0], [0, 0]),
    ],
)
def test_turn_by_turn(make_episode, gold, turns, form, right):
    found = parts(make_episode(turns, privileged={"gold_calls": gold}), match="turn")
    assert found[0] == pytest.approx(form) and found[1] == pytest.approx(right)


def test_turn_by_turn_with_an_answer(make_episode):
    truth = {"gold_calls": ((MAIL,),), "answers": ("done",)}
    assert parts(make_episode([called(MAIL), called(ANSWER)], privileged=truth), match="turn") == [[0.5, 0.5], [3, 0]]
    assert parts(make_episode([called(MAIL, ANSWER)], privileged=truth), match="turn") == [[1], [3]]
    assert parts(make_episode([called(MAIL)], privileged=truth), match="turn") == [[0.5], [3]]


WRONG = {"name": "send", "arguments": {"to": "eve"}}
TURNS = st.lists(st.lists(st.sampled_from([MAIL, PING, ANSWER, WRONG]), max_size=3), max_size=4)


@given(
    turns=TURNS,
    gold=st.lists(st.lists(st.sampled_from([MAIL, PING]), max_size=2).map(tuple), max_size=3).map(tuple),
    broken=st.booleans(),
    answers=st.booleans(),
)
def test_sums_lie_in_the_range_of_one_turn(make_plain, turns, gold, broken, answers):
    said = [called(*calls, t=t) for t, calls in enumerate(turns)] + [BROKEN] * broken
    episode = make_plain(said, privileged={"gold_calls": gold, "answers": ("done",) if answers else ()})
    for match in ("episode", "turn"):
        result = ToolRL(match)([episode])
        if not said and match == "turn":
            continue
        form, right = (result.terms[f"toolrl.{part}"].values[0].sum() for part in ("format", "correctness"))
        assert -1e-9 <= form <= 1 + 1e-9 and -3 - 1e-9 <= right <= 3 + 1e-9
        assert result.values[0].shape == ((1,) if match == "episode" else (len(said),))
        if not any(gold):
            assert right == 0


@pytest.fixture(scope="module")
def make_plain():
    def plain(turns, **fields):
        steps = [Turn(t, turn.action, turn.calls, info=turn.info) for t, turn in enumerate(turns)]
        values = {
            "episode_id": "e0", "group_id": "g0", "env_id": "test/Text-v0", "env_kwargs": {}, "task": None, "seed": 0,
            "attempt": 0, "agent_id": "agent", "world_id": "w0", "status": "terminated",
            "observations": [""] * (len(steps) + 1), "turns": steps,
        }  # fmt: skip
        return Episode(**(values | fields))

    return plain


# What does not apply, and what cannot work -------------------------------------------------------------------------


def test_failed_episodes_and_those_without_a_reference_have_no_value(make_episode):
    truth = {"gold_calls": ((MAIL,),)}
    episodes = [
        make_episode([called(MAIL)], failed=True, privileged=truth),
        make_episode([called(MAIL)], privileged={"answers": ("x",)}),
        make_episode([called(MAIL)], privileged=truth),
        make_episode([called(PING)], privileged=truth),
    ]
    for match in ("episode", "turn"):
        result = ToolRL(match)(episodes)
        assert [value is None for value in result.values] == [True, True, False, False]
        assert result.metrics["toolrl/without_reference"] == 1 and result.metrics["toolrl/exact"] == 0.5
        batch = credit_batch(episodes, result)
        assert batch.valid.tolist() == [False, False, True, True]
        assert batch.rewards[2:].tolist() == [4.0, -2.0]


@pytest.mark.parametrize(
    "gold", [(MAIL,), ({"name": "f"},), (({"name": "f"},),), (({"name": "f", "arguments": [1]},),), 3, ((3,),)]
)
def test_a_reference_of_another_form_is_named(make_episode, gold):
    with pytest.raises(ConfigError, match=r"gold_calls of palaestra/Test-v0 must hold, for each turn, calls"):
        ToolRL()([make_episode([called(MAIL)], privileged={"gold_calls": gold})])


def test_a_reference_is_read():
    episode = type("E", (), {"privileged": {"gold_calls": [[{"name": "f", "arguments": {"a": 1}, "id": 3}], []]}})()
    assert gold_calls(episode) == ((("f", {"a": 1}),), ())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"match": "turns"}, "match is 'turns'; choose one of episode, turn"),
        ({"form": "tags"}, "form is 'tags'; choose one of dialect, toolrl"),
        ({"granularity": "course"}, "granularity is 'course'; choose one of fine, refined, intermediate, coarse"),
        ({"length": True}, "length is True; choose one of none, constant, dynamic"),
        ({"schedule_steps": 0}, "schedule_steps is 0; it must be a number of updates"),
        ({"length_steps": 1.5}, "length_steps is 1.5; it must be a number of updates"),
        ({"speech": "answer"}, "speech is 'answer'; it must be a list"),
    ],
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(ConfigError, match=message):
        ToolRL(**options)


def test_other_things_that_cannot_work(make_episode):
    with pytest.raises(UnknownNameError, match=r"no schedule 'stages'"):
        ToolRL(schedule="stages")
    episode = make_episode([Turn(0, np.zeros(2))], privileged={"gold_calls": ((MAIL,),)})
    with pytest.raises(ConfigError, match=r"reads texts; an action was a ndarray\. Use form='dialect'"):
        ToolRL(form="toolrl")([episode])
    with pytest.raises(ConfigError, match=r"The schedule gave .* at step 0; it must give pairs of finite numbers"):
        ToolRL(schedule=lambda step: Scale((0.0, float("nan"))))([episode])


# Over training -----------------------------------------------------------------------------------------------------


def test_schedules_follow_the_updates_and_are_saved(make_episode):
    episode = make_episode([called(MAIL)], privileged={"gold_calls": ((MAIL,),)})
    credit = ToolRL(schedule="smooth", schedule_steps=4)
    assert isinstance(credit, LearnedCredit)
    seen = []
    for _ in range(6):
        seen.append(parts_of(credit, episode))
        credit.update([episode], Models())
    assert seen == [(2, 2), (1.75, 2.25), (1.5, 2.5), (1.25, 2.75), (1, 3), (1, 3)]
    again = ToolRL(schedule="smooth", schedule_steps=4)
    again.load_state_dict({"step": 2})
    assert parts_of(again, episode) == (1.5, 2.5) and again.state_dict() == {"step": 2}
    metrics = again([episode]).metrics
    assert (metrics["toolrl/step"], metrics["toolrl/highest_format"], metrics["toolrl/highest_correctness"]) == (
        2,
        1.5,
        2.5,
    )


def parts_of(credit, episode):
    result = credit([episode])
    return tuple(float(result.terms[f"toolrl.{part}"].values[0][0]) for part in ("format", "correctness"))


def test_stages_and_scales_of_ones_own(make_episode):
    right = make_episode([called(MAIL)], privileged={"gold_calls": ((MAIL,),)})
    wrong = make_episode([BROKEN], privileged={"gold_calls": ((MAIL,),)})
    staged = ToolRL(schedule="two-stage")
    for step, expected in ((0, 1), (29, 1), (30, 3)):
        staged.load_state_dict({"step": step})
        assert parts_of(staged, right) == (1, expected) and parts_of(staged, wrong) == (0, -expected)
    assert parts_of(ToolRL(schedule="equal-max"), wrong) == (0, -1)
    own = ToolRL(schedule=lambda step: Scale((-2.0 + step, 2.0), (-5.0, 1.0)))
    assert parts_of(own, right) == (2, 1) and parts_of(own, wrong) == (-2, -5)


def test_in_a_sum_the_step_is_counted_once_and_saved(make_episode):
    total = WeightedSum([(ToolRL(schedule="two-stage"), 1.0), ("outcome", 0.5)])
    assert total.update([], Models()) == {} and total.state_dict() == {"toolrl": {"step": 1}}


def test_the_length_of_thoughts(make_episode):
    text = "<think>" + "word " * 256 + "</think>"
    episode = make_episode([Turn(0, text, called(MAIL).calls, info={"malformed": False}), called(ANSWER)],
                           privileged={"gold_calls": ((MAIL,),)})  # fmt: skip
    assert "toolrl.length" not in ToolRL()([episode]).terms
    result = ToolRL(length="constant")([episode])
    assert result.terms["toolrl.length"].values[0] == pytest.approx([256 / 512 / 2])
    assert result.values[0] == pytest.approx([4 + 0.25])
    credit = ToolRL("turn", length="dynamic", length_steps=2)
    assert credit([episode]).terms["toolrl.length"].values[0] == pytest.approx([256 / 384, 0])
    credit.load_state_dict({"step": 1})
    assert credit([episode]).terms["toolrl.length"].values[0] == pytest.approx([256 / 512, 0])


# In an environment, by its dialects --------------------------------------------------------------------------------

OFFICE = "test/Office-v0"


def _tasks() -> TaskSet:
    gold = ({"name": "find", "arguments": {"who": "ann"}}, {"name": "ping", "arguments": {}})
    return TaskSet(
        [
            Task("ask", "ask", "Only say hello.", "train", {"gold_calls": ()}),
            Task("mail", "mail", "Find ann, ping, send.", "train",
                 {"gold_calls": (gold, (MAIL,)), "answers": ("done",)}),
        ]
    )  # fmt: skip


class OfficeEnv(LanguageEnv):
    """Three tools and an answer."""

    def __init__(self, *, silent: bool = False, split: str = "train", **options: Any) -> None:
        tasks = _tasks().where(split=split)
        if silent:
            tasks = TaskSet(Task(task.id, task.group, task.prompt, task.split, {"answers": ("x",)}) for task in tasks)
        self.said = ""
        super().__init__(tasks, **options)

    def _make_tools(self) -> Sequence[Tool]:
        def schema(**properties: Any) -> dict[str, Any]:
            return {"type": "object", "properties": properties, "required": sorted(properties)}

        return (
            Tool("find", "Finds.", schema(who={"type": "string"}), self._find),
            Tool("ping", "Pings.", schema(), lambda: "pong"),
            Tool("send", "Sends.", schema(to={"type": "string"}, cc={"type": "array"}), lambda to, cc: "sent"),
            answer_tool(self._answer),
        )

    def _find(self, who: str) -> str:
        if who != "ann":
            raise ToolError("Nobody is called that.")
        return "ann@office"

    def _answer(self, answer: str) -> str:
        self.said = answer
        return "Noted."

    def _begin(self, task: Task) -> None:
        self.said = ""

    def _prompt(self, task: Task) -> str:
        return task.prompt

    def _judge(self) -> Mapping[str, float]:
        return {"outcome": float(self.said == "done")}


def _oracle(env, space, rng):
    plan = [env.render_calls(calls)[0] for calls in env.task.truth["gold_calls"]]
    plan = iter([*plan, env.say("answer", answer="done")])
    return lambda observation: next(plan)


OfficeEnv.shipped_policies = {"oracle": _oracle}


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    card = EnvCard(OFFICE, "An office.", "test", "verifiable", "text", snapshot="none")
    palaestra.register(card, OfficeEnv)
    yield
    del gym.registry[OFFICE], palaestra.registration._CARDS[OFFICE]


def play(tmp_path, agent="oracle", name="r", rewards=("toolrl",), dialect="hermes", **options):
    return run(OFFICE, agent, tmp_path / name, episodes=None, env_kwargs={"dialect": dialect, **options},
               rewards=rewards)  # fmt: skip


@pytest.mark.parametrize("dialect", ["hermes", "json"])
def test_an_oracle_reaches_the_top_in_every_dialect(tmp_path, dialect):
    done = play(tmp_path, dialect=dialect)
    by_task = {episode.task.id: episode for episode in done.episodes()}
    assert by_task["mail"].turns[-1].terms == {"env": 1.0, "toolrl.format": 1.0, "toolrl.correctness": 3.0}
    assert by_task["mail"].episode_return == 4.0
    assert by_task["ask"].episode_return == 1.0
    # recorded, read back and scored again: lists in place of tuples change nothing
    again = rescore(done, ["toolrl"])
    assert again.means["toolrl.correctness"] == 1.5 and again.means["toolrl.format"] == 1.0


def test_a_null_policy_is_at_the_bottom(tmp_path):
    done = play(tmp_path, "null", max_turns=2)
    returns = {episode.task.id: episode.episode_return for episode in done.episodes()}
    assert returns == {"mail": -3.0, "ask": 0.0}


def test_without_right_calls_it_is_refused_before_anything_is_played(tmp_path):
    wanted = (
        r"'toolrl' needs what is not there\. 'gold_calls': choose an environment whose tasks say which calls are right"
    )
    with pytest.raises(ConfigError, match=wanted):
        play(tmp_path, silent=True)
    assert not (tmp_path / "r").exists()
    card = palaestra.registration.card(OFFICE)
    assert {"gold_calls", "answers", "calls", "outcome"} <= available_for(card, truth_of(_tasks()), Models())
    assert "gold_calls" not in available_for(card, {"answers": ("x",)}, Models())
    check_requires(make("toolrl"), available_for(card, {"gold_calls": ()}, Models()))


def test_the_truth_of_tasks_is_what_any_of_them_says():
    assert truth_of(_tasks())["answers"] == ("done",) and len(truth_of(_tasks())["gold_calls"]) == 2
    assert truth_of(_tasks()[:1]) == {"gold_calls": ()}


# What knows nothing of search works here as it is ------------------------------------------------------------------


def test_strata_and_grounding_of_calls_side_by_side(tmp_path):
    def policy(env, space, rng):
        lines = iter(
            [
                "\n".join(env.say(*call) if isinstance(call, tuple) else call for call in turn)
                for turn in (
                    [env.say("ping"), env.say("find", who="ann")],
                    [env.say("ping"), env.say("find", who="eve")],
                    [env.say("ping"), '<tool_call>{"name": "fly", "arguments": {}}</tool_call>'],
                    ["<tool_call>"],
                    [env.say("answer", answer="done")],
                )
            ]
        )
        return lambda observation: next(lines)

    OfficeEnv.shipped_policies = {"oracle": _oracle, "prior": policy}
    done = play(tmp_path, "prior", rewards=())
    episode = next(done.episodes())
    assert grounding(episode).tolist() == [1, 0, 0, 0, 1]
    assert strata_by_calls(episode) == (5, 1, 1)
    result = make("outcome")([episode, episode])
    batch = credit_batch([episode, episode], result, strata=Stratified().strata)
    assert batch.strata.tolist() == [0, 0] and np.isfinite(Stratified()(batch)).all()
