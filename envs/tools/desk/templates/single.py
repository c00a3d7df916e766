"""One call, and everything that it needs stands in the request."""

from __future__ import annotations

from palaestra.envs.tools.desk.drafts import Draft, Sketch, Template, spoken_day
from palaestra.envs.tools.desk.said import amount, count, date, name
from palaestra.envs.tools.desk.templates.common import (
    ALONE,
    MESSAGES,
    TICKETS,
    TITLES,
    act,
    free_day,
    hour,
    reports_of,
    stranger,
)
from palaestra.envs.tools.desk.times import later_day, shift, weekday

__all__ = ["TEMPLATES"]


def contact_add(s: Sketch) -> Draft:
    """A new contact."""
    act(s)
    who, mail, firm = stranger(s)
    s.call("contacts_add", name=who, email=mail, company=firm)
    return s.task(
        f"Please add {who} from {firm} to my contacts. The e-mail address is {mail}.",
        f"Save a new contact for me: {who}, {firm}, {mail}.",
        f"I just met {who} of {firm} ({mail}). Put them into my contacts, please.",
        f"{who} ({mail}) will be our person at {firm}. Keep that in my contacts.",
    )


def ticket_open(s: Sketch) -> Draft:
    """A new ticket with given words."""
    act(s)
    queue, title, text = s.pick(TICKETS)
    s.call("tickets_create", queue=queue, title=title, description=text)
    return s.task(
        f'Open a ticket in the {queue} queue titled "{title}". Description: "{text}"',
        f'Please file a ticket with the {queue} team. Title: "{title}", description: "{text}"',
        f'I need a new ticket in the queue {queue}, with the title "{title}" and the description "{text}"',
    )


def mail_write(s: Sketch) -> Draft:
    """A mail to an address."""
    act(s)
    to = s.pick(one for one in s.world.people if one.id != s.world.user)
    subject, text = s.pick(MESSAGES)
    s.call("mail_send", to=[to.email], subject=subject, body=text)
    return s.task(
        f'Send a mail to {to.email} with the subject "{subject}" and the text "{text}"',
        f'Write to {to.email}. Subject: "{subject}". Text: "{text}"',
        f'Please mail {to.email} the following under the subject "{subject}": "{text}"',
        f'Could you send {to.email} a message? The subject is "{subject}", the text "{text}"',
    )


def block_time(s: Sketch) -> Draft:
    """An event of one's own."""
    act(s)
    title, day, at = s.pick((*TITLES, *ALONE)), free_day(s), hour(s)
    minutes = s.pick((30, 45, 60, 90))
    start = f"{day}T{at}"
    s.call("calendar_create", title=title, start=start, duration_minutes=minutes)
    until, when = shift(start, minutes)[11:], spoken_day(s, day)
    return s.task(
        f'Put "{title}" into my calendar on {when}, from {at} to {until}.',
        f'Block {minutes} minutes in my calendar on {when} at {at} and call it "{title}".',
        f'I need an entry "{title}" on {when} starting at {at}, {minutes} minutes long. Nobody else and no room.',
        f'Please note "{title}" for {when}, {at} to {until}.',
    )


def leave_request(s: Sketch) -> Draft:
    """Vacation on given days."""
    act(s)
    first = free_day(s, 10, 120)
    last = later_day(first, s.between(0, 4))
    s.need(weekday(last) < 5)
    s.call("leave_request", kind="vacation", first=first, last=last)
    one, other = spoken_day(s, first), spoken_day(s, last)
    if first == last:
        return s.task(
            f"Please request a day of vacation for me on {one}.",
            f"I would like to take {one} off. Put in the vacation request, please.",
            f"Ask for vacation on {one}, just that day.",
        )
    return s.task(
        f"Please request vacation for me from {one} to {other}.",
        f"I want to be on vacation from {one} until {other}, both included. Put in the request.",
        f"Hand in a vacation request: first day {one}, last day {other}.",
    )


def sick_note(s: Sketch) -> Draft:
    """Sick leave that has begun."""
    act(s)
    today = s.world.now[:10]
    last = later_day(today, s.between(0, 3))
    s.need(weekday(last) < 5)
    s.call("leave_request", kind="sick", first=today, last=last)
    end = spoken_day(s, last) if last != today else "today"
    if last == today:
        return s.task(
            "I am ill today. Report me sick for the day, please.",
            "Please hand in sick leave for today; I hope to be back tomorrow.",
            "Call in sick for me, today only.",
        )
    return s.task(
        f"I am ill. Please report me sick from today until {end}.",
        f"Hand in sick leave for me, today to {end} included.",
        f"The doctor has put me on sick leave from today through {end}. Register that, please.",
    )


def order_status(s: Sketch) -> Draft:
    """What state an order is in."""
    order = s.pick(s.world.orders)
    s.act_for(order.buyer)
    s.call("shop_get_order", order=order.id)
    states = ("pending approval", "placed", "shipped", "delivered", "cancelled", "rejected", "returned")
    status = order.status.replace("_", " ")
    rivals = [state for state in states if state != status]
    return s.task(
        f"What has become of my order {order.id}? Tell me its status in one word.",
        f"Look up the status of my order {order.id}, please. Just the status.",
        f"Is {order.id} still on its way? I only need the status as the shop has it.",
        says=[name(order.status, rivals)],
        answer=f"The status is {order.status}.",
    )


