"""The first Ctrl-C asks for an end after the current step; the second one ends at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from palaestra.harness.training.listener import Listener

__all__ = ["Interrupts"]


class Interrupts:
    """While it is open, SIGINT and SIGTERM are requests.

    Args:
        listener: Is told of the first one.

    Attributes:
        asked: Whether somebody has asked to stop.
    """

    def __init__(self, listener: Listener) -> None:
        self.asked = False
        self._listener = listener
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # nobody else may
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._listener.note("Ending after this step, with a checkpoint. Interrupt again to end at once.")
