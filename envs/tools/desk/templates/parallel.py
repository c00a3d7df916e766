"""Several calls that do not depend on each other, with all that they need in the request."""

from __future__ import annotations

from palaestra.envs.tools.desk.drafts import Draft, Sketch, Template, listed, spoken_day
from palaestra.envs.tools.desk.said import amount, name
from palaestra.envs.tools.desk.templates.common import (
    ALONE,
    MESSAGES,
    TICKETS,
    TITLES,
    act,
    free_day,
    hour,
    stranger,
)

__all__ = ["TEMPLATES"]


def contacts_add(s: Sketch) -> Draft:
    """Several new contacts."""
    act(s)
    new = {stranger(s)[0]: None for _ in range(s.between(2, 4))}
    people = []
    for who in new:
        _, mail, firm = stranger(s)
        host = mail.split("@")[1]
        people.append((who, f"{who.lower().replace(' ', '.')}@{host}", firm))
    s.need(len(people) >= 2)
    s.calls(*(("contacts_add", {"name": who, "email": mail, "company": firm}) for who, mail, firm in people))
    lines = listed([f"{who} of {firm} ({mail})" for who, mail, firm in people])
    return s.task(
        f"Please add these people to my contacts: {lines}.",
        f"I came back from the fair with new contacts: {lines}. Save each of them.",
        f"New contacts for me, each with company and e-mail address: {lines}.",
    )


def tickets_open(s: Sketch) -> Draft:
    """Two tickets in different queues."""
    act(s)
    (queue, one, text), (second, other, words) = s.some(TICKETS, 2)
    s.need(queue != second)
    s.calls(
        ("tickets_create", {"queue": queue, "title": one, "description": text}),
        ("tickets_create", {"queue": second, "title": other, "description": words}),
    )
    return s.task(
        f'Open two tickets: in {queue} "{one}" with the description "{text}", and in {second} "{other}" with the '
        f'description "{words}"',
        f'Two things need to be looked after. For the {queue} queue: title "{one}", description "{text}" '
        f'For the {second} queue: title "{other}", description "{words}" Please file both.',
    )


def blocks(s: Sketch) -> Draft:
    """The same entry on several days."""
    act(s)
    title, at = s.pick((*TITLES, *ALONE)), hour(s)
    days = sorted({free_day(s) for _ in range(s.between(2, 4))})
    s.need(len(days) >= 2)
    minutes = s.pick((30, 60, 90))
    s.calls(
        *(("calendar_create", {"title": title, "start": f"{day}T{at}", "duration_minutes": minutes}) for day in days)
    )
    when = listed([spoken_day(s, day) for day in days])
    return s.task(
        f'Put "{title}" into my calendar at {at} for {minutes} minutes, once on each of these days: {when}.',
        f'Block {minutes} minutes for "{title}" on {when}, always at {at}.',
        f'I need "{title}" in my calendar on {when}. Each time from {at}, {minutes} minutes.',
    )


def mails(s: Sketch) -> Draft:
    """Different mails to different people."""
    act(s)
    people = s.some((one for one in s.world.people if one.id != s.world.user), 2, 3)
    texts = s.some(MESSAGES, len(people))
    s.calls(
        *(
            ("mail_send", {"to": [one.email], "subject": subject, "body": body})
            for one, (subject, body) in zip(people, texts, strict=True)
        )
    )
    lines = "; ".join(
        f'to {one.email}, subject "{subject}", text "{body}"'
        for one, (subject, body) in zip(people, texts, strict=True)
    )
    return s.task(
        f"Send these mails: {lines}",
        f"I have {'two' if len(people) == 2 else 'three'} mails to go out, one to each person: {lines}",
        f"Please write separately {lines}",
    )


def same_mail(s: Sketch) -> Draft:
    """The same mail to several people, each on their own."""
    act(s)
    people = s.some((one for one in s.world.people if one.id != s.world.user), 2, 4)
    subject, body = s.pick(MESSAGES)
    s.calls(*(("mail_send", {"to": [one.email], "subject": subject, "body": body}) for one in people))
    them = listed([one.email for one in people])
    return s.task(
        f'Send {them} each a mail of their own (they must not see each other) with the subject "{subject}" and the '
        f'text "{body}"',
        f'Same mail, separate messages, to {them}. Subject: "{subject}". Text: "{body}"',
    )


