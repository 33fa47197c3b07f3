"""What a user types, and what comes back: exit status, one line for a mistake, one JSON object, nothing imported."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from complaints import complaints
from small_campaigns import SPECS, plugin
from waiting import HUNG, until

from opfuzz.backends import discover
from opfuzz.core.verdicts import SEVERITY
from opfuzz.store.journal import MAGIC

ROOT = Path(__file__).parents[2]
ROW_KEYS = {
    "op", "subject", "format", "max_ulp", "p99_ulp", "conditioned", "excess", "effective_bits", "verdict", "severity",
    "unjudged", "witness", "finding",
}  # fmt: skip
WITNESS_KEYS = {"case", "index", "inputs_hex", "inputs", "computed", "exact"}
FINDING_KEYS = {"id", "op", "subject", "format", "verdict", "severity", "signature", "path"}
HONEST = ("--subjects", "numpy:cpu/plain", "--op", "mean", "--format", "float32", "--cases", "4")


def opfuzz(*words: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`opfuzz` with these words, in another directory than its own."""
    return subprocess.run(
        [sys.executable, "-m", "opfuzz", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "1", **environment},
        check=False,
        timeout=HUNG,
    )


def strict(text: str):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


BUNDLE = {"call.json", "case.json", "finding.json", "inputs.safetensors", "repro.py", "spec.yaml", "upstream.md"}


def run_of(folder: Path):
    """The only run below a folder of reports: its folder and run.json."""
    (place,) = (entry for entry in folder.iterdir() if (entry / "run.json").is_file())
    return place, strict((place / "run.json").read_text())


def test_a_working_directory_that_is_gone_is_told_in_one_line(tmp_path):
    (tmp_path / "gone").mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); from opfuzz.cli import main; sys.argv[1:] = ['config']; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", code]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=tmp_path / "gone", env=environment, check=False, timeout=HUNG
    )
    told = "the working directory is no longer there; change to one that is\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


def test_an_honest_subject_gives_0_and_a_report(tmp_path):
    done = opfuzz("run", SPECS, *HONEST, cwd=tmp_path)
    assert (done.returncode, complaints(done.stderr)) == (0, "")
    place, document = run_of(tmp_path / "reports")
    assert sorted(os.listdir(place)) == ["report.md", "run.json"]
    assert document["command"][1:3] == ["run", str(SPECS)]
    assert document["versions"]["numpy"]
    lines = done.stdout.splitlines()
    assert lines[0] == "no fault in 1 op (numpy:cpu/plain; float32)"
    assert [line.split()[0] for line in lines[2:5]] == ["numpy:cpu/plain", "op", "mean"]
    assert re.fullmatch(r"5 cases, .* seed 0", lines[-2])
    assert lines[-1] == f"reports/{place.name}/report.md"
    assert "\x1b" not in done.stdout


def test_a_fault_gives_1_and_json_on_standard_output_alone(tmp_path, capsys, monkeypatch):
    words = ["run", SPECS / "square.yaml", "--subjects", "off:cpu,numpy:cpu", "--plugin", plugin(tmp_path)]
    words += ["--cases", "8", "--format", "all", "--seed", "7", "--out", "r", "--json"]
    status, out, _ = call(words, tmp_path, capsys, monkeypatch)
    assert status == 1
    document = strict(out)
    assert len(out.splitlines()) == 1
    assert {"run", "seed", "cases", "elements", "seconds", "causes", "ranking", "findings"} <= document.keys()
    (common,) = (each for each in document["causes"] if each["severity"] == "fault")
    assert (common["framework"], common["ops"]) == ("off", ["square"])
    assert common["smallest"]["call"].startswith("np.square(np.array(")
    assert document["seed"] == 7
    assert document["cases"] >= 32, "8 of two subjects and two formats, and the worst that were searched for"
    for row in document["ranking"]:
        assert row.keys() >= ROW_KEYS
        assert row["witness"] is None or row["witness"].keys() >= WITNESS_KEYS
    assert [row["subject"] for row in document["ranking"]] == ["off:cpu", "off:cpu", "numpy:cpu", "numpy:cpu"]
    assert document["ranking"][0]["witness"]["inputs_hex"]["x"][0].startswith("0x")
    found = {finding["id"]: finding for finding in document["findings"]}
    assert document["ranking"][0]["finding"] in found
    for finding in found.values():
        assert finding.keys() >= FINDING_KEYS
        place = tmp_path / finding["path"]
        assert BUNDLE - {"case.json"} <= set(os.listdir(place)) <= BUNDLE, "no case draws what was searched for"
        shown = subprocess.run(
            [sys.executable, "-I", place / "repro.py"], capture_output=True, text=True, check=False, cwd="/"
        )
        assert shown.returncode == 1
        assert shown.stdout.startswith("computed ")


