"""Tries every behaviour of bubblewrap's sandboxes as an ordinary user: `python sandboxes_as_user.py UID PYTHON`.

Prints the findings as JSON. Everything is imported first, since that user may not be able to read it.
"""

import dataclasses
import encodings.idna  # noqa: F401
import json
import os
import sys
import tempfile

import palaestra.envs.swe.sandboxes.bubblewrap as bubblewrap
from palaestra.envs.swe.sandboxes.conformance import conform

if __name__ == "__main__":
    uid, sys.executable = int(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        keeper = os.path.join(folder, "_keeper.py")
        for path in (bubblewrap._KEEPER, bubblewrap._KEEPER.with_name("wire.py")):
            with open(os.path.join(folder, path.name), "wb") as file:
                file.write(path.read_bytes())
        os.chmod(folder, 0o755)
        if (child := os.fork()) == 0:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.chdir("/tmp")
            os.environ.update(HOME="/nonexistent", TMPDIR="/tmp")
            tempfile.tempdir = None
            bubblewrap._KEEPER = bubblewrap.Path(keeper)
            with bubblewrap.Bubblewrap() as backend:
                print(json.dumps([dataclasses.asdict(finding) for finding in conform(backend)]))
            sys.stdout.flush()
            os.rmdir(f"/tmp/palaestra-sandboxes-{uid}")
            os._exit(0)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
