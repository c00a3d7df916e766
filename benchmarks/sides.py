"""Two programs that take turns: each in a process of its own, one step at a time, told over a pipe."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["TRL_OPTIONS", "Server", "compare", "take_turns"]

TRL_OPTIONS: Mapping[str, Any] = {
    "temperature": 1.0,
    "loss_type": "grpo",
    "beta": 0.0,
    "lr_scheduler_type": "constant",
    "gradient_checkpointing": False,
    "shuffle_dataset": False,
    "logging_strategy": "no",
    "save_strategy": "no",
    "report_to": [],
    "use_cpu": True,
    "bf16": False,
    "disable_tqdm": True,
}
"""Of GRPOTrainer, in every comparison: GRPO without KL, nothing recomputed, nothing written."""


class Server:
    """Does a step whenever it is told to, on the other side of a pipe."""

    def __init__(self) -> None:
        self.steps = 0
        self.pipe = os.fdopen(os.dup(1), "w")  # whatever else is printed goes to stderr
        os.dup2(2, 1)

    def wait(self) -> None:
        """Until the next step is asked for."""
        if not sys.stdin.readline():
            os._exit(0)
        self.start = time.perf_counter()

    def report(self, **more: Any) -> None:
        """That the step is done: its seconds, the peak of the resident set in GiB, and what else there is to say.

        The peak counts from the end of the first step on, which allocates Adam's moments.
        """
        line = {"seconds": time.perf_counter() - self.start, "peak_gib": _peak(), **more}
        if self.steps == 0:
            Path("/proc/self/clear_refs").write_text("5")
        self.steps += 1
        print(json.dumps(line), file=self.pipe, flush=True)


def _peak() -> float:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 2**20


def take_turns(script: str, sides: Mapping[str, Callable[[Server], None]], rounds: int) -> dict[str, list[Any]]:
    """Lets the sides make a step each, in turn, and returns their reports by side, without those of the first round.

    Args:
        script: The file that serves a side when called with `--serve SIDE`.
        sides: By name.
        rounds: How many, after one for warming up.
    """
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore", "TRL_EXPERIMENTAL_SILENCE": "1"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    children = {
        side: subprocess.Popen([sys.executable, script, "--serve", side], text=True, env=environment, **pipes)
        for side in sides
    }
    lines: dict[str, list[Any]] = {side: [] for side in sides}
    try:
        for round_ in range(rounds + 1):
            for side, child in children.items():
                child.stdin.write("\n")
                child.stdin.flush()
                line = json.loads(child.stdout.readline())
                print(round_, side, {name: round(value, 3) for name, value in line.items()}, flush=True)
                if round_:
                    lines[side].append(line)
    finally:
        for child in children.values():
            child.kill()
            child.wait()
    return lines


def compare(lines: Mapping[str, list[Any]], rounds: int) -> dict[str, Any]:
    """Ratios of medians, ours to TRL's, with what they were measured on."""
    seconds = {side: statistics.median(line["seconds"] for line in found) for side, found in lines.items()}
    peaks = {side: max(line["peak_gib"] for line in found) for side, found in lines.items()}
    return {
        "ratio_of_speeds": seconds["trl"] / seconds["palaestra"],
        "seconds_per_step": seconds,
        "palaestra_rollout_seconds": statistics.median(line["rollout"] for line in lines["palaestra"]),
        "peak_gib": peaks,
        "ratio_of_peaks": peaks["palaestra"] / peaks["trl"],
        "rounds": rounds,
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {name: metadata.version(name) for name in ("torch", "transformers", "trl", "palaestra")},
    }