def order_total(s: Sketch) -> Draft:
    """What an order cost."""
    order = s.pick(s.world.orders)
    s.act_for(order.buyer)
    s.call("shop_get_order", order=order.id)
    return s.task(
        f"How much did I spend on order {order.id} in total?",
        f"What is the total of my order {order.id}?",
        f"I have to fill in an expense form: what did order {order.id} cost all in all?",
        says=[amount(order.total / 100)],
        answer=f"It cost {order.total / 100:.2f} euros.",
    )


def department_budget(s: Sketch) -> Draft:
    """What a department may spend."""
    act(s)
    department = s.pick(s.world.departments)
    s.call("people_department", department=department.name)
    return s.task(
        f"How much may the {department.name} department still spend in the shop?",
        f"What is left of the shop budget of {department.name}?",
        f"Please tell me the remaining budget of the department {department.name}.",
        says=[amount(department.budget / 100)],
        answer=f"{department.budget / 100:.2f} euros are left.",
    )


def department_head(s: Sketch) -> Draft:
    """Who leads a department."""
    act(s)
    department = s.pick(s.world.departments)
    head = s.world.people[department.head]
    s.call("people_department", department=department.name)
    rivals = [one.name for one in s.world.people if one.department == department.id and one.name != head.name]
    return s.task(
        f"Who is the head of {department.name}?",
        f"Give me the name of whoever leads the {department.name} department.",
        f"I have to invite the head of {department.name}. Who is that?",
        says=[name(head.name, rivals)],
        answer=f"{head.name} leads it.",
    )


def own_balance(s: Sketch) -> Draft:
    """Vacation that is left."""
    me = act(s)
    result = s.call("leave_balance")
    left = next(value for key, value in result.items() if key in ("left", "days_left", "available", "balance"))
    s.need(0 < left < me.leave_days)
    return s.task(
        "How many days of vacation do I have left this year?",
        "What is my remaining vacation balance, in days?",
        "I am planning a trip. How much vacation is left for me, counting what is pending as taken?",
        says=[count(left)],
        answer=f"You have {left} days left.",
    )


def employed_since(s: Sketch) -> Draft:
    """Since when somebody has been here."""
    act(s)
    who = s.pick(one for one in s.world.people if one.id != s.world.user)
    s.call("people_get", person=who.email)
    return s.task(
        f"Since when has the colleague with the address {who.email} been working here? The date, please.",
        f"On which day did {who.email} join the company?",
        f"I am writing a card for the anniversary of {who.email}. What was the first day at the company?",
        says=[date(who.since)],
        answer=f"Since {who.since}.",
    )


def ticket_comment(s: Sketch) -> Draft:
    """A comment with given words."""
    ticket = s.pick(one for one in s.world.tickets if one.status not in ("closed",))
    s.act_for(ticket.requester)
    text = s.pick(
        (
            "It happened again this morning.",
            "I will be in the office until noon if you need me.",
            "A colleague has the same problem.",
            "It is not urgent any more.",
            "Please call me before you come by.",
            "The photo shows what I mean.",
        )
    )
    s.call("tickets_comment", ticket=ticket.id, text=text)
    return s.task(
        f'Add the comment "{text}" to my ticket {ticket.id}.',
        f'Please comment on {ticket.id}: "{text}"',
        f'On ticket {ticket.id}, leave this note for the team: "{text}" It need not be internal.',
    )


def ticket_close(s: Sketch) -> Draft:
    """A resolved ticket is closed by who asked for it."""
    ticket = s.pick(one for one in s.world.tickets if one.status == "resolved")
    s.act_for(ticket.requester)
    s.call("tickets_set_status", ticket=ticket.id, status="closed")
    return s.task(
        f"My ticket {ticket.id} has been resolved and everything works. Please close it.",
        f"You can close {ticket.id}, the solution works for me.",
        f"Ticket {ticket.id} is resolved; set it to closed, please.",
    )


def order_cancel(s: Sketch) -> Draft:
    """An order that has not been shipped."""
    order = s.pick(one for one in s.world.orders if one.status in ("placed", "pending_approval"))
    s.act_for(order.buyer)
    s.call("shop_cancel", order=order.id)
    return s.task(
        f"Cancel my order {order.id}, please.",
        f"I do not need order {order.id} any more. Cancel it.",
        f"Order {order.id} was a mistake; please cancel it with the shop.",
    )


def leave_decide(s: Sketch) -> Draft:
    """A decision on a request whose number is known."""
    leave = s.pick(one for one in s.world.leaves if one.status == "pending" and s.world.people[one.person].manager)
    person = s.world.people[leave.person]
    s.need(len(reports_of(s, person.manager)) > 0)
    s.act_for(person.manager)
    decision = s.pick(("approve", "reject"))
    s.call("leave_decide", leave=leave.id, decision=decision)
    return s.task(
        f"{decision.capitalize()} the leave request {leave.id}, please.",
        f"{person.name} has asked for leave ({leave.id}). I {decision} it; put that in.",
        f"Regarding {leave.id}: my decision is to {decision} it.",
    )


TEMPLATES: tuple[Template, ...] = (
    Template("contact-add", "single", contact_add),
    Template("ticket-open", "single", ticket_open),
    Template("mail-write", "single", mail_write),
    Template("block-time", "single", block_time),
    Template("leave-request", "single", leave_request),
    Template("sick-note", "single", sick_note),
    Template("order-status", "single", order_status),
    Template("order-total", "single", order_total),
    Template("department-budget", "single", department_budget),
    Template("department-head", "single", department_head),
    Template("own-balance", "single", own_balance),
    Template("employed-since", "single", employed_since),
    Template("comment-on", "single", ticket_comment),
    Template("ticket-close", "single", ticket_close),
    Template("order-cancel", "single", order_cancel),
    Template("leave-decide", "single", leave_decide),
)
