"""The rules of mail, files and contacts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from palaestra.envs.tools.desk.records import Contact, File, Mail
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
    return World.create(0)


def shared_contact(world: World) -> Contact:
    return next(one for one in world.table("contacts") if one.shared and one.owner != world.user)


def hidden_contact(world: World) -> Contact:
    """One that the user cannot see."""
    return next(one for one in world.table("contacts") if not one.shared and one.owner != world.user)


def own_file(world: World, **wanted: Any) -> File:
    """A plain file of the user's, or one with these properties."""
    given = {"confidential": False, "read_only": False, "trashed": False, **wanted}
    made = said(world, "files_create", folder=said(world, "files_list")["id"], name="my plan.md", content="One.")
    file = world.files[made["created"]["id"]]._replace(**given)
    return world.table("files").put(file)


# Mail ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["P-0002", "P-0030", "P-0077"])
def test_the_mailbox_holds_what_a_person_sent_or_got(world: World, user: str) -> None:
    world.act_for(user)
    own = world.me.email
    box = [one for one in world.table("mails") if own in (one.sender, *one.to, *one.cc)]
    assert any(one.status == "sent" for one in box)
    expected = {
        "inbox": {one.id for one in box if own in (*one.to, *one.cc) and one.status == "sent"
                  and user not in (*one.archived_by, *one.trashed_by)},
        "archive": {one.id for one in box if user in one.archived_by},
        "trash": {one.id for one in box if user in one.trashed_by},
        "sent": {one.id for one in box if one.sender == own and one.status == "sent"},
        "drafts": {one.id for one in box if one.sender == own and one.status == "draft"},
        "all": {one.id for one in box if one.status == "sent" or one.sender == own},
    }  # fmt: skip
    for folder, ids in expected.items():
        shown = said(world, "mail_search", folder=folder, limit=50)
        assert {one["id"] for one in shown["mails"]} == ids
        assert shown["found"] == len(ids)
        assert [one["sent_at"] for one in shown["mails"]] == sorted(one["sent_at"] for one in shown["mails"])[::-1]
    unread = said(world, "mail_search", unread=True, limit=50)["mails"]
    assert {one["id"] for one in unread} == {id_ for id_ in expected["inbox"] if user in world.mails[id_].unread_by}
    since = said(world, "mail_search", folder="all", since="2026-02-20", until="2026-03-01", limit=50)["mails"]
    days = {one["id"] for one in since}
    assert days == {id_ for id_ in expected["all"] if "2026-02-20" <= world.mails[id_].sent_at[:10] <= "2026-03-01"}
    one = world.mails[min(expected["all"])]
    found = said(world, "mail_search", folder="all", sender=one.sender, query=one.body.split()[0], limit=50)["mails"]
    assert one.id in {mail["id"] for mail in found}
    assert {mail["from"] for mail in found} == {one.sender}


def test_mails_of_others_are_out_of_reach(world: World) -> None:
    own = world.me.email
    other = next(one for one in world.table("mails") if own not in (one.sender, *one.to, *one.cc))
    for name, arguments in (
        ("mail_get", {"mail": other.id}),
        ("mail_thread", {"mail": other.id}),
        ("mail_reply", {"mail": other.id, "body": "x"}),
        ("mail_forward", {"mail": other.id, "to": ["P-0003"]}),
        ("mail_mark", {"mails": [other.id], "mark": "read"}),
        ("mail_move", {"mails": [other.id], "folder": "trash"}),
    ):
        assert "not in your mailbox" in refused(world, name, **arguments)
    draft = next(one for one in world.table("mails") if one.status == "draft" and one.sender != own)
    world.act_for(world.people.where("email", draft.to[0])[0].id)
    assert "not in your mailbox" in refused(world, "mail_get", mail=draft.id)


def test_a_mail_is_sent_to_whom_it_names(world: World) -> None:
    contact, person = shared_contact(world), world.people["P-0009"]
    sent = said(world, "mail_send", to=["P-0009", contact.email.upper(), person.email], cc=["P-0009", "P-0010"],
                subject="Numbers", body="Here.")["sent"]  # fmt: skip
    assert world.mails[sent["id"]] == Mail(
        sent["id"], sent["id"], world.me.email, tuple(sorted((contact.email, person.email))),
        (world.people["P-0010"].email,), "Numbers", "Here.", world.now, (), "sent", ("P-0009", "P-0010"), (), (), (),
    )  # fmt: skip
    world.act_for("P-0009")
    assert said(world, "mail_search")["mails"][0]["id"] == sent["id"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"to": ["nobody@nowhere.example"]}, "'to.0': there is no recipient"),
        ({"cc": ["P-0003", "P-9999"]}, "'cc.1': there is no recipient"),
        ({"subject": " "}, "'subject'"),
        ({"body": "\n "}, "'body': the text is blank"),
        ({"attachments": ["F-9999"]}, "'attachments.0': there is no file"),
        ({"to": []}, "'to': [] should be non-empty"),
    ],
)
def test_what_a_mail_cannot_be(world: World, wrong: dict[str, Any], told: str) -> None:
    assert told in refused(world, "mail_send", **{"to": ["P-0003"], "subject": "x", "body": "x", **wrong})


