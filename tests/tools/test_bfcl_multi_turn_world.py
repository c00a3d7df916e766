"""Conversations of BFCL's multi-turn categories: their course, their verdicts, snapshots, and hostile calls."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.tools.bfcl.calls import Call
from palaestra.envs.tools.bfcl.multi_turn import (
    CATEGORIES,
    MAX_STEPS,
    MultiTurnWorld,
    check,
    check_texts,
    decode_step,
    multi_turn_cases,
)
from palaestra.envs.tools.bfcl.multi_turn.apis import APIS
from palaestra.envs.tools.bfcl.multi_turn.apis.files import Directory, pack, same_tree, unpack
from palaestra.errors import DataError, UnknownNameError


def case_of(number, category="multi_turn_base"):
    return multi_turn_cases(category)[f"{category}_{number}"]


def case_with(name, category="multi_turn_base"):
    return next(case for case in multi_turn_cases(category).values() if name in case.classes)


def plainly(world):
    """The state as text, directories included."""

    def entry(item):
        if isinstance(item, Directory):
            return {name: entry(inner) for name, inner in item.contents.items()}
        return getattr(item, "content", item)

    return repr({name: {key: entry(value) for key, value in state.items()} for name, state in world.state().items()})


def play(case, world=None):
    world = world or MultiTurnWorld(case)
    while not world.finished:
        if world.steps == 0 and case.gold[world.turn]:
            world.step(case.gold[world.turn])
        else:
            world.step(())
    return world


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_reference_wins_every_conversation(category):
    cases = multi_turn_cases(category)
    assert len(cases) == 200
    for case in cases.values():
        assert play(case).verdict().valid, case.id


def test_saying_nothing_never_wins():
    for category in CATEGORIES:
        for case in multi_turn_cases(category).values():
            world = MultiTurnWorld(case)
            while not world.finished:
                world.step(())
            assert world.verdict().error_type == "multi_turn:empty_turn_model_response"


def test_functions_held_out_arrive_with_their_turn():
    cases = [case for case in multi_turn_cases("multi_turn_miss_func").values()]
    assert all(case.held_out for case in cases)
    for case in cases[:50]:
        (turn, docs), *_ = case.held_out.items()
        names = {doc["name"] for doc in docs}
        world = MultiTurnWorld(case)
        while world.turn < turn:
            assert world.messages() == case.turns[world.turn] != ()
            assert not names & {doc["name"] for doc in world.functions()}
            world.step(())
        assert case.turns[turn] == ()
        (message,) = world.messages()
        (short,) = world.messages(with_docs=False)
        assert message["role"] == short["role"] == "user"
        assert message["content"] == f"{list(docs)}\n{short['content']}"
        assert names <= {doc["name"] for doc in world.functions()}


def test_every_function_is_documented_and_every_document_has_its_function():
    for category in CATEGORIES:
        for case in multi_turn_cases(category).values():
            docs = [*case.functions, *(doc for docs in case.held_out.values() for doc in docs)]
            tools = {tool for name in case.classes for tool in APIS[name]._tool_names()}
            assert {doc["name"] for doc in docs} == tools


def test_a_turn_has_twenty_steps_and_one_more_is_the_last():
    case = case_with("GorillaFileSystem")
    world = MultiTurnWorld(case)
    for _ in range(MAX_STEPS):
        world.step([Call("pwd", (), {})])
        assert not world.finished
    world.step([Call("pwd", (), {})])
    assert world.finished and world.forced_quit
    with pytest.raises(ValueError, match="over"):
        world.step(())
    assert not world.verdict().valid


def test_a_last_turn_that_is_too_long_still_counts():
    case = next(case for case in multi_turn_cases("multi_turn_base").values() if "GorillaFileSystem" in case.classes)
    world = MultiTurnWorld(case)
    while world.turn < len(case.turns) - 1:
        world.step(case.gold[world.turn])
        world.step(())
    world.step(case.gold[world.turn])
    while not world.finished:
        world.step([Call("pwd", (), {})])
    assert world.forced_quit and world.verdict().valid


def test_an_unfinished_conversation_is_not_won():
    case = case_of(0)
    world = MultiTurnWorld(case)
    world.step(case.gold[0])
    world.step(())
    verdict = world.verdict()
    assert not verdict.valid and verdict.error_type == "multi_turn:force_terminated" and verdict.turn == 1


def test_what_was_done_too_early_counts_later():
    case = case_of(0)
    turns = [[list(turn)] for turn in case.gold_texts]
    with_early_look = [[["ls()"], *turns[0]], *turns[1:]]
    assert check(case, with_early_look).valid


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_restored_conversation_goes_on_as_the_first(category):
    for case in list(multi_turn_cases(category).values())[::4]:
        world = MultiTurnWorld(case)
        while world.turn < len(case.turns) // 2:
            if case.gold[world.turn]:
                world.step(case.gold[world.turn])
            world.step(())
        saved, before = world.get_state(), plainly(world)
        other = MultiTurnWorld(case)
        other.set_state(saved)
        unseen = MultiTurnWorld(case)  # nobody looks at it before it is judged
        unseen.set_state(saved)
        assert play(case, unseen).verdict().valid
        assert plainly(other) == before
        finished = play(case, world)
        assert play(case, other).verdict() == finished.verdict()
        assert plainly(other) == plainly(finished)
        world.set_state(saved)
        assert plainly(world) == before and not world.finished


def test_a_state_belongs_to_its_case():
    with pytest.raises(ValueError, match="multi_turn_base_0, not of multi_turn_base_1"):
        MultiTurnWorld(case_of(1)).set_state(MultiTurnWorld(case_of(0)).get_state())


def test_worlds_of_a_case_share_nothing():
    for name in APIS:
        case = case_with(name, "multi_turn_long_context")
        first, second = MultiTurnWorld(case), MultiTurnWorld(case)
        untouched = plainly(second)
        play(case, first)
        assert plainly(second) == untouched == plainly(MultiTurnWorld(case))


def test_texts_are_judged_as_calls():
    case = case_of(0)
    texts = [
        [
            "[" + ", ".join(f"{c.name}({', '.join(f'{k}={v!r}' for k, v in c.kwargs.items())})" for c in turn) + "]",
            "Done.",
        ]
        for turn in case.gold
    ]
    assert check_texts(case, texts).valid
    assert check_texts(case, [texts[0]]).error_type == "multi_turn:force_terminated"
    assert check_texts(case, [["No."] for _ in texts]).error_type == "multi_turn:empty_turn_model_response"
    assert decode_step("I am done.") is None
    assert decode_step("") == []


CODE = [
    "__import__('os').mkdir('{path}')",
    "[cd(folder='x') for x in open('{path}', 'w')]",
    "echo(content=open('{path}', 'w'))",
    "echo(content=[open('{path}', 'w')])",
    "echo(content=(lambda: open('{path}', 'w'))())",
    "echo(**dict(content=open('{path}', 'w')))",
    "echo(content=f\"{{open('{path}', 'w')}}\")",
    "touch(file_name='a') or open('{path}', 'w')",
    "open('{path}', 'w')",
    "eval(\"open('{path}', 'w')\")",
    "echo.__globals__['__builtins__']['open']('{path}', 'w')",
    "(touch(file_name='a'), open('{path}', 'w'))",
    "touch(file_name='a'); open('{path}', 'w')",
    "x = open('{path}', 'w')",
]


@pytest.mark.parametrize("code", CODE)
def test_code_is_text(tmp_path, code):
    case = case_with("GorillaFileSystem")
    path = tmp_path / "made"
    text = code.format(path=path)
    turns = [[[text, *turn]] for turn in case.gold_texts]
    assert check(case, turns).valid  # an error each, and nothing else
    check_texts(case, [[text] for _ in case.gold_texts])
    world = MultiTurnWorld(case)
    before = plainly(world)
    assert world.call(text, {}).startswith("Error during execution: ")
    assert world.call("echo", {"content": text}) == json.dumps({"terminal_output": text})
    assert plainly(world) == before and not path.exists()


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "name, arguments, said",
    [
        ("frobnicate", {}, "name 'frobnicate' is not defined"),
        ("_load", {"scenario": {}, "long_context": True}, "name '_load' is not defined"),
        ("__init__", {}, "name '__init__' is not defined"),
        ("os.remove", {"path": "/"}, "Function call remove is not allowed."),
        ("cd", {}, "GorillaFileSystem.cd() missing 1 required positional argument: 'folder'"),
        ("cd", {"folder": "x", "depth": 1}, "GorillaFileSystem.cd() got an unexpected keyword argument 'depth'"),
        ("cd", {"self": 1}, "got multiple values for argument 'self'"),
        ("cd", {"folder": 7}, "'int' object has no attribute 'rstrip'"),
        ("touch", {"file_name": ["x"]}, "unhashable type: 'list'"),
        ("touch", {"file_name": nested(101)}, "An argument is nested deeper than 100 levels."),
        ("touch", {"file_name": nested(100_000)}, "An argument is nested deeper than 100 levels."),
        ("power", {"base": 10, "exponent": 10**12}, "Exceeds the limit (4300 digits)"),
        ("power", {"base": -3, "exponent": 10**9}, "Exceeds the limit (4300 digits)"),
        ("logarithm", {"value": 2, "base": 3, "precision": 10**9}, "A precision of more than 4300 digits"),
        ("square_root", {"number": 2, "precision": 10**9}, "A precision of more than 4300 digits"),
    ],
)
def test_bad_calls_are_answered_and_change_nothing(name, arguments, said):
    case = next(
        case
        for case in multi_turn_cases("multi_turn_base").values()
        if {"GorillaFileSystem", "MathAPI"} == {*case.classes}
    )
    world = MultiTurnWorld(case)
    before = plainly(world)
    answer = world.call(name, arguments)
    assert answer.startswith("Error during execution: ") and said in answer
    assert plainly(world) == before


def test_rounding_to_very_many_places_is_quick():
    world = MultiTurnWorld(case_with("MathAPI"))
    assert world.call("round_number", {"number": 5, "decimal_places": -(10**12)}) == '{"result": 0}'
    assert world.call("round_number", {"number": 15, "decimal_places": -1}) == '{"result": 20}'


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.data(), name=st.sampled_from(sorted(APIS)))
def test_nothing_that_is_said_raises(data, name):
    world = MultiTurnWorld(case_with(name, "multi_turn_long_context"))
    tools = sorted(APIS[name]._tool_names())
    for _ in range(data.draw(st.integers(1, 4))):
        tool = data.draw(st.sampled_from([*tools, "", "x y"]))
        keys = st.sampled_from(
            ["value", "base", "numbers", "path", "file_name", "symbol", "tweet_id", "door", "a", "b"]
        )
        assert isinstance(world.call(tool, data.draw(st.dictionaries(keys, values, max_size=3))), str)
    world.end_step()
    other = MultiTurnWorld(world.case)
    other.set_state(world.get_state())
    assert plainly(other) == plainly(world)
    world.verdict()


@given(text=st.text(max_size=60) | st.from_regex(r"(cd|echo|ls)\([a-z=\[\]{}'\",0-9(): ]{0,30}\)?"))
def test_no_text_raises(text):
    case = case_of(0)
    check(case, [[[text]] for _ in case.turns])
    check_texts(case, [[text] for _ in case.turns])


def test_exponentially_many_paths_are_an_error():
    world = MultiTurnWorld(case_with("GorillaFileSystem"))
    world.call("cd", {"folder": "/"})
    world.call("mkdir", {"dir_name": "a"})
    for _ in range(40):
        for call in (
            ("cp", {"source": "a", "destination": "b"}),
            ("mkdir", {"dir_name": "c"}),
            ("mv", {"source": "a", "destination": "c"}),
            ("mv", {"source": "b", "destination": "c"}),
            ("mv", {"source": "c", "destination": "a"}),
        ):
            assert "result" in (answer := world.call(*call)) or answer == "None"
    assert "recursion" in world.call("find", {"path": "."})
    assert "recursion" in world.call("du", {})
    world.step(())  # is judged all the same
    other = MultiTurnWorld(world.case)
    other.set_state(world.get_state())
    assert other.call("ls", {}) == world.call("ls", {})


def test_directories_of_any_depth_and_loops_are_stored_and_compared():
    case = case_with("GorillaFileSystem")
    world = MultiTurnWorld(case)
    for _ in range(3000):
        world.call("mkdir", {"dir_name": "d"})
        world.call("cd", {"folder": "d"})
    world.call("mkdir", {"dir_name": "loop"})
    world.call("cp", {"source": "loop", "destination": "loop"})
    saved = world.get_state()
    assert "recursion" in world.call("find", {})
    other = MultiTurnWorld(case)
    other.set_state(saved)
    mine, others = world.state()["GorillaFileSystem"], other.state()["GorillaFileSystem"]
    assert same_tree(mine["root"], others["root"])
    other.call("touch", {"file_name": "more"})
    assert not same_tree(mine["root"], others["root"])
    assert other.call("pwd", {}) == world.call("pwd", {})


def test_stored_trees_keep_what_is_shared():
    root = Directory("root", None)
    first = root.add_directory("first")
    first.add_file("file", "old")
    root.add("second", first, copied=True)
    root.add("third", first, copied=False)
    (again,) = unpack(pack(root))
    assert same_tree(root, again)
    folders = again.contents
    folders["first"].contents["file"].content = "new"
    assert folders["second"].contents["file"].content == folders["third"].contents["file"].content == "new"
    folders["first"].add_file("more", "")
    assert "more" in folders["third"].contents and "more" not in folders["second"].contents
    assert folders["first"].parent is again


def test_unknown_categories_and_tables_are_named():
    with pytest.raises(UnknownNameError, match="multi_turn_base"):
        multi_turn_cases("multi_turn_bas")
    from palaestra.envs.tools.bfcl.multi_turn.published import published_table

    with pytest.raises(DataError, match=r"long_context\.py.*NOTHING.*bfcl-eval==2026"):
        published_table("long_context.py", "NOTHING")
