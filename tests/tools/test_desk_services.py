"""The rules of shop, bank, tickets and leave."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.tools.desk.apps.tickets import PRIORITIES, STATUSES
from palaestra.envs.tools.desk.records import Account, Order, Product, Ticket
from palaestra.envs.tools.desk.times import later_day, working_days
from palaestra.envs.tools.desk.world import World
from palaestra.episodes import TextPart
from palaestra.errors import ToolError


def said(world: World, name: str, /, **arguments: Any) -> Any:
    (part,) = world.call(name, arguments).content
    assert isinstance(part, TextPart)
    return json.loads(part.text)


def refused(world: World, name: str, /, **arguments: Any) -> str:
    before = world.snapshot()
    with pytest.raises(ToolError) as caught:
        world.call(name, arguments)
    assert world.snapshot() == before
    return str(caught.value)


@pytest.fixture
def world() -> World:
    """For a software engineer with a manager."""
    return World.create(0, user="P-0013")


# Shop ------------------------------------------------------------------------------------------------------------


def product(world: World, **fields: Any) -> Product:
    """A product with plenty of everything, or with these fields."""
    found = next(one for one in world.table("products") if one.category == "stationery")
    return world.table("products").put(found._replace(**{"stock": 50, "per_order": 20, "price": 1000, **fields}))


def rich(world: World, budget: int = 10_000_000) -> None:
    department = world.departments[world.me.department]
    world.table("departments").put(department._replace(budget=budget))


def test_products_are_found_cheapest_first(world: World) -> None:
    shown = said(world, "shop_search", query="DESK", category="furniture", max_price=400.0, in_stock=True, limit=50)
    expected = [
        one for one in world.table("products")
        if "desk" in one.name.casefold() and one.category == "furniture" and one.price <= 40_000 and one.stock > 0
    ]  # fmt: skip
    assert [one["id"] for one in shown["products"]] == [
        one.id for one in sorted(expected, key=lambda one: (one.price, one.id))
    ]
    one = expected[0]
    assert said(world, "shop_get", product=one.id)["price"] == one.price / 100
    assert "shop_search finds them" in refused(world, "shop_get", product="Desk")


def test_an_order_takes_stock_and_budget(world: World) -> None:
    rich(world)
    pens = product(world)
    before = world.departments[world.me.department].budget
    made = said(world, "shop_order", items=[{"product": pens.id, "quantity": 3}], city="lisbon")["ordered"]
    assert world.orders[made["id"]] == Order(
        made["id"], "P-0013", ((pens.id, 3, 1000),), 3000, "Lisbon", "placed", world.today, ""
    )
    assert world.products[pens.id].stock == 47
    assert world.departments[world.me.department].budget == before - 3000
    said(world, "shop_cancel", order=made["id"])
    assert world.products[pens.id] == pens
    assert world.departments[world.me.department].budget == before
    assert "is cancelled" in refused(world, "shop_cancel", order=made["id"])


@pytest.mark.parametrize(
    ("fields", "items", "told"),
    [
        ({"stock": 2}, [3], "'items.0.quantity': "),
        ({"stock": 0}, [1], "has 0 in stock"),
        ({"per_order": 5}, [6], "takes at most 5"),
        ({}, [1, 1], "'items.1.product': "),
        ({"price": 10_000_001}, [1], "may still spend"),
        ({}, [0], "less than the minimum of 1"),
        ({}, [], "should be non-empty"),
    ],
)
def test_what_cannot_be_ordered(world: World, fields: dict[str, int], items: list[int], told: str) -> None:
    rich(world)
    pens = product(world, **fields)
    lines = [{"product": pens.id, "quantity": quantity} for quantity in items]
    assert told in refused(world, "shop_order", items=lines)


def test_bounds_are_reached_not_passed(world: World) -> None:
    pens = product(world, stock=7, per_order=7)
    rich(world, budget=7000)
    said(world, "shop_order", items=[{"product": pens.id, "quantity": 7}])
    assert world.products[pens.id].stock == world.departments[world.me.department].budget == 0
    assert "may still spend 0.00" in refused(world, "shop_order", items=[{"product": product(world).id, "quantity": 1}])


@pytest.mark.parametrize("status", ["placed", "delivered", "pending_approval"])
def test_orders_are_listed_by_status_newest_first(world: World, status: str) -> None:
    buyer = next(one.buyer for one in world.table("orders") if one.status == status and one.buyer != "P-0001")
    world.act_for(buyer)
    own = [one for one in world.table("orders") if one.buyer == buyer]
    for wanted in ({}, {"status": status}):
        expected = [one for one in own if not wanted or one.status == status]
        assert [one["id"] for one in said(world, "shop_orders", limit=50, **wanted)["orders"]] == [
            one.id for one in sorted(expected, key=lambda one: (one.ordered_on, one.id), reverse=True)
        ]


def test_large_orders_wait_for_the_manager(world: World) -> None:
    rich(world)
    desk = product(world, price=25_000)
    small = said(world, "shop_order", items=[{"product": desk.id, "quantity": 2}])["ordered"]
    large = said(world, "shop_order", items=[{"product": desk.id, "quantity": 3}])["ordered"]
    assert (small["status"], large["status"]) == ("placed", "pending_approval")
    left = world.departments[world.me.department].budget
    assert "only the manager" in refused(world, "shop_decide", order=large["id"], decision="approve")
    buyer = world.user
    world.act_for(world.me.manager)
    assert large["id"] in {one["id"] for one in said(world, "shop_orders", buyer=buyer, limit=50)["orders"]}
    assert "is placed" in refused(world, "shop_decide", order=small["id"], decision="approve")
    assert "only the buyer" in refused(world, "shop_cancel", order=large["id"])
    said(world, "shop_decide", order=large["id"], decision="reject")
    assert world.orders[large["id"]].status == "rejected"
    assert world.departments[world.me.department].budget == left + 75_000
    assert world.products[desk.id].stock == 48
    world.act_for("P-0001")
    rich(world)
    assert said(world, "shop_order", items=[{"product": desk.id, "quantity": 3}])["ordered"]["status"] == "placed"


def test_orders_are_for_the_buyer_and_the_manager(world: World) -> None:
    order = next(one for one in world.table("orders") if one.buyer not in (world.user, "P-0002")
                 and world.people[one.buyer].manager != world.user)  # fmt: skip
    assert "somebody else" in refused(world, "shop_get_order", order=order.id)
    assert "not the manager" in refused(world, "shop_orders", buyer=order.buyer)
    for person in (order.buyer, world.people[order.buyer].manager):
        world.act_for(person)
        assert said(world, "shop_get_order", order=order.id)["total"] == order.total / 100


def test_what_is_returned_came_lately_and_is_no_software(world: World) -> None:
    rich(world)
    table = world.table("orders")
    pens = product(world)
    made = said(world, "shop_order", items=[{"product": pens.id, "quantity": 4}])["ordered"]["id"]
    assert "only delivered orders" in refused(world, "shop_return", order=made)
    for ago, fits in ((31, False), (30, True)):
        order = table[made]._replace(status="delivered", delivered_on=later_day(world.today, -ago))
        table.put(order)
        if fits:
            said(world, "shop_return", order=made)
            assert world.products[pens.id] == pens
        else:
            assert "more than 30 days ago" in refused(world, "shop_return", order=made)
    tool = next(one for one in world.table("products") if one.category == "software")
    table.put(table[made]._replace(status="delivered", items=((tool.id, 1, tool.price),)))
    assert "is software" in refused(world, "shop_return", order=made)
    for status in ("shipped", "delivered"):
        table.put(table[made]._replace(status=status))
        assert f"is {status}" in refused(world, "shop_cancel", order=made)


# Keys ------------------------------------------------------------------------------------------------------------


def test_a_key_stands_for_one_call(world: World) -> None:
    rich(world)
    pens = product(world)
    order = {"items": [{"product": pens.id, "quantity": 1}], "idempotency_key": "k-1"}
    ticket = {"queue": "it", "title": "Mouse", "description": "It sticks.", "idempotency_key": "k-1"}
    account = checking(world)
    transfer = {"from_account": account.id, "to": "A-0001", "amount": 5, "reference": "x", "idempotency_key": "k-1"}
    for name, arguments, other in (
        ("shop_order", order, {"city": "Lisbon"}),
        ("tickets_create", ticket, {"title": "Mice"}),
        ("bank_transfer", transfer, {"amount": 6}),
    ):
        first = said(world, name, **arguments)
        after = world.snapshot()
        assert said(world, name, **arguments) == {**first, "repeated": True}
        assert world.snapshot() == after
        assert "was used for a call with other arguments" in refused(world, name, **{**arguments, **other})
    user = world.user
    world.act_for("P-0020")
    assert "repeated" not in said(world, "tickets_create", **ticket)  # keys are a person's own
    world.act_for(user)
    assert len([change for change in world.changes() if change.table == "receipts"]) == 4


def test_a_refused_call_uses_up_no_key(world: World) -> None:
    account = checking(world, balance=100)
    call = {"from_account": account.id, "to": "A-0001", "amount": 5, "reference": "x", "idempotency_key": "k"}
    refused(world, "bank_transfer", **call)
    checking(world)
    assert "repeated" not in said(world, "bank_transfer", **call)


# Bank ------------------------------------------------------------------------------------------------------------


def checking(world: World, **fields: Any) -> Account:
    """The user's checking account with plenty on it and nothing sent today, or with these fields."""
    found = next(one for one in world.table("accounts").where("holder", world.user) if one.kind == "checking")
    for transfer in world.table("transfers").where("source", found.id):
        if transfer.date >= world.today:
            world.table("transfers").put(transfer._replace(status="cancelled"))
    given = {"balance": 500_000, "transfer_limit": 100_000, "daily_limit": 200_000, "frozen": False, **fields}
    return world.table("accounts").put(found._replace(**given))