def test_contacts_of_others_are_no_recipients(world: World) -> None:
    contact = hidden_contact(world)
    call = {"to": [contact.email], "subject": "x", "body": "x"}
    assert "there is no recipient" in refused(world, "mail_send", **call)
    said(world, "contacts_add", name=contact.name, email=contact.email)
    said(world, "mail_send", **call)


def test_what_is_confidential_stays_inside(world: World) -> None:
    file, outside = own_file(world, confidential=True), shared_contact(world).email
    call = {"subject": "x", "body": "x", "attachments": [file.id]}
    assert "is confidential and cannot go to" in refused(world, "mail_send", to=["P-0003"], cc=[outside], **call)
    assert "is confidential" in refused(world, "mail_draft", to=[outside], **call)
    sent = said(world, "mail_send", to=["P-0003"], **call)["sent"]["id"]
    world.act_for("P-0003")
    assert "confidential, and cannot go to" in refused(world, "mail_forward", mail=sent, to=[outside])
    said(world, "mail_forward", mail=sent, to=["P-0004"], note="For you.")


def test_only_what_one_may_read_is_attached(world: World) -> None:
    file = next(one for one in world.table("files") if "P-" in one.owner and world.folders[one.folder].scope ==
                "personal" and one.owner != world.user and world.user not in dict(one.shared))  # fmt: skip
    told = refused(world, "mail_send", to=["P-0003"], subject="x", body="x", attachments=[file.id])
    assert "that you can see" in told
    trashed = own_file(world, trashed=True)
    told = refused(world, "mail_send", to=["P-0003"], subject="x", body="x", attachments=[trashed.id])
    assert "is in the trash" in told


def test_answers_stay_in_the_thread(world: World) -> None:
    own = world.me.email
    mail = next(one for one in world.table("mails") if own in one.to and one.cc and one.status == "sent"
                and not one.subject.startswith("Re:"))  # fmt: skip
    alone = world.mails[said(world, "mail_reply", mail=mail.id, body="Yes.")["sent"]["id"]]
    assert (alone.thread, alone.to, alone.cc, alone.subject) == (mail.thread, (mail.sender,), (), f"Re: {mail.subject}")
    everybody = world.mails[said(world, "mail_reply", mail=mail.id, body="Yes.", reply_all=True)["sent"]["id"]]
    assert {*everybody.to, *everybody.cc} == {mail.sender, *mail.to, *mail.cc} - {own}
    again = world.mails[said(world, "mail_reply", mail=alone.id, body="And more.")["sent"]["id"]]
    assert (again.to, again.subject) == ((mail.sender,), alone.subject)
    shown = said(world, "mail_thread", mail=again.id)["mails"]
    assert {one["id"] for one in shown} >= {mail.id, alone.id, everybody.id, again.id}
    onward = world.mails[said(world, "mail_forward", mail=mail.id, to=["P-0090"], note="See below.")["sent"]["id"]]
    assert onward.thread == onward.id
    assert onward.attachments == mail.attachments
    assert (
        onward.body
        == f"See below.\n\nFrom: {mail.sender}\nSent: {mail.sent_at}\nSubject: {mail.subject}\n\n{mail.body}"
    )


def test_a_draft_is_seen_by_nobody_until_it_is_sent(world: World) -> None:
    id_ = said(world, "mail_draft", to=["P-0009"], subject="Later", body="Soon.")["draft"]["id"]
    user = world.user
    assert "is a draft" in refused(world, "mail_reply", mail=id_, body="x")
    assert "drafts are not moved" in refused(world, "mail_move", mails=[id_], folder="trash")
    world.act_for("P-0009")
    assert "not in your mailbox" in refused(world, "mail_get", mail=id_)
    assert id_ not in {one["id"] for one in said(world, "mail_search", folder="all", limit=50)["mails"]}
    world.act_for(user)
    said(world, "mail_send_draft", mail=id_)
    assert world.mails[id_].status == "sent"
    assert world.mails[id_].unread_by == ("P-0009",)
    assert "is no draft" in refused(world, "mail_send_draft", mail=id_)