def test_the_same_seed_gives_the_same_findings_in_every_process(tmp_path):
    path = plugin(tmp_path)
    seen = []
    for jobs, hashes in (("1", "0"), ("2", "12345")):
        done = opfuzz(
            "run", SPECS, "--subjects", "off:cpu,numpy:cpu", "--plugin", path, "--cases", "5", "--jobs", jobs,
            "--out", f"r{jobs}", "--json", cwd=tmp_path, PYTHONHASHSEED=hashes,
        )  # fmt: skip
        assert done.returncode == 1
        document = strict(done.stdout)
        for finding in document["findings"]:
            finding.pop("path")
        seen.append((document["ranking"], document["findings"], document["cases"], document["elements"]))
        files = sorted((tmp_path / f"r{jobs}").rglob("findings/*/*"))
        seen[-1] += ([(path.parent.name, path.name, path.read_bytes()) for path in files],)
    assert seen[0] == seen[1]
    assert len(seen[0][-1]) > 4


@pytest.mark.parametrize(("verdicts", "status"), [("crash", 1), ("wrong,special", 0), ("normwise", 0)])
def test_fail_on_chooses_what_is_a_failure(verdicts, status, tmp_path, capsys, monkeypatch):
    words = ["run", SPECS, "--op", "square", "--format", "float32", "--subjects", "raising:cpu", "--cases", "2"]
    words += ["--plugin", plugin(tmp_path), "--fail-on", verdicts]
    found, out, _ = call(words, tmp_path, capsys, monkeypatch)
    assert found == status
    assert "\x1b" not in out
    assert "crash" in out
    place, document = run_of(tmp_path / "reports")
    assert document["findings"][0]["verdict"] == "crash"
    assert "\x1b" not in (place / "report.md").read_text()


MISTAKES = [
    (("run", "nowhere.yaml"), "nowhere.yaml: no such file or folder"),
    (("check", "nowhere.yaml"), "nowhere.yaml: no such file or folder"),
    (("run", SPECS, "--op", "meen"), "unknown op 'meen'; did you mean 'mean'?"),
    (("run", SPECS, "--op", "xyz"), "unknown op 'xyz'; known: mean, square"),
    (("run", SPECS, "--format", "float23"), "unknown 'float23'; did you mean 'float32'?"),
    (("run", SPECS, "--op", "square", "--format", "float16", "--subjects", "numpy:cpu"), "no op in the specs has"),
    (("run", SPECS, "--op", ","), "the list is empty"),
    (("run", SPECS, "--subjects", "numpy"), "subject 'numpy': write it as backend:device"),
    (("run", SPECS, "--subjects", "nunpy:cpu"), "unknown backend 'nunpy'; did you mean 'numpy'?"),
    (("run", SPECS, "--subjects", "numpy:gpu"), "subject 'numpy:gpu': unknown device 'gpu'"),
    (("run", SPECS, "--cases", "0"), "0 is not in the range"),
    (("run", SPECS, "--cases", "2", "--time", "5s"), "two budgets; give one"),
    (("run", SPECS, "--time", "0s"), "'0s' is no time; write 90, 60s, 5m or 2h"),
    (("run", SPECS, "--time", "nan"), "'nan' is no time"),
    (("run", SPECS, "--jobs", "none"), "--jobs"),
    (("run", SPECS, "--seed", "-1"), "'-1' is no seed; write a whole number below 2^64, or nightly"),
    (("run", SPECS, "--seed", "18446744073709551616"), "is no seed"),
    (("run", SPECS, "--seed", "9" * 5000), "is no seed"),
    (("run", SPECS, "--sort", "max"), "--sort"),
    (("run", SPECS, "--sort", "drift", "--op", "mean"), "--sort drift needs a pipeline to drift: give its --profile"),
    (("run", SPECS, "--profile", "gone.yaml"), "gone.yaml:1:1: cannot be read: No such file or directory"),
    (("run", SPECS, "--fail-on", "wrnog"), "unknown 'wrnog'; did you mean 'wrong'?"),
    (("run", SPECS, "--plugin", "gone.py"), "gone.py: no such plugin file"),
    (("run", SPECS, *HONEST, "--out", "/proc/none"), "/proc/none: cannot write reports here"),
    (("run", SPECS, "--caess", "3"), "No such option '--caess'"),
    (("rum",), "No such command 'rum'"),
]


@pytest.mark.parametrize(
    ("words", "message"), MISTAKES, ids=lambda v: v if isinstance(v, str) else "-".join(v[2:])[:40]
)
def test_a_mistake_is_one_line_and_2(words, message, tmp_path, capsys, monkeypatch):
    status, out, err = call(words, tmp_path, capsys, monkeypatch)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err
    assert not (tmp_path / "reports").exists()


