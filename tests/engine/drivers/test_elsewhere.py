"""A finding's call made again with another Python: what it may say, and what it may not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from bundles import off_plugin, square_call, written
from little_environments import environment, finding

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.drivers.elsewhere import interpreter, make_again, packages_of, versions_there


@pytest.fixture(scope="module")
def pythons(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pythons")
    return {version: environment(folder / version, demo=version) for version in ("1.2", "1.3")} | {
        "none": environment(folder / "none")
    }


def test_it_is_there_with_one_version_and_not_with_the_other(tmp_path, pythons):
    place = finding(tmp_path / "f")
    found = {name: make_again(place, python) for name, python in pythons.items()}
    assert {name: each.answer for name, each in found.items()} == {
        "1.2": "absent",
        "1.3": "there",
        "none": "cannot tell",
    }
    assert found["1.3"].versions == {"demo": "1.3"}
    assert found["1.3"].words == "computed [1, 3]"
    assert found["none"].versions == {}
    assert found["none"].words == "ImportError: No module named 'demo'"


DIES = "import os, signal, demo\nos.kill(os.getpid(), signal.SIGSEGV)\n"


@pytest.mark.parametrize(
    ("program", "told", "answer", "words"),
    [
        ("this is no Python 3.8\n", {}, None, "no Python"),
        ("import sys\nsys.exit(1)\n", {}, "cannot tell", "exit status 1"),
        ("import sys\nprint('the source is not at hand', file=sys.stderr)\nsys.exit(2)\n", {}, "cannot tell", "source"),
        ("import sys\nprint('cannot tell: OSError: x')\nsys.exit(2)\n", {}, "cannot tell", "OSError: x"),
        (DIES, {"kind": "dies", "verdict": "crash"}, "there", "it died of SIGSEGV"),
        (DIES, {"verdict": "wrong"}, "cannot tell", "it died of SIGSEGV"),
        (DIES.replace("demo", "lacking"), {"kind": "dies", "verdict": "crash"}, "cannot tell", "No module named"),
        ("import time\ntime.sleep(60)\n", {}, "cannot tell", "no end after 0.5 s"),
        (
            "import faulthandler, time\nfaulthandler.dump_traceback_later(0.1, exit=True)\ntime.sleep(60)\n",
            {"verdict": "timeout"},
            "there",
            "a call did not return",
        ),
    ],
)
def test_it_is_there_only_where_the_reproducer_says_so(program, told, answer, words, tmp_path, pythons):
    place = finding(tmp_path / "f", program, **told)
    if answer is None:
        with pytest.raises(OpfuzzError, match=words):
            make_again(place, pythons["1.3"])
        return
    found = make_again(place, pythons["1.3"], 0.5 if "sleep(60)" in program and not told else 30)
    assert (found.answer, words in found.words) == (answer, True), found


def test_a_death_at_import_is_no_fault_of_the_call(tmp_path):
    python = environment(tmp_path / "broken", demo="1.0")
    next(tmp_path.glob("broken/lib/*/*/demo.py")).write_text("import os\nos.abort()\n")
    found = make_again(finding(tmp_path / "f", DIES, kind="dies", verdict="crash"), python)
    assert found.answer == "cannot tell"
    assert "cannot be imported" in found.words


def test_what_comes_and_goes_is_tried_again(tmp_path, pythons):
    counter = tmp_path / "count"
    program = f"""
import pathlib, sys
path = pathlib.Path({str(counter)!r})
path.write_text(path.read_text() + "." if path.exists() else ".")
print(path.read_text())
sys.exit(len(path.read_text()) == 3)
"""
    assert make_again(finding(tmp_path / "f", program, verdict="unstable"), pythons["1.2"]).answer == "there"
    counter.unlink()
    assert make_again(finding(tmp_path / "g", program), pythons["1.2"]).answer == "absent"


def test_it_sees_its_own_packages_alone_and_leaves_the_folder_as_it_was(tmp_path, pythons, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(next(pythons["1.3"].parents[1].glob("lib/*/site-packages"))))
    program = "import pathlib\nfrom demo import NUMBER\npathlib.Path('left').write_text('')\nprint(NUMBER)\n"
    place = finding(tmp_path / "f", program)
    before = sorted(place.iterdir())
    assert make_again(place, pythons["1.2"]).words == "[1, 2]"
    assert sorted(place.iterdir()) == before


def test_the_bundle_of_a_run_with_this_python(tmp_path):
    plugin = off_plugin(tmp_path)
    written(tmp_path / "off", square_call(), plugins=(plugin,))
    found = make_again(tmp_path / "off", Path(sys.executable))
    assert found.answer == "there"
    assert found.versions.keys() == {"numpy", "scipy"}


def test_a_python_by_a_relative_path_or_a_name(tmp_path, pythons, monkeypatch):
    place = finding(tmp_path / "f")
    folder = pythons["1.3"].parents[1]
    monkeypatch.chdir(folder)
    assert make_again(place, Path("bin/python")).answer == "there"
    monkeypatch.setenv("PATH", str(folder / "bin"))
    assert make_again(place, Path("python")).answer == "there"
    assert interpreter(Path("python")).path == folder / "bin" / "python"


def test_packages_of_a_program():
    lines = "import os, numpy as np, scipy.special", "from mlx import core", "import yaml", "def f(): import unheard_of"
    assert packages_of("\n".join(lines).encode()) == ("mlx", "numpy", "pyyaml", "scipy", "unheard-of")


def test_a_python_that_is_none(tmp_path, pythons):
    with pytest.raises(OpfuzzError, match=r"gone: No such file or directory; give the path of a Python"):
        versions_there(tmp_path / "gone", ["demo"])
    with pytest.raises(OpfuzzError, match=r"1\.2: a folder; did you mean .*1\.2/bin/python\?"):
        versions_there(pythons["1.2"].parents[1], ["demo"])
    with pytest.raises(OpfuzzError, match=r"no Python of version 3\.8 or later"):
        versions_there(Path("/bin/cat"), ["demo"])


def test_a_finding_without_a_reproducer(tmp_path, pythons):
    place = finding(tmp_path / "f")
    (place / "repro.py").unlink()
    with pytest.raises(OpfuzzError, match=r"f/repro\.py: missing$"):
        make_again(place, pythons["1.2"])
    (place / "next.md").write_text("")
    with pytest.raises(OpfuzzError, match=r"repro\.py: missing: a program recorded this output itself, and next\.md"):
        make_again(place, pythons["1.2"])
