"""The request leaves something out that only the user knows: the right act is to ask, and then to do it."""

from __future__ import annotations

from collections import defaultdict

from palaestra.envs.tools.desk.drafts import Draft, Sketch, Template, euros, spoken_day, spoken_money
from palaestra.envs.tools.desk.templates.common import (
    MESSAGES,
    TICKETS,
    TITLES,
    act,
    colleagues,
    first_name,
    free_day,
    hour,
    my_events,
    my_file,
    named_once,
    once_in,
    stranger,
)
from palaestra.envs.tools.desk.times import later_day, weekday
from palaestra.envs.tools.desk.user import fact

__all__ = ["TEMPLATES"]


def pay_how_much(s: Sketch) -> Draft:
    """A transfer without its amount."""
    payee = s.pick(s.world.payees)
    me = payee.owner
    s.act_for(me)
    s.need(sum((one.owner, one.name) == (me, payee.name) for one in s.world.payees) == 1)
    account = s.pick(one for one in s.world.accounts.where("holder", me) if one.kind == "checking")
    cents = s.between(20, 400) * 100 + s.pick((0, 50, 90))
    reference = s.pick(("Invoice 3170", "Repair", "Deposit", "Course", "Membership"))
    s.calls(("bank_accounts", {}), ("bank_payees", {}))
    s.ask("How much should I transfer?", fact("amount", f"It is {spoken_money(cents)}."))
    s.call("bank_transfer", from_account=account.id, to=payee.id, amount=euros(cents), reference=reference)
    return s.task(
        f'Please pay {payee.name} from my checking account. The reference is "{reference}".',
        f'Transfer the money to {payee.name}, from checking, with the reference "{reference}".',
        f'{payee.name} is waiting for my payment; make it from the checking account. Reference: "{reference}".',
    )


def meet_when(s: Sketch) -> Draft:
    """A meeting without its time."""
    act(s)
    who = s.pick(colleagues(s))
    title, day, at = s.pick(TITLES), free_day(s), hour(s)
    when = spoken_day(s, day)
    s.call("people_search", query=who.name)
    s.ask(
        "On which day and at what time should it be?",
        fact("date", f"On {when}.", "schedule"),
        fact("time", f"At {at}.", "schedule"),
    )
    s.call(
        "calendar_create",
        title=title,
        start=f"{day}T{at}",
        duration_minutes=60,
        attendees=[who.id],
        allow_conflicts=True,
    )
    return s.task(
        f'Set up a one-hour meeting with {who.name} called "{title}". No room, and conflicts do not matter.',
        f'I want to meet {who.name} for an hour about "{title}" (that is the title, too). Send the invitation, without '
        f"a room, even if {first_name(who.name)} is busy then.",
    )


def meet_at(s: Sketch) -> Draft:
    """An entry with a day and no hour."""
    act(s)
    title, day, at = s.pick(TITLES), free_day(s), hour(s)
    minutes = s.pick((30, 45, 90))
    s.ask("At what time should it start?", fact("time", f"It starts at {at}."))
    s.call("calendar_create", title=title, start=f"{day}T{at}", duration_minutes=minutes)
    when = spoken_day(s, day)
    return s.task(
        f'Put "{title}" into my calendar on {when}, {minutes} minutes long.',
        f'On {when} I need {minutes} minutes for "{title}". Enter it, please.',
        f'Please add "{title}" to my calendar for {when}. It takes {minutes} minutes.',
    )


def share_with_whom(s: Sketch) -> Draft:
    """A first name that several colleagues have."""
    file = my_file(s, confidential=False)
    by_first = defaultdict(list)
    for one in colleagues(s):
        by_first[first_name(one.name)].append(one)
    first = s.pick(sorted(key for key, people in by_first.items() if len(people) >= 2))
    who = s.pick(one for one in by_first[first] if one.id not in dict(file.shared))
    s.calls(("files_search", {"query": file.name}), ("people_search", {"query": first, "limit": 50}))
    last = who.name.removeprefix(first).strip()
    s.ask(
        f"Which {first} do you mean? Please give me the full name.",
        fact("person", f"I mean {who.name}.", first.casefold(), last.casefold(), "department", "team"),
    )
    s.call("files_share", file=file.id, person=who.id, role="viewer")
    return s.task(
        f"Share my file {file.name} with {first}, just for reading.",
        f"{first} wants to have a look at {file.name}. Make {first} a viewer, please.",
        f"Let {first} read {file.name}.",
    )


