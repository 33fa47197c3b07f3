"""The example clients: built as the documents say, judged like a backend, and not to be led astray by damaged files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundles import opfuzz
from exports import exported

from opfuzz.backends import discover
from opfuzz.core.shipped import shipped
from opfuzz.engine.plan import Plan, load_specs

EXAMPLES = Path(__file__).parents[1] / "examples"
SOURCE = (EXAMPLES / "cases_client.c").read_text(encoding="utf-8")
COMPILER = shutil.which("cc") or shutil.which("gcc")
FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1")
OPS = ("softmax", "silu", "gelu", "layer_norm", "matmul", "erf")
PYTHON_OPS = ("relu", "exp", "tanh", "softmax", "erf")

in_c = pytest.mark.skipif(COMPILER is None, reason="no C compiler: neither cc nor gcc is on PATH")


def compiled(folder: Path, source: str = SOURCE, *flags: str) -> Path:
    assert COMPILER is not None
    (folder / "client.c").write_text(source)
    words = [COMPILER, *FLAGS, *flags, "-o", str(folder / "client"), str(folder / "client.c"), "-lm"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "client"


def cases_of(place: Path, ops: tuple[str, ...], formats: tuple[str, ...], each: int) -> Path:
    specs = load_specs([shipped("specs")], discover(), ops, dialects=())
    exported(place, Plan(specs, (), seed=0, jobs=1, formats=formats, cases=each))
    return place


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    """Cases of the client's ops, and of one that it does not have."""
    return cases_of(tmp_path_factory.mktemp("c") / "cases", OPS, ("float32", "float16"), each=24)


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Path:
    return compiled(tmp_path_factory.mktemp("client"))


def judged(capsys, monkeypatch, cases: Path, out: Path, name: str) -> tuple[int, dict[str, Any]]:
    words = ("cases", "judge", str(cases), "--as", name, "--out", str(out), "--json")
    code, text, _ = opfuzz(capsys, monkeypatch, *words)  # what takes long says on stderr how far it is
    return code, json.loads(text)


def computed(client: Path, cases: Path, name: str) -> subprocess.CompletedProcess[str]:
    (cases / "outputs" / name).mkdir()
    return subprocess.run([client, cases, name], capture_output=True, text=True)


@in_c
def test_an_honest_client_is_clean(client, cases, tmp_path, capsys, monkeypatch):
    assert computed(client, cases, "honest").returncode == 0
    code, document = judged(capsys, monkeypatch, cases, tmp_path, "honest")
    assert (code, document["recorded"]) == (0, {"honest": []})
    found = {(row["op"], row["format"]): row for row in document["ranking"]}
    for op in OPS:
        assert found[op, "float16"]["verdict"] == "unsupported"
        assert found[op, "float32"]["severity"] == ("note" if op == "erf" else "clean"), found[op, "float32"]
        assert found[op, "float32"]["cases"] == 24
    assert found["erf", "float32"]["reason"] == "this program has no erf of F32"
    assert document["cases"] == 2 * 24 * len(OPS)


PLANTED: dict[str, tuple[str, str, Callable[[dict[str, int]], int]]] = {
    # op: what is written, what stands there instead, where along the last axis the element is that is then wrong
    "matmul": (
        "(float)sum;",
        "(float)(n > 2 && j == n - 1 ? sum * 1.01 : sum);",
        lambda dims: dims["n"] - 1,
    ),
    "layer_norm": (
        "(x[i] - mean) / scale",
        "(x[i] - mean) / (i == 0 && d > 2 ? scale * 1.01 : scale)",
        lambda dims: 0,
    ),
    "softmax": (
        "exp(x[i] - largest) / sum)",
        "exp(x[i] - largest) / (i == 1 ? sum * 1.01 : sum))",
        lambda dims: 1,
    ),
}


@in_c
@pytest.mark.parametrize("op", PLANTED)
def test_a_planted_error_is_a_fault_of_the_right_element(op, cases, tmp_path, capsys, monkeypatch):
    old, new, place = PLANTED[op]
    assert SOURCE.count(old) == 1
    client = compiled(tmp_path, SOURCE.replace(old, new))
    assert computed(client, cases, f"planted-{op}").returncode == 0
    code, document = judged(capsys, monkeypatch, cases, tmp_path / "reports", f"planted-{op}")
    assert code == 1
    faults = [finding for finding in document["findings"] if finding["severity"] == "fault"]
    assert {finding["op"] for finding in faults} == {op}
    for finding in faults:
        case = json.loads((Path(finding["path"]) / "case.json").read_text())
        assert finding["witness"]["index"][-1] == place(case["dims"])
        assert finding["diagnosis"]


