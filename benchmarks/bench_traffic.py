"""Vehicle updates per second of the traffic engine on one core against highway-env, on straight roads of four lanes.

    python benchmarks/bench_traffic.py [--rounds 7] [--out benchmarks/results/traffic.json]

An update is one vehicle moved by one frame (1/15 s). The engine moves 64 spawned scenes whose agents take random
meta-actions for 20 decisions; highway-env one scene for a few decisions, its agent idle, which is cheaper, with its
observation and reward. Rounds alternate, times are of the process (the engine uses one
thread), and a ratio is one of medians over rounds. Two threads are timed by the clock: the figure needs two idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import gymnasium as gym
import highway_env  # noqa: F401  (registers its environments)
import numpy as np

from palaestra.envs.traffic import Engine, straight_road

FRAMES = 15


def peer(vehicles: int) -> Any:
    env = gym.make("highway-v0", config={"vehicles_count": vehicles - 1}).unwrapped
    env.reset(seed=0)
    return env


def ours(scenes: int, vehicles: int, dtype: type[np.floating[Any]]) -> Engine:
    length = max(10_000.0, 30.0 * vehicles)
    return Engine(scenes, vehicles, road=straight_road(4, length=length), dtype=dtype)


def respawn(engine: Engine, rng: np.random.Generator) -> None:
    scenes, vehicles = engine.scenes.x.shape
    for scene in range(scenes):
        engine.spawn(rng.random((vehicles, 4)), scene=scene)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def versus(vehicles: int, rounds: int) -> dict[str, Any]:
    """Medians of interleaved rounds, in updates per second of a core."""
    scenes, decisions = 64, 20
    engines = {"float64": ours(scenes, vehicles, np.float64), "float32": ours(scenes, vehicles, np.float32)}
    env = peer(vehicles)
    rates: dict[str, list[float]] = {"highway-env": [], **{name: [] for name in engines}}
    for round_ in range(rounds + 1):
        for name, engine in engines.items():
            rng = np.random.default_rng(round_)
            respawn(engine, rng)
            actions = rng.integers(0, 5, (decisions, scenes, 1))
            spent = seconds(lambda engine=engine, actions=actions: [engine.step(action) for action in actions])
            rates[name].append(scenes * vehicles * FRAMES * decisions / spent)
        env.reset(seed=round_)
        few = max(1, 100 // vehicles)
        spent = seconds(lambda few=few: [env.step(1) for _ in range(few)])
        rates["highway-env"].append(vehicles * FRAMES * few / spent)
    found = {name: statistics.median(values[1:]) for name, values in rates.items()}  # the first round warms up
    ratios = {name: round(found[name] / found["highway-env"]) for name in engines}
    print(f"{vehicles:6} vehicles:", {name: f"{rate:,.0f}/s" for name, rate in found.items()}, "ratios", ratios)
    return {"updates_per_second": {name: round(rate) for name, rate in found.items()}, "ratio": ratios}


def growth(rounds: int) -> dict[str, int]:
    """Nanoseconds an update costs by the number of vehicles of a scene."""
    found = {}
    for vehicles in (10, 100, 1_000, 10_000):
        engine = ours(max(1, 1_000 // vehicles), vehicles, np.float64)
        decisions = 2 if vehicles > 1_000 else 10
        spent = []
        for round_ in range(min(rounds, 3)):
            rng = np.random.default_rng(round_)
            respawn(engine, rng)
            actions = rng.integers(0, 5, (decisions, *engine.scenes.agents.shape))
            spent.append(seconds(lambda engine=engine, actions=actions: [engine.step(action) for action in actions]))
        updates = engine.scenes.x.size * FRAMES * decisions
        found[str(vehicles)] = round(1e9 * statistics.median(spent) / updates)
        print(f"{vehicles:6} vehicles in a scene: {found[str(vehicles)]} ns per update")
    return found


def threads(rounds: int) -> float:
    """How much faster two threads are than one, by the clock."""
    times: dict[int, list[float]] = {1: [], 2: []}
    engines = {number: Engine(256, 50, threads=number) for number in times}
    for round_ in range(rounds):
        for number, engine in engines.items():
            rng = np.random.default_rng(round_)
            respawn(engine, rng)
            actions = rng.integers(0, 5, (10, 256, 1))
            start = time.perf_counter()
            for action in actions:
                engine.step(action)
            times[number].append(time.perf_counter() - start)
    ratio = statistics.median(times[1]) / statistics.median(times[2])
    print(f"two threads: {ratio:.2f} times one (asked: 1.7 or more, on two idle cores)")
    return round(ratio, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = {
        "workload": "four lanes, random meta-actions, 64 scenes of 20 decisions of 15 frames; process time",
        "figures": {f"{vehicles} vehicles": versus(vehicles, options.rounds) for vehicles in (10, 50)},
        "nanoseconds_per_update": growth(options.rounds),
        "two_threads_to_one": threads(options.rounds),
        "load_average": round(os.getloadavg()[0], 1),
        "machine": {"cores": os.cpu_count(), "cpu": platform.processor(), "python": platform.python_version()},
        "versions": {name: metadata.version(name) for name in ("highway-env", "numba", "numpy")},
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
