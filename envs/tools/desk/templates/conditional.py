"""What is to be done depends on what the agent finds."""

from __future__ import annotations

from datetime import date as Day

from palaestra.envs.tools.desk.drafts import Draft, Sketch, Template, euros, spoken_day, spoken_money
from palaestra.envs.tools.desk.said import amount, count
from palaestra.envs.tools.desk.templates.common import (
    TITLES,
    act,
    colleagues,
    free_day,
    hour,
    named_once,
    once_in,
    reports_of,
    with_reports,
)
from palaestra.envs.tools.desk.times import shift

__all__ = ["TEMPLATES"]


def room_or_other(s: Sketch) -> Draft:
    """The first room if it is free, else the second."""
    me = act(s)
    rooms = [one for one in s.world.rooms if one.office == me.office]
    first, second = s.some(rooms, 2)
    title, day, at = s.pick(TITLES), free_day(s, 1, 18), hour(s)
    start = f"{day}T{at}"
    end = shift(start, 60)

    def taken(room: str) -> bool:
        return any(
            one.status == "confirmed" and one.start < end and start < one.end
            for one in s.world.events.where("room", room)
        )

    # Half of the tasks take the second way, though most rooms are free most of the time.
    s.need(taken(first.id) is (s.rng.random() < 0.5) and not taken(second.id))
    s.call("calendar_rooms", start=start, end=end, city=me.office)
    room = second if taken(first.id) else first
    s.call("calendar_create", title=title, start=start, duration_minutes=60, room=room.id)
    when = spoken_day(s, day)
    return s.task(
        f'Book the room {first.name} on {when} from {at} for one hour, for "{title}". If {first.name} is taken, take '
        f"{second.name}.",
        f'I need a room for "{title}" on {when} at {at} (60 minutes): {first.name} if it is free, otherwise '
        f"{second.name}.",
        f'Put "{title}" on {when} at {at} for an hour into my calendar, in {first.name}, or in {second.name} should '
        f"{first.name} not be free.",
    )


def product_or_other(s: Sketch) -> Draft:
    """A product if there is enough of it, else another."""
    act(s)
    single = once_in(s.world.products, "name")
    quantity = s.between(2, 5)
    scarce = s.rng.random() < 0.5
    first = s.pick(one for one in single if (one.stock < quantity) is scarce and one.per_order >= quantity)
    second = s.pick(
        one
        for one in single
        if one.category == first.category and one.id != first.id and one.stock >= quantity and one.per_order >= quantity
    )
    s.calls(("shop_search", {"query": first.name}), ("shop_search", {"query": second.name}))
    s.call("shop_order", items=[{"product": (second if scarce else first).id, "quantity": quantity}])
    return s.task(
        f"Order {quantity} of {first.name}. If there are not enough in stock, order {quantity} of {second.name} "
        f"instead.",
        f"We need {quantity} x {first.name}; if the shop does not have that many, make it {quantity} x {second.name}.",
        f"Please buy {quantity} {first.name} for my office, or the same number of {second.name} if stock does not "
        f"suffice. All from one product.",
    )


def save_if_enough(s: Sketch) -> Draft:
    """Money is moved only if enough is there; else the balance is told."""
    both = [
        one
        for one in s.world.people
        if sorted(a.kind for a in s.world.accounts.where("holder", one.id)) == ["checking", "savings"]
    ]
    me = act(s, both)
    accounts = {one.kind: one for one in s.world.accounts.where("holder", me.id)}
    checking, savings = accounts["checking"], accounts["savings"]
    enough = s.rng.random() < 0.5
    bound = checking.balance // 100_000 * 100_000 + (0 if enough else 100_000)
    s.need(bound > 0 and abs(bound - checking.balance) > 5_000)
    cents = s.between(1, 10) * 5_000
    s.call("bank_accounts")
    if enough:
        s.call("bank_transfer", from_account=checking.id, to=savings.id, amount=euros(cents), reference="Savings")
    limit, sum_ = spoken_money(bound), spoken_money(cents)
    return s.task(
        f'If there are more than {limit} on my checking account, move {sum_} to savings with the reference "Savings". '
        f"Otherwise leave it and tell me the balance of the checking account.",
        f"Look at my checking account. Above {limit}? Then transfer {sum_} to my savings account (reference "
        f'"Savings"). Not above? Then just tell me how much there is on it.',
        says=[] if enough else [amount(checking.balance / 100)],
        answer="" if enough else f"The balance of your checking account is {checking.balance / 100:.2f} euros.",
    )


