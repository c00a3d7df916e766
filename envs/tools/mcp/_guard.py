"""Runs a server for its parent and sees to its end. Executed by its path, so it imports the standard library alone.

`python _guard.py LIFELINE COMMAND...`: the command gets our standard input, output and error, and a process group of
its own. When the other end of the pipe LIFELINE is closed, by intent or because the parent was killed, the whole group
is killed; when the command ends by itself, so is whatever it left behind in its group.
"""

from __future__ import annotations

import os
import select
import signal
import sys

_POLL_SECONDS = 1.0


def _main() -> int:
    lifeline, command, parent = int(sys.argv[1]), sys.argv[2:], os.getppid()
    os.set_inheritable(lifeline, False)
    # Python ignores SIGPIPE, which the server must not inherit.
    reset = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM)
    try:
        server = os.posix_spawnp(command[0], command, dict(os.environ), setpgroup=0, setsigdef=reset)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(server, signal.SIGTERM))
    for inherited in (0, 1, 2):  # only the server's are left, so that their end is its end
        os.close(inherited)
    try:
        ends = [lifeline, os.pidfd_open(server)]
    except (AttributeError, OSError):  # an old kernel: its end is seen at the next look
        ends = [lifeline]
    while True:
        ready, _, _ = select.select(ends, [], [], _POLL_SECONDS)
        # A forked sibling may hold the lifeline open, so the parent is looked for, too.
        if lifeline in ready or os.getppid() != parent:
            os.killpg(server, signal.SIGKILL)
            os.waitpid(server, 0)
            return 137
        # It is killed with its group while it is a zombie: its number cannot be another process's yet.
        if os.waitid(os.P_PID, server, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            os.killpg(server, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(server, 0)[1])
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(_main())
