"""Layouts: the views recover the array bit for bit, and the memory is as the name says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from opfuzz.core import layout as layouts
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FORMATS
from opfuzz.core.layout import LAYOUTS, View, applicable, apply, constant_along_broadcast, fits, memory

DTYPES = (*(fmt.dtype for fmt in FORMATS.values()), np.dtype(np.int64), np.dtype(np.bool_))
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


def numbered(shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


def strides(array: NDArray[Any]) -> tuple[int, ...]:
    """In elements."""
    return tuple(stride // array.itemsize for stride in array.strides)


@given(shape=SHAPES, dtype=st.sampled_from(DTYPES), layout=st.sampled_from(LAYOUTS))
def test_views_recover_the_array(shape: tuple[int, ...], dtype: Any, layout: str) -> None:
    array = constant_along_broadcast(numbered(shape, dtype), layout)
    base, views = memory(array, layout)
    seen = apply(base, views)
    assert base.flags.c_contiguous
    assert base.dtype == seen.dtype == array.dtype
    assert seen.shape == array.shape
    assert seen.tobytes() == array.tobytes()
    assert not np.shares_memory(base, array)
    assert seen.size == 0 or np.shares_memory(seen, base)


@given(shape=SHAPES, layout=st.sampled_from(LAYOUTS))
def test_only_an_applicable_layout_needs_views(shape: tuple[int, ...], layout: str) -> None:
    array = constant_along_broadcast(numbered(shape), layout)
    assert bool(memory(array, layout)[1]) == (layout != "contiguous" and applicable(layout, shape))


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("contiguous", (12, 4, 1)),
        ("transposed", (12, 1, 3)),
        ("permuted", (1, 2, 6)),
        ("offset", (12, 4, 1)),
        ("narrowed", (18, 6, 1)),
        ("stepped", (24, 8, 2)),
        ("broadcast", (0, 4, 1)),
    ],
)
def test_strides(layout: str, expected: tuple[int, ...]) -> None:
    array = constant_along_broadcast(numbered((2, 3, 4)), layout)
    base, views = memory(array, layout)
    assert strides(apply(base, views)) == expected


@pytest.mark.parametrize("layout", ["offset", "narrowed"])
def test_a_slice_does_not_begin_at_the_start(layout: str) -> None:
    base, views = memory(numbered((2, 3)), layout)
    assert apply(base, views).ctypes.data > base.ctypes.data


@pytest.mark.parametrize("layout", ["offset", "narrowed", "stepped"])
def test_a_kernel_that_reads_a_neighbour_shows_it(layout: str) -> None:
    for dtype, is_garbage in ((np.float16, np.isnan), (np.int64, lambda a: a == np.iinfo(np.int64).max), (bool, bool)):
        base, views = memory(np.zeros((2, 3), dtype), layout)
        apply(base, views)[...] = 1
        beside = base.reshape(-1)[: 1 if layout != "stepped" else None]
        assert is_garbage(beside[-1])


def test_a_mask_of_ones_beside_it() -> None:
    base, _ = memory(np.zeros((2, 3), bool), "stepped")
    assert base.tolist() == [[False, True] * 3] * 2


def test_what_applies_to_which_shape() -> None:
    def names(*shape: int) -> tuple[str, ...]:
        return tuple(layout for layout in LAYOUTS if applicable(layout, shape))

    assert names() == names(0) == names(3, 0, 2) == ("contiguous",)
    assert names(1) == ("contiguous", "offset", "stepped")
    assert names(3) == ("contiguous", "offset", "stepped", "broadcast")
    assert names(1, 3) == ("contiguous", "transposed", "offset", "narrowed", "stepped")
    assert names(2, 3, 4) == LAYOUTS


def test_broadcast_needs_a_constant_axis() -> None:
    with pytest.raises(OpfuzzError, match="constant along axis 0"):
        memory(numbered((2, 3)), "broadcast")
    array = np.array([[np.nan, -0.0]] * 2)
    assert memory(array, "broadcast")[1] == (View("broadcast", (2, 2)),)


@pytest.mark.parametrize(
    ("array", "is_constant"),
    [
        (np.array([[np.nan, -0.0]] * 2), True),
        (np.asfortranarray([[1.0, 2.0]] * 3), True),
        (np.array([[0.0], [-0.0]]), False),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), False),
        (np.zeros((1, 3)), True),
        (np.zeros((0, 3)), True),
        (np.array(1.0), True),
    ],
)
def test_only_a_constant_axis_fits_a_broadcast(array: np.ndarray, is_constant: bool) -> None:
    assert fits(array, "broadcast") == is_constant
    assert all(fits(array, layout) for layout in LAYOUTS if layout != "broadcast")


def test_an_unknown_layout_is_named() -> None:
    with pytest.raises(OpfuzzError, match="unknown layout 'transpose'; did you mean 'transposed'"):
        memory(np.ones(3), "transpose")


@given(shape=SHAPES, layout=st.sampled_from(LAYOUTS))
def test_one_formula_says_where_every_element_lies(shape: tuple[int, ...], layout: str) -> None:
    array = constant_along_broadcast(numbered(shape), layout)
    base, _ = memory(array, layout)
    found = layouts.strides(shape, layout)
    assert found.elements == base.size
    for index in np.ndindex(shape):
        place = found.start + sum(i * step for i, step in zip(index, found.steps, strict=True))
        assert base.ravel()[place] == array[index]
