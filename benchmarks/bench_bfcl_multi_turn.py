"""Verdicts per second on BFCL's multi-turn categories: palaestra against the official checker, on the same outputs.

    python benchmarks/bench_bfcl_multi_turn.py [--rounds 7] [--out benchmarks/results/bfcl_multi_turn.json]

Four outputs of every case: the reference calls, the same without the last call, with every call made twice, and with a
call that does not exist. Both sides get decoded calls, one output after the other, in one process on one core; the
rounds alternate, and a ratio is one of medians over rounds.

The official checker runs the reference calls anew for every verdict. palaestra runs them once per case and keeps what
they give, so there are two figures. "first": everything kept is dropped before each round, parsed calls too, and only
the reference output is judged, so that nothing is used twice but by the two runs of the same verdict. "later": what is
kept from earlier rounds is there, as in training or where several models are scored.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from palaestra.envs.tools.bfcl.data import read_rows
from palaestra.envs.tools.bfcl.multi_turn import CATEGORIES, check, checker, execution, multi_turn_cases

Turns = list[list[list[str]]]


def outputs(gold: list[list[str]]) -> list[Turns]:
    last = max(turn for turn, calls in enumerate(gold) if calls)
    return [
        [[calls] if calls else [] for calls in gold],
        [[calls[:-1] if turn == last else calls] if calls else [] for turn, calls in enumerate(gold)],
        [[[call for call in calls for _ in (0, 1)]] if calls else [] for calls in gold],
        [[["frobnicate(x=1)", *calls]] if calls else [] for calls in gold],
    ]


def forget() -> None:
    checker.reference.cache_clear()
    execution._parsed.cache_clear()


def judged(verdict: Callable[..., bool], job: list[Any]) -> tuple[float, list[bool]]:
    """(seconds, verdicts)."""
    start = time.perf_counter()
    verdicts = [verdict(*output) for output in job]
    return time.perf_counter() - start, verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    package = "bfcl_eval.eval_checker.multi_turn_eval"
    official = importlib.import_module(f"{package}.multi_turn_checker").multi_turn_checker
    worlds = vars(importlib.import_module(f"{package}.multi_turn_utils"))  # where it keeps each model's applications
    models = itertools.count()
    figures: dict[str, Any] = {}
    totals: dict[str, dict[str, list[float]]] = {kind: {"palaestra": [], "official": []} for kind in ("first", "later")}

    for category in CATEGORIES:
        cases = multi_turn_cases(category)
        answers = {row["id"]: row["ground_truth"] for row in read_rows(f"possible_answer/BFCL_v4_{category}.json")}
        work = [(row, answers[row["id"]], outputs(answers[row["id"]])) for row in read_rows(f"BFCL_v4_{category}.json")]
        jobs = {
            "first": [(row, gold, turns) for row, gold, (turns, *_) in work],
            "later": [(row, gold, turns) for row, gold, several in work for turns in several],
        }
        figures[category] = {}
        for kind, job in jobs.items():
            times: dict[str, list[float]] = {"palaestra": [], "official": []}
            for round_ in range(options.rounds + 1):
                if kind == "first":
                    forget()
                spent, verdicts = judged(
                    lambda row, gold, turns, cases=cases: check(cases[row["id"]], turns).valid, job
                )
                theirs, same = judged(
                    lambda row, gold, turns, name=category: official(turns, gold, row, name, f"m{next(models)}")[
                        "valid"
                    ],
                    job,
                )
                assert verdicts == same
                if round_:  # the first round warms up
                    times["palaestra"].append(spent)
                    times["official"].append(theirs)
                for name in [name for name in worlds if name.endswith("_instance")]:
                    del worlds[name]
            for name, spent in times.items():
                totals[kind][name].append(statistics.median(spent))
            rate = {name: len(job) / statistics.median(spent) for name, spent in times.items()}
            ratio = rate["palaestra"] / rate["official"]
            figures[category][kind] = {**{name: round(value) for name, value in rate.items()}, "ratio": round(ratio, 2)}
            print(
                f"{category:24} {kind:5}: palaestra {rate['palaestra']:7,.0f} verdicts/s, "
                f"official {rate['official']:6,.0f} verdicts/s, ratio {ratio:.2f}"
            )
    for kind, sides in totals.items():
        ratio = sum(sides["official"]) / sum(sides["palaestra"])
        figures[f"all, {kind}"] = {"ratio": round(ratio, 2)}
        print(f"{'all four categories':24} {kind:5}: ratio {ratio:.2f} (asked: 2 or more)")
    result = {
        "workload": f"200 cases a category, first: 1 output, later: 4 outputs; medians of {options.rounds} rounds",
        "figures": figures,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {"bfcl-eval": metadata.version("bfcl-eval")},
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
