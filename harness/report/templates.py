"""The templates of all pages, with their filters, style and content security policy."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from palaestra.harness.report.figures import Score
from palaestra.harness.report.statistics import Interval
from palaestra.harness.report.svg import number
from palaestra.harness.report.text import fold, readable

__all__ = ["make_templates"]


def make_templates(script: bool = False) -> jinja2.Environment:
    """The environment that renders pages; text is escaped and made readable wherever it comes from.

    Args:
        script: Whether the page has the script that filters transcripts.
    """
    here = files(__package__)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (here / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    style = (here / "page.css").read_text(encoding="utf-8")
    words = (here / "page.js").read_text(encoding="utf-8") if script else ""
    environment.filters.update(number=_number, score=_score, interval=_interval, count=_count, fold=fold)
    environment.globals.update(style=Markup(style), script=Markup(words), policy=_policy(style, words))
    return environment


def _finalized(value: Any) -> Any:
    return readable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _number(value: float | None) -> str:
    return "–" if value is None else number(value)


def _count(value: int) -> str:
    return f"{value:,}"


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f"[{number(interval.low)}, {number(interval.high)}]"


def _score(score: Score | None) -> str:
    return "–" if score is None else number(score.mean)


def _policy(style: str, script: str) -> str:
    """A content security policy under which the page can load nothing and run no script but its own."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    allowed = f"'sha256-{digest(script)}'" if script else "'none'"
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest(style)}'; script-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )
