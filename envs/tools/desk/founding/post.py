"""The mailboxes: threads between colleagues and with contacts outside, drafts, and who has read what."""

from __future__ import annotations

from collections.abc import Sequence

from palaestra.envs.tools.desk.founding.draw import Draw
from palaestra.envs.tools.desk.founding.people import DOMAIN
from palaestra.envs.tools.desk.founding.trade import firm_iban
from palaestra.envs.tools.desk.records import Contact, File, Mail, Person
from palaestra.envs.tools.desk.times import later_day, shift

__all__ = ["found_mails"]

_PROJECTS = ("Aurora", "Beacon", "Cobalt", "Delta", "Ember", "Falcon", "Granite", "Harbor")
# Subject and first mail; answers follow.
_INSIDE: tuple[tuple[str, str], ...] = (
    ("{project}: numbers for {month}", "for {project} we need {amount} euros in {month}. Can you confirm?"),
    ("Offsite in {city}", "the offsite is in {city} from {day}. Please tell me by the day before whether you come."),
    ("Room for {project}", "we need a room for {count} people on {day}. Could you book one?"),
    ("Slides for {project}", "please send me the slides for {project} before {day}."),
    ("Handover while I am away", "I am away from {day}. Please look after {project} until I am back."),
    ("Budget of {project}", "{project} has {amount} euros left. The next invoice is due on {day}."),
    ("New colleague on {day}", "a new colleague joins us on {day} and needs a desk, a monitor and a headset."),
    ("Lunch on {day}?", "shall we have lunch on {day} and talk about {project}?"),
)  # fmt: skip
_OUTSIDE: tuple[tuple[str, str], ...] = (
    ("Invoice {number}", "please transfer {amount} euros for invoice {number} by {day} to {iban}."),
    ("Offer {number}", "we offer {count} days of consulting for {amount} euros. The offer stands until {day}."),
    ("Delivery {number}", "your delivery {number} arrives on {day}. Our driver needs a contact on site."),
    ("Change of our phone number", "from {day} you reach us at {phone}."),
    ("Meeting about {project}", "could we meet on {day} about {project}? We are {count} people."),
)  # fmt: skip
_ANSWERS = ("Thank you, that works for me.", "Let me check and come back to you.", "Could we move it by a week?",
            "I have a question: who decides this?", "Done. Anything else?", "Please see the file that I sent before.",
            "Sorry for the late answer. Yes, go ahead.", "Not yet, I am waiting for Finance.")  # fmt: skip
_THREADS = 400


def found_mails(
    draw: Draw, people: Sequence[Person], contacts: Sequence[Contact], files: Sequence[File], now: str
) -> list[Mail]:
    """Threads of one to five mails of the last 60 days. Only what the sender may read is attached."""
    owned: dict[str, list[File]] = {}
    for file in files:
        if not file.confidential and not file.trashed:
            owned.setdefault(file.owner, []).append(file)
    ids = {person.email: person.id for person in people}
    drawn: list[tuple[str, int, int, Mail]] = []
    for thread in range(_THREADS):
        at = shift(now, -draw.whole(40, 60 * 24 * 60))
        for place, mail in enumerate(_thread(draw, people, contacts, owned, at, now)):
            drawn.append((mail.sent_at, thread, place, _kept(draw, mail, ids, now)))
    for number in range(50):
        author = draw.one(people)
        subject, body, to = _opening(draw, _INSIDE, author.name, draw.one(people), "", now)
        mail = Mail("", "", author.email, (to,), (), subject, body, shift(now, -draw.whole(10, 9_000)), (), "draft",
                    (), (), (), ())  # fmt: skip
        drawn.append((mail.sent_at, _THREADS + number, 0, mail))
    drawn.sort(key=lambda entry: entry[:3])
    first: dict[int, str] = {}
    mails: list[Mail] = []
    for number, (_, thread, _, mail) in enumerate(drawn, start=1):
        first.setdefault(thread, f"M-{number:04}")
        mails.append(mail._replace(id=f"M-{number:04}", thread=first[thread]))
    return mails


def _opening(
    draw: Draw, kinds: Sequence[tuple[str, str]], me: str, to: Person, firm: str, now: str
) -> tuple[str, str, str]:
    subject, body = draw.one(kinds)
    words = {
        "project": draw.one(_PROJECTS), "month": draw.one(("March", "April", "May")), "me": me, "firm": firm,
        "amount": f"{draw.whole(8, 390) * 10}.{draw.one(('00', '50', '90'))}", "count": draw.whole(3, 12),
        "city": draw.one(("Porto", "Bremen", "Sopot", "Leiden")), "day": later_day(now[:10], draw.whole(1, 40)),
        "number": draw.digits(5), "phone": f"+49 {draw.whole(30, 89)} {draw.digits(7)}", "to": to.name.split()[0],
        "iban": firm_iban(firm),
    }  # fmt: skip
    frame = "Dear {to},\n\n{text}\n\nKind regards\n{me}, {firm}" if firm else "Hello {to},\n\n{text}\n\n{me}"
    return subject.format(**words), frame.format(**words, text=_capital(body.format(**words))), to.email


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _thread(
    draw: Draw, people: Sequence[Person], contacts: Sequence[Contact], owned: dict[str, list[File]], at: str, now: str
) -> list[Mail]:
    reader, *others = draw.some(people, 1 + draw.weighted(((0, 55), (1, 25), (3, 20))))
    outside = draw.chance(0.4)
    if outside:
        contact = draw.one(contacts)
        writer, files = contact.email, []
        subject, body, to = _opening(draw, _OUTSIDE, contact.name, reader, contact.company, now)
    else:
        author = draw.one([one for one in people if one.id != reader.id and one not in others])
        writer, files = author.email, owned.get(author.id, [])
        subject, body, to = _opening(draw, _INSIDE, author.name, reader, "", now)
    cc = tuple(sorted(one.email for one in others))
    attached = tuple(sorted(file.id for file in draw.some(files, 1))) if draw.chance(0.3) else ()
    mails = [Mail("", "", writer, (to,), cc, subject, body, at, attached, "sent", (), (), (), ())]
    for place in range(draw.weighted(((0, 40), (1, 25), (2, 15), (3, 12), (4, 8)))):
        at = shift(at, draw.whole(15, 2_400))
        if at >= now:
            break
        sender, receiver = (to, writer) if place % 2 == 0 else (writer, to)
        mails.append(
            Mail("", "", sender, (receiver,), cc, f"Re: {subject}", draw.one(_ANSWERS), at, (), "sent", (), (), (), ())
        )
    return mails


def _kept(draw: Draw, mail: Mail, ids: dict[str, str], now: str) -> Mail:
    """Who has not read it, starred it, archived it or thrown it away."""
    receivers = [ids[address] for address in (*mail.to, *mail.cc) if address.endswith(f"@{DOMAIN}")]
    unread: list[str] = []
    starred: list[str] = []
    archived: list[str] = []
    trashed: list[str] = []
    recent = mail.sent_at > shift(now, -60 * 24 * 6)
    for person in receivers:
        if draw.chance(0.6 if recent else 0.06):
            unread.append(person)
        elif draw.chance(0.25):
            (archived if draw.chance(0.75) else trashed).append(person)
        if draw.chance(0.08):
            starred.append(person)
    return mail._replace(
        unread_by=tuple(sorted(unread)), starred_by=tuple(sorted(starred)), archived_by=tuple(sorted(archived)),
        trashed_by=tuple(sorted(trashed)),
    )  # fmt: skip
