"""The applications of the office, one file each: their rules and their tools."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from palaestra.envs.tools.desk.apps import bank, calendar, contacts, files, leave, mail, people, shop, tickets
from palaestra.envs.tools.desk.tooling import DeskTool

__all__ = ["APPS"]

APPS: Mapping[str, tuple[DeskTool, ...]] = MappingProxyType(
    {
        "people": people.TOOLS,
        "calendar": calendar.TOOLS,
        "mail": mail.TOOLS,
        "files": files.TOOLS,
        "contacts": contacts.TOOLS,
        "shop": shop.TOOLS,
        "bank": bank.TOOLS,
        "tickets": tickets.TOOLS,
        "leave": leave.TOOLS,
    }
)
