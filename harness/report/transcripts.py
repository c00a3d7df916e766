"""Which episodes a report shows, and what of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from palaestra.episodes import Completion, Episode, ImagePart, TextPart, ToolCall, Turn
from palaestra.harness.report.facts import AgentFacts, EpisodeFacts, natural, reward_columns
from palaestra.harness.report.pictures import array_uri, is_picture, part_uri
from palaestra.harness.report.svg import line_chart
from palaestra.harness.report.text import Passage, fold, plain
from palaestra.rollouts import ArrayTurns

__all__ = ["CallView", "Choice", "EpisodeView", "Picture", "TurnView", "choose", "view_of"]

_ALL = 12  # worlds that are all shown
_PICKS = (("sample", 4), ("best", 3), ("worst", 3), ("failed", 3))
_MAX_EPISODES = 16  # of a run of worlds with several agents
_MAX_SIDES = 8
_HEAD_TURNS, _TAIL_TURNS = 20, 5
_FEW_TERMS = 3  # above, terms that are 0 are not shown in transcripts
_CURVE_TURNS = 200  # longer episodes are a curve and no transcript
_CURVE_POINTS, _FRAMES = 200, 6


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a run is shown.

    Attributes:
        reasons: For each world that is shown, why; the most telling worlds first.
        sides: For each world, the ids of its episodes, as many as are shown.
        worlds: How many there are.
    """

    reasons: Mapping[str, Sequence[str]]
    sides: Mapping[str, Sequence[str]]
    worlds: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, or a note where it cannot be shown."""

    uri: str | None
    note: str


@dataclass(frozen=True, slots=True)
class CallView:
    """A tool call as the page shows it."""

    name: str
    arguments: Passage
    status: str
    texts: Sequence[Passage]
    pictures: Sequence[Picture]


@dataclass(frozen=True, slots=True)
class TurnView:
    """A turn as the page shows it. `seen` is what came back, where the tool results do not already say it."""

    number: int
    said: Passage | None
    calls: Sequence[CallView]
    seen: Passage | None
    pictures: Sequence[Picture]
    reward: float
    terms: Sequence[tuple[str, float]]
    sample: str
    end: str


@dataclass(frozen=True, slots=True)
class EpisodeView:
    """An episode as the page shows it."""

    episode_id: str
    agent_id: str
    world_id: str
    title: str
    status: str
    verdict: str
    outcome: float | None
    episode_return: float
    turn_count: int
    labels: Sequence[tuple[str, str]]
    seed: int
    attempt: int
    first: Passage | None
    first_pictures: Sequence[Picture]
    turns: Sequence[TurnView]
    omitted_turns: int
    omitted_after: int
    curve: str
    frames: Sequence[Picture]
    error: Mapping[str, Any] | None
    models: Sequence[str] = field(default_factory=tuple)


def choose(agents: Sequence[AgentFacts], measure: str) -> Choice:
    """The worlds of a run that are worth showing: all if they are few, else a sample, the best, worst and failed ones.

    The sample is drawn by a hash of the worlds' ids, so that it is of the same tasks for every agent.
    """
    worlds: dict[str, dict[str, EpisodeFacts]] = {}
    for agent in agents:
        for episode in agent.episodes:
            worlds.setdefault(episode.world_id, {})[episode.episode_id] = episode
    ordered = sorted(worlds, key=natural)
    sizes = [len(worlds[name]) for name in ordered]
    most = _ALL if max(sizes, default=1) == 1 else max(1, _MAX_EPISODES // min(_MAX_SIDES, max(sizes)))
    few = len(ordered) <= most
    reasons = {name: [] for name in ordered} if few else _picked(ordered, worlds, measure, most)
    sides = {name: sorted(worlds[name], key=natural)[:_MAX_SIDES] for name in reasons}
    return Choice(reasons, sides, len(ordered))


def _picked(
    ordered: Sequence[str], worlds: Mapping[str, Mapping[str, EpisodeFacts]], measure: str, most: int
) -> dict[str, list[str]]:
    def score(name: str) -> float:
        values = [e.outcome if measure == "outcome" else e.episode_return for e in worlds[name].values()]
        return float(np.mean([value for value in values if value is not None] or [-np.inf]))

    drawn = sorted(ordered, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest())
    failed = [name for name in drawn if any(e.status == "failed" for e in worlds[name].values())]
    valid = [name for name in drawn if name not in set(failed)]
    ranked = sorted(valid, key=lambda name: -score(name))
    top, bottom = (score(ranked[0]), score(ranked[-1])) if ranked else (0.0, 0.0)
    best = [name for name in ranked if score(name) > bottom]
    worst = [name for name in reversed(ranked) if score(name) < top]
    lists = {"sample": drawn, "best": best, "worst": worst, "failed": failed}
    reasons: dict[str, list[str]] = {}
    for place in range(max(count for _, count in _PICKS)):
        for reason, count in _PICKS:
            if place < min(count, len(lists[reason])):
                name = lists[reason][place]
                if name in reasons or len(reasons) < most:
                    reasons.setdefault(name, []).append(reason)
    for name in [name for name in drawn if name not in reasons][: most - len(reasons)]:
        reasons[name] = ["sample"]
    return reasons


class _Pictures:
    """Pictures of one episode, as many bytes of them as there is room for."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._last: str | None = None

    def of_part(self, part: ImagePart) -> Picture:
        return self._placed(part_uri(part), f"a picture ({part.media_type})")

    def of_array(self, pixels: Any) -> Picture | None:
        """None where it is the picture that was shown last."""
        if (pixels == pixels.flat[0]).all():
            return Picture(None, f"a picture of one colour, {pixels.shape[1]} x {pixels.shape[0]}")
        uri = array_uri(pixels)
        return None if uri == self._last else self._placed(uri, f"a picture, {pixels.shape[1]} x {pixels.shape[0]}")

    def _placed(self, uri: str | None, what: str) -> Picture:
        if uri is None:
            return Picture(None, f"{what}, not shown: of no known kind, damaged, or too large")
        if len(uri) > self._room:
            return Picture(None, f"{what}, not shown to keep the page small")
        self._room -= len(uri)
        self._last = uri
        return Picture(uri, what)


