"""Files: a tree of folders, shared by role; read-only files stay as they are."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.desk.office import Office, clean, unknown
from palaestra.envs.tools.desk.records import File, Folder
from palaestra.envs.tools.desk.tooling import DeskTool, boolean, choice, identifier, integer, text, tool
from palaestra.errors import ToolError

__all__ = ["TOOLS", "readable"]

_KINDS = ("txt", "md", "csv", "docx", "xlsx", "pdf")
_LONGEST = 50_000


# What is so ------------------------------------------------------------------------------------------------------


def _role(office: Office, file: File) -> str:
    """The user's role: `owner`, `editor`, `viewer` or ""; in the trash only the owner's."""
    if file.owner == office.user:
        return "owner"
    if file.trashed:
        return ""
    for person, role in file.shared:
        if person == office.user:
            return role
    return "viewer" if _open(office, office.folders[file.folder]) else ""


def _open(office: Office, folder: Folder) -> bool:
    """Whether the user may look into a folder: the company's, their department's, their own."""
    return folder.scope == "company" or folder.holder in (office.user, office.me.department)


def _writable(office: Office, id_: str, field: str) -> Folder:
    """A folder into which the user may put things."""
    folder: Folder = office.find("folders", id_, field, "folder", "files_list")
    if not _open(office, folder):
        raise ToolError(f"In the field '{field}': {id_} is not yours; use a folder of yours or of your department.")
    if folder.scope == "company" and all(one.head != office.user for one in office.departments):
        raise ToolError(f"In the field '{field}': only heads of departments write to {folder.name} ({id_}).")
    return folder


def readable(office: Office, id_: str, field: str) -> File:
    """A file that the user may read and that is not in the trash."""
    file: File | None = office.files.get(id_)
    if file is None or not _role(office, file):
        raise unknown("files", id_, field, "file", "files_search")
    if file.trashed:
        raise ToolError(f"In the field '{field}': {file.name} ({id_}) is in the trash; files_restore brings it back.")
    return file


def _own(office: Office, id_: str, *, fixed: bool = False) -> File:
    """A file of the user's; `fixed` allows read-only ones."""
    file = readable(office, id_, "file")
    if file.owner != office.user:
        owner = office.people[file.owner]
        raise ToolError(
            f"In the field 'file': {file.name} ({id_}) belongs to {owner.name}; only the owner may do this."
        )
    if file.read_only and not fixed:
        raise _read_only(file)
    return file


def _read_only(file: File) -> ToolError:
    return ToolError(
        f"In the field 'file': {file.name} ({file.id}) is read-only; its owner can change that (files_protect)."
    )


# What must be so -------------------------------------------------------------------------------------------------


def _name(office: Office, name: str, folder: str, field: str) -> str:
    """A name with a proper ending that is free in the folder."""
    name = clean(name, field)
    stem, _, kind = name.rpartition(".")
    if not stem or kind not in _KINDS or "/" in name:
        endings = ", ".join(f".{one}" for one in _KINDS)
        raise ToolError(
            f"In the field '{field}': {name!r} is no file name. Write it without '/' and end it in {endings}."
        )
    for other in office.files.where("folder", folder):
        if other.name.casefold() == name.casefold() and not other.trashed:
            raise ToolError(
                f"In the field '{field}': the folder {folder} has a file {other.name} already ({other.id})."
            )
    return name


def _check_inside(file: File, folder: Folder, field: str) -> None:
    if file.confidential and folder.scope == "company":
        raise ToolError(f"In the field '{field}': {file.name} is confidential and cannot lie where everybody reads it.")


# What is shown ---------------------------------------------------------------------------------------------------


def _brief(office: Office, file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "name": file.name,
        "folder": file.folder,
        "owner": office.people[file.owner].name,
        "modified_at": file.modified_at,
    }


def _full(office: Office, file: File) -> dict[str, Any]:
    folder = office.folders[file.folder]
    people = office.people
    return {
        **_brief(office, file),
        "folder": {"id": folder.id, "name": folder.name, "scope": folder.scope},
        "confidential": file.confidential,
        "read_only": file.read_only,
        "shared": [{"id": one, "name": people[one].name, "role": role} for one, role in file.shared],
        "your_role": _role(office, file),
    }


# The tools -------------------------------------------------------------------------------------------------------


def search(
    office: Office,
    query: str | None = None,
    owner: str | None = None,
    kind: str | None = None,
    trashed: bool = False,
    limit: int = 10,
) -> dict[str, Any]:
    """`files_search`."""
    files = office.files
    found = {file.id: file for file in files.where("owner", office.user)}
    if not trashed:
        found |= {file.id: file for file in files.where("shared", office.user)}
        for holder in ("", office.me.department):
            for folder in office.folders.where("holder", holder):
                found |= {file.id: file for file in files.where("folder", folder.id)}
    whose = None if owner is None else office.person(owner, "owner").id
    left = [
        file
        for file in found.values()
        if file.trashed == trashed and (whose is None or file.owner == whose) and (kind is None or file.kind == kind)
    ]
    if query is not None:
        left = files.search(left, query)
    left.sort(key=lambda file: (file.name, file.id))
    return {"files": [_brief(office, file) for file in left[:limit]], "found": len(left)}


def list_folder(office: Office, folder: str | None = None) -> dict[str, Any]:
    """`files_list`."""
    if folder is None:
        found = next(one for one in office.folders.where("holder", office.user) if not one.parent)
    else:
        found = office.find("folders", folder, "folder", "folder", "files_list")
        if not _open(office, found):
            raise unknown("folders", folder, "folder", "folder", "files_list")
    files = sorted(office.files.where("folder", found.id), key=lambda file: (file.name, file.id))
    shown: dict[str, Any] = {
        "id": found.id,
        "name": found.name,
        "scope": found.scope,
        "folders": [{"id": one.id, "name": one.name} for one in office.folders.where("parent", found.id)],
        "files": [_brief(office, file) for file in files if not file.trashed],
    }
    if folder is None:
        tops = (one for holder in ("", office.me.department) for one in office.folders.where("holder", holder))
        shown["other_top_folders"] = [{"id": one.id, "name": one.name} for one in tops if not one.parent]
    return shown


def read(office: Office, file: str) -> dict[str, Any]:
    """`files_read`."""
    found = readable(office, file, "file")
    return {**_full(office, found), "content": found.content}


def create(office: Office, folder: str, name: str, content: str, confidential: bool = False) -> dict[str, Any]:
    """`files_create`."""
    place = _writable(office, folder, "folder")
    name = _name(office, name, folder, "name")
    kind = name.rpartition(".")[2]
    id_ = office.files.new_id()
    made = File(id_, name, folder, office.user, kind, content, confidential, False, (), office.now, False)
    _check_inside(made, place, "folder")
    return {"created": _full(office, office.files.add(made))}


def write(office: Office, file: str, content: str, mode: str) -> dict[str, Any]:
    """`files_write`."""
    old = readable(office, file, "file")
    if _role(office, old) not in ("owner", "editor"):
        owner = office.people[old.owner]
        raise ToolError(f"In the field 'file': you may read {old.name} ({file}) only; ask {owner.name} for more.")
    if old.read_only:
        raise _read_only(old)
    if mode == "append":
        content = f"{old.content}\n{content}" if old.content else content
    if len(content) > _LONGEST:
        raise ToolError(f"In the field 'content': the file would have {len(content)} characters; at most {_LONGEST}.")
    new = old._replace(content=content, modified_at=office.now)
    return {"written": _brief(office, office.files.put(new)), "characters": len(content)}


def rename(office: Office, file: str, name: str) -> dict[str, Any]:
    """`files_rename`."""
    old = _own(office, file)
    if clean(name, "name") == old.name:
        return {"renamed": _brief(office, old)}
    if not name.strip().endswith(f".{old.kind}"):
        raise ToolError(f"In the field 'name': the ending stays .{old.kind}.")
    same = name.strip().casefold() == old.name.casefold()  # only its capitals change: its own name is in nobody's way
    new = name.strip() if same else _name(office, name, old.folder, "name")
    return {"renamed": _brief(office, office.files.put(old._replace(name=new)))}


def move(office: Office, file: str, folder: str) -> dict[str, Any]:
    """`files_move`."""
    old = _own(office, file)
    place = _writable(office, folder, "folder")
    _check_inside(old, place, "folder")
    if folder != old.folder:
        _name(office, old.name, folder, "folder")
    return {"moved": _brief(office, office.files.put(old._replace(folder=folder)))}


def copy(office: Office, file: str, folder: str, name: str | None = None) -> dict[str, Any]:
    """`files_copy`."""
    old = readable(office, file, "file")
    place = _writable(office, folder, "folder")
    _check_inside(old, place, "folder")
    new = _name(office, old.name if name is None else name, folder, "folder" if name is None else "name")
    if new.rpartition(".")[2] != old.kind:
        raise ToolError(f"In the field 'name': the ending stays .{old.kind}.")
    made = old._replace(
        id=office.files.new_id(), name=new, folder=folder, owner=office.user, read_only=False, shared=(),
        modified_at=office.now,
    )  # fmt: skip
    return {"created": _full(office, office.files.add(made))}


def share(office: Office, file: str, person: str, role: str) -> dict[str, Any]:
    """`files_share`."""
    old = _own(office, file, fixed=True)
    other = office.person(person, "person")
    if other.id == office.user:
        raise ToolError("In the field 'person': the file is yours, and you need no role on it.")
    if role != "none" and old.confidential and other.department != office.me.department:
        raise ToolError(
            f"In the field 'person': {old.name} is confidential and stays in your department; {other.name} is in "
            f"{office.departments[other.department].name}."
        )
    roles = {**dict(old.shared), other.id: role}
    shared = tuple(sorted((one, how) for one, how in roles.items() if how != "none"))
    return {"shared": _full(office, office.files.put(old._replace(shared=shared)))}


def protect(office: Office, file: str, read_only: bool) -> dict[str, Any]:
    """`files_protect`."""
    old = _own(office, file, fixed=True)
    office.files.put(old._replace(read_only=read_only))
    return {"file": file, "name": old.name, "read_only": read_only}


