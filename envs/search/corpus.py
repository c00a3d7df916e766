"""Corpora: passages in a fixed order, held in memory or read from a memory-mapped file."""

from __future__ import annotations

import gzip
import hashlib
import json
import mmap
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from palaestra.envs.search.passages import Passage
from palaestra.envs.search.sharing import Shared
from palaestra.errors import ConfigError, DataError, UnknownNameError

__all__ = ["Corpus", "load_corpus", "passage_from_fields", "well_formed"]

_ACCEPTED = "A passage has the fields 'id', 'title', 'text', or 'id' and 'contents' (title, line break, text)."
_IN_MEMORY_BYTES = 256 * 2**20
_FILES: Shared[Corpus] = Shared()
"""Files in use; weakly held, so that several environments over one file hold its passages once."""


class Corpus(Sequence[Passage]):
    """Passages in a fixed order, found by position or by id.

    Made by `load_corpus`.

    Attributes:
        digest: SHA-256 over the ids, titles and texts in order, as hexadecimal digits. It does not depend on how the
            passages were stored, so the same passages from a file and from memory share their indices.
        source: The file the passages came from, or None.
    """

    digest: str
    source: Path | None

    def __init__(self, passages: Sequence[Passage], *, digest: str, ids: _Ids, source: Path | None = None) -> None:
        self._passages, self.digest, self._ids, self.source = passages, digest, ids, source

    def __len__(self) -> int:
        return len(self._passages)

    def __iter__(self) -> Iterator[Passage]:
        return iter(self._passages)

    @overload
    def __getitem__(self, index: int) -> Passage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Passage]: ...
    def __getitem__(self, index: int | slice) -> Passage | Sequence[Passage]:
        return self._passages[index]

    def __repr__(self) -> str:
        return f"<Corpus of {len(self):,} passages, digest {self.digest[:12]}>"

    def position(self, passage_id: str) -> int:
        """The position of the passage with this id.

        Raises:
            UnknownNameError: There is none.
        """
        for position in self._ids.candidates(passage_id):
            if self._passages[position].id == passage_id:
                return position
        raise UnknownNameError("passage", str(passage_id), (passage.id for passage in self[:1000]))

    def by_id(self, passage_id: str) -> Passage:
        """The passage with this id.

        Raises:
            UnknownNameError: There is none.
        """
        return self[self.position(passage_id)]

    def __deepcopy__(self, memo: object) -> Corpus:
        return self  # never changes; Gymnasium copies an environment's arguments whenever its spec is looked at

    def __reduce__(self) -> tuple[Any, ...]:
        # A file is named, not copied; the digest says whether it is still the same on the other side.
        if self.source is not None:
            return _reload, (self.source, self.digest)
        return load_corpus, (tuple(self._passages),)


def load_corpus(
    source: str | os.PathLike[str] | Iterable[Passage | Mapping[str, Any] | Sequence[str]],
    *,
    in_memory: bool | None = None,
) -> Corpus:
    """Reads and checks a corpus.

    A file is JSONL, one passage a line, UTF-8; a name ending in `.gz` is unpacked while reading. Each line has `id`
    (a string or an integer) and either `title` and `text`, or `contents` as in Search-R1's corpora: the title, quoted
    or not, a line break, the text. Further fields are ignored, and so are blank lines. White space in a title becomes
    single spaces, and unpaired surrogates become U+FFFD.

    Args:
        source: Path of a JSONL file, or passages: `Passage`, mappings with the fields above, or `(id, title, text)`.
        in_memory: Whether to hold the passages of a file in memory. If False, only their offsets are held and a
            passage is read from the memory-mapped file when it is asked for. None chooses False from 256 MiB on.
            Compressed files and iterables are always held in memory.

    Returns:
        The corpus.

    Raises:
        DataError: The file is missing or cannot be read, a line or field is wrong, an id comes twice, or there is no
            passage at all.
        ConfigError: `source` is neither a path nor an iterable.
    """
    if isinstance(source, Corpus):
        return source
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        try:
            facts = path.stat()
        except OSError as error:
            raise DataError(path, f"The corpus cannot be read: {_reason(error)}") from error
        key = (path.resolve(), facts.st_ino, facts.st_size, facts.st_mtime_ns, in_memory)
        return _FILES.get(key, lambda: _load_file(path, in_memory))
    if not isinstance(source, Iterable) or isinstance(source, bytes | Mapping):
        raise ConfigError(
            f"A corpus is the path of a JSONL file or an iterable of passages, not {type(source).__name__}."
        )
    reader = _Reader("the passages given")
    passages = tuple(reader.read(item, number) for number, item in enumerate(source, 1))
    return Corpus(passages, digest=reader.digest(), ids=reader.ids(passages))


