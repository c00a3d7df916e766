"""What every rollout engine owes: the one in this process, and one behind a server, over real HTTP."""

from __future__ import annotations

import copy
import threading
import time
from concurrent.futures import CancelledError, wait

import numpy as np
import pytest
import torch

from palaestra.agents.models import transformers_engine as engine_module
from palaestra.agents.models.engine import GenerationRequest
from palaestra.agents.models.engine_server import create_app
from palaestra.agents.models.loading import make_decoder
from palaestra.agents.models.openai_engine import OpenAIEngine
from palaestra.agents.models.transformers_engine import TransformersEngine
from palaestra.agents.models.turns import Decoder
from palaestra.agents.models.weight_folder import WeightFolder
from palaestra.agents.openai_client import OpenAIClient
from palaestra.errors import ConfigError, ModelUnavailable

CONTEXT = [*range(40, 60)]


def request(name, context=CONTEXT, **options):
    settings = {"seed": 7, "temperature": 1.0, "max_new_tokens": 12, **options}
    return GenerationRequest(name, np.array(context, np.int32), **settings)


@pytest.fixture(autouse=True)
def one_thread():
    """Of torch: more only get into each other's way on a model this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["in process", "server"])
def kind(request):
    return request.param


@pytest.fixture
def build(byte_model, byte_tokenizer, serving, tmp_path):
    """Engines of both kinds around the same model; closed when the test ends."""
    made = []

    def make(kind, model=None, *, ends=None, window=256, **options):
        model = byte_model if model is None else model
        decoder = make_decoder(byte_tokenizer)
        if ends is not None:
            decoder = Decoder(decoder.decode, frozenset(ends), decoder.special_ids)
        settings = {"max_wait": 0.0, "block_size": 4, "prefill_tokens": 16, **options}
        engine = TransformersEngine(model, decoder, context_window=window, **settings)
        made.append(engine)
        if kind == "in process":
            return engine
        folder, vocabulary = tmp_path / "weights", len(byte_tokenizer)
        app = create_app(
            engine, byte_tokenizer, decoder, name="tiny", window=window, vocabulary=vocabulary, weights=folder
        )
        client = OpenAIClient(serving(app).url, what="The test", timeout=60, retries=1, backoff=0.01)
        remote = OpenAIEngine(client, "tiny", decoder, weights=WeightFolder(folder))
        remote.behind = engine  # for tests that look at what the server did
        made.append(remote)
        return remote

    yield make
    for engine in reversed(made):
        engine.close()


@pytest.fixture
def make(build, kind):
    return lambda *args, **options: build(kind, *args, **options)


@pytest.fixture
def held(monkeypatch):
    """Holds the model until the event is set; says how many steps it has begun."""
    forward, gate, begun = engine_module.packed_forward, threading.Event(), threading.Event()

    def slowly(model, batch):
        begun.set()
        gate.wait(20)
        return forward(model, batch)

    monkeypatch.setattr(engine_module, "packed_forward", slowly)
    gate.begun = begun
    yield gate
    gate.set()


def plain_logprobs(model, ids, start):
    """Of the tokens from `start` on, by one forward pass over all of them."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    scores = torch.log_softmax(logits.double(), -1)[:-1].gather(-1, torch.tensor(ids)[1:, None])[:, 0]
    return scores[start - 1 :].numpy()


def test_a_conversation_is_one_growing_sequence_scored_as_by_a_plain_forward_pass(make, byte_model):
    engine, ids = make(), []
    for turn, context in enumerate((CONTEXT, [5, 6, 7], [9])):
        asked = request("a", context, seed=turn, max_new_tokens=20)
        (result,) = engine.generate([asked])
        assert (result.token_ids.dtype, result.logprobs.dtype) == (np.int32, np.float32)
        assert result.token_ids.shape == result.logprobs.shape == (len(result.token_ids),)
        assert (result.prefix_len, result.policy_version) == (len(ids), 0)
        ids = [*ids, *context, *result.token_ids.tolist()]
        expected = plain_logprobs(byte_model, ids, len(ids) - len(result.token_ids))
        assert np.abs(result.logprobs - expected).max() <= 1e-4
    assert engine.metrics()["turns"] == 3


def test_logprobs_are_those_at_the_temperature_before_top_p(make, byte_model):
    (result,) = make().generate([request("a", temperature=0.7, top_p=0.8)])
    with torch.no_grad():
        ids = torch.tensor([[*CONTEXT, *result.token_ids.tolist()]])
        logits = byte_model(input_ids=ids, use_cache=False).logits[0, len(CONTEXT) - 1 : -1] / 0.7
    expected = torch.log_softmax(logits, -1).gather(-1, ids[0, len(CONTEXT) :, None])[:, 0].numpy()
    assert np.abs(result.logprobs - expected).max() <= 1e-4


