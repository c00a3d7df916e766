"""The class docstring is the docs page: its headings, its tables and its example are true."""

from __future__ import annotations

import contextlib
import doctest
import inspect
import io
import re
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from palaestra.harness.check.subject import Subject
from palaestra.harness.check.verdicts import CheckFailed, Problems, shorten
from palaestra.harness.check.world import World

__all__ = ["HEADINGS", "check_docstring"]

HEADINGS = (
    "Description",
    "Action Space",
    "Observation Space",
    "Rewards",
    "Starting State",
    "Episode End",
    "Information",
    "Arguments",
    "Version History",
)
_SPACE = re.compile(
    r"`((?:Utf8|Box|Discrete|MultiDiscrete|MultiBinary|Text|Graph|Sequence|OneOf)\((?:[^()`]|\([^()]*\))*\))`"
)
_REQUIRED = ("", "-", "required")


def check_docstring(subject: Subject) -> str:
    """Reads the docstring as a person would and compares it with the environment.

    Raises:
        CheckFailed: Something is missing or not true.
    """
    kind = subject.env_class()
    text = inspect.getdoc(kind) or ""
    subject.require(subject.has_card or "## " in text, "not an environment of palaestra, and without headings")
    if not text:
        raise CheckFailed(
            f"{kind.__name__} has a docstring", "none", f"write it under the headings {', '.join(HEADINGS)}"
        )
    problems = Problems()
    sections = _sections(text)
    for heading in HEADINGS:
        problems.require(
            bool(sections.get(heading, "").strip()),
            f"a section '## {heading}'",
            f"sections: {', '.join(sections) or 'none'}",
            "Gymnasium's headings, in its order, are what readers and the docs expect",
        )
    order = [heading for heading in sections if heading in HEADINGS]
    problems.require(
        order == [heading for heading in HEADINGS if heading in order],
        f"the headings in the order {', '.join(HEADINGS)}",
        ", ".join(order),
        "sections were moved",
    )
    with subject.make() as world:
        agent = world.agents[0]
        _space("Action Space", world.action_space(agent), sections, problems)
        _space("Observation Space", world.observation_space(agent), sections, problems)
        _information(subject, world, sections.get("Information", ""), problems)
    _arguments(subject, kind, sections.get("Arguments", ""), problems)
    version = subject.env_id.rpartition("-")[2]
    problems.require(
        re.search(rf"\b{re.escape(version)}\b", sections.get("Version History", "")) is not None,
        f"the version history knows {version}",
        shorten(sections.get("Version History", "")),
        "add a line for this version",
    )
    examples = _example(kind, text, problems)
    return problems.finish(
        f"{len(order)} sections, tables equal to the spaces and the signature, {examples} examples run"
    )


def _sections(text: str) -> dict[str, str]:
    parts = re.split(r"^#{2,3} +(.+?)\s*$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=False))


def _rows(section: str) -> list[list[str]]:
    """The cells of every table, header first, rulers left out."""
    rows = []
    for line in section.splitlines():
        line = line.strip()
        if line.startswith("|") and not re.fullmatch(r"[|\s:-]+", line):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))])
    return rows


def _bare(cell: str) -> str:
    return re.sub(r"\s+", " ", cell.replace("`", "").replace("\\|", "|")).strip()


def _leaves(space: gym.Space[Any], path: str = "") -> Iterator[tuple[str, gym.Space[Any]]]:
    if isinstance(space, gym.spaces.Dict):
        for key, item in space.spaces.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(space, gym.spaces.Tuple):
        for index, item in enumerate(space.spaces):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, space


def _space(heading: str, space: gym.Space[Any], sections: dict[str, str], problems: Problems) -> None:
    section = sections.get(heading, "")
    rows = _rows(section)
    leaves = list(_leaves(space))
    for key, leaf in leaves:
        written = _bare(repr(leaf))
        stated = any(
            any(_bare(cell) == written for cell in row) and (not key or any(_bare(cell) == key for cell in row))
            for row in rows
        )
        if not stated and isinstance(leaf, gym.spaces.Box):
            stated = _bounds_table(rows, leaf)
        if not stated and isinstance(leaf, gym.spaces.Discrete):
            stated = _choices_table(rows, leaf)
        problems.require(
            stated,
            f"a table under '## {heading}' with a row that holds {'`' + key + '` and ' if key else ''}`{written}`"
            + (", or a table Num | ... | Min | Max with a row a dimension" if isinstance(leaf, gym.spaces.Box) else ""),
            shorten(" / ".join(" | ".join(row) for row in rows) or "no table", 500),
            "the space changed and its table did not, or there is no table",
        )
    real = {_bare(repr(leaf)) for _, leaf in leaves} | {_bare(repr(space))}
    for written in _SPACE.findall(section):
        problems.require(
            _bare(written) in real,
            f"every space named under '## {heading}' is one of {', '.join(sorted(real))}",
            written,
            "left over from an earlier version",
        )


