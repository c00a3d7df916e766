"""The engine against the plainest way to do the same: no cache, one sequence, one token at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.models import sampling
from palaestra.agents.models import transformers_engine as engine_module
from palaestra.agents.models.engine import GenerationRequest
from palaestra.agents.models.turns import Decoder, Turn
from palaestra.errors import ConfigError, ModelUnavailable

END = 0


def request(name, context, **options):
    settings = {"seed": 7, "temperature": 1.0, "max_new_tokens": 8, **options}
    return GenerationRequest(name, np.array(context, np.int32), **settings)


def slowly(model, ids, asked):
    """What a turn samples after `ids`, with the whole sequence run anew for each token."""
    rng, ids, sampled, scores = np.random.default_rng(asked.seed), [*ids, *asked.context_ids.tolist()], [], []
    while len(sampled) < asked.max_new_tokens and (not sampled or sampled[-1] != END):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1:]
        (token,), (score,) = sampling.sample(logits, [asked.temperature], [asked.top_p], [rng.random()])
        ids.append(token)
        sampled.append(token)
        scores.append(score)
    return sampled, scores, ids


SCHEDULES = st.lists(  # rounds of turns: which conversations speak, how much they read, how much they may say
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 21), st.integers(1, 6)), min_size=1, max_size=7),
    min_size=1,
    max_size=4,
)


@given(SCHEDULES, st.sampled_from([1, 3, 8]), st.booleans())
@settings(deadline=None, max_examples=15)
def test_any_schedule_gives_what_no_cache_gives(tiny_model, make_engine_module, schedule, max_batch, cramped):
    """Ragged batches, joins, leaves, several turns, common beginnings, growth, and evictions in a pool too small."""
    bytes_each = 2 * 2 * 2 * 8 * 4
    engine = make_engine_module(max_batch=max_batch, kv_cache_bytes=(260 if cramped else 4096) * bytes_each)
    known: dict[int, list[int]] = {}
    try:
        for number, turns in enumerate(schedule):
            chosen = {who: (length, most) for who, length, most in turns}
            asked = {}
            for who, (length, most) in chosen.items():
                # Even names begin alike, so that their first blocks are shared.
                context = [(who % 2) * 5 + (i * 3) % 7 + 1 if i < 12 else (who + i) % 26 + 1 for i in range(length)]
                asked[who] = request(f"c{who}", context, seed=100 * number + who, max_new_tokens=most)
            futures = {who: engine.submit(one) for who, one in asked.items()}
            for who, one in asked.items():
                result = futures[who].result(timeout=60)
                sampled, scores, ids = slowly(tiny_model, known.get(who, []), one)
                assert result.token_ids.tolist() == sampled
                assert result.logprobs == pytest.approx(scores, abs=1e-4)
                assert result.prefix_len == len(known.get(who, []))
                known[who] = ids
    finally:
        engine.close()


@pytest.fixture(scope="module")
def make_engine_module(tiny_model):
    """As `make_engine`, for tests that close what they make themselves."""
    from palaestra.agents.models.transformers_engine import TransformersEngine

    def make(**options):
        decoder = Decoder(lambda ids: "".join(chr(96 + token) for token in ids if token), (END,), {END})
        return TransformersEngine(
            tiny_model,
            decoder,
            **{"context_window": 250, "max_wait": 0.0, "block_size": 4, "prefill_tokens": 16, **options},
        )

    return make


def test_evicted_conversations_are_read_again(make_engine, tiny_model):
    engine = make_engine(ends=(), kv_cache_bytes=2 * 256 * 256, max_batch=2)  # 256 bytes a token
    first = request("a", range(1, 20), seed=1)
    _, _, ids = slowly_without_end(tiny_model, [], first)
    engine.generate([first])
    for number in range(4):  # two slots of 256 tokens
        engine.generate([request(f"other{number}", [number + 1] * 30, max_new_tokens=4)])
    again = request("a", [5, 6], seed=2)
    sampled, scores, _ = slowly_without_end(tiny_model, ids, again)
    result = engine.generate([again])[0]
    assert result.token_ids.tolist() == sampled and result.logprobs == pytest.approx(scores, abs=1e-4)
    assert engine.metrics()["evictions"] > 0
    assert engine.metrics()["reread_tokens"] == 27


def slowly_without_end(model, ids, asked):
    rng, ids, sampled, scores = np.random.default_rng(asked.seed), [*ids, *asked.context_ids.tolist()], [], []
    for _ in range(asked.max_new_tokens):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1:]
        (token,), (score,) = sampling.sample(logits, [asked.temperature], [asked.top_p], [rng.random()])
        ids.append(token)
        sampled.append(token)
        scores.append(score)
    return sampled, scores, ids


def test_common_beginnings_are_read_once(make_engine):
    engine = make_engine(max_batch=8)
    context = [*range(1, 21)]
    engine.generate([request(f"c{i}", [*context, i + 1], seed=i) for i in range(6)])
    counts = engine.metrics()
    assert counts["read_tokens"] == 21 + 5 * 1  # five whole blocks once; the last token for each
    assert counts["shared_tokens"] == 5 * 20
    engine.release("c0")
    engine.generate([request("later", [*context, 9])])
    assert engine.metrics()["shared_tokens"] == 6 * 20  # those who are done still donate


def test_earlier_turns_are_never_read_again(make_engine):
    engine = make_engine(ends=())
    for turn in range(4):
        engine.generate([request("a", [turn + 1] * 10, seed=turn)])
    # Each turn reads its ten tokens and the last one that the turn before had sampled.
    assert engine.metrics()["read_tokens"] == 4 * 10 + 3


def test_logits_do_not_depend_on_what_came_before_to_the_last_bit(make_engine):
    """One turn at a time: with or without a donor, in a fresh or a grown pool."""
    context = [*range(1, 23)]
    fresh = make_engine(ends=()).generate([request("x", context)])[0]
    used = make_engine(ends=())
    for number in range(5):
        used.generate([request(f"c{number}", context[: 8 + number] + [3] * 40 * number, seed=number)])
    later = used.generate([request("x", context)])[0]
    assert used.metrics()["shared_tokens"] > 0
    assert later.token_ids.tolist() == fresh.token_ids.tolist()
    assert later.logprobs.tobytes() == fresh.logprobs.tobytes()


def test_stop_strings_cut_the_text_and_keep_the_ids(make_engine):
    engine = make_engine(ends=())
    asked = {"seed": 3, "max_new_tokens": 20}
    free = engine.generate([request("a", [1, 2, 3], **asked)])[0]
    for size in (1, 2, 3):
        stop = free.text[5 : 5 + size]
        result = engine.generate([request(f"s{size}", [1, 2, 3], stop=("never-said", stop), **asked)])[0]
        decode, ids = engine.decoder.decode, free.token_ids.tolist()
        shortest = next(length for length in range(21) if stop in decode(ids[:length]))
        assert result.finish_reason == "stop"
        assert result.text == free.text[: free.text.index(stop) + size]
        assert result.token_ids.tolist() == ids[:shortest]


def test_a_token_that_overshoots_a_stop_string_is_cut_from_the_text_only():
    decoder = Decoder(lambda ids: "".join(["<a>x</", "a>yz", "!"][token] for token in ids), (9,), {9})
    turn = Turn(request("a", [1], stop=("</a>", "never")), Future(), 8, 0, np.random.default_rng(0))
    assert turn.add(0, -0.5, decoder, 0) is None
    result = turn.add(1, -0.25, decoder, 0)
    assert (result.text, result.token_ids.tolist(), result.finish_reason) == ("<a>x</a>", [0, 1], "stop")


def test_greedy_ignores_the_seed(make_engine):
    engine = make_engine()
    results = engine.generate([request(f"g{seed}", [4, 5, 6], seed=seed, temperature=0.0) for seed in range(3)])
    assert len({tuple(result.token_ids.tolist()) for result in results}) == 1
    drawn = engine.generate([request(f"d{seed}", [4, 5, 6], seed=seed) for seed in range(8)])
    assert len({tuple(result.token_ids.tolist()) for result in drawn}) > 1


def test_the_budget_shrinks_with_the_window_and_then_nothing_is_said(make_engine):
    engine = make_engine(ends=(), context_window=40)
    shrunk = engine.generate([request("a", [1] * 30, max_new_tokens=20)])[0]
    assert (len(shrunk.token_ids), shrunk.finish_reason) == (10, "length")
    fresh = engine.generate([request("b", [1] * 33, max_new_tokens=20)])[0]
    assert (len(fresh.token_ids), fresh.finish_reason, fresh.text) == (0, "context_overflow", "")
    small = engine.generate([request("b", [1] * 33, max_new_tokens=4)])[0]  # asked for less than the minimum
    assert (len(small.token_ids), small.prefix_len) == (4, 0)


def test_broken_numbers_fail_only_their_own_turn(make_engine, monkeypatch):
    engine = make_engine(ends=())
    expected = make_engine(ends=()).generate([request("b", [5, 6, 7])])[0]

    def poisoned(model, batch):
        logits = forward(model, batch)
        for row, chunk in enumerate(chunk for chunk in batch.chunks if chunk.want_logits):
            if chunk.start == 16 and list(chunk.ids) == [26, 1]:
                logits[row] = float("nan")
                for layer in batch.pool.layers:
                    layer[:, chunk.slot, :, :18] = float("nan")
        return logits

    forward = engine_module.packed_forward
    monkeypatch.setattr(engine_module, "packed_forward", poisoned)
    bad, good = engine.submit(request("a", [2] * 16 + [26, 1])), engine.submit(request("b", [5, 6, 7]))
    with pytest.raises(ModelUnavailable, match="not a number"):
        bad.result(timeout=30)
    assert good.result(timeout=30).token_ids.tolist() == expected.token_ids.tolist()
    # Whoever gets that memory next is masked from what it has not written, and NaN times 0 is NaN.
    with engine.together():
        shorter, longer = engine.submit(request("c", [9])), engine.submit(request("d", [8] * 12))
    assert len(shorter.result(timeout=30).token_ids) == len(longer.result(timeout=30).token_ids) == 8


@pytest.mark.parametrize(
    ("error", "kind"), [(MemoryError("no room"), "model_out_of_memory"), (RuntimeError("odd"), "model_error")]
)
def test_an_engine_that_broke_goes_on(make_engine, monkeypatch, error, kind):
    engine = make_engine(ends=())
    kept = request("kept", [1, 2, 3, 4, 5])
    engine.generate([kept])
    forward, broken = engine_module.packed_forward, threading.Event()

    def breaks(model, batch):
        if not broken.is_set():
            broken.set()
            raise error
        return forward(model, batch)

    monkeypatch.setattr(engine_module, "packed_forward", breaks)
    with pytest.raises(ModelUnavailable) as caught:
        engine.generate([request("a", [1, 2, 3])])
    assert caught.value.kind == kind
    following = request("kept", [6], seed=3)
    calm = make_engine(ends=())
    calm.generate([kept])
    assert (
        engine.generate([following])[0].token_ids.tolist() == calm.generate([following])[0].token_ids.tolist()
    )  # whoever was idle is read again


def test_cancelling_leaves_the_others_alone(make_engine, monkeypatch):
    engine = make_engine(ends=(), context_window=512)
    forward, gate = engine_module.packed_forward, threading.Event()

    def held(model, batch):
        gate.wait(10)
        return forward(model, batch)

    monkeypatch.setattr(engine_module, "packed_forward", held)
    long = engine.submit(request("long", [1, 2], max_new_tokens=400))
    short = engine.submit(request("short", [3, 4]))
    assert long.cancel()
    gate.set()
    assert len(short.result(timeout=30).token_ids) == 8
    assert engine.metrics()["sampled_tokens"] < 100
    assert len(engine.generate([request("long", [1, 2])])[0].token_ids) == 8  # forgotten, so it begins anew


def test_a_refused_turn_may_be_cancelled_before_the_engine_looks(make_engine):
    engine = make_engine(ends=())
    with engine.together():
        first, second = engine.submit(request("a", [1, 2])), engine.submit(request("a", [3]))
        assert second.cancel()
    assert len(first.result(timeout=30).token_ids) == 8
    assert engine.generate([request("a", [3])])[0].prefix_len == 10


def test_closing_fails_what_is_under_way_and_joins_the_thread(make_engine):
    engine = make_engine(ends=(), context_window=512)
    future = engine.submit(request("a", [1, 2], max_new_tokens=500))
    time.sleep(0.05)
    engine.close()
    engine.close()
    with pytest.raises(ModelUnavailable, match="closed"):
        future.result(timeout=10)
    with pytest.raises(ModelUnavailable, match="closed"):
        engine.generate([request("b", [1])])
    assert not any(thread.name == "palaestra-engine" for thread in threading.enumerate())
    assert engine.pool.layers == []


def test_one_turn_at_a_time_in_a_conversation(make_engine):
    engine = make_engine(ends=())
    futures = [engine.submit(request("a", [1, 2, 3])), engine.submit(request("a", [4]))]
    futures[0].result(timeout=30)
    with pytest.raises(ConfigError, match="already has a turn under way"):
        futures[1].result(timeout=30)


def test_new_weights_take_effect_between_turns(make_engine):
    import copy

    model = copy.deepcopy(make_engine().model)
    engine = make_engine(model, ends=())
    old = engine.generate([request("a", [1, 2, 3], temperature=0.0)])[0]
    steps = engine.metrics()["steps"]
    running = engine.submit(request("b", [1, 2, 3], temperature=0.0, max_new_tokens=100))
    while engine.metrics()["steps"] == steps:
        time.sleep(0.001)
    name = "model.embed_tokens.weight"
    tensor = torch.randn_like(model.state_dict()[name])
    engine.load_weights([(name, tensor)], version=3)
    assert running.done()
    assert running.result().token_ids[:8].tolist() == old.token_ids.tolist()
    assert (len(running.result().token_ids), running.result().policy_version) == (100, 0)
    new = engine.generate([request("a", [4], temperature=0.0)])[0]
    sampled, _, _ = slowly_without_end(model, [1, 2, 3, *old.token_ids.tolist()], request("a", [4], temperature=0.0))
    assert (new.token_ids.tolist(), new.policy_version) == (sampled, 3)  # nothing computed with the old ones is left
    with pytest.raises(ConfigError, match=r"Did you mean 'model\.embed_tokens\.weight'"):
        engine.load_weights([("model.embed_token.weight", tensor)], version=4)
    with pytest.raises(ConfigError, match="must have the shape"):
        engine.load_weights([(name, tensor[:1])], version=4)
    assert engine.version == 3


def test_bad_settings_are_named(make_engine):
    with pytest.raises(ConfigError, match="Raise kv_cache_gb or lower context_window"):
        make_engine(kv_cache_bytes=1000)
    for bad in ({"temperature": -1.0}, {"top_p": 0.0}, {"max_new_tokens": 0}, {"seed": -1}):
        with pytest.raises(ConfigError):
            request("a", [1], **bad)
    with pytest.raises(ConfigError):
        request("a", [])


def test_architectures_that_cannot_be_packed_are_refused(make_engine, tiny_model, monkeypatch):
    import copy

    sliding = copy.deepcopy(tiny_model)
    sliding.config.sliding_window = 64
    with pytest.raises(ConfigError, match="Give context_window=64"):
        make_engine(sliding)
    make_engine(sliding, context_window=64)
    other = copy.deepcopy(tiny_model)
    other.set_attn_implementation("sdpa")  # ignores the pool, as an attention of its own would
    with pytest.raises(ConfigError, match=r"gives other probabilities when batched here"):
        make_engine(other)
