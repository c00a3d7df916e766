"""The report of a training run: its curves on one page, and the same figures as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from palaestra.errors import RecordError
from palaestra.harness.report.origin import shown_manifest, stopped
from palaestra.harness.report.svg import line_chart
from palaestra.harness.report.templates import make_templates
from palaestra.harness.run_folder import write_json
from palaestra.harness.training.metrics import read_metrics

__all__ = ["Chart", "curve", "write_training_report"]

_POINTS = 80


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure with curves.

    Attributes:
        caption: What it shows.
        lines: For each name that is shown, which metric it is.
        note: For a person.
    """

    caption: str
    lines: Mapping[str, str]
    note: str = ""


_CHARTS = (
    Chart("Reward and outcome while training", {"reward": "train/reward", "outcome": "train/outcome"}),
    Chart(
        "Distance from other policies, in nats a token",
        {
            "KL to the reference": "learner/kl",
            "KL of the update": "learner/update_kl",
            "sampler drift": "learner/sampler_drift",
        },
    ),
    Chart("Entropy of the policy, in nats a token", {"entropy": "learner/entropy"}),
    Chart(
        "Share of tokens that were clipped",
        {"below": "learner/clip_low", "above": "learner/clip_high", "importance": "learner/importance_truncated"},
    ),
    Chart("Turns of an episode", {"training": "train/turns", "held-out": "eval/turns"}),
    Chart("Sampled tokens of an episode", {"training": "train/tokens", "held-out": "eval/tokens"}),
    Chart(
        "Tool calls of an episode",
        {"went well": "train/calls_ok", "went wrong": "train/calls_error", "rejected": "train/calls_rejected"},
    ),
    Chart(
        "Episodes of a step that failed or were cut",
        {"failed": "train/failed", "truncated": "train/truncated", "context overflow": "train/overflowed"},
        "Failed episodes are masked: they are in no mean and in no update.",
    ),
    Chart(
        "Groups of a step from which nothing is learned",
        {"equal rewards": "advantage/groups_without_spread", "too few valid": "advantage/groups_too_small"},
    ),
    Chart("Norm of the gradient before clipping", {"gradient": "learner/grad_norm"}),
)
_TIMES = Chart("Seconds of a step", {"rollout": "rollout", "credit": "credit", "update": "update"})


def curve(rows: Sequence[Mapping[str, float]], name: str, points: int = _POINTS) -> list[tuple[float, float]]:
    """(step, value) of a metric; where there are more than `points`, means over equal stretches."""
    known = [(float(row["step"]), float(row[name])) for row in rows if name in row]
    if len(known) <= points:
        return known
    edges = np.linspace(0, len(known), points + 1).round().astype(int)
    return [
        (float(np.mean([x for x, _ in part])), float(np.mean([y for _, y in part])))
        for start, end in pairwise(edges.tolist())
        if (part := known[start:end])
    ]


def write_training_report(folder: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Path:
    """Writes the report of a training run.

    Args:
        folder: Of the training run.
        out: A folder, for `report.html` and `report.json` in it, or the page's own path; by default the run's folder.

    Returns:
        The page's path.

    Raises:
        RecordError: There is no training run in the folder, or it has no metrics yet.
    """
    source = Path(folder)
    path = Path(out if out is not None else folder)
    path = path if path.suffix == ".html" else path / "report.html"
    try:
        manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{source} holds no training run that can be read: {error}") from error
    rows, timings = read_metrics(source), read_metrics(source, "timings.jsonl")
    if manifest.get("kind") != "training" or not rows:
        raise RecordError(f"{source} holds no training run with metrics.")
    held_out = [row for row in rows if "eval/outcome" in row]
    charts = [(chart, _drawn(chart, rows)) for chart in (*_of_environments(manifest), *_CHARTS, *_of_credit(rows))]
    charts.append((_TIMES, _drawn(_TIMES, timings)))
    text = (
        make_templates()
        .get_template("training.html")
        .render(
            title=str(manifest.get("name") or source.name),
            manifest=manifest,
            stopped=stopped(manifest),
            recipe=manifest["recipe"],
            recipe_text=_text(source / "recipe.toml"),
            held_out=held_out,
            held_out_chart=Markup(_held_out(held_out)),
            charts=[(chart, Markup(drawn)) for chart, drawn in charts if drawn],
            steps=int(rows[-1]["step"]),
            failed=int(sum(row.get("train/failed", 0) for row in rows)),
            episodes=int(sum(row.get("train/episodes", 0) for row in rows)),
            seconds=sum(row.get("seconds", 0.0) for row in timings),
            session=manifest["sessions"][-1],
        )
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path.with_suffix(".json"), {"schema_version": 1, "manifest": shown_manifest(manifest), "metrics": rows})
    path.write_text(text, encoding="utf-8")
    return path


def _held_out(rows: Sequence[Mapping[str, float]]) -> str:
    if not rows:
        return ""
    name = "held-out outcome"
    band = [
        (row["step"], row["eval/outcome_low"], row["eval/outcome_high"]) for row in rows if "eval/outcome_low" in row
    ]
    return line_chart(
        {name: curve(rows, "eval/outcome", len(rows))},
        title="Outcome on held-out tasks by step",
        x_title="step",
        bands={name: band} if len(band) > 1 else {},
    )


def _of_environments(manifest: Mapping[str, Any]) -> list[Chart]:
    """A chart for each environment, where there is more than one."""
    also = manifest["recipe"].get("also", {})
    names = {"environment": "eval", **{name: f"eval-{name}" for name in also}} if also else {}
    ids = {"environment": manifest["recipe"]["environment"]["id"], **{name: also[name]["id"] for name in also}}
    return [
        Chart(
            f"Outcome in {ids[name]}" + f" ({name})" * (name != "environment"),
            {"training": f"train/{name}/outcome", "held-out": f"{place}/outcome"},
        )
        for name, place in names.items()
    ]


def _of_credit(rows: Sequence[Mapping[str, float]]) -> list[Chart]:
    """A chart for each metric of credit and advantage that is not drawn elsewhere and that ever changes."""
    drawn = {metric for chart in _CHARTS for metric in chart.lines.values()}
    names = sorted({name for row in rows for name in row if name.startswith("credit/")} - drawn)
    return [
        Chart(f"Credit: {name.removeprefix('credit/')}", {name.removeprefix("credit/"): name})
        for name in names
        if len({row.get(name) for row in rows if name in row}) > 1
    ]


def _drawn(chart: Chart, rows: Sequence[Mapping[str, float]]) -> str:
    lines = {label: curve(rows, metric) for label, metric in chart.lines.items()}
    known: dict[str, list[tuple[float, float]]] = {}
    for label, points in lines.items():
        if any(y for _, y in points) and points not in known.values():
            known[label] = points
    return line_chart(known, title=chart.caption, x_title="step") if known else ""


def _text(path: Path) -> Any:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