@in_c
def test_a_crash_leaves_what_was_written_before_and_the_rest_is_missing(cases, tmp_path, capsys, monkeypatch):
    planted = SOURCE.replace(
        "static void gelu(const Case *this)\n{", "static void gelu(const Case *this)\n{\n    abort();"
    )
    assert planted != SOURCE
    client = compiled(tmp_path, planted)
    assert computed(client, cases, "crashing").returncode < 0
    code, document = judged(capsys, monkeypatch, cases, tmp_path / "reports", "crashing")
    lacking = document["recorded"]["crashing"]
    assert code == 1
    assert any("case 0 of gelu in float32" in words for words in lacking)
    assert {row["op"]: row["cases"] for row in document["ranking"] if row["format"] == "float32"}["softmax"] == 24


def text_in(name: str, old: str, new: str) -> Any:
    def damage(place: Path) -> None:
        text = (place / name).read_text()
        assert re.search(old, text)
        (place / name).write_text(re.sub(old, new, text, count=1))

    return damage


SHARD = "inputs/00000.safetensors"
SHAPED = r"(input x float F32 .*) 2 \d+ \d+\n"
HARMS = {
    "no index": (lambda place: (place / "index.txt").unlink(), "cannot be read"),
    "another file": (text_in("index.txt", "opfuzz-cases 1", "opfuzz-cases 2"), "does not begin with"),
    "cut index": (lambda place: os.truncate(place / "index.txt", 1000), "cut"),
    "index without its end": (text_in("index.txt", r"end\n\Z", ""), "cut short"),
    "cut inputs": (lambda place: os.truncate(place / SHARD, 20_000), "cut short"),
    "no inputs": (lambda place: (place / SHARD).unlink(), "cannot be read"),
    "giant header": (lambda place: (place / SHARD).write_bytes(b"\xff" * 100), "the header reaches into an input"),
    "file outside": (text_in("index.txt", "inputs/00000.safetensors", "inputs/../index.txt"), "no file of inputs"),
    "too many elements": (text_in("index.txt", SHAPED, r"\1 2 4294967296 4294967297\n"), "too large"),
    "other bytes": (text_in("index.txt", r"(input x float F32 \S+ \d+) \d+", r"\1 4"), "not those of its shape"),
    "many axes": (text_in("index.txt", SHAPED, r"\1 9 1 1 1 1 1 1 1 1 1\n"), "too many axes"),
    "negative size": (text_in("index.txt", SHAPED, r"\1 2 -1 -1\n"), "no whole number"),
    "short line": (text_in("index.txt", r"input x float F32 .*\n", "input x float\n"), "a line ends too early"),
    "long word": (text_in("index.txt", r"input x ", f"input {'x' * 300} "), "too long"),
    "long line": (text_in("index.txt", r"input x ", f"input {'x' * 70_000} "), "too long"),
    "unknown line": (text_in("index.txt", r"input x ", "inptu x "), "unknown line"),
    "many inputs": (text_in("index.txt", r"(input x float F32 .*\n)", r"\1" * 9), "too many inputs"),
}  # fmt: skip


@in_c
@pytest.mark.parametrize("harm", HARMS)
def test_the_client_refuses_damaged_cases(harm, client, cases, tmp_path):
    place = tmp_path / "cases"
    shutil.copytree(cases, place, ignore=shutil.ignore_patterns("outputs"))
    (place / "outputs").mkdir()
    damage, words = HARMS[harm]
    damage(place)
    done = computed(client, place, "c")
    assert done.returncode == 2, done
    assert words in done.stderr
    assert done.stderr.startswith("cases_client: ")
    assert done.stderr.count("\n") == 1


def test_the_client_in_python_is_clean(tmp_path, capsys, monkeypatch):
    cases = cases_of(tmp_path / "cases", PYTHON_OPS, ("float64", "float32", "bfloat16"), each=24)
    # -I and -S: the standard library alone.
    words = [sys.executable, "-I", "-S", str(EXAMPLES / "cases_client.py"), str(cases), "python"]
    subprocess.run(words, check=True)
    code, document = judged(capsys, monkeypatch, cases, tmp_path / "reports", "python")
    assert (code, document["recorded"]) == (0, {"python": []})
    for row in document["ranking"]:
        is_known = row["op"] != "erf" and row["format"] != "bfloat16"
        assert row["severity"] == ("clean" if is_known else "note"), row
    assert (cases / "outputs" / "python" / "about.json").exists()
