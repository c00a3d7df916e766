"""Training runs as processes of their own, some at once; finished ones are not repeated."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palaestra.errors import ConfigError, PalaestraError
from palaestra.harness.manifest import differences
from palaestra.harness.training.interrupts import Interrupts
from palaestra.harness.training.listener import Listener
from palaestra.harness.training.recipe import Recipe, completed, without

__all__ = ["Job", "JobFailed", "Stopped", "command_of", "is_finished", "run_jobs"]

_QUIET = 60.0  # seconds between two lines about what is running


class JobFailed(PalaestraError):
    """A training run ended by an error."""


class Stopped(PalaestraError):
    """Somebody interrupted."""


@dataclass(frozen=True, slots=True)
class Job:
    """A training run to be done.

    Attributes:
        name: Of its recipe file and its log.
        folder: Where it is recorded.
        recipe: What is asked for, seed and all.
    """

    name: str
    folder: Path
    recipe: Recipe


def is_finished(job: Job) -> bool:
    """Whether a job's run is there, as asked for, and came to its end.

    Raises:
        ConfigError: The folder holds a run that was asked differently.
    """
    manifest = _manifest(job)
    if manifest is None:
        return False
    found = list(differences(_asked(completed(manifest["recipe"])), _asked(job.recipe.to_json())))
    if found:
        raise ConfigError(
            f"{job.folder} holds a run that was asked differently: {'; '.join(found)}. Choose another folder with "
            "--out, or ask as before."
        )
    return manifest.get("status") == "finished" and manifest.get("step") == job.recipe.train.steps


def command_of(job: Job, recipe_file: Path) -> list[str]:
    """The arguments of `palaestra` that do a job, or go on with it where it has begun."""
    begun = any((job.folder / "checkpoints").glob("step-*"))
    return ["train", str(recipe_file), "--out", str(job.folder), *(["--resume"] if begun else [])]


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    *,
    at_once: int = 2,
    tell: Callable[[str], None] = lambda text: None,
    program: Sequence[str] = (sys.executable, "-m", "palaestra.harness.cli"),
) -> list[str]:
    """Does the jobs that are not finished.

    Each runs in a process with one thread for its arithmetic, which for small models beats one process with many. Its
    recipe is written to `folder/recipes`, what it says to `folder/logs`.

    Args:
        jobs: In the order in which they begin.
        folder: For recipes and logs.
        at_once: How many run at the same time.
        tell: Is told when something begins or ends.
        program: What `palaestra` is.

    Returns:
        The commands of all jobs, finished ones included, as one would type them to do them from the start.

    Raises:
        JobFailed: One of them ended by an error; those that ran beside it have ended with a checkpoint.
        Stopped: Somebody interrupted; the same.
        ConfigError: A folder holds another run.
    """
    todo = [job for job in jobs if not is_finished(job)]
    if len(todo) < len(jobs):
        tell(f"{len(jobs) - len(todo)} of {len(jobs)} runs are already there.")
    places = {job.name: folder / "recipes" / f"{job.name}.toml" for job in jobs}
    for job in todo:
        places[job.name].parent.mkdir(parents=True, exist_ok=True)
        places[job.name].write_text(job.recipe.to_toml(), encoding="utf-8")
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    running: dict[subprocess.Popen[bytes], tuple[Job, float]] = {}
    done, told = len(jobs) - len(todo), time.monotonic()
    with Interrupts(_Telling(tell)) as interrupts:
        try:
            while todo or running:
                while todo and len(running) < at_once and not interrupts.asked:
                    job = todo.pop(0)
                    tell(f"{job.name}: begins ({job.folder})")
                    running[_start(job, [*program, *command_of(job, places[job.name])], folder)] = (
                        job,
                        time.monotonic(),
                    )
                if interrupts.asked:
                    raise Stopped("Interrupted. The same command goes on.")
                time.sleep(0.1)
                for process, (job, begin) in list(running.items()):
                    if process.poll() is None:
                        continue
                    del running[process]
                    if not is_finished(job):
                        raise JobFailed(_failure(job, process.returncode, folder))
                    done += 1
                    tell(f"{job.name}: finished in {time.monotonic() - begin:.0f} s ({done} of {len(jobs)})")
                if time.monotonic() - told > _QUIET:
                    told = time.monotonic()
                    for job, _ in running.values():
                        tell(f"{job.name}: {_progress(job)}")
        finally:
            _end(list(running))
    return [
        shlex.join(["palaestra", "train", str(places[job.name]), "--out", str(job.folder)]) for job in jobs
    ]  # fmt: skip


class _Telling(Listener):
    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def note(self, text: str) -> None:
        self._tell("Ending the runs, each with a checkpoint. Interrupt again to end at once.")


def _start(job: Job, arguments: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    with (folder / "logs" / f"{job.name}.log").open("ab") as log:
        # In a session of its own: a Ctrl-C is passed on once, and not twice.
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **one, "TOKENIZERS_PARALLELISM": "false"},
            start_new_session=True,
        )


def _end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """Lets the runs end after their step; a second interrupt ends them at once."""
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
    try:
        for process in running:
            process.wait()
    except KeyboardInterrupt:
        for process in running:
            process.kill()
        raise


def _failure(job: Job, code: int, folder: Path) -> str:
    log = folder / "logs" / f"{job.name}.log"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = "\n".join(f"  {line}" for line in lines[-6:]) or "  (it said nothing)"
    return f"The run {job.name} did not finish (exit code {code}). Its log, {log}, ends:\n{said}"


def _progress(job: Job) -> str:
    try:
        with (job.folder / "metrics.jsonl").open(encoding="utf-8") as file:
            rows = sum(1 for _ in file)
    except OSError:
        rows = 0
    return f"step {rows - 1} of {job.recipe.train.steps}" if rows else "getting ready"


def _manifest(job: Job) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((job.folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if "recipe" in found else None


def _asked(recipe: dict[str, Any]) -> dict[str, Any]:
    """All that the numbers of a run depend on."""
    return without(recipe, "name", "description", "train.keep", "train.checkpoint_every")
