"""`opfuzz repro` and `opfuzz shrink`: is the fault of a bundle still there, and how small can it be shown?"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from bundles import off_plugin, opfuzz, square_call, written
from small_campaigns import SPECS, plugin

from opfuzz.backends import discover
from opfuzz.core.call import Call
from opfuzz.core.cause import Cause
from opfuzz.core.floats import FORMATS
from opfuzz.core.layout import LAYOUTS
from opfuzz.core.relation import Relation
from opfuzz.core.verdicts import SEVERITY
from opfuzz.engine.plan import vocabulary
from opfuzz.engine.triage.replay import shows, subject_of
from opfuzz.report.finding.snippet import _literal
from opfuzz.report.finding.upstream import fenced, trigger_words, upstream
from opfuzz.store.bundle import read_bundle

WORDS = vocabulary(discover())
MODED = {"absent": lambda: None, "devices": lambda: {"cpu": None}, "modes": ("", "compile"), "dialects": ("numpy",)}
FINDING = {
    "id": "f", "op": "square", "subject": "torch:cpu", "format": "float32", "verdict": "wrong", "reason": "as told",
    "witness": None,
}  # fmt: skip


# opfuzz is not to be found, wherever it may be installed.
RUN_ALL = """
import runpy, sys
sys.modules["opfuzz"] = None
for path in sys.argv[1:]:
    runpy.run_path(path)
