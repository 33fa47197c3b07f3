"""The workflows: linted, pinned, with no more leave than they need, and with commands that opfuzz takes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_lines import commands, refusal

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
OTHERS = "pypa/gh-action-pypi-publish|github/codeql-action/upload-sarif"  # actions that GitHub does not make itself


def document(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs() -> list[Any]:
    return [
        pytest.param(job, id=f"{path.stem}-{name}")
        for path in WORKFLOWS
        for name, job in document(path)["jobs"].items()
    ]


def named(name: str) -> Path:
    return next(path for path in WORKFLOWS if path.stem == name)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actionlint_finds_nothing(path):
    program = shutil.which("actionlint")
    if program is None:
        pytest.skip("actionlint is not on PATH; .github/workflows/checks.yml runs it")
    done = subprocess.run([program, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_allowed_that_no_job_asks_for():
    for path in WORKFLOWS:
        assert document(path)["permissions"] == {}
    granted = {str(job["permissions"]) for path in WORKFLOWS for job in document(path)["jobs"].values()}
    assert granted == {
        "{'contents': 'read'}",
        "{'pages': 'write', 'id-token': 'write'}",
        "{'issues': 'write'}",
        "{'id-token': 'write', 'attestations': 'write'}",
    }


@pytest.mark.parametrize("job", jobs())
def test_every_job_ends_and_every_action_is_pinned(job):
    assert 0 < job["timeout-minutes"] <= 120
    for step in job["steps"]:
        if "uses" in step:
            assert re.fullmatch(rf"(actions/[\w/-]+|{OTHERS})@[0-9a-f]{{40}}", step["uses"])
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("job", jobs())
def test_no_expression_is_pasted_into_a_script(job):
    assert not any("${{" in step.get("run", "") for step in job["steps"])


def filled(job: dict[str, Any], step: dict[str, Any], entry: dict[str, str]) -> str:
    """The script of a step with the values of its own variables; an input has its default."""
    script = step.get("run", "")
    for name, value in step.get("env", {}).items():
        for key, known in entry.items():
            value = value.replace(f"${{{{ matrix.{key} }}}}", known)
        value = re.sub(r"\$\{\{.*\|\| '(.*)' \}\}", r"\1", value)
        script = script.replace(f'"${name}"', value)
    return script


def test_every_command_of_the_nightly_is_one_that_opfuzz_takes():
    seen = set()
    for job in document(named("nightly"))["jobs"].values():
        for entry in job.get("strategy", {}).get("matrix", {}).get("include", [{}]):
            for step in job["steps"]:
                for words in commands(filled(job, step, entry)):
                    assert not any("$" in word for word in words), words
                    assert refusal(words) == "", words
                    seen.add(words[0])
    assert seen == {"cases", "history", "run", "report", "repro"}


def test_the_nightly_tries_every_subject_that_there_is():
    entries = document(named("nightly"))["jobs"]["fuzz"]["strategy"]["matrix"]["include"]
    assert {entry["machine"]: entry["subjects"].split(",") for entry in entries} == {
        "linux": ["torch:cpu", "mlx:cpu"],
        "apple": ["torch:cpu", "torch:mps", "mlx:cpu", "mlx:gpu"],
        "runtimes": ["torch:cpu", "jax:cpu", "onnxruntime:cpu", "openvino:cpu"],
        "compiled": ["torch:cpu", "torch:cpu+compile"],
    }


def test_the_checks_are_those_of_every_change():
    job = document(named("checks"))["jobs"]["tests"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("report latest --format pdf", "unknown 'pdf'"),
        ("run --case 3", "No such option"),
        ("runs specs/", "no command runs"),
        ("run --seed nigthly", "is no seed"),
    ],
)
def test_a_command_that_opfuzz_refuses_is_seen(words, complaint):
    (found,) = commands(f"  $ opfuzz {words} || code=$?")
    assert complaint in refusal(found)
