"""Questions whose answer has to be computed from what is looked up; the state stays as it is."""

from __future__ import annotations

from collections import Counter

from palaestra.envs.tools.desk.drafts import Draft, Sketch, Template, spoken_day
from palaestra.envs.tools.desk.said import amount, count, date, identifier, name, time
from palaestra.envs.tools.desk.templates.common import act, colleagues, inbox, my_events, reports_of, with_reports
from palaestra.envs.tools.desk.times import later_day, minutes_between, weekday

__all__ = ["TEMPLATES"]


def orders_sum(s: Sketch) -> Draft:
    """What all orders of one status cost together."""
    counts = Counter((one.buyer, one.status) for one in s.world.orders)
    buyer, status = s.pick(sorted(key for key, number in counts.items() if number >= 2))
    s.act_for(buyer)
    total = sum(one.total for one in s.world.orders if (one.buyer, one.status) == (buyer, status))
    s.call("shop_orders", status=status, limit=50)
    words = {"pending_approval": "wait for approval", "placed": "are placed and not yet shipped"}
    what = words.get(status, f"have the status {status}")
    return s.task(
        f"What do all my orders in the shop that {what} add up to?",
        f"Add up the totals of those of my orders that {what}.",
        f"How much money is in my orders that {what}, all together?",
        says=[amount(total / 100)],
        answer=f"Together they cost {total / 100:.2f} euros.",
    )


def balances_sum(s: Sketch) -> Draft:
    """All of one's own accounts together."""
    me = act(s, [one for one in s.world.people if len(s.world.accounts.where("holder", one.id)) > 1])
    total = sum(one.balance for one in s.world.accounts.where("holder", me.id))
    s.need(all(me.id != one.head for one in s.world.departments))
    s.call("bank_accounts")
    return s.task(
        "How much money do I have on all my accounts together?",
        "Add up the balances of my bank accounts for me.",
        "What is the sum of my checking and savings balances?",
        says=[amount(total / 100)],
        answer=f"Together {total / 100:.2f} euros.",
    )


def spent_on_payee(s: Sketch) -> Draft:
    """What went to a payee in all."""
    done = [one for one in s.world.transfers if one.status == "done"]
    counts = Counter((one.source, one.name) for one in done)
    source, payee = s.pick(sorted(key for key, number in counts.items() if number >= 2))
    holder = s.world.accounts[source].holder
    s.act_for(holder)
    s.need(all(holder != one.head for one in s.world.departments))
    mine = {one.id for one in s.world.accounts.where("holder", holder)}
    total = sum(one.amount for one in done if one.source in mine and one.name == payee)
    s.call("bank_accounts")
    s.calls(
        *(("bank_transfers", {"account": one, "query": payee, "status": "done", "limit": 50}) for one in sorted(mine))
    )
    return s.task(
        f"How much have I paid to {payee} so far? Count only transfers that are done.",
        f"Add up all executed transfers from my accounts to {payee}.",
        f"I want to know what I have transferred to {payee} in total (done, not scheduled or cancelled).",
        says=[amount(total / 100)],
        answer=f"You paid {total / 100:.2f} euros to {payee}.",
    )


def mails_from(s: Sketch) -> Draft:
    """How many mails of a sender are in the inbox, and from when the newest is."""
    act(s)
    box = inbox(s)
    senders = Counter(one.sender for one in box)
    who = s.pick(one for one in colleagues(s) if 2 <= senders[one.email] <= 50)
    number = senders[who.email]
    newest = max(one.sent_at for one in box if one.sender == who.email)
    s.call("people_search", query=who.name)
    s.call("mail_search", sender=who.email, limit=50)
    return s.task(
        f"How many mails from {who.name} are in my inbox, and on which day was the newest of them sent?",
        f"Count the mails in my inbox that {who.name} sent, and tell me the date of the latest one.",
        f"How often has {who.name} written to me, counting what is still in the inbox? And when was the last time (the "
        f"date)?",
        says=[count(number), date(newest)],
        answer=f"{number} mails, the newest of {newest[:10]}.",
    )


