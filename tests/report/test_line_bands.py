"""Lines with the bands of their intervals."""

from __future__ import annotations

import re
from importlib.resources import files
from xml.etree import ElementTree

from palaestra.harness.report.svg import line_chart


def test_a_band_spans_its_interval_and_the_axis_holds_it():
    lines = {"a": [(0.0, 0.2), (10.0, 0.4)], "b": [(0.0, 0.1), (10.0, 0.1)]}
    drawn = line_chart(lines, title="t", x_title="step", bands={"a": [(0.0, 0.0, 0.3), (10.0, 0.2, 0.9)]})
    tree = ElementTree.fromstring(drawn)
    (band,) = tree.findall("polygon")
    first, second = tree.findall("polyline")
    assert band.get("class") == "band t0"
    assert (first.get("class"), second.get("class")) == ("line t0", "line t1")
    corners = [tuple(map(float, pair.split(","))) for pair in band.get("points").split()]
    ends = [tuple(map(float, pair.split(","))) for pair in first.get("points").split()]
    assert [x for x, _ in corners] == [ends[0][0], ends[1][0], ends[1][0], ends[0][0]]
    # Upwards is towards smaller y: the line runs within its band, and the band within the picture.
    assert corners[0][1] < ends[0][1] < corners[3][1]
    assert corners[1][1] < ends[1][1] < corners[2][1]
    assert min(y for _, y in corners) >= 0


def test_lines_can_have_the_colours_of_bars():
    lines = {name: [(0.0, 1.0), (1.0, 2.0)] for name in "abcdefgh"}
    numbers = {name: index for index, name in enumerate(lines)}
    drawn = line_chart(lines, title="t", x_title="step", numbers=numbers)
    kinds = [line.get("class") for line in ElementTree.fromstring(drawn).findall("polyline")]
    assert len(set(kinds)) == 8
    css = (files("palaestra.harness.report") / "page.css").read_text(encoding="utf-8")
    of_line = dict(re.findall(r"svg \.(t\d) \{ fill: (var\(--\w+\))", css))
    of_bar = dict(re.findall(r"svg \.(c\d) \{ fill: (var\(--\w+\))", css))
    assert [of_line[kind.split()[1]] for kind in kinds[:7]] == [of_bar[f"c{index}"] for index in range(7)]
