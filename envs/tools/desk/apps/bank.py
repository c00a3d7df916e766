"""The bank: accounts, payees, transfers within balance and limits, cards."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.desk.iban import valid_iban
from palaestra.envs.tools.desk.office import Office, as_cents, as_euros, clean
from palaestra.envs.tools.desk.records import Account, Card, Payee, Transfer
from palaestra.envs.tools.desk.times import later_day, parse_day
from palaestra.envs.tools.desk.tooling import DeskTool, boolean, choice, date, identifier, integer, money, text, tool
from palaestra.errors import ToolError

__all__ = ["TOOLS"]

_NEW_PAYEE_MOST = 100_000
_DAYS_AHEAD = 365


# What is so ------------------------------------------------------------------------------------------------------


def _usable(office: Office) -> list[Account]:
    """The user's accounts, and their department's if they head it."""
    found = office.accounts.where("holder", office.user)
    if office.departments[office.me.department].head == office.user:
        found = found + office.accounts.where("holder", office.me.department)
    return found


def _account(office: Office, id_: str, field: str) -> Account:
    usable = _usable(office)
    for account in usable:
        if account.id == id_:
            return account
    known = ", ".join(account.id for account in usable)
    raise ToolError(f"In the field '{field}': {id_!r} is no account that you may use. Yours: {known}.")


def _on_day(office: Office, account: str, day: str) -> int:
    """What leaves an account on a day, done or scheduled."""
    return sum(
        one.amount
        for one in office.transfers.where("source", account)
        if one.date == day and one.status in ("done", "scheduled")
    )


def _holder(office: Office, account: Account) -> str:
    person = office.people.get(account.holder)
    return office.departments[account.holder].name if person is None else person.name


# What is shown ---------------------------------------------------------------------------------------------------


def _shown(office: Office, account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "iban": account.iban,
        "kind": account.kind,
        "holder": _holder(office, account),
        "balance": as_euros(account.balance),
        "transfer_limit": as_euros(account.transfer_limit),
        "daily_limit": as_euros(account.daily_limit),
        "left_today": as_euros(max(0, account.daily_limit - _on_day(office, account.id, office.today))),
        "frozen": account.frozen,
    }


def _transfer(one: Transfer) -> dict[str, Any]:
    return {
        "id": one.id,
        "from_account": one.source,
        "to": one.target,
        "name": one.name,
        "amount": as_euros(one.amount),
        "reference": one.reference,
        "date": one.date,
        "status": one.status,
    }


def _payee(one: Payee) -> dict[str, Any]:
    return {"id": one.id, "name": one.name, "iban": one.iban, "added_on": one.added_on}


def _card(one: Card) -> dict[str, Any]:
    return {
        "id": one.id,
        "account": one.account,
        "last_four": one.ending,
        "monthly_limit": as_euros(one.monthly_limit),
        "frozen": one.frozen,
    }


# The tools -------------------------------------------------------------------------------------------------------


def accounts(office: Office) -> dict[str, Any]:
    """`bank_accounts`."""
    return {"accounts": [_shown(office, account) for account in _usable(office)]}


def transfers(
    office: Office,
    account: str,
    query: str | None = None,
    since: str | None = None,
    until: str | None = None,
    status: str | None = None,
    limit: int = 10,
) -> dict[str, Any]:
    """`bank_transfers`."""
    found = office.transfers.where("source", _account(office, account, "account").id)
    first = None if since is None else parse_day(since, "since")
    last = None if until is None else parse_day(until, "until")
    found = [
        one
        for one in found
        if (first is None or one.date >= first)
        and (last is None or one.date <= last)
        and (status is None or one.status == status)
    ]
    if query is not None:
        found = office.transfers.search(found, query)
    found.sort(key=lambda one: (one.date, one.id), reverse=True)
    return {"transfers": [_transfer(one) for one in found[:limit]], "found": len(found)}


def payees(office: Office) -> dict[str, Any]:
    """`bank_payees`."""
    return {"payees": [_payee(one) for one in office.payees.where("owner", office.user)]}


def add_payee(office: Office, name: str, iban: str) -> dict[str, Any]:
    """`bank_add_payee`."""
    name, number = clean(name, "name"), "".join(iban.split()).upper()
    if not valid_iban(number):
        raise ToolError(f"In the field 'iban': {iban!r} is no IBAN, or its check digits are wrong; read it again.")
    for one in office.payees.where("owner", office.user):
        if one.iban == number:
            raise ToolError(f"In the field 'iban': {number} is already your payee {one.id} ({one.name}).")
    for account in office.accounts:
        if account.iban == number:
            raise ToolError(f"In the field 'iban': this is the account {account.id} in the house; transfer to its id.")
    made = Payee(office.payees.new_id(), office.user, name, number, office.today)
    return {"created": _payee(office.payees.add(made))}


def _own_payee(office: Office, id_: str, field: str) -> Payee:
    payee: Payee | None = office.payees.get(id_)
    if payee is None or payee.owner != office.user:
        raise ToolError(
            f"In the field '{field}': there is no payee {id_!r} of yours. bank_payees lists them, "
            "bank_add_payee adds one."
        )
    return payee


def remove_payee(office: Office, payee: str) -> dict[str, Any]:
    """`bank_remove_payee`."""
    old = _own_payee(office, payee, "payee")
    for account in _usable(office):
        for one in office.transfers.where("source", account.id):
            if one.target == old.iban and one.status == "scheduled":
                raise ToolError(
                    f"In the field 'payee': the transfer {one.id} to {old.name} is scheduled; cancel it first."
                )
    office.payees.remove(payee)
    return {"removed": payee, "name": old.name}


def transfer(
    office: Office,
    from_account: str,
    to: str,
    amount: float,
    reference: str,
    date: str | None = None,
    idempotency_key: str | None = None,
) -> dict[str, Any]:
    """`bank_transfer`."""
    said = {"from_account": from_account, "to": to, "amount": amount, "reference": reference, "date": date}
    return office.once(
        "bank_transfer", idempotency_key, said, lambda: _send(office, from_account, to, amount, reference, date)
    )


def _send(
    office: Office, from_account: str, to: str, amount: float, reference: str, date: str | None
) -> dict[str, Any]:
    source = _account(office, from_account, "from_account")
    cents, reference = as_cents(amount, "amount"), clean(reference, "reference")
    day = office.today if date is None else parse_day(date, "date")
    if not office.today <= day <= later_day(office.today, _DAYS_AHEAD):
        raise ToolError(f"In the field 'date': {day} is not from today, {office.today}, to {_DAYS_AHEAD} days ahead.")
    inside: Account | None = office.accounts.get(to)
    if inside is not None:
        if inside.id == source.id:
            raise ToolError("In the field 'to': this is the account to charge; give another one.")
        if inside.frozen:
            raise ToolError(f"In the field 'to': the account {to} is frozen and takes no money.")
        target, name = inside.id, _holder(office, inside)
    else:
        payee = _own_payee(office, to, "to")
        if payee.added_on == office.today and cents > _NEW_PAYEE_MOST:
            raise ToolError(
                f"In the field 'amount': {payee.name} was added today, so at most "
                f"{as_euros(_NEW_PAYEE_MOST):.2f} euros."
            )
        target, name = payee.iban, payee.name
    _check_limits(office, source, cents, day)
    if day == office.today:
        if cents > source.balance:
            raise ToolError(f"In the field 'amount': {source.id} has {as_euros(source.balance):.2f} euros.")
        office.accounts.put(source._replace(balance=source.balance - cents))
        if inside is not None:
            office.accounts.put(inside._replace(balance=inside.balance + cents))
    status = "done" if day == office.today else "scheduled"
    made = Transfer(office.transfers.new_id(), source.id, target, name, cents, reference, day, status)
    return {"transfer": _transfer(office.transfers.add(made))}


def _check_limits(office: Office, source: Account, cents: int, day: str) -> None:
    if source.frozen:
        raise ToolError(f"In the field 'from_account': {source.id} is frozen, and no money can leave it.")
    if cents > source.transfer_limit:
        raise ToolError(
            f"In the field 'amount': above the limit of {source.id} for one transfer, "
            f"{as_euros(source.transfer_limit):.2f} euros (bank_set_limit changes it)."
        )
    left = source.daily_limit - _on_day(office, source.id, day)
    if cents > left:
        raise ToolError(
            f"In the field 'amount': above what may still leave {source.id} on {day}, "
            f"{as_euros(max(0, left)):.2f} of {as_euros(source.daily_limit):.2f} euros (bank_set_limit changes it)."
        )


def cancel_transfer(office: Office, transfer: str) -> dict[str, Any]:
    """`bank_cancel_transfer`."""
    old: Transfer | None = office.transfers.get(transfer)
    if old is None or old.source not in {account.id for account in _usable(office)}:
        raise ToolError(
            f"In the field 'transfer': there is no transfer {transfer!r} from an account that you may use. "
            "bank_transfers lists them."
        )
    if old.status != "scheduled":
        raise ToolError(f"In the field 'transfer': {transfer} is {old.status}; only scheduled ones can be cancelled.")
    return {"cancelled": _transfer(office.transfers.put(old._replace(status="cancelled")))}


def set_limit(office: Office, account: str, kind: str, amount: float) -> dict[str, Any]:
    """`bank_set_limit`."""
    old, cents = _account(office, account, "account"), as_cents(amount, "amount")
    new = old._replace(transfer_limit=cents) if kind == "transfer" else old._replace(daily_limit=cents)
    if new.transfer_limit > new.daily_limit:
        raise ToolError(
            f"In the field 'amount': the limit for one transfer ({as_euros(new.transfer_limit):.2f}) would exceed that "
            f"for one day ({as_euros(new.daily_limit):.2f}); change the other limit first."
        )
    return {"updated": _shown(office, office.accounts.put(new))}


def cards(office: Office) -> dict[str, Any]:
    """`bank_cards`."""
    return {"cards": [_card(one) for one in office.cards.where("holder", office.user)]}


def freeze_card(office: Office, card: str, frozen: bool) -> dict[str, Any]:
    """`bank_freeze_card`."""
    old: Card | None = office.cards.get(card)
    if old is None or old.holder != office.user:
        raise ToolError(f"In the field 'card': there is no card {card!r} of yours. bank_cards lists them.")
    return {"card": _card(office.cards.put(old._replace(frozen=frozen)))}


TOOLS: tuple[DeskTool, ...] = (
    tool(
        "bank_accounts",
        "Lists the accounts you may use: your own, and your department's if you are its head. Shows balance, limits "
        "and what may still leave the account today.",
        accounts,
    ),
    tool(
        "bank_transfers",
        "Lists transfers from an account that you may use, newest first.",
        transfers,
        required={"account": identifier("The account's id (A-...).")},
        optional={
            "query": text("Words that must all occur in name or reference."),
            "since": date("On this day or later."),
            "until": date("On this day or earlier."),
            "status": choice("Status.", "done", "scheduled", "cancelled"),
            "limit": integer("Most results; 10 by default.", 1, 50),
        },
    ),
    tool("bank_payees", "Lists your payees: those outside to whom you may transfer money.", payees),
    tool(
        "bank_add_payee",
        "Adds a payee of yours. The IBAN's check digits must be right. To a payee added today at most 1,000.00 euros "
        "a transfer can be sent.",
        add_payee,
        required={"name": text("Name.", 80), "iban": text("IBAN, with or without spaces.", 42)},
        writes=True,
    ),
    tool(
        "bank_remove_payee",
        "Removes a payee of yours to whom no transfer is scheduled.",
        remove_payee,
        required={"payee": identifier("The payee's id (PY-...).")},
        writes=True,
    ),
    tool(
        "bank_transfer",
        "Transfers money from an account that you may use to a payee of yours or to an account in the house. Balance, "
        "the account's limit for one transfer and its limit for one day must allow it.",
        transfer,
        required={
            "from_account": identifier("Id of the account to charge (A-...)."),
            "to": identifier("Id of a payee of yours (PY-...) or of an account in the house (A-...)."),
            "amount": money("Amount."),
            "reference": text("What it is for.", 140),
        },
        optional={
            "date": date("Day of execution, at most 365 days ahead; today by default. Later days are scheduled."),
            "idempotency_key": text("A key of your choice; a second transfer with the same key is not made again.", 64),
        },
        writes=True,
    ),
    tool(
        "bank_cancel_transfer",
        "Cancels a scheduled transfer from an account that you may use.",
        cancel_transfer,
        required={"transfer": identifier("The transfer's id (TR-...).")},
        writes=True,
    ),
    tool(
        "bank_set_limit",
        "Sets an account's limit for one transfer or for one day. The limit for one transfer cannot exceed that for "
        "one day, which cannot exceed 50,000.00 euros.",
        set_limit,
        required={
            "account": identifier("The account's id (A-...)."),
            "kind": choice("Which limit.", "transfer", "daily"),
            "amount": money("New limit.", 50_000),
        },
        writes=True,
    ),
    tool("bank_cards", "Lists your cards with their last four digits, limits and whether they are frozen.", cards),
    tool(
        "bank_freeze_card",
        "Freezes a card of yours, or unfreezes it.",
        freeze_card,
        required={"card": identifier("The card's id (K-...)."), "frozen": boolean("True freezes, false unfreezes.")},
        writes=True,
    ),
)
