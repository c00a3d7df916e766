"""The manifest of a run: what was asked, with what, and how it went. Never secrets."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import palaestra
from palaestra.errors import ConfigError

__all__ = ["HIDDEN", "cores", "differences", "machine", "now", "packages", "redact", "refuse_differences"]

HIDDEN = "(hidden)"
"""Stands for a secret."""

_SECRET = re.compile(r"key|token$|secret|password|passwd|credential|authorization", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_PACKAGES = ("gymnasium", "pettingzoo", "numpy", "torch", "transformers", "bm25s", "numba", "usearch", "httpx")


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def packages() -> dict[str, str]:
    """Versions of palaestra, Python, and what results may depend on, where installed."""
    found = {"palaestra": palaestra.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """What the run runs on: system, processor, number of cores that may be used, memory in bytes."""
    found: dict[str, Any] = {"system": platform.platform(), "processor": _processor(), "cores": cores()}
    with contextlib.suppress(ValueError, OSError, AttributeError):
        found["memory"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    torch = sys.modules.get("torch")  # asked only when somebody has paid for importing it
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def redact(value: Any, name: str = "") -> Any:
    """The value as JSON data without secrets: by the names of keys, and user names and passwords in addresses.

    What JSON has no word for becomes its `repr`.
    """
    if _SECRET.search(name) and isinstance(value, str) and value:
        return HIDDEN
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    match value:
        case str():
            return _USERINFO.sub(f"{HIDDEN}@", value)
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): redact(item, str(key)) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
            return [redact(item, name) for item in items]
        case os.PathLike():
            return os.fspath(value)
    return repr(value)


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Where two JSON values differ, one sentence each ("seed: was 0, is 1")."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif before != after:
        yield f"{path}: was {_short(before)}, is {_short(after)}"


def _short(value: Any) -> str:
    text = "not given" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def refuse_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Raises `ConfigError` naming what differs between the run in a folder and the one that wants to resume it."""
    found = list(differences(before, after))
    if found:
        raise ConfigError(
            "This folder holds a run that was asked differently, so it cannot be resumed: "
            + "; ".join(found)
            + ". Ask as before, or choose another folder with --out."
        )
