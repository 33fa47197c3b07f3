"""What the README prints works as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from opfuzz.backends import discover
from opfuzz.engine.plan import load_specs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(text for text in blocks if containing in text)


def test_the_checks_call_the_test_command_exactly():
    command = block("sh", "pytest").strip()
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_an_op_is_one_file_of_under_20_lines(tmp_path):
    text = block("yaml", "op: swiglu")
    assert len(text.splitlines()) < 20
    path = tmp_path / "swiglu.yaml"
    path.write_text(text, encoding="utf-8")
    (spec,) = load_specs([path], discover())
    assert spec.op == "swiglu"


def test_an_implementation_of_ones_own_is_found_out(tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(block("python", "derive("), encoding="utf-8")
    words = ["run", str(ROOT / "specs"), "--plugin", str(plugin), "--subjects", "mine:cpu", "--op", "layer_norm"]
    call = [sys.executable, "-m", "opfuzz", *words, "--format", "float32", "--cases", "60", "--jobs", "1"]
    wide = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run([*call, "--out", str(tmp_path / "runs")], cwd=ROOT, env=wide, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "one-pass" in done.stdout
