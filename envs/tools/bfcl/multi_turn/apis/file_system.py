"""A small file system with the commands of a shell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from palaestra.envs.tools.bfcl.multi_turn.apis.base import Api, Result
from palaestra.envs.tools.bfcl.multi_turn.apis.files import Directory, File, pack, same_tree, unpack
from palaestra.envs.tools.bfcl.multi_turn.published import published_table

__all__ = ["GorillaFileSystem"]

MOST_ENTRIES = 100_000  # copies share what they hold, so that a few calls can make exponentially many paths


def _bad_name(name: str) -> bool:
    return any(character in name for character in '|/\\?%*:"><')


class GorillaFileSystem(Api):
    """Files and directories; most commands work on names in the current directory."""

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        self.long_context = long_context
        self.root = Directory("/", None)
        if "root" in scenario:
            name, entry = next(iter(scenario["root"].items()))
            self.root = Directory(name, None)
            self._fill(self.root, entry["contents"])
        self._current = self.root

    def _fill(self, directory: Directory, contents: Mapping[str, Any]) -> None:
        bottom = True
        for name, entry in contents.items():
            if entry["type"] == "directory":
                bottom = False
                child = Directory(name, directory)
                self._fill(child, entry["contents"])
                directory.contents[name] = child
            elif entry["type"] == "file":
                content = entry["content"]
                if self.long_context and name not in published_table("long_context.py", "FILES_TAIL_USED"):
                    content += published_table("long_context.py", "FILE_CONTENT_EXTENSION")
                directory.contents[name] = File(name, content)
        if bottom and self.long_context:
            for name in published_table("long_context.py", "POPULATE_FILE_EXTENSION"):
                directory.add_file(name, "")

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state["root"], state["_current"] = None, None
        return {"attributes": state, "tree": pack(self.root, self._current)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state["attributes"])
        self.root, self._current = unpack(state["tree"])

    def _same(self, other: Api) -> bool:
        return (
            isinstance(other, GorillaFileSystem)
            and self.long_context == other.long_context
            and same_tree(self.root, other.root)
        )

    def _navigate(self, path: str | None) -> Directory | Result:
        if path is None or path == ".":
            return self._current
        if path == "/":
            return self.root
        names = path.strip("/").split("/")
        directory = self.root if path.startswith("/") else self._current
        for name in names:
            item = directory if name == "." else directory.contents.get(name)
            if not isinstance(item, Directory):
                return {"error": f"cd: '{path}': No such file or directory"}
            directory = item
        return directory

    def _item(self, name: str) -> File | Directory:
        """Of a name that is there. A dot means the directory itself, even where something is called a dot."""
        return self._current if name == "." else self._current.contents[name]

    def _file(self, name: str) -> File | None:
        item = self._item(name) if name in self._current.contents else None
        return item if isinstance(item, File) else None

    def pwd(self) -> Result:
        """The path of the current directory."""
        names = []
        directory: Directory | None = self._current
        while directory is not None:
            names.append(directory.name)
            directory = directory.parent
        return {"current_working_directory": "/" + "/".join(reversed(names))}

    def ls(self, a: bool = False) -> Result:
        """Names in the current directory, with `a` the hidden ones too."""
        names = list(self._current.contents)
        return {"current_directory_content": names if a else [name for name in names if not name.startswith(".")]}

    def cd(self, folder: str) -> Result:
        """Goes one level down, up, or to the root."""
        folder = folder.rstrip("/") or "/"
        if folder not in (".", "..", "/") and "/" in folder:
            return {"error": f"cd: {folder}: Unsupported path. Only one folder level at a time is supported."}
        if folder == "..":
            if self._current.parent is None:  # true of the root alone
                return {"error": "Current directory is already the root. Cannot go back."}
            self._current = self._current.parent
            return {}
        found = self._navigate(folder)
        if isinstance(found, dict):
            return found
        self._current = found
        return {"current_working_directory": found.name}

    def mkdir(self, dir_name: str) -> Result | None:
        """Makes a directory in the current one."""
        if _bad_name(dir_name):
            return {"error": f"mkdir: cannot create directory '{dir_name}': Invalid character"}
        if dir_name in self._current.contents:
            return {"error": f"mkdir: cannot create directory '{dir_name}': File exists"}
        self._current.add_directory(dir_name)
        return None

    def touch(self, file_name: str) -> Result | None:
        """Makes an empty file."""
        if _bad_name(file_name):
            return {"error": f"touch: cannot touch '{file_name}': Invalid character"}
        if file_name in self._current.contents:
            return {"error": f"touch: cannot touch '{file_name}': File exists"}
        self._current.add_file(file_name, "")
        return None

    def echo(self, content: str, file_name: str | None = None) -> Result | None:
        """Shows a text, or writes it to an existing file."""
        if file_name is None:
            return {"terminal_output": content}
        if _bad_name(file_name):
            return {"error": f"echo: cannot write to '{file_name}': Invalid character"}
        if not file_name:
            return {"terminal_output": content}
        if file_name not in self._current.contents:
            return {"error": f"echo: cannot write to '{file_name}': No such file"}
        item = self._item(file_name)
        if not isinstance(item, File):
            raise AttributeError("'Directory' object has no attribute '_write'")
        item.content = content
        return None

    def cat(self, file_name: str) -> Result:
        """A file's content."""
        if _bad_name(file_name):
            return {"error": f"cat: '{file_name}': Invalid character"}
        if file_name not in self._current.contents:
            return {"error": f"cat: '{file_name}': No such file or directory"}
        item = self._item(file_name)
        return (
            {"file_content": item.content}
            if isinstance(item, File)
            else {"error": f"cat: '{file_name}': Is a directory"}
        )

    def find(self, path: str = ".", name: str | None = None) -> Result:
        """Everything below a directory whose name contains `name`."""
        start = self._navigate(path)
        if isinstance(start, dict):
            return {"error": start["error"].replace("cd:", "find:", 1)}
        return {
            "matches": [
                f"{base}/{entry}" for base, entry, _ in _walk(start, path.rstrip("/")) if name is None or name in entry
            ]
        }

    def wc(self, file_name: str, mode: str = "l") -> Result:
        """Counts lines, words or characters of a file."""
        if mode not in ["l", "w", "c"]:
            return {"error": f"wc: invalid mode '{mode}'"}
        file = self._file(file_name)
        if file is None:
            return {"error": f"wc: {file_name}: No such file or directory"}
        if mode == "l":
            return {"count": len(file.content.splitlines()), "type": "lines"}
        if mode == "w":
            return {"count": len(file.content.split()), "type": "words"}
        return {"count": len(file.content), "type": "characters"}

    def sort(self, file_name: str) -> Result:
        """A file's lines in order; the file stays as it is."""
        file = self._file(file_name)
        if file is None:
            return {"error": f"sort: {file_name}: No such file or directory"}
        return {"sorted_content": "\n".join(sorted(file.content.splitlines()))}

    def grep(self, file_name: str, pattern: str) -> Result:
        """The lines of a file that contain a text."""
        file = self._file(file_name)
        if file is None:
            return {"error": f"grep: {file_name}: No such file or directory"}
        return {"matching_lines": [line for line in file.content.splitlines() if pattern in line]}

    def du(self, human_readable: bool = False) -> Result:
        """Bytes below the current directory."""
        size: float = sum(
            len(item.content.encode("utf-8")) for _, _, item in _walk(self._current, "") if isinstance(item, File)
        )
        if not human_readable:
            return {"disk_usage": f"{size} bytes"}
        for unit in ("B", "KB", "MB", "GB", "TB"):
            if size < 1024:
                return {"disk_usage": f"{size:.2f} {unit}"}
            size /= 1024
        return {"disk_usage": f"{size:.2f} PB"}

    def tail(self, file_name: str, lines: int = 10) -> Result:
        """The last lines of a file."""
        file = self._file(file_name)
        if file is None:
            return {"error": f"tail: {file_name}: No such file or directory"}
        content = file.content.splitlines()
        if lines > len(content):
            lines = len(content)
        return {"last_lines": "\n".join(content[-lines:])}

    def diff(self, file_name1: str, file_name2: str) -> Result:
        """The lines in which two files differ."""
        # Both names are looked up first, as a name that cannot be looked up is an error whatever the other is.
        first, second = self._file(file_name1), None
        if file_name1 in self._current.contents:
            second = self._file(file_name2)
        if first is None or second is None:
            return {"error": f"diff: {file_name1} or {file_name2}: No such file or directory"}
        pairs = zip(first.content.splitlines(), second.content.splitlines(), strict=False)
        return {"diff_lines": "\n".join(f"- {old}\n+ {new}" for old, new in pairs if old != new)}

    def mv(self, source: str, destination: str) -> Result:
        """Moves into a directory, or renames."""
        here = self._current.contents
        if source not in here:
            return {"error": f"mv: cannot move '{source}': No such file or directory"}
        item = self._item(source)
        if "/" in destination:
            return {"error": "mv: path not allowed in destination. Provide only a file or directory name."}
        if destination not in here:
            del here[source]
            self._current.add(destination, item, copied=False)
            return {"result": f"'{source}' moved to '{destination}'"}
        into = self._item(destination)
        if not isinstance(into, Directory):
            return {"error": f"mv: cannot move '{source}' to '{destination}': Not a directory"}
        if source in into.contents:
            return {"error": f"mv: cannot move '{source}' to '{destination}/{source}': File exists"}
        del here[source]
        into.add(source, item, copied=False)
        return {"result": f"'{source}' moved to '{destination}/{source}'"}

    def rm(self, file_name: str) -> Result:
        """Removes a file or a whole directory."""
        if file_name not in self._current.contents:
            return {"error": f"rm: cannot remove '{file_name}': No such file or directory"}
        del self._current.contents[file_name]
        return {"result": f"'{file_name}' removed"}

    def rmdir(self, dir_name: str) -> Result:
        """Removes an empty directory."""
        if dir_name not in self._current.contents:
            return {"error": f"rmdir: cannot remove '{dir_name}': No such file or directory"}
        item = self._item(dir_name)
        if not isinstance(item, Directory):
            return {"error": f"rmdir: cannot remove '{dir_name}': Not a directory"}
        if item.contents:
            return {"error": f"rmdir: cannot remove '{dir_name}': Directory not empty"}
        del self._current.contents[dir_name]
        return {"result": f"'{dir_name}' removed"}

    def cp(self, source: str, destination: str) -> Result:
        """Copies into a directory, or under a new name; a copied directory shares its files with the original."""
        here = self._current.contents
        if source not in here:
            return {"error": f"cp: cannot copy '{source}': No such file or directory"}
        item = self._item(source)
        if "/" in destination:
            return {"error": "cp: path not allowed in destination. Provide only a file or directory name."}
        if destination not in here:
            self._current.add(destination, item, copied=True)
            return {"result": f"'{source}' copied to '{destination}'"}
        into = self._item(destination)
        if not isinstance(into, Directory):
            return {"error": f"cp: cannot copy '{source}' to '{destination}': Not a directory"}
        into.add(source, item, copied=True)
        return {"result": f"'{source}' copied to '{destination}/{source}'"}


def _walk(directory: Directory, base: str) -> Iterator[tuple[str, str, File | Directory]]:
    """(path of the directory, name, item) of everything below, parents first, in the order of making."""
    stack = [(base, iter(directory.contents.items()))]
    seen = 0
    while stack:
        path, entries = stack[-1]
        for name, item in entries:
            seen += 1
            if seen > MOST_ENTRIES or len(stack) > 900:
                raise RecursionError("maximum recursion depth exceeded")
            yield path, name, item
            if isinstance(item, Directory):
                stack.append((f"{path}/{name}", iter(item.contents.items())))
                break
        else:
            stack.pop()