def leave_if_balance(s: Sketch) -> Draft:
    """Vacation only if enough is left after it; else the balance is told."""
    me = act(s)
    taken = sum(
        one.days
        for one in s.world.leaves.where("person", me.id)
        if one.kind == "vacation" and one.status in ("approved", "pending") and one.first[:4] == s.world.now[:4]
    )
    left = me.leave_days - taken
    s.need(left > 4)
    day = free_day(s, 14, 90)
    enough = s.rng.random() < 0.5
    bound = left - s.between(1, 4) if enough else left + s.between(1, 6)
    s.call("leave_balance")
    if enough:
        s.call("leave_request", kind="vacation", first=day, last=day)
    when = spoken_day(s, day)
    return s.task(
        f"If I have at least {bound} days of vacation left, request {when} off for me. If not, only tell me how many I "
        f"have.",
        f"Request a day of vacation on {when}, provided that I still have {bound} days or more. Otherwise tell me the "
        f"number of days that are left.",
        says=[] if enough else [count(left)],
        answer="" if enough else f"You have {left} days left.",
    )


def ticket_by_state(s: Sketch) -> Draft:
    """A ticket is closed if it is resolved, and commented on if it is not."""
    resolved = s.rng.random() < 0.5
    ticket = s.pick(one for one in s.world.tickets if (one.status == "resolved") is resolved and one.status != "closed")
    s.act_for(ticket.requester)
    text = s.pick(("What is the state of this?", "When can I expect a solution?", "Please give me an update."))
    s.call("tickets_get", ticket=ticket.id)
    if resolved:
        s.call("tickets_set_status", ticket=ticket.id, status="closed")
    else:
        s.call("tickets_comment", ticket=ticket.id, text=text)
    return s.task(
        f'If my ticket {ticket.id} is resolved, close it; if it is not, comment "{text}"',
        f'Have a look at {ticket.id}. Resolved? Then close it. Otherwise leave the comment "{text}"',
        f'Please close {ticket.id} in case it has been resolved. In any other case add the comment "{text}" to it.',
    )


def leave_by_length(s: Sketch) -> Draft:
    """A report's leave is approved up to a length, and rejected above it."""
    pending = [one for one in s.world.leaves if one.status == "pending"]
    leave = s.pick(pending)
    person = s.world.people[leave.person]
    s.need(person.manager and sum(one.person == leave.person for one in pending) == 1 and named_once(s, person.name))
    s.act_for(person.manager)
    short = s.rng.random() < 0.5
    bound = leave.days + s.between(0, 3) if short else leave.days - 1
    s.need(bound >= 1)
    s.call("leave_to_decide")
    s.call("leave_decide", leave=leave.id, decision="approve" if short else "reject")
    days = "one working day" if bound == 1 else f"{bound} working days"
    return s.task(
        f"{person.name} has asked for leave. Approve it if it is no longer than {days}, otherwise reject it.",
        f"Decide on the pending leave request of {person.name}: up to {days} is fine, anything longer is rejected.",
        f"If the leave that {person.name} requested takes at most {days}, approve it. If it takes more, turn it down.",
    )


def order_by_total(s: Sketch) -> Draft:
    """A report's order is approved up to an amount."""
    waiting = [one for one in s.world.orders if one.status == "pending_approval"]
    order = s.pick(waiting)
    person = s.world.people[order.buyer]
    s.need(person.manager and sum(one.buyer == order.buyer for one in waiting) == 1 and named_once(s, person.name))
    s.act_for(person.manager)
    cheap = s.rng.random() < 0.5
    bound = order.total // 50_000 * 50_000 + (50_000 if cheap else 0)
    s.need(bound >= 50_000 and abs(bound - order.total) > 2_000)
    s.call("people_search", query=person.name)
    s.call("shop_orders", buyer=person.id, status="pending_approval")
    s.call("shop_decide", order=order.id, decision="approve" if cheap else "reject")
    return s.task(
        f"{person.name} has an order waiting for me. Approve it if its total is below {spoken_money(bound)}, reject it "
        f"if it is above.",
        f"Check the pending shop order of {person.name}: below {spoken_money(bound)} I approve, above I reject.",
    )


def meet_or_mail(s: Sketch) -> Draft:
    """An invitation if a colleague is free, else a mail."""
    me = act(s)
    who = s.pick(colleagues(s))
    title, day, at = s.pick(TITLES), free_day(s, 1, 18), hour(s)
    start = f"{day}T{at}"
    end = shift(start, 30)

    def busy(person: str) -> bool:
        return any(
            one.status == "confirmed"
            and one.start < end
            and start < one.end
            and (one.organizer == person or dict(one.attendees).get(person) != "declined")
            for one in s.world.events.where("person", person)
        )

    s.need(not busy(me.id) and busy(who.id) is (s.rng.random() < 0.5))
    s.call("people_search", query=who.name)
    s.call("calendar_list", person=who.id, start=start, end=end)
    text = "When would you have half an hour for me?"
    if busy(who.id):
        s.call("mail_send", to=[who.email], subject=title, body=text)
    else:
        s.call("calendar_create", title=title, start=start, duration_minutes=30, attendees=[who.id])
    when = spoken_day(s, day)
    return s.task(
        f'If {who.name} is free on {when} from {at} to {end[11:]}, set up the meeting "{title}" for the two of us then '
        f'(no room). If not, send a mail with the subject "{title}" and the text "{text}"',
        f'I would like to talk to {who.name} about "{title}" on {when} at {at}, for 30 minutes without a room. Create '
        f'the meeting if there is nothing in the way in their calendar; else mail them, subject "{title}", text '
        f'"{text}"',
    )


