"""Spaces for text that work under every vector environment.

Importing this module teaches Gymnasium's vector utilities about `Utf8`, as Gymnasium asks of custom spaces.
"""

from __future__ import annotations

import copy
import multiprocessing as mp
from collections.abc import Callable, Iterable, Mapping, Sequence
from ctypes import c_uint8
from multiprocessing.sharedctypes import SynchronizedArray
from types import ModuleType
from typing import Any, overload

import gymnasium as gym
import numpy as np
from gymnasium.spaces.utils import flatdim, flatten, flatten_space, unflatten
from gymnasium.vector.utils import (
    batch_space,
    concatenate,
    create_empty_array,
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)
from numpy.typing import NDArray

__all__ = ["Utf8", "clean_text", "clip_utf8"]

_HEADER = 8  # bytes of shared memory that hold a text's length


def clean_text(text: str) -> str:
    """The text with what UTF-8 cannot carry (lone surrogates) replaced by U+FFFD."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clip_utf8(text: str, max_bytes: int, *, marker: str = " [...]") -> str:
    """The longest beginning of the text that fits `max_bytes` of UTF-8, ended by the marker where it was cut."""
    # What stands behind max_bytes characters cannot fit, so a text of megabytes is not looked at whole.
    data = clean_text(text[: max_bytes + 1]).encode()
    if len(data) <= max_bytes:
        return data.decode()
    room = max(0, max_bytes - len(marker.encode()))
    return data[:room].decode(errors="ignore") + (marker if room else "")


class Utf8(gym.Space[str]):
    """All strings of at most `max_bytes` bytes of UTF-8.

    Lone surrogates count three bytes each, so that every Python string has a length here.

    Args:
        max_bytes: The bound, at least 1.
        sampler: Draws the samples; must be picklable. By default, samples are short words of lower-case letters.
        seed: Seeds `sample`.
    """

    def __init__(
        self,
        max_bytes: int,
        *,
        sampler: Callable[[np.random.Generator], str] | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        if max_bytes < 1:
            raise ValueError(f"max_bytes must be at least 1, got {max_bytes}.")
        self.max_bytes = int(max_bytes)
        self.sampler = sampler
        super().__init__(None, None, seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Whether it flattens into a `Box`: the length, then the bytes."""
        return True

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """A random member; neither a mask nor probabilities apply."""
        if mask is not None or probability is not None:
            raise ValueError("Utf8 takes neither a mask nor probabilities.")
        if self.sampler is not None:
            return clip_utf8(self.sampler(self.np_random), self.max_bytes, marker="")
        count = int(self.np_random.integers(0, min(self.max_bytes, 32) + 1))
        return bytes(self.np_random.integers(97, 123, count, dtype=np.uint8)).decode()

    def contains(self, x: Any) -> bool:
        """Whether it is a string within the bound."""
        # One character is at most 4 bytes, so most strings need no encoding to be judged.
        if not isinstance(x, str) or len(x) > self.max_bytes:
            return False
        return len(x) * 4 <= self.max_bytes or len(x.encode("utf-8", "surrogatepass")) <= self.max_bytes

    def to_jsonable(self, sample_n: Iterable[str]) -> list[Any]:
        """The strings themselves."""
        return list(sample_n)

    def from_jsonable(self, sample_n: list[Any]) -> list[str]:
        """The inverse of `to_jsonable`."""
        return [str(sample) for sample in sample_n]

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Utf8) and self.max_bytes == other.max_bytes

    def __hash__(self) -> int:
        return hash((Utf8, self.max_bytes))

    def __repr__(self) -> str:
        return f"Utf8(max_bytes={self.max_bytes})"

    def __setstate__(self, state: Iterable[tuple[str, Any]] | Mapping[str, Any]) -> None:
        super().__setstate__(state)