def view_of(episode: Episode, picture_room: int) -> EpisodeView:
    """What the page shows of an episode. Nothing of `privileged`, the task's truth, infos or tools' data.

    Args:
        episode: The episode.
        picture_room: How many bytes of pictures there may be.
    """
    task, turns = episode.task, episode.turns
    pictures = _Pictures(picture_room)
    curve_only = isinstance(turns, ArrayTurns) or len(turns) > _CURVE_TURNS
    shown: list[TurnView] = []
    first: Passage | None = None
    first_pictures: tuple[Picture, ...] = ()
    omitted = 0
    if not curve_only:
        omitted = max(0, len(turns) - _HEAD_TURNS - _TAIL_TURNS)
        if len(episode.observations):
            text, first_pictures = _seen(episode.observations[0], pictures)
            first = fold(text) if text else None
        kept = (
            [*range(len(turns))] if not omitted else [*range(_HEAD_TURNS), *range(len(turns) - _TAIL_TURNS, len(turns))]
        )
        shown = [_turn(turns[t], episode.observations[t + 1], pictures) for t in kept]
    labels = [("split", task.split), *sorted(task.metadata.items())] if task is not None else []
    title = task.prompt if task is not None else episode.episode_id
    return EpisodeView(
        episode_id=episode.episode_id,
        agent_id=episode.agent_id,
        world_id=episode.world_id,
        title=fold(title).first_line,
        status=episode.status,
        verdict=_verdict(episode),
        outcome=episode.outcome,
        episode_return=episode.episode_return if not isinstance(turns, ArrayTurns) else float(turns.rewards.sum()),
        turn_count=len(turns),
        labels=[(name, fold(plain(value)).first_line) for name, value in labels],
        seed=episode.seed,
        attempt=episode.attempt,
        first=first,
        first_pictures=first_pictures,
        turns=shown,
        omitted_turns=omitted,
        omitted_after=_HEAD_TURNS,
        curve=_curve(turns) if curve_only or omitted else "",
        frames=_frames(episode, pictures) if curve_only else (),
        error=None if episode.error is None else episode.error.to_json(),
        models=tuple(dict.fromkeys(turn.sample for turn in shown if turn.sample)),
    )


