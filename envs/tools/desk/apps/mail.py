"""Mail: threads, folders and attachments. Recipients must exist, and what is confidential stays inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from palaestra.envs.tools.desk.apps.files import readable
from palaestra.envs.tools.desk.office import Office, clean
from palaestra.envs.tools.desk.records import Mail
from palaestra.envs.tools.desk.times import parse_day
from palaestra.envs.tools.desk.tooling import DeskTool, boolean, choice, date, identifier, integer, listing, text, tool
from palaestra.errors import ToolError

__all__ = ["TOOLS"]


# What is so ------------------------------------------------------------------------------------------------------


def _box(office: Office) -> list[Mail]:
    """All mails that the user has; drafts of their own only."""
    address = office.me.email
    return [mail for mail in office.mails.where("address", address) if mail.status == "sent" or mail.sender == address]


def _folders(office: Office, mail: Mail, address: str) -> tuple[str, ...]:
    """The folders of the user's mailbox in which a mail lies."""
    if mail.status == "draft":
        return ("drafts",)
    if office.user in mail.trashed_by:
        return ("trash",)
    received = address in mail.to or address in mail.cc
    where = ("archive",) if office.user in mail.archived_by else ("inbox",) if received else ()
    return (*where, "sent") if mail.sender == address else where


def _mine(office: Office, id_: str, field: str) -> Mail:
    mail: Mail = office.find("mails", id_, field, "mail", "mail_search")
    address = office.me.email
    if mail.sender != address and (mail.status == "draft" or (address not in mail.to and address not in mail.cc)):
        raise ToolError(f"In the field '{field}': {id_} is not in your mailbox. mail_search finds your mails.")
    return mail


def _sent(office: Office, id_: str) -> Mail:
    mail = _mine(office, id_, "mail")
    if mail.status == "draft":
        raise ToolError(f"In the field 'mail': {id_} is a draft; send it first (mail_send_draft).")
    return mail


# What must be so -------------------------------------------------------------------------------------------------


def _address(office: Office, ref: str, field: str) -> str:
    """The address of an employee or of a contact that the user can see."""
    person = office.people.get(ref)
    if person is not None:
        return person.email
    address = ref.strip().casefold()
    if office.people.where("email", address) or office.visible_contact(address) is not None:
        return address
    raise ToolError(
        f"In the field '{field}': there is no recipient {ref!r}. Recipients are employees (people_search) and contacts "
        "(contacts_search); contacts_add adds one."
    )


def _addresses(office: Office, refs: Sequence[str], field: str) -> tuple[str, ...]:
    return tuple(sorted({_address(office, ref, f"{field}.{place}") for place, ref in enumerate(refs)}))


def _attached(office: Office, refs: Sequence[str], receivers: Iterable[str], field: str) -> tuple[str, ...]:
    """Files that the user may read, none of them confidential where somebody outside gets the mail."""
    outside = [address for address in receivers if not office.people.where("email", address)]
    for place, ref in enumerate(refs):
        file = readable(office, ref, f"{field}.{place}" if field == "attachments" else field)
        if file.confidential and outside:
            raise ToolError(
                f"In the field '{field}': {file.name} ({ref}) is confidential and cannot go to {outside[0]}, which is "
                "outside the company."
            )
    return tuple(sorted(set(refs)))


def _post(office: Office, mail: Mail) -> Mail:
    """The mail as it is sent: unread by those inside who get it."""
    people = (one for address in (*mail.to, *mail.cc) for one in office.people.where("email", address))
    unread = {one.id for one in people if one.id != office.user}
    return mail._replace(status="sent", sent_at=office.now, unread_by=tuple(sorted(unread)))


def _make(
    office: Office, to: tuple[str, ...], cc: tuple[str, ...], subject: str, body: str, attachments: tuple[str, ...],
    thread: str = "",
) -> Mail:  # fmt: skip
    if not body.strip():
        raise ToolError("In the field 'body': the text is blank.")
    id_ = office.mails.new_id()
    cc = tuple(address for address in cc if address not in to)
    return Mail(
        id_, thread or id_, office.me.email, to, cc, clean(subject, "subject"), body, office.now, attachments, "draft",
        (), (), (), (),
    )  # fmt: skip


