"""Contacts: people outside the company, one entry an address."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.desk.office import Office
from palaestra.envs.tools.desk.tooling import DeskTool, boolean, identifier, integer, text, tool
from palaestra.errors import ToolError

__all__ = ["TOOLS"]


def search(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def get(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def add(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def update(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def delete(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


TOOLS: tuple[DeskTool, ...] = (
    tool(
        "contacts_search",
        "Finds contacts that you can see (yours and the shared ones) by words of name, e-mail address or company.",
        search,
        optional={
            "query": text("Words that must all occur in name, e-mail address or company."),
            "mine": boolean("Only your own; false by default."),
            "limit": integer("Most results; 10 by default.", 1, 50),
        },
    ),
    tool(
        "contacts_get",
        "Shows one contact with its notes.",
        get,
        required={"contact": identifier("The contact's id (C-...) or e-mail address.")},
    ),
    tool(
        "contacts_add",
        "Adds a contact of yours. You can have an e-mail address only once; employees are in the directory instead.",
        add,
        required={"name": text("Name.", 80), "email": text("E-mail address.", 120)},
        optional={
            "company": text("Company.", 80),
            "phone": text("Phone number in international form, such as +49 30 1234567.", 30),
            "notes": text("Notes.", 1000),
            "shared": boolean("Whether everybody sees it; false by default."),
        },
        writes=True,
    ),
    tool(
        "contacts_update",
        "Changes a contact of yours. What is not given stays as it is.",
        update,
        required={"contact": identifier("The contact's id (C-...) or e-mail address.")},
        optional={
            "name": text("New name.", 80),
            "email": text("New e-mail address.", 120),
            "company": text("New company.", 80),
            "phone": text("New phone number in international form, such as +49 30 1234567.", 30),
            "notes": text("New notes.", 1000),
            "shared": boolean("Whether everybody sees it."),
        },
        writes=True,
    ),
    tool(
        "contacts_delete",
        "Deletes a contact of yours.",
        delete,
        required={"contact": identifier("The contact's id (C-...) or e-mail address.")},
        writes=True,
    ),
)
