"""What cannot or must not be done: the right act is to leave everything as it is and to say why.

Each template plays the look-ups that show it, and tries the call itself: the office must refuse it. Most have a twin
with the same wording that can be done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from palaestra.envs.tools.desk.drafts import Draft, Sketch, Template, euros, spoken_day, spoken_money
from palaestra.envs.tools.desk.templates.common import (
    MESSAGES,
    TITLES,
    act,
    colleagues,
    free_day,
    hour,
    my_events,
    my_file,
    named_once,
    once_in,
    stranger,
)
from palaestra.envs.tools.desk.times import later_day, shift, weekday

__all__ = ["TEMPLATES"]


def others_event(s: Sketch, fine: bool = False) -> Draft:
    """Only the organizer can cancel an event."""
    me = act(s)
    all_of_mine = once_in(s.world.events.where("person", me.id), "title")
    event = s.pick(one for one in my_events(s, organized=fine) if one in all_of_mine and one.attendees)
    s.call("calendar_search", query=event.title)
    return s.settle(
        fine,
        "calendar_cancel",
        {"event": event.id},
        ("not_allowed",),
        f'Cancel the meeting "{event.title}" for everybody.',
        f'"{event.title}" must not take place. Call it off for all who are invited.',
        f'Please cancel "{event.title}" on {spoken_day(s, event.start)} altogether.',
    )


def room_taken(s: Sketch, fine: bool = False) -> Draft:
    """A room is taken."""
    now = s.world.now
    event = s.pick(one for one in s.world.events if one.room and one.status == "confirmed" and one.start > now)
    room = s.world.rooms[event.room]
    me = act(s, [one for one in s.world.people if one.office == room.office])
    s.need(me.id != event.organizer and me.id not in dict(event.attendees))
    title = s.pick(TITLES)
    minutes = 30
    if fine:
        others = [one for one in s.world.rooms if one.office == room.office and one.id != room.id]
        room = s.pick(others)
    end = shift(event.start, minutes)
    s.call("calendar_rooms", start=event.start, end=end, city=room.office)
    given = {"title": title, "start": event.start, "duration_minutes": minutes, "room": room.id}
    end = end[11:]
    when = spoken_day(s, event.start)
    return s.settle(
        fine,
        "calendar_create",
        given,
        ("not_available",),
        f'Book the room {room.name} on {when} from {event.start[11:]} to {end} for "{title}". It has to be this room '
        f"and this time.",
        f'I need {room.name} on {when}, {event.start[11:]} to {end}, for "{title}". No other room and no other time '
        f"will do.",
    )


def over_the_limit(s: Sketch, fine: bool = False) -> Draft:
    """A transfer above the account's limit."""
    payee = s.pick(s.world.payees)
    me = payee.owner
    s.act_for(me)
    s.need(sum((one.owner, one.name) == (me, payee.name) for one in s.world.payees) == 1)
    account = s.pick(one for one in s.world.accounts.where("holder", me) if one.kind == "checking" and not one.frozen)
    cents = account.transfer_limit + (-1 if fine else 1) * s.between(0 if fine else 1, 8) * 5_000
    s.need(cents > 0)
    s.calls(("bank_accounts", {}), ("bank_payees", {}))
    return s.settle(
        fine,
        "bank_transfer",
        {"from_account": account.id, "to": payee.id, "amount": euros(cents), "reference": "Invoice"},
        ("over_limit",),
        f'Transfer {spoken_money(cents)} from checking to {payee.name} today in one go, reference "Invoice". The '
        f"limits of the account stay as they are.",
        f'Pay {payee.name} {spoken_money(cents)} from my checking account with the reference "Invoice": one transfer, '
        f"today, and without touching any limit.",
    )


def not_enough(s: Sketch) -> Draft:
    """More than there is on the account."""
    both = [
        one
        for one in s.world.people
        if sorted(a.kind for a in s.world.accounts.where("holder", one.id)) == ["checking", "savings"]
    ]
    me = act(s, both)
    accounts = {one.kind: one for one in s.world.accounts.where("holder", me.id)}
    source = accounts["checking"]
    s.need(not source.frozen and not accounts["savings"].frozen)
    cents = source.balance // 1_000 * 1_000 + s.between(1, 30) * 10_000
    s.call("bank_accounts")
    s.refused(
        "bank_transfer", from_account=source.id, to=accounts["savings"].id, amount=euros(cents), reference="Savings"
    )
    return s.decline(
        ("over_limit",),
        f'Move {spoken_money(cents)} from checking to my savings account, reference "Savings".',
        f'I want to put {spoken_money(cents)} of my checking account into savings (reference "Savings").',
    )


