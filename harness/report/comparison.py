"""The page of a comparison, and the same figures as JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from markupsafe import Markup

from palaestra.harness.compare import Figures, Method
from palaestra.harness.report.svg import COLOURS, Bar, bar_chart, line_chart
from palaestra.harness.report.templates import make_templates
from palaestra.harness.report.text import jsonable
from palaestra.harness.run_folder import write_json

__all__ = ["write_comparison"]


def write_comparison(figures: Figures, out: str | os.PathLike[str]) -> Path:
    """Writes `comparison.html` and `comparison.json`.

    Args:
        figures: The numbers.
        out: A folder, or the page's own path, which ends in `.html`.

    Returns:
        The page's path.
    """
    path = Path(out)
    path = path if path.suffix == ".html" else path / "comparison.html"
    bars = []
    for index, method in enumerate(figures.methods):
        found = method.mean_interval
        low, high = (None, None) if found is None else (found.low, found.high)
        bars.append(Bar(method.name, method.mean, low, high, index % COLOURS))
    text = (
        make_templates()
        .get_template("comparison.html")
        .render(
            title=figures.environment,
            figures=figures,
            bars=Markup(bar_chart([("", bars)], title="Mean outcome by method")),
            curves=Markup(_curves(figures.methods)),
        )
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path.with_suffix(".json"), jsonable({"schema_version": 1, **asdict(figures)}))
    path.write_text(text, encoding="utf-8")
    return path


def _curves(methods: Sequence[Method]) -> str:
    """Means over seeds by step, with the range of the seeds."""
    lines: dict[str, list[tuple[float, float]]] = {}
    bands: dict[str, list[tuple[float, float, float]]] = {}
    for method in methods:
        steps: dict[float, list[float]] = {}
        for points in method.curves:
            for step, value in points:
                steps.setdefault(step, []).append(value)
        known = {step: values for step, values in sorted(steps.items()) if len(values) == len(method.curves)}
        if len(known) > 1:
            lines[method.name] = [(step, float(np.mean(values))) for step, values in known.items()]
            if len(method.curves) > 1:
                bands[method.name] = [(step, min(values), max(values)) for step, values in known.items()]
    if not lines:
        return ""
    numbers = {method.name: index for index, method in enumerate(methods)}
    title = "Outcome on held-out tasks by step and method"
    return line_chart(lines, title=title, x_title="step", bands=bands, numbers=numbers)
