"""Long tasks: several applications, or the same act on everything that fits; up to fifteen calls."""

from __future__ import annotations

from collections import Counter

from palaestra.envs.tools.desk.drafts import Draft, Sketch, Template, euros, listed, spoken_day, spoken_money
from palaestra.envs.tools.desk.said import amount, count, identifier
from palaestra.envs.tools.desk.templates.common import (
    MESSAGES,
    TICKETS,
    TITLES,
    act,
    colleagues,
    first_name,
    free_day,
    inbox,
    my_events,
    my_file,
    named_once,
    reports_of,
    stranger,
    with_reports,
)
from palaestra.envs.tools.desk.times import later_day, weekday

__all__ = ["TEMPLATES"]


def meeting_with_room(s: Sketch) -> Draft:
    """The earliest time for all, in the smallest fitting room."""
    me = act(s)
    others = s.some(colleagues(s), 2, 3)
    title, day = s.pick(TITLES), free_day(s, 2, 18)
    minutes = s.pick((30, 60))
    s.calls(*(("people_search", {"query": one.name}) for one in others))
    ids = [one.id for one in others]
    found = s.call(
        "calendar_find_slots",
        people=[me.id, *ids],
        duration_minutes=minutes,
        start=f"{day}T09:00",
        end=f"{day}T17:00",
        limit=1,
    )
    slot = s.pick(next(value for value in found.values() if isinstance(value, list)))
    start, end = slot["start"], slot["end"]
    s.need(start[11:] != "09:00" or s.rng.random() < 0.2)
    free = s.call("calendar_rooms", start=start, end=end, city=me.office, capacity=len(others) + 1)
    rooms = next(value for value in free.values() if isinstance(value, list))
    s.need(len(rooms) == 1 or (len(rooms) > 1 and rooms[0]["capacity"] < rooms[1]["capacity"]))
    s.call(
        "calendar_create",
        title=title,
        start=start,
        duration_minutes=minutes,
        attendees=ids,
        room=rooms[0]["id"],
    )
    who, when = listed([one.name for one in others]), spoken_day(s, day)
    return s.task(
        f"Find the earliest {minutes} minutes on {when} between 09:00 and 17:00 at which {who} and I are all free, and "
        f'set up the meeting "{title}" then, in the smallest free room of my office that seats us all.',
        f'Please arrange "{title}" with {who} on {when}: {minutes} minutes, as early as all of us can between 9:00 and '
        f"17:00. Book the smallest room in my office that is free and large enough for all, me included.",
        f'I need "{title}" ({minutes} minutes) with {who} on {when}, at the first time between 9:00 and 17:00 when '
        f"nobody is busy. The room: in my office, free, and no larger than it has to be for everybody.",
    )


def triage(s: Sketch) -> Draft:
    """Everything open and unassigned of a priority goes to one member of the team, and is begun."""
    ticket = s.pick(one for one in s.world.tickets if one.status == "open" and not one.assignee)
    worker = s.pick(one.assignee for one in s.world.tickets.where("queue", ticket.queue) if one.assignee)
    team = s.world.people[worker].department
    act(s, s.world.people.where("department", team))
    who = s.pick(colleagues(s, s.world.people.where("department", team)))
    free = [
        one
        for one in s.world.tickets.where("queue", ticket.queue)
        if (one.status, one.assignee, one.priority) == ("open", "", ticket.priority)
    ]
    s.need(1 <= len(free) <= 6)
    s.calls(
        ("people_search", {"query": who.name}),
        (
            "tickets_search",
            {"queue": ticket.queue, "status": "open", "assignee": "none", "priority": ticket.priority, "limit": 50},
        ),
    )
    s.calls(*(("tickets_assign", {"ticket": one.id, "assignee": who.id}) for one in free))
    s.calls(*(("tickets_set_status", {"ticket": one.id, "status": "in_progress"}) for one in free))
    return s.task(
        f"Assign all open {ticket.priority}-priority tickets in the {ticket.queue} queue that nobody has to {who.name} "
        f"and set them to in progress.",
        f"{who.name} takes over every open ticket of the queue {ticket.queue} with priority {ticket.priority} that has "
        f"no assignee. Assign them and move them to in_progress.",
    )


