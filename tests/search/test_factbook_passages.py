"""The corpus: cleaned, whole, cut to size, and every field in one place."""

from __future__ import annotations

import html
import re

import pytest

from palaestra.envs.search.factbook.passages import clean, cut
from palaestra.envs.search.factbook.source import Entry, read_source


@pytest.fixture(scope="module")
def entries():
    return read_source().entries()


@pytest.fixture(scope="module")
def corpus(entries):
    return cut(entries)


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("mythical thunder dragon (<em>druk</em>)", "mythical thunder dragon (druk)"),
        ("<strong>note:</strong>\xa0fertile", "note: fertile"),
        ("Hindu 81.2%; less than 1%:&nbsp; Bon", "Hindu 81.2%; less than 1%: Bon"),
        ("Bhutan Tendrel Party or BTP<br>United Party", "Bhutan Tendrel Party or BTP; United Party"),
        ("first sentence.<br><br>Second", "first sentence. Second"),
        ("<p>the US dollar is used</p>", "the US dollar is used"),
        ("<p>one</p><p>two</p>", "one; two"),
        ("email:<br>a@b.bt<br><br>https://x.bt/", "email: a@b.bt; https://x.bt/"),
        ("Bras&iacute;lia", "Brasília"),
        ("Buddhist &lt;1%, Hindu &lt;1%", "Buddhist <1%, Hindu <1%"),
        ("R<em>é</em>gion", "Région"),
        ("  two \n lines ", "two lines"),
        ("", ""),
    ],
)
def test_a_field_is_cleaned(raw, cleaned):
    assert clean(raw) == cleaned


def test_no_markup_is_left(corpus):
    for passage in corpus.passages:
        assert not re.search(r"</?[a-z]|&[a-z]+;|[\xa0\x00\u200b\t]| {2}", passage.text), passage.id


def test_ids_are_unique_and_titles_name_the_entry(corpus, entries):
    names = {entry.name for entry in entries}
    assert len({passage.id for passage in corpus.passages}) == len(corpus.passages) > 10_000
    assert {passage.title.split(": ", 1)[0] for passage in corpus.passages} == names
    assert all(re.fullmatch(r"[a-z0-9-]+-\d{3}", passage.id) for passage in corpus.passages)


def test_passages_are_of_a_readable_size(corpus):
    sizes = [len(passage.text.split()) for passage in corpus.passages]
    assert max(sizes) <= 260
    assert sum(30 <= size <= 160 for size in sizes) / len(sizes) > 0.9


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def test_no_word_of_any_entry_is_lost(corpus, entries):
    """Against an independent reading: every word of every field is in the entry's passages, in order, once."""
    by_name: dict[str, list[str]] = {}
    for passage in corpus.passages:
        by_name.setdefault(passage.title.split(": ", 1)[0], []).append(passage.text)
    for entry in entries[::7]:
        have = " ".join(by_name[entry.name])
        have = " ".join(_words(re.sub(r" \(part \d+\)", "", have)))
        for fields in entry.data.values():
            for value in fields.values():
                for item in value.values():
                    text = item if isinstance(item, str) else item.get("text", "")
                    text = re.sub(r"<br\s*/?>|</?p>", " ; ", text)
                    text = html.unescape(re.sub(r"<[^<>]*>", "", text))
                    for sentence in re.split(r"(?<=[.;,])\s", text):  # pieces may be cut at these
                        assert " ".join(_words(sentence)) in have, (entry.name, sentence)


def test_fields_printed_twice_are_kept_once(corpus, entries):
    for entry in entries:
        shown = [passage.text for passage in corpus.passages if passage.title.startswith(f"{entry.name}: ")]
        assert sum(text.count("\nClimate: ") for text in shown) <= 1
        if entry.code in ("bt", "fr", "us"):
            assert sum(text.count("- forest: ") for text in shown) == 1


def test_a_field_stands_whole_where_it_is_said_to_stand(corpus):
    passages = {passage.id: passage for passage in corpus.passages}
    for key, place in corpus.place.items():
        assert corpus.text[key] in passages[place].text


def test_a_known_passage_reads_as_expected(corpus):
    place = corpus.place["bt", ("Geography", "Land boundaries", "border countries")]
    passage = next(passage for passage in corpus.passages if passage.id == place)
    assert passage.title.startswith("Bhutan: Geography, ")
    assert "Land boundaries:\n- total: 1,136 km\n- border countries: China 477 km; India 659 km\n" in passage.text


def test_long_fields_are_cut_at_sentences_into_numbered_parts():
    sentence = "The quick brown fox jumps over the lazy dog by the river bank today. "
    entry = Entry("xy", "europe", "Xyland", {"Introduction": {"Background": {"text": sentence * 30}}})
    passages = cut([entry]).passages
    assert len(passages) == 4
    for number, passage in enumerate(passages, 1):
        body = passage.text.split("\n")[1]
        assert body.startswith(f"Background (part {number}): The quick") and body.endswith("today.")
