"""The questions: proven, readable, in the text, and hard to guess."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from palaestra.envs.search.factbook import load
from palaestra.envs.search.factbook.names import normalise, slug, with_article
from palaestra.envs.search.factbook.passages import cut
from palaestra.envs.search.factbook.proof import Proof
from palaestra.envs.search.factbook.select import questions
from palaestra.envs.search.factbook.source import read_source
from palaestra.envs.search.factbook.statistics import statistics, table
from palaestra.envs.search.factbook.world import read_world
from palaestra.tasks import SPLITS, split_of

KINDS = {"lookup", "bridge", "comparison", "intersection", "superlative", "count"}


@pytest.fixture(scope="module")
def factbook():
    return load()


@pytest.fixture(scope="module")
def passages(factbook):
    return {passage.id: passage for passage in factbook.passages}


@pytest.fixture(scope="module")
def figures(factbook):
    return statistics(factbook.tasks)


def test_the_generator_makes_nothing_that_the_proof_refutes(factbook):
    """On the generator's own output: `build` drops what is refuted, so that what is loaded cannot show a mistake."""
    entries = read_source().entries()
    corpus = cut(entries)
    proof = Proof(corpus.passages)
    made = questions(read_world(entries, corpus))
    assert {task.id: problems for task in made if (problems := proof.problems(task))} == {}
    assert [task.id for task in made] == [task.id for task in factbook.tasks]


def test_every_loaded_question_is_proven(factbook):
    proof = Proof(factbook.passages)
    refuted = {task.id: problems for task in factbook.tasks if (problems := proof.problems(task))}
    assert refuted == {}


def test_the_proof_covers_every_kind_and_split(factbook):
    assert len(factbook.tasks) >= 5000
    for split in SPLITS:
        tasks = factbook.tasks.where(split=split)
        assert {task.metadata["kind"] for task in tasks} == KINDS
        assert {task.metadata["hops"] for task in tasks} == {1, 2, 3, 4}
        assert {task.metadata["difficulty"] for task in tasks} == {"easy", "medium", "hard"}


def test_groups_do_not_straddle_splits(factbook):
    for task in factbook.tasks:
        assert task.split == split_of(task.group)
        assert all(split_of(slug(name)) == task.split for name in task.metadata["candidates"])


def test_the_truth_has_one_entry_a_fact(factbook):
    for task in factbook.tasks:
        truth = task.truth
        count = task.metadata["facts"]
        assert len(truth["gold_passages"]) == len(truth["reasoning"]) == len(truth["queries"]) == count <= 6
        assert task.metadata["hops"] == min(4, count)
        assert all(
            isinstance(text, str) and text for text in (*truth["reasoning"], *truth["queries"], *truth["answers"])
        )


def test_gold_passages_exist_and_hold_their_facts_literally(factbook, passages):
    checked = 0
    for task in factbook.tasks:
        for gold, reason in zip(task.truth["gold_passages"], task.truth["reasoning"], strict=True):
            assert gold and all(place in passages for place in gold), task.id
            name, label, value = reason.removesuffix(".").split(": ", 2)
            assert all(passages[place].title.startswith(f"{name}: ") for place in gold[:1])
            text = passages[gold[0]].text.casefold()
            value = re.sub(r" \(\d{4}\)$", "", value)
            for part in (
                [value] if label not in ("border countries", "export partners") else re.split(", | and ", value)
            ):
                if label == "border countries" and not part.endswith(" km"):
                    continue  # names as a person says them, not as the list prints them
                part = part.removeprefix("The ").removeprefix("Republic of the ")  # "Gambia, The"
                part = part.rsplit(" ", 2)[-2] + " km" if label == "border countries" else part
                assert part.casefold() in text, (task.id, part)
                checked += 1
    assert checked > 10_000


def test_answers_of_chains_stand_in_the_last_gold_passage(factbook, passages):
    for task in factbook.tasks.where(kind=("lookup", "bridge")):
        text = passages[task.truth["gold_passages"][-1][0]].text.casefold()
        assert any(answer.casefold() in text for answer in task.truth["answers"]), task.id


def test_inner_countries_are_never_named(factbook):
    for task in factbook.tasks.where(kind="bridge"):
        asked = f" {normalise(task.prompt)} "
        met = [reason.split(": ", 1)[0] for reason in task.truth["reasoning"]]
        named = [name for name in dict.fromkeys(met) if f" {normalise(name)} " in asked]
        assert len(named) <= 1 and (not named or named[0] == met[0]), (task.prompt, named)


