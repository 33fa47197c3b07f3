"""What the README says, and the pages that it sends to, works as printed."""

import re
from pathlib import Path

from commands import opfuzz

from opfuzz.backends import discover
from opfuzz.engine.plan import load_specs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str, text: str = README) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return next(each for each in blocks if containing in each)


def test_it_is_short():
    assert len(README.splitlines()) <= 150


def test_it_has_the_number_of_ops():
    count = len(list((ROOT / "specs").rglob("*.yaml")))
    assert f"The main job: {count} ops" in README
    assert f"[the {count} ops]" in README


def test_the_main_job_is_one_line():
    assert block("sh", "run specs/").strip() == (
        "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/opfuzz run specs/"
    )


def test_the_checks_call_the_test_command_exactly():
    command = block("sh", "pytest").strip()
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_an_op_is_one_file_of_under_20_lines(tmp_path):
    text = block("yaml", "op: swiglu", (ROOT / "docs" / "new-op.md").read_text(encoding="utf-8"))
    assert len(text.splitlines()) < 20
    path = tmp_path / "swiglu.yaml"
    path.write_text(text, encoding="utf-8")
    (spec,) = load_specs([path], discover())
    assert spec.op == "swiglu"


def test_an_implementation_of_ones_own_is_found_out(tmp_path, monkeypatch):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        block("python", "derive(", (ROOT / "docs" / "new-backend.md").read_text(encoding="utf-8")), encoding="utf-8"
    )
    words = ["run", str(ROOT / "specs"), "--plugin", str(plugin), "--subjects", "mine:cpu", "--op", "layer_norm"]
    words += ["--format", "float32", "--cases", "60", "--jobs", "1", "--shrink", "0", "--out", str(tmp_path / "runs")]
    monkeypatch.delenv("COLUMNS", raising=False)
    done = opfuzz(*words, cwd=ROOT)
    assert done.status == 1, done.err
    assert "one-pass" in done.out
