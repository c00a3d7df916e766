"""The traffic engine and highway-env side by side.

One step from injected states, and free runs from one tape of random draws; then bugs that must be found.
"""

import types
from dataclasses import dataclass
from importlib import metadata, resources

import gymnasium as gym
import numpy as np
import pytest

from palaestra.envs.traffic.engine import Engine

# ruff: noqa: E501
TOLERANCE = 1e-9
FEATURES = ("presence", "x", "y", "vx", "vy", "heading", "cos_h", "sin_h", "cos_d", "sin_d", "long_off", "lat_off", "ang_off")  # fmt: skip
STATE = ("x", "y", "heading", "speed", "target_speed", "timer", "impact_x", "impact_y", "lane", "target_lane", "struck", "crashed")  # fmt: skip

TEMPER = ("ACC_MAX", "COMFORT_ACC_MAX", "COMFORT_ACC_MIN", "DISTANCE_WANTED", "TIME_WANTED", "DELTA", "POLITENESS", "LANE_CHANGE_MIN_ACC_GAIN", "LANE_CHANGE_MAX_BRAKING_IMPOSED", "LANE_CHANGE_DELAY")  # fmt: skip


class Tape:
    """What stands in for highway-env's generator: it reads draws from [0, 1), a row for each vehicle."""

    def __init__(self, draws):
        self.draws, self.row = draws, -1

    def choice(self, options):
        if not isinstance(options, int):
            (only,) = options
            return only
        self.row += 1
        self.columns = iter((2,) if self.row == 0 else (1, 2, 3))  # the agent's speed is given
        return int(self.draws[self.row, 0] * options)

    def uniform(self, low, high):
        return low + (high - low) * self.draws[self.row, next(self.columns)]


def highway(vehicles, lanes, frames, rows=5, see_behind=False):
    import highway_env  # noqa: F401

    env = gym.make(
        "highway-v0",
        config={
            "vehicles_count": vehicles - 1,
            "lanes_count": lanes,
            "policy_frequency": 15 // frames,
            "simulation_frequency": 15,
            "observation": {
                "type": "Kinematics", "features": list(FEATURES), "vehicles_count": rows, "see_behind": see_behind,
            },
        },
    ).unwrapped  # fmt: skip
    return exact(env)


def exact(env):
    """Lets the observation be seen before it is rounded to float32."""
    shape = env.observation_space.shape
    env.observation_type.space = lambda: gym.spaces.Box(-np.inf, np.inf, shape, np.float64)
    return env


def state_of(env):
    """What highway-env says, in the engine's terms."""
    columns = {name: [] for name in STATE}
    for vehicle in env.road.vehicles:
        impact = (0.0, 0.0) if vehicle.impact is None else vehicle.impact
        for name, value in zip(
            STATE,
            (*vehicle.position, vehicle.heading, vehicle.speed, vehicle.target_speed, getattr(vehicle, "timer", 0.0),
             *impact, vehicle.lane_index[2], vehicle.target_lane_index[2], vehicle.impact is not None, vehicle.crashed),
            strict=True,
        ):  # fmt: skip
            columns[name].append(float(value))
    return {name: np.array(values) for name, values in columns.items()}


def difference(engine, truth):
    """The largest difference of the first scene, and where it is."""
    scenes, (state, observation, terms, rows, see_behind) = engine.scenes, truth
    n = scenes.count[0]
    found = {name: np.abs(getattr(scenes, name)[0, :n] - state[name]).max() for name in STATE}
    for name in ("impact_x", "impact_y"):  # a push that has been done stays in the engine's array
        found[name] = np.abs(np.where(scenes.struck[0, :n], getattr(scenes, name)[0, :n], 0) - state[name]).max()
    seen = engine.observe(FEATURES, rows=rows, see_behind=see_behind)[0, 0]
    found["observation"] = np.abs(seen - observation).max()
    found["reward"] = np.abs(engine.reward_terms()[0, 0] - terms).max()
    where = max(found, key=lambda name: np.inf if np.isnan(found[name]) else found[name])
    return found[where], where


