"""What was run: the manifests of a report's runs, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.harness.manifest import redact
from palaestra.harness.report.svg import number
from palaestra.harness.report.text import jsonable

__all__ = ["origin_of", "shown_manifest", "stopped"]


def shown_manifest(manifest: Mapping[str, Any]) -> Any:
    """A manifest as data for JSON, without what looks like a secret."""
    return jsonable(redact(dict(manifest)))


def stopped(manifest: Mapping[str, Any]) -> str:
    """A sentence where a run did not come to its end, else ""."""
    status = manifest.get("status", "finished")
    if status == "finished":
        return ""
    return f"This run is not complete (status: {status}). {manifest.get('message') or ''}".strip()


def origin_of(labels: Sequence[str], manifests: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was run, line by line.

    Args:
        labels: The agents' labels.
        manifests: Their runs' manifests; whatever they do not say is left out.

    Returns:
        For each line its name and what it says: one text under "" where all runs agree, else one for each label.
    """
    lines: list[tuple[str, list[tuple[str, str]]]] = []
    told = [_told(shown_manifest(manifest)) for manifest in manifests]
    for name in dict.fromkeys(name for one in told for name in one):
        values = [one.get(name, "") for one in told]
        if len(set(values)) == 1 and (name not in _ALWAYS_EACH or len(values) == 1):
            lines.append((name, [("", values[0])]))
        else:
            lines.append((name, [(label, value) for label, value in zip(labels, values, strict=True) if value]))
    return lines


_ALWAYS_EACH = ("Agent", "Digest")


def _told(manifest: Mapping[str, Any]) -> dict[str, str]:
    env, card = _part(manifest, "env"), _part(manifest, "card")
    asked, sessions = _part(manifest, "requests"), manifest.get("sessions")
    session: Mapping[str, Any] = sessions[-1] if isinstance(sessions, list) and sessions else manifest
    machine, packages = _part(session, "machine"), _part(session, "packages")
    agent = {name: value for name, value in _part(manifest, "agent").items() if name != "name"}
    told = {
        "Environment": str(env.get("id") or ""),
        "What it is": str(card.get("summary") or ""),
        "Settings": _pairs(_part(env, "kwargs")),
        "Tasks": _tasks(asked),
        "Seed": str(manifest.get("seed", "")),
        "Rewards": _pairs(manifest.get("rewards")),
        "Agent": _pairs(agent),
        "Machine": _machine(machine),
        "Versions": ", ".join(f"{name} {version}" for name, version in packages.items()),
        "Started": str(session.get("started") or ""),
        "Ended": str(session.get("ended") or ""),
        "Concurrency": str(session.get("concurrency") or ""),
        "Limits": _pairs(session.get("limits")),
        "Digest": str(manifest.get("digest") or ""),
    }
    return {name: value for name, value in told.items() if value}


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    return found if isinstance(found, Mapping) else {}


def _pairs(data: Any) -> str:
    match data:
        case Mapping():
            return ", ".join(
                f"{name}={_word(value)}" for name, value in data.items() if value not in (None, "", [], {})
            )
        case list():
            return "; ".join(_pairs(item) for item in data)
    return "" if data is None else str(data)


def _word(value: Any) -> str:
    return f"({_pairs(value)})" if isinstance(value, Mapping | list) else str(value)


def _tasks(asked: Mapping[str, Any]) -> str:
    if not asked:
        return ""
    words = [f"{asked.get('worlds', '?')} episodes asked for"]
    if asked.get("split"):
        words.append(f"split {asked['split']}")
    if (asked.get("samples") or 1) != 1:
        words.append(f"{asked['samples']} samples each")
    return ", ".join(words)


def _machine(machine: Mapping[str, Any]) -> str:
    words = [str(machine[name]) for name in ("processor", "gpu", "system") if machine.get(name)]
    if machine.get("cores"):
        words.insert(min(1, len(words)), f"{machine['cores']} cores")
    if isinstance(machine.get("memory"), int):
        words.insert(min(2, len(words)), f"{number(machine['memory'] / 2**30)} GiB memory")
    return ", ".join(words)
