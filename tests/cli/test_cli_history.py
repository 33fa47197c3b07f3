"""Runs against each other as a user sees them: three runs of a changing library, and the commands on what they left."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from pathlib import Path

import commands
import pytest
from bundles import opfuzz
from complaints import complaints
from results import result
from runs_of_rows import VERSIONS, clean, fault, run_of
from small_campaigns import SPECS

from opfuzz.core.relation import Relation
from opfuzz.report.causes import describe
from opfuzz.report.run.changes import accepted_lines
from opfuzz.store.accepted import entry_of, read_accepted
from opfuzz.store.baseline import with_accepted
from opfuzz.store.history import NAME, add, trends
from opfuzz.store.read import read_run, run_folders
from opfuzz.store.write import to_json, write_run

ROOT = Path(__file__).parents[2]
FIRST, SECOND = "20260101-000000-s0", "20260102-000000-s0"
HOSTILE = "ev\x1b[31mil\u202e|<b>\n"

# A library of which each run sees another version: with a fault, without it, with a larger one.
LIBRARY = """
import numpy as np
from opfuzz.backends import derive

def square(x):
    return np.square(x) * np.float32({factor})

BACKENDS = [derive("numpy", "library", {{"np.square": square}})]
"""


def run(folder: Path, factor: float, *words: str) -> tuple[int, list[str], str]:
    """`opfuzz run` on the library: exit status, lines and what it complains about."""
    (folder / "library.py").write_text(LIBRARY.format(factor=factor))
    command = ["run", SPECS / "square.yaml", "--subjects", "library:cpu", "--plugin", "library.py"]
    command += ["--format", "float32", "--cases", "6", "--shrink", "1s", "--jobs", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        done = commands.opfuzz(*command, *words, cwd=folder)
    return done.status, done.out.splitlines(), complaints(done.err)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """The folder of three runs, each held against the one before, and what each of them said."""
    folder = tmp_path_factory.mktemp("three")
    said = [run(folder, factor, "--baseline", "latest") for factor in (1.001, 1.0, 1.01)]
    return folder, said, [place.name for place in run_folders(folder / "reports")]


def test_the_first_run_has_nothing_to_be_held_against(three):
    _, ((code, lines, err), *_), _ = three
    assert (code, err) == (1, "")
    assert "There is no earlier run to compare with, so everything is new." in lines


def test_a_run_without_the_fault_says_that_it_is_fixed(three):
    _, (_, (code, lines, err), _), names = three
    assert (code, err) == (0, "")
    assert any(line.startswith("fixed: library square: ") for line in lines)
    assert any(line.startswith(f"Since {names[0]}: 1 cause fixed; 0 causes of faults as before.") for line in lines)
    assert any(line.startswith("What changed besides: plugin library.py ") for line in lines)


def test_a_run_with_another_fault_says_that_it_is_a_regression(three):
    folder, (*_, (code, lines, err)), names = three
    assert (code, err) == (1, "")
    assert any(line.startswith("regression: library square: ") for line in lines)
    assert any(line.startswith(f"Since {names[1]}: 1 regression; 0 causes of faults as before.") for line in lines)
    report = (folder / "reports" / names[2] / "report.md").read_text()
    assert "## What changed" in report
    assert f"Since {names[1]}: 1 regression" in report
    assert "| regression | library square: " in re.sub(" +", " ", report)


# earlier, later, exit status, titles, the remark on the finding
COMPARED = [
    (0, 1, 0, ["Findings fixed", "Rows that are better on the same cases"], "its call was made again"),
    (1, 2, 1, ["New findings", "Rows that are worse on the same cases"], "its call was fixed, and is at fault again"),
    (0, 2, 1, ["Rows that are worse on the same cases", "Findings still there"], "-"),
    (2, 2, 0, ["Findings still there"], "-"),
]


@pytest.mark.parametrize(("before", "after", "status", "titles", "remark"), COMPARED)
def test_compare_says_exactly_that(before, after, status, titles, remark, three, capsys, monkeypatch):
    folder, _, names = three
    monkeypatch.chdir(folder)
    code, out, err = opfuzz(capsys, monkeypatch, "compare", names[before], names[after])
    assert (code, err) == (status, "")
    blocks = out.split("\n\n")
    assert [block.splitlines()[0] for block in blocks[:-1]] == titles
    since, *cause = blocks[-1].splitlines()
    assert since.startswith(f"Since {names[before]}: ")
    plugin, *changed = cause or [""]
    assert plugin.startswith("What changed besides: plugin library.py ") == (before != after)
    expected = {(0, 1): ["fixed"], (1, 2): ["regression"], (0, 2): ["row worse"]}
    assert [line.split(": ")[0] for line in changed] == expected.get((before, after), [])
    (finding,) = [line for line in out.splitlines() if re.match("[0-9a-f]{12} ", line)]
    assert finding.split(maxsplit=6)[1:] == ["square", "library:cpu", "float32", "imprecise", "fault", remark]
    if (before, after) == (0, 2):
        assert re.search(r"imprecise +fault +\S+ → \S+ +\S+ → \S+ +excess rose", out)


def test_the_comparison_is_part_of_the_run(three):
    folder, _, names = three
    first, second, third = (read_run(folder / "reports" / name) for name in names)
    assert (first.comparison.before, second.comparison.before, third.comparison.before) == ("", *names[:2])
    assert third.comparison.differ == "", "the same seed and number of cases"
    assert third.planned == 6
    assert list(third.specs) == ["square"]


def test_the_history_of_three_runs(three, capsys, monkeypatch):
    folder, _, names = three
    monkeypatch.chdir(folder)
    code, out, err = opfuzz(capsys, monkeypatch, "history")
    assert (code, err) == (0, "")
    causes, rows = out.split("\n\n")
    told = [line.split() for line in causes.splitlines()[2:]]
    assert {tuple(words[1:3]) for words in told} == {("library", "square:")}
    assert f"there, again since {names[2]}: regression" in causes.splitlines()[2], "what is there now comes first"
    (line,) = rows.splitlines()[2:]
    assert line.split()[:5] == ["square", "library:cpu", "float32", "3", "imprecise"]
    assert re.search(rf"[▁-█]{{3}} +{names[2]}: exact → imprecise; excess", line)
    code, out, _ = opfuzz(capsys, monkeypatch, "history", "square", "--limit", "2")
    assert [line.split()[0] for line in out.splitlines()[3:]] == names[1:]
    code, out, _ = opfuzz(capsys, monkeypatch, "history", "--json")
    (trend,) = json.loads(out)["trends"]
    assert [each["run"] for each in json.loads(out)["runs"]] == names
    assert json.loads(out)["causes"][-1]["common"]["ops"] == ["square"]
    assert [point["verdict"] for point in trend["points"]] == ["imprecise", "exact", "imprecise"]
    before = trends(Path("reports") / NAME)
    assert opfuzz(capsys, monkeypatch, "history", "--html", "past.html") == (0, "past.html\n", "")
    page = Path("past.html").read_text()
    assert all(f"<title>{name}: " in page for name in names), "the cause came, was fixed, and came back"
    code, out, err = opfuzz(capsys, monkeypatch, "history", "--html", "none/past.html")
    assert (code, out, err.startswith("none/past.html: cannot be written: ")) == (2, "", True)
    assert opfuzz(capsys, monkeypatch, "history", "rebuild")[:2] == (0, "reports/history.sqlite: 3 runs\n")
    assert trends(Path("reports") / NAME) == before


def test_an_accepted_fault_does_not_count(three, capsys, monkeypatch, tmp_path):
    folder, _, names = three
    monkeypatch.chdir(folder)
    (finding,) = read_run(Path("reports") / names[2]).findings
    words = ["--reason", "known", "--until", f"{date.today() + timedelta(days=9)}", "--file", str(tmp_path / "a.yaml")]
    code, out, err = opfuzz(capsys, monkeypatch, "accept", finding.id[:5], *words)
    assert (code, err) == (0, "")
    assert f"{finding.id}: square on library:cpu in float32, imprecise" in out
    other = folder / "other"
    (other / "reports").mkdir(parents=True)
    (other / "reports" / NAME).write_text("no database" * 99)
    (common,) = read_run(Path("reports") / names[2]).causes
    twice = ["--reason", "known", "--file", str(tmp_path / "b.yaml")]
    assert finding.id in opfuzz(capsys, monkeypatch, "accept", common.id, *twice)[1], "of a cause, all findings"
    code, lines, err = run(other, 1.01, "--accepted", str(tmp_path / "a.yaml"))
    assert code == 0
    assert any(line.endswith(f"({finding.id}): known") and line.startswith("accepted until ") for line in lines)
    # A run is not lost for a damaged history either.
    assert err.startswith("reports/history.sqlite: damaged: ")
    assert len(err.splitlines()) == 1
    assert lines[-1].endswith("report.md")


def test_the_faults_of_a_baseline_are_made_again_whatever_the_seed(three, tmp_path):
    folder, _, names = three
    baseline = folder / "reports" / names[0]
    code, lines, err = run(tmp_path, 1.0, "--baseline", str(baseline / "run.json"), "--seed", "1")
    assert (code, err) == (0, "")
    assert any(line.startswith("fixed: library square: ") for line in lines)
    assert any("The cases are not the same (seed 0 then, 1 now)" in line for line in lines)


def test_a_baseline_is_the_file_that_is_named(three, tmp_path):
    folder, _, names = three
    fixed, at_fault = (folder / "reports" / name / "run.json" for name in (names[1], names[0]))
    (tmp_path / "night.json").write_bytes(at_fault.read_bytes())
    (tmp_path / "run.json").write_bytes(fixed.read_bytes())
    code, lines, err = run(tmp_path, 1.001, "--baseline", "night.json")
    assert (code, err) == (0, "")
    assert any(line.startswith(f"Since {names[0]}: nothing changed; 1 cause of faults as before") for line in lines)


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """Two finished runs: a fault came with a version, and an op with a hostile name."""
    folder = tmp_path / "reports"
    monkeypatch.chdir(tmp_path)
    hostile = result(0, "wrong", 9.0, op=HOSTILE, subject=HOSTILE, reason=HOSTILE, relation=Relation("rows", HOSTILE))
    for name, results, versions in (
        (FIRST, (clean(), clean(op="relu")), VERSIONS),
        (SECOND, (fault(), hostile), {**VERSIONS, "torch": HOSTILE}),
    ):
        (folder / name).mkdir(parents=True)
        made = run_of(*results, name=name, versions=versions)
        write_run(made, folder / name, describe)
        add(folder / NAME, made)
    return folder


def inert(text: str) -> bool:
    """Whether a terminal does with a text nothing but show it."""
    return all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(
    "words",
    [("compare", FIRST, SECOND), ("compare", SECOND, FIRST), ("history",), ("history", "gelu"), ("history", HOSTILE)],
)
def test_hostile_names_are_inert(words, reports, capsys, monkeypatch):
    _, out, err = opfuzz(capsys, monkeypatch, *words)
    assert err == ""
    assert "gelu" in out or "il" in out
    assert inert(out)


def test_a_hostile_finding_can_be_accepted(reports, capsys, monkeypatch):
    hostile = next(f for f in read_run(reports / SECOND).findings if f.op == HOSTILE)
    code, out, _ = opfuzz(capsys, monkeypatch, "accept", hostile.id, "--reason", HOSTILE)
    assert code == 0
    assert inert(out)
    assert inert((reports / "accepted.yaml").read_text())
    (entry,) = read_accepted(reports / "accepted.yaml")
    assert (entry.op, entry.subject, entry.relation) == (HOSTILE, HOSTILE, f"rows of {HOSTILE}")


def test_compare_as_json(reports, capsys, monkeypatch):
    code, out, _ = opfuzz(capsys, monkeypatch, "compare", "20260101", "latest", "--json")
    document = json.loads(out)
    assert code == 1
    assert (document["before"], document["after"]) == (FIRST, SECOND)
    assert document["versions"]["torch"] == ["2.12", HOSTILE]


def test_what_is_accepted_does_not_count_in_a_comparison(reports, capsys, monkeypatch):
    ids = [finding.id for finding in read_run(reports / SECOND).findings]
    for number, id in enumerate(ids, 1):
        assert opfuzz(capsys, monkeypatch, "accept", id, "--reason", "r", "--file", "list.yaml")[0] == 0
        code, out, _ = opfuzz(capsys, monkeypatch, "compare", FIRST, SECOND, "--accepted", "list.yaml")
        assert (code, out.count(" accepted")) == (1 if number < len(ids) else 0, 2 * number + 1)
    assert opfuzz(capsys, monkeypatch, "compare", FIRST, SECOND)[0] == 1
    Path("list.yaml").rename(reports / "accepted.yaml")
    assert opfuzz(capsys, monkeypatch, "compare", FIRST, SECOND)[0] == 0
    code, _, err = opfuzz(capsys, monkeypatch, "compare", FIRST, SECOND, "--accepted", "none.yaml")
    assert (code, "none.yaml: cannot be read" in err) == (2, True)


def test_a_finding_in_a_folder_of_its_own_is_accepted(reports, tmp_path, capsys, monkeypatch):
    finding = {"op": "gelu", "subject": "torch:cpu", "format": "float32", "verdict": "wrong", "relation": "reference"}
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "finding.json").write_text(json.dumps(finding))
    code, _, _ = opfuzz(capsys, monkeypatch, "accept", "bundle", "--reason", "r", "--file", "list.yaml")
    assert code == 0
    assert {f.id for f in read_run(reports / SECOND).findings} >= {read_accepted(Path("list.yaml"))[0].id}
    (tmp_path / "bundle" / "finding.json").write_text(json.dumps({**finding, "relation": 3}))
    code, _, err = opfuzz(capsys, monkeypatch, "accept", "bundle", "--reason", "r")
    assert (code, "relation is 3, not text" in err) == (2, True)


MISTAKES = [
    (("compare", "latest"), "Missing argument"),
    (("compare", "latest", "2027"), "no finished run '2027'"),
    (("compare", "latest", "nowhere", "--reports", "none"), "no finished run here"),
    (("history", "gleu"), "no run of 'gleu' like that; did you mean 'gelu'?"),
    (("history", "gelu", "--subject", "mlx:cpu"), "no run of 'gelu' like that"),
    (("history", "--format", "float23"), "unknown 'float23'; did you mean 'float32'?"),
    (("history", "--limit", "0"), "0 is not in the range"),
    (("history", "--reports", "none"), "no history here; opfuzz run writes one"),
    (("history", "rebuild", "--reports", "none"), "none: no such folder"),
    (("accept", "0000", "--reason", "r"), f"run {SECOND} has no finding or cause '0000'; "),
    (("accept", "", "--reason", "r"), f"run {SECOND} has no finding or cause ''"),
    (("accept", "abc"), "Missing option '--reason'"),
    (("run", str(SPECS), "--subjects", "numpy:cpu", "--baseline", "2027"), "no finished run '2027'"),
    (
        ("run", str(SPECS), "--subjects", "numpy:cpu", "--accepted", "none.yaml"),
        "none.yaml: cannot be read: No such file",
    ),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=[" ".join(words)[:40] for words, _ in MISTAKES])
def test_a_mistake_is_one_line_and_2(words, message, reports, capsys, monkeypatch):
    code, out, err = opfuzz(capsys, monkeypatch, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_rebuilt_history_names_what_is_damaged(reports, capsys, monkeypatch):
    (reports / FIRST / "run.json").write_text("\x1b")
    code, out, err = opfuzz(capsys, monkeypatch, "history", "rebuild")
    assert (code, out) == (2, "reports/history.sqlite: 1 run\n")
    assert err.startswith(f"left out: reports/{FIRST}/run.json: no run that this opfuzz can read")
    assert inert(err)


def test_expired_and_absent_entries_are_told():
    entries = [
        entry_of(to_json(finding), "why", date(2026, 1, 1), "2026-01-31", None)
        for finding in run_of(fault(), fault(op="relu")).findings
    ]
    made = with_accepted(run_of(fault(), clean(op="relu")), entries, date(2026, 2, 1))
    assert [line.split(":")[0] for line in accepted_lines(made)] == [
        "accepted until 2026-01-31, which is past, so it counts again",
        "accepted, and not seen in this run",
    ]
