"""Against a server that misbehaves in every way we promise to survive or to name."""

from __future__ import annotations

import asyncio
import json
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from palaestra.agents.models.engine import GenerationRequest
from palaestra.agents.models.openai_engine import OpenAIEngine
from palaestra.agents.models.turns import Decoder
from palaestra.agents.models.weight_folder import WEIGHTS_FILE, WeightFolder
from palaestra.agents.openai_client import OpenAIClient
from palaestra.errors import BudgetExceeded, ConfigError, ModelUnavailable

END = 0


def letters(ids: Any) -> str:
    """Token 1 is 'a', token 2 'b', ...; the end has no text."""
    return "".join(chr(96 + token) for token in ids if token != END)


def choice(ids=(1, 2, 3), **changes):
    """What vLLM says of these tokens."""
    words = {"tokens": [f"token_id:{token}" for token in ids], "token_logprobs": [-0.5 for _ in ids]}
    return {"text": letters(ids), "finish_reason": "length", "logprobs": words, "token_ids": list(ids), **changes}


def body(ids=(1, 2, 3), **changes):
    return {"model": "m", "choices": [choice(ids, **changes)], "usage": {}}


class Script:
    """Answers with whatever `say` makes of the n-th completion asked for; remembers what was posted where."""

    def __init__(self) -> None:
        routes = [
            Route("/v1/models", self.list_models),
            Route("/v1/completions", self.complete, methods=["POST"]),
            Route("/{rest:path}", self.other, methods=["POST"]),
        ]
        self.app = Starlette(routes=routes)
        self.begin()

    def begin(self) -> None:
        self.say: Callable[[int, dict], Any] = lambda n, asked: body()
        self.models: Any = {"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 100}]}
        self.asked: list[dict] = []
        self.posted: list[tuple[str, Any]] = []
        self.reload: Callable[[str], Any] = lambda path: {"success": True}

    async def list_models(self, request):
        return self.models if isinstance(self.models, Response) else JSONResponse(self.models)

    async def complete(self, request):
        self.asked.append(json.loads(await request.body()))
        said = self.say(len(self.asked) - 1, self.asked[-1])
        if asyncio.iscoroutine(said):
            said = await said
        return said if isinstance(said, Response) else JSONResponse(said)

    async def other(self, request):
        self.posted.append((request.url.path, json.loads(await request.body())))
        said = self.reload(request.url.path)
        return said if isinstance(said, Response) else JSONResponse(said)


@pytest.fixture(scope="module")
def running(serving):
    script = Script()
    return script, serving(script.app).url


@pytest.fixture
def script(running):
    running[0].begin()
    return running[0]


@pytest.fixture
def make(running):
    engines = []

    def build(*, ends=(END,), weights=None, logprobs=None, context_window=None, **options):
        client = OpenAIClient(
            running[1],
            what="The test",
            **{"timeout": 20, "retries": 2, "backoff": 0.01, "max_backoff": 0.02, **options},
        )
        decoder = Decoder(letters, ends, {END})
        engines.append(
            OpenAIEngine(client, "m", decoder, weights=weights, logprobs=logprobs, context_window=context_window)
        )
        return engines[-1]

    yield build
    for engine in engines:
        engine.close()


def request(name="c", context=(7, 8), **options):
    settings = {"seed": 5, "temperature": 1.0, "max_new_tokens": 3, **options}
    return GenerationRequest(name, np.array(context, np.int32), **settings)


def ask(engine, **options):
    return engine.generate([request(**options)])[0]


def raw(text):
    """JSON with what JSON does not have: NaN and Infinity."""
    return lambda: Response(text, media_type="application/json")


NAN = json.dumps(body(logprobs={"token_logprobs": [-0.5, float("nan"), -0.5]}))
INFINITE = json.dumps(body(logprobs={"token_logprobs": [-0.5, float("-inf"), -0.5]}))
PASSING = {
    "500": (lambda: Response("oops", 500), "status 500: oops", "model_server_error"),
    "503": (lambda: JSONResponse({"error": {"message": "loading"}}, 503), "loading", "model_server_error"),
    "429": (lambda: Response("wait", 429), "status 429", "model_overloaded"),
    "no JSON": (lambda: Response('{"choices": ['), "no completion", "model_garbage"),
    "no bytes": (lambda: Response(""), "no completion", "model_garbage"),
    "an error with status 200": (lambda: {"error": {"message": "x"}}, "no completion", "model_garbage"),
    "no choices": (lambda: {"choices": []}, "no completion", "model_garbage"),
    "a list": (lambda: [1], "no completion", "model_garbage"),
    "no text": (lambda: body(text=None), "no text", "model_garbage"),
    "ids that are texts": (lambda: body(token_ids=["1", "2", "3"]), "ids that are none", "model_garbage"),
    "ids that are truths": (lambda: body(token_ids=[True, 2, 3]), "ids that are none", "model_garbage"),
    "negative ids": (lambda: body(token_ids=[-1, 2, 3]), "ids that are none", "model_garbage"),
    "huge ids": (lambda: body(token_ids=[2**31, 2, 3]), "ids that are none", "model_garbage"),
    "ids of no list": (lambda: body(token_ids=3), "ids that are none", "model_garbage"),
    "fewer ids": (lambda: body(token_ids=[1, 2]), "2 token ids with 3 log-prob", "model_garbage"),
    "no tokens at all": (lambda: body(()), "0 tokens where 1 to 3", "model_garbage"),
    "more than was asked for": (lambda: body((1, 2, 3, 4)), "4 tokens where 1 to 3", "model_garbage"),
    "scores of other tokens": (lambda: body(token_ids=[1, 2, 4]), "of other tokens", "model_garbage"),
    "fewer scores": (lambda: body(logprobs={"token_logprobs": [-1.0]}), "3 token ids with 1 log", "model_garbage"),
    "NaN": (raw(NAN), r"that are none: \[nan\]", "model_garbage"),
    "infinity": (raw(INFINITE), r"that are none: \[-inf\]", "model_garbage"),
    "null among scores": (lambda: body(logprobs={"token_logprobs": [-1, None, -1]}), "are none", "model_garbage"),
    "a probability above one": (lambda: body(logprobs={"token_logprobs": [-1, 0.5, -1]}), "0.5", "model_garbage"),
    "aborted": (lambda: body(finish_reason="abort"), "reason 'abort'", "model_garbage"),
}


@pytest.mark.parametrize("trouble", PASSING)
def test_trouble_that_passes_is_survived_and_trouble_that_stays_is_named(make, script, trouble):
    answer, why, kind = PASSING[trouble]
    script.say = lambda n, asked: answer() if n < 2 else body()
    engine = make()
    assert ask(engine).token_ids.tolist() == [1, 2, 3]
    assert engine.metrics()["retries"] == 2 and engine.metrics()["failures"] == 0
    assert script.asked[0] == script.asked[1] == script.asked[2]
    script.say = lambda n, asked: answer()
    with pytest.raises(ModelUnavailable, match=why) as caught:
        ask(engine)
    assert (caught.value.kind, caught.value.retryable, len(script.asked)) == (kind, True, 6)
    script.say = lambda n, asked: body()
    assert ask(engine).prefix_len == 0  # forgotten


HOPELESS = {
    "no ids": (lambda: body(token_ids=None, logprobs={"token_logprobs": [-1, -1, -1]}), "model_no_token_ids"),
    "no scores": (lambda: body(logprobs=None), "model_no_logprobs"),
    "another prompt": (lambda: body(prompt_token_ids=[1, 7, 8]), "model_prompt_changed"),
    "no prompt but something": (lambda: body(prompt_token_ids="no"), "model_prompt_changed"),
    "another tokenizer": (lambda: body(text="xyz"), "model_tokenizer"),
    "text that goes on without ids": (lambda: body(text="abcd"), "model_tokenizer"),
    "text that is missing": (lambda: body(text=""), "model_tokenizer"),
    "404": (lambda: JSONResponse({"error": {"message": "no model 'm'"}}, 404), "model_rejected"),
    "400": (lambda: JSONResponse({"object": "error", "message": "top_k"}, 400), "model_rejected"),
}


@pytest.mark.parametrize("trouble", HOPELESS)
def test_what_asking_again_cannot_mend_fails_at_once(make, script, trouble):
    answer, kind = HOPELESS[trouble]
    script.say = lambda n, asked: answer()
    with pytest.raises(ModelUnavailable) as caught:
        ask(make())
    assert (caught.value.kind, caught.value.retryable, len(script.asked)) == (kind, False, 1)


def test_a_server_that_hangs_times_out(make, script):
    async def forever(n):
        await asyncio.sleep(0.6)
        return body()

    script.say = lambda n, asked: forever(n)
    with pytest.raises(ModelUnavailable, match="ReadTimeout") as caught:
        ask(make(read_timeout=0.1, retries=1))
    assert (caught.value.kind, len(script.asked)) == ("model_timeout", 2)
    with pytest.raises(ModelUnavailable, match=r"within 0\.2 s, retries included"):
        ask(make(timeout=0.2))


def test_nobody_there_and_an_empty_account(make, script, serving):
    gone = serving(script.app)
    gone.close()
    engine = OpenAIEngine(
        OpenAIClient(gone.url, what="x", retries=1, backoff=0.01), "m", Decoder(letters, (END,), {END})
    )
    with pytest.raises(ModelUnavailable, match="2 attempts") as caught:
        ask(engine)
    assert caught.value.kind == "model_unreachable"
    engine.close()
    script.say = lambda n, asked: JSONResponse({"error": {"message": "x", "code": "insufficient_quota"}}, 429)
    with pytest.raises(BudgetExceeded, match="account is spent"):
        ask(make())


def test_nothing_but_temperature_and_top_p_changes_the_distribution(make, script):
    """Servers fill in what is left out from the model's own settings (vLLM: generation_config.json)."""
    engine = make(ends=(END, np.int64(9)))
    with pytest.warns(UserWarning, match=r"temperature 0\.5 and top_p 0\.9"):
        ask(engine, stop=("</a>", "no"), temperature=0.5, top_p=0.9, seed=2**31 + 3)
    (sent,) = script.asked
    assert (sent["prompt"], sent["max_tokens"], sent["seed"], sent["model"]) == ([7, 8], 3, 3, "m")
    assert (sent["temperature"], sent["top_p"], sent["top_k"], sent["min_p"]) == (0.5, 0.9, -1, 0)
    assert (sent["repetition_penalty"], sent["presence_penalty"], sent["frequency_penalty"]) == (1, 0, 0)
    assert sent["stop"] == ["</a>", "no"] and sent["include_stop_str_in_output"] and sent["no_stop_trim"]
    assert sent["return_token_ids"] and sent["return_tokens_as_token_ids"] and sent["logprobs"] == 0
    assert sent["stop_token_ids"] == [0, 9]


def test_the_whole_conversation_is_sent_as_it_was_sampled(make, script):
    script.say = lambda n, asked: body((n + 1, END), prompt_token_ids=asked["prompt"], finish_reason="stop")
    engine = make()
    results = [ask(engine, context=(20 + turn,)) for turn in range(3)]
    assert [result.prefix_len for result in results] == [0, 3, 6]
    assert script.asked[2]["prompt"] == [20, 1, END, 21, 2, END, 22]
    assert [(result.text, result.finish_reason) for result in results] == [("a", "stop"), ("b", "stop"), ("c", "stop")]
    assert engine.metrics()["prompt_tokens"] == 1 + 4 + 7


def test_ids_among_the_logprobs_are_enough(make, script):
    script.say = lambda n, asked: body((4, 5, END), token_ids=None, finish_reason="stop")
    assert ask(make()).token_ids.tolist() == [4, 5, END]


def test_what_was_sampled_behind_the_end_of_a_turn_is_dropped(make, script):
    """Servers that look for stop strings only now and then, or know fewer end tokens."""
    engine = make()
    for ids, options, kept, text in (
        ((1, 2, 3, 4, 5), {"stop": ("bc",)}, [1, 2, 3], "abc"),
        ((1, END, 3), {}, [1, END], "a"),
    ):
        script.say = lambda n, asked, ids=ids: body(ids, finish_reason="stop")
        result = ask(engine, name=text, max_new_tokens=8, **options)
        assert (result.token_ids.tolist(), result.text, result.finish_reason) == (kept, text, "stop")
        assert len(result.logprobs) == len(kept)
        ask(engine, name=text, context=(9,), max_new_tokens=8)
        assert script.asked[-1]["prompt"] == [7, 8, *kept, 9]
    assert engine.metrics()["dropped_tokens"] == 2 + 1 + 1  # the last by the turn after it


def test_a_servers_own_reason_to_end_is_taken(make, script):
    script.say = lambda n, asked: body((1, 2), finish_reason=("stop", "length")[n])
    engine = make()
    assert [ask(engine, name=name).finish_reason for name in "ab"] == ["stop", "length"]


@pytest.mark.parametrize(
    ("theirs", "ids"),
    [(" abc", (1, 2, 3)), ("a b\nc", (1, 2, 3)), ("ab\ufffdc", (1, 2, 3)), ("abc", (1, 2, 3, END))],
)
def test_white_space_and_broken_characters_are_no_other_text(make, script, theirs, ids):
    script.say = lambda n, asked: body(ids, text=theirs)
    assert ask(make(), max_new_tokens=4).text == "abc"


def test_the_window_is_the_servers_unless_it_is_given(make, script):
    engine = make()
    assert ask(engine, context=[1] * 90, max_new_tokens=20, name="a").finish_reason == "length"
    assert script.asked[0]["max_tokens"] == 10
    overflow = ask(engine, context=[1] * 93, max_new_tokens=20, name="b")
    assert (overflow.finish_reason, overflow.prefix_len, len(script.asked)) == ("context_overflow", 0, 1)
    small = make(context_window=50)
    assert ask(small, context=[1] * 43, max_new_tokens=20).finish_reason == "context_overflow"
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 40 tokens. However, you requested 50 tokens",
        "The input (50 tokens) is longer than the model's context length (40 tokens).",
    ],
)
@pytest.mark.parametrize("listed", [{"data": []}, {"data": 7}, Response("x", 404), Response("no JSON")], ids=repr)
def test_a_window_that_nobody_names_is_found_by_the_servers_refusal(make, script, words, listed):
    script.models = listed
    script.say = lambda n, asked: body() if n == 0 else JSONResponse({"error": {"message": words}}, 400)
    engine = make()
    assert ask(engine).finish_reason == "length"
    result = ask(engine, context=[1] * 1000)
    assert (result.finish_reason, result.token_ids.tolist(), result.prefix_len) == ("context_overflow", [], 5)
    script.say = lambda n, asked: body()
    ask(engine, context=(9,))
    assert script.asked[-1]["prompt"] == [7, 8, 1, 2, 3, 9]  # as it was before


