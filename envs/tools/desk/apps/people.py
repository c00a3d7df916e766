"""The directory: who works here, where, and for whom."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.desk.office import Office, as_euros
from palaestra.envs.tools.desk.records import Person
from palaestra.envs.tools.desk.tooling import DeskTool, identifier, integer, text, tool

__all__ = ["TOOLS"]


def _brief(office: Office, person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "name": person.name,
        "email": person.email,
        "title": person.title,
        "department": office.departments[person.department].name,
        "office": person.office,
    }


def _full(office: Office, person: Person) -> dict[str, Any]:
    manager = office.people.get(person.manager)
    return {
        **_brief(office, person),
        "phone": person.phone,
        "since": person.since,
        "manager": None if manager is None else {"id": manager.id, "name": manager.name, "email": manager.email},
    }


def me(office: Office) -> dict[str, Any]:
    """`people_me`."""
    return {"you": _full(office, office.me), "now": office.now}


def search(
    office: Office,
    query: str | None = None,
    department: str | None = None,
    city: str | None = None,
    limit: int = 10,
) -> dict[str, Any]:
    """`people_search`."""
    if department is not None:
        found = office.people.where("department", office.department(department, "department").id)
    else:
        found = list(office.people)
    if city is not None:
        place = office.city(city, "city")
        found = [person for person in found if person.office == place]
    if query is not None:
        found = office.people.search(found, query)
    return {"people": [_brief(office, person) for person in found[:limit]], "found": len(found)}


def get(office: Office, person: str) -> dict[str, Any]:
    """`people_get`."""
    return _full(office, office.person(person, "person"))


def reports(office: Office, manager: str) -> dict[str, Any]:
    """`people_reports`."""
    chief = office.person(manager, "manager")
    found = office.people.where("manager", chief.id)
    return {"manager": chief.name, "reports": [_brief(office, person) for person in found]}


def department(office: Office, department: str) -> dict[str, Any]:
    """`people_department`."""
    found = office.department(department, "department")
    head = office.people[found.head]
    members = office.people.where("department", found.id)
    return {
        "id": found.id,
        "name": found.name,
        "head": {"id": head.id, "name": head.name, "email": head.email},
        "members": [{"id": one.id, "name": one.name, "title": one.title} for one in members],
        "budget": as_euros(found.budget),
    }


TOOLS: tuple[DeskTool, ...] = (
    tool("people_me", "Tells who you act for (id, e-mail, department, manager) and what day and time it is.", me),
    tool(
        "people_search",
        "Finds employees by words of their name, title or e-mail address, by department or city.",
        search,
        optional={
            "query": text("Words that must all occur in name, title or e-mail address."),
            "department": text("Name or id (D-...) of the department."),
            "city": text("City of the office."),
            "limit": integer("Most results; 10 by default.", 1, 50),
        },
    ),
    tool(
        "people_get",
        "Shows one employee: title, department, manager, office, phone, since when employed.",
        get,
        required={"person": identifier("The employee: id (P-...) or e-mail address.")},
    ),
    tool(
        "people_reports",
        "Lists the people who report to a manager directly.",
        reports,
        required={"manager": identifier("The manager: id (P-...) or e-mail address.")},
    ),
    tool(
        "people_department",
        "Shows a department: its head, its members, and what it may still spend in the shop.",
        department,
        required={"department": text("Name or id (D-...) of the department.")},
    ),
)
