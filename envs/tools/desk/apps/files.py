"""Files: a tree of folders, shared by role; read-only files stay as they are."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.desk.office import Office
from palaestra.envs.tools.desk.tooling import DeskTool, boolean, choice, identifier, integer, text, tool
from palaestra.errors import ToolError

__all__ = ["TOOLS"]


def search(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def list_folder(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def read(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def create(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def write(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def rename(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def move(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def copy(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def share(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def protect(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def delete(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def restore(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def make_folder(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


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
