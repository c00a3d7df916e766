"""The proof: it holds for true questions, and planted errors of every sort are caught."""

from __future__ import annotations

import dataclasses

import pytest

from palaestra.envs.search.factbook.proof import Proof, Refuted
from palaestra.envs.search.passages import Passage
from palaestra.tasks import Task

AREA = {"Aland": "100 sq km", "Bland": "200 sq km", "Cland": "300 sq km", "Dland": "310 sq km"}
CAPITAL = {"Aland": "Aville", "Bland": "Bville", "Cland": "Cville", "Dland": "Dville"}
ANTHEM = {"Aland": '"Hail"', "Bland": '"Hail"', "Cland": '"Song"', "Dland": '"Dance" (Jump)'}
BORDERS = {
    "Aland": "Bland 10 km; Cland 20 km",
    "Bland": "Aland 10 km; Cland 1,005 km",
    "Cland": "Aland 20 km; Bland 1005 km; Dland 30 km",
    "Dland": "Cland 30 km",
}
TOTAL = {"Aland": 30, "Bland": 1015, "Cland": 1055, "Dland": 30}
PEOPLE = {"Aland": "1 million (2024 est.)", "Bland": "3 million (2025 est.)", "Cland": "9,000,000 (2025 est.)"}


def world(**changes):
    """Four small countries; `changes` replace texts as `Aland_area="..."`."""
    passages = []
    for name in AREA:
        texts = {
            "area": AREA[name],
            "capital": CAPITAL[name],
            "anthem": ANTHEM[name],
            "borders": BORDERS[name],
            "people": PEOPLE.get(name, ""),
        }
        texts |= {key.split("_")[1]: text for key, text in changes.items() if key.startswith(name)}
        land = [f"Entry: {name}. Section: Geography of {name}.", "Area:", f"- total: {texts['area']}"]
        land += ["Land boundaries:", f"- total: {TOTAL[name]} km", f"- border countries: {texts['borders']}"]
        state = [f"Entry: {name}.", "Capital:", f"- name: {texts['capital']}"]
        state += ["National anthem(s):", f"- title: {texts['anthem']}"]
        state += ["Population:", f"- total: {texts['people']}"] if texts["people"] else []
        passages.append(Passage(f"{name}-1", f"{name}: Geography, Area", "\n".join(land)))
        passages.append(Passage(f"{name}-2", f"{name}: Government, Capital", "\n".join(state)))
    return Proof(passages)


def entry(name):
    return ("entry", name)


def task(form, answers, gold, prompt="Which in 2025?", kind="bridge"):
    return Task("t", "g", prompt, "train", {"form": form, "answers": answers, "gold_passages": gold}, {"kind": kind})


BIGGEST = ("most", "area", ("neighbors", entry("Aland")))
TRUE = [
    (("value", "capital", entry("Aland")), ("Aville",), (("Aland-2",),)),
    (("value", "capital", ("the", "anthem", "Dance")), ("Dville",), (("Dland-2",), ("Dland-2",))),
    (BIGGEST, ("Cland", "Sea Land"), (("Aland-1",), ("Bland-1",), ("Cland-1",))),
    (("longest", entry("Bland")), ("Cland",), (("Bland-1",),)),
    (("only neighbor", entry("Dland")), ("Cland",), (("Dland-1",),)),
    (("both", ("neighbors", entry("Aland")), ("neighbors", entry("Dland"))), ("Cland",), (("Aland-1",), ("Dland-1",))),
    (("size", ("neighbors", entry("Cland"))), ("3", "three"), (("Cland-1",),)),
    (("border", entry("Bland"), entry("Cland")), ("1,005 km", "1005"), (("Bland-1", "Cland-1"),)),
    (
        ("most", "population", ("among", entry("Bland"), entry("Cland"))),
        ("Cland",),
        (("Bland-2",), ("Cland-2",)),
    ),
    (
        ("size", ("having", "area", "above", 150.0, ("neighbors", entry("Cland")))),
        ("2",),
        (("Cland-1",), ("Aland-1",), ("Bland-1",), ("Dland-1",)),
    ),
]


@pytest.mark.parametrize(("form", "answers", "gold"), TRUE)
def test_true_questions_are_proven(form, answers, gold):
    assert world().problems(task(form, answers, gold)) == []


@pytest.mark.parametrize(("form", "answers", "gold"), TRUE)
def test_a_wrong_answer_is_caught(form, answers, gold):
    assert world().problems(task(form, ("Wrongville",), gold)) != []


