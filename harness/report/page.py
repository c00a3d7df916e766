"""Writes the report: `report.html`, which needs no other file and no network, and `report.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import Markup

from palaestra.errors import ConfigError
from palaestra.harness.report import charts
from palaestra.harness.report.facts import AgentFacts, gather
from palaestra.harness.report.figures import Figures, figures_of
from palaestra.harness.report.origin import origin_of, shown_manifest, stopped
from palaestra.harness.report.run import ReportRun
from palaestra.harness.report.svg import COLOURS
from palaestra.harness.report.templates import make_templates
from palaestra.harness.report.text import jsonable, readable
from palaestra.harness.report.transcripts import Choice, choose, view_of
from palaestra.harness.run_folder import Run, write_json

__all__ = ["write_report"]

_SCHEMA = 1
_MAX_BYTES = 4_500_000


def write_report(runs: Sequence[ReportRun | Run], out: str | os.PathLike[str], *, max_bytes: int = _MAX_BYTES) -> Path:
    """Writes a report of one or more runs.

    Args:
        runs: One for each agent; of the same environment, to be compared.
        out: A folder, for `report.html` and `report.json` in it; or the page's own path, which ends in `.html`, for a
            `.json` beside it. Made if need be.
        max_bytes: About how large the page may grow. Transcripts and pictures beyond it are left out, and counted.

    Returns:
        The page's path.

    Raises:
        ConfigError: There are no runs.
        RecordError: An episode cannot be read.
    """
    if not runs:
        raise ConfigError("A report needs at least one run.")
    sources = [ReportRun.of(run) if isinstance(run, Run) else run for run in runs]
    path = Path(out)
    path = path if path.suffix == ".html" else path / "report.html"
    found = gather(sources)
    figures = figures_of([agent for _, _, agents in found for agent in agents])
    labels = [label for label, _, _ in found]
    manifests = [run.manifest for _, run, _ in found]
    environments = list(dict.fromkeys(_environment(run) for _, run, _ in found))
    page = _Page(figures, max_bytes)
    shown = page.transcripts(found)
    text = page.render(
        "page.html",
        title=", ".join(environments) or "A run without a name",
        origin=origin_of(labels, manifests),
        manifests=[
            (label, json.dumps(shown_manifest(manifest), indent=2, ensure_ascii=False) if manifest else "")
            for label, manifest in zip(labels, manifests, strict=True)
        ],
        stopped=[(label, stopped(manifest)) for label, manifest in zip(labels, manifests, strict=True)],
        shown=shown,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "schema_version": _SCHEMA,
        "environments": environments,
        "runs": [
            {"agent": label, "manifest": shown_manifest(manifest)}
            for label, manifest in zip(labels, manifests, strict=True)
        ],
        **asdict(figures),
        "transcripts": [
            {"agent": label, "shown": block["shown"], "episodes": block["episodes"]} for label, block in shown
        ],
    }
    write_json(path.with_suffix(".json"), _clean(jsonable(data)))
    path.write_text(text, encoding="utf-8")
    return path


def _environment(run: ReportRun) -> str:
    env = run.manifest.get("env")
    if isinstance(env, Mapping) and env.get("id"):
        return readable(str(env["id"]))
    first = next(iter(run.episodes), None)
    return readable(first.env_id) if first is not None else ""


def _clean(value: Any) -> Any:
    """JSON data in which every text can be read and encoded."""
    match value:
        case str():
            return readable(value)
        case dict():
            return {readable(str(key)): _clean(item) for key, item in value.items()}
        case list():
            return [_clean(item) for item in value]
    return value


class _Page:
    """The templates, and what they all need.

    Args:
        figures: The numbers.
        max_bytes: See `write_report`.
    """

    def __init__(self, figures: Figures, max_bytes: int) -> None:
        self.environment = make_templates(script=True)
        colours = {row.agent: index % COLOURS for index, row in enumerate(figures.summary)}
        self.figures, self.max_bytes, self.colours = figures, max_bytes, colours
        self.environment.globals.update(
            figures=figures,
            colours=colours,
            chart={
                "summary": Markup(charts.summary(figures, colours)),
                "breakdowns": {
                    name: Markup(charts.breakdown(name, values, figures.measure, colours))
                    for name, values in figures.breakdowns.items()
                },
                "turns": Markup(charts.turns(figures, colours)),
                "rewards": {name: Markup(text) for name, text in charts.rewards(figures).items()},
            },
        )

    def render(self, template: str, **values: Any) -> str:
        """A template, filled."""
        return self.environment.get_template(template).render(**values)

    def transcripts(self, found: Sequence[tuple[str, ReportRun, list[AgentFacts]]]) -> list[tuple[str, dict[str, Any]]]:
        """For each run its chosen episodes as HTML, as many as there is room for."""
        room = self.max_bytes
        blocks = []
        for left, (label, run, agents) in zip(range(len(found), 0, -1), found, strict=True):
            choice = choose(agents, self.figures.measure)
            block = self._block(label, run, agents, choice, room // left)
            room -= block["bytes"]
            blocks.append((label, block))
        return blocks

    def _block(
        self, label: str, run: ReportRun, agents: Sequence[AgentFacts], choice: Choice, room: int
    ) -> dict[str, Any]:
        wanted = {name for names in choice.sides.values() for name in names}
        episodes = {episode.episode_id: episode for episode in run.episodes if episode.episode_id in wanted}
        # About half of the room is for pictures.
        pictures = room // (2 * max(1, len(wanted)))
        several = {side.label.removeprefix(f"{label} · "): side.label for side in agents}
        worlds: dict[str, dict[str, Any]] = {}
        used = omitted = 0
        for world, reasons in choice.reasons.items():
            rendered = []
            for name in choice.sides[world]:
                view = view_of(episodes[name], pictures)
                agent = several.get(view.agent_id, label if label in self.colours else agents[0].label)
                html = self.render("episode.html", episode=view, agent=agent, reasons=reasons)
                size = len(html.encode())
                if used + size > room:
                    omitted += 1
                    continue
                used += size
                rendered.append(Markup(html))
            if rendered:
                worlds[world] = {"id": world, "episodes": rendered}
        ordered = [worlds[world] for world in sorted(worlds, key=list(_order(agents)).index)]
        return {
            "worlds": ordered,
            "shown": sum(len(world["episodes"]) for world in ordered),
            "episodes": len({episode.episode_id for agent in agents for episode in agent.episodes}),
            "picked": len(choice.reasons) < choice.worlds,
            "omitted": omitted,
            "bytes": used,
        }


def _order(agents: Sequence[AgentFacts]) -> dict[str, None]:
    """World ids in the order in which they are shown."""
    return dict.fromkeys(episode.world_id for agent in agents for episode in agent.episodes)
