"""The small model: its tokenizer, its template, its sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.chat import Chat
from palaestra.agents.models.loading import load_language_model
from palaestra.agents.models.small import SmallConfig, make_small_model, make_small_tokenizer
from palaestra.errors import ConfigError

TEXTS = ["Question: What is the capital of Peru?", "<search>capital of Peru</search>", "<answer>Lima</answer>"] * 5


@pytest.fixture(scope="module")
def tokenizer():
    return make_small_tokenizer(TEXTS, 320)


def test_it_is_saved_and_loaded_like_any_model(tmp_path):
    folder = make_small_model(TEXTS, tmp_path / "m", SmallConfig(vocabulary=320, width=32, layers=2, seed=3))
    again = make_small_model(TEXTS, tmp_path / "n", SmallConfig(vocabulary=320, width=32, layers=2, seed=3))
    other = make_small_model(TEXTS, tmp_path / "o", SmallConfig(vocabulary=320, width=32, layers=2, seed=4))
    loaded, same, different = (load_language_model(str(place), device="cpu").model for place in (folder, again, other))
    weights = {name: value.numpy() for name, value in loaded.state_dict().items()}
    assert all(np.array_equal(value, weights[name]) for name, value in same.state_dict().items())
    assert any(not np.array_equal(value, weights[name]) for name, value in different.state_dict().items())
    assert loaded.config.num_hidden_layers == 2 and loaded.config.hidden_size == 32


def test_its_default_size_is_under_a_million(tmp_path):
    model = load_language_model(str(make_small_model(TEXTS, tmp_path / "m")), device="cpu").model
    assert 0.5e6 < model.num_parameters() < 1e6


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_digits_are_tokens_by_themselves(tokenizer):
    pieces = tokenizer.convert_ids_to_tokens(tokenizer("12,345 m")["input_ids"])
    assert [piece for piece in pieces if piece.isdigit()] == list("12345")


def test_its_template_makes_one_growing_sequence(tokenizer):
    chat = Chat(tokenizer)
    opening = chat.opening([("user", "Who?")])
    assert tokenizer.decode(opening) == "<|user|>Who?<|end|><|assistant|>"
    assert tokenizer.decode(chat.following([("tool", "Found.")])) == "<|end|><|user|>Found.<|end|><|assistant|>"
    end = tokenizer.eos_token_id
    assert tokenizer.decode(chat.following([("user", "x")], end)) == "<|user|>x<|end|><|assistant|>"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary": 200}, "at least 300"),
        ({"layers": 0}, "layers is 0"),
        ({"width": 100, "heads": 8}, "a multiple of 16"),
    ],
)
def test_sizes_that_make_no_model(options, message):
    with pytest.raises(ConfigError, match=message):
        SmallConfig(**options)
