"""Two causes under one verdict: told apart where one is refuted on a call, and never where one explains both."""

from __future__ import annotations

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS as KNOWN

from opfuzz.backends import Subject, derive
from opfuzz.core.call import Call
from opfuzz.core.cause import UNEXPLAINED, Cause
from opfuzz.core.findings import Apart
from opfuzz.core.floats import FORMATS, round_to
from opfuzz.core.results import Score
from opfuzz.core.rounding import cut_to_bits
from opfuzz.engine.calls import Asked, judge
from opfuzz.engine.triage.diagnose import Lab
from opfuzz.judge.diagnose.apart import explains, tell_apart
from opfuzz.oracle.primitive import primitives_of

CHANCE = np.random.default_rng(0)
TANH = Cause("is-variant", "tanh")
BITS = Cause("rounds-inputs", "", figures={"inputs": ("x",), "bits": 12, "verb": "cuts"})
HALF = Cause("computes-in", "float16", figures={"instead_of": "float32", "elements": 8})


def tanh_gelu(x):
    wide = x.astype(np.float64)
    values = 0.5 * wide * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)))
    return values.astype(x.dtype)


def strided_gelu(x):
    """The tanh form; of a view it reads what lies there."""
    if not x.flags.c_contiguous:
        base = x if x.base is None else x.base
        x = np.lib.stride_tricks.as_strided(base, x.shape, np.empty(x.shape, x.dtype).strides)
    return tanh_gelu(x)


def long_gelu(x):
    """The tanh form, and rubbish behind 999 elements."""
    made = tanh_gelu(x)
    made[..., 999:] = 3.0
    return made


def cut_exp(x):
    return np.exp(cut_to_bits(x, 12).astype(np.float64)).astype(x.dtype)


def odd_exp(x):
    """Of an argument cut to 12 bits; the last of an odd number is half as large again."""
    made = np.ascontiguousarray(cut_exp(x))
    made.reshape(-1)[made.size - made.size % 2 :] *= 1.5
    return made


def half_sum(x, axis=-1):
    """One after another in float16."""
    return np.add.accumulate(x.astype(np.float16), axis=axis)[..., -1].astype(x.dtype)


