"""Against a real HTTP server on this machine that misbehaves in every way we promise to survive."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from email.utils import formatdate

import numpy as np
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from palaestra.agents import make_agent
from palaestra.agents.base import View
from palaestra.agents.budget import Budget
from palaestra.agents.openai_agent import OpenAIAgent
from palaestra.agents.openai_protocol import Answer, close_tag, full_jitter, retry_after
from palaestra.episodes import Episode, Turn
from palaestra.errors import BudgetExceeded, ConfigError, ModelUnavailable
from palaestra.spaces import Utf8
from palaestra.tokens import token_sequences

KEY = "sk-very-secret"


def completion(text="hello", *, finish_reason="stop", **choice):
    return {
        "model": "served-model",
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish_reason, **choice}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3},
    }


class Server:
    """Answers with whatever `script` says to the n-th request; remembers all requests."""

    def __init__(self) -> None:
        self.script: Callable[[int, dict], object] = lambda n, body: completion()
        self.bodies: list[dict] = []
        self.headers: list[dict] = []
        self.times: list[float] = []
        self.in_flight = self.most_in_flight = 0
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = Starlette(routes=[Route("/v1/chat/completions", self.answer, methods=["POST"])])
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]})
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    async def answer(self, request):
        self.bodies.append(json.loads(await request.body()))
        self.headers.append(dict(request.headers))
        self.times.append(time.monotonic())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            reply = self.script(len(self.bodies) - 1, self.bodies[-1])
            if asyncio.iscoroutine(reply):
                reply = await reply
        finally:
            self.in_flight -= 1
        return reply if isinstance(reply, Response) or callable(reply) else JSONResponse(reply)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture(scope="module")
def running_server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(running_server):
    running_server.script = lambda n, body: completion()
    running_server.bodies.clear()
    running_server.headers.clear()
    running_server.times.clear()
    running_server.most_in_flight = 0
    return running_server


@pytest.fixture
def make(server):
    agents = []

    def build(**options):
        agent = OpenAIAgent("m", server.url, **{"backoff": 0.01, "max_backoff": 0.02, "api_key": KEY, **options})
        agents.append(agent)
        return agent

    yield build
    for agent in agents:
        agent.close()
        agent.close()


def make_view(messages=None, *, stop=(), seed=5, memory=None):
    return View(
        observation="",
        messages=messages or [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        tools=({"type": "function"},),
        action_space=Utf8(max_bytes=1000),
        t=0,
        seed=seed,
        episode_id="e",
        stop=stop,
        memory={} if memory is None else memory,
    )


def ask(agent, **view):
    return asyncio.run(agent.act(make_view(**view)))


async def drop(scope, receive, send):
    """Promises more bytes than it sends, and hangs up."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    await send({"type": "http.response.body", "body": b'{"choices": [', "more_body": True})
    raise ConnectionError("hang up")