def total(world: World) -> int:
    return sum(one.balance for one in world.table("accounts"))


@given(st.lists(st.tuples(st.integers(1, 120_000), st.sampled_from(["inside", "payee", "later"])), max_size=8))
def test_money_moves_within_the_limits_and_is_never_made(steps: list[tuple[int, str]]) -> None:
    world = World.create(0, user="P-0013")
    account = checking(world, balance=250_000)
    payee = said(world, "bank_add_payee", name="Shop", iban="DE89370400440532013000")["created"]["id"]
    start, balance, spent, later, outside = total(world), 250_000, 0, 0, 0
    for cents, kind in steps:
        call = {"from_account": account.id, "to": payee if kind == "payee" else "A-0001", "amount": cents / 100,
                "reference": "x"}  # fmt: skip
        if kind == "later":
            call["date"] = "2026-03-20"
        used = later if kind == "later" else spent
        fits = cents <= 100_000 and used + cents <= 200_000 and (kind == "later" or cents <= balance)
        if not fits:
            assert "'amount'" in refused(world, "bank_transfer", **call)
            continue
        done = said(world, "bank_transfer", **call)["transfer"]
        assert done["status"] == ("scheduled" if kind == "later" else "done")
        if kind == "later":
            later += cents
        else:
            spent, balance = spent + cents, balance - cents
            outside += cents if kind == "payee" else 0
    assert world.accounts[account.id].balance == balance
    assert total(world) == start - outside
    shown = said(world, "bank_accounts")["accounts"][0]
    assert (shown["balance"], shown["left_today"]) == (balance / 100, (200_000 - spent) / 100)


