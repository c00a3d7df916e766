from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palaestra.envs.search.question_files import context_corpus, load_questions
from palaestra.errors import DataError, UnknownNameError
from palaestra.tasks import Task, split_of

HOTPOT = {
    "_id": "5a8b57f25542995d1e6f1371",
    "question": "Were Scott Derrickson and Ed Wood of the same nationality?",
    "answer": "yes",
    "supporting_facts": [["Scott Derrickson", 0], ["Ed Wood", 0], ["Ed Wood", 1]],
    "context": [
        ["Ed Wood (film)", ["Ed Wood is a 1994 film.", " It is a comedy."]],
        ["Scott Derrickson", ["Scott Derrickson is an American director."]],
        ["Ed Wood", ["Edward Wood was an American filmmaker.", " He also acted."]],
    ],
    "type": "comparison",
    "level": "hard",
}
WIKI = {
    "_id": "8813f87c0bdd11eba7f7acde48001122",
    "type": "compositional",
    "question": "Who is the mother of the director of film Polish-Russian War?",
    "context": [
        ["Polish-Russian War (film)", ["Directed by Xawery.", "Based on a novel."]],
        ["Xawery", ["Son of Hanna."]],
    ],
    "supporting_facts": [["Polish-Russian War (film)", 0], ["Xawery", 0]],
    "evidences": [["Polish-Russian War", "director", "Xawery"], ["Xawery", "mother", "Hanna"]],
    "answer": "Hanna",
}
MUSIQUE = {
    "id": "2hop__42543_20093",
    "paragraphs": [
        {"idx": 0, "title": "Green", "paragraph_text": "Green is an album by Steve Hillage.", "is_supporting": True},
        {"idx": 1, "title": "Miquette Giraudy", "paragraph_text": "Partner of Hillage.", "is_supporting": True},
        {"idx": 2, "title": "Green", "paragraph_text": "Green is a colour.", "is_supporting": False},
    ],
    "question": "Who is the spouse of the Green performer?",
    "question_decomposition": [{"id": 42543, "question": "Green >> performer", "answer": "Steve Hillage"}],
    "answer": "Miquette Giraudy",
    "answer_aliases": ["Giraudy", "Miquette Giraudy"],
    "answerable": True,
}
NQ = {"question": "where did they film hot tub time machine", "answer": ["Fernie Alpine Resort"]}
FLASH = {
    "id": "test_0",
    "question": "who got the first nobel prize",
    "golden_answers": ["Röntgen", "Wilhelm"],
}
EVERY: dict[str, dict[str, Any]] = {"hotpotqa": HOTPOT, "2wiki": WIKI, "musique": MUSIQUE, "nq": NQ}


def write(path: Path, items: list[Any], style: str) -> Path:
    if style == "lines":
        text = "\n".join(map(json.dumps, items)) + "\n"
    else:
        text = json.dumps(items, indent=2 if style == "indented" else None)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("format", EVERY)
@pytest.mark.parametrize("style", ["lines", "list", "indented"])
@pytest.mark.parametrize("name", ["q.json", "q.jsonl.gz"])
def test_every_format_in_every_container(tmp_path: Path, format: str, style: str, name: str) -> None:
    second = {**EVERY[format], **({"_id": "2"} if "_id" in EVERY[format] else {"id": "2"})}
    path = write(tmp_path / name, [EVERY[format], second], style)
    auto, named = load_questions(path), load_questions(path, format)  # type: ignore[arg-type]
    assert list(auto) == list(named) == list(load_questions([EVERY[format], second]))
    assert [task.metadata["source"] for task in auto] == [format] * 2
    assert len({task.group for task in auto}) == len({task.split for task in auto}) == 1
    assert all(Task.from_json(json.loads(json.dumps(task.to_json()))) == task for task in auto)


def identify(title: str, text: str) -> str:
    return f"{title}#{hashlib.sha256(f'{title}{chr(0)}{text}'.encode()).hexdigest()[:12]}"


def test_hotpotqa() -> None:
    [task] = load_questions([HOTPOT])
    assert (task.id, task.prompt) == (HOTPOT["_id"], HOTPOT["question"])
    assert task.group == "ed wood | scott derrickson"
    assert task.split == split_of(task.group)
    assert task.truth == {
        "answers": ("yes",),
        "gold_passages": (
            (identify("Scott Derrickson", "Scott Derrickson is an American director."), "Scott Derrickson"),
            (identify("Ed Wood", "Edward Wood was an American filmmaker. He also acted."), "Ed Wood"),
        ),
    }
    assert task.metadata == {"source": "hotpotqa", "kind": "comparison", "level": "hard", "hops": 2}


def test_2wiki() -> None:
    [task] = load_questions([WIKI])
    assert task.truth["evidences"] == (("Polish-Russian War", "director", "Xawery"), ("Xawery", "mother", "Hanna"))
    assert [gold[-1] for gold in task.truth["gold_passages"]] == ["Polish-Russian War (film)", "Xawery"]
    assert task.metadata == {"source": "2wiki", "kind": "compositional", "hops": 2}


