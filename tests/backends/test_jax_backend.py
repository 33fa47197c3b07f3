"""What is particular to JAX: programs that are kept and given up, sizes from values, and layers of its own."""

from __future__ import annotations

import numpy as np
import pytest

from opfuzz.backends import Subject, perform
from opfuzz.backends.jax import Jax
from opfuzz.core.call import Call
from opfuzz.spec.expression.program import parse

if reason := Jax().absent():
    pytest.skip(reason, allow_module_level=True)


def made(text, shape, backend=None, mode="", params=None, **arrays):
    """What JAX makes of a call in float32."""
    backend = backend or Jax()
    program = parse(text, names=None, functions=backend.functions())
    given = {name: np.asarray(each, np.int64 if name == "index" else np.float32) for name, each in arrays.items()}
    call = Call("float32", {}, params or {}, given, {})
    return perform(backend, Subject("jax", "cpu", mode), program, call, {"": shape})


def traced(text="np.exp(x) * k"):
    """A backend, and how often a call of it was looked at to be compiled."""
    seen = []

    def exp(x):
        seen.append(x.shape)
        return x

    return Jax("tried", {"np.exp": exp}), seen, text


def test_a_program_serves_equal_calls_of_equal_shapes():
    backend, seen, text = traced()
    for k, n in ((2, 3), (2, 3), (2, 4), (3, 3), (2, 3), (2, 4)):
        outcome = made(text, (n,), backend, params={"k": k}, x=np.ones(n))
        assert outcome.outputs[0].tolist() == [k] * n
    assert seen == [(3,), (4,), (3,)]


def test_equal_numbers_of_other_kinds_are_other_calls():
    backend, seen, text = traced()
    for k in (1, 1.0, True):
        made(text, (2,), backend, params={"k": k}, x=np.ones(2))
    assert len(seen) == 3


def test_after_a_rest_it_is_compiled_again():
    backend, seen, text = traced()
    made(text, (2,), backend, params={"k": 2}, x=np.ones(2))
    backend.rest()
    made(text, (2,), backend, params={"k": 2}, x=np.ones(2))
    assert len(seen) == 2


def test_an_eager_call_keeps_nothing():
    backend, seen, text = traced()
    for _ in range(2):
        assert made(text, (2,), backend, "eager", {"k": 2}, x=np.ones(2)).outputs[0].tolist() == [2, 2]
    assert len(seen) == 2


def test_a_size_that_follows_from_values_is_not_supported():
    outcome = made("np.repeat(x, index)", (3,), x=[1, 2], index=[1, 2])
    assert outcome.status == "unsupported"
    assert made("np.repeat(x, index)", (3,), mode="eager", x=[1, 2], index=[1, 2]).outputs[0].tolist() == [1, 2, 2]


def test_the_users_own_precision_is_left_alone():
    import jax

    before = jax.config.jax_enable_x64
    made("x + 1", (1,), x=[1])
    assert jax.config.jax_enable_x64 == before


ROW, KERNEL = [[[1, 2, 4, 8]]], [[[1, 10]]]


@pytest.mark.parametrize(
    ("text", "arrays", "right"),
    [
        ("conv(x, w)", {"x": ROW, "w": KERNEL}, [[[21, 42, 84]]]),
        ("conv(x, w, 2, 1)", {"x": ROW, "w": KERNEL}, [[[10, 42, 8]]]),
        ("conv(x, w, 1, 0, 2)", {"x": ROW, "w": KERNEL}, [[[41, 82]]]),
        ("conv1d(x, w, bias=b)", {"x": ROW, "w": KERNEL, "b": [0.5]}, [[[21.5, 42.5, 84.5]]]),
        # each element times the kernel, laid over each other
        ("conv_transpose(x, w)", {"x": ROW, "w": KERNEL}, [[[1, 12, 24, 48, 80]]]),
        ("conv_transpose(x, w, 2, 1)", {"x": ROW, "w": KERNEL}, [[[10, 2, 20, 4, 40, 8]]]),
        ("conv_transpose(x, w, 2, 0, 1)", {"x": [[[1, 2]]], "w": KERNEL}, [[[1, 10, 2, 20, 0]]]),
        ("conv_transpose(x, w, 1, 0, 0, 2)", {"x": [[[1, 2]]], "w": KERNEL}, [[[1, 2, 10, 20]]]),
        ("conv_transpose(x, w, 1, 0, 0, 1, 2)", {"x": [[[1], [2]]], "w": [[[1, 10]], [[3, 30]]]}, [[[1, 10], [6, 60]]]),
        ("max_pool(x, (2,), (2,), ((1, 1),))", {"x": ROW}, [[[1, 4, 8]]]),
        ("avg_pool(x, (2,), (2,), ((1, 1),))", {"x": ROW}, [[[0.5, 3, 4]]]),
        ("scatter_add(x, index, w)", {"x": [[1, 2]], "index": [[1, 1, 0]], "w": [[10, 20, 5]]}, [[6, 32]]),
    ],
)
def test_layers_of_its_own(text, arrays, right):
    outcome = made(text, np.shape(right), **arrays)
    assert outcome.status == "ok", outcome.cause
    assert outcome.outputs[0].tolist() == right
