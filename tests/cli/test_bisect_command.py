"""`opfuzz bisect`: what is typed and told, with a program in place of uv, and packages that have nothing in them."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from bundles import opfuzz
from little_environments import finding, uv
from own_cache import own_cache
from runs_of_rows import fault, run_of

from opfuzz.report.causes import describe
from opfuzz.report.run.cause_lines import causes_of
from opfuzz.store.write import write_run

ALL = "1.0,1.1,1.2,1.3,1.4"


@pytest.fixture
def bisect(tmp_path, capsys, monkeypatch):
    """A call of the command on a finding that versions of demo from 1.3 on show; all of them are to be had but 1.1."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", own_cache(tmp_path / "cache"))
    uv(tmp_path / "bin", demo=("1.0", "1.2", "1.3", "1.4"), other=("1.0",))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    finding(tmp_path / "f")

    def call(*words: str) -> tuple[int, str, list[str]]:
        status, out, err = opfuzz(capsys, monkeypatch, "bisect", *words)
        return status, out, err.splitlines()

    return call


def tried(err: list[str]) -> list[str]:
    """Which versions were tried, and with what answer."""
    return [" ".join(line.split(" ")[1:3]).rstrip(":") for line in err if line.startswith("demo ")]


def test_the_two_versions_and_again_what_is_known(bisect):
    status, out, err = bisect("f", "--package", "demo", "--versions", ALL)
    assert (status, out.splitlines()) == (
        0,
        ["demo 1.2 is the last good version, 1.3 the first bad one", "4 of 5 versions were tried"],
    )
    assert tried(err) == ["1.0: right", "1.4: wrong", "1.2: right", "1.3: wrong"]
    assert all(line.endswith(" s)") for line in err)
    report = Path("f/upstream.md").read_text()
    assert report.startswith("# demo: wrong result\n")
    assert "\n## Since which version of demo\n\n- demo 1.2 is the last good version, 1.3 the first bad one\n" in report

    status, out, err = bisect("f", "--package", "demo", "--versions", ALL, "--json")
    document = json.loads(out)
    assert (status, document["last_good"], document["first_bad"], document["first_good"]) == (0, "1.2", "1.3", None)
    assert [each["version"] for each in document["tried"]] == ["1.0", "1.2", "1.3", "1.4"]
    assert document["tried"][0]["versions"] == {"demo": "1.0"}
    assert "4 of 5 versions were tried before" in err[0]
    assert all(line.endswith("(tried before)") for line in err[1:])
    assert Path("f/upstream.md").read_text() == report
    *_, err = bisect("f", "--package", "demo", "--versions", "1.0,1.4", "--again")
    assert all(line.endswith(" s)") for line in err)


def test_a_version_that_cannot_be_had_is_stepped_over_and_said(bisect):
    finding(Path("g"), since="[1, 2]")
    status, out, err = bisect("g", "--package", "demo", "--versions", "0.9,1.0,1.1,1.2,1.4,1.5")
    assert status == 0
    assert out.splitlines()[:2] == [
        "demo 1.0 is the last good version, 1.2 the first bad one",
        "between them, it is not known of 1.1: cannot be installed: there is no demo==1.1",
    ]
    assert "demo 0.9: stepped over: cannot be installed: there is no demo==0.9" in err[0]
    assert tried(err) == [
        "0.9: stepped", "1.0: right", "1.5: stepped", "1.4: wrong", "1.1: stepped", "1.2: wrong"
    ]  # fmt: skip


def test_a_fix_is_found_as_well(bisect):
    finding(Path("g"), "import demo\nprint(demo.NUMBER)\nraise SystemExit(demo.NUMBER < [1, 3])\n")
    status, out, _ = bisect("g", "--package", "demo", "--versions", "1.2,1.3", "--json")
    document = json.loads(out)
    assert (status, document["change"], document["last_bad"], document["first_good"]) == (0, "fixed", "1.2", "1.3")


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        (
            "1.3,1.4",
            "the fault is there with both demo 1.3 and 1.4; give an earlier --from, or a later --to if it is fixed",
        ),
        ("1.0,1.2", "the fault is there with neither demo 1.0 nor 1.2; give ends of which one shows it"),
        (
            "1.0,1.1",
            "demo 1.0 is the only version that could be tried: 1.1: cannot be installed: there is no demo==1.1",
        ),
        ("1.1,1.5", "no version of demo could be tried: 1.1: cannot be installed: there is no demo==1.1; 1.5: "),
    ],
)
def test_nothing_to_find(versions, words, bisect):
    status, out, err = bisect("f", "--package", "demo", "--versions", versions)
    assert (status, out) == (2, "")
    assert err[-1].startswith(words)


