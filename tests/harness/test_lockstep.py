"""The language runner in lock step."""

from __future__ import annotations

import asyncio

import pytest
from palaestra_toys import Speaker

from palaestra.errors import ModelUnavailable
from palaestra.harness.api import run
from palaestra.harness.runner import Limits

SUMS = "palaestra_toys:toys/Sums-v0"


def thinks(view):
    return f"think {view.seed}" if view.t < len(view.episode_id) % 3 else "0"


def test_episodes_are_those_of_the_plain_runner(tmp_path):
    plain = run(SUMS, Speaker(thinks), tmp_path / "plain", episodes=12, concurrency=5)
    locked = run(SUMS, Speaker(thinks), tmp_path / "locked", episodes=12, concurrency=5, deterministic=True)
    assert plain.digest() == locked.digest()
    assert len(plain) == 12


def test_a_round_is_asked_when_all_are_there_and_in_order(tmp_path):
    rounds, pending = [], []

    async def together(view):
        pending.append(view.episode_id)
        await asyncio.sleep(0)  # whoever is of this round has asked by now
        if pending:
            rounds.append(list(pending))
            pending.clear()
        return thinks(view)

    run(SUMS, Speaker(together), tmp_path, episodes=8, concurrency=4, deterministic=True)
    sizes = [len(members) for members in rounds]
    # Four at a time until nobody is left to take the place of those who ended.
    assert sizes[0] == 4
    assert sizes == sorted(sizes, reverse=True)
    assert all(members == sorted(members) for members in rounds)


def test_whoever_hangs_is_left_behind(tmp_path):
    limits = Limits(step=0.3, retries=0)
    kwargs = {"trouble": "hang"}
    options = {"env_kwargs": kwargs, "episodes": 8, "concurrency": 3, "limits": limits, "tasks": ()}
    played = run(SUMS, Speaker(thinks), tmp_path, **{**options, "split": "all"}, deterministic=True)
    failed = {entry.world_id for entry in played.entries if entry.status == "failed"}
    assert len(played) == 8
    assert failed == {entry.world_id for entry in played.entries if int(entry.world_id[4:6]) % 10 == 3}


def test_a_model_that_breaks_fails_its_own_episode_alone(tmp_path):
    def breaks(view):
        if view.episode_id.endswith("7#0"):
            raise ModelUnavailable("model_error", "broken", retryable=False)
        return thinks(view)

    played = run(SUMS, Speaker(breaks), tmp_path, episodes=None, concurrency=6, deterministic=True)
    failed = sorted(entry.world_id for entry in played.entries if entry.status == "failed")
    assert failed == ["sum-07#0", "sum-17#0", "sum-27#0", "sum-37#0"]


def test_equal_seeds_give_equal_bytes_with_a_batched_model(tmp_path):
    pytest.importorskip("torch")
    from palaestra.agents.chat import Chat
    from palaestra.agents.models.loading import load_language_model
    from palaestra.agents.models.small import SmallConfig, make_small_model
    from palaestra.agents.transformers_agent import TransformersAgent, make_engine

    folder = make_small_model(["1 + 2 = 3 (hint 4)"] * 20, tmp_path / "model", SmallConfig(vocabulary=300, width=32))
    digests = set()
    for attempt in range(3):
        loaded = load_language_model(str(folder), device="cpu")
        engine = make_engine(loaded, max_batch=7)
        agent = TransformersAgent(engine, Chat(loaded.tokenizer), max_new_tokens=6, temperature=1.0)
        played = run(SUMS, agent, tmp_path / str(attempt), episodes=12, concurrency=7, deterministic=True)
        agent.close()
        digests.add(played.digest())
    assert len(digests) == 1