def test_a_draft_whose_recipient_is_gone_stays_a_draft(world: World) -> None:
    said(world, "contacts_add", name="Ada", email="ada@lund.example")
    id_ = said(world, "mail_draft", to=["ada@lund.example"], subject="Later", body="Soon.")["draft"]["id"]
    said(world, "contacts_delete", contact="ada@lund.example")
    assert "'mail (recipient 1)': there is no recipient" in refused(world, "mail_send_draft", mail=id_)


def test_marks_and_places_are_ones_own(world: World) -> None:
    own = world.me.email
    mail = next(one for one in world.table("mails") if own in one.to and len(one.cc) >= 1)
    said(world, "mail_mark", mails=[mail.id], mark="unread")
    said(world, "mail_mark", mails=[mail.id], mark="starred")
    said(world, "mail_move", mails=[mail.id], folder="trash")
    now = world.mails[mail.id]
    assert world.user in now.unread_by
    assert world.user in now.starred_by
    assert world.user in now.trashed_by
    assert set(now.trashed_by) - {world.user} == set(mail.trashed_by) - {world.user}
    said(world, "mail_move", mails=[mail.id], folder="archive")
    assert said(world, "mail_get", mail=mail.id)["folders"] == ["archive"]
    said(world, "mail_move", mails=[mail.id], folder="inbox")
    said(world, "mail_mark", mails=[mail.id], mark="read")
    assert said(world, "mail_get", mail=mail.id)["folders"] == ["inbox"]
    assert world.user not in world.mails[mail.id].unread_by


def test_of_several_mails_all_are_marked_or_none(world: World) -> None:
    own = world.me.email
    got = next(one.id for one in world.table("mails") if own in one.to and world.user not in one.unread_by)
    sent = said(world, "mail_send", to=["P-0003"], subject="x", body="x")["sent"]["id"]
    assert "'mails.1': only mails that you got" in refused(world, "mail_mark", mails=[got, sent], mark="unread")
    assert world.user not in world.mails[got].unread_by


# Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["P-0001", "P-0002", "P-0064"])
def test_files_are_found_where_they_may_be_read(world: World, user: str) -> None:
    world.act_for(user)
    home = world.me.department

    def may_read(file: File) -> bool:
        folder = world.folders[file.folder]
        return file.owner == user or user in dict(file.shared) or folder.scope == "company" or folder.holder == home

    readable = {file.id for file in world.table("files") if may_read(file) and not file.trashed}
    found = said(world, "files_search", limit=50)
    assert found["found"] == len(readable)
    assert {one["id"] for one in found["files"]} <= readable
    for file in list(world.table("files"))[::7]:
        if file.id in readable:
            shown = said(world, "files_read", file=file.id)
            assert shown["content"] == file.content
        elif file.owner != user:
            assert "that you can see" in refused(world, "files_read", file=file.id)
    trashed = said(world, "files_search", trashed=True, limit=50)["files"]
    assert {one["id"] for one in trashed} == {f.id for f in world.table("files") if f.trashed and f.owner == user}


def test_the_tree_is_walked_from_ones_own_folder(world: World) -> None:
    top = said(world, "files_list")
    assert top["name"] == world.me.name
    assert [one["name"] for one in top["folders"]] == ["Notes", "Drafts"]
    assert [one["name"] for one in top["other_top_folders"]] == ["Velmora", "Engineering"]
    inside = said(world, "files_list", folder=top["other_top_folders"][1]["id"])
    assert [one["name"] for one in inside["folders"]] == ["Plans", "Reports", "Budget", "Onboarding"]
    foreign = next(one for one in world.table("folders") if one.holder == "P-0050")
    assert "that you can see" in refused(world, "files_list", folder=foreign.id)


def test_a_folder_holds_no_two_files_of_one_name(world: World) -> None:
    file = own_file(world)
    call = {"folder": file.folder, "content": ""}
    assert "already" in refused(world, "files_create", name="My Plan.md", **call)
    assert "already" in refused(world, "files_copy", file=file.id, folder=file.folder)
    other = said(world, "files_create", name="other.md", **call)["created"]["id"]
    assert "already" in refused(world, "files_rename", file=other, name="MY plan.md")
    said(world, "files_rename", file=file.id, name="My Plan.md")  # its own name, in other capitals
    notes = said(world, "files_list")["folders"][0]["id"]
    said(world, "files_copy", file=file.id, folder=notes)
    assert "already" in refused(world, "files_move", file=file.id, folder=notes)
    said(world, "files_delete", file=other)
    said(world, "files_rename", file=file.id, name="other.md")
    assert "already" in refused(world, "files_restore", file=other)


