"""Files by which others find their way: the action, issue forms, hooks, the citation, what is shipped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import opfuzz

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
FIELDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}  # that GitHub knows


def document(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


ACTION = document("action.yml")
STEPS = ACTION["runs"]["steps"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_one_that_github_shows(path):
    form = document(str(path.relative_to(ROOT)))
    assert form.keys() == {"name", "description", "labels", "body"}
    assert all(field["type"] in FIELDS for field in form["body"])
    assert all(field["attributes"].get("label") for field in form["body"] if field["type"] != "markdown")
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(set(ids)) == len(ids)


def test_there_is_a_form_for_each_kind_of_issue():
    assert [document(str(path.relative_to(ROOT)))["name"] for path in FORMS] == [
        "False accusation",
        "Missed fault",
        "Crash of opfuzz itself",
        "An op or a framework",
    ]


def test_the_citation_is_of_this_version_and_has_what_its_format_asks_for():
    cited = document("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == PROJECT["version"]
    assert cited["license"] == PROJECT["license"]
    assert cited["type"] in ("software", "dataset")
    assert all(author.keys() == {"name"} for author in cited["authors"])


def test_the_hook_refuses_a_wrong_spec(tmp_path):
    (hook,) = document(".pre-commit-hooks.yaml")
    assert hook["id"] == "opfuzz-check"
    assert re.search(hook["files"], "specs/norm/mine.yaml")
    assert re.search(hook["files"], "my/specs/mine.yaml")
    assert not re.search(hook["files"], "compose.yaml")
    (tmp_path / "mine.yaml").write_text("op: mine\nsumary: It has a mistake.\n", encoding="utf-8")
    program, *words = hook["entry"].split()
    assert program == "opfuzz"
    done = opfuzz(*words, "mine.yaml", cwd=tmp_path)
    assert done.status == 2
    assert "mine.yaml:2:1: unknown key 'sumary'" in done.err


def test_the_pythons_are_those_of_the_matrix():
    checks = document(".github/workflows/checks.yml")
    pythons = checks["jobs"]["tests"]["strategy"]["matrix"]["python"]
    told = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)]
    assert pythons == told
    assert PROJECT["requires-python"] == f">={told[0]}"
    page = (ROOT / "docs" / "platforms.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (3\.\d+) \|", page, re.MULTILINE) == pythons


def test_a_release_is_checked_by_the_main_job_before_it_is_published():
    jobs = document(".github/workflows/release.yml")["jobs"]
    assert (jobs["check"]["needs"], jobs["publish"]["needs"]) == ("build", "check")
    assert [step["run"] for step in jobs["check"]["steps"] if "run" in step] == [
        '.ci/check-distribution dist/*."$KIND"'
    ]
    script = (ROOT / ".ci" / "check-distribution").read_text(encoding="utf-8")
    assert '-m venv .venv && .venv/bin/pip install -q "$file"' in script
    assert ".venv/bin/opfuzz run" in script
    assert os.access(ROOT / ".ci" / "check-distribution", os.X_OK)


def test_the_actions_own_actions_are_pinned_and_nothing_is_pasted_into_a_script():
    for step in STEPS:
        assert "run" in step or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"])
        assert "${{" not in step.get("run", "")
        assert "run" not in step or step["shell"] == "bash"


def test_the_page_of_ci_has_all_inputs_of_the_action():
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", page.split("| input |")[1], re.MULTILINE))
    assert rows.keys() == ACTION["inputs"].keys()
    for name, told in ACTION["inputs"].items():
        assert not told["default"] or rows[name] == f"`{told['default']}`"


@pytest.fixture
def shell(tmp_path):
    """A function that runs a step of the action as a runner would, with what the steps before it put out."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "opfuzz").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m opfuzz "$@"\n', encoding="utf-8")
    (programs / "opfuzz").chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    summary, outputs = tmp_path / "summary.md", tmp_path / "outputs"
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    around = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "GITHUB_OUTPUT": str(outputs)}
    around["GITHUB_STEP_SUMMARY"] = str(summary)

    def run(name: str, inputs: dict[str, str]) -> subprocess.CompletedProcess[str]:
        step = next(each for each in STEPS if each["name"] == name)
        code = re.findall(r"^code=(\d+)$", outputs.read_text(), re.MULTILINE)[-1] if outputs.exists() else ""
        known = {f"inputs.{key}": value for key, value in inputs.items()} | {"steps.run.outputs.code": code}
        given = {
            key: re.sub(r"\$\{\{ (.*?) \}\}", lambda found: known[found[1]], value)
            for key, value in step["env"].items()
        }
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]  # as GitHub calls it
        return subprocess.run(words, cwd=work, env={**around, **given}, capture_output=True, text=True, check=False)

    run.work, run.summary = work, summary  # type: ignore[attr-defined]
    return run


def test_the_steps_of_the_action_are_commands_that_do_their_work(shell):
    inputs = {name: told["default"] for name, told in ACTION["inputs"].items()}
    inputs |= {"specs": f"{ROOT}/specs/activation/relu.yaml {ROOT}/specs/norm/layer_norm.yaml", "time": "2s"}
    inputs |= {"subjects": "numpy:cpu"}
    ran = shell("Run", inputs)
    assert ran.returncode == 0, ran.stderr
    assert "relu" in ran.stdout
    told = shell("Report", inputs)
    assert told.returncode == 0, told.stderr
    assert {path.name for path in (shell.work / "reports" / "published").iterdir()} >= {
        "report.html",
        "summary.md",
        "junit.xml",
        "report.sarif",
    }
    assert "relu" in shell.summary.read_text(encoding="utf-8")
    assert shell("Fail for faults", inputs).returncode in (0, 1)
    again = shell("Run", inputs)  # now there is a run that it is held against
    assert again.returncode == 0, again.stderr
    assert "baseline" in again.stdout.lower() or "Since" in again.stdout
    wrong = shell("Run", {**inputs, "subjects": "nobody:cpu"})
    assert wrong.returncode == 1
