from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palaestra.envs.search.corpus import Corpus, load_corpus
from palaestra.envs.search.passages import Passage
from palaestra.errors import ConfigError, DataError, UnknownNameError

PASSAGES = [
    Passage("n1", "Niger", "A country in West Africa.\nIts capital is Niamey."),
    Passage("n2", "Niger River", "Flows through Mali, Niger and Nigeria. Ünïcode \u2028 stays."),
    Passage("7", "", "No title at all"),
    Passage("q", '"Heroes"', ""),
]


def as_line(passage: Passage, style: str) -> str:
    if style == "contents":
        return json.dumps({"id": passage.id, "contents": passage.contents})
    return json.dumps({"id": passage.id, "title": passage.title, "text": passage.text}, ensure_ascii=False)


def write(path: Path, *lines: str | bytes) -> Path:
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    return path


@pytest.mark.parametrize("style", ["fields", "contents"])
@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("ending", ["", "\n", "\n\n \n"])
def test_every_way_to_store_gives_the_same_corpus(tmp_path: Path, style: str, in_memory: bool, ending: str) -> None:
    path = write(tmp_path / "c.jsonl", "\n".join(as_line(p, style) for p in PASSAGES) + ending)
    packed = tmp_path / "c.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    corpus = load_corpus(path, in_memory=in_memory)
    assert list(corpus) == PASSAGES
    assert corpus[1:3] == type(corpus[1:3])(PASSAGES[1:3])
    assert corpus[-1] == PASSAGES[-1]
    assert len({corpus.digest, load_corpus(packed).digest, load_corpus(PASSAGES).digest}) == 1
    for position, passage in enumerate(PASSAGES):
        assert corpus.by_id(passage.id) == passage
        assert corpus.position(passage.id) == position
    with pytest.raises(IndexError):
        corpus[len(PASSAGES)]
    with pytest.raises(UnknownNameError, match="Did you mean 'n1'"):
        corpus.by_id("N1")


def test_iterables_of_every_kind() -> None:
    mixed = [PASSAGES[0], {"id": 7, "contents": "Title\ntext"}, ("x", "T", "words"), ["y", " a \n b ", "c"]]
    corpus = load_corpus(iter(mixed))
    assert corpus.by_id("7") == Passage("7", "Title", "text")
    assert corpus.by_id("y").title == "a b"
    assert load_corpus(corpus) is corpus


def test_digest_depends_on_everything_and_on_where_fields_end() -> None:
    rows = [("a", "b", "c"), ("d", "e", "f")]
    variants = [
        rows,
        rows[::-1],
        [("a", "b", "c")],
        [("ab", "", "c"), ("d", "e", "f")],
        [("a", "bc", ""), ("d", "e", "f")],
        [("a", "b", "c"), ("d", "e", "g")],
    ]
    assert len({load_corpus(variant).digest for variant in variants}) == len(variants)


def test_search_r1s_titles_lose_one_pair_of_quotes() -> None:
    corpus = load_corpus([{"id": "0", "contents": '"Evan Morris"\nEvan L. Morris\nwas'}, {"id": "1", "contents": "x"}])
    assert corpus[0] == Passage("0", "Evan Morris", "Evan L. Morris\nwas")
    assert corpus[1] == Passage("1", "x", "")


def test_surrogates_and_byte_order_marks(tmp_path: Path) -> None:
    path = write(
        tmp_path / "c.jsonl", b"\xef\xbb\xbf" + rb'{"id": "a", "title": "t\ud800", "text": "\ud83d\ude00 \udc00"}'
    )
    for in_memory in (True, False):
        assert load_corpus(path, in_memory=in_memory)[0] == Passage("a", "t\ufffd", "😀 \ufffd")


GOOD = '{"id": "a", "title": "t", "text": "x"}'