@pytest.mark.parametrize(
    ("fields", "wrong", "told"),
    [
        ({"frozen": True}, {}, "is frozen, and no money can leave"),
        ({}, {"to": "A-0004"}, "is frozen and takes no money"),
        ({}, {"to": "A-9999"}, "there is no payee 'A-9999'"),
        ({}, {"from_account": "A-0001"}, "is no account that you may use"),
        ({}, {"date": "2026-03-08"}, "is not from today"),
        ({}, {"date": "2027-03-10"}, "to 365 days ahead"),
        ({}, {"reference": "a\nb"}, "'reference'"),
        ({"balance": 999}, {}, "has 9.99 euros"),
        ({"transfer_limit": 999}, {}, "limit of"),
        ({"transfer_limit": 999, "daily_limit": 999}, {}, "9.99 euros (bank_set_limit"),
    ],
)
def test_what_cannot_be_transferred(world: World, fields: dict[str, Any], wrong: dict[str, Any], told: str) -> None:
    account = checking(world, **fields)
    world.table("accounts").put(world.accounts["A-0004"]._replace(frozen=True))
    call = {"from_account": account.id, "to": "A-0001", "amount": 10, "reference": "x", **wrong}
    assert told in refused(world, "bank_transfer", **call)


def test_no_account_sends_to_itself(world: World) -> None:
    account = checking(world)
    call = {"from_account": account.id, "to": account.id, "amount": 10, "reference": "x"}
    assert "'to'" in refused(world, "bank_transfer", **call)


