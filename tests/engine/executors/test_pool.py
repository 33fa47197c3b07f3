"""Items that end their process cost themselves and nothing else."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import casualties
import pytest
from casualties import Hardship
from waiting import HUNG, until

from opfuzz.engine.executors import INLINE, Casualty, pool
from opfuzz.engine.executors.task import LAZY, preload
from opfuzz.engine.executors.worker import serve


def run(batches, jobs=2, threads=1, **options):
    found = dict(pool.run(Hardship(**options), batches, jobs, threads=threads))
    assert multiprocessing.active_children() == []
    return [found[number] for number in range(len(found))]


def line_of(item):
    """Where `casualties.work` does what an item says."""
    lines = Path(casualties.__file__).read_text().splitlines()
    return next((n + 2 for n, line in enumerate(lines, 0) if line.strip() == f'case "{item}":'), 0)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_all_results_come():
    batches = [list(range(n, n + 3)) for n in range(10)]
    assert run(batches) == [[2 * item for item in batch] for batch in batches]


def test_same_as_inline():
    batches = [[1, 2], [], [3]]
    assert run(batches) == [answers for _, answers in INLINE.run(Hardship(), batches, 1)]


@pytest.mark.parametrize(
    ("item", "kind", "message"),
    [
        ("abort", "crash", "killed by SIGABRT in work (casualties.py:LINE)"),
        ("segfault", "crash", "killed by SIGSEGV"),
        ("talk", "crash", "killed by SIGABRT in work (casualties.py:LINE); last words: what():  no such kernel"),
        ("whisper", "crash", "the process exited with status 6; last words: half a line"),
        ("exit", "crash", "the process exited with status 3"),
        ("sys.exit", "crash", "the process exited with status 4"),
        ("killed", "out-of-memory", "killed by SIGKILL, as the system does when memory runs out"),
        ("no memory", "out-of-memory", "raised MemoryError: "),
    ],
)
def test_a_death_costs_one_item(item, kind, message):
    raised = "MemoryError" if item == "no memory" else ""
    dead = Casualty(kind, message.replace("LINE", str(line_of(item))), f"item {item}", raised)
    assert run([[1, item, 2, item, 3], [4]]) == [
        [2, dead, 4, dead, 6],
        [8],
    ]


@pytest.mark.parametrize("item", ["hang", "hang with the lock held"])
def test_a_hang_costs_one_item_and_says_where(item):
    began = time.monotonic()
    message = f"no result after 1 s in work (casualties.py:{line_of(item)})"
    assert run([[1, item, 2], [3, 4]], timeout=1.0) == [[2, Casualty("timeout", message, f"item {item}"), 4], [6, 8]]
    assert time.monotonic() - began < 600, "as long as it would have slept"


def test_a_call_may_hang_before_its_item_does():
    """An item of many calls, none of which takes long, is none that hangs."""
    assert run([[1, "calls", 2]], timeout=600.0, call_seconds=3.0) == [[2, "mademade", 4]]
    ((_, found, other),) = run([[1, "hang", 2]], timeout=600.0, call_seconds=1.0)
    assert (found.kind, other) == ("timeout", 4)
    assert found.message.startswith("no result after 1 s in work")


@pytest.mark.parametrize(("item", "words"), [("raise", "ValueError: a bug of opfuzz"), ("unpicklable", "pickle")])
def test_what_the_work_raises_is_internal(item, words):
    [[first, casualty, last]] = run([[1, item, 2]])
    assert (first, last, casualty.kind, casualty.label) == (2, 4, "internal", f"item {item}")
    assert "Traceback" in casualty.message
    assert words in casualty.message


def test_a_mistake_of_the_users_is_told_as_it_is():
    mistake = Casualty("mistake", "x.yaml:3: a mistake of the user's", "item mistake", "OpfuzzError")
    assert run([[1, "mistake", 2]]) == [[2, mistake, 4]]


def test_what_is_preloaded_follows_from_the_task():
    assert preload(Hardship(modules=("colorsys", "casualties"))) == ["casualties", *LAZY, "colorsys"]


def test_a_worker_has_what_its_task_names_also_where_another_task_came_first():
    assert run([["loaded"]]) == [[False]]
    assert run([["loaded"]], modules=("colorsys", "no_such_module")) == [[True]]


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_the_memory_limit():
    [[first, casualty, last]] = run([[1, "eat", 2]], memory=400 * 2**20)
    assert (first, last, casualty.kind) == (2, 4, "out-of-memory")
    assert casualty.message.endswith("GiB in use, the limit is 0.39 GiB")


def test_nothing_is_computed_twice(tmp_path):
    path = tmp_path / "calls"
    [results] = run([[(path, number) for number in range(6)]], function=casualties.count)
    assert [r.kind if isinstance(r, Casualty) else r for r in results] == [0, 1, 2, "crash", 4, 5]
    assert path.read_text().split() == list("012345")


def test_many_deaths_in_many_batches():
    batches = [[1, "exit", 2] for _ in range(15)]
    assert run(batches, jobs=3) == [[2, Casualty("crash", "the process exited with status 3", "item exit"), 4]] * 15


def test_a_worker_that_dies_idle_costs_nothing():
    """Killed after its batch, before its next, as the system may do at any time."""

    def batches():
        yield ["pid"]
        while not pids:
            yield [0]
        os.kill(pids[0], signal.SIGKILL)
        time.sleep(0.2)
        for number in range(1, 5):
            yield [number]

    pids, numbers = [], []
    for _, results in pool.run(Hardship(), batches(), jobs=1):
        if not pids:
            pids.extend(results)
        else:
            numbers.extend(results)
    assert [n for n in numbers if n] == [2, 4, 6, 8]


def test_an_import_is_not_the_time_of_a_call():
    assert run([[1, "import", 2], ["import"]], timeout=1.2) == [[2, "loaded", 4], ["loaded"]]


def test_an_import_without_end_is_a_hang(monkeypatch):
    monkeypatch.setattr(pool, "IMPORT_SECONDS", 0.5)
    ((_, found, other),) = run([[1, "import", 2]], timeout=0.3)
    assert (found.kind, other) == ("timeout", 4)
    assert re.fullmatch(r"no result after [\d.]+ s in <module> \(slow_to_load.py:5\)", found.message)


@pytest.mark.skipif(sys.platform != "linux", reason="only there it is told what a process had of the processors")
def test_what_gets_on_with_too_little_of_the_processors_is_no_hang():
    """It has 0.2 s of work, and takes 2 s or more for it; one that sleeps and one that never ends are hangs."""
    assert run([[1, "starved", 2]], timeout=1.5) == [[2, "donedone", 4]]
    for item in ("hang", "spin"):
        ((_, found, other),) = run([[1, item, 2]], timeout=1.5)
        assert (found.kind, other) == ("timeout", 4)


@pytest.mark.skipif(sys.platform != "linux", reason="only there it is told what a process had of the processors")
def test_what_gets_on_for_ever_is_a_hang_after_all(monkeypatch):
    monkeypatch.setattr(pool, "MOST_TIMES", 2.0)
    ((_, found, other),) = run([[1, "starved", 2]], timeout=0.5)
    assert (found.kind, other) == ("timeout", 4)


def test_a_slow_consumer_is_no_timeout():
    batches = pool.run(Hardship(timeout=1.0), [[1], [2], [3], [4]], jobs=2)
    found = []
    for _, results in batches:
        found.extend(results)
        time.sleep(1.2 if len(found) == 1 else 0.0)
    assert sorted(found) == [2, 4, 6, 8]


def test_large_results_and_batches():
    items = [b"x" * 300_000] * 12
    assert run([items, items]) == [[item * 2 for item in items]] * 2


def test_what_is_printed_goes_nowhere(capfd):
    assert run([["print", 1]]) == [["printed" * 2, 2]]
    assert capfd.readouterr() == ("", "")


def test_words_are_of_the_item_that_died():
    [[_, casualty]] = run([["print", "exit"]])
    assert casualty.message == "the process exited with status 3"


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_a_killed_parent_leaves_no_hanging_worker(tmp_path):
    process = started(tmp_path)
    workers = [int(word) for word in process.stdout.readline().split()]
    assert all(map(alive, workers))
    process.kill()
    process.wait(HUNG)
    until(lambda: not any(map(alive, workers)))


def test_no_files_are_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run([[1, "exit", 2], ["abort"]])
    assert list(tmp_path.iterdir()) == []


def test_workers_are_prepared():
    assert run([["prepared", "threads"]], threads=2) == [[["yes"], "2"]]


def test_a_worker_has_what_its_task_says_unless_the_user_says_otherwise(monkeypatch):
    assert run([["setting"]], setting="task") == [["task"]]
    assert "OPFUZZ_SETTING" not in os.environ
    monkeypatch.setenv("OPFUZZ_SETTING", "user")
    assert run([["setting"]], setting="task") == [["user"]]


def test_the_environment_is_left_alone(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run([["threads"]])
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (casualties.fail, r"(?s)a worker could not start:.*ValueError: no framework here"),
        (casualties.die, "a worker ended 3 times before its first item: the process exited with status 5"),
    ],
)
def test_workers_that_cannot_start(prepare, message):
    with pytest.raises(RuntimeError, match=message):
        run([[1]], prepare=prepare)
    assert multiprocessing.active_children() == []


def test_a_worker_that_nobody_waits_for_any_more_ends_without_a_word(tmp_path):
    assert serve(None, Hardship(), {}, str(tmp_path / "gone")) is None


def test_a_closed_iterator_leaves_nobody():
    results = pool.run(Hardship(timeout=60.0), [["pid"], ["child"], ["pid"]], jobs=2)
    next(results)
    assert multiprocessing.active_children()
    results.close()
    assert multiprocessing.active_children() == []


INTERRUPTED = """
import sys
sys.path.insert(0, {folder!r})
import casualties, multiprocessing
from opfuzz.engine.executors import pool
if __name__ == "__main__":
    try:
        task = casualties.Hardship(timeout=60.0)
        for number, results in pool.run(task, [["pid"], ["child"], ["hang"]], jobs=3):
            print(*[process.pid for process in multiprocessing.active_children()], flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def started(folder):
    script = folder / "script.py"
    script.write_text(INTERRUPTED.format(folder=str(Path(__file__).parent)))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_ctrl_c_ends_everything_promptly(tmp_path):
    process = started(tmp_path)
    workers = [int(word) for word in process.stdout.readline().split()]
    assert len(workers) == 3
    groups = until(lambda: [p for p in map(int, filter(str.isdigit, os.listdir("/proc"))) if sleeps(p, workers)])
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    assert process.communicate(timeout=HUNG)[0] == "interrupted\n"
    assert time.monotonic() - began < 60, "when their time is up, and ten times sooner than they wake up"
    until(lambda: not any(map(alive, workers + groups)))


def sleeps(pid, groups):
    """Whether a process is the `sleep` that one of the workers started."""
    try:
        return os.getpgid(pid) in groups and Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0")
    except (ProcessLookupError, FileNotFoundError):
        return False
