"""Seconds of a training step, rollout and update, against TRL's GRPOTrainer: SmolLM2 in float32, GRPO without KL.

    python benchmarks/bench_learner.py [--rounds 7] [--out benchmarks/results/learner.json]

A step samples 8 completions of exactly 64 tokens of one prompt at temperature 1 and makes one AdamW step on all 8. Both
sides see the same prompts through the same chat template and reward alike; neither recomputes activations. Each side
has a process of its own that holds the model throughout; the steps alternate, and ratios are of medians over rounds.
Memory is the peak of the resident set from the end of the first step on (the first allocates Adam's moments).
Episodes of several turns: bench_episodes.py.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

from sides import TRL_OPTIONS, Server, compare, take_turns

COMPLETIONS, TOKENS, LR = 8, 64, 1e-6
PROMPT = (
    "Read this, then answer in a few words. The country lies in the middle of the continent and borders seven others. "
    "Its longest river rises in the mountains of the north, crosses three provinces, and reaches the sea in a wide "
    "delta two hundred kilometres east of the capital. Wheat, barley and sugar beets are grown in the plains, and half "
    "of the exports are machines. Question {number}: how many provinces does the river cross?"
)


def prompt_of(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": PROMPT.format(number=number)}]


def reward_of(text: str) -> float:
    """Of any text a number that differs between texts."""
    return zlib.crc32(text.encode()) / 2**32


def serve_palaestra(server: Server) -> None:
    import numpy as np

    from palaestra.agents.chat import Chat
    from palaestra.agents.learners.batch import PolicySequence
    from palaestra.agents.learners.group_policy import GroupPolicyConfig, GroupPolicyLearner
    from palaestra.agents.models.engine import GenerationRequest
    from palaestra.agents.models.loading import load_language_model
    from palaestra.agents.models.transformers_engine import TransformersEngine
    from palaestra.agents.models.turns import Decoder
    from palaestra.rewards.advantages import group_normalized

    loaded = load_language_model("smollm2", device="cpu", dtype="float32")
    decoder = loaded.decoder()
    # No end token: every turn samples its full length.
    engine = TransformersEngine(loaded.model, Decoder(decoder.decode, frozenset(), decoder.special_ids), max_batch=8)
    chat, learner = Chat(loaded.tokenizer), GroupPolicyLearner(loaded.model, GroupPolicyConfig(lr=LR))
    step = 0
    while True:
        server.wait()
        context = np.array(chat.opening([("user", PROMPT.format(number=step))]), np.int32)
        requests = [
            GenerationRequest(f"{step}/{k}", context, COMPLETIONS * step + k, max_new_tokens=TOKENS)
            for k in range(COMPLETIONS)
        ]
        results = engine.generate(requests)
        for request in requests:
            engine.release(request.conversation)
        rollout = time.perf_counter() - server.start
        assert all(len(result.token_ids) == TOKENS for result in results)
        rewards = np.array([reward_of(result.text) for result in results])
        advantages = group_normalized(rewards, np.zeros(COMPLETIONS, np.int64), np.ones(COMPLETIONS, bool))
        sequences = []
        for k, result in enumerate(results):
            ids = np.r_[context, result.token_ids].astype(np.int32)
            mask = np.arange(len(ids)) >= len(context)
            logprobs = np.r_[np.zeros(len(context)), result.logprobs].astype(np.float32)
            column = (mask * advantages[k]).astype(np.float32)
            sequences.append(PolicySequence(ids, mask, logprobs, column, 0, k, result.policy_version))
        metrics = learner.update(sequences)
        assert metrics["tokens"] == COMPLETIONS * TOKENS
        engine.load_weights((), learner.version)
        step += 1
        server.report(rollout=rollout, prompt=len(context), drift=metrics["sampler_drift_max"])


def serve_trl(server: Server) -> None:
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from palaestra.agents.models.smollm2 import load_smollm2

    model, tokenizer = load_smollm2()

    class Steps(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            server.report()
            server.wait()

    def rewards(completions: list[Any], completion_ids: list[list[int]], **columns: Any) -> list[float]:
        assert all(len(ids) == TOKENS for ids in completion_ids)
        return [reward_of(completion[0]["content"]) for completion in completions]

    options: dict[str, Any] = {
        **TRL_OPTIONS,
        "per_device_train_batch_size": COMPLETIONS,
        "num_generations": COMPLETIONS,
        "max_completion_length": TOKENS,
        "generation_kwargs": {"min_new_tokens": TOKENS},
        "learning_rate": LR,
        "max_steps": 10_000,
    }
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=rewards,
        args=GRPOConfig(output_dir=tempfile.mkdtemp(), **options),
        train_dataset=Dataset.from_list([{"prompt": prompt_of(number)} for number in range(10_000)]),
        processing_class=tokenizer,
        callbacks=[Steps()],
    )
    server.wait()
    trainer.train()


SIDES = {"palaestra": serve_palaestra, "trl": serve_trl}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        SIDES[options.serve](Server())
        return
    lines = take_turns(__file__, SIDES, options.rounds)
    results = {
        **compare(lines, options.rounds),
        "prompt_tokens": lines["palaestra"][0]["prompt"],
        "completions": COMPLETIONS,
        "completion_tokens": TOKENS,
    }
    print(json.dumps(results, indent=2))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