def approve_all(s: Sketch) -> Draft:
    """All pending leaves of a team are approved, and each person hears of it."""
    bosses = {s.world.people[one.person].manager for one in s.world.leaves if one.status == "pending"} - {""}
    me = act(s, [s.world.people[one] for one in sorted(bosses)])
    team = {one.id for one in reports_of(s, me.id)}
    pending = [one for one in s.world.leaves if one.status == "pending" and one.person in team]
    people = sorted({one.person for one in pending})
    s.need(2 <= len(pending) <= 6 and len(people) == len(pending))
    subject, text = "Your leave", s.pick(("It is approved. Enjoy it!", "I have approved it. Have a good time!"))
    s.call("leave_to_decide")
    s.calls(*(("leave_decide", {"leave": one.id, "decision": "approve"}) for one in pending))
    s.calls(*(("mail_send", {"to": [one], "subject": subject, "body": text}) for one in people))
    return s.task(
        f"Approve all leave requests of my team and send everybody concerned a mail of their own with the subject "
        f'"{subject}" and the text "{text}"',
        f"Whatever leaves are waiting for my decision: approve them. Then write to each of these people separately, "
        f'subject "{subject}", text "{text}"',
    )


def first_payment(s: Sketch) -> Draft:
    """A new payee, the payment, and a mail about it."""
    me = act(s)
    account = s.pick(one for one in s.world.accounts.where("holder", me.id) if one.kind == "checking")
    donor = s.pick(s.world.payees)
    who, mail, firm = stranger(s)
    s.need(all(one.iban != donor.iban for one in s.world.payees.where("owner", me.id)))
    cents = s.between(20, 400) * 100
    reference = f"Invoice {s.between(1000, 9999)}"
    subject, text = reference, f"I have paid {spoken_money(cents)} today."
    s.calls(
        ("bank_accounts", {}),
        ("bank_add_payee", {"name": firm, "iban": donor.iban}),
        ("contacts_add", {"name": who, "email": mail, "company": firm}),
    )
    s.call("bank_transfer", from_account=account.id, to=s.made("payees"), amount=euros(cents), reference=reference)
    s.call("mail_send", to=[mail], subject=subject, body=text)
    return s.task(
        f'We have a bill from {firm}: {spoken_money(cents)}, IBAN {donor.iban}, reference "{reference}". Add {firm} as '
        f"a payee and pay from my checking account. Then save {who} ({mail}, {firm}) as a contact and write there: "
        f'subject "{subject}", text "{text}"',
        f"Please do the following for me. Add the payee {firm} with the IBAN {donor.iban}. Transfer "
        f"{spoken_money(cents)} "
        f'to it from checking with the reference "{reference}". Add {who} of {firm} to my contacts with the address '
        f'{mail}. Send {who} a mail, subject "{subject}", text "{text}"',
    )


def holiday(s: Sketch) -> Draft:
    """Vacation, and what is in the calendar then."""
    me = act(s)
    first = free_day(s, 3, 18)
    last = later_day(first, s.between(0, 3))
    s.need(weekday(last) < 5)
    events = [one for one in my_events(s) if first <= one.start[:10] <= last]
    own = [one for one in events if one.organizer == me.id]
    invited = [one for one in events if one.organizer != me.id and dict(one.attendees)[me.id] != "declined"]
    s.need(own and invited and len(events) <= 10)
    s.need(all(one in invited or one in own for one in events))
    s.calls(
        ("leave_request", {"kind": "vacation", "first": first, "last": last}),
        ("calendar_list", {"start": f"{first}T00:00", "end": f"{last}T23:59"}),
    )
    s.calls(
        *(("calendar_cancel", {"event": one.id}) for one in own),
        *(("calendar_respond", {"event": one.id, "response": "declined"}) for one in invited),
    )
    span = f"on {spoken_day(s, first)}" if first == last else f"from {spoken_day(s, first)} to {spoken_day(s, last)}"
    return s.task(
        f"I want to take vacation {span}. Put in the request, cancel all events that I organize then, and decline all "
        f"other invitations in that time.",
        f"Please clear my calendar {span}: cancel what I organize and decline the rest. And request vacation for that "
        f"time.",
    )


