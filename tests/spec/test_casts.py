"""Casts in calls as people write them; whatever else has a dot on a value, or looks like a cast, is refused."""

from __future__ import annotations

import os

import numpy as np
import pytest

from opfuzz.backends.mlx import Mlx
from opfuzz.backends.numpy import Numpy
from opfuzz.backends.torch import Torch
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FORMATS
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS
from opfuzz.spec.expression.program import ExpressionError, parse

BACKENDS = {"torch": Torch, "mlx": Mlx, "numpy": Numpy}
NAMES = {"x", "d", "dtype", "pi", "inf", *FORMATS}


def backend_of(name):
    backend = BACKENDS[name]()
    if backend.absent():
        pytest.skip(backend.absent())
    return backend


def message(text, functions, names=NAMES):
    with pytest.raises(ExpressionError) as caught:
        parse(text, names=names, functions=functions)
    return str(caught.value)


CASTS = [
    ("torch", "x.to(float32)", "float32"),
    ("torch", "x.to(torch.float32)", "float32"),
    ("torch", "x.to(torch.half)", "float16"),
    ("torch", "x.float()", "float32"),
    ("torch", "x.half()", "float16"),
    ("torch", "x.bfloat16()", "bfloat16"),
    ("torch", "x.double()", "float64"),
    ("torch", "torch.exp(x.to(torch.float64) * 2).to(dtype)", "float16"),
    ("torch", "y = (x + 1).float()\ny.to(float64)", "float64"),
    ("mlx", "x.astype(mx.float32)", "float32"),
    ("mlx", "mx.exp(x.astype(float32)).astype(dtype)", "float16"),
    ("numpy", "x.astype(np.float32)", "float32"),
    ("numpy", "(x * x).astype(float64)", "float64"),
]


@pytest.mark.parametrize(("name", "text", "right"), CASTS)
def test_a_cast_is_that_of_the_framework(name, text, right):
    backend = backend_of(name)
    program = parse(text, names=NAMES, functions=backend.functions())
    names = {"d": 2, **backend.constants("float16"), **{each: backend.dtype(each) for each in FORMATS}}
    x = backend.put(np.array([0.1, 3.0], np.float16), "contiguous", "cpu")
    made = backend.get(backend.run(program, {"x": x}, names, "cpu", ""))
    assert made.dtype.name == right
    assert eval(ast_of_last(text), {**modules(), **names, "x": x, **local(text, x)}).dtype == backend.dtype(right)


def modules():
    import torch

    return {"torch": torch, "np": np, "mx": __import__("mlx.core", fromlist=["core"])}


def ast_of_last(text):
    return text.rpartition("\n")[2]


def local(text, x):
    return {"y": (x + 1).float()} if "\n" in text else {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x.tofile(d)", "'x.tofile' is a method of a value in 'x.tofile(d)'; methods here are"),
        ("x.numpy()", "'x.numpy' is a method of a value"),
        ("x.astype(float32)", "'x.astype' is a method of a value in 'x.astype(float32)'; here write x.to(float32)"),
        ("x.to", "attribute 'to' is not allowed"),
        ("x.to.__call__(float32)", "attribute 'to' is not allowed"),
        ("x.__class__.to(float32)", "attribute '__class__' is not allowed"),
        ("x.T.to(float32)", "attribute 'T' is not allowed"),
        ("x.to(float32).tofile(d)", "'.tofile' is a method of a value"),
        ("x.to(float32).__reduce__()", "'.__reduce__' is a method of a value"),
        ("(x + 1).__init__(float32)", "'.__init__' is a method of a value"),
        (
            "x.to(x)",
            ".to() takes a format in 'x.to(x)'; known: float64, float32, float16, bfloat16, "
            "float8_e4m3fn, float8_e5m2, float4_e2m1fn, dtype",
        ),
        ("x.to(d)", ".to() takes a format"),
        ("x.to('cuda')", "a text is not allowed"),
        ("x.to(torch.os)", "attribute 'os' is not allowed"),
        ("x.to(torch.int8)", "attribute 'int8' is not allowed"),
        ("x.to(torch.float32.__class__)", "attribute '__class__' is not allowed"),
        ("x.to(torch.nn.float32)", "attribute 'float32' is not allowed"),
        ("x.to(os.float32)", "attribute 'float32' is not allowed"),
        ("x.to(torch.exp)", "function 'torch.exp' is not called"),
        ("x.to(dtype=float32)", ".to() takes a format, and no keyword,"),
        ("x.to(float32, copy=True)", ".to() takes a format, and no keyword,"),
        ("x.to(*d)", "a starred argument is not allowed"),
        ("x.to()", ".to() lacks 'dtype'"),
        ("x.to(float32, float16)", ".to() gets 3 arguments by place"),
        ("x.float(float32)", ".float() gets 2 arguments by place"),
        ("torch.float32.to(float16)", "unknown function 'torch.float32.to'"),
        ("float32.to(float16)", "'float32' is a format, not a value,"),
        ("torch.to(float32)", "unknown function 'torch.to'"),
        ("torch.Tensor.to(x, float32)", "unknown function 'torch.Tensor.to'"),
        ("torch.float32(x)", "unknown function 'torch.float32'"),
        ("float32(x)", "unknown function 'float32'"),
        ("torch.to.float32", "attribute 'float32' is not allowed"),
    ],
)
def test_what_only_looks_like_a_cast_is_refused(text, words):
    assert words in message(text, backend_of("torch").functions())


