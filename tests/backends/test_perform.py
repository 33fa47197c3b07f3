"""How failures of a framework get their names; the framework here is a function."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from opfuzz.backends import Subject, derive, perform, same_bits
from opfuzz.core.call import Call
from opfuzz.spec.expression.program import parse

ONE = np.ones((2,), np.float32)


def outcome_of(function, repeat=False):
    backend = derive("numpy", "bad", {"np.abs": function})
    program = parse("np.abs(x)", names=None, functions=backend.functions())
    subject = Subject("bad", "cpu")
    return perform(backend, subject, program, Call("float32", {}, {}, {"x": ONE}, {}), (2,), repeat=repeat)


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
        (MemoryError(), "out-of-memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out-of-memory"),
        (RuntimeError("[malloc] Unable to allocate 99 bytes."), "out-of-memory"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "crash"),
        (ZeroDivisionError("division by zero"), "crash"),
    ],
)
def test_status_of_an_exception(error, status):
    assert outcome_of(raising(error)).status == status


def test_only_the_first_line_of_a_message_is_kept():
    assert outcome_of(raising(RuntimeError("\nfirst\nsecond"))).cause.figures["words"] == "raised RuntimeError: first"
    assert outcome_of(raising(KeyError())).cause.figures["words"] == "raised KeyError"


def test_different_bits_are_seen():
    calls = itertools.count()
    assert outcome_of(lambda x: x + np.float32(next(calls)), repeat=True).repeated is False
    assert outcome_of(lambda x: x, repeat=True).repeated is True
    assert outcome_of(lambda x: x).repeated is None


def test_each_call_gets_tensors_of_its_own():
    def spoiling(x):
        x += 1
        return x

    outcome = outcome_of(spoiling, repeat=True)
    assert outcome.repeated is True
    assert (outcome.output == 2).all()
    assert (ONE == 1).all()


def test_same_bits():
    nan, other = (np.array([bits], np.uint32).view(np.float32) for bits in (0x7FC00000, 0xFFC00001))
    assert same_bits(nan, other)
    assert not same_bits(np.array([0.0], np.float32), np.array([-0.0], np.float32))
    assert not same_bits(ONE, ONE.astype(np.float16))
    assert not same_bits(ONE, ONE[:1])
    assert same_bits(np.float32(1.0).reshape(()), np.float32(1.0).reshape(()))