def _bounds_table(rows: list[list[str]], box: gym.spaces.Box) -> bool:
    """Whether there is a table with a numbered row a dimension, whose bounds are the box's."""
    if len(box.shape) > 1 or not rows:
        return False
    header = [_bare(cell).casefold() for cell in rows[0]]
    places = [
        next((n for n, cell in enumerate(header) if cell.startswith(word)), None) for word in ("num", "min", "max")
    ]
    if None in places:
        return False
    num, low, high = (int(place or 0) for place in places)
    body = [row for row in rows[1:] if len(row) == len(header) and _bare(row[num]).isdigit()]
    lows, highs = np.atleast_1d(box.low), np.atleast_1d(box.high)
    if len(body) != lows.size:
        return False
    return all(
        _number(row[low]) == _rounded(lows[index], row[low]) and _number(row[high]) == _rounded(highs[index], row[high])
        for index, row in enumerate(body)
    )


def _number(cell: str) -> float | None:
    text = _bare(cell).casefold().replace("infinity", "inf").replace("−", "-").split(" ")[0]
    try:
        return float(text)
    except ValueError:
        return None


def _rounded(value: float, cell: str) -> float:
    """The value with as many decimals as the cell shows."""
    decimals = len(_bare(cell).split(" ")[0].partition(".")[2])
    return float(value) if not np.isfinite(value) else float(np.round(float(value), decimals))


def _choices_table(rows: list[list[str]], space: gym.spaces.Discrete) -> bool:
    """Whether there is a table with one numbered row a choice."""
    numbers = [int(_bare(row[0])) for row in rows[1:] if re.fullmatch(r"-?\d+", _bare(row[0]))]
    return numbers == list(range(int(space.start), int(space.start + space.n)))


def _information(subject: Subject, world: World, section: str, problems: Problems) -> None:
    """Every key of info that shows up in a few episodes is named."""
    seen: set[str] = set()
    for name in world.policy_names:
        observation, infos = world.reset(subject.seed)
        policies = {agent: world.policy(name, subject.seed, agent) for agent in world.live}
        for _ in range(50):
            seen |= _keys(infos)
            if not world.live:
                break
            step = world.step({agent: policies[agent](observation[agent]) for agent in world.live})
            observation, infos = step.observation, step.info
            if all(step.terminated[agent] or step.truncated[agent] for agent in step.terminated):
                seen |= _keys(infos)
                break
    named = {_bare(span) for span in re.findall(r"`([^`]+)`", section)}
    missing = sorted(key for key in seen if key not in named and f'info["{key}"]' not in named)
    problems.require(
        not missing,
        "'## Information' names every key of info in `backticks`",
        f"not named: {', '.join(missing)}",
        "a key was added and not written down",
    )


def _keys(infos: dict[str, dict[str, Any]]) -> set[str]:
    return {key for info in infos.values() if info.get("status") != "failed" for key in info}


def _arguments(subject: Subject, kind: type, section: str, problems: Problems) -> None:
    rows = _rows(section)
    header = [_bare(cell).casefold() for cell in rows[0]] if rows else []
    column = next((index for index, cell in enumerate(header) if cell.startswith("default")), None)
    if column is None:
        problems.add(
            "a table under '## Arguments' with a column 'Default'",
            shorten(" / ".join(" | ".join(row) for row in rows) or "no table"),
            "write | Parameter | Type | Default | Description |",
        )
        return
    written = {_bare(row[0]): _bare(row[column]) for row in rows[1:] if len(row) > column}
    real = dict(_parameters(kind, subject.default_kwargs))
    for name in real.keys() - written.keys():
        problems.add(
            f"a row for the argument `{name}`",
            f"rows: {', '.join(written)}",
            "the constructor takes it and the table does not say so",
        )
    for name in written.keys() - real.keys():
        problems.add(
            "rows only for arguments of the constructor",
            f"`{name}`; the constructor takes {', '.join(real)}",
            "it was removed or renamed",
        )
    for name in sorted(real.keys() & written.keys()):
        required = real[name] is inspect.Parameter.empty
        fine = written[name] in _REQUIRED if required else _same_default(written[name], real[name])
        problems.require(
            fine,
            f"the default of `{name}` is {'required' if required else repr(real[name])}",
            written[name],
            "the default changed in the signature and not in the table",
        )


def _same_default(cell: str, value: Any) -> bool:
    bare = _bare(repr(value))
    return (
        cell in (bare, str(value))
        or cell.replace("_", "").replace(",", "") == bare
        or cell.replace("'", '"') == bare.replace("'", '"')
    )


def _parameters(kind: type, defaults: Any) -> Iterator[tuple[str, Any]]:
    """Names and defaults of the constructor's arguments; `**kwargs` stands for those of the next class."""
    seen: set[str] = set()
    for cls in kind.__mro__:
        if "__init__" not in vars(cls) or cls is object:
            continue
        parameters = list(inspect.signature(vars(cls)["__init__"]).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or parameter.name in seen:
                continue
            seen.add(parameter.name)
            yield parameter.name, defaults.get(parameter.name, parameter.default)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return


def _example(kind: type, text: str, problems: Problems) -> int:
    examples = [item for item in doctest.DocTestParser().get_examples(text) if not item.options.get(doctest.SKIP)]
    if not examples:
        problems.add("a `>>>` example that runs", "none", "show gymnasium.make, reset and a step, with their output")
        return 0
    test = doctest.DocTest(examples, {"__name__": "__example__"}, kind.__name__, None, None, text)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()):
        runner.run(test, out=report.write, clear_globs=True)
    problems.require(
        runner.failures == 0,
        "the docstring's example runs and prints what it says",
        shorten(report.getvalue(), 1000),
        "the environment changed and its example did not",
    )
    return len(examples)