def orders_cancel(s: Sketch) -> Draft:
    """Several orders that have not been shipped."""
    open_ = [one for one in s.world.orders if one.status in ("placed", "pending_approval")]
    buyer = s.pick(sorted({one.buyer for one in open_ if sum(two.buyer == one.buyer for two in open_) > 1}))
    s.act_for(buyer)
    orders = s.some((one for one in open_ if one.buyer == buyer), 2, 4)
    s.calls(*(("shop_cancel", {"order": one.id}) for one in orders))
    ids = listed([one.id for one in orders])
    return s.task(
        f"Cancel my orders {ids}, please.",
        f"We will not need what I ordered with {ids}. Cancel these orders.",
        f"The orders {ids} should all be cancelled.",
    )


def orders_total(s: Sketch) -> Draft:
    """What two orders cost, each."""
    buyer = s.pick(sorted({one.buyer for one in s.world.orders}))
    s.act_for(buyer)
    orders = s.some((one for one in s.world.orders if one.buyer == buyer), 2, 3)
    s.calls(*(("shop_get_order", {"order": one.id}) for one in orders))
    ids = listed([one.id for one in orders])
    told = listed([f"{one.id}: {one.total / 100:.2f} euros" for one in orders])
    return s.task(
        f"What did each of my orders {ids} cost?",
        f"For the books I need the totals of {ids}, one by one.",
        f"Please tell me the total of every one of these orders: {ids}.",
        says=[amount(one.total / 100) for one in orders],
        answer=told,
    )


def budgets(s: Sketch) -> Draft:
    """What is left to several departments."""
    act(s)
    some = s.some(s.world.departments, 2, 3)
    s.need(len({one.budget for one in some}) == len(some))
    s.calls(*(("people_department", {"department": one.name}) for one in some))
    names = listed([one.name for one in some])
    return s.task(
        f"How much may {names} each still spend in the shop?",
        f"Give me the remaining shop budgets of {names}.",
        f"For the board meeting: what is left of the budgets of {names}, in euros?",
        says=[amount(one.budget / 100) for one in some],
        answer=listed([f"{one.name}: {one.budget / 100:.2f} euros" for one in some]),
    )


def heads(s: Sketch) -> Draft:
    """Who leads several departments."""
    act(s)
    some = s.some(s.world.departments, 2, 3)
    leaders = [s.world.people[one.head].name for one in some]
    s.need(len(set(leaders)) == len(some))
    s.calls(*(("people_department", {"department": one.name}) for one in some))
    names = listed([one.name for one in some])
    rivals = sorted({one.name for one in s.world.people if one.department in {d.id for d in some}} - set(leaders))
    return s.task(
        f"Who leads {names}?",
        f"I need the names of the heads of {names}.",
        f"Please find out for each of {names} who its head is.",
        says=[name(leader, rivals) for leader in leaders],
        answer=listed(leaders),
    )


def tickets_close(s: Sketch) -> Draft:
    """Several resolved tickets."""
    done = [one for one in s.world.tickets if one.status == "resolved"]
    requester = s.pick(sorted({one.requester for one in done if sum(t.requester == one.requester for t in done) > 1}))
    s.act_for(requester)
    some = s.some((one for one in done if one.requester == requester), 2, 3)
    s.calls(*(("tickets_set_status", {"ticket": one.id, "status": "closed"}) for one in some))
    ids = listed([one.id for one in some])
    return s.task(
        f"My tickets {ids} are resolved. Close them, please.",
        f"{ids}: all fine now, you can close these tickets of mine.",
        f"Set the tickets {ids} to closed.",
    )


def comments(s: Sketch) -> Draft:
    """The same comment on several tickets."""
    open_ = [one for one in s.world.tickets if one.status != "closed"]
    requester = s.pick(sorted({one.requester for one in open_ if sum(t.requester == one.requester for t in open_) > 1}))
    s.act_for(requester)
    some = s.some((one for one in open_ if one.requester == requester), 2, 3)
    text = s.pick(
        ("Any news on this?", "I am away next week; please write to my deputy.", "This can wait until Monday.")
    )
    s.calls(*(("tickets_comment", {"ticket": one.id, "text": text}) for one in some))
    ids = listed([one.id for one in some])
    return s.task(
        f'Comment "{text}" on my tickets {ids}.',
        f'Please leave the comment "{text}" on each of {ids}.',
    )


TEMPLATES: tuple[Template, ...] = (
    Template("fair-contacts", "parallel", contacts_add),
    Template("tickets-open", "parallel", tickets_open),
    Template("blocks", "parallel", blocks),
    Template("mails", "parallel", mails),
    Template("same-mail", "parallel", same_mail),
    Template("orders-cancel", "parallel", orders_cancel),
    Template("orders-total", "parallel", orders_total),
    Template("budgets", "parallel", budgets),
    Template("heads", "parallel", heads),
    Template("tickets-close", "parallel", tickets_close),
    Template("comments", "parallel", comments),
)
