"""The office at the start: the same everywhere, rich, and true to its own rules."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any, get_origin, get_type_hints

import pytest

from palaestra.envs.tools.desk.founding import NOW, found_office
from palaestra.envs.tools.desk.iban import german_iban, valid_iban
from palaestra.envs.tools.desk.records import RECORDS
from palaestra.envs.tools.desk.times import working_days
from palaestra.envs.tools.desk.world import World


@pytest.fixture(params=[0, 1, 4711], scope="module")
def rows(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    base = found_office(request.param)
    return {name: dict(table.rows) for name, table in base.tables.items()}


def test_the_same_seed_gives_the_same_office_in_another_process() -> None:
    code = "from palaestra.envs.tools.desk.world import World; print(World.create(3).digest())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == World.create(3).digest()


def test_different_seeds_give_different_offices() -> None:
    assert len({World.create(seed).digest() for seed in range(3)}) == 3


def test_it_is_large(rows: dict[str, dict[str, Any]]) -> None:
    sizes = {name: len(table) for name, table in rows.items()}
    assert sum(sizes.values()) > 5000
    assert min(size for name, size in sizes.items() if name != "receipts") >= 11


def test_records_are_typed_and_cannot_be_changed(rows: dict[str, dict[str, Any]]) -> None:
    def check(value: Any) -> None:
        assert type(value) in (str, int, bool, tuple)
        if type(value) is tuple:
            for item in value:
                check(item)

    for name, table in rows.items():
        kind, prefix = RECORDS[name]
        for id_, record in table.items():
            assert type(record) is kind
            assert id_ == record.id
            assert id_.startswith(f"{prefix}-")
            check(tuple(record))
            kinds = get_type_hints(kind)
            for field, value in record._asdict().items():
                assert type(value) is (get_origin(kinds[field]) or kinds[field]), (name, field)


def test_ids_are_unique_over_all_tables(rows: dict[str, dict[str, Any]]) -> None:
    counted = Counter(id_ for table in rows.values() for id_ in table)
    assert set(counted.values()) == {1}


@pytest.mark.parametrize(
    ("table", "field", "target"),
    [
        ("departments", "head", "people"),
        ("people", "department", "departments"),
        ("people", "manager", "people"),
        ("events", "organizer", "people"),
        ("events", "attendees", "people"),
        ("events", "room", "rooms"),
        ("mails", "thread", "mails"),
        ("mails", "attachments", "files"),
        ("mails", "unread_by", "people"),
        ("mails", "archived_by", "people"),
        ("folders", "parent", "folders"),
        ("files", "folder", "folders"),
        ("files", "owner", "people"),
        ("files", "shared", "people"),
        ("contacts", "owner", "people"),
        ("orders", "buyer", "people"),
        ("orders", "items", "products"),
        ("payees", "owner", "people"),
        ("transfers", "source", "accounts"),
        ("cards", "account", "accounts"),
        ("cards", "holder", "people"),
        ("tickets", "requester", "people"),
        ("tickets", "assignee", "people"),
        ("comments", "ticket", "tickets"),
        ("comments", "author", "people"),
        ("leaves", "person", "people"),
    ],
)
def test_references_lead_somewhere(rows: dict[str, dict[str, Any]], table: str, field: str, target: str) -> None:
    for record in rows[table].values():
        value = getattr(record, field)
        ids = (value,) if isinstance(value, str) else [one if isinstance(one, str) else one[0] for one in value]
        for id_ in ids:
            assert id_ in rows[target] or id_ == "", record


def test_lines_of_reporting_end_at_the_head_of_the_company(rows: dict[str, dict[str, Any]]) -> None:
    people = rows["people"]
    assert [one.id for one in people.values() if not one.manager] == ["P-0001"]
    for person in people.values():
        steps = 0
        while person.manager:
            person, steps = people[person.manager], steps + 1
            assert steps < 6
    assert len({one.email for one in people.values()}) == len(people)
    assert len({one.name for one in people.values()}) == len(people)


def test_nobody_and_no_room_is_in_two_places_at_once(rows: dict[str, dict[str, Any]]) -> None:
    taken: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for event in rows["events"].values():
        assert event.start < event.end
        assert event.start[:10] == event.end[:10]
        if event.status != "confirmed":
            continue
        going = [one for one, answer in event.attendees if answer in ("accepted", "tentative")]
        assert event.organizer not in dict(event.attendees)
        for busy in (event.organizer, *going, *([event.room] if event.room else [])):
            taken[busy].append((event.start, event.end))
        if event.room:
            assert rows["rooms"][event.room].capacity > len(event.attendees)
    for spans in taken.values():
        spans.sort()
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_some_invitations_collide_with_what_people_do(rows: dict[str, dict[str, Any]]) -> None:
    events = [one for one in rows["events"].values() if one.status == "confirmed" and one.start > NOW]
    colliding = [
        (one.id, other.id)
        for one in events
        for other in events
        if one.start < other.end and other.start < one.end and (other.organizer, "pending") in one.attendees
    ]
    assert len(colliding) >= 20


def test_files_lie_where_they_may(rows: dict[str, dict[str, Any]]) -> None:
    people, folders = rows["people"], rows["folders"]
    names = Counter((one.folder, one.name.casefold()) for one in rows["files"].values())
    assert set(names.values()) == {1}
    for file in rows["files"].values():
        assert file.name.endswith(f".{file.kind}")
        assert file.owner not in dict(file.shared)
        if file.confidential:
            assert folders[file.folder].scope != "company"
            home = people[file.owner].department
            assert all(people[one].department == home for one, _ in file.shared)
    for folder in folders.values():
        if folder.parent:
            parent = folders[folder.parent]
            assert (parent.scope, parent.holder) == (folder.scope, folder.holder)


def test_mails_go_between_people_who_exist(rows: dict[str, dict[str, Any]]) -> None:
    inside = {one.email: one for one in rows["people"].values()}
    known = inside.keys() | {one.email for one in rows["contacts"].values()}
    for mail in rows["mails"].values():
        assert {mail.sender, *mail.to, *mail.cc} <= known
        assert mail.sent_at < NOW
        assert not set(mail.to) & set(mail.cc)
        first = rows["mails"][mail.thread]
        assert first.thread == first.id
        assert first.sent_at <= mail.sent_at
        assert mail.subject.removeprefix("Re: ") == first.subject
        receivers = {inside[address].id for address in (*mail.to, *mail.cc) if address in inside}
        assert {*mail.unread_by, *mail.starred_by, *mail.archived_by, *mail.trashed_by} <= receivers
        assert not set(mail.archived_by) & set(mail.trashed_by)
        for id_ in mail.attachments:
            assert rows["files"][id_].owner == inside[mail.sender].id


def test_money_adds_up(rows: dict[str, dict[str, Any]]) -> None:
    accounts = rows["accounts"]
    for account in accounts.values():
        assert valid_iban(account.iban)
        assert account.balance >= 0
        assert 0 < account.transfer_limit <= account.daily_limit
    for payee in rows["payees"].values():
        assert valid_iban(payee.iban)
        assert payee.added_on <= NOW[:10]
    for transfer in rows["transfers"].values():
        assert 0 < transfer.amount <= accounts[transfer.source].transfer_limit
        assert (transfer.date <= NOW[:10]) == (transfer.status == "done")
        assert transfer.target in accounts or valid_iban(transfer.target)
    for order in rows["orders"].values():
        assert order.total == sum(quantity * price for _, quantity, price in order.items)
        assert bool(order.delivered_on) == (order.status in ("delivered", "returned"))
        if order.status == "pending_approval":
            assert order.total > 50_000
            assert rows["people"][order.buyer].manager


def test_ibans_against_a_published_example() -> None:
    # The example number that German banks print; a changed digit is noticed.
    assert valid_iban("DE89370400440532013000")
    assert german_iban("37040044", "0532013000") == "DE89370400440532013000"
    assert not valid_iban("DE89370400440532013001")
    assert not valid_iban("DE8937040044")
    assert not valid_iban("")


def test_tickets_and_leaves_follow_their_rules(rows: dict[str, dict[str, Any]]) -> None:
    people = rows["people"]
    teams = {one.name.casefold(): one.id for one in rows["departments"].values()}
    for ticket in rows["tickets"].values():
        if ticket.assignee:
            assert people[ticket.assignee].department == teams[ticket.queue]
        assert ticket.assignee or ticket.status == "open"
    for comment in rows["comments"].values():
        assert rows["tickets"][comment.ticket].created_at <= comment.at < NOW
    spans: dict[str, list[tuple[str, str]]] = defaultdict(list)
    taken: Counter[str] = Counter()
    for leave in rows["leaves"].values():
        assert leave.days == working_days(leave.first, leave.last) > 0
        if leave.status in ("approved", "pending"):
            spans[leave.person].append((leave.first, leave.last))
            taken[leave.person] += leave.days if leave.kind == "vacation" else 0
        if leave.status == "pending":
            assert people[leave.person].manager
    for person, found in spans.items():
        found.sort()
        assert all(before[1] < after[0] for before, after in pairwise(found)), found
        assert taken[person] <= people[person].leave_days


@pytest.mark.parametrize(
    ("table", "test"),
    [
        ("transfers", lambda one: one.status == "scheduled"),
        ("mails", lambda one: one.status == "draft"),
        ("files", lambda one: one.trashed),
        ("files", lambda one: one.read_only),
        ("files", lambda one: one.confidential),
        ("leaves", lambda one: one.status == "pending"),
        ("orders", lambda one: one.status == "pending_approval"),
        ("tickets", lambda one: one.status == "resolved"),
        ("tickets", lambda one: not one.assignee),
        ("cards", lambda one: one.frozen),
        ("accounts", lambda one: one.frozen),
        ("events", lambda one: one.private),
        ("products", lambda one: one.stock == 0),
        ("products", lambda one: 0 < one.stock < 5),
    ],
)
def test_there_is_something_of_every_kind(rows: dict[str, dict[str, Any]], table: str, test: Any) -> None:
    assert sum(map(test, rows[table].values())) >= 3


def test_first_names_are_ambiguous_and_full_names_are_not(rows: dict[str, dict[str, Any]]) -> None:
    firsts = Counter(one.name.split()[0] for one in rows["people"].values())
    assert sum(count > 1 for count in firsts.values()) >= 20