@pytest.mark.parametrize(("number", "wanted"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_search_goes_on(number, wanted, bisect):
    program = f"""
import os, pathlib, time, demo
flag = pathlib.Path({str(Path("flag").resolve())!r})
if demo.NUMBER == [1, 2] and not flag.exists():
    flag.touch()
    os.kill(os.getppid(), {int(number)})
    time.sleep(60)
print(demo.NUMBER)
raise SystemExit(demo.NUMBER >= [1, 3])
"""
    finding(Path("g"), program)
    words = ("g", "--package", "demo", "--versions", "1.0,1.2,1.4")
    status, out, err = bisect(*words)
    assert (status, out, err[-1]) == (wanted, "", "Interrupted; the same command goes on.")
    assert tried(err)[:2] == ["1.0: right", "1.4: wrong"]
    status, out, err = bisect(*words)
    assert (status, out.splitlines()[0]) == (0, "demo 1.2 is the last good version, 1.4 the first bad one")
    assert "2 of 3 versions were tried before" in err[0]
    assert [line.endswith("(tried before)") for line in err[1:]] == [True, True, False]


def test_a_check_of_ones_own(bisect):
    check = "python -c 'import demo, sys; sys.exit({(1, 2): 125, (1, 0): 0}.get(tuple(demo.NUMBER), 7))'"
    status, out, err = bisect("f", "--package", "demo", "--versions", ALL, "--check", check)
    assert (status, out.splitlines()[0]) == (0, "demo 1.0 is the last good version, 1.3 the first bad one")
    assert "demo 1.2: stepped over: exit status 125" in "".join(err)
    status, _, err = bisect("f", "--package", "demo", "--versions", "1.0,1.2", "--check", "no_such_program")
    assert status == 2
    assert "no version of demo could be tried: 1.0: exit status 127: " in err[-1]
    assert "no_such_program" in err[-1]


def test_without_a_network_the_search_ends(bisect, tmp_path):
    uv(tmp_path / "bin", told="error: Request failed\n  cause: tcp connect error: Connection refused\n  cause: more")
    status, out, err = bisect("f", "--package", "demo", "--versions", ALL)
    assert (status, out) == (2, "")
    said = "cause: tcp connect error: Connection refused"
    assert err[-1] == f"the installer reaches no index of packages: {said}; try again with a network"


MISTAKES = [
    (("g", "--package", "demo", "--versions", ALL), "g: no finding: it holds no finding.json; give findings/<id>"),
    (("f", "--package", "demo", "--versions", "1.0,x"), "'x' is no version; write 2.10.0 or 2.10.0rc1"),
    (("f", "--package", "demo", "--versions", "1.0"), "only 1.0 to try: give two versions at least"),
    (("f", "--package", "demo", "--from", "1.0"), "give both --from and --to, or the --versions to try"),
    (("f", "--package", "demo", "--from", "1.0", "--to", "1"), "--from 1.0 --to 1: these are the same version"),
    (("f", "--package", "dmo", "--versions", ALL), "f: its reproducer uses demo, and no 'dmo'; did you mean 'demo'?"),
    (("f", "--package", "demo", "--versions", ALL, "--python", "none"), "none: No such file or directory; give the"),
    (("5ed1", "--package", "demo", "--versions", ALL), "reports: no finished run here; make one with opfuzz run"),
    (("f", "--versions", ALL), "Missing option '--package'"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=lambda v: v if isinstance(v, str) else v[0])
def test_a_mistake_is_one_line_and_2(words, message, bisect):
    Path("g").mkdir()
    status, out, err = bisect(*words)
    assert (status, out, len(err)) == (2, "", 1)
    assert message in err[0]


def test_a_finding_of_a_run_by_its_id_or_that_of_its_cause(bisect):
    run = run_of(fault(), name="20260101-000000-s0")
    (Path("reports") / run.run).mkdir(parents=True)
    write_run(run, Path("reports") / run.run, describe)
    (found,) = run.findings
    (common,) = causes_of(run)
    place = Path("reports") / run.run / "findings" / found.id
    words = ("--package", "demo", "--versions", "1.0,1.4", "--json")
    *_, err = bisect(found.id[:5], *words)
    assert err == [f"{place}: no such folder, though run {run.run} has this finding; take it from there again"]
    finding(place)
    for name in (found.id[:5], common.id):
        assert json.loads(bisect(name, *words)[1])["finding"] == str(place)
    *_, err = bisect("zz", *words)
    assert "has no finding or cause 'zz'" in err[-1]


def test_a_report_for_a_tracker_that_is_not_there(bisect):
    Path("f/upstream.md").unlink()
    status, _, err = bisect("f", "--package", "demo", "--versions", "1.0,1.4")
    assert (status, err[-1]) == (0, "f/upstream.md: not there, so nothing is added to it")