KNOWN = "known: float64, float32, float16, bfloat16, float8_e4m3fn, float8_e5m2, float4_e2m1fn, dtype"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cast(x, float23)", "unknown name 'float23' in 'cast(x, float23)'; did you mean 'float32'?"),
        ("cast(x, dtype=bflot16)", "unknown name 'bflot16' in 'cast(x, dtype=bflot16)'; did you mean 'bfloat16'?"),
        ("cast(x, torch.float23)", "attribute 'float23' is not allowed"),
        ("cast(x, torch.flaot32)", "attribute 'flaot32' is not allowed"),
        ("x.to(torch.float23)", "; did you mean 'float32'?"),
        ("cast(x, d)", f"cast() takes a format in 'cast(x, d)'; {KNOWN}"),
        ("cast(x, x)", f"cast() takes a format in 'cast(x, x)'; {KNOWN}"),
        ("cast(x, dtype=d)", "cast() takes a format"),
        ("cast(x, 3)", "cast() takes a format"),
        ("cast(x, pi)", "cast() takes a format"),
        ("cast(x, (float32,))", "cast() takes a format"),
        ("cast(x, float32 + 1)", "cast() takes a format"),
        ("cast(x, torch.exp(x))", "cast() takes a format"),
        ("cast(x, 'float32')", "a text is not allowed"),
        ("cast(x, dtype='float32')", "cast() takes a format"),
        ("cast(x, os)", "unknown name 'os'"),
        ("cast.__globals__(x, float32)", "unknown function 'cast.__globals__'"),
        ("cast(x, float32).tofile(d)", "'.tofile' is a method of a value"),
    ],
)
@pytest.mark.parametrize("is_installed", [True, False])
def test_a_function_casts_to_a_format_and_nothing_else(text, words, is_installed):
    functions = backend_of("torch").functions() if is_installed else None
    if is_installed or "unknown function" not in words:
        assert words in message(text, functions)
    assert parse("cast(x, float16)", names=NAMES, functions=functions).functions == {"cast"}
    assert parse("cast(x, dtype=torch.half)", names=NAMES, functions=functions).names == {"x", "float16"}


def test_a_method_is_looked_up_as_an_object_and_never_on_the_value():
    functions = {"torch.exp": abs, ".to": os, ".tofile": print}
    assert "is a method of a value" in message("x.to(float32)", functions)  # what is published is no function
    assert "is a method of a value" in message("x.tofile(float32)", functions)  # it is on no list of casts
    assert "lacks" not in str(parse("x.to(float32)", names=NAMES, functions=None))


def test_of_a_framework_that_is_not_installed_the_same_casts_are_known():
    assert parse("x.astype(mx.float32).to(float16)", names=NAMES, functions=None).names == {"x", "float32", "float16"}
    assert "methods are .astype .bfloat16" in message("x.tofile(d)", None)
    assert "is not allowed" in message("x.to(mx.os)", None)


def test_a_reference_says_how_it_rounds():
    words = message("x.to(float32)", REFERENCE_FUNCTIONS, {"x"})
    assert "; in a reference write float32(x) for what the op itself rounds" in words
    assert "float32" not in parse("float32(x)", names={"x"}, functions=REFERENCE_FUNCTIONS).names


@pytest.mark.parametrize("name", BACKENDS)
def test_a_published_cast_takes_tensors_and_types_alone(name):
    backend = backend_of(name)
    method = backend.functions()[".to" if name == "torch" else ".astype"]
    x = backend.put(np.ones(2, np.float32), "contiguous", "cpu")
    for bad in ((x, "float16"), (x, 3), (2.0, backend.dtype("float16")), ([x], backend.dtype("float16"))):
        with pytest.raises(TypeError, match="a cast of a"):
            method(*bad)
    with pytest.raises(OpfuzzError, match="a method of values, which cannot be replaced"):
        backend.derived("other", {".to": abs})


def test_texts_stand_in_a_tuple_that_is_the_value_of_a_keyword():
    functions = {"lax.conv": lambda x, dimension_numbers: dimension_numbers}
    program = parse("lax.conv(x, dimension_numbers=('NCH', 'OIH', 'NCH'))", names={"x"}, functions=functions)
    assert "('NCH' 'OIH' 'NCH')" in program.meaning.replace("tuple ", "")
    from opfuzz.spec.expression.program import evaluate

    assert evaluate(program, {"x": 1}, functions) == ("NCH", "OIH", "NCH")
    for text in (
        "lax.conv(x, ('NCH', 'OIH'))",
        "lax.conv(x, dimension_numbers=('NCH', x, 'OIH'))",
        "lax.conv(x, dimension_numbers=('NCH',) + ('OIH',))",
        "lax.conv(x, dimension_numbers=(('NCH',), 'OIH'))",
        "lax.conv(x, dimension_numbers=('a', f'{x}'))",
        "('NCH', 'OIH')",
    ):
        assert "a text is not allowed" in message(text, functions) or "f-string" in message(text, functions)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x.exp()", "; write torch.exp(...)"),
        ("x.shape", "; values have none here: sizes are dims, written by their names"),
        ("torch.exp(x.T)", "exchange axes with a function"),
        ("x.real", "write a function, as torch.view_as_real(x)"),
        (
            "x.to(torch.int8)",
            "; types are float64, float32, float16, bfloat16, float8_e4m3fn, float8_e5m2, float4_e2m1fn and dtype",
        ),
        ("x if d else pi", "; where(condition, a, b) chooses element by element"),
        ("torch.exp", "; write torch.exp(...)"),
    ],
)
def test_what_is_refused_is_told_with_what_to_write(text, words):
    assert words in message(text, backend_of("torch").functions())


def test_a_method_in_a_reference_is_a_function_there():
    assert "; write sum(...)" in message("x.sum()", REFERENCE_FUNCTIONS, {"x"})
    assert "; write mean(...)" in message("(x * x).mean()", REFERENCE_FUNCTIONS, {"x"})
