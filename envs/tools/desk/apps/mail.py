"""Mail: threads, folders and attachments. Recipients must exist, and what is confidential stays inside."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.desk.office import Office
from palaestra.envs.tools.desk.tooling import DeskTool, boolean, choice, date, identifier, integer, listing, text, tool
from palaestra.errors import ToolError

__all__ = ["TOOLS"]


def search(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def get(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def thread(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def send(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def reply(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def forward(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def draft(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def send_draft(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def mark(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def move(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


TOOLS: tuple[DeskTool, ...] = (
    tool(
        "mail_search",
        "Finds mails in your mailbox, newest first.",
        search,
        optional={
            "query": text("Words that must all occur in subject or text."),
            "folder": choice("Where to look; inbox by default.", "inbox", "sent", "archive", "trash", "drafts", "all"),
            "sender": text("The sender's id (P-...) or e-mail address."),
            "recipient": text("A recipient's id (P-...) or e-mail address."),
            "unread": boolean("Only unread (true) or only read (false) mails."),
            "starred": boolean("Only starred (true) or only unstarred (false) mails."),
            "since": date("Sent on this day or later."),
            "until": date("Sent on this day or earlier."),
            "limit": integer("Most results; 10 by default.", 1, 50),
        },
    ),
    tool(
        "mail_get",
        "Shows one mail with its text and attachments. Does not mark it as read.",
        get,
        required={"mail": identifier("The mail's id (M-...).")},
    ),
    tool(
        "mail_thread",
        "Shows all mails of a thread that you have, oldest first.",
        thread,
        required={"mail": identifier("Id (M-...) of any mail in the thread.")},
    ),
    tool(
        "mail_send",
        "Sends a mail in your name. Recipients are employees or contacts that you can see. Confidential files may go "
        "to employees only; you can attach what you may read.",
        send,
        required={
            "to": listing("Recipients: e-mail addresses, or ids of employees (P-...).", identifier("A recipient."), 50),
            "subject": text("Subject.", 200),
            "body": text("Text.", 8000),
        },
        optional={
            "cc": listing("Who gets a copy.", identifier("A recipient."), 50),
            "attachments": listing("Ids of files (F-...).", identifier("A file."), 10),
        },
        writes=True,
    ),
    tool(
        "mail_reply",
        "Answers a mail in its thread; the subject becomes 'Re: ...'.",
        reply,
        required={"mail": identifier("Id (M-...) of the mail."), "body": text("Text.", 8000)},
        optional={
            "reply_all": boolean("Send it to all other recipients, too; false by default."),
            "attachments": listing("Ids of files (F-...).", identifier("A file."), 10),
        },
        writes=True,
    ),
    tool(
        "mail_forward",
        "Sends a mail on, with its attachments, in a thread of its own; the subject becomes 'Fwd: ...'.",
        forward,
        required={
            "mail": identifier("Id (M-...) of the mail."),
            "to": listing("Recipients: e-mail addresses, or ids of employees (P-...).", identifier("A recipient."), 50),
        },
        optional={"note": text("Text above the forwarded mail.", 4000)},
        writes=True,
    ),
    tool(
        "mail_draft",
        "Saves a draft, which only you see and nobody gets until it is sent.",
        draft,
        required={
            "to": listing("Recipients: e-mail addresses, or ids of employees (P-...).", identifier("A recipient."), 50),
            "subject": text("Subject.", 200),
            "body": text("Text.", 8000),
        },
        optional={
            "cc": listing("Who gets a copy.", identifier("A recipient."), 50),
            "attachments": listing("Ids of files (F-...).", identifier("A file."), 10),
        },
        writes=True,
    ),
    tool(
        "mail_send_draft",
        "Sends a draft of yours as it is.",
        send_draft,
        required={"mail": identifier("The draft's id (M-...).")},
        writes=True,
    ),
    tool(
        "mail_mark",
        "Marks mails in your mailbox.",
        mark,
        required={
            "mails": listing("Ids (M-...).", identifier("A mail."), 50),
            "mark": choice("How.", "read", "unread", "starred", "unstarred"),
        },
        writes=True,
    ),
    tool(
        "mail_move",
        "Moves mails of your mailbox to the inbox, the archive or the trash. Others keep theirs where they are.",
        move,
        required={
            "mails": listing("Ids (M-...).", identifier("A mail."), 50),
            "folder": choice("Where to.", "inbox", "archive", "trash"),
        },
        writes=True,
    ),
)
