"""What a sandbox costs: starting, forking and running `true`, medians of interleaved rounds.

Run: python benchmarks/bench_sandboxes.py [ROUNDS]
"""

import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from palaestra.envs.swe.sandboxes.bubblewrap import Bubblewrap


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    times = {}

    def timed(name, call):
        began = time.perf_counter()
        found = call()
        times.setdefault(name, []).append((time.perf_counter() - began) * 1000)
        return found

    with Bubblewrap() as backend, tempfile.TemporaryDirectory() as folder:
        for number in range(2000):
            Path(folder, str(number)).write_bytes(b"x" * 1000)
        tree = backend.prepare(folder)
        with backend.start(tree) as sandbox:
            for number in range(10):
                sandbox.write_file(str(number), b"changed")
            bare_bwrap = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
            for _ in range(rounds):
                timed("bare: true", lambda: subprocess.run(["true"], check=True))
                timed("bare: bwrap true", lambda: subprocess.run(bare_bwrap, check=True))
                fresh = timed("start", lambda: backend.start(tree))
                timed("exec true", lambda fresh=fresh: fresh.exec(["true"]))
                timed("close", fresh.close)
                fork = timed("fork, 10 changes", sandbox.fork)
                fork.close()
                timed("fork + exec true + close", lambda: _fork_and_run(sandbox))
        for name, values in times.items():
            print(f"{name:28} median {statistics.median(values):7.1f} ms   least {min(values):7.1f} ms")
        sandboxes = [backend.start(tree) for _ in range(16)]
        began = time.perf_counter()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda one: [one.exec(["sleep", "1"]) for _ in range(3)], sandboxes))
        share = 3.0 / (time.perf_counter() - began)
        print(f"16 at once, sleeping 3 x 1 s: {share:.0%} of the ideal throughput")


def _fork_and_run(sandbox):
    with sandbox.fork() as fork:
        fork.exec(["true"])


if __name__ == "__main__":
    main()