def passage_from_fields(fields: Mapping[str, Any]) -> Passage:
    """A passage from the fields of a corpus file, or of a document in Search-R1's retrieval protocol.

    Args:
        fields: `id`, and `title` (may be absent) and `text`, or `contents`.

    Returns:
        The passage.

    Raises:
        KeyError: A field is missing; the argument is its name.
        TypeError: A field has a wrong type; the arguments are its name and what it should be.
    """
    passage_id = fields["id"]
    if isinstance(passage_id, bool) or not isinstance(passage_id, str | int) or passage_id == "":
        raise TypeError("id", "a string that is not empty, or an integer")
    if "text" not in fields and "contents" in fields:
        title, text = _split_contents(_text(fields, "contents"))
    else:
        text = _text(fields, "text")
        title = _text(fields, "title") if fields.get("title") is not None else ""
    return Passage(well_formed(str(passage_id)), " ".join(well_formed(title).split()), well_formed(text))


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise TypeError(name, "a string")
    return value


def _split_contents(contents: str) -> tuple[str, str]:
    title, _, text = contents.partition("\n")
    if len(title) > 1 and title[0] == title[-1] == '"':
        title = title[1:-1]
    return title, text


def well_formed(text: str) -> str:
    """The text with U+FFFD for every unpaired surrogate, which no file or answer of a server could hold."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Reader:
    """Checks passages one by one while it gathers their ids and the digest."""

    def __init__(self, name: object) -> None:
        self._name = name
        self._hash = hashlib.sha256()
        self._keys: list[int] = []

    def read(self, item: object, line: int) -> Passage:
        passage = self._passage(item, line)
        for part in (passage.id, passage.title, passage.text):
            data = part.encode()
            self._hash.update(len(data).to_bytes(8, "little"))
            self._hash.update(data)
        self._keys.append(_key(passage.id))
        return passage

    def _passage(self, item: object, line: int) -> Passage:
        if isinstance(item, Passage):
            item = {"id": item.id, "title": item.title, "text": item.text}
        elif isinstance(item, list | tuple) and len(item) == 3:
            item = dict(zip(("id", "title", "text"), item, strict=True))
        if not isinstance(item, Mapping):
            raise DataError(self._name, f"A passage cannot be a {type(item).__name__}. {_ACCEPTED}", line=line)
        try:
            return passage_from_fields(item)
        except KeyError as error:
            field = error.args[0]
            raise DataError(self._name, f"The field is missing. {_ACCEPTED}", line=line, field=field) from None
        except TypeError as error:
            field, wanted = error.args
            given = type(item[field]).__name__ if item[field] != "" else "an empty string"
            raise DataError(self._name, f"Must be {wanted}, not {given}.", line=line, field=field) from None

    def digest(self) -> str:
        return self._hash.hexdigest()

    def ids(self, passages: Sequence[Passage], lines: Sequence[int] | None = None) -> _Ids:
        if not self._keys:
            raise DataError(self._name, f"There is no passage. {_ACCEPTED}")
        ids = _Ids(np.array(self._keys, np.uint64))
        for group in ids.collisions():
            first_of: dict[str, int] = {}
            for position in group:
                passage_id = passages[position].id
                first = first_of.setdefault(passage_id, position)
                if first != position:
                    one, two = (lines[first], lines[position]) if lines is not None else (first + 1, position + 1)
                    problem = f"The id '{passage_id}' comes twice, first in line {one}. Ids must be unique."
                    raise DataError(self._name, problem, line=two, field="id")
        return ids


def _key(passage_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(passage_id.encode("utf-8", "replace"), digest_size=8).digest(), "little")


class _Ids:
    """Positions by 64-bit hashes of ids: 16 bytes a passage where a dictionary of strings takes some 200."""

    def __init__(self, keys: NDArray[np.uint64]) -> None:
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]

    def candidates(self, passage_id: object) -> list[int]:
        if not isinstance(passage_id, str):
            return []
        key = np.uint64(_key(passage_id))
        low, high = np.searchsorted(self._sorted, key, "left"), np.searchsorted(self._sorted, key, "right")
        return [int(position) for position in self._order[low:high]]

    def collisions(self) -> Iterator[list[int]]:
        """Groups of positions whose hashes are equal, each in rising order."""
        same = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        for key in np.unique(self._sorted[same]):
            low, high = np.searchsorted(self._sorted, key, "left"), np.searchsorted(self._sorted, key, "right")
            yield [int(position) for position in self._order[low:high]]


class _FilePassages(Sequence[Passage]):
    """The passages of a JSONL file, each read when it is asked for."""

    def __init__(self, path: Path, data: mmap.mmap, offsets: NDArray[np.int64]) -> None:
        self._path, self._data, self._offsets = path, data, offsets

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, index: int) -> Passage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Passage]: ...
    def __getitem__(self, index: int | slice) -> Passage | Sequence[Passage]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start = int(self._offsets[index])
        end = self._data.find(b"\n", start)
        try:
            return passage_from_fields(json.loads(self._data[start : end if end >= 0 else len(self._data)]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(self._path, "The file was changed while it was in use. Load the corpus again.") from error


def _load_file(path: Path, in_memory: bool | None) -> Corpus:
    packed = path.suffix == ".gz"
    try:
        size = path.stat().st_size
        mapped = not packed and not (size < _IN_MEMORY_BYTES if in_memory is None else in_memory)
        with gzip.open(path) if packed else path.open("rb") as file:
            reader, lines, offsets, passages = _Reader(path), list[int](), list[int](), list[Passage]()
            offset = 0
            for number, line in enumerate(file, 1):
                if line.strip(b" \t\r\n\xef\xbb\xbf"):
                    passage = reader.read(_parse(path, line, number), number)
                    lines.append(number)
                    if mapped:
                        offsets.append(offset + (3 if line.startswith(b"\xef\xbb\xbf") else 0))
                    else:
                        passages.append(passage)
                offset += len(line)
            if not mapped or not lines:
                held = tuple(passages)
                return Corpus(held, digest=reader.digest(), ids=reader.ids(held, lines), source=path.absolute())
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, f"The corpus cannot be read: {_reason(error)}") from error
    stored = _FilePassages(path, view, np.array(offsets, np.int64))
    return Corpus(stored, digest=reader.digest(), ids=reader.ids(stored, lines), source=path.absolute())


def _parse(path: Path, line: bytes, number: int) -> object:
    try:
        return json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(path, f"Not UTF-8 from byte {error.start} of the line on.", line=number) from None
    except (ValueError, RecursionError) as error:
        problem = f"Not a JSON object ({error}). Each line must be one JSON object. {_ACCEPTED}"
        raise DataError(path, problem, line=number) from None


def _reason(error: BaseException) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__


def _reload(path: Path, digest: str) -> Corpus:
    corpus = load_corpus(path)
    if corpus.digest != digest:
        raise DataError(path, f"The corpus changed: its digest was {digest[:12]} and is {corpus.digest[:12]}.")
    return corpus
