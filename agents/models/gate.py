"""Keeps turns and loads of weights apart, so that no turn mixes two policies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

__all__ = ["Gate"]


class Gate:
    """Many turns at once, or one load alone; who waits to load goes before turns that have not begun.

    All of its users run in one event loop.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._turns = self._loads = 0
        self._loading = False

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """While one of the turns is under way."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._loads)
            self._turns += 1
        try:
            yield
        finally:
            self._turns -= 1
            async with self._changed:
                self._changed.notify_all()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """While weights are loaded."""
        self._loads += 1
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not (self._turns or self._loading))
                self._loading = True
            try:
                yield
            finally:
                self._loading = False
        finally:
            self._loads -= 1
            async with self._changed:
                self._changed.notify_all()
