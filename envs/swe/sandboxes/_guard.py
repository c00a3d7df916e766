"""Runs one program of the unsafe local backend. Executed by its path, so it imports the standard library alone.

`python _guard.py LIFELINE BOUNDS FOLDER COMMAND...`: when the pipe's other end is closed, the parent is gone, or we are
told to end, the program's process group is killed; and so is what it left behind in it when it ends by itself.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys

_POLL_SECONDS = 1.0


def _main() -> int:
    lifeline, bounds, folder, command, parent = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:], os.getppid()
    os.set_inheritable(lifeline, False)
    for bound in filter(None, bounds.split(",")):
        name, _, value = bound.partition("=")
        kind = getattr(resource, name)
        resource.setrlimit(kind, (int(value), resource.getrlimit(kind)[1]))
    try:
        os.chdir(folder)
    except OSError as error:
        print(f"{folder}: {error.strerror}", file=sys.stderr)
        return 126
    reset = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGXFSZ)
    told, tell = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(tell, b"t"))
    try:
        program = os.posix_spawnp(command[0], command, dict(os.environ), setpgroup=0, setsigdef=reset)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 126 if isinstance(error, PermissionError) else 127
    for inherited in (0, 1, 2):
        os.close(inherited)
    end = os.pidfd_open(program)
    while True:
        ready = select.select([lifeline, told, end], [], [], _POLL_SECONDS)[0]
        if lifeline in ready or told in ready or os.getppid() != parent:
            os.killpg(program, signal.SIGKILL)
            os.waitpid(program, 0)
            return 137
        # It is killed with its group while it is a zombie: its number cannot be another process's yet.
        if os.waitid(os.P_PID, program, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            os.killpg(program, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(_main())