def handover(s: Sketch) -> Draft:
    """All files of a kind are shared with a colleague, who hears of it."""
    me = act(s)
    mine = [one for one in s.world.files.where("owner", me.id) if not one.trashed]
    counts = Counter(one.kind for one in mine)
    kind = s.pick(sorted(key for key, number in counts.items() if 2 <= number <= 8))
    files = [one for one in mine if one.kind == kind]
    s.need(not any(one.confidential for one in files))
    who = s.pick(one for one in colleagues(s) if all(one.id not in dict(file.shared) for file in files))
    subject, text = "Handover", "You can read the files now."
    s.calls(("files_search", {"owner": me.id, "kind": kind, "limit": 50}), ("people_search", {"query": who.name}))
    s.calls(*(("files_share", {"file": one.id, "person": who.id, "role": "viewer"}) for one in files))
    s.call("mail_send", to=[who.email], subject=subject, body=text)
    return s.task(
        f"{who.name} takes over from me. Share every {kind} file that I own with {first_name(who.name)} as a viewer, "
        f'then send a mail: subject "{subject}", text "{text}"',
        f"Give {who.name} read access to all of my own .{kind} files and write to {first_name(who.name)} afterwards "
        f'(subject "{subject}", text "{text}")',
    )


def project_start(s: Sketch) -> Draft:
    """A folder, a file in it, a reader, and a ticket."""
    me = act(s)
    who = s.pick(colleagues(s))
    project = s.pick(("Lighthouse", "Monsoon", "Juniper", "Compass", "Meridian", "Sandbar", "Tundra", "Kingfisher"))
    content = s.pick(("Goals and milestones follow.", "First ideas, please add yours.", "Notes from the kick-off."))
    title, text = f"Workspace for {project}", f"Please set up a chat room for the project {project}."
    s.calls(("files_list", {}), ("people_search", {"query": who.name}))
    top = s.pick(one for one in s.world.folders.where("holder", me.id) if not one.parent)
    s.need(not any(one.name == project for one in s.world.folders.where("parent", top.id)))
    s.call("files_make_folder", parent=top.id, name=project)
    name = f"{project.lower()}-notes.txt"
    s.call("files_create", folder=s.made("folders"), name=name, content=content)
    s.calls(
        ("files_share", {"file": s.made("files"), "person": who.id, "role": "editor"}),
        ("tickets_create", {"queue": "it", "title": title, "description": text}),
    )
    return s.task(
        f'The project {project} starts. In my own top folder make a folder "{project}" and in it a file {name} with '
        f'the content "{content}". Make {who.name} an editor of the file. Also open a ticket in the it queue, titled '
        f'"{title}", description "{text}"',
        f"Set things up for {project}, please: a folder of that name in my top folder; in the folder a file called "
        f'{name} that says "{content}"; editing rights on it for {who.name}; and a ticket for it (the queue), title '
        f'"{title}", description "{text}"',
    )


def pay_share(s: Sketch) -> Draft:
    """What an order cost, in equal parts, by mail."""
    order = s.pick(one for one in s.world.orders if one.status == "delivered")
    s.act_for(order.buyer)
    others = s.some(colleagues(s), 2, 4)
    people = len(others) + 1
    s.need(order.total % people == 0)
    share = order.total // people
    s.call("shop_get_order", order=order.id)
    s.calls(*(("people_search", {"query": one.name}) for one in others))
    subject = f"Order {order.id}"
    s.calls(
        *(
            ("mail_send", {"to": [one.email], "subject": subject, "body": f"Your share is {share / 100:.2f} euros."})
            for one in others
        )
    )
    names = listed([one.name for one in others])
    return s.task(
        f"{names} and I share the cost of my order {order.id} equally. Send each of them a mail of their own with the "
        f'subject "{subject}" that says what their share is in euros.',
        f"Split the total of my order {order.id} evenly between {names} and me. Then mail everybody but me, one by "
        f'one, how much they owe me. The subject is "{subject}".',
        texts=[("mails.body", (amount(share / 100),))],
    )