def call(words, cwd: Path, capsys, monkeypatch) -> tuple[int, str, str]:
    """`main` in this process: exit status and both outputs."""
    from opfuzz import cli

    monkeypatch.chdir(cwd)
    monkeypatch.setattr(sys, "argv", ["opfuzz", *map(str, words)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    captured = capsys.readouterr()
    return done.value.code, captured.out, captured.err


@pytest.mark.parametrize(
    "words", [("run", "x" * 300), ("report", "x" * 300), ("repro", "x" * 5000), ("run", "--plugin", "x" * 300)]
)
def test_a_name_that_no_file_can_have_is_one_line_and_2(words, tmp_path, capsys, monkeypatch):
    told = f"'{'x' * 20}...' has {len(words[-1])} letters, too many for a file; write a shorter path\n"
    assert call(words, tmp_path, capsys, monkeypatch) == (2, "", told)


@pytest.mark.parametrize(("command", "option"), [("run", "--cases"), ("run", "--jobs"), ("history", "--limit")])
def test_a_number_that_nothing_counts_to_is_one_line_and_2(command, option, tmp_path, capsys, monkeypatch):
    status, out, told = call((command, option, "1" + "0" * 400), tmp_path, capsys, monkeypatch)
    assert (status, out, told.count("\n")) == (2, "", 1)
    assert f"'{option}': 10000000000000000000... has 401 digits; write a number below 2^63" in told


def test_what_is_wrong_in_specs_is_a_line_a_problem(tmp_path, capsys, monkeypatch):
    (tmp_path / "bad.yaml").write_text((SPECS / "square.yaml").read_text().replace("[n]", "[m]"))
    status, out, err = call(["check", "bad.yaml"], tmp_path, capsys, monkeypatch)
    assert (status, out) == (2, "")
    assert err.count("unknown name 'm'") == 2
    assert all(re.match(r"bad\.yaml:\d+:\d+: ", line) for line in err.splitlines())


def test_an_error_of_opfuzz_is_a_traceback_and_3(tmp_path, capsys, monkeypatch):
    def broken(*_):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("opfuzz.engine.session.run", broken)
    status, _, err = call(["run", SPECS, *HONEST], tmp_path, capsys, monkeypatch)
    assert status == 3
    assert err.startswith("Traceback")
    assert list((tmp_path / "reports").iterdir()) == []


def test_a_run_of_which_nothing_could_be_done_is_no_success(tmp_path, capsys, monkeypatch):
    words = ["run", SPECS, "--op", "mean", "--format", "bfloat16", "--subjects", "numpy:cpu", "--cases", "1"]
    status, out, err = call(words, tmp_path, capsys, monkeypatch)
    assert status == 2
    assert "every case is unsupported" in out
    assert err == "nothing was compared: numpy:cpu can do none of these ops in these formats\n"


def has_cases(reports: Path) -> bool:
    """Whether the journal of the run in this folder has more than its beginning: frames of 4 + 4 + length bytes."""
    for path in reports.glob("*/journal"):
        held, place, frames = path.read_bytes(), len(MAGIC), 0
        while place + 8 <= len(held):
            place += 8 + int.from_bytes(held[place : place + 4], "little")
            frames += place <= len(held)
        if frames > 2:
            return True
    return False


@pytest.mark.parametrize(
    ("number", "send", "wanted"),
    [(signal.SIGINT, os.killpg, 130), (signal.SIGTERM, os.kill, 143), (signal.SIGTERM, os.killpg, 143)],
)
def test_an_interrupted_run_is_whole_and_can_go_on(number, send, wanted, tmp_path):
    """A terminal sends to all processes, and so does `timeout`; a supervisor sends to one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "opfuzz", "run", SPECS, "--subjects", "slow:cpu", "--plugin", plugin(tmp_path),
         "--time", "600s", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    until(lambda: has_cases(tmp_path / "reports") or process.poll() is not None)
    send(process.pid, number)
    out, err = process.communicate(timeout=HUNG)
    assert process.returncode == wanted
    assert "Traceback" not in err
    folder, document = run_of(tmp_path / "reports")
    assert document["interrupted"] is True
    assert document["ranking"]
    assert not {"crash", "timeout"} & {row["verdict"] for row in document["ranking"]}, "nobody died of the signal"
    assert strict(out)["run"] == document["run"]
    assert (folder / "journal").exists()


# What sends a signal to its own process as soon as a module is asked for, and then runs `python -m opfuzz`.
STRUCK = """
import os, runpy, sys


class Striker:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), int(sys.argv[2]))


