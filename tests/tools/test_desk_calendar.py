"""The rules of the directory and the calendar, against slow readings of the tables."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from palaestra.envs.tools.desk.records import Event
from palaestra.envs.tools.desk.world import World
from palaestra.episodes import TextPart
from palaestra.errors import ToolError

WEEK = ("2026-03-09T00:00", "2026-03-14T00:00")


def said(world: World, name: str, /, **arguments: Any) -> Any:
    (part,) = world.call(name, arguments).content
    assert isinstance(part, TextPart)
    return json.loads(part.text)


def refused(world: World, name: str, /, **arguments: Any) -> str:
    before = world.snapshot()
    with pytest.raises(ToolError) as caught:
        world.call(name, arguments)
    assert world.snapshot() == before
    return str(caught.value)


def busy(world: World, person: str, start: str, end: str) -> list[Event]:
    """All confirmed events at this time that the person organizes or has not declined or left open."""
    return [
        event
        for event in world.table("events")
        if event.status == "confirmed"
        and not (event.end <= start or end <= event.start)
        and (event.organizer == person or dict(event.attendees).get(person) in ("accepted", "tentative"))
    ]


def free_time(world: World, people: list[str], minutes: int = 60) -> tuple[str, str]:
    slot = said(
        world, "calendar_find_slots", people=people, duration_minutes=minutes, start="2026-03-10T09:00",
        end="2026-04-03T17:00",
    )["slots"][0]  # fmt: skip
    return slot["start"], slot["end"]


@pytest.fixture
def world() -> World:
    return World.create(0)


def coming(world: World, **wanted: Any) -> Event:
    """A coming event that the user organizes, with people in it."""
    return next(
        event
        for event in world.table("events").where("person", world.user)
        if event.organizer == world.user and event.attendees and event.status == "confirmed" and event.start > world.now
        if all(bool(getattr(event, name)) == value for name, value in wanted.items())
    )


# Directory -------------------------------------------------------------------------------------------------------


def test_people_are_found_by_words_department_and_city(world: World) -> None:
    people = list(world.table("people"))
    rosas = [one.id for one in people if "rosa" in f"{one.name} {one.title} {one.email}".casefold()]
    assert [one["id"] for one in said(world, "people_search", query="ROSA", limit=50)["people"]] == rosas
    legal = said(world, "people_search", department="Legal", city="hamburg", limit=50)
    assert [one["id"] for one in legal["people"]] == [
        one.id for one in people if one.department == "D-0011" and one.office == "Hamburg"
    ]
    assert said(world, "people_search", query="Engineer", limit=2)["found"] > 2
    assert "Offices: Gdansk, Hamburg, Lisbon, Utrecht" in refused(world, "people_search", city="Paris")
    assert "Departments: Management" in refused(world, "people_search", department="Space")


def test_people_go_by_id_and_by_address(world: World) -> None:
    person = world.people["P-0017"]
    assert said(world, "people_get", person=person.email.upper()) == said(world, "people_get", person="P-0017")
    assert "people_search finds them" in refused(world, "people_get", person="Rosa")
    team = [one.id for one in world.table("people") if one.manager == "P-0001"]
    assert [one["id"] for one in said(world, "people_reports", manager="P-0001")["reports"]] == team
    shown = said(world, "people_department", department="legal")
    assert shown["budget"] == world.departments["D-0011"].budget / 100
    assert len(shown["members"]) == sum(one.department == "D-0011" for one in world.table("people"))


# Looking ---------------------------------------------------------------------------------------------------------


def test_a_calendar_lists_what_overlaps_in_order(world: World) -> None:
    for person in ("P-0002", "P-0040", "P-0001"):
        shown = said(world, "calendar_list", person=person, start=WEEK[0], end=WEEK[1], limit=50)["events"]
        expected = sorted(
            (event.start, event.id)
            for event in world.table("events")
            if event.status == "confirmed"
            and event.start < WEEK[1]
            and event.end > WEEK[0]
            and person in (event.organizer, *dict(event.attendees))
        )
        assert [one["start"] for one in shown] == [start for start, _ in expected]
    assert "not after the start" in refused(world, "calendar_list", start=WEEK[1], end=WEEK[0])
    assert "longer than 62 days" in refused(world, "calendar_list", start=WEEK[0], end="2026-06-01T00:00")


def test_private_events_of_others_show_as_busy(world: World) -> None:
    event = next(one for one in world.table("events") if one.private and one.organizer != world.user)
    shown = said(world, "calendar_list", person=event.organizer, start=event.start, end=event.end)["events"]
    assert {"title": "busy", "start": event.start, "end": event.end} in shown
    assert "is private" in refused(world, "calendar_get", event=event.id)
    world.act_for(event.organizer)
    assert said(world, "calendar_get", event=event.id)["title"] == event.title


def test_slots_are_the_first_when_all_are_free(world: World) -> None:
    people, end = ["P-0002", "P-0013", "P-0020", "P-0030"], "2026-03-20T12:00"
    for minutes in (30, 90, 240):
        found = said(world, "calendar_find_slots", people=people, duration_minutes=minutes, start="2026-03-06T11:10",
                     end=end, limit=10)["slots"]  # fmt: skip
        expected = []
        at = datetime(2026, 3, 9, 9)
        while len(expected) < 10 and at < datetime(2026, 3, 20, 12):
            start, over = (moment.isoformat(timespec="minutes") for moment in (at, at + timedelta(minutes=minutes)))
            within = at.weekday() < 5 and start[11:] >= "09:00" and over[11:] <= "17:00" and start[:10] == over[:10]
            if within and over <= end and not any(busy(world, person, start, over) for person in people):
                expected.append({"start": start, "end": over})
            at += timedelta(minutes=30)
        assert found == expected


def test_free_rooms_are_those_nobody_has(world: World) -> None:
    for start, end in (("2026-03-10T10:00", "2026-03-10T11:00"), ("2026-03-12T09:00", "2026-03-12T17:00")):
        shown = said(world, "calendar_rooms", start=start, end=end, capacity=6, equipment=["video"])["rooms"]
        taken = {e.room for e in world.table("events") if e.status == "confirmed" and e.start < end and start < e.end}
        expected = {
            room.id
            for room in world.table("rooms")
            if room.id not in taken and room.capacity >= 6 and "video" in room.equipment
        }
        assert {room["id"] for room in shown} == expected
        assert [room["capacity"] for room in shown] == sorted(room["capacity"] for room in shown)


# Creating --------------------------------------------------------------------------------------------------------


def test_an_event_is_created_where_all_are_free(world: World) -> None:
    start, end = free_time(world, [world.user, "P-0013"])
    room = said(world, "calendar_rooms", start=start, end=end)["rooms"][0]["id"]
    made = said(world, "calendar_create", title=" Budget talk ", start=start.replace("T", " "), duration_minutes=60,
                attendees=["P-0013", world.me.email, "P-0013"], room=room)["created"]  # fmt: skip
    event = world.events[made["id"]]
    assert event == Event(
        made["id"], "Budget talk", world.user, (("P-0013", "pending"),), room, start, end, "", False, "confirmed"
    )
    world.act_for(next(one.id for one in world.table("people") if not busy(world, one.id, start, end)))
    assert "is taken" in refused(world, "calendar_create", title="x", start=start, duration_minutes=5, room=room)


def test_who_is_busy_cannot_be_booked(world: World) -> None:
    event = coming(world)
    assert f"you are busy with '{event.title}'" in refused(
        world, "calendar_create", title="x", start=event.start, duration_minutes=30
    )
    start, other = next(
        (one.start, one.organizer)
        for one in world.table("events")
        if one.status == "confirmed" and one.start > world.now and not busy(world, world.user, one.start, one.end)
    )
    call = {"title": "x", "start": start, "duration_minutes": 30, "attendees": [other]}
    told = refused(world, "calendar_create", **call)
    assert other in told
    assert "allow_conflicts" in told
    said(world, "calendar_create", **call, allow_conflicts=True)


def test_who_declined_or_has_not_answered_is_free(world: World) -> None:
    event, person = next(
        (event, person)
        for event in world.table("events")
        for person, answer in event.attendees
        if answer in ("declined", "pending") and event.start > world.now
        if not busy(world, person, event.start, event.end)
    )
    world.act_for(person)
    said(world, "calendar_create", title="Instead", start=event.start, duration_minutes=15)
    told = refused(world, "calendar_respond", event=event.id, response="accepted")
    assert "you are busy with 'Instead'" in told or "is cancelled" in told


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"start": "2026-03-09T08:59"}, "is in the past"),
        ({"title": "  "}, "not blank"),
        ({"title": "a\nb"}, "one line"),
        ({"room": "R-9999"}, "there is no room 'R-9999'"),
        ({"attendees": ["P-0013", "nobody@velmora.example"]}, "'attendees.1': there is no employee"),
    ],
)
def test_what_an_event_cannot_be(world: World, wrong: dict[str, Any], told: str) -> None:
    start, _ = free_time(world, [world.user, "P-0013"])
    assert told in refused(world, "calendar_create", **{"title": "x", "start": start, "duration_minutes": 30, **wrong})


def test_rooms_must_seat_everybody(world: World) -> None:
    people = [f"P-{number:04}" for number in range(20, 24)]
    start, end = free_time(world, [world.user, *people])
    room = next(one for one in said(world, "calendar_rooms", start=start, end=end)["rooms"] if one["capacity"] == 4)
    call = {"title": "x", "start": start, "duration_minutes": 30, "room": room["id"]}
    assert "seats 4; the event has 5 people" in refused(world, "calendar_create", **call, attendees=people)
    made = said(world, "calendar_create", **call, attendees=people[:3])["created"]["id"]
    assert "seats 4" in refused(world, "calendar_invite", event=made, attendees=people[3:])


# Changing --------------------------------------------------------------------------------------------------------


def test_only_the_organizer_changes_what_is_to_come(world: World) -> None:
    other = next(
        one for one in world.table("events")
        if world.user in dict(one.attendees) and one.start > world.now and one.status == "confirmed"
    )  # fmt: skip
    past = next(one for one in world.table("events").where("person", world.user)
                if one.organizer == world.user and one.start < world.now and one.status == "confirmed")  # fmt: skip
    for name, more in (
        ("calendar_update", {"title": "New"}),
        ("calendar_cancel", {}),
        ("calendar_invite", {"attendees": ["P-0100"]}),
        ("calendar_uninvite", {"attendees": ["P-0100"]}),
    ):
        assert "only the organizer" in refused(world, name, event=other.id, **more)
        assert "only coming events" in refused(world, name, event=past.id, **more)


def test_one_event_may_begin_when_another_ends(world: World) -> None:
    people = [world.user, "P-0013"]
    start, _ = free_time(world, people, 90)
    room = said(world, "calendar_rooms", start=start, end=free_time(world, people, 90)[1])["rooms"][0]["id"]
    call = {"duration_minutes": 30, "attendees": ["P-0013"], "room": room}
    first, middle, last = (
        (datetime.fromisoformat(start) + timedelta(minutes=minutes)).isoformat(timespec="minutes")
        for minutes in (0, 30, 60)
    )
    for begin in (first, last, middle):
        said(world, "calendar_create", title="Talk", start=begin, **call)
    listed = said(world, "calendar_list", start=first, end=last)["events"]
    assert [one["start"] for one in listed] == [first, middle]


def test_moving_an_event_asks_everybody_again(world: World) -> None:
    event = coming(world)
    people = [world.user, *dict(event.attendees)]
    start, end = free_time(world, people, 30)
    said(world, "calendar_update", event=event.id, start=start, duration_minutes=30, room="none")
    moved = world.events[event.id]
    assert (moved.start, moved.end, moved.room) == (start, end, "")
    assert set(dict(moved.attendees).values()) == {"pending"}
    said(world, "calendar_update", event=event.id, title="Only the title", description="And this")
    assert world.events[event.id] == moved._replace(title="Only the title", description="And this")
    assert "Nothing to change" in refused(world, "calendar_update", event=event.id)
    assert "in the past" in refused(world, "calendar_update", event=event.id, start="2026-03-08T10:00")


def test_an_event_does_not_stand_in_its_own_way(world: World) -> None:
    event = coming(world, room=True)
    said(world, "calendar_update", event=event.id, duration_minutes=15, allow_conflicts=True)
    assert world.events[event.id].room == event.room


def test_cancelling_frees_people_and_room(world: World) -> None:
    event = coming(world, room=True)
    said(world, "calendar_cancel", event=event.id)
    said(world, "calendar_create", title="Instead", start=event.start, duration_minutes=30, room=event.room)
    assert "is cancelled" in refused(world, "calendar_cancel", event=event.id)
    assert "is cancelled" in refused(world, "calendar_update", event=event.id, title="x")
    listed = said(world, "calendar_list", start=event.start, end=event.end, include_cancelled=True)["events"]
    assert {one.get("status") for one in listed if one["id"] == event.id} == {"cancelled"}


def test_guests_answer_for_themselves(world: World) -> None:
    event = coming(world)
    assert "you are not invited" in refused(world, "calendar_respond", event=event.id, response="accepted")
    guest = event.attendees[0][0]
    world.act_for(guest)
    said(world, "calendar_respond", event=event.id, response="declined")
    assert dict(world.events[event.id].attendees)[guest] == "declined"


def test_guests_come_and_go(world: World) -> None:
    event = coming(world, room=False)
    known = dict(event.attendees)
    new = next(one.id for one in world.table("people")
               if one.id not in (*known, world.user) and not busy(world, one.id, event.start, event.end))  # fmt: skip
    said(world, "calendar_invite", event=event.id, attendees=[new, world.user, *known])
    assert dict(world.events[event.id].attendees) == {**known, new: "pending"}
    said(world, "calendar_uninvite", event=event.id, attendees=[new])
    assert world.events[event.id] == event
    assert f"not invited to {event.id}: {new}" in refused(world, "calendar_uninvite", event=event.id, attendees=[new])
