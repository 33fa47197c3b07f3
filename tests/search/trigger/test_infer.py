"""Known conditions are found, word for word, from a minimal call and yes or no."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from minimal_calls import found, minimal, told
from toy_specs import CONVOLUTION, LOOKUP, NORM, PRODUCT, UNARY

from opfuzz.backends import discover
from opfuzz.core.floats import FORMATS
from opfuzz.engine.plan import load_specs
from opfuzz.search.trigger import PROBES, Shown, drive, infer

TYPICAL = 160
SPECS = Path(__file__).parents[3] / "specs"


def sizes_of(condition):
    """A function of calls that evaluates Python's `condition` on their sizes: another reader of the same words."""
    code = compile(condition, "condition", "eval")
    return lambda call: eval(code, {}, dict(call.dims))


@pytest.mark.parametrize(
    ("spec", "dims", "condition"),
    [
        (UNARY, {"n": 1025}, "n >= 1025"),
        (UNARY, {"n": 1}, "n <= 3"),
        (UNARY, {"n": 1}, "n == 1"),
        (UNARY, {"n": 0}, "n == 0"),
        (UNARY, {"n": 128}, "n == 128"),
        (UNARY, {"n": 3}, "3 <= n <= 9"),
        (UNARY, {"n": 1}, "n % 32 != 0"),
        (UNARY, {"n": 32}, "n % 32 == 0"),
        (UNARY, {"n": 1}, "n % 2 != 0"),
        (UNARY, {"n": 33}, "n >= 33 and n % 32 != 0"),
        (UNARY, {"n": 65537}, "n >= 65537"),
        (LOOKUP, {"rows": 1, "columns": 1, "vocab": 32769, "d": 4}, "vocab >= 32769"),
        (LOOKUP, {"rows": 1, "columns": 1, "vocab": 1, "d": 8}, "d >= 8"),
        (PRODUCT, {"m": 2, "k": 1, "n": 2}, "m >= 2 and n >= 2"),
        (PRODUCT, {"m": 1, "k": 3000, "n": 2}, "m == 1 and k >= 3000 and n >= 2"),
        (PRODUCT, {"m": 1, "k": 33, "n": 2}, "k % 32 != 0 and k >= 33 and n >= 2"),
        (PRODUCT, {"m": 3, "k": 1, "n": 3}, "m == n and m >= 3"),
        (PRODUCT, {"m": 1, "k": 1, "n": 1}, "m == n"),
        (PRODUCT, {"m": 1, "k": 1, "n": 1}, "m == 1 and n == 1"),
        (NORM, {"batch": 1, "d": 33}, "batch * d >= 33"),
        (NORM, {"batch": 3, "d": 11}, "batch * d >= 33"),
        (NORM, {"batch": 3, "d": 11}, "batch >= 3 and d >= 11"),
        (NORM, {"batch": 1, "d": 1}, "batch * d % 32 != 0"),
        (NORM, {"batch": 1, "d": 1}, "batch % 32 != 0 and d % 32 != 0"),
        (NORM, {"batch": 4, "d": 8}, "batch * d % 32 == 0"),
        (NORM, {"batch": 3, "d": 3}, "batch * d >= 9 and batch * d % 8 != 0"),
        (CONVOLUTION, {"n": 1, "c_in": 1, "c_out": 65537, "length": 1, "k": 1}, "c_out >= 65537"),
        (CONVOLUTION, {"n": 1, "c_in": 1, "c_out": 1, "length": 65, "k": 1}, "n * c_in * length >= 65"),
    ],
    ids=lambda value: value.op if hasattr(value, "op") else value if isinstance(value, str) else "",
)
def test_sizes(spec, dims, condition):
    trigger, probes = found(spec, minimal(spec, dims), sizes_of(condition))
    assert sorted(trigger.text("size").split(" and ")) == sorted(condition.split(" and "))
    assert trigger.words == f"fails when {trigger.text('size')}; any format; any layout; any values"
    assert trigger.held == trigger.checked == 20
    assert trigger.complete
    assert probes <= TYPICAL