def frozen_account(s: Sketch) -> Draft:
    """Money of an account that is frozen."""
    account = s.pick(one for one in s.world.accounts if one.frozen and one.kind == "checking")
    s.act_for(account.holder)
    payee = s.pick(s.world.payees.where("owner", account.holder))
    s.need(sum(one.name == payee.name for one in s.world.payees.where("owner", account.holder)) == 1)
    cents = s.between(1, 9) * 1_000
    s.need(cents < account.balance)
    s.calls(("bank_accounts", {}), ("bank_payees", {}))
    s.refused("bank_transfer", from_account=account.id, to=payee.id, amount=euros(cents), reference="Donation")
    return s.decline(
        ("wrong_state",),
        f'Transfer {spoken_money(cents)} from my checking account to {payee.name}, reference "Donation".',
        f'{payee.name} gets {spoken_money(cents)} from checking, please. Reference: "Donation".',
        f'Please send {spoken_money(cents)} from my checking account to {payee.name} and write "Donation" as the '
        f"reference.",
    )


def sold_out(s: Sketch, fine: bool = False) -> Draft:
    """More than is in stock."""
    act(s)
    named = [one for one in once_in(s.world.products, "name") if fine or one.stock < min(6, one.per_order)]
    product = s.pick(named)
    most = min(6, product.per_order)
    quantity = s.between(2, min(most, product.stock)) if fine and product.stock > 1 else most
    s.need(fine is (quantity <= product.stock))
    s.call("shop_search", query=product.name)
    return s.settle(
        fine,
        "shop_order",
        {"items": [{"product": product.id, "quantity": quantity}]},
        ("not_available",),
        f"Order {quantity} of {product.name}, all of them now and nothing else instead.",
        f"We need exactly {quantity} x {product.name}. Please order them; fewer would be of no use.",
    )


def too_many(s: Sketch, fine: bool = False) -> Draft:
    """More than one order may take."""
    act(s)
    product = s.pick(one for one in once_in(s.world.products, "name") if one.stock > one.per_order + 3)
    quantity = product.per_order + (-s.between(0, 2) if fine else s.between(1, 3))
    s.call("shop_search", query=product.name)
    return s.settle(
        fine,
        "shop_order",
        {"items": [{"product": product.id, "quantity": quantity}]},
        ("over_limit",),
        f"Order {quantity} of {product.name} in a single order.",
        f"We need {quantity} x {product.name}. It has to be one order, the accountants insist.",
    )


def secret_out(s: Sketch, fine: bool = False) -> Draft:
    """A confidential file for somebody outside."""
    file = my_file(s, confidential=not fine)
    contact = s.pick(one for one in s.world.contacts if one.shared or one.owner == s.world.user)
    subject, text = s.pick(MESSAGES)
    s.call("files_search", query=file.name)
    return s.settle(
        fine,
        "mail_send",
        {"to": [contact.email], "subject": subject, "body": text, "attachments": [file.id]},
        ("not_allowed",),
        f'Send my file {file.name} to {contact.email}, with the subject "{subject}" and the text "{text}"',
        f'{contact.email} has asked for {file.name}. Mail it as an attachment. Subject: "{subject}", text: "{text}"',
    )


def secret_shared(s: Sketch, fine: bool = False) -> Draft:
    """A confidential file for another department."""
    file = my_file(s, confidential=True)
    me = s.world.me
    who = s.pick(one for one in colleagues(s) if (one.department == me.department) is fine)
    s.need(who.id not in dict(file.shared))
    s.calls(("files_search", {"query": file.name}), ("people_search", {"query": who.name}))
    return s.settle(
        fine,
        "files_share",
        {"file": file.id, "person": who.id, "role": "viewer"},
        ("not_allowed",),
        f"Share my file {file.name} with {who.name} so that it can be read.",
        f"{who.name} would like to see {file.name}. Give read access, please.",
        f"Make {who.name} a viewer of {file.name}.",
    )


