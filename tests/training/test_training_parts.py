"""Sampler, metrics, checkpoints and the lone parts of a step."""

from __future__ import annotations

import errno
import json
import math
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import ConfigError, DiskFull, RecordError
from palaestra.harness.training.checkpoint import Checkpoints
from palaestra.harness.training.metrics import MetricsWriter, read_metrics
from palaestra.harness.training.sampler import TaskSampler
from palaestra.harness.training.step import in_groups
from palaestra.rewards.base import CreditBatch


@given(st.integers(1, 9), st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(0, 5), st.integers(0, 99))
def test_every_task_comes_once_an_epoch_and_a_resumed_sampler_goes_on(count, steps, cut, seed):
    tasks = [f"t{number}" for number in range(count)]
    whole, again = TaskSampler(tasks, seed), TaskSampler(tasks, seed)
    drawn = []
    for step, groups in enumerate(steps):
        drawn += whole.draw(groups, 2, step)
    parts = []
    for step, groups in enumerate(steps):
        if step == cut:
            state = json.loads(json.dumps(again.state_dict()))
            again = TaskSampler(tasks, seed)
            again.load_state_dict(state)
        parts += again.draw(groups, 2, step)
    assert parts == drawn
    order = [request.task_id for request in drawn[::2]]
    for start in range(0, len(order) - count + 1, count):
        assert sorted(order[start : start + count]) == tasks
    assert max(Counter(request.world_id for request in drawn).values()) == 1


def test_a_group_begins_alike_and_groups_differ():
    requests = TaskSampler(["a", "b"], 3).draw(4, 3, 7)
    for start in range(0, 12, 3):
        group = requests[start : start + 3]
        assert len({(request.seed, request.group_id, request.task_id) for request in group}) == 1
        assert [request.sample for request in group] == [0, 1, 2]
    assert len({request.group_id for request in requests}) == len({request.seed for request in requests}) == 4


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=12), st.integers(1, 3))
def test_a_group_that_failures_made_too_small_is_dropped_whole(members, least):
    groups = np.array([group for group, _ in members], np.int64)
    valid = np.array([there for _, there in members], bool)
    nothing = np.zeros(len(members), np.int64)
    values = np.zeros((len(members), 1))
    turns = np.zeros((len(members), 1), np.int64)
    batch = CreditBatch(groups, valid, nothing + 1, turns, nothing, values, values[:, 0], nothing, values[:, 0])
    expected = [there and sum(v for g, v in members if g == group) >= least for group, there in members]
    assert in_groups(batch, least).tolist() == expected


def test_without_tasks_each_group_has_a_start_of_its_own():
    requests = TaskSampler(None, 0, "maze").draw(3, 2, 0)
    assert {request.task_id for request in requests} == {None}
    assert len({request.seed for request in requests}) == 3
    assert requests[0].world_id == "00000-000000-maze#0"


def test_no_tasks_and_other_tasks_are_refused():
    with pytest.raises(ConfigError, match="no tasks"):
        TaskSampler([], 0)
    with pytest.raises(ConfigError, match="made with 2 tasks, the environment now has 3"):
        TaskSampler(["a", "b", "c"], 0).load_state_dict(TaskSampler(["a", "b"], 0).state_dict())


def test_metrics_are_written_by_step_and_cut_where_a_run_resumes(tmp_path):
    writer = MetricsWriter(tmp_path, None)
    for step in range(4):
        row = writer.write(step, {"a": 0.1 * step, "b": math.nan if step == 2 else 1}, {"seconds": 0.5})
        assert row == {"step": step, "a": 0.1 * step, **({"not_finite": 1} if step == 2 else {"b": 1.0})}
    writer.close()
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 4, "a"')
    assert [row["step"] for row in read_metrics(tmp_path)] == [0, 1, 2, 3]
    MetricsWriter(tmp_path, 2).close()
    assert [row["step"] for row in read_metrics(tmp_path)] == [0, 1, 2]
    assert [row["step"] for row in read_metrics(tmp_path, "timings.jsonl")] == [0, 1, 2]
    (tmp_path / "metrics.jsonl").write_bytes(b"{\n{}\n")
    with pytest.raises(RecordError, match=r"metrics\.jsonl, line 1 is not JSON"):
        read_metrics(tmp_path)


def test_metrics_without_tensorboard_are_the_lines_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    writer = MetricsWriter(tmp_path, None)
    assert "palaestra[train]" in writer.note
    writer.write(0, {"a": 1.0}, {})
    writer.close()
    assert not (tmp_path / "tensorboard").exists()
    assert read_metrics(tmp_path) == [{"step": 0, "a": 1.0}]


def test_checkpoints_come_back_and_the_newest_stay(tmp_path):
    kept = Checkpoints(tmp_path, keep=2)
    for step in (1, 5, 20):
        kept.save(step, {"w": torch.full((3,), float(step)), "n": step}, {"credit": {"a": np.arange(400.0) + step}})
    assert kept.steps() == [5, 20]
    learner, state = kept.load(20)
    assert torch.equal(learner["w"], torch.full((3,), 20.0))
    assert np.array_equal(state["credit"]["a"], np.arange(400.0) + 20)
    kept.save(20, {"w": torch.zeros(1)}, {})
    assert kept.load(20)[1] == {}


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    kept = Checkpoints(tmp_path)
    kept.save(1, {"w": torch.ones(1)}, {})

    def full(*names):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="no room for a checkpoint of step 2"):
        kept.save(2, {"w": torch.zeros(1)}, {})
    monkeypatch.undo()
    assert kept.steps() == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert torch.equal(kept.load(1)[0]["w"], torch.ones(1))


def test_a_checkpoint_is_on_the_disk_before_it_is_in_its_place(tmp_path, monkeypatch):
    synced, before, fsync, rename = [], [], os.fsync, os.rename

    def sync(handle):
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    def move(draft, place):
        before.extend(synced)
        assert {path.name for path in (draft, *draft.rglob("*"))} <= set(synced)
        rename(draft, place)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "rename", move)
    Checkpoints(tmp_path / "c").save(1, {"w": torch.ones(1)}, {"credit": {"a": np.arange(4000.0)}})
    assert {"learner.pt", "state.json", "blobs"} <= set(before)
    assert synced[len(before) :] == ["c"]  # the move itself


def test_damaged_checkpoints_say_what_to_do_and_run_no_code(tmp_path):
    kept = Checkpoints(tmp_path)
    place = kept.save(3, {"w": torch.ones(1)}, {})
    torch.save({"w": print}, place / "learner.pt")
    with pytest.raises(RecordError, match=r"step-3 cannot be read \(learner\.pt holds.*Delete its folder"):
        kept.load(3)
    (place / "learner.pt").unlink()
    with pytest.raises(RecordError, match="cannot be read"):
        kept.load(3)