def report_leave(s: Sketch) -> Draft:
    """A team's remaining vacation, in a mail to its manager's manager."""
    me = act(s, [one for one in with_reports(s, 2) if one.manager and len(reports_of(s, one.id)) <= 8])
    team = reports_of(s, me.id)
    boss = s.world.people[me.manager]
    s.call("people_reports", manager=me.id)
    results = s.calls(*(("leave_balance", {"person": one.id}) for one in team))
    key = next(key for key in ("left", "days_left", "available", "balance") if key in results[0])
    total = sum(int(one[key]) for one in results)
    s.call("people_get", person=me.id)
    s.call("mail_send", to=[boss.id], subject="Vacation left", body=f"My team has {total} days left.")
    return s.task(
        'Write my manager a mail with the subject "Vacation left" that says how many days of vacation my direct '
        "reports "
        "have left this year, all together.",
        "My manager wants to know the sum of the vacation days that are left to my direct reports. Find it out and "
        'mail it, subject "Vacation left".',
        texts=[("mails.body", (count(total),))],
    )


def clean_up(s: Sketch) -> Draft:
    """All mails of a sender go to the archive; one gets an answer first."""
    act(s)
    box = inbox(s)
    senders = Counter(one.sender for one in box)
    who = s.pick(one for one in colleagues(s) if 2 <= senders[one.email] <= 10)
    mails = [one for one in box if one.sender == who.email]
    newest = sorted(mails, key=lambda one: one.sent_at)
    s.need(newest[-1].sent_at > newest[-2].sent_at)
    text = s.pick(("I will answer all of your mails on Monday.", "Let us settle this on the phone.", "Noted, thanks."))
    s.call("people_search", query=who.name)
    s.call("mail_search", sender=who.email, limit=50)
    s.call("mail_reply", mail=newest[-1].id, body=text)
    s.call("mail_move", mails=[one.id for one in mails], folder="archive")
    return s.task(
        f'Answer the newest mail from {who.name} in my inbox with "{text}" Then archive all mails from '
        f"{first_name(who.name)} that are in the inbox.",
        f'Reply "{text}" to the latest mail that {who.name} sent me, and move everything from {who.name} in my inbox '
        f"to the archive.",
    )


def decide_orders(s: Sketch) -> Draft:
    """All orders that wait are decided by their total."""
    bosses = {s.world.people[one.buyer].manager for one in s.world.orders if one.status == "pending_approval"} - {""}
    me = act(s, [s.world.people[one] for one in sorted(bosses)])
    team = reports_of(s, me.id)
    ids = {one.id for one in team}
    waiting = [one for one in s.world.orders if one.status == "pending_approval" and one.buyer in ids]
    s.need(len(waiting) >= 2 and len(team) + len(waiting) <= 14)
    bound = s.pick((100_000, 150_000, 200_000, 300_000))
    s.need(0 < sum(one.total < bound for one in waiting) < len(waiting) and all(one.total != bound for one in waiting))
    s.call("people_reports", manager=me.id)
    s.calls(*(("shop_orders", {"buyer": one.id, "status": "pending_approval"}) for one in team))
    s.calls(
        *(
            ("shop_decide", {"order": one.id, "decision": "approve" if one.total < bound else "reject"})
            for one in waiting
        )
    )
    return s.task(
        f"Go through the shop orders of my direct reports that wait for approval. Approve those below "
        f"{spoken_money(bound)} and reject the others.",
        f"Decide on all pending orders of the people who report to me: under {spoken_money(bound)} is approved, above "
        f"is rejected.",
    )