@pytest.mark.parametrize(
    ("owner", "declared", "convention", "exact"),
    [
        ("vllm", None, "raw", (True, True, False, True, False)),
        ("somebody", None, "raw", (True, True, False, True, False)),
        ("sglang", None, "tempered", (True, True, True, True, True)),
        ("palaestra", None, "tempered", (True, True, True, True, True)),
        ("vllm", "processed", "processed", (True, True, True, False, False)),
        ("sglang", "raw", "raw", (True, True, False, True, False)),
    ],
)
def test_what_is_exact_about_the_logprobs_is_said(make, script, owner, declared, convention, exact):
    script.models = {"data": [{"id": "other", "owned_by": "x"}, {"id": "m", "owned_by": owner}]}
    engine = make(logprobs=declared)
    settings = [(1.0, 1.0), (0.0, 1.0), (0.5, 1.0), (1.0, 0.9), (0.5, 0.9)]
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        for number, (temperature, top_p) in enumerate(settings):
            ask(engine, name=str(number), temperature=temperature, top_p=top_p)
    assert len(noted) == (not all(exact)) and all("not of the policy that samples" in str(n.message) for n in noted)
    counted = engine.metrics()
    assert (counted["logprobs"], counted["inexact_turns"]) == (convention, exact.count(False))
    assert tuple(engine.exact(request(temperature=t, top_p=p)) for t, p in settings) == exact