sys.meta_path.insert(0, Striker())
runpy.run_module("opfuzz", run_name="__main__")
"""


@pytest.mark.parametrize(("number", "wanted"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_while_all_is_imported_says_nothing(number, wanted, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", STRUCK, "opfuzz.cli.commands", str(int(number))],
        capture_output=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (wanted, b"", b"")


def test_the_specs_that_come_along_need_no_path(tmp_path, capsys, monkeypatch):
    words = ["run", "--op", "relu", "--format", "float32", "--subjects", "numpy:cpu", "--cases", "2"]
    status, out, _ = call(words, tmp_path, capsys, monkeypatch)
    assert status == 0
    assert "relu" in out


def test_the_nightly_seed_is_the_date(tmp_path, capsys, monkeypatch):
    before = datetime.now(UTC)
    _, out, _ = call(["run", SPECS, *HONEST, "--seed", "nightly", "--json"], tmp_path, capsys, monkeypatch)
    dates = {int(f"{moment:%Y%m%d}") for moment in (before, datetime.now(UTC))}
    assert strict(out)["seed"] in dates


def test_no_colour_where_none_is_wanted(tmp_path, capsys, monkeypatch):
    words = ["run", SPECS, "--op", "mean", "--format", "bfloat16,float32", "--subjects", "numpy:cpu", "--cases", "1"]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[3" in call(words, tmp_path, capsys, monkeypatch)[1]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in call(words, tmp_path, capsys, monkeypatch)[1]


def test_check_counts_and_says_what_it_could_not_check(tmp_path, capsys, monkeypatch):
    assert call(["check", SPECS], tmp_path, capsys, monkeypatch)[:2] == (0, "2 specs are valid\n")
    assert call(["check", SPECS / "mean.yaml"], tmp_path, capsys, monkeypatch)[:2] == (0, "1 spec is valid\n")


def test_check_without_a_path_checks_the_specs_that_come_along(tmp_path, capsys, monkeypatch):
    status, out, _ = call(["check"], tmp_path, capsys, monkeypatch)
    assert status == 0
    assert int(out.split()[0]) == len(list((ROOT / "specs").rglob("*.yaml")))


def test_backends_are_aligned(tmp_path, capsys, monkeypatch):
    status, out, _ = call(["backends", "--plugin", plugin(tmp_path)], tmp_path, capsys, monkeypatch)
    assert status == 0
    lines = out.splitlines()
    starts = [match.start() for match in re.finditer("-+", lines[1])]
    assert lines[0].split()[:3] == ["subject", "dialect", "version"]
    for line in (lines[0], *lines[2:]):
        assert all(line[start - 1] == " " for start in starts[1:])
    names = [line.split()[0] for line in lines[2:]]
    assert {"numpy:cpu", "off:cpu"} <= set(names)
    assert all(name.startswith((*discover(), *plugin_names())) for name in names)


def plugin_names() -> tuple[str, ...]:
    return ("off", "aborting", "hanging", "raising", "undecided", "slow")


def test_schema_is_json(tmp_path, capsys, monkeypatch):
    status, out, _ = call(["schema"], tmp_path, capsys, monkeypatch)
    document = strict(out)
    assert status == 0
    assert {"op", "inputs", "output", "calls", "reference"} <= document["properties"].keys()


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["check", "-h"], ["schema", "-h"], ["backends", "-h"]]
)
def test_help(words, tmp_path, capsys, monkeypatch):
    status, out, err = call(words, tmp_path, capsys, monkeypatch)
    assert (status, err) == (0, "")
    assert out.startswith("Usage: opfuzz")


def test_without_a_command_there_is_help(tmp_path, capsys, monkeypatch):
    status, out, err = call([], tmp_path, capsys, monkeypatch)
    assert status in (0, 2), "click before 8.2 gives 0"
    assert (out + err).startswith("Usage: opfuzz")


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    done = subprocess.run(
        f"{sys.executable} -m opfuzz schema | head -1",
        shell=True, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_verdicts_of_fail_on_are_those_of_findings(tmp_path, capsys, monkeypatch):
    _, _, err = call(["run", SPECS, "--fail-on", "zzzzzzzz"], tmp_path, capsys, monkeypatch)
    assert "; known: crash, timeout, " in err
    assert set(err.split("known: ")[1].split(";")[0].split(", ")) == {
        *(v for v, severity in SEVERITY.items() if severity in ("fault", "note") and v != "unsupported"),
        "discovered",
    }


@pytest.mark.parametrize(("columns", "cut"), [(None, False), ("", False), ("40", True)])
def test_only_a_terminal_or_columns_cuts_lines(columns, cut, tmp_path, capsys, monkeypatch):
    if columns is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    words = ["run", SPECS, "--op", "mean", "--format", "float32", "--subjects", "numpy:cpu", "--cases", "1"]
    words += ["--rows", "all"]
    rows = call(words, tmp_path, capsys, monkeypatch)[1].partition("\nop ")[2]
    assert ("…" in rows) == cut
