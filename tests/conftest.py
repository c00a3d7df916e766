"""What holds for every test."""

import signal

# A shell that runs the tests in the background starts them with SIGINT ignored, and children would inherit that:
# the tests of interruption would then interrupt nobody.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