def outage(s: Sketch) -> Draft:
    """A ticket, a mail to the head of a department, and an entry in the calendar."""
    me = act(s)
    department = s.pick(one for one in s.world.departments if one.head != me.id)
    head = s.world.people[department.head]
    queue, title, text = s.pick(TICKETS)
    day = free_day(s, 1, 6)
    s.call("people_department", department=department.name)
    s.call("tickets_create", queue=queue, title=title, description=text)
    ticket = s.made("tickets")
    s.calls(
        ("mail_send", {"to": [head.id], "subject": title, "body": f"I have opened the ticket {ticket}."}),
        ("calendar_create", {"title": f"Check {ticket}", "start": f"{day}T09:00", "duration_minutes": 15}),
    )
    when = spoken_day(s, day)
    return s.task(
        f'Open a ticket in the {queue} queue: title "{title}", description "{text}" Send the head of '
        f'{department.name} a mail with the subject "{title}" that names the number of the ticket, and put a reminder '
        f'of 15 minutes into my calendar on {when} at 9:00, titled "Check" and the ticket\'s number (as in "Check '
        f'T-0000").',
        f'File a ticket in the queue {queue}, "{title}", with the description "{text}" Then let the head of '
        f"{department.name} know "
        f'its number by mail (subject "{title}"), and remind me on {when} at 09:00 for 15 minutes with an entry called '
        f'"Check" plus the number, for example "Check T-0000".',
        texts=[("mails.body", (identifier(ticket),))],
    )


def copy_out(s: Sketch) -> Draft:
    """A file is copied, renamed, protected and shared."""
    file = my_file(s, confidential=False)
    me = s.world.me
    others = s.some(colleagues(s), 2, 4)
    top = s.pick(one for one in s.world.folders.where("holder", me.id) if not one.parent)
    new = f"copy-of-{file.name}"
    s.calls(
        ("files_search", {"query": file.name, "owner": me.id}),
        ("files_list", {}),
        *(("people_search", {"query": one.name}) for one in others),
    )
    s.call("files_copy", file=file.id, folder=top.id, name=new)
    copy = s.made("files")
    s.calls(
        *(("files_share", {"file": copy, "person": one.id, "role": "viewer"}) for one in others),
        ("files_protect", {"file": copy, "read_only": True}),
    )
    names = listed([one.name for one in others])
    return s.task(
        f"Copy my file {file.name} into my top folder under the name {new}, make {names} viewers of the copy, and make "
        f"the copy read-only.",
        f"I need a copy of {file.name} called {new} in my own top folder. {names} may read the copy, and nobody may "
        f"change it, so set it to read-only.",
    )


def round_of_mails(s: Sketch) -> Draft:
    """The same mail to each direct report, and a team event."""
    me = act(s, [one for one in with_reports(s, 3) if len(reports_of(s, one.id)) <= 9])
    team = reports_of(s, me.id)
    s.need(all(named_once(s, one.name) for one in team))
    (subject, text), title, day = s.pick(MESSAGES), s.pick(TITLES), free_day(s, 2, 20)
    at = f"{s.between(9, 15):02}:00"
    s.call("people_reports", manager=me.id)
    s.calls(
        *(("mail_send", {"to": [one.id], "subject": subject, "body": text}) for one in team),
        (
            "calendar_create",
            {
                "title": title,
                "start": f"{day}T{at}",
                "duration_minutes": 45,
                "attendees": [one.id for one in team],
                "allow_conflicts": True,
            },
        ),
    )
    when = spoken_day(s, day)
    return s.task(
        f'Send each of my direct reports a mail of their own: subject "{subject}", text "{text}" And invite all of '
        f"them "
        f'to "{title}" on {when} at {at}, 45 minutes, without a room and whether or not they are busy.',
        f'Everybody who reports to me directly gets a separate mail (subject "{subject}", text "{text}") and an '
        f'invitation to one event, "{title}", {when}, {at}, 45 minutes. Conflicts do not matter, no room is needed.',
    )


TEMPLATES: tuple[Template, ...] = (
    Template("meeting-with-room", "chain", meeting_with_room),
    Template("triage", "chain", triage),
    Template("approve-all", "chain", approve_all),
    Template("first-payment", "chain", first_payment),
    Template("holiday", "chain", holiday),
    Template("handover", "chain", handover),
    Template("project-start", "chain", project_start),
    Template("pay-share", "chain", pay_share),
    Template("report-leave", "chain", report_leave),
    Template("clean-up", "chain", clean_up),
    Template("decide-orders", "chain", decide_orders),
    Template("outage", "chain", outage),
    Template("copy-out", "chain", copy_out),
    Template("round-of-mails", "chain", round_of_mails),
)