def write_to_whom(s: Sketch) -> Draft:
    """A mail without its recipient."""
    act(s)
    who = s.pick(colleagues(s))
    subject, text = s.pick(MESSAGES)
    s.ask(
        "Who should get the mail?",
        fact("person", f"Send it to {who.name}.", "recipient", "address", "send", "should get"),
    )
    s.call("people_search", query=who.name)
    s.call("mail_send", to=[who.email], subject=subject, body=text)
    return s.task(
        f'Send a mail with the subject "{subject}" and the text "{text}"',
        f'Please write a mail to that colleague I mentioned: subject "{subject}", text "{text}"',
        f'This has to go out by mail today. Subject: "{subject}". Text: "{text}"',
    )


def order_how_many(s: Sketch) -> Draft:
    """An order without its quantity."""
    act(s)
    product = s.pick(one for one in once_in(s.world.products, "name") if one.per_order >= 10)
    quantity = s.between(2, 10)
    s.need(str(quantity) not in product.name)
    s.call("shop_search", query=product.name)
    s.ask("How many do you need?", fact("quantity", f"I need {quantity}."))
    s.call("shop_order", items=[{"product": product.id, "quantity": quantity}])
    return s.task(
        f"Order some {product.name} for my office.",
        f"We have run out: please order {product.name} again, to my office.",
        f"Buy {product.name} in the shop for my office, please, as many as I told you.",
    )


def leave_when(s: Sketch) -> Draft:
    """Vacation without its days."""
    act(s)
    first = free_day(s, 14, 90)
    last = later_day(first, s.between(1, 4))
    s.need(weekday(last) < 5)
    one, other = spoken_day(s, first), spoken_day(s, last)
    s.ask(
        "From which day to which day?",
        fact("date", f"From {one} to {other}.", "from", "first", "last", "begin", "start", "end", "long", "until"),
    )
    s.call("leave_request", kind="vacation", first=first, last=last)
    return s.task(
        "I would like to go on vacation. Please put in the request.",
        "Request a few days of vacation for me, please.",
        "Time for a holiday! Hand in my vacation request.",
    )


def contact_address(s: Sketch) -> Draft:
    """A contact without its address."""
    act(s)
    who, mail, firm = stranger(s)
    s.ask(
        f"What is the e-mail address of {who}?", fact("e-mail", f"It is {mail}.", "mail", "e mail", "email", "address")
    )
    s.call("contacts_add", name=who, email=mail, company=firm)
    return s.task(
        f"Add {who} from {firm} to my contacts.",
        f"Please save {who} ({firm}) as a contact of mine.",
        f"I will work with {who} of {firm}. Make a contact for them.",
    )


def ticket_words(s: Sketch) -> Draft:
    """A ticket without its description."""
    act(s)
    queue, title, text = s.pick(TICKETS)
    s.ask(
        "What should the description say?",
        fact("description", f'Write "{text}"', "descri", "detail", "text", "problem", "say", "happen", "wrong", "more"),
    )
    s.call("tickets_create", queue=queue, title=title, description=text)
    return s.task(
        f'Open a ticket in the {queue} queue with the title "{title}" and my description.',
        f'File a ticket with {queue}, please. Its title is "{title}"; take the description that I gave you.',
    )


def cancel_which(s: Sketch) -> Draft:
    """A title that several of one's events have."""
    me = act(s)
    mine = my_events(s, organized=True)
    titles = defaultdict(list)
    for event in mine:
        titles[event.title].append(event)
    title = s.pick(sorted(key for key, events in titles.items() if 2 <= len(events) <= 6))
    events = titles[title]
    s.need(len({one.start[:10] for one in events}) == len(events))
    event = s.pick(events)
    s.need(me.id == event.organizer)
    s.call("calendar_search", query=title, limit=50)
    s.ask(
        "There are several of them. On which day is the one that I should cancel?",
        fact("date", f"The one on {spoken_day(s, event.start)}.", "which", "several", "one"),
    )
    s.call("calendar_cancel", event=event.id)
    return s.task(
        f'Cancel my upcoming "{title}", but only the one that I cannot attend.',
        f'One of the coming "{title}" meetings has to be cancelled. Please do that.',
    )