def delete(office: Office, file: str) -> dict[str, Any]:
    """`files_delete`."""
    old = _own(office, file)
    office.files.put(old._replace(trashed=True))
    return {"trashed": file, "name": old.name}


def restore(office: Office, file: str) -> dict[str, Any]:
    """`files_restore`."""
    old: File | None = office.files.get(file)
    if old is None or old.owner != office.user:
        raise unknown("files", file, "file", "file", "files_search")
    if not old.trashed:
        raise ToolError(f"In the field 'file': {old.name} ({file}) is not in the trash.")
    _name(office, old.name, old.folder, "file")
    return {"restored": _brief(office, office.files.put(old._replace(trashed=False)))}


def make_folder(office: Office, parent: str, name: str) -> dict[str, Any]:
    """`files_make_folder`."""
    above = _writable(office, parent, "parent")
    name = clean(name, "name")
    for other in office.folders.where("parent", parent):
        if other.name.casefold() == name.casefold():
            raise ToolError(f"In the field 'name': {above.name} has a folder {other.name} already ({other.id}).")
    made = Folder(office.folders.new_id(), name, parent, above.scope, above.holder)
    return {"created": office.folders.add(made)._asdict()}


TOOLS: tuple[DeskTool, ...] = (
    tool(
        "files_search",
        "Finds files that you may read, by words of their name or content; by name.",
        search,
        optional={
            "query": text("Words that must all occur in name or content."),
            "owner": text("The owner's id (P-...) or e-mail address."),
            "kind": choice("Ending of the name.", "txt", "md", "csv", "docx", "xlsx", "pdf"),
            "trashed": boolean("Look in your trash instead; false by default."),
            "limit": integer("Most results; 10 by default.", 1, 50),
        },
    ),
    tool(
        "files_list",
        "Lists the folders and files in a folder.",
        list_folder,
        optional={"folder": identifier("The folder's id (FD-...); your own top folder by default.")},
    ),
    tool(
        "files_read",
        "Shows a file: content, owner, folder, with whom it is shared.",
        read,
        required={"file": identifier("The file's id (F-...).")},
    ),
    tool(
        "files_create",
        "Creates a file of yours in a folder that you may write to. A folder holds no two files of one name.",
        create,
        required={
            "folder": identifier("The folder's id (FD-...)."),
            "name": text("Name with one of the endings .txt, .md, .csv, .docx, .xlsx, .pdf.", 80),
            "content": text("Content.", 20_000, 0),
        },
        optional={"confidential": boolean("Whether it must stay inside the company; false by default.")},
        writes=True,
    ),
    tool(
        "files_write",
        "Replaces the content of a file or adds to its end. You must be its owner or an editor, and it not read-only.",
        write,
        required={
            "file": identifier("The file's id (F-...)."),
            "content": text("Content.", 20_000, 0),
            "mode": choice("'append' adds a new line and the content.", "replace", "append"),
        },
        writes=True,
    ),
    tool(
        "files_rename",
        "Renames a file of yours; the ending stays.",
        rename,
        required={"file": identifier("The file's id (F-...)."), "name": text("New name with its ending.", 80)},
        writes=True,
    ),
    tool(
        "files_move",
        "Moves a file of yours to another folder that you may write to.",
        move,
        required={"file": identifier("The file's id (F-...)."), "folder": identifier("The folder's id (FD-...).")},
        writes=True,
    ),
    tool(
        "files_copy",
        "Copies a file that you may read to a folder that you may write to. The copy is yours and shared with nobody.",
        copy,
        required={"file": identifier("The file's id (F-...)."), "folder": identifier("The folder's id (FD-...).")},
        optional={"name": text("Name of the copy; that of the file by default.", 80)},
        writes=True,
    ),
    tool(
        "files_share",
        "Gives a person a role on a file of yours, or takes it away. Confidential files can be shared within their "
        "owner's department only.",
        share,
        required={
            "file": identifier("The file's id (F-...)."),
            "person": identifier("With whom: id (P-...) or e-mail address."),
            "role": choice("'none' takes the role away.", "viewer", "editor", "none"),
        },
        writes=True,
    ),
    tool(
        "files_protect",
        "Makes a file of yours read-only, or writable again.",
        protect,
        required={"file": identifier("The file's id (F-...)."), "read_only": boolean("Whether it is read-only.")},
        writes=True,
    ),
    tool(
        "files_delete",
        "Moves a file of yours to the trash. Read-only files cannot be deleted.",
        delete,
        required={"file": identifier("The file's id (F-...).")},
        writes=True,
    ),
    tool(
        "files_restore",
        "Brings a file of yours back from the trash to its folder.",
        restore,
        required={"file": identifier("The file's id (F-...).")},
        writes=True,
    ),
    tool(
        "files_make_folder",
        "Makes a folder in a folder that you may write to.",
        make_folder,
        required={"parent": identifier("The parent folder's id (FD-...)."), "name": text("Name.", 60)},
        writes=True,
    ),
)
