"""The page and report.json, made from episodes of every kind."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.episodes import (
    Completion,
    Episode,
    EpisodeError,
    ImagePart,
    TextPart,
    ToolCall,
    ToolResult,
    Turn,
)
from palaestra.errors import ConfigError
from palaestra.harness.report import ReportRun, summary_rows, write_report
from palaestra.harness.report.pictures import png
from palaestra.harness.report.svg import nice_ticks, number
from palaestra.harness.report.text import fold, readable
from palaestra.harness.run_folder import Run, RunWriter
from palaestra.rollouts import ArrayTurns
from palaestra.tasks import Task

CANARY = "gold-nonce-5c1f"
VOID = {"meta", "img", "br", "hr", "input", "link"}
EVIL = "<script>alert('x')</script> \"quoted\" & 'single' </pre></details> \x00\x1b[31m \u202eevil\u2066 \udcff"


class Checker(HTMLParser):
    """Collects what is wrong with a page, and its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        self.problems += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.problems.append(f"<{tag}> repeats an attribute: {names}")
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes something else at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


def check(path: Path) -> Checker:
    """Reads a page and asserts what holds for every page."""
    text = path.read_text(encoding="utf-8")
    page = Checker(text)
    assert page.problems == []
    assert CANARY not in text
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "audio", "video", "source"}
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcset", "action")]
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/")), (tag, attributes)
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert [tag for tag, _ in page.elements].count("style") == 1
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style
    anchors = {attributes["href"] for tag, attributes in page.elements if tag == "a"}
    assert anchors <= {f"#{attributes['id']}" for _, attributes in page.elements if "id" in attributes}
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\u202a-\u202e\u2066-\u2069]", text)
    data = path.with_suffix(".json").read_text(encoding="utf-8")
    assert CANARY not in data
    json.loads(data, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    return page


def task(number: int, kind: str = "bridge") -> Task:
    truth = {"answers": (CANARY,), "gold_passages": (CANARY,)}
    metadata = {"kind": kind, "hops": 1 + number % 3}
    return Task(f"{kind}-{number}", f"group-{number}", f"What is number {number}?", "test", truth, metadata)


def sample(count: int) -> Completion:
    ids = np.arange(count, dtype=np.int32)
    return Completion(ids, np.zeros(count, np.float32), ids[:3], 0, finish_reason="length", model="tiny-model")


def search_call(text: str = "Some passage.", status: Any = "ok", *parts: Any) -> ToolCall:
    result = ToolResult((TextPart(text), *parts), is_error=status != "ok")
    return ToolCall("search", {"query": "a query"}, result, status, 0.1, {"secret": CANARY})


def episode(
    number: int = 0,
    *,
    outcome: float | None = 1.0,
    error: EpisodeError | None = None,
    turns: Sequence[Turn] | None = None,
    observations: Sequence[Any] | None = None,
    repeat: int = 0,
    kind: str = "bridge",
    **changes: Any,
) -> Episode:
    if turns is None:
        info = {"status": "terminated", "privileged": {"answers": CANARY}, "gold": CANARY}
        last = {"reward": outcome or 0.0, "terms": {"env": outcome or 0.0}, "terminated": error is None, "info": info}
        turns = [
            Turn(0, "<search>a query</search>", (search_call(),), 0.0, {"env": 0.0}, completion=sample(7)),
            Turn(1, f"<answer>{number}</answer>", completion=sample(5), **last),
        ]
    name = f"{kind}-{number}#{repeat}"
    fields: dict[str, Any] = {
        "episode_id": name,
        "group_id": f"{kind}-{number}",
        "env_id": "palaestra/Example-v0",
        "env_kwargs": {},
        "task": task(number, kind),
        "seed": number,
        "attempt": 0,
        "agent_id": "agent_0",
        "world_id": name,
        "status": "failed" if error else "terminated",
        "observations": [f"Question {number}", *("<r>Some passage.</r>" for _ in turns)]
        if observations is None
        else observations,
        "turns": turns,
        "outcome": None if error else outcome,
        "info": {"gold": CANARY},
        "privileged": {"answers": (CANARY,)},
        "error": error,
    }
    return Episode(**{**fields, **changes})


def manifest(agent: str, **changes: Any) -> dict[str, Any]:
    session = {
        "started": "2030-01-01T00:00:00Z",
        "machine": {"cores": 2, "system": "Linux"},
        "packages": {"numpy": "2"},
    }
    return {
        "env": {"id": "palaestra/Example-v0", "kwargs": {"max_turns": 3}},
        "agent": {"name": agent, "api_key": "sk-very-secret"},
        "card": {"summary": "An example."},
        "sessions": [session],
        "seed": 17,
        "status": "finished",
        "digest": "d1" * 32,
        **changes,
    }


def run(name: str, episodes: Sequence[Episode], **changes: Any) -> ReportRun:
    return ReportRun(name, manifest(name, **changes), episodes, {item.world_id: 2.0 for item in episodes})


DOWN = EpisodeError("retriever_down", "infrastructure", True, "The retriever did not answer.")


def test_numbers_of_the_summary(tmp_path: Path) -> None:
    weak = [episode(n, outcome=float(n == 0)) for n in range(4)] + [episode(9, error=DOWN)]
    strong = [episode(n, outcome=[0.5, 1.0][n % 2]) for n in range(4)]
    page = write_report([run("weak", weak), run("strong", strong)], tmp_path)
    assert page == tmp_path / "report.html"
    text = check(page).words
    data = json.loads((tmp_path / "report.json").read_text())
    first, second = data["summary"]
    assert (first["episodes"], first["valid"], first["terminated"], first["truncated"], first["failed"]) == (
        5,
        4,
        4,
        0,
        1,
    )
    assert first["outcome"]["mean"] == 0.25
    assert first["outcome_bound"]["mean"] == 0.2
    assert first["outcome_iqm"]["mean"] == 0.0
    assert first["turns"] == 2.0 and first["tokens"] == 12.0 and first["seconds"] == 2.0
    assert first["calls"] == {"ok": 5}
    assert second["outcome"]["mean"] == second["outcome_bound"]["mean"] == 0.75
    assert second["outcome"]["interval"]["low"] < 0.75 < second["outcome"]["interval"]["high"]
    (failure,) = data["failures"]
    assert (failure["kind"], failure["cause"], failure["episodes"]) == ("retriever_down", "infrastructure", 1)
    (pair,) = data["comparisons"]
    assert (pair["first"], pair["second"], pair["difference"]["mean"]) == ("strong", "weak", 0.5)
    assert pair["difference"]["tasks"] == 4
    assert data["breakdowns"]["hops"]["1"]["weak"]["mean"] == 0.5
    assert data["turns"] == {"bins": [[2, 2]], "counts": {"weak": [4], "strong": [4]}}
    assert data["rewards"]["strong"]["reward"] == [[1.0, 0.0], [2.0, 0.75]]
    for shown in ("The retriever did not answer.", "tiny-model", "5 tokens", "finish: length", "9 episodes, 1 failed"):
        assert shown in text


def test_every_number_in_the_page_is_in_the_json(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    runs = [run(name, [episode(n, outcome=float(rng.random())) for n in range(9)]) for name in ("a", "b")]
    text = check(write_report(runs, tmp_path)).words
    data = json.loads((tmp_path / "report.json").read_text())
    assert [row["agent"] for row in data["summary"]] == ["a", "b"]
    for row, same in zip(data["summary"], summary_rows(runs), strict=True):
        for name in ("outcome", "outcome_iqm", "outcome_bound"):
            score, interval = row[name], row[name]["interval"]
            assert score["mean"] == getattr(same, name).mean
            assert f"{number(score['mean'])} [{number(interval['low'])}, {number(interval['high'])}]" in text
        assert number(row["episode_return"]["mean"]) in text
    difference = data["comparisons"][0]["difference"]
    assert f"[{number(difference['interval']['low'])}, {number(difference['interval']['high'])}]" in text
    for scores in data["breakdowns"]["hops"].values():
        for score in scores.values():
            assert number(score["mean"]) in text


def test_what_differs_in_nearly_every_episode_is_no_kind(tmp_path: Path) -> None:
    facts = {number: {"user": f"P-{number}", "calls": number % 5} for number in range(8)}
    episodes = [episode(number) for number in facts]
    for place, one in enumerate(episodes):
        object.__setattr__(one.task, "metadata", facts[place])
    write_report([run("a", episodes)], tmp_path)
    assert set(json.loads((tmp_path / "report.json").read_text())["breakdowns"]) == {"calls"}


def test_the_same_runs_make_the_same_bytes(tmp_path: Path) -> None:
    runs = [run("a", [episode(n, outcome=n / 10) for n in range(10)])]
    paths = [write_report(runs, tmp_path / name) for name in ("one", "two")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    shuffled = [run("a", [episode(n, outcome=n / 10) for n in reversed(range(10))])]
    assert write_report(shuffled, tmp_path / "three").read_bytes() == paths[0].read_bytes()


def test_untrusted_text_is_only_text(tmp_path: Path) -> None:
    picture = ImagePart(b"\x89PNG\r\n\x1a\n<script>", 'image/png" onerror="alert(1)')
    turns = [
        Turn(
            0,
            EVIL,
            (ToolCall(EVIL, {EVIL: EVIL}, ToolResult((TextPart(EVIL), picture)), "rejected"),),
            terms={EVIL: -1.0},
            completion=Completion(*(np.zeros(0, t) for t in (np.int32, np.float32, np.int32)), 0, model=EVIL),
            terminated=True,
        )
    ]
    hostile = episode(
        turns=turns,
        observations=[EVIL, {"text": EVIL, EVIL: EVIL}],
        task=Task(EVIL, EVIL, EVIL, "test", {}, {"kind": EVIL, EVIL: EVIL}),
        **{name: EVIL for name in ("episode_id", "world_id", "group_id", "env_id")},
    )
    plain = episode(1, error=EpisodeError(EVIL, "unattributed", False, EVIL))
    odd = manifest(EVIL, env={"id": EVIL, "kwargs": {EVIL: EVIL}}, card={"summary": EVIL}, status=EVIL, message=EVIL)
    page = check(write_report([ReportRun(EVIL, odd, [hostile, plain]), run("b", [episode()])], tmp_path))
    assert "<script>alert('x')</script>" in page.words  # read as text
    assert "[U+202E]evil" in page.words and "␛[31m" in page.words and "[U+DCFF]" in page.words


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(), max_size=40), st.text(st.characters(), max_size=40))
def test_any_text_can_be_reported(tmp_path_factory: pytest.TempPathFactory, said: str, read: str) -> None:
    turns = [Turn(0, said, (search_call(read),), terms={read: 1.0}, terminated=True)]
    path = write_report([run(said, [episode(turns=turns)])], tmp_path_factory.mktemp("any"))
    check(path)


@settings(deadline=None)
@given(st.text(st.characters()))
def test_readable_text_can_be_encoded_and_is_stable(text: str) -> None:
    shown = readable(text)
    shown.encode()
    assert readable(shown) == shown
    assert readable("plain, with\ttab\nand line: é 北 🙂") == "plain, with\ttab\nand line: é 北 🙂"


def test_long_texts_are_folded_and_very_long_ones_cut(tmp_path: Path) -> None:
    huge = "<b>" * 350_000
    turns = [Turn(0, huge, (search_call(huge),), terminated=True)]
    path = write_report([run("a", [episode(turns=turns, observations=[huge, huge])])], tmp_path)
    assert path.stat().st_size < 400_000
    text = check(path).words
    assert "1,050,000 characters" in text and "1,042,500 characters left out" in text
    shown = fold("word " * 100_000)
    assert shown.folded and len(shown.head) + len(shown.tail) + shown.omitted == shown.characters == 500_000
    assert not fold("short").folded and fold("a\n" * 40).folded


def test_what_is_privileged_stays_out(tmp_path: Path) -> None:
    # Every fixture carries the canary in truth, privileged, infos and tool data; `check` looks for it.
    everything = [episode(n, kind=kind) for n in range(3) for kind in ("bridge", "count")]
    assert CANARY in str(everything[0].privileged) and CANARY in str(everything[0].task)
    check(write_report([run("a", everything)], tmp_path))


def test_secrets_of_a_manifest_stay_out(tmp_path: Path) -> None:
    path = write_report([run("a", [episode()])], tmp_path)
    assert "sk-very-secret" not in path.read_text() + path.with_suffix(".json").read_text()
    assert "(hidden)" in path.read_text()


def test_pictures_of_tools_and_observations(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drawn, seen = (rng.integers(0, 256, (16, 12, 3), np.uint8) for _ in range(2))
    broken = ImagePart(b"not a picture", "image/png")
    call = search_call("See:", "ok", ImagePart(png(drawn)), broken, ImagePart(b"<svg/>", "image/svg+xml"))
    observations = [{"text": "Look.", "image": np.zeros_like(seen)}, {"text": "See:", "image": seen}]
    turns = [Turn(0, "<look/>", (call,), terminated=True)]
    page = check(write_report([run("a", [episode(turns=turns, observations=observations)])], tmp_path))
    uris = [attributes["src"] or "" for tag, attributes in page.elements if tag == "img"]
    pictures = [base64.b64decode(uri.removeprefix("data:image/png;base64,")) for uri in uris]
    assert pictures == [png(drawn), png(seen)]
    assert page.words.count("not shown") == 2 and "one colour" in page.words


@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 1), (9, 8, 3), (9, 8, 4)])
def test_png_holds_the_pixels(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    data = png(pixels)
    chunks, at = {}, 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + size
    channels = 1 if len(shape) == 2 else shape[2]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (8, 9, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(9, 1 + 8 * channels)
    assert (rows[:, 0] == 0).all()
    assert (rows[:, 1:].reshape(pixels.shape) == pixels).all()


def array_episode(number: int, steps: int) -> Episode:
    rng = np.random.default_rng(number)
    speed, crash = rng.random(steps), -(rng.random(steps) < 0.01).astype(float)
    flags = np.zeros(steps, bool)
    ends = flags.copy()
    ends[-1] = True
    turns = ArrayTurns(rng.integers(0, 5, steps), speed + crash, flags, ends, {"speed": speed, "crash": crash})
    frames = rng.integers(0, 256, (4, 10, 10), np.uint8).repeat(steps // 4 + 1, axis=0)[: steps + 1]
    changes = {"task": None, "status": "truncated", "outcome": None, "turns": turns, "observations": frames}
    return episode(number, **changes)


def test_arrays_of_ten_thousand_steps_are_curves(tmp_path: Path) -> None:
    episodes = [array_episode(n, 10_000) for n in range(3)]
    path = write_report([run("fast", episodes), run("slow", [array_episode(n, 500) for n in range(3)])], tmp_path)
    assert path.stat().st_size < 500_000
    page = check(path)
    data = json.loads(path.with_suffix(".json").read_text())
    assert data["measure"] == "return"
    row = data["summary"][0]
    assert row["outcome"] is None and row["turns"] == 10_000
    returns = [float(item.turns.rewards.sum()) for item in episodes]  # type: ignore[attr-defined]
    assert row["episode_return"]["mean"] == pytest.approx(np.mean(returns))
    assert row["tasks"] == 3  # start states
    assert [tag for tag, _ in page.elements].count("img") == 6 * 4
    assert "Turn 1" not in page.words and "Sum of rewards up to each turn" in page.words
    curve = data["rewards"]["fast"]["speed"]
    assert len(curve) <= 60
    assert np.mean([mean for _, mean in curve]) == pytest.approx(
        np.mean([item.turns.terms["speed"] for item in episodes]),
        abs=1e-3,  # type: ignore[attr-defined]
    )


def world(number: int, agents: Sequence[str], error: EpisodeError | None = None) -> list[Episode]:
    shared = {"world_id": f"world#{number}", "world_size": len(agents), "task": None}
    return [
        episode(
            number, error=error, outcome=float(side == 0), agent_id=name, episode_id=f"world#{number}/{name}", **shared
        )
        for side, name in enumerate(agents)
    ]


def test_worlds_of_several_agents_stay_together(tmp_path: Path) -> None:
    episodes = [*world(0, ["red", "blue"]), *world(1, ["red", "blue"])]
    episodes.append(episode(2, error=DOWN, task=None, episode_id="world#2", world_id="world#2"))  # failed at reset
    page = check(write_report([run("pair", episodes)], tmp_path))
    data = json.loads((tmp_path / "report.json").read_text())
    rows = {row["agent"]: row for row in data["summary"]}
    assert set(rows) == {"pair · red", "pair · blue"}
    assert rows["pair · red"]["outcome"]["mean"] == 1.0 and rows["pair · blue"]["outcome"]["mean"] == 0.0
    # The world that broke before it had agents counts against each of them.
    assert all(row["failed"] == 1 and row["episodes"] == 3 for row in rows.values())
    assert rows["pair · red"]["outcome_bound"]["mean"] == pytest.approx(2 / 3)
    assert [attributes.get("class") for _, attributes in page.elements].count("world") == 2
    assert "World world#1" in page.words


def test_many_agents_of_a_world_share_a_row(tmp_path: Path) -> None:
    names = [f"car_{n}" for n in range(30)]
    check(write_report([run("cars", [item for n in range(4) for item in world(n, names)])], tmp_path))
    data = json.loads((tmp_path / "report.json").read_text())
    (row,) = data["summary"]
    assert row["agent"] == "cars" and row["episodes"] == 120
    assert data["transcripts"] == [{"agent": "cars", "shown": 16, "episodes": 120}]


def test_a_thousand_episodes_fit_in_five_megabytes(tmp_path: Path) -> None:
    long = "A passage with <tags> & entities. " * 200
    turns = [Turn(t, f"<search>{t}</search>", (search_call(long),)) for t in range(8)]
    runs = [
        run(
            name,
            [episode(n, outcome=float(n % 3 == 0), turns=turns, kind=["bridge", "count"][n % 2]) for n in range(250)],
        )
        for name in ("a", "b", "c", "d")
    ]
    path = write_report(runs, tmp_path)
    assert path.stat().st_size < 5_000_000
    text = check(path).words
    assert "4 agents, 1,000 episodes, none failed" in text
    assert text.count("12 of 250 episodes") == 4
    small = write_report(runs, tmp_path / "small", max_bytes=200_000)
    assert small.stat().st_size < 400_000
    assert "more would have made this page too large" in check(small).words


def test_chosen_episodes_are_the_same_tasks_for_every_agent_and_name_best_worst_failed(tmp_path: Path) -> None:
    def outcomes(best: int) -> list[Episode]:
        return [episode(n, outcome=1.0 if n == best else 0.0 if n == 3 else 0.5) for n in range(40)]

    runs = [run("a", [*outcomes(17), episode(77, error=DOWN)]), run("b", outcomes(18))]
    page = check(write_report(runs, tmp_path))
    titles = re.findall(r"What is number (\d+)\? a (?:· \w+ )*?· sample", page.words)
    others = re.findall(r"What is number (\d+)\? b (?:· \w+ )*?· sample", page.words)
    assert len(set(titles) & set(others)) >= 4
    for agent, title, reason in (("a", 17, "best"), ("b", 18, "best"), ("a", 3, "worst"), ("a", 77, "failed")):
        assert re.search(rf"What is number {title}\? {agent} (· \w+ )*?· {reason}", page.words), (agent, title, reason)


def test_several_samples_give_pass_at_k(tmp_path: Path) -> None:
    episodes = [
        episode(n, outcome=float(repeat == 0 and n < 2), repeat=repeat) for n in range(4) for repeat in range(3)
    ]
    page = check(write_report([run("a", episodes)], tmp_path))
    (row,) = json.loads((tmp_path / "report.json").read_text())["summary"]
    assert row["tasks"] == 4
    assert row["pass_at"] == {"1": pytest.approx(1 / 6), "2": pytest.approx(1 / 3)}
    assert "k = 2" in page.words
    # Twelve episodes are four tasks: the interval is of four.
    assert row["outcome"]["interval"]["high"] - row["outcome"]["interval"]["low"] > 0.3


@pytest.mark.parametrize(
    "episodes",
    [[], [episode(0, error=DOWN)], [episode(0)], [episode(0, turns=[], observations=["only"], error=DOWN)]],
    ids=["none", "all failed", "one", "failed at once"],
)
def test_little_is_enough_for_a_page(tmp_path: Path, episodes: list[Episode]) -> None:
    page = check(write_report([run("a", episodes)], tmp_path / "deep" / "page.html"))
    assert (tmp_path / "deep" / "page.json").exists()
    assert "palaestra/Example-v0" in page.words


def test_no_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one run"):
        write_report([], tmp_path)


def test_two_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    check(write_report([run("a", [episode()]), run("a", [episode()])], tmp_path))
    data = json.loads((tmp_path / "report.json").read_text())
    assert [row["agent"] for row in data["summary"]] == ["a", "a (2)"]


def test_a_stopped_run_says_so(tmp_path: Path) -> None:
    stopped = run("a", [episode()], status="budget", message="The tokens are spent.")
    assert "not complete (status: budget). The tokens are spent." in check(write_report([stopped], tmp_path)).words


def test_a_run_folder_reads_the_same_as_its_episodes(tmp_path: Path) -> None:
    episodes = [episode(n, outcome=n / 5) for n in range(5)]
    writer = RunWriter(tmp_path / "run")
    writer.begin(manifest("a"))
    for item in episodes:
        writer.append([item], {"seconds": 2.0})
    writer.close()
    opened = Run.open(tmp_path / "run")
    stored = write_report([opened], tmp_path / "stored")
    direct = ReportRun(
        "a", {**opened.manifest, "digest": opened.digest()}, episodes, {e.world_id: 2.0 for e in episodes}
    )
    assert stored.read_text() == write_report([direct], tmp_path / "direct").read_text()
    assert summary_rows([ReportRun.open(tmp_path / "run")]) == summary_rows([direct])


def test_the_page_runs_no_script_but_its_own(tmp_path: Path) -> None:
    import hashlib

    text = write_report([run("a", [episode()])], tmp_path).read_text()
    policy = next(a["content"] or "" for tag, a in Checker(text).elements if a.get("http-equiv"))
    assert "default-src 'none'" in policy
    for tag in ("script", "style"):
        inside = text[text.index(f"<{tag}>") + len(tag) + 2 : text.index(f"</{tag}>")]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@settings(deadline=None)
@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_few_and_span_the_range(low: float, width: float) -> None:
    high = low + width
    if not high > low:
        return
    ticks = nice_ticks(low, high)
    step = ticks[1] - ticks[0]
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low + step * 1e-3 and ticks[-1] >= high - step * 1e-3