def test_a_fault_without_a_condition():
    for spec, dims in ((UNARY, {"n": 1}), (PRODUCT, {"m": 1, "k": 1, "n": 1})):
        trigger, probes = found(spec, minimal(spec, dims), lambda call: True)
        assert trigger.conditions == ()
        assert trigger.words == "fails at any size; any format; any layout; any values"
        assert probes <= 80


@pytest.mark.parametrize(
    ("formats", "text"),
    [
        (("float32",), "float32 only"),
        (("float16", "bfloat16"), "float16 or bfloat16"),
        (("float32", "float64", "bfloat16"), "float32, float64 or bfloat16"),
        (tuple(UNARY.formats), ""),
    ],
)
def test_formats(formats, text):
    trigger, _ = found(UNARY, minimal(UNARY, {"n": 1}, format=formats[-1]), lambda call: call.format in formats)
    assert trigger.text("format") == text


CONV = {"n": 1, "c_in": 1, "c_out": 1, "length": 3, "k": 2}
LEVEL = {"n": 2, "c_in": 2, "c_out": 2, "length": 2, "k": 2}


@pytest.mark.parametrize(
    ("own", "condition"),
    [
        ({"dilation": 2}, "dilation >= 2"),
        ({"stride": 2}, "stride >= 2"),
        ({"stride": 1}, "stride <= 2"),
        ({"stride": 2}, "stride == 2"),
        ({"padding": 3}, "padding >= 3"),
        ({"groups": 1}, "groups == 1"),
        ({}, ""),
    ],
)
def test_params(own, condition):
    call = minimal(CONVOLUTION, CONV, params=own)
    trigger, _ = found(CONVOLUTION, call, lambda call: eval(condition or "True", {}, dict(call.params)))
    assert trigger.text("param") == condition
    assert trigger.text("size") == ""
    assert trigger.held == trigger.checked


def test_a_param_that_is_no_integer():
    call = minimal(NORM, {"batch": 1, "d": 1}, params={"eps": 1e-12})
    trigger, _ = found(NORM, call, lambda call: call.params["eps"] == 1e-12)
    assert trigger.text("param") == "eps == 1e-12"
    assert trigger.words == "fails at any size; eps == 1e-12; any format; any layout; any values"
    call = minimal(NORM, {"batch": 1, "d": 1})
    trigger, _ = found(NORM, call, lambda call: call.params["eps"] != 1e-12)
    assert trigger.text("param") == "eps != 1e-12"


STRIDED = ("transposed", "permuted", "narrowed", "stepped", "broadcast")


@pytest.mark.parametrize(
    ("name", "layouts", "text"),
    [
        ("x", ("offset", "narrowed"), "x offset or narrowed"),
        ("x", ("transposed", "permuted"), "x transposed or permuted"),
        ("x", ("broadcast",), "x broadcast"),
        ("weight", ("offset", *STRIDED), "weight not contiguous"),
        ("weight", STRIDED, "weight not contiguous"),
        ("weight", STRIDED[:-1], "weight not contiguous"),
        ("weight", ("transposed", "stepped"), "weight transposed or stepped"),
        ("weight", ("contiguous",), "weight contiguous"),
        ("weight", ("contiguous", "offset", *STRIDED), ""),
    ],
)
def test_layouts(name, layouts, text):
    call = minimal(CONVOLUTION, LEVEL, layouts={name: layouts[-1]})
    trigger, probes = found(CONVOLUTION, call, lambda call: call.layouts[name] in layouts)
    assert trigger.text("layout") == text
    assert trigger.text("size") == ""
    assert trigger.held == trigger.checked
    assert probes <= TYPICAL


def test_one_input_may_make_up_for_another():
    call = minimal(PRODUCT, {"m": 2, "k": 2, "n": 2}, layouts={"a": "stepped"})
    trigger, _ = found(PRODUCT, call, lambda call: "stepped" in call.layouts.values())
    assert trigger.text("layout") == "a stepped or b stepped"
    assert trigger.held == trigger.checked


def test_a_size_that_only_makes_the_layout_one_is_not_said():
    call = minimal(PRODUCT, {"m": 1, "k": 2, "n": 2}, layouts={"b": "transposed"})
    trigger, _ = found(
        PRODUCT, call, lambda call: call.layouts["b"] == "transposed" and min(call.arrays["b"].shape) > 1
    )
    assert trigger.words == "fails at any size; any format; b transposed; any values"