def _with_prefix(prefix: str, subject: str) -> str:
    return subject if subject.startswith(f"{prefix}: ") else f"{prefix}: {subject}"


# What is shown ---------------------------------------------------------------------------------------------------


def _brief(office: Office, mail: Mail) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": mail.id,
        "from": mail.sender,
        "to": list(mail.to),
        "subject": mail.subject,
        "sent_at": mail.sent_at,
    }
    if office.user in mail.unread_by:
        shown["unread"] = True
    if office.user in mail.starred_by:
        shown["starred"] = True
    if mail.attachments:
        shown["attachments"] = len(mail.attachments)
    return shown


def _full(office: Office, mail: Mail) -> dict[str, Any]:
    files = (office.files.get(id_) for id_ in mail.attachments)
    return {
        "id": mail.id,
        "thread": mail.thread,
        "from": mail.sender,
        "to": list(mail.to),
        "cc": list(mail.cc),
        "subject": mail.subject,
        "sent_at": mail.sent_at,
        "folders": list(_folders(office, mail, office.me.email)),
        "unread": office.user in mail.unread_by,
        "starred": office.user in mail.starred_by,
        "attachments": [{"id": file.id, "name": file.name} for file in files if file is not None],
        "body": mail.body,
    }


# The tools -------------------------------------------------------------------------------------------------------


def search(
    office: Office,
    query: str | None = None,
    folder: str = "inbox",
    sender: str | None = None,
    recipient: str | None = None,
    unread: bool | None = None,
    starred: bool | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: int = 10,
) -> dict[str, Any]:
    """`mail_search`."""
    tests: list[Callable[[Mail], bool]] = []
    address, user = office.me.email, office.user
    if folder != "all":
        tests.append(lambda mail: folder in _folders(office, mail, address))
    if sender is not None:
        author = _somebody(office, sender)
        tests.append(lambda mail: mail.sender == author)
    if recipient is not None:
        receiver = _somebody(office, recipient)
        tests.append(lambda mail: receiver in mail.to or receiver in mail.cc)
    if unread is not None:
        tests.append(lambda mail: (user in mail.unread_by) == unread)
    if starred is not None:
        tests.append(lambda mail: (user in mail.starred_by) == starred)
    if since is not None:
        first = parse_day(since, "since")
        tests.append(lambda mail: mail.sent_at[:10] >= first)
    if until is not None:
        last = parse_day(until, "until")
        tests.append(lambda mail: mail.sent_at[:10] <= last)
    found = [mail for mail in _box(office) if all(test(mail) for test in tests)]
    if query is not None:
        found = office.mails.search(found, query)
    found.sort(key=lambda mail: (mail.sent_at, mail.id), reverse=True)
    return {"mails": [_brief(office, mail) for mail in found[:limit]], "found": len(found)}


def _somebody(office: Office, ref: str) -> str:
    """The address that is meant; any address may be looked for."""
    person = office.people.get(ref)
    return ref.strip().casefold() if person is None else person.email


def get(office: Office, mail: str) -> dict[str, Any]:
    """`mail_get`."""
    return _full(office, _mine(office, mail, "mail"))


def thread(office: Office, mail: str) -> dict[str, Any]:
    """`mail_thread`."""
    one = _mine(office, mail, "mail")
    address = office.me.email
    found = [
        mail
        for mail in office.mails.where("thread", one.thread)
        if mail.sender == address or (mail.status == "sent" and (address in mail.to or address in mail.cc))
    ]
    found.sort(key=lambda mail: (mail.sent_at, mail.id))
    return {"thread": one.thread, "mails": [_full(office, mail) for mail in found]}


def send(
    office: Office,
    to: Sequence[str],
    subject: str,
    body: str,
    cc: Sequence[str] = (),
    attachments: Sequence[str] = (),
) -> dict[str, Any]:
    """`mail_send`."""
    receivers, copies = _addresses(office, to, "to"), _addresses(office, cc, "cc")
    files = _attached(office, attachments, (*receivers, *copies), "attachments")
    made = office.mails.add(_post(office, _make(office, receivers, copies, subject, body, files)))
    return {"sent": _brief(office, made)}


