"""Operators of the expression language, bounded: no spec can make a number, list or text too large to handle."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType

Binary = Callable[[object, object], object]

BITS = 1024  # of an integer: the largest exponent of float64; beyond it a number has no use in a formula
FRACTION_BITS = 1 << 16  # exact products of float64 values have denominators of up to 1074 bits each
LENGTH = 10_000  # items of a list, those of lists inside it counted

_SMALL = 1 << 60  # nearly all sizes; comparing with it costs half of asking for the bits
_SEQUENCES = frozenset({list, tuple})
_BOUNDED = frozenset({int, bool, Fraction, str}) | _SEQUENCES


class LimitError(Exception):
    """An operation that is refused; the text says why."""


def bounded(value: object) -> object:
    """`value` itself. Raises LimitError if it is an integer, fraction, list or tuple beyond the limits."""
    kind = type(value)
    if isinstance(value, int):
        if value.bit_length() > BITS:
            raise LimitError(f"an integer beyond 2**{BITS}")
    elif isinstance(value, Fraction):
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > FRACTION_BITS:
            raise LimitError(f"a fraction of more than {FRACTION_BITS} bits")
    elif kind in _SEQUENCES and _items(value, 0) > LENGTH:
        raise LimitError(f"a list of more than {LENGTH} items")
    return value


def _items(sequence: object, seen: int) -> int:
    """Items of a list and of the lists in it, plus `seen`; stops soon after LENGTH, so shared lists cost little."""
    assert isinstance(sequence, list | tuple)
    seen += len(sequence)
    for item in sequence:
        if seen > LENGTH:
            break
        if type(item) in _SEQUENCES:
            seen = _items(item, seen)
    return seen


def _bounded_operator(plain: Binary) -> Binary:
    def apply(a: object, b: object) -> object:
        if type(a) in _BOUNDED or type(b) in _BOUNDED:
            _refuse_text(a, b)
            result = plain(a, b)
            return result if type(result) is int and -_SMALL < result < _SMALL else bounded(result)
        return plain(a, b)

    return apply


def _refuse_text(a: object, b: object) -> None:
    # '%9999999999d' % 1 would build a text of ten gigabytes.
    if type(a) is str or type(b) is str:
        raise LimitError("arithmetic with text")


def _multiply(a: object, b: object) -> object:
    for sequence, times in ((a, b), (b, a)):
        if isinstance(sequence, list | tuple):
            if not isinstance(times, int):
                raise LimitError("a list times what is no integer")
            if len(sequence) * times > LENGTH:
                raise LimitError(f"a list of more than {LENGTH} items")
    return operator.mul(a, b)


def _power(a: object, b: object) -> object:
    if isinstance(b, int):
        if isinstance(a, int):
            if b < 0:
                # Python would turn to floats here, and 10**-1 would no longer be one tenth.
                raise LimitError("an integer to a negative power, which is 1 / a**b,")
            if (abs(a).bit_length() - 1) * b > BITS:
                raise LimitError(f"an integer beyond 2**{BITS}")
        elif isinstance(a, Fraction) and abs(b) > BITS:
            raise LimitError(f"a fraction to a power beyond {BITS}")
    return operator.pow(a, b)


OPERATORS: Mapping[type[ast.operator], Binary] = MappingProxyType(
    {
        kind: _bounded_operator(plain)
        for kind, plain in (
            (ast.Add, operator.add),
            (ast.Sub, operator.sub),
            (ast.Mult, _multiply),
            (ast.Div, operator.truediv),
            (ast.FloorDiv, operator.floordiv),
            (ast.Mod, operator.mod),
            (ast.Pow, _power),
            (ast.MatMult, operator.matmul),
        )
    }
)
