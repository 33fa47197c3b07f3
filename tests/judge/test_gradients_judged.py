"""What is said of a gradient: nothing of what honest arithmetic loses on the way, all of what a formula loses alone."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS
from scipy.special import expit

from opfuzz.core.call import Call
from opfuzz.core.floats import BFLOAT16, round_to
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.judge.score import score
from opfuzz.oracle.reference import references_of
from opfuzz.spec.gradient import gradient_of


def verdict_on(op, computed, x, g, format="float32"):
    """What is said of a gradient of an op of one input, a row (1, n); `computed` is in the format."""
    spec = gradient_of(BUNDLED_OPS[op])
    kind = np.asarray(computed).dtype
    dims = {dim.name: 1 for dim in spec.dims} | {spec.dims[-1].name: len(x)}
    params = {param.name: param.default for param in spec.params}
    shapes = spec.shapes(dims, params)
    arrays = {
        "x": np.reshape(x, shapes["x"]).astype(kind),
        "cotangent": np.reshape(g, shapes["cotangent"]).astype(kind),
    }
    call = Call(format, dims, params, arrays, dict.fromkeys(arrays, "contiguous"))
    (reference,) = references_of(spec, call)
    return score(np.reshape(computed, reference.shape), reference).verdict


def verdict_of(op, output, computed, dims, arrays):
    """What is said of one gradient of an op in float32."""
    spec = gradient_of(BUNDLED_OPS[op])
    params = {param.name: param.default for param in spec.params}
    call = Call("float32", dims, params, arrays, dict.fromkeys(arrays, "contiguous"))
    reference = next(each for each in references_of(spec, call) if each.output == output)
    return score(np.reshape(computed, reference.shape), reference).verdict


def verdict_by_x(op, computed, **arrays):
    """What is said of d/dx of an op whose `x` has the shape (rows, n); `arrays` are all inputs."""
    dims = dict(zip((dim.name for dim in BUNDLED_OPS[op].dims), arrays["x"].shape, strict=True))
    return verdict_of(op, "d/dx", computed, dims, arrays)


def rms_norm_back(x, weight, g, eps=1e-5):
    """d/dx of x / sqrt(mean(x^2) + eps) * weight in float32, with the cube of 1 / root, as PyTorch and MLX have it."""
    with np.errstate(over="ignore", under="ignore"):
        root = 1 / np.sqrt((x * x).mean(axis=1, keepdims=True) + np.float32(eps))
        return root * g * weight - x * (root * root * root) * (g * weight * x).mean(axis=1, keepdims=True)


def rows_of(*sizes):
    signs = np.float32([[1.0, 0.3, -0.7, 0.01], [-0.2, 1.0, 1.0, -3.0], [0.5, -0.1, 2.0, 0.7]])
    return np.concatenate([np.float32(size) * signs for size in sizes])


def is_fault(*args, **fields):
    return SEVERITY[verdict_on(*args, **fields)] == FAULT


NAN = np.float32([np.nan])


@pytest.mark.parametrize(
    ("op", "x", "g"),
    [
        ("rsqrt", [1e-30], [0.0]),  # the slope, of 5e44, is beyond the format
        ("exp", [89.0], [0.0]),  # and so is the result
        ("gelu_tanh", [1.9e19], [1.0]),  # x^2 is beyond it
        ("square", [-0.25], [-3e38]),  # 2 g is
        ("silu", [np.inf], [1.0]),  # infinity times zero
        ("relu", [np.nan], [1.0]),
        ("log", [-1.0], [1.0]),  # it has no value there
    ],
)
def test_nan_that_honest_arithmetic_has_is_no_fault(op, x, g):
    assert not is_fault(op, NAN, x, g)


@pytest.mark.parametrize(
    ("op", "x", "g"),
    [
        ("elu", [100.0], [1.0]),  # exp(x) of the side that is not taken
        ("l2_normalise", [0.0], [1.0]),  # 1 / norm of the side that is not taken
        ("softmax", [500.0], [1.0]),
        ("tanh", [30.0], [1.0]),
        ("rsqrt", [2.0], [0.0]),
    ],
)
def test_nan_where_a_gradient_is_finite_is_a_fault(op, x, g):
    assert is_fault(op, NAN, x, g)


def test_a_lost_tail_is_a_fault_where_the_usual_formula_keeps_it():
    """1 - sigmoid(x) is 0 for 40 in float32, and the slope of softplus is 1 there; for -40 it is 4e-18."""
    assert is_fault("softplus", np.float32([0.0]), [-40.0], [1.0])
    assert not is_fault("softplus", np.float32([4.248354e-18]), [-40.0], [1.0])


def test_what_was_kept_in_a_half_format_is_granted():
    x, g = np.float32([0.0, 1.0, 3.0, -2.0]), np.float32([1.0, 0.0, 2.0, -1.0])
    x, g = (round_to(each.astype(np.float64), BFLOAT16).astype(np.float64) for each in (x, g))
    y = np.exp(x) / np.exp(x).sum()
    kept = round_to(y, BFLOAT16).astype(np.float64)
    made = round_to(kept * (g - (g * kept).sum()), BFLOAT16)
    assert not is_fault("softmax", made, x, g, format="bfloat16")
    assert is_fault("softmax", round_to(kept * g, BFLOAT16), x, g, format="bfloat16")  # without the sum


SMALL, POWERLESS, BEYOND = 1.0, 1e15, 1e25  # rows of such sizes: 1 / root^3 underflows for some, x^2 overflows for some


def test_a_statistic_that_was_kept_in_a_half_format_is_not_granted():
    """exp(x - y) of y = 1000.69, which bfloat16 rounds to 1000: PyTorch's gradient of logsumexp is (1, 1) there."""

    def back(x, format):
        y = np.log(np.exp(x - x.max()).sum()) + x.max()
        kept = y if format is None else round_to(np.asarray(y), format).astype(np.float64)
        return round_to(np.exp(x - kept), BFLOAT16)

    for x in (np.array([1000.0, 1000.0]), round_to(np.linspace(290.0, 300.0, 9), BFLOAT16).astype(np.float64)):
        kept = verdict_on("logsumexp", back(x, BFLOAT16), x, [1.0], "bfloat16")
        assert kept == "imprecise"
        assert SEVERITY[verdict_on("logsumexp", back(x, None), x, [1.0], "bfloat16")] != FAULT
    near = np.array([0.5, -0.25, 1.0])  # a rounding of 1.6 is one of the result
    assert SEVERITY[verdict_on("logsumexp", back(near, BFLOAT16), near, [1.0], "bfloat16")] != FAULT


