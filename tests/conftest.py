"""Settings of all tests. Being here also puts this folder on the path: tests in every folder import toy_specs."""

import compileall
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same examples on every run, and no deadline: a busy machine is no failure. More of them would be the same ones on
# the next run too: `--hypothesis-profile thorough` is for a change of what they test.
settings.register_profile("opfuzz", derandomize=True, deadline=None, max_examples=40)
settings.register_profile("thorough", derandomize=True, deadline=None, max_examples=1000)
settings.load_profile("opfuzz")

# Where PYTHONDONTWRITEBYTECODE is set, hundreds of processes would compile opfuzz, and every worker all tests.
if "PYTEST_XDIST_WORKER" not in os.environ:
    compileall.compile_dir(Path(__file__).parents[1] / "opfuzz", quiet=2)
sys.dont_write_bytecode = False

# A shell lets what it runs in the background ignore SIGINT, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What tests write, such as a plugin with another fault a moment later, is compiled whenever it is loaded."""
    sys.dont_write_bytecode = True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: what waits for a process that hangs, sleeps or starts leaves a core idle."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Each worker has a stretch of the tests, and takes of another's when it is done.

    So what a module prepares for its tests is prepared once, and no worker is left with a long tail.
    """
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


@pytest.fixture
def specs_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bench in this process has the bundled specs that all tests share: it reads them for most of a second."""
    from bundled_ops import BUNDLED_OPS

    from opfuzz.cli.group import bundled_specs
    from opfuzz.engine.drivers import pipeline_bench

    def known(paths: Any, *others: Any, **named: Any) -> Any:
        return tuple(BUNDLED_OPS.values()) if tuple(paths) == (bundled_specs(),) else read(paths, *others, **named)

    read = pipeline_bench.load_specs
    monkeypatch.setattr(pipeline_bench, "load_specs", known)


@pytest.fixture(scope="session", autouse=True)
def _frameworks_for_all_workers() -> Iterator[None]:
    """The server that all pools of this process share loads, for the first of them, what a later one may need.

    Otherwise each worker of a later pool loads torch for itself: seconds, which on a busy machine its cases pay for.
    """
    from opfuzz.backends.discovery import survey
    from opfuzz.engine.executors import pool

    def of_all(task: Any) -> list[str]:
        here = [backend for backend in survey()[0].values() if not backend.absent()]
        return list(dict.fromkeys([*preload(task), *(name for backend in here for name in backend.modules)]))

    preload = pool.preload
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "preload", of_all)
        yield