def test_new_payees_get_little_at_first(world: World) -> None:
    account = checking(world, transfer_limit=200_000)
    said(world, "bank_set_limit", account=account.id, kind="daily", amount=5000)
    made = said(world, "bank_add_payee", name="Shop", iban="de89 3704 0044 0532 0130 00")["created"]
    assert made["iban"] == "DE89370400440532013000"
    call = {"from_account": account.id, "to": made["id"], "reference": "x"}
    assert "was added today" in refused(world, "bank_transfer", **call, amount=1000.01)
    said(world, "bank_transfer", **call, amount=1000)
    world.table("payees").put(world.payees[made["id"]]._replace(added_on="2026-03-08"))
    said(world, "bank_transfer", **call, amount=1000.01)


def test_payees_are_ones_own_and_there_once(world: World) -> None:
    other = next(one for one in world.table("payees") if one.owner != world.user)
    account = checking(world)
    call = {"from_account": account.id, "amount": 10, "reference": "x"}
    assert "there is no payee" in refused(world, "bank_transfer", to=other.id, **call)
    assert "there is no payee" in refused(world, "bank_remove_payee", payee=other.id)
    made = said(world, "bank_add_payee", name="Shop", iban="DE89370400440532013000")["created"]["id"]
    assert "already your payee" in refused(world, "bank_add_payee", name="x", iban="DE89370400440532013000")
    assert "check digits are wrong" in refused(world, "bank_add_payee", name="x", iban="DE88370400440532013000")
    assert "is the account A-0001 in the house" in refused(
        world, "bank_add_payee", name="x", iban=world.accounts["A-0001"].iban
    )
    later = said(world, "bank_transfer", to=made, date="2026-03-10", **call)["transfer"]["id"]
    assert f"the transfer {later}" in refused(world, "bank_remove_payee", payee=made)
    said(world, "bank_cancel_transfer", transfer=later)
    assert "is cancelled; only scheduled" in refused(world, "bank_cancel_transfer", transfer=later)
    said(world, "bank_remove_payee", payee=made)
    assert made not in {one["id"] for one in said(world, "bank_payees")["payees"]}


def test_heads_use_the_departments_account(world: World) -> None:
    head = world.departments[world.me.department].head
    (account,) = world.table("accounts").where("holder", world.me.department)
    assert account.id not in {one["id"] for one in said(world, "bank_accounts")["accounts"]}
    assert "no account that you may use" in refused(world, "bank_transfers", account=account.id)
    world.act_for(head)
    assert account.id in {one["id"] for one in said(world, "bank_accounts")["accounts"]}
    said(world, "bank_transfer", from_account=account.id, to="A-0001", amount=10, reference="x")


def test_transfers_are_listed_newest_first(world: World) -> None:
    account = next(one for one in world.table("accounts")
                   if len(world.table("transfers").where("source", one.id)) > 6)  # fmt: skip
    world.act_for(account.holder)
    own = [one for one in world.table("transfers") if one.source == account.id]
    shown = said(world, "bank_transfers", account=account.id, since="2026-01-15", until="2026-03-09", status="done",
                 limit=50)["transfers"]  # fmt: skip
    expected = [one for one in own if "2026-01-15" <= one.date <= "2026-03-09" and one.status == "done"]
    assert [one["id"] for one in shown] == [
        one.id for one in sorted(expected, key=lambda one: (one.date, one.id), reverse=True)
    ]
    word = own[0].name.split()[0].upper()
    found = said(world, "bank_transfers", account=account.id, query=word, limit=50)["transfers"]
    assert {one["id"] for one in found} == {
        one.id for one in own if word.casefold() in f"{one.name} {one.reference}".casefold()
    }


