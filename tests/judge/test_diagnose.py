"""Diagnoses: the cause of a planted fault is told with true figures, and an honest op is blamed for nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS as KNOWN
from small_campaigns import SPECS as SMALL
from small_campaigns import plugin

from opfuzz.backends import Subject, derive, discover
from opfuzz.backends.numpy import Numpy
from opfuzz.core.call import Call, Recipe
from opfuzz.core.case import Case
from opfuzz.core.cause import UNEXPLAINED, Cause
from opfuzz.core.relation import Relation
from opfuzz.core.results import Judged, Mark, Score
from opfuzz.core.rounding import QUANTISERS, cut_to_bits, round_to_bits
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.calls import follow
from opfuzz.engine.campaign import run
from opfuzz.engine.evaluate import Bench, CaseItem, write_recipe
from opfuzz.engine.plan import Plan, load_specs
from opfuzz.engine.selftest.torch_faults.attribute import conv1d_without_dilation
from opfuzz.engine.triage.diagnose import Exact, diagnose_findings, diagnose_score
from opfuzz.generate import inputs
from opfuzz.judge.diagnose import Evidence, diagnose
from opfuzz.judge.diagnose.meanings import misread
from opfuzz.judge.diagnose.precisions import quantised
from opfuzz.judge.diagnose.where import sizes
from opfuzz.judge.metamorphic import find_way
from opfuzz.report.causes import word_cause, word_diagnosis
from opfuzz.spec.expression.program import parse
from opfuzz.store.write import to_json

NUMPY = Numpy().functions()

SPECS = Path(__file__).parents[2] / "specs"


def case_of(op, format="float32", *, dims, regimes="normal", layouts=None, **params) -> Case:
    spec = KNOWN[op]
    names = [item.name for item in spec.inputs]
    values = {param.name: param.default for param in spec.params} | params
    placed = dict.fromkeys(names, "contiguous") | (layouts or {})
    chosen = dict.fromkeys(names, regimes) if isinstance(regimes, str) else regimes
    return Case(op, spec.digest, format, dims, values, chosen, placed, 7)


def told(case: Case, replaced, *, parent="numpy", verdict=FAULT, call=None) -> str:
    """The diagnosis of a case on a backend with some functions replaced; it must have the severity `verdict`."""
    spec = KNOWN[case.op]
    backend = derive(parent, "planted", replaced)
    if call is not None:
        names = [each.name for each in (*spec.dims, *spec.params, *spec.inputs)] + ["dtype", "pi", "inf"]
        program = parse(call, names=names, functions=backend.functions())
        spec = replace(spec, calls={**spec.calls, parent: {"": program}})
    judged = scored(spec, case, backend)
    assert SEVERITY[judged.score.verdict] == verdict, judged.score
    return said(judged, spec, case, Subject("planted", "cpu"), backend)


def said(found: Judged | Score, spec, case: Case, subject, backend) -> str:
    """The words of a diagnosis, which survive being written and read."""
    score, recipe = (found, Recipe(case)) if isinstance(found, Score) else (found.score, found.recipe or Recipe(case))
    causes = diagnose_score(score, spec, recipe, subject, backend)
    document = json.loads(json.dumps(to_json(causes), allow_nan=False))
    words = word_diagnosis(causes)
    assert word_diagnosis([Cause.from_json(each) for each in document]) == words
    return words


def scored(spec, case: Case, backend) -> Judged:
    class One(Plan):
        def near(self, spec, format, number):
            return case

    bench = Bench(One((spec,), ("planted:cpu",), 0, 1), {"planted": backend})
    with np.errstate(all="ignore"):
        return bench.examine(CaseItem(case.op, case.format, 1)).judged[0]


def cut(bits, rounding=round_to_bits):
    return lambda a, b: np.matmul(rounding(a, bits), rounding(b, bits))


MATMUL = {"batch": 1, "m": 4, "k": 64, "n": 4}


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (cut(11), "it rounds a and b to 11 bits (TF32"),
        (cut(11, cut_to_bits), "it cuts a and b to 11 bits (TF32"),
        (cut(8), "it rounds a and b to 8 bits (bfloat16)"),
        (lambda a, b: np.matmul(a, round_to_bits(b, 8)), "it rounds b to 8 bits (bfloat16)"),
        (lambda a, b: np.matmul(a.astype(np.float16).astype(a.dtype), b), "it rounds a to 11 bits (float16"),
        (
            lambda a, b: np.matmul(a.astype(np.float16), b.astype(np.float16)).astype(a.dtype),
            "it computes float32 as float16: on all 16 elements",
        ),
    ],
)
def test_fewer_bits_are_confirmed_by_rounding_the_inputs(function, words):
    sentence = told(case_of("matmul", dims=MATMUL), {"np.matmul": function})
    assert sentence.startswith(words), sentence
    bits = float(re.search(r"([\d.]+) effective bits of 24", sentence)[1])
    expected = 8 if "8 bits" in words else 11
    assert expected - 1 < bits < expected + 4


def test_float64_that_is_float32_inside():
    def narrow(x):
        return np.exp(x.astype(np.float32)).astype(x.dtype)

    sentence = told(case_of("exp", "float64", dims={"batch": 1, "n": 40}), {"np.exp": narrow})
    assert sentence.startswith("it computes float64 as float32: on all 40 elements")


def running(x, fmt):
    """Sums one after another in a format."""
    return np.add.accumulate(x.astype(fmt), axis=-1, dtype=fmt)[..., -1].astype(x.dtype)


@pytest.mark.parametrize(
    ("fmt", "words"),
    [(np.float16, "float16: sums of ones stop at 2048"), ("bfloat16", "bfloat16: sums of ones stop at 256")],
)
def test_accumulators_in_half_formats(fmt, words):
    kind = ml_dtypes.bfloat16 if fmt == "bfloat16" else fmt
    for op, name in (("sum", "np.sum"), ("mean", "np.mean")):
        case = case_of(op, dims={"batch": 3, "n": 500})
        sentence = told(
            case, {name: lambda x, axis, op=op: running(x, kind) / np.float32(x.shape[-1] ** (op == "mean"))}
        )
        assert sentence.startswith(f"it accumulates in {words}"), sentence


@pytest.mark.parametrize("broken", [np.sign, np.ones_like])
def test_wrong_numbers_that_happen_to_be_short_are_no_narrower_format(broken):
    sentence = told(case_of("tanh", dims={"batch": 2, "n": 50}), {"np.tanh": broken})
    assert "float16" not in sentence, sentence


def test_a_sum_that_leaves_terms_out_accumulates_in_no_half_format():
    case, whole = case_of("sum", dims={"batch": 2, "n": 9000}), np.sum
    sentence = told(case, {"np.sum": lambda x, axis: whole(x[..., :4096], axis=axis)})
    assert "accumulates" not in sentence, sentence


def test_sequential_sums_are_told_from_sums_by_pairs():
    case = case_of("sum", dims={"batch": 2, "n": 20000}, regimes="constant")
    score = Score("normwise", Cause("sums", figures={"lanes": 1}))
    planted = derive("numpy", "planted", {"np.sum": lambda x, axis: running(x, x.dtype)})
    sequential = said(score, KNOWN["sum"], case, Subject("planted", "cpu"), planted)
    assert sequential.startswith("it sums strictly sequentially, uncompensated"), sequential
    errors = [float(e) for e in re.search(r"times along n is ([^;]*) roundings", sequential)[1].split(", ")]
    assert errors[-1] > 10 * errors[0]
    pairs = said(score, KNOWN["sum"], case, Subject("numpy", "cpu"), discover()["numpy"])
    assert pairs.split(";")[0] == word_cause(score.cause), "no growth is claimed where there is none"


@pytest.mark.parametrize(
    ("case", "replaced", "call", "words"),
    [
        (
            case_of("gelu", dims={"batch": 4, "n": 32}),
            {},
            "0.5 * x * (1 + np.tanh((2 / pi)**0.5 * (x + 0.044715 * x * x * x)))",
            r"it is the variant 'tanh' \(the approximation by tanh\): the output is within [\d.]+ of its",
        ),
        (
            case_of(
                "layer_norm",
                dims={"batch": 4, "d": 32},
                regimes={"x": "small", "weight": "ones", "bias": "zeros"},
                eps=1e-12,
            ),
            {"layer_norm": lambda x, w, b, eps: NUMPY["layer_norm"](x, w, b, 1e-6)},
            None,
            r"it is the variant 'eps-1e-6'",
        ),
        (
            case_of("causal_conv1d", dims={"n": 1, "c_in": 2, "c_out": 2, "length": 9, "k": 3}),
            {},
            "conv1d(x, weight, padding=(k - 1) * dilation // 2, dilation=dilation, bias=bias)",
            r"it is the variant 'padded-both-sides' \(half of the padding stands on each side\)",
        ),
        (
            case_of("linear", dims={"batch": 1, "length": 3, "d_in": 8, "d_out": 8}),
            {"linear": lambda x, w, b: x @ w + b},
            None,
            r"it is the variant 'transposed-weight'",
        ),
        (case_of("cfg_mix", dims={"n": 8, "d": 5}), {}, "u + w * (c - u)", r"it is the variant 'interpolated'"),
        (
            case_of("matmul", dims=MATMUL),
            {"np.matmul": lambda a, b: np.matmul(a, -b)},
            None,
            r"it computes as if (a|b) were negative",
        ),
    ],
    ids=["gelu", "eps", "padding", "transposed", "cfg", "negative"],
)
def test_another_meaning_is_named(case, replaced, call, words):
    sentence = told(case, replaced, call=call)
    assert re.match(words, sentence), sentence
    within = float(re.search(r"within ([\d.e-]+) of its allowance", sentence)[1])
    assert within <= 3


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("place", [0, 1, 6], ids=[QUANTISERS[i][0] for i in (0, 1, 6)])
def test_quantised_weights(bits, place):
    words, quantise = QUANTISERS[place]
    case = case_of("linear", dims={"batch": 1, "length": 3, "d_in": 128, "d_out": 8})
    sentence = told(case, {"linear": lambda x, w, b: NUMPY["linear"](x, quantise(w, bits), b)})
    assert sentence.startswith(f"it quantises weight to int{bits} {words}:"), sentence


def test_the_smallest_table_at_which_an_index_goes_wrong():
    """Indices of 16 bits; where the table is cut, what points at its rows points at rows that are left."""

    def wrapped(call):
        table, index = call.arrays["table"], call.arrays["index"].astype(np.int64)
        return table[np.where(index > 32767, index - 65536, index) % len(table)]

    table = np.random.default_rng(0).standard_normal((32769, 1)).astype(np.float32)
    index = np.array([32768], np.int64)
    dims, places = {"length": 1, "vocab": 32769, "d": 1}, {"index": "contiguous", "table": "contiguous"}
    call = Call("float32", dims, {}, {"index": index, "table": table}, places)
    score, reference = Score("wrong", UNEXPLAINED), Exact(KNOWN["embedding"], 0)
    found = sizes(Evidence(KNOWN["embedding"], score, call, wrapped(call), wrapped, reference))
    assert found == Cause("depends-on", "size", figures={"conditions": (("vocab", ">=", 32769),)})


def test_a_loss_that_looks_like_a_quantisation_of_few_values_is_none():
    """0, 1.5e-5 and 1 in four bits are 0, 0 and 1: so is their sum where what is small is lost."""

    def mean(call):
        x = call.arrays["x"]
        return np.mean(np.where(np.abs(x) < 1e-4, 0, x), axis=-1, dtype=np.float32)

    x = np.float32([[0, 1.5e-5, 1]])
    call = Call("float32", {"batch": 1, "n": 3}, {}, {"x": x}, {"x": "contiguous"})
    evidence = Evidence(KNOWN["mean"], Score("wrong", UNEXPLAINED), call, mean(call), mean, Exact(KNOWN["mean"], 0))
    assert evidence.is_wrong.all()
    assert evidence.fits(call.with_arrays({"x": QUANTISERS[0][1](x, 4)})) is not None, "what would be told"
    assert quantised(evidence) is None


def test_results_in_int8_steps():
    def steps(x):
        y = np.tanh(x)
        return (np.rint(y * 127) / np.float32(127)).astype(x.dtype)

    sentence = told(case_of("tanh", dims={"batch": 40, "n": 50}), {"np.tanh": steps})
    assert sentence.startswith("its results lie on int8 steps"), sentence


def test_a_tail_from_one_index_on():
    def beyond(x, w, b, eps):
        y = NUMPY["layer_norm"](x, w, b, eps)
        y[:, 1024:] *= np.float32(1.01)
        return y

    sentence = told(case_of("layer_norm", dims={"batch": 2, "d": 1500}), {"layer_norm": beyond})
    assert "951 of 3000 elements are wrong, only from index 1024 on of 1500 along d" in sentence
    assert "no variant, no lower precision and no order of summation explains it" in sentence


def test_nan_at_infinity_and_where():
    case = case_of("silu", dims={"batch": 1, "n": 200}, regimes="specials")
    sentence = told(case, {}, call="x * scipy.special.expit(x)")
    assert "x = -inf gives nan, the limit is -0" in sentence
    assert "IEEE arithmetic of the usual formula gives NaN there too" in sentence


def test_ignored_strides_are_read_from_memory():
    class Ignoring(Numpy):
        def lay_out(self, base, views, device):
            sizes = [view.args for view in views if view.op == "transpose"]
            return base.reshape([base.shape[i] for i in sizes[0]]) if sizes else super().lay_out(base, views, device)

    case = case_of("tanh", dims={"batch": 4, "n": 16}, layouts={"x": "transposed"})
    backend = Ignoring("planted")
    sentence = said(scored(KNOWN["tanh"], case, backend), KNOWN["tanh"], case, Subject("planted", "cpu"), backend)
    assert "x (transposed) is read as if it were contiguous, its strides and offset ignored" in sentence
    assert "with every input contiguous it is right" in sentence


def test_nothing_is_told_of_a_larger_call_that_is_right():
    """relu of negatives is 0 from wherever they are read, which proves no reading of a view."""
    spec, reference = KNOWN["relu"], Exact(KNOWN["relu"], 0)
    rng = np.random.default_rng(3)

    def call_on(x, layout):
        return Call("float32", {"batch": x.shape[0], "n": x.shape[1]}, {}, {"x": x}, {"x": layout})

    def relu(call):
        x = np.clip(call.arrays["x"], -100, 100)
        return np.maximum(x, 0) + np.float32(0.3) * np.sin(np.float32(97) * x) * (x > 0)

    wider = call_on(-1 - rng.random((4, 6), np.float32), "transposed")
    small = call_on(np.float32([[1.3, 2.1]]), "contiguous")
    larger = Evidence(spec, Score("wrong", UNEXPLAINED), wider, relu(wider), relu, reference)
    assert not larger.is_wrong.any()
    assert misread(larger) is None
    score = Score("wrong", UNEXPLAINED, deciding=Mark((0, 0), 0.0, "", 0.0, 0.0, 0.0))
    causes = diagnose(Evidence(spec, score, small, relu(small), relu, reference, larger))
    assert "reads-as-contiguous" not in {cause.kind for cause in causes}
    assert not any(cause.figures.get("wider") for cause in causes)


def test_nan_that_a_transposed_view_has_beside_it_is_none():
    """A transposed buffer holds nothing but the elements."""

    class Breaking(Numpy):
        def lay_out(self, base, views, device):
            return super().lay_out(base * np.float32(np.nan) if views else base, views, device)

    case = case_of("tanh", dims={"batch": 4, "n": 16}, layouts={"x": "transposed"})
    backend = Breaking("planted")
    sentence = said(scored(KNOWN["tanh"], case, backend), KNOWN["tanh"], case, Subject("planted", "cpu"), backend)
    assert "with every input contiguous it is right" in sentence
    assert "memory beside" not in sentence


def test_what_nothing_explains_is_said_to_be_so():
    def odd(x):
        return np.tanh(x) * (1 + np.sin(97 * x) / np.float32(1000))

    sentence = told(case_of("tanh", dims={"batch": 4, "n": 16}), {"np.tanh": odd})
    assert "nothing" not in sentence
    assert "explains it" in sentence or "behaves like" in sentence
    for word in ("variant '", "rounds", "computes as if", "accumulates", "quantises", "int8"):
        assert word not in sentence


@pytest.mark.parametrize("op", ["matmul", "sum", "layer_norm", "gelu", "softmax"])
@pytest.mark.parametrize("format", ["float32", "float16"])
def test_an_honest_note_claims_no_cause(op, format):
    spec = KNOWN[op]
    dims = {dim.name: 6 for dim in spec.dims}
    score = Score("normwise", Cause("cancels"))
    sentence = said(score, spec, case_of(op, format, dims=dims), Subject("numpy", "cpu"), discover()["numpy"])
    assert sentence.split(";")[0] == word_cause(score.cause)


def test_an_accusation_that_the_call_does_not_bear_out_claims_no_cause():
    score = Score("wrong", UNEXPLAINED)
    case = case_of("matmul", dims=MATMUL)
    sentence = said(score, KNOWN["matmul"], case, Subject("numpy", "cpu"), discover()["numpy"])
    assert sentence.split(";")[0] == word_cause(score.cause)


def test_a_crash_is_told_from_the_record():
    score = Score("crash", Cause("dies", figures={"words": "killed by SIGSEGV"}))
    case = case_of("sum", dims={"batch": 0, "n": 3}, layouts={"x": "offset"})
    sentence = said(score, KNOWN["sum"], case, Subject("none", "cpu"), discover()["numpy"])
    assert sentence == "killed by SIGSEGV; at batch = 0, n = 3, x offset"


def test_a_run_tells_the_cause_of_each_finding_whatever_the_number_of_jobs(tmp_path):
    path = plugin(tmp_path)
    specs = load_specs([SMALL], discover([path]), ["square"])
    plan = Plan(specs, ("off:cpu", "aborting:cpu"), 0, 2, ("float32",), (path,), cases=24)
    findings = run(plan).ranking.findings()
    told_twice = [diagnose_findings(replace(plan, jobs=jobs), findings)[0] for jobs in (1, 2)]
    assert told_twice[0] == told_twice[1]
    words = {finding.subject: word_diagnosis(finding.causes) for finding in told_twice[0]}
    assert [replace(finding, causes=()) for finding in told_twice[0]] == findings
    assert words["aborting:cpu"].startswith("killed by SIGABRT in aborting (faulty.py:17); at ")
    assert float(re.search(r"([\d.]+) effective bits of 24", words["off:cpu"])[1]) == pytest.approx(11, abs=1)


def test_a_crash_of_another_way_is_shown_by_a_call_of_that_way():
    spec = KNOWN["softmax"]
    case = case_of("softmax", dims={"batch": 5, "n": 3})
    arrays, rows = inputs(spec, case), Relation("rows", "batch")
    way = find_way(rows, spec, case, arrays, is_elementwise=False)
    crash = Score("crash", Cause("raises", "Boom", rows, {"words": "raised Boom"}))
    recipe = write_recipe(crash, way, case, spec, last=1)
    assert (recipe.piece, follow(recipe, spec).dims) == (1, {"batch": 1, "n": 3})
    np.testing.assert_array_equal(follow(recipe, spec).arrays["x"], way.pieces[1].arrays["x"])
    mark = Mark((4, 1), 1.0, "", 1.0, 0.0, 0.0)
    narrow = Score("imprecise", Cause("computes-in", "float16", rows, {"only": True}), deciding=mark)
    assert follow(write_recipe(narrow, way, case, spec), spec).dims["batch"] == 1
    own = replace(narrow, cause=replace(narrow.cause, figures={"only": False}))
    assert follow(write_recipe(own, way, case, spec), spec).dims["batch"] == 5


def test_values_are_only_tried_where_they_stand_in_one_row(tmp_path):
    (tmp_path / "grown.yaml").write_text(
        "op: grown\nsummary: One per mille too large.\nformats: [float32]\ndims: {n: 1..}\n"
        "inputs: {x: {shape: [n, n], regimes: [normal]}}\noutput: {shape: [n, n]}\n"
        "calls: {numpy: np.exp(x) * 1.001}\nreference: exp(x)\n"
    )
    backends = discover()
    (spec,) = load_specs([tmp_path], backends)
    case = Case("grown", spec.digest, "float32", {"n": 3}, {}, {"x": "normal"}, {"x": "contiguous"}, 7)
    judged = scored(spec, case, derive("numpy", "planted", {}))
    assert "effective bits" in said(judged, spec, case, Subject("numpy", "cpu"), backends["numpy"])


@pytest.mark.parametrize(("padding", "length"), [(1, 1), (2, 1), (1, 2)])
def test_of_a_few_elements_a_setting_is_told_that_holds_on_larger_calls_as_well(padding, length):
    """With dilation 1 for 2 a row of one element is also that of another padding, or of a causal one."""
    dims = {"n": 1, "c_in": 1, "c_out": 1, "length": length, "k": 2}
    case = case_of("conv1d", dims=dims, stride=1, padding=padding, dilation=2, groups=1)
    sentence = told(case, {"torch.nn.functional.conv1d": conv1d_without_dilation}, parent="torch")
    assert sentence.startswith("it computes as if dilation were 1"), sentence