def _verdict(episode: Episode) -> str:
    if episode.status == "failed":
        return "failed"
    if episode.outcome is None:
        return "unscored"
    return "solved" if episode.outcome >= 1 else "unsolved" if episode.outcome <= 0 else "partial"


def _turn(turn: Turn, after: Any, pictures: _Pictures) -> TurnView:
    said = plain(turn.action)
    calls = [_call(call, pictures) for call in turn.calls]
    text, seen_pictures = _seen(after, pictures)
    results = [call.result.text for call in turn.calls if call.result is not None]
    if results and all(result in text for result in results):
        text = ""  # the same words stand in the results
    return TurnView(
        number=turn.t + 1,
        said=fold(said) if said else None,
        calls=calls,
        seen=fold(text) if text else None,
        pictures=seen_pictures,
        reward=turn.reward,
        terms=[(name, value) for name, value in sorted(turn.terms.items()) if value or len(turn.terms) <= _FEW_TERMS],
        sample="" if turn.completion is None else _sample(turn.completion),
        end="terminated" if turn.terminated else "truncated" if turn.truncated else "",
    )


def _call(call: ToolCall, pictures: _Pictures) -> CallView:
    content = () if call.result is None else call.result.content
    return CallView(
        name=fold(call.name).first_line,
        arguments=fold(", ".join(f"{name}={plain_argument(value)}" for name, value in call.arguments.items())),
        status=call.status,
        texts=[fold(part.text) for part in content if isinstance(part, TextPart) and part.text],
        pictures=[pictures.of_part(part) for part in content if isinstance(part, ImagePart)],
    )


def plain_argument(value: Any) -> str:
    """An argument of a tool call as a person writes it."""
    return f'"{value}"' if isinstance(value, str) else plain(value)


def _sample(sample: Completion) -> str:
    count = f"{len(sample.token_ids):,} tokens" if len(sample.token_ids) else "tokens not told"
    settings = "greedy" if sample.temperature == 0 else f"temperature {sample.temperature:g}"
    if sample.temperature != 0 and sample.top_p < 1:
        settings += f", top-p {sample.top_p:g}"
    parts = [sample.model, count, f"finish: {sample.finish_reason}", settings]
    if sample.policy_version:
        parts.append(f"weights {sample.policy_version}")
    return " · ".join(part for part in parts if part)


def _seen(observation: Any, pictures: _Pictures) -> tuple[str, tuple[Picture, ...]]:
    """The text and the pictures of an observation."""
    if isinstance(observation, str):
        return observation, ()
    if is_picture(observation):
        found = pictures.of_array(observation)
        return "", () if found is None else (found,)
    if isinstance(observation, Mapping):
        texts: list[str] = []
        shown: list[Picture] = []
        for name, item in observation.items():
            text, more = _seen(item, pictures)
            texts.append(text if name == "text" or not text else f"{name}: {text}")
            shown.extend(more)
        return "\n".join(text for text in texts if text), tuple(shown)
    return plain(observation), ()


def _curve(turns: Sequence[Turn]) -> str:
    """The reward and its terms, summed up to each turn."""
    lines: dict[str, list[tuple[float, float]]] = {}
    columns = reward_columns(turns)
    for name, column in columns.items():
        total = np.nancumsum(column)
        if name != "reward" and np.array_equal(total, np.nancumsum(columns["reward"])):
            continue
        at = np.unique(np.linspace(0, len(total) - 1, min(len(total), _CURVE_POINTS)).round().astype(int))
        lines[name] = [(float(t + 1), float(total[t])) for t in at if np.isfinite(total[t])]
    return line_chart(lines, title="Sum of rewards up to each turn", x_title="turn") if len(turns) else ""


def _frames(episode: Episode, pictures: _Pictures) -> tuple[Picture, ...]:
    """Pictures among the observations, from the first to the last."""
    count = len(episode.observations)
    at: Iterable[int] = np.unique(np.linspace(0, count - 1, min(count, _FRAMES)).round().astype(int)) if count else ()
    found = []
    for index in at:
        observation = episode.observations[int(index)]
        for item in observation.values() if isinstance(observation, Mapping) else (observation,):
            if is_picture(item) and (picture := pictures.of_array(item)) is not None:
                found.append(Picture(picture.uri, f"after {int(index):,} steps: {picture.note}"))
    return tuple(found)
