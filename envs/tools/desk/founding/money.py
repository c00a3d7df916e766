"""The house bank: accounts, payees outside, transfers of the last weeks and coming ones, cards."""

from __future__ import annotations

from collections.abc import Sequence

from palaestra.envs.tools.desk.founding.draw import Draw
from palaestra.envs.tools.desk.founding.trade import firm_iban
from palaestra.envs.tools.desk.iban import german_iban
from palaestra.envs.tools.desk.records import Account, Card, Contact, Department, Payee, Person, Transfer
from palaestra.envs.tools.desk.times import later_day

__all__ = ["found_accounts", "found_cards", "found_payees", "found_transfers"]

_BANK = "20070000"
_REASONS = ("Rent {month}", "Invoice {number}", "Electricity {month}", "Gym {month}", "Insurance {number}",
            "Deposit {number}", "Repair {number}", "Course fee {number}", "Donation", "Phone {month}")  # fmt: skip
_PRIVATE = ("Stadtwerke Elbe", "Hausverwaltung Krone", "Fitness Nord", "Versicherung Anker", "Telefon Direkt",
            "Musikschule Allegro", "Autohaus Berger", "Zahnarzt Dr. Mertens", "Buchladen am Markt")  # fmt: skip


def found_accounts(draw: Draw, departments: Sequence[Department], people: Sequence[Person]) -> list[Account]:
    """A checking account for everybody, savings for some, one account for each department."""
    accounts: list[Account] = []

    def make(kind: str, holder: str, balance: int, limit: int, daily: int, frozen: bool = False) -> None:
        iban = german_iban(_BANK, f"{len(accounts) + 4_711_001:010}")
        accounts.append(Account(f"A-{len(accounts) + 1:04}", iban, kind, holder, balance, limit, daily, frozen))

    for person in people:
        limit = draw.one((50_000, 100_000, 200_000))
        make("checking", person.id, draw.whole(5_000, 900_000), limit, limit * draw.one((1, 2, 3)), draw.chance(0.04))
        if draw.chance(0.45):
            make("savings", person.id, draw.whole(10_000, 3_000_000), 100_000, 100_000, draw.chance(0.06))
    for department in departments:
        make("department", department.id, draw.whole(500_000, 9_000_000), 500_000, 1_500_000)
    return accounts


def found_payees(draw: Draw, people: Sequence[Person], contacts: Sequence[Contact], now: str) -> list[Payee]:
    """Payees: private ones, and firms among the contacts."""
    payees: list[Payee] = []
    firms = sorted({contact.company for contact in contacts})
    for person in people:
        names = draw.some(_PRIVATE, draw.whole(0, 2)) + draw.some(firms, draw.whole(0, 2))
        for name in names:
            iban = german_iban("37040044", draw.digits(10)) if name in _PRIVATE else firm_iban(name)
            added = later_day(now[:10], -draw.whole(0 if draw.chance(0.06) else 20, 700))
            payees.append(Payee(f"PY-{len(payees) + 1:04}", person.id, name, iban, added))
    return payees


def found_transfers(
    draw: Draw, accounts: Sequence[Account], payees: Sequence[Payee], people: Sequence[Person], now: str
) -> list[Transfer]:
    """Transfers of the last 90 days, which the balances know of, and scheduled and cancelled ones."""
    checking = {account.holder: account for account in accounts if account.kind == "checking"}
    names = {person.id: person.name for person in people}
    made = []
    for number in range(520):
        payee = draw.one(payees)
        source = checking[payee.owner]
        target, name = payee.iban, payee.name
        if draw.chance(0.2):
            other = draw.one(people)
            if other.id == payee.owner:
                continue
            target, name = checking[other.id].id, names[other.id]
        amount = draw.whole(5, source.transfer_limit // 200) * 100 + draw.one((0, 0, 50, 90, 99))
        status = draw.weighted((("done", 80), ("scheduled", 15), ("cancelled", 5)))
        days = draw.whole(1, 45) if status != "done" else -draw.whole(0 if number % 9 == 0 else 1, 90)
        day = later_day(now[:10], days)
        reference = draw.one(_REASONS).format(month=day[:7], number=draw.digits(5))
        made.append(Transfer("", source.id, target, name, amount, reference, day, status))
    made.sort(key=lambda transfer: transfer.date)
    return [transfer._replace(id=f"TR-{number:04}") for number, transfer in enumerate(made, start=1)]


def found_cards(draw: Draw, accounts: Sequence[Account]) -> list[Card]:
    """Cards of the checking accounts; some people have two, some of them are frozen."""
    cards: list[Card] = []
    for account in accounts:
        if account.kind == "checking":
            for _ in range(draw.weighted(((0, 10), (1, 65), (2, 25)))):
                limit = draw.one((50_000, 100_000, 250_000))
                cards.append(
                    Card(f"K-{len(cards) + 1:04}", account.id, account.holder, draw.digits(4), limit, draw.chance(0.12))
                )
    return cards
