from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra import errors
from palaestra.episodes import EpisodeError

SAMPLES = [
    errors.PalaestraError("plain"),
    errors.UnknownNameError("reward", "outcom", ["outcome", "format"]),
    errors.ConfigError("value"),
    errors.DataError("/data/q.jsonl", "no answer", line=7, field="answers"),
    errors.DataError("/data/q.jsonl", "is empty"),
    errors.RecordError("record"),
    errors.MissingExtraError("dense retrieval", "dense"),
    errors.MissingExtraError("NetHack", "nethack", "pip install nle"),
    errors.SnapshotError("snapshot"),
    errors.ToolError("tool"),
    errors.BudgetExceeded("budget"),
    errors.DiskFull("full"),
    errors.EnvironmentUnavailable("down"),
    errors.EpisodeFailure("retriever_down", "no answer", cause="unattributed", retryable=False),
    errors.ModelUnavailable("server_down", "no answer in 3 s"),
    errors.NotFiniteError("step 3: lm_head.weight"),
    errors.InvalidActionError("The action must be 0, 1 or 2, got 7."),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "again",
    [lambda error: pickle.loads(pickle.dumps(error)), copy.deepcopy, lambda error: type(error)(error)],
    ids=["pickle", "deepcopy", "re-raised by a vector environment"],
)
def test_errors_travel(error, again):
    twin = again(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


def test_every_error_is_in_the_samples_and_in_the_tree():
    classes = {getattr(errors, name) for name in errors.__all__ if name != "nearest"}
    assert {type(sample) for sample in SAMPLES} == classes
    assert all(issubclass(kind, errors.PalaestraError) for kind in classes)
    assert all(f"── {kind.__name__} " in errors.__doc__ for kind in classes - {errors.PalaestraError})


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.UnknownNameError, LookupError),
        (errors.ConfigError, ValueError),
        (errors.InvalidActionError, ValueError),
        (errors.DataError, ValueError),
        (errors.RecordError, ValueError),
        (errors.MissingExtraError, ImportError),
        (errors.ModelUnavailable, errors.EpisodeFailure),
    ],
)
def test_what_else_they_are(kind, builtin):
    assert issubclass(kind, builtin)


def test_messages():
    assert str(SAMPLES[1]) == "There is no reward 'outcom'. Did you mean 'outcome'?"
    assert str(SAMPLES[3]) == "/data/q.jsonl, line 7, field 'answers': no answer"
    assert str(SAMPLES[4]) == "/data/q.jsonl: is empty"
    assert str(SAMPLES[6]).endswith("Install them with: pip install 'palaestra[dense]'")
    assert str(SAMPLES[7]).endswith("Install them with: pip install nle")
    assert str(errors.UnknownNameError("thing", "x")) == "There is no thing 'x'."


@pytest.mark.parametrize(
    ("name", "choices", "expected"),
    [
        ("outcom", ["outcome", "format"], "Did you mean 'outcome'?"),
        ("OUTCOME", ["outcome", "format"], "Did you mean 'outcome'?"),
        ("palaestra/factbooksearch-v0", ["palaestra/FactbookSearch-v0"], "Did you mean 'palaestra/FactbookSearch-v0'?"),
        ("zzz", ["b", "a", "b"], "Choose from: a, b."),
        ("zzz", [], ""),
        ("zzz", [f"n{i:02}" for i in range(30)], "Choose from: " + ", ".join(f"n{i:02}" for i in range(20)) + ", ..."),
    ],
)
def test_nearest(name, choices, expected):
    assert errors.nearest(name, choices).startswith(expected)


@given(st.text(), st.lists(st.text(min_size=1), max_size=30))
def test_nearest_only_names_what_exists(name, choices):
    said = errors.nearest(name, choices)
    assert (said == "") == (not choices)
    if said.startswith("Did you mean '"):
        assert said[len("Did you mean '") : -len("'?")] in choices


def test_episode_errors():
    assert EpisodeError.of(SAMPLES[13]).to_json() == {
        "kind": "retriever_down",
        "cause": "unattributed",
        "retryable": False,
        "message": "no answer",
    }
    assert EpisodeError.of(KeyError("x")) == EpisodeError("environment_error", "unattributed", False, "KeyError: 'x'")
