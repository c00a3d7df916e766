"""A text environment that can be learned in seconds, and a policy small enough for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import palaestra
from palaestra.environment import Environment
from palaestra.episodes import ToolCall
from palaestra.errors import ConfigError, EpisodeFailure
from palaestra.policies import PolicyFactory
from palaestra.registration import EnvCard
from palaestra.spaces import Utf8
from palaestra.tasks import Task, TaskSet

LETTERS = "abcdefgh"
TEMPLATE = (
    "{% for message in messages %}{{ '<' + message['role'][0] + '>' + message['content'] + '|' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<a>' }}{% endif %}"
)


def _tasks(split: str) -> TaskSet:
    return TaskSet(
        Task(
            f"say-{number:02d}",
            f"pair-{number}",
            f"say {LETTERS[number % 3]}",
            "val" if number % 4 == 3 else "train",
            truth={"answers": (LETTERS[number % 3],)},
        )
        for number in range(16)
    ).where(split=split)


def _oracle(env: Any, space: Any, rng: Any) -> Any:
    plan = iter(["wait", env.task.truth["answers"][0]])
    return lambda observation: next(plan)


class Letters(Environment[str, str]):
    """Say a letter: the outcome of an answer is the share of it that is the letter asked for.

    The first turn is free; the second one is the answer.
    """

    shipped_policies: ClassVar[Mapping[str, PolicyFactory]] = {"oracle": _oracle}
    max_turns = 2

    def __init__(self, *, split: str = "train", trouble: str = "") -> None:
        super().__init__()
        self.trouble = trouble
        self.tasks = _tasks(split)
        if not len(self.tasks):
            raise ConfigError("There is no task to say.")
        self.action_space = Utf8(1000)
        self.observation_space = Utf8(1000)
        self.task = self.tasks[0]
        self.turn = 0

    def _reset(self, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        self.task = self.tasks.get(options["task_id"]) if "task_id" in options else self.tasks[0]
        self.turn = 0
        return self.task.prompt, {"task_id": self.task.id}

    def _step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.turn += 1
        if self.trouble == "always" or (self.trouble == "some" and self.task.id.endswith("2")):
            raise EpisodeFailure("server_down", "the server is down", retryable=False)
        if self.turn == 1:
            return "and", 0.0, False, False, {"calls": (ToolCall("wait", {}, None, "ok"),) * (len(action) % 2)}
        letter = self.task.truth["answers"][0]
        outcome = action.count(letter) / max(1, len(action))
        return "done", outcome, True, False, {"outcome": outcome}

    def render_answer(self, text: str) -> tuple[str, tuple[int, int]]:
        return text, (0, len(text))

    def judge(self) -> float:
        return 0.0

    def privileged(self) -> Mapping[str, Any]:
        return self.task.truth


class Mute(Letters):
    """The same without ground truth."""

    def privileged(self) -> Mapping[str, Any]:
        return {}

    def __init__(self, *, split: str = "train") -> None:
        super().__init__(split=split)
        self.tasks = TaskSet(
            Task(task.id, task.group, task.prompt, task.split, truth={"letter": task.truth["answers"][0]})
            for task in self.tasks
        )


class Silence(Letters):
    """The same, but nobody is heard: every outcome is 0."""

    def _step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        observation, _, ended, cut, info = super()._step(action)
        return observation, 0.0, ended, cut, {**info, **({"outcome": 0.0} if ended else {})}


for _name in ("Letters", "Mute", "Silence"):
    palaestra.register(
        EnvCard(
            id=f"training/{_name}-v0",
            summary="Say a letter.",
            family="training",
            kind="verifiable",
            interface="text",
            snapshot="none",
        ),
        f"palaestra_training_toys:{_name}",
    )


def save_tiny_policy(folder: Path, *, template: str | None = TEMPLATE, seed: int = 0) -> Path:
    """Writes a random Llama and a tokenizer of letters, as `transformers:FOLDER` reads them."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["|", "<s>", "<u>", "<a>", "<t>", "?", " ", *"abcdefghijklmnopqrstuvwxyz-0123456789"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["|", "<s>", "<u>", "<a>", "<t>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="|", unk_token="?")
    if template is not None:
        fast.chat_template = template
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=0,
        initializer_range=0.1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def recipe_table(policy: Path) -> dict[str, Any]:
    return {
        "name": "letters",
        "environment": {"id": "palaestra_training_toys:training/Letters-v0"},
        "model": {"name": str(policy), "device": "cpu"},
        "rollout": {
            "tasks_per_step": 3,
            "group_size": 4,
            "max_new_tokens": 8,
            "concurrency": 6,
            "deterministic": True,
        },
        "learner": {"lr": 3e-3},
        "evaluation": {"split": "val", "every": 2, "episodes": 4},
        "train": {"steps": 4, "checkpoint_every": 2},
    }
