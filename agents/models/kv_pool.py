"""The memory of attention: keys and values of many conversations in preallocated slots.

A slot holds one conversation's keys and values from its first token on. Slots are kept after their conversation is
over, as donors of prefixes that later conversations begin with, until their room is needed (least recently used first).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from palaestra.errors import ConfigError

if TYPE_CHECKING:
    import torch

__all__ = ["KVPool", "Lease", "PoolShape"]


@dataclass(frozen=True, slots=True)
class PoolShape:
    """What one token's keys and values look like.

    Attributes:
        layers: Number of attention layers.
        heads: Key-value heads.
        width: Dimensions of a head.
        itemsize: Bytes of a number.
    """

    layers: int
    heads: int
    width: int
    itemsize: int

    @property
    def token_bytes(self) -> int:
        """Bytes that a token takes."""
        return 2 * self.layers * self.heads * self.width * self.itemsize


@dataclass(slots=True, eq=False)
class Lease:
    """A slot in use.

    Attributes:
        slot: Which one; changes when slots are moved.
        length: Tokens whose keys and values it holds.
        pinned: A turn is under way; it may not be evicted.
        retired: Its conversation is over; it only donates.
        used: When it was last used, on the pool's own clock.
        blocks: Keys of the leading blocks of tokens that it can donate.
    """

    slot: int
    length: int = 0
    pinned: bool = False
    retired: bool = False
    used: int = 0
    blocks: list[bytes] = field(default_factory=list)


class KVPool:
    """Slots of equal capacity in one tensor a layer, (2, slots, heads, capacity, width).

    Capacity grows by doubling up to the window, and the number of slots shrinks with it, so that memory never exceeds
    the bound.

    Args:
        shape: Of one token.
        max_bytes: Bound on the memory.
        window: Most tokens that a conversation may have.
        max_slots: Most slots, however small.
        capacity: Tokens a slot holds at first.
        dtype: Of keys and values.
        device: Where they live.

    Raises:
        ConfigError: The bound does not even hold one conversation of `window` tokens.
    """

    def __init__(
        self,
        shape: PoolShape,
        *,
        max_bytes: int,
        window: int,
        max_slots: int,
        capacity: int = 512,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        if max_bytes < window * shape.token_bytes:
            raise ConfigError(
                f"A conversation of {window} tokens needs {window * shape.token_bytes / 2**30:.2f} GiB of keys and "
                f"values, more than the {max_bytes / 2**30:.2f} GiB allowed. Raise kv_cache_gb or lower context_window."
            )
        self.shape, self.max_bytes, self.window, self.max_slots = shape, max_bytes, window, max_slots
        self.dtype, self.device = dtype, device
        self.capacity = min(capacity, window)
        self.layers: list[torch.Tensor] = []
        self.leases: set[Lease] = set()
        self.evictions = 0
        self._donors: dict[bytes, Lease] = {}
        self._clock = 0

    def slots_at(self, capacity: int) -> int:
        """How many slots the bound allows at this capacity."""
        return min(self.max_slots, self.max_bytes // (capacity * self.shape.token_bytes))

    def capacity_for(self, tokens: int) -> int:
        """The capacity, the present one or a doubling, that holds so many tokens; at most the window."""
        capacity = self.capacity
        while capacity < tokens:
            capacity *= 2
        return min(capacity, self.window)

    def acquire(self, tokens: int, lease: Lease | None = None) -> Lease | None:
        """Pins a slot with room for `tokens`; evicts and grows where that is needed.

        Args:
            tokens: What it must hold in the end, at most `window`.
            lease: The conversation's slot, where it still has one.

        Returns:
            The lease, or None while pinned slots leave no room.
        """
        capacity = self.capacity_for(tokens)
        slots = self.slots_at(capacity)
        held = lease is not None and lease in self.leases
        if sum(other.pinned for other in self.leases if other is not lease) + 1 > slots:
            return None
        if lease is None or not held:
            lease = Lease(-1)
        lease.pinned = True
        while len(self.leases) + (not held) > slots:
            self._evict()
        if not self.layers or capacity > self.capacity:
            self._grow(capacity, slots)
        if not held:
            taken = {other.slot for other in self.leases}
            lease.slot = next(slot for slot in range(slots) if slot not in taken)
            self.leases.add(lease)
        self.touch(lease)
        return lease

    def touch(self, lease: Lease) -> None:
        """Notes that this slot was used just now."""
        self._clock += 1
        lease.used = self._clock

    def retire(self, lease: Lease) -> None:
        """Notes that its conversation is over: it only donates now, and goes before those that may be continued."""
        lease.retired = True

    def drop(self, lease: Lease) -> None:
        """Forgets what the slot holds."""
        self.leases.discard(lease)
        for key in lease.blocks:
            if self._donors.get(key) is lease:
                del self._donors[key]
        lease.blocks.clear()
        lease.length, lease.pinned = 0, False

    def scrub(self, lease: Lease) -> None:
        """Drops a slot and overwrites what it held: a NaN there would spread through masks to its next user."""
        for layer in self.layers:
            layer[:, lease.slot] = 0
        self.drop(lease)

    def clear(self) -> None:
        """Forgets everything and frees the memory."""
        for lease in list(self.leases):
            self.drop(lease)
        self.layers.clear()

    def offer(self, lease: Lease, key: bytes) -> None:
        """Makes the slot's next leading block known to those that begin alike."""
        lease.blocks.append(key)
        self._donors[key] = lease

    def donor(self, key: bytes) -> Lease | None:
        """A slot that holds this leading block."""
        return self._donors.get(key)

    def copy(self, source: Lease, target: Lease, start: int, stop: int) -> None:
        """Copies keys and values of the tokens from `start` to `stop`."""
        for layer in self.layers:
            layer[:, target.slot, :, start:stop] = layer[:, source.slot, :, start:stop]
        self.touch(source)

    def move(self, lease: Lease, slot: int) -> None:
        """Brings a lease to this slot, exchanging it with the lease that is there."""
        if lease.slot == slot:
            return
        other = next((candidate for candidate in self.leases if candidate.slot == slot), None)
        longest = max(lease.length, other.length if other is not None else 0)
        for layer in self.layers:
            if other is None:
                layer[:, slot, :, :longest] = layer[:, lease.slot, :, :longest]
            else:
                pair = layer[:, [lease.slot, slot], :, :longest]
                layer[:, slot, :, :longest] = pair[:, 0]
                layer[:, lease.slot, :, :longest] = pair[:, 1]
        if other is not None:
            other.slot = lease.slot
        lease.slot = slot

    def _evict(self) -> None:
        oldest = min(
            (lease for lease in self.leases if not lease.pinned), key=lambda lease: (not lease.retired, lease.used)
        )
        self.drop(oldest)
        self.evictions += 1

    def _grow(self, capacity: int, slots: int) -> None:
        """Layer by layer, so that no more than one layer is there twice. Pages stay untouched until they are used."""
        import torch

        order = self._packed(self.leases, slots)
        for index in range(self.shape.layers):
            size = (2, slots, self.shape.heads, capacity, self.shape.width)
            layer = torch.zeros(size, dtype=self.dtype, device=self.device)  # a masked NaN would still spread
            if index < len(self.layers):
                for lease, slot in order:
                    layer[:, slot, :, : lease.length] = self.layers[index][:, lease.slot, :, : lease.length]
                self.layers[index] = layer
            else:
                self.layers.append(layer)
        for lease, slot in order:
            lease.slot = slot
        self.capacity = capacity

    @staticmethod
    def _packed(leases: Iterable[Lease], slots: int) -> list[tuple[Lease, int]]:
        """New places for all leases: those that fit keep theirs, since the front ones are being decoded in order."""
        kept = {lease.slot for lease in leases if lease.slot < slots}
        free = iter(slot for slot in range(slots) if slot not in kept)
        return [(lease, lease.slot if lease.slot < slots else next(free)) for lease in leases]