def test_limits_keep_their_order(world: World) -> None:
    account = checking(world)
    call = {"account": account.id, "kind": "transfer"}
    assert "would exceed that for one day" in refused(world, "bank_set_limit", **call, amount=2000.01)
    said(world, "bank_set_limit", **call, amount=2000)
    assert "would exceed" in refused(world, "bank_set_limit", account=account.id, kind="daily", amount=1999.99)
    assert "greater than the maximum" in refused(world, "bank_set_limit", **call, amount=50_000.01)


def test_cards_freeze_for_their_holder(world: World) -> None:
    card = next(one for one in world.table("cards") if not one.frozen)
    world.act_for(card.holder)
    said(world, "bank_freeze_card", card=card.id, frozen=True)
    assert world.cards[card.id].frozen
    assert {one["id"] for one in said(world, "bank_cards")["cards"]} == {
        one.id for one in world.table("cards") if one.holder == card.holder
    }
    world.act_for("P-0001" if card.holder != "P-0001" else "P-0002")
    assert "there is no card" in refused(world, "bank_freeze_card", card=card.id, frozen=False)


# Tickets ---------------------------------------------------------------------------------------------------------

NEXT = {("open", "in_progress"), ("in_progress", "waiting"), ("in_progress", "resolved"), ("in_progress", "open"),
        ("waiting", "in_progress"), ("resolved", "closed"), ("resolved", "open"), ("closed", "open")}  # fmt: skip


def helper(world: World, queue: str = "it") -> str:
    """Somebody of the team, who is not the one who acts."""
    team = world.departments.where("name", queue)[0].id
    return next(one.id for one in world.table("people").where("department", team) if one.id != world.user)


def a_ticket(world: World, **fields: Any) -> Ticket:
    id_ = said(world, "tickets_create", queue="it", title="Mouse", description="It sticks.")["created"]["id"]
    return world.table("tickets").put(world.tickets[id_]._replace(**fields))


@pytest.mark.parametrize("old", STATUSES)
@pytest.mark.parametrize("new", STATUSES)
def test_a_ticket_goes_from_state_to_state(world: World, old: str, new: str) -> None:
    ticket = a_ticket(world, status=old, assignee=helper(world))
    call = {"ticket": ticket.id, "status": new}
    requester, may = world.user, (old, new) in NEXT
    if may and old in ("resolved", "closed"):
        saved = world.snapshot()
        said(world, "tickets_set_status", **call)
        world.restore(saved)
    else:
        assert "'status'" in refused(world, "tickets_set_status", **call)
    world.act_for(helper(world))
    if may:
        said(world, "tickets_set_status", **call)
        assert world.tickets[ticket.id] == ticket._replace(status=new)
    else:
        assert f"{ticket.id} is {old}" in refused(world, "tickets_set_status", **call)
    world.act_for(next(one.id for one in world.table("people")
                       if one.id != requester and one.department == world.people[requester].department))  # fmt: skip
    assert "neither yours nor" in refused(world, "tickets_set_status", **call)


def test_work_needs_somebody_who_does_it(world: World) -> None:
    ticket = a_ticket(world)
    one = helper(world)
    assert "only the team" in refused(world, "tickets_assign", ticket=ticket.id, assignee=one)
    world.act_for(one)
    assert "has no assignee" in refused(world, "tickets_set_status", ticket=ticket.id, status="in_progress")
    assert "is not in the team" in refused(world, "tickets_assign", ticket=ticket.id, assignee="P-0013")
    said(world, "tickets_assign", ticket=ticket.id, assignee=world.me.email)
    said(world, "tickets_set_status", ticket=ticket.id, status="in_progress")
    assert "is in progress and needs one" in refused(world, "tickets_assign", ticket=ticket.id, assignee="none")
    said(world, "tickets_set_status", ticket=ticket.id, status="open")
    said(world, "tickets_assign", ticket=ticket.id, assignee="none")
    assert world.tickets[ticket.id] == ticket


