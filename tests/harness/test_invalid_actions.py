"""What an agent does wrong in an array environment never fails an episode."""

from __future__ import annotations

import numpy as np
import palaestra_toys as toys
import pytest
from gymnasium.vector import SyncVectorEnv

from palaestra.agents.base import Action
from palaestra.errors import InvalidActionError
from palaestra.harness import Run, run

OUTSIDE = [7, -1, 0.5, None, "left", np.array([1, 2])]


@pytest.mark.parametrize("on_failure", ["truncate", "raise"])
@pytest.mark.parametrize(
    ("bad", "why"), [*((bad, "must be in Discrete") for bad in OUTSIDE), (1, "taken; free are")], ids=str
)
def test_a_refused_action_changes_nothing_and_the_episode_goes_on(bad, why, on_failure):
    env, twin = toys.Board(on_failure=on_failure), toys.Board()
    env.reset(seed=0)
    twin.reset(seed=0)
    assert env.step(1)[0].tolist() == twin.step(1)[0].tolist()
    for _ in range(2):
        with pytest.raises(ValueError, match=why):
            env.step(bad)
    for action in (0, 2, 3):
        mine, yours = env.step(action), twin.step(action)
        assert mine[0].tolist() == yours[0].tolist() and mine[1:] == yours[1:]
    assert mine[4] == {"outcome": 1.0, "status": "terminated"}


def test_the_message_says_what_was_given():
    env = toys.Board()
    env.reset(seed=0)
    with pytest.raises(InvalidActionError, match=r"(?s)Discrete\(4\), got array.*dtype float64 and shape \(1000,\)\."):
        env.step(np.zeros(1000))


def test_it_reaches_the_caller_of_a_vector_environment():
    envs = SyncVectorEnv([toys.Board, toys.Board])
    envs.reset(seed=0)
    envs.step(np.array([0, 1]))
    with pytest.raises(InvalidActionError, match="Field 1 is taken"):
        envs.step(np.array([1, 1]))


def test_an_agent_that_does_it_ends_its_episode_with_nothing(tmp_path):
    class Stubborn(toys.Speaker):
        async def act(self, view):
            return Action(np.int64(min(view.t, 2)))  # field 2 twice

    done = run("toys/Board-v0", Stubborn(None), tmp_path / "r", episodes=3)
    for episode in done.episodes():
        assert (episode.status, episode.outcome, len(episode.turns)) == ("truncated", 0.0, 4)
        assert episode.turns[-1].reward == 0.0 and "Field 2 is taken" in episode.turns[-1].info["illegal_action"]


def test_an_array_policy_that_does_it_is_told_and_fails_no_episode(tmp_path):
    class Wrong:
        name = "wrong"

        def initial_state(self, num_slots, rng):
            return 0

        def act(self, observations, state, reset_mask):
            return np.full(len(observations), state % 4 if state < 6 else 0), state + 1, {}

    with pytest.raises(InvalidActionError, match="Field 0 is taken"):
        run("toys/Board-v0", Wrong(), tmp_path / "r", episodes=4, concurrency=2)
    assert all(entry.status != "failed" for entry in Run(tmp_path / "r").entries)
