"""Gradients that backends give: by all inputs in their order, by one alone, in any layout; or that none are."""

import subprocess
import sys

import numpy as np
import pytest
from bundled_ops import BUNDLED_OPS

from opfuzz.backends import Subject, discover, perform
from opfuzz.core.call import Call
from opfuzz.core.relation import ALONE, Relation
from opfuzz.engine.evaluate import looked_at
from opfuzz.engine.roster import Roster
from opfuzz.spec.gradient import asked_alone, gradient_of

BACKENDS = {name: backend for name, backend in discover().items() if backend.absent() is None}
GIVING = [name for name, backend in BACKENDS.items() if backend.has_gradients]
LINEAR = gradient_of(BUNDLED_OPS["linear"])
DIMS = {"batch": 1, "length": 3, "d_in": 2, "d_out": 4}
X, WEIGHT, BIAS = (
    np.arange(6.0).reshape(1, 3, 2),
    np.array([[1.0, 2.0], [3.0, 5.0], [7.0, 11.0], [2.0, 4.0]]),
    np.ones(4),
)
G = np.arange(12.0).reshape(1, 3, 4)


def made(spec, name, format="float32", layouts=None, repeat=False):
    arrays = {"x": X, "weight": WEIGHT, "bias": BIAS, "cotangent": G}
    arrays = {key: np.asarray(value, np.float32) for key, value in arrays.items()}
    call = Call(format, DIMS, {}, arrays, layouts or {})
    backend = BACKENDS[name]
    program = next(iter(spec.calls[backend.dialect_in(spec.calls)].values()))
    shapes = spec.output_shapes(DIMS, {})
    return perform(backend, Subject(name, "cpu"), program, call, shapes, repeat=repeat)


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "stepped"])
@pytest.mark.parametrize("name", GIVING)
def test_a_gradient_by_every_input_in_their_order(name, layout):
    outcome = made(LINEAR, name, layouts=dict.fromkeys(("x", "weight", "cotangent"), layout), repeat=True)
    assert outcome.status == "ok", outcome.cause
    assert outcome.repeated == (True,) * 3
    assert [output.name for output in LINEAR.outputs] == ["d/dx", "d/dweight", "d/dbias"]
    for found, right in zip(outcome.outputs, (G @ WEIGHT, G[0].T @ X[0], G[0].sum(0)), strict=True):
        np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("name", GIVING)
def test_one_gradient_alone_is_asked_for(name):
    alone = looked_at(LINEAR, Relation(ALONE, "weight"))
    assert alone == asked_alone(LINEAR, "weight")
    (found,) = made(alone, name).outputs
    np.testing.assert_array_equal(found, G[0].T @ X[0])


def test_numpy_says_that_it_has_none():
    outcome = made(LINEAR, "numpy")
    assert (outcome.status, outcome.cause.figures["words"]) == ("unsupported", "numpy has no gradients")


@pytest.mark.parametrize("name", GIVING)
def test_what_has_no_part_has_zeros(name):
    spec = gradient_of(BUNDLED_OPS["relu"])
    backend = BACKENDS[name]
    x, g = np.array([-1.0, 2.0, -3.0], np.float32), np.array([5.0, 7.0, 9.0], np.float32)
    dims = {dim.name: 3 if place == len(spec.dims) - 1 else 1 for place, dim in enumerate(spec.dims)}
    shape = spec.output_shapes(dims, {})["d/dx"]
    call = Call("float32", dims, {}, {"x": x.reshape(shape), "cotangent": g.reshape(shape)}, {})
    program = next(iter(spec.calls[backend.dialect_in(spec.calls)].values()))
    (found,) = perform(backend, Subject(name, "cpu"), program, call, {"d/dx": shape}).outputs
    assert found.ravel().tolist() == [0.0, 7.0, 0.0]


def test_what_the_first_gradient_of_a_process_would_import_is_there_before_workers_fork():
    """Each crash of another subject starts a worker anew, which would import it again."""
    pytest.importorskip("torch")
    given = ["torch:cpu"], (), discover()
    modules = Roster.of(*given, has_gradients=True).modules
    assert set(Roster.of(*given).modules) < set(modules)
    program = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        "import torch\nx = torch.ones(2, requires_grad=True)\nbefore = len(sys.modules)\n"
        "torch.autograd.grad([2 * x], [x], [torch.ones(2)])\nprint(len(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10
