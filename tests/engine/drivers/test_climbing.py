"""Climbs of real subjects: planted errors of known place and size are reached, judged in full, and told from notes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import several_outputs
from small_campaigns import SPECS, plugin

from opfuzz.backends import derive, discover, resolve
from opfuzz.cli import main
from opfuzz.core.call import Call
from opfuzz.engine.drivers.climb import _Ascent, climb_here, run
from opfuzz.engine.plan import Plan, load_specs

ROOT = Path(__file__).parents[3]
BUNDLED = ROOT / "specs"


def climbed(op, name, function, tmp_path, format="float32", evaluations=300_000, specs=BUNDLED):
    """A climb on NumPy with one function replaced."""
    backends = discover() | {"planted": derive("numpy", "planted", {name: function})}
    (spec,) = load_specs([specs], backends, [op])
    subject, backend = resolve("planted:cpu", backends)
    return climb_here(spec, subject, backend, format, 0, evaluations)


def rounded(x):
    """sin by float64, within half an ulp of float32."""
    return np.sin(x.astype(np.float64)).astype(x.dtype)


def test_an_error_at_one_place_is_reached(tmp_path):
    def off_near(x):
        """8 ulp too much at 1.2345, less around it."""
        spacing = np.spacing(np.abs(rounded(x)))
        return (rounded(x) + 8 * spacing * np.exp(-np.abs(x - np.float32(1.2345)) * 100)).astype(x.dtype)

    worst = climbed("sin", "np.sin", off_near, tmp_path)[0]
    assert worst.respect == "ulp"
    assert 7.6 < worst.judged.score.ulp < 8.6
    (x,) = worst.call.arrays.values()
    assert x.size == 1
    assert abs(float(x.ravel()[0]) - 1.2345) < 1e-3


def test_an_error_of_long_arrays_keeps_its_array(tmp_path):
    def off_in_long_ones(x):
        return (rounded(x) * np.float32(1.001)).astype(x.dtype) if x.size > 100 else rounded(x)

    worst = climbed("sin", "np.sin", off_in_long_ones, tmp_path)[0]
    (x,) = worst.call.arrays.values()
    assert worst.judged.score.ulp > 8000
    assert worst.is_fault
    assert x.size > 100
    assert len(np.unique(x)) == 1


def test_a_special_value_beside_the_worst_error_is_a_fault_of_its_own(tmp_path):
    def infinite(x):
        return np.where((x > 3) & (x < 3.2), np.float32(np.inf), rounded(x))

    found = climbed("sin", "np.sin", infinite, tmp_path)
    assert [c.respect for c in found if c.is_fault] == ["fault"]
    assert found[-1].judged.score.verdict == "special"
    assert 3 < float(found[-1].call.arrays["x"].ravel()[0]) < 3.2


def test_an_honest_function_is_not_accused(tmp_path):
    found = climbed("sin", "np.sin", rounded, tmp_path)
    assert found[0].judged.score.ulp <= 0.5 + 2**-20
    assert not any(c.is_fault for c in found)


def test_a_half_format_is_exhausted(tmp_path):
    def off_once(x):
        right = rounded(x)
        return np.where(x == np.float16(0.8125), right + 5 * np.spacing(right), right)

    worst = climbed("sin", "np.sin", off_once, tmp_path, "float16")[0]
    assert float(worst.call.arrays["x"].ravel()[0]) == 0.8125
    assert 4.5 <= worst.judged.score.ulp <= 5.5


def test_an_overflow_on_the_way_to_the_end_of_a_half_format_is_no_suspect():
    """The first suspect of its kind is kept, so one that is excused later would stand before one that is not."""
    (spec,) = load_specs([BUNDLED], discover(), ["mean"])
    subject, backend = resolve("planted:cpu", {"planted": derive("numpy", "planted", {"np.mean": overflows})})
    ascent = _Ascent(spec, subject, backend, "ulp", is_elementwise=False)
    for size, is_suspect in ((65504.0, False), (1.0, True)):
        x = np.full((1, 3), size, np.float16)
        ascent.look(Call("float16", {"batch": 1, "n": 3}, {}, {"x": x}, {"x": "contiguous"}))
        assert bool(ascent.suspects) == is_suspect


def overflows(x, axis):
    return np.full(x.shape[:-1], np.inf, x.dtype)


def test_an_op_of_several_inputs_is_climbed_across_sizes(tmp_path):
    def off_when_long(a, b):
        right = np.matmul(a.astype(np.float64), b.astype(np.float64))
        return (right * (1 + 1e-5 * a.shape[-1])).astype(a.dtype)

    found = climbed("matmul", "np.matmul", off_when_long, tmp_path, evaluations=100_000)
    assert {c.respect for c in found} >= {"excess"}
    by_excess = next(c for c in found if c.respect == "excess")
    assert by_excess.is_fault
    assert by_excess.call.dims["k"] >= 16


def test_a_call_that_raises_is_a_fault(tmp_path):
    def raising(x):
        if x.size > 1000:
            raise ValueError("too long")
        return np.sin(x)

    found = climbed("sin", "np.sin", raising, tmp_path)
    assert [c.judged.score.verdict for c in found if c.is_fault] == ["crash"]


def test_the_same_seed_climbs_alike(tmp_path):
    one, two = (climbed("sin", "np.sin", np.sin, tmp_path)[0] for _ in range(2))
    assert one.call.arrays["x"].tobytes() == two.call.arrays["x"].tobytes()
    assert one.judged.score == two.judged.score


def test_a_subject_without_a_call_has_no_climb(tmp_path):
    backends = discover()
    (spec,) = load_specs([SPECS], backends, ["mean"])
    subject, backend = resolve("numpy:cpu/nothing", backends)
    assert climb_here(spec, subject, backend, "float32", 0, 1000) == []


def test_a_climb_that_ends_its_process_costs_no_other(tmp_path):
    plugins = (plugin(tmp_path),)
    backends = discover(plugins)
    subjects = ("aborting:cpu", "off:cpu")
    plan = Plan(load_specs([SPECS], backends, ["square"]), subjects, 0, 2, formats=("float32",), plugins=plugins)
    steps = []
    climbs = run(plan, 50_000, None, lambda done, total: steps.append((done, total)))
    verdicts = {c.subject: c.judged.score.verdict for c in climbs.found}
    assert verdicts["aborting:cpu"] == "crash"
    assert any(c.is_fault for c in climbs.found if c.subject == "off:cpu")
    assert steps == [(1, 2), (2, 2)]


def opfuzz(capsys, monkeypatch, *words):
    """Exit status, standard output and standard error of the command, in this process."""
    monkeypatch.setattr(sys, "argv", ["opfuzz", "climb", str(SPECS), "--evaluations", "20000", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, *capsys.readouterr()


def test_the_command(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    words = ("--op", "square", "--plugin", plugin(tmp_path))
    code, out, _ = opfuzz(capsys, monkeypatch, *words, "--subject", "off:cpu", "--json")
    assert code == 1
    entry = json.loads(out)["climbs"][0]
    assert (entry["op"], entry["subject"], entry["format"]) == ("square", "off:cpu", "float32")
    assert entry["inputs_hex"]["x"][0].startswith("0x")
    assert entry["ulp"] > 0.5
    code, out, _ = opfuzz(capsys, monkeypatch, *words, "--subject", "numpy:cpu")
    assert code == 0
    assert "square" in out
    assert "exact" in out


@pytest.mark.parametrize(
    ("words", "remedy"), [(("--op", "squar"), "square"), (("--goal", "high"), "excess"), (("--format", "int8"), "int8")]
)
def test_a_mistake_is_one_line(words, remedy, capsys, monkeypatch):
    code, out, err = opfuzz(capsys, monkeypatch, "--subject", "numpy:cpu", *words)
    assert code == 2
    assert not out
    assert len(err.strip().splitlines()) == 1
    assert remedy in err


def short(x, axis=None):
    """The mean without the last column of three or more."""
    return np.mean(x[..., :-1] if x.shape[-1] >= 3 else x, axis=axis)


@pytest.mark.parametrize(("op", "output"), [("split", "mean"), ("total", "")])
def test_the_output_that_is_wrong_is_climbed(op, output, tmp_path):
    found = climbed(op, "np.mean", short, tmp_path, evaluations=20_000, specs=several_outputs.SEVERAL)
    worst = next(each for each in found if each.respect == "excess")
    assert worst.is_fault
    assert worst.witness.mark.output == output
    assert worst.call.dims["d"] >= 3
    honest = climbed(op, "np.mean", np.mean, tmp_path, evaluations=20_000, specs=several_outputs.SEVERAL)
    assert not any(each.is_fault for each in honest)


def test_a_single_number_without_axes_is_climbed(tmp_path):
    (tmp_path / "alone.yaml").write_text(
        "op: alone\nsummary: A number without axes.\nformats: [float32]\ninputs: {x: {shape: []}}\n"
        "output: {shape: []}\ncalls: {numpy: np.sin(x)}\nreference: sin(x)\n"
    )
    found = climbed("alone", "np.sin", lambda x: rounded(x) * np.float32(1.001), tmp_path, specs=tmp_path)
    assert found[0].is_fault
    assert found[0].judged.score.ulp > 4000
    assert found[0].witness.mark.index == ()
