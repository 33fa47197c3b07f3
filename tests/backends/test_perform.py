"""How failures of a framework get their names; the framework here is a function."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from opfuzz.backends import Subject, derive, discover, perform, same_bits, same_outputs
from opfuzz.backends.base import REST_EVERY
from opfuzz.backends.numpy import Numpy
from opfuzz.core.call import Call
from opfuzz.spec.expression.program import parse

ONE = np.ones((2,), np.float32)
NUMPY = discover()["numpy"]


def outcome_of(function, repeat=False):
    backend = derive("numpy", "bad", {"np.abs": function})
    program = parse("np.abs(x)", names=None, functions=backend.functions())
    subject = Subject("bad", "cpu")
    return perform(backend, subject, program, Call("float32", {}, {}, {"x": ONE}, {}), {"": (2,)}, repeat=repeat)


def raising(error):
    def function(x):
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotImplementedError("later"), "unsupported"),
        (RuntimeError("\"softmax_kernel\" not implemented for 'Half'"), "unsupported"),
        (ValueError("[Convolution::eval] got unsupported data type."), "unsupported"),
        (TypeError("ufunc 'exp' not supported for the input types"), "unsupported"),
        (RuntimeError("empty tensors are not supported"), "crash"),
        (NotImplementedError("pool: inputs of size 0"), "crash"),
        (MemoryError(), "out-of-memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out-of-memory"),
        (RuntimeError("[malloc] Unable to allocate 99 bytes."), "out-of-memory"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "crash"),
        (ZeroDivisionError("division by zero"), "crash"),
    ],
)
def test_status_of_an_exception(error, status):
    assert outcome_of(raising(error)).status == status


def test_what_a_refusal_is_is_said_by_the_backend():
    class Tiny(Numpy):
        refusals = re.compile("NO_KERNEL")

    def status(words):
        backend = Tiny("tiny", {"np.abs": raising(RuntimeError(words))})
        program = parse("np.abs(x)", names=None, functions=backend.functions())
        call = Call("float32", {}, {}, {"x": ONE}, {})
        return perform(backend, Subject("tiny", "cpu"), program, call, {"": (2,)}).status

    assert status("[abs] NO_KERNEL for float") == "unsupported"
    assert status("not implemented") == "crash"


def test_it_rests_between_calls_now_and_then():
    made = []

    class Resting(Numpy):
        def rest(self):
            made.append("rest")

    def absolute(x):
        made.append("call")
        return np.abs(x)

    backend = Resting("resting", {"np.abs": absolute})
    program = parse("np.abs(x)", names=None, functions=backend.functions())
    for _ in range(2 * REST_EVERY + 1):
        perform(backend, Subject("resting", "cpu"), program, Call("float32", {}, {}, {"x": ONE}, {}), {"": (2,)})
    calls = ["call"] * REST_EVERY
    assert made == [*calls, "rest", *calls, "rest", "call"]


def test_only_the_first_line_of_a_message_is_kept():
    assert outcome_of(raising(RuntimeError("\nfirst\nsecond"))).cause.figures["words"] == "raised RuntimeError: first"
    assert outcome_of(raising(KeyError())).cause.figures["words"] == "raised KeyError"


def test_different_bits_are_seen():
    calls = itertools.count()
    assert outcome_of(lambda x: x + np.float32(next(calls)), repeat=True).repeated == (False,)
    assert outcome_of(lambda x: x, repeat=True).repeated == (True,)
    assert outcome_of(lambda x: x).repeated is None


def test_each_call_gets_tensors_of_its_own():
    def spoiling(x):
        x += 1
        return x

    outcome = outcome_of(spoiling, repeat=True)
    assert outcome.repeated == (True,)
    assert (outcome.outputs[0] == 2).all()
    assert (ONE == 1).all()


def test_same_bits():
    nan, other = (np.array([bits], np.uint32).view(np.float32) for bits in (0x7FC00000, 0xFFC00001))
    assert same_bits(nan, other)
    assert not same_bits(np.array([0.0], np.float32), np.array([-0.0], np.float32))
    assert not same_bits(ONE, ONE.astype(np.float16))
    assert not same_bits(ONE, ONE[:1])
    assert same_bits(np.float32(1.0).reshape(()), np.float32(1.0).reshape(()))


def returned(text, **shapes):
    """What a call in NumPy, on two ones, comes to for a spec of these outputs."""
    program = parse(text, names=None, functions=NUMPY.functions())
    call = Call("float32", {}, {}, {"x": ONE}, {"x": "contiguous"})
    return perform(NUMPY, Subject("numpy", "cpu"), program, call, shapes)


def test_outputs_come_in_the_order_of_the_spec():
    made = returned("(x, np.sum(x))", y=(2,), total=())
    assert made.status == "ok"
    assert [(each.shape, each.dtype.name) for each in made.outputs] == [((2,), "float32"), ((), "float32")]
    assert made.outputs[1] == 2


@pytest.mark.parametrize(
    ("text", "what", "output", "words"),
    [
        ("(x, x)", "shape", "total", "returned shape (2,) as output total, the spec says ()"),
        ("(np.sum(x), np.sum(x))", "shape", "y", "returned shape () as output y, the spec says (2,)"),
        ("(x, np.sum(x > 0))", "dtype", "total", "returned int64 as output total, the spec says float32"),
        ("(x, None)", "type", "total", "returned a NoneType, not a numpy.ndarray as output total"),
        ("x", "type", "y", "returned ndarray, the spec says a tuple of 2: y, total"),
        ("(x,)", "count", "total", "returned 1 output, the spec says a tuple of 2: y, total"),
        ("(x, x, x)", "count", "", "returned 3 outputs, the spec says a tuple of 2: y, total"),
    ],
)
def test_what_is_not_as_the_spec_says_names_the_output(text, what, output, words):
    made = returned(text, y=(2,), total=())
    assert (made.status, made.outputs) == ("crash", None)
    assert (made.cause.kind, made.cause.name, made.cause.figures["words"]) == ("wrong-shape", what, words)
    assert made.cause.figures.get("output", "") == output


def test_each_output_is_compared_with_that_of_a_second_call():
    calls = itertools.count()
    backend = derive("numpy", "bad", {"np.abs": lambda x: x + np.float32(next(calls))})
    program = parse("(x, np.abs(x))", names=None, functions=backend.functions())
    call = Call("float32", {}, {}, {"x": ONE}, {})
    made = perform(backend, Subject("bad", "cpu"), program, call, {"y": (2,), "z": (2,)}, repeat=True)
    assert made.repeated == (True, False)
    assert same_outputs((ONE, ONE), (ONE, ONE + 1)) == (True, False)


class WordlessError(Exception):
    def __str__(self):
        raise RuntimeError("its words fail")


def test_an_exception_without_words_is_one():
    outcome = outcome_of(raising(WordlessError()))
    assert (outcome.status, outcome.cause.name) == ("crash", "WordlessError")
    assert outcome.cause.figures["words"] == "raised WordlessError"


def test_words_that_no_file_holds_are_kept_as_far_as_one_does():
    words = outcome_of(raising(RuntimeError("lone \ud800 surrogate " + "x" * 10_000))).cause.figures["words"]
    assert words.startswith("raised RuntimeError: lone ? surrogate x")
    assert len(words.encode()) < 600
