"""Something has to be looked up before it can be done: the request names things as a person would."""

from __future__ import annotations

from palaestra.envs.tools.desk.drafts import Draft, Sketch, Template, euros, spoken_day, spoken_money
from palaestra.envs.tools.desk.said import name
from palaestra.envs.tools.desk.templates.common import (
    MESSAGES,
    act,
    colleagues,
    free_day,
    hour,
    inbox,
    my_events,
    my_file,
    named_once,
    once_in,
)

__all__ = ["TEMPLATES"]


def _mine_by_title(s: Sketch, *, organized: bool) -> tuple[str, str, str]:
    """Id, title and start of an event to come of the one who acts, whose title is his only one."""
    me = act(s)
    all_of_mine = once_in(s.world.events.where("person", me.id), "title")
    event = s.pick(one for one in my_events(s, organized=organized) if one in all_of_mine and one.attendees)
    s.call("calendar_search", query=event.title)
    return event.id, event.title, event.start


def event_move(s: Sketch) -> Draft:
    """Another time for an event."""
    event, title, start = _mine_by_title(s, organized=True)
    day, at = free_day(s), hour(s)
    s.need(f"{day}T{at}" != start)
    s.call("calendar_update", event=event, start=f"{day}T{at}", allow_conflicts=True)
    when = spoken_day(s, day)
    return s.task(
        f'Move my meeting "{title}" to {when} at {at}. It is fine if some of the others are busy then.',
        f'"{title}" has to be on {when} at {at} instead. Never mind conflicts of the others.',
        f'Please reschedule "{title}" to {at} on {when}, even if attendees have something else.',
    )


def event_cancel(s: Sketch) -> Draft:
    """An event that shall not take place."""
    event, title, start = _mine_by_title(s, organized=True)
    s.call("calendar_cancel", event=event)
    when = spoken_day(s, start)
    return s.task(
        f'Cancel my meeting "{title}" on {when}.',
        f'"{title}" will not take place. Please cancel it.',
        f'Call off "{title}" ({when}), please.',
    )


def event_answer(s: Sketch) -> Draft:
    """An invitation is answered."""
    event, title, start = _mine_by_title(s, organized=False)
    me = s.world.user
    response = s.pick(("declined", "tentative"))
    s.need(dict(s.world.events[event].attendees).get(me) != response)
    s.call("calendar_respond", event=event, response=response)
    when = spoken_day(s, start)
    if response == "declined":
        return s.task(
            f'I cannot come to "{title}" on {when}. Decline it for me.',
            f'Please decline the invitation to "{title}".',
            f'Tell them that I will not be at "{title}" (decline the invitation).',
        )
    return s.task(
        f'I am not sure about "{title}" on {when} yet. Answer tentatively.',
        f'Please set my response to "{title}" to tentative.',
        f'Mark me as tentative for "{title}".',
    )


def event_invite(s: Sketch) -> Draft:
    """One more at an event."""
    me = act(s)
    all_of_mine = once_in(s.world.events.where("person", me.id), "title")
    event = s.pick(one for one in my_events(s, organized=True) if one in all_of_mine and one.attendees)
    who = s.pick(one for one in colleagues(s) if one.id not in dict(event.attendees))
    s.calls(("calendar_search", {"query": event.title}), ("people_search", {"query": who.name}))
    s.call("calendar_invite", event=event.id, attendees=[who.id], allow_conflicts=True)
    return s.task(
        f'Invite {who.name} to my meeting "{event.title}", even if there is a conflict.',
        f'{who.name} should be at "{event.title}", too. Send the invitation whether or not the time is free.',
        f'Please add {who.name} to the attendees of "{event.title}"; conflicts do not matter.',
    )


def mail_answer(s: Sketch) -> Draft:
    """A reply with given words."""
    act(s)
    box = inbox(s)
    mail = s.pick(one for one in once_in(box, "subject") if not one.subject.startswith(("Re:", "Fwd:")))
    s.need(mail.sender != s.world.me.email)
    text = s.pick(
        (
            "Agreed, let us do it that way.",
            "Thank you, I will look into it.",
            "Sorry, I cannot make it.",
            "Yes, please go on.",
            "Received, thanks.",
            "Let us talk about it on Monday.",
        )
    )
    s.call("mail_search", query=mail.subject)
    s.call("mail_reply", mail=mail.id, body=text)
    return s.task(
        f'Reply to the mail "{mail.subject}" in my inbox: "{text}"',
        f'Please answer the mail with the subject "{mail.subject}" (only to the sender) with "{text}"',
        f'I got a mail called "{mail.subject}". Write back: "{text}"',
    )