@pytest.mark.parametrize(("form", "answers", "gold"), TRUE)
def test_a_missing_and_a_needless_gold_passage_are_caught(form, answers, gold):
    missing = tuple(each for each in gold if each != gold[-1])
    assert any("not gold" in problem for problem in world().problems(task(form, answers, missing)))
    needless = (*gold, ("Aland-0",))
    assert any("not needed" in problem for problem in world().problems(task(form, answers, needless)))


def test_an_alias_that_is_another_answer_is_caught():
    gold = (("Aland-1",), ("Bland-1",), ("Cland-1",))
    assert any("another country" in each for each in world().problems(task(BIGGEST, ("Cland", "the Bland"), gold)))
    counted = task(("size", ("neighbors", entry("Cland"))), ("3", "2"), (("Cland-1",),))
    assert any("another number" in each for each in world().problems(counted))


def test_a_figure_of_another_year_than_the_question_says_is_caught():
    form = ("most", "population", ("among", entry("Bland"), entry("Cland")))
    asked = task(form, ("Cland",), (("Bland-2",), ("Cland-2",)), prompt="Which in 2024?")
    assert any("2025" in each for each in world().problems(asked))


OPEN = [
    (("value", "capital", ("the", "anthem", "Hail")), {}),  # two countries sing it
    (("value", "capital", ("the", "anthem", "Song")), {"Dland_anthem": "no official one, but <Song> is often sung"}),
    (("value", "capital", entry("Eland")), {}),
    (("value", "currency", entry("Aland")), {}),  # the text says nothing
    (("most", "area", ("neighbors", entry("Cland"))), {"Aland_area": "305 sq km"}),  # within 10 %
    (("most", "area", ("neighbors", entry("Cland"))), {"Aland_area": "unknown"}),  # might be the largest
    (("most", "population", ("neighbors", entry("Bland"))), {}),  # 2024 against 2025
    (("most", "population", ("neighbors", entry("Cland"))), {}),  # none for Dland
    (("neighbors", entry("Aland")), {"Dland_borders": "Cland 30 km; Aland 5 km"}),  # one-sided
    (("neighbors", entry("Aland")), {"Bland_borders": "Cland 1,005 km"}),
    (("neighbors", entry("Aland")), {"Aland_borders": "Bland 10 km"}),
    (("neighbors", entry("Aland")), {"Aland_borders": "Bland 10 km; Atlantis 20 km"}),
    (("longest", entry("Aland")), {"Aland_borders": "Bland 19.5 km; Cland 20 km", "Bland_borders": "Aland 19.5 km"}),
    (("border", entry("Aland"), entry("Bland")), {"Bland_borders": "Aland 11 km; Cland 1,005 km"}),
    (("only neighbor", entry("Aland")), {}),
    (("having", "area", "above", 290.0, ("neighbors", entry("Aland"))), {}),  # 300 is too close
    (("both", ("neighbors", entry("Aland")), ("the", "capital", "Aville")), {"Bland_capital": "Aville"}),
    (("nonsense", entry("Aland")), {}),
]


@pytest.mark.parametrize(("form", "changes"), OPEN)
def test_planted_ambiguity_is_refuted(form, changes):
    with pytest.raises(Refuted):
        world(**changes).evaluate(form)


def test_a_value_printed_twice_has_no_single_place():
    twice = Passage("Aland-3", "Aland: Government, Capital", "Capital:\n- name: Aville")
    small = [Passage("Aland-2", "Aland: Government, Capital", "Capital:\n- name: Aville"), twice]
    with pytest.raises(Refuted):
        Proof(small).evaluate(("value", "capital", entry("Aland")))


def test_two_members_are_no_single_answer():
    asked = task(("neighbors", entry("Aland")), ("Bland",), (("Aland-1",),))
    assert any("the text says" in problem for problem in world().problems(asked))


def test_tampering_with_real_tasks_is_caught():
    """Every real task of a sample, with the answer of another task of its relation, is refuted."""
    from palaestra.envs.search.factbook import load

    factbook = load()
    proof = Proof(factbook.passages)
    last: dict[str, Task] = {}
    tampered = 0
    for each in factbook.tasks[::3]:
        other = last.get(each.metadata["relation"])
        last[each.metadata["relation"]] = each
        if other is None or other.truth["answers"][0] == each.truth["answers"][0]:
            continue
        truth = {**each.truth, "answers": other.truth["answers"]}
        assert proof.problems(dataclasses.replace(each, truth=truth)), each.id
        tampered += 1
    assert tampered > 1000
