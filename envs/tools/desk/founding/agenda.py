"""The calendars: six weeks of meetings in which nobody and no room is in two places at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from palaestra.envs.tools.desk.founding.draw import Draw
from palaestra.envs.tools.desk.records import Event, Person, Room
from palaestra.envs.tools.desk.times import later_day, shift

__all__ = ["found_events"]

_PROJECTS = ("Aurora", "Beacon", "Cobalt", "Delta", "Ember", "Falcon", "Granite", "Harbor")
_TOPICS = ("kick-off", "review", "planning", "status", "retrospective", "demo", "risk check", "workshop")
_SINGLE = ("Focus time", "Prepare presentation", "Write report", "Inbox and planning", "Training course")
_PRIVATE = ("Dentist", "Parents' evening", "Physiotherapy", "Appointment at the bank", "Pick up the car")
_PAST = (("accepted", 80), ("tentative", 4), ("declined", 12), ("pending", 4))
_COMING = (("accepted", 62), ("tentative", 8), ("declined", 8), ("pending", 22))
_FIRST_WEEK, _WEEKS = -2, 6


class _Calendars:
    """Who is where, by half hours of a day."""

    def __init__(self, rooms: Sequence[Room], now: str) -> None:
        self.rooms, self.now = rooms, now
        self.monday = later_day(now[:10], 0)
        self.taken: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)
        self.events: list[tuple[str, int, Event]] = []

    def add(
        self, draw: Draw, title: str, organizer: Person, others: Sequence[Person], halves: int, *,
        day: int | None = None, slot: int | None = None, private: bool = False, room: bool = True,
        description: str = "",
    ) -> None:  # fmt: skip
        """Puts an event where all are free; none, where they are not within some tries."""
        for _ in range(8):
            at = draw.whole(0, 4) + 7 * draw.whole(_FIRST_WEEK, _FIRST_WEEK + _WEEKS - 1) if day is None else day
            begin = draw.whole(17, 35 - halves) if slot is None else slot
            cells = {(at, cell) for cell in range(begin, begin + halves)}
            if not any(self.taken[one.id] & cells for one in (organizer, *others)):
                break
            if day is not None and slot is not None:
                return
        else:
            return
        where = ""
        fitting = [
            one
            for one in self.rooms
            if one.office == organizer.office and one.capacity > len(others) and not self.taken[one.id] & cells
        ]
        if room and fitting:
            where = min(fitting, key=lambda one: one.capacity).id
        start = shift(f"{later_day(self.monday, at)}T00:00", begin * 30)
        answers = _COMING if start >= self.now else _PAST
        attendees = tuple(sorted((one.id, draw.weighted(answers)) for one in others))
        status = "cancelled" if draw.chance(0.04) and others else "confirmed"
        if status == "confirmed":
            for busy in (organizer.id, *(one.id for one in others), *([where] if where else [])):
                self.taken[busy] |= cells
        end = shift(start, halves * 30)
        event = Event("", title, organizer.id, attendees, where, start, end, description, private, status)
        self.events.append((start, len(self.events), event))


def found_events(draw: Draw, people: Sequence[Person], rooms: Sequence[Room], now: str) -> list[Event]:
    """Weekly team meetings, talks of two, projects, single appointments, and invitations that collide with others."""
    calendars = _Calendars(rooms, now)
    teams: dict[str, list[Person]] = defaultdict(list)
    known = {person.id: person for person in people}
    for person in people:
        if person.manager:
            teams[person.manager].append(person)
    for manager, team in teams.items():
        day, slot = draw.whole(0, 4), draw.whole(18, 30)
        for week in range(_FIRST_WEEK, _FIRST_WEEK + _WEEKS):
            title = "Leadership round" if manager == "P-0001" else f"{known[manager].name.split()[0]}'s team meeting"
            calendars.add(draw, title, known[manager], team, 2, day=day + 7 * week, slot=slot)
    for person in people:
        if person.manager:
            first, chief = person.name.split()[0], known[person.manager]
            calendars.add(draw, f"1:1 {chief.name.split()[0]} and {first}", chief, [person], 1, room=draw.chance(0.4))
    for _ in range(190):
        lead, *others = draw.some(people[1:], draw.whole(2, 6))
        title = f"{draw.one(_PROJECTS)} {draw.one(_TOPICS)}"
        about = f"Bring your open points about {title.split()[0]}." if draw.chance(0.5) else ""
        calendars.add(draw, title, lead, others, draw.whole(1, 4), description=about)
    for person in people:
        calendars.add(draw, draw.one(_SINGLE), person, [], draw.whole(2, 5), room=False)
        if draw.chance(0.45):
            calendars.add(draw, draw.one(_PRIVATE), person, [], draw.whole(1, 3), room=False, private=True)
    _collide(draw, calendars, people)
    ordered = sorted(calendars.events)
    return [event._replace(id=f"EV-{place:04}") for place, (_, _, event) in enumerate(ordered, start=1)]


def _collide(draw: Draw, calendars: _Calendars, people: Sequence[Person]) -> None:
    """Invitations, not yet answered, to people who are busy then."""
    coming = [event for start, _, event in calendars.events if start > calendars.now and event.status == "confirmed"]
    for event in draw.some(coming, 45):
        busy = {event.organizer, *(person for person, _ in event.attendees)}
        cells = _cells(calendars, event)
        free = [one for one in people if one.id not in busy and not calendars.taken[one.id] & cells]
        if free:
            host = draw.one(free)
            calendars.taken[host.id] |= cells
            title = f"{draw.one(_PROJECTS)} {draw.one(_TOPICS)}"
            invited = ((event.organizer, "pending"),)
            made = Event("", title, host.id, invited, "", event.start, event.end, "", False, "confirmed")
            calendars.events.append((event.start, len(calendars.events), made))


def _cells(calendars: _Calendars, event: Event) -> set[tuple[int, int]]:
    day = 0
    while later_day(calendars.monday, day) < event.start[:10]:
        day += 1
    first, last = (int(moment[11:13]) * 2 + int(moment[14:16]) // 30 for moment in (event.start, event.end))
    return {(day, cell) for cell in range(first, last)}
