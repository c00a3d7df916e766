"""The base class of language environments, through a small desk with tools that draw, note, fail and end."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import palaestra
from palaestra.envs.language.dialects import DialectError
from palaestra.envs.language.environment import LanguageEnv
from palaestra.envs.language.tools import Tool, ToolOutput, answer_tool
from palaestra.episodes import ImagePart, TextPart
from palaestra.errors import ConfigError, EnvironmentUnavailable, EpisodeFailure, ToolError, UnknownNameError
from palaestra.spaces import Utf8
from palaestra.tasks import Task, TaskSet

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
TASKS = TaskSet(
    Task(f"paint-{name}", name, f"Paint it {name} and answer its name.", "train", {"answers": (name,), "rgb": rgb})
    for name, rgb in COLOURS.items()
)
DESK, PICTURE_DESK = "test/Desk-v0", "test/PictureDesk-v0"


def _schema(required: Sequence[str] = (), **properties: str) -> dict[str, Any]:
    parts = {name: {"type": kind} for name, kind in properties.items()}
    return {"type": "object", "properties": parts, "required": list(required)}


class DeskEnv(LanguageEnv):
    """Notes add up, the paint shows in a picture, and the answer is judged; `fail` breaks on demand."""

    def __init__(self, tasks: TaskSet = TASKS, *, broken_resets: int = 0, text: str = "", **options: Any) -> None:
        self.notes: list[str] = []
        self.answer = ""
        self.text, self.broken_resets = text, broken_resets
        super().__init__(tasks, **options)

    def _make_tools(self) -> Sequence[Tool]:
        return (
            Tool("note", "Notes a text.", _schema(["text"], text="string"), self._note, primary="text"),
            Tool("paint", "Paints.", _schema(["r", "g", "b"], r="integer", g="integer", b="integer"), self._paint),
            Tool("fail", "Fails.", _schema(["how"], how="string"), self._fail, primary="how"),
            answer_tool(self._answer),
        )

    def _begin(self, task: Task) -> None:
        if self.broken_resets:
            self.broken_resets -= 1
            raise EpisodeFailure("desk_down", "The desk is not there.")
        self.notes, self.answer = [], ""

    def _prompt(self, task: Task) -> str:
        return f"{task.prompt} Luck: {self.np_random.random()}.\n{self.dialect.instructions(self._tool_list)}"

    def _note(self, text: str) -> str:
        self.notes.append(text)
        return self.text or f"{len(self.notes)} notes, the last: {text}. Luck: {self.np_random.random()}"

    def _paint(self, r: int, g: int, b: int) -> ToolOutput:
        if not all(0 <= part <= 255 for part in (r, g, b)):
            raise ToolError("A colour has parts from 0 to 255.")
        image = np.full((4, 5, 3), (r, g, b), np.uint8)
        return ToolOutput((TextPart("Painted."), ImagePart(b"png")), {"rgb": (r, g, b)}, image)

    def _fail(self, how: str) -> Any:
        match how:
            case "tool":
                raise ToolError("That cannot be done.")
            case "infrastructure":
                raise EpisodeFailure("desk_down", "The desk is on fire.")
            case "bug":
                raise KeyError("oops")
            case "picture":
                return ToolOutput((), image=np.zeros((5, 4, 3), np.uint8))
        return None

    def _answer(self, answer: str) -> str:
        if not answer:
            raise ToolError("An answer has at least one letter.")
        self.answer = answer
        return "Noted."

    def _judge(self) -> Mapping[str, float]:
        return {"outcome": float(self.answer in self.task.truth["answers"]), "notes": float(len(self.notes))}

    def _get_family_state(self) -> Any:
        return {"notes": self.notes, "answer": self.answer}

    def _set_family_state(self, state: Any) -> None:
        self.notes, self.answer = list(state["notes"]), state["answer"]


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    gym.register(DESK, entry_point=DeskEnv)
    gym.register(PICTURE_DESK, entry_point=DeskEnv, kwargs={"image_shape": (4, 5, 3)})
    yield
    del gym.registry[DESK], gym.registry[PICTURE_DESK]


def desk(**options: Any) -> DeskEnv:
    env = DeskEnv(**options)
    env.reset(seed=0, options={"task_id": "paint-red"})
    return env


def calls_in_json(*calls: tuple[str, dict[str, Any]]) -> str:
    return "".join(
        f'<tool_call>{{"name": "{name}", "arguments": {str(arguments).replace(chr(39), chr(34))}}}</tool_call>'
        for name, arguments in calls
    )


# Gymnasium ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["tags", "hermes", "json"])
@pytest.mark.parametrize("env_id", [DESK, PICTURE_DESK])
def test_gymnasiums_checker_has_nothing_to_say(env_id: str, dialect: str, capsys: Any) -> None:
    check_env(gym.make(env_id, dialect=dialect).unwrapped)  # warnings are errors here


@pytest.mark.parametrize("env_id", [DESK, PICTURE_DESK])
def test_spaces_hold_what_comes(env_id: str) -> None:
    env = gym.make(env_id)
    observation, _ = env.reset(seed=3)
    env.action_space.seed(3)
    for _ in range(5):
        assert env.observation_space.contains(observation)
        observation, _, terminated, _, _ = env.step(env.action_space.sample())
        if terminated:
            break
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize("env_id", [DESK, PICTURE_DESK])
def test_specs_and_spaces_can_be_pickled(env_id: str) -> None:
    env = gym.make(env_id, max_turns=3, dialect="json")
    spec = pickle.loads(pickle.dumps(env.spec))
    assert gym.make(spec).unwrapped.max_turns == 3
    for space in (env.action_space, env.observation_space):
        space.seed(5)
        copy = pickle.loads(pickle.dumps(space))
        assert copy == space
        assert repr([copy.sample() for _ in range(3)]) == repr([space.sample() for _ in range(3)])


@pytest.mark.parametrize("dialect", ["tags", "hermes", "json"])
def test_samples_are_well_formed_and_seeded(dialect: str) -> None:
    env = DeskEnv(dialect=dialect)
    env.action_space.seed(1)
    drawn = [env.action_space.sample() for _ in range(200)]
    env.action_space.seed(1)
    assert drawn == [env.action_space.sample() for _ in range(200)]
    env.action_space.seed(2)
    assert drawn != [env.action_space.sample() for _ in range(200)]
    requests = [request for text in drawn for request in env.dialect.parse(text, env._tool_list)]
    assert {request.name for request in requests} == {"note", "paint", "fail", "answer"}
    assert all(env._tools[request.name].problem(request.arguments) is None for request in requests)


def test_samples_of_a_tool_with_optional_company_are_sayable_in_tags() -> None:
    class Shop(DeskEnv):
        def _make_tools(self) -> Sequence[Tool]:
            schema = _schema(["item"], item="string", count="integer")
            return (Tool("buy", "Buys.", schema, lambda item, count=1: f"{count} {item}", primary="item", final=True),)

    for dialect in ("tags", "hermes"):
        env = Shop(dialect=dialect)
        env.action_space.seed(0)
        for _ in range(20):
            env.reset(seed=0)
            _, _, terminated, _, info = env.step(env.action_space.sample())
            assert terminated and not info["malformed"]


# What an action does ------------------------------------------------------------------------------------------------


def test_a_turn_runs_its_call_and_says_its_result() -> None:
    env = desk()
    observation, reward, terminated, truncated, info = env.step("Hm. <note> a </note>")
    assert observation.startswith("<information>1 notes, the last: a.")
    assert (reward, terminated, truncated, info["status"], info["malformed"]) == (0.0, False, False, "running", False)
    (call,) = info["calls"]
    assert (call.name, call.arguments, call.status) == ("note", {"text": "a"}, "ok")
    assert [message["role"] for message in env.messages] == ["user", "assistant", "user"]
    assert env.messages[1]["content"] == "Hm. <note> a </note>"
    assert env.messages[2]["content"] == observation


def test_a_picture_shows_in_the_observation() -> None:
    env = desk(image_shape=(4, 5, 3))
    observation, *_ = env.step('<paint>{"r": 255, "g": 0, "b": 0}</paint>')
    assert (observation["image"] == (255, 0, 0)).all()
    assert "Painted." in observation["text"]
    observation["image"][:] = 0
    later, *_ = env.step("<note>a</note>")
    assert (later["image"] == (255, 0, 0)).all()  # nobody can paint over it from outside
    fresh, _ = env.reset()
    assert not fresh["image"].any()


def test_a_picture_without_a_place_for_it_is_left_out() -> None:
    observation, *_, info = desk().step('<paint>{"r": 1, "g": 2, "b": 3}</paint>')
    assert observation == "<information>Painted.</information>"
    assert info["calls"][0].data == {"rgb": (1, 2, 3)}


def test_a_picture_of_another_shape_is_a_failure_that_says_so() -> None:
    *_, info = desk(image_shape=(4, 5, 3)).step("<fail>picture</fail>")
    assert info["status"] == "failed"
    assert "(5, 4, 3), not (4, 5, 3)" in info["error"]["message"]


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("", "Your turn was empty"),
        ("<nope>a</nope>", "There is no tool <nope>"),
        (None, "An action is a text that calls a tool, got NoneType"),
        (3, "got int"),
        (b"<note>a</note>", "got bytes"),
        (["<note>a</note>"], "got list"),
        (np.zeros(3), "got ndarray"),
        ("<note>" + "x" * 65_536 + "</note>", "Your turn has 65549 bytes; at most 65536 are read"),
        ("\ud800" * 30_000, "Your turn has 90000 bytes"),
        ("x" * 10_000_000, "Your turn has 10000000 bytes"),
        ("\U0001f600" * 2_500_000, "Your turn has 10000000 bytes"),
        ("<note>" * 1_500_000, "bytes; at most"),
    ],
)
def test_a_malformed_turn_is_told_and_costs_the_turn(action: Any, said: str) -> None:
    env = desk()
    observation, reward, terminated, truncated, info = env.step(action)
    assert said in observation
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert (info["malformed"], info["calls"], info["status"]) == (True, (), "running")
    assert env.turn == 1
    assert len(env.messages[-2]["content"].encode()) <= 65_536


def test_an_unknown_tool_suggests_the_nearest_and_is_rejected() -> None:
    env = desk(dialect="json")
    observation, *_, info = env.step('{"name": "nott", "arguments": {}}')
    assert "There is no tool 'nott'. Did you mean 'note'?" in observation
    assert (info["calls"][0].status, info["malformed"]) == ("rejected", False)
    observation, *_ = env.step('{"name": "' + "q" * 1000 + '", "arguments": {}}')
    assert "Choose from: answer, fail, note, paint." in observation
    assert len(observation) < 400


def test_arguments_against_the_schema_are_rejected() -> None:
    observation, *_, info = desk().step('<paint>{"r": "a lot", "g": 0, "b": 0}</paint>')
    assert "In the field 'r': 'a lot' is not of type 'integer'. 'paint' accepts" in observation
    assert info["calls"][0].status == "rejected"
    assert info["calls"][0].result.is_error


def test_a_tool_error_is_told_to_the_agent() -> None:
    observation, *_, info = desk().step("<fail>tool</fail>")
    assert observation == "<information>That cannot be done.</information>"
    assert (info["status"], info["calls"][0].status, info["calls"][0].result.is_error) == ("running", "error", True)


def test_lone_surrogates_become_replacement_characters() -> None:
    env = desk()
    observation, *_, info = env.step("<note>a\ud800b</note>")
    assert info["calls"][0].arguments == {"text": "a\ufffdb"}
    assert "a\ufffdb" in observation
    "".join(message["content"] for message in env.messages).encode()


@settings(max_examples=200, deadline=None)
@given(
    st.text()
    | st.lists(st.sampled_from(["<note>", "</note>", "<answer>", "</answer>", "{", '"', "\ud800"])).map("".join)
)
@pytest.mark.parametrize("dialect", ["tags", "hermes", "json"])
def test_nothing_that_can_be_said_raises_or_fails(dialect: str, text: str) -> None:
    observation, _, _, _, info = desk(dialect=dialect).step(text)
    assert info["status"] in ("running", "terminated")
    observation.encode()


# Several calls in a turn --------------------------------------------------------------------------------------------


def test_calls_run_in_order_and_none_after_the_final_one() -> None:
    env = desk(dialect="hermes")
    said = calls_in_json(("note", {"text": "a"}), ("answer", {"answer": "red"}), ("note", {"text": "b"}))
    observation, reward, terminated, _, info = env.step(said)
    assert [call.name for call in info["calls"]] == ["note", "answer"]
    assert env.notes == ["a"]
    assert (terminated, reward, info["outcome"]) == (True, 1.0, 1.0)
    assert observation.count("<tool_response>") == 2


def test_a_final_call_that_could_not_be_done_does_not_end() -> None:
    env = desk(dialect="hermes")
    said = calls_in_json(("answer", {"answer": ""}), ("answer", {"reply": "red"}), ("note", {"text": "b"}))
    _, _, terminated, _, info = env.step(said)
    assert [call.status for call in info["calls"]] == ["error", "rejected", "ok"]
    assert not terminated and "outcome" not in info


def test_a_turn_makes_only_so_many_calls() -> None:
    env = desk(dialect="hermes", max_calls=3)
    observation, *_, info = env.step(calls_in_json(*[("note", {"text": "a"})] * 4))
    assert "Your turn makes 4 calls; at most 3 are run." in observation
    assert info["malformed"] and env.notes == []
    env.step(calls_in_json(*[("note", {"text": "a"})] * 3))
    assert len(env.notes) == 3


# Ends ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "outcome"), [("red", 1.0), ("blue", 0.0)])
def test_a_final_tool_ends_with_the_outcome(answer: str, outcome: float) -> None:
    env = desk()
    env.step("<note>a</note>")
    _, reward, terminated, truncated, info = env.step(f"<answer>{answer}</answer>")
    assert (reward, terminated, truncated, info["status"]) == (outcome, True, False, "terminated")
    assert (info["outcome"], info["notes"], env.judge()) == (outcome, 1.0, outcome)
    assert all(isinstance(info[name], float) for name in ("outcome", "notes"))
    with pytest.raises(gym.error.ResetNeeded):
        env.step("<note>a</note>")


def test_the_horizon_truncates_and_is_judged() -> None:
    env = desk(max_turns=2)
    assert env.step("nonsense")[3] is False
    _, reward, terminated, truncated, info = env.step("<note>a</note>")
    assert (reward, terminated, truncated, info["status"], info["outcome"]) == (0.0, False, True, "truncated", 0.0)


def test_an_answer_in_the_last_turn_terminates() -> None:
    _, reward, terminated, truncated, _ = desk(max_turns=1).step("<answer>red</answer>")
    assert (reward, terminated, truncated) == (1.0, True, False)


@pytest.mark.parametrize(
    ("how", "kind", "cause"),
    [
        ("infrastructure", "desk_down", "infrastructure"),
        ("bug", "environment_error", "unattributed"),
        ("nothing", "environment_error", "unattributed"),
    ],
)
def test_what_no_action_can_break_fails_the_episode(how: str, kind: str, cause: str) -> None:
    env = desk()
    before = env.step("<note>a</note>")[0]
    observation, reward, terminated, truncated, info = env.step(f"<fail>{how}</fail>")
    assert (observation, reward, terminated, truncated) == (before, 0.0, False, True)
    assert info["status"] == "failed" and "outcome" not in info
    assert (info["error"]["kind"], info["error"]["cause"]) == (kind, cause)
    with pytest.raises(gym.error.ResetNeeded):
        env.step("<note>a</note>")
    env.reset(seed=1)
    assert env.step("<note>a</note>")[4]["status"] == "running"


@pytest.mark.parametrize("how", ["infrastructure", "bug"])
def test_failures_can_be_raised(how: str) -> None:
    with pytest.raises(EpisodeFailure):
        desk(on_failure="raise").step(f"<fail>{how}</fail>")


def test_reset_tries_again_and_then_gives_up() -> None:
    assert DeskEnv(broken_resets=2).reset(seed=0)[1]["status"] == "running"
    with pytest.raises(EnvironmentUnavailable, match=r"3 attempt.*The desk is not there"):
        DeskEnv(broken_resets=3).reset(seed=0)


# Limits -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["x" * 10_000_000, "\U0001f600" * 2_500_000])
def test_long_observations_are_cut_and_say_so(text: str) -> None:
    env = desk(text=text, max_observation_bytes=1000)
    observation, *_ = env.step("<note>a</note>")
    assert env.observation_space.contains(observation)
    assert observation.endswith(" [...]")
    assert 990 < len(observation.encode()) <= 1000


def test_a_long_prompt_is_cut_too() -> None:
    task = Task("long", "long", "p" * 10_000, "train", {"answers": ("a",)})
    env = DeskEnv(TaskSet([task]), max_observation_bytes=100)
    observation, _ = env.reset(seed=0)
    assert len(observation) == 100
    assert env.messages[0]["content"] == observation


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"tasks": TaskSet([])}, "no tasks"),
        ({"max_turns": 0}, "max_turns is 0"),
        ({"max_calls": 0}, "max_calls is 0"),
        ({"max_action_bytes": 0}, "max_action_bytes is 0"),
        ({"max_observation_bytes": -1}, "max_observation_bytes is -1"),
        ({"max_turns": "ten"}, "max_turns is 'ten'; it must be a whole number"),
        ({"max_turns": 1.5}, r"max_turns is 1\.5"),
        ({"max_calls": True}, "max_calls is True"),
        ({"privileged": "no"}, "privileged is 'no'; it must be True or False"),
        ({"render_mode": "rgb_array"}, "'ansi', 'human'"),
        ({"on_failure": "ignore"}, "'truncate' or 'raise'"),
        ({"dialect": "tag"}, "Did you mean 'tags'"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=why):
        DeskEnv(**options)


def test_tools_need_names_of_their_own() -> None:
    class Twice(DeskEnv):
        def _make_tools(self) -> Sequence[Tool]:
            return (answer_tool(self._answer), answer_tool(self._answer))

    class Nothing(DeskEnv):
        def _make_tools(self) -> Sequence[Tool]:
            return ()

    with pytest.raises(ConfigError, match="each with a name of its own"):
        Twice()
    with pytest.raises(ConfigError, match="needs tools"):
        Nothing()


# Reset, roles, rendering --------------------------------------------------------------------------------------------


def test_reset_takes_a_task_and_refuses_what_it_does_not_know() -> None:
    env = DeskEnv()
    _, info = env.reset(seed=0, options={"task_id": "paint-blue"})
    assert info == {"status": "running", "task_id": "paint-blue", "group": "blue", "split": "train"}
    assert env.task.id == "paint-blue"
    with pytest.raises(UnknownNameError, match="Did you mean 'paint-blue'"):
        env.reset(options={"task_id": "paint-blu"})
    with pytest.raises(UnknownNameError):
        env.reset(options={"task_id": 3})
    with pytest.raises(ConfigError, match=r"no option 'taskid'\. Did you mean 'task_id'"):
        env.reset(options={"taskid": "paint-blue"})
    with pytest.raises(gym.error.ResetNeeded):
        env.step("<note>a</note>")  # a reset that was refused leaves no episode behind


def test_before_the_first_reset_there_is_no_task() -> None:
    with pytest.raises(gym.error.ResetNeeded):
        _ = DeskEnv().task


def test_the_seed_decides_and_another_differs() -> None:
    def play(seed: int) -> list[Any]:
        env = DeskEnv()
        env.action_space.seed(seed)
        record: list[Any] = [env.reset(seed=seed)]
        for _ in range(3):
            record.append(env.step(f"<note>{env.action_space.sample()}</note>"))
        return record

    assert play(4) == play(4)
    assert play(4) != play(5)


def test_a_canary_becomes_the_ground_truth_and_stays_out_of_sight() -> None:
    env = DeskEnv()
    observation, info = env.reset(seed=0, options={"task_id": "paint-red", "canary": "nonce-417"})
    assert env.privileged() == {"answers": ("nonce-417",), "rgb": (255, 0, 0)}
    assert "nonce-417" not in observation + str(info) + str(env.messages)
    assert env.step("<answer>red</answer>")[1] == 0.0
    env.reset(seed=0, options={"task_id": "paint-red"})
    assert env.privileged()["answers"] == ("red",)
    assert env.step("<answer>red</answer>")[1] == 1.0


def test_privileged_data_are_in_info_only_if_asked_for() -> None:
    assert "privileged" not in DeskEnv().reset(seed=0)[1]
    env = DeskEnv(privileged=True)
    assert env.reset(seed=0)[1]["privileged"] == env.task.truth


def test_rendering_is_the_dialogue(capsys: Any) -> None:
    env = desk(render_mode="ansi")
    env.step("<note>a</note>")
    text = env.render()
    assert text.startswith("[user]\nPaint it red")
    assert "[assistant]\n<note>a</note>\n\n[user]\n<information>1 notes" in text
    shown = desk(render_mode="human")
    capsys.readouterr()
    assert shown.render() is None
    assert "[user]\nPaint it red" in capsys.readouterr().out
    with pytest.warns(UserWarning, match="render_mode='ansi'"):
        assert desk().render() is None


def test_what_agents_are_told_of_the_tools() -> None:
    env = desk()
    assert [tool["function"]["name"] for tool in env.tools] == ["note", "paint", "fail", "answer"]
    assert env.stop == ("</note>", "</paint>", "</fail>", "</answer>")
    assert env.say("note", text="a") == "<note>a</note>"
    assert env.policy_names == ("null", "echo", "random")


# Saved state --------------------------------------------------------------------------------------------------------

SCRIPT = (
    "<note>b</note>",
    '<paint>{"r": 1, "g": 2, "b": 3}</paint>',
    "nonsense",
    "<note>c</note>",
    "<answer>red</answer>",
)


def _finish(env: Any) -> list[Any]:
    record = []
    for action in SCRIPT:
        observation, *rest = env.step(action)
        text, image = observation["text"], observation["image"].tolist()
        record.append((text, image, *rest))
    return [*record, env.unwrapped.messages]


def test_a_snapshot_in_the_middle_continues_exactly() -> None:
    env = gym.make(PICTURE_DESK)
    env.reset(seed=9, options={"task_id": "paint-red"})
    env.step('<paint>{"r": 9, "g": 9, "b": 9}</paint>')
    other = gym.make(PICTURE_DESK)
    other.reset(seed=1)
    with palaestra.snapshot(env) as saved:
        assert saved.how == "exact"
        first = _finish(env)
        saved.restore()
        assert _finish(env) == first
        saved.restore(other)
        assert _finish(other) == first
    assert env.unwrapped.np_random.random() == other.unwrapped.np_random.random()


def test_forks_go_their_own_ways() -> None:
    env = gym.make(PICTURE_DESK)
    env.reset(seed=9, options={"task_id": "paint-red"})
    env.step("<note>a</note>")
    one, two = palaestra.fork(env, 2)
    one.step("<note>only here</note>")
    assert env.unwrapped.notes == two.unwrapped.notes == ["a"]
    assert _finish(two) == _finish(env)


def test_a_snapshot_remembers_that_an_episode_has_ended() -> None:
    env = gym.make(DESK)
    env.reset(seed=0)
    env.step("<answer>red</answer>")
    saved = palaestra.snapshot(env)
    env.reset(seed=1)
    saved.restore()
    with pytest.raises(gym.error.ResetNeeded):
        env.unwrapped.step("<note>a</note>")


# Vector environments ------------------------------------------------------------------------------------------------

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


def _texts(observations: Any) -> tuple[str, ...]:
    return tuple(observations["text"] if isinstance(observations, dict) else observations)


def _play_vector(env: Any, mode: AutoresetMode) -> list[Any]:
    """Three worlds: one ends at once, one fails in its second turn, one runs on into the horizon."""
    observations, _ = env.reset(seed=3)
    record: list[Any] = [_texts(observations)]
    done = np.zeros(3, bool)
    for turn in range(4):
        if mode is AutoresetMode.DISABLED and done.any():
            observations, _ = env.reset(options={"reset_mask": done})
            record.append(_texts(observations))
        second = "<fail>infrastructure</fail>" if turn == 1 else "<note>a</note>"
        observations, rewards, ends, cuts, infos = env.step(("<answer>red</answer>", second, "<note>b</note>"))
        done = ends | cuts
        record.append((_texts(observations), rewards.tolist(), ends.tolist(), cuts.tolist()))
        final = infos.get("final_info", infos)
        record.append([str(status) for status in np.atleast_1d(final.get("status", "none"))])
    env.close()
    return record


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("env_id", [DESK, PICTURE_DESK])
def test_vector_environments_agree_in_every_autoreset_mode(env_id: str, mode: AutoresetMode) -> None:
    def make() -> Any:
        return gym.make(env_id, max_turns=3)

    records = [
        _play_vector(SyncVectorEnv([make] * 3, autoreset_mode=mode), mode),
        _play_vector(AsyncVectorEnv([make] * 3, autoreset_mode=mode), mode),
        _play_vector(
            gym.make_vec(env_id, 3, max_turns=3, vector_kwargs={"autoreset_mode": mode}, vectorization_mode="sync"),
            mode,
        ),
    ]
    assert records[0] == records[1] == records[2]
    assert any("failed" in part for part in records[0] if isinstance(part, list))


@pytest.mark.parametrize("how", ["sync", "async"])
def test_make_vec_with_default_settings(how: str) -> None:
    env = gym.make_vec(DESK, 2, vectorization_mode=how)
    env.reset(seed=0)
    for _ in range(12):
        env.step(env.action_space.sample())
    env.close()


def test_policies_speak_the_dialect() -> None:
    env = desk(dialect="json")
    random = env.policy("random", np.random.default_rng(0))
    assert isinstance(env.action_space, Utf8)
    env.dialect.parse(random("x"), env._tool_list)
    with pytest.raises(DialectError):
        env.dialect.parse(env.policy("null", np.random.default_rng(0))("x"), env._tool_list)
    with pytest.raises(UnknownNameError):
        env.policy("oracle", np.random.default_rng(0))