def test_musique() -> None:
    [task] = load_questions([MUSIQUE])
    assert task.truth["answers"] == ("Miquette Giraudy", "Giraudy")
    assert task.truth["gold_passages"] == (
        (identify("Green", "Green is an album by Steve Hillage."),),  # the title alone would name two paragraphs
        (identify("Miquette Giraudy", "Partner of Hillage."), "Miquette Giraudy"),
    )
    assert task.metadata == {"source": "musique", "hops": 2}
    impossible = {**MUSIQUE, "id": "x", "answerable": False}
    assert len(load_questions([MUSIQUE, impossible])) == 1
    assert load_questions([MUSIQUE, impossible], unanswerable=True).get("x").metadata["answerable"] is False


def test_nq_and_flashrag() -> None:
    [plain, flash] = load_questions([NQ, FLASH])
    assert (plain.id, plain.truth) == ("question-1", {"answers": ("Fernie Alpine Resort",)})
    assert (flash.id, flash.truth) == ("test_0", {"answers": ("Röntgen", "Wilhelm")})
    assert plain.group == "where did they film hot tub time machine"
    assert plain.metadata == {"source": "nq"}
    assert load_questions([{"question": "q?", "answer": "one"}])[0].truth["answers"] == ("one",)


def test_repeated_questions_share_a_group() -> None:
    tasks = load_questions([NQ, {**NQ, "question": "Where did they film Hot Tub Time Machine?"}])
    assert len({task.group for task in tasks}) == 1


def test_columns_of_hugging_face_copies() -> None:
    columns = {
        **{key: value for key, value in HOTPOT.items() if key != "_id"},
        "id": HOTPOT["_id"],
        "supporting_facts": {"title": ["Scott Derrickson", "Ed Wood", "Ed Wood"], "sent_id": [0, 0, 1]},
        "context": {
            "title": [title for title, _ in HOTPOT["context"]],
            "sentences": [sentences for _, sentences in HOTPOT["context"]],
        },
    }
    assert list(load_questions([columns])) == list(load_questions([HOTPOT]))


def test_split_is_the_argument_or_the_groups() -> None:
    assert {task.split for task in load_questions([NQ, FLASH], split="val")} == {"val"}
    with pytest.raises(UnknownNameError, match="'test'"):
        load_questions([NQ], split="tets")  # type: ignore[arg-type]


@pytest.mark.parametrize("item", [HOTPOT, WIKI, MUSIQUE])
def test_gold_passages_are_in_the_context_corpus(tmp_path: Path, item: dict[str, Any]) -> None:
    path = write(tmp_path / "q.json", [item, {**item, "_id": "2", "id": "2"}], "list")
    corpus = context_corpus(path)
    assert len(corpus) == len(item.get("context") or item["paragraphs"])  # each once, though two questions have them
    [task, _] = load_questions(path)
    for gold in task.truth["gold_passages"]:
        found = [passage for passage in corpus if passage.id in gold or passage.title in gold]
        assert len(found) == 1
        assert corpus.by_id(gold[0]) == found[0]


def test_facts_that_the_context_lacks_keep_their_title() -> None:
    [task] = load_questions([{**HOTPOT, "context": []}])
    assert task.truth["gold_passages"] == (("Scott Derrickson",), ("Ed Wood",))


def test_questions_without_passages_have_no_context() -> None:
    with pytest.raises(DataError, match="without passages"):
        context_corpus([NQ])


def without(item: dict[str, Any], field: str) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != field}