def test_a_request_holds_what_the_protocol_knows_and_nothing_else(server, make):
    tool = [
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "\ud800"},
        {"role": "tool", "content": "r"},
    ]
    action = ask(make(temperature=0.5, top_p=0.9, max_new_tokens=7), messages=tool, stop=("</a>",), seed=2**40 + 3)
    assert action.value == "hello"
    assert server.bodies[0] == {
        "model": "m",
        "messages": [*tool[:2], {"role": "user", "content": "r"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "seed": 3,
        "stop": ["</a>"],
    }
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    sample = action.completion
    assert (sample.model, sample.finish_reason, len(sample.token_ids)) == ("served-model", "stop", 0)


TROUBLE = {
    "500": lambda: JSONResponse({"error": {"message": "oops"}}, 500),
    "503 in HTML": lambda: Response("<html>down</html>", 503),
    "429": lambda: JSONResponse({"error": {"message": "slow down"}}, 429),
    "dropped": lambda: drop,
    "garbage": lambda: Response("{not json", 200),
    "no choices": lambda: JSONResponse({"choices": []}),
    "a list": lambda: JSONResponse([1, 2]),
    "content of a wrong type": lambda: JSONResponse({"choices": [{"message": {"content": [1]}}]}),
    "null": lambda: JSONResponse(None),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_trouble_that_passes_is_survived_and_trouble_that_stays_is_model_unavailable(server, make, trouble):
    server.script = lambda n, body: TROUBLE[trouble]() if n < 2 else completion("fine")
    agent = make()
    assert ask(agent).value == "fine"
    assert agent.metrics()["retries"] == 2
    server.script = lambda n, body: TROUBLE[trouble]()
    before = len(server.bodies)
    with pytest.raises(ModelUnavailable, match="3 attempts") as caught:
        ask(make(retries=2))
    assert len(server.bodies) - before == 3
    assert caught.value.retryable


def test_retry_after_is_honoured(server, make):
    server.script = lambda n, body: Response("wait", 429, headers={"Retry-After": "0.3"}) if n == 0 else completion()
    ask(make())
    assert server.times[1] - server.times[0] >= 0.3
    server.script = lambda n, body: Response("wait", 429, headers={"Retry-After": "3600"})
    with pytest.raises(ModelUnavailable, match="1 attempts"):  # longer than the turn may take: no use in waiting
        ask(make(timeout=5))


def test_retry_after_may_be_a_date():
    assert 8 < retry_after(formatdate(time.time() + 10, usegmt=True)) <= 10
    assert retry_after(formatdate(time.time() - 10, usegmt=True)) == 0
    assert [retry_after(text) for text in (None, "soon", "nan", "7", "-1")] == [None, None, None, 7, 0]


def test_pauses_are_jittered_and_seeded():
    def pauses(seed):
        rng = np.random.default_rng(seed)
        return [full_jitter(rng, attempt, 0.5, 2.0) for attempt in range(5)]

    assert pauses(1) == pauses(1) != pauses(2)
    bounds = (0.5, 1, 2, 2, 2)
    assert all(0 <= pause <= bound for seed in range(50) for pause, bound in zip(pauses(seed), bounds, strict=True))
    assert max(pause / bound for seed in range(50) for pause, bound in zip(pauses(seed), bounds, strict=True)) > 0.95


def test_other_refusals_end_at_once_with_the_servers_message_and_without_the_key(server, make):
    server.script = lambda n, body: JSONResponse({"error": {"message": f"Incorrect API key: {KEY}"}}, 401)
    with pytest.raises(ModelUnavailable, match=r"status 401: Incorrect API key: \*\*\*") as caught:
        ask(make())
    assert len(server.bodies) == 1 and not caught.value.retryable
    assert KEY not in str(caught.value)


def test_a_full_context_is_the_agents_own_doing_and_an_empty_account_stops_the_run(server, make):
    message = "This model's maximum context length is 8192 tokens."
    server.script = lambda n, body: JSONResponse({"error": {"message": message}}, 400)
    action = ask(make())
    assert (action.value, action.completion.finish_reason) == ("", "context_overflow")
    quota = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    server.script = lambda n, body: JSONResponse(quota, 429)
    with pytest.raises(BudgetExceeded, match="exceeded your current quota"):
        ask(make())


def test_newer_names_of_the_limit_are_learned(server, make):
    def script(n, body):
        if "max_tokens" in body:
            text = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return JSONResponse({"error": {"message": text}}, 400)
        return completion(str(body["max_completion_tokens"]))

    server.script = script
    agent = make(max_new_tokens=9)
    assert [ask(agent).value, ask(agent).value] == ["9", "9"]
    assert len(server.bodies) == 3


def test_a_slow_server_times_out(server, make):
    async def slow(n):
        await asyncio.sleep(0.5)
        return completion()

    server.script = lambda n, body: slow(n)
    with pytest.raises(ModelUnavailable, match="ReadTimeout") as caught:
        ask(make(read_timeout=0.1, retries=1))
    assert (caught.value.kind, len(server.bodies)) == ("model_timeout", 2)
    with pytest.raises(ModelUnavailable, match=r"within 0\.1 s"):
        ask(make(timeout=0.1))


def test_nobody_there_is_model_unavailable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    agent = OpenAIAgent("m", url, retries=1, backoff=0.01)
    with pytest.raises(ModelUnavailable, match="2 attempts") as caught:
        ask(agent)
    assert caught.value.kind == "model_unreachable"
    agent.close()
    with pytest.raises(ModelUnavailable, match="was closed"):
        ask(agent)


def test_many_turns_at_once_over_several_event_loops(server, make):
    async def later(body):
        await asyncio.sleep(0.05)
        return completion(body["messages"][-1]["content"])

    server.script = lambda n, body: later(body)
    agent = make()

    async def many():
        views = [make_view([{"role": "user", "content": str(number)}]) for number in range(20)]
        return [action.value for action in await asyncio.gather(*map(agent.act, views))]

    for _ in range(2):
        assert asyncio.run(many()) == [str(number) for number in range(20)]
    assert server.most_in_flight > 5


def test_cancelling_a_turn_frees_its_connection(server, make):
    started = threading.Event()

    async def forever(n):
        started.set()
        await asyncio.sleep(0.3)
        return completion()

    server.script = lambda n, body: forever(n) if n == 0 else completion("next")
    agent = make()

    async def cancelled():
        task = asyncio.create_task(agent.act(make_view()))
        await asyncio.to_thread(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return (await agent.act(make_view())).value

    assert asyncio.run(cancelled()) == "next"


def test_token_ids_make_one_sequence_as_long_as_the_prefix_is_kept(server, make):
    replies = [([1, 2, 3], [4, 5]), ([1, 2, 3, 4, 5, 6], [7]), ([1, 2, 9], [8])]

    def script(n, body):
        assert body["return_token_ids"] and body["logprobs"] and body["include_stop_str_in_output"]
        prompt, sampled = replies[n]
        scores = {"content": [{"token": "x", "logprob": -token / 10} for token in sampled]}
        return {**completion(token_ids=sampled, logprobs=scores), "prompt_token_ids": prompt}

    server.script = script
    agent, memory = make(vllm=True), {}
    turns = [Turn(t, "", completion=ask(agent, memory=memory).completion) for t in range(3)]
    assert [turn.completion.prefix_len for turn in turns] == [0, 5, 2]
    shared = {"group_id": "g", "env_id": "x", "env_kwargs": {}, "task": None, "seed": 0, "attempt": 0}
    episode = Episode("e", **shared, agent_id="a", world_id="w", status="truncated", observations=[], turns=turns)
    sequences = token_sequences(episode)
    assert [sequence.ids.tolist() for sequence in sequences] == [[1, 2, 3, 4, 5, 6, 7], [1, 2, 9, 8]]
    assert sequences[0].logprobs == pytest.approx([0, 0, 0, -0.4, -0.5, 0, -0.7])


@pytest.mark.parametrize(
    ("text", "reason", "stop_reason", "expected"),
    [
        ("<search>rivers", "stop", None, "<search>rivers</search>"),
        ("<a>x</a> <search>rivers", "stop", None, "<a>x</a>"),
        ("<a>x <search>rivers", "stop", None, "<a>x <search>rivers</search>"),
        ("<a>x <search>rivers", "stop", "</a>", "<a>x <search>rivers</a>"),
        ("<search>rivers", "length", None, "<search>rivers"),
        ("<search>rivers</search> and so on", "length", None, "<search>rivers</search>"),
        ("no tag", "stop", None, "no tag"),
    ],
)
def test_the_string_that_stopped_the_answer_is_put_back(text, reason, stop_reason, expected):
    answer = close_tag(Answer(text, reason, stop_reason=stop_reason), ("</search>", "</a>"))
    assert answer.text == expected


def test_budgets_stop_before_the_next_turn(server, make):
    agent = make(budget=Budget(max_tokens=28))
    ask(agent)
    ask(agent)
    with pytest.raises(BudgetExceeded, match="28 tokens is spent"):
        ask(agent)
    assert len(server.bodies) == 2
    paid = make(budget=Budget(max_cost=0.5, price_in=10_000, price_out=100_000))
    ask(paid)
    assert paid.metrics()["cost"] == pytest.approx((11 * 10_000 + 3 * 100_000) / 1e6)
    ask(paid)
    with pytest.raises(BudgetExceeded, match=r"budget of 0\.5 is spent"):
        ask(paid)


def test_budgets_without_prices_or_below_zero_are_refused():
    with pytest.raises(ConfigError, match="needs price_in"):
        Budget(max_cost=1)
    with pytest.raises(ConfigError, match="max_tokens must be a number"):
        Budget(max_tokens=-1)


def test_a_server_that_does_not_count_is_counted_roughly(server, make):
    server.script = lambda n, body: {"choices": [{"message": {"content": "12345678"}}]}
    agent = make()
    ask(agent, messages=[{"role": "user", "content": "123456789"}])
    assert (agent.budget.tokens_in, agent.budget.tokens_out) == (3, 2)


def test_specs(server, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", KEY)
    agent = make_agent(f"openai:org/model@{server.url}?temperature=0&api_key_env=OTHER_KEY", retries=0)
    assert ask(agent).value == "hello"
    assert server.bodies[0]["model"] == "org/model" and server.bodies[0]["temperature"] == 0
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in json.dumps([agent.describe(), agent.metrics(), agent.name])
    agent.close()
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="environment variable OPENAI_API_KEY"):
        make_agent("openai:some-model")
    for bad in ("openai", "openai:", "openai:m@ftp://x", "openai:m@http://user:pass@host/v1"):
        with pytest.raises(ConfigError):
            make_agent(bad)
    with pytest.raises(ConfigError, match="timeout must be positive"):
        make_agent("openai:m@http://localhost:1?timeout=0")
