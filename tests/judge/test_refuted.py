"""Explanations that fit a call, and that other values, sizes or layouts speak against: they are not given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from diagnosed_arrays import Said, diagnosis, evidence_of
from scipy.special import erf, erfc, expit

from opfuzz.core.call import Call
from opfuzz.core.cause import Cause
from opfuzz.core.floats import FORMATS, round_to
from opfuzz.core.results import Score
from opfuzz.engine.triage.diagnose import Exact
from opfuzz.judge.diagnose import Evidence, diagnose
from opfuzz.spec.gradient import gradient_of

SIZE = ("depends-on", "size")
CHANCE = np.random.default_rng(5)


def row(*values):
    return {"x": np.array([values])}


@pytest.mark.parametrize("format", ["float32", "bfloat16", "float64"])
def test_infinite_far_beyond_the_range_of_float16_is_no_float16(format):
    top = {"float64": 400.0}.get(format, 50.0)

    def by_expm1(x, layouts):
        raised = np.expm1(2 * x)
        return raised / (raised + 2)

    def by_squares(x, layouts):
        raised = np.exp(x)
        n = raised * (raised + 2)
        return x * n / (n + 2)

    for op, function in (("tanh", by_expm1), ("mish", by_squares)):
        said = diagnosis(op, function, row(top), format, batch=1, n=1)
        assert said[0][0] == "special-at"
        assert not {"computes-in", "results-in", "formula"} & {kind for kind, _ in said}, said


def test_a_formula_that_fails_where_the_subject_does_is_told_by_what_it_loses_elsewhere():
    said = diagnosis("softplus", lambda x, layouts, **p: np.log1p(np.exp(x)), row(32768.0), batch=1, n=1)
    assert ("formula", "log1p(exp(x))") in said, "log(1 + exp(x)) overflows there too, and cancels below 0"


def test_a_zero_of_the_wrong_sign_is_met_by_none_of_the_right_one():
    said = diagnosis("sin", lambda x, layouts: np.sin(x) + 0.0, row(-0.0), "bfloat16", batch=1, n=1)
    assert "computes-in" not in {kind for kind, _ in said}, said


def test_the_logarithm_of_a_softmax_that_underflows():
    def by_softmax(x, layouts):
        raised = np.exp(x - x.max(-1, keepdims=True))
        return np.log(raised / raised.sum(-1, keepdims=True))

    said = diagnosis("log_softmax", by_softmax, row(0.0, 9e18), batch=1, n=2)
    assert ("formula", "by-softmax") in said, said


def test_a_place_that_is_never_written_is_no_view_read_wrongly():
    def unwritten(x, layouts):
        y = np.logaddexp.reduce(x, axis=-1)
        return y if x.shape[-1] > 1 else np.zeros_like(y)

    said = diagnosis(
        "logsumexp", unwritten, {"x": np.array([[1.5], [-2.0], [7.0]])}, layouts={"x": "narrowed"}, batch=3, n=1
    )
    assert not {"reads-as-contiguous", "ignores-offset", "ignores-gaps"} & {kind for kind, _ in said}, said


def test_coarse_numbers_lie_on_a_grid_by_themselves():
    def first_of_all(q, k, v, mask, layouts):
        scores = np.where(mask, q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]), -np.inf)
        raised = np.exp(scores - scores.max(-1, keepdims=True))
        y = raised / raised.sum(-1, keepdims=True) @ v
        return np.broadcast_to(y[:1], y.shape)

    shapes = {"q": (9, 3, 1, 4), "k": (9, 3, 5, 4), "v": (9, 3, 5, 4)}
    arrays = {name: 60 * CHANCE.standard_normal(shape) for name, shape in shapes.items()}
    arrays["mask"] = np.ones((9, 3, 1, 5), np.bool_)
    sizes = {"batch": 9, "heads": 3, "queries": 1, "keys": 5, "d": 4}
    sizes = {dim.name: sizes[dim.name] for dim in BUNDLED_OPS["attention_mask"].dims}
    said = diagnosis("attention_mask", first_of_all, arrays, "bfloat16", **sizes)
    assert "quantises" not in {kind for kind, _ in said}, said


@pytest.mark.parametrize("format", ["float32", "float16", "bfloat16"])
def test_sizes_that_are_right_again_at_a_multiple_are_no_bound(format):
    def whole_warps(x, layouts):
        n = x.shape[-1]
        return x[..., : n // 32 * 32 or n].sum(-1) / n

    said = diagnosis("mean", whole_warps, {"x": np.linspace(0.5, 2, 33)[None]}, format, batch=1, n=33)
    assert "accumulates-in" not in {kind for kind, _ in said}, said
    (bounds,) = [cause.figures["conditions"] for cause in said.causes if (cause.kind, cause.name) == SIZE]
    assert bounds == (("n", "is no multiple of", 32),)


def test_sizes_that_are_right_at_powers_of_two_alone_are_no_multiples():
    """As a fast Fourier transform by powers of two, which sums up term by term where a size is none."""

    def by_two(x, layouts):
        n = x.shape[-1]
        return x.sum(-1) / n * (1 if n & (n - 1) == 0 or n < 9 else 1.001)

    said = diagnosis("mean", by_two, {"x": np.linspace(0.5, 2, 100)[None]}, batch=1, n=100)
    (bounds,) = [cause.figures["conditions"] for cause in said.causes if (cause.kind, cause.name) == SIZE]
    assert bounds == (("n", "is no power of", 2),)


def test_an_inverted_mask_of_two_keys_is_no_reversed_input():
    def inverted(q, k, v, mask, layouts):
        scores = np.where(mask, -np.inf, q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]))
        raised = np.exp(scores - np.maximum(scores.max(-1, keepdims=True), -1e30))
        return np.nan_to_num(raised / raised.sum(-1, keepdims=True)) @ v

    arrays = {name: CHANCE.standard_normal((3, 1, 1 if name == "q" else 2, 2)) for name in "qkv"}
    arrays["mask"] = np.broadcast_to(np.array([True, False]), (3, 1, 1, 2)).copy()
    sizes = {"batch": 3, "heads": 1, "queries": 1, "keys": 2, "d": 2}
    sizes = {dim.name: sizes[dim.name] for dim in BUNDLED_OPS["attention_mask"].dims}
    said = diagnosis("attention_mask", inverted, arrays, **sizes)
    assert said[0] == ("is-variant", "inverted"), said


def test_what_explains_an_infinity_is_held_against_numbers_too():
    spec = BUNDLED_OPS["rms_norm"]

    def centred(x, weight, layouts, eps, **_):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt(np.mean(x**2, -1, keepdims=True) + eps) * weight

    arrays = {"x": np.array([[np.inf, 1.0]]), "weight": np.ones(2)}
    sizes = {dim.name: {"batch": 1, "d": 2}[dim.name] for dim in spec.dims}
    said = diagnosis("rms_norm", centred, arrays, "bfloat16", **sizes)
    assert ("computes-in", "float16") not in said, said


def test_absolute_accuracy_is_no_quantised_result():
    """In bfloat16 the half of 1 + erf lies in steps of 1/256 up to 1, which are those of 1/255 within its precision."""
    x = np.concatenate([[-4.0], CHANCE.uniform(-5, 5, 800)])

    def by_erf(x, layouts):
        return round_to(1 + erf(x / np.sqrt(2)), FORMATS["bfloat16"]).astype(np.float64) / 2

    said = diagnosis("ndtr", by_erf, {"x": x[None]}, "bfloat16", batch=1, n=801)
    assert "quantises" not in {kind for kind, _ in said}, said


def test_a_result_beyond_the_format_overflows_nothing_inside():
    def to_nan(a, b, layouts):
        y = a @ b
        return np.where(np.abs(y) > 65504, np.nan, y)

    arrays = {"a": np.array([[[300.0, 200.0], [1.0, 2.0]]]), "b": np.array([[[300.0], [200.0]]])}
    said = diagnosis("matmul", to_nan, arrays, "float16", batch=1, m=2, k=2, n=1)
    assert said[0] == ("special-at", "")
    assert "overflows-inside" not in {kind for kind, _ in said}


def test_a_formula_is_no_cause_where_it_loses_nothing():
    """The judge met it on another call, whose errors are as large by chance: half of the derivative is missing."""
    spec = gradient_of(BUNDLED_OPS["sigmoid"])
    arrays = {"x": np.zeros((1, 1), np.float32), "cotangent": np.ones((1, 1), np.float32)}
    call = Call("float32", {"batch": 1, "n": 1}, {}, arrays, dict.fromkeys(arrays, "contiguous"))

    def run(call):
        return np.asarray(call.arrays["cotangent"] * expit(call.arrays["x"]))

    told = Score("imprecise", Cause("formula", "by-tanh", figures={"note": ""}))
    found = Said(diagnose(Evidence(spec, told, call, run(call), run, Exact(spec, 0))))
    assert ("formula", "by-tanh") not in found


@pytest.mark.parametrize("format", ["float16", "bfloat16", "float32"])
def test_what_only_overflows_is_told_as_written_otherwise_and_not_as_a_formula_that_cancels(format):
    """Half formats have too few digits to show that the one cancels: log(1 + exp(x)) fails at the same places."""
    top = {"float16": 32768.0}.get(format, 1e11)
    said = diagnosis("softplus", lambda x, layouts: np.log1p(np.exp(x)), row(top, -3.0), format, batch=1, n=2)
    assert ("formula", "log1p(exp(x))") in said
    assert ("formula", "without-log1p") not in said


def fewer(x, weight, bias, eps, layouts):
    """Statistics over 256 numbers for 257, and over 1 for 2: only the first is a count in bfloat16."""
    count = x.shape[-1] - (x.shape[-1] in (2, 257))
    centred = x - x.sum(-1, keepdims=True) / count
    return centred / np.sqrt((centred**2).sum(-1, keepdims=True) / count + eps) * weight + bias


def counted(x, formats, wider=None):
    d = x.shape[-1]
    arrays = {"x": x, "weight": np.ones(d), "bias": np.zeros(d)}
    found = evidence_of("layer_norm", fewer, arrays, "bfloat16", wider=wider, batch=x.shape[0], d=d)
    return replace(found, spec=replace(found.spec, formats=formats))


def test_what_float32_shows_as_well_is_no_count_in_bfloat16():
    x = 9 + np.random.default_rng(1).standard_normal((2, 257))
    assert ("rounds-counts", "bfloat16") in Said(diagnose(counted(x, ("bfloat16",))))
    assert ("rounds-counts", "bfloat16") not in Said(diagnose(counted(x, ("bfloat16", "float32"))))


def test_the_cause_of_a_larger_call_is_none_of_the_smallest_where_that_shows_what_it_does_not_explain():
    larger = counted(9 + np.random.default_rng(1).standard_normal((2, 257)), ("bfloat16",))
    said = Said(diagnose(counted(np.array([[0.0, 1.0]]), ("bfloat16",), larger)))
    assert "rounds-counts" not in {kind for kind, _ in said}, said


def test_a_variant_that_is_met_on_infinities_alone_is_none():
    """0 for a row of -inf is what 1 added to the sum gives; but ordinary numbers have it not."""

    def to_zero(x, layouts):
        raised = np.exp(x - np.where(np.isinf(x), 0, x).max(-1, keepdims=True))
        return raised / np.maximum(raised.sum(-1, keepdims=True), 1e-300)

    said = diagnosis("softmax", to_zero, row(-np.inf), "float64", batch=1, n=1)
    assert "is-variant" not in {kind for kind, _ in said}, said


def test_what_is_lost_of_tiny_numbers_alone_is_no_half_format_inside():
    """A variance below 1e-8 is 0 in float16 as well; others are as exact as float64 is."""

    def without_tiny(x, weight, bias, eps, layouts):
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred**2).mean(-1, keepdims=True)
        return centred / np.sqrt(np.where(variance < 1e-8, 0, variance) + eps) * weight + bias

    arrays = {"x": np.array([[0, 2.0**-18]]), "weight": np.array([0.0, 1.0]), "bias": np.zeros(2)}
    said = diagnosis("layer_norm", without_tiny, arrays, "float64", batch=1, d=2)
    assert not {"computes-in", "behaves-like"} & {kind for kind, _ in said}, said


def test_of_two_ways_to_write_a_formula_that_lose_alike_the_one_that_the_spec_names_is_told():
    said = diagnosis("tanh", lambda x, layouts: 2 * expit(2 * x) - 1, row(-0.0), "float64", batch=1, n=1)
    assert ("formula", "by-sigmoid") in said


def test_a_formula_that_loses_everything_is_no_cause_of_what_loses_some_digits():
    """log1p of a poor exp, whose argument is rounded on the way: log(1 + exp(x)) would be 0."""

    def by_base_2(x, layouts):
        return np.log1p(np.exp2(np.float32(1.442695) * np.float32(x)))

    told = Score("imprecise", Cause("formula", "without-log1p", figures={"note": ""}))  # as the judge met it elsewhere
    found = evidence_of("softplus", by_base_2, row(-64.7, -61.3, -55.2, -63.1), batch=1, n=4)
    said = Said(diagnose(replace(found, score=told)))
    assert "formula" not in {kind for kind, _ in said}, said


@pytest.mark.parametrize("limit", [256, 1024])
def test_a_sum_that_leaves_out_what_stands_late_does_not_stop_growing(limit):
    def short(x, layouts):
        raised = np.exp(x - x.max(-1, keepdims=True))
        return raised / raised[..., :limit].sum(-1, keepdims=True)

    said = diagnosis("softmax", short, {"x": np.zeros((1, 1500))}, batch=1, n=1500)
    assert "accumulates-in" not in {kind for kind, _ in said}, said


def test_a_variant_that_is_met_at_one_value_of_a_param_alone_is_none():
    def mirrored(x, layouts, before, after):
        return np.pad(x, [(0, 0), (0, 0), (before, after)], mode="symmetric")

    x = CHANCE.standard_normal((1, 1, 9))
    for length in (9, 2):
        given = {"x": x[..., :length]}
        said = diagnosis("pad_reflect", mirrored, given, params={"before": 1, "after": 0}, n=1, c=1, length=length)
        assert "is-variant" not in {kind for kind, _ in said}, said

    def by_four(x, layouts, shift):
        return np.roll(x, shift % 4, axis=1)

    said = diagnosis("roll", by_four, {"x": x[0]}, params={"shift": 4}, batch=1, n=9)
    assert not {"is-variant", "is-setting"} & {kind for kind, _ in said}, said


def test_a_variant_that_is_met_where_two_dims_agree_alone_is_none():
    def upwards(x, layouts, k=4):
        return np.sort(x, axis=1)[:, -k:]

    spec = BUNDLED_OPS["topk"]
    dims = {dim.name: {"batch": 1, "n": 4, "k": 4}[dim.name] for dim in spec.dims}
    call = evidence_of("topk", upwards, {"x": np.array([[1.0, 5.0, 2.0, 7.0]])}, **dims)

    def run(call):
        return np.sort(call.arrays["x"], axis=1)[:, -call.dims["k"] :]

    said = Said(diagnose(replace(call, run=run)))
    assert said[0] == ("is-variant", "ascending"), said


def test_a_parameter_that_counts_otherwise_beside_others_is_none():
    def fixed(x, layouts, size, alpha, beta, k):
        squares = np.pad(x**2, [(0, 0), (size // 2, (size - 1) // 2), (0, 0)])
        near = np.stack([squares[:, i : i + x.shape[1]] for i in range(size)], -1).mean(-1)
        return x / (k + alpha * near) ** 0.75

    given = {"size": 5, "alpha": 1e-4, "beta": 0.5, "k": 1.0}
    said = diagnosis("local_response_norm", fixed, {"x": np.ones((1, 1, 1))}, params=given, n=1, c=1, length=1)
    assert ("is-setting", "alpha") not in said, said


@pytest.mark.parametrize("rounds", [lambda y: y, lambda y: round_to(y, FORMATS["bfloat16"])], ids=["wide", "whole"])
def test_tiny_inputs_that_are_lost_are_taken_through_no_format_that_holds_larger_ones(rounds):
    def plainly(x, layouts):
        return rounds(np.log(round_to(1 + x, FORMATS["bfloat16"]).astype(np.float64)))

    said = diagnosis("log1p", plainly, row(2.22e-16), "bfloat16", batch=1, n=1)
    assert "computes-in" not in {kind for kind, _ in said}, said


@pytest.mark.parametrize("cut", [1e-5, 1e-20])
def test_what_is_lost_below_another_number_goes_through_no_float16(cut):
    def cut_off(x, layouts):
        return np.where(np.abs(x) < cut, 0.0, np.log1p(x))

    said = diagnosis("log1p", cut_off, row(2.22e-26), "bfloat16", batch=1, n=1)
    assert "computes-in" not in {kind for kind, _ in said}, said


@pytest.mark.parametrize("x", [64.0, 70.0])
def test_a_number_that_is_given_for_all_large_results_comes_of_no_rounded_argument(x):
    def clipped(x, layouts):
        return np.minimum(np.expm1(x), 3e4)

    said = diagnosis("expm1", clipped, row(x), "bfloat16", batch=1, n=1)
    assert "rounds-argument" not in {kind for kind, _ in said}, said


@pytest.mark.parametrize("x", [40.0, 80.0])
def test_an_argument_that_is_rounded_is_told(x):
    def rounded(x, layouts):
        return np.exp(np.nextafter(np.float32(x), np.float32(np.inf)).astype(np.float64))

    said = diagnosis("exp", rounded, row(x), "float32", batch=1, n=1)
    assert "rounds-argument" in {kind for kind, _ in said}, said


@pytest.mark.parametrize("is_written_so", [True, False])
def test_a_slope_that_is_wrong_for_tiny_numbers_too_is_no_formula_that_loses_them(is_written_so):
    """1 - erfc(x) has multiples of 2^-24 there, one of which is near x."""

    def near_zero(x, layouts):
        x = np.asarray(x, np.float32)
        return np.float32(1) - erfc(x) if is_written_so else np.where(np.abs(x) < 1e-4, x, erf(x))

    said = diagnosis("erf", near_zero, row(2.0**-22), "bfloat16", batch=1, n=1)
    assert (("formula", "by-complement") in said) == is_written_so, said


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_a_mean_over_one_more_is_no_sum_in_a_half_format(seed):
    def one_more(index, table, layouts):
        return table[index].sum(1) / (index.shape[1] + 1)

    dims = {
        dim.name: {"batch": 1, "bag": 60, "vocab": 7, "d": 1}[dim.name] for dim in BUNDLED_OPS["embedding_bag"].dims
    }
    index = np.random.default_rng(seed).integers(0, 7, (1, 60))
    arrays = {"index": index, "table": np.array([[61184.0, 4e-4, 2.4, 844, 123904, 4e-3, 14]]).T}
    said = diagnosis("embedding_bag", one_more, arrays, "bfloat16", **dims)
    assert "accumulates-in" not in {kind for kind, _ in said}, said


@pytest.mark.parametrize("format", ["float32", "float16", "bfloat16"])
def test_a_zero_without_its_sign_is_no_quantised_input(format):
    arrays = {"x": np.array([[-1.0]]), "y": np.array([[-0.0]])}
    said = diagnosis("atan2", lambda x, y, layouts: np.arctan2(y + 0.0, x), arrays, format, batch=1, n=1)
    assert "quantises" not in {kind for kind, _ in said}, said