PARAGRAPH = MUSIQUE["paragraphs"][0]  # type: ignore[index]
BROKEN: list[tuple[str, Any, str | None, str]] = [
    ("hotpotqa", without(HOTPOT, "answer"), "answer", "missing"),
    ("hotpotqa", without(HOTPOT, "_id"), "_id", "missing"),
    ("hotpotqa", without(HOTPOT, "question"), "question", "missing"),
    ("hotpotqa", {**HOTPOT, "question": " "}, "question", "empty"),
    ("hotpotqa", {**HOTPOT, "question": 3}, "question", "string, not int"),
    ("hotpotqa", {**HOTPOT, "answer": ""}, "answer", "empty"),
    ("hotpotqa", {**HOTPOT, "answer": None}, "answer", "NoneType"),
    ("hotpotqa", {**HOTPOT, "answer": []}, "answer", "at least one"),
    ("hotpotqa", {**HOTPOT, "_id": True}, "_id", "string"),
    ("hotpotqa", {**HOTPOT, "type": 1}, "type", "string"),
    ("hotpotqa", {**HOTPOT, "supporting_facts": [["x"]]}, "supporting_facts", "pairs"),
    ("hotpotqa", {**HOTPOT, "supporting_facts": "x"}, "supporting_facts", "list of pairs"),
    ("hotpotqa", {**HOTPOT, "supporting_facts": {"title": ["x"], "sent_id": []}}, "supporting_facts", "equally long"),
    ("hotpotqa", {**HOTPOT, "supporting_facts": {"title": ["x"]}}, "supporting_facts", "equally long"),
    ("hotpotqa", {**HOTPOT, "context": [["x", "not a list"]]}, "context", "list of sentences"),
    ("hotpotqa", {**HOTPOT, "context": [["x", [3]]]}, "context", "list of sentences"),
    ("2wiki", {**WIKI, "evidences": [3]}, "evidences", "subject"),
    ("2wiki", {**WIKI, "evidences": {}}, "evidences", "list"),
    ("musique", {**MUSIQUE, "paragraphs": ["x"]}, "paragraphs", "objects"),
    ("musique", {**MUSIQUE, "paragraphs": [without(PARAGRAPH, "title")]}, "title", "missing"),
    ("musique", {**MUSIQUE, "paragraphs": [{**PARAGRAPH, "is_supporting": 1}]}, "is_supporting", "true or false"),
    ("musique", {**MUSIQUE, "paragraphs": [{**PARAGRAPH, "paragraph_text": None}]}, "paragraph_text", "string"),
    ("musique", {**MUSIQUE, "answer_aliases": [3]}, "answer_aliases", "strings"),
    ("musique", {**MUSIQUE, "answerable": "no"}, "answerable", "true or false"),
    ("musique", without(MUSIQUE, "paragraphs"), "paragraphs", "missing"),
    ("nq", {**NQ, "answer": []}, "answer", "at least one"),
    ("nq", {**NQ, "answer": ["x", " "]}, "answer", "empty"),
    ("nq", {**FLASH, "golden_answers": {"x": 1}}, "golden_answers", "list of strings"),
    ("nq", ["not", "an", "object"], None, "object, not list"),
    ("nq", None, None, "object, not NoneType"),
]


@pytest.mark.parametrize(("format", "item", "field", "words"), BROKEN)
def test_broken_questions_are_located(tmp_path: Path, format: str, item: Any, field: str | None, words: str) -> None:
    for style, line in (("lines", 2), ("indented", None), ("list", 1)):
        path = write(tmp_path / f"{style}.json", [EVERY[format], item], style)
        with pytest.raises(DataError, match=words) as caught:
            load_questions(path, format)  # type: ignore[arg-type]
        assert (caught.value.path, caught.value.field) == (str(path), field)
        if line is None:  # the line on which the second item of the indented list begins
            line = json.dumps([EVERY[format], 0], indent=2).count("\n")
        assert caught.value.line == line


def test_ids_that_come_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", [FLASH, NQ, FLASH], "lines")
    with pytest.raises(DataError, match="'test_0' comes twice, first in line 1") as caught:
        load_questions(path)
    assert (caught.value.line, caught.value.field) == (3, "id")


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"", None, "no question"),
        (b" \n\n", None, "no question"),
        (b"[]", None, "no question"),
        (b"[", 1, "Not JSON"),
        (b'[\n{"question": "q", "answer": "a"},\n{"question"', 3, "Not JSON"),
        (b'[\n{"question": "q", "answer": "a"}\n{"question": 1}]', 3, "breaks off"),
        (b'[\n{"question": "q", "answer": "a"}\n', 3, "breaks off"),
        (b'[{"question": "q", "answer": "a"}]\nx', 1, "more text"),
        (b'\n{"question": "q", "answer": "a"}\n{', 3, "Not JSON"),
        (b'{"question": "q", "answer": "a"} {}', 1, "Not JSON"),
        (b'{"question": "q", "answer": "a"}\n\xff', 2, "not UTF-8"),
        (b"[" * 100_000, 1, "Not JSON"),
        (b'{"question": "q"}', 1, "fit no known format"),
        (b'{"x": 1}', 1, "fit no known format"),
        (b"PK\x03\x04 a zip file", 1, "Not JSON"),
    ],
)
def test_broken_files(tmp_path: Path, data: bytes, line: int | None, words: str) -> None:
    path = tmp_path / "q.json"
    path.write_bytes(data)
    with pytest.raises(DataError, match=words) as caught:
        load_questions(path)
    assert (caught.value.path, caught.value.line) == (str(path), line)


def test_files_and_formats_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        load_questions(tmp_path / "none.json")
    (tmp_path / "q.json.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match="cannot be read"):
        load_questions(tmp_path / "q.json.gz")
    with pytest.raises(UnknownNameError, match="Did you mean 'hotpotqa'"):
        load_questions([HOTPOT], "hotpot")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="not int"):
        load_questions([3])  # type: ignore[list-item]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(sorted(EVERY)), st.data())
def test_any_value_in_any_field_loads_or_is_located(tmp_path: Path, format: str, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(sorted(EVERY[format])))
    item = {**EVERY[format], field: data.draw(json_values)}
    path = write(tmp_path / "q.jsonl", [item], "lines")
    try:
        [task] = load_questions(path, format, unanswerable=True)  # type: ignore[arg-type]
    except DataError as error:
        assert error.line == 1
    else:
        assert task.prompt
        assert all(answer.strip() for answer in task.truth["answers"])
