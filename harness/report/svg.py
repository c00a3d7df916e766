"""Charts as inline SVG: bars with intervals, histograms, lines.

Colours come from the page's style sheet (classes `c0` to `c7`, `axis`, `grid`, `whisker`), so that a chart follows the
light or dark theme. Charts are 440 units wide, so that their text is still read on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from palaestra.harness.report.text import readable

__all__ = ["COLOURS", "WIDTH", "Bar", "bar_chart", "histogram", "line_chart", "nice_ticks", "number"]

WIDTH = 440
COLOURS = 8
_VALUE_ROOM = 118  # for a value and its interval, right of a bar
_LIKE_BARS = (4, 5, 6, 7, 2, 1, 3, 0)  # the line's colour that is the n-th colour of bars
_LEFT = 44  # for the labels of a vertical axis

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its interval.

    Attributes:
        label: What it is of.
        value: Where the bar ends; None for nothing to show.
        low: Lower end of the interval; None for no interval.
        high: Upper end.
        colour: Number of the colour; counted modulo 8.
    """

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    colour: int = 0


def number(value: float) -> str:
    """A number for a person: at most three digits after the point, thousands apart."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size >= 1e7 or 0 < size < 5e-4:
        return f"{value:.2e}".replace("-", "−")
    text = f"{value:,.0f}" if size >= 1000 else f"{value:.1f}" if size >= 100 else f"{value:.2f}"
    if 0 < size < 0.01:
        text = f"{value:.3f}"
    return "0.00" if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers that span [low, high]: steps of 1, 2 or 5 times a power of ten, about `count` of them."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def bar_chart(groups: Sequence[tuple[str, Sequence[Bar]]], *, title: str, unit_range: bool = True) -> str:
    """Horizontal bars with whiskers.

    Args:
        groups: Headings and their bars. Under a heading bars are thin and carry no label (a legend outside names the
            colours); a group without a heading ("") has a label above each bar.
        title: Says what is shown, for those who cannot see it.
        unit_range: Whether the axis is [0, 1]; else it is fitted, and always holds 0.
    """
    bars = [bar for _, members in groups for bar in members if bar.value is not None]
    ends = [end for bar in bars for end in (bar.value, bar.low, bar.high) if end is not None]
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0] if unit_range else nice_ticks(min([0.0, *ends]), max([0.0, *ends]))
    x = _scale(ticks[0], ticks[-1], 1, WIDTH - _VALUE_ROOM)
    parts: list[str] = []
    top = 6.0
    for heading, members in groups:
        if heading:
            parts.append(_text(0, top + 12, heading, "heading"))
            top += 19
        for bar in members:
            if not heading:
                parts.append(_text(0, top + 11, _short(bar.label, 46), "label"))
                top += 17
            thick = 9.0 if heading else 14.0
            parts.append(_bar(bar, x, top, thick))
            top += thick + (4 if heading else 12)
        top += 8 if heading else 0
    grid = [_line(x(tick), 4, x(tick), top, "axis" if tick == 0 else "grid") for tick in ticks]
    labels = [
        _text(x(tick), top + 14, _tick(tick, ticks), "tick", "middle" if place else "start")
        for place, tick in enumerate(ticks)
    ]
    return _svg(top + 20, title, [*grid, *parts, *labels])


def histogram(rows: Sequence[tuple[str, int, Sequence[int]]], bins: Sequence[tuple[int, int]], *, title: str) -> str:
    """One histogram above the other, over the same bins; heights are shares of each row's whole.

    Args:
        rows: Label, number of the colour, and counts by bin.
        bins: First and last number of each bin.
        title: Says what is shown, for those who cannot see it.
    """
    parts: list[str] = []
    top, height = 4.0, 44.0
    slot = (WIDTH - 8) / max(1, len(bins))
    highest = max((max(counts) / sum(counts) for _, _, counts in rows if sum(counts)), default=1.0)
    for label, colour, counts in rows:
        parts.append(_text(4, top + 11, _short(label, 50), "label"))
        base = top + 32 + height
        for index, count in enumerate(counts):
            if count:
                share = count / sum(counts)
                tall = max(1.5, height * share / highest)
                left, wide = 4 + index * slot + slot * 0.08, slot * 0.84
                tip = f"{label}: {_span(bins[index])} turns in {count} of {sum(counts)} episodes ({share:.0%})"
                parts.append(_rect(left, base - tall, wide, tall, f"c{colour % COLOURS}", tip))
                if slot >= 26:
                    parts.append(_text(left + wide / 2, base - tall - 3, f"{share:.0%}", "tick", "middle"))
        parts.append(_line(4, base, WIDTH - 4, base, "axis"))
        top = base + 10
    every = math.ceil(len(bins) / (12 if bins[-1][1] < 100 else 6))
    for index in range(0, len(bins), every):
        name = f"{bins[index][0]:,}" if every > 1 else _span(bins[index])
        parts.append(_text(4 + (index + 0.5) * slot, top + 5, name, "tick", "middle"))
    return _svg(top + 12, title, parts)


def line_chart(
    lines: Mapping[str, Points],
    *,
    title: str,
    x_title: str,
    bounds: tuple[float, float] | None = None,
    bands: Mapping[str, Sequence[tuple[float, float, float]]] | None = None,
    numbers: Mapping[str, int] | None = None,
) -> str:
    """Lines over a common axis, each with its name below; the first in the colour of text, the others in colours.

    Args:
        lines: For each name, its (x, y) points, in the order of x. A name without points keeps its colour.
        title: Says what is shown, for those who cannot see it.
        x_title: What the horizontal axis counts.
        bounds: Lowest and highest y to span, where charts are to be compared; fitted where None.
        bands: For some of the names, (x, low, high) of an interval, drawn behind its line.
        numbers: For each name the number of its colour, as bars have them; by default colours of lines' own.
    """
    bands = bands or {}
    shown = {name: points for name, points in lines.items() if points}
    xs = [x for points in shown.values() for x, _ in points] or [0.0]
    ys = [y for points in shown.values() for _, y in points] or [0.0]
    ys += [end for band in bands.values() for _, low, high in band for end in (low, high)]
    low, high = bounds or (min(ys), max(ys))
    low, high = min(0.0, low), max(0.0, high)
    ticks = [tick for tick in nice_ticks(low, high) if low <= tick <= high] or [0.0]
    colours = {name: f"t{index % COLOURS}" for index, name in enumerate(lines)}
    if numbers is not None:
        colours = {name: f"t{_LIKE_BARS[numbers[name] % COLOURS]}" for name in lines}
    x = _scale(min(xs), max(xs), _LEFT + 6, WIDTH - 10)
    y = _scale(low, high, 126, 12)
    parts = [_line(_LEFT, y(tick), WIDTH - 4, y(tick), "axis" if tick == 0 else "grid") for tick in ticks]
    parts += [_text(_LEFT - 6, y(tick) + 4, _tick(tick, ticks), "tick", "end") for tick in ticks]
    marks = _marks(min(xs), max(xs))
    parts += [_text(x(mark), 144, number_of_turn(mark), "tick", "middle") for mark in marks]
    parts.append(_text(WIDTH - 10, 159, x_title, "tick", "end"))
    for name, band in bands.items():
        edge = [(a, high) for a, _, high in band] + [(a, low) for a, low, _ in reversed(band)]
        outline = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in edge)
        parts.append(f'<polygon class="band {colours[name]}" points="{outline}"></polygon>')
    for name, points in shown.items():
        colour = colours[name]
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
        tip = escape(readable(name))
        parts.append(f'<polyline class="line {colour}" points="{path}"><title>{tip}</title></polyline>')
        if len(points) <= 20:
            for a, b in points:
                mark = f'<circle class="{colour}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="2.6">'
                parts.append(f"{mark}<title>{tip}: {number(b)} at {number_of_turn(a)}</title></circle>")
    left, top = float(_LEFT), 176.0
    for name in shown:
        wide = 20 + 7.0 * len(_short(name, 30))
        if left + wide > WIDTH and left > _LEFT:
            left, top = float(_LEFT), top + 17
        parts.append(_rect(left, top - 9, 10, 10, colours[name]))
        parts.append(_text(left + 15, top, _short(name, 30), "label small"))
        left += wide
    return _svg(top + 8, title, parts)


def number_of_turn(value: float) -> str:
    """A whole number without a point, others with one digit after it."""
    return f"{value:,.0f}" if float(value).is_integer() or value >= 100 else f"{value:.1f}"


def _marks(low: float, high: float) -> list[float]:
    if high - low <= 8:
        return [float(mark) for mark in range(math.ceil(low), math.floor(high) + 1)] or [low]
    return [tick for tick in nice_ticks(low, high, 5) if low <= tick <= high and tick == int(tick)]


def _bar(bar: Bar, x: Callable[[float], float], top: float, thick: float) -> str:
    if bar.value is None:
        return _text(x(0) + 4, top + thick - (0.5 if thick < 12 else 2.5), "no valid episode", "tick")
    start, end = sorted((x(0), x(bar.value)))
    text = number(bar.value)
    tip = f"{bar.label}: {text}"
    interval = ""
    parts = []
    if bar.low is not None and bar.high is not None:
        interval = f" [{number(bar.low)}, {number(bar.high)}]"
        middle, cap = top + thick / 2, thick / 2 - 1
        parts = [_line(x(bar.low), middle, x(bar.high), middle, "whisker")]
        parts += [_line(x(end), middle - cap, x(end), middle + cap, "whisker") for end in (bar.low, bar.high)]
    rect = _rect(start, top, max(end - start, 1.5), thick, f"c{bar.colour % COLOURS}", tip + interval)
    left = WIDTH - _VALUE_ROOM + 12
    value = f'<text class="value" x="{left}" y="{top + thick - (0.5 if thick < 12 else 2.5):.1f}">'
    return rect + "".join(parts) + f'{value}{text}<tspan class="faint">{interval}</tspan></text>'


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    if high == low:
        return lambda value: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _tick(tick: float, ticks: Sequence[float]) -> str:
    step = abs(ticks[1] - ticks[0]) if len(ticks) > 1 else 1.0
    if abs(tick) >= 1e6 or step < 1e-4:
        return f"{tick:g}".replace("-", "−")
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if any(round(item, digits) != item for item in ticks):
        digits += 1
    return f"{tick:,.{digits}f}".replace("-", "−")


def _span(ends: tuple[int, int]) -> str:
    return f"{ends[0]:,}" if ends[0] == ends[1] else f"{ends[0]:,}–{ends[1]:,}"


def _short(text: str, length: int) -> str:
    shown = readable(text)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    shown = escape(readable(text))
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"{where}>{shown}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"></line>'


def _rect(x: float, y: float, width: float, height: float, kind: str, tip: str = "") -> str:
    title = f"<title>{escape(readable(tip))}</title>" if tip else ""
    size = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="1.5"'
    return f'<rect class="{kind}" {size}>{title}</rect>'


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    label = escape(readable(title), quote=True)
    body = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{label}">{body}</svg>'
