"""A run that is killed, interrupted, or runs into a full disk goes on where it was, and ends as if nothing had been."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import several_outputs
from commands import opfuzz
from small_campaigns import SPECS, plugin
from waiting import HUNG

from opfuzz.backends import discover
from opfuzz.engine.campaign import run
from opfuzz.engine.plan import Plan, load_specs
from opfuzz.store.journal import Begun, Ended, Examined, Journal

ROOT = Path(__file__).parents[2]
OF_THE_SITTING = {"run", "started", "command", "seconds"}


def words_of(folder: Path, out: str, *more: object) -> list[object]:
    """A run with searches, and with findings to diagnose and to make smaller."""
    few = ["--op", "square", "--format", "float32", "--subjects", "numpy:cpu,off:cpu"]
    cases = more or ("--cases", 6)
    return ["run", SPECS, *few, "--plugin", plugin(folder), "--shrink", "10m", "--out", out, *cases]


def started(words: list[object], cwd: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "opfuzz", *map(str, words)]
    return subprocess.Popen(command, cwd=cwd, env=environment, start_new_session=True, **pipes)


def ended(words: list[object], cwd: Path) -> tuple[int, str]:
    """Status, and what was said, of a command in this process."""
    done = opfuzz(*words, cwd=cwd)
    return done.status, done.err


class Killed(BaseException):
    """Ends a run in this process; what it does then is undone."""


def stopped(words: list[object], cwd: Path, entries: int, stop: Callable[[], None]) -> tuple[int, str]:
    """Status, and what was said, of a run in this process at which `stop` is called after so many journal entries.

    A run with fewer is stopped before the journal is deleted: when everything is written.
    """
    left = entries
    append, remove = Journal.append, Journal.remove

    def counted(self: Journal, entry: Any) -> None:
        nonlocal left
        append(self, entry)
        left -= 1
        if left == 0:
            stop()

    def removed(self: Journal) -> None:
        if left > 0:
            stop()
        remove(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "append", counted)
        patch.setattr(Journal, "remove", removed)
        return ended(words, cwd)


def kill(words: list[object], cwd: Path, out: str, entries: int) -> None:
    """Leave in the folder `out` what a run that is killed after so many entries leaves there.

    That is what the disk holds at that moment: it is kept, the run is ended, and what it did since is undone.
    """
    kept = cwd / "kept"

    def stop() -> None:
        shutil.copytree(cwd / out, kept)
        raise Killed

    with pytest.raises(Killed):
        stopped(words, cwd, entries, stop)
    shutil.rmtree(cwd / out)
    kept.rename(cwd / out)


# A run in a process of its own that is killed as soon as its journal has a number of entries.
KILLED = """
import os, signal
from opfuzz import cli
from opfuzz.store.journal import Journal

append, left = Journal.append, {left}

def counted(self, entry):
    global left
    append(self, entry)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