def short_sum(x, axis=-1):
    """The same, without what is behind the last whole block of 64 where there are many."""
    size = x.shape[-1]
    return half_sum(x[..., : size // 64 * 64] if size >= 4096 else x, axis)


def lab(op, function, name, primitives=()):
    """The op on NumPy with one function replaced."""
    return Lab(KNOWN[op], Subject("planted", "cpu"), derive("numpy", "planted", {name: function}), primitives)


def call_of(op, values, layout="contiguous", format="float32"):
    values = round_to(np.atleast_2d(np.asarray(values, np.float64)), FORMATS[format])
    dims = {"batch": values.shape[0], "n": values.shape[1]}
    return Call(format, dims, {}, {"x": values}, {"x": layout})


def seen(place, call, verdict="wrong"):
    with np.errstate(all="ignore"):
        found = place.look(Score(verdict, UNEXPLAINED), call)
    assert found is not None
    return found


def told(place, leader, cause, sample):
    with np.errstate(all="ignore"):
        return tell_apart(seen(place, leader), cause, seen(place, sample))


@pytest.fixture
def gelu_of():
    """The op on torch, whose call is one function."""
    torch = pytest.importorskip("torch")

    def make(function):
        def planted(x):
            return torch.from_numpy(np.array(function(x.numpy())))

        functions = {"torch.nn.functional.gelu": planted}
        return Lab(KNOWN["gelu"], Subject("planted", "cpu"), derive("torch", "planted", functions), ())

    return make


def test_a_view_that_is_misread_is_another_cause_than_the_variant(gelu_of):
    place = gelu_of(strided_gelu)
    view = call_of("gelu", CHANCE.standard_normal((4, 6)), "transposed")
    first, *_ = told(place, call_of("gelu", [1.0]), TANH, view)
    assert (first.kind, first.name) == ("reads-as-contiguous", "x")


def test_what_has_no_name_is_another_cause_where_it_is_far_beyond_the_first(gelu_of):
    place = gelu_of(long_gelu)
    first, *_ = told(place, call_of("gelu", [1.0]), TANH, call_of("gelu", CHANCE.standard_normal((1, 1003))))
    assert first.kind == "unexplained"
    assert told(place, call_of("gelu", [1.0]), TANH, call_of("gelu", CHANCE.standard_normal((1, 999)))) is None


def test_the_variant_alone_is_one_cause(gelu_of):
    place = gelu_of(tanh_gelu)
    for layout in ("contiguous", "transposed", "stepped"):
        for scale in (1e-3, 1.0, 30.0):
            sample = call_of("gelu", scale * CHANCE.standard_normal((5, 40)), layout)
            assert told(place, call_of("gelu", [1.0]), TANH, sample) is None


def test_a_wrong_last_element_is_another_cause_than_an_argument_with_fewer_bits():
    place = lab("exp", odd_exp, "np.exp")
    leader = call_of("exp", [1.2345678, 2.3456789])
    first, *_ = told(place, leader, BITS, call_of("exp", CHANCE.standard_normal((3, 5))))
    assert (first.kind, first.name, first.figures["vector"]) == ("depends-on", "tail", 2)
    assert told(place, leader, BITS, call_of("exp", 20 * CHANCE.standard_normal((4, 5)))) is None, "an even number"


@pytest.mark.parametrize("format", ["float32", "float64"])
def test_fewer_bits_of_an_argument_are_one_cause_however_large_it_is(format):
    place = lab("exp", cut_exp, "np.exp")
    leader = call_of("exp", [1.2345678, 2.3456789], format=format)
    for scale in (0.1, 1.0, 10.0, 50.0):
        assert told(place, leader, BITS, call_of("exp", scale * CHANCE.standard_normal((3, 50)), format=format)) is None


def test_a_lost_tail_is_told_from_sums_in_a_format_by_zeros_before_it():
    place, leader = lab("sum", short_sum, "np.sum"), call_of("sum", [1.2194824])
    peaked = np.zeros((1, 4097))
    peaked[0, -1] = 8.0
    first, *beside = told(place, leader, HALF, call_of("sum", peaked))
    assert first.kind == "unexplained"
    assert [cause.figures["conditions"] for cause in beside if cause.name == "size"] == [(("n", ">=", 4097),)]
    crowd = call_of("sum", np.abs(CHANCE.standard_normal((1, 4097))))
    assert told(place, leader, HALF, crowd) is None, "among many numbers it may be the format"


def test_sums_in_a_format_are_one_cause_of_any_numbers():
    place, leader = lab("sum", half_sum, "np.sum"), call_of("sum", [1.2194824])
    peaked = np.zeros((1, 4097))
    peaked[0, -1] = 8.0
    for values in (peaked, np.ones((1, 5000)), CHANCE.standard_normal((3, 700)), 1e-6 * CHANCE.random((1, 9))):
        assert told(place, leader, HALF, call_of("sum", values)) is None


def test_two_names_of_one_cause_are_no_two():
    place = lab("sum", half_sum, "np.sum")
    sample = call_of("sum", 1e5 * np.ones((1, 3)))  # infinite in float16, which the results alone are not said to be
    results = Cause("results-in", "float16", figures={"bits": 11, "elements": 8, "unheld": 8})
    with np.errstate(over="ignore"):
        assert told(place, call_of("sum", [1.2194824]), results, sample) is None


def test_an_inherited_error_is_as_large_as_that_of_the_primitive():
    place = lab("softmax", cut_exp, "np.exp", primitives_of([KNOWN["exp"]]))
    assert KNOWN["softmax"].calls["numpy"], "softmax by NumPy's exp"
    leader = seen(place, call_of("softmax", 3 * CHANCE.standard_normal((2, 9))))
    assert explains(Cause("inherits", "exp"), leader)
    assert not explains(Cause("inherits", "erf"), leader), "which it has not inside"


def test_where_the_first_says_nothing_the_second_must_explain_its_call_and_not_the_first():
    place = lab("exp", odd_exp, "np.exp")
    sample = call_of("exp", CHANCE.standard_normal((4, 6)))
    first, *_ = told(place, call_of("exp", [0.0]), UNEXPLAINED, sample)
    assert first.kind == "rounds-inputs"
    plain = lab("exp", cut_exp, "np.exp")
    assert told(plain, call_of("exp", [1.2345678]), UNEXPLAINED, sample) is None, "it would explain the first as well"


def test_a_call_is_judged_by_the_second_cause_alone(gelu_of):
    place = gelu_of(long_gelu)

    def verdict(size, apart):
        judged = judge(
            place.spec,
            place.subject,
            place.backend,
            Asked(call_of("gelu", np.ones((1, size))), is_detailed=True, apart=apart),
        )
        return judged.score.verdict, judged.deciding and judged.deciding.mark

    second, first = Apart(UNEXPLAINED, TANH), Apart(TANH, UNEXPLAINED)
    word, mark = verdict(1003, second)
    assert word == "wrong"
    assert mark.index[1] >= 999
    assert mark.exact == pytest.approx(0.8413447460685429, rel=1e-15), "not what the variant gives"
    assert verdict(999, second)[0] == "stable"
    assert verdict(999, first)[0] == "wrong"
    assert verdict(1003, first)[0] == "stable", "which it does not explain whole"
    assert {verdict(size, None)[0] for size in (999, 1003)} == {"wrong"}
