"""Leave: allowance, requests, a manager's decision."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.desk.office import Office
from palaestra.envs.tools.desk.records import Leave, Person
from palaestra.envs.tools.desk.times import later_day, parse_day, working_days
from palaestra.envs.tools.desk.tooling import DeskTool, choice, date, identifier, text, tool
from palaestra.errors import ToolError

__all__ = ["TOOLS"]

_STANDING = ("approved", "pending")
_SICK_DAYS_BACK = 7


def _managed(office: Office, ref: str | None) -> Person:
    """The user, or somebody who reports to them."""
    person = office.me if ref is None else office.person(ref, "person")
    if person.id != office.user and person.manager != office.user:
        raise ToolError(f"In the field 'person': you are not the manager of {person.name}.")
    return person


def _left(office: Office, person: Person) -> int:
    """Days of vacation left this year."""
    taken = sum(
        one.days
        for one in office.leaves.where("person", person.id)
        if one.kind == "vacation" and one.status in _STANDING and one.first[:4] == office.today[:4]
    )
    return person.leave_days - taken


def _shown(office: Office, leave: Leave) -> dict[str, Any]:
    return {**leave._asdict(), "person": {"id": leave.person, "name": office.people[leave.person].name}}


def balance(office: Office, person: str | None = None) -> dict[str, Any]:
    """`leave_balance`."""
    whose = _managed(office, person)
    return {
        "person": whose.name,
        "year": int(office.today[:4]),
        "allowance": whose.leave_days,
        "left": _left(office, whose),
    }


def list_leaves(office: Office, person: str | None = None, status: str | None = None) -> dict[str, Any]:
    """`leave_list`."""
    found = office.leaves.where("person", _managed(office, person).id)
    found = sorted(
        (one for one in found if status is None or one.status == status), key=lambda one: (one.first, one.id)
    )
    return {"leaves": [_shown(office, one) for one in found]}


def to_decide(office: Office) -> dict[str, Any]:
    """`leave_to_decide`."""
    found = [
        one
        for person in office.people.where("manager", office.user)
        for one in office.leaves.where("person", person.id)
        if one.status == "pending"
    ]
    found.sort(key=lambda one: (one.first, one.id))
    return {"leaves": [_shown(office, one) for one in found]}


def request(office: Office, kind: str, first: str, last: str, note: str = "") -> dict[str, Any]:
    """`leave_request`."""
    first, last = parse_day(first, "first"), parse_day(last, "last")
    earliest = later_day(office.today, -_SICK_DAYS_BACK) if kind == "sick" else office.today
    if first < earliest:
        raise ToolError(f"In the field 'first': {first} is too early; {kind} leave begins on {earliest} or later.")
    if last < first:
        raise ToolError(f"In the field 'last': {last} is before the first day {first}.")
    year = office.today[:4]
    if first[:4] != year or last[:4] != year:
        raise ToolError(f"In the field 'last': leave is requested within the year {year}.")
    days = working_days(first, last)
    if days == 0:
        raise ToolError(f"In the field 'last': there is no working day from {first} to {last}.")
    for one in office.leaves.where("person", office.user):
        if one.status in _STANDING and one.first <= last and first <= one.last:
            raise ToolError(
                f"In the field 'first': it overlaps your {one.status} {one.kind} leave {one.id} from {one.first} to "
                f"{one.last}."
            )
    left = _left(office, office.me)
    if kind == "vacation" and days > left:
        raise ToolError(f"In the field 'last': these are {days} working days; you have {left} days of vacation left.")
    status = "approved" if kind == "sick" or not office.me.manager else "pending"
    made = Leave(office.leaves.new_id(), office.user, kind, first, last, days, status, note)
    return {"requested": _shown(office, office.leaves.add(made))}


def decide(office: Office, leave: str, decision: str) -> dict[str, Any]:
    """`leave_decide`."""
    old: Leave = office.find("leaves", leave, "leave", "leave", "leave_to_decide")
    person = office.people[old.person]
    if person.manager != office.user:
        raise ToolError(f"In the field 'leave': only the manager of {person.name} decides on {leave}.")
    if old.status != "pending":
        raise ToolError(f"In the field 'leave': {leave} is {old.status}; only pending requests are decided.")
    status = "approved" if decision == "approve" else "rejected"
    return {status: _shown(office, office.leaves.put(old._replace(status=status)))}


def cancel(office: Office, leave: str) -> dict[str, Any]:
    """`leave_cancel`."""
    old: Leave = office.find("leaves", leave, "leave", "leave", "leave_list")
    if old.person != office.user:
        raise ToolError(f"In the field 'leave': {leave} is not yours; leave_list shows yours.")
    if old.status != "pending" and not (old.status == "approved" and old.first > office.today):
        raise ToolError(
            f"In the field 'leave': {leave} is {old.status} and begins on {old.first}; only pending leave, and "
            "approved leave that has not begun, can be cancelled."
        )
    return {"cancelled": _shown(office, office.leaves.put(old._replace(status="cancelled")))}


TOOLS: tuple[DeskTool, ...] = (
    tool(
        "leave_balance",
        "Shows how many days of vacation are left this year: the allowance less what is approved or pending.",
        balance,
        optional={"person": identifier("Whose: id (P-...) or e-mail address of you or somebody you manage.")},
    ),
    tool(
        "leave_list",
        "Lists leaves, earliest first: yours, or those of somebody who reports to you.",
        list_leaves,
        optional={
            "person": identifier("Whose: id (P-...) or e-mail address; yours by default."),
            "status": choice("Status.", "pending", "approved", "rejected", "cancelled"),
        },
    ),
    tool("leave_to_decide", "Lists the pending requests of the people who report to you, earliest first.", to_decide),
    tool(
        "leave_request",
        "Asks for leave. Working days are counted; vacation must fit your balance; leaves may not overlap. It is "
        "pending until your manager decides; sick leave is approved at once and may begin up to 7 days ago.",
        request,
        required={
            "kind": choice("Kind.", "vacation", "sick", "unpaid"),
            "first": date("First day."),
            "last": date("Last day, in the same year."),
        },
        optional={"note": text("Note for your manager.", 500)},
        writes=True,
    ),
    tool(
        "leave_decide",
        "Approves or rejects a pending request of somebody who reports to you.",
        decide,
        required={
            "leave": identifier("The request's id (L-...)."),
            "decision": choice("Decision.", "approve", "reject"),
        },
        writes=True,
    ),
    tool(
        "leave_cancel",
        "Cancels a leave of yours that is pending, or approved and not yet begun.",
        cancel,
        required={"leave": identifier("The leave's id (L-...).")},
        writes=True,
    ),
)