@pytest.mark.parametrize("sizes", [(POWERLESS,), (BEYOND,), (SMALL, POWERLESS, BEYOND)])
def test_rows_that_underflow_beside_others_that_overflow_are_no_fault(sizes):
    x = rows_of(*sizes)
    g, weight = np.ones_like(x), np.full(4, 100, np.float32)
    assert SEVERITY[verdict_by_x("rms_norm", rms_norm_back(x, weight, g), x=x, weight=weight, cotangent=g)] != FAULT


@pytest.mark.parametrize("beside", [(), (POWERLESS,), (POWERLESS, BEYOND)])
def test_what_such_rows_are_granted_hides_no_fault_beside_them(beside):
    x = rows_of(SMALL, *beside)
    g, weight = np.ones_like(x), np.full(4, 100, np.float32)
    computed = rms_norm_back(x, weight, g)
    computed[0, 0] *= np.float32(1.001)
    assert SEVERITY[verdict_by_x("rms_norm", computed, x=x, weight=weight, cotangent=g)] == FAULT


def test_the_square_of_what_divides_may_overflow():
    """g / b - g x sign(x) / b^2 for x / b, b = 1 + abs(x): the last term is lost where b^2 is beyond the format."""
    assert not is_fault("softsign", np.float32([1 / 1e20]), [1e20], [1.0])
    assert is_fault("softsign", np.float32([1 / 1001.0]), [1000.0], [1.0])


def test_nan_is_right_where_the_gradient_itself_is_beyond_the_range():
    """By x_0 and x_1, the latter 1e-28 (1 + 1e30 + 1e60 + 1e80), of a product that has underflown at x_1."""
    x, g = np.float32([[1e-28, 1e-30, 1e30, 1e30, 1e20]]), np.ones((1, 5), np.float32)
    y = np.float64(x)
    exact = [float(np.cumprod(np.delete(y, i))[max(i - 1, 0) :].sum() + (i == 0)) for i in range(5)]
    computed = np.where(np.abs(exact) > 3.4e38, np.nan, exact).astype(np.float32)[None]
    assert np.isnan(computed).sum() == 2
    assert SEVERITY[verdict_by_x("cumprod", computed, x=x, cotangent=g)] != FAULT
    # Neighbours overflow there, which whoever scans in blocks multiplies first; of ordinary ones nothing does.
    plain = np.float32([[2.0, 3.0, 0.5, 4.0, 1.0]])
    assert verdict_by_x("cumprod", np.full_like(computed, np.nan), x=plain, cotangent=g) == "special"


