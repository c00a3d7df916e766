"""A step reward around environments of every kind, against a loop that plays each environment by hand."""

from __future__ import annotations

import functools
import pickle
from collections import Counter
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

import palaestra
from palaestra.environment import Environment
from palaestra.episodes import TextPart, ToolCall, ToolResult
from palaestra.errors import ConfigError, EpisodeFailure, UnknownNameError
from palaestra.rewards.base import Transition
from palaestra.rewards.count import EpisodicCount
from palaestra.rewards.wrappers import VectorWithReward, WithReward, step_terms, with_reward
from palaestra.spaces import Utf8

MODES = list(AutoresetMode)
VECTORS = [SyncVectorEnv, functools.partial(AsyncVectorEnv)]


class Walk(Environment[Any, int]):
    """Walks on a ring of five; ends after a number of steps that the seed decides; action 3 breaks it.

    Args:
        form: How the place is observed: `int`, `dict` or `text`.
    """

    def __init__(self, form: str = "int", **options: Any) -> None:
        super().__init__(**options)
        self.form = form
        place = gym.spaces.Discrete(5)
        self.observation_space = {
            "int": place,
            "dict": gym.spaces.Dict(
                place=place, pair=gym.spaces.Tuple([place, gym.spaces.Box(0, 9, (2,), np.float32)])
            ),
            "text": Utf8(32),
        }[form]
        self.action_space = gym.spaces.Discrete(4)

    def _observe(self) -> Any:
        if self.form == "int":
            return self.place
        if self.form == "text":
            return f"place {self.place}"
        return {"place": self.place, "pair": (self.place, np.full(2, self.place, np.float32))}

    def _reset(self, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        self.left = int(self.np_random.integers(2, 6))
        self.place = int(self.np_random.integers(5))
        self.goal = int(self.np_random.integers(5))
        return self._observe(), {}

    def _step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if action == 3:
            raise EpisodeFailure("broken", "as asked")
        self.place = (self.place + int(action) - 1) % 5
        self.left -= 1
        call = ToolCall("walk", {"by": int(action) - 1}, ToolResult((TextPart("ok"),)), "ok")
        return self._observe(), float(action), False, self.left == 0, {"calls": (call,)}

    def privileged(self) -> Mapping[str, Any]:
        return {"goal": self.goal}


def place_of(observation: Any) -> int:
    if isinstance(observation, Mapping):
        assert observation["place"] == observation["pair"][0] == observation["pair"][1][0]
        return int(observation["place"])
    return int(str(observation).removeprefix("place "))


class Probe:
    """A step reward that writes down all it is shown; worth the new place, minus ten times the old one."""

    name = "probe"
    scope = "episodic"
    version = 3

    def __init__(self, requires: frozenset[str] = frozenset(), scope: str = "learned") -> None:
        self.requires, self.scope = requires, scope
        self.resets: list[tuple[list[int], list[int], list[int]]] = []
        self.steps: list[Transition] = []

    def reset(self, slots: Any, episode_ids: Any, observations: Any) -> None:
        self.resets.append((slots.tolist(), list(episode_ids), self.places(observations, len(slots))))

    @staticmethod
    def places(columns: Any, count: int) -> list[int]:
        if isinstance(columns, Mapping):
            columns = columns["place"]
        assert isinstance(columns, np.ndarray) and columns.shape == (count,)
        return [place_of(item) for item in columns]

    def __call__(self, transition: Transition) -> Any:
        self.steps.append(transition)
        count = len(transition.slot)
        new = np.array(self.places(transition.next_observation, count), float)
        return new - 10 * np.array(self.places(transition.observation, count))

    def update(self, batch: Any) -> Mapping[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


ACTIONS = np.array([[2, 0, 1], [2, 2, 0], [0, 1, 2], [2, 2, 2]] * 8)


def by_hand(mode: AutoresetMode, slot: int, form: str) -> list[dict[str, Any]]:
    """One slot, step by step, without any vector environment."""
    env = Walk(form)
    seen = place_of(env.reset(seed=7 + slot)[0])
    rows, episode, ended = [], 0, False
    for action in ACTIONS[:, slot]:
        if ended and mode is AutoresetMode.NEXT_STEP:
            new = place_of(env.reset()[0])
            rows.append({"valid": False, "old": seen, "new": new, "episode": episode, "env": 0.0})
            seen, ended, episode = new, False, episode + 1
            continue
        if ended:
            # SAME_STEP resets within the step; DISABLED is reset by the test between two steps.
            seen, ended, episode = place_of(env.reset()[0]), False, episode + 1
        observation, reward, terminated, truncated, _ = env.step(int(action))
        new = place_of(observation)
        rows.append({"valid": True, "old": seen, "new": new, "episode": episode, "env": reward})
        seen, ended = new, terminated or truncated
    return rows


def play(env: VectorEnv[Any, Any, Any], mode: AutoresetMode) -> list[tuple[Any, ...]]:
    env.reset(seed=7)
    results = []
    for actions in ACTIONS:
        results.append(env.step(actions))
        ended = results[-1][2] | results[-1][3]
        if mode is AutoresetMode.DISABLED and ended.any():
            options = {"reset_mask": ended}
            env.reset(options=options)
            if isinstance(env, VectorWithReward):
                assert options["reset_mask"] is ended  # unlike Gymnasium, it leaves the dictionary alone
    return results


@pytest.mark.parametrize("vector", VECTORS, ids=["sync", "async"])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("form", ["int", "dict", "text"])
def test_every_vector_environment_as_if_played_by_hand(vector, mode, form):
    probe = Probe()
    env = with_reward(vector([lambda: Walk(form)] * 3, autoreset_mode=mode), probe, weight=0.5)
    assert isinstance(env, VectorWithReward) and isinstance(env, VectorEnv)
    results = play(env, mode)
    env.close()
    starts: dict[tuple[int, int], int] = {}
    for slots, episodes, places in probe.resets:
        starts.update(zip(zip(slots, episodes, strict=True), places, strict=True))
    for slot in range(3):
        for t, row in enumerate(by_hand(mode, slot, form)):
            step = probe.steps[t]
            _, rewards, terminated, truncated, infos = results[t]
            value = row["new"] - 10 * row["old"]
            assert step.valid[slot] == row["valid"]
            assert step.episode_id[slot] == row["episode"]
            assert (step.terminated[slot], step.truncated[slot]) == (terminated[slot], truncated[slot])
            if row["valid"]:
                assert rewards[slot] == row["env"] + 0.5 * value
                assert infos["terms"]["probe"][slot] == value
                assert step.calls[slot][0].arguments == {"by": ACTIONS[t, slot] - 1}
                assert step.action[slot] == ACTIONS[t, slot]
            else:
                assert rewards[slot] == infos["terms"]["probe"][slot] == 0.0
            assert infos["terms"]["env"][slot] == row["env"]
            assert infos["terms"]["_probe"][slot] == row["valid"]
            first = t == 0 or row["episode"] != by_hand(mode, slot, form)[t - 1]["episode"]
            if first:
                assert starts[slot, row["episode"]] == row["old"]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("vector", VECTORS, ids=["sync", "async"])
def test_around_the_vector_or_around_each_is_the_same(vector, mode):
    outer = with_reward(vector([Walk] * 3, autoreset_mode=mode), EpisodicCount(), weight=2.0)
    inner = vector([lambda: with_reward(Walk(), "count", weight=2.0)] * 3, autoreset_mode=mode)
    for one, other in zip(play(outer, mode), play(inner, mode), strict=True):
        for a, b in zip(one[:4], other[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        told, also = step_terms(one[4], 3), step_terms(other[4], 3)
        assert set(told) == {"env", "count"}
        for name in told:
            np.testing.assert_array_equal(told[name], also.get(name, np.zeros(3)))
    outer.close()
    inner.close()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("vector", VECTORS, ids=["sync", "async"])
def test_a_failed_step_pays_nothing(vector, mode):
    probe = Probe()
    env = with_reward(vector([Walk] * 2, autoreset_mode=mode), probe)
    env.reset(seed=0)
    _, rewards, _, truncated, infos = env.step(np.array([3, 2]))
    assert truncated.tolist()[0]
    assert probe.steps[0].valid.tolist() == [False, True]
    assert rewards[0] == 0.0 and rewards[1] == 2.0 + infos["terms"]["probe"][1]
    assert infos["terms"]["_probe"].tolist() == [False, True]
    single = with_reward(Walk(), Probe())
    single.reset(seed=0)
    _, reward, _, truncated, info = single.step(3)
    assert (reward, truncated, info["terms"], info["status"]) == (0.0, True, {"env": 0.0, "probe": 0.0}, "failed")
    env.close()


def test_disabled_slots_that_wait_are_not_valid():
    class Waiting(SyncVectorEnv):
        """Lets ended slots be stepped, as some vector environments written in arrays do."""

        def step(self, actions: Any) -> Any:
            self._autoreset_envs[:] = False
            for walk in self.envs:
                walk._running = True
            return super().step(actions)

    probe = Probe()
    env = with_reward(Waiting([Walk] * 2, autoreset_mode=AutoresetMode.DISABLED), probe)
    env.reset(seed=7)
    ended = np.zeros(2, bool)
    for _ in range(8):
        _, rewards, terminated, truncated, _ = env.step(np.array([2, 0]))
        np.testing.assert_array_equal(probe.steps[-1].valid, ~ended)
        assert (rewards[ended] == np.array([2.0, 0.0])[ended]).all()
        ended |= terminated | truncated
    assert ended.all()
    env.reset(options={"reset_mask": np.array([False, True])})
    env.step(np.array([2, 0]))
    np.testing.assert_array_equal(probe.steps[-1].valid, [False, True])


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_observations_that_are_overwritten_in_place(mode):
    kept, reused = Probe(), Probe()
    for probe, copy in ((kept, True), (reused, False)):
        play(with_reward(SyncVectorEnv([Walk] * 3, copy=copy, autoreset_mode=mode), probe), mode)
    for one, other in zip(kept.steps, reused.steps, strict=True):
        np.testing.assert_array_equal(one.observation, other.observation)
        np.testing.assert_array_equal(one.next_observation, other.next_observation)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_privileged_belongs_to_the_episode_that_is_scored(mode):
    probe = Probe(frozenset({"privileged"}))
    env = with_reward(SyncVectorEnv([Walk] * 3, autoreset_mode=mode), probe)
    play(env, mode)
    for slot in range(3):
        hand = Walk()
        goals = []
        hand.reset(seed=7 + slot)
        for _ in range(12):
            goals.append(hand.goal)
            hand.reset()
        for step in probe.steps:
            if step.valid[slot]:
                assert step.privileged[slot] == {"goal": goals[step.episode_id[slot]]}
    unknown = with_reward(gym.make("CartPole-v1"), Probe(frozenset({"privileged"})))
    with pytest.raises(ConfigError, match=r"CartPoleEnv has no privileged\(\)"):
        unknown.reset(seed=0)


# Not ours -----------------------------------------------------------------------------------------------------------


def test_cart_pole_by_hand():
    env = palaestra.with_reward(gym.make("CartPole-v1"), "count", weight=0.1, form="inverse-sqrt", key=sides)
    plain = gym.make("CartPole-v1")
    for episode in range(3):
        observation, _ = env.reset(seed=episode)
        same, _ = plain.reset(seed=episode)
        np.testing.assert_array_equal(observation, same)
        seen = Counter([sides(same)])
        for t in range(500):
            after, reward, terminated, truncated, info = env.step(t % 2)
            same, own, *ends, _ = plain.step(t % 2)
            np.testing.assert_array_equal(after, same)
            seen[sides(same)] += 1
            bonus = seen[sides(same)] ** -0.5
            assert reward == pytest.approx(own + 0.1 * bonus)
            assert info["terms"] == {"env": own, "count": pytest.approx(bonus)}
            assert [terminated, truncated] == ends
            if terminated or truncated:
                break
        assert terminated


def sides(observation: Any) -> tuple[bool, ...]:
    return tuple(bool(x > 0) for x in observation)


def test_gymnasiums_own_vector_of_arrays():
    env = with_reward(gym.make_vec("CartPole-v1", 4, vectorization_mode="vector_entry_point"), "count", key=sides)
    env.reset(seed=0)
    for _ in range(40):
        _, rewards, *_, infos = env.step(np.ones(4, np.int64))
        np.testing.assert_array_equal(rewards, infos["terms"]["env"] + infos["terms"]["count"])
        assert (rewards[~infos["terms"]["_count"]] == 0).all()
    assert not infos["terms"]["_count"].all()  # pushed one way, the poles fell, and some rows only reset
    env.close()


def test_without_the_environments_reward():
    env = with_reward(gym.make("CartPole-v1"), "count", weight=0.25, keep_env_reward=False)
    env.reset(seed=0)
    *_, info = step = env.step(0)
    assert step[1] == 0.25 and info["terms"] == {"env": 1.0, "count": 1.0}


def test_wrapped_twice_keeps_all_parts():
    inner = with_reward(gym.make("CartPole-v1"), "count", weight=0.5)
    env = with_reward(inner, EpisodicCount(form="inverse-sqrt", name="soft"), weight=2.0)
    env.reset(seed=0)
    _, reward, _, _, info = env.step(0)
    assert reward == 1.0 + 0.5 + 2.0
    assert info["terms"] == {"env": 1.0, "count": 1.0, "soft": 1.0}
    twice = with_reward(inner, "count")
    twice.reset(seed=0)
    with pytest.raises(ConfigError, match="already has; make it with another name="):
        twice.step(0)
    vector = with_reward(with_reward(SyncVectorEnv([Walk] * 2), "count"), "count", name="again")
    vector.reset(seed=0)
    assert set(step_terms(vector.step(np.zeros(2, int))[4], 2)) == {"env", "count", "again"}


def test_actions_of_any_sort_reach_the_reward():
    class Anything(Environment[int, Any]):
        observation_space = gym.spaces.Discrete(2)
        action_space = gym.spaces.Discrete(2)

        def _reset(self, options: Any) -> Any:
            return 0, {}

        def _step(self, action: Any) -> Any:
            return 1, 0.0, False, False, {}

    probe = Probe()
    env = with_reward(Anything(), probe)
    env.reset(seed=0)
    for action in (None, "left", {"a": 1}, [1, 2], 10**30):
        env.step(action)
        assert probe.steps[-1].action.shape == (1,) and probe.steps[-1].action[0] == action


# Scopes and workers -------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*ERROR:UserWarning")  # so Gymnasium tells of a worker's exception
def test_a_learned_reward_in_a_worker_is_refused():
    env = AsyncVectorEnv([lambda: with_reward(Walk(), Probe(scope="learned"))] * 2)
    with pytest.raises(ConfigError, match=r"with_reward\(AsyncVectorEnv\(\.\.\.\), reward\)"):
        env.reset(seed=0)
    env.close(terminate=True)


def test_learned_ones_are_shared_and_others_are_copied():
    learned, counted = Probe(scope="learned"), EpisodicCount()
    assert with_reward(Walk(), learned).step_reward is learned
    assert with_reward(Walk(), counted).step_reward is not counted
    assert with_reward(SyncVectorEnv([Walk]), counted).step_reward is counted
    env = SyncVectorEnv([lambda: with_reward(Walk(), counted)] * 2)
    play_two = [env.reset(seed=0), env.step(np.array([2, 1]))]
    assert step_terms(play_two[1][4], 2)["count"].tolist() == [1.0, 0.0]


def test_the_version_that_scored_a_step_is_told():
    env = with_reward(Walk(), Probe(scope="learned"))
    env.reset(seed=0)
    assert env.step(1)[4]["reward_versions"] == {"probe": 3}
    vector = with_reward(SyncVectorEnv([Walk] * 2), Probe(scope="learned"))
    vector.reset(seed=0)
    assert vector.step(np.ones(2, int))[4]["reward_versions"]["probe"].tolist() == [3, 3]
    plain = with_reward(Walk(), "count")
    plain.reset(seed=0)
    assert "reward_versions" not in plain.step(1)[4]


def test_pickle_in_the_middle():
    env = with_reward(gym.make("CartPole-v1"), "count", weight=0.5)
    env.reset(seed=3)
    env.step(0)
    twin = pickle.loads(pickle.dumps(env))
    for action in (1, 0, 1, 1):
        one, other = env.step(action), twin.step(action)
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:] == other[1:]


def test_snapshots_hold_the_rewards_memory():
    class Ring(Walk):
        def get_state(self) -> Any:
            return self.left, self.place, self.goal

        def _reset(self, options: Any) -> Any:
            result = super()._reset(options)
            self.left = 9
            return result

        def set_state(self, state: Any) -> None:
            self.left, self.place, self.goal = state

    env = with_reward(Ring(), "count")
    env.reset(seed=11)
    env.step(2)
    with palaestra.snapshot(env) as saved:
        first = env.step(0)
        env.step(2)
        saved.restore()
        again = env.step(0)
        assert first == again and first[4]["terms"]["count"] == 0.0
        other = with_reward(Ring(), "count")
        saved.restore(other)
        assert other.step(0) == first
    learned = Probe(scope="learned")
    env = with_reward(Ring(), learned)
    env.reset(seed=11)
    palaestra.snapshot(env).restore()
    assert env.step_reward is learned


# Bad input ----------------------------------------------------------------------------------------------------------


def test_bad_input():
    cart = gym.make("CartPole-v1")
    with pytest.raises(UnknownNameError, match="Did you mean 'count'"):
        with_reward(cart, "cuont")
    with pytest.raises(ConfigError, match=r"no option 'frm'\. Did you mean 'form'"):
        with_reward(cart, "count", frm="first")
    with pytest.raises(ConfigError, match="'outcome' judges whole episodes"):
        with_reward(cart, "outcome")
    with pytest.raises(ConfigError, match="apply to a reward given by name"):
        with_reward(cart, EpisodicCount(), form="first")
    with pytest.raises(ConfigError, match="weight is nan"):
        with_reward(cart, "count", weight=float("nan"))
    with pytest.raises(ConfigError, match="is no reward"):
        with_reward(cart, 3)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="before it was reset"):
        EpisodicCount()(Probe_step())


def Probe_step() -> Transition:
    row = np.zeros(1)
    flags = np.zeros(1, bool)
    return Transition(np.zeros(1, np.int64), [0], ~flags, row, row, row, row, flags, flags)


def test_a_vector_environment_that_hides_how_it_resets():
    env = SyncVectorEnv([Walk] * 2)
    del env.metadata["autoreset_mode"]
    with pytest.raises(ConfigError, match="does not say how it resets"):
        with_reward(env, "count")


def test_types():
    assert isinstance(with_reward(Walk(), "count"), WithReward)
    assert isinstance(with_reward(Walk(), "count"), gym.Wrapper)
    assert isinstance(with_reward(Walk(), palaestra.rewards.make("weighted-sum", terms={"count": 1.0})), WithReward)
