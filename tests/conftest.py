"""What holds for every test."""

import signal

from hypothesis import HealthCheck, settings

# A shell that runs the tests in the background starts them with SIGINT ignored, and children would inherit that:
# the tests of interruption would then interrupt nobody.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same commit has the same verdict everywhere, however slow the machine. To look for new examples:
# pytest --hypothesis-profile=default
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("repeatable")
