"""The records of the office: what its tables hold.

Every record is a named tuple, so it is immutable, cheap to compare and shared freely between states. Conventions:

* `id` comes first; ids are unique over all tables (`EV-0012`, `P-003`). A reference is the id of another record; "" is
  none.
* Amounts are whole cents; moments are local time `YYYY-MM-DDTHH:MM` and days `YYYY-MM-DD`, which sort as text.
* What is a set (attendees, recipients, who has read a mail) is a sorted tuple, so that equal states are equal values.
* Nothing counts operations (no versions, no running balances): the state tells what holds, not how it came about.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = [
    "RECORDS",
    "Account",
    "Card",
    "Comment",
    "Contact",
    "Department",
    "Event",
    "File",
    "Folder",
    "Leave",
    "Mail",
    "Order",
    "Payee",
    "Person",
    "Product",
    "Receipt",
    "Room",
    "Ticket",
    "Transfer",
]


class Department(NamedTuple):
    """A department. `budget` is what it may still spend in the shop."""

    id: str
    name: str
    head: str
    budget: int


class Person(NamedTuple):
    """An employee. `manager` is "" for the head of the company; `leave_days` is the year's allowance."""

    id: str
    name: str
    email: str
    title: str
    department: str
    manager: str
    office: str
    phone: str
    since: str
    leave_days: int


class Room(NamedTuple):
    """A meeting room; `equipment` is a sorted tuple of `projector`, `video` and `whiteboard`."""

    id: str
    name: str
    office: str
    capacity: int
    equipment: tuple[str, ...]


class Event(NamedTuple):
    """A calendar event.

    `attendees` holds (person, response), the organizer not among them; responses are `pending`, `accepted`,
    `tentative` and `declined`. `status` is `confirmed` or `cancelled`.
    """

    id: str
    title: str
    organizer: str
    attendees: tuple[tuple[str, str], ...]
    room: str
    start: str
    end: str
    description: str
    private: bool
    status: str


class Mail(NamedTuple):
    """A mail or draft, once for all who have it.

    `thread` is the id of the first mail of the thread. `sender`, `to` and `cc` are addresses; `unread_by`,
    `starred_by`, `archived_by` and `trashed_by` are persons. `status` is `sent` or `draft`.
    """

    id: str
    thread: str
    sender: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    subject: str
    body: str
    sent_at: str
    attachments: tuple[str, ...]
    status: str
    unread_by: tuple[str, ...]
    starred_by: tuple[str, ...]
    archived_by: tuple[str, ...]
    trashed_by: tuple[str, ...]


class Folder(NamedTuple):
    """A folder. `scope` is `company`, `department` or `personal`; `holder` the department or person, "" for company."""

    id: str
    name: str
    parent: str
    scope: str
    holder: str


class File(NamedTuple):
    """A file. `shared` holds (person, role) with the roles `viewer` and `editor`; `kind` is the name's ending."""

    id: str
    name: str
    folder: str
    owner: str
    kind: str
    content: str
    confidential: bool
    read_only: bool
    shared: tuple[tuple[str, str], ...]
    modified_at: str
    trashed: bool


class Contact(NamedTuple):
    """Somebody outside the company; seen by `owner`, and by everybody where `shared`."""

    id: str
    name: str
    email: str
    phone: str
    company: str
    notes: str
    owner: str
    shared: bool


class Product(NamedTuple):
    """An article of the shop. `per_order` is the most one order may take of it."""

    id: str
    name: str
    category: str
    price: int
    stock: int
    per_order: int


class Order(NamedTuple):
    """An order. `items` holds (product, quantity, unit price); it was charged to the buyer's department.

    `status` is `pending_approval`, `placed`, `shipped`, `delivered`, `cancelled`, `rejected` or `returned`.
    """

    id: str
    buyer: str
    items: tuple[tuple[str, int, int], ...]
    total: int
    office: str
    status: str
    ordered_on: str
    delivered_on: str


class Account(NamedTuple):
    """A bank account. `kind` is `checking`, `savings` or `department`; `holder` a person or a department."""

    id: str
    iban: str
    kind: str
    holder: str
    balance: int
    transfer_limit: int
    daily_limit: int
    frozen: bool


class Payee(NamedTuple):
    """Somebody outside to whom `owner` may transfer money."""

    id: str
    owner: str
    name: str
    iban: str
    added_on: str


class Transfer(NamedTuple):
    """Money that left an account. `target` is an account of the house or a payee's IBAN.

    `status` is `done`, `scheduled` or `cancelled`.
    """

    id: str
    source: str
    target: str
    name: str
    amount: int
    reference: str
    date: str
    status: str


class Card(NamedTuple):
    """A payment card."""

    id: str
    account: str
    holder: str
    ending: str
    monthly_limit: int
    frozen: bool


class Ticket(NamedTuple):
    """A ticket. `status`: `open`, `in_progress`, `waiting`, `resolved`, `closed`; `priority`: `low` to `urgent`."""

    id: str
    queue: str
    title: str
    description: str
    requester: str
    assignee: str
    status: str
    priority: str
    created_at: str
    duplicate_of: str


class Comment(NamedTuple):
    """A comment on a ticket; internal ones are seen by the queue's team only."""

    id: str
    ticket: str
    author: str
    text: str
    at: str
    internal: bool


class Leave(NamedTuple):
    """A leave. `kind`: `vacation`, `sick`, `unpaid`; `status`: `pending`, `approved`, `rejected`, `cancelled`.

    `days` are working days from `first` to `last`, both included.
    """

    id: str
    person: str
    kind: str
    first: str
    last: str
    days: int
    status: str
    note: str


class Receipt(NamedTuple):
    """What an idempotence key stands for: the call that was made with it, and its result.

    Which key was chosen says nothing about the outcome; verifiers do not look at this table.
    """

    id: str
    arguments: str
    result: str


# Table, type of its records, prefix of its ids.
RECORDS: Mapping[str, tuple[type[Any], str]] = MappingProxyType(
    {
        "departments": (Department, "D"),
        "people": (Person, "P"),
        "rooms": (Room, "R"),
        "events": (Event, "EV"),
        "mails": (Mail, "M"),
        "folders": (Folder, "FD"),
        "files": (File, "F"),
        "contacts": (Contact, "C"),
        "products": (Product, "SKU"),
        "orders": (Order, "O"),
        "accounts": (Account, "A"),
        "payees": (Payee, "PY"),
        "transfers": (Transfer, "TR"),
        "cards": (Card, "K"),
        "tickets": (Ticket, "T"),
        "comments": (Comment, "TC"),
        "leaves": (Leave, "L"),
        "receipts": (Receipt, ""),
    }
)
