"""Quantised ops: what is exact, what a tie leaves free, and that each wrong reading is called by its name."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.core.call import Call
from opfuzz.core.floats import FLOAT8_E4M3FN, FORMATS, round_to
from opfuzz.generate import draw, inputs
from opfuzz.judge.score import score
from opfuzz.oracle import balls, exact, graph, models
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS
from opfuzz.oracle.reference import references_of

QUANTISED = sorted(op for op, spec in BUNDLED_OPS.items() if "/quantised/" in spec.path)
ORDINARY = ("random_index", "middle_index", "normal")


def call_of(op: str, format: str = "float32", **dims: int) -> Call:
    """A call on ordinary values, of 4 bits and groups of 32 where there is a choice."""
    spec = BUNDLED_OPS[op]
    case = draw(spec, format, 3, 0)
    regimes = {
        item.name: next((each for each in ORDINARY if each in (item.regimes or ("normal",))), case.regimes[item.name])
        for item in spec.inputs
    }
    layouts = dict.fromkeys(case.layouts, "contiguous")
    params = {name: {"bits": 4, "group": 32}[name] for name in case.params}
    case = replace(case, dims={**case.dims, **dims}, params=params, regimes=regimes, layouts=layouts)
    return Call.of(case, inputs(spec, case))


def of_graph(name: str, values: list[float]) -> np.ndarray:
    root = REFERENCE_FUNCTIONS[name](graph.leaf(np.array(values), "input"))
    settled = exact.settle(root, np.arange(len(values)), lambda hi: 0 * hi)
    assert not settled.radius.any()
    ball = balls.evaluate(root, [models.TRUTH])
    assert np.array_equal(ball.mid, settled.hi, equal_nan=True)
    return settled.hi


def test_arb_rounds_to_eight_bits_as_floats_do():
    rng = np.random.default_rng(0)
    ties = [17.0, 19.0, 464.0, 2.0**-10, 3 * 2.0**-10, -9.5]
    values = [*ties, *rng.normal(0, 30, 40), 465.0, -1e30, float("inf"), float("nan")]
    expected = round_to(np.array(values), FLOAT8_E4M3FN).astype(np.float64)
    assert np.array_equal(of_graph("float8_e4m3fn", values), expected, equal_nan=True)
    assert expected[:6].tolist() == [16, 20, 448, 0, 2.0**-8, -10]  # to even, each of them
    assert np.isnan(expected[46:]).all()


@pytest.mark.parametrize("format", ["float32", "bfloat16"])  # the second of which is summed up in float64 itself
def test_a_product_is_that_of_fractions(format):
    call = call_of("quantized_matmul", format, m=2, n=3, k=128)
    (reference,) = references_of(BUNDLED_OPS["quantized_matmul"], call)
    truth = reference.settle(np.arange(6))
    x, codes, scales, biases = (call.arrays[name] for name in ("x", "codes", "scales", "biases"))
    group = call.params["group"]
    for i, j in np.ndindex(2, 3):
        total = Fraction(0)
        for k in range(128):
            scale, bias = Fraction(float(scales[j, k // group])), Fraction(float(biases[j, k // group]))
            total += Fraction(float(x[i, k])) * (scale * int(codes[j, k]) + bias)
        assert abs(Fraction(float(truth.hi[i, j])) + Fraction(float(truth.lo[i, j])) - total) <= truth.radius[i, j]


@pytest.mark.parametrize("op", QUANTISED)
def test_each_wrong_reading_has_its_name(op):
    spec = BUNDLED_OPS[op]
    sizes = {"m": 3, "n": 64, "k": 64, "batch": 4, "d": 64}
    call = call_of(op, **{dim.name: sizes[dim.name] for dim in spec.dims})
    if op.startswith("to_float8"):
        call = call.with_arrays({"x": np.geomspace(1e-4, 1e6, call.arrays["x"].size, dtype=np.float32).reshape(4, 64)})
    references = references_of(spec, call)
    for name in spec.variants:
        meant = [reference.variant(name) for reference in references]
        scores = [
            score(round_to(values, FORMATS["float32"]), reference)
            for reference, (values, _) in zip(references, meant, strict=True)
        ]
        told = {(each.verdict, each.cause.name) for each in scores if each.verdict not in CLEAN}
        if name == "sums-of-groups":  # another formula for the same values
            assert not told
            continue
        assert told & {("wrong", name), ("special", "")}, name  # a number for NaN, or NaN for a number, has no name yet
        assert not {word for word in told if word[0] == "wrong"} - {("wrong", name), ("wrong", "")}, name


CLEAN = ("exact", "faithful", "stable", "normwise")


def quantised(w: np.ndarray, bits: int, group: int, moved: int = 0) -> list[np.ndarray]:
    """MLX's quantisation in float64, of groups whose upper end is the larger; ties are `moved` above the lower."""
    rows = w.astype(np.float64).reshape(len(w), -1, group)
    low, high = rows.min(2, keepdims=True), rows.max(2, keepdims=True)
    ratio = -high * (2**bits - 1) / (high - low)
    count = np.where(ratio % 1 == 0.5, np.floor(ratio) + moved, np.rint(ratio))
    codes = np.clip(np.rint((rows - high) * count / high), 0, 2**bits - 1)
    parts = codes.reshape(w.shape), (high / count)[..., 0], high[..., 0]
    return [round_to(part, FORMATS["float32"]) for part in parts]