"""


def alone(*places: Path) -> list[float]:
    """What the second block of code in each upstream.md prints as computed and as exact, all in one process."""
    for place in places:
        blocks = re.findall(
            r"^(`{3,})python\n(.*?)\n\1$", (place / "upstream.md").read_text(), re.DOTALL | re.MULTILINE
        )
        (place / "snippet.py").write_text(blocks[1][1])
    command = [sys.executable, "-I", "-c", RUN_ALL, *(str(place / "snippet.py") for place in places)]
    shown = subprocess.run(command, capture_output=True, text=True, cwd="/", check=True).stdout
    assert re.fullmatch(r"(computed \S+\nexact    \S+\n)+", shown)
    return [float(line.split()[1]) for line in shown.splitlines()]


@pytest.fixture
def bundle(tmp_path) -> tuple[Path, Path]:
    """A bundle with a fault, and the plugin that has it."""
    faulty = off_plugin(tmp_path)
    written(tmp_path / "b", square_call([1.5, 3.0, -0.1], "stepped"), plugins=(faulty,))
    return tmp_path / "b", faulty


def test_a_fault_is_there_until_it_is_mended(bundle, tmp_path, capsys, monkeypatch):
    place, faulty = bundle
    code, out, err = opfuzz(capsys, monkeypatch, "repro", str(place), "--plugin", str(faulty))
    assert (code, err) == (1, "")
    assert "the fault is there" in out
    assert "computed 0.010010001249611378, exact 0.010000000298023226" in out
    code, out, err = opfuzz(capsys, monkeypatch, "repro", str(place), "--plugin", str(off_plugin(tmp_path, 1.0)))
    assert (code, err) == (0, "")
    assert "the fault is gone" in out
    assert "now       exact" in out


def test_of_a_wrong_number_nothing_is_said_but_what_the_run_found_out(bundle, capsys, monkeypatch):
    place, faulty = bundle
    path = place / "finding.json"
    for diagnosis in ("", "it is the variant 'cubed'"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "diagnosis": diagnosis}))
        _, out, _ = opfuzz(capsys, monkeypatch, "repro", str(place), "--plugin", str(faulty))
        lines = [line.strip() for line in out.splitlines()]
        assert re.fullmatch(rf"then +(wrong|imprecise){': ' * bool(diagnosis)}{diagnosis}", lines[1])
        assert any(re.fullmatch(r"now +(wrong|imprecise)", line) for line in lines)


def test_json_and_another_subject(bundle, capsys, monkeypatch):
    place, faulty = bundle
    given = ["repro", str(place), "--plugin", str(faulty), "--json"]
    code, out, _ = opfuzz(capsys, monkeypatch, *given)
    (found,) = json.loads(out)["bundles"]
    assert (code, found["there"], found["then"]) == (1, True, found["now"])
    code, out, _ = opfuzz(capsys, monkeypatch, *given, "--subject", "numpy:cpu")
    (found,) = json.loads(out)["bundles"]
    assert (code, found["there"], found["subject"]) == (0, False, "numpy:cpu")


def test_a_mistake_in_the_subject_is_the_users(bundle, capsys, monkeypatch):
    code, _, err = opfuzz(capsys, monkeypatch, "repro", str(bundle[0]), "--subject", "nunpy:cpu")
    assert (code, err) == (2, "subject 'nunpy:cpu': unknown backend 'nunpy'; did you mean 'numpy'?\n")


@pytest.mark.parametrize(
    ("subject", "verdict", "relation"),
    [("aborting:cpu", "crash", None), ("raising:cpu", "crash", None),
     ("undecided:cpu", "unstable", Relation("repeated")), ("undecided:cpu", "unstable", Relation("disturbed"))],
)  # fmt: skip
def test_what_dies_or_flickers_is_there_too(subject, verdict, relation, tmp_path, capsys, monkeypatch):
    path = plugin(tmp_path)
    given = {"verdict": verdict, "severity": "fault"}
    written(tmp_path / "b", square_call(np.arange(31.0)), subject, (path,), relation=relation, **given)
    assert opfuzz(capsys, monkeypatch, "repro", str(tmp_path / "b"), "--plugin", str(path))[0] == 1
    assert opfuzz(capsys, monkeypatch, "repro", str(tmp_path / "b"), "--subject", "numpy:cpu")[0] == 0


def test_a_note_is_there_while_the_verdict_is_the_same(bundle, tmp_path, capsys, monkeypatch):
    _, faulty = bundle
    written(tmp_path / "n", square_call(), plugins=(faulty,), verdict="narrow", severity="note")
    code, out, _ = opfuzz(capsys, monkeypatch, "repro", str(tmp_path / "n"), "--plugin", str(faulty))
    assert code == 0, "it is a fault now, and not the note any more"
    assert "the note is gone" in out


@pytest.mark.parametrize(
    ("verdict", "relation", "switch", "now", "is_there"),
    [
        ("wrong", None, None, "crash", True),
        ("wrong", None, None, "narrow", False),
        ("imprecise", None, None, "narrow", False),
        ("imprecise", Relation("rows", "n"), None, "narrow", True),
        ("imprecise", Relation("contiguous"), {"x": "contiguous"}, "narrow", False),
        ("imprecise", Relation("rows", "n"), None, "exact", False),
        ("narrow", None, None, "narrow", True),
    ],
)
def test_what_counts_as_there(verdict, relation, switch, now, is_there, bundle):
    told = read_bundle(bundle[0], WORDS)
    finding = {**told.finding, "verdict": verdict, "severity": SEVERITY[verdict]}
    cause = replace(told.cause, relation=relation)
    assert shows(replace(told, finding=finding, cause=cause, switch=switch), now) == is_there


def test_a_note_of_the_eager_mode_is_tried_in_it(bundle):
    told = read_bundle(bundle[0], WORDS)
    backends = {"off": SimpleNamespace(**MODED, dialect_in=lambda calls: "numpy")}
    half = Cause("computes-in", "float16", Relation("eager"))
    only = replace(half, figures={"only": True})
    for cause, subject in ((only, "off:cpu"), (half, "off:cpu+compile")):
        moded = replace(told, subject="off:cpu+compile", cause=cause)
        assert subject_of(moded, None, backends) == subject


def test_a_run_is_a_line_a_bundle_and_its_damaged_ones_are_told(bundle, tmp_path, capsys, monkeypatch):
    place, faulty = bundle
    folder = tmp_path / "run" / "findings"
    folder.mkdir(parents=True)
    place.rename(folder / "good")
    code, out, err = opfuzz(capsys, monkeypatch, "repro", str(tmp_path / "run"), "--plugin", str(faulty))
    assert (code, err) == (1, "")
    assert out == "there  good  square on off:cpu in float32: imprecise then, imprecise now\n"
    (folder / "bad").mkdir()
    code, again, err = opfuzz(capsys, monkeypatch, "repro", str(tmp_path / "run"), "--plugin", str(faulty))
    assert (code, again) == (2, out)
    assert err.startswith(f"{folder / 'bad' / 'finding.json'}: missing")


def test_bundles_of_several_runs_are_told_apart(bundle, tmp_path, capsys, monkeypatch):
    place, faulty = bundle
    folder = tmp_path / "reports"
    for name in ("monday", "tuesday"):
        shutil.copytree(place, folder / name / "findings" / "same")
    _, out, _ = opfuzz(capsys, monkeypatch, "repro", str(folder), "--plugin", str(faulty))
    assert [line.split()[1] for line in out.splitlines()] == ["monday/findings/same", "tuesday/findings/same"]


def test_the_snippet_alone_computes_what_was_found(tmp_path):
    row = np.array([0.1, 0.7, -0.3], np.float32)
    told = []
    for layout in LAYOUTS:
        x = np.stack([row, row] if layout == "broadcast" else [row, row * 3])
        given = Call("float32", {"a": 2, "n": 3}, {}, {"x": x}, {"x": layout})
        found = written(tmp_path / layout, given, "numpy:cpu/doubled", spec_path=SPECS / "mean.yaml")
        told += [found["witness"]["computed"], found["witness"]["exact"]]
    assert alone(*(tmp_path / layout for layout in LAYOUTS)) == told


@pytest.mark.parametrize(("subject", "function"), [("torch:cpu", "torch.square"), ("mlx:cpu", "mx.square")])
def test_the_snippet_alone_speaks_to_the_frameworks(subject, function, tmp_path):
    if reason := discover()[subject.split(":")[0]].absent():
        pytest.skip(reason)
    spec, told = tmp_path / "square.yaml", []
    text = (SPECS / "square.yaml").read_text().replace("float64", "float16, bfloat16")
    wrong = text.replace("np.square(x)", f"{function}(x)").replace("numpy:", f"{subject[:-4]}:")
    spec.write_text(wrong.replace("reference: x * x", "reference: x * x * x"))
    formats = ("bfloat16", "float16", "float32")
    for format in formats:
        call = square_call([-0.3, 1.7], "stepped", FORMATS[format].dtype)
        found = written(tmp_path / format, replace(call, format=format), subject, spec_path=spec)
        assert found["severity"] == "fault"
        told += [found["witness"]["computed"], found["witness"]["exact"]]
    assert alone(*(tmp_path / format for format in formats)) == told


def test_many_inputs_are_left_to_the_reproducer(tmp_path):
    written(tmp_path / "b", square_call(np.arange(40.0)), "numpy:cpu", verdict="crash", severity="fault")
    assert "repro.py" not in (tmp_path / "b" / "upstream.md").read_text()
    spec = tmp_path / "long.yaml"
    spec.write_text((SPECS / "square.yaml").read_text().replace("1..40", "1..400"))
    given = {"spec_path": spec, "verdict": "crash", "severity": "fault"}
    written(tmp_path / "c", square_call(np.arange(65.0)), "numpy:cpu", **given)
    assert "repro.py" in (tmp_path / "c" / "upstream.md").read_text()
    written(tmp_path / "d", square_call(np.full(400, 2.0)), "numpy:cpu", **given)
    assert "np.full((400,), 2.0, 'float32')" in (tmp_path / "d" / "upstream.md").read_text()


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16"])
def test_literals_read_back_to_the_same_bits(kind):
    dtype = np.dtype(ml_dtypes.bfloat16 if kind == "bfloat16" else kind)
    bits = np.random.default_rng(5).integers(0, 2 ** (8 * dtype.itemsize), 50, dtype=f"uint{8 * dtype.itemsize}")
    special = np.array([np.nan, -0.0, np.inf, -np.inf]).astype(dtype)
    odd = (special.view(bits.dtype) | 1)[:1].view(dtype)  # a NaN with a payload
    finite = np.nan_to_num(bits.view(dtype).astype(np.float64), nan=1.0, posinf=2.0, neginf=3.0).astype(dtype)
    for array in (
        bits.view(dtype),
        finite,
        special,
        odd,
        -special,
        finite[:0],
        finite[:1].reshape(()),
        finite.reshape(5, 10),
    ):
        again = eval(_literal(array), {"np": np})
        assert again.tobytes() == array.tobytes(), _literal(array)
        assert again.shape == array.shape
        assert again.dtype == ("uint16" if kind == "bfloat16" else dtype)


@pytest.mark.parametrize("array", [np.array([[3, 2**62]]), np.array([True, False, True]), np.zeros((0, 2), np.int64)])
def test_literals_of_other_kinds(array):
    again = eval(_literal(array), {"np": np})
    assert (again.tobytes(), again.dtype, again.shape) == (array.tobytes(), array.dtype, array.shape)


MADE = Call("float32", {"n": 3}, {}, {}, {"x": "offset"})


def report(**changed) -> str:
    return upstream({**FINDING, **changed}, "torch.square(x)", ("torch.square",), MADE, None, "1", {}, {})


def test_text_of_others_is_inert_in_the_report():
    text = report(reason="raised X: <script>alert(1)</script> ![a](http://b) `c` \x1b[31m\n# title\n```")
    assert "<script>" not in text
    assert "![a]" not in text
    assert "\x1b" not in text
    assert text.count("# title") == text.count("\\# title") == 1
    block = fenced("x = '```'\n`````\n# <b>", "python")
    assert block.startswith("``````python\n")
    assert block.endswith("\n``````")


def test_what_is_pasted_as_plain_text_has_few_escapes():
    text = report(op="a_b", reason="x <= 1 & _y_ > 2, not *bold* [link](u)")
    assert "x <= 1 &amp; \\_y\\_ > 2, not \\*bold\\* \\[link\\](u)" in text
    assert "op a_b" in text


def test_the_title_says_what_and_when():
    words = "fails when n >= 1025; float32 only; any layout"
    text = report(minimal={"trigger": {"words": words}})
    assert text.splitlines()[0] == "# torch.square: wrong result for float32 on torch:cpu when n >= 1025"
    assert "- fails when n >= 1025; float32 only; any layout" in text
    assert "- shown at n = 3, x offset" in text
    for odd in (None, {"trigger": None}, {"trigger": {"words": 3}}, 7):
        assert trigger_words({"minimal": odd}) == ""
    special = {"computed": "nan", "exact": 1.5, "ulp": "nan", "bound": 0.0, "computed_hex": "0x7fc00000"}
    assert report(verdict="special", witness=special).startswith("# torch.square: nan where 1.5 is exact for float32")


def test_shrink_writes_a_smaller_bundle_and_keeps_the_first(tmp_path, capsys, monkeypatch):
    faulty = off_plugin(tmp_path)
    written(tmp_path / "b", square_call(np.linspace(-3, 3, 29), "stepped"), plugins=(faulty,))
    first = (tmp_path / "b" / "call.json").read_bytes()
    given = [str(tmp_path / "b"), "--plugin", str(faulty)]
    code, out, _ = opfuzz(capsys, monkeypatch, "shrink", *given, "--attempts", "60")
    assert code == 0
    assert out.startswith(f"{tmp_path / 'b'}: 58 elements before, 2 now")
    smaller = read_bundle(tmp_path / "b", WORDS)
    assert (smaller.call.dims, smaller.call.layouts) == ({"n": 1}, {"x": "contiguous"})
    assert smaller.finding["minimal"]["elements"] == 2
    assert (tmp_path / "b" / "before" / "call.json").read_bytes() == first
    assert opfuzz(capsys, monkeypatch, "repro", *given)[0] == 1
    done = subprocess.run([sys.executable, str(tmp_path / "b" / "repro.py")], capture_output=True, check=False)
    assert done.returncode == 1
    assert opfuzz(capsys, monkeypatch, "repro", str(tmp_path / "b" / "before"), "--plugin", str(faulty))[0] == 1


def test_what_is_mended_is_not_made_smaller(bundle, tmp_path, capsys, monkeypatch):
    place, _ = bundle
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    mended = off_plugin(tmp_path, 1.0)
    code, out, _ = opfuzz(capsys, monkeypatch, "shrink", str(place), "--plugin", str(mended))
    assert code == 0
    assert "not made smaller" in out
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