def test_the_tail_of_the_logistic_function_is_not_lost_by_its_square():
    """exp(50) / (1 + exp(50))^2 is 2e-22, and 0 where the square is infinite; a cotangent of 1e10 is far from that."""
    x = np.float32([-50.0, -1.0])
    with np.errstate(over="ignore"):
        raised = np.exp(-x)
        slopes = 1e10 * raised / np.square(1 + raised)
    assert slopes[0] == 0
    assert SEVERITY[verdict_on("sigmoid", slopes.astype(x.dtype), x, [1e10, 1e10])] == FAULT


def test_a_slope_where_the_function_has_no_value_is_no_fault():
    """A negative number has no power of 1e-38; but the slope has one of 1e-38 - 1, which is -1 in float32."""
    x, y, g = np.float32([[-4.0, -4.0]]), np.float32([[1e-38, 3.0]]), np.ones((1, 2), np.float32)
    slopes = np.float32([[-0.25e-38, 48.0]])
    assert SEVERITY[verdict_by_x("pow", slopes, x=x, y=y, cotangent=g)] != FAULT
    assert verdict_by_x("pow", np.full_like(slopes, np.nan), x=x, y=y, cotangent=g) == "special"


@pytest.mark.parametrize("is_scaled_first", [False, True])
def test_factors_in_another_order_lose_bits_among_the_subnormals(is_scaled_first):
    """-g y / (x^2 + y^2) for the angle of (x, y): g y is subnormal, and then raised a hundred times."""
    x, y = np.full((1, 8), 0.1, np.float32), np.linspace(4e-38, 9e-38, 8, dtype=np.float32)[None]
    g = np.float32([[0.0065]]) * np.ones_like(x)
    over = 1 / (x * x + y * y)
    computed = -(g * y) * over if is_scaled_first else -(g * over) * y
    assert SEVERITY[verdict_by_x("atan2", computed, x=x, y=y, cotangent=g)] != FAULT
    assert SEVERITY[verdict_by_x("atan2", computed * np.float32(1.001), x=x, y=y, cotangent=g)] == FAULT


def test_where_all_that_is_wrong_may_overflow_nobody_is_accused():
    slope, x, g = (
        np.float32([2.7183]),
        np.float32([1.0]),
        np.float32([1e38]),
    )  # 8 g times the slope is beyond the format
    assert is_fault("exp", slope, x, [1.0])
    assert verdict_on("exp", slope * g, x, g) == "normwise"


def test_a_scale_after_the_product_may_overflow():
    """d/dq of attention is the sum of +-2 times k, which is 4e38, times 1/2."""
    dims = {"batch": 1, "heads": 1, "queries": 1, "keys": 2, "d": 4}
    arrays = {name: np.zeros((1, 1, 2, 4), np.float32) for name in "kv"}
    arrays["q"], arrays["cotangent"] = np.zeros((1, 1, 1, 4), np.float32), np.zeros((1, 1, 1, 4), np.float32)
    arrays["k"][0, 0, :, 0], arrays["v"][0, 0, :, 0], arrays["cotangent"][..., 0] = (1e38, -1e38), (4, -4), 1
    for computed in (2e38, np.inf):
        assert SEVERITY[verdict_of("attention", "d/dq", np.float32([computed, 0, 0, 0]), dims, arrays)] != FAULT
    assert (
        verdict_of("attention", "d/dq", np.float32([np.nan, 0, 0, 0]), dims, arrays | {"k": arrays["v"]}) == "special"
    )


@pytest.mark.parametrize("op", ["causal_conv1d", "linear"])
def test_sums_of_a_bias_in_another_order_are_no_fault(op):
    """One after another, over all places, of terms that are nearly equal."""
    count, g = 4096, np.float32(100 + np.random.default_rng(3).random(4096))
    if op == "linear":
        dims = {"batch": 1, "length": count, "d_in": 1, "d_out": 1}
        arrays = {"x": np.ones((1, count, 1)), "weight": np.ones((1, 1)), "bias": np.zeros(1)}
        arrays["cotangent"] = g[None, :, None]
    else:
        dims = {"n": 1, "c_in": 1, "c_out": 1, "length": count, "k": 1}
        arrays = {"x": np.ones((1, 1, count)), "weight": np.ones((1, 1, 1)), "bias": np.zeros(1)}
        arrays["cotangent"] = g[None, None]
    arrays = {name: each.astype(np.float32) for name, each in arrays.items()}
    for computed in (np.add.accumulate(g, dtype=np.float32)[-1], g.sum(dtype=np.float32)):
        assert SEVERITY[verdict_of(op, "d/dbias", computed, dims, arrays)] != FAULT
    assert SEVERITY[verdict_of(op, "d/dbias", g.sum() * np.float32(1.001), dims, arrays)] == FAULT


