"""Seconds of a training step on search episodes of four turns, against TRL's GRPOTrainer with `environment_factory`.

    python benchmarks/bench_episodes.py [--rounds 5] [--out benchmarks/results/episodes.json]

SmolLM2 in float32, GRPO without KL. A step plays 8 episodes of one FactbookSearch question and makes one AdamW step on
all 8. A turn samples exactly 48 tokens at temperature 1; whatever they say, it counts as a search for one of a few
phrases that the words decide, so that both sides play the real environment and read real passages, as many turns as
each other. Both sides pass forward and backward over two episodes at a time. Sides, alternation and memory are those
of bench_learner.py.
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

EPISODES, TURNS, TOKENS, LR = 8, 4, 48, 1e-6
AT_ONCE, LONGEST = 2, 1500  # episodes in a pass, and tokens of an episode
QUERIES = ("longest land border", "official languages", "highest point elevation", "currency exchange rates")

# ChatML as SmolLM2 has it, with a tool's call, which TRL asks of a template; the tools themselves are in the prompt.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def number_of(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "replace"))


class AnythingSearches:
    """A dialect in which every utterance is a search."""

    name = "anything"

    def stop(self, tools: Any) -> tuple[str, ...]:
        return ()

    def parse(self, text: str, tools: Any) -> Any:
        from palaestra.envs.language.dialects import CallRequest

        return (CallRequest("search", {"query": QUERIES[number_of(text) % len(QUERIES)]}),)

    def render(self, call: Any, tools: Any) -> str:
        return " ".join(map(str, call.arguments.values()))

    def answer(self, text: str, tools: Any) -> tuple[str, tuple[int, int]]:
        return text, (0, len(text))

    def wrap(self, text: str) -> str:
        return text

    def instructions(self, tools: Any) -> str:
        return "Say what to search for. What is found comes back; go on until you know the answer."


def make_env() -> Any:
    import palaestra

    return palaestra.make("palaestra/FactbookSearch-v0", dialect=AnythingSearches(), max_turns=TURNS, top_k=2)


def serve_palaestra(server: Server) -> None:
    import numpy as np

    from palaestra.agents.chat import Chat
    from palaestra.agents.learners.batch import policy_sequences
    from palaestra.agents.learners.group_policy import GroupPolicyConfig, GroupPolicyLearner
    from palaestra.agents.models.loading import load_language_model
    from palaestra.agents.models.transformers_engine import TransformersEngine
    from palaestra.agents.models.turns import Decoder
    from palaestra.agents.transformers_agent import TransformersAgent
    from palaestra.harness.lockstep import LockstepRunner
    from palaestra.harness.runner import Limits
    from palaestra.harness.schedule import Request
    from palaestra.harness.training.collect import Collector
    from palaestra.harness.worlds import world_of
    from palaestra.rewards.advantages import group_normalized
    from palaestra.tokens import token_sequences

    loaded = load_language_model("smollm2", device="cpu", dtype="float32")
    decoder = loaded.decoder()
    # No end token: every turn samples its full length.
    engine = TransformersEngine(
        loaded.model, Decoder(decoder.decode, frozenset(), decoder.special_ids), max_batch=EPISODES
    )
    learner = GroupPolicyLearner(loaded.model, GroupPolicyConfig(lr=LR, max_tokens=AT_ONCE * LONGEST))
    collector = Collector(
        lambda: world_of(make_env()),
        TransformersAgent(engine, Chat(loaded.tokenizer), name="smollm2", temperature=1.0, max_new_tokens=TOKENS),
        env_id="palaestra/FactbookSearch-v0",
        env_kwargs={},
        seed=0,
        slots=EPISODES,
        limits=Limits(retries=0),
        runner=LockstepRunner,
    )
    tasks = [task.id for task in make_env().unwrapped.tasks]
    step = 0
    while True:
        server.wait()
        requests = [Request(f"{step}#{k}", tasks[step], k, str(step), step) for k in range(EPISODES)]
        episodes = collector.collect(requests)
        rollout = time.perf_counter() - server.start
        assert all(len(episode.turns) == TURNS and episode.valid for episode in episodes)
        rewards = np.array([number_of(episode.turns[0].action) / 2**32 for episode in episodes])
        advantages = group_normalized(rewards, np.zeros(EPISODES, np.int64), np.ones(EPISODES, bool))
        metrics = learner.update(policy_sequences(episodes, np.tile(advantages[:, None], TURNS), "turn"))
        assert metrics["tokens"] == EPISODES * TURNS * TOKENS
        engine.load_weights((), learner.version)
        step += 1
        tokens = sum(len(part.ids) for episode in episodes for part in token_sequences(episode))
        assert LONGEST / 1.5 < tokens / EPISODES < LONGEST, "another number of episodes would be passed at a time"
        server.report(rollout=rollout, tokens=tokens)


def serve_trl(server: Server) -> None:
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer
    from trl.trainer import grpo_trainer

    from palaestra.agents.models.smollm2 import load_smollm2

    model, tokenizer = load_smollm2()
    tokenizer.chat_template = TEMPLATE
    tokenizer.response_template = {}  # only its being there is looked at: `parse` below stands for the parser
    lengths: list[int] = []

    def parse(tokenizer: Any, ids: list[int], **kwargs: Any) -> dict[str, Any]:
        assert len(ids) == TOKENS
        text = tokenizer.decode(ids)
        arguments = {"query": QUERIES[number_of(text) % len(QUERIES)]}
        call = {"type": "function", "function": {"name": "search", "arguments": arguments}}
        return {"role": "assistant", "content": text, "tool_calls": [call]}

    grpo_trainer.parse_response = parse

    class Factbook:
        def __init__(self) -> None:
            self._env = make_env()

        def reset(self, task: str, **columns: Any) -> None:
            self._env.reset(options={"task_id": task})

        def search(self, query: str) -> str:
            """Search the Factbook.

            Args:
                query: What to search for.
            """
            # The dialect takes the phrase from the words; here the words are gone, so it is found again.
            say = next(text for text in map(str, range(1000)) if QUERIES[number_of(text) % len(QUERIES)] == query)
            return str(self._env.step(say)[0])

    class Steps(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            server.report(tokens=sum(lengths))
            lengths.clear()
            server.wait()

    def rewards(completions: list[Any], completion_ids: list[list[int]], **columns: Any) -> list[float]:
        assert all(sum(m["role"] == "assistant" for m in completion) == TURNS for completion in completions)
        lengths.extend(map(len, completion_ids))
        return [number_of(completion[0]["content"]) / 2**32 for completion in completions]

    env, rows = make_env(), []
    for task in [task.id for task in env.unwrapped.tasks][:100]:
        env.reset(options={"task_id": task})
        rows.append({"prompt": list(env.unwrapped.messages), "task": task})
    options: dict[str, Any] = {
        **TRL_OPTIONS,
        "per_device_train_batch_size": AT_ONCE,
        "gradient_accumulation_steps": EPISODES // AT_ONCE,
        "num_generations": EPISODES,
        "max_completion_length": 4096,
        "max_tool_calling_iterations": TURNS - 1,
        "generation_kwargs": {"min_new_tokens": TOKENS, "max_new_tokens": TOKENS},
        "learning_rate": LR,
        "max_steps": 100,
    }
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=rewards,
        args=GRPOConfig(output_dir=tempfile.mkdtemp(), **options),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[Steps()],
        environment_factory=Factbook,
    )
    server.wait()
    trainer.train()


SIDES = {"palaestra": serve_palaestra, "trl": serve_trl}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        SIDES[options.serve](Server())
        return
    lines = take_turns(__file__, SIDES, options.rounds)
    results = {
        **compare(lines, options.rounds),
        "episodes": EPISODES,
        "turns": TURNS,
        "tokens_a_turn": TOKENS,
        "palaestra_tokens_read_and_sampled": lines["palaestra"][0]["tokens"],
    }
    print(json.dumps(results, indent=2))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