Journal.append = counted
cli.main()
"""


def killed(words: list[object], cwd: Path, entries: int) -> None:
    """Run in a process that is killed after so many entries of its journal."""
    script = cwd / "killed.py"
    body = KILLED.format(left=entries).replace("\n", "\n    ")
    script.write_text(f"if __name__ == '__main__':{body}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), *map(str, words)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def document(out: Path) -> dict[str, object]:
    (path,) = out.glob("2*/run.json")
    return {name: value for name, value in json.loads(path.read_text()).items() if name not in OF_THE_SITTING}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of a run that nothing disturbs, and that ends with findings: its files, and `document` of it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    status, err = ended(words_of(folder, "whole"), folder)
    assert status == 1, err
    return folder / "whole"


@pytest.fixture(scope="module")
def count(tmp_path_factory) -> int:
    """Entries of the journal of the same run, up to the one that says that its cases are over."""
    entries: list[object] = []
    append = Journal.append

    def noted(self: Journal, entry: Any) -> None:
        append(self, entry)
        entries.append(entry)
        if isinstance(entry, Ended):
            raise Killed

    folder = tmp_path_factory.mktemp("counting")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "append", noted)
        with pytest.raises(Killed):
            ended(words_of(folder, "counting"), folder)
    return len(entries)


def test_a_run_that_is_killed_again_and_again_ends_like_one_that_is_not(whole, tmp_path):
    again = ["run", "--resume", "latest", "--out", "killed"]
    killed(words_of(tmp_path, "killed"), tmp_path, 3)  # a process, among cases and searches
    kill(again, tmp_path, "killed", 2)
    kill(again, tmp_path, "killed", 1)  # among findings
    kill(again, tmp_path, "killed", 1000)  # at the very end
    process = started(again, tmp_path)
    _, err = process.communicate(timeout=HUNG)
    assert process.returncode == 1, err
    assert document(tmp_path / "killed") == document(whole)
    (place,), (undisturbed,) = tmp_path.glob("killed/2*"), whole.glob("2*")
    first, second = ({path.relative_to(each) for path in each.rglob("*")} for each in (place, undisturbed))
    assert first == second, "no journal, and no part of a file that was being written"
    (tmp_path / "killed" / "history.sqlite").stat()
    status, err = ended(again, tmp_path)
    assert (status, err.count("\n")) == (2, 1)
    assert "no run 'latest' that can go on" in err


def signalled(how: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), how)


@pytest.mark.parametrize(("how", "wanted"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_was_interrupted_has_a_report_and_goes_on(how, wanted, whole, tmp_path):
    status, err = stopped(words_of(tmp_path, "cut"), tmp_path, 3, signalled(how))
    assert status == wanted
    (folder,) = tmp_path.glob("cut/2*")
    assert f"to go on: opfuzz run --resume {folder.relative_to(tmp_path)}" in err
    assert document(tmp_path / "cut")["interrupted"] is True
    status, err = ended(["run", "--resume", folder.name[:12], "--out", "cut", "--jobs", "1"], tmp_path)
    assert status == 1, err
    assert document(tmp_path / "cut") == document(whole)


@pytest.mark.parametrize(("how", "wanted"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_while_findings_are_diagnosed_keeps_no_poor_diagnosis(how, wanted, whole, count, tmp_path):
    """The entry that says that the cases are over is the last before them."""
    status, err = stopped(words_of(tmp_path, "cut"), tmp_path, count, signalled(how))
    assert status == wanted, err
    assert document(tmp_path / "cut")["interrupted"] is True
    assert ended(["run", "--resume", "latest", "--out", "cut"], tmp_path)[0] == 1
    assert document(tmp_path / "cut") == document(whole)


def test_a_limit_of_time_is_over_all_sittings(tmp_path):
    """What the journal says of earlier sittings counts: each op is tried once more, and no more than that."""
    plan = Plan(load_specs([SPECS], discover()), ("numpy:cpu",), 0, 1, seconds=50.0)
    assert run(plan, journal=journal_of(tmp_path, seconds=50.0)).cases == run(replace(plan, seconds=1e-9)).cases


def journal_of(folder: Path, seconds: float) -> Journal:
    folder.mkdir(exist_ok=True)
    journal = Journal.create(folder, Begun({}, {}, {}, datetime.now(UTC), ()))
    journal.append(Examined((), seconds))
    journal.close()
    return Journal.open(folder)


def test_a_run_is_not_its_own_baseline(tmp_path):
    words = words_of(tmp_path, "own", "--cases", 6, "--baseline", "latest")
    kill(words, tmp_path, "own", 1000)
    (path,) = tmp_path.glob("own/2*/run.json")
    assert json.loads(path.read_text())["comparison"]["before"] == ""
    status, err = ended(["run", "--resume", "latest", "--out", "own"], tmp_path)
    assert status == 1, err
    assert json.loads(path.read_text())["comparison"]["before"] == ""


CHANGED = (SPECS / "square.yaml").read_text().replace("1..40", "1..41")
CHANGES = (
    ("specs/square.yaml", lambda path: path.write_text(CHANGED), "the spec of 'square' is another now"),
    ("faulty.py", lambda path: path.write_text("open('ran', 'w')\nBACKENDS = []\n"), "faulty.py is another now"),
    ("specs/mean.yaml", Path.unlink, "the spec of 'mean' is another now"),
)


def test_a_run_does_not_go_on_with_other_files(tmp_path):
    (tmp_path / "specs").mkdir()
    for path in SPECS.glob("*.yaml"):
        (tmp_path / "specs" / path.name).write_bytes(path.read_bytes())
    run = ["run", "specs", "--subjects", "numpy:cpu", "--plugin", plugin(tmp_path), "--cases", "2000"]
    kill(run, tmp_path, "reports", 2)
    for name, change, words in CHANGES:
        before = (tmp_path / name).read_bytes()
        change(tmp_path / name)
        status, err = ended(["run", "--resume", "latest"], tmp_path)
        assert status == 2
        assert err.count("\n") == 1
        assert f"cannot go on: {words}; undo that, or start the run anew" in err.replace(f"{tmp_path}/", "")
        (tmp_path / name).write_bytes(before)
    assert not (tmp_path / "ran").exists(), "another plugin than that of the run is not even loaded"


def test_what_a_resumed_run_does_not_take(tmp_path):
    status, err = ended(["run", "--resume", "latest", "--seed", "3"], tmp_path)
    assert (status, err.splitlines()[-1]) == (
        2,
        "opfuzz run: --resume takes all from the run; leave out --seed; see 'opfuzz run --help'",
    )
    status, err = ended(["run", SPECS, "--resume", "latest"], tmp_path)
    assert (status, "leave out specs" in err) == (2, True)


FULL = """
import resource, sys
from opfuzz import cli
from opfuzz.engine import session
from opfuzz.store.journal import Journal

