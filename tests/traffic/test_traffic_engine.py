"""The traffic engine by itself: what it refuses, threads, precision, memory, determinism."""

import hashlib
import tracemalloc
from importlib import resources

import numpy as np
import pytest

from palaestra.envs.traffic import Engine, straight_road
from palaestra.errors import ConfigError, InvalidActionError


def driven(seed, decisions=6, scenes=6, vehicles=20, **options):
    engine = Engine(scenes, vehicles, **options)
    rng = np.random.default_rng(seed)
    for scene in range(scenes):
        engine.spawn(rng.random((vehicles, 4)), scene=scene)
    for _ in range(decisions):
        engine.step(rng.integers(0, 5, engine.scenes.agents.shape))
    return engine


def test_threads_change_nothing():
    one, three = driven(1), driven(1, threads=3)
    np.testing.assert_array_equal(one.scenes.floats, three.scenes.floats)
    np.testing.assert_array_equal(one.scenes.whole, three.scenes.whole)
    three.close()


def test_compiled_code_is_made_anew_when_the_columns_change():
    from palaestra.envs.traffic import _kernels

    source = resources.files("palaestra.envs.traffic").joinpath("_columns.py").read_bytes()
    digest = hashlib.sha256(source).hexdigest()[:12]
    assert digest == _kernels.COLUMNS, f"set COLUMNS in _kernels.py to {digest}"


def test_scenes_do_not_touch_each_other():
    rng = np.random.default_rng(2)
    draws, actions = rng.random((3, 12, 4)), rng.integers(0, 5, (5, 3, 1))
    together = Engine(3, 12)
    for scene in range(3):
        together.spawn(draws[scene], scene=scene)
    for action in actions:
        together.step(action)
    for scene in range(3):
        alone = Engine(1, 12)
        alone.spawn(draws[scene])
        for action in actions:
            alone.step(action[scene : scene + 1])
        np.testing.assert_array_equal(alone.scenes.floats[0], together.scenes.floats[scene])
        np.testing.assert_array_equal(alone.observe()[0], together.observe()[scene])


def test_float32_is_near_float64():
    exact, near = driven(3, decisions=1), driven(3, decisions=1, dtype=np.float32)
    assert near.scenes.floats.dtype == near.observe().dtype == np.float32
    np.testing.assert_allclose(near.scenes.x, exact.scenes.x, atol=0.05)


def test_a_step_allocates_nothing_that_grows_with_vehicles():
    engine = driven(4, vehicles=500, road=straight_road(4, length=50_000.0))
    actions = np.ones(engine.scenes.agents.shape, np.int64)
    engine.step(actions)
    tracemalloc.start()
    engine.step(actions)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000 < engine.scenes.floats.nbytes


def test_a_turned_road_is_the_same_road():
    rng = np.random.default_rng(6)
    draws = rng.random((15, 4))
    straight = Engine(1, 15, road=straight_road(3))
    turned = Engine(1, 15, road=straight_road(3, angle=0.5))
    for engine in (straight, turned):
        engine.spawn(draws)
    turned.scenes.timer[:] = straight.scenes.timer  # the first thought comes by position
    for action in rng.integers(0, 5, 10):
        straight.step([[action]])
        turned.step([[action]])
    np.testing.assert_allclose(turned.scenes.speed, straight.scenes.speed, atol=1e-8)
    np.testing.assert_array_equal(turned.scenes.lane, straight.scenes.lane)
    np.testing.assert_array_equal(turned.scenes.crashed, straight.scenes.crashed)


@pytest.mark.parametrize(
    "options",
    [
        {"scenes": 0}, {"vehicles": 0}, {"vehicles": 2.5}, {"vehicles": True}, {"agents": -1}, {"agents": 4},
        {"target_speeds": ()}, {"target_speeds": (20.0, np.nan)}, {"target_speeds": (20, 25, 31)},
        {"target_speeds": (30, 20)}, {"simulation_frequency": 0}, {"policy_frequency": 16}, {"dtype": np.int64},
        {"threads": 0},
    ],
)  # fmt: skip
def test_engines_that_cannot_be(options):
    with pytest.raises(ConfigError):
        Engine(**{"scenes": 2, "vehicles": 3, **options})


@pytest.mark.parametrize(
    "options",
    [{"lanes": 0}, {"lanes": 2.0}, {"length": 0.0}, {"width": -1}, {"speed_limit": np.inf}, {"angle": np.nan}],
)
def test_roads_that_cannot_be(options):
    with pytest.raises(ConfigError):
        straight_road(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"draws": np.zeros((2, 4))}, {"draws": np.full((3, 4), np.nan)}, {"draws": np.ones((3, 4))}, {"scene": 2},
        {"agent_lane": 4}, {"agent_speed": 0}, {"agent_spacing": np.nan}, {"density": 0}, {"density": 1e-4},
    ],
)  # fmt: skip
def test_spawns_that_cannot_be(options):
    with pytest.raises(ConfigError):
        Engine(2, 3).spawn(**{"draws": np.zeros((3, 4)), **options})


def test_more_vehicles_than_fit_are_refused():
    with pytest.raises(ConfigError, match="longer road"):
        Engine(1, 1_000).spawn(np.zeros((1_000, 4)))


@pytest.mark.parametrize(
    "actions",
    [[[5], [0]], [[-1], [0]], [[0.0], [1.0]], [[np.nan], [1]], [0, 1], [[0]], [[True], [False]], [["a"], ["b"]]],
)
def test_actions_that_are_none_move_nothing(actions):
    engine = driven(5, scenes=2, decisions=0)
    before = engine.scenes.floats.copy()
    with pytest.raises(InvalidActionError):
        engine.step(actions)
    np.testing.assert_array_equal(engine.scenes.floats, before)


def test_observations_that_cannot_be():
    engine = driven(7, decisions=0)
    for options in ({"features": ("z",)}, {"features": ()}, {"rows": 0}):
        with pytest.raises(ConfigError):
            engine.observe(**options)
    with pytest.raises(ConfigError):
        engine.reward_terms((30.0, 20.0))
    assert engine.observe(rows=1).shape == (6, 1, 1, 5)
