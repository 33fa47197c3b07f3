"""The pytest plugin, in throw-away projects with a pytest of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_campaigns import SPECS, plugin
from waiting import HUNG

from opfuzz.core.findings import finding_id
from opfuzz.pytest_plugin import Examiner

ROOT = Path(__file__).parents[1]
IS_INSTALLED = any(entry.name == "opfuzz" for entry in metadata.entry_points(group="pytest11"))

SETTINGS = """
[tool.pytest.ini_options]
addopts = "--strict-markers --strict-config"
testpaths = ["tests"]
opfuzz_specs = ["specs/"]
opfuzz_subjects = ["numpy:cpu", "off:cpu", "raising:cpu", "missing:cpu"]
opfuzz_formats = ["float32", "bfloat16"]
opfuzz_plugins = ["faulty.py", "missing.py"]
opfuzz_cases = 8
opfuzz_accepted = "accepted.yaml"
"""

ACCEPTED = """
- id: {id}
  op: square
  subject: off:cpu
  format: float32
  verdict: imprecise
  relation: reference
  reason: known for years
  date: 2026-01-31
"""


def run_pytest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`pytest` in a folder, in a process of its own."""
    loaded = () if IS_INSTALLED else ("-p", "opfuzz.pytest_plugin")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *loaded, "-p", "no:randomly", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=HUNG,
    )


def project(folder: Path, **files: str) -> Path:
    """A folder with the small specs, the plugin with faulty backends, and these files."""
    (folder / "specs").mkdir()
    shutil.copy(SPECS / "square.yaml", folder / "specs")
    plugin(folder)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


MISSING = """
from opfuzz.backends.numpy import Numpy


class Missing(Numpy):
    def absent(self):
        return "missing: not installed: pip install missing"


BACKENDS = [Missing("missing")]
"""

THREE_LINES = """import pytest
@pytest.mark.opfuzz("specs/square.yaml", subjects=["numpy:cpu", "off:cpu"], formats=["float32"], plugins=["faulty.py"])
def test_square(): ...
"""


@pytest.fixture(scope="module")
def three_lines(tmp_path_factory):
    """A project of three lines, tested once."""
    folder = project(tmp_path_factory.mktemp("three"), test_it__py=THREE_LINES)
    return folder, run_pytest(folder, "-v")


def test_three_lines_are_a_test_for_each_subject_and_format(three_lines):
    _, done = three_lines
    assert done.returncode == 1, done.stdout + done.stderr
    said = dict(re.findall(r"test_it\.py::(test_square\S+) (\w+)", done.stdout.partition("FAILURES")[0]))
    assert said == {
        "test_square[numpy:cpu-float32]": "PASSED",
        "test_square[off:cpu-float32]": "FAILED",
    }


def test_a_fault_is_told_by_diagnosis_trigger_witness_and_reproducer(three_lines):
    folder, done = three_lines
    failure = done.stdout.partition("FAILURES")[2].partition("short test summary")[0]
    assert "square on off:cpu in float32" in failure
    assert "fails at any size" in failure
    assert re.search(r"witness x = 1 \(0x3f800000\): 1\.0010", failure)
    assert "Traceback" not in done.stdout
    assert not re.search(r"opfuzz/[\w/]+\.py:\d", done.stdout)  # no line of opfuzz itself
    (reproducer,) = re.findall(r"reproduce with: python (\S+)", failure)
    assert reproducer.startswith(".pytest_cache/")
    assert json.loads((folder / reproducer).with_name("finding.json").read_text())["subject"] == "off:cpu"


def test_all_tests_of_a_spec_share_one_run(three_lines):
    folder, _ = three_lines
    (kept,) = folder.glob(".pytest_cache/**/session.json")
    assert len(json.loads(kept.read_text())["examined"]) == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"session": "s"}', '{"session": "s", "mistake": "", "examined": [3]}']
)
def test_what_an_earlier_session_left_damaged_counts_as_none(text, tmp_path, monkeypatch):
    settings = {"opfuzz_reports": str(tmp_path)}
    config = SimpleNamespace(getini=settings.get, rootpath=tmp_path, workerinput={"testrunuid": "s"})
    examination = SimpleNamespace(id="square")
    monkeypatch.setattr("opfuzz.engine.drivers.spec_test.examine", lambda *_: {})
    (tmp_path / "square").mkdir()
    (tmp_path / "square" / "session.json").write_text(text)
    assert Examiner(config)._shared(examination) == {}
    kept = json.loads((tmp_path / "square" / "session.json").read_text())
    assert kept == {"session": "s", "mistake": "", "examined": []}


@pytest.fixture(scope="module")
def by_settings(tmp_path_factory):
    """A project with settings, specs and one other test, tested by two workers."""
    folder = project(tmp_path_factory.mktemp("settings"), pyproject__toml=SETTINGS, missing__py=MISSING)
    known = finding_id(("square", "off:cpu", "float32", "imprecise", "reference"))
    (folder / "accepted.yaml").write_text(ACCEPTED.format(id=known))
    (folder / "specs" / "notes.txt").write_text("no spec")
    (folder / "other.yaml").write_text("- not: ours")
    (folder / "tests").mkdir()
    (folder / "tests" / "test_plain.py").write_text("def test_plain(): ...\n")
    return folder, run_pytest(folder, "-rA", "-n", "2")


