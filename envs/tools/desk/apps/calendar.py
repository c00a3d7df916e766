"""The calendar: events, invitations and meeting rooms, without double booking."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.desk.office import Office
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


def list_events(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def search(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def get(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def find_slots(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def rooms(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def create(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def update(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def cancel(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def respond(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def invite(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def uninvite(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


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
            "office": text("City of the office."),
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