def mail_archive(s: Sketch) -> Draft:
    """A mail goes to the archive, or is starred."""
    act(s)
    mail = s.pick(once_in(inbox(s), "subject"))
    s.call("mail_search", query=mail.subject)
    if s.rng.random() < 0.5:
        s.call("mail_move", mails=[mail.id], folder="archive")
        return s.task(
            f'Archive the mail "{mail.subject}" from my inbox.',
            f'I am done with the mail "{mail.subject}". Move it to the archive.',
            f'Please put "{mail.subject}" into the mail archive.',
        )
    s.need(s.world.user not in mail.starred_by)
    s.call("mail_mark", mails=[mail.id], mark="starred")
    return s.task(
        f'Star the mail "{mail.subject}" in my inbox.',
        f'Please mark the mail "{mail.subject}" with a star so that I do not forget it.',
    )


def mail_forward(s: Sketch) -> Draft:
    """A mail is sent on to a colleague."""
    act(s)
    mail = s.pick(one for one in once_in(inbox(s), "subject") if not one.attachments)
    who = s.pick(one for one in colleagues(s) if one.email not in (mail.sender, *mail.to, *mail.cc))
    s.calls(("mail_search", {"query": mail.subject}), ("people_search", {"query": who.name}))
    s.call("mail_forward", mail=mail.id, to=[who.email])
    return s.task(
        f'Forward the mail "{mail.subject}" to {who.name}. No note is needed.',
        f'{who.name} should see the mail "{mail.subject}". Forward it without a note.',
        f'Please pass "{mail.subject}" from my inbox on to {who.name}, without any text above it.',
    )


def draft_send(s: Sketch) -> Draft:
    """A draft goes out."""
    drafts = [one for one in s.world.mails if one.status == "draft"]
    me = act(s, [one for one in s.world.people if any(mail.sender == one.email for mail in drafts)])
    mine = [one for one in drafts if one.sender == me.email]
    mail = s.pick(once_in(mine, "subject"))
    s.call("mail_search", query=mail.subject, folder="drafts")
    s.call("mail_send_draft", mail=mail.id)
    return s.task(
        f'Send my draft "{mail.subject}" as it is.',
        f'The draft "{mail.subject}" can go out now.',
        f'Please send the mail "{mail.subject}" that is waiting in my drafts.',
    )


def card_freeze(s: Sketch) -> Draft:
    """A card that is lost, or found again."""
    card = s.pick(s.world.cards)
    mine = [one for one in s.world.cards if one.holder == card.holder]
    s.need(sum(one.ending == card.ending for one in mine) == 1)
    s.act_for(card.holder)
    s.call("bank_cards")
    s.call("bank_freeze_card", card=card.id, frozen=not card.frozen)
    if card.frozen:
        return s.task(
            f"I found my card ending in {card.ending} again. Unfreeze it.",
            f"Please unfreeze the card with the last digits {card.ending}.",
        )
    return s.task(
        f"I lost my card ending in {card.ending}. Freeze it at once!",
        f"Please freeze the card with the last digits {card.ending}.",
        f"Somebody may have seen the number of my card {card.ending}; freeze it to be safe.",
    )


