"""Tickets: queues, their teams, and the states a ticket goes through."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from palaestra.envs.tools.desk.office import Office, clean
from palaestra.envs.tools.desk.records import Comment, Person, Ticket
from palaestra.envs.tools.desk.tooling import DeskTool, boolean, choice, identifier, integer, text, tool
from palaestra.errors import ToolError

__all__ = ["PRIORITIES", "QUEUES", "STATUSES", "TOOLS"]

QUEUES = ("it", "people", "facilities", "finance", "legal")
STATUSES = ("open", "in_progress", "waiting", "resolved", "closed")
PRIORITIES = ("low", "normal", "high", "urgent")
_NEXT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "open": ("in_progress",),
        "in_progress": ("waiting", "resolved", "open"),
        "waiting": ("in_progress",),
        "resolved": ("closed", "open"),
        "closed": ("open",),
    }
)


# What is so ------------------------------------------------------------------------------------------------------


def _team(office: Office, queue: str) -> str:
    """Id of the department that works on a queue: the one of its name."""
    return office.departments.where("name", queue)[0].id


def _in_team(office: Office, queue: str) -> bool:
    return office.me.department == _team(office, queue)


def _seen(office: Office, id_: str, field: str = "ticket") -> Ticket:
    ticket: Ticket = office.find("tickets", id_, field, "ticket", "tickets_search")
    if ticket.requester != office.user and not _in_team(office, ticket.queue):
        raise ToolError(f"In the field '{field}': {id_} is neither yours nor in your team's queue.")
    return ticket


def _teams_own(office: Office, id_: str, field: str = "ticket") -> Ticket:
    ticket = _seen(office, id_, field)
    if not _in_team(office, ticket.queue):
        raise ToolError(f"In the field '{field}': only the team of the queue '{ticket.queue}' may do this with {id_}.")
    return ticket


def _check_not_closed(ticket: Ticket) -> None:
    if ticket.status == "closed":
        raise ToolError(f"In the field 'ticket': {ticket.id} is closed; open it again first (tickets_set_status).")


# What is shown ---------------------------------------------------------------------------------------------------


def _name(office: Office, id_: str) -> dict[str, str] | None:
    person: Person | None = office.people.get(id_)
    return None if person is None else {"id": id_, "name": person.name}


def _brief(office: Office, ticket: Ticket) -> dict[str, Any]:
    return {
        "id": ticket.id,
        "queue": ticket.queue,
        "title": ticket.title,
        "status": ticket.status,
        "priority": ticket.priority,
        "requester": _name(office, ticket.requester),
        "assignee": _name(office, ticket.assignee),
        "created_at": ticket.created_at,
    }


def _full(office: Office, ticket: Ticket) -> dict[str, Any]:
    team = _in_team(office, ticket.queue)
    said = [one for one in office.comments.where("ticket", ticket.id) if team or not one.internal]
    said.sort(key=lambda one: (one.at, one.id))
    shown = {**_brief(office, ticket), "description": ticket.description}
    if ticket.duplicate_of:
        shown["duplicate_of"] = ticket.duplicate_of
    shown["comments"] = [
        {"author": office.people[one.author].name, "at": one.at, "text": one.text, "internal": one.internal}
        for one in said
    ]
    return shown


# The tools -------------------------------------------------------------------------------------------------------


def search(
    office: Office,
    query: str | None = None,
    queue: str | None = None,
    status: str | None = None,
    priority: str | None = None,
    assignee: str | None = None,
    requester: str | None = None,
    limit: int = 10,
) -> dict[str, Any]:
    """`tickets_search`."""
    own = office.departments[office.me.department].name.casefold()
    found = {one.id: one for one in office.tickets.where("requester", office.user)}
    if own in QUEUES:
        found |= {one.id: one for one in office.tickets.where("queue", own)}
    whose = None if assignee is None else "" if assignee == "none" else office.person(assignee, "assignee").id
    asked = None if requester is None else office.person(requester, "requester").id
    left = [
        one
        for one in found.values()
        if (queue is None or one.queue == queue)
        and (status is None or one.status == status)
        and (priority is None or one.priority == priority)
        and (whose is None or one.assignee == whose)
        and (asked is None or one.requester == asked)
    ]
    if query is not None:
        left = office.tickets.search(left, query)
    left.sort(key=lambda one: (-PRIORITIES.index(one.priority), one.created_at, one.id))
    return {"tickets": [_brief(office, one) for one in left[:limit]], "found": len(left)}


def get(office: Office, ticket: str) -> dict[str, Any]:
    """`tickets_get`."""
    return _full(office, _seen(office, ticket))


def create(
    office: Office,
    queue: str,
    title: str,
    description: str,
    priority: str = "normal",
    idempotency_key: str | None = None,
) -> dict[str, Any]:
    """`tickets_create`."""
    said = {"queue": queue, "title": title, "description": description, "priority": priority}

    def act() -> dict[str, Any]:
        if priority == "urgent" and not _in_team(office, queue):
            raise ToolError(f"In the field 'priority': only the team of the queue '{queue}' opens urgent tickets.")
        made = Ticket(
            office.tickets.new_id(), queue, clean(title, "title"), description, office.user, "", "open", priority,
            office.now, "",
        )  # fmt: skip
        return {"created": _brief(office, office.tickets.add(made))}

    return office.once("tickets_create", idempotency_key, said, act)


def assign(office: Office, ticket: str, assignee: str) -> dict[str, Any]:
    """`tickets_assign`."""
    old = _teams_own(office, ticket)
    _check_not_closed(old)
    if assignee == "none":
        if old.status == "in_progress":
            raise ToolError(
                f"In the field 'assignee': {ticket} is in progress and needs one; set it back to open first."
            )
        return {"updated": _brief(office, office.tickets.put(old._replace(assignee="")))}
    person = office.person(assignee, "assignee")
    if person.department != _team(office, old.queue):
        raise ToolError(f"In the field 'assignee': {person.name} is not in the team of the queue '{old.queue}'.")
    return {"updated": _brief(office, office.tickets.put(old._replace(assignee=person.id)))}


def set_status(office: Office, ticket: str, status: str) -> dict[str, Any]:
    """`tickets_set_status`."""
    old = _seen(office, ticket)
    if status not in _NEXT[old.status]:
        raise ToolError(
            f"In the field 'status': {ticket} is {old.status}; from there it goes to {', '.join(_NEXT[old.status])}."
        )
    finished = old.status in ("resolved", "closed")
    if not _in_team(office, old.queue) and not finished:
        raise ToolError(
            f"In the field 'status': only the team of the queue '{old.queue}' moves {ticket} from {old.status}."
        )
    if status == "in_progress" and not old.assignee:
        raise ToolError(f"In the field 'status': {ticket} has no assignee; assign it first (tickets_assign).")
    duplicate_of = "" if status == "open" else old.duplicate_of
    new = office.tickets.put(old._replace(status=status, duplicate_of=duplicate_of))
    return {"updated": _brief(office, new)}


def set_priority(office: Office, ticket: str, priority: str) -> dict[str, Any]:
    """`tickets_set_priority`."""
    old = _teams_own(office, ticket)
    _check_not_closed(old)
    return {"updated": _brief(office, office.tickets.put(old._replace(priority=priority)))}


def comment(office: Office, ticket: str, text: str, internal: bool = False) -> dict[str, Any]:
    """`tickets_comment`."""
    old = _seen(office, ticket)
    _check_not_closed(old)
    if not text.strip():
        raise ToolError("In the field 'text': the comment is blank.")
    if internal and not _in_team(office, old.queue):
        raise ToolError(f"In the field 'internal': only the team of the queue '{old.queue}' writes internal comments.")
    made = Comment(office.comments.new_id(), ticket, office.user, text, office.now, internal)
    office.comments.add(made)
    return {"commented": ticket, "comment": made.id}


def mark_duplicate(office: Office, ticket: str, duplicate_of: str) -> dict[str, Any]:
    """`tickets_mark_duplicate`."""
    old, other = _teams_own(office, ticket), _teams_own(office, duplicate_of, "duplicate_of")
    _check_not_closed(old)
    if other.id == old.id or other.queue != old.queue or other.duplicate_of:
        why = "is the same ticket" if other.id == old.id else "is itself a duplicate"
        why = f"is in the queue '{other.queue}', not '{old.queue}'" if other.queue != old.queue else why
        raise ToolError(f"In the field 'duplicate_of': {duplicate_of} {why}.")
    for one in office.tickets.where("queue", old.queue):
        if one.duplicate_of == ticket:
            raise ToolError(f"In the field 'ticket': {one.id} is marked as a duplicate of {ticket}; keep {ticket}.")
    new = office.tickets.put(old._replace(status="closed", duplicate_of=duplicate_of))
    return {"closed": {**_brief(office, new), "duplicate_of": duplicate_of}}


TOOLS: tuple[DeskTool, ...] = (
    tool(
        "tickets_search",
        "Finds tickets that you requested or that are in your team's queue; the most urgent first, then the oldest.",
        search,
        optional={
            "query": text("Words that must all occur in title or description."),
            "queue": choice("Queue.", *QUEUES),
            "status": choice("Status.", *STATUSES),
            "priority": choice("Priority.", *PRIORITIES),
            "assignee": text("Assignee's id (P-...) or e-mail address, or 'none' for unassigned tickets."),
            "requester": text("Requester's id (P-...) or e-mail address."),
            "limit": integer("Most results; 10 by default.", 1, 50),
        },
    ),
    tool(
        "tickets_get",
        "Shows a ticket with its comments.",
        get,
        required={"ticket": identifier("The ticket's id (T-...).")},
    ),
    tool(
        "tickets_create",
        "Opens a ticket in a queue, in your name.",
        create,
        required={
            "queue": choice("Queue.", *QUEUES),
            "title": text("Title.", 120),
            "description": text("Description.", 4000),
        },
        optional={
            "priority": choice("Priority; normal by default. Urgent is for the queue's team only.", *PRIORITIES),
            "idempotency_key": text("A key of your choice; a second ticket with the same key is not opened.", 64),
        },
        writes=True,
    ),
    tool(
        "tickets_assign",
        "Assigns a ticket of your team's queue to a member of the team, or to nobody. Not for closed tickets.",
        assign,
        required={
            "ticket": identifier("The ticket's id (T-...)."),
            "assignee": text("The member's id (P-...) or e-mail address, or 'none'."),
        },
        writes=True,
    ),
    tool(
        "tickets_set_status",
        "Moves a ticket on. open -> in_progress; in_progress -> waiting, resolved, open; waiting -> in_progress; "
        "resolved -> closed, open; closed -> open. The queue's team may do all of these; the requester may close a "
        "resolved ticket or open it again. A ticket in progress needs an assignee.",
        set_status,
        required={"ticket": identifier("The ticket's id (T-...)."), "status": choice("New status.", *STATUSES)},
        writes=True,
    ),
    tool(
        "tickets_set_priority",
        "Sets the priority of a ticket in your team's queue that is not closed.",
        set_priority,
        required={"ticket": identifier("The ticket's id (T-...)."), "priority": choice("Priority.", *PRIORITIES)},
        writes=True,
    ),
    tool(
        "tickets_comment",
        "Comments on a ticket that you requested or that is in your team's queue. Not for closed tickets.",
        comment,
        required={"ticket": identifier("The ticket's id (T-...)."), "text": text("Comment.", 4000)},
        optional={"internal": boolean("Only for the queue's team; false by default.")},
        writes=True,
    ),
    tool(
        "tickets_mark_duplicate",
        "Closes a ticket of your team's queue as the duplicate of another in the same queue.",
        mark_duplicate,
        required={
            "ticket": identifier("Id of the ticket to close (T-...)."),
            "duplicate_of": identifier("Id of the ticket that stays (T-...); not itself a duplicate."),
        },
        writes=True,
    ),
)
