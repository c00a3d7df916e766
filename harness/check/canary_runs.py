"""The canary in what is written down: records, reports and exports of runs, made in a process of their own."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from palaestra.agents.base import Action, View
from palaestra.errors import ConfigError
from palaestra.harness.check.subject import Subject

__all__ = ["EXCERPT", "leaks"]

EXCERPT = 100  # characters shown on each side
_EPISODES = 4


class _Shipped:
    """An agent that is just a policy of the environment's."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.policy: str | None = name

    async def act(self, view: View) -> Action:
        """Never asked: the policy acts."""
        raise NotImplementedError

    def finish(self, episode_id: str) -> None:
        """Nothing is kept."""

    def describe(self) -> Mapping[str, Any]:
        """Its name says all."""
        return {"name": self.name}

    def close(self) -> None:
        """Nothing to free."""


def leaks(subject: Subject, nonce: str) -> dict[str, Any]:
    """Runs every policy but the oracle with the nonce as ground truth and searches what was written.

    Returns:
        `planted`: in how many records the nonce stands under `privileged`; `records`: how many there are;
        `found`: places and excerpts where it must not be.
    """
    from palaestra.harness.api import run
    from palaestra.harness.export import export
    from palaestra.harness.report import write_report

    subject.ensure_registered()
    _plant(subject.env_class(), nonce)
    with subject.make() as world:
        names = [name for name in world.policy_names if name != "oracle"]
    found: list[tuple[str, str]] = []
    planted = records = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        runs = [
            run(
                subject.env_id,
                _Shipped(name),
                folder / name,
                env_kwargs=subject.env_kwargs,
                episodes=_EPISODES,
                seed=subject.seed,
            )
            for name in names
        ]
        for done in runs:
            for entry, line in done.lines():
                record = json.loads(line)
                planted += nonce in json.dumps(record.pop("privileged")).casefold()
                records += 1
                place = f"the record of an episode of {done.agent} ({entry.episode_id}), outside of `privileged`"
                found += _search(place, json.dumps(record), nonce)
            for path in sorted(done.path.rglob("*")):
                if path.is_file() and path.name != "episodes.jsonl":
                    found += _search(f"{path.name} of a run of {done.agent}", _read(path), nonce)
        report = folder / "report"
        write_report(runs, report)
        for path in sorted(report.rglob("*")):
            if path.is_file():
                found += _search(f"the report ({path.name})", _read(path), nonce)
        for form in ("sft", "preference", "jsonl"):  # parquet holds the same rows as jsonl
            target = folder / f"export.{form}"
            try:
                export(runs, form, target, min_outcome=0.0)
            except ConfigError:  # nothing of this form in these runs
                continue
            found += _search(f"the export as {form}", _read(target), nonce)
    return {"planted": planted, "records": records, "found": found[:50]}


def _plant(kind: type[Any], nonce: str) -> None:
    """Gives every reset of the class the option; this process does nothing else with it."""
    original = kind.reset

    def reset(self: Any, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return original(self, seed=seed, options={**(options or {}), "canary": nonce})

    kind.reset = reset


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def _search(place: str, text: str, nonce: str) -> Iterator[tuple[str, str]]:
    at = text.casefold().find(nonce)
    if at >= 0:
        yield place, text[max(0, at - EXCERPT) : at + len(nonce) + EXCERPT]