@pytest.mark.parametrize("name", ["plan", ".md", "plan.exe", "a/b.md", " ", "a\n.md", "plan.MD"])
def test_names_of_files_have_a_known_ending(world: World, name: str) -> None:
    folder = said(world, "files_list")["id"]
    assert "'name'" in refused(world, "files_create", folder=folder, name=name, content="")


def test_what_is_read_only_stays_as_it_is(world: World) -> None:
    file = own_file(world)
    said(world, "files_protect", file=file.id, read_only=True)
    notes = said(world, "files_list")["folders"][0]["id"]
    for name, more in (
        ("files_write", {"content": "x", "mode": "append"}),
        ("files_rename", {"name": "x.md"}),
        ("files_move", {"folder": notes}),
        ("files_delete", {}),
    ):
        assert "is read-only" in refused(world, name, file=file.id, **more)
    said(world, "files_share", file=file.id, person="P-0013", role="editor")
    world.act_for("P-0013")
    assert "is read-only" in refused(world, "files_write", file=file.id, content="x", mode="replace")
    assert "only the owner" in refused(world, "files_protect", file=file.id, read_only=False)


def test_editors_write_viewers_read_others_do_neither(world: World) -> None:
    file, user = own_file(world), world.user
    said(world, "files_share", file=file.id, person="P-0050", role="editor")
    said(world, "files_share", file=file.id, person="P-0051", role="viewer")
    world.act_for("P-0050")
    said(world, "files_write", file=file.id, content="Two.", mode="append")
    assert world.files[file.id].content == "One.\nTwo."
    assert "only the owner" in refused(world, "files_delete", file=file.id)
    assert "only the owner" in refused(world, "files_share", file=file.id, person="P-0052", role="viewer")
    world.act_for("P-0051")
    assert "you may read" in refused(world, "files_write", file=file.id, content="x", mode="append")
    world.act_for("P-0052")
    assert "that you can see" in refused(world, "files_write", file=file.id, content="x", mode="append")
    world.act_for(user)
    said(world, "files_share", file=file.id, person="P-0051", role="none")
    assert world.files[file.id].shared == (("P-0050", "editor"),)
    assert "you need no role" in refused(world, "files_share", file=file.id, person=user, role="viewer")


def test_confidential_files_stay_in_the_department(world: World) -> None:
    file = own_file(world, confidential=True)
    mate = next(one for one in world.table("people")
                if one.department == world.me.department and one.id != world.user)  # fmt: skip
    said(world, "files_share", file=file.id, person=mate.email, role="viewer")
    assert "stays in your department" in refused(world, "files_share", file=file.id, person="P-0050", role="viewer")
    said(world, "files_share", file=file.id, person="P-0050", role="none")
    company = next(one.id for one in world.table("folders") if one.name == "Policies")
    assert "cannot lie where everybody" in refused(world, "files_move", file=file.id, folder=company)
    assert "cannot lie where everybody" in refused(world, "files_copy", file=file.id, folder=company)
    call = {"folder": company, "name": "x.md", "content": "", "confidential": True}
    assert "cannot lie where everybody" in refused(world, "files_create", **call)


def test_who_writes_where(world: World) -> None:
    folders = {one.name: one.id for one in world.table("folders") if one.scope != "personal" and not one.parent}
    make = {"name": "New", "parent": folders["Velmora"]}
    said(world, "files_make_folder", **make)  # the default user heads a department
    assert "already" in refused(world, "files_make_folder", **make)
    assert "is not yours" in refused(world, "files_make_folder", name="x", parent=folders["Sales"])
    made = said(world, "files_make_folder", name="x", parent=folders["Engineering"])["created"]
    assert (made["scope"], made["holder"]) == ("department", world.me.department)
    world.act_for("P-0013")
    assert "only heads of departments" in refused(world, "files_make_folder", name="y", parent=folders["Velmora"])