@pytest.mark.parametrize(
    ("lines", "line", "field", "words"),
    [
        ([GOOD, "", '{"id": "b", "title": "t"}'], 3, "text", "missing"),
        ([GOOD, '{"title": "t", "text": "x"}'], 2, "id", "missing"),
        ([GOOD, '{"id": "b", "title": 3, "text": "x"}'], 2, "title", "string"),
        ([GOOD, '{"id": "b", "title": "t", "text": null}'], 2, "text", "NoneType"),
        ([GOOD, '{"id": "b", "contents": ["x"]}'], 2, "contents", "list"),
        ([GOOD, '{"id": "", "contents": "x"}'], 2, "id", "empty"),
        ([GOOD, '{"id": true, "contents": "x"}'], 2, "id", "bool"),
        ([GOOD, '{"id": 1.5, "contents": "x"}'], 2, "id", "float"),
        ([GOOD, "", "", GOOD], 4, "id", "twice, first in line 1"),
        ([GOOD, "{"], 2, None, "JSON"),
        ([GOOD, "[" * 100_000], 2, None, "JSON"),
        ([GOOD, "3"], 2, None, "int"),
        ([GOOD, b'{"id": "\xff"}'], 2, None, "UTF-8"),
        (["", " "], None, None, "no passage"),
        ([""], None, None, "no passage"),
    ],
)
@pytest.mark.parametrize("in_memory", [True, False])
def test_broken_files(
    tmp_path: Path, lines: list[str | bytes], line: int | None, field: str | None, words: str, in_memory: bool
) -> None:
    path = write(tmp_path / "c.jsonl", *lines)
    with pytest.raises(DataError, match=words) as caught:
        load_corpus(path, in_memory=in_memory)
    assert (caught.value.path, caught.value.line, caught.value.field) == (str(path), line, field)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        load_corpus(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="directory"):
        load_corpus(tmp_path)
    packed = tmp_path / "c.jsonl.gz"
    packed.write_bytes(gzip.compress(GOOD.encode() * 100)[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        load_corpus(packed)
    packed.write_bytes(b"not gzip")
    with pytest.raises(DataError, match="cannot be read"):
        load_corpus(packed)


def test_things_that_are_no_corpus() -> None:
    with pytest.raises(ConfigError, match="int"):
        load_corpus(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="dict"):
        load_corpus({"id": "x"})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="cannot be a str"):
        load_corpus(["a text"])
    with pytest.raises(DataError, match="no passage"):
        load_corpus([])


def test_a_file_changed_under_a_mapped_corpus_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", *(as_line(p, "fields") for p in PASSAGES))
    corpus = load_corpus(path, in_memory=False)
    with path.open("r+b") as file:
        file.write(b"#" * 20)
    with pytest.raises(DataError, match="changed while"):
        corpus[0]


def test_pickling_names_files_and_notices_changes(tmp_path: Path) -> None:
    held = load_corpus(PASSAGES)
    assert list(pickle.loads(pickle.dumps(held))) == PASSAGES
    path = write(tmp_path / "c.jsonl", *(as_line(p, "fields") for p in PASSAGES))
    data = pickle.dumps(load_corpus(path))
    assert list(pickle.loads(data)) == PASSAGES
    write(path, GOOD)
    with pytest.raises(DataError, match="corpus changed"):
        pickle.loads(data)


text = st.text(st.characters(exclude_categories=["Cs"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(text.filter(bool), st.tuples(text, text), min_size=1, max_size=6))
def test_any_text_survives_a_file(tmp_path: Path, rows: dict[str, tuple[str, str]]) -> None:
    expected = load_corpus([(key, title, body) for key, (title, body) in rows.items()])
    path = write(tmp_path / "c.jsonl", *(as_line(p, "fields") for p in expected))
    for in_memory in (True, False):
        corpus = load_corpus(path, in_memory=in_memory)
        assert list(corpus) == list(expected)
        assert corpus.digest == expected.digest
        assert all(corpus.by_id(key).id == key for key in rows)


def test_hash_collisions_are_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palaestra.envs.search.corpus._key", lambda passage_id: len(passage_id))
    corpus: Corpus = load_corpus([(name, name, name) for name in ("aa", "bb", "c", "dd")])
    assert [corpus.position(name) for name in ("aa", "bb", "c", "dd")] == [0, 1, 2, 3]
    with pytest.raises(UnknownNameError):
        corpus.by_id("zz")
    with pytest.raises(DataError, match="'aa' comes twice"):
        load_corpus([(name, name, name) for name in ("aa", "bb", "aa")])
