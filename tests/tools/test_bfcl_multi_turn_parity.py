"""The official multi-turn code against ours: results, states, verdicts, and that the comparison sees planted bugs."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from collections import Counter

import pytest
from bfcl_multi_turn_parity import differing_results, differing_sequences, differing_verdicts, our_verdict
from bfcl_mutations import reference, written
from bfcl_official_multi_turn import OfficialMultiTurn, official_rows

from palaestra.envs.tools.bfcl.calls import Call
from palaestra.envs.tools.bfcl.multi_turn import CATEGORIES, checker, execution, multi_turn_cases
from palaestra.envs.tools.bfcl.multi_turn.apis import APIS

REFERENCE_CALLS = {
    "multi_turn_base": 1142,
    "multi_turn_miss_func": 1140,
    "multi_turn_miss_param": 1140,
    "multi_turn_long_context": 1203,
}


@pytest.fixture(scope="module")
def official():
    return OfficialMultiTurn()


@pytest.fixture(scope="module")
def mended():
    return OfficialMultiTurn(mended=True)


@pytest.fixture
def forget():
    """Forgets the methods and references that are kept; also done afterwards, as bugs have left theirs behind."""

    def clear():
        execution._tools.cache_clear()
        checker.reference.cache_clear()

    yield clear
    clear()


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_reference_call_gives_the_official_result_and_state(official, category):
    calls, differences = differing_results(official, category)
    assert calls == REFERENCE_CALLS[category]
    assert differences == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_verdicts_on_the_reference_and_ten_other_outputs_of_every_case(official, category):
    counts, differing = differing_verdicts(official, category, per_case=10)
    outputs = {kind: count for kind, count in counts.items() if not kind.endswith(", valid")}
    assert sum(outputs.values()) == 200 * 11
    assert counts["reference, valid"] == outputs["reference"] == 200
    assert len(outputs) >= 30 and min(outputs.values()) >= 30  # all kinds of outputs were among them
    assert counts["extra call 1, valid"] and counts["extra call 1, valid"] < outputs["extra call 1"]
    assert differing == []


@pytest.mark.parametrize("name", APIS)
def test_random_calls_give_the_official_results_and_states(mended, name):
    fine, differences = differing_sequences(mended, name, sequences=40, length=25)
    assert differences == []
    unanswered = set(APIS[name]._tool_names()) - {tool for tool, count in fine.items() if count}
    assert unanswered <= {"get_outside_temperature_from_weather_com"}  # never has an answer


def test_posts_without_mentions_officially_share_one_list(official, mended):
    """The official defaults are one list for all posts, the reference's too: naming too many people goes unseen."""
    agreed = Counter()
    for category in CATEGORIES:
        for row, gold in official_rows(category):
            case = multi_turn_cases(category)[row["id"]]
            posts = [
                (turn, place)
                for turn, calls in enumerate(case.gold)
                for place, call in enumerate(calls)
                if call.name == "post_tweet" and not call.kwargs.get("mentions")
            ]
            if not posts:
                continue
            turns = reference(case)
            counter = row["initial_config"]["TwitterAPI"].get("tweet_counter", 0)
            turns[posts[0][0]][0].append(f"mention(tweet_id={counter}, mentioned_usernames=['@x'])")
            ours = our_verdict(case, turns)
            assert ours == mended.verdict(row, gold, turns) and not ours[0], row["id"]
            agreed[official.verdict(row, gold, turns) == ours] += 1
    assert agreed[False] > 20  # where "mentions" was left out; the others give an empty list


def test_added_cards_are_officially_shared_by_all_worlds(official, mended):
    """In long contexts a payment with an added card is officially paid in the reference's world, too."""
    seen = 0
    for row, gold in official_rows("multi_turn_long_context"):
        token = row["initial_config"].get("TravelAPI", {}).get("access_token")
        if token is None or "TravelAPI" not in row["involved_classes"]:
            continue
        case = multi_turn_cases("multi_turn_long_context")[row["id"]]
        if any(call.name in ("authenticate_travel", "set_budget_limit") for turn in case.gold for call in turn):
            continue
        paid = {
            "access_token": token,
            "insurance_type": "any",
            "booking_id": "booking_901",
            "insurance_cost": 1.0,
            "card_id": "1234567812345678",
        }
        turns = reference(case)
        turns[-1] = [[*(turns[-1][0] if turns[-1] else []), written(Call("purchase_insurance", (), paid))]]
        ours = our_verdict(case, turns)
        assert ours == mended.verdict(row, gold, turns), row["id"]
        if not ours[0]:
            seen += official.verdict(row, gold, turns)[0]
    assert seen > 5


def changed_result(name, tool, change):
    def plant(monkeypatch):
        method = vars(APIS[name])[tool]

        @functools.wraps(method)
        def planted(self, *args, **kwargs):
            return change(self, method(self, *args, **kwargs))

        monkeypatch.setattr(APIS[name], tool, planted)

    return plant


def no_state_check(monkeypatch):
    monkeypatch.setattr(checker.Reference, "same", lambda self, turn, applications, name: True)


def no_response_check(monkeypatch):
    monkeypatch.setattr(checker.Counter, "__le__", lambda self, other: True)


def other_seed(monkeypatch):
    load = APIS["TravelAPI"]._load

    def with_other_seed(self, scenario, long_context):
        load(self, scenario, long_context)
        self._seed += 1

    monkeypatch.setattr(APIS["TravelAPI"], "_load", with_other_seed)


def forgetful(self, result):
    self.watch_list = [*self.watch_list, "LOST"]
    return result


BUGS = {
    "another result": changed_result("GorillaFileSystem", "sort", lambda self, result: {**result, "x": 1}),
    "an error worded otherwise": changed_result(
        "TicketAPI", "get_ticket", lambda self, result: {"error": "none"} if "error" in result else result
    ),
    "another type": changed_result("TradingBot", "get_account_info", lambda self, result: str(result)),
    "another state": changed_result("TradingBot", "get_stock_info", forgetful),
    "another seed": other_seed,
}


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_in_applications_are_seen(official, mended, monkeypatch, forget, bug):
    BUGS[bug](monkeypatch)
    forget()
    found = differing_results(official, "multi_turn_base")[1]
    if bug == "an error worded otherwise":  # the reference calls make no such error
        found = differing_sequences(mended, "TicketAPI", sequences=10, length=25)[1]
    assert found


@pytest.mark.parametrize("plant", [no_state_check, no_response_check])
def test_planted_bugs_in_the_checker_are_seen(official, monkeypatch, forget, plant):
    plant(monkeypatch)
    forget()
    assert differing_verdicts(official, "multi_turn_base", per_case=10, every=10)[1]


def test_the_package_is_read_and_never_imported_by_palaestra():
    assert importlib.util.find_spec("bfcl_eval") is not None
    code = (
        "import sys; from palaestra.envs.tools.bfcl.multi_turn import multi_turn_cases, check;"
        "case = multi_turn_cases('multi_turn_long_context')['multi_turn_long_context_0'];"
        "assert check(case, [[list(turn)] for turn in case.gold_texts]).valid;"
        "assert not [name for name in sys.modules if name.startswith('bfcl_eval')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
