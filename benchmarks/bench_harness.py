"""What the harness costs: a scripted agent through it against the bare loop, and the array runner against its own.

    python benchmarks/bench_harness.py [--rounds 7] [--episodes 3000] [--out benchmarks/results/harness.json]

1. Scripted agents on FactbookSearch, with records and all, against a loop of `reset` and `step` over the same tasks
   with the same seeds and policy: with one slot, in this process; and as `palaestra run` does it, in one process a
   core. Making the environment is in neither.
2. The array runner against a loop that acts and steps and keeps nothing, on an environment of numpy alone, 16 slots.

Rounds of the two alternate; a ratio is one of medians over rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

import palaestra
from palaestra.agents.shipped import ShippedPolicy
from palaestra.harness.array_runner import ArrayRunner
from palaestra.harness.forks import ForkedRunner
from palaestra.harness.manifest import cores, machine
from palaestra.harness.run_folder import RunWriter
from palaestra.harness.runner import Finished, Runner
from palaestra.harness.schedule import Request, choose_tasks, make_requests, seed_of
from palaestra.harness.worlds import world_of

ENV = "palaestra/FactbookSearch-v0"


def bare(env: Any, policy: str, requests: list[Request]) -> float:
    """Seconds of a loop that does what a user would write."""
    start = time.perf_counter()
    for request in requests:
        observation, _ = env.reset(seed=request.seed, options={"task_id": request.task_id})
        act = env.unwrapped.policy(policy, np.random.default_rng(seed_of(0, request.world_id, "policy")))
        over = False
        while not over:
            observation, _, terminated, truncated, _ = env.step(act(observation))
            over = terminated or truncated
    return time.perf_counter() - start


def harness(env: Any, policy: str, requests: list[Request], folder: Path, workers: int) -> float:
    """Seconds of the same episodes through runner and records."""
    start = time.perf_counter()
    writer = RunWriter(folder)

    def make(todo: list[Request], slots: int, tell: Any) -> Runner:
        def record(episodes: Any, timing: Any) -> None:
            writer.append(episodes, timing)
            if tell is not None:
                tell([Finished.of(episode) for episode in episodes])

        agent, kwargs = ShippedPolicy(policy), {"split": "all"}
        return Runner(
            lambda: world_of(_Open(env)), agent, todo, record, slots=slots, env_id=ENV, env_kwargs=kwargs, run_seed=0
        )

    if workers == 1:
        make(requests, 1, None).run()
    else:
        ForkedRunner(
            make,
            requests,
            workers=workers,
            slots=workers,
            on_world=lambda worlds: None,
            recorded=tuple,
            lost=lambda *_: [],
            flush=writer.flush,
        ).run()
    writer.close()
    seconds = time.perf_counter() - start
    shutil.rmtree(folder)
    return seconds


class _Open(gym.Wrapper):  # type: ignore[type-arg]
    """Keeps the environment open for the next round."""

    def close(self) -> None:
        pass


class Line(VectorEnv):  # type: ignore[type-arg]
    """A vector environment that does next to nothing; an episode ends every 200 steps, slot after slot."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, slots: int) -> None:
        self.num_envs = slots
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (8,), np.float32)
        self.single_action_space = gym.spaces.Discrete(2)
        self._seen = np.zeros((slots, 8), np.float32)
        self._paid, self._never, self._steps = np.zeros(slots), np.zeros(slots, bool), 0

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return self._seen, {}

    def step(self, actions: Any) -> tuple[Any, ...]:
        self._steps += 1
        self._seen = self._seen + 1
        if self._steps % 200:
            return self._seen, self._paid, self._never, self._never, {}
        ended = np.zeros(self.num_envs, bool)
        ended[self._steps // 200 % self.num_envs] = True
        final = np.full(self.num_envs, None, object)
        final[ended.argmax()] = self._seen[ended.argmax()]
        return self._seen, self._paid, ended, self._never, {"final_obs": final, "_final_obs": ended, "final_info": {}}


class Still:
    """An array policy that costs next to nothing."""

    name = "still"

    def __init__(self, slots: int) -> None:
        self._actions = np.zeros(slots, np.int64)

    def initial_state(self, num_slots: int, rng: np.random.Generator) -> Any:
        return None

    def act(self, observations: Any, state: Any, reset_mask: Any) -> tuple[Any, Any, dict[str, Any]]:
        return self._actions, state, {}


def bare_arrays(slots: int, steps: int) -> float:
    """Microseconds a vector step of a loop that keeps nothing."""
    envs, policy, state, mask = Line(slots), Still(slots), None, np.zeros(slots, bool)
    observation, _ = envs.reset(seed=0)
    start = time.perf_counter()
    for _ in range(steps):
        actions, state, _ = policy.act(observation, state, mask)
        observation, *_ = envs.step(actions)
    return (time.perf_counter() - start) / steps * 1e6


def runner_arrays(slots: int, steps: int) -> float:
    """Microseconds a vector step through the array runner, in rollouts of 256 steps."""
    runner = ArrayRunner(Line(slots), Still(slots), steps=256)
    start = time.perf_counter()
    for _ in range(steps // 256):
        runner.collect()
    return (time.perf_counter() - start) / (steps // 256 * 256) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--episodes", type=int, default=3000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()

    env = palaestra.make(ENV, split="all")
    tasks = choose_tasks(env.unwrapped.tasks, 0, asked.episodes)
    requests = make_requests(ENV, tasks, 0, 1, 1)
    text: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for policy in ("oracle", "prior", "null"):
            found = text[policy] = {"bare": [], "one_slot": [], "all_cores": []}
            bare(env, policy, requests[:50])  # warm
            for number in range(asked.rounds):
                found["bare"].append(bare(env, policy, requests))
                found["one_slot"].append(harness(env, policy, requests, Path(folder) / f"{policy}-{number}", 1))
                found["all_cores"].append(harness(env, policy, requests, Path(folder) / f"{policy}+{number}", cores()))
    env.close()
    slots, steps = 16, 20_480
    arrays: dict[str, list[float]] = {"bare": [], "runner": []}
    for _ in range(asked.rounds):
        arrays["bare"].append(bare_arrays(slots, steps))
        arrays["runner"].append(runner_arrays(slots, steps))

    medians = {p: {name: statistics.median(rounds) for name, rounds in found.items()} for p, found in text.items()}
    loop, through = (statistics.median(arrays[name]) for name in ("bare", "runner"))
    result = {
        "machine": machine(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in ("palaestra", "gymnasium", "numpy")},
        "load": os.getloadavg()[0],
        "text": {
            policy: {
                "episodes": len(requests),
                **{f"{name}_ms_per_episode": round(median / len(requests) * 1e3, 4) for name, median in found.items()},
                "ratio_one_slot": round(found["one_slot"] / found["bare"], 3),
                "ratio_all_cores": round(found["all_cores"] / found["bare"], 3),
            }
            for policy, found in medians.items()
        },
        "arrays": {
            "slots": slots,
            "bare_us_per_vector_step": round(loop, 2),
            "runner_us_per_vector_step": round(through, 2),
            "overhead_us_per_vector_step": round(through - loop, 2),
            "overhead_us_per_slot_step": round((through - loop) / slots, 3),
        },
    }
    print(json.dumps(result, indent=2))
    if asked.out is not None:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
