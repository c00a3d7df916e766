"""Things that are costly to load, shared by all who hold them and freed with the last holder."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Shared"]

T = TypeVar("T")


class Shared(Generic[T]):
    """A thread-safe table of weakly held things.

    Several environments in one process thereby use one index; when the last of them is gone, so is the index.
    """

    def __init__(self) -> None:
        self._things: weakref.WeakValueDictionary[Hashable, T] = weakref.WeakValueDictionary()
        self._renew()

    def _renew(self) -> None:
        # A fork copies locks that another thread may hold; the child starts with its own.
        self._pid, self._lock, self._locks = os.getpid(), threading.Lock(), dict[Hashable, threading.Lock]()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing under this key; made if nobody holds one, once even if several threads ask at the same time.

        Args:
            key: What the thing is made from, completely.
            make: Makes it. What it raises is passed on.

        Returns:
            The thing.
        """
        if self._pid != os.getpid():
            self._renew()
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            thing = self._things.get(key)
            if thing is None:
                thing = make()
                self._things[key] = thing
        with self._lock:
            # Whoever still waits has this lock in hand and will find the thing; a new lock does no harm.
            self._locks.pop(key, None)
        return thing