def test_sizes_and_a_layout_together():
    call = minimal(PRODUCT, {"m": 1, "k": 33, "n": 2}, layouts={"b": "narrowed"})
    trigger, _ = found(
        PRODUCT, call, lambda call: call.layouts["b"] in ("offset", "narrowed") and call.dims["k"] % 32 != 0
    )
    assert trigger.words == "fails when k % 32 != 0; any format; b offset or narrowed; any values"
    assert trigger.held == trigger.checked


def x_of(call):
    return call.arrays["x"].astype(np.float64)


def is_off_centre(call):
    """Whether some row's mean is more than 2^12 times its standard deviation."""
    x = x_of(call)
    return x.shape[-1] > 1 and bool((abs(x.mean(axis=-1)) > 2**12 * x.std(axis=-1)).any())


@pytest.mark.parametrize(
    ("fill", "fails", "text"),
    [
        (np.nan, lambda call: np.isnan(x_of(call)).any(), "only NaN"),
        (np.inf, lambda call: np.isinf(x_of(call)).any(), "only infinities"),
        (-np.inf, lambda call: (x_of(call) == -np.inf).any(), "only -inf"),
        (-np.inf, lambda call: (x_of(call) == -np.inf).all(), "only -inf throughout"),
        (89.0, lambda call: (abs(x_of(call)) > 88).any(), "max |x| >= 88"),
        (89.0, lambda call: (abs(x_of(call)) > 88.7).any(), "max |x| >= 88.7"),
        (89.0, lambda call: (x_of(call) > 88.7).any(), "max x >= 88.7"),
        (88.5, lambda call: ((x_of(call) > 88) & (x_of(call) < 88.72)).any(), "88 <= max x <= 88.7"),
        (-104.0, lambda call: (x_of(call) < -103.3).any(), "min x <= -103"),
        (1e-40, lambda call: ((x_of(call) != 0) & (abs(x_of(call)) < 1e-38)).any(), "min |x| < 1e-38"),
        (0.0, lambda call: not x_of(call).any(), "only zeros"),
        (-0.0, lambda call: (np.signbit(x_of(call)) & (x_of(call) == 0)).any(), "only -0"),
        (-1.0, lambda call: (x_of(call) < 0).any(), "only negative values"),
        (0.7, lambda call: (abs(x_of(call) - 0.7) < 1e-3).any(), "only values like those of the minimal input"),
    ],
)
def test_values(fill, fails, text):
    trigger, probes = found(UNARY, minimal(UNARY, {"n": 1}, fill=fill), fails)
    assert trigger.text("values") == text
    assert trigger.text("size") == ""
    assert probes <= TYPICAL


def test_zeros_that_fail_as_any_equal_values_do_are_not_all_of_it():
    def is_one_value(call):
        return call.dims["n"] > 1 and len(np.unique(x_of(call))) == 1

    trigger, _ = found(UNARY, minimal(UNARY, {"n": 2}, fill=0.0), is_one_value)
    assert (trigger.text("values"), trigger.text("size")) == ("only equal values", "n >= 2")


@pytest.mark.parametrize("n", [1, 3])
def test_zeros_that_fail_as_small_numbers_do_are_not_all_of_it(n):
    trigger, _ = found(UNARY, minimal(UNARY, {"n": n}, fill=0.0), lambda call: (abs(x_of(call)) < 1e-3).any())
    assert trigger.text("values") == "min |x| < 0.001"


def test_values_as_small_as_the_format_has_them():
    """The power between float64's smallest number and 1 is beyond float64."""
    call = minimal(UNARY, {"n": 1}, fill=5e-324, format="float64")
    trigger, _ = found(UNARY, call, lambda call: ((x_of(call) != 0) & (abs(x_of(call)) < 1e-300)).any())
    words, _, bound = trigger.text("values").rpartition(" ")
    assert words == "min |x| <"
    assert 0.5e-300 <= float(bound) <= 2e-300, "to a binary order"


def test_a_mean_far_beyond_the_spread():
    call = minimal(NORM, {"batch": 1, "d": 2}, x=[[8192, 8193]])
    trigger, _ = found(NORM, call, is_off_centre)
    assert trigger.text("values") == "mean / sd of x >= 2^12"
    assert trigger.text("size") == "d >= 2"


