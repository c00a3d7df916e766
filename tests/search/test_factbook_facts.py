"""The parsers: strict, and right on the Factbook's own irregular texts."""

from __future__ import annotations

import pytest

from palaestra.envs.search.factbook.borders import read_borders
from palaestra.envs.search.factbook.facts import ATTRIBUTES
from palaestra.envs.search.factbook.names import fold, normalise, slug, with_article

READ = [
    ("capital", "Thimphu", "Thimphu"),
    ("capital", "N'Djamena", "N'Djamena"),
    ("capital", "Washington, D.C.", "Washington, D.C."),
    ("capital", "Suva (on Viti Levu)", "Suva"),
    ("area", "38,394 sq km", "38,394 sq km"),
    ("area", "1.267 million sq km", "1.267 million sq km"),
    ("coastline", "0 km (landlocked)", "0 km"),
    ("highest point", "Gangkar Puensum 7,570 m", "Gangkar Puensum"),
    ("highest point", "Fako on Mont Cameroun 4,045 m", "Fako on Mont Cameroun"),
    ("peak height", "unnamed elevation 805 m", "805 m"),
    ("currency", "ngultrum (BTN) per US dollar -", "ngultrum"),
    ("anthem", '"Druk tsendhen" (The Thunder Dragon Kingdom)', "Druk tsendhen"),
    ("independence", "5 July 1962 (from France)", "5 July 1962"),
    ("independent from", "9 July 1960 (from the UK)", "UK"),
    ("holiday", "Independence Day (National Day), 1 October (1960)", "1 October"),
    ("chief of state", "President Bola Ahmed Adekunle TINUBU (since 29 May 2023)", "Bola Ahmed Adekunle Tinubu"),
    ("head of government", "Prime Minister Abdul Rahman bin (Jr.) X (since 2020)", None),
    ("gdp", "$3.019 billion (2023 est.)", "$3.019 billion"),
    ("median age", "31.2 years (2025 est.)", "31.2 years"),
    ("exports", "iron alloys, aircraft, dolomite, semi-finished iron, cement (2023)", "iron alloys"),
    ("official language", "Sharchopkha 28%, Dzongkha (official) 24%, Lhotshamkha 22%", "Dzongkha"),
    ("time zone", "UTC+6 (11 hours ahead of Washington, DC, during Standard Time)", "UTC+6"),
    ("export partners", "India 92%, Italy 4%, Indonesia 1%, China 1%, Singapore 0% (2023)", "India"),
    # What does not fit is left out.
    ("capital", "Porto-Novo (constitutional capital); Cotonou (seat of government)", None),
    ("capital", "no official capital; government offices in the Yaren District", None),
    ("area", "5 sq km less than", None),
    ("area", "9,251 sq km (of which 3,355 sq km are in north Cyprus)", None),
    ("highest point", "unnamed elevation 675 m", None),
    ("independence", "none (territory of the US)", None),
    ("independent from", "30 June 1962 (from Belgium-administered UN trusteeship)", None),
    ("currency", "Kuwaiti dinars (KD) per US dollar -", None),
    ("chief of state", "King CHARLES III (since 8 September 2022); represented by Governor Julia CROUCH", None),
    ("head of government", "Prime Minister and Foreign Minister MUHAMMAD bin Abd (since 7 March 2023)", None),
    ("export partners", "Russia 26.4%, UK 14.1%, Germany 8.4%, China 7.9%, Spain 6.8% (2017)", None),
    ("exports", "fish, phosphates (2023)", None),
    ("official language", "English (official), French (official)", None),
    ("population", "no permanent inhabitants", None),
    ("life expectancy", "(2017 est.) 77.9", None),
]


@pytest.mark.parametrize(("attribute", "text", "answer"), READ)
def test_a_text_is_read_or_left_out(attribute, text, answer):
    parsed = ATTRIBUTES[attribute].parse(text)
    assert (parsed and parsed["answer"]) == answer


