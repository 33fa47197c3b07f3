"""Completion: the scripts, and what a tab gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from opfuzz.backends import discover
from opfuzz.cli import cli, completion
from opfuzz.cli.commands import COMMANDS
from opfuzz.core.floats import FORMATS
from opfuzz.engine.plan import load_specs

SPECS = Path(__file__).parents[1] / "small"


def offered(*words: str) -> list[str]:
    """What a tab gives after these words, of which the last may be begun only."""
    shell = ShellComplete(cli, {}, "opfuzz", completion.VARIABLE)
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder with two runs, of which the newer has one finding and the older two."""
    monkeypatch.chdir(tmp_path)
    for run, ids in (("20260101-000000-s0", ["aa11", "bb22"]), ("20260201-000000-s0", ["cc33"])):
        for name in ids:
            (tmp_path / "reports" / run / "findings" / name).mkdir(parents=True)
            (tmp_path / "reports" / run / "findings" / name / "finding.json").write_text("{}")
        (tmp_path / "reports" / run / "run.json").write_text("{}")
    (tmp_path / "reports" / "corpus").mkdir()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(shell):
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert f"_OPFUZZ_COMPLETE={shell}_complete" in done.output
    if shell == "zsh":
        assert done.output.startswith("#compdef opfuzz")


def test_the_script_for_bash_is_valid_bash(tmp_path):
    script = CliRunner().invoke(cli, ["completion", "bash"]).output
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_commands_and_options():
    assert set(offered("")) == set(COMMANDS)
    assert offered("doc") == ["doctor"]
    assert offered("new", "") == ["backend", "op"]
    assert {"--op", "--subjects", "--format"} <= set(offered("run", "--"))


def test_ops_are_those_of_the_specs_that_came_with_opfuzz():
    known = sorted(spec.op for spec in load_specs([completion.shipped("specs")], discover()))
    assert offered("run", "--op", "") == known
    assert offered("run", "--op", "soft") == ["softmax", "softmax1", "softplus", "softshrink", "softsign"]


def test_a_list_is_completed_after_its_last_comma_and_not_twice():
    assert offered("run", "--op", "gelu,softm") == ["gelu,softmax", "gelu,softmax1"]
    assert offered("run", "--op", "softmax,softm") == ["softmax,softmax1"]
    assert offered("run", "--format", "float32,b") == ["float32,bfloat16"]
    assert offered("run", "--format", "") == list(FORMATS)


def test_ops_of_specs_of_ones_own():
    assert offered("run", str(SPECS), "--op", "") == ["mean", "square"]


def test_subjects_are_all_that_the_backends_have():
    here = [backend for backend in discover().values() if not backend.absent()]
    known = {f"{backend.name}:{device}" for backend in here for device in backend.devices()}
    assert known <= set(completion.SUBJECTS)
    assert offered("run", "--subjects", "torch:cpu,mlx:") == ["torch:cpu,mlx:cpu", "torch:cpu,mlx:gpu"]
    assert offered("localize", "decoder", "--b", "mlx:c") == ["mlx:cpu"]


@pytest.mark.usefixtures("runs")
def test_runs_newest_first():
    newest_first = ["latest", "20260201-000000-s0", "20260101-000000-s0"]
    assert offered("compare", "") == newest_first
    assert offered("compare", "latest", "202601") == ["20260101-000000-s0"]
    assert offered("run", "--baseline", "") == newest_first
    assert offered("compare", "--reports", "elsewhere", "") == ["latest"]


@pytest.mark.usefixtures("runs")
def test_findings_of_the_newest_run_or_the_one_that_is_named():
    assert offered("accept", "") == ["cc33"]
    for command in ("accept", "bisect"):
        assert offered(command, "--run", "20260101-000000-s0", "") == ["aa11", "bb22"]


@pytest.mark.usefixtures("runs")
def test_findings_to_show_and_profiles_of_settings(tmp_path):
    assert offered("show", "") == ["cc33"]
    assert offered("open", "202601") == ["20260101-000000-s0"]
    assert offered("run", "--settings", "") == ["ci", "default", "nightly"]
    (tmp_path / "opfuzz.toml").write_text("[profile.mine]\njobs = 1\n")
    assert offered("config", "--settings", "m") == ["mine"]
    (tmp_path / "opfuzz.toml").write_text("[profile.mine\n")
    assert offered("report", "--settings", "") == ["ci", "default", "nightly"]


def test_a_tab_imports_no_framework():
    program = (
        "import sys, opfuzz.cli as c\n"
        "from click.shell_completion import ShellComplete\n"
        "s = ShellComplete(c.cli, {}, 'opfuzz', '_OPFUZZ_COMPLETE')\n"
        "for o in ('--op', '--subjects', '--format'): assert s.get_completions(['run', o], '')\n"
        "print(*(n for n in ('torch', 'mlx', 'matplotlib', 'hypothesis') if n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_verdicts_and_the_formats_of_a_report():
    assert offered("run", "--fail-on", "wrong,n") == ["wrong,narrow", "wrong,normwise"]
    assert set(offered("report", "--format", "html,")) == {
        "html,github",
        "html,json",
        "html,junit",
        "html,md",
        "html,sarif",
    }


def test_the_shell_gets_its_answer():
    environment = {"_OPFUZZ_COMPLETE": "bash_complete", "COMP_WORDS": "opfuzz run --op layer_", "COMP_CWORD": "3"}
    done = CliRunner().invoke(cli, [], prog_name="opfuzz", env=environment)
    assert done.output.split() == ["plain,layer_norm", "plain,layer_norm_axes"]
