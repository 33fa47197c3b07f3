"""Settings of all tests. Being here also puts this folder on the path: tests in every folder import toy_specs."""

import signal
from typing import Any

import pytest
from hypothesis import settings

# The same examples on every run, and no deadline: a busy machine is no failure.
settings.register_profile("opfuzz", derandomize=True, deadline=None)
settings.load_profile("opfuzz")

# A shell lets what it runs in the background ignore SIGINT, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Each worker has a stretch of the tests, and takes of another's when it is done.

    So what a module prepares for its tests is prepared once, and no worker is left with a long tail.
    """
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)