def test_zeros_against_infinities():
    call = minimal(PRODUCT, {"m": 1, "k": 1, "n": 1}, a=[[0]], b=[[np.inf]])
    trigger, _ = found(PRODUCT, call, lambda call: not call.arrays["a"].all() and np.isinf(call.arrays["b"]).any())
    assert trigger.words.endswith("; only zeros against infinities")


def test_a_row_of_minus_infinity_below_128():
    call = minimal(UNARY, {"n": 1}, fill=-np.inf)
    trigger, _ = found(UNARY, call, lambda call: call.dims["n"] < 128 and (x_of(call) == -np.inf).all())
    assert trigger.words == "fails when n <= 127; any format; any layout; only -inf throughout"


def test_the_tail_behind_whole_vectors():
    def fails(call):
        """A negative element is kept behind the last multiple of 8, if there is one, as in a faulty relu."""
        flat = x_of(call).ravel()
        return flat.size > 8 and (flat[flat.size // 8 * 8 :] < 0).any()

    for dims in ({"batch": 1, "d": 9}, {"batch": 3, "d": 3}):
        trigger, _ = found(NORM, minimal(NORM, dims, fill=-1.0), fails)
        assert trigger.text("size") == "batch * d >= 9 and batch * d % 8 != 0"
        assert trigger.text("values") == "only negative values"


@pytest.mark.parametrize(
    "is_seen",
    [
        lambda x: abs(x.mean()) > 0.1,  # of random signs, and of one in a row, the mean fades
        lambda x: (x != 0).sum() == 1,
        lambda x: np.ptp(x[..., :-1]) == 0 and abs(x[..., -1:]).max() > 3,
    ],
)
def test_values_that_hide_a_fault_at_other_sizes_are_no_condition(is_seen):
    call = minimal(NORM, {"batch": 1, "d": 2}, fill=5.0)
    trigger, probes = found(NORM, call, lambda call: call.dims["d"] >= 2 and bool(is_seen(x_of(call))))
    assert [each.text for each in trigger.conditions if each.data.get("dims") == ["d"]] == ["d >= 2"]
    assert probes <= PROBES


def test_another_symptom_tells_of_sizes_but_not_of_values():
    """An overflow makes NaN of a row of two; ordinary numbers are wrong from there on."""

    def shows(call):
        x = x_of(call)
        if call.dims == {"batch": 1, "d": 2} and (abs(x) > 1e30).all():
            return Shown.SAME
        is_wrong = call.dims["d"] >= 2 and np.ptp(x) > 0 and (abs(x) < 100).all()
        return Shown.ANOTHER if is_wrong else Shown.NOTHING

    trigger = told(NORM, minimal(NORM, {"batch": 1, "d": 2}, x=[[1e38, 1e38]]), shows)
    assert trigger.text("size") == "d >= 2"
    assert trigger.text("values").startswith("max |x| >=")


def test_what_cannot_be_told_is_no_end():
    def shows(call):
        if call.dims["d"] < 2:
            return Shown.UNCLEAR
        return Shown.SAME if call.dims["d"] <= 512 else Shown.UNCLEAR

    trigger = told(NORM, minimal(NORM, {"batch": 1, "d": 2}), shows)
    assert trigger.text("size") == "d >= 2"
    assert trigger.held == trigger.checked


def test_a_size_that_only_a_param_forbids():
    """With two groups there is no single channel; with one there is, and it is right."""
    call = minimal(CONVOLUTION, {"n": 1, "c_in": 2, "c_out": 2, "length": 1, "k": 1}, params={"groups": 2})
    trigger, _ = found(CONVOLUTION, call, lambda call: call.dims["c_in"] >= 2)
    assert trigger.text("size") == "c_in >= 2"
    assert trigger.text("param") == ""


def test_what_has_no_simple_condition_is_not_hidden():
    trigger, _ = found(UNARY, minimal(UNARY, {"n": 1}), lambda call: call.dims["n"] % 7 in (1, 2, 5))
    assert trigger.held < trigger.checked
    assert f"holds for {trigger.held} of {trigger.checked} further calls" in trigger.words
    assert not trigger.complete
    assert "any values" not in trigger.words, "what its own check refutes says nothing of all else"


@pytest.mark.parametrize("limit", [0, 1, 7, 30, 60])
def test_a_limit_ends_with_what_is_known(limit):
    trigger, probes = found(UNARY, minimal(UNARY, {"n": 1025}), sizes_of("n >= 1025"), limit)
    assert probes == limit
    assert not trigger.complete
    ending = "not everything was probed" if trigger.conditions else "when it fails was not probed to an end"
    assert trigger.words.endswith(ending)
    assert trigger.text("size") == ("n >= 1025" if limit >= 30 else "")


def test_the_same_questions_in_the_same_order():
    def asked():
        order = []
        call = minimal(NORM, {"batch": 1, "d": 33})
        drive(infer(NORM, call), lambda c: bool(order.append(repr(c)) or c.dims["batch"] * c.dims["d"] >= 33))
        return order

    assert asked() == asked()


def check_valid(spec, probe):
    shapes = spec.shapes(probe.dims, probe.params)
    assert spec.allows(probe.dims, probe.params)
    assert {name: array.shape for name, array in probe.arrays.items()} == shapes
    assert sum(array.size for array in probe.arrays.values()) <= 2**18
    for given in spec.inputs:
        array, layout = probe.arrays[given.name], probe.layouts[given.name]
        if given.kind == "float":
            assert array.dtype == FORMATS[probe.format].dtype
        if given.kind == "index":
            assert array.dtype == np.int64
            assert ((array >= 0) & (array < probe.dims["vocab"])).all()
        if given.kind == "additive_mask":
            assert np.isin(array.astype(np.float64), (0, -np.inf)).all()
        if layout == "broadcast":
            assert (array == array[:1]).all()


@pytest.mark.parametrize("period", [1, 2, 3, 7])
def test_every_probe_is_a_valid_call_whatever_the_answers(period):
    for spec, dims in (
        (CONVOLUTION, CONV),
        (LOOKUP, {"rows": 2, "columns": 3, "vocab": 5, "d": 4}),
        (NORM, {"batch": 2, "d": 3}),
        (PRODUCT, {"m": 2, "k": 0, "n": 1}),
        (UNARY, {"n": 2}),
    ):
        count = 0

        def fails(probe, spec=spec):
            nonlocal count
            count += 1
            check_valid(spec, probe)
            return count % period == 0

        trigger = drive(infer(spec, minimal(spec, dims)), fails)
        assert 0 < count <= PROBES
        assert trigger.words


GROUPS = next(iter(load_specs([SPECS / "norm" / "group_norm.yaml"], discover(()), dialects=())))


@pytest.mark.parametrize(
    ("dims", "groups", "condition"),
    [
        ({"n": 1, "c": 4, "length": 1024}, 1, "c * length // groups >= 4096"),
        ({"n": 1, "c": 4, "length": 2048}, 2, "c * length // groups >= 4096"),
        ({"n": 1, "c": 1, "length": 4097}, 1, "c * length // groups >= 4097 and c * length // groups % 8 != 0"),
        ({"n": 1, "c": 1, "length": 3}, 1, "c * length // groups % 8 != 0"),
        ({"n": 1, "c": 4, "length": 1024}, 1, "c * length >= 4096"),
    ],
)
def test_sizes_that_count_over_a_param(dims, groups, condition):
    code = compile(condition, "condition", "eval")
    call = minimal(GROUPS, dims, params={"groups": groups})
    trigger, _ = found(GROUPS, call, lambda call: eval(code, {}, {**call.dims, **call.params}))
    assert trigger.words == f"fails when {condition}; any format; any layout; any values"
    assert trigger.held == trigger.checked == 20


def test_a_condition_that_fails_its_check_is_not_said():
    """What makes it fail is no predicate on sizes or params: what was guessed from few calls is dropped."""
    call = minimal(GROUPS, {"n": 1, "c": 4, "length": 8}, params={"groups": 1})

    def fails(call):
        return call.dims["c"] ** 2 % 7 in (2, 4) or call.dims["length"] % 5 == 2

    trigger, _ = found(GROUPS, call, fails)
    assert not trigger.complete or trigger.held < trigger.checked