def limit_how_high(s: Sketch) -> Draft:
    """A limit without its figure."""
    account = s.pick(one for one in s.world.accounts if one.kind == "checking")
    s.act_for(account.holder)
    new = s.between(5, account.daily_limit // 2_500) * 2_500
    s.need(new not in (account.transfer_limit, account.daily_limit))
    s.call("bank_accounts")
    s.ask(
        "What should the new limit be?", fact("amount", f"Make it {spoken_money(new)}.", "limit", "high", "new", "what")
    )
    s.call("bank_set_limit", account=account.id, kind="transfer", amount=euros(new))
    return s.task(
        "Please change the limit for a single transfer from my checking account.",
        "The transfer limit (for one transfer) of my checking account does not fit any more. Change it.",
        "I want another limit per transfer on my checking account.",
    )


def assign_whom(s: Sketch) -> Draft:
    """A ticket that somebody of the team shall take."""
    ticket = s.pick(one for one in s.world.tickets if one.assignee and one.status in ("open", "in_progress", "waiting"))
    team = s.world.people[ticket.assignee].department
    act(s, s.world.people.where("department", team))
    who = s.pick(one for one in colleagues(s, s.world.people.where("department", team)) if one.id != ticket.assignee)
    s.need(named_once(s, who.name))
    s.ask("Who should take the ticket?", fact("person", f"{who.name} takes it.", "assign", "take", "team"))
    s.call("people_search", query=who.name)
    s.call("tickets_assign", ticket=ticket.id, assignee=who.id)
    return s.task(
        f"Give the ticket {ticket.id} to somebody else in the team; we agreed on who it is.",
        f"{ticket.id} needs another assignee. Please reassign it to the colleague I have in mind.",
    )


def pay_new(s: Sketch) -> Draft:
    """A payee without IBAN and a transfer without amount."""
    me = act(s)
    account = s.pick(one for one in s.world.accounts.where("holder", me.id) if one.kind == "checking")
    donor = s.pick(s.world.payees)
    who, _, firm = stranger(s)
    s.need(all(one.iban != donor.iban for one in s.world.payees.where("owner", me.id)))
    cents = s.between(20, 400) * 100
    s.ask(
        f"What are the IBAN of {firm} and the amount?",
        fact("iban", f"The IBAN is {donor.iban}.", "iban", "bank details", "account number", "account details"),
        fact("amount", f"The amount is {spoken_money(cents)}."),
    )
    s.calls(("bank_add_payee", {"name": firm, "iban": donor.iban}), ("bank_accounts", {}))
    payee = s.made("payees")
    s.call("bank_transfer", from_account=account.id, to=payee, amount=euros(cents), reference=f"For {who}")
    return s.task(
        f'{firm} is a new payee of mine. Add it and make the first transfer from checking, reference "For {who}".',
        f"I have to pay {firm} for the first time: create the payee and transfer the amount from my checking account "
        f'with the reference "For {who}".',
    )


TEMPLATES: tuple[Template, ...] = (
    Template("pay-how-much", "ask", pay_how_much),
    Template("meet-when", "ask", meet_when),
    Template("which-hour", "ask", meet_at),
    Template("share-with-whom", "ask", share_with_whom),
    Template("write-to-whom", "ask", write_to_whom),
    Template("order-how-many", "ask", order_how_many),
    Template("leave-when", "ask", leave_when),
    Template("contact-address", "ask", contact_address),
    Template("ticket-words", "ask", ticket_words),
    Template("cancel-which", "ask", cancel_which),
    Template("limit-how-high", "ask", limit_how_high),
    Template("assign-whom", "ask", assign_whom),
    Template("pay-new", "ask", pay_new),
)
