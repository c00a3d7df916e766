"""Tickets: queues, their teams, and the states a ticket goes through."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.desk.office import Office
from palaestra.envs.tools.desk.tooling import DeskTool, boolean, choice, identifier, integer, text, tool
from palaestra.errors import ToolError

__all__ = ["PRIORITIES", "QUEUES", "STATUSES", "TOOLS"]

QUEUES = ("it", "people", "facilities", "finance", "legal")
STATUSES = ("open", "in_progress", "waiting", "resolved", "closed")
PRIORITIES = ("low", "normal", "high", "urgent")


def search(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def get(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def create(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def assign(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def set_status(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def set_priority(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def comment(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def mark_duplicate(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


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