def unread_since(s: Sketch) -> Draft:
    """How many mails are unread since a day, and who sent the first of them."""
    me = act(s)
    box = sorted((one for one in inbox(s) if me.id in one.unread_by), key=lambda one: one.sent_at)
    s.need(len(box) >= 3)
    day = s.pick(sorted({one.sent_at[:10] for one in box}))
    since = [one for one in box if one.sent_at[:10] >= day]
    s.need(2 <= len(since) <= 50 and since[0].sent_at < since[1].sent_at)
    names = {one.email: one.name for one in (*s.world.contacts, *s.world.people)}
    s.need(since[0].sender in names)
    first = names[since[0].sender]
    rivals = [names[one.sender] for one in since if one.sender in names]
    s.call("mail_search", unread=True, since=day, limit=50)
    known = [one.email for one in s.world.people]
    finder = ("people_get", "person") if since[0].sender in known else ("contacts_get", "contact")
    s.call(finder[0], **{finder[1]: since[0].sender})
    when = spoken_day(s, day)
    return s.task(
        f"How many unread mails have arrived in my inbox since {when} (that day included), and who sent the first of "
        f"them? Give me the number and the full name.",
        f"Count the unread mails in my inbox from {when} on, and tell me the name of the person who sent the oldest of "
        f"these.",
        says=[count(len(since)), name(first, rivals)],
        answer=f"{len(since)} unread mails; the first is from {first}.",
    )


def meeting_minutes(s: Sketch) -> Draft:
    """How long the meetings of a day take."""
    me = act(s)
    events = [
        one for one in my_events(s, ahead=21) if one.organizer == me.id or dict(one.attendees)[me.id] != "declined"
    ]
    counts = Counter(one.start[:10] for one in events)
    day = s.pick(sorted(key for key, number in counts.items() if number >= 2))
    # What was declined may or may not be counted, so there is none on the day.
    s.need(not any(one.start[:10] == day and one not in events for one in my_events(s, ahead=21)))
    total = sum(minutes_between(one.start, one.end) for one in events if one.start[:10] == day)
    s.call("calendar_list", start=f"{day}T00:00", end=f"{day}T23:59")
    when = spoken_day(s, day)
    return s.task(
        f"How many minutes of events are in my calendar on {when}?",
        f"Add up the lengths of all entries in my calendar on {when}, in minutes.",
        f"What do my appointments on {when} take in total? Give me the minutes.",
        says=[count(total)],
        answer=f"{total} minutes.",
    )


def next_with(s: Sketch) -> Draft:
    """When the next event with a colleague is."""
    me = act(s)
    who = s.pick(colleagues(s))
    shared = [
        one
        for one in my_events(s, ahead=28)
        if who.id == one.organizer or who.id in dict(one.attendees)
        if me.id == one.organizer or dict(one.attendees)[me.id] != "declined"
    ]
    s.need(shared)
    first = min(shared, key=lambda one: one.start)
    s.need(not any(one.start < first.start and who.id in (one.organizer, *dict(one.attendees)) for one in my_events(s)))
    s.call("people_search", query=who.name)
    s.call("calendar_list", start=s.world.now, end=f"{later_day(s.world.now[:10], 28)}T23:59", limit=50)
    upcoming = sorted((one for one in my_events(s, ahead=28) if one.start <= first.start), key=lambda one: one.start)
    s.need(len(upcoming) <= 10)
    s.calls(*(("calendar_get", {"event": one.id}) for one in upcoming))
    return s.task(
        f"When do I meet {who.name} next? Tell me the day and the time.",
        f"On which day and at what time is the next event in my calendar with {who.name}?",
        f"I need to give {who.name} something. When is our next event together? Day and time, please.",
        says=[date(first.start), time(first.start[11:])],
        answer=f"On {first.start[:10]} at {first.start[11:]}.",
    )