@batch_space.register(Utf8)
def _batch_space(space: Utf8, n: int = 1) -> gym.spaces.Tuple[Any]:
    # Each copy draws from a generator of its own, and the space's own is left as it was.
    seeds = np.random.default_rng(int(copy.deepcopy(space.np_random).integers(0, 2**31))).spawn(n)
    return gym.spaces.Tuple([Utf8(space.max_bytes, sampler=space.sampler, seed=seed) for seed in seeds])


@concatenate.register(Utf8)
def _concatenate(space: Utf8, items: Iterable[Any], out: Any) -> tuple[Any, ...]:
    return tuple(items)


@create_empty_array.register(Utf8)
def _create_empty_array(space: Utf8, n: int = 1, fn: Callable[..., Any] = np.zeros) -> tuple[str, ...]:
    return tuple("" for _ in range(n))


@create_shared_memory.register(Utf8)
def _create_shared_memory(space: Utf8, n: int = 1, ctx: ModuleType = mp) -> Any:
    return ctx.Array(c_uint8, n * (_HEADER + space.max_bytes))


def _slot(space: Utf8, index: int, shared_memory: SynchronizedArray[c_uint8]) -> memoryview:
    width = _HEADER + space.max_bytes
    return memoryview(shared_memory.get_obj()).cast("B")[index * width : (index + 1) * width]


@write_to_shared_memory.register(Utf8)
def _write_to_shared_memory(space: Utf8, index: int, value: str, shared_memory: SynchronizedArray[c_uint8]) -> None:
    data = value.encode("utf-8", "surrogatepass")
    if len(data) > space.max_bytes:
        raise ValueError(f"A text of {len(data)} bytes does not fit {space!r}.")
    slot = _slot(space, index, shared_memory)
    slot[:_HEADER] = len(data).to_bytes(_HEADER, "little")
    slot[_HEADER : _HEADER + len(data)] = data


class _SharedTexts(Sequence[str]):
    """The texts that stand in shared memory now; a copy of it is a tuple of them.

    `AsyncVectorEnv` reads its shared memory once, when it is made, and expects a view that follows what workers write.
    """

    def __init__(self, space: Utf8, shared_memory: SynchronizedArray[c_uint8], n: int) -> None:
        self._space, self._memory, self._n = space, shared_memory, n

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self[at] for at in range(*index.indices(self._n)))
        slot = _slot(self._space, range(self._n)[index], self._memory)
        size = int.from_bytes(slot[:_HEADER], "little")
        return bytes(slot[_HEADER : _HEADER + size]).decode("utf-8", "surrogatepass")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple | _SharedTexts) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> tuple[str, ...]:
        return tuple(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        return repr(tuple(self))


@read_from_shared_memory.register(Utf8)
def _read_from_shared_memory(space: Utf8, shared_memory: SynchronizedArray[c_uint8], n: int = 1) -> Sequence[str]:
    return _SharedTexts(space, shared_memory, n)


@flatdim.register(Utf8)
def _flatdim(space: Utf8) -> int:
    return 1 + space.max_bytes


@flatten_space.register(Utf8)
def _flatten_space(space: Utf8) -> gym.spaces.Box:
    high = np.full(1 + space.max_bytes, 255, np.int64)
    high[0] = space.max_bytes
    return gym.spaces.Box(np.zeros_like(high), high, dtype=np.int64)


@flatten.register(Utf8)
def _flatten(space: Utf8, x: str) -> NDArray[np.int64]:  # type: ignore[misc]
    data = np.frombuffer(x.encode("utf-8", "surrogatepass"), np.uint8)
    out = np.zeros(1 + space.max_bytes, np.int64)
    out[0] = len(data)
    out[1 : 1 + len(data)] = data
    return out


@unflatten.register(Utf8)
def _unflatten(space: Utf8, x: NDArray[Any]) -> str:  # type: ignore[misc]
    size = int(x[0])
    return bytes(np.asarray(x[1 : 1 + size], np.uint8)).decode("utf-8", "surrogatepass")
