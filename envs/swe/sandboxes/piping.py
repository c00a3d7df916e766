"""A program's three pipes, fed and drained until its end, with a bound on its output and on its time."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import Literal

__all__ = ["Pipes"]

_CHUNK = 65536


class Pipes:
    """Our ends of a program's pipes.

    Attributes:
        theirs: The program's ends: standard input, output and error. Close them once it has them.
    """

    def __init__(self) -> None:
        self.theirs: list[int] = []
        self._ours: list[int] = []
        try:
            for reads in (True, False, False):
                read, write = os.pipe2(os.O_CLOEXEC)
                theirs, ours = (read, write) if reads else (write, read)
                self.theirs.append(theirs)
                self._ours.append(ours)
                os.set_blocking(ours, False)
        except OSError:
            self.close()
            raise

    def let_go(self) -> None:
        """Closes the program's ends."""
        while self.theirs:
            os.close(self.theirs.pop())

    def close(self) -> None:
        """Closes all that is open."""
        self.let_go()
        while self._ours:
            os.close(self._ours.pop())

    def run(
        self,
        stdin: bytes,
        limit: int,
        deadline: float,
        end_fd: int,
        kill: Callable[[], None],
        grace: float = 10.0,
    ) -> tuple[bytes, bytes, Literal["timeout", "flood"] | None, bool]:
        """Feeds and drains until the end is told.

        Args:
            stdin: What the program is to read.
            limit: Bytes of output that are kept; more kills.
            deadline: The time of `time.monotonic()` at which it is killed.
            end_fd: Becomes readable when the program has ended.
            kill: Ends the program.
            grace: Seconds that the end may take after `kill`.

        Returns:
            Standard output, standard error, why it was killed ("timeout", "flood", None), and whether it has ended.
        """
        feed, out, err = self._ours
        kept = {out: bytearray(), err: bytearray()}
        pending = memoryview(stdin)
        poll = select.poll()
        poll.register(end_fd, select.POLLIN)
        for fd in (out, err):
            poll.register(fd, select.POLLIN)
        if pending:
            poll.register(feed, select.POLLOUT)
        else:
            self._drop(feed)
        killed: Literal["timeout", "flood"] | None = None
        ended = False
        while not ended:
            left = deadline - time.monotonic()
            if left <= 0:
                if killed is not None:
                    break
                killed, deadline = "timeout", time.monotonic() + grace
                kill()
                continue
            for fd, _ in poll.poll(left * 1000):
                if fd == end_fd:
                    ended = True
                elif fd == feed:
                    try:
                        pending = pending[os.write(feed, pending[:_CHUNK]) :]
                    except BlockingIOError:
                        continue
                    except BrokenPipeError:
                        pending = pending[:0]
                    if not pending:
                        poll.unregister(feed)
                        self._drop(feed)
                elif not self._read(fd, kept, limit):
                    poll.unregister(fd)
            if killed is None and sum(map(len, kept.values())) > limit:
                killed, deadline = "flood", time.monotonic() + grace
                kill()
        for fd in (out, err):  # what lies in the pipes; an orphan that holds one open is not waited for
            while len(kept[fd]) <= limit and self._read(fd, kept, limit):
                if not select.select([fd], [], [], 0)[0]:
                    break
        if killed is None and sum(map(len, kept.values())) > limit:
            killed = "flood"
        stdout = bytes(kept[out][:limit])
        return stdout, bytes(kept[err][: limit - len(stdout)]), killed, ended

    def _drop(self, fd: int) -> None:
        self._ours.remove(fd)
        os.close(fd)

    @staticmethod
    def _read(fd: int, kept: dict[int, bytearray], limit: int) -> bool:
        """Whether there may be more."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        if len(kept[fd]) <= limit:
            kept[fd] += data
        return bool(data)
