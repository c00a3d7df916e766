"""The report of a claim: `claim.json`, `claim.md`, and one self-contained page, `claim.html`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from palaestra.harness.manifest import machine, now, packages
from palaestra.harness.report.statistics import Interval
from palaestra.harness.report.svg import Bar, bar_chart, line_chart
from palaestra.harness.report.templates import make_templates
from palaestra.harness.reproduce.arms import ARMS
from palaestra.harness.reproduce.claim import RULE
from palaestra.harness.reproduce.control import Check, ControlResult
from palaestra.harness.reproduce.result import Power, Result, learning_curve
from palaestra.harness.run_folder import write_json

__all__ = ["markdown", "power_words", "write_claim"]

_SCHEMA = 1


def write_claim(result: Result, folder: Path, command: str) -> Path:
    """Writes the three files.

    Args:
        result: What to report.
        folder: Where; made if need be.
        command: What was asked on the command line.

    Returns:
        The page's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "claim.json", _finite(_data(result, command)))
    (folder / "claim.md").write_text(markdown(result, command), encoding="utf-8")
    page = folder / "claim.html"
    page.write_text(_page(result, command), encoding="utf-8")
    return page


def power_words(power: Power, smallest: float) -> str:
    """What the power calculation says, in a sentence or two."""
    source = f"{power.pairs} pilot pairs" if power.source == "pilots" else f"the {power.pairs} pairs themselves"
    needed = "more than 10,000 seeds" if power.needed is None else f"{power.needed} seeds"
    shown = (
        "" if power.detectable is None else f"; the smallest effect they show with 80 % power is {power.detectable:.3f}"
    )
    return (
        f"The paired difference has a standard deviation of {power.sd:.3f} (from {source}). For a true effect of "
        f"{smallest:g}, {needed} are needed to confirm it in 80 of 100 experiments. The {power.seeds} seeds here do so "
        f"in {100 * power.chance:.0f}{shown}."
    )


