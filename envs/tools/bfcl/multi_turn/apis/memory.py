"""The memories of the agentic categories: what an assistant keeps from one conversation to the next."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from palaestra.envs.tools.bfcl.multi_turn.apis.base import Api, Result
from palaestra.envs.tools.bfcl.multi_turn.apis.bm25 import bm25_plus

__all__ = ["MemoryAPI_kv", "MemoryAPI_rec_sum", "MemoryApi"]

MAX_TEXT = 1_000_000
"""Characters that a replacement may make of a text; officially there is no bound, and the machine's memory ends it."""

_SNAKE_CASE = re.compile(r"[a-z]+(_[a-z0-9]+)*$")
_SUMMARY_LENGTH = 10_000


class MemoryApi(Api):
    """A memory, which says what of it stands in the prompt of a conversation."""

    def _shown(self) -> str:
        raise NotImplementedError


class MemoryAPI_kv(MemoryApi):
    """A short memory that is always shown, and a long one that is searched; both by keys."""

    _limits = {"core_memory": (7, 300, "Core memory"), "archival_memory": (50, 2000, "Long term memory")}  # noqa: RUF012

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        self.core_memory: dict[str, str] = dict(scenario.get("core_memory", {}))
        self.archival_memory: dict[str, str] = dict(scenario.get("archival_memory", {}))

    def _shown(self) -> str:
        if not self.core_memory:
            return "There is no content in the core memory at this point."
        return json.dumps(self.core_memory, indent=4)

    def _too_long(self, memory: str, value: str) -> Result | None:
        most = self._limits[memory][1]
        if len(value) <= most:
            return None
        return {"error": f"Entry is too long. Please shorten the entry to less than {most} characters."}

    def _add(self, memory: str, key: Any, value: Any, done: str) -> Result:
        held: dict[str, str] = getattr(self, memory)
        key, value = str(key), str(value)
        entries, _, name = self._limits[memory]
        if len(held) >= entries:
            return {"error": f"{name} is full. Please clear some entries."}
        problem = self._too_long(memory, value)
        if problem is not None:
            return problem
        if not _SNAKE_CASE.match(key):
            return {"error": "Key must be in snake_case format and cannot contain spaces."}
        if key in held:
            return {"error": "Key name must be unique."}
        held[key] = value
        return {"status": done}

    def _replace(self, memory: str, key: Any, value: Any) -> Result:
        held: dict[str, str] = getattr(self, memory)
        key, value = str(key), str(value)
        if key not in held:
            return {"error": "Key not found."}
        problem = self._too_long(memory, value)
        if problem is not None:
            return problem
        held[key] = value
        return {"status": "Key replaced."}

    def core_memory_add(self, key: Any, value: Any) -> Result:
        """Keeps a value under a new key."""
        return self._add("core_memory", key, value, "Key-value pair added.")

    def core_memory_remove(self, key: Any) -> Result:
        """Forgets a key."""
        return _removed(self.core_memory, key)

    def core_memory_replace(self, key: Any, value: Any) -> Result:
        """Keeps another value under a key."""
        return self._replace("core_memory", key, value)

    def core_memory_clear(self) -> Result:
        """Forgets all."""
        self.core_memory = {}
        return {"status": "Short term memory cleared."}

    def core_memory_retrieve(self, key: Any) -> Result:
        """The value of a key."""
        return _retrieved(self.core_memory, key)

    def core_memory_list_keys(self) -> Result:
        """All keys."""
        return {"keys": list(self.core_memory)}

    def core_memory_key_search(self, query: Any, k: Any = 5) -> Result:
        """The keys nearest to some words."""
        return _nearest(self.core_memory, query, k)

    def core_memory_retrieve_all(self) -> Result:
        """All keys with their values."""
        return self.core_memory

    def archival_memory_add(self, key: Any, value: Any) -> Result:
        """Keeps a value under a new key."""
        return self._add("archival_memory", key, value, "Key added.")

    def archival_memory_remove(self, key: Any) -> Result:
        """Forgets a key."""
        return _removed(self.archival_memory, key)

    def archival_memory_replace(self, key: Any, value: Any) -> Result:
        """Keeps another value under a key."""
        return self._replace("archival_memory", key, value)

    def archival_memory_clear(self) -> Result:
        """Forgets all."""
        self.archival_memory = {}
        return {"status": "Long term memory cleared."}

    def archival_memory_retrieve(self, key: Any) -> Result:
        """The value of a key."""
        return _retrieved(self.archival_memory, key)

    def archival_memory_list_keys(self) -> Result:
        """All keys."""
        return {"keys": list(self.archival_memory)}

    def archival_memory_key_search(self, query: Any, k: Any = 5) -> Result:
        """The keys nearest to some words."""
        return _nearest(self.archival_memory, query, k)


def _removed(held: dict[str, str], key: Any) -> Result:
    if key not in held:
        return {"error": "Key not found."}
    del held[key]
    return {"status": "Key removed."}


def _retrieved(held: dict[str, str], key: Any) -> Result:
    return {"value": held[key]} if key in held else {"error": "Key not found."}


def _nearest(held: dict[str, str], query: Any, k: Any) -> Result:
    keys = list(held)
    documents = [_words(key) for key in keys]
    if not documents:  # before anything is said of the query
        raise ZeroDivisionError("division by zero")
    ranked = sorted(zip(bm25_plus(_words(query), documents), keys, strict=True), key=lambda pair: -pair[0])
    return {"ranked_results": ranked[:k]}


def _words(text: Any) -> list[str]:
    words: list[str] = text.replace("_", " ").lower().split()
    return words


class MemoryAPI_rec_sum(MemoryApi):
    """One text, which the assistant keeps up to date."""

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        self.memory: str = scenario.get("memory", "")

    def _shown(self) -> str:
        return self.memory or "There is no content in the memory at this point."

    def memory_append(self, text: Any) -> Result:
        """Adds to the end of the text."""
        longer = self.memory + str(text)
        if len(longer) > _SUMMARY_LENGTH:
            return _too_long("appending")
        self.memory = longer
        return {"status": "Memory appended."}

    def memory_update(self, text: Any) -> Result:
        """Sets the text."""
        text = str(text)
        if len(text) > _SUMMARY_LENGTH:
            return _too_long("updating")
        self.memory = text
        return {"status": "Memory updated."}

    def memory_clear(self) -> Result:
        """Empties the text."""
        self.memory = ""
        return {"status": "Short term memory cleared."}

    def memory_replace(self, old_text: Any, new_text: Any) -> Result:
        """Replaces a part of the text wherever it stands."""
        old, new = str(old_text), str(new_text)
        if old not in self.memory:
            return {"error": f"Text '{old}' not found in memory."}
        # Only the new part is measured, not what it makes of the whole.
        if len(new) > _SUMMARY_LENGTH or len(self.memory) + self.memory.count(old) * (len(new) - len(old)) > MAX_TEXT:
            return _too_long("replacing")
        self.memory = self.memory.replace(old, new)
        return {"status": "Memory updated."}

    def memory_retrieve(self) -> Result:
        """The text."""
        return {"memory_content": self.memory} if self.memory else {"error": "Memory is empty."}


def _too_long(doing: str) -> Result:
    most = _SUMMARY_LENGTH
    return {"error": f"Entry will be too long after {doing}. Please shorten the entry to less than {most} characters."}
