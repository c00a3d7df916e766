"""The tree of the file system: what it holds, whether two are equal, and how it is stored."""

from __future__ import annotations

from typing import Any

__all__ = ["Directory", "File", "pack", "same_tree", "unpack"]


class File:
    """A name and a content, which is a text unless a tool was given something else."""

    __slots__ = ("content", "name")

    def __init__(self, name: str, content: str) -> None:
        self.name, self.content = name, content


class Directory:
    """A name, what it holds, and where `..` leads.

    Officially a directory that is moved or renamed is made anew and keeps what it held; what it held still has the old
    directory as its parent. A copied directory shares the files and directories inside it with the original.
    """

    __slots__ = ("contents", "name", "parent")

    def __init__(self, name: str, parent: Directory | None) -> None:
        self.name, self.parent = name, parent
        self.contents: dict[str, Item] = {}

    def add_file(self, name: str, content: str) -> None:
        """A new file.

        Raises:
            ValueError: The name is taken.
        """
        if name in self.contents:
            raise ValueError(f"File '{name}' already exists in directory '{self.name}'.")
        self.contents[name] = File(name, content)

    def add_directory(self, name: str) -> Directory:
        """A new directory.

        Raises:
            ValueError: The name is taken.
        """
        if name in self.contents:
            raise ValueError(f"Directory '{name}' already exists in directory '{self.name}'.")
        made = self.contents[name] = Directory(name, self)
        return made

    def add(self, name: str, item: Item, copied: bool) -> None:
        """An existing file or directory under a name, its directory's contents shared or (`copied`) listed anew."""
        if isinstance(item, File):
            self.add_file(name, item.content)
        else:
            made = self.add_directory(name)
            made.contents = dict(item.contents) if copied else item.contents


Item = File | Directory


def same_tree(first: Item, second: Item) -> bool:
    """Equal names, contents and children in any order; parents do not count. Loops and shared parts are fine."""
    stack = [(first, second)]
    seen: set[tuple[int, int]] = set()
    while stack:
        a, b = stack.pop()
        if a.name != b.name:
            return False
        if isinstance(a, File) or isinstance(b, File):
            if not (isinstance(a, File) and isinstance(b, File)) or a.content != b.content:
                return False
            continue
        key = (id(a.contents), id(b.contents))
        if key in seen:
            continue
        seen.add(key)
        if a.contents.keys() != b.contents.keys():
            return False
        stack.extend((item, b.contents[name]) for name, item in a.contents.items())
    return True


def pack(*roots: Directory) -> dict[str, Any]:
    """Trees as flat lists, whatever their depth, with every shared file and listing stored once."""
    nodes: list[Any] = []
    listings: list[dict[str, int]] = []
    places: dict[int, int] = {}
    listing_places: dict[int, int] = {}
    queue: list[Item] = []

    def place(item: Item) -> int:
        if id(item) not in places:
            places[id(item)] = len(queue)
            queue.append(item)
        return places[id(item)]

    starts = [place(root) for root in roots]
    for item in queue:  # grows while it is read
        if isinstance(item, File):
            nodes.append((item.name, item.content))
            continue
        if id(item.contents) not in listing_places:
            listing_places[id(item.contents)] = len(listings)
            listings.append({name: place(child) for name, child in item.contents.items()})
        parent = -1 if item.parent is None else place(item.parent)
        nodes.append((item.name, parent, listing_places[id(item.contents)]))
    return {"starts": starts, "nodes": nodes, "listings": listings}


def unpack(stored: dict[str, Any]) -> tuple[Directory, ...]:
    """What `pack` was given, made anew."""
    nodes: list[Any] = [
        File(entry[0], entry[1]) if len(entry) == 2 else Directory(entry[0], None) for entry in stored["nodes"]
    ]
    listings = [{name: nodes[index] for name, index in listing.items()} for listing in stored["listings"]]
    for node, entry in zip(nodes, stored["nodes"], strict=True):
        if isinstance(node, Directory):
            node.parent = None if entry[1] < 0 else nodes[entry[1]]
            node.contents = listings[entry[2]]
    return tuple(nodes[index] for index in stored["starts"])