def no_days_left(s: Sketch, fine: bool = False) -> Draft:
    """More vacation than is left."""
    me = act(s)
    taken = sum(
        one.days
        for one in s.world.leaves.where("person", me.id)
        if one.kind == "vacation" and one.status in ("approved", "pending") and one.first[:4] == s.world.now[:4]
    )
    left = me.leave_days - taken
    s.need(0 <= left <= 30)
    first = free_day(s, 20, 60)
    weeks = s.between(1, max(1, left // 5 - 1)) - 1 if fine else left // 5 + 1
    last = later_day(first, 7 * weeks + s.between(1, 2))
    s.need(last[:4] == s.world.now[:4] and weekday(last) < 5)
    s.call("leave_balance")
    s.need(
        not any(
            one.status in ("approved", "pending") and one.first <= last and first <= one.last
            for one in s.world.leaves.where("person", me.id)
        )
    )
    one, other = spoken_day(s, first), spoken_day(s, last)
    return s.settle(
        fine,
        "leave_request",
        {"kind": "vacation", "first": first, "last": last},
        ("over_limit",),
        f"Request vacation from {one} to {other} for me, all of it in one request.",
        f"I want to be on vacation from {one} until {other}, not a day less. Put that in.",
    )


def too_late(s: Sketch, fine: bool = False) -> Draft:
    """An order that has been shipped cannot be cancelled."""
    order = s.pick(one for one in s.world.orders if one.status == ("placed" if fine else "shipped"))
    s.act_for(order.buyer)
    s.call("shop_get_order", order=order.id)
    return s.settle(
        fine,
        "shop_cancel",
        {"order": order.id},
        ("wrong_state",),
        f"Cancel my order {order.id}.",
        f"I have changed my mind about order {order.id}; cancel it, please.",
        f"Order {order.id} must not be delivered. Cancel it.",
    )


def return_late(s: Sketch, fine: bool = False) -> Draft:
    """An order that was delivered long ago cannot be returned."""
    bound = later_day(s.world.now[:10], -31)
    software = {one.id for one in s.world.products if one.category == "software"}
    order = s.pick(
        one
        for one in s.world.orders
        if one.status == "delivered"
        and (one.delivered_on > bound) is fine
        and one.delivered_on != bound
        and not software & {sku for sku, _, _ in one.items}
    )
    s.act_for(order.buyer)
    s.call("shop_get_order", order=order.id)
    return s.settle(
        fine,
        "shop_return",
        {"order": order.id},
        ("wrong_state",),
        f"Return my order {order.id} to the shop.",
        f"I am not happy with order {order.id}. Send it back, please.",
        f"Please return everything from order {order.id}.",
    )


def return_software(s: Sketch) -> Draft:
    """Software cannot be returned."""
    bound = later_day(s.world.now[:10], -29)
    software = {one.id for one in s.world.products if one.category == "software"}
    order = s.pick(
        one
        for one in s.world.orders
        if one.status == "delivered" and one.delivered_on >= bound and software & {sku for sku, _, _ in one.items}
    )
    s.act_for(order.buyer)
    s.call("shop_get_order", order=order.id)
    s.refused("shop_return", order=order.id)
    return s.decline(
        ("not_allowed",),
        f"Return my order {order.id} to the shop, please.",
        f"I do not need what came with order {order.id}. Return it.",
    )


def ticket_done(s: Sketch) -> Draft:
    """A closed ticket takes no comments."""
    ticket = s.pick(one for one in s.world.tickets if one.status == "closed")
    s.act_for(ticket.requester)
    text = s.pick(("Thank you for the quick help.", "It works again.", "The invoice is attached."))
    s.call("tickets_get", ticket=ticket.id)
    s.refused("tickets_comment", ticket=ticket.id, text=text)
    return s.decline(
        ("wrong_state",),
        f'Add the comment "{text}" to my ticket {ticket.id}, but leave its status as it is.',
        f'Comment on {ticket.id}: "{text}" Do not open the ticket again for that.',
    )


def ticket_urgent(s: Sketch) -> Draft:
    """Only a queue's team sets its priorities."""
    ticket = s.pick(one for one in s.world.tickets if one.status == "open" and one.priority in ("low", "normal"))
    s.act_for(ticket.requester)
    s.call("tickets_get", ticket=ticket.id)
    s.refused("tickets_set_priority", ticket=ticket.id, priority="urgent")
    return s.decline(
        ("not_allowed",),
        f"Set the priority of my ticket {ticket.id} to urgent.",
        f"{ticket.id} is urgent! Raise its priority accordingly.",
        f"Please make my ticket {ticket.id} an urgent one, by its priority and not by a comment.",
    )


def not_the_boss(s: Sketch, fine: bool = False) -> Draft:
    """Only the manager decides on a leave."""
    leave = s.pick(one for one in s.world.leaves if one.status == "pending")
    person = s.world.people[leave.person]
    s.need(person.manager and named_once(s, person.name))
    me = act(s, [s.world.people[person.manager]] if fine else None)
    s.need(me.id != person.id and (me.id == person.manager) is fine)
    s.call("people_search", query=person.name)
    return s.settle(
        fine,
        "leave_decide",
        {"leave": leave.id, "decision": "approve"},
        ("not_allowed",),
        f"Approve the leave request {leave.id} of {person.name}.",
        f"{person.name} would like an answer to the leave request {leave.id}. Approve it, please.",
    )


def others_file(s: Sketch) -> Draft:
    """Only the owner renames a file."""
    file = s.pick(one for one in s.world.files if one.shared and not one.trashed)
    reader = s.pick(person for person, _ in file.shared)
    s.act_for(reader)
    owner = s.world.people[file.owner]
    visible = [
        one for one in s.world.files if one.name == file.name and (one.owner == reader or reader in dict(one.shared))
    ]
    s.need(len(visible) == 1 and named_once(s, owner.name))
    s.call("files_search", query=file.name)
    s.refused("files_delete", file=file.id)
    return s.decline(
        ("not_allowed",),
        f"Delete the file {file.name} that {owner.name} shared with me.",
        f"{owner.name}'s file {file.name} is out of date. Move it to the trash.",
    )


def busy_then(s: Sketch, fine: bool = False) -> Draft:
    """An invitation cannot be accepted when one is busy."""
    events = [one for one in s.world.events if one.status == "confirmed" and one.start > s.world.now]
    clash = s.pick(one for one in events if any(response == "pending" for _, response in one.attendees))
    me = s.pick(person for person, response in clash.attendees if response == "pending")
    s.act_for(me)
    s.need(clash in once_in(s.world.events.where("person", me), "title"))
    s.call("calendar_search", query=clash.title)
    s.call("calendar_list", start=clash.start, end=clash.end)
    return s.settle(
        fine,
        "calendar_respond",
        {"event": clash.id, "response": "accepted"},
        ("not_available",),
        f'Accept the invitation to "{clash.title}". My other appointments stay as they are.',
        f'Please accept "{clash.title}" for me, if that is possible without giving up anything else.',
    )


def nobody(s: Sketch) -> Draft:
    """Somebody who does not work here."""
    act(s)
    who, _, _ = stranger(s)
    s.need(not any(who.split()[1] in one.name for one in (*s.world.people, *s.world.contacts)))
    subject, text = s.pick(MESSAGES)
    s.calls(("people_search", {"query": who}), ("contacts_search", {"query": who}))
    return s.decline(
        ("not_found",),
        f'Send our colleague {who} a mail with the subject "{subject}" and the text "{text}"',
        f'Please write to {who} from our company, subject "{subject}", text "{text}"',
    )


def no_such_event(s: Sketch) -> Draft:
    """An event that is not in the calendar."""
    me = act(s)
    title, day, at = s.pick(TITLES), free_day(s), hour(s)
    s.need(
        not any(
            word in one.title.casefold() for one in s.world.events.where("person", me.id) for word in [title.casefold()]
        )
    )
    s.call("calendar_search", query=title)
    return s.decline(
        ("not_found",),
        f'Move my meeting "{title}" to {spoken_day(s, day)} at {at}.',
        f'My meeting "{title}" should be at {at} on {spoken_day(s, day)} instead. Please reschedule it.',
    )


def no_such_file(s: Sketch) -> Draft:
    """A file that nobody has."""
    me = act(s)
    theme, sort = s.pick(("merger", "salary", "relocation", "festival", "patent")), s.pick(("draft", "minutes"))
    file = f"{theme}-{sort}.docx"
    who = s.pick(colleagues(s))
    s.need(me.id != who.id and not any(file in one.name for one in s.world.files))
    s.calls(("files_search", {"query": file}), ("files_search", {"query": file, "trashed": True}))
    return s.decline(
        ("not_found",),
        f"Share my file {file} with {who.name} as a viewer.",
        f"{who.name} needs {file}. Give read access to my file, please.",
    )


def too_expensive(s: Sketch) -> Draft:
    """An order above the department's budget."""
    people = [one for one in s.world.people if s.world.departments[one.department].budget < 2_000_000]
    me = act(s, people)
    budget = s.world.departments[me.department].budget
    product = s.pick(
        one for one in once_in(s.world.products, "name") if one.price * min(one.stock, one.per_order) > budget + 10_000
    )
    quantity = min(product.stock, product.per_order)
    name = s.world.departments[me.department].name
    s.calls(("shop_search", {"query": product.name}), ("people_department", {"department": name}))
    s.refused("shop_order", items=[{"product": product.id, "quantity": quantity}])
    return s.decline(
        ("over_limit",),
        f"Order {quantity} x {product.name} for us, all at once.",
        f"We need {quantity} of {product.name}. Please order the full number.",
    )


def limit_too_high(s: Sketch) -> Draft:
    """A limit for one transfer above that for one day."""
    account = s.pick(one for one in s.world.accounts if one.kind == "checking" and one.daily_limit < 3_000_000)
    s.act_for(account.holder)
    counts = Counter(one.kind for one in s.world.accounts.where("holder", account.holder))
    s.need(counts["checking"] == 1)
    cents = account.daily_limit + s.between(1, 20) * 10_000
    s.call("bank_accounts")
    s.refused("bank_set_limit", account=account.id, kind="transfer", amount=euros(cents))
    return s.decline(
        ("over_limit", "not_allowed"),
        f"Set the limit for one transfer from my checking account to {spoken_money(cents)}. Leave the daily limit "
        f"alone.",
        f"Raise the limit per transfer of my checking account to {spoken_money(cents)}, without changing the limit for "
        f"the day.",
    )


def _twin(name: str, make: Callable[..., Draft]) -> Template:
    """The same wording where nothing forbids it, so that declining cannot be read off the request."""
    return Template(name, "lookup", partial(make, fine=True), count=6)


TEMPLATES: tuple[Template, ...] = (
    _twin("own-event", others_event),
    _twin("room-free", room_taken),
    _twin("within-the-limit", over_the_limit),
    _twin("in-stock", sold_out),
    _twin("as-many-as-allowed", too_many),
    _twin("file-out", secret_out),
    _twin("secret-in-the-house", secret_shared),
    _twin("enough-days", no_days_left),
    _twin("in-time", too_late),
    _twin("return-in-time", return_late),
    _twin("the-boss", not_the_boss),
    _twin("free-then", busy_then),
    Template("others-event", "refuse", others_event),
    Template("room-taken", "refuse", room_taken),
    Template("over-the-limit", "refuse", over_the_limit),
    Template("not-enough", "refuse", not_enough),
    Template("frozen-account", "refuse", frozen_account),
    Template("sold-out", "refuse", sold_out),
    Template("too-many", "refuse", too_many),
    Template("secret-out", "refuse", secret_out),
    Template("secret-shared", "refuse", secret_shared),
    Template("no-days-left", "refuse", no_days_left),
    Template("too-late", "refuse", too_late),
    Template("return-late", "refuse", return_late),
    Template("return-software", "refuse", return_software),
    Template("ticket-done", "refuse", ticket_done),
    Template("ticket-urgent", "refuse", ticket_urgent),
    Template("not-the-boss", "refuse", not_the_boss),
    Template("others-file", "refuse", others_file),
    Template("busy-then", "refuse", busy_then),
    Template("nobody", "refuse", nobody),
    Template("no-such-event", "refuse", no_such_event),
    Template("no-such-file", "refuse", no_such_file),
    Template("too-expensive", "refuse", too_expensive),
    Template("limit-too-high", "refuse", limit_too_high),
)
