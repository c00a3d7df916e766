"""Worlds of the office: whole calls, saved states, and outcomes compared whatever the way."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from palaestra.envs.tools.desk.apps import APPS
from palaestra.envs.tools.desk.founding import found_office
from palaestra.envs.tools.desk.records import RECORDS
from palaestra.envs.tools.desk.states import WorldState
from palaestra.envs.tools.desk.world import TOOLS, World
from palaestra.episodes import TextPart
from palaestra.errors import ConfigError, ToolError, UnknownNameError

Call = tuple[str, dict[str, Any]]


def said(world: World, name: str, /, **arguments: Any) -> Any:
    (part,) = world.call(name, arguments).content
    assert isinstance(part, TextPart)
    return json.loads(part.text)


# Schemas ---------------------------------------------------------------------------------------------------------


def test_there_are_enough_applications_and_tools() -> None:
    assert len(APPS) == 9
    assert len(TOOLS) == sum(len(tools) for tools in APPS.values()) == 76
    for app, tools in APPS.items():
        assert all(tool.app == app for tool in tools)


@pytest.mark.parametrize("name", TOOLS)
def test_every_schema_is_valid_and_says_what_is_meant(name: str) -> None:
    tool = TOOLS[name]
    Draft202012Validator.check_schema(tool.parameters)
    assert json.loads(json.dumps(tool.parameters)) == tool.parameters
    assert tool.description.endswith(".")
    assert tool.parameters["additionalProperties"] is False
    for field, part in tool.parameters["properties"].items():
        assert part["description"], field
        assert part["type"] in ("string", "integer", "number", "boolean", "array")
        if part["type"] == "array":
            assert part["items"]["type"] in ("string", "object")
            assert part["maxItems"] <= 50
        if part["type"] == "string":
            assert "enum" in part or part["maxLength"] <= 20_000
    world = World.create(0)
    (bound,) = world.tools([name])
    assert bound.name == name
    assert bound.openai["function"]["parameters"] == tool.parameters


# Any arguments ---------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 60)
    | st.sampled_from([10**30, -1, 0.1, 1.005, float("nan"), float("inf"), -0.0, 1e308])
    | st.sampled_from(["", " ", "x", "none", "\x00", "\ud800", "2026-02-30", "2026-03-10", "a\nb", "é" * 300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_TABLES = {
    "person": "people", "people": "people", "manager": "people", "owner": "people", "buyer": "people",
    "attendees": "people", "assignee": "people", "requester": "people", "to": "people", "cc": "people",
    "department": "departments", "event": "events", "room": "rooms", "mail": "mails", "mails": "mails",
    "folder": "folders", "parent": "folders", "file": "files", "attachments": "files", "contact": "contacts",
    "product": "products", "order": "orders", "account": "accounts", "from_account": "accounts", "payee": "payees",
    "transfer": "transfers", "card": "cards", "ticket": "tickets", "duplicate_of": "tickets", "leave": "leaves",
}  # fmt: skip
_WORDS = ["Budget", "Aurora", "report", "plan.md", "notes.txt", "ada@lund.example", "DE89370400440532013000", "none",
          "Hamburg", "+49 30 1234567"]  # fmt: skip
_DAYS = ["2026-03-09", "2026-03-12", "2026-03-30", "2026-06-01", "2026-12-31", "2025-03-09"]
_MOMENTS = ["2026-03-09T09:00", "2026-03-12T10:30", "2026-03-13 15:00", "2026-04-20T08:00", "2026-03-01T08:00"]


@cache
def _ids(table: str) -> tuple[str, ...]:
    """Ids of records that concern the default user, and some others."""
    world = World.create(0)
    user, address = world.me.id, world.me.email
    records = list(world.table(table))
    near = [one.id for one in records if user in repr(one) or address in repr(one)]
    return (*near[:40], *(one.id for one in records[:: max(1, len(records) // 20)]))


def _meant(field: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a well-meant call could have in a field."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "array":
            return st.lists(_meant(field, schema["items"]), min_size=1, max_size=3)
        case "object":
            return st.fixed_dictionaries({name: _meant(name, part) for name, part in schema["properties"].items()})
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema["minimum"], min(schema["maximum"], 90))
        case "number":
            return st.sampled_from([0.01, 9.99, 120, 700.5, 4000.0, 20000])
    if schema.get("format") == "date":
        return st.sampled_from(_DAYS)
    if schema.get("format") == "date-time":
        return st.sampled_from(_MOMENTS)
    words = st.sampled_from(_WORDS)
    return st.sampled_from(_ids(_TABLES[field])) | words if field in _TABLES else words


@st.composite
def calls(draw: st.DrawFn, odd: bool = True) -> Call:
    """Calls, mostly well meant; with `odd`, some of their arguments are anything at all."""
    tool = TOOLS[draw(st.sampled_from(sorted(TOOLS)))]
    arguments: dict[str, Any] = {}
    for field, schema in tool.parameters["properties"].items():
        if field in tool.parameters["required"] or draw(st.booleans()):
            arguments[field] = draw(_meant(field, schema))
    if odd and draw(st.integers(0, 3)) == 0:
        field = draw(st.sampled_from([*arguments, "unknown"]))
        arguments[field] = draw(JSON)
    if odd and arguments and draw(st.integers(0, 9)) == 0:
        del arguments[draw(st.sampled_from(sorted(arguments)))]
    return tool.name, arguments


@settings(max_examples=250)
@given(st.lists(calls(), min_size=1, max_size=12))
def test_a_call_is_done_as_a_whole_or_not_at_all(script: list[Call]) -> None:
    world = World.create(0)
    for name, arguments in script:
        before = world.snapshot()
        given_arguments = copy.deepcopy(arguments)
        try:
            output = world.call(name, arguments)
        except ToolError as error:
            assert str(error)
            assert world.snapshot() == before
            assert world.changes(before) == ()
            continue
        (part,) = output.content
        assert isinstance(part, TextPart)
        assert isinstance(json.loads(part.text), dict)
        assert repr(arguments) == repr(given_arguments)
        changed = {f"{change.table}/{change.id}" for change in world.changes(before)}
        assert changed <= set(output.data["changed"])
        assert TOOLS[name].writes or not output.data["changed"]
        kept = world.snapshot()
        world.restore(before)
        assert world.snapshot() == before
        world.restore(kept)
        assert world.snapshot() == kept


@settings(max_examples=60)
@given(st.sampled_from(sorted(TOOLS)), st.dictionaries(st.text(max_size=12), JSON, max_size=4))
def test_arguments_out_of_nowhere_are_refused_or_done(name: str, arguments: dict[str, Any]) -> None:
    world = World.create(0)
    try:
        world.call(name, arguments)
    except ToolError as error:
        assert len(str(error)) < 2500
        assert world.changes() == ()


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("bank_transfer", {"from_account": "A-0001", "to": "A-0002", "reference": "x"}, "'amount' is a required"),
        ("bank_transfer", {"from_account": 1, "to": "A-0002", "amount": 1, "reference": "x"}, "'from_account': 1 is"),
        ("calendar_list", {"start": "tomorrow", "end": "2026-03-10T00:00"}, "'start': 'tomorrow' is no moment"),
        ("calendar_list", {"start": "2026-03-09T00:00+02", "end": "x"}, "'start': '2026-03-09T00:00+02' is no moment"),
        ("calendar_list", {"start": "2026-02-30T00:00", "end": "2026-03-10T00:00"}, "'start': '2026-02-30T00:00' is"),
        ("leave_request", {"kind": "holiday", "first": "2026-03-10", "last": "2026-03-10"}, "'kind': 'holiday' is not"),
        ("leave_request", {"kind": "sick", "first": "10.3.2026", "last": "2026-03-10"}, "'first': '10.3.2026' is no"),
        ("people_get", {"person": "P-0001", "persn": 1}, "'persn' was unexpected"),
        ("people_search", {"limit": 10**5000}, "too many digits"),
        ("people_search", {"limit": True}, "'limit': True is not of type 'integer'"),
        ("people_search", {"query": ["x"] * 100_000}, "'query': ['x'"),
        ("people_search", {"query": "x" * 1_000_000}, "'query': 'xxx"),
        ("bank_transfers", {"account": "A-0001", "since": "\ud800"}, "'account': 'A-0001' is no account"),
    ],
)
def test_a_refusal_names_the_field(name: str, arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ToolError) as caught:
        World.create(0).call(name, arguments)
    assert named in str(caught.value)
    assert len(str(caught.value)) < 2500


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -1, 0, 0.001, 1.005, 1e-9, 1_000_001, "12", None, True])
def test_no_other_amount_than_euros_and_cents(amount: Any) -> None:
    world = World.create(0)
    account = world.table("accounts").where("holder", world.user)[0]
    with pytest.raises(ToolError, match="amount"):
        world.call("bank_transfer", {"from_account": account.id, "to": "A-0001", "amount": amount, "reference": "x"})


def test_deep_arguments_are_refused() -> None:
    deep: Any = []
    for _ in range(200_000):
        deep = [deep]
    world = World.create(0)
    for arguments in ({"query": deep}, {"query": "x", "more": deep}):
        with pytest.raises(ToolError):
            world.call("people_search", arguments)
    with pytest.raises(ToolError, match="must be an object, got list"):
        world.call("people_search", deep)
    while deep:  # taken apart by hand: the interpreter's own way down is as deep as the list
        deep = deep.pop()


def test_an_unknown_tool_is_refused_with_its_nearest() -> None:
    world = World.create(0)
    for name, said_ in (("mail_sent", "Did you mean 'mail_send'?"), (7, "no tool 7"), ("x" * 10**6, "no tool 'xxx")):
        with pytest.raises(ToolError) as caught:
            world.call(name, {})  # type: ignore[arg-type]
        assert said_ in str(caught.value)
        assert len(str(caught.value)) < 1000
    with pytest.raises(UnknownNameError):
        world.tools(["mail_sent"])


def test_a_handler_that_breaks_leaves_the_state_untouched() -> None:
    world = World.create(0)
    world.call("contacts_add", {"name": "Ada", "email": "ada@lund.example"})
    before = world.snapshot()

    def breaks(office: Any, **arguments: Any) -> dict[str, Any]:
        office.people.put(office.me._replace(name="Nobody"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world._do(breaks, {})
    assert world.snapshot() == before


# Worlds apart ----------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), calls(odd=False)), max_size=25), st.integers(0, 24))
def test_no_world_sees_what_another_does(script: list[tuple[int, Call]], share_at: int) -> None:
    worlds = [World.create(0) for _ in range(3)]
    alone: list[list[Call]] = [[], [], []]
    texts: list[list[str]] = [[], [], []]
    for place, (which, (name, arguments)) in enumerate(script):
        if place == share_at:  # one goes on from the state of another, and both go on
            worlds[1].restore(worlds[0].snapshot())
            alone[1], texts[1] = list(alone[0]), list(texts[0])
        alone[which].append((name, arguments))
        texts[which].append(_told(worlds[which], name, arguments))
    for world, own, told in zip(worlds, alone, texts, strict=True):
        fresh = World.create(0)
        assert [_told(fresh, name, arguments) for name, arguments in own] == told
        assert fresh.digest() == world.digest()


def _told(world: World, name: str, arguments: dict[str, Any]) -> str:
    try:
        (part,) = world.call(name, arguments).content
    except ToolError as error:
        return f"error: {error}"
    assert isinstance(part, TextPart)
    return part.text


def test_the_shared_start_is_as_it_was_founded() -> None:
    """After all that other tests in this process did to worlds of this seed."""
    shared, anew = found_office(0), found_office.__wrapped__(0)
    for name in RECORDS:
        assert dict(shared.tables[name].rows) == dict(anew.tables[name].rows)
        assert {k: dict(v) for k, v in shared.tables[name].by.items()} == {
            k: dict(v) for k, v in anew.tables[name].by.items()
        }


# Saved states ----------------------------------------------------------------------------------------------------


def test_a_state_is_a_value() -> None:
    world = World.create(0)
    said(world, "contacts_add", name="Ada Lund", email="ada@lund.example", notes="\ud800")
    state = world.snapshot()
    assert copy.deepcopy(state) is state
    assert copy.copy(state) is state
    again = pickle.loads(pickle.dumps(state))
    assert again == state
    assert again.digest() == state.digest()
    assert hash(again) == hash(state)
    assert state != World.create(0).snapshot()
    assert state != World.create(1).snapshot()
    assert state != 7
    said(world, "contacts_delete", contact="ada@lund.example")
    assert world.snapshot() != state
    assert world.changes(state)[0].kind == "deleted"
    world.restore(again)
    assert world.snapshot() == state
    assert [change.fields[:2] for change in world.changes()] == [("id", "name")]


def test_a_state_knows_who_acts() -> None:
    world = World.create(0)
    state = world.snapshot()
    world.act_for("P-0050")
    assert said(world, "people_me")["you"]["id"] == "P-0050"
    assert world.snapshot() != state
    world.restore(state)
    assert said(world, "people_me")["you"]["id"] == state.user != "P-0050"


def test_a_state_goes_to_worlds_of_its_seed_only() -> None:
    state = World.create(1).snapshot()
    with pytest.raises(ConfigError, match="seed 0, the state is of seed 1"):
        World.create(0).restore(state)
    with pytest.raises(ConfigError, match="cannot be compared"):
        World.create(0).diff(state)


def test_digests_are_the_same_in_another_process() -> None:
    code = (
        "from palaestra.envs.tools.desk.world import World\nworld = World.create(0)\n"
        "world.call('tickets_create', {'queue': 'it', 'title': 'Mouse', 'description': 'It sticks.'})\n"
        "print(world.digest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    world = World.create(0)
    said(world, "tickets_create", queue="it", title="Mouse", description="It sticks.")
    assert done.stdout.strip() == world.digest()


@pytest.mark.parametrize("seed", [-1, 1.5, "0", True, None])
def test_bad_seeds_are_refused(seed: Any) -> None:
    with pytest.raises(ConfigError, match="seed"):
        World.create(seed)


def test_people_and_tables_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="'P-9999'"):
        World.create(0, user="P-9999")
    with pytest.raises(ConfigError, match="'P-9999'"):
        World.create(0).act_for("P-9999")
    with pytest.raises(UnknownNameError, match="Did you mean 'events'"):
        World.create(0).table("event")


# Outcomes --------------------------------------------------------------------------------------------------------

_PEOPLE = ("P-0003", "P-0004")
_STEPS: tuple[Call, ...] = (
    ("contacts_add", {"name": "Ada Lund", "email": "ada@lund.example"}),
    ("contacts_add", {"name": "Ben Lund", "email": "ben@lund.example"}),
    ("mail_send", {"to": [_PEOPLE[0]], "subject": "Numbers", "body": "Here they are."}),
    ("mail_send", {"to": [_PEOPLE[1]], "subject": "Numbers", "body": "Here they are."}),
    ("tickets_create", {"queue": "it", "title": "Mouse", "description": "It sticks.", "idempotency_key": "1"}),
    ("files_create", {"folder": "FD-0012", "name": "new.txt", "content": "New."}),
)


def _after(steps: Any) -> World:
    world = World.create(0)
    for name, arguments in steps:
        world.call(name, arguments)
    return world


@pytest.mark.parametrize("order", list(itertools.permutations(range(6)))[::41])
def test_the_order_of_steps_does_not_matter(order: tuple[int, ...]) -> None:
    one, other = _after(_STEPS), _after([_STEPS[place] for place in order])
    assert one.diff(other) == ()
    assert other.diff(one.snapshot()) == ()


@pytest.mark.parametrize("left_out", range(6))
def test_a_step_left_out_or_done_twice_is_seen(left_out: int) -> None:
    whole = _after(_STEPS)
    part = _after(step for place, step in enumerate(_STEPS) if place != left_out)
    (missing,) = part.diff(whole)
    assert missing.here is None
    assert missing.there is not None
    assert whole.diff(part)[0].here == missing.there
    if _STEPS[left_out][0] == "mail_send":
        twice = _after([*_STEPS, _STEPS[left_out]])
        assert [found.there for found in twice.diff(whole)] == [None]


def test_detours_leave_no_trace() -> None:
    detours: list[Call] = [
        ("mail_search", {}),
        ("people_get", {"person": "P-0009"}),
        ("mail_mark", {"mails": [_mail(World.create(0))], "mark": "starred"}),
        ("mail_mark", {"mails": [_mail(World.create(0))], "mark": "unstarred"}),
        ("contacts_add", {"name": "Eve", "email": "eve@lund.example"}),
        ("contacts_delete", {"contact": "eve@lund.example"}),
    ]
    around = _after([*detours, *_STEPS])
    assert around.diff(_after(_STEPS)) == ()
    assert around.snapshot() != _after(_STEPS).snapshot()  # ids were used up: the states differ, the outcomes do not


def _mail(world: World) -> str:
    return next(
        one.id for one in world.table("mails").where("address", world.me.email) if world.user not in one.starred_by
    )


def test_references_to_new_records_are_looked_through() -> None:
    def play(first: str, second: str, key: str) -> World:
        world = World.create(0, user=World.create(0).departments.where("name", "it")[0].head)
        ids = {
            title: said(world, "tickets_create", queue="it", title=title, description="...")["created"]["id"]
            for title in (first, second)
        }
        said(world, "tickets_comment", ticket=ids["Mouse"], text="Same as the other.")
        said(world, "tickets_mark_duplicate", ticket=ids["Mouse"], duplicate_of=ids[key])
        return world

    one, other = play("Mouse", "Mice", "Mice"), play("Mice", "Mouse", "Mice")
    assert one.snapshot() != other.snapshot()
    assert one.diff(other) == ()
    swapped = World.create(0, user=one.user)
    ids = [said(swapped, "tickets_create", queue="it", title=t, description="...")["created"]["id"]
           for t in ("Mouse", "Mice")]  # fmt: skip
    said(swapped, "tickets_comment", ticket=ids[1], text="Same as the other.")
    said(swapped, "tickets_mark_duplicate", ticket=ids[0], duplicate_of=ids[1])
    assert [found.table for found in one.diff(swapped)] == ["comments", "comments"]


def test_answers_in_new_threads_are_looked_through() -> None:
    def play(subjects: tuple[str, str]) -> World:
        world = World.create(0)
        for subject in subjects:
            id_ = said(world, "mail_send", to=["P-0003"], subject=subject, body="Text")["sent"]["id"]
            said(world, "mail_reply", mail=id_, body=f"More on {subject}")
        return world

    assert play(("A", "B")).diff(play(("B", "A"))) == ()
    crossed = World.create(0)
    first, second = (said(crossed, "mail_send", to=["P-0003"], subject=s, body="Text")["sent"]["id"] for s in "AB")
    said(crossed, "mail_reply", mail=first, body="More on B")
    said(crossed, "mail_reply", mail=second, body="More on A")
    assert len(crossed.diff(play(("A", "B")))) == 4


def test_fields_can_be_left_out_or_seen_through_a_view() -> None:
    one, other = World.create(0), World.create(0)
    for world, body in ((one, "Here it is."), (other, "HERE IT IS")):
        said(world, "mail_send", to=["P-0003"], subject="File", body=body)
        said(world, "leave_request", kind="unpaid", first="2026-11-02", last="2026-11-03", note=body)
    assert {found.table for found in one.diff(other)} == {"mails", "leaves"}
    assert {found.table for found in one.diff(other, ignore={"mails.body"})} == {"leaves"}
    plain = {"leaves.note": lambda text: text.casefold().strip(".")}
    assert one.diff(other, ignore={"mails.body"}, views=plain) == ()
    with pytest.raises(ConfigError, match=r"no field 'mails.text'"):
        one.diff(other, ignore={"mails.text"})


def test_differences_of_old_records_name_both() -> None:
    one, other = World.create(0), World.create(0)
    mail = _mail(one)
    said(one, "mail_mark", mails=[mail], mark="starred")
    (found,) = one.diff(other)
    assert (found.table, found.id) == ("mails", mail)
    assert one.user in found.here.starred_by
    assert one.user not in found.there.starred_by
    (change,) = one.changes()
    assert (change.kind, change.fields) == ("changed", ("starred_by",))


def test_states_compare_by_content_not_by_how_they_are_held() -> None:
    world = World.create(0)
    mail = _mail(world)
    start = world.snapshot()
    said(world, "mail_mark", mails=[mail], mark="starred")
    said(world, "mail_mark", mails=[mail], mark="unstarred")
    assert isinstance(start, WorldState)
    assert world.snapshot() == start
    assert world.digest() == start.digest()


def test_what_is_deleted_on_one_side_only_is_a_difference() -> None:
    one, other = World.create(0), World.create(0)
    mine = next(contact for contact in one.table("contacts") if contact.owner == one.user)
    one.call("contacts_delete", {"contact": mine.id})
    assert [(found.id, found.here, found.there) for found in one.diff(other)] == [(mine.id, None, mine)]
    assert [(found.id, found.here, found.there) for found in other.diff(one)] == [(mine.id, mine, None)]
    other.call("contacts_delete", {"contact": mine.id})
    assert one.diff(other) == ()