def test_scores_that_overflow_may_meet_values_that_are_zero():
    """d/dk is the sum of 0 times what comes of softmax(inf), which is NaN; no score overflows for the other k."""
    dims = {"batch": 1, "heads": 1, "queries": 2, "keys": 1, "d": 1}
    arrays = {name: np.zeros((1, 1, size, 1), np.float32) for name, size in (("q", 2), ("k", 1), ("v", 1))}
    arrays["cotangent"] = np.ones((1, 1, 2, 1), np.float32)
    arrays["q"][..., 0] = 3e19, -8e18
    for k, lost in ((-2e38, False), (1.0, True)):
        given = arrays | {"k": np.full((1, 1, 1, 1), k, np.float32)}
        verdict = verdict_of("attention_written_out", "d/dk", np.float32([np.nan]), dims, given)
        assert (SEVERITY[verdict] == FAULT) == lost


def test_a_score_that_overflows_may_make_the_gradient_of_a_masked_key_nan():
    dims = {"batch": 1, "heads": 1, "queries": 1, "keys": 2, "d": 1}
    arrays = {name: np.ones((1, 1, size, 1), np.float32) for name, size in (("q", 1), ("v", 2), ("cotangent", 1))}
    arrays = {"q": 2 * arrays["q"], "k": None, "v": arrays["v"], "mask": np.array([[[[True, False]]]])} | {
        "cotangent": arrays["cotangent"]
    }
    for k, lost in ((3e38, False), (1.0, True)):
        given = arrays | {"k": np.float32([[[[k], [1.0]]]])}
        verdict = verdict_of("attention_mask", "d/dk", np.float32([0, np.nan]), dims, given)
        assert (SEVERITY[verdict] == FAULT) == lost


@pytest.mark.parametrize(("u", "is_lost"), [(1e20, False), (1e10, True)])
def test_an_adjoint_that_a_slope_made_zero_may_meet_an_overflow(u, is_lost):
    """u h is beyond float32: the tanh behind it saturates, and the reset gate has 0 times infinity."""
    dims = dict.fromkeys(("batch", "d_in", "d"), 1)
    arrays = {name: np.ones((1, 1), np.float32) for name in ("x", "h", "cotangent")}
    arrays |= {"w": np.ones((3, 1), np.float32), "u": np.float32([[1e-20], [1e-20], [u]])}
    arrays |= {name: np.zeros(3, np.float32) for name in ("b", "c")}
    arrays["h"] = np.float32([[1e20]])
    verdict = verdict_of("gru_cell", "d/db", np.float32([np.nan, 0, 0]), dims, arrays)
    assert (SEVERITY[verdict] == FAULT) == is_lost


@pytest.mark.parametrize("is_in_turn", [False, True])
def test_roundings_of_equal_terms_add_up(is_in_turn):
    """255 times 0.5582 and 255 times 0.4813, one kind after the other, or in turn: a rounding that is always the same.

    In the one order the sum is off by 56 ulp, in the other by 49; of factors of 11 bits, as TF32 has them, by 1771.
    """
    pair = np.float32([0.5582196, 0.481299])
    x = np.ascontiguousarray(np.broadcast_to(pair, (255, 1, 2)))
    dims = {"n": 255, "c_in": 1, "c_out": 1, "length": 2, "k": 1}
    arrays = {"x": x, "weight": np.ones((1, 1, 1)), "bias": np.zeros(1), "cotangent": np.ones((255, 1, 2))}
    arrays = {name: each.astype(np.float32) for name, each in arrays.items()}
    terms = x.ravel() if is_in_turn else np.sort(x.ravel())[::-1]
    computed = np.add.accumulate(terms, dtype=np.float32)[-1]
    assert SEVERITY[verdict_of("causal_conv1d", "d/dweight", computed, dims, arrays)] != FAULT
    cut = np.add.accumulate((terms.view(np.uint32) & 0xFFFFE000).view(np.float32), dtype=np.float64)[-1]
    assert SEVERITY[verdict_of("causal_conv1d", "d/dweight", np.float32(cut), dims, arrays)] == FAULT