def answer(env, action, rows, see_behind):
    """A step of highway-env: state, observation and reward terms after it."""
    observation, *_, info = env.step(action)
    terms = np.array([float(value) for value in info["rewards"].values()])
    return state_of(env), observation, terms, rows, see_behind


@dataclass
class Case:
    lanes: int
    before: dict
    driver: np.ndarray
    checks: np.ndarray
    action: int
    truth: tuple


def random_case(rng, envs):
    """A random state of vehicles that brake, turn, overlap, stand, leave the road, and what highway-env makes of it."""
    from highway_env.vehicle.behavior import IDMVehicle
    from highway_env.vehicle.controller import MDPVehicle

    lanes, n = int(rng.integers(1, 6)), int(rng.integers(1, 17))
    see_behind = bool(rng.integers(2))
    key = (lanes, see_behind)
    if key not in envs:
        envs[key] = highway(1, lanes, 1, rows=6, see_behind=see_behind)
    env = envs[key]
    start = rng.choice([-4.0, 500.0, 9_990.0], p=[0.05, 0.9, 0.05])
    x = start + rng.uniform(0, rng.choice([8.0, 30.0, 150.0, 500.0]) * n / lanes, n)
    lane = rng.integers(lanes, size=n)
    y = lane * 4.0
    heading = np.zeros(n)
    loose = rng.random(n) < rng.choice([0.0, 0.3, 1.0])
    y[loose] += rng.normal(0, 1.2, loose.sum())
    heading[loose] = rng.normal(0, 0.25, loose.sum())
    speed = rng.uniform(15, 35, n)
    odd = rng.random(n) < 0.1
    speed[odd] = rng.choice([0.0, 0.5, -3.0, 45.0, -44.0], odd.sum())
    twins = rng.random(n) < 0.1  # several at one place along the road
    x[twins] = x[0]
    target = np.clip(lane + rng.choice([-1, 0, 1], n, p=[0.15, 0.7, 0.15]), 0, lanes - 1)
    timer = rng.uniform(0.5, 1.5, n)
    target_speed = rng.uniform(18, 34, n)
    crashed, struck = rng.random(n) < 0.05, rng.random(n) < 0.05
    impact = np.where(struck[:, None], rng.normal(0, 0.3, (n, 2)), 0)
    checks = rng.random(n) < 0.9
    driver = np.empty((n, 10))
    driver[:] = (6, 3, -5, 10, 1.5, 4, 0, 0.2, 2, 1)
    driver[:, 5] = rng.uniform(3.5, 4.5, n)
    own = rng.random(n) < 0.3  # drivers of their own temper
    driver[own] = rng.uniform(
        (4, 2, -9, 5, 1, 3, 0, 0, 1, 0.5), (9, 6, -3, 13, 2, 4.5, 1, 0.4, 9, 1.2), (own.sum(), 10)
    )
    env.road.vehicles = []
    for i in range(n):
        where = (env.road, (x[i], y[i]), heading[i], speed[i], ("0", "1", int(target[i])), target_speed[i])
        if i == 0:
            vehicle = MDPVehicle(*where)
            target_speed[i], timer[i] = vehicle.target_speed, 0
            env.controlled_vehicles = [vehicle]
        else:
            vehicle = IDMVehicle(*where, timer=timer[i])
            for name, value in zip(TEMPER, driver[i], strict=True):
                setattr(vehicle, name, float(value))
        vehicle.crashed, vehicle.check_collisions = bool(crashed[i]), bool(checks[i])
        vehicle.impact = impact[i].copy() if struck[i] else None
        env.road.vehicles.append(vehicle)
    before = {
        "x": x, "y": y, "heading": heading, "speed": speed, "target_speed": target_speed, "timer": timer,
        "impact_x": impact[:, 0], "impact_y": impact[:, 1], "struck": struck, "crashed": crashed, "target_lane": target,
    }  # fmt: skip
    env.time = env.steps = 0
    action = int(rng.integers(5))
    return Case(lanes, before, driver, checks, action, answer(env, action, 6, see_behind))