def verdicts(w: np.ndarray, outputs: list[np.ndarray]) -> list[str]:
    spec = BUNDLED_OPS["quantize"]
    call = Call("float32", {"n": len(w), "k": w.shape[1]}, {"bits": 4, "group": 32}, {"w": w}, {"w": "contiguous"})
    references = references_of(spec, call)
    return [score(output, reference).verdict for output, reference in zip(outputs, references, strict=True)]


def test_of_a_tie_both_neighbours_are_right():
    """From 1 to 3 zero is -22.5 steps away: 22 and 23 are both right, each with its scale, and no third."""
    w = np.tile(np.array([3, 1, 1.25, 2], np.float32), (2, 16))
    for moved in (0, 1):
        outputs = quantised(w, 4, 32, moved)
        assert 3 / abs(float(outputs[1][0, 0])) == pytest.approx(23 - moved)
        assert set(verdicts(w, outputs)) <= set(CLEAN)
    assert verdicts(w, quantised(w, 4, 32, 10))[1] == "wrong"


def test_a_code_beside_the_nearest_is_wrong():
    w = np.random.default_rng(1).uniform(-0.4, 1, (2, 64)).astype(np.float32)
    w[:, ::32] = 1
    outputs = quantised(w, 4, 32)
    assert set(verdicts(w, outputs)) <= set(CLEAN)
    outputs[0][1, 5] += 1 if outputs[0][1, 5] < 15 else -1
    assert verdicts(w, outputs)[0] == "wrong"


SMALL = {
    "quantize_mxfp4": (32, ml_dtypes.float4_e2m1fn),
    "quantize_mxfp8": (32, ml_dtypes.float8_e4m3fn),
    "quantize_nvfp4": (16, ml_dtypes.float4_e2m1fn),
}


def numbers_of(dtype: type) -> list[Fraction]:
    """The finite numbers of a small format that are not negative, in order; even and odd significands alternate."""
    bits = np.arange(2 ** (ml_dtypes.finfo(dtype).bits - 1), dtype=np.uint8).view(dtype).astype(np.float64)
    return [Fraction(each) for each in bits.tolist() if np.isfinite(each)]


def nearest(x: Fraction, numbers: list[Fraction]) -> Fraction:
    """To nearest, of two the one in an even place, and beyond the last the last."""
    place = min(range(len(numbers)), key=lambda i: (abs(numbers[i] - abs(x)), i % 2))
    return numbers[place] if x >= 0 else -numbers[place]


