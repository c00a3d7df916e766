from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.models.kv_pool import KVPool, PoolShape
from palaestra.errors import ConfigError

SHAPE = PoolShape(layers=2, heads=1, width=2, itemsize=4)


def make_pool(tokens=64, window=32, **options):
    return KVPool(
        SHAPE,
        max_bytes=tokens * SHAPE.token_bytes,
        window=window,
        **{"max_slots": 8, "capacity": 4, "dtype": torch.float32, "device": torch.device("cpu"), **options},
    )


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(1, 32), st.sampled_from(["hold", "idle", "drop", "move"])), max_size=40
    )
)
@settings(deadline=None, max_examples=100)
def test_contents_survive_growth_and_moves_and_memory_stays_bounded(actions):
    pool, leases = make_pool(), {}
    for who, tokens, then in actions:
        lease = pool.acquire(tokens, leases.get(who))
        if lease is None:
            assert any(other.pinned for other in pool.leases)
            continue
        fresh = lease is not leases.get(who)
        leases[who] = lease
        if fresh:
            assert lease.length == 0
        for layer in pool.layers:
            layer[:, lease.slot, :, lease.length : tokens] = who + 1
        lease.length = max(lease.length, tokens)
        lease.pinned = then == "hold"
        if then == "drop":
            pool.drop(lease)
        if then == "move":
            pool.move(lease, tokens % pool.layers[0].shape[1])
        assert sum(layer.numel() * layer.element_size() for layer in pool.layers) <= pool.max_bytes
        assert len({other.slot for other in pool.leases}) == len(pool.leases)
        for other, held in leases.items():
            if held in pool.leases:
                for layer in pool.layers:
                    assert (layer[:, held.slot, :, : held.length] == other + 1).all()
                    assert held.length <= layer.shape[3]


def test_the_least_recently_used_goes_and_those_that_are_over_go_first():
    pool = make_pool(tokens=12, window=4)
    first, second, third = (pool.acquire(4) for _ in range(3))
    for lease in (first, second, third):
        lease.pinned = False
    pool.touch(first)
    pool.acquire(4)
    assert second not in pool.leases and first in pool.leases
    pool.retire(first)
    pool.acquire(4)
    assert first not in pool.leases and third in pool.leases
    third.pinned = True
    assert pool.acquire(4) is None  # whoever has a turn under way is never evicted
    assert pool.evictions == 2


def test_a_dropped_slot_donates_nothing():
    pool = make_pool()
    lease = pool.acquire(4)
    pool.offer(lease, b"block")
    assert pool.donor(b"block") is lease
    pool.drop(lease)
    assert pool.donor(b"block") is None


def test_a_bound_below_one_conversation_is_refused():
    with pytest.raises(ConfigError, match="Raise kv_cache_gb"):
        make_pool(tokens=31)


def test_who_is_over_goes_first_also_after_donating():
    pool = make_pool(max_slots=3, capacity=8)
    over, live = pool.acquire(8), pool.acquire(8)
    over.length = 8
    pool.offer(over, b"key")
    for lease in (over, live):
        lease.pinned = False
    pool.retire(over)
    new = pool.acquire(8)
    pool.copy(over, new, 0, 4)
    pool.acquire(8)
    assert pool.leases >= {live, new} and over not in pool.leases
