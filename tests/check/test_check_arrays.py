from __future__ import annotations

import gymnasium as gym
import pytest
from checked_arrays import ARRAY_IDS, ARRAY_MUTANTS
from checked_mutants import SLOW

from palaestra.harness.check import check
from palaestra.harness.check.actions import bad_actions


@pytest.mark.parametrize(
    ("env_id", "skipped"),
    [
        ("checked_arrays:checked/Track-v0", {"policies", "fuzz", "canary"}),
        ("checked_arrays:checked/Meet-v0", {"snapshot", "vector", "policies", "reference", "fuzz", "canary"}),
    ],
)
def test_good_environments_of_other_kinds_are_green(env_id: str, skipped: set[str]) -> None:
    certificate = check(env_id)
    assert {result.name: result.detail for result in certificate.failed} == {}
    reasons = {result.name: result.detail for result in certificate.results if result.status == "skipped"}
    assert reasons.keys() == skipped
    assert all(len(reason) > 10 for reason in reasons.values())


@pytest.mark.parametrize("mutant", ARRAY_MUTANTS, ids=lambda cls: cls.__name__)
def test_a_planted_bug_turns_its_check_red(mutant: type) -> None:
    expected, word = ARRAY_MUTANTS[mutant]
    certificate = check(ARRAY_IDS[mutant], skip=[name for name in SLOW if name not in expected])
    assert {result.name: result.detail for result in certificate.failed if result.name not in expected} == {}
    assert {result.name for result in certificate.failed} == expected
    assert any(word in result.detail for result in certificate.failed)


def test_an_environment_without_a_card_goes_through() -> None:
    certificate = check("CartPole-v1", skip=["closing", "hygiene"])
    red = {result.name for result in certificate.failed}
    assert red <= {"actions", "docstring", "rendering"}, certificate.failed
    assert next(result for result in certificate.results if result.name == "card").status == "skipped"


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Box(-1, 1, (3,)),
        gym.spaces.Box(0, 255, (4, 4, 3), "uint8"),
        gym.spaces.Box(-1, 1, ()),
        gym.spaces.Discrete(4, start=-1),
        gym.spaces.MultiDiscrete([2, 5]),
        gym.spaces.MultiBinary(3),
        gym.spaces.Dict({"x": gym.spaces.Discrete(2)}),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")  # spaces warn when they are asked about strange things
def test_bad_actions_are_outside_of_the_space(space: gym.Space[object]) -> None:
    inside = []
    for kind, action in bad_actions(space):
        try:
            inside += [kind] if space.contains(action) else []
        except Exception:
            continue  # a space may choke on them as well
    # Integers wrap around at the bounds of their dtype, and booleans are numbers.
    assert set(inside) <= {"above the upper bound", "below the lower bound", "another dtype (bool)"}