def group_scale(op: str, most: Fraction, largest: Fraction) -> Fraction:
    """The smallest power of two with which no element of an mx format is beyond its largest; of nvfp4 an e4m3."""
    if op == "quantize_nvfp4":
        return nearest(most / largest, numbers_of(ml_dtypes.float8_e4m3fn))
    return (
        Fraction(2) ** next(e for e in range(-127, 128) if most <= largest * Fraction(2) ** e) if most else Fraction(1)
    )


def hard_rows(op: str, format: str) -> np.ndarray:
    """Rows of all sizes; with ties between any two neighbours, and with groups whose scale is just enough."""
    group, dtype = SMALL[op]
    rng = np.random.Generator(np.random.Philox(3))
    numbers = numbers_of(dtype)
    ties = [float(a + b) / 2 for a, b in pairwise(numbers)]
    largest = float(numbers[-1])
    rows = [rng.normal(0, size, 128) for size in (1.0, 1e-3, 300.0)]
    rows += [np.where(np.arange(128) % group == 0, largest, rng.choice(ties, 128) * rng.choice([-1, 1], 128))]
    rows += [
        np.where(np.arange(128) % group == 5, edge * 2.0 ** (np.arange(128) // group), 0.01)
        for edge in (largest, np.nextafter(np.float32(largest), 1000), np.nextafter(np.float32(largest), 0))
    ]
    rows += [
        np.zeros(128),
        np.full(128, 6 * 17.0),
        np.full(128, 6 * 19.0),
        np.full(128, 4e4),
    ]  # ties of e4m3, 448 and on
    return round_to(np.array(rows), FORMATS[format])


@pytest.mark.parametrize("format", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("op", SMALL)
def test_elements_and_scales_are_what_fractions_make_of_the_definition(op, format):
    """OCP Microscaling Formats 1.0: v_i = X P_i, with P_i rounded to nearest, ties to even, cut beyond the largest."""
    group, dtype = SMALL[op]
    numbers = numbers_of(dtype)
    w = hard_rows(op, format)
    call = Call(format, {"n": len(w), "k": 128}, {}, {"w": w}, {"w": "contiguous"})
    elements, scales = (each.settle(np.arange(each.truth.hi.size)) for each in references_of(BUNDLED_OPS[op], call))
    assert not elements.radius.any()
    assert not scales.radius.any()
    for i, row in enumerate(w.astype(np.float64).tolist()):
        for start in range(0, 128, group):
            x = [Fraction(each) for each in row[start : start + group]]
            scale = group_scale(op, max(map(abs, x)), numbers[-1])
            assert scales.hi[i, start // group] == scale, (i, start)
            right = [nearest(each / scale, numbers) if scale else Fraction(0) for each in x]
            assert elements.hi[i, start : start + group].tolist() == right, (i, start)


@pytest.mark.parametrize("op", SMALL)
def test_at_a_tie_both_elements_are_right_and_elsewhere_one(op):
    numbers = [float(each) for each in numbers_of(SMALL[op][1])]
    group, low, high = SMALL[op][0], numbers[3], numbers[4]
    # An mx scale is left open where the largest number of a group is the largest of the format, as 6 of e2m1.
    most = numbers[-1] if op == "quantize_nvfp4" else numbers[-2]
    for share, right in ((0.5, {low, high}), (0.4, {low}), (0.6, {high})):
        w = np.full((1, group), most, np.float32)
        w[0, 1] = low + share * (high - low)
        call = Call("float32", {"n": 1, "k": group}, {}, {"w": w}, {"w": "contiguous"})
        reference = references_of(BUNDLED_OPS[op], call)[0]
        for element in (low, high, numbers[0]):
            output = np.full((1, group), most, np.float32)
            output[0, 1] = element
            assert (score(output, reference).verdict in CLEAN) == (element in right), (share, element)