create = Journal.create

def limited(folder, begun):
    journal = create(folder, begun)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    return journal

session.Journal.create = limited
cli.main()
"""


def test_a_full_disk_is_said_and_the_run_goes_on_later(whole, tmp_path):
    script = tmp_path / "full.py"
    script.write_text(f"if __name__ == '__main__':{FULL.replace(chr(10), chr(10) + '    ')}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, script, *words_of(tmp_path, "full")]
    done = subprocess.run(
        list(map(str, words)), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    (folder,) = tmp_path.glob("full/2*")
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"{folder.relative_to(tmp_path)}/journal: cannot be written: File too large; what came before is kept: "
        f"make room, then opfuzz run --resume {folder.relative_to(tmp_path)}"
    )
    status, err = ended(["run", "--resume", folder], tmp_path)
    assert status == 1, err
    assert document(tmp_path / "full") == document(whole)


def test_a_limit_of_memory_below_what_a_process_has_accuses_nobody(tmp_path):
    status, err = ended([*words_of(tmp_path, "low"), "--case-memory", "20M"], tmp_path)
    assert status == 2, err
    assert re.fullmatch(
        r"a limit of 20 MiB a process is too low: one takes \d+ MiB before its first case", err.splitlines()[-1]
    )
    assert not list(tmp_path.glob("low/2*")), "nothing is left of a run that could not begin"


def test_two_runs_at_once_do_not_disturb_each_other(whole, tmp_path):
    # Each with known faults of its own: those of a run that ends first are rightly made again by one that begins later.
    both = [[*words_of(tmp_path, "both"), "--corpus", f"known{n}"] for n in range(2)]
    process = started(both[0], tmp_path)
    for _ in range(2000):  # they are at their cases at the same time
        if list(tmp_path.glob("both/2*")) or process.poll() is not None:
            break
        time.sleep(0.01)
    status, err = ended(both[1], tmp_path)
    assert (status, "Traceback" in err) == (1, False)
    _, err = process.communicate(timeout=HUNG)
    assert (process.returncode, "Traceback" in err) == (1, False)
    documents = [json.loads(path.read_text()) for path in tmp_path.glob("both/2*/run.json")]
    wanted = document(whole)
    assert len(documents) == 2
    for found in documents:
        assert {name: value for name, value in found.items() if name not in OF_THE_SITTING} == wanted


def test_a_run_of_several_outputs_and_of_none_of_axes_goes_on(tmp_path):
    def words(out: str) -> list[object]:
        few = [
            "--subjects",
            "numpy:cpu,short:cpu",
            "--format",
            "float32",
            "--plugin",
            several_outputs.plugin(tmp_path),
            "--cases",
            6,
        ]
        return ["run", several_outputs.SEVERAL, *few, "--shrink", "10m", "--out", out]

    assert ended(words("whole"), tmp_path)[0] == 1
    kill(words("killed"), tmp_path, "killed", 3)
    again = ["run", "--resume", "latest", "--out", "killed"]
    kill(again, tmp_path, "killed", 3)
    assert ended(again, tmp_path)[0] == 1
    assert document(tmp_path / "killed") == document(tmp_path / "whole")
    assert "mean" in {finding["recipe"]["output"] for finding in document(tmp_path / "whole")["findings"]}
