"""What several templates need: who acts, what is unique enough to be named, days, hours and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from palaestra.envs.tools.desk.drafts import Sketch
from palaestra.envs.tools.desk.records import Event, File, Mail, Person
from palaestra.envs.tools.desk.times import later_day, shift, weekday

__all__ = [
    "ALONE",
    "MESSAGES",
    "TICKETS",
    "TITLES",
    "act",
    "colleagues",
    "first_name",
    "free_day",
    "hour",
    "inbox",
    "my_events",
    "my_file",
    "named_once",
    "once_in",
    "reports_of",
    "stranger",
    "with_reports",
]

# Words of requests: titles of events for oneself and with others; subjects and texts of mails; queues, titles and
# descriptions of tickets.
ALONE = ("Focus time", "Dentist", "Interview preparation", "Reading hour", "Workshop preparation")
TITLES = (
    "Budget review",
    "Supplier call",
    "Quarterly planning",
    "Project kick-off",
    "Lessons learned",
    "Roadmap check",
    "Contract talk",
    "Press briefing",
    "Risk review",
    "Coffee with the new team",
    "Feedback round",
    "Customer visit",
    "Release planning",
    "Hiring round",
    "Site inspection",
)
MESSAGES = (
    ("Visit next week", "Our guests arrive at ten. Please have the badges ready."),
    ("Revised figures", "The revised figures are final. You can use them in your report."),
    ("Thank you", "Thank you for your help yesterday. It made a real difference."),
    ("Parking during the works", "The car park is closed during the works. Please use the one behind the station."),
    ("Change of plan", "We will meet an hour later than agreed."),
    ("Missing signature", "The second page of the contract still needs your signature."),
    ("Shipment", "The shipment left our warehouse this morning."),
    ("Invitation to the summer party", "You are invited to our summer party in the courtyard."),
    ("Question about the invoice", "Could you tell me which order the last invoice belongs to?"),
    ("New opening hours", "From next month our reception opens at eight."),
    ("Short notice", "I am out of the office this afternoon and will answer tomorrow."),
    ("Draft for comments", "Please send me your comments on the draft by Friday."),
)
TICKETS = (
    ("facilities", "Projector flickers", "The projector in the large room flickers after ten minutes."),
    ("facilities", "Door does not close", "The door to the archive no longer closes by itself."),
    ("it", "Cannot print in colour", "My prints come out in black and white only."),
    ("it", "Keyboard broken", "Several keys of my keyboard do not react any more."),
    ("it", "VPN drops", "The VPN connection drops every half hour."),
    ("it", "Access to the wiki", "I need access to the wiki of the sales team."),
    ("facilities", "Heating too warm", "The heating in our office cannot be turned down."),
    ("it", "Phone has no tone", "The phone on my desk has no dial tone."),
    ("facilities", "Lost badge", "I lost my badge on the way to work."),
    ("it", "Screen stays dark", "My second screen stays dark since the update."),
    ("facilities", "Leaking tap", "The tap in the kitchen on our floor is leaking."),
    ("people", "Question about my payslip", "The overtime of last month is missing on my payslip."),
    ("people", "Certificate of employment", "I need a certificate of employment for my landlord."),
    ("finance", "Invoice without order", "We received an invoice for which there is no order."),
    ("finance", "Travel advance", "I need an advance of 300 euros for my trip in two weeks."),
    ("legal", "Check of a contract", "Please check the new contract with our caterer."),
    ("legal", "Photo release", "Which form do I use to publish photos of our guests?"),
)
_FIRST = tuple(
    [
        "Ida",
        "Jonas",
        "Mira",
        "Pavel",
        "Leonie",
        "Tomas",
        "Yara",
        "Emil",
        "Ruth",
        "Nadia",
        "Oskar",
        "Selma",
        "Viktor",
        "Alma",
    ]
)
_LAST = tuple(
    [
        "Brandt",
        "Okafor",
        "Lindqvist",
        "Moreau",
        "Takeda",
        "Silva",
        "Novak",
        "Haddad",
        "Keller",
        "Rossi",
        "Murphy",
        "Varga",
    ]
)
_FIRMS = (
    "Nordlicht Print",
    "Halden Logistics",
    "Blue Harbour",
    "Morgenstern Legal",
    "Tilia Catering",
    "Ostara Labs",
    "Kestrel Media",
    "Alder & Finch",
)


def act(s: Sketch, people: Iterable[Person] | None = None) -> Person:
    """Chooses who the agent acts for."""
    person = s.pick(s.world.people if people is None else people)
    s.act_for(person.id)
    return person


def named_once(s: Sketch, name: str) -> bool:
    """Whether only one employee bears this name, and no contact."""
    return (sum(one.name == name for one in s.world.people) + sum(one.name == name for one in s.world.contacts)) == 1


def colleagues(s: Sketch, people: Iterable[Person] | None = None) -> list[Person]:
    """Everybody but the one who acts whose name says who is meant."""
    names = Counter(one.name for one in s.world.people)
    names.update(one.name for one in s.world.contacts)
    given = s.world.people if people is None else people
    return [one for one in given if one.id != s.world.user and names[one.name] == 1]


def first_name(name: str) -> str:
    """The first word of a name."""
    return name.split()[0]


def with_reports(s: Sketch, least: int = 1) -> list[Person]:
    """Everybody to whom so many report."""
    counts = Counter(one.manager for one in s.world.people if one.manager)
    return [one for one in s.world.people if counts[one.id] >= least]


def reports_of(s: Sketch, person: str) -> list[Person]:
    """Who reports to somebody."""
    return [one for one in s.world.people if one.manager == person]


def stranger(s: Sketch) -> tuple[str, str, str]:
    """Name, address and company of somebody whom nobody knows yet."""
    name, firm = f"{s.pick(_FIRST)} {s.pick(_LAST)}", s.pick(_FIRMS)
    s.need(all(one.name != name for one in (*s.world.people, *s.world.contacts)))
    host = "".join(letter for letter in firm.lower() if letter.isalpha())
    return name, f"{name.lower().replace(' ', '.')}@{host}.example", firm


def free_day(s: Sketch, least: int = 2, most: int = 25) -> str:
    """A weekday in the next weeks."""
    day = later_day(s.world.now[:10], s.between(least, most))
    s.need(weekday(day) < 5)
    return day


def hour(s: Sketch) -> str:
    """A time on the half hour during work."""
    return f"{s.between(9, 16):02}:{s.pick(('00', '30'))}"


def my_events(s: Sketch, *, organized: bool | None = None, ahead: int = 60) -> list[Event]:
    """Events to come of the one who acts; those that he organizes, or does not, where it is said."""
    me, now = s.world.user, s.world.now
    return [
        event
        for event in s.world.events.where("person", me)
        if event.status == "confirmed"
        and now < event.start <= shift(now, ahead * 1440)
        and (organized is None or (event.organizer == me) is organized)
    ]


def once_in(records: Iterable[Any], field: str) -> list[Any]:
    """The records whose field no other of them shares, nor holds as a part of its own."""
    given = list(records)
    values = [str(getattr(one, field)).casefold() for one in given]
    return [one for one, value in zip(given, values, strict=True) if sum(value in other for other in values) == 1]


def inbox(s: Sketch) -> list[Mail]:
    """What the one who acts has in the inbox, newest last."""
    me = s.world.me
    return [
        mail
        for mail in s.world.mails.where("address", me.email)
        if mail.status == "sent"
        and me.email in (*mail.to, *mail.cc)
        and me.id not in mail.archived_by
        and me.id not in mail.trashed_by
    ]


def my_file(s: Sketch, *, confidential: bool | None = None, kind: str | None = None) -> File:
    """A file whose owner the agent then acts for: not in the trash, writable, the owner's only one of its name."""
    file = s.pick(
        one
        for one in s.world.files
        if not one.trashed
        and not one.read_only
        and confidential in (None, one.confidential)
        and kind in (None, one.kind)
    )
    s.need(sum(one.name == file.name for one in s.world.files.where("owner", file.owner)) == 1)
    s.act_for(file.owner)
    return file