def test_figures_scales_and_years():
    gdp = ATTRIBUTES["gdp"].parse("$537.079 billion (2024 est.)")
    assert gdp["number"] == 537_079_000_000 and gdp["year"] == 2024
    assert ATTRIBUTES["inflation"].parse("-0.4% (2024 est.)")["number"] == -0.4
    assert ATTRIBUTES["area"].parse("1.267 million sq km")["number"] == 1_267_000
    assert ATTRIBUTES["airports"].parse("8,130 (2025)")["number"] == 8130


def test_aliases_a_person_would_write():
    area = ATTRIBUTES["area"].parse("38,394 sq km")["aliases"]
    assert {"38,394", "38394", "38394 sq km", "38,394 square kilometers"} <= set(area)
    date = ATTRIBUTES["independence"].parse("5 July 1962 (from France)")["aliases"]
    assert {"July 5, 1962", "5th July 1962", "1962-07-05"} <= set(date)
    person = ATTRIBUTES["chief of state"].parse("President Bola Ahmed Adekunle TINUBU (since 29 May 2023)")["aliases"]
    assert {"President Bola Ahmed Adekunle Tinubu", "Bola Tinubu", "Tinubu"} <= set(person)
    money = ATTRIBUTES["currency"].parse("Algerian dinars (DZD) per US dollar -")["aliases"]
    assert {"DZD", "Algerian dinar"} <= set(money)


def test_a_close_race_for_first_partner_has_no_answer():
    parsed = ATTRIBUTES["export partners"].parse("UAE 16%, Saudi Arabia 15%, Oman 9%, USA 5%, India 4% (2023)")
    assert parsed["answer"] == "" and len(parsed["items"]) == 5


CODES = {"China": "ch", "India": "in", "Bhutan": "bt", "Russia": "rs", "Nepal": "np"}


def test_borders_hold_only_where_both_sides_agree():
    texts = {
        "bt": "China 477 km; India 659 km",
        "ch": "Bhutan 477 km, Russia (northeast) 4,133 km and Russia (northwest) 46 km",
        "in": "Bhutan 600 km; Nepal 1770 km",
        "np": "India 1,770 km",
        "rs": "China (southeast) 4,133 km and China (south) 46 km",
    }
    totals = {"bt": 1136, "ch": 4656, "in": 2370, "np": 1770, "rs": 4179}
    borders = read_borders(texts, totals, CODES)
    assert set(borders.complete) == {"bt", "ch", "in", "np", "rs"}
    assert borders.lengths["bt", "ch"] == "477" and borders.lengths["in", "np"] == "1770"
    assert ("bt", "in") not in borders.lengths and ("ch", "rs") not in borders.lengths
    assert borders.km("np", "in") == 1770 and borders.km("bt", "in") != borders.km("bt", "in")


@pytest.mark.parametrize(
    ("texts", "totals"),
    [
        ({"bt": "China 477 km; India 659 km", "ch": "Bhutan 477 km"}, {"bt": 1136, "ch": 477}),  # India is silent
        ({"bt": "China 477 km", "ch": "Bhutan 477 km"}, {"bt": 1136, "ch": 477}),  # does not add up
        ({"bt": "China 477 km; Atlantis 659 km", "ch": "Bhutan 477 km"}, {"bt": 1136, "ch": 477}),  # unknown
    ],
)
def test_lists_that_may_be_incomplete_are_not_used_whole(texts, totals):
    assert "bt" not in read_borders(texts, totals, CODES).complete


def test_a_neighbor_that_lists_an_entry_unasked_makes_its_list_incomplete():
    texts = {"bt": "China 477 km", "ch": "Bhutan 477 km", "in": "Bhutan 659 km"}
    assert "bt" not in read_borders(texts, {"bt": 477, "ch": 477, "in": 659}, CODES).complete


def test_names():
    assert with_article("Netherlands") == "the Netherlands" and with_article("Bhutan") == "Bhutan"
    assert with_article("Solomon Islands") == "the Solomon Islands"
    assert fold("Côte d’Ivoire") == "Cote d'Ivoire" and slug("Côte d'Ivoire") == "cote-d-ivoire"
    assert normalise("The  U.S., a  State!") == "us state"
