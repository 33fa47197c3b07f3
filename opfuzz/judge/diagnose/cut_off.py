"""Products of whole numbers, as of quantised layers, whose codes or sums have too few bits for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from opfuzz.core.floats import FloatArray
from opfuzz.oracle.altered import evaluate_with
from opfuzz.oracle.graph import Node, is_whole, topological

MOST_PRODUCTS = 2**22  # of two codes each, in the sums that are added up one by one

# With p_i = a_i b_i and cut(s) the nearest number from l to h, or what s is modulo h - l + 1:
#     first     sum of cut(a_i) b_i                      second    sum of a_i cut(b_i)
#     sums      cut(sum of p_i)
#     pairs     sum of cut(p_2i + p_2i+1), as x86 adds up products of bytes (vpmaddubsw)
#     running   s_i = cut(s_{i-1} + p_i)
# Where a = q - zero, the products are those of q, from which zero times the sum of b is subtracted afterwards.


@dataclass(frozen=True, slots=True)
class Cut:
    """What has so few bits: codes of the `first` or `second` factor; `sums`, `pairs` or `running` sums of products."""

    what: str
    low: int
    high: int
    wraps: bool = False

    def of(self, values: FloatArray) -> FloatArray:
        """Whole numbers, as they are kept."""
        if self.wraps:
            return np.asarray(np.mod(values - self.low, self.high - self.low + 1.0) + self.low)
        return np.clip(values, self.low, self.high)


def _ends(bits: int) -> tuple[int, int]:
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


FACTORS = ("first", "second")
CUTS: tuple[Cut, ...] = (
    *(Cut("sums", *_ends(bits), wraps) for wraps in (False, True) for bits in (16, 24, 8)),
    Cut("pairs", *_ends(16)),
    Cut("running", *_ends(16)),
    # Those without sign first: of codes that have none the others with the same upper end do the same.
    *(Cut(factor, 0, 2**bits - 1) for factor in FACTORS for bits in (8, 7, 6, 5, 4)),
    *(Cut(factor, *_ends(bits)) for factor in FACTORS for bits in (8, 7, 6, 5, 4)),
    *(Cut(factor, -_ends(bits)[1], _ends(bits)[1]) for factor in FACTORS for bits in (8, 7, 6, 5, 4)),
)


def products_of_codes(root: Node) -> list[Node]:
    """Matrix products in a formula both of whose factors are whole numbers by what they are made of."""
    codes: set[int] = set()
    for node in topological(root):
        if _is_code(node, codes):
            codes.add(id(node))
    return [node for node in topological(root) if node.op == "dot" and all(id(arg) in codes for arg in node.args)]


_CLOSED = frozenset({"add", "sub", "mul", "neg", "maximum", "minimum", "reshape", "gather"})


def _is_code(node: Node, codes: set[int]) -> bool:
    """Whether a node is whole numbers whatever is fed, such as codes that were rounded, less a zero."""
    if node.op == "leaf":
        return bool((np.rint(node.detail) == node.detail).all())
    if node.op == "number":
        return is_whole(node)
    if node.op in ("rint", "floor"):
        return True
    branches = node.args[-2:] if node.op == "where" else node.args if node.op in _CLOSED else ()
    return bool(branches) and all(id(each) in codes for each in branches)


def cut_off(root: Node) -> Iterator[tuple[Cut, FloatArray, bool]]:
    """What comes of a formula where something in its products is cut off, for each cut; and whether it changes any."""
    dots = {id(node) for node in products_of_codes(root)}
    zeros: dict[int, FloatArray] = {}
    for cut in CUTS if dots else ():
        is_other = False

        def change(node: Node, args: list[FloatArray], cut: Cut = cut) -> FloatArray | None:
            nonlocal is_other
            if node.op == "sub":
                zeros[id(node)] = args[1]
            if id(node) not in dots:
                return None
            a, b = args
            zero = np.broadcast_to(zeros.get(id(node.args[0]), 0.0), a.shape)
            kept = cut.of(b) if cut.what == "second" else b
            made = _product(a + zero, kept, cut)
            if made is None:
                return None
            whole: FloatArray = made - np.matmul(zero, kept)
            is_other |= not np.array_equal(np.matmul(a, b), whole)
            return whole

        values = evaluate_with(root, change)
        yield cut, values, is_other


def _product(a: FloatArray, b: FloatArray, cut: Cut) -> FloatArray | None:
    """The products of whole numbers with a cut of `a` or of sums; None where there are too many of them."""
    if cut.what not in ("pairs", "running"):
        product: FloatArray = np.matmul(cut.of(a) if cut.what == "first" else a, b)
        return cut.of(product) if cut.what == "sums" else product
    if a.size * b.shape[-1] > MOST_PRODUCTS:
        return None
    step = 2 if cut.what == "pairs" else 1
    total: FloatArray = np.zeros(np.matmul(a[..., :0], b[..., :0, :]).shape)
    for start in range(0, a.shape[-1], step):
        part = np.matmul(a[..., start : start + step], b[..., start : start + step, :])
        total = total + cut.of(part) if step == 2 else cut.of(total + part)
    return total
