"""What every application stands on: the tables, who acts, what time it is, and how things are looked up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from palaestra.envs.tools.desk.records import (
    RECORDS,
    Account,
    Card,
    Comment,
    Contact,
    Department,
    Event,
    File,
    Folder,
    Leave,
    Mail,
    Order,
    Payee,
    Person,
    Product,
    Receipt,
    Room,
    Ticket,
    Transfer,
)
from palaestra.envs.tools.desk.tables import BaseTable, Table
from palaestra.errors import ToolError

__all__ = ["Office", "OfficeBase", "as_cents", "as_euros", "base_table", "clean", "unknown"]


class OfficeBase:
    """The office at the start; shared by all worlds of a seed and never written.

    Attributes:
        seed: What it was drawn from.
        now: The moment at which the clock stands.
        tables: By name.
    """

    __slots__ = ("now", "seed", "tables")

    def __init__(self, seed: int, now: str, tables: Mapping[str, BaseTable[Any]]) -> None:
        self.seed, self.now = seed, now
        self.tables = MappingProxyType(dict(tables))


def _participants(mail: Mail) -> tuple[str, ...]:
    return (mail.sender, *mail.to, *mail.cc)


# For each table its indexes, and the text in which is searched.
_INDEXES: Mapping[str, Mapping[str, Callable[[Any], tuple[str, ...]]]] = MappingProxyType(
    {
        "departments": {"name": lambda r: (r.name.casefold(),)},
        "people": {
            "email": lambda r: (r.email,),
            "department": lambda r: (r.department,),
            "manager": lambda r: (r.manager,),
            "office": lambda r: (r.office.casefold(),),
        },
        "events": {
            "person": lambda r: (r.organizer, *(person for person, _ in r.attendees)),
            "room": lambda r: (r.room,),
        },
        "mails": {"address": _participants, "thread": lambda r: (r.thread,)},
        "folders": {"parent": lambda r: (r.parent,), "holder": lambda r: (r.holder,)},
        "files": {
            "folder": lambda r: (r.folder,),
            "owner": lambda r: (r.owner,),
            "shared": lambda r: tuple(person for person, _ in r.shared),
        },
        "contacts": {"email": lambda r: (r.email,), "owner": lambda r: (r.owner, "shared" if r.shared else "private")},
        "products": {"category": lambda r: (r.category,)},
        "orders": {"buyer": lambda r: (r.buyer,)},
        "accounts": {"holder": lambda r: (r.holder,)},
        "payees": {"owner": lambda r: (r.owner,)},
        "transfers": {"source": lambda r: (r.source,)},
        "cards": {"holder": lambda r: (r.holder,)},
        "tickets": {"queue": lambda r: (r.queue,), "requester": lambda r: (r.requester,)},
        "comments": {"ticket": lambda r: (r.ticket,)},
        "leaves": {"person": lambda r: (r.person,)},
    }
)
_WORDS: Mapping[str, Callable[[Any], str]] = MappingProxyType(
    {
        "people": lambda r: f"{r.name} {r.title} {r.email}",
        "events": lambda r: r.title,
        "mails": lambda r: f"{r.subject} {r.body}",
        "files": lambda r: f"{r.name} {r.content}",
        "contacts": lambda r: f"{r.name} {r.email} {r.company}",
        "products": lambda r: r.name,
        "transfers": lambda r: f"{r.name} {r.reference}",
        "tickets": lambda r: f"{r.title} {r.description}",
    }
)


def base_table(name: str, records: list[Any]) -> BaseTable[Any]:
    """A table at the start, with the indexes that the applications use."""
    return BaseTable(name, RECORDS[name][1], records, _INDEXES.get(name, {}), _WORDS.get(name))


class Office:
    """The state of the office as applications see it.

    Args:
        base: What it starts from.
        user: Id of the person for whom the agent acts.
    """

    def __init__(self, base: OfficeBase, user: str) -> None:
        self.base = base
        self.now = base.now
        self.today = base.now[:10]
        self._journal: list[tuple[Any, str, Any, int]] = []
        self._tables: dict[str, Table[Any]] = {name: Table(base.tables[name], self._journal) for name in RECORDS}
        tables = self._tables
        self.departments: Table[Department] = tables["departments"]
        self.people: Table[Person] = tables["people"]
        self.rooms: Table[Room] = tables["rooms"]
        self.events: Table[Event] = tables["events"]
        self.mails: Table[Mail] = tables["mails"]
        self.folders: Table[Folder] = tables["folders"]
        self.files: Table[File] = tables["files"]
        self.contacts: Table[Contact] = tables["contacts"]
        self.products: Table[Product] = tables["products"]
        self.orders: Table[Order] = tables["orders"]
        self.accounts: Table[Account] = tables["accounts"]
        self.payees: Table[Payee] = tables["payees"]
        self.transfers: Table[Transfer] = tables["transfers"]
        self.cards: Table[Card] = tables["cards"]
        self.tickets: Table[Ticket] = tables["tickets"]
        self.comments: Table[Comment] = tables["comments"]
        self.leaves: Table[Leave] = tables["leaves"]
        self.receipts: Table[Receipt] = tables["receipts"]
        self.user = self.people[user].id

    @property
    def me(self) -> Person:
        """The person for whom the agent acts."""
        return self.people[self.user]

    def person(self, ref: str, field: str) -> Person:
        """The employee with this id or e-mail address.

        Raises:
            ToolError: There is none.
        """
        person = self.people.get(ref)
        if person is not None:
            return person
        for found in self.people.where("email", ref.strip().casefold()):
            return found
        raise ToolError(
            f"In the field '{field}': there is no employee {ref!r}. Give an id (P-...) or an e-mail address; "
            "people_search finds them."
        )

    def persons(self, refs: Sequence[str], field: str) -> tuple[Person, ...]:
        """The employees with these ids or e-mail addresses, each once, in the order of their ids."""
        found = {self.person(ref, f"{field}.{place}") for place, ref in enumerate(refs)}
        return tuple(sorted(found))

    def department(self, ref: str, field: str) -> Department:
        """The department with this id or name."""
        department = self.departments.get(ref)
        if department is not None:
            return department
        for found in self.departments.where("name", ref.strip().casefold()):
            return found
        names = ", ".join(one.name for one in self.departments)
        raise ToolError(f"In the field '{field}': there is no department {ref!r}. Departments: {names}.")

    def city(self, ref: str, field: str) -> str:
        """The city of the office that is meant, in its proper spelling."""
        for found in self.people.where("office", ref.strip().casefold()):
            return found.office
        cities = ", ".join(sorted({room.office for room in self.rooms}))
        raise ToolError(f"In the field '{field}': there is no office in {ref!r}. Offices: {cities}.")

    def visible_contact(self, email: str) -> Contact | None:
        """The contact with this address that the user can see, their own before a shared one."""
        seen = [one for one in self.contacts.where("email", email) if one.shared or one.owner == self.user]
        return min(seen, key=lambda one: (one.owner != self.user, one.id), default=None)

    def find(self, table: str, ref: str, field: str, what: str, finder: str) -> Any:
        """The record with this id.

        Args:
            table: Where to look.
            ref: The id.
            field: The argument that it came in, for the message.
            what: What is looked for ("event").
            finder: The tool that finds such things.

        Raises:
            ToolError: There is none.
        """
        found = self._tables[table].get(ref)
        if found is None:
            raise unknown(table, ref, field, what, finder)
        return found

    def once(
        self, tool: str, key: str | None, arguments: Mapping[str, Any], act: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Does something once for each idempotence key of a person.

        Raises:
            ToolError: The key stands for a call with other arguments.
        """
        if key is None:
            return act()
        id_, said = f"{self.user}/{tool}/{key}", json.dumps(arguments, sort_keys=True)
        receipt = self.receipts.get(id_)
        if receipt is None:
            result = act()
            self.receipts.add(Receipt(id_, said, json.dumps(result)))
            return result
        if receipt.arguments != said:
            raise ToolError(
                f"In the field 'idempotency_key': {key!r} was used for a call with other arguments. Use another key "
                "for another call."
            )
        return {**json.loads(receipt.result), "repeated": True}


def unknown(table: str, ref: str, field: str, what: str, finder: str) -> ToolError:
    """The error for an id that leads nowhere, or where the user may not look."""
    prefix = RECORDS[table][1]
    return ToolError(
        f"In the field '{field}': there is no {what} {ref!r} that you can see. Give an id ({prefix}-...); "
        f"{finder} finds them."
    )


def as_cents(amount: float, field: str) -> int:
    """An amount in euros as whole cents.

    Raises:
        ToolError: It is no number, or has more than two decimals.
    """
    if -1e12 < amount < 1e12:  # false for NaN
        cents = round(amount * 100)
        if abs(cents - amount * 100) < 1e-6:
            return cents
    raise ToolError(
        f"In the field '{field}': {amount!r} is no amount in euros with at most two decimals, such as 12.50."
    )


def as_euros(cents: int) -> float:
    """Whole cents as the euros that tools show."""
    return cents / 100


def clean(text: str, field: str) -> str:
    """A text of one line without blanks at its ends.

    Raises:
        ToolError: Nothing is left, or it holds control characters.
    """
    text = text.strip()
    if text and text.isprintable():
        return text
    raise ToolError(f"In the field '{field}': give a text of one line that is not blank.")