def card_by_limit(s: Sketch) -> Draft:
    """A card is frozen if its limit is high."""
    card = s.pick(one for one in s.world.cards if not one.frozen)
    mine = [one for one in s.world.cards if one.holder == card.holder]
    s.need(sum(one.ending == card.ending for one in mine) == 1)
    s.act_for(card.holder)
    high = s.rng.random() < 0.5
    bound = card.monthly_limit - 10_000 if high else card.monthly_limit + 10_000
    s.call("bank_cards")
    if high:
        s.call("bank_freeze_card", card=card.id, frozen=True)
    return s.task(
        f"If the monthly limit of my card ending in {card.ending} is above {spoken_money(bound)}, freeze the card. If "
        f"not, leave it and tell me its limit.",
        f"Freeze my card {card.ending} in case its monthly limit exceeds {spoken_money(bound)}; otherwise just tell me "
        f"what the limit is.",
        says=[] if high else [amount(card.monthly_limit / 100)],
        answer="" if high else f"Its monthly limit is {card.monthly_limit / 100:.2f} euros.",
    )


def budget_mail(s: Sketch) -> Draft:
    """The department's head hears of it when little is left."""
    me = act(s)
    department = s.world.departments[me.department]
    head = s.world.people[department.head]
    s.need(head.id != me.id)
    low = s.rng.random() < 0.5
    bound = department.budget // 50_000 * 50_000 + (50_000 if low else 0)
    s.need(bound > 0 and abs(bound - department.budget) > 1_000)
    subject, text = "Shop budget", "The shop budget of our department is running low."
    s.call("people_department", department=department.name)
    if low:
        s.call("mail_send", to=[head.id], subject=subject, body=text)
    return s.task(
        f"Check what {department.name} may still spend in the shop. If it is less than {spoken_money(bound)}, send the "
        f'head of the department a mail with the subject "{subject}" and the text "{text}" If it is more, no mail: '
        f"just tell me the amount.",
        f"Is the shop budget of {department.name} below {spoken_money(bound)}? Then write to its head, subject "
        f'"{subject}", text "{text}" Otherwise give me the figure.',
        says=[] if low else [amount(department.budget / 100)],
        answer="" if low else f"{department.budget / 100:.2f} euros are left.",
    )


def leaves_by_month(s: Sketch) -> Draft:
    """Pending leaves of reports: only those of one kind are approved."""
    bosses = [
        one
        for one in with_reports(s)
        if len([p for p in s.world.leaves if p.status == "pending" and s.world.people[p.person].manager == one.id]) > 1
    ]
    me = act(s, bosses)
    team = {one.id for one in reports_of(s, me.id)}
    pending = [one for one in s.world.leaves if one.status == "pending" and one.person in team]
    month = s.pick(sorted({one.first[:7] for one in pending}))
    inside = [one for one in pending if one.first[:7] == month]
    s.need(len(inside) < len(pending) <= 6)
    s.call("leave_to_decide")
    s.calls(
        *(("leave_decide", {"leave": one.id, "decision": "reject" if one in inside else "approve"}) for one in pending)
    )
    spoken = f"{Day.fromisoformat(f'{month}-01'):%B %Y}"
    return s.task(
        f"Decide on all leave requests of my team: reject those that begin in {spoken}, approve the others.",
        f"We cannot spare anybody in {spoken}. Reject the pending leaves in my team that start then; all the others "
        f"are approved.",
    )


TEMPLATES: tuple[Template, ...] = (
    Template("either-room", "conditional", room_or_other),
    Template("product-or-other", "conditional", product_or_other),
    Template("save-if-enough", "conditional", save_if_enough),
    Template("leave-if-balance", "conditional", leave_if_balance),
    Template("ticket-by-state", "conditional", ticket_by_state),
    Template("leave-by-length", "conditional", leave_by_length),
    Template("order-by-total", "conditional", order_by_total),
    Template("meet-or-mail", "conditional", meet_or_mail),
    Template("card-by-limit", "conditional", card_by_limit),
    Template("budget-mail", "conditional", budget_mail),
    Template("leaves-by-month", "conditional", leaves_by_month),
)
