"""The directory: who works here, where, and for whom."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.desk.office import Office
from palaestra.envs.tools.desk.tooling import DeskTool, identifier, integer, text, tool
from palaestra.errors import ToolError

__all__ = ["TOOLS"]


def me(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def search(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def get(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def reports(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def department(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


TOOLS: tuple[DeskTool, ...] = (
    tool("people_me", "Tells who you act for (id, e-mail, department, manager) and what day and time it is.", me),
    tool(
        "people_search",
        "Finds employees by words of their name, title or e-mail address, by department or office.",
        search,
        optional={
            "query": text("Words that must all occur in name, title or e-mail address."),
            "department": text("Name or id (D-...) of the department."),
            "office": text("City of the office."),
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
