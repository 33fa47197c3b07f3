"""Settings of all tests. Being here also puts this folder on the path: tests in every folder import toy_specs."""

import signal

from hypothesis import settings

# The same examples on every run, and no deadline: a busy machine is no failure.
settings.register_profile("opfuzz", derandomize=True, deadline=None)
settings.load_profile("opfuzz")

# A shell lets what it runs in the background ignore SIGINT, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