def test_closed_tickets_rest(world: World) -> None:
    other, ticket = a_ticket(world), a_ticket(world, status="closed", assignee=helper(world))
    assert "is closed" in refused(world, "tickets_comment", ticket=ticket.id, text="x")
    world.act_for(helper(world))
    for name, more in (
        ("tickets_assign", {"assignee": world.user}),
        ("tickets_set_priority", {"priority": "high"}),
        ("tickets_comment", {"text": "x"}),
        ("tickets_mark_duplicate", {"duplicate_of": other.id}),
    ):
        assert "is closed; open it again first" in refused(world, name, ticket=ticket.id, **more)


def test_urgency_is_for_the_team(world: World) -> None:
    call = {"queue": "it", "title": "Mouse", "description": "It sticks."}
    assert "only the team" in refused(world, "tickets_create", **call, priority="urgent")
    ticket = a_ticket(world)
    assert "only the team" in refused(world, "tickets_set_priority", ticket=ticket.id, priority="low")
    world.act_for(helper(world))
    said(world, "tickets_create", **call, priority="urgent")
    said(world, "tickets_set_priority", ticket=ticket.id, priority="low")


def test_internal_comments_stay_in_the_team(world: World) -> None:
    ticket, requester = a_ticket(world), world.user
    assert "writes internal comments" in refused(world, "tickets_comment", ticket=ticket.id, text="x", internal=True)
    assert "is blank" in refused(world, "tickets_comment", ticket=ticket.id, text=" ")
    said(world, "tickets_comment", ticket=ticket.id, text="Any news?")
    world.act_for(helper(world))
    said(world, "tickets_comment", ticket=ticket.id, text="Known bug.", internal=True)
    assert [one["text"] for one in said(world, "tickets_get", ticket=ticket.id)["comments"]] == [
        "Any news?", "Known bug.",
    ]  # fmt: skip
    world.act_for(requester)
    assert [one["text"] for one in said(world, "tickets_get", ticket=ticket.id)["comments"]] == ["Any news?"]


def test_duplicates_are_closed_for_one_that_stays(world: World) -> None:
    first, second, third = (a_ticket(world) for _ in range(3))
    other = said(world, "tickets_create", queue="legal", title="x", description="x")["created"]["id"]
    world.act_for(helper(world))
    call = {"ticket": first.id, "duplicate_of": second.id}
    assert "is the same ticket" in refused(world, "tickets_mark_duplicate", ticket=first.id, duplicate_of=first.id)
    assert "neither yours nor" in refused(world, "tickets_mark_duplicate", ticket=first.id, duplicate_of=other)
    said(world, "tickets_mark_duplicate", **call)
    assert world.tickets[first.id] == first._replace(status="closed", duplicate_of=second.id)
    assert "is itself a duplicate" in refused(world, "tickets_mark_duplicate", ticket=third.id, duplicate_of=first.id)
    assert "is marked as a duplicate of" in refused(
        world, "tickets_mark_duplicate", ticket=second.id, duplicate_of=third.id
    )
    said(world, "tickets_set_status", ticket=first.id, status="open")
    assert world.tickets[first.id] == first


@pytest.mark.parametrize("user", ["P-0013", "P-0007", "P-0011"])
def test_tickets_are_found_by_whom_they_concern(world: World, user: str) -> None:
    world.act_for(user)
    queue = world.departments[world.me.department].name.casefold()
    seen = [one for one in world.table("tickets") if one.requester == user or one.queue == queue]
    assert said(world, "tickets_search", limit=50)["found"] == len(seen)
    shown = said(world, "tickets_search", status="open", assignee="none", limit=50)["tickets"]
    expected = [one for one in seen if one.status == "open" and not one.assignee]
    expected.sort(key=lambda one: (-PRIORITIES.index(one.priority), one.created_at, one.id))
    assert [one["id"] for one in shown] == [one.id for one in expected][:50]
    hidden = next(one for one in world.table("tickets") if one not in seen)
    assert "neither yours nor" in refused(world, "tickets_get", ticket=hidden.id)
    assert said(world, "tickets_search", requester=hidden.requester, queue=hidden.queue, limit=50)["found"] == sum(
        one.requester == hidden.requester and one.queue == hidden.queue for one in seen
    )


