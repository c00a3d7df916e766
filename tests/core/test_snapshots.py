from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import FrameStackObservation, NormalizeReward, TimeLimit

import palaestra
from palaestra.environment import Environment
from palaestra.errors import SnapshotError
from palaestra.registration import _CARDS, EnvCard, register
from palaestra.snapshots import ReplayLog, fork, snapshot


class Dice(Environment[int, int]):
    """Adds what a die shows; `exact` says whether it can save itself."""

    observation_space = gym.spaces.Discrete(10_000)
    action_space = gym.spaces.Discrete(3)

    def __init__(self, exact: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.exact = exact

    def _reset(self, options: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        self.total = int(options.get("start", 0))
        self.history = [self.total]
        return self.total, {}

    def _step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.total += int(self.np_random.integers(1, 7)) * (1 + int(action))
        self.history.append(self.total)
        return self.total, float(self.total), self.total > 100, False, {"history": tuple(self.history)}

    def get_state(self) -> Any:
        if not self.exact:
            return super().get_state()
        return {"total": self.total, "history": self.history}

    def set_state(self, state: Any) -> None:
        self.total, self.history = state["total"], state["history"]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "dice_for_tests", sys.modules[__name__])
    for name, kind in (("Dice", "exact"), ("ReplayedDice", "replay")):
        card = EnvCard(f"tests/{name}-v0", "Dice.", "tests", "control", "array", snapshot=kind)  # type: ignore[arg-type]
        register(card, "dice_for_tests:Dice", exact=kind == "exact")
    yield
    for name in ("Dice", "ReplayedDice"):
        del _CARDS[f"tests/{name}-v0"], gym.registry[f"tests/{name}-v0"]


def steps(env: Any, actions: list[int]) -> list[Any]:
    return [env.step(action)[:4] for action in actions]


MAKERS = {
    "exact": lambda: palaestra.make("tests/Dice-v0"),
    "replay": lambda: palaestra.make("tests/ReplayedDice-v0"),
    "CartPole, replayed": lambda: palaestra.make("CartPole-v1"),
    "bare": Dice,
    "frames and a limit": lambda: TimeLimit(FrameStackObservation(palaestra.make("tests/Dice-v0"), 3), 12),
    "frames of a replay": lambda: FrameStackObservation(palaestra.make("tests/ReplayedDice-v0"), 3),
    "running statistics": lambda: NormalizeReward(palaestra.make("tests/Dice-v0")),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_back_to_where_it_was(make):
    env, other = make(), make()
    env.reset(seed=5)
    steps(env, [0, 1, 1])
    with snapshot(env) as saved:
        ahead = steps(env, [1, 0, 1, 0, 1])
        for target in (None, None, other):
            saved.restore(target)
            np.testing.assert_equal(steps(env if target is None else target, [1, 0, 1, 0, 1]), ahead)
        env.reset(seed=99)
        saved.restore()
        np.testing.assert_equal(steps(env, [1, 0]), ahead[:2])
    with pytest.raises(SnapshotError, match="The block of this snapshot has ended"):
        saved.restore()


def test_how():
    env = palaestra.make("tests/Dice-v0")
    env.reset(seed=0)
    assert snapshot(env).how == "exact"
    env = palaestra.make("tests/ReplayedDice-v0")
    env.reset(seed=0)
    assert snapshot(env).how == "replay"


def test_options_are_replayed():
    env = palaestra.make("tests/ReplayedDice-v0")
    env.reset(seed=3, options={"start": 50})
    steps(env, [0])
    saved = snapshot(env)
    ahead = steps(env, [0, 0])
    env.reset(seed=0)
    saved.restore()
    assert steps(env, [0, 0]) == ahead


def test_a_snapshot_is_not_changed_by_what_follows():
    env = Dice()
    env.reset(seed=0)
    saved = snapshot(env)
    first = steps(env, [0, 1, 0])
    saved.restore()
    env.history.append(-1)
    saved.restore()
    assert -1 not in env.history
    assert steps(env, [0, 1, 0]) == first


def test_an_ended_episode_stays_ended():
    env = palaestra.make("tests/Dice-v0")
    env.reset(seed=0, options={"start": 99})
    while not env.step(2)[2]:
        pass
    saved = snapshot(env)
    env.reset(seed=1)
    saved.restore()
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_fork():
    env = palaestra.make("tests/Dice-v0")
    env.reset(seed=4)
    steps(env, [1, 1])
    copies = fork(env, 3)
    assert len({id(each.unwrapped) for each in [env, *copies]}) == 4
    ahead = steps(env, [0, 2, 1])
    assert all(steps(each, [0, 2, 1]) == ahead for each in copies)
    replayed = palaestra.make("CartPole-v1")
    replayed.reset(seed=1)
    steps(replayed, [0, 1])
    (twin,) = fork(replayed, 1)
    np.testing.assert_equal(steps(twin, [1, 1]), steps(replayed, [1, 1]))
    assert fork(env, 0) == []


class Unspecified(gym.Wrapper[Any, Any, Any, Any]):
    """Does not tell how it was made."""


class Uncopied(gym.Wrapper[Any, Any, Any, Any]):
    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.stream = (i for i in range(3))


def test_what_cannot_be_saved_says_why():
    cart = gym.make("CartPole-v1")
    cart.reset(seed=0)
    with pytest.raises(SnapshotError, match="CartPoleEnv has no snapshot_state, and no ReplayLog"):
        snapshot(cart)
    dice = Dice(exact=False)
    dice.reset(seed=0)
    with pytest.raises(SnapshotError, match="use snapshot='replay' in its card"):
        snapshot(dice)
    unseeded = palaestra.make("CartPole-v1")
    unseeded.reset()
    with pytest.raises(SnapshotError, match=r"call reset\(seed=\.\.\.\)"):
        snapshot(unseeded)
    with pytest.raises(SnapshotError, match="no ReplayLog with an episode"):
        snapshot(palaestra.make("CartPole-v1"))
    held = Uncopied(Dice())
    held.reset(seed=0)
    with pytest.raises(SnapshotError, match="The wrapper Uncopied holds state that cannot be copied"):
        snapshot(held)


def test_what_cannot_be_restored_or_forked_says_why():
    env = palaestra.make("tests/Dice-v0")
    env.reset(seed=0)
    saved = snapshot(env)
    with pytest.raises(SnapshotError, match=r"taken through .*'OrderEnforcing'.* has \[\]"):
        saved.restore(Dice())
    bare = Dice()
    bare.reset(seed=0)
    with pytest.raises(SnapshotError, match="made by its id"):
        fork(bare, 1)
    with pytest.raises(SnapshotError, match="Unspecified"):
        fork(Unspecified(env), 1)


def test_the_log_is_of_the_running_episode():
    env = ReplayLog(gym.make("CartPole-v1"))
    env.step if env.log is None else pytest.fail("there is no episode yet")
    for seed in (1, 2):
        env.reset(seed=seed)
        steps(env, [0, 1])
        assert env.log == (seed, None, [0, 1])