@pytest.mark.parametrize("factor", [1.0, 1.00001])
def test_what_overflows_in_a_formula_excuses_nothing_beside_it(factor):
    """(1 + exp(45))^2 is 1e39, by which a formula of glu loses the slope at -45; that at -3 it has."""
    x, g = np.array([[1.0, 2.0, -45.0, -3.0]]), np.ones((1, 2), np.float32)
    gate = expit(x[:, 2:])
    slopes = np.concatenate([gate, x[:, :2] * gate * (1 - gate)], 1)
    slopes[0, 3] *= factor
    arrays = {"x": x.astype(np.float32), "cotangent": g}
    verdict = verdict_of("glu", "d/dx", slopes.astype(np.float32), {"batch": 1, "d": 4}, arrays)
    assert (SEVERITY[verdict] == FAULT) == (factor != 1)


@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_an_error_that_is_beyond_a_half_format_is_right_with_either_sign(infinity):
    """Of one key all weight is 1, and the gradient by q exactly 0: g v less itself, rounded in float32, times k."""
    spec = gradient_of(BUNDLED_OPS["attention"])
    dims = {"batch": 1, "heads": 1, "queries": 1, "keys": 1, "d": 64}

    def verdict(size):
        values = np.random.default_rng(0).uniform(0.5, 1, 64) * size
        arrays = {name: values.astype(np.float16).reshape(1, 1, 1, 64) for name in ("k", "v", "cotangent")}
        arrays = {"q": np.zeros((1, 1, 1, 64), np.float16), **arrays}
        params = {param.name: param.default for param in spec.params}
        call = Call("float16", dims, params, arrays, dict.fromkeys(arrays, "contiguous"))
        reference = next(each for each in references_of(spec, call) if each.output == "d/dq")
        return score(np.full((1, 1, 1, 64), infinity, np.float16), reference).verdict

    assert SEVERITY[verdict(60000.0)] != FAULT
    assert verdict(10.0) == "special"


def test_a_quotient_that_is_subnormal_before_a_large_cotangent_is_flushing():
    """PyTorch has x / norm first: of 1.5e-36 / 1e8 few bits are left, and the cotangent of another row is no excuse."""
    spec = gradient_of(BUNDLED_OPS["norm"])
    x = np.float32([[1.0, 2.0, 3.0], [1.006633e8, 1.0, 1.5046328e-36]])

    def verdict(g, made):
        arrays = {"x": x, "cotangent": np.float32(g)}
        params = {param.name: param.default for param in spec.params}
        call = Call("float32", {"batch": 2, "n": 3}, params, arrays, dict.fromkeys(arrays, "contiguous"))
        (reference,) = references_of(spec, call)
        return score(made.astype(np.float32), reference).verdict

    norm = np.float32(np.sqrt((x.astype(np.float64) ** 2).sum(-1, keepdims=True)))
    with np.errstate(under="ignore"):
        first = (x / norm) * np.float32([[1.0], [4.6e18]])
    assert SEVERITY[verdict([1.0, 4.6e18], first)] != FAULT
    lost = x / norm
    lost[0, 0] = 0.0
    assert SEVERITY[verdict([1.0, 4.6e18], lost * np.float32([[1.0], [4.6e18]]))] == FAULT


def test_one_term_that_an_index_adds_again_and_again_is_rounded_alike():
    """Of three bags 2048 times g / 2048, from the last to the first in float32: roundings are not independent."""
    spec = gradient_of(BUNDLED_OPS["embedding_bag"])
    g = np.float32(np.random.default_rng(7).standard_normal((3, 4)))
    index, table = np.zeros((3, 2048), np.int64), np.zeros((1, 4), np.float32)
    arrays = {"index": index, "table": table, "cotangent": g}
    params = {param.name: param.default for param in spec.params}
    sizes = {"batch": 3, "bag": 2048, "vocab": 1, "d": 4}
    call = Call("float32", sizes, params, arrays, dict.fromkeys(arrays, "contiguous"))
    (reference,) = references_of(spec, call)
    terms = np.repeat(g[::-1] / np.float32(2048), 2048, axis=0)
    made = np.add.accumulate(terms, axis=0, dtype=np.float32)[-1:]
    assert SEVERITY[score(made, reference).verdict] != FAULT
    assert SEVERITY[score(made * np.float32(1.002), reference).verdict] == FAULT
