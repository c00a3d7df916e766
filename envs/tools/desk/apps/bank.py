"""The bank: accounts, payees, transfers within balance and limits, cards."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.desk.office import Office
from palaestra.envs.tools.desk.tooling import DeskTool, boolean, choice, date, identifier, integer, money, text, tool
from palaestra.errors import ToolError

__all__ = ["TOOLS"]


def accounts(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def transfers(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def payees(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def add_payee(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def remove_payee(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def transfer(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def cancel_transfer(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def set_limit(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def cards(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def freeze_card(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


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