def test_the_text_is_that_of_the_ids_without_control_tokens(make, byte_tokenizer):
    results = make(ends=()).generate([request(f"c{seed}", seed=seed, max_new_tokens=60) for seed in range(8)])
    assert any(set(result.token_ids.tolist()) & {0, 1} for result in results)
    for result in results:
        visible = [token for token in result.token_ids.tolist() if token not in (0, 1)]
        assert result.text == byte_tokenizer.decode(visible)


def test_a_stop_string_is_included_and_last(make):
    engine = make(ends=())
    (free,) = engine.generate([request("a", seed=3, max_new_tokens=40)])
    decode, ids = engine.decoder.decode, free.token_ids.tolist()
    places = [at for at in range(3, len(free.text) - 4) if "\ufffd" not in free.text[at : at + 3]]
    assert places
    for at in places[:4]:
        for size in (1, 2, 3):
            stop = free.text[at : at + size]
            asked = request(f"s{at}-{size}", seed=3, max_new_tokens=40, stop=("never said", stop))
            (result,) = engine.generate([asked])
            shortest = next(length for length in range(41) if stop in decode(ids[:length]))
            assert (result.finish_reason, result.token_ids.tolist()) == ("stop", ids[:shortest])
            assert result.text == free.text[: free.text.index(stop) + size]


def test_seeds_make_a_turn_whatever_it_is_sampled_with(make):
    engine = make()
    alone = [engine.generate([request(f"a{seed}", seed=seed)])[0].token_ids.tolist() for seed in range(6)]
    order = [4, 0, 5, 2, 1, 3]
    together = engine.generate([request(f"b{seed}", seed=seed) for seed in order])
    assert [alone[seed] for seed in order] == [result.token_ids.tolist() for result in together]
    assert len(set(map(tuple, alone))) == 6


