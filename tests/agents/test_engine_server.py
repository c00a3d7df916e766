"""The model server as clients see it: good requests, bad ones, and our own agents over real HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import httpx
import numpy as np
import pytest
import torch

from palaestra.agents import make_agent
from palaestra.agents.base import View
from palaestra.agents.models import transformers_engine as engine_module
from palaestra.agents.models.engine_server import create_app
from palaestra.agents.models.loading import make_decoder
from palaestra.agents.models.transformers_engine import TransformersEngine
from palaestra.episodes import Episode, Turn
from palaestra.errors import ConfigError, ModelUnavailable
from palaestra.spaces import Utf8
from palaestra.tokens import token_sequences

WINDOW = 200
DIALOGUE = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "one two"}]


@pytest.fixture(scope="module")
def engine(byte_model, byte_tokenizer):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    engine = TransformersEngine(byte_model, make_decoder(byte_tokenizer), context_window=WINDOW, max_wait=0.0)
    yield engine
    engine.close()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def url(engine, byte_tokenizer, serving):
    vocabulary = len(byte_tokenizer)
    app = create_app(
        engine, byte_tokenizer, engine.decoder, name="tiny", window=WINDOW, vocabulary=vocabulary, max_bytes=100_000
    )
    return serving(app).url


@pytest.fixture
def post(url):
    with httpx.Client(base_url=url, timeout=30) as client:

        def call(path, body=None, **fields):
            if body is None and path == "/v1/completions":
                body = {"prompt": [5, 6, 7], "seed": 3, "max_tokens": 6, **fields}
            elif body is None:
                body = {"messages": DIALOGUE, "seed": 3, "max_tokens": 6, **fields}
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            answer = client.post(path, content=content)
            return answer.status_code, answer.json()

        yield call


def error_of(answer):
    status, body = answer
    assert body["error"].keys() == {"message", "type", "param", "code"}
    assert body["error"]["type"] == ("invalid_request_error" if status < 500 else "server_error")
    return status, body["error"]["message"]


def test_a_completion_has_what_openais_has_and_the_ids(post, byte_tokenizer):
    status, body = post("/v1/completions", model="tiny", logprobs=0, return_token_ids=True)
    (choice,) = body["choices"]
    assert status == 200 and (body["object"], body["model"], choice["index"]) == ("text_completion", "tiny", 0)
    assert choice["prompt_token_ids"] == [5, 6, 7] and len(choice["token_ids"]) == 6
    assert choice["finish_reason"] == "length" and choice["stop_reason"] is None
    assert choice["text"] == byte_tokenizer.decode(choice["token_ids"], skip_special_tokens=True)
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}
    scores = choice["logprobs"]
    assert [len(scores[name]) for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset")] == [6] * 4
    assert scores["text_offset"][0] == 0 and all(score <= 0 for score in scores["token_logprobs"])
    named = post("/v1/completions", logprobs=0, return_tokens_as_token_ids=True)[1]["choices"][0]
    assert named["logprobs"]["tokens"] == [f"token_id:{token}" for token in choice["token_ids"]]
    plain = post("/v1/completions")[1]["choices"][0]
    assert plain["logprobs"] is None and "token_ids" not in plain and plain["text"] == choice["text"]


def test_a_prompt_may_be_a_text(post, byte_tokenizer):
    ids = byte_tokenizer("one <a>two")["input_ids"]
    for prompt in ("one <a>two", ["one <a>two"], ids, [ids]):
        choice = post("/v1/completions", prompt=prompt, return_token_ids=True)[1]["choices"][0]
        assert choice["prompt_token_ids"] == ids
    assert post("/v1/completions", prompt="lone \ud800 surrogate")[0] == 200


def test_a_dialogue_goes_through_the_chat_template(post, byte_tokenizer):
    shown = byte_tokenizer.apply_chat_template(DIALOGUE, tokenize=False, add_generation_prompt=True)
    status, body = post("/v1/chat/completions", logprobs=True, return_token_ids=True)
    (choice,) = body["choices"]
    assert status == 200 and body["object"] == "chat.completion" and choice["message"]["role"] == "assistant"
    assert byte_tokenizer.decode(body["prompt_token_ids"]) == shown
    assert choice["message"]["content"] == byte_tokenizer.decode(choice["token_ids"], skip_special_tokens=True)
    assert len(choice["logprobs"]["content"]) == len(choice["token_ids"]) == 6
    parts = [{"role": "developer", "content": [{"type": "text", "text": "be brief"}]}, DIALOGUE[1]]
    again = post("/v1/chat/completions", messages=parts, return_token_ids=True)[1]
    assert again["prompt_token_ids"] == body["prompt_token_ids"]
    limited = post("/v1/chat/completions", max_tokens=None, max_completion_tokens=2)[1]
    assert limited["usage"]["completion_tokens"] == 2


def test_stop_strings_are_left_out_unless_they_are_wanted(post):
    for path in ("/v1/completions", "/v1/chat/completions"):
        free = post(path, max_tokens=30, seed=8)[1]["choices"][0]
        text = free.get("text") or free["message"]["content"]
        at = next(at for at in range(3, len(text)) if text[at : at + 2].isascii() and text[at : at + 2].isprintable())
        stop = text[at : at + 2]
        until = text[: text.index(stop)]
        for keep, expected in (({}, until), ({"include_stop_str_in_output": True}, until + stop)):
            choice = post(path, max_tokens=30, seed=8, stop=stop, **keep)[1]["choices"][0]
            said = choice["text"] if path == "/v1/completions" else choice["message"]["content"]
            assert (said, choice["stop_reason"], choice["finish_reason"]) == (expected, stop, "stop")


def test_without_a_seed_every_answer_is_another(post):
    texts = {post("/v1/completions", seed=None, max_tokens=20)[1]["choices"][0]["text"] for _ in range(4)}
    assert len(texts) == 4
    assert post("/v1/completions", max_tokens=None)[1]["usage"]["completion_tokens"] <= 16
    assert post("/v1/completions", seed=-5)[0] == 200


BAD = [
    ({"prompt": None}, "'prompt' must be a text or a list of token ids"),
    ({"prompt": []}, "'prompt' must be"),
    ({"prompt": ["a", "b"]}, "one in a request"),
    ({"prompt": [1.5]}, "'prompt' must be"),
    ({"prompt": [True]}, "'prompt' must be"),
    ({"prompt": ""}, "The prompt has no tokens"),
    ({"prompt": [100_000]}, r"A token id lies in \[0, "),
    ({"prompt": [-1]}, r"A token id lies in \[0, "),
    ({"max_tokens": 0}, "'max_tokens' must be at least 1"),
    ({"max_tokens": "many"}, "'max_tokens' must be a whole number, got 'many'"),
    ({"temperature": -1}, "temperature must be 0"),
    ({"temperature": "hot"}, "'temperature' must be a number"),
    ({"top_p": 0}, "top_p must lie in"),
    ({"seed": 0.5}, "'seed' must be a whole number"),
    ({"stop": 5}, "'stop' must be a text"),
    ({"stop": [""]}, "none of them empty"),
    ({"stop_token_ids": "x"}, "'stop_token_ids' must be a list"),
    ({"stop_token_ids": [9]}, r"the model's own end tokens \(0\), not \[9\]"),
    ({"logprobs": 5}, "'logprobs' is 5; only 0"),
    ({"stream": True}, "'stream' is not supported here: leave it out, or at false"),
    ({"n": 2}, "'n' is not supported here: leave it out, or at 1"),
    ({"top_k": 5}, "leave it out, or at -1 or 0"),
    ({"repetition_penalty": 1.1}, "'repetition_penalty' is not supported"),
    ({"skip_special_tokens": False}, "'skip_special_tokens' is not supported"),
    ({"return_token_ids": "yes"}, "'return_token_ids' must be true or false"),
    ({"temprature": 1}, r"There is no field 'temprature'\. Did you mean 'temperature'"),
    ({"prompt": [5] * (WINDOW - 1)}, f"maximum context length is {WINDOW} tokens, and the prompt has {WINDOW - 1}"),
]


@pytest.mark.parametrize(("fields", "why"), BAD, ids=lambda value: json.dumps(value)[:40])
def test_a_bad_request_is_told_what_is_accepted(post, fields, why):
    status, message = error_of(post("/v1/completions", **fields))
    assert status == 400 and re.search(why, message), message


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        (None, "'messages' must be a list"),
        ([], "'messages' must be a list"),
        (["hello"], "A message needs a 'role'"),
        ([{"role": "boss", "content": "x"}], "one of system, developer, user, assistant, tool; got 'boss'"),
        ([{"role": "user", "content": 5}], "'content' must be a text"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "parts of the type 'text'"),
    ],
)
def test_a_bad_dialogue_is_told_what_is_accepted(post, messages, why):
    status, message = error_of(post("/v1/chat/completions", messages=messages))
    assert status == 400 and re.search(why, message)


def test_what_is_no_request_at_all(post, url):
    for body, why in ((b"{", "not JSON"), (b"[1]", "must be a JSON object, not list"), (b"[" * 9999, "not JSON")):
        status, message = error_of(post("/v1/completions", body))
        assert status == 400 and why in message
    assert error_of(post("/v1/completions", b"x" * 200_000))[0] == 413
    status, message = error_of(post("/v1/completions", model="other"))
    assert status == 404 and message == "There is no model 'other' here, only 'tiny'."
    assert error_of(post("/v1/embeddings", {}))[0] == 404
    assert httpx.get(f"{url}/v1/completions").status_code == 405
    status, message = error_of(post("/update_weights_from_disk", {"model_path": "/etc"}))
    assert status == 400 and "from no folder" in message


def test_models_and_health(post, url):
    (listed,) = httpx.get(f"{url}/v1/models").json()["data"]
    assert (listed["id"], listed["max_model_len"], listed["owned_by"]) == ("tiny", WINDOW, "palaestra")
    health = httpx.get(f"{url}/health").json()
    assert health["status"] == "ok" and health["version"] == 0


def test_a_client_that_goes_away_ends_its_request(url, engine, monkeypatch):
    forward, gate, begun = engine_module.packed_forward, threading.Event(), threading.Event()

    def held(model, batch):
        begun.set()
        gate.wait(20)
        return forward(model, batch)

    monkeypatch.setattr(engine_module, "packed_forward", held)
    before = engine.metrics()["sampled_tokens"]
    client = httpx.Client(timeout=0.3)
    with pytest.raises(httpx.ReadTimeout):
        client.post(f"{url}/v1/completions", json={"prompt": [5] * 20, "max_tokens": 150, "temperature": 0.5})
    client.close()
    assert begun.is_set()
    time.sleep(0.2)
    gate.set()
    deadline = time.monotonic() + 10
    while engine._conversations and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not engine._conversations and engine.metrics()["sampled_tokens"] - before < 50


def test_weights_come_only_from_the_folder_that_was_named(byte_model, byte_tokenizer, serving, tmp_path):
    import copy

    from safetensors.torch import save_file

    folder, other = tmp_path / "weights", tmp_path / "other"
    engine = TransformersEngine(copy.deepcopy(byte_model), make_decoder(byte_tokenizer), context_window=WINDOW)
    app = create_app(engine, byte_tokenizer, engine.decoder, name="t", window=WINDOW, vocabulary=300, weights=folder)
    server = serving(app).url

    def update(**body):
        answer = httpx.post(f"{server}/update_weights_from_disk", json=body)
        return answer.status_code, answer.json()

    assert "model_path" in error_of(update())[1]
    assert "from no" not in error_of(update(model_path=str(other)))[1]
    assert f"takes weights from {folder}" in error_of(update(model_path=str(other)))[1]
    assert "no weights (*.safetensors)" in error_of(update(model_path=str(folder)))[1]
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"nonsense")
    assert "cannot be read" in error_of(update(model_path=str(folder)))[1]
    save_file({"nothing.weight": torch.zeros(1)}, folder / "model.safetensors")
    assert "no weights 'nothing.weight'" in error_of(update(model_path=str(folder)))[1]
    save_file({"lm_head.weight": byte_model.lm_head.weight.detach() * 0}, folder / "model.safetensors")
    assert update(model_path=str(folder))[1]["success"] and engine.version == 1
    assert update(model_path=str(folder), weight_version="7")[0] == 200 and engine.version == 7
    body = {"prompt": [5], "max_tokens": 3, "logprobs": 0, "temperature": 1}
    answer = httpx.post(f"{server}/v1/completions", json=body).json()
    assert answer["metadata"]["weight_version"] == "7"
    uniform = -np.log(len(byte_tokenizer))
    assert answer["choices"][0]["logprobs"]["token_logprobs"] == pytest.approx([uniform] * 3, abs=1e-5)
    engine.close()
    status, message = error_of((lambda a: (a.status_code, a.json()))(httpx.post(f"{server}/v1/completions", json=body)))
    assert status == 503 and "closed" in message


# Our own agents ------------------------------------------------------------------------------------------------


def make_view(messages, t, memory, episode, stop):
    return View(
        observation=messages[-1]["content"],
        messages=messages,
        tools=(),
        action_space=Utf8(max_bytes=1000),
        t=t,
        seed=100 * t + len(episode),
        episode_id=episode,
        stop=stop,
        memory=memory,
    )


async def play(agent, episode="e", turns=3, stop=()):
    """An episode, as the harness would record it."""
    messages, memory, played = list(DIALOGUE), {}, []
    for t in range(turns):
        action = await agent.act(make_view(messages, t, memory, episode, stop))
        messages += [{"role": "assistant", "content": action.value}, {"role": "tool", "content": f"result {t}"}]
        played.append(Turn(t, action.value, completion=action.completion))
    agent.finish(episode)
    facts = {"group_id": "g", "env_id": "x", "env_kwargs": {}, "task": None, "seed": 0, "attempt": 0}
    return Episode(episode, **facts, agent_id="a", world_id="w", status="truncated", observations=[], turns=played)


@pytest.fixture(scope="module")
def folder(byte_model, byte_tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    byte_model.save_pretrained(path)
    byte_tokenizer.save_pretrained(path)
    return path


def test_the_server_agent_records_the_tokens_that_were_sampled(url, folder, byte_model):
    options = "temperature=0.8&max_new_tokens=12"
    remote = make_agent(f"server:tiny@{url}?tokenizer={folder}&{options}")
    local = make_agent(f"transformers:{folder}?{options}&context_window={WINDOW}")

    async def both():
        names = ("e", "ee", "eee", "eeee")
        return [await asyncio.gather(*[play(agent, name) for name in names]) for agent in (remote, local)]

    for mine, yours in zip(*asyncio.run(both()), strict=True):
        (sequence,), (other,) = token_sequences(mine), token_sequences(yours)
        assert sequence.ids.tolist() == other.ids.tolist() and mine.turns[-1].action == yours.turns[-1].action
        ids = torch.tensor(sequence.ids[None], dtype=torch.long)
        with torch.no_grad():
            logits = byte_model(input_ids=ids, use_cache=False).logits[0] / 0.8
        scores = torch.log_softmax(logits, -1)[:-1].gather(-1, ids[0, 1:, None])[:, 0].numpy()
        mask = sequence.loss_mask[1:]
        assert mask.sum() > 20 and np.abs(scores[mask] - sequence.logprobs[1:][mask]).max() <= 1e-4
    assert remote.metrics()["turns"] == 12 and remote.metrics()["inexact_turns"] == 0
    assert remote.describe()["kind"] == "server" and remote.describe()["url"] == f"{url}/v1"
    for agent in (remote, local):
        agent.close()
        agent.close()


def test_the_server_agent_says_nothing_once_the_window_is_full(url, folder):
    agent = make_agent(f"server:tiny@{url}?tokenizer={folder}&max_new_tokens=60")
    episode = asyncio.run(play(agent, turns=5))
    reasons = [turn.completion.finish_reason for turn in episode.turns]
    assert reasons[-1] == "context_overflow" and episode.turns[-1].action == ""
    agent.close()


def test_the_openai_agent_gets_ids_from_it_too(url):
    agent = make_agent(f"openai:tiny@{url}?vllm=true&max_new_tokens=8&temperature=1", retries=0)
    episode = asyncio.run(play(agent, turns=2))
    for turn in episode.turns:
        assert 1 <= len(turn.completion.token_ids) <= 8 and len(turn.completion.context_ids) > 0
    plain = make_agent(f"openai:tiny@{url}?max_new_tokens=8&temperature=1", retries=0)
    assert asyncio.run(play(plain, turns=2)).turns[0].action == episode.turns[0].action
    for made in (agent, plain):
        made.close()


def test_server_specs(url, folder):
    for bad in ("server", "server:", "server:tiny", "server:@http://x"):
        with pytest.raises(ConfigError, match="Write server:MODEL@URL"):
            make_agent(bad)
    with pytest.raises(ConfigError, match="There is no model 'tiny'"):  # whose tokenizer could be loaded
        make_agent(f"server:tiny@{url}")
    with pytest.raises(ConfigError, match="raw, tempered, processed"):
        make_agent(f"server:tiny@{url}?tokenizer={folder}&logprobs=best")
    with pytest.raises(ConfigError, match="Did you mean 'tokenizer'"):
        make_agent(f"server:tiny@{url}?tokeniser={folder}")
    agent = make_agent(f"server:other@{url}?tokenizer={folder}", retries=0)
    with pytest.raises(ModelUnavailable, match="There is no model 'other' here, only 'tiny'"):
        asyncio.run(play(agent))
    agent.close()


def test_palaestra_serve_model_serves_until_it_is_interrupted(folder):
    command = [sys.executable, "-m", "palaestra.harness.cli", "serve", "model", str(folder), "--port", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, "--name", "mine", "--context-window", "300"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as process:
        line = process.stdout.readline()
        found = re.search(r"as 'mine' at (http://127\.0\.0\.1:\d+)", line)
        assert found, line + process.stdout.read()
        agent = make_agent(f"server:mine@{found[1]}?tokenizer={folder}&max_new_tokens=5")
        assert len(asyncio.run(play(agent)).turns) == 3
        agent.close()
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=30)[0]
    assert process.returncode in (0, 130) and "Traceback" not in rest
