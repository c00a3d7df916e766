from __future__ import annotations

import functools
import json
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces.utils import flatdim, flatten, flatten_space, unflatten
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import (
    batch_space,
    create_empty_array,
    create_shared_memory,
    iterate,
    read_from_shared_memory,
    write_to_shared_memory,
)
from hypothesis import given
from hypothesis import strategies as st

from palaestra.environment import Environment
from palaestra.spaces import Utf8, clean_text, clip_utf8

any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)


def size(text: str) -> int:
    return sum(len(char.encode("utf-8", "surrogatepass")) for char in text)


@given(any_text, st.integers(1, 60))
def test_membership_is_the_count_of_bytes(text, limit):
    assert (text in Utf8(limit)) == (size(text) <= limit)


@pytest.mark.parametrize("thing", [None, 3, b"abc", ["a"], np.array("a")])
def test_what_is_no_text(thing):
    assert thing not in Utf8(10)
    assert np.str_("a") in Utf8(10)


def test_samples():
    space = Utf8(5, seed=3)
    drawn = [space.sample() for _ in range(200)]
    assert all(text in space for text in drawn) and {len(text) for text in drawn} == set(range(6))
    again = Utf8(5, seed=3)
    assert drawn == [again.sample() for _ in range(200)]
    again.seed(4)
    assert drawn != [again.sample() for _ in range(200)]
    long = Utf8(4, sampler=lambda rng: "é\ud800" * int(rng.integers(1, 5)), seed=0)
    assert {long.sample() for _ in range(20)} == {"é"}  # no surrogates, and no character cut in two
    for bad in ({"mask": 1}, {"probability": 1}):
        with pytest.raises(ValueError, match="neither a mask nor probabilities"):
            space.sample(**bad)
    with pytest.raises(ValueError, match="at least 1"):
        Utf8(0)


def test_equality_pickle_and_json():
    space = Utf8(9, seed=1)
    twin = pickle.loads(pickle.dumps(space))
    assert twin == space and hash(twin) == hash(space) and repr(twin) == "Utf8(max_bytes=9)"
    assert [twin.sample() for _ in range(5)] == [space.sample() for _ in range(5)]
    assert space != Utf8(8) and space != gym.spaces.Text(9)
    texts = ["", "abc", "é\ud800"]
    assert space.from_jsonable(json.loads(json.dumps(space.to_jsonable(texts)))) == texts


@given(any_text)
def test_flatten_and_back(text):
    space = Utf8(160)
    flat = flatten(space, text)
    assert flat.shape == (flatdim(space),) and flat in flatten_space(space)
    assert unflatten(space, flat) == text
    nested = gym.spaces.Dict(text=space, place=gym.spaces.Discrete(3))
    point = {"text": text, "place": 2}
    assert dict(unflatten(nested, flatten(nested, point))) == point


@given(st.lists(any_text, min_size=1, max_size=4))
def test_through_shared_memory(texts):
    space = Utf8(160)
    memory = create_shared_memory(space, n=len(texts))
    view = read_from_shared_memory(space, memory, n=len(texts))
    assert list(view) == [""] * len(texts)
    for i, text in enumerate(texts):
        write_to_shared_memory(space, i, text, memory)
    assert list(read_from_shared_memory(space, memory, n=len(texts))) == texts
    for i in range(len(texts)):  # a shorter text leaves nothing of a longer one behind
        write_to_shared_memory(space, i, "x", memory)
    assert list(read_from_shared_memory(space, memory, n=len(texts))) == ["x"] * len(texts)


def test_shared_memory_refuses_what_does_not_fit():
    space = Utf8(3)
    memory = create_shared_memory(space, n=2)
    with pytest.raises(ValueError, match="A text of 4 bytes does not fit"):
        write_to_shared_memory(space, 0, "éé", memory)


def test_batches():
    space = Utf8(8, seed=5)
    before = space.np_random.bit_generator.state
    batch = batch_space(space, 3)
    assert space.np_random.bit_generator.state == before
    drawn = batch.sample()
    assert drawn in batch and len(set(drawn)) > 1
    assert list(iterate(batch, drawn)) == list(drawn)
    assert list(create_empty_array(space, 2)) == ["", ""]
    assert batch_space(Utf8(8, seed=5), 3).sample() == drawn


@given(any_text)
def test_clean_text(text):
    cleaned = clean_text(text)
    cleaned.encode()  # raises unless it can be encoded
    if not any("\ud800" <= char <= "\udfff" for char in text):
        assert cleaned == text


@pytest.mark.parametrize(
    ("given_", "expected"),
    [("a\ud800b", "a\ufffdb"), ("\udc00", "\ufffd"), ("\ud83d\ude00", "😀"), ("a\ud800", "a\ufffd"), ("ok", "ok")],
)
def test_clean_text_by_example(given_, expected):
    assert clean_text(given_) == expected


@given(any_text, st.integers(0, 60), st.sampled_from(["", " [...]", "…"]))
def test_clip(text, limit, marker):
    clipped = clip_utf8(text, limit, marker=marker)
    whole = clean_text(text)
    assert len(clipped.encode()) <= limit
    if len(whole.encode()) <= limit:
        assert clipped == whole
    elif clipped:
        kept = clipped.removesuffix(marker) if marker else clipped
        assert whole.startswith(kept)
        # It is the longest: one more character would not have fitted beside the marker.
        assert len((kept + whole[len(kept)] + marker).encode()) > limit


class Echo(Environment[str, str]):
    """Says what was said, in three turns."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.observation_space = Utf8(64)
        self.action_space = Utf8(64)

    def _reset(self, options: Any) -> tuple[str, dict[str, Any]]:
        self.said = 0
        return f"hello {self.np_random.integers(100)}", {}

    def _step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.said += 1
        return clip_utf8(action, 64), float(len(action)), self.said == 3, False, {"said": self.said}


def test_gymnasiums_own_checker():
    check_env(Echo(), skip_render_check=True)


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize(
    "vector",
    [SyncVectorEnv, AsyncVectorEnv, functools.partial(AsyncVectorEnv, shared_memory=False)],
    ids=["sync", "async", "async without shared memory"],
)
def test_vector_environments(vector, mode):
    env = vector([Echo] * 2, autoreset_mode=mode)
    first, _ = env.reset(seed=0)
    assert all(text.startswith("hello ") for text in first)
    kept = first
    for t, said in enumerate(["é" * 32, "", "end"]):
        seen, rewards, terminated, _, infos = env.step((said, "b"))
        assert terminated.tolist() == [t == 2] * 2
        np.testing.assert_array_equal(rewards, [float(len(said)), 1.0])
        if t == 2 and mode is AutoresetMode.SAME_STEP:
            assert list(infos["final_obs"]) == ["end", "b"] and seen[0].startswith("hello ")
        else:
            assert tuple(seen) == (said, "b")
    assert all(text.startswith("hello ") for text in kept)  # what was given is not overwritten later
    env.close()