def reply(
    office: Office, mail: str, body: str, reply_all: bool = False, attachments: Sequence[str] = ()
) -> dict[str, Any]:
    """`mail_reply`."""
    old = _sent(office, mail)
    own = office.me.email
    receivers = old.to if old.sender == own else (old.sender,)
    copies: tuple[str, ...] = ()
    if reply_all:
        copies = tuple(sorted({*old.to, *old.cc} - {own, *receivers}))
    files = _attached(office, attachments, (*receivers, *copies), "attachments")
    subject = _with_prefix("Re", old.subject)
    made = office.mails.add(_post(office, _make(office, receivers, copies, subject, body, files, old.thread)))
    return {"sent": _brief(office, made)}


def forward(office: Office, mail: str, to: Sequence[str], note: str = "") -> dict[str, Any]:
    """`mail_forward`."""
    old = _sent(office, mail)
    receivers = _addresses(office, to, "to")
    outside = [address for address in receivers if not office.people.where("email", address)]
    for id_ in old.attachments:
        # Who got a file by mail may send it on, also where it is not shared with them, but not to the outside.
        file = office.files.get(id_)
        if file is not None and file.confidential and outside:
            raise ToolError(
                f"In the field 'to': {file.name} ({id_}) is attached, confidential, and cannot go to {outside[0]}, "
                "which is outside the company."
            )
    head = f"From: {old.sender}\nSent: {old.sent_at}\nSubject: {old.subject}\n\n{old.body}"
    body = f"{note}\n\n{head}" if note else head
    subject = _with_prefix("Fwd", old.subject)
    made = office.mails.add(_post(office, _make(office, receivers, (), subject, body, old.attachments)))
    return {"sent": _brief(office, made)}


def draft(
    office: Office,
    to: Sequence[str],
    subject: str,
    body: str,
    cc: Sequence[str] = (),
    attachments: Sequence[str] = (),
) -> dict[str, Any]:
    """`mail_draft`."""
    receivers, copies = _addresses(office, to, "to"), _addresses(office, cc, "cc")
    files = _attached(office, attachments, (*receivers, *copies), "attachments")
    made = office.mails.add(_make(office, receivers, copies, subject, body, files))
    return {"draft": _brief(office, made)}


def send_draft(office: Office, mail: str) -> dict[str, Any]:
    """`mail_send_draft`."""
    old = _mine(office, mail, "mail")
    if old.status != "draft":
        raise ToolError(f"In the field 'mail': {mail} is no draft; it was sent at {old.sent_at}.")
    for place, address in enumerate((*old.to, *old.cc)):
        _address(office, address, f"mail (recipient {place + 1})")
    _attached(office, old.attachments, (*old.to, *old.cc), "mail")
    return {"sent": _brief(office, office.mails.put(_post(office, old)))}


def mark(office: Office, mails: Sequence[str], mark: str) -> dict[str, Any]:
    """`mail_mark`."""
    user, address = office.user, office.me.email
    for place, id_ in enumerate(mails):
        old = _mine(office, id_, f"mails.{place}")
        if mark in ("starred", "unstarred"):
            office.mails.put(old._replace(starred_by=_with(old.starred_by, user, mark == "starred")))
        elif old.status == "sent" and (address in old.to or address in old.cc):
            office.mails.put(old._replace(unread_by=_with(old.unread_by, user, mark == "unread")))
        else:
            raise ToolError(
                f"In the field 'mails.{place}': only mails that you got are read or unread; {id_} is yours."
            )
    return {"marked": list(dict.fromkeys(mails)), "as": mark}


def move(office: Office, mails: Sequence[str], folder: str) -> dict[str, Any]:
    """`mail_move`."""
    user = office.user
    for place, id_ in enumerate(mails):
        old = _mine(office, id_, f"mails.{place}")
        if old.status == "draft":
            raise ToolError(f"In the field 'mails.{place}': {id_} is a draft, and drafts are not moved.")
        office.mails.put(
            old._replace(
                archived_by=_with(old.archived_by, user, folder == "archive"),
                trashed_by=_with(old.trashed_by, user, folder == "trash"),
            )
        )
    return {"moved": list(dict.fromkeys(mails)), "to": folder}


def _with(people: tuple[str, ...], person: str, member: bool) -> tuple[str, ...]:
    """The set with or without a person."""
    return tuple(sorted({*people, person} if member else {*people} - {person}))


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
