"""Cutting rollouts into episodes, against playing each slot step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.cutting import EpisodeCutter
from palaestra.episodes import EpisodeError
from palaestra.rollouts import ArrayColumns, ArrayTurns, Rollout

FAILURE = EpisodeError("down", "infrastructure", True, "as asked")


class Slot:
    """A slot whose k-th episode has a given length; every observation, action and reward is a number never seen before.

    Args:
        number: Which slot.
        lengths: Of its episodes, in order; a negative one fails at its last step.
    """

    def __init__(self, number: int, lengths: list[int]) -> None:
        self.number, self.lengths, self.k, self.t, self.clock = number, lengths, 0, 0, 0
        self.finished: list[dict[str, Any]] = []
        self.seen = [self.reset()]
        self.acts: list[float] = []

    def tick(self) -> float:
        self.clock += 1
        return self.number * 1e6 + self.clock

    def reset(self) -> float:
        return self.tick()

    def begin(self) -> float:
        self.k, self.t, self.acts = self.k + 1, 0, []
        self.seen = [self.reset()]
        return self.seen[0]

    def step(self, action: float) -> tuple[float, float, bool, bool, bool]:
        """Observation, reward, terminated, truncated, failed."""
        length = self.lengths[self.k % len(self.lengths)]
        self.t += 1
        ends = self.t == abs(length)
        failed = ends and length < 0
        seen = self.tick()
        self.seen.append(seen)
        self.acts.append(action)
        even = self.k % 2 == 0
        if ends:
            self.finished.append(
                {
                    "number": self.k,
                    "seen": self.seen,
                    "acts": self.acts,
                    "terminated": even and not failed,
                    "truncated": failed or not even,
                    "failed": failed,
                }
            )
        return seen, 10 * action, ends and even and not failed, ends and (not even or failed), failed


def observe(seen: Any, nested: bool) -> Any:
    return {"a": seen, "b": (np.stack([seen, -seen], -1),)} if nested else seen


def rollouts(
    slots: list[Slot],
    mode: AutoresetMode,
    sizes: list[int],
    nested: bool,
    rng: np.random.Generator,
    told: bool = False,
) -> list[Rollout]:
    """What a runner records, rollout by rollout; `told` if it keeps the last infos."""
    n = len(slots)
    now = np.array([slot.seen[0] for slot in slots])
    ended = np.zeros(n, bool)
    out = []
    for size in sizes:
        seen = np.zeros((size + 1, n))
        actions, rewards = np.zeros((size, n)), np.zeros((size, n))
        terminated, truncated, valid = (np.zeros((size, n), bool) for _ in range(3))
        number = np.zeros((size, n), np.int64)
        finals, final_at, infos = [], [], []
        seen[0] = now
        for t in range(size):
            actions[t] = rng.random(n)
            for i, slot in enumerate(slots):
                if ended[i] and mode is AutoresetMode.DISABLED:
                    # Whoever steps resets an ended slot when it likes; until then its rows are not valid.
                    if rng.random() < 0.5:
                        number[t, i], seen[t + 1, i] = -1, seen[t, i]
                        continue
                    seen[t, i], ended[i] = slot.begin(), False
                if ended[i] and mode is AutoresetMode.NEXT_STEP:
                    number[t, i] = -1  # the row that only resets
                    seen[t + 1, i], ended[i] = slot.begin(), False
                    continue
                number[t, i] = slot.k
                after, rewards[t, i], terminated[t, i], truncated[t, i], failed = slot.step(actions[t, i])
                valid[t, i] = not failed
                seen[t + 1, i] = after
                if terminated[t, i] or truncated[t, i]:
                    final_at.append((t, i))
                    finals.append(after)
                    infos.append({"status": "failed", "error": FAILURE.to_json()} if failed else {"clock": after})
                    if mode is AutoresetMode.SAME_STEP:
                        seen[t + 1, i] = slot.begin()
                    else:
                        ended[i] = True
        now = np.array([slot.seen[-1] for slot in slots])
        out.append(
            Rollout(
                observations=observe(seen, nested),
                actions=actions,
                rewards=rewards,
                terms={"env": rewards / 2},
                terminated=terminated,
                truncated=truncated,
                valid=valid,
                final_at=np.array(final_at, np.int64).reshape(-1, 2),
                final_observations=observe(np.array(finals, float), nested),
                slot=np.arange(n) + 100,
                episode_id=number,
                final_infos=infos if told else (),
            )
        )
    return out


lengths = st.lists(st.integers(1, 6) | st.integers(-4, -2), min_size=1, max_size=4)
MODES = list(AutoresetMode)


@settings(max_examples=200)
@given(
    st.sampled_from(MODES),
    st.lists(lengths, min_size=1, max_size=3),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_against_playing_step_by_step(mode, each, sizes, nested, told, seed):
    slots = [Slot(i, lens) for i, lens in enumerate(each)]
    recorded = rollouts(slots, mode, sizes, nested, np.random.default_rng(seed), told)
    cutter = EpisodeCutter()
    cuts = [cut for rollout in recorded for cut in cutter.cut(rollout)]
    for slot in slots:
        mine = [cut for cut in cuts if cut.slot == slot.number + 100]
        # Why an episode failed stands in its last info; where nobody kept that, it is left out.
        expected = [episode for episode in slot.finished if told or not episode["failed"]]
        assert [cut.number for cut in mine] == [episode["number"] for episode in expected]
        for cut, episode in zip(mine, expected, strict=True):
            assert cut.error == (FAILURE if episode["failed"] else None)
            assert bool(cut.info) == told
            if told and not episode["failed"]:
                assert cut.info["clock"] == episode["seen"][-1]
            seen = [float(each["a"] if nested else each) for each in cut.observations]
            assert len(cut.observations) == len(cut.turns) + 1 and seen == episode["seen"]
            assert [turn.action for turn in cut.turns] == episode["acts"]
            np.testing.assert_allclose([turn.reward for turn in cut.turns], 10 * np.array(episode["acts"]))
            assert [turn.terms["env"] for turn in cut.turns] == [turn.reward / 2 for turn in cut.turns]
            assert (cut.turns[-1].terminated, cut.turns[-1].truncated) == (episode["terminated"], episode["truncated"])
            assert not any(turn.terminated or turn.truncated for turn in cut.turns[:-1])
            if nested:
                np.testing.assert_array_equal(cut.observations[-1]["b"][0], [seen[-1], -seen[-1]])


def test_cuts_come_in_the_order_of_their_ends():
    slots = [Slot(0, [5]), Slot(1, [3]), Slot(2, [3])]
    (rollout,) = rollouts(slots, AutoresetMode.SAME_STEP, [10], False, np.random.default_rng(0))
    ends = [(cut.slot, cut.number) for cut in EpisodeCutter().cut(rollout)]
    assert ends == [(101, 0), (102, 0), (100, 0), (101, 1), (102, 1), (101, 2), (102, 2), (100, 1)]


def test_an_episode_over_many_rollouts():
    slots = [Slot(0, [17])]
    cutter = EpisodeCutter()
    recorded = rollouts(slots, AutoresetMode.NEXT_STEP, [5, 5, 5, 5], False, np.random.default_rng(0))
    counts = [len(list(cutter.cut(rollout))) for rollout in recorded]
    assert counts == [0, 0, 0, 1]


def test_what_failed_is_not_mixed_into_what_follows():
    # The failed episode began in the first rollout, as valid rows; nothing of it may reach the next episode.
    slots = [Slot(0, [-7, 4])]
    cutter = EpisodeCutter()
    recorded = rollouts(slots, AutoresetMode.NEXT_STEP, [5, 10], False, np.random.default_rng(0))
    cuts = [cut for rollout in recorded for cut in cutter.cut(rollout)]
    assert [(cut.number, len(cut.turns)) for cut in cuts] == [(1, 4)]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_true_next_observations(mode):
    slots = [Slot(0, [3]), Slot(1, [2])]
    (rollout,) = rollouts(slots, mode, [8], True, np.random.default_rng(0))
    after = rollout.next_observations()["a"]
    before = rollout.observations["a"]
    for t, n in zip(*np.nonzero(rollout.valid), strict=True):
        assert after[t, n] == before[t, n] + 1  # every slot's clock ticks once a step
    np.testing.assert_array_equal(rollout.next_observations()["b"][0][..., 1], -after)


def test_columns_and_turns_are_sequences():
    columns = ArrayColumns({"a": np.arange(4), "b": (np.arange(8).reshape(4, 2),)})
    assert len(columns) == 4 and columns[-1]["a"] == 3 and columns[1]["b"][0].tolist() == [2, 3]
    assert [each["a"] for each in columns[1:3]] == [1, 2]
    with pytest.raises(IndexError):
        columns[4]
    turns = ArrayTurns(np.arange(3), np.arange(3.0), np.arange(3) == 2, np.zeros(3, bool))
    assert [turn.t for turn in turns[::-1]] == [2, 1, 0] and turns[-1].terminated
    with pytest.raises(IndexError):
        turns[3]


def test_a_rollout_of_unequal_columns():
    (rollout,) = rollouts([Slot(0, [3])], AutoresetMode.SAME_STEP, [4], False, np.random.default_rng(0))
    assert (rollout.steps, rollout.slots) == (4, 1)
    fields = {name: getattr(rollout, name) for name in Rollout.__slots__}
    for name in ("terminated", "truncated", "valid", "episode_id"):
        with pytest.raises(ValueError, match=rf"A rollout's {name} has shape \(3, 1\)"):
            Rollout(**{**fields, name: fields[name][:3]})