def cheapest(s: Sketch) -> Draft:
    """The cheapest product of a category that is in stock."""
    act(s)
    category = s.pick(sorted({one.category for one in s.world.products}))
    quantity = s.between(2, 8)
    enough = [one for one in s.world.products if one.category == category and one.stock >= quantity]
    s.need(len(enough) >= 3)
    ordered = sorted(enough, key=lambda one: one.price)
    s.need(ordered[0].price < ordered[1].price)
    best = ordered[0]
    s.call("shop_search", category=category, in_stock=True, limit=50)
    rivals = [one.name for one in s.world.products if one.category == category and one.name not in best.name]
    return s.task(
        f"What is the cheapest product in the category {category} of which at least {quantity} are in stock?",
        f"Find the product of the category {category} with the lowest price that has {quantity} or more in stock. The "
        f"name, please.",
        f"I need {quantity} of something cheap from {category}. Which product has the lowest price and enough stock?",
        says=[name(best.name, rivals)],
        answer=best.name,
    )


def basket(s: Sketch) -> Draft:
    """What a list of products would cost."""
    act(s)
    unique = [one for one in s.world.products if sum(one.name in two.name for two in s.world.products) == 1]
    products = s.some(unique, 2, 4)
    lines = [(one, s.between(1, 9)) for one in products]
    total = sum(number * one.price for one, number in lines)
    s.calls(*(("shop_search", {"query": one.name}) for one, _ in lines))
    spoken = ", ".join(f"{number} x {one.name}" for one, number in lines)
    return s.task(
        f"What would this cost in the shop, all together: {spoken}? Do not order anything.",
        f"Work out the price of {spoken}. I only want the total, no order yet.",
        f"Please calculate what we would pay for {spoken}.",
        says=[amount(total / 100)],
        answer=f"{total / 100:.2f} euros.",
    )


def team_days(s: Sketch) -> Draft:
    """Vacation that a team has left."""
    me = act(s, [one for one in with_reports(s, 2) if len(reports_of(s, one.id)) <= 7])
    team = reports_of(s, me.id)
    s.call("people_reports", manager=me.id)
    results = s.calls(*(("leave_balance", {"person": one.id}) for one in team))
    key = next(key for key in ("left", "days_left", "available", "balance") if key in results[0])
    total = sum(int(one[key]) for one in results)
    return s.task(
        "How many days of vacation do my direct reports have left this year, all together?",
        "Add up the remaining vacation of everybody who reports to me directly.",
        "I am planning the year: what is the sum of the vacation days that are left in my team of direct reports?",
        says=[count(total)],
        answer=f"{total} days.",
    )


def longest_serving(s: Sketch) -> Draft:
    """Who of a team has been here longest."""
    boss = s.pick(one for one in with_reports(s, 3) if len(reports_of(s, one.id)) <= 8)
    me = act(s)
    s.need(sum(one.name == boss.name for one in s.world.people) == 1 and me.id != boss.id)
    team = sorted(reports_of(s, boss.id), key=lambda one: one.since)
    s.need(team[0].since < team[1].since)
    s.call("people_search", query=boss.name)
    s.call("people_reports", manager=boss.id)
    s.calls(*(("people_get", {"person": one.id}) for one in sorted(team, key=lambda one: one.id)))
    return s.task(
        f"Who of those who report directly to {boss.name} has been with us the longest?",
        f"Of the direct reports of {boss.name}, who joined the company first? The name, please.",
        f"Find out which of {boss.name}'s direct reports has the longest service.",
        says=[name(team[0].name, [one.name for one in team])],
        answer=team[0].name,
    )