def transfer_cancel(s: Sketch) -> Draft:
    """A scheduled transfer is taken back."""
    planned = [one for one in s.world.transfers if one.status == "scheduled"]
    transfer = s.pick(planned)
    account = s.world.accounts[transfer.source]
    s.need(account.kind != "department")
    s.act_for(account.holder)
    s.need(sum((one.source, one.name) == (transfer.source, transfer.name) for one in planned) == 1)
    others = [one for one in s.world.accounts.where("holder", account.holder) if one.id != account.id]
    s.call("bank_accounts")
    s.calls(
        ("bank_transfers", {"account": account.id, "status": "scheduled"}),
        *(("bank_transfers", {"account": one.id, "status": "scheduled"}) for one in others),
    )
    s.need(not any((one.source in {o.id for o in others}) and one.name == transfer.name for one in planned))
    s.call("bank_cancel_transfer", transfer=transfer.id)
    return s.task(
        f"Cancel the scheduled transfer to {transfer.name}.",
        f"I have a transfer to {transfer.name} scheduled. Take it back, please.",
        f"The payment of {spoken_money(transfer.amount)} to {transfer.name} that is planned must not go out.",
    )


def pay(s: Sketch) -> Draft:
    """Money for a payee."""
    payee = s.pick(s.world.payees)
    me = payee.owner
    s.act_for(me)
    s.need(sum((one.owner, one.name) == (me, payee.name) for one in s.world.payees) == 1)
    account = s.pick(one for one in s.world.accounts.where("holder", me) if one.kind == "checking")
    s.need(sum(one.kind == "checking" for one in s.world.accounts.where("holder", me)) == 1)
    cents = s.between(2, 60) * 1000 + s.pick((0, 0, 50, 90, 25))
    reference = s.pick(("Rent share", "Invoice 2211", "Birthday present", "Repair", "Deposit", "Tickets", "Membership"))
    s.calls(("bank_accounts", {}), ("bank_payees", {}))
    s.call("bank_transfer", from_account=account.id, to=payee.id, amount=euros(cents), reference=reference)
    sum_ = spoken_money(cents)
    return s.task(
        f'Transfer {sum_} from my checking account to {payee.name} with the reference "{reference}".',
        f'Please pay {payee.name} {sum_} from checking. Reference: "{reference}".',
        f'{payee.name} gets {sum_} from me. Use the checking account and the reference "{reference}", today.',
    )


def save_up(s: Sketch) -> Draft:
    """From checking to savings."""
    both = [
        one
        for one in s.world.people
        if sorted(a.kind for a in s.world.accounts.where("holder", one.id)) == ["checking", "savings"]
    ]
    me = act(s, both)
    accounts = {one.kind: one for one in s.world.accounts.where("holder", me.id)}
    cents = s.between(1, 40) * 2500
    s.call("bank_accounts")
    s.call(
        "bank_transfer",
        from_account=accounts["checking"].id,
        to=accounts["savings"].id,
        amount=euros(cents),
        reference="Savings",
    )
    sum_ = spoken_money(cents)
    return s.task(
        f'Put {sum_} from my checking into my savings account, reference "Savings".',
        f'Move {sum_} to my savings, please, from checking. Write "Savings" as the reference.',
        f'I want to save {sum_}: transfer it from checking to savings with the reference "Savings".',
    )


def limit_set(s: Sketch) -> Draft:
    """Another limit for an account."""
    account = s.pick(one for one in s.world.accounts if one.kind in ("checking", "savings"))
    s.act_for(account.holder)
    s.need(sum(one.kind == account.kind for one in s.world.accounts.where("holder", account.holder)) == 1)
    new = s.between(1, 20) * 25_000
    s.need(new not in (account.transfer_limit, account.daily_limit))
    s.call("bank_accounts")
    s.call("bank_set_limit", account=account.id, kind="transfer", amount=euros(new))
    return s.task(
        f"Set the limit for a single transfer from my {account.kind} account to {spoken_money(new)}.",
        f"The transfer limit of my {account.kind} account should be {spoken_money(new)}, please (not the daily one).",
        f"No single transfer from my {account.kind} account shall exceed {spoken_money(new)}. Change its limit.",
    )


def file_share(s: Sketch) -> Draft:
    """A file for a colleague."""
    file = my_file(s, confidential=False)
    who = s.pick(one for one in colleagues(s) if one.id not in dict(file.shared))
    role = s.pick(("viewer", "editor"))
    s.calls(("files_search", {"query": file.name}), ("people_search", {"query": who.name}))
    s.call("files_share", file=file.id, person=who.id, role=role)
    if role == "viewer":
        return s.task(
            f"Let {who.name} read my file {file.name}, but not change it.",
            f"Share {file.name} with {who.name} as a viewer.",
            f"{who.name} needs to see {file.name}. Read access is enough.",
        )
    return s.task(
        f"Let {who.name} edit my file {file.name}.",
        f"Share {file.name} with {who.name} as an editor.",
        f"{who.name} will work on {file.name} with me, so please give editing rights.",
    )