def test_settings_give_tests_without_a_test_file(by_settings):
    _, done = by_settings
    summary = done.stdout.partition("short test summary")[2]
    assert re.search(r"PASSED specs/square\.yaml::square\[numpy:cpu-float32\]", summary), done.stdout + done.stderr
    assert "FAILED specs/square.yaml::square[raising:cpu-float32]" in summary
    assert "crash: raised ValueError" in done.stdout
    assert "\x1b" not in done.stdout
    assert "PASSED tests/test_plain.py::test_plain" in summary
    assert "other.yaml" not in done.stdout
    assert "1 failed, 2 passed, 1 skipped, 1 xfailed" in done.stdout


def test_an_accepted_fault_is_expected_to_fail(by_settings):
    _, done = by_settings
    assert "XFAIL specs/square.yaml::square[off:cpu-float32] - accepted: known for years" in done.stdout


def test_an_absent_subject_is_skipped_with_its_reason(by_settings):
    _, done = by_settings
    assert "SKIPPED [1] specs/square.yaml:1: missing: not installed: pip install missing" in done.stdout


def test_two_workers_share_one_run(by_settings):
    folder, _ = by_settings
    assert len(list(folder.glob(".pytest_cache/**/session.json"))) == 1


BROKEN = {
    "specs/bad.yaml": "bad.yaml:2:11: unknown format 'float33'; did you mean 'float32'?",
    "test_subject.py": "unknown backend 'nunpy'; did you mean 'numpy'?",
    "test_option.py": "unknown option 'case'; did you mean 'cases'?",
    "test_path.py": "specs/gone.yaml: no such file or folder",
    "test_format.py": "none of the formats is one of the spec's",
    "test_none.py": "the mark names no spec",
    "test_count.py": "cases: '0' is no number of cases",
    "test_seed.py": "'x' is no seed",
}


def test_mistakes_are_errors_of_collection_in_their_own_words(tmp_path):
    marks = {
        "subject": "'specs/square.yaml', subjects=['nunpy:cpu']",
        "option": "'specs/square.yaml', case=3",
        "path": "'specs/gone.yaml'",
        "format": "'specs/square.yaml', formats=['float16']",
        "none": "",
        "count": "'specs/square.yaml', cases=0",
        "seed": "'specs/square.yaml', seed='x'",
    }
    tests = {
        f"test_{name}__py": f"import pytest\n@pytest.mark.opfuzz({words})\ndef test_it(): ...\n"
        for name, words in marks.items()
    }
    folder = project(tmp_path, pyproject__toml=SETTINGS, missing__py=MISSING, **tests)
    (folder / "specs" / "bad.yaml").write_text("op: bad\nformats: [float33]\n")
    done = run_pytest(folder, "--collect-only", ".")
    assert done.returncode == 2
    for place, words in BROKEN.items():
        error = done.stdout.partition(f"ERROR collecting {place}")[2].partition("____ ERROR")[0]
        assert words in error, done.stdout + done.stderr
    assert "Traceback" not in done.stdout
    assert not re.search(r"opfuzz/[\w/]+\.py:\d", done.stdout)


BODIES = """
import pytest

here = dict(subjects=["numpy:cpu"], formats=["float32"], cases=4)


@pytest.mark.opfuzz("specs/square.yaml", **here)
def test_figures(opfuzz):
    assert (opfuzz.op, opfuzz.verdict, opfuzz.faults) == ("square", "exact", ())
    assert opfuzz.max_ulp <= 0.5 and opfuzz.cases >= 4


@pytest.mark.opfuzz("specs/square.yaml", subjects=["numpy:gpu"], formats=["float32"], cases=4)
def test_no_such_device(): ...


@pytest.mark.opfuzz("specs/misspelt.yaml", **here)
def test_misspelt_function(): ...


class TestClass:
    @pytest.mark.opfuzz("specs/square.yaml", **here)
    def test_method(self): ...


def test_without_mark(opfuzz): ...


@pytest.mark.opfuzz("specs/square.yaml", **here)
class TestMarked:
    def test_without_effect(self): ...
"""


def test_bodies_may_look_at_figures_and_no_mark_is_without_effect(tmp_path):
    folder = project(tmp_path, test_it__py=BODIES)
    text = (folder / "specs" / "square.yaml").read_text()
    (folder / "specs" / "misspelt.yaml").write_text(text.replace("np.square", "np.sqare"))
    done = run_pytest(folder, "-v")
    said = dict(re.findall(r"test_it\.py::(\S+?)(?:\[\S+\])? ([A-Z]+)", done.stdout.partition("= ERRORS")[0]))
    assert said == {
        "test_figures": "PASSED",
        "test_no_such_device": "ERROR",
        "test_misspelt_function": "ERROR",
        "TestClass::test_method": "PASSED",
        "test_without_mark": "ERROR",
        "TestMarked::test_without_effect": "ERROR",
    }, done.stdout + done.stderr
    assert "unknown device 'gpu'" in done.stdout
    assert "np.square'?" in done.stdout
    assert re.search(r"misspelt\.yaml:\d+:\d+: ", done.stdout)
    assert "the fixture needs the mark" in done.stdout
    assert "has no effect here" in done.stdout
    assert not re.search(r"opfuzz/[\w/]+\.py:\d", done.stdout)


def test_a_project_that_does_not_use_it_is_left_alone(tmp_path):
    (tmp_path / "data.yaml").write_text("a: 1")
    (tmp_path / "test_it.py").write_text(
        "import sys\ndef test_it(): assert not {'numpy', 'torch', 'click', 'opfuzz.core.case'} & set(sys.modules)\n"
    )
    done = run_pytest(tmp_path, "-q", "-p", "no:hypothesispytest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in tmp_path.glob(".pytest_cache/d/*")] == []


def test_the_package_offers_the_plugin_to_pytest():
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert document["project"]["entry-points"]["pytest11"] == {"opfuzz": "opfuzz.pytest_plugin"}