def test_a_copy_is_ones_own(world: World) -> None:
    policy = next(one for one in world.table("files") if one.read_only and one.owner != world.user)
    top = said(world, "files_list")["id"]
    id_ = said(world, "files_copy", file=policy.id, folder=top, name="mine.pdf")["created"]["id"]
    copy = world.files[id_]
    assert copy == policy._replace(
        id=id_, name="mine.pdf", folder=top, owner=world.user, read_only=False, shared=(), modified_at=world.now
    )
    assert "the ending stays" in refused(world, "files_copy", file=policy.id, folder=top, name="mine.md")
    assert "the ending stays" in refused(world, "files_rename", file=id_, name="mine.md")


def test_the_trash_gives_back(world: World) -> None:
    file = own_file(world)
    said(world, "files_share", file=file.id, person="P-0050", role="viewer")
    said(world, "files_delete", file=file.id)
    assert "is in the trash" in refused(world, "files_read", file=file.id)
    assert "is in the trash" in refused(world, "files_delete", file=file.id)
    user = world.user
    world.act_for("P-0050")
    assert "that you can see" in refused(world, "files_read", file=file.id)
    assert "that you can see" in refused(world, "files_restore", file=file.id)
    world.act_for(user)
    said(world, "files_restore", file=file.id)
    assert not world.files[file.id].trashed
    assert "is not in the trash" in refused(world, "files_restore", file=file.id)


def test_files_do_not_grow_without_end(world: World) -> None:
    file = own_file(world)
    for _ in range(2):
        said(world, "files_write", file=file.id, content="x" * 20_000, mode="append")
    assert "at most 50000" in refused(world, "files_write", file=file.id, content="x" * 20_000, mode="append")
    assert "is too long" in refused(world, "files_write", file=file.id, content="x" * 20_001, mode="replace")


# Contacts --------------------------------------------------------------------------------------------------------


def test_contacts_are_seen_by_their_owner_or_by_all(world: World) -> None:
    for user in ("P-0002", "P-0040"):
        world.act_for(user)
        seen = {one.id for one in world.table("contacts") if one.shared or one.owner == user}
        assert said(world, "contacts_search", limit=50)["found"] == len(seen)
        mine = said(world, "contacts_search", mine=True, limit=50)["contacts"]
        assert {one["id"] for one in mine} == {one.id for one in world.table("contacts") if one.owner == user}
    hidden = hidden_contact(world)
    for name in ("contacts_get", "contacts_delete"):
        assert "that you can see" in refused(world, name, contact=hidden.id)
        assert "that you can see" in refused(world, name, contact=hidden.email)


def test_only_ones_own_contacts_are_changed(world: World) -> None:
    contact = shared_contact(world)
    assert "you can change your own only" in refused(world, "contacts_update", contact=contact.id, name="x")
    assert "you can change your own only" in refused(world, "contacts_delete", contact=contact.email)
    world.act_for(contact.owner)
    said(world, "contacts_update", contact=contact.id, phone="+49 30 1234567", shared=False)
    assert world.contacts[contact.id] == contact._replace(phone="+49 30 1234567", shared=False)
    assert "Nothing to change" in refused(world, "contacts_update", contact=contact.id)
    said(world, "contacts_delete", contact=contact.id)
    assert world.contacts.get(contact.id) is None


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"email": "ada"}, "is no e-mail address"),
        ({"email": "ada@lund"}, "is no e-mail address"),
        ({"email": "ada lund@lund.example"}, "is no e-mail address"),
        ({"email": "ada.lund@velmora.example"}, "are in the directory"),
        ({"phone": "030 1234567"}, "is no phone number in international form"),
        ({"phone": "+49 30 12x"}, "is no phone number"),
        ({"name": " "}, "'name'"),
        ({"company": "\t"}, "'company'"),
    ],
)
def test_what_a_contact_cannot_be(world: World, wrong: dict[str, Any], told: str) -> None:
    assert told in refused(world, "contacts_add", **{"name": "Ada Lund", "email": "ada@lund.example", **wrong})


def test_an_address_is_there_once(world: World) -> None:
    said(world, "contacts_add", name="Ada Lund", email="Ada@Lund.example ")
    assert "is already the contact" in refused(world, "contacts_add", name="Ada", email="ada@lund.example")
    other = said(world, "contacts_add", name="Ben Lund", email="ben@lund.example")["created"]["id"]
    assert "is already the contact" in refused(world, "contacts_update", contact=other, email="ada@lund.example")
    said(world, "contacts_update", contact=other, email="BEN@lund.example")
    world.act_for("P-0040")
    said(world, "contacts_add", name="Ada Lund", email="ada@lund.example")  # what others hold privately is not known