def markdown(result: Result, command: str) -> str:
    """The report as Markdown."""
    claim, judged, control, experiment = result.claim, result.judgement, result.control, result.experiment
    lines = [f"# {claim.title}: {judged.verdict}", "", claim.sentence, "", f"Source: {claim.paper}.", ""]
    lines += [f"**{judged.verdict.capitalize()}.** {judged.why}", ""]
    lines += ["## Rule, stated beforehand", "", RULE, ""]
    lines += [f"Smallest effect of interest: {claim.smallest:g}. {claim.reason}", ""]
    lines += [f"## Positive control: {'passed' if control.passed else 'failed'}", "", control.sentence, ""]
    lines += [control.proof, "", "| check | value | wanted | |", "| --- | ---: | --- | --- |"]
    lines += [
        f"| {check.what} | {_plain(check.value)} | {_wanted(check)} | {'passed' if check.passed else '**failed**'} |"
        for check in control.checks
    ]
    lines.append("")
    if experiment is None:
        lines += ["Only the control was run.", "", "## Commands", "", "```", command, "```", ""]
        return "\n".join(lines)
    if result.power is not None:
        lines += ["## Power", "", power_words(result.power, claim.smallest), ""]
    if experiment.tuning:
        lines += [
            "## Learning rates",
            "",
            "| arm | " + " | ".join(["rate: mean outcome of its pilots", "chosen"]) + " |",
        ]
        lines += ["| --- | --- | --- |"]
        for arm in ARMS:
            tried = ", ".join(f"{lr}: {mean:.3f}" for lr, mean in experiment.tuning[arm].items())
            lines.append(f"| {arm} | {tried} | {experiment.rates[arm]:g} |")
        lines.append("")
    lines += [f"## Experiment ({experiment.scale}, split {experiment.held_out})", ""]
    lines += [
        "| seed | start | method | baseline | difference | tasks |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for pair in experiment.pairs:
        start = "" if pair.start is None else f"{pair.start:.3f}"
        figures = f"{start} | {pair.method:.3f} | {pair.baseline:.3f} | {pair.difference:+.3f}"
        lines.append(f"| {pair.seed} | {figures} | {pair.tasks} |")
    lines.append("")
    if judged.mean is not None:
        lines += [
            f"Mean difference {judged.mean:+.3f}; 95 % t interval over {judged.seeds} seeds "
            f"{_span(judged.interval)}; bootstrap over seeds {_span(judged.bootstrap)}.",
            "",
        ]
    lines += [f"- {note}" for note in [*_differing(experiment.differences), *experiment.notes]]
    lines += ["", "## Commands", "", "```", command, "", *experiment.commands, "```", ""]
    return "\n".join(lines)


def _page(result: Result, command: str) -> str:
    experiment = result.experiment
    pairs = experiment.pairs if experiment is not None else ()
    names = {"baseline": "baseline", "method": result.claim.name}
    curves = {names[arm]: learning_curve(pairs, arm) for arm in reversed(ARMS)}
    template = make_templates().from_string((files(__package__) / "claim.html").read_text(encoding="utf-8"))
    return template.render(
        title=result.claim.title,
        claim=result.claim,
        span=_span,
        judged=result.judgement,
        tone={"confirmed": "solved", "not confirmed": "failed"}.get(result.judgement.verdict, "partial"),
        rule=RULE,
        control=result.control,
        checks=[(check, _plain(check.value), _wanted(check)) for check in result.control.checks],
        control_chart=Markup(_control_chart(result.control)),
        setting=[(name, _listed(value)) for name, value in result.control.setting.items()],
        power=None if result.power is None else power_words(result.power, result.claim.smallest),
        experiment=experiment,
        differing=_differing(experiment.differences) if experiment is not None else [],
        curves=Markup(_chart(curves, "Held-out outcome by step", "step")) if any(map(len, curves.values())) else "",
        seeds=Markup(_seeds(result)) if pairs else "",
        command=command,
        made=now(),
        packages=packages(),
    )


def _control_chart(control: ControlResult) -> str:
    return _chart({arm.name: arm.curve for arm in control.arms}, control.success, "step")


def _chart(curves: Mapping[str, Sequence[tuple[float, float, float, float]]], title: str, x_title: str) -> str:
    return line_chart(
        {name: [(step, mean) for step, mean, _, _ in points] for name, points in curves.items()},
        title=title,
        x_title=x_title,
        bands={name: [(step, low, high) for step, _, low, high in points] for name, points in curves.items() if points},
    )


def _seeds(result: Result) -> str:
    pairs = result.experiment.pairs if result.experiment is not None else ()
    judged = result.judgement
    low, high = (judged.interval.low, judged.interval.high) if judged.interval is not None else (None, None)
    bars = [Bar(f"seed {pair.seed}", pair.difference, colour=7) for pair in pairs]
    bars.append(Bar("mean, with its 95 % interval over seeds", judged.mean, low, high))
    return bar_chart([("", bars)], title="Method minus baseline, by seed", unit_range=False)


def _data(result: Result, command: str) -> dict[str, Any]:
    control = result.control
    return {
        "schema_version": _SCHEMA,
        "claim": asdict(result.claim),
        "rule": RULE,
        "judgement": asdict(result.judgement),
        "control": {
            **asdict(control),
            "passed": control.passed,
            "checks": [{**asdict(check), "passed": check.passed} for check in control.checks],
        },
        "power": None if result.power is None else asdict(result.power),
        "experiment": None if result.experiment is None else asdict(result.experiment),
        "command": command,
        "made": now(),
        "machine": machine(),
        "packages": packages(),
    }


def _finite(value: Any) -> Any:
    """The same without numbers that JSON has no word for."""
    match value:
        case dict():
            return {str(key): _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
    return value


def _plain(value: float) -> str:
    return f"{value:.3f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"


def _wanted(check: Check) -> str:
    bounds = [f"at least {check.least:.3g}"] if check.least is not None else []
    bounds += [f"at most {check.most:.3g}"] if check.most is not None else []
    return ", ".join(bounds)


def _span(interval: Interval | None) -> str:
    return "not known" if interval is None else f"[{interval.low:+.3f}, {interval.high:+.3f}]"


def _differing(differences: Sequence[str]) -> list[str]:
    found = [text.replace(": was ", ": baseline ").replace(", is ", ", method ") for text in differences]
    return [f"The recipes also differ in {text}." for text in found]


def _listed(value: Any) -> str:
    return ", ".join(f"{item:g}" for item in value) if isinstance(value, Sequence) else f"{value:g}"