def test_many_conversations_at_once(make, script):
    async def later(asked):
        await asyncio.sleep(0.02)
        return body((asked["prompt"][0],))

    script.say = lambda n, asked: later(asked)
    engine = make()
    for turn in range(2):
        results = engine.generate([request(f"c{number}", (number + 1,), max_new_tokens=1) for number in range(26)])
        assert [result.text for result in results] == [chr(97 + number) for number in range(26)]
        assert {result.prefix_len for result in results} == {2 * turn}


def test_a_cancelled_turn_is_forgotten_at_once_with_all_before_it(make, script):
    asked = threading.Event()

    async def slow():
        asked.set()
        await asyncio.sleep(0.3)
        return body()

    script.say = lambda n, sent: slow() if n == 1 else body()
    engine = make()
    assert ask(engine).prefix_len == 0
    second = engine.submit(request())
    assert asked.wait(10) and second.cancel()
    assert ask(engine).prefix_len == 0
    assert ask(engine).prefix_len == 5  # and what goes on is not disturbed by the end of the cancelled one
    assert engine.metrics()["failures"] == 0


WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.weight": torch.ones(4, dtype=torch.bfloat16)}


def test_weights_travel_through_a_folder_and_the_servers_own_calls(make, script, tmp_path):
    from safetensors.torch import load_file

    folder = tmp_path / "new" / "weights"
    engine = make(weights=WeightFolder(folder))
    tied = {**WEIGHTS, "tied.weight": WEIGHTS["a.weight"], "view": WEIGHTS["a.weight"].T}
    engine.load_weights(tied.items(), 4)
    assert script.posted == [("/update_weights_from_disk", {"model_path": str(folder), "weight_version": "4"})]
    found = load_file(folder / WEIGHTS_FILE)
    assert found.keys() == tied.keys() and all(torch.equal(found[name], tied[name]) for name in tied)
    assert [path.name for path in folder.iterdir()] == [WEIGHTS_FILE]
    assert engine.version == 4 and ask(engine).policy_version == 4
    calls = (("/collective_rpc", {"method": "reload_weights", "args": ["{folder}", 1]}), ("/reset_prefix_cache", {}))
    make(weights=WeightFolder(tmp_path, calls)).load_weights(WEIGHTS.items(), 1)
    assert script.posted[1:] == [
        ("/collective_rpc", {"method": "reload_weights", "args": [str(tmp_path), 1]}),
        ("/reset_prefix_cache", {}),
    ]