def test_greedy_ignores_the_seed(make, byte_model):
    engine = make(ends=())
    results = engine.generate([request(f"g{seed}", seed=seed, temperature=0.0) for seed in range(3)])
    ids = list(CONTEXT)
    for _ in range(12):
        with torch.no_grad():
            ids.append(int(byte_model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    assert [result.token_ids.tolist() for result in results] == [ids[20:]] * 3
    assert np.abs(results[0].logprobs - plain_logprobs(byte_model, ids, 20)).max() <= 1e-4  # at temperature 1


def test_a_turn_ends_by_length_or_by_an_end_token(make):
    engine = make(ends=())
    (free,) = engine.generate([request("a", seed=5, max_new_tokens=30)])
    assert (free.finish_reason, len(free.token_ids)) == ("length", 30)
    end = free.token_ids[9]
    first = free.token_ids.tolist().index(end)
    ending = make(ends=(end,))
    (result,) = ending.generate([request("a", seed=5, max_new_tokens=30)])
    assert (result.finish_reason, result.token_ids.tolist()) == ("stop", free.token_ids[: first + 1].tolist())
    assert result.text == engine.decoder.decode(free.token_ids[:first])


def test_a_full_window_samples_nothing_and_changes_nothing(make):
    engine = make(ends=(), window=64)
    (shrunk,) = engine.generate([request("a", [3] * 50, max_new_tokens=30)])
    assert (len(shrunk.token_ids), shrunk.finish_reason) == (14, "length")
    (first,) = engine.generate([request("b", [3] * 20, max_new_tokens=10)])
    for length in (30, 300):
        (none,) = engine.generate([request("b", [4] * length, max_new_tokens=10)])
        assert (none.token_ids.tolist(), none.text, none.finish_reason) == ([], "", "context_overflow")
        assert (none.prefix_len, none.token_ids.dtype, none.logprobs.dtype) == (30, np.int32, np.float32)
    (small,) = engine.generate([request("b", [4] * 30, max_new_tokens=4)])  # fewer than the least that is worth it
    assert (len(small.token_ids), small.prefix_len) == (4, 30)
    assert len(first.token_ids) == 10


def test_what_was_released_begins_anew_and_unknown_names_are_no_error(make):
    engine = make()
    engine.release("nobody")
    (first,) = engine.generate([request("a")])
    engine.release("a")
    engine.release("a")
    (again,) = engine.generate([request("a")])
    assert again.prefix_len == 0 and again.token_ids.tolist() == first.token_ids.tolist()


def test_one_turn_at_a_time_in_a_conversation(make, held):
    engine = make()
    futures = [engine.submit(request("a")), engine.submit(request("a", [4]))]
    held.set()
    with pytest.raises(ConfigError, match="'a' already has a turn under way"):
        futures[1].result(timeout=20)
    first = futures[0].result(timeout=20)
    assert engine.generate([request("a", [4])])[0].prefix_len == 20 + len(first.token_ids)


def test_a_cancelled_turn_stops_and_its_conversation_is_forgotten(make, held):
    engine = make(ends=(), window=512)
    long = engine.submit(request("long", max_new_tokens=450))
    short = engine.submit(request("short"))
    assert held.begun.wait(20) and long.cancel()
    again = engine.submit(request("long"))  # at once: its name is free
    time.sleep(0.2)  # a server has to see that its client went away
    held.set()
    assert len(short.result(timeout=30).token_ids) == 12
    with pytest.raises(CancelledError):
        long.result(timeout=20)
    assert not wait([long], timeout=20).not_done
    assert again.result(timeout=30).prefix_len == 0
    behind = getattr(engine, "behind", engine)
    assert behind.metrics()["sampled_tokens"] < 100
    assert not [name for name in behind._conversations if name.startswith("request")]


def test_new_weights_are_used_from_the_next_turn_on(make, byte_model):
    model = copy.deepcopy(byte_model)
    engine = make(model, ends=(), window=512)
    (old,) = engine.generate([request("a", temperature=0.0)])
    running = engine.submit(request("b", temperature=0.0, max_new_tokens=200))
    while getattr(engine, "behind", engine).metrics()["sampled_tokens"] < 20:
        time.sleep(0.001)
    name = "model.embed_tokens.weight"
    changed = -byte_model.state_dict()[name].flip(0)
    engine.load_weights([(name, changed)], version=3)
    assert running.done() and (len(running.result().token_ids), running.result().policy_version) == (200, 0)
    assert running.result().token_ids[:12].tolist() == old.token_ids.tolist()
    (new,) = engine.generate([request("a", [4], temperature=0.0)])
    assert (new.policy_version, engine.version) == (3, 3)
    state = {**byte_model.state_dict(), name: changed}
    fresh = copy.deepcopy(byte_model)
    fresh.load_state_dict(state)
    ids = [*CONTEXT, *old.token_ids.tolist(), 4, *new.token_ids.tolist()]
    assert np.abs(new.logprobs - plain_logprobs(fresh, ids, 33)).max() <= 1e-4
    for bad, why in (
        (("model.embed_token.weight", changed), "Did you mean"),
        ((name, changed[:1]), "must have the shape"),
    ):
        with pytest.raises(ConfigError, match=why):
            engine.load_weights([bad], version=4)
    assert engine.version == 3
    assert engine.generate([request("c", temperature=0.0)])[0].policy_version == 3


@pytest.mark.parametrize("error", [RuntimeError("odd"), MemoryError("no room")], ids=repr)
def test_a_model_that_breaks_is_model_unavailable_and_the_engine_goes_on(make, monkeypatch, error):
    engine, forward = make(), engine_module.packed_forward
    (first,) = engine.generate([request("a")])

    def breaks(model, batch):
        raise error

    monkeypatch.setattr(engine_module, "packed_forward", breaks)
    with pytest.raises(ModelUnavailable, match=str(error)) as caught:
        engine.generate([request("a", [4])])
    assert caught.value.kind.startswith("model_")
    monkeypatch.setattr(engine_module, "packed_forward", forward)
    (again,) = engine.generate([request("a")])
    assert again.prefix_len == 0 and again.token_ids.tolist() == first.token_ids.tolist()
    assert engine.metrics()["failures"] == 1


def test_broken_numbers_are_model_unavailable(make, byte_model):
    broken = copy.deepcopy(byte_model)
    engine = make(broken)
    with torch.no_grad():
        broken.lm_head.weight.fill_(float("nan"))
    with pytest.raises(ModelUnavailable, match="not a number"):
        engine.generate([request("a")])


def test_closing_fails_what_is_under_way_and_may_happen_twice(make, held):
    engine = make(ends=(), window=512)
    future = engine.submit(request("a", max_new_tokens=400))
    assert held.begun.wait(20)
    closing = threading.Thread(target=engine.close)
    closing.start()
    held.set()
    closing.join(20)
    engine.close()
    with pytest.raises(ModelUnavailable, match="closed"):
        future.result(timeout=20)
    with pytest.raises(ModelUnavailable, match="closed"):
        engine.generate([request("b")])
    with pytest.raises(ModelUnavailable, match="closed"):
        engine.load_weights([("lm_head.weight", torch.zeros(3, 3))], 1)
    engine.release("a")


def test_both_kinds_sample_the_same_tokens(build):
    """Over turns, temperatures and nucleus bounds: what is between them changes nothing."""
    engines = [build(kind) for kind in ("in process", "server")]
    for turn, options in enumerate(({}, {"temperature": 0.6}, {"top_p": 0.5}, {"temperature": 1.7, "top_p": 0.9})):
        asked = request("a", [turn + 5, turn + 60], seed=turn + 2**30, **options)
        mine, yours = (engine.generate([asked])[0] for engine in engines)
        assert mine.token_ids.tolist() == yours.token_ids.tolist()
        assert mine.logprobs == pytest.approx(yours.logprobs, abs=1e-5)
        assert (mine.text, mine.finish_reason, mine.prefix_len) == (yours.text, yours.finish_reason, yours.prefix_len)
    assert engines[1].metrics() | {"logprobs": "tempered", "inexact_turns": 0, "retries": 0} == engines[1].metrics()
