"""Single-turn BFCL verdicts per second: palaestra's checker and the official one, on the same outputs.

    python benchmarks/bench_bfcl.py [--rounds 15] [--out benchmarks/results/bfcl.json]

The outputs are, for every case with accepted answers, the gold calls and five departures from them (a call or an
argument dropped or added, another value, another name). Measured are verdicts on decoded calls, which is what the
official checker takes, and verdicts on texts, decoding included. The rounds of the two alternate; a ratio is one of
medians over rounds. The official modules are the installed package's, loaded as the parity test loads them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from palaestra.envs.tools.bfcl.cases import SINGLE_TURN, Case, load_cases
from palaestra.envs.tools.bfcl.gold import gold_calls
from palaestra.envs.tools.bfcl.judge import CaseJudge
from palaestra.envs.tools.bfcl.rendering import render_calls


def load_official() -> Any:
    """The official runner with stubs around it, from the parity test's script."""
    path = Path(__file__).parents[1] / "tests" / "tools" / "official_bfcl.py"
    spec = importlib.util.spec_from_file_location("official_bfcl", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["official_bfcl"] = module
    spec.loader.exec_module(module)
    return module.Official()


def texts_of(case: Case) -> list[str]:
    gold = [dict(call) for call in gold_calls(case)]
    first = gold[0]
    name = next(iter(first["arguments"]), None)
    less = {key: value for key, value in first["arguments"].items() if key != name}
    wrong = "wrong" if case.language == "python" else '"wrong"'
    variants = [
        gold,
        [{**first, "arguments": less}, *gold[1:]],
        [{**first, "arguments": {**first["arguments"], "extra": wrong}}, *gold[1:]],
        [{**first, "arguments": {**less, name or "extra": wrong}}, *gold[1:]],
        [{**first, "name": first["name"] + "x"}, *gold[1:]],
        [*gold, first],
    ]
    return [render_calls(calls, case.return_format, tagged=case.format.tagged) for calls in variants]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(ours: Callable[[], int], theirs: Callable[[], int], count: int, rounds: int) -> dict[str, float]:
    assert ours() == theirs()  # as many right ones; also the warm-up
    times: dict[str, list[float]] = {"palaestra": [], "official": []}
    for _ in range(rounds):
        times["palaestra"].append(seconds(ours))
        times["official"].append(seconds(theirs))
    rate = {name: count / statistics.median(spent) for name, spent in times.items()}
    return {
        **{name: round(value) for name, value in rate.items()},
        "ratio": round(rate["palaestra"] / rate["official"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    official = load_official()
    check, well_formed = official.runner.ast_checker, official.access.is_function_calling_format_output
    figures = {}
    groups = {
        "python": [name for name in SINGLE_TURN if "java" not in name and "format" not in name],
        "java, javascript": ["simple_java", "simple_javascript"],
    }
    for group, categories in groups.items():
        decoded_jobs, text_jobs = [], []
        for category in categories:
            for case in load_cases(category) if "relevance" not in category else ():
                judge, (entry, answers) = CaseJudge(case), official.entries(category)[case.id]
                language, returned, tagged = official.setting(category, case.id)
                for text in texts_of(case):
                    given = (entry["function"], answers, language, returned, tagged, category)
                    text_jobs.append((judge, text, given))
                    calls = judge.decode(text)
                    if isinstance(calls, list):
                        decoded_jobs.append((judge, calls, given))

        def ours_decoded(jobs: Any = decoded_jobs) -> int:
            return sum(judge.judge(calls) for judge, calls, _ in jobs)

        def official_decoded(jobs: Any = decoded_jobs) -> int:
            return sum(
                check(functions, calls, answers, language, category, "any")["valid"]
                for _, calls, (functions, answers, language, _, _, category) in jobs
            )

        def ours_text(jobs: Any = text_jobs) -> int:
            return sum(judge.judge_text(text) for judge, text, _ in jobs)

        def official_text(jobs: Any = text_jobs) -> int:
            right = 0
            for _, text, (functions, answers, language, returned, tagged, category) in jobs:
                try:
                    calls = official.decode_ast(text, returned, tagged)
                except Exception:
                    continue
                if not well_formed(calls):
                    continue
                right += check(functions, calls, answers, language, category, "any")["valid"]
            return right

        for what, ours, theirs, count in (
            ("decoded calls", ours_decoded, official_decoded, len(decoded_jobs)),
            ("texts", ours_text, official_text, len(text_jobs)),
        ):
            found = figures[f"{group}, {what}"] = compare(ours, theirs, count, options.rounds)
            print(
                f"{group:16} {what:14} {count:6} outputs: palaestra {found['palaestra']:9,.0f}/s, "
                f"official {found['official']:9,.0f}/s, ratio {found['ratio']:.2f} (asked: 1.00 or more)"
            )
    result = {
        "workload": f"gold calls and five departures from each, medians of {options.rounds} rounds",
        "figures": figures,
        "machine": {"cores": os.cpu_count(), "cpu": cpu_name(), "python": platform.python_version()},
        "versions": {name: metadata.version(name) for name in ("bfcl-eval", "tree-sitter")},
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def cpu_name() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1] if found else platform.processor()


if __name__ == "__main__":
    main()
