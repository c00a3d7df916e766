"""Question files in the fields of HotpotQA, 2WikiMultihopQA, MuSiQue and NaturalQuestions.

| format | file | fields used |
| --- | --- | --- |
| `hotpotqa` | JSON list | `_id`, `question`, `answer`, `supporting_facts`, `context`, `type`, `level` |
| `2wiki` | JSON list | the same, and `evidences` |
| `musique` | JSONL | `id`, `question`, `answer`, `answer_aliases`, `paragraphs`, `answerable` |
| `nq` | JSONL | `question`, `answer` (a list or a string); or FlashRAG's `id`, `question`, `golden_answers` |

A JSON list and JSONL are both accepted for every format, also packed (`.gz`). The columns of the Hugging Face copies of
HotpotQA (`id`; `supporting_facts` and `context` as objects of lists) are understood, too.

**Gold passages.** `Task.truth["gold_passages"]` holds one inner tuple for each passage that the question needs, in the
file's order. The inner tuple lists what identifies an acceptable passage: a retrieved passage counts if its id or its
title is in there. It has the passage's id in `context_corpus` and its title, so that support can be judged on the
file's own passages and on another copy of Wikipedia alike. Where several paragraphs of one question share a title, the
title is left out, because it would not tell them apart.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from palaestra.answers import normalize_answer
from palaestra.envs.search.corpus import Corpus, load_corpus, well_formed
from palaestra.envs.search.json_records import Record, Source, read_records
from palaestra.envs.search.passages import Passage
from palaestra.errors import DataError, UnknownNameError
from palaestra.tasks import SPLITS, Split, Task, TaskSet, split_of

__all__ = ["FORMATS", "Format", "context_corpus", "load_questions"]

Format = Literal["auto", "hotpotqa", "2wiki", "musique", "nq"]


def load_questions(
    source: Source,
    format: Format = "auto",
    *,
    split: Split | None = None,
    unanswerable: bool = False,
) -> TaskSet:
    """Reads and checks a question file.

    Each task has the question as its prompt; `truth` has `answers` (a tuple of strings), `gold_passages` where the
    file names them (see above) and `evidences` for 2WikiMultihopQA; `metadata` has `source` (the format) and, where
    given, `kind`, `level` and `hops` (the number of gold passages). The group is made of the gold passages' titles,
    else of the normalised question, so that questions over the same articles and repeated questions share a split.

    Args:
        source: Path of a file, or an iterable of mappings with the same fields.
        format: One of `FORMATS`; `auto` looks at the first question.
        split: The split of every task; None for the one that follows from the group.
        unanswerable: Whether to keep MuSiQue's questions whose paragraphs do not hold the answer.

    Returns:
        The tasks, in the file's order.

    Raises:
        DataError: The file is missing or cannot be read, a line or field is wrong, an id comes twice, or there is no
            question at all.
        UnknownNameError: There is no such format or split.
    """
    if split is not None and split not in SPLITS:
        raise UnknownNameError("split", str(split), SPLITS)
    tasks: list[Task] = []
    lines: dict[str, int] = {}
    place: object = "the questions given"
    for question in _questions(source, format):
        place = question.record.place
        if not question.answerable and not unanswerable:
            continue
        if question.id in lines:
            raise question.record.error(
                f"The id '{question.id}' comes twice, first in line {lines[question.id]}.", "id"
            )
        lines[question.id] = question.record.line
        tasks.append(question.task(split))
    if not tasks:
        raise DataError(source if isinstance(source, str | os.PathLike) else place, "There is no question to answer.")
    return TaskSet(tasks)


def context_corpus(source: Source, format: Format = "auto") -> Corpus:
    """The passages that come with the questions of HotpotQA, 2WikiMultihopQA and MuSiQue, as one corpus.

    Each distinct pair of title and text is one passage; its id is the title, "#" and a hash of both.

    Args:
        source: As for `load_questions`.
        format: As for `load_questions`.

    Returns:
        The corpus.

    Raises:
        DataError: As for `load_questions`, or no question has passages.
        UnknownNameError: There is no such format.
    """
    passages = {passage.id: passage for question in _questions(source, format) for passage in question.context}
    if not passages:
        name = source if isinstance(source, str | os.PathLike) else "the questions given"
        raise DataError(name, "The questions come without passages; give a corpus of its own.")
    return load_corpus(passages.values())


@dataclass(frozen=True, slots=True)
class _Question:
    """What the formats have in common."""

    record: Record
    source: str
    id: str
    prompt: str
    answers: tuple[str, ...]
    context: tuple[Passage, ...]
    gold: tuple[tuple[str, ...], ...]
    gold_titles: tuple[str, ...]
    metadata: Mapping[str, Any]
    extra_truth: Mapping[str, Any]
    answerable: bool

    def task(self, split: Split | None) -> Task:
        if self.gold_titles:
            group = " | ".join(sorted({title.casefold() for title in self.gold_titles}))
        else:
            group = normalize_answer(self.prompt) or self.prompt
        truth: dict[str, Any] = {"answers": self.answers, **self.extra_truth}
        metadata: dict[str, Any] = {"source": self.source, **self.metadata}
        if self.gold:
            truth["gold_passages"] = self.gold
            metadata["hops"] = len(self.gold)
        return Task(self.id, group, self.prompt, split or split_of(group), truth, metadata)


def _hotpotqa(record: Record, source: str = "hotpotqa") -> _Question:
    rows = record.rows("context", ("title", "sentences")) if "context" in record.fields else []
    context = []
    for title, sentences in rows:
        if not isinstance(sentences, list | tuple) or not all(isinstance(sentence, str) for sentence in sentences):
            raise record.error("Each title must come with a list of sentences.", "context")
        context.append(_passage(title, " ".join(sentence.strip() for sentence in sentences)))
    facts = record.rows("supporting_facts", ("title", "sent_id")) if "supporting_facts" in record.fields else []
    titles = tuple(dict.fromkeys(_title(title) for title, _ in facts))
    return _Question(
        record=record,
        source=source,
        id=_id(record, "_id", "id"),
        prompt=record.text("question"),
        answers=record.strings("answer"),
        context=tuple(context),
        gold=tuple((*(p.id for p in context if p.title == title), title) for title in titles),
        gold_titles=titles,
        metadata=record.optional("type", "kind") | record.optional("level", "level"),
        extra_truth={},
        answerable=True,
    )


def _2wiki(record: Record) -> _Question:
    question = _hotpotqa(record, "2wiki")
    evidences = record.get("evidences", (list, tuple), "a list of triples") if "evidences" in record.fields else []
    for triple in evidences:
        if not isinstance(triple, list | tuple) or not all(isinstance(part, str) for part in triple):
            raise record.error("Must hold lists of strings: subject, relation, object.", "evidences")
    extra = {"evidences": tuple(tuple(map(well_formed, triple)) for triple in evidences)} if evidences else {}
    return replace(question, extra_truth=extra)


def _musique(record: Record) -> _Question:
    context, gold, titles = [], [], []
    for paragraph in record.get("paragraphs", (list, tuple), "a list of objects"):
        row = Record(record.place, record.number, record.line, paragraph) if isinstance(paragraph, Mapping) else None
        if row is None:
            raise record.error(f"Must hold objects, not {type(paragraph).__name__}.", "paragraphs")
        passage = _passage(row.get("title", str, "a string"), row.get("paragraph_text", str, "a string"))
        context.append(passage)
        if row.get("is_supporting", bool, "true or false"):
            gold.append(passage)
            titles.append(passage.title)
    shared = [passage.title for passage in context]
    answers = record.strings("answer") + (
        record.strings("answer_aliases", may_be_empty=True) if "answer_aliases" in record.fields else ()
    )
    answerable = record.get("answerable", bool, "true or false") if "answerable" in record.fields else True
    return _Question(
        record=record,
        source="musique",
        id=_id(record, "id", "_id"),
        prompt=record.text("question"),
        answers=tuple(dict.fromkeys(answers)),
        context=tuple(context),
        gold=tuple((p.id, p.title) if shared.count(p.title) == 1 else (p.id,) for p in gold),
        gold_titles=tuple(titles),
        metadata={} if answerable else {"answerable": False},
        extra_truth={},
        answerable=answerable,
    )


def _nq(record: Record) -> _Question:
    field = "golden_answers" if "golden_answers" in record.fields else "answer"
    return _Question(
        record=record,
        source="nq",
        id=_id(record, "id", "_id") if {"id", "_id"} & set(record.fields) else f"question-{record.number}",
        prompt=record.text("question"),
        answers=record.strings(field),
        context=(),
        gold=(),
        gold_titles=(),
        metadata={},
        extra_truth={},
        answerable=True,
    )


_READERS: Mapping[str, Callable[[Record], _Question]] = {
    "hotpotqa": _hotpotqa,
    "2wiki": _2wiki,
    "musique": _musique,
    "nq": _nq,
}
FORMATS: tuple[str, ...] = ("auto", *_READERS)


def _id(record: Record, *names: str) -> str:
    value = record.get(names[0], (str, int), "a string", *names[1:])
    if isinstance(value, bool) or value == "":
        raise record.error("Must be a string that is not empty.", names[0])
    return well_formed(str(value))


def _title(title: str) -> str:
    return " ".join(well_formed(title).split())


def _passage(title: str, text: str) -> Passage:
    title, text = _title(title), well_formed(text)
    digest = hashlib.sha256(f"{title}\0{text}".encode()).hexdigest()
    return Passage(f"{title}#{digest[:12]}", title, text)


def _questions(source: Source, format: str) -> Iterator[_Question]:
    if format not in FORMATS:
        raise UnknownNameError("question format", str(format), FORMATS)
    read = _READERS.get(format)
    for record in read_records(source):
        if read is None:
            read = _READERS[_guess(record)]
        yield read(record)


def _guess(record: Record) -> str:
    names = set(record.fields)
    if "paragraphs" in names:
        return "musique"
    if "golden_answers" not in names and names & {"supporting_facts", "context"}:
        return "2wiki" if "evidences" in names else "hotpotqa"
    if "question" in names and names & {"answer", "golden_answers"}:
        return "nq"
    problem = (
        "The fields fit no known format. A question has 'question' and 'answer' (or 'golden_answers'); for gold "
        "passages, the fields of HotpotQA, 2WikiMultihopQA or MuSiQue."
    )
    raise record.error(problem)