def test_weights_that_cannot_travel(make, script, tmp_path):
    with pytest.raises(ConfigError, match=r"weights=WeightFolder"):
        make().load_weights(WEIGHTS.items(), 1)
    engine = make(weights=WeightFolder(tmp_path))
    with pytest.raises(ConfigError, match="shares no memory"):
        engine.load_weights((), 1)
    script.reload = lambda path: JSONResponse({"success": False, "message": "bad shape"}, 400)
    with pytest.raises(ConfigError, match=r"does not take the weights.*bad shape"):
        engine.load_weights(WEIGHTS.items(), 1)
    script.reload = lambda path: Response("busy", 500)
    with pytest.raises(ModelUnavailable, match="busy"):
        engine.load_weights(WEIGHTS.items(), 1)
    assert engine.version == 0 and ask(engine).policy_version == 0


def test_weights_wait_for_turns_and_turns_for_weights(make, script, tmp_path):
    """Nothing is asked of the server between the first call and the end of the last."""
    order, asked, let_go = [], threading.Event(), threading.Event()

    async def slow(n):
        order.append(f"turn {n} begins")
        asked.set()
        while n == 0 and not let_go.is_set():
            await asyncio.sleep(0.005)
        order.append(f"turn {n} ends")
        return body()

    def reload(path):
        order.append("load")
        return {}

    script.say, script.reload = (lambda n, sent: slow(n)), reload
    engine = make(weights=WeightFolder(tmp_path))
    first = engine.submit(request("a"))
    assert asked.wait(10)
    loading = threading.Thread(target=engine.load_weights, args=(WEIGHTS.items(), 1))
    loading.start()
    while not engine._gate._loads:
        threading.Event().wait(0.002)
    second = engine.submit(request("b"))
    threading.Event().wait(0.05)
    let_go.set()
    loading.join(10)
    assert (first.result(10).policy_version, second.result(10).policy_version) == (0, 1)
    assert order == ["turn 0 begins", "turn 0 ends", "load", "turn 1 begins", "turn 1 ends"]


def test_bad_settings_are_named():
    client, decoder = OpenAIClient("http://localhost:1", what="x"), Decoder(letters, (END,), {END})
    with pytest.raises(ConfigError, match="raw, tempered, processed, got 'exact'"):
        OpenAIEngine(client, "m", decoder, logprobs="exact")
    with pytest.raises(ConfigError, match="context_window must be at least 1"):
        OpenAIEngine(client, "m", decoder, context_window=0)
