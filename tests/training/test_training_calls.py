"""Credits that look at calls, in training: schedules go on after a resume, beliefs are in calls, refusals first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import pytest
from palaestra_training_toys import Letters

import palaestra
from palaestra.episodes import ToolCall
from palaestra.errors import ConfigError
from palaestra.harness.training.loop import train
from palaestra.harness.training.metrics import read_metrics
from palaestra.registration import EnvCard
from palaestra.tasks import Task, TaskSet


class Calling(Letters):
    """Look, then say a letter by a call of `say`; ground truth is the call alone."""

    def __init__(self, *, split: str = "train", truth: bool = True) -> None:
        super().__init__(split=split)
        self.tasks = TaskSet(
            Task(task.id, task.group, task.prompt, task.split, {"letter": task.truth["answers"][0]} | self._gold(task))
            for task in self.tasks
        )
        if not truth:
            self.tasks = TaskSet(Task(task.id, task.group, task.prompt, task.split) for task in self.tasks)

    @staticmethod
    def _gold(task: Task) -> dict[str, Any]:
        return {"gold_calls": (({"name": "say", "arguments": {"letter": task.truth["answers"][0]}},),)}

    def _step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.turn += 1
        if self.turn == 1:
            return "and", 0.0, False, False, {"calls": (ToolCall("look", {}, None, "ok"),), "malformed": False}
        call = ToolCall("say", {"letter": action[:1]}, None, "ok")
        outcome = float(action[:1] == self.task.truth["letter"])
        return "done", outcome, True, False, {"outcome": outcome, "calls": (call,), "malformed": not action}

    def render_calls(self, calls: Any) -> tuple[str, tuple[int, int]]:
        return calls[0]["arguments"]["letter"], (0, 1)

    def privileged(self) -> Mapping[str, Any]:
        return self.task.truth


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    card = EnvCard("training/Calling-v0", "Call.", "training", "verifiable", "text", snapshot="none")
    palaestra.register(card, Calling)
    yield
    del gym.registry[card.id], palaestra.registration._CARDS[card.id]


ON = ("environment.id=training/Calling-v0", "evaluation.episodes=0")


def test_a_schedule_goes_on_after_a_resume(small_steps, tmp_path):
    asked = (*ON, "credit.name=toolrl", 'credit.options={schedule="smooth", schedule_steps=4}')
    train(small_steps("train.steps=5", *asked), tmp_path / "whole")
    for steps, resume in ((2, False), (5, True)):
        train(small_steps(f"train.steps={steps}", *asked), tmp_path / "parts", resume=resume)
    rows = read_metrics(tmp_path / "whole")[1:]
    assert [row["credit/toolrl/step"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["credit/toolrl/highest_correctness"] for row in rows] == [2, 2.25, 2.5, 2.75, 3]
    assert all(-3 <= row["credit/term/toolrl.correctness"] <= 3 for row in rows)
    whole, parts = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_information_gain_of_calls(small_steps, tmp_path):
    asked = (*ON, "train.steps=2", "credit.name=igpo", "advantage.name=turn-level")
    train(small_steps(*asked, 'credit.options={belief="calls"}'), tmp_path / "calls")
    rows = read_metrics(tmp_path / "calls")[1:]
    assert all(0 < row["credit/igpo/belief_first"] < 1 and row["credit/igpo/information_gain"] for row in rows)
    assert all(row["credit/igpo/outcome_only"] == 0 for row in rows)
    with pytest.raises(ConfigError, match=r"'answers': choose .* igpo can believe in those \(belief='calls'\)"):
        train(small_steps(*asked), tmp_path / "answers")


@pytest.mark.parametrize("asked", [("credit.name=toolrl",), ("credit.name=igpo", 'credit.options={belief="calls"}')])
def test_without_right_calls_nothing_is_played(small_steps, tmp_path, asked):
    with pytest.raises(ConfigError, match="'gold_calls': choose an environment whose tasks say which calls are right"):
        train(small_steps(*ON, "environment.kwargs.truth=false", *asked), tmp_path / "t")
    assert not (tmp_path / "t").exists()