def file_rename(s: Sketch) -> Draft:
    """Another name for a file."""
    file = my_file(s)
    new = f"{s.pick(('final', 'old', 'signed', 'checked', 'v2', 'english'))}-{file.name}"
    s.call("files_search", query=file.name)
    s.call("files_rename", file=file.id, name=new)
    return s.task(
        f"Rename my file {file.name} to {new}.",
        f"The file {file.name} should be called {new} from now on.",
        f"Please give {file.name} the new name {new}.",
    )


def file_restore(s: Sketch) -> Draft:
    """A file comes back from the trash."""
    file = s.pick(one for one in s.world.files if one.trashed)
    s.need(sum(one.name == file.name for one in s.world.files if one.owner == file.owner) == 1)
    s.act_for(file.owner)
    s.call("files_search", query=file.name, trashed=True)
    s.call("files_restore", file=file.id)
    return s.task(
        f"I deleted {file.name} by mistake. Bring it back.",
        f"Please restore {file.name} from my trash.",
        f"I do need {file.name} after all; get it out of the trash.",
    )


def ticket_assign(s: Sketch) -> Draft:
    """A ticket for a member of the team."""
    ticket = s.pick(one for one in s.world.tickets if one.status in ("open", "in_progress", "waiting"))
    s.need(ticket.assignee)
    team = s.world.people[ticket.assignee].department
    me = act(s, [one for one in s.world.people if one.department == team])
    who = s.pick(one for one in colleagues(s, s.world.people.where("department", team)) if one.id != ticket.assignee)
    s.need(named_once(s, who.name) and me.id != who.id)
    s.call("people_search", query=who.name)
    s.call("tickets_assign", ticket=ticket.id, assignee=who.id)
    return s.task(
        f"Assign the ticket {ticket.id} to {who.name}.",
        f"{who.name} takes over {ticket.id} from now on; reassign it, please.",
        f"Please hand ticket {ticket.id} to {who.name}.",
    )


def contact_update(s: Sketch) -> Draft:
    """Another phone number."""
    contact = s.pick(one for one in s.world.contacts if not one.shared)
    s.need(sum(one.name == contact.name for one in s.world.contacts) == 1)
    s.act_for(contact.owner)
    phone = f"+49 {s.pick((30, 40, 89, 221))} {s.between(1_000_000, 9_999_999)}"
    s.call("contacts_search", query=contact.name)
    s.call("contacts_update", contact=contact.id, phone=phone)
    return s.task(
        f"{contact.name} has a new phone number: {phone}. Update my contact.",
        f"Please change the phone number of my contact {contact.name} to {phone}.",
        f"Note that {contact.name} can be reached at {phone} from now on (it is one of my contacts).",
    )


def contact_delete(s: Sketch) -> Draft:
    """A contact that is not needed."""
    contact = s.pick(one for one in s.world.contacts if not one.shared)
    s.need(sum(one.name == contact.name for one in s.world.contacts) == 1)
    s.act_for(contact.owner)
    s.call("contacts_search", query=contact.name)
    s.call("contacts_delete", contact=contact.id)
    return s.task(
        f"Delete {contact.name} from my contacts.",
        f"{contact.name} has left {contact.company}. Remove the contact, please.",
        f"I do not need the contact {contact.name} any more. Delete it.",
    )


def order_product(s: Sketch) -> Draft:
    """A product by its name."""
    act(s)
    product = s.pick(once_in(s.world.products, "name"))
    quantity = s.between(1, min(6, product.per_order))
    s.call("shop_search", query=product.name)
    s.call("shop_order", items=[{"product": product.id, "quantity": quantity}])
    return s.task(
        f"Order {quantity} x {product.name} for my office.",
        f"Please order {quantity} of the product {product.name} in the shop.",
        f"We need {product.name}, quantity {quantity}. Order it to my office.",
    )