def put(engine, case):
    n = len(case.before["x"])
    engine.scenes.count[0] = n
    for name, values in case.before.items():
        getattr(engine.scenes, name)[0, :n] = values
    engine.scenes.driver[0, :n] = case.driver
    engine.scenes.checks[0, :n] = case.checks


def engine_for(lanes, vehicles, frames=1, kernels=None, **options):
    from palaestra.envs.traffic import straight_road

    engine = Engine(1, vehicles, road=straight_road(lanes), policy_frequency=15 // frames, **options)
    engine._kernels = kernels or engine._kernels
    return engine


def worst(cases, kernels=None, stop=np.inf):
    """The largest difference after one step of every case, up to the first above `stop`."""
    engines = {lanes: engine_for(lanes, 16, kernels=kernels) for lanes in range(1, 6)}
    found = (0.0, "nowhere", -1)
    for number, case in enumerate(cases):
        engine = engines[case.lanes]
        put(engine, case)
        engine.step([[case.action]])
        size, where = difference(engine, case.truth)
        if not size <= found[0]:
            found = (size, where, number)
        if not size <= stop:
            break
    return found


@pytest.fixture(scope="module")
def cases():
    rng, envs = np.random.default_rng(5), {}
    return [random_case(rng, envs) for _ in range(2_000)]


def test_it_is_highway_env_1_12():
    assert metadata.version("highway-env").startswith("1.12.")


def test_one_step_is_highway_envs_from_every_injected_state(cases):
    assert len(cases) >= 2_000
    seen = {name: sum(bool(case.truth[0][name].any()) for case in cases) for name in ("struck", "crashed")}
    turned = sum((case.truth[0]["target_lane"] != case.before["target_lane"]).any() for case in cases)
    assert min(*seen.values(), turned) > 100, (seen, turned)  # the states do make things happen
    size, where, number = worst(cases)
    assert size <= TOLERANCE, f"{where} of case {number} differs by {size}"


def free_run(seed, vehicles, decisions, lanes=4, kernels=None):
    """The largest difference over a free run in which both are fed from one tape."""
    rng = np.random.default_rng(seed)
    draws = rng.random((vehicles, 4))
    env = highway(vehicles, lanes, 15)
    env._np_random = Tape(draws)
    env.reset()
    exact(env)
    engine = engine_for(lanes, vehicles, 15, kernels)
    engine.spawn(draws)
    state, terms = state_of(env), np.array([float(value) for value in env._rewards(1).values()])
    found = [difference(engine, (state, env.observation_type.observe(), terms, 5, False))]
    for _ in range(decisions):
        action = int(rng.integers(5))
        truth = answer(env, action, 5, False)
        engine.step([[action]])
        found.append(difference(engine, truth))
    return max(found), sum(state["crashed"])


@pytest.mark.parametrize("vehicles", [1, 2, 3, 5, 8, 12, 25])
def test_free_runs_stay_together(vehicles):
    (size, where), _ = free_run(vehicles, vehicles, 40)
    assert size <= TOLERANCE, f"{where} differs by {size}"


@pytest.mark.parametrize(("vehicles", "decisions"), [(100, 2), (50, 5)])
def test_crowds_stay_together(vehicles, decisions):
    (size, where), _ = free_run(vehicles, vehicles, decisions)
    assert size <= TOLERANCE, f"{where} differs by {size}"


BUGS = {
    "ties on a lane go to the lower index": ("low > 0 and alongs[lane, low - 1] >= along:", "low > 0 and alongs[lane, low - 1] > along:"),
    "who starts to change lanes is not seen by later ones": ("        g[changing, CHANGING] = i\n        changing += 1\n    return", "        pass\n    return"),
    "a change of lanes is given up for one behind": ("if 0 < ahead <", "if ahead <"),
    "a neighbour is judged by its own headway": ("f[judge, HEADWAY]", "f[i, HEADWAY]"),
    "standing vehicles change lanes": ("if abs(f[i, SPEED]) < 1:", "if abs(f[i, SPEED]) < 0:"),
    "the left lane wins": ("(links[lane, LEFT], links[lane, RIGHT])", "(links[lane, RIGHT], links[lane, LEFT])"),
    "unkind politeness": ("gain += f[i, POLITENESS]", "gain -= f[i, POLITENESS]"),
    "unsafe for the follower": ("if new_follower_then < -f[i, IMPOSED]:", "if new_follower_then < -9.0:"),
    "no speed limit": ("min(max(f[i, TARGET_SPEED], 0.0), road[g[i, LANE], LANE_LIMIT])", "max(f[i, TARGET_SPEED], 0.0)"),
    "neighbours end with the lane": ("_MARGIN = 1.0", "_MARGIN = 0.0"),
    "the target lane alone is looked at": ("acceleration = min(acceleration, free", "acceleration = min(free, free"),
    "steering without a limit": ("_TAN_MAX_STEERING / 2), _TAN", "9.0 * _TAN_MAX_STEERING), 9.0 * _TAN"),
    "speed before position": ("f[i, X] += speed * cos * dt", "f[i, X] += (speed + acceleration * dt) * cos * dt"),
    "no lowest speed": ("acceleration = max(acceleration, _MIN_SPEED - speed)", "pass"),
    "a crash brakes at once": ("acceleration = 0.0, -1.0 * speed", "acceleration = 0.0, -speed / dt"),
    "the first push stays": ("if low > g[i, PAIR_LOW] or (low == g[i, PAIR_LOW] and high > g[i, PAIR_HIGH]):", "if g[i, PAIR_LOW] < 0:"),
    "who will be touched has crashed": ("g[i, STRUCK] = True", "g[i, CRASHED] = True"),
    "both have to check": ("if not (g[a, CHECKS] or g[b, CHECKS]):", "if not (g[a, CHECKS] and g[b, CHECKS]):"),
    "reach by the other's speed": ("_DIAGONAL + f[a, SPEED] * dt:", "_DIAGONAL + f[b, SPEED] * dt:"),
    "half of the edges": ("for edge in range(8):", "for edge in range(4):"),
    "faster than the aim, not than the speed": ("_nearest_speed(f[i, SPEED], speeds)", "_nearest_speed(f[i, TARGET_SPEED], speeds)"),
    "reward of the lane it is on": ("links[target, NUMBER]", "links[lane, NUMBER]"),
    "nothing is seen behind": ("ahead > -2 * LENGTH", "ahead > 0"),
    "the farthest are seen": ("nearest[q - 1])) > abs(ahead)", "nearest[q - 1])) < abs(ahead)"),
}  # fmt: skip


def python_kernels(old="", new=""):
    """The engine's rules as they stand, run by Python, with a text replaced."""
    source = resources.files("palaestra.envs.traffic").joinpath("_kernels.py").read_text(encoding="utf-8")
    assert not old or source.count(old) == 1, f"{source.count(old)} times in the source: {old}"
    source = source.replace("from numba import njit", "njit = lambda **_: lambda function: function")
    module = types.ModuleType("mutant")
    exec(compile(source.replace(old, new) if old else source, "mutant", "exec"), module.__dict__)
    return module


def test_without_a_bug_the_rules_as_python_agree_too(cases):
    assert worst(cases[:40], python_kernels())[0] <= TOLERANCE


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_is_found(cases, bug):
    assert worst(cases, python_kernels(*BUGS[bug]), stop=TOLERANCE)[0] > 1e-6
