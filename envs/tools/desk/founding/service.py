"""Tickets with their comments, and leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from palaestra.envs.tools.desk.founding.draw import Draw
from palaestra.envs.tools.desk.records import Comment, Department, Leave, Person, Ticket
from palaestra.envs.tools.desk.times import later_day, shift, working_days

__all__ = ["found_comments", "found_leaves", "found_tickets"]

_MATTERS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "it": (
            ("Laptop does not charge", "The battery stays at {n} percent although the charger is plugged in."),
            ("VPN connection drops", "The connection is lost every {n} minutes, mostly in calls."),
            ("Access to {thing}", "I need access to {thing} for a project that starts next week."),
            ("Printer on floor {n} jams", "It jams with every second page; restarting did not help."),
            ("Password reset for {thing}", "I am locked out of {thing} after too many attempts."),
            ("New headset", "My headset has a loose contact. The number on the label is {n}{n}7."),
        ),
        "people": (
            ("Question about payslip", "The payslip of last month shows {n} hours too few."),
            ("Certificate of employment", "I need a certificate for my landlord."),
            ("Parental leave", "How far ahead must I apply? We expect our child in {n} weeks."),
            ("Change of address", "I have moved; the new house number is {n}."),
            ("Language course", "Is the {thing} course still on offer this spring?"),
        ),
        "facilities": (
            ("Heating in room {n}", "It has not been warmer than 17 degrees since Monday."),
            ("Broken chair at desk {n}", "The gas lift sinks down. I use a spare chair for now."),
            ("Parking permit", "My licence plate has changed; please issue a new permit for space {n}."),
            ("Light flickers in corridor {n}", "It flickers above the door to the stairs."),
            ("Lost key", "I lost the key of locker {n}."),
        ),
        "finance": (
            ("Invoice {n}{n}2 not paid", "The supplier asks when invoice {n}{n}2 will be paid."),
            ("Refund of travel costs", "The refund for my trip, {n}8.40 euros, has not arrived."),
            ("Cost centre for {thing}", "Which cost centre do I use for {thing}?"),
            ("Credit card statement", "There is a charge of {n}.99 euros that I do not know."),
        ),
        "legal": (
            ("Review of a contract", "Please look at the contract for {thing}; it has {n} pages."),
            ("Non-disclosure agreement", "We need an agreement before the meeting in {n} days."),
            ("Use of a customer's logo", "May we show the logo on slide {n}?"),
            ("Data protection question", "How long may we keep answers to the survey? We have {n} sets."),
        ),
    }
)
_THINGS = (
    "the archive",
    "the test system",
    "the wiki",
    "the survey tool",
    "Portuguese",
    "the design server",
    "the fair stand",
)
_TALK = (
    "Thank you, we are looking into it.",
    "Could you send a picture?",
    "It happened again today.",
    "Done on our side, please check.",
    "Waiting for the supplier.",
    "Any news on this?",
    "I tried that, without success.",
    "A spare part is on its way.",
)


def found_tickets(draw: Draw, departments: Sequence[Department], people: Sequence[Person], now: str) -> list[Ticket]:
    """Tickets in all states. What is in progress has an assignee of the queue's team."""
    teams = {one.name.casefold(): one.id for one in departments}
    staff = {queue: [person for person in people if person.department == teams[queue]] for queue in _MATTERS}
    tickets: list[Ticket] = []
    for _ in range(340):
        queue = draw.weighted((("it", 40), ("people", 18), ("facilities", 22), ("finance", 12), ("legal", 8)))
        title, about = draw.one(_MATTERS[queue])
        slots = {"n": draw.whole(2, 19), "thing": draw.one(_THINGS)}
        requester = draw.one(people)
        status = draw.weighted((("open", 28), ("in_progress", 24), ("waiting", 12), ("resolved", 18), ("closed", 18)))
        assigned = status != "open" or draw.chance(0.3)
        helpers = [one.id for one in staff[queue] if one.id != requester.id]
        priority = draw.weighted((("low", 20), ("normal", 50), ("high", 22), ("urgent", 8)))
        moment = shift(now, -draw.whole(30, 60 * 24 * 40))
        tickets.append(
            Ticket("", queue, title.format(**slots), about.format(**slots), requester.id,
                   draw.one(helpers) if assigned else "", status, priority, moment, "")
        )  # fmt: skip
    tickets.sort(key=lambda ticket: ticket.created_at)
    return [ticket._replace(id=f"T-{number:04}") for number, ticket in enumerate(tickets, start=1)]


def found_comments(draw: Draw, tickets: Sequence[Ticket], now: str) -> list[Comment]:
    """What requesters and assignees said, in order of time."""
    comments = []
    for ticket in tickets:
        at = ticket.created_at
        for place in range(draw.whole(0, 4) if ticket.assignee else draw.whole(0, 1)):
            at = shift(at, draw.whole(20, 2_000))
            if at >= now:
                break
            author = ticket.assignee if ticket.assignee and place % 2 == 0 else ticket.requester
            internal = author == ticket.assignee and draw.chance(0.15)
            comments.append(Comment("", ticket.id, author, draw.one(_TALK), at, internal))
    comments.sort(key=lambda comment: (comment.at, comment.ticket))
    return [comment._replace(id=f"TC-{number:04}") for number, comment in enumerate(comments, start=1)]


def found_leaves(draw: Draw, people: Sequence[Person], now: str) -> list[Leave]:
    """Up to three leaves of this year for everybody, which do not overlap and fit the allowance."""
    leaves: list[Leave] = []
    today = now[:10]
    for person in people:
        left = person.leave_days
        first = later_day(today, draw.whole(-60, 20))
        for _ in range(draw.whole(1, 3)):
            kind = draw.weighted((("vacation", 75), ("sick", 15), ("unpaid", 10)))
            if kind == "sick":
                first = min(first, later_day(today, -draw.whole(5, 40)))
            last = later_day(first, draw.whole(0, 11) if kind != "sick" else draw.whole(0, 3))
            days = working_days(first, last)
            taken = any(one.first <= last and first <= one.last for one in leaves if one.person == person.id)
            if (
                taken
                or days == 0
                or first[:4] != today[:4]
                or last[:4] != today[:4]
                or (kind == "vacation" and days > left)
            ):
                first = later_day(last, 10)
                continue
            status = _status(draw, kind, first, today, bool(person.manager))
            if kind == "vacation" and status in ("approved", "pending"):
                left -= days
            note = draw.one(("", "", "Family visit", "Moving house", "Handover to the team is arranged"))
            leaves.append(Leave("", person.id, kind, first, last, days, status, note if kind != "sick" else ""))
            first = later_day(last, draw.whole(12, 70))
    leaves.sort(key=lambda leave: (leave.first, leave.person))
    return [leave._replace(id=f"L-{number:04}") for number, leave in enumerate(leaves, start=1)]


def _status(draw: Draw, kind: str, first: str, today: str, managed: bool) -> str:
    if kind == "sick" or not managed:
        return "approved"
    if first < today:
        return draw.weighted((("approved", 90), ("rejected", 5), ("cancelled", 5)))
    return draw.weighted((("approved", 42), ("pending", 46), ("rejected", 6), ("cancelled", 6)))
