"""What holds for every test."""

import signal

from hypothesis import settings

# A shell that runs the tests in the background starts them with SIGINT ignored, and children would inherit that:
# the tests of interruption would then interrupt nobody.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same commit has the same verdict everywhere; to look for new examples: pytest --hypothesis-profile=default
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