# Leave -----------------------------------------------------------------------------------------------------------


def no_leaves(world: World, days: int = 30) -> None:
    for leave in list(world.table("leaves").where("person", world.user)):
        world.table("leaves").remove(leave.id)
    world.table("people").put(world.me._replace(leave_days=days))


def test_leave_is_asked_for_and_decided(world: World) -> None:
    no_leaves(world)
    call = {"kind": "vacation", "first": "2026-06-05", "last": "2026-06-09"}
    asked = said(world, "leave_request", **call, note="Sea")["requested"]
    assert (asked["days"], asked["status"]) == (3, "pending")
    assert said(world, "leave_balance")["left"] == 27
    assert "it overlaps your pending" in refused(world, "leave_request", **{**call, "first": "2026-06-09"})
    assert "only the manager" in refused(world, "leave_decide", leave=asked["id"], decision="approve")
    person = world.user
    world.act_for(world.me.manager)
    assert asked["id"] in {one["id"] for one in said(world, "leave_to_decide")["leaves"]}
    assert said(world, "leave_balance", person=person)["left"] == 27
    said(world, "leave_decide", leave=asked["id"], decision="reject")
    assert "is rejected" in refused(world, "leave_decide", leave=asked["id"], decision="approve")
    assert said(world, "leave_balance", person=person)["left"] == 30
    assert said(world, "leave_list", person=person, status="rejected")["leaves"][0]["id"] == asked["id"]
    world.act_for(person)
    said(world, "leave_request", **call)
    assert "not the manager" in refused(world, "leave_balance", person="P-0050")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"first": "2026-03-08"}, "begins on 2026-03-09 or later"),
        ({"kind": "sick", "first": "2026-03-01"}, "begins on 2026-03-02 or later"),
        ({"last": "2026-05-03"}, "is before the first day"),
        ({"last": "2027-01-05"}, "within the year 2026"),
        ({"first": "2026-05-09", "last": "2026-05-10"}, "there is no working day"),
        ({"last": "2026-05-18"}, "these are 11 working days; you have 10"),
    ],
)
def test_what_leave_cannot_be(world: World, wrong: dict[str, Any], told: str) -> None:
    no_leaves(world, days=10)
    call = {"kind": "vacation", "first": "2026-05-04", "last": "2026-05-05", **wrong}
    assert told in refused(world, "leave_request", **call)


def test_who_is_sick_asks_nobody_and_unpaid_leave_needs_no_balance(world: World) -> None:
    no_leaves(world, days=0)
    sick = said(world, "leave_request", kind="sick", first="2026-03-05", last="2026-03-09")["requested"]
    assert sick["status"] == "approved"
    said(world, "leave_request", kind="unpaid", first="2026-05-04", last="2026-05-05")
    assert "is approved and begins on" in refused(world, "leave_cancel", leave=sick["id"])


def test_leave_is_cancelled_before_it_begins(world: World) -> None:
    no_leaves(world)
    asked = said(world, "leave_request", kind="vacation", first="2026-03-09", last="2026-03-10")["requested"]["id"]
    later = said(world, "leave_request", kind="vacation", first="2026-03-12", last="2026-03-13")["requested"]["id"]
    table = world.table("leaves")
    table.put(world.leaves[later]._replace(status="approved"))
    said(world, "leave_cancel", leave=later)
    saved = world.snapshot()
    said(world, "leave_cancel", leave=asked)
    world.restore(saved)
    table.put(world.leaves[asked]._replace(status="approved"))
    assert "that has not begun" in refused(world, "leave_cancel", leave=asked)
    world.act_for("P-0002")
    assert "is not yours" in refused(world, "leave_cancel", leave=asked)


@given(st.integers(0, 400), st.integers(0, 60))
def test_working_days_are_counted_one_by_one(start: int, length: int) -> None:
    first = later_day("2026-01-01", start)
    days = [later_day(first, offset) for offset in range(length + 1)]
    # 1 January 2026 is a Thursday.
    counted = sum((3 + start + offset) % 7 < 5 for offset in range(length + 1))
    assert working_days(first, days[-1]) == counted