def leave_approve(s: Sketch) -> Draft:
    """A report's only pending request."""
    pending = [one for one in s.world.leaves if one.status == "pending"]
    leave = s.pick(pending)
    person = s.world.people[leave.person]
    s.need(person.manager and sum(one.person == leave.person for one in pending) == 1 and named_once(s, person.name))
    s.act_for(person.manager)
    decision = s.pick(("approve", "reject"))
    s.call("leave_to_decide")
    s.call("leave_decide", leave=leave.id, decision=decision)
    return s.task(
        f"{decision.capitalize()} the leave that {person.name} has asked for.",
        f"{person.name} is waiting for a decision on a leave request. Please {decision} it.",
        f"I have talked to {person.name} about the leave: {decision} the request.",
    )


def order_decide(s: Sketch) -> Draft:
    """A report's only order that waits."""
    waiting = [one for one in s.world.orders if one.status == "pending_approval"]
    order = s.pick(waiting)
    person = s.world.people[order.buyer]
    s.need(person.manager and sum(one.buyer == order.buyer for one in waiting) == 1 and named_once(s, person.name))
    s.act_for(person.manager)
    decision = s.pick(("approve", "reject"))
    s.call("people_search", query=person.name)
    s.call("shop_orders", buyer=person.id, status="pending_approval")
    s.call("shop_decide", order=order.id, decision=decision)
    return s.task(
        f"{decision.capitalize()} the order of {person.name} that waits for my approval.",
        f"{person.name} wants to buy something and needs my approval. I {decision} it.",
        f"Please {decision} the pending shop order of {person.name}.",
    )


def managers_name(s: Sketch) -> Draft:
    """Whose manager somebody is."""
    act(s)
    who = s.pick(one for one in colleagues(s) if one.manager)
    boss = s.world.people[who.manager]
    s.call("people_search", query=who.name)
    s.call("people_get", person=who.id)
    rivals = [one.name for one in s.world.people if one.department == who.department and one.name != boss.name]
    return s.task(
        f"To whom does {who.name} report?",
        f"Who is the manager of {who.name}? The name is enough.",
        f"I need to talk to the boss of {who.name}. Who is it?",
        says=[name(boss.name, [rival for rival in rivals if rival != who.name])],
        answer=boss.name,
    )


def mail_to_name(s: Sketch) -> Draft:
    """A mail to somebody whose address has to be found."""
    act(s)
    who = s.pick(colleagues(s))
    subject, text = s.pick(MESSAGES)
    s.call("people_search", query=who.name)
    s.call("mail_send", to=[who.email], subject=subject, body=text)
    return s.task(
        f'Send {who.name} a mail with the subject "{subject}" and the text "{text}"',
        f'Please write to {who.name}: subject "{subject}", text "{text}"',
        f'A mail for my colleague {who.name}, please. Subject: "{subject}". Text: "{text}"',
    )


TEMPLATES: tuple[Template, ...] = (
    Template("event-move", "lookup", event_move),
    Template("event-cancel", "lookup", event_cancel),
    Template("event-answer", "lookup", event_answer),
    Template("event-invite", "lookup", event_invite),
    Template("mail-answer", "lookup", mail_answer),
    Template("mail-archive", "lookup", mail_archive),
    Template("forward-mail", "lookup", mail_forward),
    Template("mail-to-name", "lookup", mail_to_name),
    Template("draft-send", "lookup", draft_send),
    Template("card-freeze", "lookup", card_freeze),
    Template("transfer-cancel", "lookup", transfer_cancel),
    Template("pay", "lookup", pay),
    Template("save-up", "lookup", save_up),
    Template("limit-set", "lookup", limit_set),
    Template("share-file", "lookup", file_share),
    Template("file-rename", "lookup", file_rename),
    Template("file-restore", "lookup", file_restore),
    Template("ticket-assign", "lookup", ticket_assign),
    Template("contact-update", "lookup", contact_update),
    Template("contact-delete", "lookup", contact_delete),
    Template("order-product", "lookup", order_product),
    Template("leave-approve", "lookup", leave_approve),
    Template("order-decide", "lookup", order_decide),
    Template("managers-name", "lookup", managers_name),
)
