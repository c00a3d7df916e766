"""The calendar: events, invitations and meeting rooms, without double booking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from palaestra.envs.tools.desk.office import Office, clean
from palaestra.envs.tools.desk.records import Event, Person, Room
from palaestra.envs.tools.desk.times import later_day, minutes_between, parse_moment, shift, weekday
from palaestra.envs.tools.desk.tooling import (
    DeskTool,
    boolean,
    choice,
    identifier,
    integer,
    listing,
    moment,
    text,
    tool,
)
from palaestra.errors import ToolError

__all__ = ["TOOLS"]

_LONGEST_SPAN = 62
_SEARCHED_DAYS = 31


# What is so ------------------------------------------------------------------------------------------------------


def _takes_part(event: Event, person: str) -> bool:
    return event.organizer == person or any(one == person for one, _ in event.attendees)


def _blocks(event: Event, person: str) -> bool:
    """Whether the event makes the person busy: it stands, and they organize it or have said yes or maybe."""
    return event.status == "confirmed" and (
        event.organizer == person
        or any(one == person and answer in ("accepted", "tentative") for one, answer in event.attendees)
    )


def _conflict(office: Office, person: str, start: str, end: str, but: str = "") -> Event | None:
    """The first event that makes the person busy in this time, other than the one with the id `but`."""
    for event in office.events.where("person", person):
        if event.start < end and start < event.end and event.id != but and _blocks(event, person):
            return event
    return None


def _room_conflict(office: Office, room: str, start: str, end: str, but: str = "") -> Event | None:
    for event in office.events.where("room", room):
        if event.start < end and start < event.end and event.id != but and event.status == "confirmed":
            return event
    return None


def _seen(office: Office, id_: str) -> Event:
    event: Event = office.find("events", id_, "event", "event", "calendar_list")
    if event.private and not _takes_part(event, office.user):
        raise ToolError(f"In the field 'event': {id_} is private; only who takes part may see it.")
    return event


def _own(office: Office, id_: str) -> Event:
    """An event that the user may still change."""
    event = _seen(office, id_)
    if event.organizer != office.user:
        organizer = office.people[event.organizer]
        raise ToolError(
            f"In the field 'event': only the organizer of {id_}, {organizer.name} ({organizer.email}), may change it."
        )
    _coming(office, event)
    return event


def _coming(office: Office, event: Event) -> None:
    if event.status == "cancelled":
        raise ToolError(f"In the field 'event': {event.id} is cancelled.")
    if event.start < office.now:
        raise ToolError(f"In the field 'event': {event.id} began at {event.start}; only coming events can be changed.")


# What must be so -------------------------------------------------------------------------------------------------


def _check_span(start: str, end: str, most_days: int) -> None:
    if end <= start:
        raise ToolError(f"In the field 'end': {end} is not after the start {start}.")
    if end > shift(start, most_days * 24 * 60):
        raise ToolError(f"In the field 'end': the span is longer than {most_days} days; ask for a shorter one.")


def _check_start(office: Office, start: str) -> None:
    if start < office.now:
        raise ToolError(f"In the field 'start': {start} is in the past; it is {office.now} now.")


def _check_free(office: Office, people: Iterable[Person], start: str, end: str, but: str = "") -> None:
    busy = [one for one in people if _conflict(office, one.id, start, end, but) is not None]
    if busy:
        names = ", ".join(f"{one.name} ({one.id})" for one in busy)
        raise ToolError(
            f"In the field 'attendees': busy from {start} to {end}: {names}. Choose another time "
            "(calendar_find_slots), or set allow_conflicts to true."
        )


def _check_user_free(office: Office, start: str, end: str, but: str = "") -> None:
    event = _conflict(office, office.user, start, end, but)
    if event is not None:
        raise ToolError(
            f"In the field 'start': you are busy with '{event.title}' ({event.id}) from {event.start} to {event.end}."
        )


def _check_room(office: Office, id_: str, seats: int, start: str, end: str, but: str = "") -> None:
    room: Room = office.find("rooms", id_, "room", "room", "calendar_rooms")
    if room.capacity < seats:
        raise ToolError(
            f"In the field 'room': {room.name} ({id_}) seats {room.capacity}; the event has {seats} people."
        )
    event = _room_conflict(office, id_, start, end, but)
    if event is not None:
        raise ToolError(
            f"In the field 'room': {room.name} ({id_}) is taken from {event.start} to {event.end}. calendar_rooms "
            "lists the free ones."
        )


# What is shown ---------------------------------------------------------------------------------------------------


def _named(office: Office, id_: str) -> str:
    person = office.people[id_]
    return f"{person.name} <{person.email}>"


def _brief(office: Office, event: Event) -> dict[str, Any]:
    if event.private and not _takes_part(event, office.user):
        return {"title": "busy", "start": event.start, "end": event.end}
    room = office.rooms.get(event.room)
    shown = {
        "id": event.id,
        "title": event.title,
        "start": event.start,
        "end": event.end,
        "room": None if room is None else room.name,
        "organizer": office.people[event.organizer].name,
    }
    for person, answer in event.attendees:
        if person == office.user:
            shown["your_response"] = answer
    if event.status == "cancelled":
        shown["status"] = "cancelled"
    return shown


def _full(office: Office, event: Event) -> dict[str, Any]:
    room = office.rooms.get(event.room)
    return {
        "id": event.id,
        "title": event.title,
        "start": event.start,
        "end": event.end,
        "organizer": _named(office, event.organizer),
        "attendees": [{"person": _named(office, one), "id": one, "response": how} for one, how in event.attendees],
        "room": None if room is None else {"id": room.id, "name": room.name, "office": room.office},
        "description": event.description,
        "private": event.private,
        "status": event.status,
    }


# The tools -------------------------------------------------------------------------------------------------------


def list_events(
    office: Office, start: str, end: str, person: str | None = None, include_cancelled: bool = False, limit: int = 20
) -> dict[str, Any]:
    """`calendar_list`."""
    whose = office.user if person is None else office.person(person, "person").id
    start, end = parse_moment(start, "start"), parse_moment(end, "end")
    _check_span(start, end, _LONGEST_SPAN)
    found = [
        event
        for event in office.events.where("person", whose)
        if event.start < end and start < event.end and (include_cancelled or event.status == "confirmed")
    ]
    found.sort(key=lambda event: (event.start, event.id))
    return {"events": [_brief(office, event) for event in found[:limit]], "found": len(found)}


def search(office: Office, query: str, limit: int = 10) -> dict[str, Any]:
    """`calendar_search`."""
    found = office.events.search(office.events.where("person", office.user), query)
    found.sort(key=lambda event: (event.start, event.id))
    return {"events": [_brief(office, event) for event in found[:limit]], "found": len(found)}


def get(office: Office, event: str) -> dict[str, Any]:
    """`calendar_get`."""
    return _full(office, _seen(office, event))


def find_slots(
    office: Office, people: list[str], duration_minutes: int, start: str, end: str, limit: int = 3
) -> dict[str, Any]:
    """`calendar_find_slots`."""
    start, end = max(parse_moment(start, "start"), office.now), parse_moment(end, "end")
    _check_span(start, end, _SEARCHED_DAYS)
    busy = [
        (event.start, event.end)
        for person in office.persons(people, "people")
        for event in office.events.where("person", person.id)
        if event.start < end and start < event.end and _blocks(event, person.id)
    ]
    slots: list[tuple[str, str]] = []
    day = start[:10]
    while day <= end[:10] and len(slots) < limit:
        if weekday(day) < 5:
            slots += _free_on(day, duration_minutes, start, end, busy, limit - len(slots))
        day = later_day(day, 1)
    return {"slots": [{"start": begin, "end": over} for begin, over in slots]}


def _free_on(
    day: str, length: int, start: str, end: str, busy: Sequence[tuple[str, str]], most: int
) -> list[tuple[str, str]]:
    """The first free times of a day, which begin at full and half hours between 09:00 and 17:00."""
    busy = [(begin, over) for begin, over in busy if begin[:10] <= day <= over[:10]]
    found = []
    for minute in range(9 * 60, 17 * 60 - length + 1, 30):
        last = minute + length
        begin, over = f"{day}T{minute // 60:02}:{minute % 60:02}", f"{day}T{last // 60:02}:{last % 60:02}"
        if begin >= start and over <= end and not any(a < over and begin < b for a, b in busy):
            found.append((begin, over))
            if len(found) == most:
                break
    return found


def rooms(
    office: Office,
    start: str,
    end: str,
    city: str | None = None,
    capacity: int = 1,
    equipment: Sequence[str] = (),
) -> dict[str, Any]:
    """`calendar_rooms`."""
    start, end = parse_moment(start, "start"), parse_moment(end, "end")
    _check_span(start, end, _LONGEST_SPAN)
    place = None if city is None else office.city(city, "city")
    free = [
        room
        for room in office.rooms
        if room.capacity >= capacity
        and (place is None or room.office == place)
        and all(thing in room.equipment for thing in equipment)
        and _room_conflict(office, room.id, start, end) is None
    ]
    free.sort(key=lambda room: (room.capacity, room.id))
    return {"rooms": [{**room._asdict(), "equipment": list(room.equipment)} for room in free]}


def create(
    office: Office,
    title: str,
    start: str,
    duration_minutes: int,
    attendees: Sequence[str] = (),
    room: str = "",
    description: str = "",
    private: bool = False,
    allow_conflicts: bool = False,
) -> dict[str, Any]:
    """`calendar_create`."""
    title, start = clean(title, "title"), parse_moment(start, "start")
    _check_start(office, start)
    end = shift(start, duration_minutes)
    others = [one for one in office.persons(attendees, "attendees") if one.id != office.user]
    _check_user_free(office, start, end)
    if room:
        _check_room(office, room, len(others) + 1, start, end)
    if not allow_conflicts:
        _check_free(office, others, start, end)
    invited = tuple((one.id, "pending") for one in others)
    made = Event(
        office.events.new_id(), title, office.user, invited, room, start, end, description, private, "confirmed"
    )
    return {"created": _full(office, office.events.add(made))}


def update(
    office: Office,
    event: str,
    title: str | None = None,
    start: str | None = None,
    duration_minutes: int | None = None,
    room: str | None = None,
    description: str | None = None,
    allow_conflicts: bool = False,
) -> dict[str, Any]:
    """`calendar_update`."""
    if all(given is None for given in (title, start, duration_minutes, room, description)):
        raise ToolError("Nothing to change was given: give title, start, duration_minutes, room or description.")
    old = _own(office, event)
    begin = old.start if start is None else parse_moment(start, "start")
    length = minutes_between(old.start, old.end) if duration_minutes is None else duration_minutes
    new = old._replace(
        title=old.title if title is None else clean(title, "title"),
        start=begin,
        end=shift(begin, length),
        room=old.room if room is None else "" if room == "none" else room,
        description=old.description if description is None else description,
    )
    moved = (new.start, new.end) != (old.start, old.end)
    if moved:
        _check_start(office, new.start)
        _check_user_free(office, new.start, new.end, event)
        if not allow_conflicts:
            # Who has declined the event does not come, and so need not be free.
            coming = [office.people[one] for one, answer in old.attendees if answer != "declined"]
            _check_free(office, coming, new.start, new.end, event)
        new = new._replace(attendees=tuple((one, "pending") for one, _ in old.attendees))
    if new.room and (moved or new.room != old.room):
        _check_room(office, new.room, len(new.attendees) + 1, new.start, new.end, event)
    return {"updated": _full(office, office.events.put(new))}


def cancel(office: Office, event: str) -> dict[str, Any]:
    """`calendar_cancel`."""
    old = _own(office, event)
    office.events.put(old._replace(status="cancelled"))
    return {"cancelled": event, "title": old.title}


def respond(office: Office, event: str, response: str) -> dict[str, Any]:
    """`calendar_respond`."""
    old = _seen(office, event)
    if all(one != office.user for one, _ in old.attendees):
        raise ToolError(f"In the field 'event': you are not invited to {event}, so there is nothing to answer.")
    _coming(office, old)
    if response == "accepted":
        _check_user_free(office, old.start, old.end, event)
    answers = tuple((one, response if one == office.user else answer) for one, answer in old.attendees)
    office.events.put(old._replace(attendees=answers))
    return {"event": event, "title": old.title, "your_response": response}


def invite(office: Office, event: str, attendees: list[str], allow_conflicts: bool = False) -> dict[str, Any]:
    """`calendar_invite`."""
    old = _own(office, event)
    known = {old.organizer, *(one for one, _ in old.attendees)}
    added = [one for one in office.persons(attendees, "attendees") if one.id not in known]
    if not allow_conflicts:
        _check_free(office, added, old.start, old.end, event)
    everybody = tuple(sorted((*old.attendees, *((one.id, "pending") for one in added))))
    if old.room:
        _check_room(office, old.room, len(everybody) + 1, old.start, old.end, event)
    return {"updated": _full(office, office.events.put(old._replace(attendees=everybody)))}


def uninvite(office: Office, event: str, attendees: list[str]) -> dict[str, Any]:
    """`calendar_uninvite`."""
    old = _own(office, event)
    leaving = {one.id for one in office.persons(attendees, "attendees")}
    strangers = leaving.difference(one for one, _ in old.attendees)
    if strangers:
        raise ToolError(f"In the field 'attendees': not invited to {event}: {', '.join(sorted(strangers))}.")
    left = tuple((one, answer) for one, answer in old.attendees if one not in leaving)
    return {"updated": _full(office, office.events.put(old._replace(attendees=left)))}


TOOLS: tuple[DeskTool, ...] = (
    tool(
        "calendar_list",
        "Lists the events of a person in a span of time, in order. What is private and not yours shows as busy.",
        list_events,
        required={"start": moment("Begin of the span."), "end": moment("End of the span, at most 62 days later.")},
        optional={
            "person": identifier("Whose calendar: id (P-...) or e-mail address; yours by default."),
            "include_cancelled": boolean("Show cancelled events, too; false by default."),
            "limit": integer("Most results; 20 by default.", 1, 50),
        },
    ),
    tool(
        "calendar_search",
        "Finds events of your own calendar by words of the title, from the past and the future, in order of time.",
        search,
        required={"query": text("Words that must all occur in the title.")},
        optional={"limit": integer("Most results; 10 by default.", 1, 50)},
    ),
    tool(
        "calendar_get",
        "Shows one event: time, room, organizer, attendees with their responses.",
        get,
        required={"event": identifier("The event's id (EV-...).")},
    ),
    tool(
        "calendar_find_slots",
        "Finds the earliest times at which all the people are free, on weekdays from 09:00 to 17:00.",
        find_slots,
        required={
            "people": listing("Who must be free: ids (P-...) or e-mail addresses.", identifier("A person.")),
            "duration_minutes": integer("Length in minutes.", 15, 480),
            "start": moment("Not before."),
            "end": moment("Over by then, at most 31 days after the start."),
        },
        optional={"limit": integer("Most results; 3 by default.", 1, 10)},
    ),
    tool(
        "calendar_rooms",
        "Lists the meeting rooms that are free for the whole span of time, smallest first.",
        rooms,
        required={"start": moment("Begin."), "end": moment("End.")},
        optional={
            "city": text("City of the office."),
            "capacity": integer("Seats needed at least.", 1, 200),
            "equipment": listing(
                "What the room must have.", choice("Equipment.", "projector", "video", "whiteboard"), 3
            ),
        },
    ),
    tool(
        "calendar_create",
        "Creates an event that you organize and invites the attendees. You and the room must be free; attendees must "
        "be free, too, unless allow_conflicts is true. The room must seat everybody.",
        create,
        required={
            "title": text("Title.", 120),
            "start": moment("Begin; not in the past."),
            "duration_minutes": integer("Length in minutes.", 5, 600),
        },
        optional={
            "attendees": listing("Whom to invite: ids (P-...) or e-mail addresses.", identifier("A person."), 50),
            "room": identifier("Id of a meeting room (R-...); none by default."),
            "description": text("Description.", 2000),
            "private": boolean("Whether others see it as busy only; false by default."),
            "allow_conflicts": boolean("Invite attendees although they are busy; false by default."),
        },
        writes=True,
    ),
    tool(
        "calendar_update",
        "Changes an event that you organize: title, description, time or room. What is not given stays as it is. When "
        "the time changes, the same rules hold as for a new event, and the attendees' responses become pending.",
        update,
        required={"event": identifier("The event's id (EV-...).")},
        optional={
            "title": text("New title.", 120),
            "start": moment("New begin; the length stays unless duration_minutes is given."),
            "duration_minutes": integer("New length in minutes.", 5, 600),
            "room": text("Id of the new room (R-...), or 'none'."),
            "description": text("New description.", 2000),
            "allow_conflicts": boolean("Move it although attendees are busy then; false by default."),
        },
        writes=True,
    ),
    tool(
        "calendar_cancel",
        "Cancels an event that you organize and that has not begun. The room becomes free.",
        cancel,
        required={"event": identifier("The event's id (EV-...).")},
        writes=True,
    ),
    tool(
        "calendar_respond",
        "Answers an invitation of yours. Accepting is refused when you are busy then.",
        respond,
        required={
            "event": identifier("The event's id (EV-...)."),
            "response": choice("Your answer.", "accepted", "tentative", "declined"),
        },
        writes=True,
    ),
    tool(
        "calendar_invite",
        "Invites more people to an event that you organize.",
        invite,
        required={
            "event": identifier("The event's id (EV-...)."),
            "attendees": listing("Whom to invite: ids (P-...) or e-mail addresses.", identifier("A person."), 50),
        },
        optional={"allow_conflicts": boolean("Invite them although they are busy; false by default.")},
        writes=True,
    ),
    tool(
        "calendar_uninvite",
        "Takes people off the list of attendees of an event that you organize.",
        uninvite,
        required={
            "event": identifier("The event's id (EV-...)."),
            "attendees": listing("Whom: ids (P-...) or e-mail addresses.", identifier("A person."), 50),
        },
        writes=True,
    ),
)
