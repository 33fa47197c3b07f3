"""What Python programs call: it does what the command line does, says what is wrong, and documents itself."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_campaigns import SPECS, plugin
from waiting import HUNG

import opfuzz
from opfuzz import OpfuzzError
from opfuzz.api.running import read_run
from opfuzz.engine.session import Sitting

ROOT = Path(__file__).parents[2]
FUNCTIONS = [name for name in opfuzz.__all__ if inspect.isfunction(getattr(opfuzz, name))] + ["judge"]
KINDS = [name for name in opfuzz.__all__ if isinstance(getattr(opfuzz, name), type)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with one fault, and the folder of runs."""
    folder = tmp_path_factory.mktemp("made")
    found = opfuzz.run(
        SPECS,
        subjects=["off:cpu", "numpy:cpu"],
        ops="square",
        formats="float32",
        cases=6,
        seed=3,
        shrink="2s",
        plugins=plugin(folder),
        out=folder / "reports",
        progress=False,
    )
    return found, folder / "reports"


def test_a_run_has_what_is_on_disk(made):
    run, reports = made
    assert run.folder.parent == reports
    document = json.loads((run.folder / "run.json").read_text())
    assert [row.op for row in run.ranking] == [row["op"] for row in document["ranking"]]
    assert [finding.id for finding in run.findings] == [finding["id"] for finding in document["findings"]]
    assert {row.subject for row in run.ranking if row.severity == "fault"} == {"off:cpu"}
    assert {finding.subject for finding in run.findings if finding.id in run.failing} == {"off:cpu"}
    assert run.record.seed == 3
    for finding in run.findings:
        path, line = run.record.places[finding.id]
        assert "numpy" in Path(path).read_text().splitlines()[line - 1], "off reads the calls of numpy"
    for again in (read_run(reports=reports), read_run(run.folder), read_run(run.folder / "run.json")):
        assert (again.folder, again.ranking, again.failing) == (run.folder, run.ranking, run.failing)
        assert [each.id for each in again.causes] == [each.id for each in run.causes]


def test_the_command_that_is_kept_makes_the_same_run(made):
    run, _ = made
    words = run.record.command
    assert words[:2] == ("opfuzz", "run")
    told = dict(zip(words[3::2], words[4::2], strict=True))
    assert told["--subjects"] == "off:cpu,numpy:cpu"
    assert (told["--op"], told["--format"], told["--cases"], told["--seed"]) == ("square", "float32", "6", "3")


def test_tables_for_pandas(made):
    pytest.importorskip("pandas", reason="no pandas here: pip install 'opfuzz[test]'")
    run, _ = made
    ranking = run.to_dataframe()
    assert list(ranking["op"]) == [row.op for row in run.ranking]
    assert list(ranking["max_ulp"]) == [row.max_ulp for row in run.ranking]
    assert list(run.to_dataframe("causes")["id"]) == [each.id for each in run.causes]
    findings = run.to_dataframe("findings")
    assert all((Path(path) / "finding.json").is_file() for path in findings["path"])
    with pytest.raises(
        OpfuzzError, match=r"^to_dataframe: there is no table 'rows'; known: ranking, causes, findings$"
    ):
        run.to_dataframe("rows")


def test_without_pandas_there_is_a_word(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(OpfuzzError, match=r"^to_dataframe: pandas is not installed: pip install pandas$"):
        made[0].to_dataframe()


def test_what_a_notebook_shows_is_inert(made):
    from dataclasses import replace

    run, _ = made
    shown = run._repr_html_()
    assert run.causes[0].id in shown
    assert shown.count("<table") == 2
    hostile = replace(run.record, subjects=("<script>alert(1)</script>",))
    assert "<script" not in replace(run, record=hostile)._repr_html_()
    assert run.write_page() == run.folder / "report.html"
    assert str(run).startswith("1 cause behind 1 fault")


def test_mistakes_are_told_in_one_line(tmp_path):
    mistakes = {
        "cases and time are two budgets; give one of them": {"cases": 1, "time": "1s"},
        "cases is 0; give a whole number from 1": {"cases": 0},
        "cases is '5'; give a whole number from 1": {"cases": "5"},
        "jobs is -1; give a whole number from 1": {"jobs": -1},
        "'soon' is no time; write 90, 60s, 5m or 2h": {"time": "soon"},
        "'weekly' is no seed; write a whole number below 2^64, or nightly": {"seed": "weekly"},
        "formats: unknown 'float33'; did you mean 'float32'?": {"formats": "float33"},
        "unknown op 'sqare'; did you mean 'square'?": {"ops": "sqare"},
    }
    for message, arguments in mistakes.items():
        with pytest.raises(OpfuzzError) as found:
            opfuzz.run(SPECS, subjects="numpy:cpu", out=tmp_path, **arguments)
        assert str(found.value) == message
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_is_a_run_all_the_same(tmp_path, monkeypatch):
    def interrupted(self, *given):
        progress = cases(self, *given)
        progress.interrupted = True
        return progress

    cases = Sitting.cases
    monkeypatch.setattr(Sitting, "cases", interrupted)
    run = opfuzz.run(SPECS, subjects="numpy:cpu", ops="mean", formats="float32", cases=2, out=tmp_path, progress=False)
    assert run.record.interrupted


def test_a_script_needs_no_guard_and_a_room_is_no_function(tmp_path):
    """Workers do not run the script that starts them, and `opfuzz.judge` is called whatever was imported before."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "import opfuzz\n"
        "assert 'numpy' not in sys.modules\n"
        "print('begun')\n"
        f"run = opfuzz.run({str(SPECS)!r}, subjects='numpy:cpu', ops='mean', formats='float32', cases=2, jobs=1,\n"
        f"                 out={str(tmp_path / 'out')!r})\n"
        "import opfuzz.judge.score, numpy as np\n"
        "print(len(run.ranking), opfuzz.judge('exp', np.zeros(2, 'f4'), np.ones(2, 'f4')).verdict)\n"
        "print(opfuzz.judge.score.__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("begun\n2 exact\nopfuzz.judge.score\n", "")


# Every public name says in its docstring what a user has to know.


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_names_its_parameters_its_errors_and_its_result(name):
    function = getattr(opfuzz, name)
    if not inspect.isfunction(function):  # a room that is called
        from opfuzz.api.judging import judge as function
    words = inspect.getdoc(function) or ""
    first, _, rest = words.partition("\n\n")
    assert first.endswith(".")
    assert "\n" not in first
    assert "Raises " in rest
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Parameter.empty
    assert [each for each in signature.parameters if not re.search(rf"\b{each}\b", words)] == []
    assert re.search(r"ulp|unit|shape|second|relative|same bits", words, re.IGNORECASE), "neither units nor shapes"


@pytest.mark.parametrize("name", KINDS)
def test_a_class_and_all_that_is_public_in_it_has_a_docstring(name):
    kind = getattr(opfuzz, name)
    assert (inspect.getdoc(kind) or "").partition("\n")[0].endswith((".", ","))
    for member, value in vars(kind).items():
        if member.startswith("_") or not (inspect.isfunction(value) or isinstance(value, property)):
            continue
        assert inspect.getdoc(value), f"{name}.{member}"


def test_the_list_of_public_names_is_whole():
    assert sorted(opfuzz.__all__) == sorted(opfuzz._HOMES)
    assert all(getattr(opfuzz, name) is not None for name in opfuzz.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'swep'"):
        _ = opfuzz.swep
    assert np.float32(opfuzz.ulp(np.array([1.0]), opfuzz.FORMATS["float32"])[0]) == np.finfo(np.float32).eps
