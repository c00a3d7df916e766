"""Seconds to measure information gain over an episode: one packed pass against reading it turn by turn.

    python benchmarks/bench_information_gain.py [--rounds 5] [--threads 1] [--out FILE]

An episode is a prompt of 300 tokens and 6 turns of 250 tokens of the World Factbook; before each turn, the belief in
an answer of 8 tokens is asked for. SmolLM2 in float32. Three ways alternate on the same episode; ratios are of medians
over rounds:

- packed: what `InformationGain` asks of `TransformersScorer`;
- re-prefill: every turn's context read from its start, with the answer behind it;
- KV cache: every token of the episode read once, and the answer run behind the cache at each turn, which is then cut
  back (transformers' own `DynamicCache` and attention `sdpa`).

Beside the wall times stand the processor's, which other work on the machine hardly touches.

All three meet the vocabulary only where a token of the answer is predicted, and their beliefs are compared.
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

import numpy as np
import torch
from bench_batching import cpu_name, factbook_tokens

from palaestra.agents.models.loading import load_language_model
from palaestra.agents.models.packed import ATTENTION
from palaestra.agents.models.scorer import TransformersScorer
from palaestra.models import Branch, ScoreRequest

PROMPT, TURNS, TURN, ANSWER = 300, 6, 250, 8


def belief(model: Any, states: torch.Tensor, answer: torch.Tensor) -> float:
    """Mean log-probability of the answer after these states (n, D)."""
    logits = model.get_output_embeddings()(states)
    return float(torch.log_softmax(logits, -1).gather(-1, answer[:, None]).mean())


def read_again(model: Any, episode: torch.Tensor, answer: torch.Tensor) -> list[float]:
    """Every context from its start."""
    found = []
    for turn in range(TURNS):
        ids = torch.cat([episode[: PROMPT + turn * TURN], answer[:-1]])
        states = model.get_decoder()(input_ids=ids[None], use_cache=False).last_hidden_state[0]
        found.append(belief(model, states[-ANSWER:], answer))
    return found


def read_on(model: Any, episode: torch.Tensor, answer: torch.Tensor) -> list[float]:
    """Every token once; the answer behind the cache, which is cut back afterwards."""
    from transformers import DynamicCache

    decoder, cache, found, read = model.get_decoder(), DynamicCache(config=model.config), [], 0
    for turn in range(TURNS):
        until = PROMPT + turn * TURN
        last = decoder(input_ids=episode[None, read:until], past_key_values=cache).last_hidden_state[0, -1:]
        read = until
        behind = decoder(input_ids=answer[None, :-1], past_key_values=cache).last_hidden_state[0]
        cache.crop(-(ANSWER - 1))
        found.append(belief(model, torch.cat([last, behind]), answer))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0]  # of others, before this begins
    loaded = load_language_model("smollm2", device="cpu", dtype="float32")
    model, scorer = loaded.model, TransformersScorer(loaded.model)
    length = PROMPT + TURNS * TURN
    text = factbook_tokens(loaded.tokenizer, (options.rounds + 1) * (length + ANSWER)).reshape(-1, length + ANSWER)

    def packed(episode: torch.Tensor, answer: torch.Tensor) -> list[float]:
        said = answer.numpy().astype(np.int32)
        branches = tuple(Branch(PROMPT + turn * TURN, said) for turn in range(TURNS))
        (scores,) = scorer.logprobs([ScoreRequest(episode.numpy().astype(np.int32), branches)])
        return [float(score.mean()) for score in scores]

    def plainly(way: Callable[..., list[float]]) -> Callable[..., list[float]]:
        def run(episode: torch.Tensor, answer: torch.Tensor) -> list[float]:
            with torch.no_grad():
                return way(model, episode, answer)

        return run

    ways: dict[str, tuple[str, Callable[..., list[float]]]] = {
        "packed": (ATTENTION, packed),
        "re-prefill": ("sdpa", plainly(read_again)),
        "KV cache": ("sdpa", plainly(read_on)),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    gap = 0.0
    for round_ in range(options.rounds + 1):
        row = torch.as_tensor(text[round_], dtype=torch.long)
        beliefs = {}
        for name, (attention, way) in ways.items():
            model.set_attn_implementation(attention)
            start, used = time.perf_counter(), time.process_time()
            beliefs[name] = way(row[:length], row[length:])
            if round_:  # the first round warms up
                spent[name].append(time.perf_counter() - start)
                processor[name].append(time.process_time() - used)
        for name in ways:
            gap = max(gap, float(np.abs(np.subtract(beliefs[name], beliefs["packed"])).max()))
    medians, used_by = ({name: statistics.median(times) for name, times in kind.items()} for kind in (spent, processor))
    for name, median in medians.items():
        print(
            f"{name:>12}: {median:.3f} s an episode, {median / medians['packed']:.2f} times packed; "
            f"processor {used_by[name]:.3f} s, {used_by[name] / used_by['packed']:.2f} times packed"
        )
    print(f"largest difference between log-beliefs: {gap:.2g}")
    result = {
        "workload": f"{PROMPT}-token prompt, {TURNS} turns of {TURN} tokens, {ANSWER} answer tokens, SmolLM2-135M in "
        f"float32, medians of {options.rounds} interleaved rounds",
        "figures": {
            name: {
                "seconds": round(median, 4),
                "ratio_to_packed": round(median / medians["packed"], 3),
                "processor_seconds": round(used_by[name], 4),
                "processor_ratio_to_packed": round(used_by[name] / used_by["packed"], 3),
            }
            for name, median in medians.items()
        },
        "largest_difference": gap,
        "machine": {
            "cores": os.cpu_count(),
            "threads": options.threads,
            "load_average": round(load, 2),
            "cpu": cpu_name(),
            "python": platform.python_version(),
        },
        "versions": {name: metadata.version(name) for name in ("torch", "transformers")},
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    again, on = (medians[name] / medians["packed"] for name in ("re-prefill", "KV cache"))
    if gap > 1e-3 or again < 2.5 or on < 1:
        raise SystemExit(
            f"Packed must agree (to 1e-3, got {gap:.2g}), be 2.5 times as fast as re-prefill (got {again:.2f}) "
            f"and no slower than a KV cache (got {on:.2f})."
        )


if __name__ == "__main__":
    main()
