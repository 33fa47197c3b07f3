"""The smallest call as a line of code that runs and makes the same arrays."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from opfuzz.core.call import Call
from opfuzz.report.finding.one_line import LONGEST, differentiated, one_line
from opfuzz.spec.expression.program import Gradient, parse

INF, NAN = float("inf"), float("nan")


def line(text, array, dialect="numpy", layout="contiguous", **params):
    program = parse(text, names=None, functions=None)
    call = Call("float32", {"n": 4, "c": 3}, params, {"x": array}, {"x": layout})
    return one_line(program, dialect, call)


@pytest.mark.parametrize(
    ("array", "dialect", "text"),
    [
        (np.array([[88.5]], np.float32), "mlx", "f(mx.array([[88.5]]))"),
        (np.array([[88.5]], np.float32), "torch", "f(torch.tensor([[88.5]]))"),
        (np.array([0.1, -INF], np.float16), "mlx", "f(mx.array([0.1, -mx.inf], mx.float16))"),
        (np.array(2.0, ml_dtypes.bfloat16), "torch", "f(torch.tensor(2.0, dtype=torch.bfloat16))"),
        (np.ones((3, 500), np.float32), "torch", "f(torch.full((3, 500), 1.0))"),
        (np.zeros((0, 3), np.float32), "mlx", "f(mx.full((0, 3), 0.0))"),
        (np.array([True, False]), "mlx", "f(mx.array([True, False]))"),
        (np.array([1, 7]), "torch", "f(torch.tensor([1, 7]))"),
        (np.arange(600, dtype=np.float32).reshape(2, 300), "mlx", "f(x[2, 300])"),
    ],
)
def test_arrays(array, dialect, text):
    assert line("f(x)", array, dialect) == text


def test_the_line_has_the_bits():
    numbers = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32) * 1e-3
    numbers[0] = [0.0, -0.0, 3e-45, 3.4e38, INF]
    for row in numbers:
        made = eval(line("f(x)", row), {"np": np, "f": lambda x: x})
        assert made.dtype == np.float32
        assert made.tobytes() == row.tobytes()
    assert np.isnan(eval(line("f(x)", np.array([NAN, 1.0])), {"np": np, "f": lambda x: x})[0])


GRADIENT = Gradient(("x", "w"), ("cotangent",))


@pytest.mark.parametrize("dialect", ["torch", "mlx"])
def test_a_gradient_is_that_of_a_function_and_runs(dialect):
    program = replace(parse("x * w", names=None, functions=None), gradient=GRADIENT)
    arrays = {"x": np.float32([2.0]), "w": np.float32([5.0]), "cotangent": np.float32([3.0])}
    text = one_line(program, dialect, Call("float32", {}, {}, arrays, {}))
    module = pytest.importorskip({"torch": "torch", "mlx": "mlx.core"}[dialect])
    _, made = eval(text, {"torch": module, "mx": module})
    assert [each.tolist() for each in made] == [[15.0], [6.0]]
    block = replace(parse("y = x * w\ny + y", names=None, functions=None), gradient=GRADIENT)
    told = one_line(block, dialect, Call("float32", {}, {}, arrays, {}))
    _, twice = eval(told, {"torch": module, "mx": module})
    assert [each.tolist() for each in twice] == [[30.0], [12.0]]
    pair = replace(parse("y, z = f(x * w)\ny + z", names=None, functions=None), gradient=GRADIENT)
    told = one_line(pair, dialect, Call("float32", {}, {}, arrays, {}))
    assert "y + z  # differentiated by x, w at " in told


def test_where_the_rest_of_a_line_is_too_long_it_says_where_that_is():
    assert line(f"f({', '.join(['x'] * 50)})", np.ones(2, np.float32)).endswith("… (all of it is in repro.py)")


def test_of_a_gradient_the_call_can_be_told_alone():
    asked = (
        "torch.autograd.functional.vjp(lambda x, w: torch.mul(x, w), (torch.tensor([1.0]),), (torch.tensor([2.0]),))"
    )
    assert differentiated(asked) == ("torch.mul(x, w), (torch.tensor([1.0]),), (torch.tensor([2.0]),))", True)
    assert differentiated("mx.exp(mx.array([1.0]))") == ("mx.exp(mx.array([1.0]))", False)


def test_settings_and_views():
    text = "y = f(x, (n // 2, c - 1), eps=eps, dtype=dtype)\ny / n * pi"
    found = line(text, np.array([1.0], np.float32), "torch", "stepped", eps=1e-05)
    assert found == (
        "y = f(torch.tensor([1.0]), (2, 2), eps=1e-05, dtype=torch.float32); y / 4 * 3.141592653589793  # x stepped"
    )


def test_no_line_is_without_end():
    assert len(line(f"f({', '.join(['x'] * 50)})", np.ones(2, np.float32))) == LONGEST
