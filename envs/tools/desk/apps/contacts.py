"""Contacts: people outside the company, one entry an address."""

from __future__ import annotations

import re
from typing import Any

from palaestra.envs.tools.desk.founding.people import DOMAIN
from palaestra.envs.tools.desk.office import Office, clean, unknown
from palaestra.envs.tools.desk.records import Contact
from palaestra.envs.tools.desk.tooling import DeskTool, boolean, identifier, integer, text, tool
from palaestra.errors import ToolError

__all__ = ["TOOLS"]

_EMAIL = re.compile(r"[a-z0-9._%+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII)
_PHONE = re.compile(r"\+[0-9][0-9 ]{4,28}", re.ASCII)


def _visible(office: Office) -> list[Contact]:
    own, shared = office.contacts.where("owner", office.user), office.contacts.where("owner", "shared")
    return sorted({*own, *shared}) if own else shared


def _seen(office: Office, ref: str) -> Contact:
    contact = office.contacts.get(ref)
    if contact is not None and (contact.shared or contact.owner == office.user):
        return contact
    found = office.visible_contact(ref.strip().casefold())
    if found is None:
        raise unknown("contacts", ref, "contact", "contact", "contacts_search")
    return found


def _own(office: Office, ref: str) -> Contact:
    contact = _seen(office, ref)
    if contact.owner != office.user:
        owner = office.people[contact.owner]
        raise ToolError(f"In the field 'contact': {contact.id} belongs to {owner.name}; you can change your own only.")
    return contact


def _email(office: Office, email: str, but: str = "") -> str:
    email = email.strip().casefold()
    if not _EMAIL.fullmatch(email):
        raise ToolError(f"In the field 'email': {email!r} is no e-mail address, such as ada@lund.example.")
    if email.endswith(f"@{DOMAIN}"):
        raise ToolError("In the field 'email': employees are in the directory (people_search), not among the contacts.")
    known = office.visible_contact(email)
    if known is not None and known.id != but:
        raise ToolError(f"In the field 'email': {email} is already the contact {known.id} ({known.name}).")
    return email


def _phone(phone: str) -> str:
    phone = phone.strip()
    if phone and not _PHONE.fullmatch(phone):
        raise ToolError(
            f"In the field 'phone': {phone!r} is no phone number in international form, such as +49 30 1234567."
        )
    return phone


def _shown(contact: Contact, user: str) -> dict[str, Any]:
    return {
        "id": contact.id,
        "name": contact.name,
        "email": contact.email,
        "company": contact.company,
        "phone": contact.phone,
        "shared": contact.shared,
        "yours": contact.owner == user,
    }


def search(office: Office, query: str | None = None, mine: bool = False, limit: int = 10) -> dict[str, Any]:
    """`contacts_search`."""
    found = office.contacts.where("owner", office.user) if mine else _visible(office)
    if query is not None:
        found = office.contacts.search(found, query)
    return {"contacts": [_shown(one, office.user) for one in found[:limit]], "found": len(found)}


def get(office: Office, contact: str) -> dict[str, Any]:
    """`contacts_get`."""
    found = _seen(office, contact)
    return {**_shown(found, office.user), "notes": found.notes}


def add(
    office: Office,
    name: str,
    email: str,
    company: str = "",
    phone: str = "",
    notes: str = "",
    shared: bool = False,
) -> dict[str, Any]:
    """`contacts_add`."""
    firm = clean(company, "company") if company else ""
    made = Contact(
        office.contacts.new_id(), clean(name, "name"), _email(office, email), _phone(phone), firm, notes, office.user,
        shared,
    )  # fmt: skip
    return {"created": _shown(office.contacts.add(made), office.user)}


def update(
    office: Office,
    contact: str,
    name: str | None = None,
    email: str | None = None,
    company: str | None = None,
    phone: str | None = None,
    notes: str | None = None,
    shared: bool | None = None,
) -> dict[str, Any]:
    """`contacts_update`."""
    if all(given is None for given in (name, email, company, phone, notes, shared)):
        raise ToolError("Nothing to change was given: give name, email, company, phone, notes or shared.")
    old = _own(office, contact)
    new = old._replace(
        name=old.name if name is None else clean(name, "name"),
        email=old.email if email is None else _email(office, email, old.id),
        company=old.company if company is None else clean(company, "company"),
        phone=old.phone if phone is None else _phone(phone),
        notes=old.notes if notes is None else notes,
        shared=old.shared if shared is None else shared,
    )
    return {"updated": _shown(office.contacts.put(new), office.user)}


def delete(office: Office, contact: str) -> dict[str, Any]:
    """`contacts_delete`."""
    old = _own(office, contact)
    office.contacts.remove(old.id)
    return {"deleted": old.id, "name": old.name}


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
