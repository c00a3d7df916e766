"""What the office holds at the start, drawn from a seed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from palaestra.envs.tools.desk.founding.agenda import found_events
from palaestra.envs.tools.desk.founding.archive import found_files, found_folders
from palaestra.envs.tools.desk.founding.draw import Draw
from palaestra.envs.tools.desk.founding.money import found_accounts, found_cards, found_payees, found_transfers
from palaestra.envs.tools.desk.founding.people import found_people, found_rooms
from palaestra.envs.tools.desk.founding.post import found_mails
from palaestra.envs.tools.desk.founding.service import found_comments, found_leaves, found_tickets
from palaestra.envs.tools.desk.founding.trade import found_contacts, found_orders, found_products
from palaestra.envs.tools.desk.office import OfficeBase, base_table
from palaestra.envs.tools.desk.records import RECORDS

__all__ = ["NOW", "found_office"]

NOW = "2026-03-09T09:00"  # a Monday
"""The moment at which the clock of every office stands."""


@lru_cache(maxsize=8)
def found_office(seed: int) -> OfficeBase:
    """The office of a seed; made once in a process and then shared.

    Args:
        seed: At least 0.
    """

    def draw(table: str) -> Draw:
        # A generator for each table: what one draws changes none of the others.
        return Draw(np.random.default_rng([seed, list(RECORDS).index(table)]))

    departments, people = found_people(draw("people"))
    rooms = found_rooms(draw("rooms"))
    folders = found_folders(departments, people)
    files = found_files(draw("files"), departments, people, folders, NOW)
    contacts = found_contacts(draw("contacts"), people)
    products = found_products(draw("products"))
    accounts = found_accounts(draw("accounts"), departments, people)
    payees = found_payees(draw("payees"), people, contacts, NOW)
    tickets = found_tickets(draw("tickets"), departments, people, NOW)
    records: dict[str, list[Any]] = {
        "departments": departments,
        "people": people,
        "rooms": rooms,
        "events": found_events(draw("events"), people, rooms, NOW),
        "mails": found_mails(draw("mails"), people, contacts, files, NOW),
        "folders": folders,
        "files": files,
        "contacts": contacts,
        "products": products,
        "orders": found_orders(draw("orders"), people, products, NOW),
        "accounts": accounts,
        "payees": payees,
        "transfers": found_transfers(draw("transfers"), accounts, payees, people, NOW),
        "cards": found_cards(draw("cards"), accounts),
        "tickets": tickets,
        "comments": found_comments(draw("comments"), tickets, NOW),
        "leaves": found_leaves(draw("leaves"), people, NOW),
        "receipts": [],
    }
    return OfficeBase(seed, NOW, {name: base_table(name, records[name]) for name in RECORDS})
