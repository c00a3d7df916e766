"""What has to be said, and what the scripted user says: any wording counts, and nothing but the right value does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.tools.desk.said import amount, count, date, identifier, missing_from, name, time
from palaestra.envs.tools.desk.user import NOT_UNDERSTOOD, NOTHING_MISSING, ScriptedUser, fact
from palaestra.errors import ConfigError


@pytest.mark.parametrize(
    ("demand", "text"),
    [
        (amount(1240.5), "1240.50"),
        (amount(1240.5), "It is EUR 1,240.50."),
        (amount(1240.5), "That makes €1,240.5 in 3 invoices"),
        (amount(1240.5), "1240.50EUR"),
        (amount(80), "80 euros"),
        (amount(80), "EUR80.00, to be paid on 2026-03-12 at 14:00 (O-0080)"),
        (count(3), "3"),
        (count(3), "You have three meetings."),
        (count(3), "On 12 March 2026 at 9:00 there are 3 of them: T-0001, T-0002 and T-0004."),
        (date("2026-03-12"), "2026-03-12"),
        (date("2026-03-12T09:00"), "on 12 March"),
        (date("2026-03-12"), "Thursday, March 12th, 2026"),
        (date("2026-03-12"), "the 12th of Mar. 2026"),
        (time("14:30"), "14:30"),
        (time("14:30"), "at 2:30 pm"),
        (time("14:00"), "2 PM"),
        (time("00:15"), "12:15 a.m."),
        (identifier("T-0042"), "It is ticket t-0042."),
        (name("Søren Castro"), "SØREN CASTRO leads it"),
        (name("pending_approval", ["approval"]), "The status is pending_approval"),
        (name("pending_approval", ["approval", "placed"]), "It is still pending approval."),
        (name("pending approval", ["placed"]), "pending_approval"),
        (date("2026-03-12"), "2026-03-12T15:00"),
        (time("15:00"), "You meet on 2026-03-12T15:00."),
    ],
)
def test_a_value_is_read_whatever_way_it_is_written(demand: dict[str, str], text: str) -> None:
    assert missing_from(text, [demand]) == ()


@pytest.mark.parametrize(
    ("demand", "text"),
    [
        (amount(1240.5), ""),
        (amount(1240.5), "1240"),
        (amount(1240.5), "1.2405"),
        (amount(1240.5), "O-1240.50"),
        (amount(5), "-5"),
        (count(3), "13"),
        (count(3), "3.5"),
        (count(3), "2 or 3"),
        (count(3), "T-0003 at 03:00 on 2026-03-03"),
        (count(3), "1 2 3 4 5 6"),
        (date("2026-03-12"), "12 March 2025"),
        (date("2026-03-12"), "2026-12-03"),
        (date("2026-03-12"), "2026-03-10 2026-03-11 2026-03-12 2026-03-13"),
        (time("14:30"), "2:30"),
        (time("14:30"), "14:30 15:00 15:30 16:00"),
        (identifier("T-0042"), "T-00421"),
        (identifier("T-0042"), " ".join(f"T-{number:04}" for number in range(100))),
        (name("Anna Weber"), "Anna Weberling"),
        (name("Anna Weber"), "Anna"),
        (name("Anna Weber", ["Ben Roth"]), "Anna Weber or Ben Roth"),
        ({"kind": "noncea", "value": "x"}, "x"),
        ({}, "x"),
    ],
)
def test_what_is_not_the_value_or_lists_many_does_not_count(demand: dict[str, str], text: str) -> None:
    assert missing_from(text, [demand]) == (demand,)


def test_what_the_request_mentions_may_be_repeated() -> None:
    assert missing_from("In room 12 there are 3 chairs", [count(3)], "How many chairs are in room 12?") == ()
    assert missing_from("In room 12 there are 3 chairs", [count(3)]) != ()


def test_several_values_do_not_stand_in_each_others_way() -> None:
    demands = [count(3), count(5), amount(7.25), name("Anna", ["Ben"]), name("Ben", ["Anna"])]
    assert missing_from("Anna has 3, Ben has 5, which costs 7.25", demands) == ()
    assert missing_from("Anna has 3, which costs 7.25", demands) == (demands[1], demands[4])


@given(st.text(max_size=200), st.sampled_from(["amount", "count", "date", "time", "id", "text"]))
def test_any_text_can_be_judged(text: str, kind: str) -> None:
    missing_from(text, [{"kind": kind, "value": text}], text)


@given(st.integers(0, 10**9))
def test_every_amount_is_found_in_its_own_words(cents: int) -> None:
    for said in (f"{cents / 100:.2f}", f"{cents / 100:,.2f} euros", f"EUR {cents / 100:.2f}."):
        assert missing_from(said, [amount(f"{cents / 100:.2f}")]) == ()  # type: ignore[arg-type]


# The user ----------------------------------------------------------------------------------------------------------

ANNA = ScriptedUser(
    (
        fact("amount", "It is 40 euros."),
        fact("date", "On Friday."),
        fact("person", "Zoë Wolf.", "zoë"),
    )
)


@pytest.mark.parametrize(
    ("question", "reply"),
    [
        ("How much is it?", "It is 40 euros."),
        ("what AMOUNT should I transfer", "It is 40 euros."),
        ("When?", "On Friday."),
        ("Which day, and how much?", "It is 40 euros. On Friday. Zoë Wolf."),
        ("Could you tell me the colleague's name?", "Zoë Wolf."),
        ("Is it Zoë from Legal?", "Zoë Wolf."),
        ("Shall I go on?", NOT_UNDERSTOOD),
        ("Shall I consume it today?", NOT_UNDERSTOOD),  # neither "sum" nor "day" begins a word
        ("", NOT_UNDERSTOOD),
        ("\ud800\x00", NOT_UNDERSTOOD),
    ],
)
def test_the_user_answers_what_is_asked_for(question: str, reply: str) -> None:
    assert ANNA.reply(question) == reply


def test_where_nothing_is_missing_asking_gains_nothing() -> None:
    assert {ScriptedUser().reply(question) for question in ("How much?", "Who?", "")} == {NOTHING_MISSING}


def test_a_fact_needs_words() -> None:
    with pytest.raises(ConfigError, match="no words"):
        fact("weather", "Rain.")