def test_wording(factbook):
    articles = {
        name for passage in factbook.passages if (name := passage.title.split(": ", 1)[0]) != with_article(name)
    }
    for task in factbook.tasks:
        prompt = task.prompt
        assert prompt[0].isupper() and prompt[-1] in "?.", prompt
        assert not re.search(r"[{}\[\]]|  |\bthe the\b|\bNone\b|\bof in\b|\?\.|in (\d{4}) in \1\b", prompt, re.I), (
            prompt
        )
        for name in articles:
            for match in re.finditer(rf"(?<![\w(-]){re.escape(name)}(?![\w-])", prompt):
                before = prompt[: match.start()]
                assert before.lower().endswith(("the ", "the democratic ", '"')), (prompt, name)


def test_prompts_and_forms_are_unique(factbook):
    assert max(Counter(task.prompt for task in factbook.tasks).values()) == 1
    assert max(Counter(task.truth["form"] for task in factbook.tasks).values()) == 1


def test_every_relation_is_worded_in_several_ways(factbook):
    starts: dict[str, set[str]] = {}
    for task in factbook.tasks.where(kind="lookup"):
        starts.setdefault(task.metadata["relation"], set()).add(" ".join(task.prompt.split()[:4]))
    assert all(len(ways) >= 3 for relation, ways in starts.items() if relation != "railways"), starts
    assert len(starts) >= 35


def test_aliases_are_no_wrong_answers(factbook):
    """No alias of a string answer is what another task of the same relation has as its canonical answer."""
    canonical: dict[str, set[str]] = {}
    tasks = [task for task in factbook.tasks if task.metadata["kind"] in ("lookup", "bridge")]
    tasks = [task for task in tasks if not re.match(r"[$\d-]", task.truth["answers"][0])]
    for task in tasks:
        canonical.setdefault(task.metadata["relation"], set()).add(normalise(task.truth["answers"][0]))
    for task in tasks:
        first, *aliases = map(normalise, task.truth["answers"])
        assert not {alias for alias in aliases if alias != first} & canonical[task.metadata["relation"]], task.id


def test_aliases_are_distinct_and_never_empty(factbook):
    for task in factbook.tasks:
        answers = task.truth["answers"]
        assert len(set(answers)) == len(answers) and all(normalise(answer) for answer in answers), task.id


def test_aliases_a_person_would_give(factbook):
    found = {answer for task in factbook.tasks for answer in task.truth["answers"]}
    assert {"Myanmar", "USA", "Ivory Coast", "UAE", "Czech Republic"} <= found


def test_guessing_does_not_pay(figures):
    assert figures["count"].modal_share <= 0.35
    assert all(each.modal_share <= 0.05 for kind, each in figures.items() if kind not in ("count", "all"))
    assert figures["all"].modal_share <= 0.04
    assert figures["comparison"].first_share <= figures["comparison"].chance_share + 0.03
    assert all(not each.told_share > 0 for each in figures.values())


def test_counts_do_not_follow_from_what_is_counted(factbook):
    for relation in (
        "neighbors",
        "common neighbors",
        "shared partners",
        "neighbors and partners",
        "neighbors with area",
    ):
        answers = Counter(task.truth["answers"][0] for task in factbook.tasks.where(kind="count", relation=relation))
        assert max(answers.values()) <= 0.6 * sum(answers.values()), (relation, answers)


def test_the_right_candidate_is_at_every_place_alike(factbook):
    for size in (2, 3, 4):
        tasks = [task for task in factbook.tasks if len(task.metadata["candidates"]) == size]
        places = Counter(task.metadata["candidates"].index(task.truth["answers"][0]) for task in tasks)
        assert min(places.values()) >= len(tasks) / size - 0.05 * len(tasks)


def test_the_table_has_a_row_a_kind(figures):
    rows = table(figures).split("\n")
    assert len(rows) == 2 + len(KINDS) + 1 and rows[2].startswith("| bridge | ")


def test_the_examples_and_figures_of_the_docs_are_real(factbook, figures):
    text = (Path(__file__).parents[2] / "docs" / "factbook.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]+) \|$", text, re.M)
    assert {kind for kind, _ in rows} == KINDS
    for kind, example in rows:
        assert any(task.prompt == example for task in factbook.tasks.where(kind=kind)), example
    assert table(figures) in text