def tickets_count(s: Sketch) -> Draft:
    """How many tickets of a kind wait in the team's queue."""
    ticket = s.pick(one for one in s.world.tickets if one.assignee)
    team = s.world.people[ticket.assignee].department
    act(s, s.world.people.where("department", team))
    priority = s.pick(("low", "normal", "high", "urgent"))
    status = s.pick(("open", "in_progress", "waiting"))
    fitting = [
        one for one in s.world.tickets.where("queue", ticket.queue) if (one.priority, one.status) == (priority, status)
    ]
    s.need(2 <= len(fitting) <= 50)
    oldest, *others = sorted(fitting, key=lambda one: one.created_at)
    s.need(oldest.created_at < others[0].created_at)
    s.call("tickets_search", queue=ticket.queue, priority=priority, status=status, limit=50)
    state = status.replace("_", " ")
    return s.task(
        f"How many tickets with the priority {priority} and the status {state} are there in the {ticket.queue} queue, "
        f"and which of them is the oldest? Give me its id.",
        f"Count the {priority}-priority tickets of the queue {ticket.queue} whose status is {state}, and name the id "
        f"of "
        f"the one that was created first.",
        f"For the stand-up: the number of tickets in {ticket.queue} with status {state} and priority {priority}, and "
        f"the id of the oldest?",
        says=[count(len(fitting)), identifier(oldest.id)],
        answer=f"{len(fitting)} tickets, the oldest is {oldest.id}.",
    )


def oldest_ticket(s: Sketch) -> Draft:
    """The oldest ticket that nobody has taken."""
    queue = s.pick(sorted({one.queue for one in s.world.tickets}))
    worker = s.pick(one.assignee for one in s.world.tickets.where("queue", queue) if one.assignee)
    act(s, s.world.people.where("department", s.world.people[worker].department))
    free = [one for one in s.world.tickets.where("queue", queue) if one.status == "open" and not one.assignee]
    s.need(3 <= len(free) <= 50)
    ordered = sorted(free, key=lambda one: one.created_at)
    s.need(ordered[0].created_at < ordered[1].created_at)
    s.call("tickets_search", queue=queue, status="open", assignee="none", limit=50)
    return s.task(
        f"Which open ticket in the {queue} queue without an assignee is the oldest? Its number, please.",
        f"Give me the id of the oldest unassigned open ticket in {queue}.",
        f"Find the ticket that has been open and unassigned for the longest time in the queue {queue}. I need the id.",
        says=[identifier(ordered[0].id)],
        answer=ordered[0].id,
    )


def busiest_day(s: Sketch) -> Draft:
    """The day of next week with the most events."""
    me = act(s)
    monday = later_day(s.world.now[:10], 7 - weekday(s.world.now[:10]))
    friday = later_day(monday, 4)
    events = [one for one in my_events(s, ahead=21) if monday <= one.start[:10] <= friday]
    s.need(len(events) >= 4 and all(dict(one.attendees).get(me.id) != "declined" for one in events))
    counts = Counter(one.start[:10] for one in events).most_common()
    s.need(len(counts) > 1 and counts[0][1] > counts[1][1])
    s.call("calendar_list", start=f"{monday}T00:00", end=f"{friday}T23:59", limit=50)
    day, number = counts[0]
    return s.task(
        f"On which day of the week from {spoken_day(s, monday)} to {spoken_day(s, friday)} do I have the most events, "
        f"and how many are they? Give me the date and the number, no others.",
        f"Which date between {monday} and {friday} is the fullest in my calendar, by number of events? I need the date "
        f"and the number.",
        says=[date(day), count(number)],
        answer=f"{day}: {number} events.",
    )


TEMPLATES: tuple[Template, ...] = (
    Template("orders-sum", "aggregate", orders_sum),
    Template("balances-sum", "aggregate", balances_sum),
    Template("paid-so-far", "aggregate", spent_on_payee),
    Template("mails-from", "aggregate", mails_from),
    Template("unread-since", "aggregate", unread_since),
    Template("meeting-minutes", "aggregate", meeting_minutes),
    Template("next-with", "aggregate", next_with),
    Template("cheapest", "aggregate", cheapest),
    Template("basket", "aggregate", basket),
    Template("team-days", "aggregate", team_days),
    Template("longest-serving", "aggregate", longest_serving),
    Template("tickets-count", "aggregate", tickets_count),
    Template("oldest-ticket", "aggregate", oldest_ticket),
    Template("busiest-day", "aggregate", busiest_day),
)
